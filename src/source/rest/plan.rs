//! A collection of a manifest, checked and ready to be read.

mod events;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::faults::Faults;
use super::manifest::{BudgetManifest, CollectionManifest, Incremental, Unit, Window, WindowFormat};
use super::paging::Paging;
use super::place::Places;
use super::pointer::Pointer;
use super::template::{Template, names_in};
use crate::domain::collection::{Deletes, EventNames, GaugeSpec, OwnBudget, Role};
use crate::domain::ids;
use crate::domain::setting::{Plain, Span};

pub use rows::{Link, Money, Rows, Shape};

/// Full looks where a manifest has cheaper ones and names no interval: once a day.
const FULL: Duration = Duration::from_hours(24);
/// The shortest interval that is taken: shorter is a slip of the pen.
const SHORTEST: Duration = Duration::from_secs(1);
/// Variables that a window gives.
const WINDOW_VARS: [&str; 4] = ["from", "to", "day", "days"];
/// The most days a look may go back: beyond it no rule looks.
const MOST_DAYS: u32 = 400;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// Below the base; may end in `?` and a raw query.
    pub path: Template,
    pub query: Vec<(String, Template)>,
    pub body: Option<Value>,
    pub headers: BTreeMap<String, String>,
}

impl Request {
    /// `GET /missions`: for messages; never the query, never the host.
    pub fn what(&self) -> String {
        let path = self.path.as_str().split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    /// Whether it says up to which day it asks; else the answer goes on for as long as there is something.
    pub fn names_an_end(&self) -> bool {
        let names = self.names();
        names.contains("to") || names.contains("day")
    }

    /// Names of variables in it.
    fn names(&self) -> BTreeSet<String> {
        let query = self.query.iter().flat_map(|(_, value)| value.names());
        let body = self.body.iter().flat_map(names_in);
        self.path.names().into_iter().chain(query).chain(body).collect()
    }
}

/// Looks at what is new.
#[derive(Debug, Clone)]
pub struct Head {
    pub send: String,
    pub from: Places,
    pub overlap: Span,
    pub format: WindowFormat,
    pub query: Vec<(String, Template)>,
}

/// Looks at what is recent.
#[derive(Debug, Clone)]
pub struct Recent {
    pub by: Places,
    pub span: Span,
    pub query: Vec<(String, Template)>,
}

/// A collection, ready to be read.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub noun: String,
    pub role: Role,
    pub request: Request,
    pub optional: bool,
    pub needs: Option<String>,
    pub ok: Option<Pointer>,
    pub page: Paging,
    pub rows: Rows,
    pub head: Option<Head>,
    pub recent: Option<Recent>,
    /// Further parameters of full looks.
    pub sweep_query: Vec<(String, Template)>,
    pub deletes: Deletes,
    /// A record's own address, with `{key}`.
    pub confirm: Option<Template>,
    pub window: Option<Window>,
    pub events: EventNames,
    pub gauge: GaugeSpec,
    pub budget: Option<OwnBudget>,
    /// A field that digests quote.
    pub quoted: Option<String>,
    /// Intervals where the source's `every` is a minute; `None` follows `every` itself.
    pub every: Option<Duration>,
    pub hot_every: Option<Duration>,
    pub full_every: Option<Duration>,
    /// Bound variables it uses.
    pub binds: BTreeSet<String>,
    /// Of everything that decides which records there are and how they are told apart.
    print: String,
}

impl Plan {
    /// Checks a collection. `binds` are the variables there are.
    pub fn compile(name: &str, manifest: &CollectionManifest, binds: &[String], faults: &mut Faults) -> Option<Self> {
        let before = faults.is_empty();
        let mut own = Faults::default();
        let plan = compile(name, manifest, binds, &mut own);
        let fine = own.is_empty();
        faults.below(&format!("collections.{name}"), own);
        plan.filter(|_| fine || !before)
    }

    /// Another base, owner or way to tell records apart is another epoch.
    pub fn fingerprint(&self, base: &str, owner: &[(String, String)]) -> String {
        let owner: Vec<String> = owner.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect();
        let parts: Vec<&str> = [base, &self.print].into_iter().chain(owner.iter().map(String::as_str)).collect();
        ids::derive("rest", &parts)
    }
}

