//! Writing to stdout and stderr. A closed pipe ends the output quietly, not the program.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

/// One line of result.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// One JSON document.
pub(super) fn json(value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    line(&text);
}

pub(super) fn error(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = if err.is_terminal() {
        writeln!(err, "\x1b[1;31mampbridge:\x1b[0m {text}")
    } else {
        writeln!(err, "ampbridge: {text}")
    };
}

pub(super) fn error_detail(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "  {text}");
}

pub(super) fn warning(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = if err.is_terminal() {
        writeln!(err, "\x1b[33mwarning:\x1b[0m {text}")
    } else {
        writeln!(err, "warning: {text}")
    };
}

/// Bold on a terminal.
pub(super) fn heading(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = if out.is_terminal() { writeln!(out, "\x1b[1m{text}\x1b[0m") } else { writeln!(out, "{text}") };
}

/// `1 problem`, `2 problems`.
pub(super) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Rows under a heading, columns as wide as they need to be. Control characters of cells are made visible.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) {
    let clean = |cell: &String| cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(clean).collect()).collect();
    let width = |i: usize| {
        rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).chain([head[i].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let format = |cells: &[String]| {
        let last = cells.len().saturating_sub(1);
        let padded = cells.iter().enumerate().map(|(i, c)| {
            let gap = if i == last { 0 } else { widths[i].saturating_sub(c.chars().count()) };
            format!("{c}{}", " ".repeat(gap))
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    heading(&format(&head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()));
    for row in &rows {
        line(&format(row));
    }
}

/// A cell: text as it is, nothing for null, JSON for the rest.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
