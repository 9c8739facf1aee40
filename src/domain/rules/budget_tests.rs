use std::sync::Arc;

use jiff::civil::date;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::event::Severity;
use crate::domain::spend::{Basis, DaySpend, Groups, Ledger, People, SpendRow, SpendState};
use crate::domain::time::{Timestamp, plus_days, start_of_utc_day};

const TODAY: Date = date(2026, 11, 18);

/// A ledger in the making, a state, and the events told so far.
struct World {
    rule: BudgetRule,
    ledger: Ledger,
    status: SpendState,
    state: Option<BudgetState>,
    today: Date,
}

impl World {
    fn new(limit: i64, period: PeriodKind, per: Per) -> Self {
        let thresholds = vec![Percent(50_000), Percent(80_000), Percent(100_000)];
        let rule = BudgetRule::new(usd(limit), period, per, thresholds);
        let mut ledger = Ledger::default();
        ledger.loaded_from("acme", date(2026, 1, 1));
        Self { rule, ledger, status: SpendState::default(), state: None, today: TODAY }
    }

    /// A rule that has had its first sight of an empty ledger.
    fn seen(limit: i64, period: PeriodKind, per: Per) -> Self {
        let mut world = Self::new(limit, period, per);
        world.look();
        world
    }

    fn spend(&mut self, day: Date, user: &str, dollars: i64) -> &mut Self {
        let key = ("acme".to_owned(), day);
        let mut spend = self.ledger.days.get(&key).map(|d| DaySpend::clone(d)).unwrap_or_default();
        let row = SpendRow {
            day,
            user: Some(user.to_owned()),
            model: Some("gpt-5".into()),
            dims: BTreeMap::new(),
            amount: usd(dollars),
            tokens: 0,
            basis: Basis::Billed,
            whole_user: true,
        };
        spend.upsert(&[row], Timestamp::UNIX_EPOCH);
        self.ledger.days.insert(key, Arc::new(spend));
        self
    }

    fn drafts(&mut self, complete: bool) -> Vec<Draft> {
        let people = BTreeMap::new();
        let people = People(vec![&people]);
        let groups = Groups::default();
        let status: BTreeMap<&str, &SpendState> = BTreeMap::from([("acme", &self.status)]);
        let sources = ["acme".to_owned()];
        let scene = Scene {
            now: start_of_utc_day(self.today),
            rule: "daily",
            sources: &sources,
            counted: &sources,
            week_start: WeekStart::Monday,
            ledger: &self.ledger,
            people: &people,
            groups: &groups,
            status: &status,
            complete,
        };
        let verdict = evaluate(&self.rule, self.state.as_ref(), None, &scene);
        self.state = Some(verdict.state);
        verdict.drafts
    }

    /// What is told: type, subject, threshold (or the told amount), severity.
    fn look(&mut self) -> Vec<(String, String, Severity)> {
        let told = |d: Draft| {
            let detail = d.data.get("threshold").map_or_else(String::new, ToString::to_string);
            (format!("{} {detail}", d.kind).trim().to_owned(), d.subject, d.severity)
        };
        self.drafts(true).into_iter().map(told).collect()
    }

    fn kinds(&mut self) -> Vec<String> {
        self.look().into_iter().map(|(kind, ..)| kind).collect()
    }
}

fn usd(dollars: i64) -> Micros {
    Micros(dollars * Micros::PER_DOLLAR)
}

#[test]
fn b1_crossed_is_at_or_above_the_amount_rounded_up() {
    let mut w = World::seen(200, PeriodKind::Day, Per::Workspace);
    assert!(w.spend(TODAY, "ana", 99).look().is_empty());
    assert_eq!(w.spend(TODAY, "ana", 100).kinds(), ["budget.threshold_reached 50.0"]);
    assert_eq!(w.spend(TODAY, "ana", 200).kinds(), ["budget.exceeded 100.0"], "at the limit is exceeded");
}

