//! `ampbridge spend`: the ledger, looked at.

mod bars;
mod picture;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use serde_json::{Value, json};

use super::data;
use super::{Failure, Outcome, output};
use crate::admin::spend::LedgerView;
use crate::admin::{Answer, Op};
use crate::app::Parts;
use crate::domain::money::Micros;
use crate::domain::spend::{Cut, DayState, Groups, Ledger, People, Per, Scope, Sum};
use crate::domain::time::{minus_days, plus_days, utc_day};

/// Days shown where nothing is said.
const DAYS: i64 = 30;

#[derive(Debug, Subcommand)]
pub(super) enum SpendCommand {
    /// What was spent, by day, user, model or source.
    Show(ShowArgs),
    /// Why a day is a spike, or is none: the detector's numbers in words.
    Why(why::WhyArgs),
    /// Spend a day as bars, or as a picture, against what was to be expected.
    Chart(bars::ChartArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// One row for each.
    #[arg(long, value_enum, default_value = "day")]
    by: By,
    /// From this day on [default: 30 days ago].
    #[arg(long, value_name = "DAY")]
    since: Option<Date>,
    /// Up to and with this day [default: today].
    #[arg(long, value_name = "DAY")]
    until: Option<Date>,
    /// Comma-separated values instead of a table.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    User,
    Model,
    Group,
    Source,
}

pub(super) async fn run(parts: Parts, command: SpendCommand) -> Outcome {
    match command {
        SpendCommand::Show(args) => show(parts, &args).await,
        SpendCommand::Why(args) => why::run(parts, &args).await,
        SpendCommand::Chart(args) => bars::run(parts, &args).await,
    }
}

/// The stored ledger up to `to`, through the running service where there is one.
pub(super) async fn load(parts: Parts, from: Option<Date>, to: Date) -> Result<LedgerView, Failure> {
    match data::operate(parts, Op::Ledger { from, to }).await? {
        Answer::Data(value) => serde_json::from_value(value)
            .map_err(|e| Failure::Failed(vec![format!("the running service answered something else: {e}")])),
        Answer::Done(_) => Err(Failure::Failed(vec!["the running service answered something else".to_owned()])),
    }
}

/// A view as rules read it.
pub(super) struct Book {
    pub ledger: Ledger,
    pub sources: Vec<String>,
    pub view: LedgerView,
    /// The first day that was asked for.
    pub from: Date,
}

impl Book {
    pub(super) fn of(view: LedgerView, sources: Vec<String>, from: Date) -> Self {
        let mut ledger = Ledger::default();
        for day in &view.days {
            ledger.put(&day.source, day.day, Arc::new(day.spend.clone()));
        }
        for source in &sources {
            ledger.loaded_from(source, from);
        }
        Self { ledger, sources, view, from }
    }

    pub(super) fn people(&self) -> People<'_> {
        People(self.view.people.values().collect())
    }

    /// Whether every source that reports money has answered for the day.
    fn asked(&self, day: Date) -> bool {
        let mut reporting = self.sources.iter().filter(|source| self.reports(source)).peekable();
        reporting.peek().is_some() && reporting.all(|source| self.has(source, day))
    }

    fn reports(&self, source: &str) -> bool {
        self.view.status.get(source).is_some_and(|s| !s.known.is_empty())
            || self.view.days.iter().any(|day| day.source == source)
    }

    /// Whether any source has: not all of them need have money.
    fn answered(&self, day: Date) -> bool {
        self.sources.iter().any(|source| self.has(source, day))
    }

    fn has(&self, source: &str, day: Date) -> bool {
        self.view.status.get(source).is_some_and(|s| s.knows(day))
            || self.ledger.days.contains_key(&(source.to_owned(), day))
    }

    fn sums(&self, per: &Per, groups: &Groups, from: Date, to: Date) -> BTreeMap<Scope, Sum> {
        let people = self.people();
        let cut = Cut { sources: &self.sources, per, groups, people: &people };
        let mut sums: BTreeMap<Scope, Sum> = BTreeMap::new();
        let mut day = from;
        // Day by day: estimates count on days without anything billed.
        while day < to {
            for (scope, sum) in self.ledger.sums(cut, day, plus_days(day, 1)) {
                let total = sums.entry(scope).or_default();
                total.amount += sum.amount;
                total.estimated |= sum.estimated;
            }
            day = plus_days(day, 1);
        }
        sums
    }
}

/// One row of `spend show`.
struct Shown {
    name: String,
    sum: Sum,
    note: &'static str,
}

async fn show(parts: Parts, args: &ShowArgs) -> Outcome {
    let today = utc_day(parts.clock.now());
    let until = args.until.unwrap_or(today);
    let since = args.since.unwrap_or_else(|| minus_days(until, DAYS - 1));
    if since > until {
        return Err(Failure::Usage(format!("--since {since} is after {until}")));
    }
    let (world, sources) = (Arc::clone(&parts.world), parts.world.sources.clone());
    let book = Book::of(load(parts, Some(since), until).await?, sources, since);
    let rows = shown(&book, &world.groups, args.by, since, until, today);
    let total: Micros = match args.by {
        By::Group => {
            book.sums(&Per::Workspace, &world.groups, since, plus_days(until, 1)).values().map(|s| s.amount).sum()
        }
        _ => rows.iter().map(|r| r.sum.amount).sum(),
    };
    print(args, &rows, total, since, until);
    Ok(())
}

