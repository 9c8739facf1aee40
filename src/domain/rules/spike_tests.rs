use std::sync::Arc;

use jiff::civil::date;

use serde_json::json;

use super::*;
use crate::domain::payload::SpikeData;
use crate::domain::spend::{Basis, DaySpend, Groups, Ledger, People, SpendRow, SpendState};
use crate::domain::time::{Timestamp, WeekStart, plus_days, start_of_utc_day};

const FIRST: Date = date(2026, 8, 24);

struct World {
    ledger: Ledger,
    status: SpendState,
    state: Option<SpikeState>,
    learned: Option<Learned>,
    today: Date,
}

impl World {
    /// Two users with ninety quiet days, and the rule's first sight of them.
    fn quiet() -> Self {
        let mut world = Self {
            ledger: Ledger::default(),
            status: SpendState::default(),
            state: None,
            learned: None,
            today: plus_days(FIRST, 90),
        };
        for i in 0..90 {
            let day = plus_days(FIRST, i);
            world.spend(day, "ana", "gpt-5", 10_000_000 + (i % 5) * 400_000);
            world.spend(day, "bo", "claude", 30_000_000 - (i % 7) * 500_000);
        }
        assert!(world.kinds().is_empty());
        world
    }

    fn spend(&mut self, day: Date, user: &str, model: &str, micros: i64) {
        let key = ("acme".to_owned(), day);
        let mut spend = self.ledger.days.get(&key).map(|d| DaySpend::clone(d)).unwrap_or_default();
        let row = SpendRow {
            day,
            user: Some(user.into()),
            model: Some(model.into()),
            dims: BTreeMap::new(),
            amount: Micros(micros),
            tokens: u64::try_from(micros / 10).unwrap(),
            basis: Basis::Billed,
            whole_user: false,
        };
        spend.upsert(&[row], Timestamp::UNIX_EPOCH);
        self.ledger.days.insert(key, Arc::new(spend));
    }

    fn drafts(&mut self, complete: bool) -> Vec<Draft> {
        if complete {
            self.status.looked(false, start_of_utc_day(self.today));
        }
        self.evaluated(complete)
    }

    /// `complete`: no look was cut short just now; one there need not be, time may only have passed.
    fn evaluated(&mut self, complete: bool) -> Vec<Draft> {
        let people = BTreeMap::new();
        let people = People(vec![&people]);
        let groups = Groups::default();
        let status: BTreeMap<&str, &SpendState> = BTreeMap::from([("acme", &self.status)]);
        let sources = ["acme".to_owned()];
        let scene = Scene {
            now: start_of_utc_day(self.today),
            rule: "spikes",
            sources: &sources,
            counted: &sources,
            week_start: WeekStart::Monday,
            ledger: &self.ledger,
            people: &people,
            groups: &groups,
            status: &status,
            complete,
        };
        let rule = SpikeRule { per: Per::User, sensitivity: Sensitivity::default() };
        let verdict = evaluate(&rule, self.state.as_ref(), self.learned.as_ref(), &Children::default(), &scene);
        self.state = Some(verdict.state);
        self.learned = verdict.learned.or(self.learned.take());
        verdict.drafts
    }

    fn kinds(&mut self) -> Vec<String> {
        self.drafts(true).into_iter().map(|d| format!("{} {}", d.kind, d.subject)).collect()
    }

    fn next_day(&mut self) {
        self.today = plus_days(self.today, 1);
    }
}

#[test]
fn the_open_day_speaks_as_it_grows_and_once() {
    let mut w = World::quiet();
    let today = w.today;
    w.spend(today, "ana", "gpt-5", 9_000_000);
    w.spend(today, "bo", "claude", 30_000_000);
    assert!(w.kinds().is_empty());
    w.spend(today, "ana", "gpt-5", 60_000_000);
    let drafts = w.drafts(true);
    assert_eq!(drafts.len(), 1);
    let data = &drafts[0].data;
    assert_eq!((drafts[0].kind.as_str(), drafts[0].subject.as_str()), ("cost.spike", "user:ana"));
    assert_eq!(
        (&data["lower_bound"], &data["baseline"], &data["actual_usd"]),
        (&json!(true), &json!(false), &json!("60.00"))
    );
    w.spend(today, "ana", "gpt-5", 100_000_000);
    assert!(w.kinds().is_empty(), "once per scope and day");
}

