use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::json;

use super::bench::{Bench, collection};
use crate::domain::collection::{CollectionSpec, LookNotes, Role};
use crate::domain::cycle::{Command, Input};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::event::Severity;
use crate::domain::money::{Micros, Percent};
use crate::domain::record::{CostRow, Evidence, Failure, Page, Rows};
use crate::domain::rules::budget::BudgetRule;
use crate::domain::rules::detector::Sensitivity;
use crate::domain::rules::spike::SpikeRule;
use crate::domain::rules::thread_cost::ThreadCostRule;
use crate::domain::rules::{Rule, RuleSpec};
use crate::domain::spend::{Basis, Per, SpendRow};
use crate::domain::time::{PeriodKind, SignedDuration, minus_days, plus, plus_days, utc_day};

const NOTHING: [&str; 0] = [];

fn usd(n: i64) -> Micros {
    Micros(n * Micros::PER_DOLLAR)
}

pub fn budget(sources: &[&str], limit: i64, period: PeriodKind) -> RuleSpec {
    let thresholds = vec![Percent(50_000), Percent(100_000)];
    RuleSpec {
        name: "limit".into(),
        sources: sources.iter().map(|s| (*s).to_owned()).collect(),
        rule: Rule::Budget(BudgetRule::new(usd(limit), period, Per::Workspace, thresholds)),
    }
}

fn bench(rules: Vec<RuleSpec>) -> (Bench, Arc<CollectionSpec>) {
    let mut bench = Bench::new();
    bench.world.rules = rules;
    (bench, collection("acme", "usage", Role::Spend))
}

pub fn row(day: Date, user: &str, dollars: i64) -> SpendRow {
    SpendRow {
        day,
        user: Some(user.into()),
        model: Some("m".into()),
        dims: BTreeMap::new(),
        amount: usd(dollars),
        tokens: 0,
        basis: Basis::Billed,
        whole_user: true,
    }
}

pub fn look(bench: &mut Bench, spec: &Arc<CollectionSpec>, rows: Vec<SpendRow>) -> Vec<String> {
    bench.look(spec, vec![Rows::Spend(rows)], Evidence::Complete)
}

pub fn today(bench: &Bench) -> Date {
    utc_day(bench.now)
}

#[test]
fn a_day_over_its_limit_speaks_once_per_threshold() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 10)]), NOTHING);
    for (dollars, told) in
        [(49, None), (50, Some("threshold_reached")), (60, None), (100, Some("exceeded")), (500, None)]
    {
        let expected: Vec<String> = told.iter().map(|t| format!("budget.{t} workspace")).collect();
        assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", dollars)]), expected, "{dollars}");
    }
    let ids: std::collections::BTreeSet<_> = bench.events.iter().map(|e| &e.event.id).collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn what_was_exceeded_at_first_sight_speaks_once_as_a_warning() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    let history = (0..90).map(|n| row(minus_days(day, n), "ana", 300)).collect();
    assert_eq!(look(&mut bench, &spec, history), ["budget.exceeded workspace"]);
    let event = &bench.last_event().event;
    assert_eq!((event.severity, &event.data["baseline"]), (Severity::Warning, &json!(true)));
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 301)]), NOTHING);
}

#[test]
fn a_failed_look_before_the_baseline_evaluates_nothing_and_after_it_what_came_in() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    let failed = || Evidence::Partial(Failure::broken("m"));
    assert_eq!(bench.look(&spec, vec![Rows::Spend(vec![row(day, "ana", 200)])], failed()), NOTHING);
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 40)]), NOTHING, "corrected since");
    assert_eq!(
        bench.look(&spec, vec![Rows::Spend(vec![row(day, "ana", 70)])], failed()),
        ["budget.threshold_reached workspace"]
    );
}

