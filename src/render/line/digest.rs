//! The money part of a digest in lines, the number first.

use jiff::civil::Date;

use super::NAME;
use crate::domain::money::Micros;
use crate::domain::payload::{Ahead, MoneyDigest, Who};
use crate::domain::spend::Scope;
use crate::domain::time::{Timestamp, utc_day};
use crate::render::show::{day, percent, usd, usd_rounded, who};
use crate::render::text::brief;

/// Longest sentence of a source that is quoted.
const QUOTE: usize = 200;

/// A line for each thing worth one, besides the total.
pub fn lines(digest: &MoneyDigest, now: Date) -> Vec<String> {
    let mut lines = Vec::new();
    for mover in &digest.movers {
        let (moved, word) = match mover.actual_usd - mover.expected_usd {
            up if up > Micros::ZERO => (up, "more"),
            down => (Micros::ZERO - down, "less"),
        };
        let name = name(&mover.scope, mover.who.as_ref());
        lines.push(format!("{name} {}, {} {word} than usual", usd(mover.actual_usd), usd_rounded(moved)));
    }
    for near in &digest.near_limits {
        let part = near.percent.map_or(String::new(), |p| format!(", {}", percent(p.floor())));
        let again = if near.recrossed { ", passed again after a correction" } else { "" };
        lines.push(format!(
            "{} {} of {} a {}{part}{again}",
            name(&near.scope, near.who.as_ref()),
            usd(near.spend_usd),
            usd(near.limit_usd),
            near.period
        ));
    }
    lines.extend(digest.ahead.iter().map(|ahead| format!("{}: heading for {}", subject(ahead), heading(ahead))));
    lines.extend(
        digest
            .withdrawn
            .iter()
            .map(|ahead| format!("{}: no longer heading past its limit, now {}", subject(ahead), heading(ahead))),
    );
    for spike in &digest.small_spikes {
        let name = name(&spike.scope, spike.who.as_ref());
        lines.push(format!(
            "{name} {} on {}, {} is usual (small)",
            usd(spike.actual_usd),
            date(&spike.date, now),
            usd(spike.expected_usd)
        ));
    }
    lines.extend(digest.quotes.iter().map(|q| format!("{} says: {}", brief(&q.source, NAME), brief(&q.text, QUOTE))));
    for gap in &digest.gaps {
        let source = brief(&gap.source, NAME);
        lines.push(match gap.kind.as_str() {
            "part" => {
                format!("{source} was not read to the end of {}: more may have been spent", date(&gap.since, now))
            }
            "stale" => format!("{source} shows nothing new since {}", instant(&gap.since, now)),
            _ => format!("{source} has not been read for {}: its spend that day is unknown", date(&gap.since, now)),
        });
    }
    lines
}

/// `Spent $1,204.10 from 16 to 22 Nov, expected $980`.
pub fn total(digest: &MoneyDigest, now: Date) -> String {
    let estimated = if digest.estimated { "est. " } else { "" };
    let least = if digest.open { "at least " } else { "" };
    let span = match (digest.from.parse::<Date>(), digest.to.parse::<Date>()) {
        (Ok(from), Ok(to)) if from == to => format!("on {}", day(to, now)),
        (Ok(from), Ok(to)) if from.first_of_month() == to.first_of_month() => {
            format!("from {} to {}", from.day(), day(to, now))
        }
        _ => format!("from {} to {}", date(&digest.from, now), date(&digest.to, now)),
    };
    let expected = digest.expected_usd.map_or(String::new(), |usd| format!(", expected {}", usd_rounded(usd)));
    format!("Spent {least}{estimated}{} {span}{expected}", usd(digest.total_usd))
}

fn date(text: &str, now: Date) -> String {
    text.parse::<Date>().map_or_else(|_| brief(text, NAME), |date| day(date, now))
}

/// The day of an instant.
fn instant(text: &str, now: Date) -> String {
    text.parse::<Timestamp>().map_or_else(|_| brief(text, NAME), |at| day(utc_day(at), now))
}

fn name(scope: &str, person: Option<&Who>) -> String {
    person.map(who).filter(|name| !name.is_empty()).unwrap_or_else(|| match Scope::from(scope.to_owned()) {
        Scope::Workspace => "All together".to_owned(),
        Scope::User(name) | Scope::Model(name) | Scope::Group(name) => brief(&name, NAME),
        other => brief(&other.to_string(), NAME),
    })
}

fn subject(ahead: &Ahead) -> String {
    format!("{} ({})", name(&ahead.scope, None), brief(&ahead.rule, NAME))
}

fn heading(ahead: &Ahead) -> String {
    format!("{} of {}", usd_rounded(ahead.forecast_usd), usd_rounded(ahead.limit_usd))
}
