use serde_json::json;

use super::*;

fn paging(manifest: Value) -> Paging {
    let manifest: PageManifest = serde_json::from_value(manifest).unwrap();
    let mut faults = Faults::default();
    Paging::compile(&manifest, false, &mut faults).unwrap_or_else(|| panic!("{faults:?}"))
}

/// Plays pages (document, keys of its rows) against a paging; what was asked each time, and how it ended.
fn play(manifest: Value, pages: &[(Value, &[&str])]) -> (Vec<Value>, Result<bool, String>) {
    let paging = paging(manifest);
    let mut pager = Pager::new(&paging, 50, true);
    let mut asked = Vec::new();
    let mut seen = BTreeSet::new();
    let url = Url::parse("https://api.example.com/list").unwrap();
    for (document, keys) in pages {
        let Some(Ask::With(parameters)) = pager.ask() else { break };
        asked.push(Value::Object(parameters.into_iter().collect()));
        let fresh = keys.iter().filter(|k| seen.insert(k.to_string())).count() as u64;
        let came = Came {
            document,
            headers: &HeaderMap::new(),
            url: &url,
            rows: keys.len() as u64,
            fresh,
            last: keys.last().copied(),
        };
        if let Err(fault) = pager.took(came) {
            return (asked, Err(fault));
        }
    }
    (asked, Ok(pager.ask().is_none()))
}

#[test]
fn every_kind_goes_on_and_ends() {
    let cases = [
        (
            json!({"kind": "cursor", "send": "c", "next": "/next", "size": ["limit", 2]}),
            vec![(json!({"next": "x"}), &["a", "b"][..]), (json!({"next": null}), &["c"])],
            vec![json!({"limit": 2}), json!({"limit": 2, "c": "x"})],
        ),
        (
            json!({"kind": "after_key", "send": "starting_after", "more": "/has_more"}),
            vec![(json!({"has_more": true}), &["a", "b"]), (json!({"has_more": false}), &["c"])],
            vec![json!({}), json!({"starting_after": "b"})],
        ),
        (
            json!({"kind": "page"}),
            vec![(json!({}), &["a"]), (json!({}), &["b"]), (json!({}), &[])],
            vec![json!({"page": 1}), json!({"page": 2}), json!({"page": 3})],
        ),
        (
            json!({"kind": "page", "pages": "/pages", "first": 0}),
            vec![(json!({"pages": 2}), &["a"]), (json!({"pages": 2}), &["b"])],
            vec![json!({"page": 0}), json!({"page": 1})],
        ),
        (
            json!({"kind": "offset", "total": "/total", "size": ["n", 2]}),
            vec![(json!({"total": 3}), &["a", "b"]), (json!({"total": 3}), &["c"])],
            vec![json!({"n": 2}), json!({"n": 2, "offset": 2})],
        ),
        (json!({"kind": "none"}), vec![(json!({}), &["a"])], vec![json!({})]),
    ];
    for (manifest, pages, asked) in cases {
        assert_eq!(play(manifest.clone(), &pages), (asked, Ok(true)), "{manifest}");
    }
}

#[test]
fn what_never_ends_is_a_fault() {
    let cursor = || json!({"kind": "cursor", "next": "/next"});
    let cases = [
        (cursor(), vec![(json!({"next": "x"}), &["a"][..]), (json!({"next": "x"}), &["b"])], "was there before"),
        (cursor(), vec![(json!({"next": "x"}), &["a"]), (json!({"next": "y"}), &["a"])], "only what earlier pages"),
        (cursor(), vec![(json!({"next": "x"}), &[])], "is empty yet"),
        (cursor(), vec![(json!({"next": {}}), &["a"])], "no text"),
        (
            json!({"kind": "cursor", "next": "/n", "more": "/m"}),
            vec![(json!({"m": true}), &["a"])],
            "names no next page",
        ),
        (json!({"kind": "after_key", "send": "a", "more": "/m"}), vec![(json!({"m": true}), &[])], "is empty yet"),
        (json!({"kind": "after_key", "send": "a", "more": "/m"}), vec![(json!({}), &["a"])], "whether there is more"),
        (
            json!({"kind": "none", "total": "/t"}),
            vec![(json!({"t": 9}), &["a"])],
            "showed 1 rows and says that it has 9",
        ),
        (json!({"kind": "none", "total": "/t", "whole": false}), vec![(json!({}), &["a"])], "has no count at /t"),
        (json!({"kind": "none", "more": "/m"}), vec![(json!({"m": true}), &["a"])], "says no way"),
        (json!({"kind": "page"}), vec![(json!({}), &["a"]), (json!({}), &["a"])], "only what earlier pages"),
    ];
    for (manifest, pages, part) in cases {
        let (_, end) = play(manifest.clone(), &pages);
        assert!(end.as_ref().is_err_and(|fault| fault.contains(part)), "{manifest}: {end:?}");
    }
    let names: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let keys: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let endless: Vec<(Value, &[&str])> = keys.iter().map(|key| (json!({"next": key[0]}), &key[..])).collect();
    let (asked, end) = play(cursor(), &endless);
    assert!(asked.len() == 50 && end.is_err_and(|fault| fault.contains("the last that is read")));
}

#[test]
fn a_total_agrees_where_it_is_given() {
    let list = || json!({"kind": "after_key", "send": "a", "more": "/m", "total": "/t"});
    let end = |total: Value| play(list(), &[(json!({"m": false, "t": total}), &["a", "b"])]).1;
    assert_eq!((end(json!(2)), end(json!(null)), end(json!("2"))), (Ok(true), Ok(true), Ok(true)));
    for other in [1, 3] {
        assert!(end(json!(other)).is_err_and(|fault| fault.contains("showed 2 rows")), "{other}");
    }
    // Looks at what is new show a part of what a list has.
    let (paging, document) = (paging(list()), json!({"m": false, "t": 45}));
    let url = Url::parse("https://api.example.com/list").unwrap();
    let came = Came { document: &document, headers: &HeaderMap::new(), url: &url, rows: 1, fresh: 1, last: Some("a") };
    assert_eq!(Pager::new(&paging, 50, false).took(came), Ok(()));
}

#[test]
fn next_links_stay_on_their_host() {
    let next = |link: &str| {
        let headers = HeaderMap::from_iter([(http::header::LINK, link.parse().unwrap())]);
        let url = Url::parse("https://api.example.com/repos?page=1").unwrap();
        next_link(&headers, &url).map(|url| url.map(String::from))
    };
    let good =
        r#"<https://api.example.com/repos?page=1&x=a,b>; rel="prev", </repos?page=3>; title="x"; rel="last next""#;
    assert_eq!(next(good), Ok(Some("https://api.example.com/repos?page=3".into())));
    assert_eq!(next(r#"</a>; rel="prev""#), Ok(None));
    assert!(next(r"<https://evil.example.com/>; rel=next").is_err());
    assert!(next(r"<http://api.example.com/>; rel=next").is_err());
}
