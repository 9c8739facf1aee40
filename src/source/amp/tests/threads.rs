//! Threads and members: paging, reach, what counts as complete.

use super::*;

const PATH: &str = "/api/v2/threads";

/// The state after a look that went well.
fn after(look: &Look) -> CollectionState {
    assert!(!matches!(look.end.evidence, Evidence::Partial(_)), "{:?}", look.end);
    CollectionState {
        baseline: Some(NOW.parse().unwrap()),
        cursor: look.end.cursor.clone().unwrap_or_default(),
        ..CollectionState::default()
    }
}

impl Rig {
    async fn reach(&self, reach: Reach, state: CollectionState) -> Look {
        self.look(LookRequest { reach, state, ..self.request("threads") }).await
    }
}

#[tokio::test]
async fn all_pages_to_the_explicit_end_are_complete() {
    let rig = Rig::new().await;
    rig.fake.fill_threads(250);
    let look = rig.full("threads").await;
    assert_eq!(look.end.evidence, Evidence::Complete);
    assert_eq!((look.keys().len(), look.end.pages, look.pages.len()), (250, 3, 3));
    assert_eq!(look.end.cursor, Some(json!({"newest": "2026-11-22T09:00:00Z"})));
    let queries = rig.fake.queries(PATH);
    assert!(queries.iter().all(|q| q["limit"] == "100" && q["sort"] == "ASC" && !q.contains_key("after")));

    rig.fake.world().threads.clear();
    let look = rig.full("threads").await;
    assert_eq!((look.end.evidence.clone(), look.keys().len()), (Evidence::Complete, 0));
}

#[tokio::test]
async fn rows_are_read_with_tolerance() {
    let rig = Rig::new().await;
    rig.fake.world().threads = vec![
        json!({"id": "T-1", "title": "A", "mainThreadID": null, "repositories": [{"url": "https://example.com/r"}],
               "createdAt": "2026-11-20T08:00:00Z", "updatedAt": "yesterday", "firstSyncedAt": 7,
               "creatorUserID": "user-1", "subThreads": [1, 2], "unheard": {"of": true}}),
        json!({"id": "T/2 ü", "title": 7, "repositories": "none"}),
        json!({"id": ""}),
        json!({"title": "no id"}),
        json!("no object"),
    ];
    let look = rig.full("threads").await;
    assert_eq!(look.end.evidence, Evidence::Complete);
    assert_eq!(
        look.quarantined(),
        [3, 4, 5].map(|row| format!("row {row} of page 1 has no usable id")).iter().collect::<Vec<_>>()
    );
    let [first, second] = look.records()[..] else { panic!("{look:?}") };
    let fields = json!({"mainThreadID": null, "repositories": [{"url": "https://example.com/r"}], "title": "A"});
    assert_eq!(json!(first.fields), fields);
    let facts = json!({"createdAt": "2026-11-20T08:00:00Z", "creatorUserID": "user-1", "subThreads": 2,
                       "updatedAt": "yesterday"});
    assert_eq!(json!(first.facts), facts);
    assert_eq!((first.name.as_deref(), first.who.as_deref()), (Some("A"), Some("user-1")));
    assert_eq!(first.link, Some(rig.fake.url("/threads/T-1")));
    assert_eq!((first.created_at, first.updated_at), ("2026-11-20T08:00:00Z".parse().ok(), None));
    assert_eq!((second.fields.len(), second.name.as_deref()), (0, None), "wrong types count as absent");
    assert_eq!(second.link, Some(rig.fake.url("/threads/T%2F2%20%C3%BC")));
}

#[tokio::test]
async fn one_title_that_was_cut_inside_a_character_costs_nothing() {
    let rig = Rig::new().await;
    let body =
        r#"{"threads": [{"id": "T-1", "title": "party \ud83d", "creatorUserID": "u"}, {"id": "T-2", "title": "B"}]}"#;
    rig.fake.script(PATH, [Script::ok(body)]);
    let look = rig.full("threads").await;
    assert_eq!((look.end.evidence.clone(), look.keys()), (Evidence::Complete, vec!["T-1", "T-2"]));
    assert_eq!(look.records()[0].fields["title"], "party \u{fffd}");
}

