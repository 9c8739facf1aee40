//! One collection of a manifest.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::values::{EventName, Reference, References};
use crate::domain::collection::{Deletes, Role};
use crate::domain::event::Severity;
use crate::domain::setting::{Decimal, Plain, Span};

/// What is read from one address.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CollectionManifest {
    /// `record`: things that change. `spend`: money rows. `gauge`: a level with bands, or a state.
    #[schemars(with = "ManifestRole")]
    pub role: Role,
    /// A word for one row, `mission`; left out: the collection's name. Default event names begin with it.
    pub noun: Option<String>,
    /// The path that is read, below `base`.
    pub get: Option<String>,
    /// The path that is read by a POST. Name only calls that change nothing.
    pub post: Option<String>,
    /// The body of the POST.
    pub body: Option<Value>,
    pub query: BTreeMap<String, Plain>,
    /// Headers of this collection's calls, besides the manifest's.
    pub headers: BTreeMap<String, String>,
    /// Not every account has this: what is not there, or of no known shape, is told once and leaves the rest alone.
    pub optional: bool,
    /// What the credentials need for it, in the API's own words; named where it is missing.
    pub needs: Option<String>,
    /// How often it is looked at, where the source's `every` is 60s; another `every` changes all intervals alike.
    pub every: Option<Span>,
    /// A pointer that must lead to `true`, where the API says in the body whether it went well.
    pub ok: Option<String>,
    pub page: PageManifest,
    /// Where the rows are: a JSON Pointer to the list; `*` stands for every item of a list or member of an object. Where
    /// the rows are the members of an object it ends in `*` (or the key is `*`).
    pub records: Option<String>,
    /// The answer (or what `records` points to) is the one and only row. A gauge needs no such word: the object at
    /// `records`, or without them the answer, is its one level.
    pub single: bool,
    /// Values from above the row, by name: pointers whose `*` stand for what those of `records` stand for.
    pub lift: BTreeMap<String, String>,
    /// What tells rows apart; several together where one does not.
    pub key: Vec<Reference>,
    /// What a person calls it.
    pub name: Option<References>,
    /// Id or email of the person behind it.
    pub who: Option<References>,
    /// Where to look at it: a place in the row, or an address with `{key}` in it.
    pub link: Option<String>,
    pub created: Option<References>,
    pub updated: Option<References>,
    /// Fields whose change is news; left out: every member of the row but `ignore`.
    pub watch: Option<Vec<String>>,
    /// What changes all the time and means nothing.
    pub ignore: Vec<String>,
    /// Watched fields that are never null where all is well: there null counts as absent, not as a change.
    pub required: Vec<String>,
    /// What is told with an event but is none.
    pub facts: Vec<String>,
    pub incremental: Option<Incremental>,
    pub hot: Option<Hot>,
    pub sweep: Sweep,
    pub window: Option<Window>,
    /// Event types: `created`, `updated`, `deleted` of records; the bands' names and `ok` of levels; `bad` and `ok` of
    /// states. `false` for no event.
    pub events: BTreeMap<String, EventName>,
    /// Changes of single fields that have an event type of their own; the first that fits counts.
    pub on: Vec<OnRule>,
    /// Severities that differ from `info` (of levels that leave what is good: from `warning`), by event type.
    pub severity: BTreeMap<String, Severity>,
    /// Role `spend`: where day, person, model and amount are.
    pub spend: Option<SpendManifest>,
    /// Role `record`: where a record says what it may spend, for budgets with `limit = "own"`.
    pub budget: Option<BudgetManifest>,
    /// Role `record`: a text, one of the fields under `watch` or `facts`, that digests quote: what a report
    /// says of savings.
    pub quoted: Option<String>,
    /// Role `gauge`: where the level or the state is.
    pub value: Option<References>,
    /// Role `gauge`: named lower bounds of a level; at or below it the level is in that band.
    pub bands: BTreeMap<String, Decimal>,
    /// Role `gauge`: which states are good, or bad.
    pub states: Option<States>,
}

/// The roles a manifest can give.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the schema; the domain's own type is read")]
enum ManifestRole {
    Record,
    Spend,
    Gauge,
}

/// How a list goes on.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PageManifest {
    pub kind: PageKind,
    /// The parameter that asks for the next page.
    pub send: Option<String>,
    /// `cursor`: pointer to the next page's cursor; absent, null or empty at the end.
    pub next: Option<String>,
    /// Pointer to true or false: whether there is more.
    pub more: Option<String>,
    /// Pointer to the number of rows there are in all; a list that shows another number is not complete.
    pub total: Option<String>,
    /// `page`: pointer to the number of pages there are.
    pub pages: Option<String>,
    /// The parameter for the size of a page, and the size.
    pub size: Option<(String, u32)>,
    /// `page`, `offset`: the number of the first page (1), or row (0).
    pub first: Option<u64>,
    /// The parameters go into the body of the POST instead of the query.
    pub body: bool,
    /// `none`: whether the one answer is the whole list; left out: it is. Where it is not, nothing that is missing
    /// proves that it is gone.
    pub whole: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// One answer is all of it.
    #[default]
    None,
    /// Each page names the cursor of the next.
    Cursor,
    /// The key of the last row asks for the next page.
    AfterKey,
    /// Pages have numbers.
    Page,
    /// Rows have numbers.
    Offset,
    /// A `Link` header with `rel="next"` (RFC 8288).
    Link,
}