#[test]
fn rows_of_days_that_cannot_be_are_left_out() {
    let (mut bench, spec) = bench(vec![]);
    let day = today(&bench);
    bench.begin(&spec);
    let odd = [jiff::civil::date(1999, 12, 31), plus_days(day, 3), plus_days(day, 4000)];
    let fine = [jiff::civil::date(2000, 1, 1), day, plus_days(day, 2)];
    let rows: Vec<SpendRow> = odd.iter().chain(&fine).map(|d| row(*d, "ana", 1)).collect();
    let plan = bench.page(&spec, Page::of(Rows::Spend(rows)));
    assert_eq!((plan.notes.quarantined, plan.notes.quarantine_samples.len()), (3, 3));
    assert_eq!(bench.ledger.keys().map(|(_, d)| *d).collect::<Vec<_>>(), fine);
}

#[test]
fn a_clock_that_is_days_behind_judges_nothing() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    let ahead = |dollars| (3..7).map(|n| row(plus_days(day, n), "ana", dollars)).collect::<Vec<_>>();
    assert_eq!(look(&mut bench, &spec, vec![ahead(200)[0].clone()]), NOTHING, "nothing else: no baseline");
    let all = |dollars| ahead(dollars).into_iter().chain([row(day, "ana", 200)]).collect::<Vec<_>>();
    let told = bench.look(&spec, vec![Rows::Spend(all(200))], Evidence::Complete);
    assert_eq!(told, NOTHING, "$200 of a day long past");
    assert_eq!(bench.look(&spec, vec![Rows::Spend(all(200))], Evidence::Complete), ["source.failing acme"]);
    assert!(bench.last_event().event.data["error"].as_str().unwrap().contains("clock"));
    bench.later(6 * 86_400);
    let told = bench.look(&spec, vec![Rows::Spend(all(200))], Evidence::Complete);
    assert_eq!(told, ["source.recovered acme", "budget.exceeded workspace"], "set right");
}

#[test]
fn one_row_of_a_day_to_come_is_the_sources_fault() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    let odd = row(plus_days(day, 30), "ana", 5);
    bench.look(&spec, vec![Rows::Spend(vec![odd.clone(), row(day, "ana", 5)])], Evidence::Complete);
    let told = bench.look(&spec, vec![Rows::Spend(vec![odd, row(day, "ana", 120)])], Evidence::Complete);
    assert_eq!(told, ["budget.exceeded workspace"]);
}

#[test]
fn rows_are_upserted_and_a_repeated_day_writes_nothing() {
    let (mut bench, spec) = bench(vec![]);
    let day = today(&bench);
    bench.begin(&spec);
    let page = |dollars| Page::of(Rows::Spend(vec![row(day, "ana", dollars), row(day, "bo", 1)]));
    assert_eq!(bench.page(&spec, page(5)).spend.len(), 1);
    assert!(bench.page(&spec, page(5)).spend.is_empty());
    bench.page(&spec, page(3));
    let sum: Micros = bench.ledger[&("acme".to_owned(), day)].cells().map(|(_, _, c)| c.amount).sum();
    assert_eq!(sum, usd(4), "a correction is no new spend");
}

#[test]
fn an_edited_limit_speaks_at_the_next_start() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    look(&mut bench, &spec, vec![row(day, "ana", 40)]);
    bench.world.rules = vec![budget(&[], 30, PeriodKind::Day)];
    let before = bench.events.len();
    bench.step(&Input::Tick { sources: vec!["acme".into()] });
    assert_eq!(bench.told_since(before), ["budget.exceeded workspace"]);
    assert_eq!(bench.last_event().event.data["cause"], json!("limit_changed"));
    bench.step(&Input::Tick { sources: vec!["acme".into()] });
    assert_eq!(bench.events.len(), before + 1);
}

#[test]
fn a_budget_over_several_sources_is_looked_at_once() {
    let (mut bench, acme) = bench(vec![budget(&["acme", "files"], 100, PeriodKind::Day)]);
    let (files, day) = (collection("files", "bill", Role::Spend), today(&bench));
    look(&mut bench, &acme, vec![row(day, "ana", 20)]);
    look(&mut bench, &files, vec![row(day, "ana", 20)]);
    bench.world.rules = vec![budget(&["acme", "files"], 40, PeriodKind::Day)];
    let plan = bench.step(&Input::Tick { sources: vec!["acme".into(), "files".into()] });
    assert_eq!((plan.events.len(), plan.deliveries.len()), (1, 2));
    assert_eq!(look(&mut bench, &files, vec![row(day, "ana", 21)]), NOTHING);
}

