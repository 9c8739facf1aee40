//! Lines of budgets, spikes and dear threads: the number first.

use jiff::civil::Date;

use super::{NAME, Words, quoted};
use crate::domain::event::Event;
use crate::domain::money::Micros;
use crate::domain::payload::{
    BudgetData, Contribution, CorrectionData, ForecastBrief, ForecastData, SpikeData, SpikeMember, SpikeResolvedData,
    ThreadCostData, Top, Who,
};
use crate::domain::spend::Scope as SpendScope;
use crate::domain::time::utc_day;
use crate::render::show::{capitalize, day, percent, ratio, usd, usd_rounded, who};
use crate::render::text::brief;

/// Of several at once, those named in the line.
const NAMED: usize = 3;

pub fn budget(event: &Event, data: &BudgetData) -> Words {
    let scope = Scope::of(&data.scope, data.who.as_ref(), &data.sources);
    let when = when(&data.period, &data.period_start, event);
    let amount =
        amount(data.spend_usd, data.estimated, data.baseline.then_some("already").or(data.late.then_some("now")));
    let limit = match data.cause.as_str() {
        "limit_changed" => format!("the changed limit of {}", usd(data.limit_usd)),
        "thresholds_changed" => format!("{} (its thresholds were changed)", usd(data.limit_usd)),
        _ => usd(data.limit_usd),
    };
    let against = match data.percent {
        // Rounded down, so that 99.9 % never reads as reached.
        Some(part) => format!("{} of {limit}", percent(part.floor())),
        None => format!("limit {limit}"),
    };
    let mut tail = match data.drivers.first().and_then(|part| driver(part, &scope)) {
        Some(who_and_why) => who_and_why,
        None => top(&data.top, &scope),
    };
    if let Some(sources) = by_source(data) {
        append(&mut tail, &sources);
    }
    if !data.unknown_sources.is_empty() {
        append(&mut tail, &format!("Not known yet: {}", brief(&data.unknown_sources.join(", "), NAME)));
    }
    if let Some(ahead) = &data.forecast {
        append(&mut tail, &outlook(ahead, &scope));
    }
    if data.late {
        append(&mut tail, "Rows came in late");
    }
    if !data.also.is_empty() {
        append(&mut tail, &others(data.also.len()));
    }
    (scope.spent(&when, &amount, &against), tail)
}

pub fn corrected(event: &Event, data: &CorrectionData) -> Words {
    let scope = Scope::of(&data.scope, data.who.as_ref(), &data.sources);
    let when = when(&data.period, &data.period_start, event);
    let head =
        scope.spent(&when, &format!("corrected to {}", usd(data.spend_usd)), &format!("limit {}", usd(data.limit_usd)));
    (head, format!("It had been told as past {}", usd(data.told_usd)))
}

pub fn forecast(event: &Event, data: &ForecastData) -> Words {
    let scope = Scope::of(&data.scope, data.who.as_ref(), &data.sources);
    let when = when(&data.period, &data.period_start, event);
    let limit = usd(data.limit_usd);
    let ahead = usd_rounded(data.forecast_usd);
    if data.state == "resolved" {
        let head = format!("{} {when} no longer heading past {limit}", scope.spend_first());
        return (head, format!("Forecast {ahead}, so far {}", usd(data.spend_usd)));
    }
    let part = data
        .forecast_usd
        .percent_of(data.limit_usd)
        .map_or(String::new(), |p| format!(", {} of {limit}", percent(p.floor())));
    let mut tail = format!("So far {}", usd(data.spend_usd));
    if let Some(reached) = data.reached_on.as_deref().and_then(parse_day) {
        tail = format!("{tail}, {limit} is reached about {}", day(reached, utc_day(event.time)));
    }
    (format!("{} {when} heading for {ahead}{part}", scope.spend_first()), tail)
}

pub fn spike(event: &Event, data: &SpikeData) -> Words {
    let scope = Scope::of(&data.scope, data.who.as_ref(), &data.sources);
    let amount = amount(data.actual_usd, data.estimated, data.lower_bound.then_some("at least"));
    let against = format!("{} × the usual {}", ratio(data.ratio), usd(data.expected_usd));
    let when = when("day", &data.date, event);
    let (head, mut tail) = match (data.shared_percent, data.member_count) {
        (Some(part), _) => {
            let head = scope.spent(&when, &amount, &format!("{} more than usual for nearly everybody", percent(part)));
            (head, "Has a price or a default model changed?".to_owned())
        }
        (None, Some(count)) => {
            let names: Vec<String> = data.members.iter().take(NAMED).filter_map(member).collect();
            let head = format!("{count} spikes at once {when}: together {amount}, {against}");
            (head, format!("{}{}", names.join(", "), if names.len() < count as usize { ", …" } else { "" }))
        }
        _ => {
            let tail = data.attribution.first().and_then(contributor).unwrap_or_default();
            (scope.spent(&when, &amount, &against), tail)
        }
    };
    if data.escalation {
        append(&mut tail, "Told before; at least twice as high since");
    }
    if data.baseline {
        append(&mut tail, "Already so when first looked at");
    }
    if !data.also.is_empty() {
        append(&mut tail, &others(data.also.len()));
    }
    (head, tail)
}

