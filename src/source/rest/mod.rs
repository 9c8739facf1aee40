//! The engine behind every source that is a JSON API: a manifest says where things are, this reads them.
//!
//! Used by `http_json` for a user's own manifest and by the built-in sources for theirs, with the same guarantees. What
//! a manifest can't say is in a [`hook::Hook`] of the built-in source.

mod address;
mod build;
pub mod builtin;
mod client;
mod connector;
mod days;
mod faults;
pub mod hook;
pub mod infer;
mod look;
pub mod manifest;
pub mod money;
mod paging;
pub mod place;
mod plan;
mod pointer;
mod reach;
mod reading;
pub mod shipped;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::Method;
use jiff::SignedDuration;
use reqwest::Url;
use serde_json::Value;
use tokio::sync::watch;

use super::prices::PriceBook;
use super::quota::Quota;
use super::seen::Seen;
use super::{Allowance, Collection, LookEnd, LookRequest, Pages, Remembered, Source};
use crate::domain::collection::{CollectionSpec, Role};
use crate::domain::record::{Failure, FailureKind, Page, Record};
use crate::domain::time::{Timestamp, elapsed};

use address::{below_with, plain_call};
pub use build::Additions;
pub use client::{Answer, Call, Client, Refusal};
pub use connector::Connector;
use hook::Hook;
use look::{Look, headers};
use place::RowView;
use plan::Plan;
pub use pointer::Pointer;
use template::{Template, Vars};

/// Bound values are asked for again after this long.
const BOUND_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Records asked for one by one in a look, at most.
const CONFIRMED: usize = 1_000;

/// A source that is a JSON API.
pub struct Rest {
    name: String,
    kind: &'static str,
    base: Url,
    collections: Vec<Collection>,
    plans: BTreeMap<String, Plan>,
    binds: BTreeMap<String, connector::Bind>,
    /// The bound value that tells whose everything is.
    owner: Option<String>,
    bound: Mutex<BTreeMap<String, (Value, Timestamp)>>,
    client: Client,
    prices: Arc<dyn PriceBook>,
    hook: Option<Arc<dyn Hook>>,
    page_max: u32,
    /// As the manifest says.
    declared: Option<Quota>,
    stretched: Option<f64>,
}

impl Rest {
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A call outside of any collection, below the base.
    pub async fn get(&self, path: &str) -> Result<Answer, Refusal> {
        let url = below_with(&self.base, &Template::new(path), &Vars::default());
        self.client.call(&plain_call(Method::GET, path, url, None)).await
    }

    /// A read-only POST outside of any collection.
    pub async fn post(&self, path: &str, body: Value) -> Result<Answer, Refusal> {
        let url = below_with(&self.base, &Template::new(path), &Vars::default());
        self.client.call(&plain_call(Method::POST, path, url, Some(body))).await
    }

    fn accepts(&self, collection: &str) -> &'static [u16] {
        self.hook.as_ref().map_or(&[], |hook| hook.accepts(collection))
    }

    fn hook_page(&self, collection: &str, answer: &Answer) -> Option<Page> {
        self.hook.as_ref()?.page(collection, answer.status, &answer.document)
    }

    fn hook_record(&self, collection: &str, view: RowView<'_>, record: Record) -> Option<Record> {
        match &self.hook {
            Some(hook) => hook.record(collection, view, record),
            None => Some(record),
        }
    }

    /// Whether one collection alone says what the source has cost: only then what it does not show was not spent.
    fn has_one_purse(&self) -> bool {
        self.plans.values().filter(|plan| plan.role == Role::Spend).count() == 1
    }

    async fn review(&self, collection: &str, sums: &money::Sums) -> Vec<(String, Result<(), String>)> {
        match &self.hook {
            Some(hook) => hook.review(self, collection, sums).await,
            None => Vec::new(),
        }
    }

    /// The values a collection's calls need from other calls.
    async fn vars(&self, plan: &Plan) -> Result<Vars, Failure> {
        let mut vars = Vars::default();
        for name in &plan.binds {
            vars.set(name, self.bound_value(name, plan).await?);
        }
        Ok(vars)
    }

    async fn bound_value(&self, name: &str, plan: &Plan) -> Result<Value, Failure> {
        let now = self.client.now();
        let known = self.bound.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((value, _)) = known.filter(|(_, at)| elapsed(*at, now) < BOUND_FOR) {
            return Ok(value);
        }
        let Some(bind) = self.binds.get(name) else {
            return Err(Failure::broken(format!("nothing gives a value for ${name}")));
        };
        let path = bind.path.as_str();
        let answer = match self.get(path).await {
            Ok(answer) => answer,
            Err(Refusal::NotFound(failure)) if plan.optional => {
                let kind = FailureKind::Unsupported { what: plan.name.clone() };
                return Err(Failure { kind, ..failure });
            }
            Err(refusal) => return Err(refusal.into_failure()),
        };
        let value = bind.pointer.get(&answer.document).filter(|value| place::text_of(value).is_some()).cloned();
        let Some(value) = value else {
            let message =
                format!("GET {path} was answered without a value at {}; {} needs it", bind.pointer, plan.name);
            let kind =
                if plan.optional { FailureKind::Unsupported { what: plan.name.clone() } } else { FailureKind::Broken };
            return Err(Failure { kind, message });
        };
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        bound.insert(name.to_owned(), (value.clone(), now));
        Ok(value)
    }

    /// A collection whose calls need no other call's value, with whose it is as far as that can be told: what can't be told
    /// leaves the collection alone.
    async fn owned(&self, collection: &Collection, plan: &Plan) -> Arc<CollectionSpec> {
        let spec = Arc::clone(&collection.spec);
        let Some(name) = &self.owner else { return spec };
        match self.bound_value(name, plan).await.ok().as_ref().and_then(place::text_of) {
            Some(owner) => {
                let owner = Some(crate::domain::ids::derive("owner", &[&owner]));
                Arc::new(CollectionSpec { owner, ..spec.as_ref().clone() })
            }
            None => spec,
        }
    }

    /// Asks for one record by its own address: whether it is there, as far as that can be told.
    async fn is_there(
        &self,
        plan: &Plan,
        template: &Template,
        vars: &Vars,
        key: &str,
    ) -> Result<Option<bool>, Failure> {
        if matches!(key, "." | "..") {
            return Ok(None);
        }
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let parts = template.as_str().split('/').filter(|part| !part.is_empty());
            let rendered = parts.map(|part| match part {
                "{key}" => key.to_owned(),
                part => Template::new(part).render(vars),
            });
            segments.pop_if_empty().extend(rendered);
        }
        let call = Call { headers: headers(&plan.request), ..plain_call(Method::GET, template.as_str(), url, None) };
        match self.client.call(&call).await {
            Ok(_) => Ok(Some(true)),
            Err(Refusal::NotFound(_)) => Ok(Some(false)),
            Err(Refusal::Failed(failure)) => Err(failure),
        }
    }
}