/// What an event says of its budget: type, severity, whether it is baseline, and each source's part.
fn said(bench: &Bench) -> (String, Severity, bool, Vec<(String, String)>) {
    let event = &bench.last_event().event;
    let parts = event.data.get("by_source").and_then(|parts| parts.as_array()).cloned().unwrap_or_default();
    let text = |part: &serde_json::Value, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let parts = parts.iter().map(|part| (text(part, "source"), text(part, "spend_usd"))).collect();
    (event.kind.clone(), event.severity, event.data["baseline"] == json!(true), parts)
}

fn part(source: &str, usd: &str) -> (String, String) {
    (source.to_owned(), usd.to_owned())
}

#[test]
fn a_budget_over_several_sources_is_one_baseline_at_installation() {
    let (mut bench, acme) = bench(vec![budget(&["acme", "files"], 80, PeriodKind::Day)]);
    let (files, day) = (collection("files", "bill", Role::Spend), today(&bench));
    assert_eq!(look(&mut bench, &acme, vec![row(day, "ana", 60)]), NOTHING, "the other is about to be read");
    assert_eq!(look(&mut bench, &files, vec![row(day, "bo", 30)]), ["budget.exceeded workspace"]);
    let parts = vec![part("acme", "60.00"), part("files", "30.00")];
    assert_eq!(said(&bench), ("budget.exceeded".into(), Severity::Warning, true, parts));
    assert_eq!(look(&mut bench, &acme, vec![row(day, "ana", 90)]), NOTHING);
}

#[test]
fn a_source_that_was_never_read_is_unknown_and_its_first_look_a_baseline() {
    let (mut bench, acme) = bench(vec![budget(&["acme", "files"], 80, PeriodKind::Day)]);
    let (files, day) = (collection("files", "bill", Role::Spend), today(&bench));
    look(&mut bench, &acme, vec![row(day, "ana", 60)]);
    let failed = || Evidence::Partial(Failure::broken("m"));
    let cut_short = vec![Rows::Spend(vec![row(day, "bo", 500)])];
    assert_eq!(bench.look(&files, cut_short, failed()), ["budget.threshold_reached workspace"], "not waited for");
    assert_eq!(said(&bench), ("budget.threshold_reached".into(), Severity::Warning, true, vec![part("acme", "60.00")]));
    assert_eq!(bench.last_event().event.data["unknown_sources"], json!(["files"]));
    bench.look(&files, vec![], failed());
    assert_eq!(look(&mut bench, &files, vec![row(day, "bo", 30)]), ["budget.exceeded workspace"]);
    let parts = vec![part("acme", "60.00"), part("files", "30.00")];
    assert_eq!(said(&bench), ("budget.exceeded".into(), Severity::Warning, true, parts));
}

#[test]
fn nobody_waits_for_ever_for_a_source_that_is_not_asked() {
    let (mut bench, acme) = bench(vec![budget(&["acme", "files"], 80, PeriodKind::Day)]);
    let day = today(&bench);
    assert_eq!(look(&mut bench, &acme, vec![row(day, "ana", 60)]), NOTHING);
    bench.later(1_900);
    assert_eq!(look(&mut bench, &acme, vec![row(day, "ana", 60)]), ["budget.threshold_reached workspace"]);
    let (mut again, acme) = self::bench(vec![budget(&["acme", "files"], 80, PeriodKind::Day)]);
    look(&mut again, &acme, vec![row(day, "ana", 60)]);
    again.step(&Input::Tick { sources: vec!["acme".into()] });
    assert!(said(&again).2, "nor at the next start");
}

