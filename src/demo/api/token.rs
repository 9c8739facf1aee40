//! `POST /oauth2/token`.

use http::header::{ALLOW, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::json;

use super::{Answer, Call};
use crate::demo::auth::{Auth, Refusal};
use crate::domain::time::Timestamp;

const FORM: &str = "application/x-www-form-urlencoded";

pub fn grant(auth: &mut Auth, call: &Call<'_>, now: Timestamp) -> Answer {
    if call.method != Method::POST {
        return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed").with(ALLOW, "POST");
    }
    let is_form = call.content_type.and_then(|t| t.split(';').next()).is_some_and(|t| t.trim() == FORM);
    if !is_form {
        return refused(Refusal::InvalidRequest);
    }
    let form: Vec<(String, String)> = url::form_urlencoded::parse(call.body).into_owned().collect();
    match auth.grant(call.authorization, &form, now) {
        Ok(grant) => Answer::ok(json!({
            "access_token": grant.token, "token_type": "Bearer", "expires_in": grant.expires_in, "scope": grant.scope,
        }))
        .with(CACHE_CONTROL, "no-store"),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Answer {
    let status = match refusal {
        Refusal::InvalidClient => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    let answer = Answer::error(status, refusal.code()).with(CACHE_CONTROL, "no-store");
    if refusal == Refusal::InvalidClient { answer.with(WWW_AUTHENTICATE, "Basic") } else { answer }
}