#[test]
fn it_is_resolved_when_the_episode_ends() {
    let mut w = World::quiet();
    let today = w.today;
    w.spend(today, "ana", "gpt-5", 100_000_000);
    assert_eq!(w.kinds(), ["cost.spike user:ana"]);
    w.next_day();
    let next = w.today;
    w.spend(next, "ana", "gpt-5", 3_000_000);
    assert!(w.kinds().is_empty(), "the open day proves nothing yet");
    w.spend(next, "ana", "gpt-5", 11_000_000);
    w.next_day();
    assert!(w.drafts(false).is_empty(), "an incomplete look resolves nothing");
    let drafts = w.drafts(true);
    assert_eq!(drafts.len(), 1);
    assert_eq!(
        (drafts[0].kind.as_str(), &drafts[0].data["resolution"]),
        ("cost.spike_resolved", &json!("back_to_normal"))
    );
    assert!(w.kinds().is_empty());
}

#[test]
fn a_user_who_falls_silent_ends_the_episode_after_some_days() {
    let mut w = World::quiet();
    let today = w.today;
    w.spend(today, "ana", "gpt-5", 100_000_000);
    w.kinds();
    for _ in 0..3 {
        w.next_day();
        assert!(w.kinds().is_empty());
    }
    w.next_day();
    assert_eq!(w.kinds(), ["cost.spike_resolved user:ana"]);
    w.today = plus_days(w.today, 40);
    assert!(w.kinds().is_empty());
}

#[test]
fn while_every_look_fails_nothing_is_over() {
    let mut w = World::quiet();
    let today = w.today;
    w.spend(today, "ana", "gpt-5", 100_000_000);
    w.spend(today, "bo", "claude", 90_000_000);
    assert_eq!(w.drafts(true).len(), 1);
    // Of the next day only its first hours were seen.
    w.next_day();
    let next = w.today;
    w.spend(next, "ana", "gpt-5", 1_000_000);
    assert!(w.drafts(true).is_empty());
    for _ in 0..9 {
        w.next_day();
        assert!(w.drafts(false).is_empty(), "the look failed");
        assert!(w.evaluated(true).is_empty(), "time passed");
    }
    w.spend(next, "ana", "gpt-5", 95_000_000);
    let kinds = w.kinds();
    assert!(kinds.contains(&"cost.spike_resolved workspace".to_owned()), "now it is known: {kinds:?}");
}

#[test]
fn a_new_level_is_one_spike_and_then_known() {
    let mut w = World::quiet();
    let mut told = Vec::new();
    for _ in 0..10 {
        let today = w.today;
        w.spend(today, "ana", "gpt-5", 60_000_000);
        told.extend(w.kinds());
        w.next_day();
    }
    assert_eq!(told, ["cost.spike user:ana", "cost.spike_resolved user:ana"]);
}

#[test]
fn a_spike_of_yesterday_that_came_in_late_is_told() {
    let mut w = World::quiet();
    let yesterday = w.today;
    w.next_day();
    w.spend(yesterday, "ana", "gpt-5", 100_000_000);
    let drafts = w.drafts(true);
    assert_eq!(drafts.len(), 1);
    assert_eq!(
        (&drafts[0].data["date"], &drafts[0].data["lower_bound"]),
        (&json!(yesterday.to_string()), &json!(false))
    );
}

#[test]
fn at_first_sight_only_today_speaks_and_in_one_event() {
    let mut w = World::quiet();
    w.state = None;
    w.spend(plus_days(FIRST, 50), "ana", "gpt-5", 500_000_000);
    let today = w.today;
    w.spend(today, "ana", "gpt-5", 100_000_000);
    w.spend(today, "bo", "claude", 400_000_000);
    let drafts = w.drafts(true);
    assert_eq!(drafts.len(), 1);
    assert_eq!(
        (drafts[0].subject.as_str(), &drafts[0].data["baseline"], &drafts[0].data["also"]),
        ("user:bo", &json!(true), &json!(["user:ana"]))
    );
}

#[test]
fn the_attribution_sums_to_the_excess_exactly() {
    let mut w = World::quiet();
    let today = w.today;
    w.spend(today, "ana", "gpt-5", 14_000_001);
    w.spend(today, "ana", "opus", 77_777_777);
    let drafts = w.drafts(true);
    let data: SpikeData = serde_json::from_value(serde_json::Value::Object(drafts[0].data.clone())).unwrap();
    let parts: Micros = data.attribution.iter().map(|c| c.excess_usd).sum();
    assert_eq!(parts, data.excess_usd);
    assert_eq!(data.attribution[0].model.as_deref(), Some("opus"));
    assert_eq!(data.attribution[0].reason, "new");
}

#[test]
fn a_replay_of_the_same_days_gives_the_same_ids() {
    let run = || {
        let mut w = World::quiet();
        let mut ids = Vec::new();
        for i in 0..8 {
            let today = w.today;
            w.spend(today, "ana", "gpt-5", if i == 3 { 120_000_000 } else { 10_000_000 });
            ids.extend(w.drafts(true).into_iter().map(|d| d.identity));
            w.next_day();
        }
        ids
    };
    assert_eq!(run(), run());
    assert_eq!(run().len(), 2);
}