/// Looks at what is new only, between full looks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
    /// The parameter that leaves out older rows.
    pub send: String,
    /// The instant in the row that it goes by.
    pub from: Reference,
    /// How far before the newest row seen it begins again.
    #[serde(default = "ten_minutes")]
    pub overlap: Span,
    #[serde(default)]
    pub format: WindowFormat,
    /// Further parameters of these looks.
    #[serde(default)]
    pub query: BTreeMap<String, Plain>,
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

/// Looks at what is recent, newest first, until rows are older than `span`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hot {
    /// The instant in the row that the list is sorted by, newest first.
    pub by: Reference,
    pub span: Span,
    pub every: Span,
    /// Parameters that sort it so.
    #[serde(default)]
    pub query: BTreeMap<String, Plain>,
}

/// Full looks, and what makes a missing record count as deleted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    pub every: Option<Span>,
    /// `two_sweeps`: two full looks in a row miss it. `confirm_get`: one does, and its own address answers 404. `never`.
    /// Left out: `two_sweeps` where the list has an end that can be seen, else `never`.
    pub deletes: Option<Deletes>,
    /// `confirm_get`: a record's own address, with `{key}`.
    pub confirm: Option<String>,
    /// Further parameters of full looks.
    pub query: BTreeMap<String, Plain>,
}

/// Days asked for in one call, as `$from`, `$to`, `$day` (the last) and `$days` in path, query or body.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Days a look goes back, today included: those that may still change.
    #[serde(default = "four")]
    pub days: u32,
    /// Days read at the first look.
    #[serde(default = "ninety")]
    pub history: u32,
    /// Once a day a look goes back this many days, for late corrections.
    #[serde(default = "thirty_five")]
    pub long: u32,
    /// The most days one call may ask for.
    #[serde(default = "thirty_one")]
    pub step: u32,
    #[serde(default)]
    pub format: WindowFormat,
    /// `$to` is the day after the last (or its first instant) instead of the last day.
    #[serde(default)]
    pub exclusive: bool,
}

fn four() -> u32 {
    4
}

fn ninety() -> u32 {
    90
}

fn thirty_five() -> u32 {
    35
}

fn thirty_one() -> u32 {
    31
}

/// How instants and days are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowFormat {
    /// `2026-11-22T00:00:00Z`; of a window that is days: `2026-11-22`.
    #[default]
    Date,
    /// Always with the time.
    Rfc3339,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
}

/// A change with an event type of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnRule {
    /// The watched field, as a pointer.
    pub field: String,
    /// Only when it becomes this.
    #[serde(default)]
    pub to: Option<Value>,
    /// Only when it was this.
    #[serde(default)]
    pub from: Option<Value>,
    /// Only when it comes to stand later in this list.
    #[serde(default)]
    pub rising: Vec<String>,
    /// Also when a new record already is so.
    #[serde(default)]
    pub new: bool,
    /// Only when nothing else of the change is told: a count of revisions goes along with every change.
    #[serde(default)]
    pub alone: bool,
    pub event: EventName,
}

/// Where the parts of a money row are. Rows of the same day, person, model and dimensions are summed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpendManifest {
    /// A day or an instant (its UTC day counts).
    pub date: References,
    pub user: Option<References>,
    /// The person's email and name, where they stand beside the id.
    pub email: Option<References>,
    pub name: Option<References>,
    pub model: Option<References>,
    /// Anything else money is to be told apart by, by name: `mission = "/mission_id"`.
    #[serde(default)]
    pub dims: BTreeMap<String, References>,
    /// `unit` dollars or cents: the amount.
    pub amount: Option<References>,
    pub unit: Unit,
    /// `unit` tokens: uncached input, output, and what a cache had to do with, priced by the dated price tables.
    pub input: Option<References>,
    pub output: Option<References>,
    pub cache_read: Option<References>,
    pub cache_write: Option<References>,
    /// The amounts are estimates; they never count where billed ones do. Tokens always are.
    #[serde(default)]
    pub estimate: bool,
    /// A row without an amount has cost nothing so far; otherwise it is left out with a warning.
    #[serde(default)]
    pub optional: bool,
    /// The rows are things that may be deleted while their money stays spent: a sum once seen never falls.
    #[serde(default)]
    pub never_falls: bool,
}

/// A budget that each record carries.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetManifest {
    /// The amount: one of the fields under `watch` or `facts`.
    pub amount: String,
    /// `dollars` or `cents`.
    pub unit: Unit,
    /// The dimension of the money rows (`dims`) whose values are the keys of these records.
    pub dim: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Dollars,
    Cents,
    Tokens,
}

/// Which states are good, or bad; the others are the opposite.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct States {
    pub good: Vec<String>,
    pub bad: Vec<String>,
}
