//! Tokens, scopes, waiting, and where credentials go.

use super::*;
use crate::source::amp::client::{ANALYTICS, CONTENTS, MEMBERS, META, SCOPES};

const PATH: &str = "/api/v2/threads";
const TOKEN: &str = "/oauth2/token";

impl Rig {
    fn token_calls(&self) -> usize {
        self.fake.queries(TOKEN).len()
    }

    fn grant(&self, scopes: &[&str]) {
        self.fake.world().granted = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    }
}

fn forbidden(look: &Look) -> &str {
    match look.failure().0 {
        FailureKind::Forbidden { scope } => scope,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_is_shared_and_replaced_before_it_ends() {
    let rig = Rig::new().await;
    let (a, b) = tokio::join!(rig.full("threads"), rig.full("members"));
    assert_eq!((a.end.evidence, b.end.evidence), (Evidence::Complete, Evidence::Complete));
    assert_eq!((rig.token_calls(), rig.fake.world().asked_scopes[0].clone()), (1, SCOPES.join(" ")));
    assert!(SCOPES.iter().all(|scope| !scope.contains("manage")));
    rig.clock.advance(Duration::from_secs(3600 - 61));
    rig.full("threads").await;
    assert_eq!(rig.token_calls(), 1);
    rig.clock.advance(Duration::from_secs(1));
    rig.full("threads").await;
    assert_eq!(rig.token_calls(), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let rig = Rig::new().await;
    rig.full("threads").await;
    rig.fake.world().tokens[0].0 = "revoked".into();
    assert_eq!(rig.full("threads").await.end.evidence, Evidence::Complete);
    assert_eq!(rig.token_calls(), 2);

    rig.fake.script(PATH, [Script::status(401), Script::status(401)]);
    let look = rig.full("threads").await;
    assert_eq!(look.failure().0, &FailureKind::Unauthorized);
    assert_eq!(rig.token_calls(), 3);
}

#[tokio::test]
async fn refused_credentials_are_told_at_once() {
    for (script, kind, message) in [
        (
            Script::Answer(401, vec![], r#"{"error":"invalid_client"}"#.into()),
            FailureKind::Unauthorized,
            "401 (invalid_client)",
        ),
        (
            Script::Answer(400, vec![], r#"{"error":"unauthorized_client"}"#.into()),
            FailureKind::Unauthorized,
            "client_id",
        ),
        (Script::Answer(403, vec![], "<html>".into()), FailureKind::Unauthorized, "403"),
        (Script::Answer(400, vec![], r#"{"error":"<b>"}"#.into()), FailureKind::Broken, "400 (an unusual error)"),
        (Script::Answer(404, vec![], String::new()), FailureKind::Broken, "check token_url"),
        (Script::ok("<html>"), FailureKind::Broken, "without an access token"),
        (Script::ok(&json!({"access_token": 7})), FailureKind::Broken, "without an access token"),
    ] {
        let rig = Rig::new().await;
        rig.fake.script(TOKEN, [script]);
        let look = rig.full("threads").await;
        assert_eq!(look.failure().0, &kind);
        assert!(look.failure().1.contains(message), "{:?}", look.failure());
        assert_eq!(rig.fake.queries(PATH).len(), 0);
    }
    let rig = Rig::with(Fake::start().await, &json!({"client_secret": "another"}));
    assert_eq!(rig.full("threads").await.failure().0, &FailureKind::Unauthorized);
    assert!(rig.source.connect().await.unwrap_err().message.contains("invalid_client"));
}

#[tokio::test]
async fn a_scope_that_is_not_granted_costs_its_own_collection_only() {
    let rig = Rig::new().await;
    rig.grant(&[META, ANALYTICS]);
    let (threads, members, usage) =
        (rig.full("threads").await, rig.full("members").await, rig.full("daily_usage").await);
    assert_eq!((threads.end.evidence, usage.end.evidence), (Evidence::Complete, Evidence::Complete));
    assert_eq!(forbidden(&members), MEMBERS);
    assert_eq!(rig.fake.queries("/api/v2/workspace/members").len(), 0, "it is not even asked");
    assert_eq!(rig.token_calls(), 1 + SCOPES.len() + 1);

    // A new token asks for what is granted; once an hour all are asked for again.
    rig.fake.world().tokens.clear();
    rig.full("threads").await;
    assert_eq!(rig.fake.world().asked_scopes.last().unwrap(), &format!("{META} {ANALYTICS}"));
    rig.grant(&SCOPES);
    assert_eq!(forbidden(&rig.full("members").await), MEMBERS);
    rig.clock.advance(Duration::from_hours(1));
    assert_eq!(rig.full("members").await.end.evidence, Evidence::Complete);
    assert_eq!(rig.fake.world().asked_scopes.last().unwrap(), &SCOPES.join(" "));
}

#[tokio::test]
async fn no_scope_at_all_is_found_out_once_an_hour() {
    let rig = Rig::new().await;
    rig.grant(&[]);
    assert_eq!(forbidden(&rig.full("threads").await), META);
    assert_eq!(forbidden(&rig.full("daily_usage").await), ANALYTICS);
    assert_eq!(rig.token_calls(), 1 + SCOPES.len());
    assert!(matches!(rig.source.connect().await.unwrap_err().kind, FailureKind::Forbidden { .. }));
    rig.clock.advance(Duration::from_hours(1));
    rig.full("threads").await;
    assert_eq!(rig.token_calls(), 2 * (1 + SCOPES.len()));
}

#[tokio::test]
async fn a_token_that_names_fewer_scopes_is_believed() {
    let rig = Rig::new().await;
    rig.fake.world().token_scope = Some(format!("{META}  {CONTENTS} openid"));
    assert_eq!(rig.full("threads").await.end.evidence, Evidence::Complete);
    assert_eq!(forbidden(&rig.full("members").await), MEMBERS);
    assert_eq!(rig.token_calls(), 1);
    let said = rig.source.connect().await.unwrap();
    assert_eq!(
        said,
        format!("signed in; can read threads, their titles and repositories; not granted: {ANALYTICS}, {MEMBERS}")
    );
}

#[tokio::test]
async fn a_403_names_the_scope_and_connect_says_what_works() {
    let rig = Rig::new().await;
    assert_eq!(
        rig.source.connect().await.unwrap(),
        "signed in; can read threads, their titles and repositories, daily usage, members"
    );
    // The token still lists it; the server has changed its mind.
    rig.grant(&[META, CONTENTS, ANALYTICS]);
    let look = rig.full("members").await;
    assert_eq!(forbidden(&look), MEMBERS);
    assert!(look.failure().1.contains("GET /api/v2/workspace/members was answered 403"), "{look:?}");
    assert_eq!(rig.full("threads").await.end.evidence, Evidence::Complete);
}

#[tokio::test]
async fn a_short_wait_is_waited_for() {
    let rig = Rig::new().await;
    rig.fake.fill_threads(1);
    rig.fake.script(
        PATH,
        [Script::wait(429, &0), Script::wait(503, "Sun, 22 Nov 2026 10:00:00 GMT"), Script::wait(429, &0)],
    );
    assert_eq!(rig.full("threads").await.end.evidence, Evidence::Complete);
    rig.fake.script(PATH, vec![Script::wait(429, &0); 4]);
    let look = rig.full("threads").await;
    assert_eq!(look.failure().0, &FailureKind::Throttled { after_secs: 1 });
}

#[tokio::test]
async fn a_long_wait_ends_the_look_and_holds_for_all() {
    let rig = Rig::new().await;
    rig.fake.script(PATH, [Script::wait(429, &300)]);
    assert_eq!(rig.full("threads").await.failure().0, &FailureKind::Throttled { after_secs: 300 });
    rig.clock.advance(Duration::from_secs(100));
    assert_eq!(rig.full("members").await.failure().0, &FailureKind::Waiting { after_secs: 200 });
    assert_eq!(rig.fake.queries("/api/v2/workspace/members").len(), 0);
    rig.clock.advance(Duration::from_secs(200));
    assert_eq!(rig.full("members").await.end.evidence, Evidence::Complete);
    rig.fake.script(PATH, [Script::wait(429, &u64::MAX)]);
    assert_eq!(rig.full("threads").await.failure().0, &FailureKind::Throttled { after_secs: 3600 }, "an hour at most");
}

#[tokio::test]
async fn credentials_go_where_they_belong_and_nowhere_else() {
    let (rig, elsewhere) = (Rig::new().await, Fake::start().await);
    let away = |path: &str| Script::Answer(302, vec![("location", elsewhere.url(path))], String::new());
    rig.fake.script(TOKEN, [away(TOKEN)]);
    rig.full("threads").await.assert_broken("302");
    rig.fake.script(PATH, [away(PATH)]);
    rig.full("threads").await.assert_broken("redirects are not followed");
    let next = elsewhere.url("/api/v2/threads?cursor=2");
    rig.fake.script(
        PATH,
        [Script::ok(&json!({"threads": [{"id": "T-1"}], "nextCursor": next})), Script::ok(&json!({"threads": []}))],
    );
    assert_eq!(rig.full("threads").await.end.evidence, Evidence::Complete);
    assert_eq!(rig.fake.queries(PATH).last().unwrap()["cursor"], next, "a cursor is only ever a parameter");
    assert_eq!(elsewhere.world().calls.len(), 0);
    for call in &rig.fake.world().calls {
        let scheme = if call.path == TOKEN { "Basic " } else { "Bearer " };
        assert!(call.authorization.starts_with(scheme), "{call:?}");
    }
}

#[test]
fn settings_that_would_leak_or_cannot_work_are_refused() {
    let problems = |settings: Value| {
        let config: Config = serde_json::from_value(settings).unwrap();
        config.problems().into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    let with = |url: &str| json!({"base_url": url, "token_url": url, "client_id": "a", "client_secret": "b"});
    for good in
        ["https://example.com", "https://example.com/amp/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"]
    {
        assert_eq!(problems(with(good)), [""; 0], "{good}");
    }
    for bad in [
        "http://example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "ftp://127.0.0.1",
        "example.com",
        "https://a:b@example.com",
        "https://example.com/#x",
        "",
    ] {
        assert_eq!(problems(with(bad)), ["base_url", "token_url"], "{bad}");
    }
    let empty = json!({"client_id": "", "client_secret": " ", "thread_calls_per_hour": 0});
    assert_eq!(problems(empty), ["client_id", "client_secret", "thread_calls_per_hour"]);
    assert!(serde_json::from_value::<Config>(json!({"client_id": "a", "client_secret": "b", "client": 1})).is_err());
    let config: Config = serde_json::from_value(with("https://s3cret.example.com")).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));

    let in_the_clear: Config = serde_json::from_value(with("http://127.0.0.1:1")).unwrap();
    let proxied = Common { proxy: Some("http://proxy.example.com".parse().unwrap()), ..common() };
    let clock = Arc::new(TestClock(Mutex::new(NOW.parse().unwrap())));
    assert!(in_the_clear.build("acme", &proxied, &context(clock)).is_err());
}
