//! Where the rows of an answer are.

use serde_json::Value;

use super::super::pointer::Pointer;

/// How deep a list of rows may lie.
const DEPTH: usize = 3;

/// Where rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    pub pointer: String,
    /// Rows are the members of an object; their names are the keys.
    pub by_name: bool,
    pub single: bool,
}

impl Rows {
    /// The rows of an answer, with the names they have.
    pub fn of<'v>(&self, document: &'v Value) -> Vec<(String, &'v Value)> {
        let Ok(pointer) = Pointer::parse(&self.pointer) else { return Vec::new() };
        if self.single {
            return pointer.get(document).map(|row| (String::new(), row)).into_iter().collect();
        }
        let hits = pointer.rows(self.by_name).find(document).map(|found| found.hits).unwrap_or_default();
        let name = |hit: &super::super::pointer::Hit<'v>| hit.trail.last().map(ToString::to_string).unwrap_or_default();
        hits.iter().map(|hit| (name(hit), hit.value)).collect()
    }
}

/// The longest list of objects that is not inside a row; else an object whose members are alike; else the answer itself.
pub fn rows(document: &Value) -> Option<Rows> {
    let mut found: Vec<(usize, Rows)> = Vec::new();
    search(document, &mut String::new(), 0, &mut found);
    // Lists before maps, the longer before the shorter, the shallower before the deeper.
    found.sort_by_key(|(rows, place)| (place.by_name, std::cmp::Reverse(*rows), place.pointer.len()));
    if let Some((_, place)) = found.into_iter().next() {
        return Some(place);
    }
    document.is_object().then(|| Rows { pointer: String::new(), by_name: false, single: true })
}

fn search(value: &Value, path: &mut String, depth: usize, found: &mut Vec<(usize, Rows)>) {
    match value {
        Value::Array(items) if items.iter().all(Value::is_object) && (!items.is_empty() || depth == 1) => {
            found.push((items.len(), Rows { pointer: path.clone(), by_name: false, single: false }));
        }
        Value::Object(members) if depth < DEPTH => {
            if depth > 0 && members.len() > 1 && are_alike(members.values()) {
                let rows = Rows { pointer: format!("{path}/*"), by_name: true, single: false };
                found.push((members.len(), rows));
            }
            for (name, member) in members {
                let length = path.len();
                path.push('/');
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                search(member, path, depth + 1, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Objects that have the same members.
fn are_alike<'v>(values: impl Iterator<Item = &'v Value>) -> bool {
    let names = |value: &Value| value.as_object().map(|m| m.keys().cloned().collect::<std::collections::BTreeSet<_>>());
    let all: Vec<_> = values.map(names).collect();
    all.iter().all(Option::is_some) && all.windows(2).all(|pair| pair[0] == pair[1])
}
