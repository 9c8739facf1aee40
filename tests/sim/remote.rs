//! The systems that are polled: what is true there, how it changes, and how they show it, well or badly.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::money::Micros;
use ampbridge::domain::record::{CostRow, Failure, FailureKind, Record};
use ampbridge::domain::spend::{Basis, SpendRow};
use ampbridge::domain::time::{Timestamp, minus_days, utc_day};
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::rng::Rng;
use crate::setup::usd;

pub type Fields = BTreeMap<String, Value>;
/// (user, model) to amount, by day.
pub type Days = BTreeMap<Date, BTreeMap<(String, Option<String>), Micros>>;

const USERS: [&str; 3] = ["u-ana", "u-bo", "u-cy"];
const MODELS: [Option<&str>; 3] = [Some("m-large"), Some("m-small"), None];
const FIELDS: [&str; 4] = ["title", "status", "role", "mainThreadID"];

/// One list of records.
#[derive(Debug, Clone, Default)]
pub struct List {
    pub records: BTreeMap<String, Fields>,
    /// Bumped with each edit; a fact, never news by itself.
    pub stamps: BTreeMap<String, u64>,
    /// Fields a withdrawn right hides from every row.
    pub hidden: BTreeSet<String>,
    made: u32,
    prefix: &'static str,
}

#[derive(Debug, Clone)]
pub struct Remote {
    pub lists: BTreeMap<&'static str, List>,
    /// By collection: `acme/usage`, `files/bill`.
    pub money: BTreeMap<&'static str, Days>,
    pub costs: BTreeMap<String, Micros>,
}

impl Remote {
    pub fn draw(rng: &mut Rng, now: Timestamp) -> Self {
        let mut lists = BTreeMap::new();
        for (name, prefix, most) in [("acme/threads", "T", 30), ("acme/members", "M", 8), ("files/docs", "D", 90)] {
            let mut list = List { prefix, ..List::default() };
            for _ in 0..rng.between(0, most) {
                list.create(rng);
            }
            lists.insert(name, list);
        }
        let mut remote = Self { lists, money: BTreeMap::new(), costs: BTreeMap::new() };
        for name in ["acme/usage", "files/bill"] {
            remote.money.insert(name, Days::new());
            for back in 0..rng.between(0, 40) {
                if rng.percent(80) {
                    remote.spend(rng, name, minus_days(utc_day(now), back));
                }
            }
        }
        remote
    }

    /// Something happens there.
    pub fn change(&mut self, rng: &mut Rng, now: Timestamp) -> String {
        if rng.percent(45) {
            let name = *rng.pick(&["acme/usage", "acme/usage", "files/bill"]);
            // Mostly today; late rows and corrections reach back, now and then beyond what is settled.
            let furthest = if rng.percent(20) { 9 } else { 3 };
            let back = if rng.percent(60) { 0 } else { rng.between(0, furthest) };
            let day = minus_days(utc_day(now), back);
            return format!("{name}: {}", self.spend(rng, name, day));
        }
        if rng.percent(30) && !self.lists["acme/threads"].records.is_empty() {
            let keys: Vec<String> = self.lists["acme/threads"].records.keys().cloned().collect();
            let key = rng.pick(&keys).clone();
            *self.costs.entry(key.clone()).or_default() += usd(rng.between(0, 40));
            self.lists.entry("acme/threads").or_default().touch(&key);
            return format!("{key} has cost {}", self.costs[&key]);
        }
        let name = *rng.pick(&["acme/threads", "acme/members", "files/docs"]);
        let list = self.lists.entry(name).or_default();
        format!("{name}: {}", list.change(rng))
    }

    fn spend(&mut self, rng: &mut Rng, name: &'static str, day: Date) -> String {
        let rows = self.money.entry(name).or_default().entry(day).or_default();
        let user = (*rng.pick(&USERS)).to_owned();
        let model = rng.pick(&MODELS).map(str::to_owned);
        let key = (user, model);
        let now = rows.get(&key).copied().unwrap_or_default();
        let kind = rng.below(10);
        let after = match kind {
            0 if now > Micros::ZERO => Micros(now.0 / 3),
            1 => now + usd(rng.between(20, 90)),
            // The bill moves to another model, which needs the source to show whole users.
            2 if name == "acme/usage" && now > Micros::ZERO => {
                let other = (key.0.clone(), Some("m-new".to_owned()));
                rows.remove(&key);
                *rows.entry(other).or_default() += now;
                return format!("{day} {key:?} {now} moved to m-new");
            }
            _ => now + Micros(rng.between(1, 9_000_000)),
        };
        rows.insert(key.clone(), after);
        format!("{day} {key:?} {after}")
    }

    /// Money rows of the days from `from` on, in pages; all rows of a day and user are in one page.
    pub fn money_pages(&self, name: &str, from: Option<Date>, per_page: usize) -> Vec<Vec<SpendRow>> {
        let whole_user = name == "acme/usage";
        let basis = if whole_user { Basis::Billed } else { Basis::Estimate };
        let mut users: Vec<Vec<SpendRow>> = Vec::new();
        for (day, rows) in self.money[name].iter().filter(|(day, _)| from.is_none_or(|from| **day >= from)) {
            let mut last: Option<&str> = None;
            for ((user, model), amount) in rows {
                if last != Some(user) {
                    users.push(Vec::new());
                }
                last = Some(user);
                let row = SpendRow {
                    day: *day,
                    user: Some(user.clone()),
                    model: model.clone(),
                    dims: BTreeMap::new(),
                    amount: *amount,
                    tokens: 0,
                    basis,
                    whole_user,
                };
                users.last_mut().unwrap().push(row);
            }
        }
        users.chunks(per_page).map(<[Vec<SpendRow>]>::concat).collect()
    }

