use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::bench::{Bench, collection, record, threads, titled};
use crate::domain::collection::{LookNotes, Role};
use crate::domain::cycle::{Command, Input};
use crate::domain::doc::{Doc, DocKey};
use crate::domain::record::{Evidence, Failure, FailureKind, GaugeRow, Page, Record, Rows};

/// What it is, the fields as shown, what is told.
type Case<'a> = (&'a str, &'a [(&'a str, Value)], &'a [&'a str]);

/// A bench that knows `T-00` to `T-09`.
fn known() -> (Bench, Arc<crate::domain::collection::CollectionSpec>) {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    assert_eq!(bench.sweep(&spec, &titled(0..10)), [""; 0], "a quiet baseline");
    (bench, spec)
}

fn broken() -> Evidence {
    Evidence::Partial(Failure::broken("cut short"))
}

#[test]
fn what_each_observation_makes_of_a_known_record() {
    let was = [("title", json!("x")), ("status", Value::Null)];
    let cases: &[Case] = &[
        ("the same", &was, &[]),
        ("another value", &[("title", json!("y")), ("status", Value::Null)], &["thread.updated T-1"]),
        ("null for a value", &[("title", Value::Null), ("status", Value::Null)], &["thread.updated T-1"]),
        ("a value for null", &[("title", json!("x")), ("status", json!("s"))], &["thread.updated T-1"]),
        ("absent for a value", &[("status", Value::Null)], &["source.degraded acme"]),
        ("absent for null", &[("title", json!("x"))], &["source.degraded acme"]),
        ("two at once", &[("title", json!("y")), ("status", json!("s"))], &["thread.updated T-1"]),
        ("absent and changed", &[("status", json!("s"))], &["thread.updated T-1", "source.degraded acme"]),
        ("a field that is newly watched", &[("title", json!("x")), ("status", Value::Null), ("new", json!(1))], &[]),
    ];
    for (what, fields, told) in cases {
        let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
        bench.sweep(&spec, &[record("T-1", &was)]);
        assert_eq!(bench.sweep(&spec, &[record("T-1", fields)]), *told, "{what}");
        assert_eq!(bench.sweep(&spec, &[record("T-1", fields)]), [""; 0], "{what}, again");
    }
}

#[test]
fn a_change_that_a_rule_silences_is_learned_and_not_told() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &[record("T-1", &[("secret", json!(1)), ("title", json!("x"))])]);
    assert_eq!(bench.sweep(&spec, &[record("T-1", &[("secret", json!(2)), ("title", json!("x"))])]), [""; 0]);
    bench.sweep(&spec, &[record("T-1", &[("secret", json!(3)), ("title", json!("y"))])]);
    let data = &bench.last_event().event.data;
    assert_eq!(
        (&data["before"]["secret"], &data["after"]["secret"], &data["changed"]),
        (&json!(2), &json!(3), &json!(["title"]))
    );
}

#[test]
fn the_page_alone_tells_creations_and_updates() {
    let (mut bench, spec) = known();
    bench.begin(&spec);
    let page =
        |title: &str| Page::of(Rows::Records(vec![record("T-00", &[("title", title.into())]), record("T-99", &[])]));
    let plan = bench.page(&spec, page("y"));
    let told: Vec<_> = plan.events.iter().map(|e| (e.event.kind.as_str(), e.event.subject.as_str())).collect();
    assert_eq!(told, [("thread.updated", "T-00"), ("thread.created", "T-99")]);
    assert_eq!(plan.deliveries.len(), 4, "two sinks each");
    assert_eq!((plan.notes.rows, plan.notes.created, plan.notes.changed, plan.notes.events), (2, 1, 1, 2));
    let again = bench.page(&spec, page("y"));
    assert!(again.events.is_empty() && again.rows.is_empty() && again.docs.is_empty(), "unchanged rows cost no write");
    assert_eq!(bench.collection(&spec).rows, 10, "counted at the end of a look");
}

