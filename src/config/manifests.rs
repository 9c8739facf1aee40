//! Puts connector manifests in the place of the names that sources give for them.

use std::path::Path;

use ::config::{Map, Value, ValueKind};

use super::layers::{self, read_capped};
use super::problem::Problems;
use crate::domain::hint::hint;
use crate::source::KINDS;
use crate::source::rest::shipped;

/// The kind whose `manifest` names a file.
const KIND: &str = "http_json";
/// Largest manifest.
const MAX_BYTES: u64 = 1024 * 1024;

/// Replaces `manifest = "FILE"` of every source of kind `http_json` by what the file holds; a name without a file is
/// that of a manifest that comes with the binary. What can't be read is a problem, and the source is left out.
pub fn fill(tree: &mut Value, folder: &Path, problems: &mut Problems) {
    let Some(sources) = table_of(tree).and_then(|top| top.get_mut("sources")) else { return };
    for (name, source) in table_of(sources).into_iter().flat_map(layers::sorted) {
        let Some(entry) = table_of(source) else { continue };
        let is_ours = matches!(entry.get("kind").map(|k| &k.kind), Some(ValueKind::String(kind)) if kind == KIND);
        let Some(slot) = entry.get_mut("manifest").filter(|_| is_ours) else { continue };
        let path = format!("sources.{name}.manifest");
        let ValueKind::String(file) = &slot.kind else {
            let what = "must be a text, in quotes: the name of a file, or of a manifest that comes with the binary";
            problems.stand_in(path, slot.origin(), what);
            *slot = Value::new(slot.origin().map(str::to_owned).as_ref(), ValueKind::String(String::new()));
            continue;
        };
        match text(file, folder) {
            Ok(text) => {
                let mut found = Problems::default();
                let mut manifest = Value::new(None, ValueKind::Table(layers::parse(&text, &mut found)));
                for mut problem in found.found.drain(..) {
                    problem.path =
                        if problem.path.is_empty() { path.clone() } else { format!("{path}.{}", problem.path) };
                    problem.origin = problem.origin.map(|place| format!("{file} {place}"));
                    problems.found.push(problem);
                }
                if found.torn {
                    problems.stand_in_for(path);
                    continue;
                }
                locate(&mut manifest, file);
                *slot = manifest;
            }
            Err(why) => problems.stand_in(path, slot.origin(), why),
        }
    }
}

/// Names of manifests that a config can name: those that need nothing but themselves.
pub fn known() -> Vec<&'static str> {
    shipped::names().filter(|name| KINDS.iter().all(|kind| kind.name != *name)).collect()
}

fn text(file: &str, folder: &Path) -> Result<String, String> {
    let known = known();
    let path = folder.join(file);
    if let Some(text) = shipped::shipped(file).filter(|_| known.contains(&file) && !path.is_file()) {
        return Ok(text.to_owned());
    }
    read_capped(&path, MAX_BYTES).map_err(|why| {
        let hint = hint(file, known.iter().copied());
        format!(
            "the manifest {} can't be read: {why}; those that come with the binary are {}{hint}",
            path.display(),
            known.join(", ")
        )
    })
}

/// Says of every value which file it is from.
fn locate(value: &mut Value, file: &str) {
    let origin = format!("{file} {}", value.origin().unwrap_or_default()).trim_end().to_owned();
    let mut kind = std::mem::replace(&mut value.kind, ValueKind::Nil);
    match &mut kind {
        ValueKind::Table(table) => table.values_mut().for_each(|v| locate(v, file)),
        ValueKind::Array(items) => items.iter_mut().for_each(|v| locate(v, file)),
        _ => {}
    }
    *value = Value::new(Some(&origin), kind);
}

