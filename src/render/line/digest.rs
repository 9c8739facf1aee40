//! The money part of a digest in lines, the number first.

use super::NAME;
use crate::domain::money::Micros;
use crate::domain::payload::Who;
use crate::domain::spend::Scope;
use crate::domain::spend_digest::{Ahead, MoneyDigest};
use crate::render::show::{percent, usd, usd_rounded, who};
use crate::render::text::brief;

/// `Spent $1,204.10 in 7 days, expected $980. …`: a line for each thing worth one.
pub fn lines(digest: &MoneyDigest) -> Vec<String> {
    let mut lines = vec![total(digest)];
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
            spike.date,
            usd(spike.expected_usd)
        ));
    }
    for gap in &digest.gaps {
        let source = brief(&gap.source, NAME);
        lines.push(match gap.kind.as_str() {
            "stale" => format!("{source} shows nothing new since {}", gap.since),
            _ => format!("{source} has not been read for {}; its money that day is unknown", gap.since),
        });
    }
    lines
}

fn total(digest: &MoneyDigest) -> String {
    let estimated = if digest.estimated { "est. " } else { "" };
    let span = if digest.from == digest.to {
        format!("on {}", digest.from)
    } else {
        format!("from {} to {}", digest.from, digest.to)
    };
    let expected = digest.expected_usd.map_or(String::new(), |usd| format!(", expected {}", usd_rounded(usd)));
    format!("Spent {estimated}{} {span}{expected}", usd(digest.total_usd))
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