#[test]
fn of_rows_with_one_key_on_a_page_the_first_counts_and_the_others_are_left_out() {
    let (mut bench, spec) = known();
    let rows =
        |titles: [&str; 3]| Page::of(Rows::Records(titles.map(|t| record("T-00", &[("title", t.into())])).to_vec()));
    for round in 0..3 {
        bench.begin(&spec);
        let plan = bench.page(&spec, rows(["y", "z", "y"]));
        let told: Vec<&str> = plan.events.iter().map(|e| e.event.kind.as_str()).collect();
        assert_eq!(told, if round == 0 { &["thread.updated"][..] } else { &[] }, "the same answer again tells nothing");
        assert_eq!((plan.notes.rows, plan.notes.quarantined), (1, 2));
        assert!(plan.notes.quarantine_samples[0].starts_with("T-00 "), "{:?}", plan.notes.quarantine_samples);
    }
    bench.begin(&spec);
    bench.page(&spec, Page::of(Rows::Records(titled(0..10))));
    assert_eq!(bench.events.len(), 2, "and back");
}

#[test]
fn the_baseline_is_quiet_until_a_look_has_reached_its_end() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    let page = |keys| vec![Rows::Records(titled(keys))];
    assert!(bench.look(&spec, page(0..5), broken()).is_empty());
    assert!(bench.look(&spec, page(0..6), Evidence::Window).is_empty());
    assert!(bench.collection(&spec).baseline.is_none());
    assert!(bench.sweep(&spec, &titled(0..8)).is_empty());
    assert_eq!(bench.look(&spec, page(0..9), broken()), ["thread.created T-08"], "upserts come from every look");
    assert_eq!(bench.look(&spec, page(0..10), Evidence::Window), ["thread.created T-09"]);
}

#[test]
fn quarantined_rows_bar_removals_and_not_the_baseline() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    let look = |bench: &mut Bench, keys, odd: usize| {
        let before = bench.events.len();
        let epoch = bench.begin(&spec);
        let page = Page { quarantined: vec!["no key".into(); odd], ..Page::of(Rows::Records(titled(keys))) };
        let notes = bench.page(&spec, page).notes;
        bench.end(&spec, epoch, Evidence::Complete, notes);
        bench.told_since(before)
    };
    assert!(look(&mut bench, 0..10, 2).is_empty());
    assert!(bench.collection(&spec).baseline.is_some());
    for _ in 0..3 {
        assert!(look(&mut bench, 1..10, 1).is_empty(), "the one that is missing may be the one that can't be read");
    }
    assert_eq!(bench.collection(&spec).quarantined, 1);
    assert!(look(&mut bench, 1..10, 0).is_empty(), "missed once");
    assert_eq!(look(&mut bench, 1..10, 0), ["thread.deleted T-00"]);
}

#[test]
fn only_two_complete_looks_in_a_row_remove() {
    let (mut bench, spec) = known();
    let page = |keys| vec![Rows::Records(titled(keys))];
    assert!(bench.sweep(&spec, &titled(1..10)).is_empty());
    assert!(bench.look(&spec, page(1..10), Evidence::Window).is_empty(), "a window misses nothing");
    assert!(bench.look(&spec, page(1..10), broken()).is_empty(), "nor does a failed look");
    assert!(bench.sweep(&spec, &titled(0..10)).is_empty(), "it is there again");
    assert!(bench.sweep(&spec, &titled(1..10)).is_empty(), "so this is the first miss");
    assert_eq!(bench.sweep(&spec, &titled(1..10)), ["thread.deleted T-00"]);
    assert_eq!(bench.sweep(&spec, &titled(0..10)), ["thread.created T-00"], "it returns as another fact");
    let ids: std::collections::BTreeSet<_> = bench.events.iter().map(|e| &e.event.id).collect();
    assert_eq!(ids.len(), bench.events.len());
    assert_eq!(bench.collection(&spec).rows, 10);
}

