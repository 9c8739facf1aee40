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

/// Missions with budgets of $40, none, and $500, and a budget rule that goes by them.
async fn own_budgets(watch: &Watch) -> (systems::System, tempfile::TempDir, Bridge) {
    let (_, start, _) = systems::all().into_iter().find(|(name, ..)| *name == "amp_missions").unwrap();
    let system = start(watch.clone()).await;
    system.fake.world().row("missions", "msn_2")["constraints"]["budget_cents"] = json!(4_000);
    system.fake.world().row("missions", "msn_3")["constraints"] = json!({"budget_cents": null});
    let rule = "[rules.own]\nkind = \"budget\"\nlimit = \"own\"\nlimit_usd = 20\nper = \"mission\"\nperiod = \"month\"\n\
        thresholds = [100]\nforecast = false\n";
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::new(&format!("{}{rule}", system.config.replace(RULES, "")), folder.path(), watch);
    (system, folder, bridge)
}

fn spend(system: &systems::System, mission: &str, cents: u64) {
    let mut row = content(&format!("cnt_{mission}"), "draft", "2026-11-22T09:00:00Z", cents);
    row["mission_id"] = json!(mission);
    system.fake.world().table("content").push(row);
}

async fn budgets(bridge: &Bridge) -> Vec<String> {
    let mut told: Vec<String> = bridge.told().await.into_iter().filter(|line| line.starts_with("budget.")).collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mission_is_held_to_its_own_budget() {
    let watch = Watch::default();
    let (system, _folder, bridge) = own_budgets(&watch).await;
    bridge.look_well().await;
    bridge.look_well().await;
    assert_eq!(bridge.told().await, Vec::<String>::new());
    let (two, three, four) =
        ("budget.exceeded mission:msn_2", "budget.exceeded mission:msn_3", "budget.exceeded mission:msn_4");

    spend(&system, "msn_2", 4_500);
    spend(&system, "msn_3", 2_500);
    spend(&system, "msn_4", 4_500);
    // Of a mission that no list shows nothing is known, which is not the same as having no budget.
    spend(&system, "msn_unheard_of", 900_000);
    bridge.look_well().await;
    assert_eq!(budgets(&bridge).await, [two, three], "its own, and the rule's where it has none");

    let set = |mission: &str, cents: u64| {
        system.fake.world().row("missions", mission)["constraints"]["budget_cents"] = json!(cents);
    };
    set("msn_2", 10_000);
    bridge.look_well().await;
    set("msn_2", 4_000);
    bridge.look_well().await;
    assert_eq!(budgets(&bridge).await, [two, three], "a budget that is back where it was says nothing twice");
    set("msn_4", 3_000);
    bridge.look_well().await;
    bridge.look_well().await;
    assert_eq!(budgets(&bridge).await, [two, three, four]);
    let filter = EventFilter { subject: Some("mission:msn_4".to_owned()), ..EventFilter::default() };
    let events = bridge.app.core.store.events(&filter).await.unwrap();
    let data = &events[0].event.data;
    assert_eq!((&data["cause"], &data["limit_usd"]), (&json!("limit_changed"), &json!("30.00")));
}

#[tokio::test(flavor = "multi_thread")]
async fn missions_that_are_past_their_budgets_at_first_sight_are_one_event() {
    let watch = Watch::default();
    let (system, _folder, bridge) = own_budgets(&watch).await;
    spend(&system, "msn_2", 4_500);
    spend(&system, "msn_3", 5_500);
    bridge.look_well().await;
    bridge.look_well().await;
    assert_eq!(budgets(&bridge).await, ["budget.exceeded mission:msn_3"]);
    let events = bridge.app.core.store.events(&EventFilter::default()).await.unwrap();
    let data = &events[0].event.data;
    assert_eq!((&data["baseline"], &data["also"]), (&json!(true), &json!(["mission:msn_2"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn spend_is_held_against_the_limit_of_the_same_round() {
    let watch = Watch::default();
    let (system, _folder, bridge) = own_budgets(&watch).await;
    bridge.look_well().await;
    bridge.look_well().await;
    // Both at once: more may be spent, and is.
    system.fake.world().row("missions", "msn_2")["constraints"]["budget_cents"] = json!(10_000);
    spend(&system, "msn_2", 4_500);
    bridge.look_well().await;
    assert_eq!(budgets(&bridge).await, Vec::<String>::new(), "$45 of $100, not of the $40 it was before");
    bridge.look_well().await;
    assert_eq!(budgets(&bridge).await, Vec::<String>::new());
}