#[tokio::test]
async fn a_row_that_moves_to_a_later_page_is_shown_once() {
    let rig = Rig::new().await;
    let row = |id: &str, title: &str| json!({"id": id, "title": title});
    let first = json!({"threads": [row("T-1", "a"), row("T-2", "b")], "nextCursor": "2"});
    let second = json!({"threads": [row("T-3", "c"), row("T-2", "another title"), row("T-3", "c again")]});
    rig.fake.script(PATH, [Script::ok(&first), Script::ok(&second)]);
    let look = rig.full("threads").await;
    assert_eq!(look.end.evidence, Evidence::Complete);
    assert_eq!(look.keys(), ["T-1", "T-2", "T-3", "T-3"], "what stands twice on one page is left to the diff");
}

#[tokio::test]
async fn a_head_look_asks_for_what_is_new() {
    let rig = Rig::new().await;
    rig.fake.fill_threads(50);
    let state = after(&rig.reach(Reach::Head, CollectionState::default()).await);
    assert!(!rig.fake.queries(PATH)[0].contains_key("after"), "nothing is known yet: everything is asked for");

    let fresh = json!({"id": "T-new", "creatorUserID": "user-1", "firstSyncedAt": "2026-11-22T09:30:00.5Z"});
    rig.fake.world().threads.push(fresh);
    let look = rig.reach(Reach::Head, state).await;
    assert_eq!(look.end.evidence, Evidence::Window);
    assert_eq!(rig.fake.queries(PATH)[1]["after"], "2026-11-22T08:50:00Z");
    assert_eq!(look.keys().len(), 11, "ten minutes are read twice");
    assert_eq!(look.end.cursor, Some(json!({"newest": "2026-11-22T09:30:00.5Z"})));
}

#[tokio::test]
async fn a_hot_look_stops_a_week_back() {
    let rig = Rig::new().await;
    rig.fake.fill_threads(300);
    let mut state = after(&rig.full("threads").await);
    for (n, thread) in rig.fake.world().threads.iter_mut().enumerate() {
        if n < 150 {
            thread["firstSyncedAt"] = json!("2026-11-15T08:59:59Z");
        }
    }
    let before = rig.fake.queries(PATH).len();
    let look = rig.reach(Reach::Hot, state.clone()).await;
    assert_eq!((look.end.evidence.clone(), look.end.pages, look.keys().len()), (Evidence::Window, 2, 200));
    assert!(rig.fake.queries(PATH)[before..].iter().all(|q| q["sort"] == "DESC"));
    state.baseline = None;
    assert_eq!(rig.reach(Reach::Hot, state).await.end.evidence, Evidence::Complete, "the baseline comes first");
}

#[tokio::test]
async fn a_time_that_has_not_come_does_not_freeze_the_cursor() {
    let rig = Rig::new().await;
    rig.fake.fill_threads(3);
    rig.fake.world().threads.push(json!({"id": "T-x", "firstSyncedAt": "2026-11-24T10:00:01Z"}));
    let look = rig.full("threads").await;
    assert_eq!(look.end.cursor, Some(json!({"newest": "2026-11-22T09:00:00Z"})));
    rig.fake.world().threads.push(json!({"id": "T-y", "firstSyncedAt": "2026-11-22T20:00:00Z"}));
    let look = rig.full("threads").await;
    assert_eq!(look.end.cursor, Some(json!({"newest": "2026-11-22T10:00:00Z"})), "no later than the server's now");

    let frozen = CollectionState { cursor: json!({"newest": "2027-01-01T00:00:00Z"}), ..after(&look) };
    assert_eq!(rig.reach(Reach::Head, frozen).await.end.evidence, Evidence::Complete);
}

