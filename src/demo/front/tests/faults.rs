//! Everything that can go wrong on request.

use super::*;

async fn until(reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap();
}

#[tokio::test]
async fn answers_can_be_wrong_in_every_way() {
    let rig = Rig::small().await;
    let text = async |path: &str| rig.send(path).await.unwrap().text().await.unwrap();
    rig.fault(Fault::Html);
    assert!(text("/api/v2/threads").await.starts_with("<!doctype html>"));
    rig.fault(Fault::ErrorInside200);
    assert_eq!(rig.ok("/api/v2/threads").await, json!({ "error": "something went wrong" }));
    rig.fault(Fault::WrongShape);
    assert!(rig.ok("/api/v2/workspace/members").await["members"].is_object());
    rig.fault(Fault::WrongTypes);
    assert_eq!(rig.ok("/api/v2/threads").await["threads"][0]["id"], json!(17));
    rig.fault(Fault::HugeRow(3_000_000));
    assert!(text("/api/v2/threads").await.len() > 3_000_000);
    rig.fault(Fault::InvalidUtf8);
    let bytes = rig.send("/api/v2/threads").await.unwrap().bytes().await.unwrap();
    assert!(std::str::from_utf8(&bytes).is_err());
    rig.fault(Fault::EmptyList);
    assert_eq!(rig.ok("/api/v2/threads").await, json!({ "threads": [] }));
    rig.fault(Fault::EmptyPageWithMore);
    let body = rig.ok("/api/v2/workspace/members").await;
    assert_eq!((&body["members"], body["nextCursor"].is_string()), (&json!([]), true));
    rig.fault(Fault::Status { code: 429, retry_after: Some("30".into()) });
    let answer = rig.send("/api/v2/threads").await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"30".parse().unwrap()));
    rig.fake.clear_faults();
    rig.ok("/api/v2/threads").await;
}

#[tokio::test]
async fn connections_can_break_in_every_way() {
    let rig = Rig::small().await;
    rig.fault(Fault::CutBody(100));
    let mut answer = rig.send("/api/v2/threads").await.unwrap();
    let mut bytes = 0;
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            end => break end.is_err(),
        }
    };
    assert_eq!((bytes, broken), (100, true));
    rig.fault(Fault::DropConnection);
    assert!(rig.send("/api/v2/threads").await.is_err());
    rig.fault(Fault::DripMs(1));
    let members: Value = rig.send("/api/v2/workspace/members").await.unwrap().json().await.unwrap();
    assert_eq!(members["members"].as_array().unwrap().len(), 4);
    rig.fault(Fault::DelayMs(5));
    rig.ok("/api/v2/threads").await;
    rig.fault(Fault::Hang);
    tokio::select! {
        _ = rig.send("/api/v2/threads") => panic!("an answer"),
        () = until(|| rig.fake.counters().requests == 6) => {}
    }
    // A client that went away is noticed.
    until(|| rig.fake.counters().in_flight == 0).await;
    let statuses: Vec<u16> = rig.fake.log().iter().map(|e| e.status).collect();
    assert_eq!(statuses, [200, 200, 0, 200, 200, 0]);
    rig.fault(Fault::Redirect("http://127.0.0.1:1/elsewhere".into()));
    let answer = rig.send("/api/v2/threads").await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (302, &"http://127.0.0.1:1/elsewhere".parse().unwrap())
    );
}

#[tokio::test]
async fn paging_can_lead_nowhere() {
    let rig = Rig::small().await;
    for (fault, distinct) in [(Fault::EndlessPaging, 5), (Fault::RepeatCursor, 1)] {
        rig.fault(fault);
        let (mut cursor, mut cursors, mut firsts) = (String::new(), BTreeSet::new(), BTreeSet::new());
        for _ in 0..5 {
            let body = rig.ok(&format!("/api/v2/threads?limit=100{cursor}")).await;
            let next = body["nextCursor"].as_str().unwrap().to_owned();
            firsts.insert(body["threads"][0]["id"].as_str().unwrap().to_owned());
            cursor = format!("&cursor={next}");
            cursors.insert(next);
        }
        assert_eq!((cursors.len(), firsts.len()), (distinct, 1));
    }
}

#[tokio::test]
async fn a_stopped_server_answers_nobody() {
    let rig = Rig::small().await;
    let Rig { server, client, token, .. } = rig;
    let url = format!("{}/api/v2/threads", server.base_url());
    assert!(client.get(&url).bearer_auth(&token).send().await.is_ok());
    drop(server);
    assert!(client.get(&url).bearer_auth(&token).send().await.is_err());
}
