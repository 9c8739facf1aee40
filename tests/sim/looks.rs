//! Looks at collections, page by page, well or badly.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ampbridge::domain::collection::{CollectionSpec, LookNotes, Role};
use ampbridge::domain::cycle::{self, Input, SweepEnd};
use ampbridge::domain::record::{Evidence, Failure, Page, Record, Rows};
use ampbridge::domain::spend::SpendRow;
use ampbridge::domain::time::{minus_days, plus_days, utc_day};
use jiff::civil::date;
use serde_json::{Value, json};

use crate::fact::Fact;
use crate::model::records::{Ending, Look};
use crate::remote;
use crate::sim::Sim;

/// Rows of money pages, and keys of pages of costs, are laid out when the look begins.
enum Script {
    /// After the last key, from the list as it is when the page is asked for.
    List {
        after: Option<String>,
        size: usize,
    },
    Window(Vec<String>),
    Money(VecDeque<Vec<SpendRow>>),
    Costs(VecDeque<Vec<String>>),
}

pub struct Running {
    spec: Arc<CollectionSpec>,
    script: Script,
    ending: Ending,
    /// Pages until it fails, or is cut short without saying so.
    left: usize,
    look: Look,
    notes: LookNotes,
    cursor: Value,
    over: bool,
}

impl Sim {
    /// Begins a look at a collection, or goes on with the one that runs.
    pub async fn look(&mut self, name: &'static str) {
        match self.looks.remove(name) {
            None => {
                let running = self.begin(name, false).await;
                self.looks.insert(name, running);
            }
            Some(mut running) => {
                if self.go_on(name, &mut running).await {
                    self.looks.insert(name, running);
                }
            }
        }
    }

    /// One whole look that shows everything.
    pub async fn good_look(&mut self, name: &'static str) {
        self.looks.remove(name);
        let mut running = self.begin(name, true).await;
        while self.go_on(name, &mut running).await {}
    }

    async fn begin(&mut self, name: &'static str, good: bool) -> Running {
        let spec = self.setup.spec(name);
        let plan = self.bridge.step(&Input::Begin { spec: Arc::clone(&spec) }).await;
        let known = self.model.collections.get_mut(name).unwrap();
        let has_begun = !known.fingerprint.is_empty();
        if known.begin(&spec) && has_begun {
            self.model.money.forget_place(&spec);
        }
        self.check(&plan, Vec::new()).await;
        let known = &self.model.collections[name];
        let window = spec.role == Role::Record && known.baseline && !good && self.rng.percent(40);
        if !window {
            // As the poller does it: only a full look starts with nothing shown.
            self.bridge.store().begin_look(&spec.id()).await.unwrap();
            self.marks.entry(name.to_owned()).or_default().clear();
        }
        let epoch = known.epoch;
        let (mut ending, mut left) = (Ending::Complete, usize::MAX);
        if !good && self.rng.percent(25) {
            ending = Ending::Failed(remote::failure(&mut self.rng));
            left = self.rng.index(5);
        } else if !good && spec.role == Role::Record && self.rng.percent(12) {
            // Cut short, or empty, without a word: the source believes that it showed everything.
            left = self.rng.index(3);
        }
        if window || spec.role == Role::Cost {
            ending = if let Ending::Failed(_) = ending { ending } else { Ending::Window };
        }
        let script = self.script(name, &spec, window, good).await;
        self.say(&format!("look at {name}: {ending:?}, {} pages at most", if left > 99 { 99 } else { left }));
        let cursor = json!({ "look": self.rng.below(1000) });
        let look = Look { epoch, ..Look::default() };
        Running { spec, script, ending, left, look, notes: LookNotes::default(), cursor, over: false }
    }

    async fn script(&mut self, name: &'static str, spec: &CollectionSpec, window: bool, good: bool) -> Script {
        match spec.role {
            Role::Spend => {
                let from = self.model.collections[name].baseline.then(|| minus_days(utc_day(self.true_now()), 5));
                let from = if good { None } else { from };
                let per_page = 1 + self.rng.index(4);
                Script::Money(self.remote.money_pages(name, from, per_page).into())
            }
            Role::Cost => {
                let wanted = self.bridge.wanted(&spec.source).await;
                let expected = self.model.money.wanted.get(&spec.source).cloned().unwrap_or_default();
                assert_eq!(wanted.iter().cloned().collect::<BTreeSet<_>>(), expected, "threads whose cost is wanted");
                let most = if good { wanted.len() } else { self.rng.index(6) };
                Script::Costs(wanted.chunks(2).take(most).map(<[String]>::to_vec).collect())
            }
            _ if window => {
                let keys: BTreeSet<String> = self.remote.lists[name].records.keys().cloned().collect();
                Script::Window(self.rng.some_of(&keys, 30).into_iter().collect())
            }
            _ => Script::List { after: None, size: 1 + self.rng.index(12) },
        }
    }

