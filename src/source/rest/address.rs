//! Addresses below the base, and calls to them.

use http::{HeaderMap, Method};
use reqwest::Url;
use serde_json::Value;

use super::client::Call;
use super::plan::Plan;
use super::template::{Template, Vars};
use crate::domain::record::{Failure, FailureKind};

/// The address of a path below the base, each of its segments rendered and escaped.
pub(super) fn below_with(base: &Url, path: &Template, vars: &Vars) -> Url {
    let text = path.as_str();
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        let parts = path.split('/').filter(|part| !part.is_empty());
        segments.pop_if_empty().extend(parts.map(|part| Template::new(part).render(vars)));
    }
    if let Some(query) = query {
        url.set_query(Some(&Template::new(query).render(vars)));
    }
    url
}

pub(super) fn plain_call(method: Method, path: &str, url: Url, body: Option<Value>) -> Call {
    let path = path.split('?').next().unwrap_or_default();
    Call { what: format!("{method} {path}"), method, url, body, headers: HeaderMap::new(), needs: None, accepts: &[] }
}

/// What an API that says in the body whether it went well says where it did not.
pub(super) fn rpc_failure(plan: &Plan, what: &str, document: &Value) -> Failure {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let code = ["/error/code", "/error", "/code"].into_iter().find_map(text).unwrap_or("no reason");
    let code: String = code.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(60).collect();
    let message = format!("{what} was answered with an error: {code}");
    let refused = ["auth", "forbidden", "permission", "scope"].iter().any(|word| code.to_lowercase().contains(word));
    let kind = match (&plan.needs, refused, plan.optional) {
        (needs, true, _) => {
            FailureKind::Forbidden { scope: needs.clone().unwrap_or_else(|| format!("the right to {what}")) }
        }
        (_, false, true) => FailureKind::Unsupported { what: plan.name.clone() },
        _ => FailureKind::Broken,
    };
    Failure { kind, message }
}
