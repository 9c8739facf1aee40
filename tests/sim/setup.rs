//! The configuration of a simulated bridge: collections, rules, routes, sinks; parts of it are edited at restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ampbridge::domain::collection::{CollectionSpec, EventNames, Role, UpdateRule};
use ampbridge::domain::cycle::World;
use ampbridge::domain::event::Severity;
use ampbridge::domain::money::{Micros, Percent};
use ampbridge::domain::retry::RetryPolicy;
use ampbridge::domain::routing::Route;
use ampbridge::domain::rules::budget::BudgetRule;
use ampbridge::domain::rules::detector::Sensitivity;
use ampbridge::domain::rules::spike::SpikeRule;
use ampbridge::domain::rules::thread_cost::ThreadCostRule;
use ampbridge::domain::rules::{Rule, RuleSpec};
use ampbridge::domain::spend::Per;
use ampbridge::domain::time::{PeriodKind, SignedDuration, WeekStart};
use ampbridge::domain::timing::{Day, Digest, DigestEvery, Escalation, Group, GroupBy, Quiet, Rate, Timing};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::fact::Fact;
use crate::rng::Rng;

pub const ACME: &str = "acme";
pub const FILES: &str = "files";
pub const SINKS: [&str; 3] = ["a", "b", "c"];

/// Every collection, `source/name`.
pub const COLLECTIONS: [&str; 6] =
    ["acme/threads", "acme/members", "acme/usage", "acme/costs", "files/docs", "files/bill"];

#[derive(Debug, Clone)]
pub struct Setup {
    /// By collection: another number is another address, so another epoch.
    pub address: BTreeMap<&'static str, u32>,
    pub daily_usd: i64,
    pub weekly_usd: i64,
    pub monthly_usd: i64,
    pub thread_usd: Vec<i64>,
    pub routes: u64,
    /// By number of the route: when what it takes goes out.
    pub timing: Vec<Timed>,
    pub policy: RetryPolicy,
}

impl Setup {
    pub fn draw(rng: &mut Rng) -> Self {
        let horizon = *rng.pick(&[2, 12, 72]);
        Self {
            address: COLLECTIONS.iter().map(|c| (*c, 1)).collect(),
            daily_usd: *rng.pick(&[0, 20, 50, 200]),
            weekly_usd: *rng.pick(&[30, 100]),
            monthly_usd: *rng.pick(&[40, 400]),
            thread_usd: vec![5, 25, 100],
            routes: rng.below(3),
            timing: draw_timing(rng),
            policy: RetryPolicy {
                min: SignedDuration::from_secs(5),
                max: SignedDuration::from_mins(rng.between(1, 60)),
                horizon: SignedDuration::from_hours(horizon),
            },
        }
    }

    /// What a person may edit between two runs.
    pub fn edit(&mut self, rng: &mut Rng) -> String {
        match rng.below(7) {
            6 => {
                self.timing = draw_timing(rng);
                return format!("routes {} {:?}", self.routes, self.timing);
            }
            0 => self.daily_usd = rng.between(0, 120),
            1 => self.weekly_usd = rng.between(10, 200),
            2 => self.monthly_usd = rng.between(20, 800),
            3 => self.thread_usd = [rng.between(1, 9), rng.between(10, 40), rng.between(41, 200)].to_vec(),
            4 => self.routes = rng.below(3),
            _ => {
                let name = *rng.pick(&COLLECTIONS);
                *self.address.entry(name).or_default() += 1;
                return format!("{name} has another address");
            }
        }
        format!(
            "daily {} weekly {} monthly {} threads {:?} routes {}",
            self.daily_usd, self.weekly_usd, self.monthly_usd, self.thread_usd, self.routes
        )
    }

    pub fn spec(&self, name: &str) -> Arc<CollectionSpec> {
        let (source, short) = name.split_once('/').unwrap();
        let role = match short {
            "usage" | "bill" => Role::Spend,
            "costs" => Role::Cost,
            _ => Role::Record,
        };
        let noun = match short {
            "threads" => "thread",
            "members" => "member",
            _ => "document",
        };
        Arc::new(CollectionSpec {
            source: source.to_owned(),
            name: short.to_owned(),
            role,
            fingerprint: format!("address {}", self.address[name]),
            events: if role == Role::Record { names(short, noun) } else { EventNames::default() },
            noun: noun.to_owned(),
            ..CollectionSpec::default()
        })
    }