#[test]
fn another_epoch_is_another_quiet_baseline() {
    let (mut bench, spec) = known();
    let moved = Arc::new(crate::domain::collection::CollectionSpec { fingerprint: "v2".into(), ..threads() });
    let other: Vec<Record> = (0..3).map(|n| record(&format!("X-{n}"), &[])).collect();
    assert!(bench.sweep(&moved, &other).is_empty());
    assert_eq!((bench.collection(&spec).epoch, bench.rows[&spec.id()].len()), (2, 3));
    // Back again, and the same record is created as it was: still another fact.
    bench.sweep(&spec, &other);
    let mut ids = std::collections::BTreeSet::new();
    for fingerprint in ["v1", "v3", "v1"] {
        let spec = Arc::new(crate::domain::collection::CollectionSpec { fingerprint: fingerprint.into(), ..threads() });
        bench.sweep(&spec, &other);
        assert_eq!(bench.sweep(&spec, &[&other[..], &[record("X-9", &[])]].concat()), ["thread.created X-9"]);
        assert!(ids.insert(bench.last_event().event.id.clone()), "{fingerprint}");
    }
}

#[test]
fn a_reset_during_a_look_is_not_undone_by_its_end() {
    let (mut bench, spec) = known();
    let epoch = bench.begin(&spec);
    let mut notes = bench.page(&spec, Page::of(Rows::Records(titled(0..5)))).notes;
    bench.command(Command::Reset { collection: spec.id(), spend: false }).unwrap();
    crate::domain::cycle::add_notes(&mut notes, bench.page(&spec, Page::of(Rows::Records(titled(5..10)))).notes);
    bench.end(&spec, epoch, Evidence::Complete, notes);
    assert!(bench.collection(&spec).baseline.is_none(), "half of what it showed has been forgotten");
    assert_eq!(bench.sweep(&spec, &titled(0..10)), [""; 0], "so this is the baseline");
    assert_eq!(bench.sweep(&spec, &titled(0..11)), ["thread.created T-10"]);
}

#[test]
fn a_lost_field_is_told_once_and_again_after_it_was_back() {
    let (mut bench, spec) = known();
    let bare: Vec<Record> = titled(0..10).into_iter().map(|r| Record { fields: BTreeMap::new(), ..r }).collect();
    assert_eq!(bench.sweep(&spec, &bare), ["source.degraded acme"]);
    let data = &bench.last_event().event.data;
    assert_eq!((&data["fields"], &data["collection"]), (&json!(["title"]), &json!("threads")));
    assert!(data["detail"].as_str().unwrap().contains("10 threads"), "{}", data["detail"]);
    assert!(bench.sweep(&spec, &bare).is_empty());
    assert_eq!(bench.rows[&spec.id()]["T-00"].fields["title"], json!("x"), "the last known value is kept");
    let stranger = vec![record("T-99", &[("title", json!("new"))])];
    assert_eq!(bench.sweep(&spec, &[titled(0..10), stranger.clone()].concat()), ["thread.created T-99"], "no flood");
    assert!(bench.collection(&spec).degraded.is_empty());
    assert_eq!(bench.sweep(&spec, &[bare, stranger].concat()), ["source.degraded acme"]);
}

#[test]
fn a_field_lost_in_a_look_that_is_cut_short_is_told_by_the_next_good_one() {
    let (mut bench, spec) = known();
    let bare: Vec<Record> = titled(0..10).into_iter().map(|r| Record { fields: BTreeMap::new(), ..r }).collect();
    assert!(bench.look(&spec, vec![Rows::Records(bare.clone())], broken()).is_empty());
    assert_eq!(
        bench.sweep(&spec, &bare),
        ["source.degraded acme"],
        "the rows look as they did, the loss is still news"
    );
    assert!(bench.sweep(&spec, &bare).is_empty());
    assert!(bench.collection(&spec).vanishing.is_empty());
}

