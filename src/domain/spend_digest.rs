//! The money part of a digest: what was spent against what was to be expected, who moved, what nears its limit, what
//! is no longer heading past it, what was too small to wake anyone, and what is not known.
//!
//! Pure: [`needs`] says what must be known, [`money`] makes the part, `None` where there is nothing to say. A digest calls
//! both for its stretch when it is due.

use std::collections::{BTreeMap, BTreeSet};

use super::cycle::{self, Input, Known, Needs, World};
use super::doc::DocKey;
use super::money::Micros;
use super::payload::{Ahead, DayLine, Gap, MoneyDigest, Mover, NearLimit, Quoted, SmallSpike};
use super::rules::budget::standing::Standing;
use super::rules::budget::{self, BudgetState};
use super::rules::forecast::{self, WINDOW_DAYS};
use super::rules::scene::{Scene, counted};
use super::rules::{Rule, RuleSpec, group_name};
use super::spend::{Cut, Groups, Ledger, People, Per, Scope, SpendState, Sum};
use super::time::{PeriodKind, Timestamp, minus_days, plus_days, start_of_utc_day};
use jiff::civil::Date;

/// Of each kind, so many are named.
const NAMED: usize = 5;
/// Days drawn in the chart of a digest.
pub const CHART_DAYS: i64 = 28;
/// Who moved by less is not named.
const LEAST_MOVE: Micros = Micros(5 * Micros::PER_DOLLAR);

/// What must be known for the days `[from, to)` of `sources`.
pub fn needs(world: &World, sources: &[String], now: Timestamp, from: Date, to: Date) -> Needs {
    let mut needs = cycle::needs(world, now, &Input::Tick { sources: sources.to_vec() });
    let first = minus_days(first_drawn(from, to), WINDOW_DAYS);
    needs.docs.extend(sources.iter().map(|source| DocKey::Quotes(source.clone())));
    needs.ledger.extend(sources.iter().map(|source| (source.clone(), first, to)));
    needs
}

/// The part for the days `[from, to)` of `sources`; what spans other sources, too, is left out.
pub fn money(
    world: &World,
    sources: &[String],
    known: &Known,
    now: Timestamp,
    from: Date,
    to: Date,
) -> Option<MoneyDigest> {
    let people = People(sources.iter().filter_map(|s| known.docs.people(&DocKey::People(s.clone()))).collect());
    let view = View { world, sources, known, now, from, to, people };
    let all = view.days(&Per::Workspace, minus_days(first_drawn(from, to), WINDOW_DAYS), to);
    let stretch = || all.range(from..to).flat_map(|(_, sums)| sums.values());
    let mut digest = MoneyDigest {
        from: from.to_string(),
        to: minus_days(to, 1).to_string(),
        total_usd: stretch().map(|s| s.amount).sum(),
        expected_usd: view.expected(&Scope::Workspace, &all).filter(|_| view.is_whole()),
        estimated: stretch().any(|s| s.estimated),
        open: !view.is_whole(),
        // A part of a day against the usual of a whole one would be no news of anybody.
        movers: if view.is_whole() { view.movers() } else { Vec::new() },
        near_limits: Vec::new(),
        ahead: Vec::new(),
        withdrawn: Vec::new(),
        small_spikes: Vec::new(),
        gaps: view.gaps(),
        quotes: view.quotes(),
        days: view.drawn(&all),
        daily_limit_usd: None,
    };
    for rule in &world.rules {
        let groups: BTreeSet<Vec<String>> = sources.iter().filter_map(|s| rule.group_of(s)).collect();
        for group in groups.iter().filter(|group| group.iter().all(|source| sources.contains(source))) {
            view.rule(&mut digest, rule, group);
        }
    }
    digest.near_limits.sort_by(|a, b| b.percent.unwrap_or(0.0).total_cmp(&a.percent.unwrap_or(0.0)));
    digest.near_limits.truncate(NAMED);
    digest.small_spikes.truncate(NAMED);
    digest.says_something().then_some(digest)
}

/// First day of the chart.
fn first_drawn(from: Date, to: Date) -> Date {
    from.min(minus_days(to, CHART_DAYS))
}

impl MoneyDigest {
    fn says_something(&self) -> bool {
        self.total_usd != Micros::ZERO
            || self.expected_usd.is_some_and(|usd| usd != Micros::ZERO)
            || !(self.movers.is_empty()
                && self.near_limits.is_empty()
                && self.ahead.is_empty()
                && self.withdrawn.is_empty()
                && self.small_spikes.is_empty()
                && self.gaps.is_empty())
    }
}

/// Sums by day, then scope.
type Days = BTreeMap<Date, BTreeMap<Scope, Sum>>;

struct View<'a> {
    world: &'a World,
    /// Whose money.
    sources: &'a [String],
    known: &'a Known,
    now: Timestamp,
    from: Date,
    to: Date,
    people: People<'a>,
}