fn compile(name: &str, manifest: &CollectionManifest, binds: &[String], faults: &mut Faults) -> Option<Plan> {
    let noun = manifest.noun.clone().unwrap_or_else(|| name.to_owned());
    faults.take("noun", super::faults::check_name(&noun));
    let request = request(manifest, binds, faults);
    let page = Paging::compile(&manifest.page, request.as_ref().is_some_and(|r| r.method == Method::POST), faults);
    let rows = Rows::compile(name, manifest, faults);
    let lifted: Vec<String> = manifest.lift.keys().cloned().collect();
    let places = |faults: &mut Faults, path: &str, text: &str| {
        faults.take(
            path,
            Places::parse(&super::manifest::References(vec![super::manifest::Reference(text.to_owned())]), &lifted),
        )
    };
    let head = manifest.incremental.as_ref().and_then(|i| {
        let from = places(faults, "incremental.from", &i.from.0)?;
        Some(head(i, from))
    });
    let recent = manifest.hot.as_ref().and_then(|hot| {
        check_interval("hot.every", Some(hot.every), faults);
        let by = places(faults, "hot.by", &hot.by.0)?;
        Some(Recent { by, span: hot.span, query: templates(&hot.query) })
    });
    let (deletes, confirm) = deletes(manifest, page.as_ref(), faults);
    check_shape(manifest, faults);
    check_window(manifest.window.as_ref(), request.as_ref(), faults);
    check_interval("every", manifest.every, faults);
    check_interval("sweep.every", manifest.sweep.every, faults);
    let (events, gauge) = events::compile(&noun, manifest, faults);
    let budget = manifest.budget.as_ref().and_then(|budget| own_budget(budget, manifest, faults));
    let quoted = manifest.quoted.as_ref().and_then(|field| told_field("quoted", field, manifest, faults));
    let (request, page, rows) = (request?, page?, rows?);
    let full_every = manifest
        .sweep
        .every
        .map(Span::std)
        .or_else(|| head.is_some().then_some(FULL))
        .or(manifest.every.map(Span::std));
    let used = request.names();
    Some(Plan {
        name: name.to_owned(),
        noun,
        role: manifest.role,
        optional: manifest.optional,
        needs: manifest.needs.clone(),
        ok: manifest.ok.as_deref().and_then(|text| faults.one("ok", text)),
        head,
        recent,
        sweep_query: templates(&manifest.sweep.query),
        deletes,
        confirm,
        window: manifest.window.clone(),
        events,
        gauge,
        budget,
        quoted,
        every: manifest.every.map(Span::std),
        hot_every: manifest.hot.as_ref().map(|hot| hot.every.std()),
        full_every,
        binds: binds.iter().filter(|b| used.contains(*b)).cloned().collect(),
        print: print(&request, manifest),
        request,
        page,
        rows,
    })
}

/// What decides which records there are and how they are told apart, as text.
fn print(request: &Request, manifest: &CollectionManifest) -> String {
    let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={}", value.as_str())).collect();
    let key: Vec<&str> = manifest.key.iter().map(|k| k.0.as_str()).collect();
    let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
    let records = manifest.records.as_deref().unwrap_or_default();
    [request.what().as_str(), request.path.as_str(), &query.join("&"), &body, records, &key.join(" ")].join("\n")
}

fn request(manifest: &CollectionManifest, binds: &[String], faults: &mut Faults) -> Option<Request> {
    let (method, key, path) = match (&manifest.get, &manifest.post) {
        (Some(path), None) => (Method::GET, "get", path),
        (None, Some(path)) => (Method::POST, "post", path),
        (None, None) => {
            faults.add("get", "is missing: the path that is read, like \"/missions\" (or post, for a read-only POST)");
            return None;
        }
        (Some(_), Some(_)) => {
            faults.add("post", "stands beside get; a collection is read in one way");
            return None;
        }
    };
    if !path.starts_with('/') || path.split(['/', '?']).any(|part| part == ".." || part == ".") {
        faults.add(key, format!("{path:?} must begin with `/` and stay below base"));
    }
    if manifest.body.is_some() && method == Method::GET {
        faults.add("body", "goes with post only");
    }
    for (name, value) in &manifest.headers {
        if http::HeaderName::try_from(name.as_str()).is_err() || http::HeaderValue::try_from(value.as_str()).is_err() {
            faults.add(format!("headers.{name}"), "is no header that can be sent");
        }
    }
    let request = Request {
        method,
        path: Template::new(path),
        query: templates(&manifest.query),
        body: manifest.body.clone().map(in_order),
        headers: manifest.headers.clone(),
    };
    let mut known: Vec<&str> = binds.iter().map(String::as_str).collect();
    if manifest.window.is_some() {
        known.extend(WINDOW_VARS);
    }
    for name in request.names() {
        if !known.contains(&name.as_str()) {
            let hint = super::faults::hint(&name, known.iter().copied());
            faults.add(key, format!("nothing gives a value for ${name}; name it under bind{hint}"));
        }
    }
    Some(request)
}

/// The members of its objects in order of their names: the order that something happened to be read in must not reach a
/// fingerprint or the wire.
fn in_order(mut body: Value) -> Value {
    body.sort_all_objects();
    body
}

fn templates(query: &BTreeMap<String, Plain>) -> Vec<(String, Template)> {
    query.iter().map(|(name, value)| (name.clone(), Template::new(&value.0))).collect()
}

fn head(incremental: &Incremental, from: Places) -> Head {
    Head {
        send: incremental.send.clone(),
        from,
        overlap: incremental.overlap,
        format: incremental.format,
        query: templates(&incremental.query),
    }
}

