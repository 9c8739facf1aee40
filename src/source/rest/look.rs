//! One look at one collection: its calls, its pages, and what they prove.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::SignedDuration;
use jiff::civil::Date;
use reqwest::Url;
use serde_json::{Value, json};

use super::Rest;
use super::client::{Answer, Call, Refusal};
use super::days::Days;
use super::money::{Remembered, Sums};
use super::paging::{Ask, Came, Pager};
use super::place::{Places, RowView, key_of};
use super::plan::{Plan, Request, Shape};
use super::pointer::{Found, Hit};
use super::reading::{self, Level};
use super::template::{Template, Vars, render_in};
use crate::domain::collection::Role;
use crate::domain::record::{Evidence, Failure, FailureKind, Page, Rows};
use crate::domain::time::{Timestamp, minus_days, plus, plus_days};
use crate::source::seen::{Seen, Sight};
use crate::source::{LookEnd, LookRequest, Pages, Reach};

/// How far ahead of the server's clock an instant may be without being nonsense.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// A look in the making.
pub(super) struct Look<'a> {
    pub rest: &'a Rest,
    pub plan: &'a Plan,
    pub request: &'a LookRequest,
    pub pages: &'a Pages,
    pub vars: Vars,
    /// The keys (of money rows without one: whole pages) shown so far.
    pub seen: Seen,
    pub calls: u32,
    pub canary: Option<String>,
    pub newest: Option<Timestamp>,
    pub sums: Sums,
    /// The first day of money that is asked for.
    pub asked_from: Option<Date>,
    /// The first day of which all money was shown.
    pub whole_from: Option<Date>,
}

/// The rows of a page, before they are read as what they are.
struct Shown<'v> {
    hits: Vec<Hit<'v>>,
    gaps: Vec<String>,
}