#[test]
fn what_a_known_source_passes_while_another_is_first_read_speaks_normally() {
    let (mut bench, acme) = bench(vec![budget(&["acme", "files"], 100, PeriodKind::Day)]);
    let (files, day) = (collection("files", "bill", Role::Spend), today(&bench));
    look(&mut bench, &acme, vec![row(day, "ana", 10)]);
    bench.look(&files, vec![], Evidence::Partial(Failure::broken("m")));
    // A look at the one is under way while the first look at the other ends.
    bench.begin(&acme);
    bench.page(&acme, Page::of(Rows::Spend(vec![row(day, "ana", 60)])));
    let before = bench.events.len();
    look(&mut bench, &files, vec![row(day, "bo", 50)]);
    let told: Vec<_> =
        bench.events[before..].iter().map(|e| (e.event.kind.as_str(), &e.event.data["baseline"])).collect();
    assert_eq!(told, [("budget.threshold_reached", &json!(false)), ("budget.exceeded", &json!(true))]);
}

#[test]
fn another_account_is_a_quiet_baseline() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    look(&mut bench, &spec, vec![row(day, "ana", 10)]);
    let at = |fingerprint: &str| Arc::new(CollectionSpec { fingerprint: fingerprint.into(), ..spec.as_ref().clone() });
    assert_eq!(look(&mut bench, &at("v2"), vec![row(day, "zed", 150)]), ["budget.exceeded workspace"]);
    assert_eq!(said(&bench), ("budget.exceeded".into(), Severity::Warning, true, vec![]));
    assert_eq!(look(&mut bench, &at("v2"), vec![row(day, "zed", 190)]), NOTHING);
    let told = bench.last_event().event.id.clone();
    assert_eq!(look(&mut bench, &at("v3"), vec![row(day, "zed", 120)]), ["budget.exceeded workspace"]);
    assert_eq!(
        bench.last_event().event.id,
        told,
        "the same amount was told: the store knows the id, and takes no second one"
    );
    assert_eq!(look(&mut bench, &at("v4"), vec![row(day, "zed", 1)]), NOTHING);
    bench.later(60);
    assert_eq!(look(&mut bench, &at("v4"), vec![row(day, "zed", 150)]), ["budget.exceeded workspace"]);
    assert_eq!(said(&bench), ("budget.exceeded".into(), Severity::Critical, false, vec![]), "passed under our eyes");
    bench.later(4 * 86_400);
    assert_eq!(look(&mut bench, &at("v5"), vec![row(day, "zed", 1)]), NOTHING, "nothing was given back");
}

#[test]
fn what_spikes_in_another_account_is_baseline() {
    let rule = Rule::Spike(SpikeRule { per: Per::User, sensitivity: Sensitivity::default() });
    let (mut bench, spec) = bench(vec![RuleSpec { name: "spike".into(), sources: vec![], rule }]);
    let day = today(&bench);
    let history = |user: &str| (1..60).map(|n| row(minus_days(day, n), user, 10)).collect::<Vec<_>>();
    look(&mut bench, &spec, history("ana"));
    let moved = Arc::new(CollectionSpec { fingerprint: "v2".into(), ..spec.as_ref().clone() });
    let rows = history("zed").into_iter().chain([row(day, "zed", 100)]).collect();
    assert_eq!(look(&mut bench, &moved, rows), ["cost.spike user:zed"]);
    assert_eq!(bench.last_event().event.data["baseline"], json!(true));
    assert_eq!(look(&mut bench, &moved, vec![row(day, "zed", 110)]), NOTHING);
}