#[test]
fn b2_an_amount_is_told_once_per_period_and_scope() {
    let mut w = World::seen(100, PeriodKind::Day, Per::User);
    w.spend(TODAY, "ana", 60).spend(TODAY, "bo", 60);
    assert_eq!(w.look().len(), 2);
    assert!(w.look().is_empty());
    w.today = date(2026, 11, 19);
    assert!(w.look().is_empty());
    assert_eq!(
        w.spend(date(2026, 11, 19), "ana", 60).kinds(),
        ["budget.threshold_reached 50.0"],
        "a new day speaks anew"
    );
}

#[test]
fn b3_several_thresholds_in_one_poll_are_one_event_for_the_highest() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    let drafts = w.spend(TODAY, "ana", 130).drafts(true);
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].kind, "budget.exceeded");
    assert_eq!(drafts[0].severity, Severity::Critical);
    assert_eq!(drafts[0].data["thresholds_crossed"], json!([50.0, 80.0, 100.0]));
    assert_eq!(drafts[0].data["percent"], json!(130.0));
    assert_eq!(drafts[0].data["top"]["users"][0]["who"]["id"], "ana");
    assert!(w.look().is_empty());
}

#[test]
fn b4_down_and_up_again_is_silent_and_a_settled_correction_is_told_once() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    assert_eq!(w.spend(TODAY, "ana", 110).kinds().len(), 1);
    assert!(w.spend(TODAY, "ana", 40).look().is_empty());
    assert!(w.spend(TODAY, "ana", 120).look().is_empty(), "crossed again: no second page");
    w.spend(TODAY, "ana", 90);
    for day in 19..=21 {
        w.today = date(2026, 11, day);
        assert!(w.look().is_empty(), "still settling");
    }
    w.today = date(2026, 11, 22);
    assert_eq!(w.kinds(), ["budget.corrected"]);
    assert!(w.look().is_empty());
}

#[test]
fn b4_a_correction_that_nobody_could_see_settle_is_told_at_the_next_good_look() {
    for (period, back) in [(PeriodKind::Day, 5), (PeriodKind::Day, 40), (PeriodKind::Week, 20), (PeriodKind::Month, 30)]
    {
        let mut w = World::seen(100, period, Per::Workspace);
        w.spend(TODAY, "ana", 110).look();
        w.spend(TODAY, "ana", 40);
        w.today = plus_days(TODAY, back);
        assert!(w.drafts(false).is_empty(), "not by a look that was cut short");
        let drafts = w.drafts(true);
        assert_eq!(drafts.iter().map(|d| d.kind.as_str()).collect::<Vec<_>>(), ["budget.corrected"], "{period:?}");
        assert_eq!(drafts[0].data["spend_usd"], "40.00");
        assert!(w.look().is_empty());
    }
}

#[test]
fn b4_what_falls_after_it_has_settled_is_no_correction() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 110).look();
    w.today = date(2026, 11, 22);
    assert!(w.look().is_empty());
    w.spend(TODAY, "ana", 40);
    w.today = date(2026, 11, 23);
    assert!(w.look().is_empty());
}

#[test]
fn b4_days_that_are_not_here_are_asked_for_before_anything_is_said() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 110).look();
    w.today = date(2026, 11, 28);
    let full = std::mem::take(&mut w.ledger);
    w.ledger.loaded_from("acme", date(2026, 11, 24));
    w.spend(date(2026, 11, 24), "bo", 1);
    assert!(w.look().is_empty(), "what is not loaded is not nothing");
    w.ledger = full;
    w.spend(date(2026, 11, 24), "bo", 1);
    assert!(w.look().is_empty(), "nor was anything corrected");
}

#[test]
fn b4_a_correction_of_less_than_a_twentieth_is_not_worth_a_word() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 110).look();
    w.spend(TODAY, "ana", 96);
    w.today = date(2026, 11, 22);
    assert!(w.look().is_empty());
}

#[test]
fn b4_an_incomplete_look_corrects_nothing() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 110).look();
    w.spend(TODAY, "ana", 10);
    w.today = date(2026, 11, 22);
    assert!(w.drafts(false).is_empty());
}

