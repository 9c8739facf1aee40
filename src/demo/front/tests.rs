//! The fake over real sockets.

mod faults;

use std::collections::BTreeSet;

use jiff::civil::date;
use serde_json::{Value, json};

use super::*;
use crate::demo::auth::{CLIENT_ID, CLIENT_SECRET, scope};
use crate::demo::{CursorStyle, FaultRule, NewThread, Now, Role, SeedOptions, Server, serve};

const NOW: &str = "2026-11-22T10:00:00Z";

/// A served workspace with a client that holds a token.
struct Rig {
    fake: Arc<FakeWorkspace>,
    server: Server,
    client: reqwest::Client,
    token: String,
}

impl Rig {
    async fn new(options: SeedOptions) -> Self {
        let now: Now = Arc::new(|| NOW.parse().unwrap());
        let fake = Arc::new(FakeWorkspace::seeded(&options, now));
        let server = serve(Arc::clone(&fake), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut rig = Self { fake, server, client: crate::demo::test_client(), token: String::new() };
        let answer = rig.ask_token(&scope::READING.join(" ")).await;
        answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().clone_into(&mut rig.token);
        rig
    }

    async fn small() -> Self {
        Self::new(SeedOptions { seed: 1, threads: 250, members: 4, days: 10, model_costs: false }).await
    }

    async fn ask_token(&self, scopes: &str) -> reqwest::Response {
        let form = [("grant_type", "client_credentials"), ("scope", scopes)];
        let request = self.client.post(format!("{}/oauth2/token", self.server.base_url()));
        request.basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(&form).send().await.unwrap()
    }

    async fn send(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}{path}", self.server.base_url());
        self.client.get(url).bearer_auth(&self.token).send().await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.send(path).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["date"], "Sun, 22 Nov 2026 10:00:00 GMT");
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// All pages; `between` happens between them.
    async fn walk(&self, query: &str, mut between: impl FnMut(usize)) -> Vec<String> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        for page in 0..1_000 {
            let body = self.ok(&format!("/api/v2/threads?limit=20{query}{cursor}")).await;
            ids.extend(body["threads"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_owned()));
            let Some(next) = body["nextCursor"].as_str() else { return ids };
            cursor = format!("&cursor={next}");
            between(page);
        }
        panic!("paging doesn't end");
    }

    fn fault(&self, fault: Fault) {
        self.fake.clear_faults();
        self.fake.add_fault(FaultRule { prefix: "/api/v2".into(), fault, count: None, skip: 0 });
    }

    fn new_thread(&self) -> String {
        self.fake.add_thread(NewThread { creator: "member1@example.com".into(), ..Default::default() }).unwrap()
    }
}

