//! The data of the samples, built from the payload structs, so that it can't drift from them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::event::data_of;
use crate::domain::ids;
use crate::domain::money::Micros;
use crate::domain::payload::{
    BudgetData, ChangeData, Contribution, CorrectionData, DeadData, DegradedData, DigestData, ForecastData, HeldData,
    LevelData, Share, SinkHealthData, SourceHealthData, SpikeData, SpikeResolvedData, StaleData, TestData,
    ThreadCostData, Top, Who,
};

type Data = Map<String, Value>;

pub const THREAD: &str = "T-019aabcd-1234-7abc-8def-0123456789ab";
const LINK: &str = "https://ampcode.com/threads/T-019aabcd-1234-7abc-8def-0123456789ab";
const TODAY: &str = "2026-11-22";
const SINCE: &str = "2026-11-22T13:40:00Z";

fn cents(cents: i64) -> Micros {
    Micros(cents * 10_000)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn person(id: &str, name: &str) -> Who {
    Who { id: text(id), email: Some(format!("{name}@example.com")), name: Some(text(name)) }
}

fn ana() -> Who {
    person("user_01ANA", "ana")
}

fn bo() -> Who {
    person("user_01BO", "bo")
}

fn incident(name: &str) -> String {
    ids::derive("inc", &["sample", name])
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(name, value)| (text(name), value)).collect()
}

fn share(who: Option<Who>, model: Option<&str>, spend: i64, percent: f64) -> Share {
    Share { who, model: model.map(text), spend_usd: cents(spend), percent: Some(percent), estimated: false }
}

pub fn exceeded() -> Data {
    data_of(&BudgetData {
        rule: text("daily-budget"),
        scope: text("workspace"),
        who: None,
        sources: vec![text("acme")],
        period: text("day"),
        period_start: text(TODAY),
        period_alignment: text("utc-day"),
        spend_usd: cents(21_240),
        limit_usd: cents(20_000),
        percent: Some(106.2),
        threshold: 100.0,
        thresholds_crossed: vec![80.0, 100.0],
        top: Top {
            users: vec![
                share(Some(ana()), None, 8_810, 41.4),
                share(Some(bo()), None, 6_020, 28.3),
                share(Some(person("user_01CY", "cy")), None, 3_300, 15.5),
            ],
            models: vec![
                share(None, Some("gpt-5"), 12_030, 56.6),
                share(None, Some("claude-sonnet-4-5"), 7_110, 33.4),
                share(None, Some("gemini-2.5-flash"), 2_100, 9.8),
            ],
        },
        estimated: false,
        baseline: false,
        late: false,
        cause: text("spend"),
        also: Vec::new(),
        incident: incident("budget"),
        state: text("open"),
    })
}

pub fn threshold() -> Data {
    data_of(&BudgetData {
        rule: text("per-person"),
        scope: text("user:user_01ANA"),
        who: Some(ana()),
        sources: vec![text("acme")],
        period: text("month"),
        period_start: text("2026-11-01"),
        period_alignment: text("utc-day"),
        spend_usd: cents(41_050),
        limit_usd: cents(50_000),
        percent: Some(82.1),
        threshold: 80.0,
        thresholds_crossed: vec![80.0],
        top: Top {
            users: vec![share(Some(ana()), None, 41_050, 100.0)],
            models: vec![share(None, Some("claude-sonnet-4-5"), 40_100, 97.6), share(None, Some("gpt-5"), 950, 2.3)],
        },
        estimated: false,
        baseline: false,
        late: false,
        cause: text("spend"),
        also: Vec::new(),
        incident: incident("budget-ana"),
        state: text("open"),
    })
}

pub fn corrected() -> Data {
    data_of(&CorrectionData {
        rule: text("daily-budget"),
        scope: text("workspace"),
        who: None,
        sources: vec![text("acme")],
        period: text("day"),
        period_start: text("2026-11-18"),
        spend_usd: cents(15_020),
        limit_usd: cents(20_000),
        told_usd: cents(20_000),
        incident: incident("budget"),
        state: text("resolved"),
    })
}

pub fn forecast() -> Data {
    data_of(&ForecastData {
        rule: text("monthly-budget"),
        scope: text("workspace"),
        who: None,
        sources: vec![text("acme")],
        period: text("month"),
        period_start: text("2026-11-01"),
        spend_usd: cents(261_044),
        limit_usd: cents(300_000),
        forecast_usd: cents(342_150),
        low_usd: cents(318_000),
        high_usd: cents(366_000),
        reached_on: Some(text("2026-11-26")),
        incident: incident("forecast"),
        state: text("open"),
    })
}

