//! `userDisplayBalanceInfo`: prose, one line a pool of credits.
//!
//! The forms are those that public tools parse; there is no contract. A line that says dollars is a level, one that says
//! percent is understood and judged by nobody, any other is told once as not understood.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::money::Micros;
use crate::domain::record::{GaugeRow, Page, Rows};

/// Lines of one answer, at most.
const LINES: usize = 50;
/// Longest line that is kept, bytes.
const LINE: usize = 300;

/// The pools of an answer, or `None` where it holds no text.
pub fn page(document: &Value) -> Option<Page> {
    let text = document.pointer("/result/displayText")?.as_str()?;
    let mut page = Page::of(Rows::Gauges(Vec::new()));
    let mut rows: Vec<GaugeRow> = Vec::new();
    for (index, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES).enumerate() {
        // By the pool's own name, so that a line in another form still shows that there is the pool.
        let key = pool_of(line).map(|pool| format!("balance:{}", slug(pool)));
        let what = key.unwrap_or_else(|| format!("line {} of the balance", index + 1));
        match read(line) {
            Line::Dollars { pool, left } => {
                let key = what.clone();
                page.understood.insert(what);
                if rows.iter().all(|row| row.key != key) {
                    let line = crate::domain::delivery::cut(line, LINE);
                    rows.push(GaugeRow {
                        key,
                        name: Some(pool.to_owned()),
                        band: None,
                        value: json!(left),
                        facts: BTreeMap::from([("line".to_owned(), json!(line))]),
                    });
                }
            }
            Line::Percent => drop(page.understood.insert(what)),
            Line::Unknown => {
                let sentence = format!("{what} is told in a form that is not known, so it is not watched.");
                page.strange.insert(what, sentence);
            }
        }
    }
    page.rows = Rows::Gauges(rows);
    Some(page)
}

#[derive(Debug, PartialEq)]
enum Line<'t> {
    Dollars { pool: &'t str, left: Micros },
    Percent,
    Unknown,
}

fn read(line: &str) -> Line<'_> {
    let (Some(pool), Some((_, rest))) = (pool_of(line), line.split_once(':')) else { return Line::Unknown };
    let amounts = amounts(rest);
    let lower = rest.to_lowercase();
    match amounts.as_slice() {
        // `agent usage $3.10 of $20.00`: what was used, of how much.
        [used, of, ..] if lower.contains("usage $") && lower.contains(" of $") => {
            Line::Dollars { pool, left: Micros(of.0.saturating_sub(used.0)) }
        }
        // `$4.23/$10.00 remaining (replenishes +$0.42/hour)`, `$14.03 remaining`.
        [left, ..] if lower.contains("remaining") || lower.contains("left") => Line::Dollars { pool, left: *left },
        [] if rest.contains('%') => Line::Percent,
        _ => Line::Unknown,
    }
}

/// What stands before the colon.
fn pool_of(line: &str) -> Option<&str> {
    let (pool, _) = line.split_once(':')?;
    let pool = pool.trim();
    (!slug(pool).is_empty() && pool.len() <= 100).then_some(pool)
}

/// Every `$1,234.56` of a text, in order; a minus may stand on either side of the sign.
fn amounts(text: &str) -> Vec<Micros> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('$') {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let negative = before.ends_with('-') || after.starts_with('-');
        let digits: String = after
            .trim_start_matches('-')
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.' || *c == ',')
            .filter(|c| *c != ',')
            .collect();
        let Ok(amount) = Micros::parse_usd(digits.trim_end_matches('.')) else { continue };
        found.push(if negative { Micros(-amount.0) } else { amount });
    }
    found
}

fn slug(pool: &str) -> String {
    let lower = pool.to_lowercase();
    let parts: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dollars(line: &str) -> Option<(String, String)> {
        match read(line) {
            Line::Dollars { pool, left } => Some((slug(pool), left.to_string())),
            _ => None,
        }
    }

    #[test]
    fn the_forms_that_are_known() {
        let usd = |pool: &str, left: &str| Some((pool.to_owned(), left.to_owned()));
        let free = "Amp Free: $4.23/$10.00 remaining (replenishes +$0.42/hour, see settings)";
        assert_eq!(dollars(free), usd("amp-free", "$4.23"));
        assert_eq!(dollars("Individual credits: $1,014.03 remaining"), usd("individual-credits", "$1,014.03"));
        assert_eq!(dollars("Workspace acme: $7.25 remaining"), usd("workspace-acme", "$7.25"));
        assert_eq!(dollars("Amp Max Tier: agent usage $3.10 of $20.00 this month"), usd("amp-max-tier", "$16.90"));
        assert_eq!(dollars("Workspace acme: -$0.25 remaining"), usd("workspace-acme", "-$0.25"));
        let percent = "Subscription Megawatt: 73% other usage and 41% orb usage remaining - resets in 1 month";
        assert_eq!(read(percent), Line::Percent);
        for unknown in ["Signed in as ana", "Credits: plenty", ": $5 remaining", "Credits: $ remaining", "Tier: $5"] {
            assert_eq!(read(unknown), Line::Unknown, "{unknown}");
        }
    }

    #[test]
    fn an_unknown_line_is_strange_and_the_others_count() {
        let text = "Individual credits: $3.00 remaining\n\nCredits: plenty\n";
        let read = page(&json!({"ok": true, "result": {"displayText": text}})).unwrap();
        assert_eq!((read.rows.len(), read.strange.len(), read.understood.len()), (1, 1, 1));
        assert!(read.strange.contains_key("balance:credits"), "the pool is there all the same");
        assert!(page(&json!({"ok": true, "result": {"text": "x"}})).is_none());
    }
}
