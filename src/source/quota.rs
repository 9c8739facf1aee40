//! What an API allows, as its answers say.
//!
//! Read are `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers), and the older headers
//! `X-RateLimit-Limit`, `-Remaining` and `-Reset` in the forms that are common.

use http::HeaderMap;
use jiff::SignedDuration;

pub use crate::domain::quota::Quota;
use crate::domain::time::Timestamp;

/// Resets above this are instants, not seconds from now: the year 2001.
const INSTANT_FROM: i64 = 1_000_000_000;
const DAY_SECS: u64 = 86_400;

/// What one answer says of the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    pub quota: Option<Quota>,
    /// Nothing is left until then.
    pub spent_for: Option<SignedDuration>,
}

/// Reads the headers of an answer. `now` is the server's clock where it tells it, else the local one.
pub fn read(headers: &HeaderMap, now: Timestamp) -> Told {
    let number = |names: &[&str]| names.iter().find_map(|name| leading_number(headers.get(*name)?.to_str().ok()?));
    let reset =
        number(&["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"]).map(|reset| from_now(reset, now));
    let limit = number(&["ratelimit-limit", "x-ratelimit-limit", "x-rate-limit-limit"]);
    let remaining = number(&["ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"]);
    let policy = headers.get("ratelimit-policy").and_then(|value| policy(value.to_str().ok()?));
    let guessed = limit.and_then(|calls| {
        let secs = window(reset?)?;
        Some(Quota { calls: u64::try_from(calls).ok().filter(|calls| *calls > 0)?, secs })
    });
    let spent_for = reset.filter(|left| remaining == Some(0) && left.is_positive());
    Told { quota: policy.or(guessed), spent_for }
}

fn leading_number(text: &str) -> Option<i64> {
    let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn from_now(reset: i64, now: Timestamp) -> SignedDuration {
    let secs = if reset >= INSTANT_FROM { reset - now.as_second() } else { reset };
    SignedDuration::from_secs(secs.max(0))
}

/// The usual window that ends so far from now: the smallest that is not shorter.
fn window(left: SignedDuration) -> Option<u64> {
    let left = u64::try_from(left.as_secs()).ok()?;
    [60, 3_600, DAY_SECS].into_iter().find(|window| left <= *window)
}

/// `"default";q=100;w=60`, or the older `100;w=60`; of several the strictest.
fn policy(text: &str) -> Option<Quota> {
    let one = |policy: &str| {
        let mut parts = policy.split(';').map(str::trim);
        let first = parts.next()?;
        let (mut calls, mut secs) = (first.parse::<u64>().ok(), None);
        for part in parts {
            match part.split_once('=') {
                Some(("q", value)) => calls = value.trim().parse().ok(),
                Some(("w", value)) => secs = value.trim().parse().ok(),
                _ => {}
            }
        }
        Some(Quota { calls: calls.filter(|c| *c > 0)?, secs: secs.filter(|s| *s > 0)? })
    };
    text.split(',').filter_map(one).reduce(Quota::stricter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(headers: &[(&'static str, &str)]) -> Told {
        let map = headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        read(&map.collect(), "2026-11-22T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn headers_in_the_forms_that_are_common() {
        let quota = |headers: &[(&'static str, &str)]| told(headers).quota.map(|q| (q.calls, q.secs));
        assert_eq!(quota(&[("ratelimit-policy", "\"burst\";q=100;w=60,\"day\";q=5000;w=86400")]), Some((5000, 86_400)));
        assert_eq!(quota(&[("ratelimit-policy", "100;w=60")]), Some((100, 60)));
        assert_eq!(quota(&[("x-ratelimit-limit", "60"), ("x-ratelimit-reset", "17")]), Some((60, 60)));
        let hour = ("x-ratelimit-reset", "1795344000");
        assert_eq!(
            quota(&[("x-ratelimit-limit", "5000"), hour]),
            Some((5000, 3_600)),
            "an instant 40 minutes from now"
        );
        for nothing in [&[("x-ratelimit-limit", "60")][..], &[("x-ratelimit-limit", "many"), hour], &[]] {
            assert_eq!(quota(nothing), None);
        }
    }

    #[test]
    fn a_spent_quota_says_for_how_long() {
        let spent = |remaining: &str| {
            let told = told(&[("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", "17")]);
            told.spent_for.map(|d| d.as_secs())
        };
        assert_eq!((spent("0"), spent("3")), (Some(17), None));
        assert_eq!(Quota::per_minute(60).per_day(), 86_400);
        assert_eq!(Quota { calls: 5, secs: 3_600 }.to_string(), "5 calls an hour");
    }
}
