//! The story against the rules it is told for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::date;

use super::*;
use crate::domain::money::{Micros, Percent};
use crate::domain::rules::budget::{self, BudgetRule};
use crate::domain::rules::detector::Sensitivity;
use crate::domain::rules::scene::Scene;
use crate::domain::rules::spike::{self, SpikeRule};
use crate::domain::spend::{Basis, DaySpend, Groups, Ledger, People, Per, SpendRow, SpendState};
use crate::domain::time::{PeriodKind, WeekStart};

const POLL: Duration = Duration::from_millis(250);

/// Plays the story for `length`, polling now and then, and returns what the rules say and when, in milliseconds.
fn play(seed: u64, start: jiff::civil::Date, length: Duration) -> Vec<(u64, String, String)> {
    let clock = DemoClock::starting_on(start);
    let mut story = Story::new(seed, clock);
    let elapsed_ms = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&elapsed_ms);
    let now: Now = Arc::new(move || clock.demo_now(Duration::from_millis(shown.load(Ordering::Relaxed))));
    let workspace = story.workspace(now).unwrap();
    let limit = Micros(i64::from(Story::DAILY_BUDGET_USD) * Micros::PER_DOLLAR);
    let thresholds = ["50", "80", "100"].map(|p| Percent::parse(p).unwrap()).to_vec();
    let rule = BudgetRule::new(limit, PeriodKind::Day, Per::Workspace, thresholds);
    let spikes = SpikeRule { per: Per::User, sensitivity: Sensitivity::default() };
    let (mut budget_state, mut spike_state, mut learned) = (None, None, None);
    let (groups, mut seen) = (Groups::default(), SpendState::default());
    let sources = ["demo".to_owned()];
    let people = People::default();
    let mut said = Vec::new();
    let mut elapsed = Duration::ZERO;
    while elapsed <= length {
        elapsed_ms.store(u64::try_from(elapsed.as_millis()).unwrap(), Ordering::Relaxed);
        for step in story.due(elapsed) {
            Story::apply(&workspace, &step).unwrap();
        }
        let now = workspace.now();
        let ledger = ledger(&workspace);
        seen.looked(true, now);
        let status = BTreeMap::from([("demo", &seen)]);
        let scene = |rule| Scene {
            now,
            rule,
            sources: &sources,
            counted: &sources,
            week_start: WeekStart::Monday,
            ledger: &ledger,
            people: &people,
            groups: &groups,
            status: &status,
            complete: true,
        };
        let verdict = budget::evaluate(&rule, budget_state.as_ref(), None, &scene("day"));
        budget_state = Some(verdict.state);
        let mut drafts = verdict.drafts;
        let none = spike::Children::default();
        let verdict = spike::evaluate(&spikes, spike_state.as_ref(), learned.as_ref(), &none, &scene("jump"));
        spike_state = Some(verdict.state);
        learned = verdict.learned.or(learned);
        drafts.extend(verdict.drafts);
        let ms = u64::try_from(elapsed.as_millis()).unwrap();
        said.extend(drafts.into_iter().map(|d| (ms, d.kind, d.subject)));
        elapsed += POLL;
    }
    said
}

fn ledger(workspace: &FakeWorkspace) -> Ledger {
    let mut ledger = Ledger::default();
    let state = workspace.lock();
    for back in 0..=70 {
        let day = minus_days(utc_day(workspace.now()), back);
        let mut spend = DaySpend::default();
        let rows: Vec<SpendRow> = state
            .tenant
            .world
            .day(day)
            .into_iter()
            .flatten()
            .map(|(user, usage)| SpendRow {
                day,
                user: Some(user.to_string()),
                model: None,
                dims: BTreeMap::new(),
                amount: usage.usd.micros,
                tokens: 0,
                basis: Basis::Billed,
                whole_user: true,
            })
            .collect();
        spend.upsert(&rows, workspace.now());
        ledger.put("demo", day, Arc::new(spend));
    }
    ledger
}

