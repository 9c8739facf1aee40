//! Events of records that came, changed or went.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::collection::{CollectionSpec, UpdateRule};
use crate::domain::diff::Change;
use crate::domain::event::{Draft, data_of};
use crate::domain::payload::{ChangeData, Who};
use crate::domain::record::{Person, Record, StoredRow, are_equal};
use crate::domain::time::Timestamp;

/// Longest text taken over from outside into an event, in bytes. Sinks cut further to their own limits.
const TEXT_BYTES: usize = 16 * 1024;

/// What the drafts need besides the row.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub now: Timestamp,
    pub spec: &'a CollectionSpec,
    pub epoch: u32,
    pub people: &'a BTreeMap<String, Person>,
}

/// Events of an upsert: one for a creation and what it already is, one per matching update rule for a change.
pub fn upserted(scene: Scene<'_>, row: &StoredRow, observed: &Record, change: &Change) -> Vec<Draft> {
    match change {
        Change::None => Vec::new(),
        Change::Created => {
            let time = observed.created_at.unwrap_or(scene.now);
            let created = scene.spec.events.created.iter().map(|kind| {
                let data = change_data(scene, row, None, Some(&row.fields), &[]);
                draft(scene, kind, row, &data, time)
            });
            let born = births(&scene.spec.events.updated, &row.fields).into_iter().map(|(kind, field)| {
                let data = change_data(scene, row, None, Some(&row.fields), &[field]);
                draft(scene, &kind, row, &data, time)
            });
            created.chain(born).collect()
        }
        Change::Updated { before, fields } => updates(&scene.spec.events.updated, before, &row.fields, fields)
            .into_iter()
            .map(|(kind, fields)| {
                let data = change_data(scene, row, Some(before), Some(&row.fields), &fields);
                draft(scene, &kind, row, &data, observed.updated_at.unwrap_or(scene.now))
            })
            .collect(),
    }
}

/// The event of a removal; `gone` is the tombstone that replaces `row`.
pub fn removed(scene: Scene<'_>, row: &StoredRow, gone: &StoredRow) -> Option<Draft> {
    let kind = scene.spec.events.deleted.as_ref()?;
    let data = change_data(scene, row, Some(&row.fields), None, &[]);
    Some(draft(scene, kind, gone, &data, scene.now))
}

/// What a new record already is that is worth an event of its own, with the field that says so.
fn births(rules: &[UpdateRule], fields: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let born = rules.iter().filter(|rule| rule.at_birth).filter_map(|rule| {
        let field = rule.field.as_ref()?;
        let so = is_so(rule.to.as_ref()?, fields.get(field));
        so.then_some((rule.event.clone()?, field.clone()))
    });
    born.collect()
}

/// Groups changed fields by the event they make: the first rule that takes a field names its event. What is to be told alone
/// is told where nothing else is.
fn updates(
    rules: &[UpdateRule],
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
    fields: &[String],
) -> Vec<(String, Vec<String>)> {
    let mut grouped: Vec<(String, Vec<String>)> = Vec::new();
    let mut alone: Vec<(String, Vec<String>)> = Vec::new();
    for field in fields {
        let (old, new) = (before.get(field), after.get(field));
        let taken = rules.iter().find(|rule| {
            rule.field.as_ref().is_none_or(|f| f == field)
                && rule.to.as_ref().is_none_or(|to| is_so(to, new))
                && rule.from.as_ref().is_none_or(|from| is_so(from, old))
                && (rule.rising.is_empty() || rises(&rule.rising, old, new))
        });
        let Some((rule, kind)) = taken.and_then(|rule| Some((rule, rule.event.clone()?))) else { continue };
        let groups = if rule.alone { &mut alone } else { &mut grouped };
        match groups.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, list)) => list.push(field.clone()),
            None => groups.push((kind, vec![field.clone()])),
        }
    }
    if grouped.is_empty() { alone } else { grouped }
}

fn is_so(wanted: &Value, value: Option<&Value>) -> bool {
    value.is_some_and(|value| are_equal(wanted, value))
}

/// Whether the new value stands later in the list than the old one. Of a value that is not in the list nothing can be
/// said.
fn rises(order: &[String], old: Option<&Value>, new: Option<&Value>) -> bool {
    let rank = |value: Option<&Value>| order.iter().position(|name| value.and_then(Value::as_str) == Some(name));
    matches!((rank(old), rank(new)), (Some(old), Some(new)) if new > old)
}

fn change_data(
    scene: Scene<'_>,
    row: &StoredRow,
    before: Option<&BTreeMap<String, Value>>,
    after: Option<&BTreeMap<String, Value>>,
    changed: &[String],
) -> ChangeData {
    // Every watched field stands on both sides, null where there is none.
    let names: std::collections::BTreeSet<&String> = before.into_iter().chain(after).flat_map(BTreeMap::keys).collect();
    let side = |map: Option<&BTreeMap<String, Value>>| {
        map.map(|m| names.iter().map(|n| ((*n).clone(), m.get(*n).map_or(Value::Null, bounded))).collect())
    };
    ChangeData {
        key: row.key.clone(),
        noun: scene.spec.noun.clone(),
        name: crate::domain::delivery::cut(row.name.as_deref().unwrap_or(&row.key), TEXT_BYTES),
        who: row.who.as_ref().map(|id| person(scene, row, id)),
        link: row.link.clone(),
        before: side(before),
        after: side(after),
        changed: changed.to_vec(),
        facts: row.facts.iter().map(|(n, v)| (n.clone(), bounded(v))).collect(),
    }
}

