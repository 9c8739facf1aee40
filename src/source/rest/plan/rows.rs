//! Where the rows of a collection are, and what is in them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::faults::Faults;
use super::super::manifest::{CollectionManifest, References, SpendManifest, Unit};
use super::super::place::{Place, Places};
use super::super::pointer::Pointer;
use crate::domain::collection::Role;

/// Where rows are and how they are read.
#[derive(Debug, Clone)]
pub struct Rows {
    /// To the rows themselves; `None` where the whole answer is the only row.
    pub records: Option<Pointer>,
    pub shape: Shape,
    pub lift: Vec<(String, Pointer)>,
    /// What tells them apart; empty where nothing needs to.
    pub key: Vec<Place>,
    pub name: Places,
    pub who: Places,
    pub link: Link,
    pub created: Places,
    pub updated: Places,
    /// Fields that are watched; `None`: every member of the row but what is ignored.
    pub watch: Option<Vec<Field>>,
    pub ignore: Vec<Pointer>,
    /// Labels of fields whose null counts as absent.
    pub required: BTreeSet<String>,
    pub facts: Vec<Field>,
    pub money: Option<Money>,
    pub value: Places,
}

/// What is at `records`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Rows: the items of a list, or, where the manifest says so, the members of an object.
    Rows,
    /// The only row.
    Single,
    /// Levels: the only one where it is an object, one an item where it is a list. A list needs keys.
    Levels { keyed: bool },
}

impl Shape {
    fn of(manifest: &CollectionManifest, records: Option<&Pointer>) -> Self {
        let gauge = manifest.role == Role::Gauge;
        match records {
            _ if manifest.single => Self::Single,
            None if gauge => Self::Single,
            Some(records) if gauge && !records.ends_in_each() && !is_by_name(manifest) => {
                Self::Levels { keyed: !manifest.key.is_empty() }
            }
            _ => Self::Rows,
        }
    }
}

/// Whether rows are the members of an object: a key that is the member's name asks for them.
fn is_by_name(manifest: &CollectionManifest) -> bool {
    manifest.key.iter().any(|key| key.0 == "*")
}

/// A field of a row by the name it has in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub label: String,
    pub pointer: Pointer,
}

/// Where a record can be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Link {
    #[default]
    None,
    /// The row tells.
    In(Places),
    /// An address with `{key}` in it.
    Made(String),
}

/// Where the parts of a money row are.
#[derive(Debug, Clone)]
pub struct Money {
    pub date: Places,
    pub user: Places,
    pub email: Places,
    pub name: Places,
    pub model: Places,
    pub dims: BTreeMap<String, Places>,
    pub amount: Places,
    /// Decimal places between the unit and a dollar; `None` where tokens are priced.
    pub scale: Option<u32>,
    pub tokens: Tokens,
    pub estimate: bool,
    pub optional: bool,
    pub never_falls: bool,
}

/// Where token counts are.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    pub input: Places,
    pub output: Places,
    pub cache_read: Places,
    pub cache_write: Places,
}

impl Rows {
    pub(super) fn compile(name: &str, manifest: &CollectionManifest, faults: &mut Faults) -> Option<Self> {
        let records = match &manifest.records {
            Some(text) => faults.pointer("records", text),
            None if manifest.single || manifest.role == Role::Gauge => None,
            None => {
                faults.add(
                    "records",
                    "is missing: the JSON Pointer to the list of rows, like \"/data\"; or single = true",
                );
                None
            }
        };
        let shape = Shape::of(manifest, records.as_ref());
        let listed = |records: &Pointer| records.rows(is_by_name(manifest));
        let rows = if shape == Shape::Single { records.clone() } else { records.as_ref().map(listed) };
        let wildcards = rows.as_ref().map_or(0, Pointer::wildcards);
        let records = if shape == Shape::Rows { rows } else { records };
        let mut lift = Vec::new();
        for (lifted, text) in &manifest.lift {
            let path = format!("lift.{lifted}");
            faults.take(path.clone(), super::super::faults::check_name(lifted));
            let Some(pointer) = faults.pointer(path.clone(), text) else { continue };
            if pointer.wildcards() > wildcards {
                faults.add(
                    path,
                    format!("has more `*` than records ({wildcards}); each stands for what that of records stands for"),
                );
            }
            lift.push((lifted.clone(), pointer));
        }
        let reader = Reader { lifted: manifest.lift.keys().cloned().collect() };
        let key = reader.key(name, manifest, shape, faults);
        let money = reader.money(manifest, faults);
        let watch = manifest.watch.as_ref().map(|list| fields(list, "watch", faults));
        if watch.as_ref().is_some_and(Vec::is_empty) && manifest.role == Role::Record {
            faults.add("watch", "names no field; leave it out to watch all");
        }
        let required = required(manifest, faults);
        let ignore = list(&manifest.ignore, "ignore", faults);
        Some(Self {
            shape,
            name: reader.places("name", manifest.name.as_ref(), faults),
            who: reader.places("who", manifest.who.as_ref(), faults),
            link: reader.link(manifest.link.as_deref(), faults),
            created: reader.places("created", manifest.created.as_ref(), faults),
            updated: reader.places("updated", manifest.updated.as_ref(), faults),
            value: reader.places("value", manifest.value.as_ref(), faults),
            facts: fields(&manifest.facts, "facts", faults),
            records,
            lift,
            key,
            watch,
            ignore,
            required,
            money,
        })
    }
}