#[test]
fn threads_whose_cost_is_wanted() {
    use crate::domain::money::Micros;
    use crate::domain::roster;
    use crate::domain::rules::thread_cost::ThreadCostRule;
    use crate::domain::rules::{Rule, RuleSpec};
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    let wanted = |bench: &Bench| match bench.docs.get(&DocKey::Wanted("acme".into())).map(|(_, d)| d.as_ref()) {
        Some(Doc::Wanted(wanted)) => roster::due(wanted, bench.now).wanted,
        _ => Vec::<String>::new(),
    };
    let all = |bench: &Bench| match bench.docs.get(&DocKey::Wanted("acme".into())).map(|(_, d)| d.as_ref()) {
        Some(Doc::Wanted(wanted)) => roster::all(wanted, bench.now).wanted,
        _ => Vec::<String>::new(),
    };
    bench.sweep(&spec, &titled(0..1));
    assert!(wanted(&bench).is_empty(), "no rule asks");
    let rule = Rule::ThreadCost(ThreadCostRule { limits: vec![Micros(5_000_000)] });
    bench.world.rules = vec![RuleSpec { name: "dear".into(), sources: vec![], rule }];
    let at = |key: &str, secs: usize, main: &str| Record {
        facts: [("updatedAt".to_owned(), json!(format!("2027-01-01T00:{secs:02}:00Z")))].into(),
        ..record(key, &[("title", json!("x")), ("mainThreadID", json!(main))])
    };
    bench.sweep(&spec, &[at("T-00", 1, ""), at("T-01", 2, "T-00"), at("T-02", 3, "T-77")]);
    assert_eq!(wanted(&bench), ["T-77", "T-00"], "a sub-thread's cost is in its main thread's");
    let costs = collection("acme", "costs", Role::Cost);
    bench.begin(&costs);
    bench.page(&costs, Page { asked: vec!["T-77".into()], ..Page::of(Rows::Costs(vec![])) });
    assert_eq!(wanted(&bench), ["T-00"], "asked, whatever the answer was");
    bench.sweep(&spec, &[at("T-00", 1, ""), at("T-01", 9, "T-00"), at("T-02", 3, "T-77")]);
    assert_eq!(wanted(&bench), ["T-00"]);
    bench.sweep(&spec, &[at("T-00", 1, ""), at("T-01", 9, "T-00"), at("T-02", 4, "T-77")]);
    assert_eq!(wanted(&bench), ["T-00", "T-77"], "worked on since");
    bench.page(&costs, Page { asked: all(&bench), ..Page::of(Rows::Costs(vec![])) });
    assert_eq!((wanted(&bench).len(), all(&bench)), (0, vec!["T-00".to_owned(), "T-77".to_owned()]));

    let (mut bench, rules) = (Bench::new(), std::mem::take(&mut bench.world.rules));
    bench.world.rules = rules;
    let many: Vec<Record> = (0..2_100).map(|n| at(&format!("T-{n:04}"), n / 40, "")).collect();
    bench.sweep(&spec, &many);
    assert_eq!((wanted(&bench).len(), all(&bench).len()), (roster::KEPT, roster::ROUND));
    assert_eq!((wanted(&bench)[0].as_str(), all(&bench)[0].as_str()), ("T-2099", "T-2099"), "the newest");
}

#[test]
fn threads_that_came_before_anybody_asked_for_costs_are_asked_for_in_their_turn() {
    use crate::domain::roster;
    use crate::domain::rules::thread_cost::ThreadCostRule;
    use crate::domain::rules::{Rule, RuleSpec};
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &titled(0..3));
    let rule = Rule::ThreadCost(ThreadCostRule { limits: vec![crate::domain::money::Micros(5_000_000)] });
    bench.world.rules = vec![RuleSpec { name: "dear".into(), sources: vec![], rule }];
    bench.sweep(&spec, &titled(0..3));
    let Some(Doc::Wanted(known)) = bench.docs.get(&DocKey::Wanted("acme".into())).map(|(_, d)| d.as_ref()) else {
        panic!("none are known")
    };
    let round = roster::due(known, bench.now);
    assert_eq!((round.wanted.len(), round.again.len(), roster::all(known, bench.now).wanted.len()), (0, 3, 3));
}