    /// One page more, or the end. False where the look is over.
    async fn go_on(&mut self, name: &'static str, running: &mut Running) -> bool {
        let page = if running.left == 0 { None } else { self.page(name, running) };
        let Some(page) = page else {
            self.end(name, running).await;
            return false;
        };
        running.left -= 1;
        let input = Input::Page { spec: Arc::clone(&running.spec), page };
        if self.noisy && self.rng.percent(5) {
            self.mark(name, &input);
            self.race(name, &input).await;
        }
        self.take_in(name, running, input).await;
        true
    }

    fn page(&mut self, name: &'static str, running: &mut Running) -> Option<Page> {
        if running.over {
            return None;
        }
        match &mut running.script {
            Script::List { after, size } => {
                let list = &self.remote.lists[name];
                let keys = list.keys_after(after.as_deref(), *size);
                running.over = keys.len() < *size;
                *after = keys.last().cloned().or(after.take());
                let mut records: Vec<_> = keys.iter().filter_map(|k| list.show(k)).collect();
                let mut page = Page::of(Rows::Records(Vec::new()));
                if self.rng.percent(3) && !records.is_empty() && self.noisy {
                    let odd = records.remove(self.rng.index(records.len()));
                    page.quarantined.push(format!("{} can't be read", odd.key));
                }
                if self.rng.percent(4) && !records.is_empty() && self.noisy {
                    let again = self.rng.pick(&records).clone();
                    records.push(again);
                }
                page.rows = Rows::Records(records);
                Some(page)
            }
            Script::Window(keys) => {
                running.over = true;
                let list = &self.remote.lists[name];
                Some(Page::of(Rows::Records(keys.iter().filter_map(|k| list.show(k)).collect())))
            }
            Script::Money(pages) => {
                let mut rows = pages.pop_front()?;
                if self.rng.percent(5) && self.noisy && !rows.is_empty() {
                    let far = plus_days(utc_day(self.bridge.now()), self.rng.between(3, 4000));
                    let day = if self.rng.percent(50) { date(1999, 12, 31) } else { far };
                    rows.push(SpendRow { day, ..rows[0].clone() });
                }
                Some(Page::of(Rows::Spend(rows)))
            }
            Script::Costs(pages) => {
                let asked = pages.pop_front()?;
                let rows = asked.iter().filter_map(|k| self.remote.cost_row(k)).collect();
                Some(Page { asked, ..Page::of(Rows::Costs(rows)) })
            }
        }
    }

    /// Loading what a page needs marks its rows as shown, whatever comes of it.
    fn mark(&mut self, name: &str, input: &Input) {
        if let Input::Page { page: Page { rows: Rows::Records(records), .. }, .. } = input {
            self.marks.entry(name.to_owned()).or_default().extend(records.iter().map(|r| r.key.clone()));
        }
    }

    async fn take_in(&mut self, name: &'static str, running: &mut Running, input: Input) {
        let now = self.bridge.now();
        let spec = Arc::clone(&running.spec);
        self.mark(name, &input);
        let Input::Page { page, .. } = &input else { return };
        let known = self.model.collections.get_mut(name).unwrap();
        running.look.quarantined += page.quarantined.len();
        let shown = page.rows.len();
        let expected: Vec<Fact> = match &page.rows {
            Rows::Records(records) => {
                // Of two rows with one key the first counts.
                let mut seen = BTreeSet::new();
                let records: Vec<_> = records.iter().filter(|r| seen.insert(r.key.clone())).cloned().collect();
                running.look.quarantined += shown - records.len();
                let (facts, touched) = known.page(&spec, &mut running.look, &records);
                if spec.noun == "thread" {
                    self.note_threads(&spec.source, &records, &facts);
                    let wanted = self.model.money.wanted.entry(spec.source.clone()).or_default();
                    // What a sub-thread costs is counted in its main thread's.
                    for key in touched {
                        let record = records.iter().rfind(|r| r.key == key).unwrap();
                        let main = record.fields.get("mainThreadID").and_then(Value::as_str);
                        wanted.insert(main.unwrap_or(&key).to_owned());
                    }
                }
                facts
            }
            Rows::Spend(rows) => {
                running.look.quarantined += self.model.money.book(&spec.source, rows, now);
                running.look.rows += rows.len();
                Vec::new()
            }
            Rows::Costs(rows) => {
                let wanted = self.model.money.wanted.entry(spec.source.clone()).or_default();
                for key in &page.asked {
                    wanted.remove(key);
                }
                let rows = rows.clone();
                let facts = self.thread_costs(&spec.source, &rows);
                let earlier = self.model.money.earlier.entry(spec.source.clone()).or_default();
                for row in &rows {
                    earlier.insert(row.key.clone(), false);
                }
                facts
            }
            Rows::Gauges(_) => Vec::new(),
        };
        let plan = self.bridge.step(&input).await;
        self.check(&plan, expected).await;
        cycle::add_notes(&mut running.notes, plan.notes);
    }