/// The person behind a record. Where the record is the person, it has their name.
fn person(scene: Scene<'_>, row: &StoredRow, id: &str) -> Who {
    let told = Who::of(id, scene.people.get(id));
    let own = told.email.as_ref().is_some_and(|email| email.to_lowercase() == row.key.to_lowercase());
    told.or_named(row.name.as_deref().filter(|_| own))
}

fn draft(scene: Scene<'_>, kind: &str, row: &StoredRow, data: &ChangeData, time: Timestamp) -> Draft {
    let after = serde_json::to_string(&row.fields).unwrap_or_default();
    Draft {
        source: scene.spec.source.clone(),
        kind: kind.to_owned(),
        subject: row.key.clone(),
        time,
        severity: scene.spec.events.severities.get(kind).copied().unwrap_or_default(),
        identity: vec![
            scene.spec.source.clone(),
            scene.spec.name.clone(),
            row.key.clone(),
            scene.epoch.to_string(),
            row.version.to_string(),
            kind.to_owned(),
            after,
        ],
        why: json!({
            "collection": scene.spec.name, "before": data.before, "after": data.after, "changed": data.changed,
            "epoch": scene.epoch, "key_version": row.version,
        }),
        data: data_of(data),
    }
}

/// Cuts over-long strings inside a value.
fn bounded(value: &Value) -> Value {
    match value {
        Value::String(s) if s.len() > TEXT_BYTES => Value::String(crate::domain::delivery::cut(s, TEXT_BYTES)),
        Value::Array(items) => Value::Array(items.iter().map(bounded).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), bounded(v))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(field: Option<&str>, to: Option<Value>, event: Option<&str>) -> UpdateRule {
        UpdateRule { field: field.map(Into::into), to, event: event.map(Into::into), ..UpdateRule::default() }
    }

    #[test]
    fn the_first_rule_that_takes_a_field_names_the_event() {
        let rules = [
            rule(Some("status"), Some(json!("paused")), Some("mission.paused")),
            rule(Some("name"), None, None),
            rule(None, None, Some("mission.updated")),
        ];
        let before: BTreeMap<_, _> =
            [("status".to_owned(), json!("active")), ("name".into(), json!("a")), ("kpi".into(), json!(1))].into();
        let after: BTreeMap<_, _> =
            [("status".to_owned(), json!("paused")), ("name".into(), json!("b")), ("kpi".into(), json!(2))].into();
        let fields = ["kpi".to_owned(), "name".into(), "status".into()];
        assert_eq!(
            updates(&rules, &before, &after, &fields),
            [
                ("mission.updated".to_owned(), vec!["kpi".to_owned()]),
                ("mission.paused".to_owned(), vec!["status".to_owned()])
            ]
        );
    }

    #[test]
    fn some_changes_count_in_one_direction_only() {
        let order = ["private", "group", "public"].map(str::to_owned).to_vec();
        let wider = UpdateRule {
            field: Some("visibility".into()),
            rising: order,
            event: Some("thread.visibility_widened".into()),
            ..UpdateRule::default()
        };
        let rules = [wider, rule(None, None, Some("thread.updated"))];
        let told = |old: &str, new: &str| {
            let side = |v: &str| BTreeMap::from([("visibility".to_owned(), json!(v))]);
            updates(&rules, &side(old), &side(new), &["visibility".to_owned()])[0].0.clone()
        };
        assert_eq!(told("private", "public"), "thread.visibility_widened");
        assert_eq!(told("public", "group"), "thread.updated");
        assert_eq!(told("public", "odd"), "thread.updated");
    }

    #[test]
    fn what_goes_along_with_every_change_is_told_alone() {
        let version = UpdateRule { alone: true, ..rule(Some("version"), None, Some("content.updated")) };
        let rules = [version, rule(Some("status"), None, Some("content.approved")), rule(Some("note"), None, None)];
        let told = |fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            updates(&rules, &BTreeMap::new(), &BTreeMap::new(), &fields)
                .into_iter()
                .map(|(kind, _)| kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&["status", "version"]), ["content.approved"]);
        assert_eq!(told(&["version"]), ["content.updated"]);
        assert_eq!(told(&["note", "version"]), ["content.updated"]);
    }

    #[test]
    fn what_a_record_is_from_the_start_can_be_an_event_too() {
        let due =
            UpdateRule { at_birth: true, ..rule(Some("undecided"), Some(json!(true)), Some("content.review_needed")) };
        let fields = |v: Value| BTreeMap::from([("undecided".to_owned(), v)]);
        let rules = [due, rule(Some("undecided"), None, None)];
        assert_eq!(births(&rules, &fields(json!(true))), [("content.review_needed".into(), "undecided".into())]);
        assert!(births(&rules, &fields(json!(false))).is_empty());
    }
}
