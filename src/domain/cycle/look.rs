//! One look at one collection: its beginning, its pages, its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plausible::{clock_is_behind, plausible_days};
use super::spending::After;
use super::withdrawn::{self, Withdrawn};
use super::{Needs, Step, SweepEnd, World, spending, wanted};
use crate::domain::collection::{CollectionId, CollectionSpec, CollectionState, Deletes, LookNotes, Role};
use crate::domain::diff::{self, Change, Match, Reading};
use crate::domain::doc::{Doc, DocKey, Quote};
use crate::domain::health;
use crate::domain::record::{CostRow, Evidence, Page, Person, Record, Rows, StoredRow};
use crate::domain::rules::gauge::GaugeState;
use crate::domain::rules::thread_cost::ThreadCostState;
use crate::domain::rules::{Rule, RuleSpec, change, gauge, group_name, thread_cost};
use crate::domain::spend::{DaySpend, OwnLimits, SpendRow, last_plausible};
use crate::domain::sweep;
use crate::domain::time::{Timestamp, plus_days, utc_day};

/// Quarantined rows shown in the log.
const SAMPLES: usize = 5;
/// Longest sentence kept for digests to quote, characters.
const QUOTE: usize = 300;

pub(super) fn begin_needs(world: &World, spec: &CollectionSpec, needs: &mut Needs) {
    needs.docs.insert(DocKey::Collection(spec.id()));
    needs.docs.extend(wanted::keys(world, spec));
    if spec.role == Role::Cost {
        needs.docs.extend(cost_rules(world, &spec.source).map(|rule| cost_key(rule, spec)));
        needs.docs.insert(DocKey::Wanted(spec.source.clone()));
    }
    if spec.role == Role::Gauge {
        needs.docs.insert(DocKey::Gauge(spec.id()));
    }
    if spec.role == Role::Spend || spec.budget.is_some() {
        needs.docs.insert(DocKey::Spend(spec.source.clone()));
    }
}

pub(super) fn page_needs(world: &World, now: Timestamp, spec: &CollectionSpec, page: &Page, needs: &mut Needs) {
    needs.docs.insert(DocKey::Collection(spec.id()));
    match &page.rows {
        Rows::Records(_) => {
            needs.docs.insert(DocKey::People(spec.source.clone()));
            needs.docs.extend(wanted::keys(world, spec));
            if spec.quoted.is_some() {
                needs.docs.insert(DocKey::Quotes(spec.source.clone()));
            }
            if spec.budget.is_some() {
                needs.docs.insert(DocKey::Spend(spec.source.clone()));
            }
        }
        Rows::Spend(rows) => {
            if !page.people.is_empty() {
                needs.docs.insert(DocKey::People(spec.source.clone()));
            }
            let (plausible, _) = plausible_days(rows, now);
            let days = plausible.iter().map(|r| r.day);
            if let (Some(from), Some(to)) = (days.clone().min(), days.max()) {
                needs.ledger.push((spec.source.clone(), from, to));
            }
        }
        Rows::Gauges(_) => {
            needs.docs.insert(DocKey::Gauge(spec.id()));
        }
        Rows::Costs(_) => {
            needs.docs.insert(DocKey::People(spec.source.clone()));
            needs.docs.insert(DocKey::Wanted(spec.source.clone()));
            for rule in cost_rules(world, &spec.source) {
                needs.docs.insert(DocKey::ThreadCost(rule.name.clone(), spec.source.clone()));
            }
        }
    }
}

pub(super) fn end_needs(world: &World, now: Timestamp, end: &SweepEnd, needs: &mut Needs) {
    let spec = &end.spec;
    needs.docs.insert(DocKey::Collection(spec.id()));
    needs.docs.insert(DocKey::SourceHealth(spec.source.clone()));
    let removals_possible =
        spec.role == Role::Record && end.evidence == Evidence::Complete && end.notes.quarantined == 0;
    match spec.role {
        Role::Record if removals_possible => {
            needs.missing = Some(spec.id());
            needs.missed_once = spec.deletes == Deletes::ConfirmGet;
            needs.docs.insert(DocKey::People(spec.source.clone()));
        }
        Role::Record => needs.still_missed = Some(spec.id()),
        Role::Spend => {
            spending::rule_needs(world, now, &spec.source, needs);
            let whole_from = end.notes.whole_from.filter(|_| end.evidence == Evidence::Complete);
            needs.ledger.extend(whole_from.map(|from| (spec.source.clone(), from, utc_day(now))));
        }
        Role::Cost => {
            needs.docs.insert(DocKey::People(spec.source.clone()));
            for rule in cost_rules(world, &spec.source) {
                needs.docs.insert(DocKey::ThreadCost(rule.name.clone(), spec.source.clone()));
            }
        }
        Role::Gauge => drop(needs.docs.insert(DocKey::Gauge(spec.id()))),
    }
    if spending::asks_for_limits(world, spec) {
        spending::rule_needs(world, now, &spec.source, needs);
    } else if spec.budget.is_some() {
        needs.docs.insert(DocKey::Spend(spec.source.clone()));
    }
}

