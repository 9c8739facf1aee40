//! JSON Pointers (RFC 6901) in which a segment `*` stands for every item of a list or every member of an object.
//!
//! Invariant: an object without members is no list without items. Whoever looks for rows and finds `{}` has found none of
//! them, and nothing that says that there are none.

use std::borrow::Cow;

use serde_json::Value;

/// A pointer, read once. The empty one is the whole document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Pointer(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Name(String),
    /// Every item of a list, every member of an object.
    Each,
    /// Every item of a list.
    Item,
}

/// A value found, and what each `*` on the way to it stood for: an index or a member's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<'v> {
    pub value: &'v Value,
    pub trail: Vec<Cow<'v, str>>,
}

impl Hit<'_> {
    /// The items of a list.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(move |(index, value)| {
            let step = Cow::Owned(index.to_string());
            Hit { value, trail: self.trail.iter().cloned().chain([step]).collect() }
        })
    }
}

/// What a pointer leads to in a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'v> {
    pub hits: Vec<Hit<'v>>,
    /// Places below a `*` that lack what the pointer names there.
    pub gaps: Vec<String>,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// Why the text is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("{text:?} is no JSON Pointer: it begins with `/`, like \"/data\" or \"/user/id\""));
        };
        let segments = rest.split('/').map(|part| match part {
            "*" => Segment::Each,
            name => Segment::Name(name.replace("~1", "/").replace("~0", "~")),
        });
        Ok(Self(segments.collect()))
    }

    /// Whether it may lead to several values.
    pub fn has_wildcard(&self) -> bool {
        self.wildcards() > 0
    }

    pub fn wildcards(&self) -> usize {
        self.0.iter().filter(|s| !matches!(s, Segment::Name(_))).count()
    }

    /// The value of a pointer without `*`; null is a value, absent is none.
    pub fn get<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.along(root, &mut std::iter::empty())
    }

    /// The value where each `*` stands for what it stood for on another's way.
    pub fn along<'v>(&self, root: &'v Value, trail: &mut dyn Iterator<Item = &str>) -> Option<&'v Value> {
        let mut value = root;
        for segment in &self.0 {
            value = match segment {
                Segment::Name(name) => step(value, name)?,
                Segment::Each | Segment::Item => step(value, trail.next()?)?,
            };
        }
        Some(value)
    }

    /// Every value the pointer leads to, in order. `None` where the way ends before the first `*`, or where what is
    /// there has no items.
    pub fn find<'v>(&self, root: &'v Value) -> Option<Found<'v>> {
        let mut found = Found { hits: Vec::new(), gaps: Vec::new() };
        let whole = walk(root, &self.0, &mut Vec::new(), &mut found);
        whole.then_some(found)
    }

    /// The same for rows: a last segment that is no `*` names the list, and its items are found; or, `by_name`, the object
    /// whose members they are.
    #[must_use]
    pub fn rows(&self, by_name: bool) -> Self {
        let mut rows = self.clone();
        if !rows.ends_in_each() {
            rows.0.push(if by_name { Segment::Each } else { Segment::Item });
        }
        rows
    }

    /// Whether its last segment is a `*`.
    pub fn ends_in_each(&self) -> bool {
        self.0.last() == Some(&Segment::Each)
    }

    /// Names joined by dots: what a field is called.
    pub fn label(&self) -> String {
        let names = self.0.iter().map(|s| match s {
            Segment::Name(name) => name.as_str(),
            Segment::Each | Segment::Item => "*",
        });
        names.collect::<Vec<_>>().join(".")
    }

    /// Its only segment, where there is just one.
    pub fn only_name(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Segment::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The member of the row it begins with.
    pub fn first_name(&self) -> Option<&str> {
        match self.0.first() {
            Some(Segment::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// Takes what it leads to out of a value.
    pub fn remove(&self, root: &mut Value) {
        remove(root, &self.0);
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Name(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))?,
                Segment::Each | Segment::Item => f.write_str("/*")?,
            }
        }
        Ok(())
    }
}

/// False where the way ended outside of any `*`.
fn walk<'v>(value: &'v Value, rest: &[Segment], trail: &mut Vec<Cow<'v, str>>, found: &mut Found<'v>) -> bool {
    let Some((segment, rest)) = rest.split_first() else {
        found.hits.push(Hit { value, trail: trail.clone() });
        return true;
    };
    let inside = !trail.is_empty();
    let mut gap = || {
        if inside {
            found.gaps.push(format!("{} has no {}", trail.join("/"), name_of(segment)));
        }
        inside
    };
    match (segment, value) {
        (Segment::Name(name), _) => match step(value, name) {
            Some(next) => walk(next, rest, trail, found),
            None => gap(),
        },
        (Segment::Each | Segment::Item, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                trail.push(Cow::Owned(index.to_string()));
                walk(item, rest, trail, found);
                trail.pop();
            }
            true
        }
        (Segment::Each, Value::Object(members)) if !members.is_empty() => {
            for (name, member) in members {
                trail.push(Cow::Borrowed(name));
                walk(member, rest, trail, found);
                trail.pop();
            }
            true
        }
        (Segment::Each | Segment::Item, _) => gap(),
    }
}

