//! Rows that can't be used, by manifests: each is left out and counted, and costs nothing beside it.

use serde_json::{Value, json};

use crate::bench::{Bridge, Watch};
use crate::fake::{Fake, Route};

async fn bridge(watch: &Watch, collection: &str, answer: Value) -> (Fake, Bridge, tempfile::TempDir) {
    let fake = Fake::start(watch.clone(), ("", ""), &[("/rows", Route::Doc("rows"))]).await;
    *fake.world().doc("rows") = answer;
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!("base = \"{}\"\n[collections.rows]\n{collection}", fake.url());
    std::fs::write(folder.path().join("rows.toml"), manifest).unwrap();
    let config = "[sources.own]\nkind = \"http_json\"\nmanifest = \"rows.toml\"\n\
                  [rules.day]\nkind = \"budget\"\nlimit_usd = 10\nperiod = \"day\"\n";
    let bridge = Bridge::new(config, folder.path(), watch);
    (fake, bridge, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn money_of_days_that_were_not_asked_for_is_left_out() {
    const SPEND: &str = "role = \"spend\"\nrecords = \"/data\"\nkey = [\"/id\"]\n\
        spend = { date = \"/date\", amount = \"/usd\", unit = \"dollars\" }\n\
        window = { days = 2, history = 2, long = 2 }\n";
    let rows = json!({"data": [
        {"id": 1, "date": "2026-11-20", "usd": 60}, {"id": 2, "date": "2026-11-21", "usd": 1},
        {"id": 3, "date": "2026-11-22", "usd": 1}, {"id": 4, "date": "2026-11-23", "usd": 50},
    ]});
    // Where nothing says up to which day, the answer may go on: the day may have begun elsewhere.
    for (query, left_out, told) in [("?from=$from&to=$to", 2, 0), ("?from=$from", 1, 1)] {
        let watch = Watch::default();
        let (_fake, bridge, _folder) = bridge(&watch, &format!("get = \"/rows{query}\"\n{SPEND}"), rows.clone()).await;
        for _ in 0..2 {
            let look = bridge.look().await.remove(0);
            assert_eq!((look.notes.rows, look.notes.quarantined), (4 - left_out, left_out), "{query}: {look:?}");
        }
        assert_eq!(bridge.told().await.len(), told, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rows_with_one_key_the_first_counts_whatever_they_are() {
    let rows = json!({"data": [{"id": "a", "n": 1, "date": "2026-11-22"}, {"id": "b", "n": 1, "date": "2026-11-22"},
        {"id": "a", "n": 20, "date": "2026-11-22"}]});
    for collection in [
        "get = \"/rows\"\nrecords = \"/data\"\nkey = [\"/id\"]\n",
        "role = \"gauge\"\nget = \"/rows\"\nrecords = \"/data/*\"\nkey = [\"/id\"]\nvalue = \"/n\"\nbands = { low = 0 }\n",
        "role = \"spend\"\nget = \"/rows\"\nrecords = \"/data\"\nkey = [\"/id\"]\n\
         spend = { date = \"/date\", amount = \"/n\", unit = \"dollars\" }\n",
    ] {
        let watch = Watch::default();
        let (_fake, bridge, _folder) = bridge(&watch, collection, rows.clone()).await;
        for _ in 0..3 {
            let look = bridge.look().await.remove(0);
            assert_eq!(look.notes.quarantined, 1, "{collection}: {look:?}");
            assert!(look.notes.quarantine_samples[0].contains('a'), "{look:?}");
        }
        assert_eq!(bridge.told().await, [""; 0], "{collection}");
    }
}