#[test]
fn a_member_is_told_with_address_and_name() {
    let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
    bench.sweep(&spec, &[]);
    let member = Record {
        who: Some("Bo@example.com".into()),
        name: Some("Bo".into()),
        ..record("bo@example.com", &[("role", json!("member"))])
    };
    let thread = Record { who: Some("Bo@example.com".into()), name: Some("Fix CI".into()), ..record("T-1", &[]) };
    bench.sweep(&spec, &[member, thread]);
    let who =
        |key: &str| bench.events.iter().find(|e| e.event.subject == key).map(|e| e.event.data["who"].clone()).unwrap();
    let bo = json!({"id": "Bo@example.com", "email": "Bo@example.com", "name": "Bo"});
    assert_eq!(who("bo@example.com"), bo);
    assert_eq!(who("T-1")["name"], Value::Null, "a title is nobody's name");
}

#[test]
fn a_collection_that_follows_another_asks_about_what_came_or_changed() {
    use crate::domain::collection::CollectionSpec;
    let mut bench = Bench::new();
    let lead = Arc::new(CollectionSpec { followed_by: Some("messages".into()), ..threads() });
    let mut follower = CollectionSpec { name: "messages".into(), one_by_one: true, ..threads() };
    follower.events.created = None;
    let follower = Arc::new(follower);
    let queue = |bench: &Bench| match bench.docs.get(&follower.wanted().unwrap()).map(|(_, d)| d.as_ref()) {
        Some(Doc::Wanted(wanted)) => wanted.keys().cloned().collect(),
        _ => Vec::<String>::new(),
    };
    let thread = |key: &str, at: &str| Record {
        facts: [("updatedAt".to_owned(), json!(format!("2027-01-01T00:{at}:00Z")))].into(),
        name: Some(format!("Title of {key}")),
        link: Some("https://example.com/T".into()),
        ..record(key, &[("title", json!("x")), ("mainThreadID", json!("T-77"))])
    };
    let ask = |bench: &mut Bench, count: u64| {
        let before = bench.events.len();
        let epoch = bench.begin(&follower);
        let seen = record("T-1", &[("messageCount", json!(count)), ("lastState", json!("complete"))]);
        let page = Page { asked: vec!["T-1".into()], ..Page::of(Rows::Records(vec![seen])) };
        let notes = bench.page(&follower, page).notes;
        bench.end(&follower, epoch, Evidence::Window, notes);
        bench.told_since(before)
    };
    bench.sweep(&lead, &[thread("T-1", "01"), thread("T-2", "02")]);
    assert_eq!(queue(&bench), ["T-1", "T-2"], "each by itself, sub-thread or not");
    assert!(ask(&mut bench, 3).is_empty(), "the first count is learned silently");
    assert_eq!(queue(&bench), ["T-2"]);
    let state = bench.collection(&follower);
    assert_eq!((state.baseline.is_some(), state.rows), (true, 1), "nothing but windows, and yet a baseline");
    bench.sweep(&lead, &[thread("T-1", "01"), thread("T-2", "02")]);
    assert_eq!(queue(&bench), ["T-2"], "nothing changed");
    bench.sweep(&lead, &[thread("T-1", "09"), thread("T-2", "02")]);
    assert_eq!(queue(&bench), ["T-1", "T-2"]);
    assert_eq!(ask(&mut bench, 5), ["thread.updated T-1"]);
    let event = &bench.last_event().event;
    assert_eq!(event.data["before"], json!({"messageCount": 3, "lastState": "complete"}));
    assert_eq!(event.data["after"]["messageCount"], json!(5));
    assert_eq!((&event.data["changed"], &event.data["name"]), (&json!(["messageCount"]), &json!("Title of T-1")));
    assert_eq!(event.time.to_string(), "2027-01-01T00:09:00Z", "when the thread was worked on");
    assert!(ask(&mut bench, 5).is_empty());

    bench.begin(&follower);
    let failed = Page { asked: vec!["T-2".into()], failed: vec!["T-2".into()], ..Page::of(Rows::Records(vec![])) };
    bench.page(&follower, failed);
    let due = |bench: &Bench| match bench.docs.get(&follower.wanted().unwrap()).map(|(_, d)| d.as_ref()) {
        Some(Doc::Wanted(wanted)) => crate::domain::roster::due(wanted, bench.now),
        _ => panic!("no queue"),
    };
    assert_eq!((due(&bench).wanted.len(), due(&bench).again.len()), (0, 0), "not at once");
    bench.later(300);
    assert_eq!(due(&bench).again, ["T-2"], "what could not be read is not forgotten");
}