    pub fn world(&self) -> World {
        World {
            bridge: "sim".to_owned(),
            week_start: WeekStart::Monday,
            rules: self.rules(),
            routes: self
                .routing()
                .iter()
                .enumerate()
                .map(|(n, r)| r.route(self.timed(n).unwrap_or_default()))
                .collect(),
            sinks: SINKS.iter().map(|s| (*s).to_owned()).collect(),
            sources: vec![ACME.to_owned(), FILES.to_owned()],
            ..World::default()
        }
    }

    pub fn rules(&self) -> Vec<RuleSpec> {
        let budget = |name: &str, sources: &[&str], limit: i64, period, per, thresholds: &[i64]| RuleSpec {
            name: name.to_owned(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
            rule: Rule::Budget(BudgetRule::new(
                usd(limit),
                period,
                per,
                thresholds.iter().map(|t| Percent(t * 1000)).collect(),
            )),
        };
        let limits: BTreeSet<Micros> = self.thread_usd.iter().map(|n| usd(*n)).collect();
        vec![
            budget("daily", &[], self.daily_usd, PeriodKind::Day, Per::Workspace, &[50, 80, 100]),
            budget("weekly", &[ACME, FILES], self.weekly_usd, PeriodKind::Week, Per::User, &[100]),
            budget("monthly", &[ACME], self.monthly_usd, PeriodKind::Month, Per::Model, &[80, 100, 150]),
            RuleSpec {
                name: "spike".to_owned(),
                sources: vec![],
                rule: Rule::Spike(SpikeRule { per: Per::User, sensitivity: Sensitivity::default() }),
            },
            RuleSpec {
                name: "dear".to_owned(),
                sources: vec![],
                rule: Rule::ThreadCost(ThreadCostRule { limits: limits.into_iter().collect() }),
            },
        ]
    }

    /// How a route times what it takes; `None` where there is no such route.
    pub fn timed(&self, route: usize) -> Option<Timed> {
        (route < self.routing().len()).then(|| self.timing.get(route).cloned().unwrap_or_default())
    }

    /// The routes, plain enough to be followed by hand.
    pub fn routing(&self) -> Vec<Plain> {
        let plain = |prefix: &'static str, source: Option<&'static str>, least, sinks: &[&'static str]| Plain {
            prefix,
            source,
            least,
            sinks: sinks.to_vec(),
        };
        match self.routes {
            0 => vec![
                plain("thread.", None, Severity::Info, &["a"]),
                plain("member.", None, Severity::Info, &["a", "b"]),
                plain("", None, Severity::Warning, &["b"]),
                plain("budget.", None, Severity::Info, &["c", "b"]),
            ],
            1 => vec![plain("", None, Severity::Info, &["a", "b", "c"])],
            _ => vec![
                plain("", Some(ACME), Severity::Info, &["a"]),
                plain("doc.", Some(FILES), Severity::Info, &["c"]),
                plain("sink.", None, Severity::Info, &["b"]),
            ],
        }
    }
}

/// A route with one prefix and at most one source.
#[derive(Debug, Clone)]
pub struct Plain {
    pub prefix: &'static str,
    pub source: Option<&'static str>,
    pub least: Severity,
    pub sinks: Vec<&'static str>,
}

impl Plain {
    pub fn fits(&self, fact: &Fact) -> bool {
        fact.kind.starts_with(self.prefix)
            && self.source.is_none_or(|s| s == fact.origin)
            && fact.severity >= self.least
    }

