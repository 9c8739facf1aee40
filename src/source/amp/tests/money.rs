//! Daily usage and the costs of threads.

use super::*;
use crate::domain::money::Micros;
use crate::domain::record::Person;
use crate::domain::spend::Basis;

const PATH: &str = "/api/v2/workspace/analytics/daily-usage";

fn user(id: &str, usage: &Value, models: &Value) -> Value {
    json!({"user": {"id": id, "email": format!("{id}@example.com")},
           "metrics": {"linesAdded": 1, "linesDeleted": 0, "linesModified": 0, "usage": usage}, "models": models})
}

fn state(long: &str) -> CollectionState {
    CollectionState {
        baseline: Some(NOW.parse().unwrap()),
        cursor: json!({"long": long}),
        ..CollectionState::default()
    }
}

impl Rig {
    async fn usage(&self, state: CollectionState) -> Look {
        self.look(LookRequest { state, ..self.request("daily_usage") }).await
    }

    fn ranges(&self) -> Vec<(String, String)> {
        let queries = self.fake.queries(PATH);
        queries.into_iter().map(|q| (q["endDate"].clone(), q["lookbackDays"].clone())).collect()
    }
}

fn owned(ranges: &[(&str, &str)]) -> Vec<(String, String)> {
    ranges.iter().map(|(end, days)| ((*end).to_owned(), (*days).to_owned())).collect()
}

#[tokio::test]
async fn how_far_back_a_look_goes() {
    let rig = Rig::new().await;
    let look = rig.usage(CollectionState::default()).await;
    assert_eq!((look.end.evidence, look.end.cursor), (Evidence::Complete, Some(json!({"long": "2026-11-22"}))));
    let look = rig.usage(state("2026-11-22")).await;
    assert_eq!(look.end.asked_from, Some(jiff::civil::date(2026, 11, 19)), "today and three days before");
    assert_eq!(look.end.whole_from, Some(jiff::civil::date(2026, 11, 20)), "the first may begin a day late");
    assert_eq!((look.end.evidence, look.end.cursor), (Evidence::Complete, None));
    for long in ["2026-11-21", "2026-10-03", "2020-01-01", "2027-01-01", "?"] {
        assert_eq!(rig.usage(state(long)).await.end.cursor, Some(json!({"long": "2026-11-22"})), "{long}");
    }
    let end = "2026-11-22";
    let expected = ["90", "4", "35", "54", "365", "35", "35"].map(|days| (end, days));
    assert_eq!(rig.ranges(), owned(&expected));
}

#[tokio::test]
async fn the_servers_day_counts() {
    let rig = Rig::new().await;
    rig.fake.world().date = "Mon, 23 Nov 2026 00:30:00 GMT".into();
    rig.fake.world().days = vec![json!({"date": "2026-11-23", "users": [user("u1", &json!(1), &json!({}))]})];
    let look = rig.usage(state("2026-11-22")).await;
    assert_eq!((look.end.evidence.clone(), look.spend().len()), (Evidence::Complete, 1));
    assert_eq!(rig.ranges(), owned(&[("2026-11-22", "4"), ("2026-11-23", "35")]));
    // The server's clock is carried on by ours between answers.
    rig.clock.advance(Duration::from_hours(24));
    rig.usage(state("2026-11-24")).await;
    assert_eq!(rig.ranges()[2], ("2026-11-24".into(), "4".into()));
}