/// What makes a missing record count as deleted, as far as the list's end can be seen at all.
fn deletes(manifest: &CollectionManifest, page: Option<&Paging>, faults: &mut Faults) -> (Deletes, Option<Template>) {
    let ends = manifest.single || page.is_some_and(Paging::shows_its_end);
    let usual = if ends && manifest.role == Role::Record { Deletes::TwoSweeps } else { Deletes::Never };
    let chosen = manifest.sweep.deletes.unwrap_or(usual);
    if manifest.role != Role::Record && manifest.sweep.deletes.is_some_and(|d| d != Deletes::Never) {
        faults.add("sweep.deletes", "only records can be deleted; leave it out");
    }
    if chosen == Deletes::TwoSweeps && manifest.role == Role::Record && !ends {
        faults.add(
            "sweep.deletes",
            "page says that one answer is not the whole list (whole = false), so nothing missing may count as deleted. \
             Describe its pages; else use confirm_get or never",
        );
    }
    let confirm = match (chosen, &manifest.sweep.confirm) {
        (Deletes::ConfirmGet, None) => {
            faults.add("sweep.confirm", "is missing: a record's own address, like \"/missions/{key}\"");
            None
        }
        (Deletes::ConfirmGet, Some(path)) if !path.starts_with('/') || !path.contains("{key}") => {
            faults.add(
                "sweep.confirm",
                format!("{path:?} must be a path with {{key}} in it, like \"/missions/{{key}}\""),
            );
            None
        }
        (Deletes::ConfirmGet, Some(path)) => Some(Template::new(path)),
        (_, Some(_)) => {
            faults.add("sweep.confirm", "goes with deletes = \"confirm_get\" only");
            None
        }
        (_, None) => None,
    };
    (chosen, confirm)
}

/// What goes with which role.
fn check_shape(manifest: &CollectionManifest, faults: &mut Faults) {
    let record = manifest.role == Role::Record;
    if manifest.role == Role::Cost {
        faults.add("role", "a manifest has records, spend or gauges; what single things cost needs a source in Rust");
    }
    for (there, key, fits, with) in [
        (manifest.incremental.is_some(), "incremental", record, "record"),
        (manifest.hot.is_some(), "hot", record, "record"),
        (!manifest.on.is_empty(), "on", record, "record"),
        (manifest.window.is_some(), "window", manifest.role == Role::Spend, "spend"),
        (manifest.budget.is_some(), "budget", record, "record"),
        (manifest.quoted.is_some(), "quoted", record, "record"),
        (manifest.spend.is_some(), "spend", manifest.role == Role::Spend, "spend"),
        (manifest.value.is_some(), "value", manifest.role == Role::Gauge, "gauge"),
        (!manifest.bands.is_empty(), "bands", manifest.role == Role::Gauge, "gauge"),
        (manifest.states.is_some(), "states", manifest.role == Role::Gauge, "gauge"),
    ] {
        if there && !fits {
            faults.add(key, format!("goes with role = \"{with}\" only"));
        }
    }
    if manifest.hot.is_some() && manifest.incremental.is_none() {
        faults.add("hot", "goes with incremental only; without it every look is a full one");
    }
}

fn own_budget(budget: &BudgetManifest, manifest: &CollectionManifest, faults: &mut Faults) -> Option<OwnBudget> {
    let scale = match budget.unit {
        Unit::Dollars => Some(0),
        Unit::Cents => Some(2),
        Unit::Tokens => None,
    };
    if scale.is_none() {
        faults.add("budget.unit", "must be dollars or cents");
    }
    let field = told_field("budget.amount", &budget.amount, manifest, faults);
    faults.take("budget.dim", super::faults::check_name(&budget.dim));
    Some(OwnBudget { dimension: budget.dim.clone(), field: field?, scale: scale? })
}

/// The name of a field that records carry because it is watched or a fact.
fn told_field(key: &str, field: &str, manifest: &CollectionManifest, faults: &mut Faults) -> Option<String> {
    if !manifest.watch.iter().flatten().chain(&manifest.facts).any(|told| told == field) {
        faults.add(key, format!("{field:?} is neither in watch nor in facts"));
    }
    Some(faults.one(key, field)?.label())
}

fn check_window(window: Option<&Window>, request: Option<&Request>, faults: &mut Faults) {
    let Some(window) = window else { return };
    for (key, days) in
        [("days", window.days), ("history", window.history), ("long", window.long), ("step", window.step)]
    {
        if !(1..=MOST_DAYS).contains(&days) {
            faults.add(format!("window.{key}"), format!("must be between 1 and {MOST_DAYS} days"));
        }
    }
    let used = request.map(Request::names).unwrap_or_default();
    if request.is_some() && !WINDOW_VARS.iter().any(|name| used.contains(*name)) {
        faults.add("window", "the call names none of $from, $to, $day and $days, so it would always ask for the same");
    }
}

fn check_interval(key: &str, span: Option<Span>, faults: &mut Faults) {
    if span.is_some_and(|span| span.std() < SHORTEST) {
        faults.add(key, "must be a second at least");
    }
}
