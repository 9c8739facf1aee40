//! `ampbridge spend chart --png`: the chart that digests have, of any stretch of the ledger.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use jiff::civil::Date;

use super::why::with_scene;
use super::{Book, name_of};
use crate::cli::{Failure, Outcome, output};
use crate::domain::cycle::World;
use crate::domain::money::Micros;
use crate::domain::rules::Rule;
use crate::domain::rules::budget::standing::standing;
use crate::domain::rules::forecast;
use crate::domain::spend::{Cut, Per, Scope, Sum};
use crate::domain::time::{PeriodKind, Timestamp, days_between, plus_days};
use crate::render::chart::{Chart, DAYS_MAX, Day, MOVERS_MAX, Moved, Theme, days_of, writable_name};

/// What to draw.
pub(super) struct Stretch<'a> {
    pub scope: &'a Scope,
    /// How the scope is cut out of the ledger.
    pub per: &'a Per,
    pub since: Date,
    pub today: Date,
    pub now: Timestamp,
}

impl Stretch<'_> {
    /// The chart of what is known in the stretch.
    pub(super) fn chart(&self, book: &Book, world: &World) -> Result<Chart, Failure> {
        if usize::try_from(days_between(self.since, self.today)).unwrap_or(usize::MAX) >= DAYS_MAX {
            let text = format!("a picture has room for {DAYS_MAX} days; give a later --since");
            return Err(Failure::Usage(text));
        }
        let past = self.past(book, world, self.scope, self.per);
        let days = days_of(self.since, self.today, |day| book.asked(day).then(|| self.day(book, world, &past, day)));
        // Before the first look nobody was asked; that is no gap.
        let days: Vec<Day> = days.into_iter().skip_while(|day| day.spend.is_none()).collect();
        let Some(first) = days.first().map(|day| day.date) else {
            return Err(Failure::Failed(vec![format!("nothing is known of the days from {} on", self.since)]));
        };
        let sum = self.sum(book, world, self.scope, self.per, first, plus_days(self.today, 1));
        Ok(Chart {
            whose: (*self.scope != Scope::Workspace).then(|| name_of(self.scope, &book.people())),
            from: first,
            to: self.today,
            total: sum.amount,
            expected: self.expected(&past, first),
            estimated: sum.estimated,
            open: true,
            days,
            daily_limit: self.daily_limit(book, world),
            movers: if *self.scope == Scope::Workspace { self.movers(book, world, first) } else { Vec::new() },
        })
    }

    fn day(&self, book: &Book, world: &World, past: &BTreeMap<Date, f64>, date: Date) -> Day {
        let range = forecast::day_range(past, date);
        Day {
            date,
            spend: Some(self.sum(book, world, self.scope, self.per, date, plus_days(date, 1)).amount),
            expected: range.map(|r| r.point),
            range: range.map(|r| (r.low, r.high)),
        }
    }

    fn expected(&self, past: &BTreeMap<Date, f64>, first: Date) -> Option<Micros> {
        forecast::rest(past, first, plus_days(self.today, 1)).map(|rest| rest.amount())
    }

    fn sum(&self, book: &Book, world: &World, scope: &Scope, per: &Per, from: Date, to: Date) -> Sum {
        let people = book.people();
        let cut = Cut { sources: &book.sources, per, groups: &world.groups, people: &people };
        let mut total = Sum::default();
        let mut day = from;
        // Day by day: estimates count on days without anything billed.
        while day < to {
            let sum = book.ledger.sum_of(scope, cut, day, plus_days(day, 1));
            total.amount += sum.amount;
            total.estimated |= sum.estimated;
            day = plus_days(day, 1);
        }
        total
    }

    /// US dollars of each known day, those before the stretch included.
    fn past(&self, book: &Book, world: &World, scope: &Scope, per: &Per) -> BTreeMap<Date, f64> {
        let mut past = BTreeMap::new();
        let mut day = book.from;
        while day <= self.today {
            if book.asked(day) {
                past.insert(day, self.sum(book, world, scope, per, day, plus_days(day, 1)).amount.as_f64());
            }
            day = plus_days(day, 1);
        }
        past
    }

    /// The lowest daily budget of the scope over all sources.
    fn daily_limit(&self, book: &Book, world: &World) -> Option<Micros> {
        let limits = world.rules.iter().filter_map(|spec| match &spec.rule {
            Rule::Budget(budget) if budget.per == *self.per && budget.period == PeriodKind::Day => {
                let covers =
                    book.sources.iter().all(|s| spec.group_of(s).is_some_and(|g| g.len() == book.sources.len()));
                let limit = || {
                    with_scene(book, world, self.now, &spec.name, |scene| {
                        standing(budget, None, scene, self.scope).limit
                    })
                };
                covers.then(limit).flatten()
            }
            _ => None,
        });
        limits.min()
    }

    /// Who spent most above, or below, their usual.
    fn movers(&self, book: &Book, world: &World, first: Date) -> Vec<Moved> {
        let people = book.people();
        let scopes = book.sums(&Per::User, &world.groups, book.from, plus_days(self.today, 1)).into_keys();
        let moved = |scope: Scope| {
            let past = self.past(book, world, &scope, &Per::User);
            let expected = forecast::expected(&past, first, plus_days(self.today, 1))?;
            let actual = self.sum(book, world, &scope, &Per::User, first, plus_days(self.today, 1)).amount;
            let who = people.who(scope.user()?);
            let names = [who.name.as_deref(), who.email.as_deref(), Some(who.id.as_str())];
            let by = (actual - expected).0.saturating_abs();
            (by >= Micros::PER_DOLLAR)
                .then(|| (by, Moved { name: writable_name(names.into_iter().flatten()), actual, expected }))
        };
        let mut found: Vec<(i64, Moved)> = scopes.filter_map(moved).collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
        found.into_iter().map(|(_, moved)| moved).take(MOVERS_MAX).collect()
    }
}