#[test]
fn b5_rows_of_a_past_day_are_late_and_of_low_urgency_and_closed_days_are_silent() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    let drafts = w.spend(date(2026, 11, 16), "ana", 150).drafts(true);
    assert_eq!((drafts[0].severity, &drafts[0].data["late"]), (Severity::Warning, &json!(true)));
    assert!(w.spend(date(2026, 11, 10), "ana", 150).look().is_empty());
}

#[test]
fn b6_weeks_and_months_are_those_of_the_calendar() {
    let mut w = World::seen(100, PeriodKind::Week, Per::Workspace);
    w.spend(date(2026, 11, 15), "ana", 90); // the Sunday before
    w.look();
    assert!(w.spend(date(2026, 11, 16), "ana", 30).look().is_empty(), "another week");
    assert_eq!(w.spend(TODAY, "ana", 30).kinds(), ["budget.threshold_reached 50.0"]);
    let mut w = World::seen(100, PeriodKind::Month, Per::Workspace);
    w.spend(date(2026, 11, 1), "ana", 60).spend(date(2026, 10, 31), "ana", 90);
    let drafts = w.drafts(true);
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].data["period_start"], "2026-11-01");
    assert_eq!(drafts[0].data["period_alignment"], "utc-day");
}

#[test]
fn b7_an_edited_limit_judges_no_day_that_is_over() {
    let mut w = World::seen(500, PeriodKind::Day, Per::Workspace);
    for day in 15..=17 {
        w.spend(date(2026, 11, day), "ana", 700);
    }
    w.look();
    w.rule.limit = usd(650);
    assert!(w.look().is_empty(), "they were judged by the limit there was");
    let late = w.spend(date(2026, 11, 17), "ana", 1_400).look();
    assert!(late.is_empty(), "and 650 counts as passed: {late:?}");
}

#[test]
fn b7_an_edited_limit_is_looked_at_at_once() {
    let mut w = World::seen(200, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 120).look();
    w.rule.limit = usd(100);
    let drafts = w.drafts(true);
    assert_eq!(drafts.len(), 1);
    assert_eq!((drafts[0].kind.as_str(), &drafts[0].data["cause"]), ("budget.exceeded", &json!("limit_changed")));
    w.rule.limit = usd(300);
    assert!(w.look().is_empty(), "raised: nothing new is passed");
    assert_eq!(
        w.spend(TODAY, "ana", 250).kinds(),
        ["budget.threshold_reached 80.0"],
        "and what is not passed is armed again"
    );
}

#[test]
fn b7_a_raised_limit_makes_no_news_of_what_was_passed_when_more_was_told() {
    let mut w = World::seen(200, PeriodKind::Day, Per::Workspace);
    assert_eq!(w.spend(TODAY, "ana", 210).kinds(), ["budget.exceeded 100.0"]);
    w.rule.limit = usd(300);
    assert!(w.look().is_empty(), "50 % of it had been passed, and $200 was told");
    assert_eq!(w.spend(TODAY, "ana", 245).kinds(), ["budget.threshold_reached 80.0"], "more than was told");
    w.rule.limit = usd(240);
    let drafts = w.drafts(true);
    assert_eq!((drafts[0].kind.as_str(), &drafts[0].data["cause"]), ("budget.exceeded", &json!("limit_changed")));
    w.rule.limit = usd(100);
    assert_eq!(w.kinds(), ["budget.exceeded 100.0"], "lowered: one event, whatever was told");
}

#[test]
fn b7_edited_thresholds_are_their_own_cause() {
    let mut w = World::seen(200, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 170).look();
    w.rule.thresholds = [50_000, 60_000, 100_000].map(Percent).to_vec();
    assert!(w.look().is_empty(), "60 % lies below what was told");
    w.rule.thresholds = [50_000, 85_000, 100_000].map(Percent).to_vec();
    let drafts = w.drafts(true);
    assert_eq!((&drafts[0].data["threshold"], &drafts[0].data["cause"]), (&json!(85.0), &json!("thresholds_changed")));
    let drafts = w.spend(TODAY, "ana", 200).drafts(true);
    assert_eq!(drafts[0].data["cause"], json!("spend"));
}