/// A look begins: another epoch means everything known is forgotten, silently.
pub(super) fn begin(step: &mut Step<'_>, spec: &CollectionSpec) {
    let key = DocKey::Collection(spec.id());
    let old = step.known.docs.collection(&key).cloned().unwrap_or_default();
    if old.is_of(spec) {
        if old.owner.is_none() && spec.owner.is_some() {
            step.put(key, Doc::Collection(CollectionState { owner: spec.owner.clone(), ..old }));
        }
        return;
    }
    step.plan.collection = Some(spec.id());
    if !old.fingerprint.is_empty() {
        step.plan.clear_rows = true;
        if spec.role == Role::Spend {
            spending::forget(step, &spec.source, true);
        }
        forget_levels(step, &spec.id());
        wanted::forget(step, spec);
        forget_costs(step, spec);
        if spec.budget.is_some() {
            spending::learn_limits(step, &spec.source, |limits| *limits = OwnLimits::default());
        }
    }
    let epoch = old.epoch + 1;
    let fresh = old.anew(epoch, spec.fingerprint.clone());
    step.put(key, Doc::Collection(CollectionState { owner: spec.owner.clone(), ..fresh }));
}

/// The system wants to be left alone. The look waits as well; this is for a process that comes after it.
pub(super) fn asked_to_wait(step: &mut Step<'_>, spec: &CollectionSpec, until: Timestamp) {
    let key = DocKey::Collection(spec.id());
    let mut state = step.known.docs.collection(&key).cloned().unwrap_or_default().at_host(spec.host.as_ref());
    state.not_before = state.not_before.max(Some(until));
    step.put(key, Doc::Collection(state));
}

/// What single things cost elsewhere is nothing to what they cost here: the first sight is still to come.
fn forget_costs(step: &mut Step<'_>, spec: &CollectionSpec) {
    if spec.role != Role::Cost {
        return;
    }
    let world = step.world;
    for key in cost_rules(world, &spec.source).map(|rule| cost_key(rule, spec)) {
        if step.known.docs.thread_cost(&key).is_some() {
            step.put(key, Doc::ThreadCost(ThreadCostState::default()));
        }
    }
    wanted::begin_costs_anew(step, spec);
}

/// The levels of a gauge are part of what an epoch knows.
pub(super) fn forget_levels(step: &mut Step<'_>, id: &CollectionId) {
    let key = DocKey::Gauge(id.clone());
    if step.known.docs.gauge(&key).is_some() {
        step.put(key, Doc::Gauge(GaugeState::default()));
    }
}

