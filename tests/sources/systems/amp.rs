//! 000: the demo's workspace, which speaks the External API, behind a server that can twist its answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampbridge::demo::{CLIENT_ID, CLIENT_SECRET, FakeWorkspace, NewThread, Role, SeedOptions, ThreadEdit, serve};
use ampbridge::env::Clock as _;
use ampbridge::http::{ClientOptions, HttpClient};

use super::{Cell, QUICK, RULES, System};
use crate::bench::Watch;
use crate::fake::Fake;
use crate::fault::{Fault, Paging, Target};

pub async fn start(watch: Watch) -> System {
    let clock = watch.clone();
    let workspace = Arc::new(FakeWorkspace::seeded(&SeedOptions::default(), Arc::new(move || clock.now())));
    for (name, role) in [("Ana", Role::Admin), ("Bo", Role::Member), ("Cy", Role::Member)] {
        workspace.add_member(name, &format!("{}@example.com", name.to_lowercase()), role);
    }
    for n in 0..4 {
        thread(&workspace, &format!("Thread {n}"));
    }
    workspace.set_usage(workspace.today(), "ana@example.com", "10.00", BTreeMap::new()).unwrap();
    let server = serve(Arc::clone(&workspace), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let fake = Fake::start(watch, ("", ""), &[]).await;
    fake.world().forward = Some((server.base_url(), HttpClient::new(ClientOptions::default()).unwrap()));
    let config = format!(
        "[sources.acme]\nkind = \"amp\"\nbase_url = \"{url}\"\ntoken_url = \"{url}/oauth2/token\"\n\
         client_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\n{QUICK}{RULES}",
        url = fake.url()
    );
    System { fake, config, workspace: Some((workspace, server)) }
}

fn thread(workspace: &FakeWorkspace, title: &str) -> String {
    let new = NewThread { title: Some(title.to_owned()), creator: "ana@example.com".to_owned(), ..Default::default() };
    workspace.add_thread(new).unwrap()
}

/// What there is to tell: of threads, their messages and what they cost, and of members.
pub fn everything_happens(system: &System) {
    let workspace = workspace(system);
    thread(workspace, "Port the parser");
    let ids = workspace.thread_ids();
    let worked_on = ThreadEdit {
        updated_at: Some(workspace.now() + ampbridge::domain::time::SignedDuration::from_secs(60)),
        ..ThreadEdit::default()
    };
    workspace.edit_thread(&ids[0], ThreadEdit { title: Some("Renamed".into()), ..ThreadEdit::default() }).unwrap();
    workspace.edit_thread(&ids[1], ThreadEdit { messages: Some(103), ..worked_on.clone() }).unwrap();
    workspace.set_thread_usage(&ids[2], Some("7.00")).unwrap();
    workspace.edit_thread(&ids[2], worked_on).unwrap();
    workspace.remove_thread(&ids[3]).unwrap();
    workspace.set_role("bo@example.com", Role::Admin).unwrap();
    workspace.remove_member("cy@example.com").unwrap();
    workspace.add_member("Dee", "dee@example.com", Role::Member);
}

fn workspace(system: &System) -> &FakeWorkspace {
    &system.workspace.as_ref().unwrap().0
}

pub const CELLS: &[Cell] = &[
    Cell {
        collection: "threads",
        target: || Target {
            path: "/api/v2/threads",
            marker: "",
            paging: Paging::NextCursor,
            rows: "/threads",
            inner: "",
            counted: false,
            field: "/title",
            single: false,
        },
        change: |system| {
            let workspace = workspace(system);
            let id = workspace.thread_ids().into_iter().min().unwrap();
            workspace.edit_thread(&id, ThreadEdit { title: Some("Renamed".into()), ..ThreadEdit::default() }).unwrap();
        },
        told: &["thread.updated"],
        true_for: &[Fault::FieldNull],
    },
    Cell {
        collection: "members",
        target: || Target {
            path: "/api/v2/workspace/members",
            marker: "",
            paging: Paging::None,
            rows: "/members",
            inner: "",
            counted: false,
            field: "/role",
            single: false,
        },
        change: |system| workspace(system).set_role("bo@example.com", Role::Admin).unwrap(),
        told: &["member.role_changed bo@example.com"],
        true_for: &[],
    },
    Cell {
        collection: "daily_usage",
        target: || Target {
            path: "/api/v2/workspace/analytics/daily-usage",
            marker: "",
            paging: Paging::None,
            rows: "/data",
            inner: "/users",
            counted: false,
            field: "/metrics/usage",
            single: false,
        },
        change: |system| {
            let workspace = workspace(system);
            workspace.set_usage(workspace.today(), "ana@example.com", "60.00", BTreeMap::new()).unwrap();
        },
        told: &["budget.threshold_reached workspace"],
        true_for: &[],
    },
];