#[tokio::test]
async fn rows_are_split_and_bad_ones_left_out() {
    let rig = Rig::new().await;
    let tokens = |n: u64| {
        json!({"requests": 1, "inputTokens": n, "outputTokens": 0, "cacheReadInputTokens": 0,
                                 "cacheCreationInputTokens": 0, "totalTokens": n})
    };
    rig.fake.world().members = vec![json!({"name": "Ana", "email": "ANA@example.com", "role": "admin"})];
    rig.fake.world().days = vec![
        json!({"date": "2026-11-21", "users": [
            user("ana", &json!(10.000_001), &json!({"claude-opus-4-5": tokens(1_000), "claude-haiku-4-5": tokens(1_000)})),
            user("bo", &json!("NaN"), &json!({})),
            user("cy", &json!(-1), &json!({})),
            {"user": {"email": "x@example.com"}, "metrics": {"usage": 1}, "models": {}},
            user("di", &json!(1e300), &json!({})),
            {"user": {"id": "ed"}, "metrics": {}},
            user("ana", &json!(3), &json!({})),
            user("flo", &json!(0), &json!({"gpt-5": tokens(7)})),
        ]}),
        json!({"date": "someday", "users": []}),
        json!({"date": "2026-11-22", "users": [{"user": {"id": "ana"}, "metrics": {"usage": 2.5}}]}),
    ];
    rig.full("members").await;
    let look = rig.usage(CollectionState::default()).await;
    assert_eq!(look.end.evidence, Evidence::Complete, "the poll goes on");
    assert_eq!(
        look.quarantined(),
        [
            "row 2 of 2026-11-21 has an amount that is none",
            "row 3 of 2026-11-21 has a negative amount",
            "row 4 of 2026-11-21 has no usable user id",
            "row 5 of 2026-11-21 has an amount that is none",
            "row 6 of 2026-11-21 has no amount",
            "row 7 of 2026-11-21 is of a user who has had a row of that day",
        ]
        .into_iter()
        .chain(["day 2 has no usable date"])
        .collect::<Vec<_>>()
    );
    let uncounted = &look.pages[0].uncounted;
    assert_eq!(uncounted.days.iter().map(|day| day.day()).collect::<Vec<_>>(), [21]);
    assert!(uncounted.until.is_some(), "and a row of nobody knows which day");
    let rows = look.spend();
    let shown: Vec<_> = rows
        .iter()
        .map(|r| (r.day.day(), r.user.as_deref().unwrap(), r.model.as_deref(), r.amount.0, r.tokens, r.basis))
        .collect();
    // $5 and $1 a million: five parts in six and one.
    assert_eq!(
        shown,
        [
            (21, "ana", Some("claude-opus-4-5"), 8_333_334, 1_000, Basis::Split),
            (21, "ana", Some("claude-haiku-4-5"), 1_666_667, 1_000, Basis::Split),
            (21, "flo", None, 0, 7, Basis::Billed),
            (22, "ana", None, 2_500_000, 0, Basis::Billed),
        ]
    );
    assert!(rows.iter().all(|row| row.whole_user));
    let ana = Person { email: Some("ana@example.com".into()), name: Some("Ana".into()) };
    assert_eq!(look.pages[0].people.get("ana"), Some(&ana));
}

#[tokio::test]
async fn amounts_json_cannot_hold_cost_their_row_only() {
    let rig = Rig::new().await;
    let body = r#"{"metadata": {"startDate": "2026-08-25", "endDate": "2026-11-22"}, "data": [{"date": "2026-11-22",
        "users": [{"user": {"id": "a"}, "metrics": {"usage": NaN}}, {"user": {"id": "b"}, "metrics": {"usage": 1e999}},
                  {"user": {"id": "c"}, "metrics": {"usage": 1.25}}]}]}"#;
    rig.fake.script(PATH, [Script::ok(body)]);
    let look = rig.usage(CollectionState::default()).await;
    assert_eq!((look.end.evidence.clone(), look.quarantined().len()), (Evidence::Complete, 2));
    assert_eq!(look.spend()[0].amount, Micros(1_250_000));
}