    /// Takes down which threads were there at the first look. What a sub-thread costs is counted in its main thread's.
    fn note_threads(&mut self, source: &str, records: &[Record], facts: &[Fact]) {
        let created: BTreeSet<&str> =
            facts.iter().filter(|f| f.kind == "thread.created").map(|f| f.subject.as_str()).collect();
        let main = |r: &Record| r.fields.get("mainThreadID").and_then(Value::as_str).unwrap_or(&r.key).to_owned();
        let noted = self.model.money.earlier.entry(source.to_owned()).or_default();
        let sorted: BTreeMap<&str, &Record> = records.iter().map(|r| (r.key.as_str(), r)).collect();
        let unknown: Vec<&Record> = sorted.into_values().filter(|r| !noted.contains_key(&main(r))).collect();
        for record in unknown {
            noted.insert(main(record), !created.contains(record.key.as_str()));
        }
    }

    async fn end(&mut self, name: &'static str, running: &mut Running) {
        let now = self.bridge.now();
        let spec = Arc::clone(&running.spec);
        let evidence = match &running.ending {
            Ending::Complete => Evidence::Complete,
            Ending::Window => Evidence::Window,
            Ending::Failed(failure) => Evidence::Partial(Failure::clone(failure)),
        };
        assert_eq!(running.notes.quarantined, running.look.quarantined as u64, "rows left out of {name}");
        let input = Input::SweepEnd(Box::new(SweepEnd {
            spec: Arc::clone(&spec),
            epoch: running.look.epoch,
            evidence,
            idle: false,
            notes: running.notes.clone(),
            cursor: Some(running.cursor.clone()),
            quota: None,
            confirmed: BTreeSet::new(),
        }));
        if self.noisy && self.rng.percent(10) {
            self.race(name, &input).await;
        }
        let is_money = spec.role == Role::Spend;
        let behind = is_money && self.model.money.is_ahead_of(&spec.source, now);
        if behind {
            running.ending = Ending::Failed(Failure::broken("the clock is behind"));
        }
        let known = self.model.collections.get_mut(name).unwrap();
        let health = self.model.sources.entry(spec.source.clone()).or_default();
        let shown = self.marks.entry(name.to_owned()).or_default();
        let baseline_before = known.baseline;
        let mut expected = known.end(&spec, health, &running.look, &running.ending, shown);
        let failed = matches!(running.ending, Ending::Failed(_));
        if !failed && running.look.epoch == known.epoch {
            known.cursor.clone_from(&running.cursor);
        }
        let (baseline, complete) = (known.baseline, !failed && running.look.epoch == known.epoch);
        if is_money {
            let standing = self.model.money.standing.entry(spec.source.clone()).or_default();
            standing.looked(failed, complete, &running.notes, now);
        }
        if is_money && (baseline_before || baseline || failed) && !behind {
            expected.extend(self.money_rules(std::slice::from_ref(&spec.source), now, failed, false));
        }
        if spec.role == Role::Cost {
            expected.extend(self.thread_costs_end(&spec.source, failed));
        }
        let plan = self.bridge.step(&input).await;
        self.check(&plan, expected).await;
        let named = self.bridge.collection(name).await.hold;
        let hold = self.model.collections.get_mut(name).unwrap().hold.as_mut();
        assert_eq!(named.is_some(), hold.is_some(), "{name}: hold");
        if let (Some(named), Some(hold)) = (named, hold) {
            hold.id = named.id;
        }
        self.say(&format!("look at {name} ended: {} rows, {} left out", running.look.rows, running.look.quarantined));
    }
}
