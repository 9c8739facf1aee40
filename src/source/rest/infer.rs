//! Proposes a manifest for answers that were seen: where the rows are, what tells them apart, what changes without
//! meaning anything, how the list goes on. Pure; a person reads what comes of it.

mod keys;
mod paging;
mod places;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use reqwest::Url;
use serde_json::Value;

pub use paging::Way;

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub document: Value,
    /// It names a next page in a `Link` header.
    pub linked: bool,
}

/// How credentials are proved, as it stands in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proof {
    #[default]
    None,
    /// `Authorization: Bearer`, the token in this environment variable.
    Bearer(String),
    /// A header, its value in this environment variable.
    Header(String, String),
}

/// What was found out.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The manifest, to be read, changed and used.
    pub manifest: String,
    /// What a person should look at before using it.
    pub remarks: Vec<String>,
}

/// Proposes a manifest for an address and one or two of its answers, the second some time after the first.
///
/// # Errors
/// Why nothing can be proposed.
pub fn infer(url: &Url, proof: &Proof, first: &Sample, second: Option<&Sample>) -> Result<Proposal, String> {
    let mut remarks = Vec::new();
    let rows = places::rows(&first.document)
        .ok_or("the answer holds neither a list of objects nor an object; a manifest can't say how to read it")?;
    let shown = rows.of(&first.document);
    let again = second.map(|sample| rows.of(&sample.document)).unwrap_or_default();
    let key = if rows.single { Vec::new() } else { keys::key(&rows, &shown, &again) };
    if key.is_empty() && !rows.single {
        remarks.push("no field tells the rows apart; name what does under `key`".to_owned());
    }
    let restless = keys::restless(&rows, &key, &shown, &again);
    let name = name_of(url);
    let way = paging::way(&first.document, first.linked, &rows.pointer, shown.len(), url);
    if !rows.single && way.is_none() {
        remarks.push(
            "nothing in the answer says where the list ends, so nothing that is missing will count as deleted; if one \
             answer is always the whole list, take out whole = false"
                .to_owned(),
        );
    }
    if second.is_none() {
        remarks.push("one answer can't show what changes by itself; give two, some time apart".to_owned());
    }
    let mut text = String::new();
    head(&mut text, url, proof);
    let _ = writeln!(text, "\n[collections.{name}]");
    let (path, query) = address(url, way.as_ref());
    let _ = writeln!(text, "get = {path:?}");
    if !query.is_empty() {
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{} = {value:?}", bare(name))).collect();
        let _ = writeln!(text, "query = {{ {} }}", pairs.join(", "));
    }
    if let Some(way) = &way {
        let _ = writeln!(text, "page = {way}");
    } else if !rows.single {
        text.push_str("page = { kind = \"none\", whole = false }\n");
    }
    if rows.single {
        if !rows.pointer.is_empty() {
            let _ = writeln!(text, "records = {:?}", rows.pointer);
        }
        let _ = writeln!(text, "single = true");
    } else {
        let _ = writeln!(text, "records = {:?}", rows.pointer);
        let _ = writeln!(text, "key = {}", list(&key));
    }
    let fields = keys::fields(&shown);
    for (setting, names) in [("name", NAMES), ("created", CREATED), ("updated", UPDATED)] {
        if let Some(found) = names.iter().find(|name| fields.contains(**name)) {
            let _ = writeln!(text, "{setting} = \"/{found}\"");
        }
    }
    if !restless.is_empty() {
        let _ = writeln!(text, "ignore = {}", list(&restless.iter().cloned().collect::<Vec<_>>()));
        remarks.push(format!(
            "these are ignored, because they changed by themselves or look as if they did: {}",
            restless.iter().cloned().collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(Proposal { manifest: text, remarks })
}

const NAMES: &[&str] = &["name", "title", "display_name", "full_name", "label", "subject"];
const CREATED: &[&str] = &["created_at", "createdAt", "created", "inserted_at"];
const UPDATED: &[&str] = &["updated_at", "updatedAt", "modified_at", "last_modified"];

fn head(text: &mut String, url: &Url, proof: &Proof) {
    let base = url.origin().ascii_serialization();
    let _ = writeln!(text, "base = {base:?}");
    match proof {
        Proof::None => {}
        Proof::Bearer(variable) => {
            let _ = writeln!(text, "auth = {{ kind = \"bearer\", token = {{ env = {variable:?} }} }}");
        }
        Proof::Header(name, variable) => {
            let _ = writeln!(text, "auth = {{ kind = \"header\", name = {name:?}, value = {{ env = {variable:?} }} }}");
        }
    }
}

/// The last word of the path that is one: `/v1/missions` is `missions`.
fn name_of(url: &Url) -> String {
    let words = url.path_segments().into_iter().flatten().rev();
    let clean = |word: &str| -> String {
        let good = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        word.chars().map(good).take(40).collect::<String>().trim_matches('_').to_owned()
    };
    let mut names = words.map(clean).filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase()));
    names.next().unwrap_or_else(|| "row".to_owned())
}

/// The path, and the parameters that do not belong to the paging.
fn address(url: &Url, way: Option<&Way>) -> (String, Vec<(String, String)>) {
    let own: BTreeSet<String> = way.map(Way::parameters).unwrap_or_default();
    let kept = url.query_pairs().into_owned().filter(|(name, _)| !own.contains(name));
    (url.path().to_owned(), kept.collect())
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", "))
}

/// A TOML key: bare where that is allowed.
fn bare(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { format!("{name:?}") }
}

#[cfg(test)]
#[path = "infer_tests.rs"]
mod tests;