#[tokio::test]
async fn another_range_than_asked_for_is_partial() {
    for (metadata, message) in [
        (json!({"startDate": "2026-11-19", "endDate": "2026-11-21"}), "up to 2026-11-22 and names 2026-11-21"),
        (json!({}), "names none"),
        (json!({"startDate": "2026-11-22", "endDate": "2026-11-22"}), "from 2026-11-19 and begins with 2026-11-22"),
    ] {
        let rig = Rig::new().await;
        let days = json!([{"date": "2026-11-21", "users": [user("u", &json!(1), &json!({}))]}]);
        rig.fake.script(PATH, [Script::ok(&json!({"metadata": metadata, "data": days}))]);
        let look = rig.usage(state("2026-11-22")).await;
        look.assert_broken(message);
        assert_eq!(look.spend().len(), 1, "what was shown still counts");
    }
    let rig = Rig::new().await;
    rig.fake.script(PATH, [Script::ok(&json!({"metadata": {"endDate": "2026-11-22"}}))]);
    rig.usage(state("2026-11-22")).await.assert_broken("no list `data`");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_asked_for_in_parts() {
    let rig = Rig::new().await;
    rig.fake.world().days = (1..=22)
        .map(|day| json!({"date": format!("2026-11-{day:02}"), "users": [user("u", &json!(day), &json!({}))]}))
        .collect();
    rig.fake.script(PATH, [Script::ok(&" ".repeat(17 << 20)), Script::ok(&" ".repeat(17 << 20))]);
    let look = rig.usage(CollectionState::default()).await;
    assert_eq!((look.end.evidence.clone(), look.spend().len()), (Evidence::Complete, 22));
    let expected = [
        ("2026-11-22", "90"),
        ("2026-11-22", "45"),
        ("2026-11-22", "22"),
        ("2026-10-31", "22"),
        ("2026-10-09", "22"),
        ("2026-09-17", "22"),
        ("2026-08-26", "2"),
    ];
    assert_eq!(rig.ranges(), owned(&expected));
}

#[tokio::test]
async fn days_that_were_not_asked_for_are_left_out() {
    let rig = Rig::new().await;
    let day =
        |date: &str| json!({"date": date, "users": [{"user": {"id": "u"}, "metrics": {"usage": 5}, "models": {}}]});
    let answer = |start: &str| {
        let days = ["2026-08-23", "2026-08-24", "2026-08-25", "2026-11-22", "2026-11-23"].map(day);
        json!({"metadata": {"startDate": start, "endDate": "2026-11-22"}, "data": days})
    };
    for (start, shown) in [("2026-08-25", 2), ("2026-08-24", 3), ("2026-08-23", 2)] {
        rig.fake.script(PATH, [Script::ok(&answer(start))]);
        let look = rig.full("daily_usage").await;
        assert_eq!((look.end.evidence.clone(), look.spend().len()), (Evidence::Complete, shown), "{start}");
        assert_eq!(look.quarantined().len(), 5 - shown, "{start}");
        assert!(look.quarantined().contains(&"a row of 2026-11-23 is of a day that was not asked for"));
    }
}

#[tokio::test]
async fn costs_of_threads() {
    let rig = Rig::new().await;
    for (id, usage) in [("T-1", json!(12.5)), ("T-2", json!("x")), ("T-3", json!(-1)), ("T-4", json!(0))] {
        let body = json!({"threadID": id, "subThreadIDs": ["a", "b"], "usage": usage});
        rig.fake.world().usage.insert(id.into(), body);
    }
    let wanted = ["T-1", "T-2", "T-404", "T-3", "..", "T-4"].map(str::to_owned).to_vec();
    let look = rig.look(LookRequest { wanted: wanted.clone(), ..rig.request("thread_usage") }).await;
    assert_eq!(look.end.evidence, Evidence::Window);
    let costs: Vec<_> = look.costs().iter().map(|c| (c.key.as_str(), c.cost.0, c.estimated)).collect();
    assert_eq!(costs, [("T-1", 12_500_000, false), ("T-4", 0, false)]);
    assert_eq!(look.costs()[0].facts["subThreads"], 2);
    assert_eq!(look.pages[0].asked, wanted, "404 is an answer, not $0");
    assert_eq!(look.quarantined().len(), 2);
}

#[tokio::test]
async fn costs_keep_to_an_hourly_budget_and_to_what_was_answered() {
    let rig = Rig::with(Fake::start().await, &json!({"thread_calls_per_hour": 25}));
    let wanted: Vec<String> = (0..40).map(|n| format!("T-{n}")).collect();
    let look = |wanted: Vec<String>| rig.look(LookRequest { wanted, ..rig.request("thread_usage") });
    let asked = |look: &Look| look.pages.iter().map(|page| page.asked.len()).collect::<Vec<_>>();
    assert_eq!(asked(&look(wanted.clone()).await), [20, 5]);
    assert_eq!(asked(&look(wanted.clone()).await), [0_usize; 0]);
    rig.clock.advance(Duration::from_secs(3601));
    rig.fake.script("/api/v2/threads/T-2/usage", [Script::status(403)]);
    let third = look(wanted).await;
    assert!(matches!(third.failure().0, FailureKind::Forbidden { .. }));
    assert_eq!(third.pages[0].asked, ["T-0", "T-1"], "what was not answered stays wanted");
}

#[tokio::test]
async fn what_is_asked_again_leaves_half_of_the_hour_for_what_is_worked_on() {
    let rig = Rig::with(Fake::start().await, &json!({"thread_calls_per_hour": 5}));
    let keys = |from: usize, to: usize| (from..to).map(|n| format!("T-{n}")).collect::<Vec<_>>();
    let asked = |look: &Look| look.pages.iter().flat_map(|page| page.asked.clone()).collect::<Vec<_>>();
    let look = rig.look(LookRequest { again: keys(0, 9), ..rig.request("thread_usage") }).await;
    assert_eq!(asked(&look), keys(0, 3));
    let request = LookRequest { wanted: keys(10, 11), again: keys(3, 9), ..rig.request("thread_usage") };
    assert_eq!(asked(&rig.look(request).await), ["T-10"]);
    let request = LookRequest { wanted: keys(20, 40), all: true, ..rig.request("thread_usage") };
    assert_eq!(asked(&rig.look(request).await), keys(20, 40), "where somebody asks for all, all of them");
    let request = LookRequest { wanted: keys(11, 20), ..rig.request("thread_usage") };
    assert_eq!(asked(&rig.look(request).await), ["T-11"], "that is besides");
}

#[tokio::test]
async fn a_thread_that_can_t_be_asked_for_stands_in_nobody_s_way() {
    let rig = Rig::new().await;
    rig.fake.script("/api/v2/threads/T-1/usage", [Script::ok("<html>")]);
    let wanted = ["T-0", "T-1", "T-2"].map(str::to_owned).to_vec();
    let look = rig.look(LookRequest { wanted, ..rig.request("thread_usage") }).await;
    look.assert_broken("T-1: GET /api/v2/threads/T-1/usage");
    assert_eq!(look.pages[0].asked, ["T-0", "T-1", "T-2"], "asked, without an answer: later again, after the others");
    assert!(!look.end.idle);
}

#[tokio::test]
async fn several_that_fail_in_a_row_end_the_look() {
    let rig = Rig::new().await;
    for n in 1..6 {
        rig.fake.script(&format!("/api/v2/threads/T-{n}/usage"), [Script::ok("<html>")]);
    }
    let wanted: Vec<String> = (0..6).map(|n| format!("T-{n}")).collect();
    let look = rig.look(LookRequest { wanted, ..rig.request("thread_usage") }).await;
    look.assert_broken("T-1, T-2, T-3: GET");
    assert_eq!(look.pages[0].asked, ["T-0", "T-1", "T-2", "T-3"]);
}

#[tokio::test]
async fn a_look_with_nothing_to_ask_was_idle() {
    let rig = Rig::with(Fake::start().await, &json!({"messages": true}));
    for collection in ["thread_usage", "messages"] {
        let look = rig.full(collection).await;
        assert_eq!((look.end.evidence.clone(), look.end.idle), (Evidence::Window, true), "{collection}");
    }
    assert!(!rig.full("members").await.end.idle);
}
