//! Source kind `http_json`: any JSON API, by a manifest of the user's own or one that comes with the binary.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rest::manifest::{AuthKind, Manifest};
use super::rest::{Additions, Connector, Rest};
use super::{Common, Context, Source, SourceConfig};
use crate::domain::setting::Secret;

/// Any JSON API, described by a manifest.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The manifest: a file (a relative path counts from the config file), or the name of one that comes with the
    /// binary (`anthropic`, `cursor`). The loader has put its contents here before this is read.
    #[schemars(with = "String")]
    pub manifest: Manifest,
    /// Instead of the manifest's `base`.
    #[serde(default)]
    pub base_url: Option<Secret>,
    /// Instead of the manifest's own token, header value or user name.
    #[serde(default)]
    pub api_key: Option<Secret>,
}

impl Config {
    fn connector(&self) -> Result<Connector, Vec<(String, String)>> {
        let mut manifest = self.manifest.clone();
        let mut faults = Vec::new();
        let mut replaced = None;
        if let Some(base) = &self.base_url {
            manifest.move_to(base);
        }
        if let Some(key) = &self.api_key {
            let slot = match manifest.auth.kind {
                AuthKind::Bearer => Some((&mut manifest.auth.token, "auth.token")),
                AuthKind::Basic => Some((&mut manifest.auth.user, "auth.user")),
                AuthKind::Header => Some((&mut manifest.auth.value, "auth.value")),
                AuthKind::OAuth2Cc => Some((&mut manifest.auth.client_secret, "auth.client_secret")),
                AuthKind::None => None,
            };
            match slot {
                Some((slot, place)) => {
                    *slot = Some(key.clone());
                    replaced = Some(place);
                }
                None => faults.push(("api_key".to_owned(), "the manifest's auth takes none".to_owned())),
            }
        }
        let in_manifest = |(key, message): (String, String)| {
            let path = if key == "base" && self.base_url.is_some() {
                "base_url".to_owned()
            } else if replaced == Some(key.as_str()) {
                "api_key".to_owned()
            } else {
                format!("manifest.{key}")
            };
            (path, message)
        };
        match Connector::compile(&manifest) {
            Ok(connector) if faults.is_empty() => Ok(connector),
            Ok(_) => Err(faults),
            Err(found) => Err(faults.into_iter().chain(found.into_iter().map(in_manifest)).collect()),
        }
    }
}

impl SourceConfig for Config {
    fn problems(&self) -> Vec<(String, String)> {
        self.connector().err().unwrap_or_default()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Source>, String> {
        let connector = self.connector().map_err(|found| {
            found.into_iter().map(|(key, message)| format!("{key}: {message}")).collect::<Vec<_>>().join("; ")
        })?;
        Ok(Arc::new(Rest::build("http_json", name, connector, common, context, Additions::default())?))
    }
}
