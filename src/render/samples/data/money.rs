//! Budgets, spikes, dear threads.

use super::{Data, LINK, THREAD, TODAY, ana, bo, cents, incident, person, text};
use crate::domain::event::data_of;
use crate::domain::payload::{
    BudgetData, Contribution, CorrectionData, ForecastBrief, ForecastData, Share, SpikeData, SpikeResolvedData,
    ThreadCostData, Top, Who,
};

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
        by_source: Vec::new(),
        unknown_sources: Vec::new(),
        drivers: vec![Contribution {
            who: Some(ana()),
            model: Some(text("gpt-5")),
            actual_usd: cents(8_810),
            expected_usd: cents(2_150),
            excess_usd: cents(6_660),
            share: 71.0,
            reason: text("volume"),
        }],
        forecast: Some(ForecastBrief {
            period: text("month"),
            period_start: text("2026-11-01"),
            forecast_usd: cents(341_000),
            limit_usd: cents(300_000),
            reached_on: Some(text("2026-11-24")),
        }),
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
        by_source: Vec::new(),
        unknown_sources: Vec::new(),
        drivers: Vec::new(),
        forecast: None,
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
        estimated: false,
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
        score_needed: 2.75,
        lower_bound: true,
        history_days: 61,
        attribution: vec![
            part(Some(ana()), Some("gpt-5"), 5_210, 0, 78.6, "new"),
            part(Some(bo()), Some("claude-sonnet-4-5"), 3_000, 1_780, 18.4, "volume"),
            part(None, None, 1_430, 1_330, 3.0, "others"),
        ],
        members: Vec::new(),
        member_count: None,
        shared_percent: None,
        since: text("2026-11-22T09:30:00Z"),
        escalation: false,
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
        member_count: None,
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