/// One page: upserts and their events; nothing is ever removed here.
pub(super) fn page(step: &mut Step<'_>, spec: &CollectionSpec, page: &Page) {
    let state = step.known.docs.collection(&DocKey::Collection(spec.id())).cloned().unwrap_or_default();
    let Page { rows, quarantined, uncounted, people, asked, failed, strange, understood } = page;
    let mut notes = LookNotes {
        rows: rows.len() as u64,
        asked: asked.len() as u64,
        quarantined: quarantined.len() as u64,
        uncounted: uncounted.clone(),
        carried: understood.clone(),
        strange: strange.clone(),
        ..LookNotes::default()
    };
    notes.quarantine_samples = quarantined.iter().take(SAMPLES).cloned().collect();
    step.plan.collection = Some(spec.id());
    learn_people(step, &spec.source, people);
    if let (Some(budget), Rows::Records(records)) = (&spec.budget, rows) {
        spending::learn_limits(step, &spec.source, |limits| records.iter().for_each(|r| limits.learn(budget, r)));
    }
    if let (Some(field), Rows::Records(records)) = (&spec.quoted, rows) {
        quote(step, spec, field, records);
    }
    match rows {
        Rows::Records(records) if spec.one_by_one => {
            let records = wanted::settle_records(step, spec, records, asked, failed);
            records_page(step, spec, &state, &records, &mut notes);
        }
        Rows::Records(records) => records_page(step, spec, &state, records, &mut notes),
        Rows::Spend(rows) => spend_page(step, spec, state.baseline.is_some(), rows, &mut notes),
        Rows::Gauges(rows) => {
            let key = DocKey::Gauge(spec.id());
            let known = step.known.docs.gauge(&key).cloned().unwrap_or_default();
            let (next, drafts) = gauge::observe(spec, &known, rows, state.baseline.is_none(), state.epoch, step.now);
            step.put(key, Doc::Gauge(next));
            step.tell_all(drafts);
            let shown = rows.iter().map(|row| &row.key).chain(understood).chain(strange.keys());
            notes.levels = shown.cloned().collect();
        }
        Rows::Costs(rows) => costs_page(step, spec, rows, asked),
    }
    if !notes.vanished.is_empty() {
        // Committed with the rows: a look that fails later, or a crash, must not take the news along.
        let mut state = state;
        for (field, rows) in &notes.vanished {
            *state.vanishing.entry(field.clone()).or_default() += rows;
        }
        step.put(DocKey::Collection(spec.id()), Doc::Collection(state));
    }
    notes.events = step.plan.notes.events;
    step.plan.notes = notes;
}

/// The look is over.
pub(super) fn end(step: &mut Step<'_>, end: &SweepEnd) {
    let SweepEnd { spec, epoch, evidence, notes, cursor, quota, .. } = end;
    let is_money = spec.role == Role::Spend;
    let known_money = || spending::spend_state(step, &spec.source);
    let behind = is_money.then(|| clock_is_behind(notes, &known_money(), step.now)).flatten();
    let evidence = &behind.clone().map_or_else(|| evidence.clone(), Evidence::Partial);
    step.plan.refused.clone_from(&behind);
    let key = DocKey::Collection(spec.id());
    let health_key = DocKey::SourceHealth(spec.source.clone());
    let mut state = step.known.docs.collection(&key).cloned().unwrap_or_default().at_host(spec.host.as_ref());
    let mut health = step.known.docs.source_health(&health_key).cloned().unwrap_or_default();
    state.quota = quota.or(state.quota);
    // Where everything was forgotten while the look ran, what it showed before that is not known any more.
    let same_epoch = *epoch == state.epoch;
    let complete = same_epoch && *evidence == Evidence::Complete;
    step.plan.collection = Some(spec.id());
    step.plan.merge = true;
    let known_before = state.baseline.is_some();
    let doubt = withdraw(step, spec, &mut state, notes, complete && known_before);
    let mut vanished = BTreeMap::new();
    if let Evidence::Partial(failure) = evidence {
        let drafts = health::look_failed(spec, &mut state, &mut health, failure, step.now);
        step.tell_all(drafts);
    } else if end.idle {
        health::nothing_asked(&mut state, step.now);
    } else {
        let drafts = health::look_succeeded(spec, &mut state, &mut health, step.now);
        step.tell_all(drafts);
        state.quarantined = notes.quarantined;
        state.doubted |= notes.replaced && state.baseline.is_some();
        if let Some(cursor) = cursor.as_ref().filter(|_| same_epoch) {
            state.cursor.clone_from(cursor);
        }
        vanished = std::mem::take(&mut state.vanishing);
        let mut strange = notes.strange.clone();
        strange.extend(doubt.map(|sentence| (withdrawn::MISSING.to_owned(), sentence)));
        let lost = health::fields_lost(spec, &mut state, &vanished, &strange, step.now);
        step.tell_all(lost);
    }
    if spec.is_asked_one_by_one() && *evidence == Evidence::Window {
        // There is no list of them to be complete.
        state.baseline.get_or_insert(step.now);
        state.rows += notes.created;
    }
    if complete {
        finish_complete(step, end, &mut state, &vanished);
    }
    if let Some(still) = &step.known.still_missed {
        sweep::found_again(spec, &mut state, still);
        step.plan.missed = Some(still.keys.clone());
        step.plan.announced = Some(still.announced.clone());
    }
    if is_money {
        spending::observe(step, spec, evidence, complete, notes);
    }
    let partial = matches!(evidence, Evidence::Partial(_));
    // A first look that failed is no longer waited for by rules that count other sources too.
    let gave_up = is_money && partial && !known_before;
    if is_money && (known_before || complete || gave_up) && behind.is_none() {
        spending::evaluate(step, std::slice::from_ref(&spec.source), After::Money { partial });
    }
    if spec.budget.is_some() && state.baseline.is_some() {
        spending::learn_limits(step, &spec.source, |limits| (limits.whole, limits.unread) = (true, partial));
    }
    if spending::asks_for_limits(step.world, spec) {
        spending::evaluate(step, std::slice::from_ref(&spec.source), After::Limits);
    }
    if spec.role == Role::Cost {
        end_first_sight_of_costs(step, spec, partial);
    }
    step.put(key, Doc::Collection(state));
    step.put(health_key, Doc::SourceHealth(health));
}