#[tokio::test]
async fn tokens_by_basic_or_form_and_real_refusals() {
    let rig = Rig::small().await;
    let answer = rig.ask_token(scope::MEMBERS).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(3600), &json!(scope::MEMBERS))
    );

    let refused = rig.ask_token(scope::THREADS_MANAGE).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.unwrap(), json!({ "error": "invalid_scope" }));

    let url = format!("{}/oauth2/token", rig.server.base_url());
    let mut form =
        vec![("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
    assert_eq!(rig.client.post(&url).form(&form).send().await.unwrap().status(), 200);
    form[2].1 = "wrong";
    let refused = rig.client.post(&url).form(&form).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap(), json!({ "error": "invalid_client" }));
    let as_json = rig.client.post(&url).json(&json!({ "grant_type": "client_credentials" })).send().await.unwrap();
    assert_eq!(as_json.json::<Value>().await.unwrap(), json!({ "error": "invalid_request" }));
    assert_eq!(rig.client.get(&url).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn paging_is_complete_both_ways_and_filters_hold() {
    let rig = Rig::small().await;
    let all = rig.fake.thread_ids();
    assert_eq!(rig.walk("", |_| {}).await, all);
    let mut newest_first = rig.walk("&sort=DESC", |_| {}).await;
    newest_first.reverse();
    assert_eq!(newest_first, all);

    let middle = rig.ok("/api/v2/threads?limit=100").await["threads"][99]["firstSyncedAt"].as_str().unwrap().to_owned();
    let after = rig.walk(&format!("&after={middle}"), |_| {}).await;
    let before = rig.walk(&format!("&before={middle}"), |_| {}).await;
    // Threads of the very same instant are in neither.
    assert!(after.len() + before.len() >= 248 && after.len() + before.len() < 250);
    assert!(after.iter().collect::<BTreeSet<_>>().is_disjoint(&before.iter().collect()));

    let id = rig.fake.user("member2@example.com").unwrap().id;
    let by_email = rig.walk("&userEmail=member2%40example.com", |_| {}).await;
    assert!(!by_email.is_empty() && by_email.len() < 250);
    assert_eq!(rig.walk(&format!("&userID={id}"), |_| {}).await, by_email);
    assert_eq!(rig.ok("/api/v2/threads").await["threads"].as_array().unwrap().len(), 50, "the default page");
}

#[tokio::test]
async fn what_is_added_while_paging_is_seen_and_nothing_twice() {
    let rig = Rig::small().await;
    let mut added = Vec::new();
    let seen = rig
        .walk("", |_| {
            if added.len() < 30 {
                added.push(rig.new_thread());
            }
        })
        .await;
    assert_eq!((seen.len(), seen), (250 + added.len(), rig.fake.thread_ids()));
    let known = rig.fake.thread_ids();
    let seen = rig
        .walk("&sort=DESC", |page| {
            if page < 5 {
                drop(rig.new_thread());
            }
        })
        .await;
    assert_eq!(seen.len(), seen.iter().collect::<BTreeSet<_>>().len());
    assert!(known.iter().all(|id| seen.contains(id)));
}

#[tokio::test]
async fn cursors_that_count_skip_where_something_was_removed() {
    let rig = Rig::small().await;
    rig.fake.set_cursor_style(CursorStyle::Offset);
    let all = rig.fake.thread_ids();
    assert_eq!(rig.walk("", |_| {}).await, all);
    let seen = rig
        .walk("", |page| {
            if page == 0 {
                rig.fake.remove_thread(&all[0]).unwrap();
            }
        })
        .await;
    assert!(!seen.contains(&all[20]) && seen.contains(&all[21]));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let rig = Rig::small().await;
    for query in [
        "limit=0",
        "limit=101",
        "limit=ten",
        "cursor=abc",
        "cursor=",
        "after=yesterday",
        "before=2026-11-22",
        "sort=asc",
        "userEmail=nobody",
        "userEmail=nobody%40example.com",
        "userID=user_x",
    ] {
        let (status, body) = rig.get(&format!("/api/v2/threads?{query}")).await;
        let name = query.split('=').next().unwrap();
        assert_eq!(status, 400, "{query}");
        assert!(body["error"].as_str().is_some_and(|e| e.contains(name) || e.contains("user")), "{query}: {body}");
    }
    let cursor = rig.ok("/api/v2/threads?limit=5").await["nextCursor"].as_str().unwrap().to_owned();
    assert_eq!(rig.get(&format!("/api/v2/threads?sort=DESC&cursor={cursor}")).await.0, 400);
    for query in
        ["endDate=2026-11-31", "endDate=today", "endDate=2026-11-22T00:00:00Z", "lookbackDays=0", "lookbackDays=366"]
    {
        assert_eq!(rig.get(&format!("/api/v2/workspace/analytics/daily-usage?{query}")).await.0, 400, "{query}");
    }
    assert_eq!(rig.get("/api/v2/threads/42/usage").await.0, 400);
    assert_eq!(rig.get("/api/v3/threads").await.0, 404);
}

#[tokio::test]
async fn a_thread_has_messages_and_a_cost() {
    let rig = Rig::small().await;
    let main = rig.new_thread();
    assert_eq!(rig.get(&format!("/api/v2/threads/{main}/usage")).await.0, 404, "nothing known yet");
    rig.fake.set_thread_usage(&main, Some("12.340000000000002")).unwrap();
    let usage = rig.ok(&format!("/api/v2/threads/{main}/usage")).await;
    assert_eq!(usage.to_string(), format!(r#"{{"threadID":"{main}","subThreadIDs":[],"usage":12.340000000000002}}"#));
    let part = NewThread {
        creator: "member1@example.com".into(),
        main_thread: Some(main.clone()),
        messages: 130,
        usage: Some("0.7".parse().unwrap()),
        ..Default::default()
    };
    let part = rig.fake.add_thread(part).unwrap();
    let usage = rig.ok(&format!("/api/v2/threads/{main}/usage")).await;
    assert_eq!((&usage["subThreadIDs"], &usage["usage"]), (&json!([part]), &json!(13.04)));
    assert_eq!(rig.get("/api/v2/threads/T-none/usage").await.0, 404);
    let old = NewThread {
        creator: "member1@example.com".into(),
        created_at: Some("2026-08-24T10:00:00Z".parse().unwrap()),
        usage: Some("1".parse().unwrap()),
        ..Default::default()
    };
    let old = rig.fake.add_thread(old).unwrap();
    assert_eq!(rig.get(&format!("/api/v2/threads/{old}/usage")).await.0, 404, "90 days old");

    let first = rig.ok(&format!("/api/v2/threads/{part}/messages?limit=100")).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = rig.ok(&format!("/api/v2/threads/{part}/messages?limit=100&cursor={cursor}")).await;
    assert_eq!(first["messages"].as_array().unwrap().len() + second["messages"].as_array().unwrap().len(), 130);
    assert_eq!(second.get("nextCursor"), None);
    assert_eq!(rig.get(&format!("/api/v2/threads/{main}/messages?cursor={cursor}")).await.0, 400);
    assert_eq!(rig.get("/api/v2/threads/T-none/messages").await.0, 404);
}

#[tokio::test]
async fn members_and_days_of_usage() {
    let rig = Rig::small().await;
    rig.fake.remove_member("member2@example.com").unwrap();
    rig.fake.set_role("member3@example.com", Role::Admin).unwrap();
    rig.fake.rename_member("member4@example.com", "Dee").unwrap();
    let members = rig.ok("/api/v2/workspace/members").await["members"].as_array().unwrap().clone();
    let mut facts: Vec<_> = members
        .iter()
        .map(|m| (m["email"].as_str().unwrap(), m["role"].as_str().unwrap(), m["name"].as_str().unwrap()))
        .collect();
    facts.sort_unstable();
    assert_eq!(
        facts,
        [
            ("member1@example.com", "admin", "Member 1"),
            ("member3@example.com", "admin", "Member 3"),
            ("member4@example.com", "member", "Dee"),
        ]
    );

    let path = "/api/v2/workspace/analytics/daily-usage";
    let today = rig.ok(path).await;
    assert_eq!(today["data"], json!([{ "date": "2026-11-22", "users": [] }]));
    let models = crate::demo::seed::split_models(crate::domain::money::Micros(12_500_000), false);
    rig.fake.set_usage(date(2026, 11, 22), "member2@example.com", "12.50", models).unwrap();
    rig.fake.set_usage(date(2026, 11, 22), "member1@example.com", "0", std::collections::BTreeMap::new()).unwrap();
    let body = rig.ok(&format!("{path}?lookbackDays=12&endDate=2026-11-22")).await;
    let days = body["data"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]["users"], &days[11]["date"]), (12, &json!([]), &json!("2026-11-22")));
    let former = days[11]["users"].as_array().unwrap().iter().find(|u| u["user"]["email"] == "member2@example.com");
    let former = former.unwrap();
    assert_eq!(former["metrics"]["usage"].to_string(), "12.5");
    assert_eq!(former["models"].as_object().unwrap().len(), 2);
    assert_eq!(former["models"]["gpt-5.1"].get("usage"), None, "the document has no such field");
    let metadata = &body["metadata"];
    assert_eq!((&metadata["startDate"], &metadata["endDate"]), (&json!("2026-11-11"), &json!("2026-11-22")));
    assert_eq!((&metadata["activeUsers"], &metadata["totalUsers"]), (&json!(4), &json!(4)));
    let sum: f64 =
        days.iter().flat_map(|d| d["users"].as_array().unwrap()).map(|u| u["metrics"]["usage"].as_f64().unwrap()).sum();
    assert!((metadata["totalUsage"].as_f64().unwrap() - sum).abs() < 1e-6);
}

#[tokio::test]
async fn every_endpoint_wants_its_scope_and_fields_go_with_theirs() {
    let rig = Rig::small().await;
    let id = rig.new_thread();
    let paths = [
        ("/api/v2/threads".to_owned(), scope::THREADS_META),
        (format!("/api/v2/threads/{id}/usage"), scope::THREADS_META),
        (format!("/api/v2/threads/{id}/messages"), scope::THREADS_CONTENTS),
        ("/api/v2/workspace/members".to_owned(), scope::MEMBERS),
        ("/api/v2/workspace/analytics/daily-usage".to_owned(), scope::ANALYTICS),
    ];
    for (path, needed) in &paths {
        rig.fake.set_scopes(scope::READING.into_iter().filter(|s| s != needed));
        let (status, body) = rig.get(path).await;
        assert_eq!(status, 403, "{path}");
        assert!(body["error"].as_str().unwrap().contains(needed), "{path}: {body}");
        rig.fake.set_scopes([*needed]);
        assert_ne!(rig.get(path).await.0, 403, "{path}");
    }
    rig.fake.set_scopes([scope::THREADS_META]);
    let thread = &rig.ok("/api/v2/threads").await["threads"][0];
    assert!(thread.get("title").is_none() && thread.get("repositories").is_none() && thread.get("createdAt").is_some());
    rig.fake.set_scopes([scope::ANALYTICS]);
    let usage = rig.ok("/api/v2/workspace/analytics/daily-usage?lookbackDays=2").await;
    assert_eq!(usage["data"][0]["users"][0]["user"].as_object().unwrap().len(), 1);

    rig.fake.set_scopes(scope::READING);
    rig.fake.revoke_tokens();
    let (status, body) = rig.get("/api/v2/threads").await;
    assert_eq!((status, body["error"].is_string()), (401, true));
    rig.fake.revoke_client();
    assert_eq!(rig.ask_token(scope::MEMBERS).await.status(), 401);
}

#[tokio::test]
async fn nothing_is_ever_deleted() {
    let rig = Rig::small().await;
    rig.fake.set_scopes(scope::READING.into_iter().chain([scope::THREADS_MANAGE]));
    let token: Value = rig.ask_token(scope::THREADS_MANAGE).await.json().await.unwrap();
    let id = rig.fake.thread_ids()[0].clone();
    for token in [token["access_token"].as_str().unwrap(), rig.token.as_str()] {
        let url = format!("{}/api/v2/threads/{id}", rig.server.base_url());
        assert_eq!(rig.client.delete(url).bearer_auth(token).send().await.unwrap().status(), 403);
    }
    let url = format!("{}/api/v2/threads", rig.server.base_url());
    assert_eq!(rig.client.post(url).bearer_auth(&rig.token).send().await.unwrap().status(), 405);
    assert_eq!((rig.fake.thread_count(), rig.fake.counters().writes_attempted), (250, 3));
}

#[tokio::test]
async fn the_log_says_who_asked_what_but_no_secret() {
    let rig = Rig::small().await;
    rig.ok("/api/v2/threads?limit=3").await;
    rig.fake.set_clock_skew(SignedDuration::from_mins(-90));
    assert_eq!(rig.send("/api/v2/workspace/members").await.unwrap().headers()["date"], "Sun, 22 Nov 2026 08:30:00 GMT");
    let log = rig.fake.log();
    let facts: Vec<_> = log
        .iter()
        .map(|e| (e.method.as_str(), e.path.as_str(), e.query.as_str(), e.authorization.as_deref(), e.status))
        .collect();
    assert_eq!(
        facts,
        [
            ("POST", "/oauth2/token", "", Some("Basic ?"), 200),
            ("GET", "/api/v2/threads", "limit=3", Some("Bearer #1"), 200),
            ("GET", "/api/v2/workspace/members", "", Some("Bearer #1"), 200),
        ]
    );
    let counters = rig.fake.counters();
    assert_eq!((counters.requests, counters.tokens_issued, counters.by_route["GET /api/v2/threads"]), (3, 1, 1));
}

/// Large workspaces have to be pageable in a test's time: a page costs what is on it.
#[tokio::test]
async fn a_hundred_thousand_threads() {
    let rig = Rig::new(SeedOptions { seed: 1, threads: 100_000, members: 50, days: 90, model_costs: false }).await;
    let (mut cursor, mut seen) = (String::new(), BTreeSet::new());
    loop {
        let body = rig.ok(&format!("/api/v2/threads?limit=100{cursor}")).await;
        seen.extend(body["threads"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_owned()));
        match body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), rig.fake.counters().requests), (100_000, 1_001));
}