impl Look<'_> {
    pub async fn run(mut self) -> LookEnd {
        let outcome = match (self.plan.role, &self.plan.window) {
            (Role::Spend, Some(window)) => {
                let days = Days::new(window, self.request, self.rest.client.now());
                self.windows(days).await
            }
            _ => self.list().await,
        };
        let end = match outcome {
            Ok((evidence, cursor)) => LookEnd::new(evidence, cursor, self.calls),
            Err(failure) => LookEnd::new(Evidence::Partial(failure), None, self.calls),
        };
        LookEnd { canary: self.canary, asked_from: self.asked_from, whole_from: self.whole_from, ..end }
    }

    /// Reads a list, or as much of it as this look is to reach.
    async fn list(&mut self) -> Result<(Evidence, Option<Value>), Failure> {
        self.newest = self.stored_newest();
        // Nothing can be called new or recent before there is something to compare with.
        let known = self.newest.is_some() && self.request.state.baseline.is_some();
        let reach = if known { self.request.reach } else { Reach::Full };
        let more = match (reach, &self.plan.head, &self.plan.recent) {
            (Reach::Head, Some(head), _) => {
                let from = plus(self.newest.unwrap_or_default(), -head.overlap.0);
                let mut query = rendered(&head.query, &self.vars);
                query.push((head.send.clone(), super::days::instant(head.format, from)));
                query
            }
            (Reach::Hot, _, Some(recent)) => rendered(&recent.query, &self.vars),
            _ => rendered(&self.plan.sweep_query, &self.vars),
        };
        let full = reach == Reach::Full || (self.plan.head.is_none() && self.plan.recent.is_none());
        let ended = self.pages(&more, reach).await?;
        let cursor = self.newest.map(|at| json!({ "newest": at.to_string() }));
        if self.plan.role == Role::Spend {
            let from = minus_days(crate::domain::time::utc_day(self.rest.client.now()), super::days::REMEMBERED);
            let kept = self.show_money(from).await?;
            return Ok((Evidence::Complete, kept.map(|kept| json!({ "sums": kept }))));
        }
        Ok((if full && ended { Evidence::Complete } else { Evidence::Window }, cursor))
    }

    /// Reads days, newest first, and shows what they add up to.
    async fn windows(&mut self, mut days: Days) -> Result<(Evidence, Option<Value>), Failure> {
        let from = days.first();
        self.asked_from = Some(from);
        self.sums.asked = Some((from, self.plan.request.names_an_end().then(|| days.last())));
        while let Some(step) = days.next() {
            step.set(&mut self.vars);
            self.pages(&[], Reach::Full).await?;
        }
        let kept = self.show_money(from).await?;
        let mut cursor = days.cursor().unwrap_or_else(|| self.request.state.cursor.clone());
        if let Some(kept) = kept {
            if !cursor.is_object() {
                cursor = json!({});
            }
            cursor["sums"] = json!(kept);
        }
        Ok((Evidence::Complete, (!cursor.is_null()).then_some(cursor)))
    }

    /// Reads page after page. True at the explicit end, false where the look need not go there.
    async fn pages(&mut self, more: &[(String, Value)], reach: Reach) -> Result<bool, Failure> {
        let mut pager = Pager::new(&self.plan.page, self.rest.page_max, reach == Reach::Full);
        let first = super::address::below_with(&self.rest.base, &self.plan.request.path, &self.vars);
        while let Some(ask) = pager.ask() {
            let call = self.call(&ask, &first, more);
            let url = call.url.clone();
            let answer = self.rest.client.call(&call).await;
            self.calls += 1;
            let answer = self.understood(answer)?;
            let document = &answer.document;
            let (page, came) = self.read(&answer, pager.pages() + 1)?;
            let last = self.note_newest(&page);
            if let Some(page) = page.page {
                self.show(page).await?;
            }
            let came = Came {
                document,
                headers: &answer.headers,
                url: &url,
                rows: came.rows,
                fresh: came.fresh,
                last: came.last.as_deref(),
            };
            pager.took(came).map_err(|fault| Failure::broken(format!("{}: {fault}", call.what)))?;
            let recent = self.plan.recent.as_ref().filter(|_| reach == Reach::Hot);
            if let (Some(recent), Some(last), Some(newest)) = (recent, last, self.newest)
                && last < plus(newest, -recent.span.0)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn call(&self, ask: &Ask, first: &Url, more: &[(String, Value)]) -> Call {
        let Request { method, query, body, .. } = &self.plan.request;
        let mut url = first.clone();
        let mut body = body.as_ref().map(|body| render_in(body, &self.vars));
        match ask {
            Ask::At(next) => url = next.clone(),
            Ask::With(parameters) => {
                let base = query.iter().map(|(name, value)| (name.clone(), Value::String(value.render(&self.vars))));
                let mut pairs: Vec<(String, Value)> = base.chain(more.iter().cloned()).collect();
                if self.plan.page.in_body {
                    let members = body.get_or_insert_with(|| json!({}));
                    for (name, value) in parameters {
                        members[name] = value.clone();
                    }
                } else {
                    pairs.extend(parameters.iter().cloned());
                }
                add_query(&mut url, &pairs);
            }
        }
        Call {
            what: self.plan.request.what(),
            method: method.clone(),
            url,
            body,
            headers: headers(&self.plan.request),
            needs: self.plan.needs.clone(),
            accepts: self.rest.accepts(&self.plan.name),
        }
    }

    /// The answer, or why the look ends here.
    fn understood(&self, answer: Result<Answer, Refusal>) -> Result<Answer, Failure> {
        let what = self.plan.request.what();
        let answer = match answer {
            Ok(answer) => answer,
            Err(Refusal::NotFound(failure)) if self.plan.optional => {
                return Err(Failure {
                    kind: FailureKind::Unsupported { what: self.plan.name.clone() },
                    message: format!("{}; this account does not have it, or no longer", failure.message),
                });
            }
            Err(refusal) => return Err(refusal.into_failure()),
        };
        let Some(ok) = &self.plan.ok else { return Ok(answer) };
        if ok.get(&answer.document) == Some(&Value::Bool(true)) {
            return Ok(answer);
        }
        Err(super::address::rpc_failure(self.plan, &what, &answer.document))
    }

    /// A page as it is shown, and what the pager needs of it.
    fn read(&mut self, answer: &Answer, number: u32) -> Result<(Read, Counts), Failure> {
        if let Some(page) = self.rest.hook_page(&self.plan.name, answer) {
            let rows = page.rows.len() as u64;
            return Ok((Read { page: Some(page), ..Read::default() }, Counts { rows, fresh: rows.max(1), last: None }));
        }
        let shown = self.rows(answer)?;
        self.check_keys(&answer.document, &shown)?;
        let mut counts = Counts { rows: shown.hits.len() as u64, ..Counts::default() };
        self.seen.turn();
        let read = match self.plan.role {
            Role::Spend => {
                self.read_money(&answer.document, shown, number, &mut counts);
                Read::default()
            }
            Role::Gauge => self.read_levels(&answer.document, shown, number, &mut counts),
            Role::Record | Role::Cost => self.read_records(&answer.document, shown, number, &mut counts),
        };
        Ok((read, counts))
    }

    fn rows<'v>(&self, answer: &'v Answer) -> Result<Shown<'v>, Failure> {
        let rows = &self.plan.rows;
        let found = match &rows.records {
            None => Some(Found { hits: vec![Hit { value: &answer.document, trail: Vec::new() }], gaps: Vec::new() }),
            Some(pointer) => pointer.find(&answer.document),
        };
        let Some(Found { hits, gaps }) = found else { return Err(self.shapeless()) };
        match rows.shape {
            Shape::Rows => Ok(Shown { hits, gaps }),
            Shape::Single if hits.iter().all(|hit| hit.value.is_object()) => Ok(Shown { hits, gaps }),
            Shape::Single => Err(self.shapeless()),
            Shape::Levels { keyed } => self.levels(hits, gaps, keyed),
        }
    }

    /// Each object is a level, and so is each item of a list where something tells them apart.
    fn levels<'v>(&self, found: Vec<Hit<'v>>, gaps: Vec<String>, keyed: bool) -> Result<Shown<'v>, Failure> {
        let mut shown = Shown { hits: Vec::with_capacity(found.len()), gaps };
        for hit in found {
            match hit.value {
                Value::Object(_) => shown.hits.push(hit),
                Value::Array(_) if keyed => shown.hits.extend(hit.items()),
                Value::Array(_) => return Err(self.strange("rows that have a usable key", "key")),
                _ if hit.trail.is_empty() => return Err(self.shapeless()),
                _ => shown.gaps.push(format!("{} has no level", hit.trail.join("/"))),
            }
        }
        if !keyed && shown.hits.len() > 1 {
            return Err(self.strange("rows that have a usable key", "key"));
        }
        Ok(shown)
    }

    /// Rows of which not a single one has a key are rows of something else.
    fn check_keys(&self, document: &Value, shown: &Shown<'_>) -> Result<(), Failure> {
        let rows = &self.plan.rows;
        let keyless = |hit: &Hit<'_>| key_of(&rows.key, self.view(document, hit)).is_none();
        if rows.key.is_empty() || shown.hits.is_empty() || !shown.hits.iter().all(keyless) {
            return Ok(());
        }
        Err(self.strange("rows that have a usable key", "key"))
    }

    /// The answer has not the shape it should have.
    fn shapeless(&self) -> Failure {
        let place = self.plan.rows.records.as_ref();
        let place = place.map_or_else(
            || "the object".to_owned(),
            |p| format!("the list at {}", p.to_string().trim_end_matches("/*")),
        );
        self.strange(&place, "records")
    }

    fn strange(&self, what_is_missing: &str, setting: &str) -> Failure {
        let what = self.plan.request.what();
        if self.plan.optional {
            return Failure {
                kind: FailureKind::Unsupported { what: self.plan.name.clone() },
                message: format!(
                    "{what} was answered without {what_is_missing}; its shape is not known, so it is left alone"
                ),
            };
        }
        Failure::broken(format!("{what} was answered without {what_is_missing}; check base_url and {setting}"))
    }

    fn view<'v>(&'v self, document: &'v Value, hit: &'v Hit<'v>) -> RowView<'v> {
        RowView { row: hit.value, document, trail: &hit.trail, lift: &self.plan.rows.lift }
    }

    fn read_records(&mut self, document: &Value, shown: Shown<'_>, number: u32, counts: &mut Counts) -> Read {
        let plan = self.plan;
        let mut read = Read::default();
        let mut records = Vec::with_capacity(shown.hits.len());
        let mut quarantined = shown.gaps.iter().map(|gap| format!("page {number}: {gap}")).collect::<Vec<_>>();
        for (index, hit) in shown.hits.iter().enumerate() {
            let view = RowView { row: hit.value, document, trail: &hit.trail, lift: &plan.rows.lift };
            counts.last = key_of(&plan.rows.key, view);
            let Some(record) = reading::record(&plan.rows, view) else {
                quarantined.push(format!("row {} of page {number} has no usable key", index + 1));
                continue;
            };
            match self.seen.take(&record.key) {
                Sight::First => counts.fresh += 1,
                Sight::Moved => continue,
                // Told as what it is by whoever takes the page.
                Sight::Twice => {}
            }
            self.canary = Some(record.key.clone());
            let places = plan.head.as_ref().map(|head| &head.from).or(plan.recent.as_ref().map(|recent| &recent.by));
            read.instants.extend(places.and_then(|places: &Places| places.instant(view)));
            records.extend(self.rest.hook_record(&plan.name, view, record));
        }
        // Rows that can't be used still move the list on.
        counts.fresh += quarantined.len() as u64;
        read.page = Some(Page { quarantined, ..Page::of(Rows::Records(records)) });
        read
    }

    fn read_levels(&mut self, document: &Value, shown: Shown<'_>, number: u32, counts: &mut Counts) -> Read {
        let mut page = Page::of(Rows::Gauges(Vec::new()));
        let mut levels = Vec::new();
        page.quarantined = shown.gaps.iter().map(|gap| format!("page {number}: {gap}")).collect();
        for (index, hit) in shown.hits.iter().enumerate() {
            let level = reading::level(self.plan, self.view(document, hit));
            let key = match &level {
                Level::Keyless => {
                    page.quarantined.push(format!("row {} of page {number} has no usable key", index + 1));
                    continue;
                }
                Level::Unclear(key) => key.clone(),
                Level::Row(row) => row.key.clone(),
            };
            counts.last = Some(key.clone());
            match (self.seen.take(&key), level) {
                (Sight::Moved, _) => continue,
                (Sight::Twice, _) => {
                    page.quarantined
                        .push(format!("row {} of page {number} has the key of one above, {key}", index + 1));
                    continue;
                }
                (Sight::First, Level::Row(row)) => {
                    page.understood.insert(key);
                    levels.push(row);
                }
                (Sight::First, _) => {
                    let sentence = format!("{key} shows nothing to judge its level by; the last level known is kept.");
                    page.strange.insert(key, sentence);
                }
            }
            counts.fresh += 1;
        }
        counts.fresh += page.quarantined.len() as u64;
        page.rows = Rows::Gauges(levels);
        Read { page: Some(page), instants: Vec::new() }
    }

    fn read_money(&mut self, document: &Value, shown: Shown<'_>, number: u32, counts: &mut Counts) {
        let plan = self.plan;
        let Some(money) = &plan.rows.money else { return };
        for gap in &shown.gaps {
            self.sums.quarantine(format!("page {number}: {gap}"), None);
        }
        if plan.rows.key.is_empty() && !shown.hits.is_empty() {
            // Without keys a page that comes again is known by its text.
            let text: String = shown.hits.iter().map(|hit| hit.value.to_string()).collect();
            let mark = format!("{}{text}", self.vars.text("day").unwrap_or_default());
            if self.seen.take(&mark) != Sight::First {
                return;
            }
        }
        for (index, hit) in shown.hits.iter().enumerate() {
            let view = RowView { row: hit.value, document, trail: &hit.trail, lift: &plan.rows.lift };
            let at = format!("row {} of page {number}", index + 1);
            if !plan.rows.key.is_empty() {
                let Some(key) = key_of(&plan.rows.key, view) else {
                    self.sums.quarantine(format!("{at} has no usable key"), money.date.day(view));
                    counts.fresh += 1;
                    continue;
                };
                let sight = self.seen.take(&key);
                if sight == Sight::Twice {
                    self.sums.leave_out(format!("{at} has the key of one above, {key}"));
                }
                counts.last = Some(key);
                if sight != Sight::First {
                    continue;
                }
            }
            counts.fresh += 1;
            self.sums.take(money, view, self.rest.prices.as_ref(), &at);
        }
    }

    /// Shows what the look adds up to; what it remembers where sums never fall.
    async fn show_money(&mut self, from: jiff::civil::Date) -> Result<Option<Remembered>, Failure> {
        let Some(money) = &self.plan.rows.money else { return Ok(None) };
        let mut sums = std::mem::take(&mut self.sums);
        let used_to = self.request.state.known_fields.contains(super::money::AMOUNT);
        if let Some(sentence) = sums.drifted(used_to) {
            self.show(sums.unreadable(sentence)).await?;
            let before = self.request.state.cursor.get("sums").cloned();
            return Ok(before.and_then(|before| serde_json::from_value(before).ok()));
        }
        let kept = money.never_falls.then(|| {
            let before = self.request.state.cursor.get("sums").cloned();
            let before = before.and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default();
            sums.never_fall(&before, from)
        });
        let reviewed = self.rest.review(&self.plan.name, &sums).await;
        let alone = self.rest.has_one_purse();
        // Of a list that goes back as far as it does, the oldest day may be there in part.
        let first = self.asked_from.or_else(|| sums.first_day().map(|day| plus_days(day, 1)));
        let whole_from = first.filter(|_| alone && !money.never_falls && sums.is_whole());
        for page in sums.pages(money, alone, reviewed) {
            self.show(page).await?;
        }
        self.whole_from = whole_from;
        Ok(kept)
    }

    async fn show(&self, page: Page) -> Result<(), Failure> {
        self.pages.send(page).await.map_err(|_| Failure::broken("the look was stopped before its end"))
    }

    fn stored_newest(&self) -> Option<Timestamp> {
        let at: Timestamp = self.request.state.cursor.get("newest")?.as_str()?.parse().ok()?;
        (at <= plus(self.rest.client.now(), AHEAD)).then_some(at)
    }

    /// Takes note of the newest instant, a server's value, so that no clock of ours decides what is new. Returns that of
    /// the last row that has one. One ahead of the server's clock counts for now; one far ahead for nothing.
    fn note_newest(&mut self, read: &Read) -> Option<Timestamp> {
        let now = self.rest.client.now();
        let mut last = None;
        for at in read.instants.iter().filter(|at| **at <= plus(now, AHEAD)) {
            last = Some(*at);
            self.newest = self.newest.max(Some((*at).min(now)));
        }
        last
    }
}

/// A page as it is shown.
#[derive(Default)]
struct Read {
    page: Option<Page>,
    /// Of its rows, where looks go by them.
    instants: Vec<Timestamp>,
}

#[derive(Default)]
struct Counts {
    rows: u64,
    fresh: u64,
    last: Option<String>,
}

pub(super) fn rendered(query: &[(String, Template)], vars: &Vars) -> Vec<(String, Value)> {
    query.iter().map(|(name, value)| (name.clone(), Value::String(value.render(vars)))).collect()
}

pub(super) fn headers(request: &Request) -> HeaderMap {
    let pair = |(name, value): (&String, &String)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
    };
    request.headers.iter().filter_map(pair).collect()
}

/// Adds parameters; what the path brought stays in front.
pub(super) fn add_query(url: &mut Url, pairs: &[(String, Value)]) {
    if pairs.is_empty() {
        return;
    }
    let text = |value: &Value| match value {
        Value::String(text) => Cow::Borrowed(text.as_str()).into_owned(),
        other => other.to_string(),
    };
    url.query_pairs_mut().extend_pairs(pairs.iter().map(|(name, value)| (name.as_str(), text(value))));
}
