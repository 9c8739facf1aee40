//! `GET /api/v2/workspace/members` and `…/analytics/daily-usage`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::{Answer, Call, Tenant};
use crate::demo::auth::{Bearer, scope};
use crate::demo::model::{Model, Usd, UserDay};
use crate::demo::world::World;
use crate::domain::money::Micros;
use crate::domain::time::{Timestamp, minus_days, plus_days, utc_day};

pub fn members(tenant: &Tenant) -> Answer {
    let active = tenant.world.users().filter(|u| u.active);
    let rows: Vec<Value> = active.map(|u| json!({ "name": u.name, "email": u.email, "role": u.role })).collect();
    Answer::ok(json!({ "members": rows }))
}

pub fn daily(tenant: &Tenant, call: &Call<'_>, bearer: &Bearer, now: Timestamp) -> Result<Answer, Answer> {
    let end = match call.parameter("endDate") {
        None => utc_day(now),
        Some(text) => day(text).ok_or_else(|| Answer::bad("endDate must be a date, YYYY-MM-DD"))?,
    };
    let days = i64::try_from(call.number("lookbackDays", 1..=365, 1)?).unwrap_or(1);
    let start = minus_days(end, days - 1);
    let emails = bearer.scopes.contains(scope::MEMBERS);

    let mut listed = Vec::new();
    let (mut active, mut total) = (BTreeSet::new(), Micros::ZERO);
    let mut date = start;
    for _ in 0..days {
        let mut rows = Vec::new();
        for (id, spent) in tenant.world.day(date).into_iter().flatten() {
            if spent.usd.micros != Micros::ZERO {
                active.insert(id);
            }
            total += spent.usd.micros;
            rows.push(row(&tenant.world, id, spent, emails));
        }
        listed.push(json!({ "date": date, "users": rows }));
        date = plus_days(date, 1);
    }
    let metadata = json!({
        "startDate": start, "endDate": end, "activeUsers": active.len(),
        "totalUsers": tenant.world.users().count(), "totalUsage": Usd::from(total).wire,
    });
    Ok(Answer::ok(json!({ "metadata": metadata, "data": listed })))
}

/// Exactly `YYYY-MM-DD`: a date parser by itself would take more.
fn day(text: &str) -> Option<Date> {
    text.parse().ok().filter(|day: &Date| day.to_string() == text)
}

fn row(world: &World, id: &str, day: &UserDay, emails: bool) -> Value {
    let user = match world.user(id).filter(|_| emails) {
        Some(user) => json!({ "id": id, "email": user.email }),
        None => json!({ "id": id }),
    };
    json!({
        "user": user,
        "metrics": {
            "linesAdded": day.lines_added, "linesDeleted": day.lines_deleted, "linesModified": day.lines_modified,
            "usage": day.usd.wire,
        },
        "models": models(&day.models),
    })
}

fn models(models: &BTreeMap<String, Model>) -> Value {
    let mut object = Map::new();
    for (name, model) in models {
        let sum =
            [model.output, model.cache_read, model.cache_creation].into_iter().fold(model.input, u64::saturating_add);
        let mut row = json!({
            "requests": model.requests, "inputTokens": model.input, "outputTokens": model.output,
            "cacheReadInputTokens": model.cache_read, "cacheCreationInputTokens": model.cache_creation,
            "totalTokens": sum,
        });
        if let (Some(usd), Some(row)) = (&model.usd, row.as_object_mut()) {
            row.insert("usage".to_owned(), Value::Number(usd.wire.clone()));
        }
        object.insert(name.clone(), row);
    }
    Value::Object(object)
}
