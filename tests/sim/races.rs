//! Two steps at once: one has read what it needs when another one commits. What it then tries to commit must be refused
//! where it would have been another plan by now.

use ampbridge::domain::cycle::{Command, Input, Plan};

use crate::setup::SINKS;
use crate::sim::Sim;

impl Sim {
    /// Prepares a step, lets something else happen, and looks at what has become of it. The step itself is taken by
    /// the caller, afterwards.
    pub async fn race(&mut self, name: &'static str, input: &Input) {
        let early = self.bridge.prepare(input).await;
        match input {
            Input::Command(_) => Box::pin(self.look(name)).await,
            _ if self.rng.percent(50) => Box::pin(self.decide(name)).await,
            _ => {
                let sink = *self.rng.pick(&SINKS);
                self.claim(sink, 3).await;
                self.settle(sink, 3, false).await;
            }
        }
        self.late(input, &early).await;
    }

    /// A plan made before something else was committed.
    pub async fn late(&mut self, input: &Input, early: &Plan) {
        let now = self.bridge.prepare(input).await;
        // A page that shows rows as they were writes nothing. A decision taken just before it was read is still good.
        let decision = matches!(input, Input::Command(Command::ApproveHold { .. } | Command::RebaselineHold { .. }));
        let nothing_written = (&early.expect, early.expect_rows) == (&now.expect, now.expect_rows);
        let still_good = same(early, &now) || (decision && nothing_written);
        if !still_good {
            let refused = self.bridge.commit(early).await;
            assert!(refused.is_some(), "accepted, though it is out of date: {input:?}\nwas {early:?}\nis {now:?}");
            self.say(&format!("too late: {refused:?}"));
        }
    }
}

/// Whether two plans do the same. Versions do not matter, nor do notes.
fn same(a: &Plan, b: &Plan) -> bool {
    let ids = |plan: &Plan| plan.events.iter().map(|e| e.event.id.clone()).collect::<Vec<_>>();
    a.docs == b.docs
        && (a.clear_rows, &a.clear_spend, a.merge) == (b.clear_rows, &b.clear_spend, b.merge)
        && (&a.rows, &a.missed, &a.announced, &a.spend) == (&b.rows, &b.missed, &b.announced, &b.spend)
        && (ids(a), &a.deliveries) == (ids(b), &b.deliveries)
        && (&a.settled, &a.changed) == (&b.settled, &b.changed)
}
