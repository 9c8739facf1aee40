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
use crate::domain::spend::{Basis, Cut, DayState, Groups, Ledger, People, Per, Scope, Sum};
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

    /// Whether something was spent on a day that is not in its sum: nobody has answered for it all, rows could not be read, or
    /// tokens have no price.
    fn lacks(&self, day: Date) -> bool {
        !self.asked(day) || self.view.status.values().any(|status| status.uncounted(day, day).is_some())
    }

    /// Whether what is of no user (or no model) is estimated.
    fn nobodys_is_estimated(&self, by_model: bool, groups: &Groups, from: Date, to: Date) -> bool {
        let people = self.people();
        let cut = Cut { sources: &self.sources, per: &Per::Workspace, groups, people: &people };
        let mut days = std::iter::successors(Some(from), |day| Some(plus_days(*day, 1))).take_while(|day| *day < to);
        days.any(|day| {
            self.ledger.rows_of(&Scope::Workspace, cut, day, plus_days(day, 1)).any(|(_, _, row)| {
                let name = if by_model { &*row.kind.model } else { row.user };
                let guess = row.cell.basis == Basis::Estimate || (by_model && row.cell.basis == Basis::Split);
                name.is_empty() && guess && row.cell.amount > Micros::ZERO
            })
        })
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
    /// `None` where nothing is known, which is not nothing.
    sum: Option<Sum>,
    /// Something that was spent is not in it.
    at_least: bool,
    note: &'static str,
}

impl Shown {
    fn of(name: String, sum: Sum) -> Self {
        Self { name, sum: Some(sum), at_least: false, note: "" }
    }

    fn amount(&self) -> Micros {
        self.sum.map(|sum| sum.amount).unwrap_or_default()
    }
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
        _ => rows.iter().map(Shown::amount).sum(),
    };
    print(args, &book, &rows, total, (since, until));
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
                let known = book.reports(source);
                let sum = known.then(|| sums.values().next().copied().unwrap_or_default());
                Shown { sum, ..Shown::of(source.clone(), Sum::default()) }
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
                .map(|(scope, sum)| Shown::of(name_of(&scope, &book.people()), sum))
                .collect();
            let known: Micros = rows.iter().map(Shown::amount).sum();
            let all: Micros = book.sums(&Per::Workspace, groups, since, end).values().map(|s| s.amount).sum();
            if by != By::Group && all > known {
                let estimated = book.nobodys_is_estimated(by == By::Model, groups, since, end);
                rows.push(Shown::of("(none)".to_owned(), Sum { amount: all - known, estimated }));
            }
            rows
        }
    };
    rows.sort_by(|a, b| b.amount().cmp(&a.amount()).then_with(|| a.name.cmp(&b.name)));
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
        let sum = sums.values().next().copied();
        let (sum, at_least) = (sum.or_else(|| book.asked(day).then(Sum::default)), book.lacks(day));
        rows.push(Shown { name: day.to_string(), sum, at_least, note });
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

fn print(args: &ShowArgs, book: &Book, rows: &[Shown], total: Micros, (since, until): (Date, Date)) {
    if args.json.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|r| {
                let sum = r.sum.as_ref();
                let (amount, estimated) = (sum.map(|sum| sum.amount), sum.map(|sum| sum.estimated));
                let mut row = json!({ "name": r.name, "spend_usd": amount, "estimated": estimated });
                if args.by == By::Day {
                    row["state"] = json!(r.note);
                    row["at_least"] = json!(r.at_least);
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
        rows.iter().map(csv).for_each(|line| output::line(&line));
        return;
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row, total)).collect();
    output::table(&[&by.to_uppercase(), "SPEND", "SHARE", ""], &cells);
    let mut days = std::iter::successors(Some(since), |day| Some(plus_days(*day, 1))).take_while(|day| *day <= until);
    let least = if days.any(|day| book.lacks(day)) { "at least " } else { "" };
    output::line(&format!("{least}{total} from {since} to {until}"));
}

