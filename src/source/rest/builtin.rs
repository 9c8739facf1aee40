//! What the built-in sources share: their embedded manifest, with the user's key and address put in.

use super::connector::Connector;
use super::manifest::{AuthKind, Manifest};
use super::shipped;
use crate::domain::setting::Secret;

/// Problems of a source's settings: key path inside the source, and what to do.
pub type Faults = Vec<(String, String)>;

/// Reads the embedded manifest of a kind.
///
/// # Errors
/// What is wrong with the embedded file; a test sees to it that nothing is.
pub fn manifest(kind: &str) -> Result<Manifest, String> {
    let text = shipped::shipped(kind).ok_or_else(|| format!("no manifest {kind:?} comes with this binary"))?;
    toml::from_str(text).map_err(|error| format!("the embedded manifest {kind:?}: {error}"))
}

/// The connector of a built-in kind, with `edit` for whatever else the settings change. Mistakes are named by the keys
/// that the user knows.
///
/// # Errors
/// All of them at once.
pub fn connector(
    kind: &str,
    api_key: &Secret,
    base_url: Option<&Secret>,
    edit: impl FnOnce(&mut Manifest),
) -> Result<Connector, Faults> {
    let mut manifest = manifest(kind).map_err(|what| vec![("kind".to_owned(), what)])?;
    manifest.auth.kind = AuthKind::Bearer;
    manifest.auth.token = Some(api_key.clone());
    if let Some(base) = base_url {
        manifest.move_to(base);
    }
    edit(&mut manifest);
    let known = |(path, message): (String, String)| match path.as_str() {
        "auth.token" => ("api_key".to_owned(), message),
        "base" => ("base_url".to_owned(), message),
        _ => (path, message),
    };
    Connector::compile(&manifest).map_err(|found| found.into_iter().map(known).collect())
}

/// Mistakes as one line, for the one case in which nobody has asked for them before.
pub fn joined(faults: Faults) -> String {
    faults.into_iter().map(|(key, message)| format!("{key}: {message}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_manifest_compiles() {
        for name in shipped::names() {
            let mut manifest = manifest(name).unwrap_or_else(|e| panic!("{e}"));
            let key = Some(Secret::new("k"));
            match manifest.auth.kind {
                AuthKind::Basic => manifest.auth.user = key,
                AuthKind::Header => manifest.auth.value = key,
                _ => manifest.auth.token = key,
            }
            assert!(Connector::compile(&manifest).is_ok(), "{name}: {:#?}", Connector::compile(&manifest).err());
        }
    }

    #[test]
    fn mistakes_have_the_names_that_the_user_knows() {
        let found = connector("amply", &Secret::new(""), Some(&Secret::new("ftp://x")), |_| {}).unwrap_err();
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["base_url", "api_key"]);
    }
}