#[test]
fn money_that_was_forgotten_is_not_money_given_back() {
    let (mut bench, acme) = bench(vec![budget(&["acme", "files"], 100, PeriodKind::Month)]);
    let files = collection("files", "bill", Role::Spend);
    let day = today(&bench);
    look(&mut bench, &acme, vec![row(day, "ana", 20)]);
    look(&mut bench, &files, vec![row(day, "ana", 1)]);
    look(&mut bench, &acme, vec![row(day, "ana", 120)]);
    bench.later(5 * 86_400);
    bench.command(Command::Reset { collection: acme.id(), spend: true }).unwrap();
    assert_eq!(look(&mut bench, &files, vec![row(day, "ana", 1)]), NOTHING, "one source has been forgotten");
    assert_eq!(look(&mut bench, &acme, vec![row(day, "ana", 120)]), NOTHING, "and is known again");
    assert_eq!(look(&mut bench, &acme, vec![row(day, "ana", 30)]), ["budget.corrected workspace"]);
}

#[test]
fn another_address_of_a_bill_forgets_its_money_and_repeats_nothing() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let day = today(&bench);
    look(&mut bench, &spec, vec![row(day, "ana", 1)]);
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 120)]), ["budget.exceeded workspace"]);
    let moved = Arc::new(CollectionSpec { fingerprint: "v2".into(), ..spec.as_ref().clone() });
    let told = bench.last_event().event.id.clone();
    bench.begin(&moved);
    assert!(bench.ledger.is_empty());
    assert_eq!(look(&mut bench, &moved, vec![row(day, "ana", 130)]), ["budget.exceeded workspace"]);
    assert_eq!(bench.last_event().event.id, told, "the store knows the id, and takes no second one");
}

#[test]
fn a_spike_speaks_once_on_its_day() {
    let rule = Rule::Spike(SpikeRule { per: Per::User, sensitivity: Sensitivity::default() });
    let (mut bench, spec) = bench(vec![RuleSpec { name: "spike".into(), sources: vec![], rule }]);
    let day = today(&bench);
    let history: Vec<SpendRow> = (1..60).map(|n| row(minus_days(day, n), "ana", 10)).collect();
    assert_eq!(look(&mut bench, &spec, history), NOTHING, "history is read silently");
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 12)]), NOTHING);
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 100)]), ["cost.spike user:ana"]);
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 900)]), NOTHING);
}

#[test]
fn dear_threads_speak_once_per_limit_with_what_is_known_of_them() {
    let rule = Rule::ThreadCost(ThreadCostRule { limits: vec![usd(5), usd(25)] });
    let (mut bench, _) = bench(vec![RuleSpec { name: "dear".into(), sources: vec![], rule }]);
    let costs = collection("acme", "costs", Role::Cost);
    let cost =
        |key: &str, dollars| CostRow { key: key.into(), cost: usd(dollars), estimated: false, facts: BTreeMap::new() };
    let mut look = |rows: Vec<CostRow>| bench.look(&costs, vec![Rows::Costs(rows)], Evidence::Window);
    assert_eq!(
        look(vec![cost("T-1", 9), cost("T-2", 30), cost("T-3", 1)]),
        ["thread.cost_exceeded T-2"],
        "one at first sight"
    );
    assert_eq!(look(vec![cost("T-1", 10), cost("T-3", 6)]), ["thread.cost_exceeded T-3"]);
    assert_eq!(look(vec![cost("T-3", 7), cost("T-1", 26)]), ["thread.cost_exceeded T-1"]);
    assert_eq!(look(vec![]), NOTHING);
}

#[test]
fn a_first_look_without_costs_is_a_first_sight_too() {
    let rule = Rule::ThreadCost(ThreadCostRule { limits: vec![usd(5)] });
    let (mut bench, _) = bench(vec![RuleSpec { name: "dear".into(), sources: vec![], rule }]);
    let costs = collection("acme", "costs", Role::Cost);
    assert_eq!(bench.look(&costs, vec![], Evidence::Window), NOTHING);
    let rows =
        ["T-1", "T-2"].map(|k| CostRow { key: k.into(), cost: usd(9), estimated: false, facts: BTreeMap::new() });
    let told = bench.look(&costs, vec![Rows::Costs(rows.to_vec())], Evidence::Window);
    assert_eq!(told, ["thread.cost_exceeded T-1", "thread.cost_exceeded T-2"]);
}

