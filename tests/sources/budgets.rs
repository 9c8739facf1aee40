//! Money of several systems under one budget, and of missions by themselves.

use serde_json::json;

use ampbridge::store::EventFilter;

use crate::bench::{Bridge, Watch};
use crate::systems::amp_missions::content;
use crate::systems::{self, RULES};

#[tokio::test(flavor = "multi_thread")]
async fn one_budget_over_two_systems_and_one_for_each_mission() {
    let watch = Watch::default();
    let mut started = Vec::new();
    for (name, start, _) in systems::all() {
        if ["amp_missions", "anthropic"].contains(&name) {
            started.push(start(watch.clone()).await);
        }
    }
    let sources: String = started.iter().map(|system| system.config.replace(RULES, "")).collect();
    let rules = "[rules.together]\nkind = \"budget\"\nlimit_usd = 100\nperiod = \"day\"\nthresholds = [100]\n\
        sources = [\"missions\", \"claude\"]\n\
        [rules.each-mission]\nkind = \"budget\"\nlimit_usd = 50\nperiod = \"month\"\nper = \"mission\"\nthresholds = [80]\n\
        forecast = false\n";
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::new(&format!("{sources}{rules}"), folder.path(), &watch);
    bridge.look_well().await;
    bridge.look_well().await;
    assert_eq!(bridge.told().await, Vec::<String>::new());

    // $45 of one mission, $45 of another, and $10 each before: past the sum, past 80 % of one's own.
    for (id, mission) in [("cnt_a", "msn_2"), ("cnt_b", "msn_3")] {
        let mut row = content(id, "draft", "2026-11-22T09:00:00Z", 4_500);
        row["mission_id"] = json!(mission);
        started[0].fake.world().table("content").push(row);
    }
    bridge.look_well().await;
    bridge.look_well().await;
    let mut told: Vec<String> = bridge.told().await.into_iter().filter(|line| line.starts_with("budget.")).collect();
    told.sort();
    let expected = [
        "budget.exceeded workspace",
        "budget.threshold_reached mission:msn_2",
        "budget.threshold_reached mission:msn_3",
    ];
    assert_eq!(told, expected);
    let filter = EventFilter { kind: Some("budget.exceeded".to_owned()), ..EventFilter::default() };
    let events = bridge.app.core.store.events(&filter).await.unwrap();
    let data = &events[0].event.data;
    assert_eq!(data["sources"], json!(["missions", "claude"]));
    assert_eq!(data["by_source"].as_array().map(Vec::len), Some(2), "{data:?}");
}
