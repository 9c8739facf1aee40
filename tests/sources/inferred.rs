//! `source infer` on the systems' fakes: the manifest it proposes, unedited, read by `source check`.

use std::time::Duration;

use ampbridge::demo::{CLIENT_ID, CLIENT_SECRET};
use ampbridge::http::{Cap, ClientOptions, HttpClient};
use serde_json::{Value, json};

use crate::bench::Watch;
use crate::binary::Binary;
use crate::fake::{Fake, Route};
use crate::systems;

/// An API, and what its manifest has to see.
struct Case {
    what: &'static str,
    url: String,
    /// Variable and value of a bearer token.
    token: Option<String>,
    rows: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proposed_works_unedited_in_two_thirds_of_the_cases() {
    let mut systems = Vec::new();
    for (name, start, _) in systems::all() {
        systems.push((name, start(Watch::real()).await));
    }
    let url = |name: &str| systems.iter().find(|(n, _)| *n == name).unwrap().1.fake.url();
    let plain = plain().await;
    let case = |what, url: String, token: &str, rows| Case {
        what,
        url,
        token: Some(token.to_owned()).filter(|t| !t.is_empty()),
        rows,
    };
    let token = token(&url("amp")).await;
    let (missions, cli, amply) = (url("amp_missions"), url("amp_cli"), url("amply"));
    let cases = [
        case("000 threads", format!("{}/api/v2/threads?limit=2", url("amp")), &token, 4),
        case("001 missions", format!("{missions}/v1/missions?limit=2"), "amp_live_1", 4),
        case("001 content", format!("{missions}/v1/content?limit=50"), "amp_live_1", 131),
        case("002 threads", format!("{cli}/api/threads?createdByUserID=user_1"), "sgamp_1", 3),
        case("002 user", format!("{cli}/api/user"), "sgamp_1", 1),
        case("003 thread documents in one list", format!("{}/threads.json", plain.url()), "", 3),
        case("004 status", format!("{amply}/api/v1/status"), "amply_sk_1", 1),
        case("004 providers", format!("{amply}/api/v1/providers"), "amply_sk_1", 3),
        case("004 health", format!("{amply}/api/v1/health"), "amply_sk_1", 3),
        case("a list like GitHub's", format!("{}/repos?per_page=3", plain.url()), "", 8),
        case("pages with numbers", format!("{}/items?per_page=3", plain.url()), "", 8),
        case("a cursor", format!("{}/jobs?limit=3", plain.url()), "", 8),
    ];
    let mut works = 0;
    for case in &cases {
        let verdict = judge(case).await;
        println!("{:<34} {}", case.what, verdict.as_ref().err().map_or("works", String::as_str));
        works += usize::from(verdict.is_ok());
    }
    println!("{works} of {} work unedited", cases.len());
    assert!(works * 3 >= cases.len() * 2, "{works} of {}", cases.len());
    // Those that are promised by name.
    for case in cases.iter().filter(|c| c.what.starts_with("a list like") || c.what.starts_with("pages with")) {
        assert_eq!(judge(case).await, Ok(()), "{}", case.what);
    }
}

async fn judge(case: &Case) -> Result<(), String> {
    let mut binary = Binary::new("[sources.it]\nkind = \"http_json\"\nmanifest = \"it.toml\"\nmax_rps = 1000\n");
    let mut args = vec!["source", "infer", "--pause", "0", "--url", case.url.as_str()];
    if let Some(token) = &case.token {
        binary.set("API_TOKEN", token);
        args.extend(["--bearer", "API_TOKEN"]);
    }
    let proposed = binary.run(&args).await;
    if proposed.code != Some(0) {
        return Err(format!("proposes nothing: {}", proposed.stderr));
    }
    if case.token.as_ref().is_some_and(|token| proposed.stdout.contains(token.as_str())) {
        return Err("the token is in the manifest".to_owned());
    }
    binary.write("it.toml", &proposed.stdout);
    let checked = binary.run(&["source", "check", "it"]).await;
    let said = format!("{}{}", checked.stdout, checked.stderr);
    let rows = format!("  {} rows in ", case.rows);
    if checked.code != Some(0) || !said.contains(&rows) || said.contains("changed in") {
        return Err(format!("is not read as it should be:\n{}\n{said}", proposed.stdout));
    }
    Ok(())
}

/// APIs of no seed.
async fn plain() -> Fake {
    let routes = [
        ("/threads.json", Route::Whole("threads", "")),
        ("/repos", Route::Linked("rows")),
        ("/items", Route::Numbered("rows", "items")),
        ("/jobs", Route::Cursor("rows", "jobs")),
    ];
    let fake = Fake::start(Watch::real(), ("", ""), &routes).await;
    {
        let mut world = fake.world();
        for n in 1..=3 {
            world.table("threads").push(json!({"id": format!("T-{n}"), "v": 1, "title": "Fix CI", "messages": []}));
        }
        for n in 1..=8 {
            world.table("rows").push(json!({"id": n, "full_name": format!("acme/repo-{n}"), "stars": n * 7,
                "updated_at": "2026-11-20T10:00:00Z"}));
        }
    }
    fake
}

/// A token of the fake workspace.
async fn token(url: &str) -> String {
    let client = HttpClient::new(ClientOptions::default()).unwrap();
    let request = client
        .request(http::Method::POST, format!("{url}/oauth2/token").parse().unwrap())
        .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&scope=amp.api%3Aworkspace.threads.meta%3Aview");
    let reply = client.send(request, Duration::from_secs(60), Cap::Fail(1 << 20)).await.unwrap();
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}