fn table_of(value: &mut Value) -> Option<&mut Map<String, Value>> {
    match &mut value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_text;

    const MANIFEST: &str = r#"
base = "http://127.0.0.1:9"
auth = { kind = "bearer", token = { env = "NOPE" } }
[collections.job]
get = "/jobs"
records = "/data"
kee = ["/id"]
watch = ["/status"]
every = "1x"
"#;

    #[test]
    fn a_manifests_mistakes_are_told_with_their_place_in_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("jobs.toml"), MANIFEST).unwrap();
        let text = "[sources.jobs]\nkind = \"http_json\"\nmanifest = \"jobs.toml\"\n";
        let problems = load_text(text, folder.path()).unwrap_err();
        let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for part in [
            "sources.jobs.manifest.collections.job.kee (jobs.toml line 7): unknown key; did you mean \"key\"?",
            "sources.jobs.manifest.auth.token (jobs.toml line 3): the environment variable NOPE is not set",
            "sources.jobs.manifest.collections.job.every (jobs.toml line 9)",
        ] {
            assert!(all.contains(part), "{part} not in\n{all}");
        }
        let right = MANIFEST.replace("kee", "key").replace("1x", "1m").replace("{ env = \"NOPE\" }", "\"t\"");
        std::fs::write(folder.path().join("jobs.toml"), right).unwrap();
        let settings = load_text(text, folder.path()).unwrap();
        assert_eq!(settings.sources["jobs"].kind, "http_json");
    }

    /// What tells one epoch from another, as one reading of a manifest has it.
    fn read_once(folder: &std::path::Path) -> String {
        use crate::env::SystemClock;
        use crate::source::Context;

        let text = "[sources.jobs]\nkind = \"http_json\"\nmanifest = \"jobs.toml\"\n";
        let settings = load_text(text, folder).unwrap();
        let entry = &settings.sources["jobs"];
        let context = Context::new(std::sync::Arc::new(SystemClock), folder.to_owned());
        let source = entry.config.build("jobs", &entry.common, &context).unwrap();
        source.collections()[0].spec.fingerprint.clone()
    }

    #[test]
    fn a_manifest_is_the_same_however_its_tables_happened_to_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |body: &str, query: &str| {
            let text = format!(
                "base = \"http://127.0.0.1:9\"\n[collections.job]\npost = \"/jobs\"\nbody = {body}\nquery = {query}\n\
                 records = \"/data\"\nkey = [\"/id\"]\n"
            );
            std::fs::write(folder.path().join("jobs.toml"), text).unwrap();
        };
        write(
            "{ a = 1, b = [{ x = 1, y = 2, z = 3 }], c = { k = 1, l = 2, m = 3 }, d = 4 }",
            "{ p = 1, q = 2, r = 3 }",
        );
        let first = read_once(folder.path());
        // Each table has an order of its own, so a process is as good as many.
        for _ in 0..20 {
            assert_eq!(read_once(folder.path()), first);
        }
        write(
            "{ d = 4, c = { m = 3, l = 2, k = 1 }, a = 1, b = [{ z = 3, y = 2, x = 1 }] }",
            "{ r = 3, q = 2, p = 1 }",
        );
        assert_eq!(read_once(folder.path()), first, "nor does it matter in which order they are written");
    }

    #[test]
    fn the_mistakes_of_a_config_come_in_the_same_order_in_any_process() {
        let env = ["a", "b", "c", "d", "e"].map(|name| {
            format!("[sinks.{name}]\nkind = \"webhook\"\nurl = {{ env = \"NONE_{name}\" }}\nsecrets = [{{ env = \"NOR_{name}\" }}]\n")
        });
        let problems = || load_text(&env.concat(), std::path::Path::new("/nonexistent")).unwrap_err();
        let first = problems();
        assert_eq!(first.len(), 10);
        for _ in 0..10 {
            assert_eq!(problems(), first);
        }
    }

    #[test]
    fn a_manifest_that_is_nowhere_is_one_problem() {
        let text = "[sources.jobs]\nkind = \"http_json\"\nmanifest = \"antropic\"\n";
        let problems = load_text(text, std::path::Path::new("/nonexistent")).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains("did you mean \"anthropic\"?"), "{}", problems[0]);
    }
}