struct Reader {
    lifted: Vec<String>,
}

impl Reader {
    fn places(&self, path: &str, references: Option<&References>, faults: &mut Faults) -> Places {
        references.and_then(|r| faults.take(path, Places::parse(r, &self.lifted))).unwrap_or_default()
    }

    fn key(&self, name: &str, manifest: &CollectionManifest, shape: Shape, faults: &mut Faults) -> Vec<Place> {
        if manifest.key.is_empty() {
            // The only row of a collection is called like it.
            if shape != Shape::Rows {
                return vec![Place::Text(name.to_owned())];
            }
            if manifest.role != Role::Spend {
                faults.add("key", "is missing: what tells rows apart, like [\"/id\"]");
            }
        }
        let parse = |(index, reference): (usize, &super::super::manifest::Reference)| {
            faults.take(format!("key[{index}]"), Place::parse(&reference.0, &self.lifted))
        };
        manifest.key.iter().enumerate().filter_map(parse).collect()
    }

    fn link(&self, text: Option<&str>, faults: &mut Faults) -> Link {
        match text {
            None => Link::None,
            Some(text) if text.contains("{key}") => {
                if text.starts_with("https://") || text.starts_with("http://") {
                    return Link::Made(text.to_owned());
                }
                faults.add("link", "must be an http address, like \"https://app.example.com/missions/{key}\"");
                Link::None
            }
            Some(text) => {
                let reference = References(vec![super::super::manifest::Reference(text.to_owned())]);
                Link::In(self.places("link", Some(&reference), faults))
            }
        }
    }

    fn money(&self, manifest: &CollectionManifest, faults: &mut Faults) -> Option<Money> {
        let Some(spend) = &manifest.spend else {
            if manifest.role == Role::Spend {
                faults.add("spend", "is missing: where day and amount are, like { date = \"/date\", amount = \"/cents\", unit = \"cents\" }");
            }
            return None;
        };
        let mut inner = Faults::default();
        let money = self.spend(spend, &mut inner);
        faults.below("spend", inner);
        Some(money)
    }

    fn spend(&self, spend: &SpendManifest, faults: &mut Faults) -> Money {
        let scale = match spend.unit {
            Unit::Dollars => Some(0),
            Unit::Cents => Some(2),
            Unit::Tokens => None,
        };
        let counts = [
            ("input", &spend.input),
            ("output", &spend.output),
            ("cache_read", &spend.cache_read),
            ("cache_write", &spend.cache_write),
        ];
        match (scale, &spend.amount) {
            (Some(_), None) => faults.add("amount", "is missing: where the amount is"),
            (None, Some(_)) => {
                faults.add("amount", "goes with unit dollars or cents; of tokens, name input and output");
            }
            _ => {}
        }
        if scale.is_none() {
            if spend.model.is_none() {
                faults.add("model", "is missing; tokens have a price only with their model");
            }
            if counts.iter().all(|(_, places)| places.is_none()) {
                faults.add("input", "is missing: where the token counts are (input, output, cache_read, cache_write)");
            }
        } else {
            for (key, _) in counts.iter().filter(|(_, places)| places.is_some()) {
                faults.add(*key, "goes with unit tokens only");
            }
        }
        let mut dims = BTreeMap::new();
        for (dimension, places) in &spend.dims {
            let path = format!("dims.{dimension}");
            faults.take(path.clone(), super::super::faults::check_name(dimension));
            if ["user", "model", "workspace"].contains(&dimension.as_str()) {
                faults.add(path.clone(), "has a key of its own");
            }
            dims.insert(dimension.clone(), self.places(&path, Some(places), faults));
        }
        let [input, output, cache_read, cache_write] =
            counts.map(|(key, places)| self.places(key, places.as_ref(), faults));
        Money {
            date: self.places("date", Some(&spend.date), faults),
            user: self.places("user", spend.user.as_ref(), faults),
            email: self.places("email", spend.email.as_ref(), faults),
            name: self.places("name", spend.name.as_ref(), faults),
            model: self.places("model", spend.model.as_ref(), faults),
            dims,
            amount: self.places("amount", spend.amount.as_ref(), faults),
            scale,
            tokens: Tokens { input, output, cache_read, cache_write },
            estimate: spend.estimate || scale.is_none(),
            optional: spend.optional,
            never_falls: spend.never_falls,
        }
    }
}

fn list(texts: &[String], path: &str, faults: &mut Faults) -> Vec<Pointer> {
    let parse = |(index, text): (usize, &String)| faults.pointer(format!("{path}[{index}]"), text);
    texts.iter().enumerate().filter_map(parse).collect()
}

fn fields(texts: &[String], path: &str, faults: &mut Faults) -> Vec<Field> {
    let parse = |(index, text): (usize, &String)| {
        let pointer = faults.one(format!("{path}[{index}]"), text)?;
        Some(Field { label: pointer.label(), pointer })
    };
    texts.iter().enumerate().filter_map(parse).collect()
}

fn required(manifest: &CollectionManifest, faults: &mut Faults) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for (index, text) in manifest.required.iter().enumerate() {
        let path = format!("required[{index}]");
        if manifest.watch.as_ref().is_some_and(|watch| !watch.contains(text)) {
            faults.add(path.clone(), format!("{text:?} is not in watch"));
        }
        labels.extend(faults.one(path, text).map(|pointer| pointer.label()));
    }
    labels
}
