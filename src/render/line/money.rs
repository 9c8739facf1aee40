//! Lines of budgets, spikes and dear threads: the number first.

use jiff::civil::Date;

use super::{NAME, Words, quoted};
use crate::domain::event::Event;
use crate::domain::money::Micros;
use crate::domain::payload::{
    BudgetData, Contribution, CorrectionData, ForecastData, SpikeData, SpikeResolvedData, ThreadCostData, Top, Who,
};
use crate::domain::time::utc_day;
use crate::render::show::{capitalize, day, percent, ratio, usd, usd_rounded, who};
use crate::render::text::brief;

pub fn budget(event: &Event, data: &BudgetData) -> Words {
    let scope = Scope::of(&data.scope, data.who.as_ref(), &data.sources);
    let when = when(&data.period, &data.period_start, event);
    let amount =
        amount(data.spend_usd, data.estimated, data.baseline.then_some("already").or(data.late.then_some("now")));
    let limit = match data.cause.as_str() {
        "limit_changed" => format!("the changed limit of {}", usd(data.limit_usd)),
        _ => usd(data.limit_usd),
    };
    let against = match data.percent {
        // Rounded down, so that 99.9 % never reads as reached.
        Some(part) => format!("{} of {limit}", percent(part.floor())),
        None => format!("limit {limit}"),
    };
    let mut tail = top(&data.top, &scope);
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
    let head = scope.spent(&when("day", &data.date, event), &amount, &against);
    let mut tail = data.attribution.first().and_then(contributor).unwrap_or_default();
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
        match scope.strip_prefix("model:") {
            Some(model) => Self::Model(brief(model, NAME)),
            None if sources.is_empty() => Self::Sources("workspace".to_owned()),
            None => Self::Sources(brief(&sources.join(" + "), NAME)),
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
        _ => "",
    };
    Some(format!("{share}: {name}, +{}{reason}", usd_rounded(part.excess_usd)))
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
