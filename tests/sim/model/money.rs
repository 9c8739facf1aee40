//! What was spent, as far as shown, and when a budget or a thread's limit must speak.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::collection::{CollectionSpec, LookNotes, Role};
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
    /// By source: how it stands besides its rows.
    pub standing: BTreeMap<String, Standing>,
    /// By rule and group.
    pub budgets: BTreeMap<(String, String), Budget>,
    pub threads: BTreeMap<(String, String), Dear>,
    /// Threads whose cost is to be asked for.
    pub wanted: BTreeMap<String, BTreeSet<String>>,
    /// Threads whose cost was ever to be asked for, by source, and whether they were there at the first look.
    pub earlier: BTreeMap<String, BTreeMap<String, bool>>,
}

/// What is known of a source's money besides the rows.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// How often all of it was forgotten.
    generation: u32,
    /// When a look first reached its end.
    read: Option<Timestamp>,
    /// A look failed before that.
    tried: bool,
    /// The newest day that a good look showed money of.
    newest: Option<Date>,
    /// The latest time at which a look reached its end.
    come_to: Option<Timestamp>,
    /// Days with rows that could not be read.
    left_out: BTreeSet<Date>,
}

impl Standing {
    /// The clock has come to a day before that there is money of, and is not there any more.
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        let today = utc_day(now);
        let newest = |day: Date| day > today && self.come_to.is_some_and(|at| day <= utc_day(at));
        self.newest.is_some_and(|day| newest(day) || day > plus_days(today, 2))
    }

    /// A look at the money ended.
    pub fn looked(&mut self, failed: bool, complete: bool, notes: &LookNotes, now: Timestamp) {
        if failed {
            self.tried |= self.read.is_none();
            return;
        }
        self.newest = self.newest.max(notes.days.map(|(_, last)| last));
        if complete {
            let today = utc_day(now);
            let first = notes.days.map_or(today, |(first, _)| first).min(today);
            self.read.get_or_insert(now);
            self.come_to = self.come_to.max(Some(now));
            self.left_out.retain(|day| *day < first || *day > today);
            self.left_out.extend(&notes.uncounted.days);
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Budget {
    limit: Option<Micros>,
    /// By scope and period start.
    told: BTreeMap<(String, Date), Told>,
    /// Sources that were counted, and how often their money had been forgotten by then.
    met: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Default)]
struct Told {
    amounts: BTreeSet<(Micros, bool)>,
    highest: Option<(Micros, Date)>,
    /// The limit that was held against.
    limit: Option<Micros>,
    corrected: bool,
    settled: bool,
}

impl Told {
    fn correctable(&self) -> Option<(Micros, Date)> {
        self.highest.filter(|_| !self.corrected && !self.settled)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Dear {
    passed: BTreeMap<String, Micros>,
    /// The first look is over.
    seen: bool,
    /// Of the running look: what was over a limit when it was first asked about, and was there before.
    first: BTreeMap<String, (Micros, Vec<Micros>)>,
}

/// One budget looked at once.
pub struct Look<'a> {
    pub now: Timestamp,
    pub name: &'a str,
    pub rule: &'a BudgetRule,
    pub sources: &'a [String],
    pub partial: bool,
    /// No look: the process begins.
    pub tick: bool,
}

impl Money {
    /// All money of a source is forgotten.
    pub fn forget(&mut self, source: &str) {
        self.ledger.remove(source);
        let standing = self.standing.entry(source.to_owned()).or_default();
        *standing = Standing { generation: standing.generation + 1, ..Standing::default() };
    }

    pub fn is_ahead_of(&self, source: &str, now: Timestamp) -> bool {
        self.standing.get(source).is_some_and(|standing| standing.is_ahead_of(now))
    }

    fn of(&self, source: &str) -> Standing {
        self.standing.get(source).cloned().unwrap_or_default()
    }

    /// Whether a rule that has not spoken yet waits for a source that nobody has asked.
    fn awaits(&self, sources: &[String], now: Timestamp) -> bool {
        let untried = |s: &String| self.of(s).read.is_none() && !self.of(s).tried;
        let just = |at: Timestamp| (0..1800).contains(&now.duration_since(at).as_secs());
        sources.iter().any(untried) && sources.iter().filter_map(|s| self.of(s).read).all(just)
    }

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
        let state = self.budgets.get(&key).cloned();
        let counted: Vec<String> = look.sources.iter().filter(|s| self.of(s).read.is_some()).cloned().collect();
        let behind = look.sources.iter().any(|s| self.is_ahead_of(s, look.now));
        if behind || counted.is_empty() || (state.is_none() && !look.tick && self.awaits(look.sources, look.now)) {
            return Vec::new();
        }
        let mut budget = state.unwrap_or_default();
        let is_known = |s: &&String| budget.met.get(*s) == Some(&self.of(s).generation);
        let (known, fresh): (Vec<String>, Vec<String>) = counted.iter().cloned().partition(|s| is_known(&s));
        let again = fresh.iter().any(|s| budget.met.contains_key(s));
        let forgotten = look.sources.iter().any(|s| budget.met.contains_key(s) && !counted.contains(s));
        budget.met.extend(fresh.iter().map(|s| (s.clone(), self.of(s).generation)));
        let before = budget.limit.replace(look.rule.limit);
        let today = self.today(&counted, look.now);
        let mut facts = Vec::new();
        if fresh.is_empty() || !known.is_empty() {
            for c in self.crossings(look, &mut budget, &known, before, today) {
                budget.told.get_mut(&c.at).unwrap().note(&c, look, today);
                facts.push(crossing(look, &c, false, today, &[]));
            }
        }
        if fresh.is_empty() {
            if !look.partial && !forgotten {
                facts.extend(self.corrections(look, &mut budget, &counted, today));
            }
        } else {
            let mut first = self.crossings(look, &mut budget, &counted, None, today);
            first.retain(|c| c.period.contains(today));
            // All that was passed already is one event: the scope that is furthest over, naming the others.
            first.sort_by(|a, b| b.sum.cmp(&a.sum).then_with(|| a.at.cmp(&b.at)));
            let also: Vec<String> = first.iter().skip(1).map(|c| c.at.0.clone()).collect();
            if let Some(worst) = first.first() {
                budget.told.get_mut(&worst.at).unwrap().note(worst, look, today);
                facts.push(crossing(look, worst, true, today, &also));
            }
            if again {
                self.forget_falls(look, &mut budget, &counted);
            }
        }
        self.budgets.insert(key, budget);
        facts
    }

    /// What is news in the periods that may still move. Everything passed is marked.
    fn crossings(
        &self,
        look: &Look<'_>,
        budget: &mut Budget,
        sources: &[String],
        before: Option<Micros>,
        today: Date,
    ) -> Vec<Crossing> {
        let edited = before.is_some_and(|limit| limit != look.rule.limit);
        let mut found = Vec::new();
        let mut period = Period::containing(look.rule.period, minus_days(today, 3), WeekStart::Monday);
        while period.start <= today {
            for (scope, sum) in self.sums(sources, period.start, period.end, &look.rule.per) {
                let at = (scope, period.start);
                let told = budget.told.entry(at.clone()).or_default();
                let lowered = told.limit.or(before).is_some_and(|limit| look.rule.limit < limit);
                let Some((amount, threshold, fresh)) = crossed(look.rule, sum, lowered, told) else { continue };
                // What is over was judged by the limit there was.
                if !edited || period.end > today {
                    found.push(Crossing { at, sum, period, amount, threshold, fresh, edited });
                }
            }
            period = period.next(WeekStart::Monday);
        }
        found
    }

    /// Told amounts that the spend has fallen well below, once no day up to the telling can move any more. Of what is over
    /// that is said at the first look after its days have closed, or never.
    fn corrections(&self, look: &Look<'_>, budget: &mut Budget, sources: &[String], today: Date) -> Vec<Fact> {
        let mut facts = Vec::new();
        for ((scope, start), told) in &mut budget.told {
            let Some((amount, on)) = told.correctable() else { continue };
            let period = Period::containing(look.rule.period, *start, WeekStart::Monday);
            let (last, closed) = (minus_days(period.end, 1), |day: Date| days_between(day, today) > 3);
            let unread =
                |s: &String| self.of(s).left_out.range(*start..).next().is_some_and(|day| *day <= last.min(today));
            if !closed(on.min(last)) || sources.iter().any(unread) {
                continue;
            }
            let spend = self.sums(sources, period.start, period.end, &look.rule.per).get(scope).copied();
            let spend = spend.unwrap_or_default();
            if spend >= amount.percent_ceil(Percent(95_000)) {
                told.settled = closed(last);
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

    /// What was read anew and comes to less was not given back.
    fn forget_falls(&self, look: &Look<'_>, budget: &mut Budget, sources: &[String]) {
        for ((scope, start), told) in &mut budget.told {
            let Some((amount, _)) = told.correctable() else { continue };
            let period = Period::containing(look.rule.period, *start, WeekStart::Monday);
            let spend = self.sums(sources, period.start, period.end, &look.rule.per).get(scope).copied();
            told.settled |= spend.unwrap_or_default() < amount.percent_ceil(Percent(95_000));
        }
    }

    /// What was known of this was known of another place.
    pub fn forget_place(&mut self, spec: &CollectionSpec) {
        match spec.role {
            Role::Spend => {
                self.forget(&spec.source);
                // What was told was told of another account.
                self.budgets.retain(|(_, group), _| group.split('+').all(|source| source != spec.source));
            }
            Role::Cost => {
                self.threads.retain(|(_, source), _| *source != spec.source);
                for earlier in self.earlier.entry(spec.source.clone()).or_default().values_mut() {
                    *earlier = true;
                }
            }
            Role::Record if spec.noun == "thread" => {
                self.wanted.remove(&spec.source);
                self.earlier.remove(&spec.source);
            }
            _ => {}
        }
    }

    /// Costs as a page shows them.
    pub fn costs(&mut self, rule: &ThreadCostRule, name: &str, source: &str, rows: &[CostRow]) -> Vec<Fact> {
        let key = (name.to_owned(), source.to_owned());
        let dear = self.threads.entry(key).or_default();
        let earlier = self.earlier.get(source).cloned().unwrap_or_default();
        let mut told: Vec<(Micros, String, Vec<Micros>)> = Vec::new();
        for row in rows {
            let known = dear.passed.get(&row.key).copied();
            let before = known.unwrap_or_default();
            let over: Vec<Micros> = rule.limits.iter().copied().filter(|l| *l > before && *l <= row.cost).collect();
            dear.passed.insert(row.key.clone(), over.last().copied().unwrap_or(before));
            if over.is_empty() {
                continue;
            }
            let old = known.is_none() && earlier.get(&row.key).copied().unwrap_or_default();
            if dear.seen && !old {
                told.push((row.cost, row.key.clone(), over));
            } else {
                let first = dear.first.entry(row.key.clone()).or_default();
                first.0 = row.cost;
                first.1.extend(over);
            }
        }
        told.iter().map(|row| dear_thread(name, source, row, &[])).collect()
    }

    /// A look at costs is over: what was like that before is told at once.
    pub fn costs_end(&mut self, name: &str, source: &str, failed: bool) -> Option<Fact> {
        let dear = self.threads.entry((name.to_owned(), source.to_owned())).or_default();
        if dear.first.is_empty() && (dear.seen || (failed && dear.passed.is_empty())) {
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

/// A scope that passed an amount.
struct Crossing {
    /// Scope, and start of the period.
    at: (String, Date),
    sum: Micros,
    period: Period,
    amount: Micros,
    threshold: Percent,
    fresh: Vec<Percent>,
    edited: bool,
}

impl Told {
    fn note(&mut self, crossing: &Crossing, look: &Look<'_>, today: Date) {
        self.highest = Some((crossing.amount, today));
        self.limit = Some(look.rule.limit);
    }
}

/// The highest passed amount where it is news, its threshold, and all thresholds that are. Each amount and kind is one: with
/// a limit of nothing several thresholds are the same.
fn crossed(rule: &BudgetRule, sum: Micros, lowered: bool, told: &mut Told) -> Option<(Micros, Percent, Vec<Percent>)> {
    if sum <= Micros::ZERO {
        return None;
    }
    let fact = |t: Percent| (rule.limit.percent_ceil(t), t >= Percent::WHOLE);
    let passed: Vec<Percent> = rule.thresholds.iter().copied().filter(|t| fact(*t).0 <= sum).collect();
    let highest = *passed.last()?;
    let mut seen = told.amounts.clone();
    let fresh: Vec<Percent> = passed.iter().copied().filter(|t| seen.insert(fact(*t))).collect();
    let (amount, over) = fact(highest);
    let is_new = !told.amounts.contains(&(amount, over));
    let more_was_told = told.amounts.iter().any(|(other, kind)| *other >= amount && *kind >= over);
    told.amounts = seen;
    (is_new && (lowered || !more_was_told)).then_some((amount, highest, fresh))
}

fn crossing(look: &Look<'_>, c: &Crossing, baseline: bool, today: Date, also: &[String]) -> Fact {
    let over = c.threshold >= Percent::WHOLE;
    let late = c.period.end <= today;
    let kind = if over { "budget.exceeded" } else { "budget.threshold_reached" };
    let severity = match (late, baseline, over) {
        (true, _, false) => Severity::Info,
        (false, false, true) => Severity::Critical,
        _ => Severity::Warning,
    };
    let detail = detail_of(&[
        ("rule", json!(look.name)),
        ("period", json!(look.rule.period.to_string())),
        ("period_start", json!(c.period.start.to_string())),
        ("spend_usd", json!(c.sum)),
        ("threshold", json!(number(c.threshold))),
        ("thresholds_crossed", json!(c.fresh.iter().copied().map(number).collect::<Vec<_>>())),
        ("baseline", json!(baseline)),
        ("cause", json!(if c.edited { "limit_changed" } else { "spend" })),
        ("late", json!(late)),
        ("also", json!(also)),
    ]);
    Fact::new(kind, &look.sources[0], &c.at.0, severity, &detail)
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn number(percent: Percent) -> f64 {
    percent.0 as f64 / 1000.0
}
