//! What was spent, as far as shown, and when a budget or a thread's limit must speak.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::event::Severity;
use ampbridge::domain::money::{Micros, Percent};
use ampbridge::domain::record::CostRow;
use ampbridge::domain::rules::budget::BudgetRule;
use ampbridge::domain::rules::thread_cost::ThreadCostRule;
use ampbridge::domain::spend::{Basis, Per, SpendRow};
use ampbridge::domain::time::{Period, Timestamp, WeekStart, days_between, minus_days, plus_days, utc_day};
use jiff::civil::Date;
use serde_json::json;

use crate::fact::{Fact, detail_of};

/// (user, model or nothing) to amount and whether it was billed.
type Day = BTreeMap<(String, String), (Micros, bool)>;

#[derive(Debug, Clone, Default)]
pub struct Money {
    /// By source, then day.
    pub ledger: BTreeMap<String, BTreeMap<Date, Day>>,
    /// By rule and group.
    pub budgets: BTreeMap<(String, String), Budget>,
    pub threads: BTreeMap<(String, String), Dear>,
    /// Threads whose cost is to be asked for.
    pub wanted: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, Default)]
pub struct Budget {
    limit: Option<Micros>,
    /// By scope and period start.
    told: BTreeMap<(String, Date), Told>,
    /// The newest day with money of each source.
    newest: BTreeMap<String, Date>,
}

#[derive(Debug, Clone, Default)]
struct Told {
    amounts: BTreeSet<(Micros, bool)>,
    highest: Option<(Micros, Date)>,
    corrected: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Dear {
    passed: BTreeMap<String, Micros>,
    /// The first look is over.
    seen: bool,
    /// Until then: what was over a limit.
    first: BTreeMap<String, (Micros, Vec<Micros>)>,
}

/// One budget looked at once.
pub struct Look<'a> {
    pub now: Timestamp,
    pub name: &'a str,
    pub rule: &'a BudgetRule,
    pub sources: &'a [String],
    pub partial: bool,
}

impl Money {
    /// Rows as a page shows them. Rows of impossible days count as unreadable; their number is returned.
    pub fn book(&mut self, source: &str, rows: &[SpendRow], now: Timestamp) -> usize {
        let last = plus_days(utc_day(now), 2);
        let ledger = self.ledger.entry(source.to_owned()).or_default();
        let mut odd = 0;
        let mut cleared: BTreeSet<(Date, String)> = BTreeSet::new();
        for row in rows {
            if row.day > last || row.day.year() < 2000 {
                odd += 1;
                continue;
            }
            let day = ledger.entry(row.day).or_default();
            let user = row.user.clone().unwrap_or_default();
            if row.whole_user && cleared.insert((row.day, user.clone())) {
                day.retain(|(u, _), _| *u != user);
            }
            day.insert((user, row.model.clone().unwrap_or_default()), (row.amount, row.basis != Basis::Estimate));
        }
        odd
    }

    pub fn sums(&self, sources: &[String], from: Date, to: Date, per: &Per) -> BTreeMap<String, Micros> {
        let days = || sources.iter().filter_map(|s| self.ledger.get(s)).flat_map(|l| l.range(from..to));
        let billed = days().any(|(_, day)| day.values().any(|(_, billed)| *billed));
        let mut sums: BTreeMap<String, Micros> = BTreeMap::new();
        for ((user, model), (amount, is_billed)) in days().flat_map(|(_, day)| day) {
            let scope = match per {
                Per::Workspace => "workspace".to_owned(),
                Per::User => format!("user:{user}"),
                Per::Model => format!("model:{model}"),
                other => panic!("the story has no budget per {other}"),
            };
            let nobody = (*per == Per::User && user.is_empty()) || (*per == Per::Model && model.is_empty());
            if (*is_billed || !billed) && !nobody {
                *sums.entry(scope).or_default() += *amount;
            }
        }
        sums
    }

    /// Today by the clock, or by the newest row where the clock lags a day behind.
    fn today(&self, sources: &[String], now: Timestamp) -> Date {
        let clock = utc_day(now);
        let newest = sources
            .iter()
            .filter_map(|s| self.ledger.get(s))
            .filter_map(|l| l.range(..=plus_days(clock, 2)).next_back())
            .map(|(d, _)| *d)
            .max();
        newest.filter(|d| *d == plus_days(clock, 1)).unwrap_or(clock)
    }

