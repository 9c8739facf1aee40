//! What a backtest found, for people or as JSON.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Value, json};

use super::super::output;
use super::file::File;
use crate::domain::backtest::outlook::{self, Days};
use crate::domain::backtest::score::Score;
use crate::domain::backtest::suggest::Suggestion;
use crate::domain::backtest::{History, Outcome};
use crate::domain::event::Severity;
use crate::domain::time::days_between;

/// Messages listed.
const LISTED: usize = 50;
/// Days of a user-month.
const MONTH: f64 = 30.0;

pub(super) struct Told<'a> {
    pub outcome: &'a Outcome,
    pub history: &'a History,
    pub file: Option<&'a File>,
    pub score: Option<Score>,
}

pub(super) fn told(told: &Told<'_>, as_json: bool) {
    let Told { outcome, history, file, score } = told;
    let mut per_rule: BTreeMap<(String, String), usize> = BTreeMap::new();
    for stored in &outcome.events {
        let rule = stored.event.data.get("rule").and_then(Value::as_str).unwrap_or_default().to_owned();
        *per_rule.entry((rule, stored.event.kind.clone())).or_default() += 1;
    }
    let (first, last, user_months) = extent(history);
    let alerts = outcome.events.iter().filter(|e| e.event.severity >= Severity::Warning).count();
    let per_user_month = ratio(alerts, user_months);
    if as_json {
        let rules: Vec<Value> = per_rule
            .iter()
            .map(|((rule, kind), count)| json!({ "rule": rule, "type": kind, "messages": count }))
            .collect();
        let events: Vec<Value> =
            outcome.events.iter().map(|e| serde_json::to_value(&e.event).unwrap_or_default()).collect();
        let left_out = file.map_or(0, |f| f.left_out);
        output::json(&json!({
            "from": first, "to": last, "user_months": user_months, "rules": rules, "alerts": alerts,
            "alerts_per_user_month": per_user_month, "score": score.as_ref().map(score_json), "left_out": left_out,
            "events": events
        }));
        return;
    }
    if let Some(file) = file.filter(|f| f.left_out > 0) {
        super::unreadable(&format!("{} left out", output::count(file.left_out, "row")));
        file.examples.iter().for_each(|why| output::error_detail(why));
    }
    let span = first.zip(last).map_or(String::new(), |(a, b)| format!(", {a} to {b}"));
    output::heading(&format!("{} would have gone out{span}", output::count(outcome.events.len(), "message")));
    let rows: Vec<Vec<String>> =
        per_rule.iter().map(|((rule, kind), count)| vec![rule.clone(), kind.clone(), count.to_string()]).collect();
    if !rows.is_empty() {
        output::table(&["RULE", "TYPE", "MESSAGES"], &rows);
    }
    output::line(&format!("warnings and above per user-month: {per_user_month:.2} ({user_months:.0} user-months)"));
    if let Some(score) = score {
        output::line(&score_line(score));
    }
    if !outcome.events.is_empty() {
        output::line("");
        let rows: Vec<Vec<String>> = outcome.events.iter().take(LISTED).map(|e| event_row(&e.event)).collect();
        output::table(&["WHEN", "TYPE", "SUBJECT", "SPEND", "SEVERITY"], &rows);
        if outcome.events.len() > LISTED {
            output::line(&format!("… and {} more; --json has all", outcome.events.len() - LISTED));
        }
    }
}

fn event_row(event: &crate::domain::event::Event) -> Vec<String> {
    let text = |key: &str| event.data.get(key).and_then(Value::as_str).map(str::to_owned);
    let day = text("date").or_else(|| text("period_start")).unwrap_or_default();
    let amount = text("actual_usd").or_else(|| text("spend_usd")).map(|usd| format!("${usd}")).unwrap_or_default();
    vec![day, event.kind.clone(), event.subject.clone(), amount, event.severity.as_str().to_owned()]
}

