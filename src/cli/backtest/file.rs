//! A history from a CSV file.
//!
//! Columns by name, in any order, further ones ignored: `series` (or `user`), `timestamp` (or `date`, `day`), `value` (or
//! `amount_usd`, `usd`), and where there are any `label` (1: inside a known spike), `model`, `tokens`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::civil::Date;

use crate::domain::backtest::score::Labels;
use crate::domain::money::Micros;
use crate::domain::spend::{Basis, SpendRow};
use crate::domain::time::{Timestamp, start_of_utc_day, utc_day};

/// Largest file read.
const MOST_BYTES: u64 = 1 << 30;
/// Rows left out that are shown.
const SHOWN: usize = 5;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Rows by the instant they are of; for days that is their start.
    pub rows: BTreeMap<Timestamp, Vec<SpendRow>>,
    pub labels: Labels,
    pub series: BTreeSet<String>,
    /// Rows that can't be: how many, and the first few.
    pub left_out: usize,
    pub examples: Vec<String>,
}

/// Where the columns stand.
struct Columns {
    series: usize,
    timestamp: usize,
    value: usize,
    label: Option<usize>,
    model: Option<usize>,
    tokens: Option<usize>,
}

pub(super) fn read(path: &Path) -> Result<File, String> {
    let fault = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|e| fault(&e))?.len();
    if size > MOST_BYTES {
        return Err(fault(&"is larger than 1 GiB; split it by time"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fault(&e))?;
    parse(&text).map_err(|why| fault(&why))
}

fn parse(text: &str) -> Result<File, String> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let head = cells(lines.next().unwrap_or_default());
    let columns = Columns::of(&head)?;
    let mut file = File::default();
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if let Err(why) = columns.take(&cells(line), &mut file) {
            file.left_out += 1;
            if file.examples.len() < SHOWN {
                file.examples.push(format!("line {}: {why}", index + 2));
            }
        }
    }
    Ok(file)
}

impl Columns {
    fn of(head: &[String]) -> Result<Self, String> {
        let find = |names: &[&str]| head.iter().position(|h| names.contains(&h.trim().to_lowercase().as_str()));
        let need = |names: &[&str]| find(names).ok_or_else(|| format!("has no column {}", names.join(" or ")));
        Ok(Self {
            series: need(&["series", "user"])?,
            timestamp: need(&["timestamp", "date", "day"])?,
            value: need(&["value", "amount_usd", "usd"])?,
            label: find(&["label"]),
            model: find(&["model"]),
            tokens: find(&["tokens"]),
        })
    }

    fn take(&self, cells: &[String], file: &mut File) -> Result<(), String> {
        let cell = |index: usize| cells.get(index).map(|c| c.trim()).filter(|c| !c.is_empty());
        let series = cell(self.series).ok_or("has no series")?;
        let at = instant(cell(self.timestamp).ok_or("has no time")?)?;
        let amount = Micros::parse_usd(cell(self.value).ok_or("has no amount")?).map_err(|e| e.to_string())?;
        if amount.is_negative() {
            return Err("has a negative amount".to_owned());
        }
        let row = SpendRow {
            day: utc_day(at),
            user: Some(series.to_owned()),
            model: self.model.and_then(&cell).map(str::to_owned),
            dims: BTreeMap::new(),
            amount,
            tokens: self.tokens.and_then(&cell).and_then(|t| t.parse().ok()).unwrap_or(0),
            basis: Basis::Billed,
            whole_user: false,
        };
        file.rows.entry(at).or_default().push(row);
        file.series.insert(series.to_owned());
        if let Some(label) = self.label.and_then(&cell) {
            let labelled = label.parse::<f64>().is_ok_and(|l| l >= 1.0);
            *file.labels.entry(series.to_owned()).or_default().entry(at).or_default() |= labelled;
        }
        Ok(())
    }
}

impl File {
    /// The rows by day, whatever the time of day they have.
    pub(super) fn by_day(&self) -> BTreeMap<Date, Vec<SpendRow>> {
        let mut days: BTreeMap<Date, Vec<SpendRow>> = BTreeMap::new();
        for row in self.rows.values().flatten() {
            days.entry(row.day).or_default().push(row.clone());
        }
        days
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    text.parse::<Date>().map(start_of_utc_day).map_err(|_| format!("{text:?} is neither an instant nor a day"))
}

/// The cells of a line. A cell in quotes may hold commas and doubled quotes.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cells.last_mut().into_iter().for_each(|cell| cell.push('"'));
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().into_iter().for_each(|cell| cell.push(c)),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_bad_rows_left_out() {
        let text = "label,timestamp,series,value\r\n0,2026-11-01T00:00:00Z,\"a, \"\"b\"\"\",1.5\n1,2026-11-02,a,2\n\
                    0,2026-11-03,a,NaN\n0,2026-11-03,a,-1\n0,yesterday,a,1\n0,2026-11-04,a,1e300\n0,2026-11-04,a\n";
        let file = parse(text).unwrap();
        assert_eq!((file.left_out, file.examples.len()), (5, 5), "{:?}", file.examples);
        assert_eq!(file.series.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "a, \"b\""]);
        let rows: Vec<_> = file.rows.values().flatten().map(|r| (r.day.to_string(), r.amount.0)).collect();
        assert_eq!(rows, [("2026-11-01".to_owned(), 1_500_000), ("2026-11-02".to_owned(), 2_000_000)]);
        assert_eq!(file.labels["a"].values().collect::<Vec<_>>(), [&true]);
    }

    #[test]
    fn a_file_without_the_columns_says_which() {
        assert_eq!(parse("day,who,usd\n").unwrap_err(), "has no column series or user");
        assert!(parse("").is_err());
    }
}