#[test]
fn b8_what_is_already_passed_at_first_sight_is_one_event_at_most_a_warning() {
    let mut w = World::new(100, PeriodKind::Day, Per::User);
    w.spend(TODAY, "ana", 150).spend(TODAY, "bo", 400).spend(TODAY, "cy", 10).spend(date(2026, 11, 17), "ana", 900);
    let drafts = w.drafts(true);
    assert_eq!(drafts.len(), 1, "one event per rule");
    assert_eq!((drafts[0].kind.as_str(), drafts[0].subject.as_str()), ("budget.exceeded", "user:bo"));
    assert_eq!((drafts[0].severity, &drafts[0].data["baseline"]), (Severity::Warning, &json!(true)));
    assert_eq!(drafts[0].data["also"], json!(["user:ana"]));
    assert!(w.look().is_empty());
    assert_eq!(
        w.spend(TODAY, "dee", 60).kinds(),
        ["budget.threshold_reached 50.0"],
        "a new scope of a known source speaks normally"
    );
}

#[test]
fn b9_an_emptied_ledger_resolves_and_repeats_nothing() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 150).look();
    let full = std::mem::take(&mut w.ledger);
    assert!(w.drafts(false).is_empty());
    w.ledger = full;
    assert!(w.look().is_empty());
}

#[test]
fn a_limit_of_zero_is_passed_by_any_spend() {
    let mut w = World::seen(0, PeriodKind::Day, Per::Workspace);
    w.spend(TODAY, "ana", 0);
    assert!(w.look().is_empty());
    let drafts = w.spend(TODAY, "ana", 1).drafts(true);
    assert_eq!((drafts.len(), &drafts[0].data["percent"]), (1, &serde_json::Value::Null));
}

#[test]
fn with_a_limit_of_zero_several_thresholds_are_one_fact() {
    let mut w = World::new(0, PeriodKind::Day, Per::Workspace);
    w.rule.thresholds = [100_000, 150_000].map(Percent).to_vec();
    w.look();
    assert_eq!(w.spend(TODAY, "ana", 1).look().len(), 1);
    assert!(w.spend(TODAY, "ana", 2).look().is_empty());
}

#[test]
fn a_clock_that_lags_a_day_does_not_hide_today() {
    let mut w = World::seen(100, PeriodKind::Day, Per::Workspace);
    w.today = date(2026, 11, 17);
    let drafts = w.spend(TODAY, "ana", 150).drafts(true);
    assert_eq!((drafts.len(), drafts[0].severity), (1, Severity::Critical));
    w.today = TODAY;
    assert!(w.look().is_empty());
}

proptest! {
    /// Whatever happens to rows, limits, looks and the clock: an identity is used once.
    #[test]
    fn at_most_one_event_per_identity(steps in prop::collection::vec((0_i64..6, 0_usize..3, 0_i64..300, 50_i64..250, any::<bool>()), 1..60)) {
        let mut w = World::seen(100, PeriodKind::Week, Per::User);
        let mut seen = std::collections::BTreeSet::new();
        for (forward, user, dollars, limit, complete) in steps {
            w.today = plus_days(TODAY, forward);
            w.rule.limit = usd(limit);
            w.spend(w.today, ["ana", "bo", "cy"][user], dollars);
            for draft in w.drafts(complete) {
                prop_assert!(seen.insert(draft.identity.clone()), "{:?} twice", draft.identity);
            }
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(mut rows in prop::collection::vec((0_usize..4, 0_i64..200), 1..12), rotate in 0_usize..12) {
        rows.sort_unstable();
        rows.dedup_by_key(|(user, _)| *user);
        let told = |rows: &[(usize, i64)]| {
            let mut w = World::seen(100, PeriodKind::Day, Per::User);
            for (user, dollars) in rows {
                w.spend(TODAY, ["ana", "bo", "cy", "dee"][*user], *dollars);
            }
            w.look()
        };
        let one = told(&rows);
        let middle = rotate % rows.len();
        rows.rotate_left(middle);
        prop_assert_eq!(told(&rows), one);
    }
}
