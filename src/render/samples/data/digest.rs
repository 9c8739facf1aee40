//! Digests, with what they say of spend.

use jiff::civil::date;

use super::{Data, ana, bo, cents, person, text};
use crate::domain::event::{Severity, data_of};
use crate::domain::ids;
use crate::domain::payload::{Ahead, DayLine, DigestData, DigestItem, Gap, MoneyDigest, Mover, NearLimit, SmallSpike};
use crate::domain::time::plus_days;

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
        spend("2026-11-21", 18_420, 16_500),
    )
}

pub fn weekly() -> Data {
    digest(
        "week",
        "2026-11-15",
        "2026-11-22",
        &[("thread.created", 61), ("thread.deleted", 4), ("budget.threshold_reached", 3), ("budget.exceeded", 1)],
        spend("2026-11-15", 120_410, 98_000),
    )
}

fn digest(period: &str, from: &str, to: &str, counts: &[(&str, u64)], money: MoneyDigest) -> Data {
    data_of(&DigestData {
        period: text(period),
        from: text(from),
        to: text(to),
        counts: counts.iter().map(|(kind, n)| (text(kind), *n)).collect(),
        events: counts.iter().map(|(_, n)| n).sum(),
        top: vec![
            item("budget.exceeded", "workspace", Severity::Critical),
            item("cost.spike", "user:user_01J5ANA", Severity::Warning),
            item("member.added", "cy@example.com", Severity::Info),
        ],
        money: Some(money),
    })
}

fn item(kind: &str, subject: &str, severity: Severity) -> DigestItem {
    let id = ids::derive("evt", &["sample", kind]);
    DigestItem { id, kind: text(kind), subject: text(subject), severity, time: text("2026-11-21T15:04:00Z") }
}

/// Spend of a stretch up to the sample's yesterday, in cents.
fn spend(from: &str, total: i64, expected: i64) -> MoneyDigest {
    let ahead = |scope: &str, rule: &str, forecast, limit| Ahead {
        rule: text(rule),
        scope: text(scope),
        period_start: text("2026-11-01"),
        forecast_usd: cents(forecast),
        limit_usd: cents(limit),
    };
    MoneyDigest {
        from: text(from),
        to: text("2026-11-21"),
        total_usd: cents(total),
        expected_usd: Some(cents(expected)),
        estimated: false,
        open: false,
        movers: vec![
            Mover {
                scope: text("user:user_01ANA"),
                who: Some(ana()),
                actual_usd: cents(8_810),
                expected_usd: cents(2_150),
            },
            Mover {
                scope: text("user:user_01BO"),
                who: Some(bo()),
                actual_usd: cents(1_240),
                expected_usd: cents(6_020),
            },
        ],
        near_limits: vec![NearLimit {
            rule: text("monthly-budget"),
            scope: text("workspace"),
            who: None,
            period: text("month"),
            spend_usd: cents(261_044),
            limit_usd: cents(300_000),
            percent: Some(87.0),
            recrossed: false,
        }],
        ahead: vec![ahead("workspace", "monthly-budget", 342_200, 300_000)],
        withdrawn: vec![ahead("group:backend", "team-budget", 94_000, 120_000)],
        small_spikes: vec![SmallSpike {
            scope: text("user:user_01CY"),
            who: Some(person("user_01CY", "cy")),
            date: text("2026-11-21"),
            actual_usd: cents(1_910),
            expected_usd: cents(420),
        }],
        gaps: vec![Gap { source: text("claude"), since: text("2026-11-20"), kind: text("unknown") }],
        days: days(),
        daily_limit_usd: Some(cents(20_000)),
    }
}

/// Four weeks with quiet weekends, a spike, and a day nobody answered for. The last day is the digest's.
fn days() -> Vec<DayLine> {
    /// US dollars, from a Sunday on.
    const SPENT: [i64; 28] = [
        44, 118, 131, 126, 140, 122, 58, 65, 125, 138, 133, 149, 128, 44, 47, 131, 144, 0, 139, 230, 40, 52, 158, 171,
        163, 176, 169, 184,
    ];
    let line = |(number, spent): (i64, &i64)| {
        let date = plus_days(date(2026, 10, 25), number);
        let usual = match number % 7 {
            0 | 6 if number < 27 => 5_000,
            _ if number < 21 => 13_500,
            _ => 16_500,
        };
        let known = number >= 7;
        DayLine {
            date: date.to_string(),
            spend_usd: (*spent > 0).then(|| cents(spent * 100)),
            expected_usd: known.then(|| cents(usual)),
            low_usd: known.then(|| cents(usual * 7 / 10)),
            high_usd: known.then(|| cents(usual * 14 / 10)),
        }
    };
    (0..).zip(&SPENT).map(line).collect()
}