/// Books what a look says of money that it did not show; why more is missing than is believed to be gone, where it is.
fn withdraw(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    state: &mut CollectionState,
    notes: &LookNotes,
    proves: bool,
) -> Option<String> {
    if spec.role != Role::Spend || !proves || notes.quarantined > 0 {
        // What has been shown since is not missing.
        state.money_missed.retain(|mark| !notes.spenders.contains(mark));
        return None;
    }
    let Withdrawn { days, missed, doubt } =
        withdrawn::withdrawn(&step.known.ledger, spec, notes, &state.money_missed, step.now);
    state.money_missed = missed;
    step.plan.spend.extend(days.into_iter().map(|(day, spend)| ((spec.source.clone(), day), spend)));
    if doubt.is_none() {
        state.degraded.remove(withdrawn::MISSING);
    }
    doubt
}

fn finish_complete(step: &mut Step<'_>, end: &SweepEnd, state: &mut CollectionState, vanished: &BTreeMap<String, u64>) {
    let SweepEnd { spec, notes, confirmed, .. } = end;
    state.known_fields.extend(notes.carried.iter().cloned());
    let still = |field: &String| vanished.contains_key(field) || notes.strange.contains_key(field);
    state.degraded.retain(|field, _| still(field) || !notes.carried.contains(field));
    state.last_complete = Some(step.now);
    if state.baseline.is_none() {
        state.baseline = Some(step.now);
    }
    if spec.role == Role::Gauge && notes.quarantined == 0 {
        levels_gone(step, spec, state.epoch, notes);
    }
    let Some(missing) = &step.known.missing else { return };
    state.rows = missing.known;
    let removals = sweep::decide(spec, state, missing, notes.rows, confirmed, step.now);
    step.plan.missed = Some(removals.missed);
    step.plan.announced = Some(removals.announced);
    remove(step, spec, state, &removals.rows);
    step.tell_all(removals.held);
}

/// Levels that a complete look did not show.
fn levels_gone(step: &mut Step<'_>, spec: &CollectionSpec, epoch: u32, notes: &LookNotes) {
    let key = DocKey::Gauge(spec.id());
    let known = step.known.docs.gauge(&key).cloned().unwrap_or_default();
    if let Some((next, drafts)) = gauge::swept(spec, &known, &notes.levels, epoch, step.now) {
        step.put(key, Doc::Gauge(next));
        step.tell_all(drafts);
    }
}

/// Replaces rows by tombstones and says so.
pub(super) fn remove(step: &mut Step<'_>, spec: &CollectionSpec, state: &mut CollectionState, rows: &[StoredRow]) {
    let people = step.known.docs.people(&DocKey::People(spec.source.clone())).cloned().unwrap_or_default();
    let scene = change::Scene { now: step.now, spec, epoch: state.epoch, people: &people };
    let limited = spec.budget.as_ref().filter(|_| step.plan.expect.contains_key(&DocKey::Spend(spec.source.clone())));
    if let Some(budget) = limited {
        spending::learn_limits(step, &spec.source, |limits| rows.iter().for_each(|r| limits.forget(budget, &r.key)));
    }
    for row in rows {
        let gone = diff::tombstone(row);
        let draft = change::removed(scene, row, &gone);
        step.plan.rows.push(gone);
        step.tell_all(draft);
        state.rows = state.rows.saturating_sub(1);
    }
}

