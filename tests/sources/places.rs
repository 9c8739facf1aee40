//! Another place (a slip of the pen in `base_url`, another workspace) and what is known of the old one.

use serde_json::{Value, json};

use crate::bench::{Bridge, Watch};
use crate::fake::{Fake, Route};

/// Nothing listens here.
const NOWHERE: &str = "http://127.0.0.1:1";
const THREAD: &str = "T-1";

/// A workspace with these members, where somebody has spent so much today, a thread included.
async fn workspace(watch: &Watch, members: &[&str], dollars: u32) -> Fake {
    let routes = [
        ("/oauth2/token", Route::Doc("token")),
        ("/api/v2/threads", Route::Whole("threads", "threads")),
        ("/api/v2/threads/T-1/usage", Route::Doc(THREAD)),
        ("/api/v2/workspace/members", Route::Whole("members", "members")),
        ("/api/v2/workspace/analytics/daily-usage", Route::Doc("usage")),
    ];
    let fake = Fake::start(watch.clone(), ("", ""), &routes).await;
    {
        let mut world = fake.world();
        *world.doc("token") = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 3_600});
        world.table("members").extend(members.iter().map(|name| member(name)));
        let at = "2026-11-22T09:00:00Z";
        let thread = json!({"id": THREAD, "creatorUserID": "u", "createdAt": at, "updatedAt": at, "firstSyncedAt": at});
        world.table("threads").push(thread);
        *world.doc(THREAD) = json!({"threadID": THREAD, "usage": dollars, "subThreadIDs": []});
    }
    spend(&fake, dollars);
    fake
}

fn member(name: &str) -> Value {
    json!({"email": format!("{name}@example.com"), "name": name, "role": "member"})
}

fn spend(fake: &Fake, dollars: u32) {
    let users = json!([{"user": {"id": "u"}, "metrics": {"usage": dollars}, "models": {}}]);
    *fake.world().doc("usage") = json!({"metadata": {"startDate": "2026-08-25", "endDate": "2026-11-22"},
        "data": [{"date": "2026-11-22", "users": users}]});
}

fn config(base: &str) -> String {
    format!(
        "[sources.acme]\nkind = \"amp\"\nbase_url = \"{base}\"\ntoken_url = \"{base}/oauth2/token\"\nclient_id = \"c\"\n\
         client_secret = \"s\"\nmax_rps = 1000\n\
         [rules.day]\nkind = \"budget\"\nlimit_usd = 100\nperiod = \"day\"\n\
         [rules.dear]\nkind = \"thread_cost\"\nlimits_usd = [25, 100]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_never_answered_has_forgotten_nothing() {
    let (watch, folder) = (Watch::default(), tempfile::tempdir().unwrap());
    let fake = workspace(&watch, &["ana"], 60).await;
    let first = Bridge::new(&config(&fake.url()), folder.path(), &watch);
    first.look_well().await;
    let told = first.told().await;
    assert_eq!(told, ["budget.threshold_reached workspace", "thread.cost_exceeded T-1"], "as levels at first sight");

    let mistaken = first.next(&config(NOWHERE), folder.path());
    for look in mistaken.look().await {
        assert!(!look.baseline || look.notes.rows == 0, "{look:?}");
    }
    fake.world().table("members").push(member("bo"));
    *fake.world().doc(THREAD) = json!({"threadID": THREAD, "usage": 130, "subThreadIDs": []});
    spend(&fake, 90);
    let back = first.next(&config(&fake.url()), folder.path());
    back.look_well().await;
    let mut told = back.told().await.split_off(told.len());
    told.sort();
    let expected = ["budget.threshold_reached workspace", "member.added bo@example.com", "thread.cost_exceeded T-1"];
    assert_eq!(told, expected, "what has changed meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_answers_is_learned_quietly_and_the_old_one_is_forgotten() {
    let (watch, folder) = (Watch::default(), tempfile::tempdir().unwrap());
    let (fake, other) = (workspace(&watch, &["ana"], 10).await, workspace(&watch, &["cy", "di"], 20).await);
    let first = Bridge::new(&config(&fake.url()), folder.path(), &watch);
    first.look_well().await;
    let moved = first.next(&config(&other.url()), folder.path());
    moved.look_well().await;
    moved.look_well().await;
    assert_eq!(moved.told().await, [""; 0]);
    other.world().table("members").push(member("eva"));
    moved.look_well().await;
    moved.look_well().await;
    assert_eq!(moved.told().await, ["member.added eva@example.com"], "nobody of the old place counts as removed");
    *other.world().doc(THREAD) = json!({"threadID": THREAD, "usage": 30, "subThreadIDs": []});
    moved.look_well().await;
    assert_eq!(moved.told().await.last().unwrap(), "thread.cost_exceeded T-1");
    let back = first.next(&config(&fake.url()), folder.path());
    back.look_well().await;
    assert_eq!(back.told().await.len(), 2, "and back is another quiet baseline");
}