pub fn spike() -> Data {
    let part =
        |who: Option<Who>, model: Option<&str>, actual: i64, expected: i64, share: f64, reason: &str| Contribution {
            who,
            model: model.map(text),
            actual_usd: cents(actual),
            expected_usd: cents(expected),
            excess_usd: cents(actual - expected),
            share,
            reason: text(reason),
        };
    data_of(&SpikeData {
        rule: text("spend-spike"),
        scope: text("workspace"),
        who: None,
        sources: vec![text("acme")],
        date: text(TODAY),
        actual_usd: cents(9_640),
        expected_usd: cents(3_110),
        excess_usd: cents(6_530),
        ratio: 3.1,
        score: 5.42,
        score_needed: 3.5,
        lower_bound: true,
        history_days: 61,
        attribution: vec![
            part(Some(ana()), Some("gpt-5"), 5_210, 0, 78.6, "new"),
            part(Some(bo()), Some("claude-sonnet-4-5"), 3_000, 1_780, 18.4, "volume"),
            part(None, None, 1_430, 1_330, 3.0, "others"),
        ],
        estimated: false,
        baseline: false,
        also: Vec::new(),
        incident: incident("spike"),
        state: text("open"),
    })
}

pub fn spike_resolved() -> Data {
    data_of(&SpikeResolvedData {
        rule: text("spend-spike"),
        scope: text("workspace"),
        who: None,
        sources: vec![text("acme")],
        date: text("2026-11-20"),
        actual_usd: cents(9_640),
        expected_usd: cents(3_110),
        resolution: text("back_to_normal"),
        incident: incident("spike"),
        state: text("resolved"),
    })
}

pub fn thread_cost() -> Data {
    data_of(&ThreadCostData {
        rule: text("dear-threads"),
        key: text(THREAD),
        name: text("Fix the flaky integration tests"),
        who: Some(ana()),
        link: Some(text(LINK)),
        cost_usd: cents(2_785),
        limit_usd: cents(2_500),
        limits_crossed: vec![cents(500), cents(2_500)],
        sub_threads: 2,
        estimated: false,
        baseline: false,
        also: Vec::new(),
    })
}

fn thread() -> ChangeData {
    ChangeData {
        key: text(THREAD),
        noun: text("thread"),
        name: text("Fix the flaky integration tests"),
        who: Some(ana()),
        link: Some(text(LINK)),
        before: None,
        after: None,
        changed: Vec::new(),
        facts: fields([
            ("createdAt", json!("2026-11-22T13:58:12Z")),
            ("firstSyncedAt", json!("2026-11-22T13:58:20Z")),
            ("updatedAt", json!("2026-11-22T14:04:41Z")),
        ]),
    }
}

fn thread_fields(title: &str) -> BTreeMap<String, Value> {
    fields([
        ("creatorUserID", json!("user_01ANA")),
        ("mainThreadID", Value::Null),
        ("repositories", json!([{ "url": "https://github.com/example/web", "dir": "services/api" }])),
        ("title", json!(title)),
    ])
}

pub fn thread_created() -> Data {
    let thread = thread();
    data_of(&ChangeData { after: Some(thread_fields(&thread.name)), ..thread })
}

pub fn thread_updated() -> Data {
    let thread = thread();
    let (before, after) = (thread_fields("Fix tests"), thread_fields(&thread.name));
    data_of(&ChangeData { before: Some(before), after: Some(after), changed: vec![text("title")], ..thread })
}

pub fn thread_deleted() -> Data {
    let thread = thread();
    data_of(&ChangeData { before: Some(thread_fields(&thread.name)), ..thread })
}

fn member(name: &str, before: Option<&str>, after: Option<&str>) -> ChangeData {
    let email = format!("{name}@example.com");
    let side = |role: &str| fields([("name", json!(name)), ("role", json!(role))]);
    let changed = if before.is_some() && after.is_some() { vec![text("role")] } else { Vec::new() };
    ChangeData {
        key: email.clone(),
        noun: text("member"),
        name: text(name),
        who: Some(Who { id: email.clone(), email: Some(email), name: Some(text(name)) }),
        link: None,
        before: before.map(side),
        after: after.map(side),
        changed,
        facts: BTreeMap::new(),
    }
}

pub fn member_added() -> Data {
    data_of(&member("cy", None, Some("member")))
}

pub fn member_removed() -> Data {
    data_of(&member("cy", Some("member"), None))
}

pub fn role_changed() -> Data {
    data_of(&member("bo", Some("member"), Some("admin")))
}

fn source_health(failures: u32, lasted: Option<&str>) -> Data {
    data_of(&SourceHealthData {
        source: text("acme"),
        collection: text("threads"),
        failures,
        since: text(SINCE),
        error: text("GET /api/v2/threads answered 503 (service unavailable); it is tried again at the next poll"),
        lasted: lasted.map(text),
        incident: incident("source"),
        state: text(if lasted.is_some() { "resolved" } else { "open" }),
    })
}

pub fn failing() -> Data {
    source_health(3, None)
}

pub fn recovered() -> Data {
    source_health(7, Some("25 min"))
}

pub fn degraded() -> Data {
    data_of(&DegradedData {
        source: text("acme"),
        collection: text("threads"),
        fields: vec![text("repositories"), text("title")],
        scope: None,
        detail: text(
            "repositories, title no longer come with 100 of the rows threads; the last known values are kept and nothing counts as changed. A scope of the credentials may have been withdrawn.",
        ),
    })
}

