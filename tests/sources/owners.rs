//! Credentials of somebody else: everything is theirs, so everything begins anew, without a word.

use serde_json::json;

use crate::bench::{Bridge, Watch};
use crate::fault::{Fault, Target};
use crate::systems::{self, System};

async fn cli() -> (System, Bridge) {
    let watch = Watch::default();
    let start = systems::all().into_iter().find(|(name, ..)| *name == "amp_cli").map(|(_, start, _)| start).unwrap();
    let system = start(watch.clone()).await;
    let bridge = Bridge::new(&system.config, tempfile::tempdir().unwrap().path(), &watch);
    (system, bridge)
}

/// The same config in another process.
fn again(system: &System, bridge: &Bridge) -> Bridge {
    Bridge::new(&system.config, tempfile::tempdir().unwrap().path(), &bridge.watch).over(bridge)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_key_changes_nothing_of_the_first_user() {
    let (system, bridge) = cli().await;
    bridge.look_well().await;
    {
        let mut world = system.fake.world();
        *world.doc("user") = json!({"id": "user_2", "email": "bo@example.com", "name": "Bo"});
        *world.doc("github") = json!({"authenticated": false, "scopes": []});
        world.table("threads").retain(|row| row["id"] != "T-1");
    }
    for _ in 0..3 {
        again(&system, &bridge).look_well().await;
    }
    assert_eq!(bridge.told().await, [""; 0]);
    system.fake.world().doc("user")["email"] = json!("bo@acme.example.com");
    again(&system, &bridge).look_well().await;
    assert_eq!(bridge.told().await, ["user.changed user_2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_whose_it_is_is_no_other_owner() {
    let (system, bridge) = cli().await;
    bridge.look_well().await;
    let target = Target { path: "/api/user", ..Target::jobs() };
    system.fake.world().fault = Some((Fault::NotFound, target));
    system.fake.world().doc("github")["authenticated"] = json!(false);
    again(&system, &bridge).look().await;
    let told = bridge.told().await;
    assert!(told.contains(&"connection.changed github".to_owned()), "{told:?}");
}