/// First and last day, and months of users: for each, from the first day with spend to the last day of all.
fn extent(history: &History) -> (Option<Date>, Option<Date>, f64) {
    let days: BTreeSet<Date> = history.values().flat_map(BTreeMap::keys).copied().collect();
    let mut first: BTreeMap<&str, Date> = BTreeMap::new();
    for row in history.values().flat_map(BTreeMap::values).flatten() {
        let user = row.user.as_deref().unwrap_or_default();
        let known = first.entry(user).or_insert(row.day);
        *known = row.day.min(*known);
    }
    let last = days.last().copied();
    #[expect(clippy::cast_precision_loss, reason = "a number of days")]
    let months = last
        .map_or(0.0, |last| first.values().map(|first| (days_between(*first, last) + 1) as f64).sum::<f64>() / MONTH);
    (days.first().copied(), last, months)
}

fn ratio(count: usize, of: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    let count = count as f64;
    if of > 0.0 { (count / of * 1000.0).round() / 1000.0 } else { 0.0 }
}

fn score_line(score: &Score) -> String {
    format!(
        "against the labels: precision {:.2}, recall {:.2}, F1 {:.2}; {} of {} found, {} false alarms ({:.1} per 1,000 points){}",
        score.precision(),
        score.recall(),
        score.f1(),
        score.found,
        score.events,
        score.false_alarms,
        score.false_per_thousand(),
        score.mean_delay_hours().map_or(String::new(), |hours| format!(", {hours:.1} h after they began")),
    )
}

fn score_json(score: &Score) -> Value {
    json!({
        "precision": score.precision(), "recall": score.recall(), "f1": score.f1(), "events": score.events,
        "found": score.found, "false_alarms": score.false_alarms, "false_per_1000": score.false_per_thousand(),
        "mean_delay_hours": score.mean_delay_hours(),
    })
}

pub(super) fn suggestions(found: &[Suggestion], as_json: bool) {
    if as_json {
        let rows: Vec<Value> = found
            .iter()
            .map(|s| json!({ "name": s.name, "toml": s.toml, "messages": s.alerts, "chosen": s.chosen }))
            .collect();
        output::json(&json!(rows));
        return;
    }
    if found.is_empty() {
        output::line("there is too little history to suggest anything");
    }
    for suggestion in found {
        let told = output::count(suggestion.alerts, "message");
        let mark = if suggestion.chosen { "" } else { " (not chosen)" };
        output::heading(&format!("# {}: {told} over this history{mark}", suggestion.name));
        let comment = if suggestion.chosen { "" } else { "# " };
        for line in suggestion.toml.lines() {
            output::line(&format!("{comment}{line}"));
        }
        output::line("");
    }
}

pub(super) fn forecasts(days: &Days, as_json: bool) {
    let (all, users): (Days, Days) =
        days.iter().map(|(scope, days)| (scope.clone(), days.clone())).partition(|(scope, _)| scope == "workspace");
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for (name, scopes) in [("workspace", &all), ("user", &users)] {
        let errors = outlook::errors(scopes);
        let ahead = outlook::ahead(scopes);
        let figures = |e: [f64; 3]| format!("{:.1} / {:.1} / {:.1}", e[0], e[1], e[2]);
        rows.push(vec![
            name.to_owned(),
            errors.months.to_string(),
            figures(errors.run_rate),
            figures(errors.forecast),
            format!("{:.2}", ahead.precision()),
            format!("{:.2}", ahead.recall()),
            ahead.median_lead().map_or(String::new(), |days| days.to_string()),
        ]);
        documents.push(json!({
            "scope": name, "months": errors.months, "error_percent_run_rate": errors.run_rate,
            "error_percent_forecast": errors.forecast, "told": ahead.told, "right": ahead.right, "passed": ahead.passed,
            "precision": ahead.precision(), "recall": ahead.recall(), "median_lead_days": ahead.median_lead(),
        }));
    }
    if as_json {
        output::json(&json!(documents));
    } else {
        output::line(
            "error of a month's total, percent, at 25 / 50 / 75 % of the month; limits of 1, 1.25 and 1.5 times the month before",
        );
        output::table(&["SCOPE", "MONTHS", "RUN-RATE", "FORECAST", "PRECISION", "RECALL", "LEAD DAYS"], &rows);
    }
}