fn shown(book: &Book, groups: &Groups, by: By, since: Date, until: Date, today: Date) -> Vec<Shown> {
    let end = plus_days(until, 1);
    let mut rows = match by {
        By::Day => return days(book, groups, since, until, today),
        By::Source => book
            .sources
            .iter()
            .map(|source| {
                let one = [source.clone()];
                let people = book.people();
                let cut = Cut { sources: &one, per: &Per::Workspace, groups, people: &people };
                let sums = book.ledger.sums(cut, since, end);
                Shown { name: source.clone(), sum: sums.values().next().copied().unwrap_or_default(), note: "" }
            })
            .collect(),
        By::User | By::Model | By::Group => {
            let per = match by {
                By::User => Per::User,
                By::Model => Per::Model,
                _ => Per::Group,
            };
            let mut rows: Vec<Shown> = book
                .sums(&per, groups, since, end)
                .into_iter()
                .map(|(scope, sum)| Shown { name: name_of(&scope, &book.people()), sum, note: "" })
                .collect();
            let known: Micros = rows.iter().map(|r| r.sum.amount).sum();
            let all: Micros = book.sums(&Per::Workspace, groups, since, end).values().map(|s| s.amount).sum();
            if by != By::Group && all > known {
                rows.push(Shown {
                    name: "(none)".to_owned(),
                    sum: Sum { amount: all - known, estimated: false },
                    note: "",
                });
            }
            rows
        }
    };
    rows.sort_by(|a, b| b.sum.amount.cmp(&a.sum.amount).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn days(book: &Book, groups: &Groups, since: Date, until: Date, today: Date) -> Vec<Shown> {
    let mut rows = Vec::new();
    let mut day = since;
    while day <= until {
        let sums = book.sums(&Per::Workspace, groups, day, plus_days(day, 1));
        let note = match (book.asked(day), DayState::of(day, today)) {
            (false, _) => "unknown",
            (_, DayState::Open) => "open",
            (_, DayState::Settling) => "settling",
            (_, DayState::Closed) => "closed",
        };
        rows.push(Shown { name: day.to_string(), sum: sums.values().next().copied().unwrap_or_default(), note });
        day = plus_days(day, 1);
    }
    rows
}

/// What a person calls a scope.
pub(super) fn name_of(scope: &Scope, people: &People<'_>) -> String {
    let user = |id: &str| people.get(id).and_then(|p| p.email.clone()).unwrap_or_else(|| id.to_owned());
    match scope {
        Scope::User(id) => user(id),
        Scope::UserModel(id, model) => format!("{} on {model}", user(id)),
        Scope::Model(name) | Scope::Group(name) => name.clone(),
        other => other.to_string(),
    }
}

fn print(args: &ShowArgs, rows: &[Shown], total: Micros, since: Date, until: Date) {
    if args.json.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|r| {
                let mut row = json!({ "name": r.name, "spend_usd": r.sum.amount, "estimated": r.sum.estimated });
                if args.by == By::Day {
                    row["state"] = json!(r.note);
                }
                row
            })
            .collect();
        output::json(
            &json!({ "since": since.to_string(), "until": until.to_string(), "total_usd": total, "rows": rows }),
        );
        return;
    }
    let by = format!("{:?}", args.by).to_lowercase();
    if args.csv {
        output::line(&format!("{by},spend_usd,estimated,state"));
        for row in rows {
            let name = if row.name.contains([',', '"']) {
                format!("\"{}\"", row.name.replace('"', "\"\""))
            } else {
                row.name.clone()
            };
            output::line(&format!("{name},{},{},{}", row.sum.amount.to_decimal(), row.sum.estimated, row.note));
        }
        return;
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let amount = if row.note == "unknown" { "?".to_owned() } else { money(row.sum) };
            let share = row.sum.amount.percent_of(total).map_or(String::new(), |p| format!("{p:.1} %"));
            vec![row.name.clone(), amount, share, row.note.to_owned()]
        })
        .collect();
    output::table(&[&by.to_uppercase(), "SPEND", "SHARE", ""], &cells);
    output::line(&format!("{total} from {since} to {until}"));
}

/// `est. $12.30`.
pub(super) fn money(sum: Sum) -> String {
    if sum.estimated { format!("est. {}", sum.amount) } else { sum.amount.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::spend::SpendState;

    #[test]
    fn only_sources_with_money_are_asked_for_it() {
        let day: Date = "2026-11-22".parse().unwrap();
        let known = |from: Date| SpendState { known: vec![(from, day)], ..SpendState::default() };
        let status = |list: Vec<(&str, SpendState)>| list.into_iter().map(|(name, s)| (name.to_owned(), s)).collect();
        let book = |status| {
            let sources = ["acme", "claude", "status"].map(str::to_owned).to_vec();
            Book::of(LedgerView { status, ..LedgerView::default() }, sources, day)
        };
        let all = book(status(vec![("acme", known(day)), ("status", SpendState::default())]));
        assert!(all.asked(day), "one has no money, and one nothing at all");
        let late = book(status(vec![("acme", known(minus_days(day, 3))), ("claude", known(day))]));
        assert_eq!([0, 1].map(|back| late.asked(minus_days(day, back))), [true, false]);
        assert!(!book(BTreeMap::new()).asked(day), "nobody was asked");
    }
}
