//! `ampbridge spend why`: the detector's numbers in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use jiff::civil::Date;
use serde_json::json;

use super::{Book, load, money, name_of};
use crate::app::Parts;
use crate::cli::{Failure, Json, Outcome, output};
use crate::domain::cycle::World;
use crate::domain::money::Micros;
use crate::domain::payload::Contribution;
use crate::domain::rules::attribution::{self, Rise};
use crate::domain::rules::detector::Sensitivity;
use crate::domain::rules::scene::Scene;
use crate::domain::rules::spike::watch::{Opinion, opinions};
use crate::domain::rules::spike::{DAYS_NEEDED, SpikeRule};
use crate::domain::rules::{Rule, RuleSpec};
use crate::domain::spend::{Per, Scope, SpendState};
use crate::domain::time::{Timestamp, minus_days, plus_days, utc_day};

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    /// The day [default: today].
    #[arg(long, value_name = "DAY")]
    day: Option<Date>,
    /// Whose: `workspace`, `user:ID` or `user:EMAIL`, `model:NAME`, `group:NAME`.
    #[arg(long, value_name = "SCOPE", default_value = "workspace", value_parser = Scope::parse)]
    scope: Scope,
    #[command(flatten)]
    json: Json,
}

pub(super) async fn run(parts: Parts, args: &WhyArgs) -> Outcome {
    let (world, now) = (Arc::clone(&parts.world), parts.clock.now());
    let day = args.day.unwrap_or_else(|| utc_day(now));
    let from = minus_days(day, 2 * DAYS_NEEDED);
    // At its source the next day may have begun.
    let view = load(parts, Some(from), plus_days(utc_day(now), 1)).await?;
    if day > utc_day(now) && view.days.iter().all(|known| known.day < day) {
        return Err(Failure::Usage(format!("--day {day} is in the future")));
    }
    let book = Book::of(view, world.sources.clone(), from);
    let scope = scope_of(&args.scope, &book);
    let (name, rule) = rule_for(&world, &scope);
    let (opinion, parts) = with_scene(&book, &world, now, &name, |scene| {
        let opinion = opinions(&rule, scene, &scope, day, day).pop();
        let expected = opinion.as_ref().and_then(|o| o.bar).map(|bar| Micros::from_estimate(bar.expected.usd));
        let rise = Rise { scope: &scope, from: day, to: plus_days(day, 1), expected };
        (opinion, attribution::attribute(scene.ledger, scene.cut(&Per::Workspace), rise))
    });
    let Some(opinion) = opinion else { return Err(Failure::Failed(vec![format!("nothing is known of {day}")])) };
    let known = match (book.lacks(day), opinion.actual.amount > Micros::ZERO) {
        (true, false) => Known::Nothing,
        (true, true) => Known::Part,
        (false, _) if day >= utc_day(now) => Known::Part,
        (false, _) => Known::All,
    };
    if args.json.json {
        output::json(&document(&opinion, &parts, &scope, known));
    } else {
        for line in words(&opinion, &parts, &name_of(&scope, &book.people()), rule.sensitivity, known) {
            output::line(&line);
        }
    }
    Ok(())
}

/// Lets `look` see the ledger as rules do.
pub(super) fn with_scene<T>(
    book: &Book,
    world: &World,
    now: Timestamp,
    rule: &str,
    look: impl FnOnce(&Scene<'_>) -> T,
) -> T {
    let people = book.people();
    let status: BTreeMap<&str, &SpendState> = book.view.status.iter().map(|(s, state)| (s.as_str(), state)).collect();
    look(&Scene {
        now,
        rule,
        sources: &book.sources,
        counted: &book.sources,
        week_start: world.week_start,
        ledger: &book.ledger,
        people: &people,
        groups: &world.groups,
        status: &status,
        complete: true,
    })
}

/// A scope that people named; users by id or email.
pub(super) fn scope_of(named: &Scope, book: &Book) -> Scope {
    let id_of = |name: &String| book.people().id_of(name).unwrap_or_else(|| name.clone());
    match named {
        Scope::User(name) => Scope::User(id_of(name)),
        Scope::UserModel(name, model) => Scope::UserModel(id_of(name), model.clone()),
        other => other.clone(),
    }
}

/// The rule that judges such scopes, or the one that would.
pub(super) fn rule_for(world: &World, scope: &Scope) -> (String, SpikeRule) {
    let per = match scope {
        Scope::Workspace => Per::Workspace,
        Scope::User(_) => Per::User,
        Scope::Model(_) => Per::Model,
        Scope::UserModel(..) => Per::UserModel,
        Scope::Group(_) => Per::Group,
        Scope::Other(dimension, _) => Per::Other(dimension.clone()),
    };
    let found = world.rules.iter().find_map(|spec: &RuleSpec| match &spec.rule {
        Rule::Spike(rule) if rule.per == per => Some((spec.name.clone(), rule.clone())),
        _ => None,
    });
    found.unwrap_or_else(|| (String::new(), SpikeRule { per, sensitivity: Sensitivity::default() }))
}

/// How far the spend of the day is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// More is to come, or was not counted.
    Part,
    All,
}

