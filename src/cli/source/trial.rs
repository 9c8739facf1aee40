//! A look that nobody stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::collection::{CollectionState, Role};
use crate::domain::money::Micros;
use crate::domain::record::{Evidence, Page, Record, Rows, are_equal};
use crate::domain::rules::gauge;
use crate::domain::time::Timestamp;
use crate::source::{Collection, LookRequest, Pages, Source};

/// Records compared with the look before; of more, the first.
const COMPARED: usize = 20_000;
/// Lines kept for showing.
const KEPT: usize = 10;
/// Longest value shown, bytes.
const VALUE: usize = 60;

/// What a look showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    rows: u64,
    records: BTreeMap<String, BTreeMap<String, Value>>,
    days: BTreeMap<jiff::civil::Date, i64>,
    /// A few rows, as lines.
    pub sample: Vec<String>,
    /// What was left out or not understood.
    pub odd: Vec<String>,
    /// Watched fields that differ from the look before, and in how many rows.
    pub changed: BTreeMap<String, u64>,
    /// What stood among the rows and is something else.
    pub passed_over: u64,
    complete: bool,
    calls: u32,
    role: Role,
}

impl Seen {
    /// Looks once, in full, as at the very first time.
    ///
    /// # Errors
    /// Why the look failed.
    pub(super) async fn look(
        source: &Arc<dyn Source>,
        collection: &Collection,
        now: Timestamp,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let spec = source.identify(collection).await.map_err(|failure| failure.message)?;
        let state = CollectionState { fingerprint: spec.fingerprint.clone(), ..CollectionState::default() };
        let request = LookRequest::full(&spec.name, state, now);
        let (pages, mut incoming) = Pages::channel();
        let looking = async {
            let end = source.look(&request, &pages).await;
            drop(pages);
            end
        };
        let mut seen = Self { role: spec.role, ..Self::default() };
        let taking = async {
            while let Some(page) = incoming.recv().await {
                seen.take(page, collection, before);
            }
        };
        let (end, ()) = tokio::join!(looking, taking);
        if let Evidence::Partial(failure) = end.evidence {
            return Err(failure.message);
        }
        seen.complete = end.evidence == Evidence::Complete;
        seen.calls = end.pages;
        seen.passed_over = end.passed_over;
        Ok(seen)
    }

    fn take(&mut self, page: Page, collection: &Collection, before: Option<&Self>) {
        self.rows += page.rows.len() as u64;
        self.odd.extend(page.quarantined.into_iter().chain(page.strange.into_values()));
        self.odd.truncate(KEPT);
        match page.rows {
            Rows::Records(records) => records.into_iter().for_each(|record| self.record(record, before)),
            Rows::Gauges(rows) => {
                for row in rows {
                    let band = row.band.or_else(|| gauge::band_of(&collection.spec.gauge, &row.value));
                    let band = band.unwrap_or_else(|| "?".to_owned());
                    self.show(format!("{}: {} is {band}", row.key, brief(&row.value)));
                }
            }
            Rows::Spend(rows) => {
                for row in rows {
                    *self.days.entry(row.day).or_default() += row.amount.0;
                    let who = row.user.as_deref().unwrap_or("nobody");
                    let what = row.model.as_deref().unwrap_or("no model");
                    self.show(format!("{} {who}, {what}: {}", row.day, row.amount));
                }
            }
            Rows::Costs(_) => {}
        }
    }

    fn record(&mut self, record: Record, before: Option<&Self>) {
        if let Some(old) = before.and_then(|before| before.records.get(&record.key)) {
            for (name, value) in &record.fields {
                if old.get(name).is_some_and(|known| !are_equal(known, value)) {
                    *self.changed.entry(name.clone()).or_default() += 1;
                }
            }
        }
        let fields: Vec<String> =
            record.fields.iter().map(|(name, value)| format!("{name} {}", brief(value))).collect();
        self.show(format!("{}: {}", record.key, fields.join(", ")));
        if self.records.len() < COMPARED {
            self.records.insert(record.key, record.fields);
        }
    }

    fn show(&mut self, line: String) {
        if self.sample.len() < KEPT {
            self.sample.push(crate::domain::delivery::cut(&line, 4 * VALUE));
        }
    }

    /// `45 rows in 1 call, to the end of the list`.
    pub(super) fn summary(&self) -> String {
        let end = if self.complete { "to an end that can be seen" } else { "as far as such a look goes" };
        let calls = if self.calls == 1 { "1 call".to_owned() } else { format!("{} calls", self.calls) };
        let money = (self.role == Role::Spend).then(|| {
            let sum: i64 = self.days.values().sum();
            let span = self.days.keys().next().zip(self.days.keys().next_back());
            span.map_or_else(|| ", no money".to_owned(), |(from, to)| format!(", {} from {from} to {to}", Micros(sum)))
        });
        format!("{} rows in {calls}, {end}{}", self.rows, money.unwrap_or_default())
    }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    crate::domain::delivery::cut(&plain, VALUE)
}
