//! From a checked manifest to a source.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;

use super::Rest;
use super::client::Client;
use super::connector::Connector;
use super::hook::Hook;
use super::manifest::PageKind;
use super::plan::Plan;
use crate::domain::collection::{CollectionSpec, Role};
use crate::env::SeededDice;
use crate::http::{ClientOptions, HttpClient};
use crate::source::calls::{BODY, Caller, Told};
use crate::source::origin::{authority, host_id, is_exposed};
use crate::source::quota::Quota;
use crate::source::{Collection, Common, Context, Schedule};

/// Manifests write their intervals for this `every`; another one changes them all alike.
const USUAL_EVERY: Duration = Duration::from_mins(1);

/// What a source adds to its manifest.
#[derive(Default)]
pub struct Additions {
    pub hook: Option<Arc<dyn Hook>>,
    /// Whatever else tells whose data it is: part of the epoch.
    pub owner: Vec<String>,
    /// Has the last word on a collection's description.
    pub adjust: Option<fn(&mut CollectionSpec)>,
}

impl Rest {
    /// Builds the source; nothing is called yet.
    pub fn build(
        kind: &'static str,
        name: &str,
        connector: Connector,
        common: &Common,
        context: &Context,
        additions: Additions,
    ) -> Result<Self, String> {
        let urls = std::iter::once(&connector.base).chain(&connector.token_url);
        if urls.into_iter().any(|url| is_exposed(url, common.proxy.as_ref())) {
            return Err("a proxy would carry credentials in the clear; use https".to_owned());
        }
        let http = HttpClient::new(ClientOptions {
            proxy: common.proxy.clone(),
            ca_file: common.ca_file.as_ref().map(|path| context.folder.join(path)),
            guard: None,
        })
        .map_err(|error| error.to_string())?;
        let dice = Arc::new(SeededDice::from_system());
        let body = usize::try_from(connector.limits.bytes_max).unwrap_or(BODY);
        let max_rps = connector.quota().map_or(common.max_rps, |quota| quota.per_second().min(common.max_rps));
        let told = Told::default();
        let caller = |url: &Url| {
            let limiter = context.limiters.host(&authority(url), max_rps);
            Caller::new(http.clone(), limiter, common.timeout, Arc::clone(&context.clock), dice.clone())
                .with_pause(context.pause)
                .with_body(body)
                .telling(&told)
        };
        let credentials = connector.credentials(caller)?;
        let collections = |every: Duration| -> Vec<Collection> {
            let one = |plan: &Plan| {
                let mut spec = spec(name, plan, &connector.base, &additions.owner);
                if let Some(adjust) = additions.adjust {
                    adjust(&mut spec);
                }
                collection(plan, spec, every)
            };
            let mut all: Vec<Collection> = connector.plans.iter().map(one).collect();
            // Money first, then what it is held against, so that both are of the same round.
            all.sort_by_key(|collection| collection.spec.budget.is_some());
            all
        };
        let declared = connector.quota();
        let specs = collections(common.every);
        let stretched = stretch(&specs, declared)?;
        let specs = stretched.map_or(specs, |times| collections(common.every.mul_f64(times)));
        Ok(Self {
            name: name.to_owned(),
            kind,
            client: Client::new(caller(&connector.base), credentials, connector.headers),
            base: connector.base,
            collections: specs,
            plans: connector.plans.into_iter().map(|plan| (plan.name.clone(), plan)).collect(),
            binds: connector.binds,
            owner: connector.owner,
            bound: Mutex::default(),
            prices: Arc::clone(&context.prices),
            hook: additions.hook,
            page_max: connector.limits.page_max,
            declared,
            stretched,
        })
    }
}

/// How many times longer the intervals have to be for their calls to fit into what is allowed, with a tenth to spare for
/// lists that are longer than a page.
fn stretch(collections: &[Collection], quota: Option<Quota>) -> Result<Option<f64>, String> {
    let Some(quota) = quota else { return Ok(None) };
    let (wanted, allowed) = (collections.iter().filter_map(|c| c.calls_per_day).sum::<u64>(), quota.per_day());
    if allowed < collections.len() as u64 {
        let looks = collections.len();
        return Err(format!(
            "{quota} are not enough for one look a day at each of {looks} collections; leave some out"
        ));
    }
    Ok(quota.stretch(wanted))
}

fn spec(source: &str, plan: &Plan, base: &Url, owner: &[String]) -> CollectionSpec {
    let owner: Vec<(String, String)> = owner.iter().map(|value| (String::new(), value.clone())).collect();
    CollectionSpec {
        source: source.to_owned(),
        name: plan.name.clone(),
        role: plan.role,
        fingerprint: plan.fingerprint(base.as_str(), &owner),
        host: Some(host_id(&[base])),
        events: plan.events.clone(),
        deletes: plan.deletes,
        gauge: plan.gauge.clone(),
        noun: plan.noun.clone(),
        optional: plan.optional,
        budget: plan.budget.clone(),
        quoted: plan.quoted.clone(),
        ..CollectionSpec::default()
    }
}

fn collection(plan: &Plan, spec: CollectionSpec, every: Duration) -> Collection {
    let scaled = |interval: Duration| interval.mul_f64(every.as_secs_f64() / USUAL_EVERY.as_secs_f64());
    let full = plan.full_every.map_or(every, scaled);
    let head = plan.head.as_ref().map(|_| plan.every.map_or(every, scaled));
    let hot = plan.hot_every.map(scaled);
    let looks = |interval: Duration| u64::try_from(86_400_000 / interval.as_millis().max(1)).unwrap_or(u64::MAX);
    let (windows, days) = plan.window.as_ref().map_or((1, 0), |w| (u64::from(w.days.div_ceil(w.step.max(1))), w.days));
    let calls = head.map_or(0, looks) + hot.map_or(0, looks) + looks(full) * windows;
    let note = match (spec.role, days) {
        (Role::Spend, 1..) => format!("{days} days a look, more once a day"),
        _ if plan.page.kind != PageKind::None && plan.page.size.is_some() => {
            let rows = plan.page.size.as_ref().map_or(0, |(_, rows)| *rows);
            format!("at least; one more for each {rows} rows beyond the first")
        }
        _ => "one a look".to_owned(),
    };
    Collection {
        spec: Arc::new(spec),
        schedule: Schedule { head, hot, full },
        calls_per_day: Some(calls),
        calls_note: note,
    }
}
