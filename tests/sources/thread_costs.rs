//! What single threads cost, where nothing else of them changes: a look at everything asks all of them again.

use serde_json::{Value, json};

use crate::bench::{Bridge, Watch};
use crate::fake::{Fake, Route};

const THREADS: [&str; 4] = ["T-1", "T-2", "T-3", "T-4"];

async fn fake(watch: &Watch) -> Fake {
    let costs: Vec<String> = THREADS.iter().map(|id| format!("/api/v2/threads/{id}/usage")).collect();
    let mut routes = vec![
        ("/oauth2/token", Route::Doc("token")),
        ("/api/v2/threads", Route::Whole("threads", "threads")),
        ("/api/v2/workspace/members", Route::Whole("members", "members")),
    ];
    routes.extend(costs.iter().zip(THREADS).map(|(path, id)| (path.as_str(), Route::Doc(id))));
    let fake = Fake::start(watch.clone(), ("", ""), &routes).await;
    *fake.world().doc("token") = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 3_600});
    fake
}

fn thread(id: &str, updated: &str) -> Value {
    json!({"id": id, "creatorUserID": "user-1", "title": id, "createdAt": updated, "updatedAt": updated, "firstSyncedAt": updated})
}

fn cost(fake: &Fake, id: &str, dollars: Option<u32>) {
    let answer = match dollars {
        Some(dollars) => (200, json!({"threadID": id, "usage": dollars, "subThreadIDs": []})),
        None => (404, json!({"error": "not there"})),
    };
    fake.world().docs.insert(id.to_owned(), answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_grows_is_noticed_though_nothing_else_of_the_thread_changes() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    // Of today, of ten days ago, and one of which nothing but its id and creator is told.
    fake.world().table("threads").extend([
        thread("T-1", "2026-11-22T09:00:00Z"),
        thread("T-2", "2026-11-12T09:00:00Z"),
        json!({"id": "T-3", "creatorUserID": "user-1"}),
    ]);
    for id in THREADS {
        cost(&fake, id, Some(1));
    }
    let url = fake.url();
    let config = format!(
        "[sources.acme]\nkind = \"amp\"\nbase_url = \"{url}\"\ntoken_url = \"{url}/oauth2/token\"\nclient_id = \"c\"\n\
         client_secret = \"s\"\nmax_rps = 1000\nthread_calls_per_hour = 1\n\
         [rules.dear]\nkind = \"thread_cost\"\nlimits_usd = [5, 25, 100]\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::new(&config, folder.path(), &watch);
    let dear = async || {
        let mut told = bridge.told().await;
        told.retain(|event| event.starts_with("thread.cost_exceeded"));
        told.sort();
        told
    };
    bridge.look().await;
    assert_eq!(dear().await, [""; 0]);
    for id in ["T-1", "T-2", "T-3"] {
        cost(&fake, id, Some(30));
    }
    bridge.look().await;
    let mut expected: Vec<String> = ["T-1", "T-2", "T-3"].map(|id| format!("thread.cost_exceeded {id}")).to_vec();
    assert_eq!(dear().await, expected);
    // A new thread whose cost is not there yet.
    fake.world().table("threads").push(thread("T-4", "2026-11-22T10:01:00Z"));
    cost(&fake, "T-4", None);
    bridge.look().await;
    cost(&fake, "T-4", Some(7));
    bridge.look().await;
    expected.push("thread.cost_exceeded T-4".to_owned());
    assert_eq!(dear().await, expected);
}
