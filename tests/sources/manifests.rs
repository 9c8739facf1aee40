//! What a manifest of one's own says of a list's end and of levels, and what follows from it.

use std::collections::BTreeSet;

use ampbridge::domain::record::Evidence;
use serde_json::json;

use crate::bench::{Bridge, Watch};
use crate::fake::{Fake, Route};

const SOURCE: &str = "[sources.api]\nkind = \"http_json\"\nmanifest = \"api.toml\"\nmax_rps = 1000\n";

/// A fake whose `/list` is the table `rows` and whose `/doc` is the document `doc`.
async fn fake(watch: &Watch) -> Fake {
    let fake =
        Fake::start(watch.clone(), ("", ""), &[("/list", Route::Whole("rows", "data")), ("/doc", Route::Doc("doc"))])
            .await;
    for n in 1..=20 {
        fake.world().table("rows").push(json!({"id": format!("r{n:02}"), "name": "x"}));
    }
    fake
}

fn bridge(fake: &Fake, watch: &Watch, collections: &str) -> Bridge {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("api.toml"), format!("base = \"{}\"\n{collections}", fake.url())).unwrap();
    Bridge::new(SOURCE, folder.path(), watch)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_is_the_whole_list_unless_the_manifest_says_otherwise() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    let list = "get = \"/list\"\nrecords = \"/data\"\nkey = [\"/id\"]\n";
    let bridge = bridge(
        &fake,
        &watch,
        &format!(
            "[collections.plain]\n{list}\
             [collections.said]\n{list}page = {{ kind = \"none\" }}\n\
             [collections.asked]\n{list}page = {{ kind = \"none\" }}\nsweep = {{ deletes = \"two_sweeps\" }}\n\
             [collections.part]\n{list}page = {{ kind = \"none\", whole = false }}\n\
             [collections.kept]\n{list}sweep = {{ deletes = \"never\" }}\n"
        ),
    );
    bridge.look_well().await;
    fake.world().table("rows").retain(|row| row["id"] != "r03");
    bridge.look_well().await;
    assert_eq!(bridge.told().await.len(), 0, "missed once");
    bridge.look_well().await;
    let told: BTreeSet<String> = bridge.told().await.into_iter().collect();
    assert_eq!(told.into_iter().collect::<Vec<_>>(), ["asked.deleted r03", "plain.deleted r03", "said.deleted r03"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_has_no_amount_and_need_not_have_one_is_no_loss() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    let spend = "date = \"/day\"\namount = \"/cents\"\nunit = \"cents\"\n";
    let list = "role = \"spend\"\nget = \"/list\"\nrecords = \"/data\"\nkey = [\"/id\"]\n";
    let bridge = bridge(
        &fake,
        &watch,
        &format!(
            "[collections.optional]\n{list}[collections.optional.spend]\n{spend}optional = true\n\
             [collections.strict]\n{list}[collections.strict.spend]\n{spend}"
        ),
    );
    let left_out = async || bridge.look().await.iter().map(|look| look.notes.quarantined).collect::<Vec<_>>();
    assert_eq!(left_out().await, [0, 20], "rows of nothing but an id and a name");
    fake.world().row("rows", "r01")["cents"] = json!(5);
    assert_eq!(left_out().await, [1, 20], "an amount of no day is a loss");
    fake.world().row("rows", "r01")["day"] = json!("2026-11-22");
    assert_eq!(left_out().await, [0, 19]);
    let strict = bridge.look().await.pop().unwrap().notes.uncounted;
    assert!(strict.days.is_empty() && strict.until.is_some(), "of who knows which days");
    fake.world().table("rows").retain(|row| row["id"] == "r01" || row["id"] == "r02");
    fake.world().row("rows", "r02")["day"] = json!("2026-11-21");
    let strict = bridge.look().await.pop().unwrap().notes.uncounted;
    assert_eq!(
        (strict.days.iter().map(ToString::to_string).collect::<Vec<_>>(), strict.until),
        (vec!["2026-11-21".to_owned()], None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gauge_is_the_object_it_points_at() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    *fake.world().doc("doc") = json!({"left": 50, "wallet": {"left": 50},
        "pools": [{"id": "a", "left": 50}, {"id": "b", "left": 50}], "named": {"a": {"left": 50}, "b": {"left": 50}}});
    let gauge = "role = \"gauge\"\nget = \"/doc\"\nvalue = \"/left\"\nbands = { low = 5 }\n";
    let bridge = bridge(
        &fake,
        &watch,
        &format!(
            "[collections.all]\n{gauge}\
             [collections.wallet]\n{gauge}records = \"/wallet\"\n\
             [collections.pool]\n{gauge}records = \"/pools\"\nkey = [\"/id\"]\n\
             [collections.named]\n{gauge}records = \"/named\"\nkey = [\"*\"]\n\
             [collections.blind]\n{gauge}records = \"/pools\"\n"
        ),
    );
    let look = async || {
        for look in bridge.look().await {
            let partial = matches!(look.evidence, Evidence::Partial(_));
            assert_eq!(partial, look.collection == "blind", "{}: {:?}", look.collection, look.evidence);
        }
    };
    look().await;
    {
        let mut world = fake.world();
        let doc = world.doc("doc");
        for place in ["", "/wallet", "/pools/1", "/named/b"] {
            doc.pointer_mut(place).unwrap()["left"] = json!(1);
        }
    }
    look().await;
    look().await;
    let mut told = bridge.told().await;
    told.retain(|event| !event.starts_with("source."));
    told.sort();
    assert_eq!(told, ["all.low all", "named.low b", "pool.low b", "wallet.low wallet"]);
}
