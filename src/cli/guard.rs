//! `ampbridge guard`: may more be spent? For CI jobs, hooks and proxies.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::data::operate;
use super::{Failure, Json, Outcome, output};
use crate::admin::{Answer, Op};
use crate::app::Parts;
use crate::domain::guard::{self, State, Verdict};
use crate::domain::money::Micros;
use crate::domain::setting::Span;
use crate::domain::spend::Scope;

/// Exit codes. 2 and 3 stay what they are everywhere: the config, the store.
const WARN: u8 = 10;
const OVER: u8 = 20;
const UNKNOWN: u8 = 30;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes:  0 below the limit   10 past the first threshold (with --fail-on warn)
             20 at or past the limit   30 unknown: never read, too old, or no such budget")]
pub(super) struct GuardArgs {
    /// Whose budgets: `workspace` (the default), `user:ID` or `user:EMAIL`, `model:NAME`, `group:NAME`. Several count
    /// together.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<String>,
    /// Only this budget.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// From where on it fails: the limit, or the first threshold.
    #[arg(long, value_name = "STATE", value_enum, default_value = "over")]
    fail_on: FailOn,
    /// What unknown means to you: 0 or 20 instead of 30.
    #[arg(long, value_name = "ANSWER", value_enum)]
    on_unknown: Option<OnUnknown>,
    /// Figures older than this are unknown.
    #[arg(long, value_name = "SPAN", default_value = "2h", value_parser = span)]
    max_age: Span,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Warn,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnUnknown {
    Allow,
    Deny,
}

impl GuardArgs {
    fn verdict(&self, state: State) -> Verdict {
        let fail_on = match self.fail_on {
            FailOn::Warn => guard::FailOn::Warn,
            FailOn::Over => guard::FailOn::Over,
        };
        let on_unknown = self.on_unknown.map(|answer| match answer {
            OnUnknown::Allow => guard::OnUnknown::Allow,
            OnUnknown::Deny => guard::OnUnknown::Deny,
        });
        state.verdict(fail_on, on_unknown)
    }
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text)
}

/// The text of a scope.
fn scope(text: &str) -> Result<String, String> {
    Scope::parse(text).map(|scope| scope.to_string())
}

pub(super) async fn run(parts: Parts, args: &GuardArgs) -> Outcome {
    if let Some(rule) = args.rule.as_ref().filter(|rule| !parts.world.rules.iter().any(|r| r.name == **rule)) {
        let hint = crate::config::hint(rule, parts.world.rules.iter().map(|r| r.name.as_str()));
        return Err(Failure::Usage(format!("there is no rule {rule:?}{hint}")));
    }
    let op = Op::Guard {
        scopes: args.scopes.clone(),
        rule: args.rule.clone(),
        max_age_seconds: Some(args.max_age.0.as_secs()),
    };
    let Answer::Data(answer) = operate(parts, op).await? else {
        return Err(Failure::Failed(vec!["the guard gave no answer".to_owned()]));
    };
    if args.json.json {
        output::json(&answer);
    } else {
        print(&answer);
    }
    // What can't be read, as of another version, is not known.
    let state = serde_json::from_value(answer["state"].clone()).unwrap_or(State::Unknown);
    match args.verdict(state) {
        Verdict::Go => Ok(()),
        Verdict::Warned => Err(Failure::Verdict(WARN)),
        Verdict::Stop => Err(Failure::Verdict(OVER)),
        Verdict::Unknown => Err(Failure::Verdict(UNKNOWN)),
    }
}

/// One line per budget, the number first.
pub(super) fn print(answer: &Value) {
    let checks = answer["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    for check in checks {
        output::line(&line(check));
    }
    if let Some(reason) = answer["reason"].as_str() {
        output::line(&format!("unknown: {reason}"));
    }
}

fn line(check: &Value) -> String {
    let text = |key: &str| check[key].as_str().unwrap_or_default();
    let money = |key: &str| check[key].as_str().and_then(|usd| Micros::parse_usd(usd).ok()).map(|usd| usd.to_string());
    let estimated = if check["estimated"] == Value::Bool(true) { "est. " } else { "" };
    let spend = money("spend_usd").map_or_else(|| "?".to_owned(), |spend| format!("{estimated}{spend}"));
    let of = match (money("limit_usd"), check["percent"].as_f64()) {
        // Rounded down, so that 99.9 % never reads as reached.
        (Some(limit), Some(percent)) => format!(" of {limit} ({:.0} %)", percent.floor()),
        (Some(limit), None) if check["spend_usd"].is_null() => format!(" of {limit}"),
        (Some(limit), None) => format!(", limit {limit}"),
        _ => ", no limit yet".to_owned(),
    };
    let mut line = format!(
        "{}: {spend}{of}, {} from {}, {} ({})",
        text("state"),
        text("period"),
        text("period_start"),
        text("scope"),
        text("rule"),
    );
    if let Some(reached) = check["forecast"]["reached_on"].as_str() {
        line.push_str(&format!("; limit expected on {reached}"));
    }
    if let Some(reason) = check["reason"].as_str() {
        line.push_str(&format!("; {reason}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_number_comes_first() {
        let check = json!({
            "state": "warn", "spend_usd": "170.00", "limit_usd": "200.00", "percent": 85.0, "estimated": true,
            "period": "day", "period_start": "2026-11-22", "scope": "workspace", "rule": "daily-budget",
            "forecast": null
        });
        assert_eq!(line(&check), "warn: est. $170.00 of $200.00 (85 %), day from 2026-11-22, workspace (daily-budget)");
        let unknown = json!({
            "state": "unknown", "spend_usd": null, "limit_usd": "200.00", "percent": null, "estimated": false,
            "period": "day", "period_start": "2026-11-22", "scope": "workspace", "rule": "day", "reason": "who knows"
        });
        assert_eq!(line(&unknown), "unknown: ? of $200.00, day from 2026-11-22, workspace (day); who knows");
    }
}
