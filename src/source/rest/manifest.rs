//! A connector manifest as it is written: one page of TOML that says how a JSON API is read.
//!
//! Deliberately without expressions: a manifest names places in documents, and that is all. What it can't say is said in
//! Rust, by a [`super::hook::Hook`]. Structs are flat with a `kind`, so that every mistake has a key path.

mod collection;
mod values;

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use crate::domain::setting::{Many, Secret};

pub use collection::{
    BudgetManifest, CollectionManifest, Hot, Incremental, OnRule, PageKind, PageManifest, SpendManifest, States, Sweep,
    Unit, Window, WindowFormat,
};
pub use values::{EventName, Reference, References};

/// The JSON Schema of a manifest.
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Manifest>()
}

/// How a JSON API is read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it reads, in a line.
    #[serde(default)]
    pub about: String,
    /// Stands before every path. Plain http only to loopback.
    pub base: Secret,
    /// How calls prove who makes them.
    #[serde(default)]
    pub auth: Auth,
    /// Headers of every call, by name.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    #[serde(default)]
    pub limits: Limits,
    /// Values that another call tells, by name: a path and a JSON Pointer into its answer. Used as `$name` in paths,
    /// queries and bodies; another value is another owner, so it begins a new quiet baseline.
    #[serde(default)]
    pub bind: BTreeMap<String, (String, String)>,
    /// The value under `bind` that tells whose all of this is: another one is another owner, so it begins a new quiet
    /// baseline of every collection. Where it can't be had, nothing says that the owner is another.
    #[serde(default)]
    pub owner: Option<String>,
    /// What is read, by name.
    pub collections: BTreeMap<String, CollectionManifest>,
}

impl Manifest {
    /// Another address. What its own allows says nothing of that one; its answers do.
    pub fn move_to(&mut self, base: &Secret) {
        self.base = base.clone();
        self.limits = Limits { rpm: None, rph: None, rpd: None, ..self.limits.clone() };
    }
}

/// How calls prove who makes them. Which of the other keys are needed depends on `kind`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub kind: AuthKind,
    /// `bearer`: the token.
    pub token: Option<Secret>,
    /// `basic`: the user name.
    pub user: Option<Secret>,
    /// `basic`: the password; may be left out where the API wants none.
    pub password: Option<Secret>,
    /// `header`: the header's name.
    pub name: Option<String>,
    /// `header`: its value.
    pub value: Option<Secret>,
    /// `oauth2_cc`: where tokens come from.
    pub token_url: Option<Secret>,
    /// `oauth2_cc`: the client's id.
    pub client_id: Option<Secret>,
    /// `oauth2_cc`: the client's secret.
    pub client_secret: Option<Secret>,
    /// `oauth2_cc`: scopes to ask for; left out: none is named.
    pub scopes: Many<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    #[default]
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// `Authorization: Basic …`.
    Basic,
    /// A header of another name.
    Header,
    /// OAuth 2.0 client credentials.
    #[serde(rename = "oauth2_cc")]
    OAuth2Cc,
}

/// What the API allows. Intervals are stretched to stay inside.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls a minute.
    pub rpm: Option<u32>,
    /// Calls an hour.
    pub rph: Option<u32>,
    /// Calls a day.
    pub rpd: Option<u32>,
    /// Pages of one look; a list that is longer is never complete.
    pub page_max: u32,
    /// Largest answer that is read, bytes.
    pub bytes_max: u64,
}

/// Pages of one look where a manifest names no number.
const PAGES: u32 = 2_000;
/// Largest answer where a manifest names no number: as for every other source.
const BYTES: u64 = 16 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self { rpm: None, rph: None, rpd: None, page_max: PAGES, bytes_max: BYTES }
    }
}
