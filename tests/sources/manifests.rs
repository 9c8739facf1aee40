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
async fn a_restart_is_no_new_baseline_however_many_members_a_body_has() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    let collections = "[collections.row]\npost = \"/list\"\nrecords = \"/data\"\nkey = [\"/id\"]\n\
                       body = { a = 1, b = 2, c = { x = 1, y = 2, z = 3 }, d = 4 }\n";
    let first = bridge(&fake, &watch, collections);
    first.look_well().await;
    for n in 0..8 {
        fake.world().row("rows", "r01")["name"] = json!(format!("name {n}"));
        // Another reading of the same config, over the same store.
        let again = bridge(&fake, &watch, collections).over(&first);
        again.look_well().await;
        assert_eq!(first.told().await.len(), n + 1);
    }
    let bodies: BTreeSet<String> = fake.world().bodies.iter().cloned().collect();
    assert_eq!(bodies.into_iter().collect::<Vec<_>>(), [r#"{"a":1,"b":2,"c":{"x":1,"y":2,"z":3},"d":4}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_where_a_list_should_be_is_no_answer() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    *fake.world().doc("doc") = json!({"rows": [{"id": "a", "day": "2026-11-22", "cents": 5}]});
    let list = "get = \"/doc\"\nrecords = \"/rows\"\nkey = [\"/id\"]\n";
    let bridge = bridge(
        &fake,
        &watch,
        &format!(
            "[collections.row]\n{list}[collections.cost]\nrole = \"spend\"\n{list}\
             spend = {{ date = \"/day\", amount = \"/cents\", unit = \"cents\" }}\n"
        ),
    );
    bridge.look_well().await;
    for object in [json!({}), json!({"error": "quota"}), json!({"a": {"id": "a"}})] {
        *fake.world().doc("doc") = json!({ "rows": object });
        for look in bridge.look().await {
            assert!(matches!(look.evidence, Evidence::Partial(_)), "{}: {:?}", look.collection, look.evidence);
        }
    }
    *fake.world().doc("doc") = json!({"rows": []});
    bridge.look_well().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn one_look_and_a_404_are_enough_where_records_have_addresses() {
    let watch = Watch::default();
    let routes = [("/list", Route::Whole("rows", "data")), ("/rows/", Route::One("all"))];
    let fake = Fake::start(watch.clone(), ("", ""), &routes).await;
    for n in 1..=20 {
        for table in ["rows", "all"] {
            fake.world().table(table).push(json!({"id": format!("r{n:02}")}));
        }
    }
    let bridge = bridge(
        &fake,
        &watch,
        "[collections.row]\nget = \"/list\"\nrecords = \"/data\"\nkey = [\"/id\"]\n\
         sweep = { deletes = \"confirm_get\", confirm = \"/rows/{key}\" }\n",
    );
    bridge.look_well().await;
    let gone = |tables: &[&str], ids: &[&str]| {
        for table in tables {
            fake.world().table(table).retain(|row| !ids.contains(&row["id"].as_str().unwrap()));
        }
    };
    gone(&["rows"], &["r03"]);
    bridge.look_well().await;
    assert_eq!(bridge.told().await.len(), 0, "its own address answers");
    gone(&["rows", "all"], &["r04"]);
    bridge.look_well().await;
    assert_eq!(bridge.told().await, ["row.deleted r04"]);
    // A loss that is too large to believe is still held, and nobody is asked.
    gone(&["rows", "all"], &["r05", "r06", "r07", "r08", "r09", "r10"]);
    let calls = fake.world().calls.len();
    bridge.look_well().await;
    assert_eq!(fake.world().calls.len(), calls + 1);
    bridge.look_well().await;
    assert_eq!(bridge.told().await, ["row.deleted r04", "source.change_held api"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_leaves_its_list_for_good_is_no_open_incident() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    let nodes = |rows: serde_json::Value| *fake.world().doc("doc") = json!({ "nodes": rows });
    let (up, down) = (json!({"id": "a", "s": "up"}), json!({"id": "b", "s": "down"}));
    nodes(json!([up, down]));
    let bridge = bridge(
        &fake,
        &watch,
        "[collections.node]\nrole = \"gauge\"\nget = \"/doc\"\nrecords = \"/nodes\"\nkey = [\"/id\"]\nvalue = \"/s\"\n\
         states = { bad = [\"down\"] }\nevents = { bad = \"node.down\", ok = \"node.up\" }\n",
    );
    bridge.look_well().await;
    bridge.look_well().await;
    assert_eq!(bridge.told().await, ["node.down b"]);
    // A row without a key might be the one that is missing.
    for rows in [json!([up, {"s": "down"}]), json!([up]), json!([up, down]), json!([up])] {
        nodes(rows);
        bridge.look_well().await;
    }
    assert_eq!(bridge.told().await.len(), 1);
    bridge.look_well().await;
    assert_eq!(bridge.told().await, ["node.down b", "node.up b"]);
    let events = bridge.app.core.store.events(&ampbridge::store::EventFilter::default()).await.unwrap();
    let (over, open) = (&events[0].event.data, &events[1].event.data);
    assert_eq!(
        (&over["state"], &over["band_after"], &over["after"]),
        (&json!("resolved"), &json!("gone"), &json!(null))
    );
    assert_eq!(over["incident"], open["incident"]);
}

/// Money by day and user, as two looks in a row have left it.
async fn spent(bridge: &Bridge) -> Vec<String> {
    use ampbridge::domain::cycle::Needs;
    let day = |text: &str| text.parse().unwrap();
    let needs = Needs { ledger: vec![("api".to_owned(), day("2026-11-01"), day("2026-11-30"))], ..Needs::default() };
    let known = bridge.app.core.store.load(&needs, None).await.unwrap();
    let rows = known.ledger.days.iter().flat_map(|((_, day), spend)| spend.rows().map(move |row| (day, row)));
    let rows = rows.filter(|(_, row)| row.cell.amount.0 > 0);
    rows.map(|(day, row)| format!("{day} {} {}", row.user, row.cell.amount)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_no_longer_shown_was_not_spent() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    let row = |day: u32, user: &str, cents: u64| json!({"day": format!("2026-11-{day}"), "user": user, "cents": cents});
    let show = |rows: &[serde_json::Value]| *fake.world().doc("doc") = json!({ "rows": rows });
    let bridge = bridge(
        &fake,
        &watch,
        "[collections.cost]\nrole = \"spend\"\nget = \"/doc\"\nrecords = \"/rows\"\nquery = { from = \"$from\" }\n\
         window = { days = 4, long = 4, history = 30, step = 31 }\n\
         spend = { date = \"/day\", user = \"/user\", amount = \"/cents\", unit = \"cents\" }\n",
    );
    let old = row(10, "ana", 500);
    let all = [row(21, "ana", 300), row(22, "ana", 100), row(22, "bo", 200)];
    show(&[all.as_slice(), &[old]].concat());
    bridge.look_well().await;
    show(&all);
    bridge.look_well().await;
    show(&all[..2]);
    bridge.look_well().await;
    assert_eq!(spent(&bridge).await.len(), 4, "missed once");
    // A look that left a row out proves nothing, and one that shows it again begins anew.
    show(&[all[0].clone(), all[1].clone(), json!({"user": "bo", "cents": "many"})]);
    bridge.look().await;
    show(&all);
    bridge.look_well().await;
    show(&all[..2]);
    bridge.look_well().await;
    assert_eq!(spent(&bridge).await.len(), 4);
    bridge.look_well().await;
    let left = ["2026-11-10 ana $5.00", "2026-11-21 ana $3.00", "2026-11-22 ana $1.00"];
    assert_eq!(spent(&bridge).await, left, "gone; and of the day that was not asked for nothing is known");
    // Nothing at all is more than can be believed, and is told once.
    show(&[]);
    for _ in 0..3 {
        bridge.look_well().await;
    }
    assert_eq!((spent(&bridge).await.len(), bridge.told().await), (3, vec!["source.degraded api".to_owned()]));
    show(&all);
    bridge.look_well().await;
    assert_eq!(spent(&bridge).await.len(), 4, "and it comes back as what it is");
    show(&[]);
    bridge.look_well().await;
    assert_eq!(bridge.told().await.len(), 2, "another loss");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_two_that_have_cost_something_takes_nothing_from_the_other() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    let row = |user: &str| json!({"day": "2026-11-22", "user": user, "cents": 100});
    *fake.world().doc("doc") = json!({"seats": [row("ana"), row("bo")], "calls": [row("cy"), row("di")]});
    let list = |name: &str| {
        format!(
            "[collections.{name}]\nrole = \"spend\"\nget = \"/doc\"\nrecords = \"/{name}\"\nquery = {{ from = \"$from\" }}\n\
             window = {{ days = 4 }}\nspend = {{ date = \"/day\", user = \"/user\", amount = \"/cents\", unit = \"cents\" }}\n"
        )
    };
    let bridge = bridge(&fake, &watch, &format!("{}{}", list("seats"), list("calls")));
    for _ in 0..3 {
        bridge.look_well().await;
    }
    assert_eq!(spent(&bridge).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_by_a_clock_that_is_days_behind_is_a_failed_look() {
    let watch = Watch::default();
    let fake = fake(&watch).await;
    *fake.world().doc("doc") = json!({"rows": [{"day": "2026-11-22", "cents": 5}]});
    let bridge = bridge(
        &fake,
        &watch,
        "[collections.cost]\nrole = \"spend\"\nget = \"/doc\"\nrecords = \"/rows\"\n\
         spend = { date = \"/day\", amount = \"/cents\", unit = \"cents\" }\n",
    );
    bridge.look_well().await;
    watch.advance(-5 * 86_400);
    let looks = bridge.look().await;
    let Evidence::Partial(failure) = &looks[0].evidence else { panic!("{:?}", looks[0].evidence) };
    assert!(failure.message.contains("this machine's clock says"), "{}", failure.message);
    watch.advance(5 * 86_400);
    bridge.look_well().await;
}
