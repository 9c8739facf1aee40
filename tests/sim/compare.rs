//! Whether the store holds what the model knows, and whether that is what is true at the sources.

use std::collections::{BTreeMap, BTreeSet};

use ampbridge::domain::cycle::Needs;
use ampbridge::domain::money::Micros;
use ampbridge::domain::spend::Basis;
use ampbridge::domain::time::{minus_days, plus_days, utc_day};
use ampbridge::store::{DeliveryFilter, EventFilter};
use jiff::civil::Date;

use crate::remote::Fields;
use crate::setup::{ACME, COLLECTIONS, FILES, SINKS};
use crate::sim::Sim;

/// (day, user, model) to amount and whether it was billed.
type Ledger = BTreeMap<(Date, String, String), (Micros, bool)>;

impl Sim {
    pub async fn compare_store(&self) {
        let store = self.bridge.store();
        let events = store.events(&EventFilter::default()).await.unwrap();
        let ids: BTreeSet<&String> = events.iter().map(|e| &e.event.id).collect();
        assert_eq!(events.len(), ids.len(), "an event is stored twice");
        assert_eq!(ids, self.model.events.keys().collect(), "stored events (left) and the model's");
        for listed in store.deliveries(&DeliveryFilter::default()).await.unwrap() {
            let known = &self.model.outbox.items[&listed.delivery.id];
            assert_eq!(known.as_kept(&listed.delivery), *known, "{}", listed.delivery.id);
        }
        self.compare_rooms().await;
        for name in COLLECTIONS {
            self.compare_collection(name).await;
        }
        for source in [ACME, FILES] {
            let known: Ledger = self
                .model
                .money
                .ledger
                .get(source)
                .into_iter()
                .flatten()
                .flat_map(|(day, rows)| rows.iter().map(|((u, m), cell)| ((*day, u.clone(), m.clone()), *cell)))
                .collect();
            assert_eq!(self.ledger(source).await, known, "the ledger of {source}");
        }
        for sink in SINKS {
            let stopped = self.model.sinks.get(sink).is_some_and(|s| s.stopped);
            assert_eq!(self.bridge.is_stopped(sink).await, stopped, "{sink} is stopped");
        }
        for ((sink, incident), reference) in &self.model.references {
            assert_eq!(store.reference(sink, incident).await.unwrap().as_ref(), Some(reference), "{sink} {incident}");
        }
    }

    async fn compare_collection(&self, name: &str) {
        let (known, state) = (&self.model.collections[name], self.bridge.collection(name).await);
        assert_eq!(state.epoch, known.epoch, "{name}: epoch");
        assert_eq!(state.baseline.is_some(), known.baseline, "{name}: baseline");
        assert_eq!(state.failures, known.failures, "{name}: failures");
        assert_eq!(state.frozen.map(|(scope, _)| scope), known.frozen, "{name}: frozen");
        assert_eq!(state.degraded.into_keys().collect::<BTreeSet<_>>(), known.degraded, "{name}: degraded");
        assert_eq!(state.cursor, known.cursor, "{name}: cursor");
        assert_eq!(state.hold.map(|h| h.announced), known.hold.as_ref().map(|h| h.told.is_some()), "{name}: hold");
        let rows = self.bridge.store().rows(&self.setup.spec(name).id(), 10_000).await.unwrap();
        let rows: BTreeMap<String, Fields> = rows.into_iter().map(|r| (r.key, r.fields)).collect();
        let expected: BTreeMap<String, Fields> = known.rows.iter().map(|(k, r)| (k.clone(), r.kept.clone())).collect();
        assert_eq!(rows, expected, "{name}: rows");
    }

    async fn ledger(&self, source: &str) -> Ledger {
        let today = utc_day(self.true_now());
        let mut needs = Needs::default();
        needs.ledger.push((source.to_owned(), minus_days(today, 200), plus_days(today, 40)));
        let known = self.bridge.store().load(&needs, None).await.unwrap();
        let mut ledger = Ledger::new();
        for ((_, day), spend) in &known.ledger.days {
            for (user, model, cell) in spend.cells() {
                let value = (cell.amount, cell.basis != Basis::Estimate);
                ledger.insert((*day, user.to_owned(), model.to_owned()), value);
            }
        }
        ledger
    }

    /// After complete looks the bridge knows what is true.
    pub async fn compare_remote(&self) {
        for (name, list) in &self.remote.lists {
            let rows = self.bridge.store().rows(&self.setup.spec(name).id(), 10_000).await.unwrap();
            let keys: Vec<&String> = rows.iter().map(|r| &r.key).collect();
            assert_eq!(keys, list.records.keys().collect::<Vec<_>>(), "{name}: what there is");
            for row in &rows {
                for (field, value) in &list.records[&row.key] {
                    assert_eq!(row.fields.get(field), Some(value), "{} {field}", row.key);
                }
            }
            assert_eq!(self.bridge.collection(name).await.rows, rows.len() as u64, "{name}: number of rows");
        }
        for (name, days) in &self.remote.money {
            let source = name.split('/').next().unwrap();
            let mut expected = Ledger::new();
            for (day, rows) in days {
                for ((user, model), amount) in rows {
                    let key = (*day, user.clone(), model.clone().unwrap_or_default());
                    expected.insert(key, (*amount, source == ACME));
                }
            }
            let ledger = self.ledger(source).await;
            let sum = |l: &Ledger| l.values().map(|(a, _)| *a).sum::<Micros>();
            assert_eq!(sum(&ledger), sum(&expected), "{name}: all that was spent");
            assert_eq!(ledger, expected, "{name}: the ledger");
        }
    }
}