pub fn spike_resolved(event: &Event, data: &SpikeResolvedData) -> Words {
    let scope = Scope::of(&data.scope, data.who.as_ref(), &data.sources);
    let spend = scope.spend();
    let on = parse_day(&data.date).map_or_else(|| data.date.clone(), |d| day(d, utc_day(event.time)));
    let (actual, expected) = (usd(data.actual_usd), usd(data.expected_usd));
    if let Some(count) = data.member_count {
        let head = format!("{count} spikes of {on} over: spend of all of them is back to normal");
        return (head, format!("Together it was {actual}, {expected} is usual"));
    }
    match data.resolution.as_str() {
        "corrected" => {
            (format!("No spike on {on} after all: {spend} corrected to {actual}"), format!("Usual: {expected}"))
        }
        "new_level" => (
            format!("Spike of {on} over: {spend} has stayed up and counts as usual from now on"),
            format!("It began at {actual}, {expected} was usual"),
        ),
        _ => {
            (format!("Spike of {on} over: {spend} is back to normal"), format!("It was {actual}, {expected} is usual"))
        }
    }
}

pub fn thread_cost(data: &ThreadCostData) -> Words {
    let name = if data.name == data.key { brief(&data.key, NAME) } else { quoted(&data.name) };
    let by = data.who.as_ref().map(|w| format!(" by {}", who(w))).unwrap_or_default();
    let already = if data.baseline { "already " } else { "" };
    let amount = amount(data.cost_usd, data.estimated, None);
    let head = format!("Thread {name}{by} has {already}cost {amount}, limit {}", usd(data.limit_usd));
    let mut tail = match data.sub_threads {
        0 => String::new(),
        1 => "1 sub-thread counted in".to_owned(),
        n => format!("{n} sub-threads counted in"),
    };
    if !data.also.is_empty() {
        append(&mut tail, &others(data.also.len()));
    }
    (head, tail)
}

/// Whose money it is.
enum Scope {
    Person(String),
    Model(String),
    Sources(String),
}

impl Scope {
    fn of(scope: &str, person: Option<&Who>, sources: &[String]) -> Self {
        if let Some(id) = scope.strip_prefix("user:") {
            return Self::Person(person.map(who).filter(|name| !name.is_empty()).unwrap_or_else(|| brief(id, NAME)));
        }
        match SpendScope::from(scope.to_owned()) {
            SpendScope::Model(model) => Self::Model(brief(&model, NAME)),
            SpendScope::UserModel(id, model) => {
                let name = person.map(who).filter(|name| !name.is_empty()).unwrap_or(id);
                Self::Person(format!("{} on {}", brief(&name, NAME), brief(&model, NAME)))
            }
            SpendScope::Group(name) => Self::Sources(format!("group {}", brief(&name, NAME))),
            SpendScope::Other(dimension, value) => {
                Self::Sources(format!("{} {}", brief(&dimension, NAME), brief(&value, NAME)))
            }
            _ if sources.is_empty() => Self::Sources("workspace".to_owned()),
            _ => Self::Sources(brief(&sources.join(" + "), NAME)),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Person(name) | Self::Model(name) | Self::Sources(name) => name,
        }
    }

    /// `acme spend`, `spend of ana`.
    fn spend(&self) -> String {
        match self {
            Self::Person(name) => format!("spend of {name}"),
            Self::Model(name) | Self::Sources(name) => format!("{name} spend"),
        }
    }

    /// The same at the start of a line. A model's name is left as it is.
    fn spend_first(&self) -> String {
        match self {
            Self::Model(_) => self.spend(),
            Self::Person(_) | Self::Sources(_) => capitalize(&self.spend()),
        }
    }

    /// `Acme spend today $212.40, 106 % of $200`.
    fn spent(&self, when: &str, amount: &str, against: &str) -> String {
        format!("{} {when} {amount}, {against}", self.spend_first())
    }
}

/// `at least est. $12.30`.
fn amount(usd_amount: Micros, estimated: bool, word: Option<&str>) -> String {
    let estimate = if estimated { "est. " } else { "" };
    let word = word.map(|w| format!("{w} ")).unwrap_or_default();
    format!("{word}{estimate}{}", usd(usd_amount))
}

/// `today`, `on 21 Nov`, `this week`, `in the week of 16 Nov`, `this month`, `in November 2026`; as seen when the event
/// happened, in UTC, which is whose days these are.
fn when(period: &str, start: &str, event: &Event) -> String {
    let today = utc_day(event.time);
    let Some(start) = parse_day(start) else { return format!("in the {period} of {}", brief(start, 20)) };
    let days = crate::domain::time::days_between(start, today);
    match period {
        "day" if days == 0 => "today".to_owned(),
        "day" => format!("on {}", day(start, today)),
        "week" if (0..7).contains(&days) => "this week".to_owned(),
        "week" => format!("in the week of {}", day(start, today)),
        "month" if (start.year(), start.month()) == (today.year(), today.month()) => "this month".to_owned(),
        "month" => format!("in {}", start.strftime("%B %Y")),
        other => format!("in the {other} of {}", day(start, today)),
    }
}