/// Draws the chart into the files that are named.
pub(super) fn write(chart: &Chart, theme: Theme, png: Option<&Path>, svg: Option<&Path>) -> Outcome {
    let fault = |e: crate::render::chart::ChartError| Failure::Failed(vec![e.to_string()]);
    if png.is_some() && png == svg {
        return Err(Failure::Usage("--png and --svg name the same file".to_owned()));
    }
    if let Some(file) = png {
        put(file, &chart.png(theme).map_err(fault)?)?;
    }
    if let Some(file) = svg {
        put(file, chart.svg(theme).map_err(fault)?.as_bytes())?;
    }
    Ok(())
}

/// Whole or not at all: whoever reads the file meanwhile sees the old one. Who may read it stays as it is; a device or a
/// pipe is left alone.
fn put(named: &Path, bytes: &[u8]) -> Outcome {
    let fault = |e: std::io::Error| Failure::Failed(vec![format!("{} can't be written: {e}", named.display())]);
    // Through a link, to what it leads to.
    let (file, before) = match fs::metadata(named) {
        Ok(before) if before.is_file() => (fs::canonicalize(named).map_err(fault)?, Some(before.permissions())),
        Ok(_) => {
            return Err(Failure::Failed(vec![format!(
                "{} is not a regular file; name one, or a new one",
                named.display()
            )]));
        }
        Err(_) => (named.to_owned(), None),
    };
    let Some(name) = file.file_name() else {
        return Err(Failure::Usage(format!("{} is no file", named.display())));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let temporary = file.with_file_name(hidden);
    let written = fs::File::create(&temporary).and_then(|mut out| {
        if let Some(before) = before {
            out.set_permissions(before)?;
        }
        out.write_all(bytes)?;
        out.sync_all()
    });
    if let Err(e) = written.and_then(|()| fs::rename(&temporary, &file)) {
        // Left behind it would only be in the way; what is told is why.
        let _ = fs::remove_file(&temporary);
        return Err(fault(e));
    }
    output::line(&format!("{} written", named.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_left_alone_and_rights_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(put(folder.path(), b"x").is_err(), "a folder");
        fs::write(at("old"), "old").unwrap();
        fs::set_permissions(at("old"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(at("old"), at("link")).unwrap();
        put(&at("link"), b"new").unwrap();
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::read(at("old")).unwrap(), b"new");
        assert_eq!(fs::metadata(at("old")).unwrap().permissions().mode() & 0o777, 0o600);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert!(put(&at("socket"), b"x").is_err() && !fs::metadata(at("socket")).unwrap().is_file());
        put(&at("fresh"), b"x").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left behind");
    }
}
