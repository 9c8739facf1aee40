//! What is stored of money: the guard's answer, and the ledger for those who look at it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Answer, Desk, OpError};
use crate::domain::cycle::Needs;
use crate::domain::doc::DocKey;
use crate::domain::guard::{self, Question};
use crate::domain::record::Person;
use crate::domain::spend::{DaySpend, Scope, SpendState};
use crate::domain::time::{SignedDuration, minus_days};

/// Days of ledger handed out where no first one is named: what the store loads at once.
pub(super) const DAYS: i64 = 799;

/// One day of one source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LedgerDay {
    pub source: String,
    pub day: Date,
    pub spend: DaySpend,
}

/// The ledger, with who is who and how far it is known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LedgerView {
    pub days: Vec<LedgerDay>,
    pub people: BTreeMap<String, BTreeMap<String, Person>>,
    pub status: BTreeMap<String, SpendState>,
}

/// May more be spent?
pub(super) async fn guard(
    desk: &Desk,
    scopes: Vec<String>,
    rule: Option<String>,
    max_age: Option<i64>,
) -> Result<guard::Answer, OpError> {
    let scopes =
        scopes.iter().map(|text| Scope::parse(text)).collect::<Result<Vec<_>, _>>().map_err(OpError::Invalid)?;
    if let Some(name) = rule.as_ref().filter(|name| !desk.world.rules.iter().any(|r| r.name == **name)) {
        return Err(OpError::Invalid(format!("there is no rule {name:?}")));
    }
    let now = desk.clock.now();
    let needs = guard::needs(&desk.world, now);
    let known = desk.store.load(&needs, None).await?;
    let max_age = max_age.map_or(guard::MAX_AGE, SignedDuration::from_secs);
    Ok(guard::answer(&desk.world, &known, now, &Question { scopes, rule, max_age }))
}

pub(super) async fn ledger(desk: &Desk, from: Option<Date>, to: Date) -> Result<Answer, OpError> {
    let from = from.unwrap_or_else(|| minus_days(to, DAYS));
    let sources: BTreeSet<&String> = desk.world.sources.iter().collect();
    let mut needs = Needs::default();
    for source in &sources {
        needs.ledger.push(((*source).clone(), from, to));
        needs.docs.insert(DocKey::People((*source).clone()));
        needs.docs.insert(DocKey::Spend((*source).clone()));
    }
    let known = desk.store.load(&needs, None).await?;
    let mut view = LedgerView::default();
    for source in sources {
        if let Some(people) = known.docs.people(&DocKey::People(source.clone())) {
            view.people.insert(source.clone(), people.clone());
        }
        if let Some(status) = known.docs.spend(&DocKey::Spend(source.clone())) {
            view.status.insert(source.clone(), status.clone());
        }
    }
    for ((source, day), spend) in known.ledger.days {
        view.days.push(LedgerDay { source, day, spend: spend.as_ref().clone() });
    }
    let value =
        serde_json::to_value(&view).map_err(|e| OpError::Service(format!("the ledger can't be written: {e}")))?;
    Ok(Answer::Data(value))
}
