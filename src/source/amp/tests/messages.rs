//! How many messages threads have.

use super::*;

fn path(thread: &str) -> String {
    format!("/api/v2/threads/{thread}/messages")
}

/// So many messages, the last of which has this state.
fn talk(count: usize, state: &Value) -> Vec<Value> {
    let mut messages: Vec<Value> =
        (0..count).map(|n| json!({"role": "user", "content": format!("secret plan {n}")})).collect();
    if let Some(last) = messages.last_mut() {
        last["state"] = state.clone();
    }
    messages
}

async fn rig(settings: &Value) -> Rig {
    Rig::with(Fake::start().await, settings)
}

impl Rig {
    fn says(&self, thread: &str, count: usize, state: &Value) {
        self.fake.world().messages.insert(thread.into(), talk(count, state));
    }

    async fn messages(&self, wanted: &[&str]) -> Look {
        let wanted = wanted.iter().map(|key| (*key).to_owned()).collect();
        self.look(LookRequest { wanted, ..self.request("messages") }).await
    }
}

#[tokio::test]
async fn messages_are_counted_and_nothing_of_them_is_kept() {
    let rig = rig(&json!({"messages": true})).await;
    rig.says("T-1", 250, &json!({"type": "complete", "stopReason": "end_turn"}));
    rig.says("T-2", 1, &json!("streaming"));
    rig.says("T-3", 2, &json!({"type": "the secret plan"}));
    rig.says("T-4", 0, &json!(null));
    rig.says("T-5", 1, &json!(7));
    let look = rig.messages(&["T-1", "T-2", "T-3", "T-4", "T-404", "..", "T-5"]).await;
    assert_eq!(look.end.evidence, Evidence::Window);
    let seen: Vec<_> = look.records().iter().map(|r| (r.key.as_str(), json!(r.fields))).collect();
    let fields = |count: u64, state: Value| json!({"messageCount": count, "lastState": state});
    assert_eq!(
        seen,
        [
            ("T-1", fields(250, json!("complete"))),
            ("T-2", fields(1, json!("streaming"))),
            ("T-3", fields(2, json!("other"))),
            ("T-4", fields(0, json!(null))),
            ("T-5", fields(1, json!(null))),
        ]
    );
    assert_eq!(look.pages[0].asked.len(), 7, "404 is an answer");
    assert_eq!(rig.fake.queries(&path("T-1")).len(), 3, "a call for each hundred");
    assert!(!format!("{look:?}").contains("secret"), "no text of a message leaves the source");
}

#[tokio::test]
async fn a_thread_that_was_begun_is_read_to_its_end_and_the_next_ones_wait_for_it() {
    let rig = rig(&json!({"messages": true, "message_calls_per_hour": 2})).await;
    rig.says("T-1", 501, &json!("complete"));
    rig.says("T-2", 1, &json!("complete"));
    let look = rig.messages(&["T-1", "T-2"]).await;
    assert_eq!((look.keys(), look.end.pages, &look.pages[0].asked), (vec!["T-1"], 6, &vec!["T-1".to_owned()]));
    assert!(rig.messages(&["T-2"]).await.pages.is_empty(), "the hour is spent");
    rig.clock.advance(Duration::from_secs(3601));
    assert_eq!(rig.messages(&["T-2"]).await.keys(), ["T-2"]);
}

#[tokio::test]
async fn one_odd_thread_costs_no_other() {
    let rig = rig(&json!({"messages": true})).await;
    for thread in ["T-1", "T-2", "T-3", "T-4"] {
        rig.says(thread, 1, &json!("complete"));
    }
    rig.says("T-0", 2_001, &json!("complete"));
    let again = Script::ok(&json!({"messages": [{"n": 1}], "nextCursor": "x"}));
    rig.fake.script(&path("T-1"), [again.clone(), again]);
    rig.fake.script(&path("T-2"), [Script::ok(&json!({"messages": {}}))]);
    rig.fake.script(&path("T-3"), [Script::ok(&" ".repeat(17 << 20))]);
    let look = rig.messages(&["T-0", "T-1", "T-2", "T-3", "T-4"]).await;
    assert_eq!((look.end.evidence.clone(), look.keys()), (Evidence::Window, vec!["T-4"]));
    assert_eq!(look.quarantined().len(), 4, "{:?}", look.quarantined());
    assert_eq!(look.pages[0].asked.len(), 5, "none is asked again before it changes");

    rig.fake.script(&path("T-2"), [Script::ok("<html>")]);
    let look = rig.messages(&["T-1", "T-2", "T-4"]).await;
    look.assert_broken("T-2: GET");
    assert_eq!((look.keys(), look.pages[0].asked.len()), (vec!["T-1", "T-4"], 3));
    assert_eq!(look.pages[0].failed, ["T-2"]);

    rig.fake.script(&path("T-2"), [Script::status(403)]);
    let look = rig.messages(&["T-4", "T-2", "T-3"]).await;
    let scope = "amp.api:workspace.threads.contents:view".to_owned();
    assert_eq!(look.failure().0, &FailureKind::Forbidden { scope });
    assert_eq!(look.pages[0].asked, ["T-4"], "what was not answered stays wanted");
}

#[tokio::test]
async fn messages_are_watched_only_where_the_config_says_so() {
    let shown = |rig: &Rig| {
        let of = |c: &crate::source::Collection| (c.spec.name.clone(), c.calls_per_day, c.spec.followed_by.clone());
        rig.source.collections().iter().map(of).collect::<Vec<_>>()
    };
    let off = shown(&Rig::new().await);
    assert!(off.iter().all(|(name, _, follower)| name != "messages" && follower.is_none()), "{off:?}");
    let on = shown(&rig(&json!({"messages": true, "message_calls_per_hour": 100})).await);
    assert_eq!(on[0].2.as_deref(), Some("messages"));
    assert_eq!(on.last().unwrap(), &("messages".to_owned(), Some(2_400), None));
}