/// `Top: ana $88, gpt-5 $120`, without repeating whom it is about.
fn top(top: &Top, scope: &Scope) -> String {
    let person = top.users.first().and_then(|s| s.who.as_ref().map(|w| (who(w), s.spend_usd)));
    let model = top.models.first().and_then(|s| s.model.as_ref().map(|m| (brief(m, NAME), s.spend_usd)));
    let parts: Vec<String> = [person, model]
        .into_iter()
        .flatten()
        .filter(|(name, _)| name != scope.name())
        .map(|(name, amount)| format!("{name} {}", usd_rounded(amount)))
        .collect();
    if parts.is_empty() { String::new() } else { format!("Top: {}", parts.join(", ")) }
}

/// `Most of the rise: ana with gpt-5, +$52 (new)`.
fn contributor(part: &Contribution) -> Option<String> {
    if part.reason == "others" {
        return None;
    }
    let person = part.who.as_ref().map(who).filter(|name| !name.is_empty());
    let model = part.model.as_ref().map(|m| brief(m, NAME));
    let name = match (person, model) {
        (Some(person), Some(model)) => format!("{person} with {model}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => return None,
    };
    let share = if part.share >= 50.0 { "Most of the rise" } else { "Largest part of the rise" };
    let reason = match part.reason.as_str() {
        "new" => " (new)",
        "price" => " (higher price per token)",
        "mix" => " (instead of other models)",
        _ => "",
    };
    Some(format!("{share}: {name}, +{}{reason}", usd_rounded(part.excess_usd)))
}

/// `ana $88 (gpt-5 volume, 4.1 × usual)`: who is above the usual, and why.
fn driver(part: &Contribution, scope: &Scope) -> Option<String> {
    let person = part.who.as_ref().map(who).filter(|name| !name.is_empty() && name != scope.name());
    let model = part.model.as_ref().map(|m| brief(m, NAME)).filter(|name| name != scope.name());
    let (name, of) = match (person, model) {
        (Some(person), Some(model)) => (person, format!("{model} ")),
        (Some(name), None) | (None, Some(name)) => (name, String::new()),
        (None, None) => return None,
    };
    let why = match part.reason.as_str() {
        "new" => "new".to_owned(),
        _ if part.expected_usd <= Micros::ZERO => "new".to_owned(),
        reason => {
            let times = part.actual_usd.as_f64() / part.expected_usd.as_f64();
            let word = match reason {
                "price" => "price",
                "mix" => "instead of other models",
                _ => "volume",
            };
            format!("{word}, {} × usual", ratio((times * 10.0).round() / 10.0))
        }
    };
    Some(format!("{name} {} ({of}{why})", usd_rounded(part.actual_usd)))
}

/// `Forecast for November $3,410 of $3,000, reached on the 24th`.
fn outlook(ahead: &ForecastBrief, scope: &Scope) -> String {
    let period = match parse_day(&ahead.period_start) {
        Some(start) if ahead.period == "month" => start.strftime("%B").to_string(),
        _ => format!("this {}", ahead.period),
    };
    let whose = match scope {
        Scope::Sources(_) => String::new(),
        Scope::Person(name) | Scope::Model(name) => format!(" for {name}"),
    };
    let reached =
        ahead.reached_on.as_deref().and_then(parse_day).map(|day| format!(", reached on the {}", nth(day.day())));
    format!(
        "Forecast{whose} for {period} {} of {}{}",
        usd_rounded(ahead.forecast_usd),
        usd_rounded(ahead.limit_usd),
        reached.unwrap_or_default()
    )
}

/// `acme $150, claude $62`, of a budget over several sources.
fn by_source(data: &BudgetData) -> Option<String> {
    let parts = data.by_source.iter().filter(|s| s.spend_usd > Micros::ZERO);
    let parts: Vec<String> =
        parts.map(|s| format!("{} {}", brief(&s.source, NAME), usd_rounded(s.spend_usd))).collect();
    (parts.len() > 1).then(|| parts.join(", "))
}

/// `ana +$52`.
fn member(member: &SpikeMember) -> Option<String> {
    let scope = Scope::of(&member.scope, member.who.as_ref(), &[]);
    Some(format!("{} +{}", scope.name(), usd_rounded(member.excess_usd)))
}

/// `1st`, `2nd`, `23rd`, `24th`.
fn nth(day: i8) -> String {
    let ending = match (day % 10, day % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{day}{ending}")
}

fn others(n: usize) -> String {
    if n == 1 { "The same for 1 other".to_owned() } else { format!("The same for {n} others") }
}

fn append(tail: &mut String, sentence: &str) {
    if !tail.is_empty() {
        tail.push_str(". ");
    }
    tail.push_str(sentence);
}

fn parse_day(text: &str) -> Option<Date> {
    text.parse().ok()
}