#[async_trait]
impl Source for Rest {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn collections(&self) -> &[Collection] {
        &self.collections
    }

    async fn look(&self, request: &LookRequest, pages: &Pages) -> LookEnd {
        if let Some(hook) = &self.hook
            && let Some(end) = hook.look(self, request, pages).await
        {
            return end;
        }
        let Some(plan) = self.plans.get(&request.collection) else {
            return LookEnd::failed(Failure::broken(format!("this source has no collection {:?}", request.collection)));
        };
        let vars = match self.vars(plan).await {
            Ok(vars) => vars,
            Err(failure) => return LookEnd::failed(failure),
        };
        let look = Look {
            rest: self,
            plan,
            request,
            pages,
            vars,
            seen: Seen::default(),
            calls: 0,
            canary: None,
            newest: None,
            sums: money::Sums::default(),
            asked_from: None,
            whole_from: None,
        };
        look.run().await
    }

    async fn identify(&self, collection: &Collection) -> Result<Arc<CollectionSpec>, Failure> {
        let Some(plan) = self.plans.get(&collection.spec.name) else { return Ok(Arc::clone(&collection.spec)) };
        if plan.binds.is_empty() {
            return Ok(self.owned(collection, plan).await);
        }
        let vars = self.vars(plan).await?;
        let values: Vec<String> = plan.binds.iter().filter_map(|name| vars.text(name)).collect();
        let parts: Vec<&str> =
            std::iter::once(collection.spec.fingerprint.as_str()).chain(values.iter().map(String::as_str)).collect();
        let fingerprint = crate::domain::ids::derive("rest", &parts);
        Ok(Arc::new(CollectionSpec { fingerprint, ..collection.spec.as_ref().clone() }))
    }

    async fn confirm(
        &self,
        collection: &str,
        keys: &[String],
        canary: Option<&str>,
    ) -> Result<BTreeSet<String>, Failure> {
        let Some(plan) = self.plans.get(collection) else { return Ok(BTreeSet::new()) };
        let (Some(template), Some(canary)) = (&plan.confirm, canary) else { return Ok(BTreeSet::new()) };
        let vars = self.vars(plan).await?;
        let mut gone = BTreeSet::new();
        for key in keys.iter().take(CONFIRMED) {
            if self.is_there(plan, template, &vars, key).await? == Some(false) {
                gone.insert(key.clone());
            }
        }
        // Asked last: where the address of what is surely there says 404 too, none of these answers meant anything.
        if gone.is_empty() || self.is_there(plan, template, &vars, canary).await? == Some(true) {
            return Ok(gone);
        }
        Err(Failure::broken(format!(
            "{}: the address of {canary:?}, which the list shows, answers that it does not exist either",
            template.as_str()
        )))
    }

    fn allowance(&self) -> Allowance {
        let allowance = Allowance::of(self.declared, self.client.quota(), &self.collections);
        Allowance { stretched: self.stretched, ..allowance }
    }

    fn asked_to_wait(&self) -> Option<watch::Receiver<Option<Timestamp>>> {
        Some(self.client.asked_to_wait())
    }

    fn remember(&self, remembered: Remembered) {
        self.client.remember(remembered);
    }

    async fn connect(&self) -> Result<String, Failure> {
        let mut can = Vec::new();
        let mut missing = Vec::new();
        for collection in &self.collections {
            match self.reach(collection).await {
                Ok(()) => can.push(collection.spec.name.as_str()),
                Err(failure) => match failure.kind {
                    FailureKind::Forbidden { .. } | FailureKind::Unsupported { .. } => {
                        missing.push(collection.spec.name.as_str());
                    }
                    _ => return Err(failure),
                },
            }
        }
        if can.is_empty() {
            return Err(Failure::broken(format!("the credentials are good for none of {}", missing.join(", "))));
        }
        let line = format!("signed in; can read {}", can.join(", "));
        Ok(if missing.is_empty() { line } else { format!("{line}; not {}", missing.join(", ")) })
    }
}