    fn route(&self, timed: Timed) -> Route {
        Route {
            events: vec![format!("{}*", self.prefix)],
            sources: self.source.iter().map(|s| (*s).to_owned()).collect(),
            min_severity: self.least,
            sinks: self.sinks.iter().map(|s| (*s).to_owned()).collect(),
            timing: timed.timing(),
            ..Route::default()
        }
    }
}

/// The timing of one route, as plain numbers: seconds, and hours of UTC days.
#[derive(Debug, Clone, Default)]
pub struct Timed {
    /// By what, seconds of waiting, most events of a message.
    pub group: Option<(Vec<GroupBy>, i64, u64)>,
    /// So many messages in so many seconds.
    pub rate: Option<(u64, i64)>,
    pub night: Option<Night>,
    /// Weekly (on Mondays) or daily, at this hour.
    pub digest: Option<(bool, i64)>,
    /// Seconds.
    pub remind: Option<i64>,
    /// After so many seconds, to this sink.
    pub escalate: Option<(i64, &'static str)>,
}

#[derive(Debug, Clone)]
pub struct Night {
    pub from: i64,
    pub to: i64,
    /// Weekdays on which it begins, Monday is 0; empty is every day.
    pub days: BTreeSet<usize>,
}

const WEEK: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

/// Half of all bridges tell everything at once.
fn draw_timing(rng: &mut Rng) -> Vec<Timed> {
    if rng.percent(50) { Vec::new() } else { (0..4).map(|_| Timed::draw(rng)).collect() }
}

impl Timed {
    fn draw(rng: &mut Rng) -> Self {
        if rng.percent(15) {
            return Self { digest: Some((rng.percent(30), rng.between(0, 23))), ..Self::default() };
        }
        let mut timed = Self::default();
        if rng.percent(50) {
            let all = [GroupBy::Type, GroupBy::Source, GroupBy::Subject, GroupBy::Severity];
            let by = all.into_iter().filter(|_| rng.percent(40)).collect();
            timed.group = Some((by, rng.between(30, 7200), u64::try_from(rng.between(1, 12)).unwrap()));
        }
        if rng.percent(40) {
            timed.rate = Some((u64::try_from(rng.between(1, 4)).unwrap(), rng.between(60, 20_000)));
        }
        if rng.percent(40) {
            let from = rng.between(0, 23);
            let to = (from + rng.between(1, 23)) % 24;
            let days = if rng.percent(60) { BTreeSet::new() } else { (0..7).filter(|_| rng.percent(50)).collect() };
            timed.night = Some(Night { from, to, days });
        }
        timed.remind = rng.percent(30).then(|| rng.between(600, 40_000));
        timed.escalate = rng.percent(30).then(|| (rng.between(60, 20_000), *rng.pick(&SINKS)));
        timed
    }

    fn timing(self) -> Timing {
        let hour = |hour: i64| jiff::civil::time(i8::try_from(hour).unwrap(), 0, 0, 0);
        Timing {
            group: self.group.map(|(by, wait, max)| Group { by, wait: SignedDuration::from_secs(wait), max }),
            rate: self.rate.map(|(max, per)| Rate { max, per: SignedDuration::from_secs(per) }),
            quiet: self.night.map(|night| Quiet {
                from: hour(night.from),
                to: hour(night.to),
                days: night.days.iter().map(|day| WEEK[*day]).collect(),
                zone: TimeZone::UTC,
            }),
            digest: self.digest.map(|(weekly, at)| Digest {
                every: if weekly { DigestEvery::Weekly } else { DigestEvery::Daily },
                at: hour(at),
                zone: TimeZone::UTC,
                week_start: WeekStart::Monday,
            }),
            remind: self.remind.map(SignedDuration::from_secs),
            escalate: self.escalate.map(|(after, sink)| Escalation {
                after: SignedDuration::from_secs(after),
                sinks: vec![sink.to_owned()],
            }),
        }
    }
}

pub fn usd(dollars: i64) -> Micros {
    Micros(dollars * Micros::PER_DOLLAR)
}

fn names(short: &str, noun: &str) -> EventNames {
    let rule = |field: Option<&str>, to: Option<serde_json::Value>, event: Option<&str>| UpdateRule {
        field: field.map(str::to_owned),
        to,
        event: event.map(str::to_owned),
        ..UpdateRule::default()
    };
    let prefix = if noun == "document" { "doc" } else { noun };
    let updated = match short {
        // A changed title is learned without a word; a changed role has an event of its own; all else is ordinary.
        "members" => vec![
            rule(Some("title"), None, None),
            rule(Some("role"), None, Some("member.role_changed")),
            rule(None, None, Some("member.updated")),
        ],
        "docs" => {
            vec![rule(Some("status"), Some(json!("done")), Some("doc.done")), rule(None, None, Some("doc.updated"))]
        }
        _ => vec![rule(None, None, Some("thread.updated"))],
    };
    EventNames {
        created: Some(format!("{prefix}.created")),
        updated,
        deleted: Some(format!("{prefix}.deleted")),
        severities: BTreeMap::new(),
    }
}