fn records_page(
    step: &mut Step<'_>,
    spec: &CollectionSpec,
    state: &CollectionState,
    records: &[Record],
    notes: &mut LookNotes,
) {
    let quiet = state.baseline.is_none();
    let nobody = BTreeMap::new();
    let people = step.known.docs.people(&DocKey::People(spec.source.clone())).unwrap_or(&nobody);
    let scene = change::Scene { now: step.now, spec, epoch: state.epoch, people };
    let reading = Reading { known_fields: &state.known_fields, degraded: &state.degraded };
    let (mut rows, mut drafts) = (Vec::new(), Vec::new());
    let (mut shown, mut touched) = (BTreeMap::new(), Vec::new());
    let nothing_known = Match::New;
    for (index, record) in records.iter().enumerate() {
        // Of two rows with one key neither is the change of the other, whatever the order they come in.
        if shown.contains_key(&record.key) {
            notes.rows -= 1;
            quarantine(notes, format!("{} stands more than once on a page; the first counts", record.key));
            continue;
        }
        shown.insert(&record.key, record);
        for field in record.fields.keys() {
            if !notes.carried.contains(field) {
                notes.carried.insert(field.clone());
            }
        }
        let known = step.known.matches.get(index).unwrap_or(&nothing_known);
        let out = diff::diff(known, record, reading);
        for field in out.vanished {
            *notes.vanished.entry(field).or_default() += 1;
        }
        let Some(row) = out.row else { continue };
        let created = out.change == Change::Created;
        if created {
            notes.created += 1;
        } else {
            notes.changed += 1;
        }
        if !quiet {
            drafts.extend(change::upserted(scene, &row, record, &out.change));
        }
        touched.push((record, created && !quiet));
        rows.push(row);
    }
    let shown: Vec<&Record> = shown.into_values().collect();
    wanted::note(step, spec, &shown, &touched, quiet);
    // A pack of rows is sorted by key.
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    step.plan.rows.extend(rows);
    step.tell_all(drafts);
}

/// Counts a row that is left out, and keeps what is wrong with it for the log.
fn quarantine(notes: &mut LookNotes, why: String) {
    notes.quarantined += 1;
    if notes.quarantine_samples.len() < SAMPLES {
        notes.quarantine_samples.push(why);
    }
}

/// Notes what a record says, for digests.
fn quote(step: &mut Step<'_>, spec: &CollectionSpec, field: &str, records: &[Record]) {
    let said = |r: &Record| r.fields.get(field).or_else(|| r.facts.get(field))?.as_str().map(str::to_owned);
    let Some(text) = records.iter().find_map(said).filter(|text| !text.trim().is_empty()) else { return };
    let key = DocKey::Quotes(spec.source.clone());
    let mut quotes = step.known.docs.quotes(&key).cloned().unwrap_or_default();
    let text = text.chars().take(QUOTE).collect();
    quotes.insert(spec.name.clone(), Quote { text, seen: utc_day(step.now) });
    step.put(key, Doc::Quotes(quotes));
}

/// `known`: there is something that this look could miss.
fn spend_page(step: &mut Step<'_>, spec: &CollectionSpec, known: bool, rows: &[SpendRow], notes: &mut LookNotes) {
    let (plausible, odd) = plausible_days(rows, step.now);
    if known {
        notes.spenders = rows.iter().map(|r| withdrawn::mark(r.day, r.user.as_deref().unwrap_or_default())).collect();
        notes.spenders.dedup();
    }
    notes.quarantined += odd.len() as u64;
    notes.uncounted.days.extend(odd.iter().map(|(day, _)| *day));
    notes.quarantine_samples.extend(odd.into_iter().map(|(_, why)| why).take(SAMPLES));
    let mut by_day: BTreeMap<jiff::civil::Date, Vec<&SpendRow>> = BTreeMap::new();
    let days = || plausible.iter().map(|r| r.day);
    // The next day may have begun at the source. What is later yet says nothing of how far the money is.
    let next = plus_days(utc_day(step.now), 1);
    notes.days = days().min().zip(days().filter(|day| *day <= next).max());
    let last = last_plausible(step.now);
    notes.ahead = rows.iter().map(|r| r.day).filter(|day| *day > last).collect();
    for row in plausible {
        by_day.entry(row.day).or_default().push(row);
    }
    for (day, rows) in by_day {
        let key = (spec.source.clone(), day);
        let known = step.known.ledger.days.get(&key);
        let Some(spend) = DaySpend::upserted(known.map(Arc::as_ref), &rows, step.now) else { continue };
        notes.changed += 1;
        step.plan.spend.insert(key, Arc::new(spend));
    }
}