#[test]
fn another_epoch_or_a_reset_of_a_gauge_starts_anew() {
    let gauge = |fingerprint: &str| {
        let mut spec = collection("acme", "wallet", Role::Gauge).as_ref().clone();
        spec.fingerprint = fingerprint.into();
        spec.gauge.bands = [("low".to_owned(), 5_000_000)].into();
        spec.gauge.events = [("low".to_owned(), "wallet.low".to_owned()), ("ok".into(), "wallet.ok".into())].into();
        Arc::new(spec)
    };
    let look = |bench: &mut Bench, spec: &Arc<_>, value: i64| {
        let row =
            GaugeRow { key: "wallet".into(), name: None, value: json!(value), band: None, facts: BTreeMap::new() };
        bench.look(spec, vec![Rows::Gauges(vec![row])], Evidence::Complete)
    };
    for forget in [false, true] {
        let (mut bench, first) = (Bench::new(), gauge("v1"));
        assert!(look(&mut bench, &first, 9).is_empty());
        assert!(look(&mut bench, &first, 9).is_empty());
        let next = if forget {
            bench.command(Command::Reset { collection: first.id(), spend: false }).unwrap();
            gauge("v1")
        } else {
            gauge("v2")
        };
        assert!(look(&mut bench, &next, 1).is_empty());
        assert_eq!(look(&mut bench, &next, 1), ["wallet.low wallet"]);
        assert_eq!(bench.last_event().event.data["baseline"], json!(true), "another wallet: it never was full");
    }
}

#[test]
fn the_same_steps_give_the_same_ids_and_other_facts_give_others() {
    let story = |titles: &[&str]| {
        let (mut bench, spec) = (Bench::new(), Arc::new(threads()));
        bench.sweep(&spec, &[]);
        for title in titles {
            bench.sweep(&spec, &[record("T-1", &[("title", (*title).into())])]);
        }
        bench.events.into_iter().map(|e| e.event.id).collect::<Vec<_>>()
    };
    let (first, second) = (story(&["a", "b", "a", "b"]), story(&["a", "b", "a", "b"]));
    assert_eq!(first, second);
    assert_eq!(first.len(), 4);
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "a to b twice is two facts");
    assert_eq!(story(&["a", "c"])[0], first[0]);
    assert_ne!(story(&["a", "c"])[1], first[1], "another value, another fact");
}

#[test]
fn a_begin_that_changes_nothing_writes_nothing() {
    let (mut bench, spec) = known();
    let plan = bench.step(&Input::Begin { spec: Arc::clone(&spec) });
    assert!(plan.docs.is_empty() && plan.rows.is_empty() && !plan.clear_rows);
    let end = bench.end(
        &spec,
        7,
        Evidence::Partial(Failure { kind: FailureKind::Broken, message: "m".into() }),
        LookNotes::default(),
    );
    assert!(end.events.is_empty());
}

#[test]
fn what_a_report_says_is_kept_for_digests() {
    let mut bench = Bench::new();
    let spec = Arc::new(crate::domain::collection::CollectionSpec { quoted: Some("title".into()), ..threads() });
    let said = |bench: &Bench| match bench.docs.get(&DocKey::Quotes("acme".into())).map(|(_, d)| d.as_ref()) {
        Some(Doc::Quotes(quotes)) => quotes.values().map(|q| q.text.clone()).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    bench.sweep(&spec, &[record("report", &[("title", "Saved $12.".into())])]);
    assert_eq!(said(&bench), ["Saved $12."]);
    bench.sweep(&spec, &[record("report", &[("title", Value::Null)])]);
    assert_eq!(said(&bench), ["Saved $12."], "nothing new was said");
    bench.sweep(&spec, &[record("report", &[("title", "long ".repeat(500).into())])]);
    assert_eq!(said(&bench)[0].chars().count(), 300);
}