fn step<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

fn name_of(segment: &Segment) -> String {
    match segment {
        Segment::Name(name) => format!("{name:?}"),
        Segment::Each | Segment::Item => "items".to_owned(),
    }
}

fn remove(value: &mut Value, segments: &[Segment]) {
    let Some((first, rest)) = segments.split_first() else { return };
    match (first, value) {
        (Segment::Name(name), Value::Object(members)) => {
            if rest.is_empty() {
                // Keeps the order of the others.
                members.shift_remove(name);
            } else if let Some(member) = members.get_mut(name) {
                remove(member, rest);
            }
        }
        (Segment::Name(name), Value::Array(items)) => {
            if let Some(item) = name.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                remove(item, rest);
            }
        }
        (Segment::Each | Segment::Item, Value::Array(items)) => items.iter_mut().for_each(|item| remove(item, rest)),
        (Segment::Each, Value::Object(members)) => members.values_mut().for_each(|member| remove(member, rest)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    #[test]
    fn one_wildcard_a_level_and_what_stands_above() {
        let doc = json!({"data": [
            {"date": "d1", "users": [{"id": "a"}, {"id": "b"}]},
            {"date": "d2", "users": [{"id": "a"}]},
            {"date": "d3"},
        ]});
        let found = pointer("/data/*/users").rows(false).find(&doc).unwrap();
        let lift = pointer("/data/*/date");
        let rows: Vec<(&str, &str)> = found
            .hits
            .iter()
            .map(|hit| {
                let date = lift.along(&doc, &mut hit.trail.iter().map(AsRef::as_ref)).unwrap();
                (date.as_str().unwrap(), hit.value["id"].as_str().unwrap())
            })
            .collect();
        assert_eq!(rows, [("d1", "a"), ("d1", "b"), ("d2", "a")]);
        assert_eq!(found.gaps, ["2 has no \"users\""]);
    }

    #[test]
    fn members_of_an_object_and_absence() {
        let doc = json!({"states": {"q/1": "up", "w": "down"}, "none": null});
        let found = pointer("/states/*").find(&doc).unwrap();
        let rows: Vec<_> = found.hits.iter().map(|h| (h.trail[0].as_ref(), h.value.as_str().unwrap())).collect();
        assert_eq!(rows, [("q/1", "up"), ("w", "down")]);
        assert_eq!(pointer("/states/q~11").get(&doc), Some(&json!("up")));
        for missing in ["/nope", "/none/*", "/states/w/*"] {
            assert!(pointer(missing).find(&doc).is_none(), "{missing}");
        }
        assert_eq!(pointer("/none").find(&doc).unwrap().hits.len(), 1, "null is a value");
        assert!(Pointer::parse("data").is_err());
        assert_eq!(pointer("").get(&doc), Some(&doc));
    }

    #[test]
    fn an_object_is_no_list_and_one_without_members_says_nothing() {
        let hits = |text: &str, by_name: bool, doc: Value| {
            pointer(text).rows(by_name).find(&doc).map(|found| (found.hits.len(), found.gaps.len()))
        };
        assert_eq!(hits("/data", false, json!({"data": []})), Some((0, 0)));
        for object in [json!({}), json!({"error": "quota"}), json!({"a": {"id": 1}})] {
            assert_eq!(hits("/data", false, json!({ "data": object })), None, "{object}");
        }
        assert_eq!(hits("/data", true, json!({"data": {"a": {}}})), Some((1, 0)));
        assert_eq!(hits("/data/*", false, json!({"data": {"a": {}}})), Some((1, 0)));
        assert_eq!(hits("/data", true, json!({"data": {}})), None);
        assert_eq!(hits("/data/*", false, json!({"data": {}})), None);
        assert_eq!(hits("/days/*/rows", false, json!({"days": [{"rows": [1]}, {"rows": {}}]})), Some((1, 1)));
    }

    #[test]
    fn parts_are_taken_out_in_place() {
        let mut doc = json!({"a": 1, "list": [{"x": 1, "y": 2}, {"x": 3}], "z": 2});
        pointer("/list/*/x").remove(&mut doc);
        pointer("/a").remove(&mut doc);
        assert_eq!(doc, json!({"list": [{"y": 2}, {}], "z": 2}));
        assert_eq!(pointer("/list/*/x").to_string(), "/list/*/x");
        assert_eq!(pointer("/a/b").label(), "a.b");
    }
}
