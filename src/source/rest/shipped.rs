//! Manifests that come with the binary: every file of `config/sources`.

include!(concat!(env!("OUT_DIR"), "/manifests.rs"));

/// The text of a shipped manifest.
pub fn shipped(name: &str) -> Option<&'static str> {
    MANIFESTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Their names, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    MANIFESTS.iter().map(|(name, _)| *name)
}
