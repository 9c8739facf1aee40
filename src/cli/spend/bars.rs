//! `ampbridge spend chart`: bars on a terminal, or a picture.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::civil::Date;

use super::picture::{self, Stretch};
use super::why::{rule_for, scope_of, with_scene};
use super::{Book, load, money, name_of};
use crate::app::Parts;
use crate::cli::{Failure, Outcome, output};
use crate::domain::rules::spike::DAYS_NEEDED;
use crate::domain::rules::spike::watch::{Opinion, opinions};
use crate::domain::spend::{Scope, Sum};
use crate::domain::time::{minus_days, utc_day};
use crate::render::chart::Theme;

/// Width of the longest bar, characters.
const WIDTH: f64 = 50.0;

#[derive(Debug, Args)]
pub(in crate::cli) struct ChartArgs {
    /// From this day on [default: 30 days ago].
    #[arg(long, value_name = "DAY")]
    since: Option<Date>,
    /// Whose: `workspace`, `user:ID` or `user:EMAIL`, `model:NAME`, `group:NAME`.
    #[arg(long, value_name = "SCOPE", default_value = "workspace", value_parser = Scope::parse)]
    scope: Scope,
    /// Writes a picture instead: a PNG of 1,600 pixels across, legible at a quarter of that.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// The same as SVG, letters as outlines.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// For a dark ground.
    #[arg(long)]
    dark: bool,
}

pub(super) async fn run(parts: Parts, args: &ChartArgs) -> Outcome {
    let (world, now) = (Arc::clone(&parts.world), parts.clock.now());
    let today = utc_day(now);
    let since = args.since.unwrap_or_else(|| minus_days(today, super::DAYS - 1));
    if since > today {
        return Err(Failure::Usage(format!("--since {since} is in the future")));
    }
    let from = minus_days(since, DAYS_NEEDED);
    let book = Book::of(load(parts, Some(from), today).await?, world.sources.clone(), from);
    let scope = scope_of(&args.scope, &book);
    let (name, rule) = rule_for(&world, &scope);
    if args.png.is_some() || args.svg.is_some() {
        let stretch = Stretch { scope: &scope, per: &rule.per, since, today, now };
        let theme = if args.dark { Theme::Dark } else { Theme::Light };
        return picture::write(&stretch.chart(&book, &world)?, theme, args.png.as_deref(), args.svg.as_deref());
    }
    if args.dark {
        return Err(Failure::Usage("--dark goes with --png or --svg".to_owned()));
    }
    let days = with_scene(&book, &world, now, &name, |scene| opinions(&rule, scene, &scope, since, today));
    output::heading(&format!("{}, US dollars a day; | is what was to be expected", name_of(&scope, &book.people())));
    for line in bars(&days, |day| book.answered(day)) {
        output::line(&line);
    }
    let total = days.iter().fold(Sum::default(), |mut sum, day| {
        sum.amount += day.actual.amount;
        sum.estimated |= day.actual.estimated;
        sum
    });
    let unknown = days.iter().filter(|day| !book.answered(day.day)).count();
    let but = if unknown == 0 { String::new() } else { format!("; of {unknown} days (?) nothing is known") };
    output::line(&format!("{} from {since} to {today}{but}", money(total)));
    Ok(())
}

/// `known`: whether anybody answered for the day; of any other nothing is shown.
fn bars(days: &[Opinion], known: impl Fn(Date) -> bool) -> Vec<String> {
    let expected = |day: &Opinion| day.bar.map(|bar| bar.expected.usd);
    let most = days.iter().map(|d| d.actual.amount.as_f64().max(expected(d).unwrap_or(0.0))).fold(0.01, f64::max);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to WIDTH")]
    let place = |usd: f64| (usd / most * WIDTH).round().clamp(0.0, WIDTH) as usize;
    let bar = |day: &Opinion| {
        let length = place(day.actual.amount.as_f64());
        let tick = expected(day).map(place);
        let cell = |at: usize| match () {
            () if tick == Some(at) => '|',
            () if at < length => '█',
            () => ' ',
        };
        let cells: String = (0..=place(most)).map(cell).collect();
        let judged = day.bar.map(|bar| bar.judge(day.actual.amount.as_f64(), bar.needed_usd));
        let mark = if judged.is_some_and(|j| j.alert) { "  spike" } else { "" };
        if known(day.day) {
            format!("{}  {cells}  {}{mark}", day.day, money(day.actual))
        } else {
            format!("{}  ?", day.day)
        }
    };
    days.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Micros;
    use jiff::civil::date;

    #[test]
    fn the_dearest_day_is_as_wide_as_it_gets() {
        let day = |day, usd: i64| Opinion {
            day: date(2026, 11, day),
            actual: Sum { amount: Micros(usd * Micros::PER_DOLLAR), estimated: false },
            bar: None,
            factor: 0.0,
            episode: None,
            history: 0,
        };
        let unknown = date(2026, 11, 4);
        let lines = bars(&[day(1, 10), day(2, 0), day(3, 20), day(4, 0)], |day| day != unknown);
        assert_eq!(lines[3], "2026-11-04  ?");
        let blocks: Vec<usize> = lines.iter().map(|l| l.chars().filter(|c| *c == '█').count()).collect();
        assert_eq!(blocks, [25, 0, 50, 0]);
        assert!(lines[0].starts_with("2026-11-01  ") && lines[2].ends_with("$20.00"));
    }
}