    pub fn budget(&mut self, look: &Look<'_>) -> Vec<Fact> {
        let key = (look.name.to_owned(), look.sources.join("+"));
        let known = self.budgets.get(&key).cloned();
        if known.is_none() && look.partial {
            return Vec::new();
        }
        let first = known.is_none();
        let mut budget = known.unwrap_or_default();
        let edited = budget.limit.is_some_and(|l| l != look.rule.limit);
        budget.limit = Some(look.rule.limit);
        let today = self.today(look.sources, look.now);
        // Money that was there lately and is not any more has been forgotten, not given back.
        let mut whole = true;
        for source in look.sources {
            match self.ledger.get(source).and_then(|l| l.keys().next_back()) {
                Some(day) => drop(budget.newest.insert(source.clone(), *day)),
                None => whole &= budget.newest.get(source).is_none_or(|day| days_between(*day, today) > 34),
            }
        }
        let mut facts = Vec::new();
        let mut at_first: Vec<(Micros, String, Fact)> = Vec::new();
        let mut period = Period::containing(look.rule.period, minus_days(today, 3), WeekStart::Monday);
        while period.start <= today {
            let sums = self.sums(look.sources, period.start, period.end, &look.rule.per);
            for (scope, sum) in &sums {
                let told = budget.told.entry((scope.clone(), period.start)).or_default();
                let Some((amount, threshold, fresh)) = crossed(look.rule, *sum, told) else { continue };
                let late = period.end <= today;
                if edited && late {
                    // It was judged by the limit there was.
                    continue;
                }
                let fact = |also: Vec<String>| {
                    crossing(look, scope, *sum, period, threshold, &fresh, first, edited, late, &also)
                };
                if !first && edited && late {
                    // What is over was judged by the limit there was.
                } else if !first {
                    told.highest = Some((amount, today));
                    facts.push(fact(Vec::new()));
                } else if period.contains(today) {
                    at_first.push((*sum, scope.clone(), fact(Vec::new())));
                }
            }
            if !look.partial && !first && whole {
                facts.extend(corrections(look, &mut budget, &sums, period, today));
            }
            period = period.next(WeekStart::Monday);
        }
        at_first.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        if let Some((sum, scope, _)) = at_first.first() {
            // All that was passed already is one event: the scope that is furthest over, naming the others.
            let also: Vec<String> = at_first.iter().skip(1).map(|(_, s, _)| s.clone()).collect();
            let period = Period::containing(look.rule.period, today, WeekStart::Monday);
            let told = budget.told.entry((scope.clone(), period.start)).or_default();
            let fresh: Vec<Percent> =
                look.rule.thresholds.iter().copied().filter(|t| *sum >= look.rule.limit.percent_ceil(*t)).collect();
            let threshold = *fresh.last().unwrap();
            told.highest = Some((look.rule.limit.percent_ceil(threshold), today));
            let fresh = distinct(look.rule, &fresh);
            facts.push(crossing(look, scope, *sum, period, threshold, &fresh, true, false, false, &also));
        }
        self.budgets.insert(key, budget);
        facts
    }

    /// Costs as a page shows them.
    pub fn costs(&mut self, rule: &ThreadCostRule, name: &str, source: &str, rows: &[CostRow]) -> Vec<Fact> {
        let key = (name.to_owned(), source.to_owned());
        let dear = self.threads.entry(key).or_default();
        let mut told: Vec<(Micros, String, Vec<Micros>)> = Vec::new();
        for row in rows {
            let before = dear.passed.get(&row.key).copied().unwrap_or_default();
            let over: Vec<Micros> = rule.limits.iter().copied().filter(|l| *l > before && *l <= row.cost).collect();
            dear.passed.insert(row.key.clone(), over.last().copied().unwrap_or(before));
            if over.is_empty() {
                continue;
            }
            if dear.seen {
                told.push((row.cost, row.key.clone(), over));
            } else {
                let first = dear.first.entry(row.key.clone()).or_default();
                first.0 = row.cost;
                first.1.extend(over);
            }
        }
        told.iter().map(|row| dear_thread(name, source, row, &[])).collect()
    }

    /// A look at costs is over: what the first one showed is told at once.
    pub fn costs_end(&mut self, name: &str, source: &str, failed: bool) -> Option<Fact> {
        let dear = self.threads.entry((name.to_owned(), source.to_owned())).or_default();
        if dear.seen || (failed && dear.passed.is_empty()) {
            return None;
        }
        dear.seen = true;
        let first = std::mem::take(&mut dear.first);
        let mut told: Vec<_> = first.into_iter().map(|(key, (cost, over))| (cost, key, over)).collect();
        told.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let also: Vec<String> = told.iter().skip(1).map(|t| t.1.clone()).collect();
        told.first().map(|row| dear_thread(name, source, row, &also))
    }
}