    pub fn cost_row(&self, key: &str) -> Option<CostRow> {
        self.lists["acme/threads"].records.contains_key(key).then(|| CostRow {
            key: key.to_owned(),
            cost: self.costs.get(key).copied().unwrap_or_default(),
            estimated: false,
            facts: BTreeMap::new(),
        })
    }
}

impl List {
    fn touch(&mut self, key: &str) {
        *self.stamps.entry(key.to_owned()).or_default() += 1;
    }

    fn create(&mut self, rng: &mut Rng) -> String {
        self.made += 1;
        let key = format!("{}-{:03}", self.prefix, self.made);
        self.records.insert(key.clone(), fields(rng, &self.records));
        self.touch(&key);
        key
    }

    fn change(&mut self, rng: &mut Rng) -> String {
        let keys: Vec<String> = self.records.keys().cloned().collect();
        let gone: Vec<String> = self.stamps.keys().filter(|k| !self.records.contains_key(*k)).cloned().collect();
        match rng.below(16) {
            0..=2 => format!("{} is new", self.create(rng)),
            3..=4 if !keys.is_empty() => {
                let key = rng.pick(&keys);
                self.records.remove(key);
                format!("{key} is gone")
            }
            5 if !gone.is_empty() => {
                let key = rng.pick(&gone).clone();
                let fields = fields(rng, &self.records);
                self.records.insert(key.clone(), fields);
                self.touch(&key);
                format!("{key} is back")
            }
            6 if keys.len() > 6 && rng.percent(40) => {
                for key in keys.iter().filter(|_| rng.percent(60)) {
                    self.records.remove(key);
                }
                format!("{} of {} vanish at once", keys.len() - self.records.len(), keys.len())
            }
            7 => {
                let field = (*rng.pick(&FIELDS)).to_owned();
                if self.hidden.remove(&field) {
                    return format!("{field} is shown again");
                }
                self.hidden.insert(field.clone());
                format!("{field} is hidden")
            }
            _ if !keys.is_empty() => {
                let key = rng.pick(&keys).clone();
                let field = *rng.pick(&FIELDS[..3]);
                let value = value(rng, field);
                self.touch(&key);
                let record = self.records.entry(key.clone()).or_default();
                let text = format!("{key}: {field} is {value:?}");
                match value {
                    Some(value) => record.insert(field.to_owned(), value),
                    None => record.remove(field),
                };
                text
            }
            _ => format!("{} is new", self.create(rng)),
        }
    }

    /// A record as the list shows it now.
    pub fn show(&self, key: &str) -> Option<Record> {
        let fields = self.records.get(key)?;
        let stamp = format!("{:08}", self.stamps.get(key).copied().unwrap_or_default());
        Some(Record {
            key: key.to_owned(),
            fields: fields
                .iter()
                .filter(|(n, _)| !self.hidden.contains(*n))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
            facts: [("updatedAt".to_owned(), json!(stamp))].into(),
            name: Some(format!("the {key}")),
            ..Record::default()
        })
    }

    /// Up to `size` keys after `after`, in order: a record that is there all the time is shown whatever else happens.
    pub fn keys_after(&self, after: Option<&str>, size: usize) -> Vec<String> {
        self.records.keys().filter(|k| after.is_none_or(|a| k.as_str() > a)).take(size).cloned().collect()
    }
}

fn fields(rng: &mut Rng, others: &BTreeMap<String, Fields>) -> Fields {
    let mut fields = Fields::new();
    for name in &FIELDS[..3] {
        if let Some(value) = value(rng, name) {
            fields.insert((*name).to_owned(), value);
        }
    }
    if rng.percent(15) && !others.is_empty() {
        let keys: Vec<&String> = others.keys().collect();
        fields.insert("mainThreadID".to_owned(), json!(rng.pick(&keys)));
    }
    fields
}

/// A value from few, so that A→B→A happens; null and absent too.
fn value(rng: &mut Rng, field: &str) -> Option<Value> {
    match rng.below(12) {
        0 => None,
        1 => Some(Value::Null),
        n if field == "status" => Some(json!(["open", "done", "busy"][usize::try_from(n % 3).unwrap()])),
        n => Some(json!(format!("{field} {}", n % 3))),
    }
}

/// Why a look fails.
pub fn failure(rng: &mut Rng) -> Failure {
    let kind = match rng.below(8) {
        0 => FailureKind::Unauthorized,
        1 => FailureKind::Forbidden { scope: (*rng.pick(&["read", "list"])).to_owned() },
        2 => FailureKind::Throttled { after_secs: rng.below(600) },
        _ => FailureKind::Broken,
    };
    Failure { message: format!("{kind:?}"), kind }
}
