//! The house rules, read off the tree: who may import whom, and that the core is pure.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// For each part of `src`, the parts it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("env", &["domain"]),
    ("lifecycle", &[]),
    ("http", &["domain"]),
    ("store", &["domain"]),
    ("render", &["domain"]),
    ("source", &["domain", "http", "env"]),
    ("sink", &["domain", "http", "env", "render"]),
    ("telemetry", &["domain", "store"]),
    ("config", &["domain", "store", "source", "sink", "render"]),
    ("pipeline", &["domain", "env", "telemetry", "store", "source", "sink"]),
    ("admin", &["domain", "env", "http", "store", "render", "config"]),
    ("demo", &["domain"]),
    (
        "app",
        &[
            "domain",
            "env",
            "http",
            "lifecycle",
            "store",
            "render",
            "source",
            "sink",
            "telemetry",
            "config",
            "pipeline",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "env",
            "http",
            "lifecycle",
            "store",
            "render",
            "source",
            "sink",
            "telemetry",
            "config",
            "pipeline",
            "admin",
            "app",
            "demo",
        ],
    ),
    (
        "lib",
        &[
            "admin",
            "app",
            "cli",
            "config",
            "demo",
            "domain",
            "env",
            "http",
            "lifecycle",
            "pipeline",
            "render",
            "sink",
            "source",
            "store",
            "telemetry",
        ],
    ),
    ("main", &["cli"]),
];

/// Parts of `source` and `sink` that the kinds share; everything else there is a kind and imports no other kind.
const SHARED: &[(&str, &[&str])] = &[
    ("source", &["mod", "asking", "body", "limiter", "calls", "oauth", "origin", "prices", "rest", "seen"]),
    ("sink", &["mod", "pace", "redact", "rendering", "target", "testkit"]),
];

/// Nothing of these in `src/domain`.
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "tokio",
    "reqwest",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant",
    "::now(",
    "tracing",
    "rand::",
    "println!",
    "eprintln!",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The code of a file without its comments and without its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let body = text.split("#[cfg(test)]").next().unwrap_or_default();
    body.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let in_tests = path.components().any(|c| c.as_os_str() == "tests");
    in_tests || name.ends_with("tests") || name == "stub" || name == "testkit"
}

/// `domain/rules/budget.rs` to `domain`.
fn part_of(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The parts that `crate::…` paths of a text name, grouped imports included.
fn used(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if name.is_empty() && rest.starts_with('{') {
            let inside = rest[1..].split(';').next().unwrap_or_default();
            let mut depth = 0;
            let mut word = String::new();
            for c in inside.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' | ':' if depth == 0 => found.push(std::mem::take(&mut word).trim().to_owned()),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
        } else {
            found.push(name);
        }
    }
    found
}

#[test]
fn who_may_import_whom() {
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut broken = Vec::new();
    for path in files(&root().join("src")).into_iter().filter(|p| !is_test(p)) {
        let part = part_of(&path);
        let Some(allowed) = rules.get(part.as_str()) else {
            broken.push(format!("{}: the part {part:?} has no rule in tests/tidy.rs", path.display()));
            continue;
        };
        for name in used(&code(&path)) {
            if rules.contains_key(name.as_str()) && name != part && !allowed.contains(&name.as_str()) {
                broken.push(format!("{} uses crate::{name}; {part} may use {allowed:?}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn siblings_never_import_each_other() {
    let mut broken = Vec::new();
    for (part, shared) in SHARED {
        for path in files(&root().join("src").join(part)).into_iter().filter(|p| !is_test(p)) {
            let relative = path.strip_prefix(root().join("src").join(part)).unwrap();
            let own =
                relative.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            if shared.contains(&own.as_str()) {
                continue;
            }
            for (at, _) in code(&path).match_indices(&format!("crate::{part}::")) {
                let rest = &code(&path)[at + format!("crate::{part}::").len()..];
                let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let folder = root().join("src").join(part);
                let is_kind = folder.join(&name).is_dir() || folder.join(format!("{name}.rs")).is_file();
                if !name.is_empty() && is_kind && name != own && !shared.contains(&name.as_str()) {
                    broken.push(format!("{} imports its sibling {name}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut broken = Vec::new();
    for path in files(&root().join("src/domain")).into_iter().filter(|p| !is_test(p)) {
        let code = code(&path);
        for word in IMPURE {
            if let Some(line) = code.lines().position(|l| l.contains(word)) {
                broken.push(format!("{}:{} has {word:?}", path.display(), line + 1));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn nothing_outside_the_store_knows_its_engine() {
    let mut broken = Vec::new();
    for path in files(&root().join("src")).into_iter().filter(|p| part_of(p) != "store") {
        if code(&path).contains("::sled::") && !code(&path).contains("store::sled") {
            broken.push(path.display().to_string());
        }
    }
    assert!(broken.is_empty(), "these know sled: {broken:?}");
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    let mut broken = Vec::new();
    let words = [
        ["to", "do!("].concat(),
        ["unimpl", "emented!("].concat(),
        ["FIX", "ME"].concat(),
        ["TO", "DO"].concat(),
        ["#[al", "low("].concat(),
        ["#[ig", "nore"].concat(),
    ];
    for folder in ["src", "tests", "benches"] {
        let folder = root().join(folder);
        for path in if folder.is_dir() { files(&folder) } else { Vec::new() } {
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                if words.iter().any(|w| line.contains(w.as_str())) {
                    broken.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// A hint, never a failure: is there a second noun in it?
#[test]
fn long_files_are_named() {
    for path in files(&root().join("src")) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        if lines > 400 {
            eprintln!("{lines:5} lines: {}", path.strip_prefix(root()).unwrap().display());
        }
    }
}