#[test]
fn a_thread_that_came_after_the_first_look_speaks_like_any_other() {
    let rule = Rule::ThreadCost(ThreadCostRule { limits: vec![usd(5)] });
    let (mut bench, _) = bench(vec![RuleSpec { name: "dear".into(), sources: vec![], rule }]);
    let threads = Arc::new(super::bench::threads());
    let costs = collection("acme", "costs", Role::Cost);
    let cost = |key: &str| CostRow { key: key.into(), cost: usd(9), estimated: false, facts: BTreeMap::new() };
    let page = |keys: &[&str]| Page {
        asked: keys.iter().map(|k| (*k).to_owned()).collect(),
        ..Page::of(Rows::Costs(keys.iter().map(|k| cost(k)).collect()))
    };
    let asks = |bench: &mut Bench, keys: &[&str]| {
        let epoch = bench.begin(&costs);
        let before = bench.events.len();
        bench.page(&costs, page(keys));
        bench.end(&costs, epoch, Evidence::Window, LookNotes::default());
        bench.events[before..].iter().map(|e| e.event.data["baseline"] == json!(true)).collect::<Vec<_>>()
    };
    bench.sweep(&threads, &super::bench::titled(0..2));
    assert_eq!(asks(&mut bench, &["T-00"]), [true], "the first look did not get round to the second");
    bench.sweep(&threads, &super::bench::titled(0..3));
    assert_eq!(asks(&mut bench, &["T-01"]), [true], "which was there");
    assert_eq!(asks(&mut bench, &["T-02"]), [false]);
}

#[test]
fn days_that_a_complete_answer_was_asked_for_are_known() {
    let (mut bench, spec) = bench(vec![]);
    let day = today(&bench);
    look(&mut bench, &spec, vec![row(day, "ana", 5)]);
    bench.later(9 * 86_400);
    let today = today(&bench);
    let mut asked = |evidence: Evidence| {
        let epoch = bench.begin(&spec);
        let notes = LookNotes { asked_from: Some(minus_days(today, 3)), ..LookNotes::default() };
        bench.end(&spec, epoch, evidence, notes);
        let Some((_, doc)) = bench.docs.get(&DocKey::Spend("acme".into())) else { panic!("no money is known") };
        let Doc::Spend(state) = doc.as_ref() else { panic!("{doc:?}") };
        (2..=8).map(|n| state.knows(plus_days(day, n))).collect::<Vec<_>>()
    };
    assert_eq!(asked(Evidence::Partial(Failure::broken("m"))), [false; 7], "no data is not zero");
    assert_eq!(asked(Evidence::Complete), [false, false, false, false, true, true, true], "nobody spent anything");
}

#[test]
fn a_day_whose_rows_were_left_out_is_not_zero() {
    let (mut bench, spec) = bench(vec![]);
    let day = today(&bench);
    look(&mut bench, &spec, vec![row(minus_days(day, 1), "ana", 5)]);
    let mut knows = |page: Page| {
        bench.later(60);
        let epoch = bench.begin(&spec);
        let mut notes = LookNotes::default();
        crate::domain::cycle::add_notes(&mut notes, bench.page(&spec, page).notes);
        notes.asked_from = Some(minus_days(day, 1));
        bench.end(&spec, epoch, Evidence::Complete, notes);
        let Some((_, doc)) = bench.docs.get(&DocKey::Spend("acme".into())) else { panic!("no money is known") };
        let Doc::Spend(state) = doc.as_ref() else { panic!("{doc:?}") };
        [1, 0].map(|back| state.knows(minus_days(day, back)))
    };
    let mut odd = Page::of(Rows::Spend(Vec::new()));
    odd.uncounted.leave_out(Some(day));
    assert_eq!(knows(odd.clone()), [true, false], "of today");
    odd.uncounted.leave_out(None);
    assert_eq!(knows(odd), [false, false], "of who knows when");
    assert_eq!(knows(Page::of(Rows::Spend(vec![row(day, "ana", -5)]))), [true, false], "a negative amount");
    assert_eq!(knows(Page::of(Rows::Spend(Vec::new()))), [true, true]);
}