fn costs_page(step: &mut Step<'_>, spec: &CollectionSpec, rows: &[CostRow], asked: &[String]) {
    let rows = wanted::settle_costs(step, spec, rows, asked);
    evaluate_costs(step, spec, &rows);
}

/// A rule has had its first sight once a look is over, even one without any cost; so have the threads that only a later look
/// has seen. One that was cut short counts where it saw something: what it saw is not held back for longer.
fn end_first_sight_of_costs(step: &mut Step<'_>, spec: &CollectionSpec, cut_short: bool) {
    let people = step.known.docs.people(&DocKey::People(spec.source.clone())).cloned().unwrap_or_default();
    let world = step.world;
    for rule in cost_rules(world, &spec.source) {
        let key = cost_key(rule, spec);
        let known = step.known.docs.thread_cost(&key).cloned().unwrap_or_default();
        if known.first.is_empty() && (known.since.is_some() || (cut_short && known.passed.is_empty())) {
            continue;
        }
        let scene = thread_cost::Scene { now: step.now, rule: &rule.name, source: &spec.source, people: &people };
        let (next, draft) = thread_cost::end_first_sight(known, &scene);
        step.put(key, Doc::ThreadCost(next));
        step.tell_all(draft);
    }
}

fn evaluate_costs(step: &mut Step<'_>, spec: &CollectionSpec, rows: &[thread_cost::Shown]) {
    let people = step.known.docs.people(&DocKey::People(spec.source.clone())).cloned().unwrap_or_default();
    let world = step.world;
    for rule in cost_rules(world, &spec.source) {
        let Rule::ThreadCost(limits) = &rule.rule else { continue };
        let key = cost_key(rule, spec);
        let scene = thread_cost::Scene { now: step.now, rule: &rule.name, source: &spec.source, people: &people };
        let (next, drafts) = thread_cost::evaluate(limits, step.known.docs.thread_cost(&key), rows, &scene);
        step.put(key, Doc::ThreadCost(next));
        step.tell_all(drafts);
    }
}

fn cost_key(rule: &RuleSpec, spec: &CollectionSpec) -> DocKey {
    DocKey::ThreadCost(rule.name.clone(), group_name(std::slice::from_ref(&spec.source)))
}

/// Thread-cost rules that look at a source.
pub(super) fn cost_rules<'a>(world: &'a World, source: &'a str) -> impl Iterator<Item = &'a RuleSpec> {
    world.rules.iter().filter(move |r| matches!(r.rule, Rule::ThreadCost(_)) && r.group_of(source).is_some())
}

fn learn_people(step: &mut Step<'_>, source: &str, people: &BTreeMap<String, Person>) {
    if people.is_empty() {
        return;
    }
    let key = DocKey::People(source.to_owned());
    let mut known = step.known.docs.people(&key).cloned().unwrap_or_default();
    for (id, person) in people {
        let entry = known.entry(id.clone()).or_default();
        entry.email = person.email.clone().or_else(|| entry.email.take());
        entry.name = person.name.clone().or_else(|| entry.name.take());
    }
    step.put(key, Doc::People(known));
}

/// Notes of a look so far, and of one more page.
pub fn add_notes(total: &mut LookNotes, page: LookNotes) {
    total.rows += page.rows;
    total.spenders.extend(page.spenders);
    total.asked += page.asked;
    total.ahead.extend(page.ahead);
    while total.ahead.len() > SAMPLES {
        total.ahead.pop_last();
    }
    let both = || total.days.iter().chain(&page.days);
    total.days = both().map(|(first, _)| *first).min().zip(both().map(|(_, last)| *last).max());
    total.uncounted.extend(page.uncounted);
    total.asked_from = [total.asked_from, page.asked_from].into_iter().flatten().min();
    total.created += page.created;
    total.changed += page.changed;
    total.quarantined += page.quarantined;
    total.events += page.events;
    total.carried.extend(page.carried);
    total.levels.extend(page.levels);
    total.strange.extend(page.strange);
    for (field, rows) in page.vanished {
        *total.vanished.entry(field).or_default() += rows;
    }
    let room = SAMPLES.saturating_sub(total.quarantine_samples.len());
    total.quarantine_samples.extend(page.quarantine_samples.into_iter().take(room));
}