fn dear_thread(name: &str, source: &str, told: &(Micros, String, Vec<Micros>), also: &[String]) -> Fact {
    let (cost, key, over) = told;
    let members = [
        ("rule", json!(name)),
        ("cost_usd", json!(cost)),
        ("limit_usd", json!(over.last())),
        ("limits_crossed", json!(over)),
        ("also", json!(also)),
    ];
    Fact::new("thread.cost_exceeded", source, key, Severity::Warning, &detail_of(&members))
}

/// The highest passed amount where it is news, its threshold, and all thresholds that are news.
fn crossed(rule: &BudgetRule, sum: Micros, told: &mut Told) -> Option<(Micros, Percent, Vec<Percent>)> {
    if sum <= Micros::ZERO {
        return None;
    }
    let mut news = Vec::new();
    let mut last = None;
    for threshold in &rule.thresholds {
        let amount = rule.limit.percent_ceil(*threshold);
        if amount > sum {
            break;
        }
        let fresh = told.amounts.insert((amount, *threshold >= Percent::WHOLE));
        if fresh {
            news.push(*threshold);
        }
        last = Some((amount, *threshold, fresh));
    }
    let (amount, threshold, fresh) = last?;
    fresh.then_some((amount, threshold, news))
}

/// Thresholds whose amount and kind no lower one has: with a limit of nothing they are all the same amount.
fn distinct(rule: &BudgetRule, thresholds: &[Percent]) -> Vec<Percent> {
    let mut seen = BTreeSet::new();
    thresholds.iter().copied().filter(|t| seen.insert((rule.limit.percent_ceil(*t), *t >= Percent::WHOLE))).collect()
}

#[expect(clippy::too_many_arguments, reason = "the parts of one sentence")]
fn crossing(
    look: &Look<'_>,
    scope: &str,
    sum: Micros,
    period: Period,
    threshold: Percent,
    fresh: &[Percent],
    baseline: bool,
    edited: bool,
    late: bool,
    also: &[String],
) -> Fact {
    let over = threshold >= Percent::WHOLE;
    let kind = if over { "budget.exceeded" } else { "budget.threshold_reached" };
    let severity = match (late, baseline, over) {
        (true, _, false) => Severity::Info,
        (false, false, true) => Severity::Critical,
        _ => Severity::Warning,
    };
    let detail = detail_of(&[
        ("rule", json!(look.name)),
        ("period", json!(look.rule.period.to_string())),
        ("period_start", json!(period.start.to_string())),
        ("spend_usd", json!(sum)),
        ("threshold", json!(number(threshold))),
        ("thresholds_crossed", json!(fresh.iter().copied().map(number).collect::<Vec<_>>())),
        ("baseline", json!(baseline)),
        ("cause", json!(if edited { "limit_changed" } else { "spend" })),
        ("late", json!(late)),
        ("also", json!(also)),
    ]);
    Fact::new(kind, &look.sources[0], scope, severity, &detail)
}

/// Told amounts that the spend has fallen well below, once no day up to the telling can still move.
fn corrections(
    look: &Look<'_>,
    budget: &mut Budget,
    sums: &BTreeMap<String, Micros>,
    period: Period,
    today: Date,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    for ((scope, start), told) in &mut budget.told {
        let Some((amount, on)) = told.highest.filter(|_| *start == period.start && !told.corrected) else { continue };
        let spend = sums.get(scope).copied().unwrap_or_default();
        let settled = days_between(on.min(minus_days(period.end, 1)), today) >= 3;
        if !settled || spend >= amount.percent_ceil(Percent(95_000)) {
            continue;
        }
        told.corrected = true;
        let detail = detail_of(&[
            ("rule", json!(look.name)),
            ("period", json!(look.rule.period.to_string())),
            ("period_start", json!(start.to_string())),
            ("told_usd", json!(amount)),
            ("spend_usd", json!(spend)),
        ]);
        facts.push(Fact::new("budget.corrected", &look.sources[0], scope, Severity::Info, &detail));
    }
    facts
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn number(percent: Percent) -> f64 {
    percent.0 as f64 / 1000.0
}