pub fn held() -> Data {
    data_of(&HeldData {
        hold: text("hold_3f9a1c07de"),
        source: text("acme"),
        collection: text("threads"),
        noun: text("thread"),
        count: 240,
        known: 1_200,
        sample: vec![
            text(THREAD),
            text("T-019aabce-0002-7abc-8def-0123456789ab"),
            text("T-019aabce-0003-7abc-8def-0123456789ab"),
        ],
    })
}

fn staleness(lasted: Option<&str>) -> Data {
    data_of(&StaleData {
        source: text("acme"),
        collection: text("daily_usage"),
        since: text("2026-11-20T09:00:00Z"),
        lasted: lasted.map(text),
        incident: incident("stale"),
        state: text(if lasted.is_some() { "resolved" } else { "open" }),
    })
}

pub fn stale() -> Data {
    staleness(None)
}

pub fn fresh() -> Data {
    staleness(Some("2 d 5 h"))
}

fn sink_health(failures: u32, lasted: Option<&str>) -> Data {
    data_of(&SinkHealthData {
        sink: text("automation"),
        failures,
        since: text(SINCE),
        error: text("HTTP 502: bad gateway"),
        stopped: false,
        lasted: lasted.map(text),
        incident: incident("sink"),
        state: text(if lasted.is_some() { "resolved" } else { "open" }),
    })
}

pub fn sink_failing() -> Data {
    sink_health(3, None)
}

pub fn sink_recovered() -> Data {
    sink_health(9, Some("25 min"))
}

pub fn dead() -> Data {
    data_of(&DeadData {
        delivery: ids::derive("dlv", &["sample"]),
        sink: text("finance"),
        events: vec![ids::derive("evt", &["sample", "budget.exceeded"])],
        event_type: text("budget.exceeded"),
        subject: text("workspace"),
        reason: text("550 5.1.1 finance@example.com: mailbox unavailable"),
        attempts: 1,
    })
}

pub fn test() -> Data {
    data_of(&TestData { message: text("If you can read this, messages to this sink arrive."), sink: text("ops") })
}

pub fn daily() -> Data {
    digest(
        "day",
        "2026-11-21",
        "2026-11-21",
        &[
            ("thread.created", 9),
            ("member.added", 2),
            ("budget.exceeded", 1),
            ("cost.spike", 1),
            ("source.recovered", 1),
        ],
    )
}

pub fn weekly() -> Data {
    digest(
        "week",
        "2026-11-16",
        "2026-11-22",
        &[("thread.created", 61), ("thread.deleted", 4), ("budget.threshold_reached", 3), ("budget.exceeded", 1)],
    )
}

fn digest(period: &str, from: &str, to: &str, counts: &[(&str, u64)]) -> Data {
    data_of(&DigestData {
        period: text(period),
        from: text(from),
        to: text(to),
        counts: counts.iter().map(|(kind, n)| (text(kind), *n)).collect(),
        events: counts.iter().map(|(_, n)| n).sum(),
        top: vec![
            text("Acme spend on 21 Nov $212.40, 106.2 % of $200. Top: ana $88, gpt-5 $120"),
            text("Acme spend on 21 Nov $96.40, 3.1 × the usual $31.10. Most of the rise: ana with gpt-5, +$52 (new)"),
            text("cy (cy@example.com) joined acme as member"),
        ],
    })
}

pub fn mission_paused() -> Data {
    any_change("mission", "paused")
}

/// A record of another source; one that changed where the type says neither `created` nor `deleted`.
pub fn any_change(noun: &str, verb: &str) -> Data {
    let side = |status: &str| fields([("name", json!("Launch week")), ("status", json!(status))]);
    let changed = !matches!(verb, "created" | "deleted");
    data_of(&ChangeData {
        key: text("msn_0042"),
        noun: text(noun),
        name: text("Launch week"),
        who: None,
        link: Some(text("https://example.com/missions/msn_0042")),
        before: (verb != "created").then(|| side("active")),
        after: (verb != "deleted").then(|| side("paused")),
        changed: if changed { vec![text("status")] } else { Vec::new() },
        facts: fields([("budget_cents", json!(50_000)), ("updated_at", json!("2026-11-22T14:04:41Z"))]),
    })
}

fn level(noun: &str, before: (&str, Value), after: (&str, Value)) -> Data {
    data_of(&LevelData {
        key: text(noun),
        noun: text(noun),
        name: text(noun),
        before: before.1,
        after: after.1,
        band_before: Some(text(before.0)),
        state: text(if after.0 == "ok" { "resolved" } else { "open" }),
        band_after: text(after.0),
        facts: fields([("can_call", json!(true)), ("currency", json!("usd"))]),
        baseline: false,
        incident: incident(noun),
    })
}

pub fn wallet_low() -> Data {
    level("wallet", ("ok", json!(9.1)), ("low", json!(4.03)))
}

pub fn wallet_depleted() -> Data {
    level("wallet", ("low", json!(0.4)), ("depleted", json!(-0.02)))
}

pub fn wallet_topped_up() -> Data {
    level("wallet", ("low", json!(4.03)), ("ok", json!(54.03)))
}

pub fn any_level(noun: &str) -> Data {
    level(noun, ("ok", json!("operational")), ("degraded", json!("degraded")))
}
