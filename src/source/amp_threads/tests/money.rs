//! Spend over all threads, and the cost of each.

use super::*;

#[tokio::test]
async fn a_thread_marked_deleted_is_not_shown_but_was_paid_for() {
    let bench = Bench::new();
    let mut document: Value = serde_json::from_slice(&fixture("export.v19.json")).unwrap();
    document["meta"]["deleted"] = json!(true);
    bench.put("a.json", document.to_string());
    assert_eq!(bench.threads().await.keys(), Vec::<&str>::new());
    assert_eq!(bench.look(USAGE).await.spend.len(), 1);
}

#[tokio::test]
async fn spend_is_the_sum_over_all_threads_by_day_user_and_model() {
    let bench = Bench::new();
    bench.put("old.json", fixture("export.v17.json"));
    bench.put("new.json", fixture("export.v19.json"));
    let mut other: Value = serde_json::from_slice(&fixture("export.v17.json")).unwrap();
    other["id"] = json!("T-other");
    bench.put("other.json", other.to_string());
    bench.put(
        "mystery.json",
        json!({"id": "T-m", "created": 1_791_104_400_000_i64, "messages": [{"usage": {"model": "mystery", "inputTokens": 3}}]})
            .to_string(),
    );
    let seen = bench.look(USAGE).await;
    let rows: Vec<_> = seen
        .spend
        .iter()
        .map(|r| (r.day.to_string(), r.user.as_deref(), r.model.as_deref(), r.amount.0, r.tokens))
        .collect();
    // v19 of the one (950 and 1,056 tokens) and v17 of the other (950): v17 of the first is the same calls.
    assert_eq!(rows, [("2026-10-04".to_owned(), Some("user_ana"), Some("claude-haiku-4-5-20251001"), 2_956, 2_956)]);
    assert!(seen.spend.iter().all(|r| r.basis == crate::domain::spend::Basis::Estimate && !r.whole_user));
    assert_eq!(seen.quarantined, ["\"mystery\" is in no price table: what its 3 tokens cost is unknown"]);
    assert_eq!(seen.uncounted.unpriced.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2026-10-04"]);
    assert_eq!(seen.uncounted.until, None);
}

#[tokio::test]
async fn what_a_file_that_cannot_be_read_cost_is_of_no_day_after_it() {
    let bench = Bench::new();
    bench.put("torn.json", "{\"id\": \"T-1\", \"messages\": [");
    let day = |at: std::time::SystemTime| utc_day(Timestamp::try_from(at).unwrap());
    let written = day(fs::metadata(bench.path("torn.json")).unwrap().modified().unwrap());
    assert_eq!(bench.look(USAGE).await.uncounted.until, Some(written));
}

#[tokio::test]
async fn what_a_removed_thread_has_cost_stays_spent() {
    let mut bench = Bench::new();
    bench.now = "2026-10-05T00:00:00Z".parse().unwrap();
    bench.put("a.json", fixture("export.v17.json"));
    let amounts = |seen: &Seen| seen.spend.iter().map(|row| row.amount.0).collect::<Vec<_>>();
    let committed = |seen: &Seen| CollectionState {
        cursor: seen.end.cursor.clone().unwrap(),
        baseline: Some(Timestamp::UNIX_EPOCH),
        ..CollectionState::default()
    };
    let before = bench.look(USAGE).await;
    assert_eq!(amounts(&before), [950]);
    let state = committed(&before);
    fs::remove_file(bench.path("a.json")).unwrap();
    // Twice from the same state: what the first look found out was never committed.
    for _ in 0..2 {
        let gone = bench.look_from(USAGE, &state, &[]).await;
        assert_eq!(amounts(&gone), [950]);
    }
    let state = committed(&bench.look_from(USAGE, &state, &[]).await);
    let restarted = Bench { now: bench.now, ..Bench::new() };
    assert_eq!(amounts(&restarted.look_from(USAGE, &state, &[]).await), [950], "after a restart too");
    restarted.put("back.json", fixture("export.v19.json"));
    let back = restarted.look_from(USAGE, &state, &[]).await;
    assert_eq!(amounts(&back), [2_006], "once, by its file again");
    assert_eq!(back.end.cursor.clone().unwrap(), json!({ "gone": {} }));
    let later = Bench { now: "2027-06-01T00:00:00Z".parse().unwrap(), ..restarted };
    assert_eq!(amounts(&later.look_from(USAGE, &committed(&back), &[]).await), Vec::<i64>::new(), "long settled");
    assert_eq!(amounts(&later.look(USAGE).await), [2_006], "but a baseline has all history");
}

#[tokio::test]
async fn costs_are_shown_when_they_change_or_are_asked_for() {
    let bench = Bench::new();
    bench.put("a.json", fixture("export.v17.json"));
    bench.put("b.json", json!({"id": "T-free", "messages": []}).to_string());
    let first = bench.look(COSTS).await;
    assert_eq!(first.costs.len(), 1);
    assert_eq!((first.costs[0].cost, first.costs[0].estimated), (Micros(950), true));
    assert_eq!(
        Value::from_iter(first.costs[0].facts.clone()),
        json!({
            "name": "Count the parcels", "who": "user_ana", "link": format!("https://ampcode.com/threads/{ID}"),
            "createdAt": "2026-10-04T09:00:00Z",
        })
    );
    assert_eq!(bench.look(COSTS).await.costs, []);
    let asked = bench.look_from(COSTS, &CollectionState::default(), &[ID, "T-gone"]).await;
    assert_eq!((asked.costs.len(), asked.asked), (1, vec![ID.to_owned(), "T-gone".to_owned()]));
    bench.put("a.json", fixture("export.v19.json"));
    assert_eq!(bench.look(COSTS).await.costs[0].cost, Micros(2_006));
}