#[tokio::test]
async fn a_list_that_does_not_end_well_is_partial() {
    let page = |ids: &[&str], next: Value| {
        let rows: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        Script::ok(&json!({"threads": rows, "nextCursor": next}))
    };
    for (scripts, rows, message) in [
        (vec![page(&["a"], json!("x")), page(&["b"], json!("y")), page(&["c"], json!("x"))], 3, "was there before"),
        (vec![page(&["a"], json!("x")), page(&[], json!("y"))], 1, "page 2 is empty yet names a next page"),
        (
            vec![page(&["a"], json!("x")), page(&["b"], json!("y")), page(&["a"], json!("z"))],
            2,
            "page 3 begins like a page that was there before",
        ),
        (vec![page(&["a"], json!(7))], 1, "no text"),
        (vec![page(&["a"], json!("x")), Script::ok("<!DOCTYPE html><p>Sign in")], 1, "a web page"),
        (vec![page(&["a"], json!("x")), Script::ok("{\"threads\": [")], 1, "not JSON"),
        (vec![page(&["a"], json!("x")), Script::ok(&json!({"error": "oh"}))], 1, "200 with an error inside"),
        (vec![page(&["a"], json!("x")), Script::ok(&json!({"threads": {}}))], 1, "has no list `threads`"),
        (vec![page(&["a"], json!("x")), Script::ok(&json!([]))], 1, "JSON that is no object"),
        (vec![page(&["a"], json!("x")), Script::status(404)], 1, "404"),
        (vec![page(&["a"], json!("x")), Script::status(418)], 1, "418"),
    ] {
        let rig = Rig::new().await;
        rig.fake.script(PATH, scripts);
        let look = rig.full("threads").await;
        look.assert_broken(message);
        look.assert_broken("GET /api/v2/threads");
        assert_eq!(look.keys().len(), rows, "{message}");
    }
    for end in [json!(null), json!("")] {
        let rig = Rig::new().await;
        rig.fake.script(PATH, [page(&["a"], json!("x")), page(&["b"], end)]);
        let look = rig.full("threads").await;
        assert_eq!((look.end.evidence.clone(), look.keys()), (Evidence::Complete, vec!["a", "b"]));
    }
}

#[tokio::test]
async fn faults_are_tried_again_and_then_told() {
    let rig = Rig::new().await;
    rig.fake.fill_threads(1);
    rig.fake.script(PATH, [Script::status(500), Script::Cut]);
    assert_eq!(rig.full("threads").await.end.evidence, Evidence::Complete);
    rig.fake.script(PATH, [Script::Cut, Script::status(502), Script::status(503)]);
    rig.full("threads").await.assert_broken("answered 503 (3 tries)");
    rig.fake.script(PATH, [Script::Cut, Script::Cut, Script::Cut]);
    rig.full("threads").await.assert_broken("broke off");
}

#[tokio::test]
async fn members_are_keyed_by_email() {
    let rig = Rig::new().await;
    rig.fake.world().members = vec![
        json!({"name": "Ana", "email": "Ana@Example.com", "role": "admin"}),
        json!({"name": " ", "email": "bo@example.com", "role": 7, "since": "2026"}),
        json!({"name": "Cy", "role": "member"}),
    ];
    let look = rig.full("members").await;
    assert_eq!(look.end.evidence, Evidence::Complete);
    assert_eq!(look.quarantined(), ["row 3 of page 1 has no usable email"]);
    let [ana, bo] = look.records()[..] else { panic!("{look:?}") };
    assert_eq!((ana.key.as_str(), ana.name.as_deref()), ("ana@example.com", Some("Ana")));
    assert_eq!(ana.who.as_deref(), Some("Ana@Example.com"));
    assert_eq!(json!(ana.fields), json!({"name": "Ana", "role": "admin"}));
    assert_eq!((json!(bo.fields), bo.name.as_deref()), (json!({"name": " "}), None));

    let more = json!({"members": [{"email": "a@example.com"}], "nextCursor": "2"});
    rig.fake.script("/api/v2/workspace/members", [Script::ok(&more), Script::status(400)]);
    rig.full("members").await.assert_broken("400");
}

#[tokio::test]
async fn what_is_looked_at_and_how_often() {
    let rig = Rig::new().await;
    let shown: Vec<_> = rig
        .source
        .collections()
        .iter()
        .map(|c| {
            let minutes = |d: Duration| d.as_secs() / 60;
            let schedule = (c.schedule.head.map(minutes), c.schedule.hot.map(minutes), minutes(c.schedule.full));
            (c.spec.name.as_str(), c.spec.role, schedule, c.calls_per_day)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("threads", Role::Record, (Some(1), Some(15), 1440), Some(1440 + 96 + 1)),
            ("members", Role::Record, (None, None, 1), Some(1440)),
            ("daily_usage", Role::Spend, (None, None, 1), Some(1440)),
            ("thread_usage", Role::Cost, (None, None, 1), Some(1440)),
        ]
    );
    let print = |rig: &Rig| rig.source.collections()[0].spec.fingerprint.clone();
    let other = Rig::with(Fake::start().await, &json!({"client_id": "another"}));
    assert!(print(&rig) == print(&rig) && print(&rig) != print(&other));
    assert!(!print(&rig).contains(fake::ID));
}