#[test]
fn days_before_any_money_are_known_and_no_history() {
    let (mut bench, spec) = bench(vec![]);
    let day = today(&bench);
    let epoch = bench.begin(&spec);
    let mut notes = bench.page(&spec, Page::of(Rows::Spend(vec![row(day, "ana", 5)]))).notes;
    notes.asked_from = Some(minus_days(day, 89));
    bench.end(&spec, epoch, Evidence::Complete, notes);
    let Some((_, doc)) = bench.docs.get(&DocKey::Spend("acme".into())) else { panic!("no money is known") };
    let Doc::Spend(state) = doc.as_ref() else { panic!("{doc:?}") };
    assert_eq!([0, 1, 89, 90].map(|n| state.knows(minus_days(day, n))), [true, true, true, false]);
    assert_eq!([0, 1].map(|n| state.is_history(minus_days(day, n))), [true, false]);
}

#[test]
fn by_a_clock_that_was_set_back_a_day_or_two_nothing_is_judged() {
    for days in [1, 2] {
        let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
        let now = bench.now;
        let day = today(&bench);
        look(&mut bench, &spec, vec![row(day, "ana", 40)]);
        bench.now = plus(now, SignedDuration::from_hours(-24 * days));
        let shown = || vec![row(day, "ana", 120), row(minus_days(day, days), "ana", 130)];
        assert_eq!(look(&mut bench, &spec, shown()), NOTHING, "{days}");
        let before = bench.events.len();
        bench.step(&Input::Tick { sources: vec!["acme".into()] });
        assert_eq!(bench.told_since(before), NOTHING);
        bench.now = plus(now, SignedDuration::from_mins(30));
        let told = look(&mut bench, &spec, shown());
        assert_eq!(told.iter().filter(|t| t.starts_with("budget.exceeded")).count(), 2, "each day once, {told:?}");
        assert_eq!(look(&mut bench, &spec, shown()), NOTHING);
    }
}

#[test]
fn a_source_whose_day_begins_before_ours_is_judged() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let tomorrow = plus_days(today(&bench), 1);
    look(&mut bench, &spec, vec![row(tomorrow, "ana", 10)]);
    assert_eq!(look(&mut bench, &spec, vec![row(tomorrow, "ana", 120)]), ["budget.exceeded workspace"]);
}

#[test]
fn by_a_clock_that_was_set_back_nothing_is_judged_and_what_was_whole_stays_so() {
    let (mut bench, spec) = bench(vec![budget(&[], 100, PeriodKind::Day)]);
    let now = bench.now;
    let day = today(&bench);
    let history = |dollars| (0..20).map(|n| row(minus_days(day, n), "ana", dollars)).collect::<Vec<_>>();
    look(&mut bench, &spec, history(90));
    bench.now = plus(now, SignedDuration::from_hours(-240));
    let back = today(&bench);
    // What it shows is of this clock's days only.
    let shown = || (0..4).map(|n| row(minus_days(back, n), "ana", 120)).collect::<Vec<_>>();
    for told in [&[][..], &[], &["source.failing acme"], &[]] {
        assert_eq!(look(&mut bench, &spec, shown()), told);
    }
    let before = bench.events.len();
    bench.step(&Input::Tick { sources: vec!["acme".into()] });
    assert_eq!(bench.told_since(before), NOTHING);
    let Some((_, doc)) = bench.docs.get(&DocKey::Spend("acme".into())) else { panic!("no money is known") };
    let Doc::Spend(state) = doc.as_ref() else { panic!("{doc:?}") };
    assert!(state.is_whole(back), "it was over when it was last read");
    bench.now = plus(now, SignedDuration::from_mins(30));
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 91)]), ["source.recovered acme"]);
    assert_eq!(look(&mut bench, &spec, vec![row(day, "ana", 100)]), ["budget.exceeded workspace"]);
}