impl View<'_> {
    fn ledger(&self) -> &Ledger {
        &self.known.ledger
    }

    fn status(&self, source: &str) -> Option<&SpendState> {
        self.known.docs.spend(&DocKey::Spend(source.to_owned()))
    }

    /// What one rule has to say of one group of sources.
    fn rule(&self, digest: &mut MoneyDigest, rule: &RuleSpec, group: &[String]) {
        match &rule.rule {
            Rule::Budget(budget) => {
                let key = DocKey::Budget(rule.name.clone(), group_name(group));
                let state = self.known.docs.budget(&key);
                if budget.per == Per::Workspace && budget.period == PeriodKind::Day && group.len() == self.sources.len()
                {
                    let limit = self.standing(&rule.name, budget, state, group, &Scope::Workspace).limit;
                    digest.daily_limit_usd = digest.daily_limit_usd.into_iter().chain(limit).min();
                }
                let Some(state) = state else { return };
                digest.near_limits.extend(self.near_limits(&rule.name, budget, state, group));
                let (open, gone) = self.outlooks(&rule.name, state);
                digest.ahead.extend(open);
                digest.withdrawn.extend(gone);
            }
            Rule::Spike(_) => digest.small_spikes.extend(self.small_spikes(&rule.name, group)),
            Rule::ThreadCost(_) => {}
        }
    }

    /// The days of the chart: whole ones up to the end of the stretch, none before anything was spent.
    fn drawn(&self, all: &Days) -> Vec<DayLine> {
        let past = spent(all, &Scope::Workspace);
        let Some(first) = past.iter().find(|(_, usd)| **usd > 0.0).map(|(day, _)| *day) else { return Vec::new() };
        let mut lines = Vec::new();
        let mut day = first.max(minus_days(self.to, CHART_DAYS));
        while day < self.to {
            let range = forecast::day_range(&past, day);
            let sums = all.get(&day).map(|sums| sums.values().map(|sum| sum.amount).sum());
            lines.push(DayLine {
                date: day.to_string(),
                spend_usd: sums,
                expected_usd: range.map(|r| r.point),
                low_usd: range.map(|r| r.low),
                high_usd: range.map(|r| r.high),
            });
            day = plus_days(day, 1);
        }
        lines
    }

    /// Known days only, from when on there has been money.
    fn days(&self, per: &Per, from: Date, to: Date) -> Days {
        let groups = Groups::default();
        let cut = Cut { sources: self.sources, per, groups: &groups, people: &self.people };
        let mut days = Days::new();
        let mut day = from;
        while day < to {
            if self.sources.iter().any(|s| self.is_history(s, day)) {
                days.insert(day, self.ledger().sums(cut, day, plus_days(day, 1)));
            }
            day = plus_days(day, 1);
        }
        days
    }

    fn is_known(&self, source: &str, day: Date) -> bool {
        self.status(source).is_some_and(|s| s.knows(day)) || self.has_rows(source, day)
    }

    fn is_history(&self, source: &str, day: Date) -> bool {
        self.status(source).is_some_and(|s| s.is_history(day)) || self.has_rows(source, day)
    }

    fn has_rows(&self, source: &str, day: Date) -> bool {
        self.ledger().days.contains_key(&(source.to_owned(), day))
    }

    /// Whether every day of the stretch is over, and was read since by every source that has money.
    fn is_whole(&self) -> bool {
        let mut states = self.sources.iter().filter_map(|source| self.status(source)).filter(|s| !s.known.is_empty());
        start_of_utc_day(self.to) <= self.now && states.all(|state| self.stretch().all(|day| state.is_whole(day)))
    }

    fn stretch(&self) -> impl Iterator<Item = Date> {
        let to = self.to;
        std::iter::successors(Some(self.from), |day| Some(plus_days(*day, 1))).take_while(move |day| *day < to)
    }

    fn expected(&self, scope: &Scope, before: &Days) -> Option<Micros> {
        forecast::rest(&spent(before, scope), self.from, self.to).map(|rest| rest.amount())
    }

    fn movers(&self) -> Vec<Mover> {
        let before = self.days(&Per::User, minus_days(self.from, WINDOW_DAYS), self.from);
        let mut actual: BTreeMap<Scope, Micros> = BTreeMap::new();
        for (scope, sum) in self.days(&Per::User, self.from, self.to).into_values().flatten() {
            *actual.entry(scope).or_default() += sum.amount;
        }
        for scope in before.values().flat_map(BTreeMap::keys) {
            actual.entry(scope.clone()).or_default();
        }
        let mut movers: Vec<Mover> = actual
            .into_iter()
            .filter_map(|(scope, actual_usd)| {
                let expected_usd = forecast::expected(&spent(&before, &scope), self.from, self.to)?;
                let moved = Micros((actual_usd - expected_usd).0.saturating_abs());
                let who = scope.user().map(|id| self.people.who(id));
                (moved >= LEAST_MOVE).then(|| Mover { scope: scope.to_string(), who, actual_usd, expected_usd })
            })
            .collect();
        movers.sort_by_key(|m| std::cmp::Reverse((m.actual_usd - m.expected_usd).0.saturating_abs()));
        movers.truncate(NAMED);
        movers
    }

    fn standing(
        &self,
        name: &str,
        rule: &budget::BudgetRule,
        state: Option<&BudgetState>,
        sources: &[String],
        scope: &Scope,
    ) -> Standing {
        let status: BTreeMap<&str, &SpendState> =
            sources.iter().filter_map(|s| Some((s.as_str(), self.status(s)?))).collect();
        let counted = counted(sources, &status);
        let scene = Scene {
            now: self.now,
            rule: name,
            sources,
            counted: &counted,
            week_start: self.world.week_start,
            ledger: self.ledger(),
            people: &self.people,
            groups: &self.world.groups,
            status: &status,
            complete: true,
        };
        budget::standing::standing(rule, state, &scene, scope)
    }

    fn near_limits(
        &self,
        name: &str,
        rule: &budget::BudgetRule,
        state: &BudgetState,
        sources: &[String],
    ) -> Vec<NearLimit> {
        // Whatever is past a threshold has been noted as told, silently or not.
        let near = |scope: &Scope| {
            let standing = self.standing(name, rule, Some(state), sources, scope);
            let limit_usd = standing.limit?;
            (standing.sum.amount >= standing.warns_at?).then(|| NearLimit {
                rule: name.to_owned(),
                scope: scope.to_string(),
                who: scope.user().map(|id| self.people.who(id)),
                period: rule.period.to_string(),
                spend_usd: standing.sum.amount,
                limit_usd,
                percent: standing.sum.amount.percent_of(limit_usd),
                recrossed: standing.recrossed,
            })
        };
        state.told.keys().filter_map(near).collect()
    }

    fn outlooks(&self, rule: &str, state: &BudgetState) -> (Vec<Ahead>, Vec<Ahead>) {
        let (mut open, mut gone) = (Vec::new(), Vec::new());
        for (scope, outlook) in state.ahead.iter().filter(|(_, o)| !o.told.is_empty()) {
            let ahead = Ahead {
                rule: rule.to_owned(),
                scope: scope.to_string(),
                period_start: outlook.period.to_string(),
                forecast_usd: outlook.point,
                limit_usd: outlook.limit,
            };
            match outlook.withdrawn {
                None if outlook.point >= outlook.limit => open.push(ahead),
                Some(day) if self.from <= day && day <= self.to => gone.push(ahead),
                // By its last forecast it may hold after all; that is said once the next one agrees.
                None | Some(_) => {}
            }
        }
        (open, gone)
    }

    fn small_spikes(&self, rule: &str, sources: &[String]) -> Vec<SmallSpike> {
        let key = DocKey::Spike(rule.to_owned(), group_name(sources));
        let Some(state) = self.known.docs.spike(&key) else { return Vec::new() };
        let days = state.told.iter().flat_map(|(scope, days)| days.iter().map(move |(day, told)| (scope, day, told)));
        days.filter(|(_, day, told)| told.small && self.from <= **day && **day < self.to)
            .map(|(scope, day, told)| SmallSpike {
                scope: scope.to_string(),
                who: scope.user().map(|id| self.people.who(id)),
                date: day.to_string(),
                actual_usd: told.lead.map_or(told.actual, |lead| lead.actual),
                expected_usd: told.lead.map_or(told.expected, |lead| lead.expected),
            })
            .collect()
    }

    /// What was said within these days, or since.
    fn quotes(&self) -> Vec<Quoted> {
        let mut quotes = Vec::new();
        for source in self.sources {
            let said = self.known.docs.quotes(&DocKey::Quotes(source.clone()));
            for quote in said.into_iter().flat_map(BTreeMap::values).filter(|quote| quote.seen >= self.from) {
                let (source, text, seen) = (source.clone(), quote.text.clone(), quote.seen.to_string());
                quotes.push(Quoted { source, text, seen });
            }
        }
        quotes.truncate(NAMED);
        quotes
    }

    fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for source in self.sources {
            // A source that has no money says nothing of it.
            let Some(status) = self.status(source) else { continue };
            for day in self.stretch().filter(|day| start_of_utc_day(*day) <= self.now) {
                let over = start_of_utc_day(plus_days(day, 1)) <= self.now;
                let kind = match (self.is_known(source, day), status.is_whole(day)) {
                    (false, _) => "unknown",
                    (true, false) if over && !status.known.is_empty() => "part",
                    (true, _) => continue,
                };
                gaps.push(Gap { source: source.clone(), since: day.to_string(), kind: kind.to_owned() });
            }
            if let Some(since) = status.stale {
                gaps.push(Gap { source: source.clone(), since: since.to_string(), kind: "stale".to_owned() });
            }
        }
        gaps.truncate(NAMED);
        gaps
    }
}

/// Dollars of one scope, by day.
fn spent(days: &Days, scope: &Scope) -> BTreeMap<Date, f64> {
    days.iter().map(|(day, sums)| (*day, sums.get(scope).map_or(0.0, |sum| sum.amount.as_f64()))).collect()
}