fn words(opinion: &Opinion, parts: &[Contribution], name: &str, how: Sensitivity, known: Known) -> Vec<String> {
    let dollars = Micros::from_estimate;
    let spent = opinion.actual.amount.as_f64();
    if known == Known::Nothing {
        return vec![format!("{name}, {}: ?, nobody knows what was spent", opinion.day)];
    }
    let least = if known == Known::Part { "at least " } else { "" };
    let Some(bar) = opinion.bar else {
        return vec![
            format!("{name}, {}: {least}{}", opinion.day, money(opinion.actual)),
            format!("Nothing is expected yet: {} of the 3 active days that takes are known.", opinion.history),
        ];
    };
    let expected = bar.expected;
    let times = if expected.usd > 0.0 { format!(", {:.1} × that", spent / expected.usd) } else { String::new() };
    let mut lines = vec![
        format!(
            "{name}, {}: {least}{}, {} was to be expected{times}",
            opinion.day,
            money(opinion.actual),
            dollars(expected.usd)
        ),
        format!(
            "Expected: {} is the level of a working day, from the last {} active days; such days vary by a factor of {:.1}",
            dollars(expected.level_usd),
            expected.days,
            expected.spread.exp()
        ),
    ];
    if let Some(part) = expected.weekend {
        lines.push(format!("  a weekend day is {:.0} % of that", part * 100.0));
    }
    if expected.weekly {
        lines.push("  this weekday was as high in the last two weeks: a habit".to_owned());
    }
    if opinion.factor > 0.0 {
        lines.push(format!(
            "  everybody spent {:.0} % more than usual that day, which counts as expected",
            (opinion.factor.exp() - 1.0) * 100.0
        ));
    }
    if let Some(base) = opinion.episode {
        lines.push(format!("  an episode above {} was going on: only twice its peak is news", dollars(base)));
    }
    let judged = bar.judge(spent, bar.needed_usd);
    lines.push(format!(
        "News from {} on (score {}, at least {} × and {} more than expected)",
        dollars(bar.needed_usd),
        how.z,
        bar.ratio,
        dollars(how.floor_usd)
    ));
    let verdict = if judged.alert { "a spike" } else { "no spike" };
    if spent > 0.0 {
        lines.push(format!("So: {verdict}, score {:.1}", judged.score));
    } else {
        lines.push("So: no spike, nothing was spent".to_owned());
    }
    if !parts.is_empty() && opinion.actual.amount > Micros::ZERO {
        lines.push("Made of:".to_owned());
        lines.extend(parts.iter().map(part));
    }
    lines
}

fn part(part: &Contribution) -> String {
    let who = part.who.as_ref().map(|w| w.email.clone().unwrap_or_else(|| w.id.clone()));
    let name = match (who, &part.model) {
        (Some(who), Some(model)) => format!("{who} on {model}"),
        (Some(who), None) => who,
        (None, Some(model)) => model.clone(),
        (None, None) => "the rest".to_owned(),
    };
    format!("  {name}: {}, usual {}, {} more ({})", part.actual_usd, part.expected_usd, part.excess_usd, part.reason)
}

fn document(opinion: &Opinion, parts: &[Contribution], scope: &Scope, known: Known) -> serde_json::Value {
    let actual = Some(opinion.actual).filter(|_| known != Known::Nothing);
    let spent = opinion.actual.amount.as_f64();
    let judged = opinion.bar.map(|bar| (bar, bar.judge(spent, bar.needed_usd)));
    json!({
        "scope": scope.to_string(), "date": opinion.day.to_string(), "actual_usd": actual.map(|a| a.amount),
        "estimated": actual.map(|a| a.estimated), "at_least": known == Known::Part, "history_days": opinion.history,
        "expected_usd": judged.map(|(bar, _)| Micros::from_estimate(bar.expected.usd)),
        "needed_usd": judged.map(|(bar, _)| Micros::from_estimate(bar.needed_usd)),
        "spread": judged.map(|(bar, _)| bar.expected.spread), "common_factor": opinion.factor.exp(),
        "score": judged.filter(|_| spent > 0.0).map(|(_, j)| j.score),
        "spike": judged.is_some_and(|(_, j)| j.alert), "attribution": parts,
    })
}