fn user(seed: u64, email: &str) -> String {
    let story = Story::new(seed, DemoClock::starting_on(date(2026, 11, 2)));
    let workspace = story.workspace(Arc::new(|| Timestamp::UNIX_EPOCH)).unwrap();
    format!("user:{}", workspace.user(email).unwrap().id)
}

#[test]
fn money_speaks_as_written_for_many_seeds_and_weekdays() {
    for seed in 0..14 {
        let first = date(2026, 11, 2).saturating_add(jiff::Span::new().days(i64::try_from(seed).unwrap()));
        let said = play(seed, first, Duration::from_secs(20));
        let kinds = |from: u64, to: u64| -> Vec<(&str, &str)> {
            let range = said.iter().filter(|(ms, ..)| (from..to).contains(ms));
            range.map(|(_, kind, subject)| (kind.as_str(), subject.as_str())).collect()
        };
        let (ana, bo) = (user(seed, "ana@example.com"), user(seed, "bo@example.com"));
        let budget = |kind| (kind, "workspace");
        let first_day = [
            budget("budget.threshold_reached"),
            ("cost.spike", ana.as_str()),
            budget("budget.threshold_reached"),
            budget("budget.exceeded"),
        ];
        assert_eq!(kinds(0, 3_000), first_day, "seed {seed}");
        let spikes: BTreeSet<&str> =
            said.iter().filter(|(_, kind, _)| kind == "cost.spike").map(|(.., who)| who.as_str()).collect();
        assert_eq!(spikes, BTreeSet::from([ana.as_str(), bo.as_str()]), "seed {seed}");
        let ended = kinds(3_000, 20_000).into_iter().filter(|(kind, _)| *kind == "cost.spike_resolved").count();
        assert_eq!(ended, 2, "seed {seed}: {said:?}");
        assert!(!kinds(3_000, 20_000).contains(&budget("budget.exceeded")), "seed {seed}");
    }
}

#[test]
fn what_people_do_can_be_seen_in_the_first_seconds() {
    let clock = DemoClock::starting_on(date(2026, 11, 2));
    let mut story = Story::new(1, clock);
    let workspace = story.workspace(Arc::new(move || clock.start())).unwrap();
    assert!(story.due(Duration::from_millis(900)).is_empty(), "time for the first look");
    let before = workspace.thread_count();
    for step in story.due(Duration::from_millis(6_500)) {
        Story::apply(&workspace, &step).unwrap();
    }
    assert_eq!(workspace.thread_count(), before + 3);
    assert!(workspace.user("cy@example.com").unwrap().active);
    assert!(!workspace.user("dee@example.com").unwrap().active);
}

#[test]
fn a_step_is_due_once_in_order_and_the_same_however_often_one_asks() {
    let clock = DemoClock::starting_on(date(2026, 11, 2));
    let (mut often, mut seldom) = (Story::new(5, clock), Story::new(5, clock));
    let mut steps = Vec::new();
    for ms in (0..40_000).step_by(17) {
        steps.extend(often.due(Duration::from_millis(ms)));
    }
    let end = Duration::from_secs(40);
    steps.extend(often.due(end));
    assert_eq!(steps, seldom.due(end));
    assert!(steps.is_sorted_by_key(|s| s.at));
    assert_ne!(steps, Story::new(6, clock).due(end));
    assert!(seldom.next_at() > end);
    let sentences: Vec<&str> = steps.iter().filter_map(|s| s.sentence.as_deref()).collect();
    assert_eq!(sentences[0], "Mon 12:06  bo starts \"Port the parser to Rust\"");
}

#[test]
fn every_step_can_happen() {
    let clock = DemoClock::starting_on(date(2026, 11, 2));
    let mut story = Story::new(9, clock);
    let workspace = story.workspace(Arc::new(move || clock.start())).unwrap();
    for step in story.due(Duration::from_mins(2)) {
        Story::apply(&workspace, &step).unwrap_or_else(|e| panic!("{step:?}: {e}"));
    }
}