/// A row of comma-separated values. What is not known is empty.
fn csv(row: &Shown) -> String {
    let name =
        if row.name.contains([',', '"']) { format!("\"{}\"", row.name.replace('"', "\"\"")) } else { row.name.clone() };
    let sum = row.sum.map_or_else(|| ",".to_owned(), |sum| format!("{},{}", sum.amount.to_decimal(), sum.estimated));
    format!("{name},{sum},{}", row.note)
}

fn cells(row: &Shown, total: Micros) -> Vec<String> {
    let amount = match row.sum {
        None => "?".to_owned(),
        Some(sum) if row.at_least => format!("at least {}", money(sum)),
        Some(sum) => money(sum),
    };
    let share = row.sum.and_then(|sum| sum.amount.percent_of(total)).map_or(String::new(), |p| format!("{p:.1} %"));
    vec![row.name.clone(), amount, share, row.note.to_owned()]
}

/// `est. $12.30`.
pub(super) fn money(sum: Sum) -> String {
    if sum.estimated { format!("est. {}", sum.amount) } else { sum.amount.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::spend::LedgerDay;
    use crate::domain::spend::{DaySpend, SpendRow, SpendState, Uncounted};
    use crate::domain::time::start_of_utc_day;

    fn row(day: Date, user: &str, dollars: i64, basis: Basis) -> SpendRow {
        SpendRow {
            day,
            user: (!user.is_empty()).then(|| user.to_owned()),
            model: None,
            dims: BTreeMap::new(),
            amount: Micros(dollars * Micros::PER_DOLLAR),
            tokens: 0,
            basis,
            whole_user: false,
        }
    }

    #[test]
    fn what_is_not_known_is_never_shown_as_nothing() {
        let today: Date = "2026-11-22".parse().unwrap();
        let ago = |days| minus_days(today, days);
        let mut status = SpendState::default();
        let uncounted = Uncounted { days: [ago(1)].into(), unpriced: [ago(2), ago(3)].into(), ..Uncounted::default() };
        status.answered("usage", Some(ago(3)), &uncounted, start_of_utc_day(today));
        let of = |day, dollars| {
            let spend = DaySpend::upserted(None, &[row(day, "ana", dollars, Basis::Billed)], start_of_utc_day(day));
            LedgerDay { source: "acme".into(), day, spend: spend.unwrap() }
        };
        let days = vec![of(ago(3), 7), of(today, 5)];
        let view = LedgerView { days, status: [("acme".to_owned(), status)].into(), ..LedgerView::default() };
        let book = Book::of(view, vec!["acme".to_owned()], ago(4));
        let rows = shown(&book, &Groups::default(), By::Day, ago(4), today, today);
        let lines: Vec<String> = rows.iter().map(csv).collect();
        assert_eq!(
            lines,
            [
                "2026-11-18,,,unknown",
                "2026-11-19,7.00,false,settling",
                "2026-11-20,,,unknown",
                "2026-11-21,,,unknown",
                "2026-11-22,5.00,false,open"
            ]
        );
        let shown: Vec<String> = rows.iter().map(|row| cells(row, Micros::ZERO)[1].clone()).collect();
        assert_eq!(shown, ["?", "at least $7.00", "?", "?", "$5.00"]);
        assert!(book.lacks(ago(2)) && !book.lacks(today));
    }

    #[test]
    fn what_is_nobodys_is_estimated_where_its_rows_are() {
        let day: Date = "2026-11-22".parse().unwrap();
        let book = |basis| {
            let rows = [row(day, "ana", 5, basis), row(day, "", 3, basis)];
            let spend = DaySpend::upserted(None, &rows, start_of_utc_day(day)).unwrap();
            let days = vec![LedgerDay { source: "acme".into(), day, spend }];
            Book::of(LedgerView { days, ..LedgerView::default() }, vec!["acme".to_owned()], day)
        };
        for (basis, line) in [(Basis::Billed, "(none),3.00,false,"), (Basis::Estimate, "(none),3.00,true,")] {
            let rows = shown(&book(basis), &Groups::default(), By::User, day, day, day);
            assert_eq!(csv(&rows[1]), line);
        }
    }

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
