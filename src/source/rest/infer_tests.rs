//! Proposals for answers as they are common.

use serde_json::json;

use super::super::Connector;
use super::super::manifest::Manifest;
use super::*;

fn propose(url: &str, first: &Value, second: Option<&Value>, linked: bool) -> Proposal {
    let sample = |document: &Value| Sample { document: document.clone(), linked };
    let proposal = infer(&url.parse().unwrap(), &Proof::None, &sample(first), second.map(sample).as_ref()).unwrap();
    let manifest: Manifest =
        toml::from_str(&proposal.manifest).unwrap_or_else(|e| panic!("{e}\n{}", proposal.manifest));
    let compiled = Connector::compile(&manifest);
    assert!(compiled.is_ok(), "{}\n{:#?}", proposal.manifest, compiled.err());
    proposal
}

fn says(proposal: &Proposal, lines: &[&str]) {
    for line in lines {
        assert!(proposal.manifest.lines().any(|l| l == *line), "{line} not in\n{}", proposal.manifest);
    }
}

#[test]
fn a_list_with_its_cursor_and_what_jitters() {
    let at = |seen: &str| {
        json!({"data": [{"id": "a", "name": "x", "score": seen, "updated_at": seen}, {"id": "b", "name": "x", "score": "1"}],
            "meta": {"next_cursor": "c2"}})
    };
    let proposal = propose("https://api.example.com/v1/jobs?limit=2&kind=all", &at("1"), Some(&at("2")), false);
    says(
        &proposal,
        &[
            "base = \"https://api.example.com\"",
            "[collections.jobs]",
            "get = \"/v1/jobs\"",
            "query = { kind = \"all\" }",
            "page = { kind = \"cursor\", send = \"cursor\", next = \"/meta/next_cursor\", size = [\"limit\", 2] }",
            "records = \"/data\"",
            "key = [\"/id\"]",
            "name = \"/name\"",
            "updated = \"/updated_at\"",
            "ignore = [\"/score\", \"/updated_at\"]",
        ],
    );
}

#[test]
fn ways_that_lists_go_on() {
    let rows = json!([{"id": 1}, {"id": 2}]);
    let way = |url: &str, document: &Value, linked| {
        let manifest = propose(url, document, None, linked).manifest;
        manifest.lines().find(|line| line.starts_with("page = ")).unwrap_or("none").to_owned()
    };
    let bare = "https://api.example.com/things";
    assert_eq!(way(bare, &rows, true), "page = { kind = \"link\" }");
    assert_eq!(way(bare, &rows, false), "page = { kind = \"none\", whole = false }", "nothing says where it ends");
    assert_eq!(
        way(bare, &json!({"data": rows, "has_more": true, "total": 9}), false),
        "page = { kind = \"after_key\", send = \"starting_after\", more = \"/has_more\" }"
    );
    assert_eq!(
        way(bare, &json!({"items": rows, "page": 1, "pages": 3, "total": 5}), false),
        "page = { kind = \"page\", send = \"page\", pages = \"/pages\", total = \"/total\" }"
    );
    assert_eq!(
        way("https://api.example.com/things?offset=0&limit=2", &json!({"items": rows, "total": 5}), false),
        "page = { kind = \"offset\", send = \"offset\", total = \"/total\", size = [\"limit\", 2] }"
    );
    assert_eq!(way(bare, &json!({"items": rows, "total": 2}), false), "page = { kind = \"none\", total = \"/total\" }");
}

#[test]
fn members_of_an_object_and_single_objects() {
    let states = json!({"ok": true, "services": {"api": {"state": "up"}, "web": {"state": "up"}}});
    says(&propose("https://example.com/health", &states, None, false), &["records = \"/services/*\"", "key = [\"*\"]"]);
    let status = json!({"version": "1.2", "request_id": "r1", "nested": {"compute_ms": 3}});
    says(
        &propose("https://example.com/api/status", &status, None, false),
        &["[collections.status]", "single = true", "ignore = [\"/nested/compute_ms\", \"/request_id\"]"],
    );
    assert!(infer(&"https://example.com/x".parse().unwrap(), &Proof::None, &Sample::default(), None).is_err());
}

#[test]
fn two_fields_together_where_one_does_not_tell_rows_apart() {
    let rows = json!([{"day": "d1", "user": "a", "n": 1}, {"day": "d1", "user": "b", "n": 1}, {"day": "d2", "user": "a", "n": 1}]);
    says(&propose("https://example.com/usage", &rows, None, false), &["key = [\"/day\", \"/user\"]"]);
}
