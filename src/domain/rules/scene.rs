//! What an evaluation of a money rule needs besides the rule and its state.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::Value;

use super::group_name;
use crate::domain::event::{Draft, Severity};
use crate::domain::ids;
use crate::domain::money::Micros;
use crate::domain::payload::Who;
use crate::domain::spend::{Cut, Groups, Ledger, OwnLimits, People, Per, Scope, SpendState};
use crate::domain::time::{Timestamp, WeekStart, plus_days, utc_day};

#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub now: Timestamp,
    pub rule: &'a str,
    pub sources: &'a [String],
    /// Those of them whose money counts: one that has never been read in full is unknown, not zero.
    pub counted: &'a [String],
    pub week_start: WeekStart,
    pub ledger: &'a Ledger,
    pub people: &'a People<'a>,
    pub groups: &'a Groups,
    /// How the ledger of each source stands.
    pub status: &'a BTreeMap<&'a str, &'a SpendState>,
    /// The look behind this was complete: what is missing there is zero, and things may end.
    pub complete: bool,
}

/// What a rule came to.
#[derive(Debug, Clone)]
pub struct Verdict<S> {
    pub state: S,
    pub drafts: Vec<Draft>,
    /// Days of the ledger (source, from when on) that would tell more. With them the same is decided again.
    pub lacks: Vec<(String, Date)>,
}

/// Those of the sources that have been read.
pub fn counted(sources: &[String], status: &BTreeMap<&str, &SpendState>) -> Vec<String> {
    let is_read = |source: &&String| status.get(source.as_str()).is_some_and(|s| s.is_read());
    sources.iter().filter(is_read).cloned().collect()
}

impl<'a> Scene<'a> {
    /// Today by the clock, or by the newest row where that is a day ahead (a clock that lags).
    pub fn today(&self) -> Date {
        let by_clock = utc_day(self.now);
        self.ledger
            .newest_day(self.counted)
            .filter(|newest| *newest > by_clock && *newest <= plus_days(by_clock, 1))
            .unwrap_or(by_clock)
    }

    pub fn cut(&self, per: &'a Per) -> Cut<'a> {
        Cut { sources: self.counted, per, groups: self.groups, people: self.people }
    }

    /// The person a scope is about.
    pub fn person(&self, scope: &Scope) -> Option<Who> {
        scope.user().map(|id| self.people.who(id))
    }

    /// The first source: whose event it is.
    pub fn origin(&self) -> String {
        self.sources.first().cloned().unwrap_or_default()
    }

    /// What an event's id is made of: rule, sources, scope, day or period, amount, kind.
    pub fn identity(&self, scope: &Scope, start: Date, amount: i64, kind: &str) -> Vec<String> {
        self.identity_at(false, scope, start, amount, kind)
    }

    /// The same of what is told at first sight, or else not. That another account of the same name is beyond what was told of
    /// the one before, in the same period, is no news.
    pub fn identity_at(&self, first_sight: bool, scope: &Scope, start: Date, amount: i64, kind: &str) -> Vec<String> {
        let sources = if first_sight { group_name(self.sources) } else { self.accounts() };
        let (rule, kind) = (self.rule.to_owned(), kind.to_owned());
        vec![rule, sources, scope.to_string(), start.to_string(), amount.to_string(), kind]
    }

    pub fn incident(&self, scope: &Scope, start: Date) -> String {
        ids::derive("inc", &[self.rule, &self.accounts(), &scope.to_string(), &start.to_string()])
    }

    /// The sources as part of ids. Of one that is another account's by now (`acme~1`) everything is another fact.
    fn accounts(&self) -> String {
        let account = |source: &String| self.status.get(source.as_str()).map_or(0, |status| status.account);
        let named = |source: &String| match account(source) {
            0 => source.clone(),
            n => format!("{source}~{n}"),
        };
        group_name(&self.sources.iter().map(named).collect::<Vec<_>>())
    }

    /// Another one where a source is another account's than before. What was told of that one was told of that one.
    pub fn account(&self) -> u32 {
        self.sources.iter().filter_map(|s| self.status.get(s.as_str())).map(|status| status.account).sum()
    }

    /// Sources that are not known yet.
    pub fn unread(&self) -> Vec<String> {
        self.sources.iter().filter(|source| !self.counted.contains(source)).cloned().collect()
    }

    /// Whether rows of some day in `[from, to)` had to be left out of what is counted.
    pub fn lacks_rows(&self, from: Date, to: Date) -> bool {
        let within = |day: &Date| from <= *day && *day < to;
        let left_out = |s: &&SpendState| s.gaps.values().any(|gaps| gaps.left_out.iter().any(within));
        self.counted.iter().filter_map(|s| self.status.get(s.as_str()).copied()).any(|s| left_out(&s))
    }

    /// Days of every source from `from` on that are not here.
    pub fn lacking(&self, from: Date) -> Vec<(String, Date)> {
        self.ledger.lacking(self.sources, from).into_iter().map(|source| (source.clone(), from)).collect()
    }

    /// Whether it is known what was spent on a day: someone answered for it since there is any money, or there are rows.
    pub fn knows(&self, day: Date) -> bool {
        self.sources.iter().all(|source| {
            self.status.get(source.as_str()).is_some_and(|s| s.is_history(day))
                || self.ledger.days.contains_key(&(source.clone(), day))
        })
    }

    /// The last day that every source was looked at after. While looks fail, nothing is over.
    pub fn seen_through(&self) -> Option<Date> {
        let seen = |source: &String| self.status.get(source.as_str())?.seen_through();
        self.counted.iter().map(seen).min().flatten()
    }

    /// Whether the sources have said what single things may spend: at least one of them has, and none is in the middle
    /// of it.
    pub fn knows_own_limits(&self) -> bool {
        let mut said = self.own().peekable();
        said.peek().is_some() && said.all(|limits| limits.whole)
    }

    /// What a thing may spend as its source says; `Some(None)` where it has no budget of its own, `None` where nothing is
    /// known of it.
    pub fn own_limit(&self, scope: &Scope) -> Option<Option<Micros>> {
        self.own().find_map(|limits| limits.by.get(scope).copied())
    }

    /// All of these.
    pub fn own_limits(&self) -> impl Iterator<Item = (&Scope, Micros)> {
        self.own().flat_map(|limits| &limits.by).filter_map(|(scope, limit)| Some((scope, (*limit)?)))
    }

    fn own(&self) -> impl Iterator<Item = &OwnLimits> {
        self.sources.iter().filter_map(|s| Some(&self.status.get(s.as_str())?.limits)).filter(|l| !l.is_unknown())
    }

    pub fn draft(&self, kind: &str, scope: &Scope, severity: Severity) -> DraftParts {
        DraftParts {
            source: self.origin(),
            kind: kind.to_owned(),
            subject: scope.to_string(),
            time: self.now,
            severity,
        }
    }
}

/// The head of a draft; identity, reason and data are to follow.
pub struct DraftParts {
    source: String,
    kind: String,
    subject: String,
    time: Timestamp,
    severity: Severity,
}

impl DraftParts {
    pub fn with(self, identity: Vec<String>, why: Value, data: serde_json::Map<String, Value>) -> Draft {
        let Self { source, kind, subject, time, severity } = self;
        Draft { source, kind, subject, time, severity, data, identity, why }
    }
}
