//! Reading a user's folder of templates.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Part, builtin};
use crate::render::TemplateError;

/// Most files in a folder of templates.
const FILES: usize = 1_000;
/// Largest template.
const BYTES: u64 = 256 * 1024;

/// The templates of a folder by path (`slack/budget.exceeded.blocks.json`), and all that is wrong with it.
///
/// Hidden files and a `README.md` are passed over; so that a copy of the built-in folder works as it is, `shared/` may
/// hold the files it has there.
pub fn read(folder: &Path) -> (BTreeMap<String, String>, Vec<TemplateError>) {
    let mut files = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, is_folder) in list(folder, "", &mut problems) {
        if !is_folder {
            if name != "README.md" {
                problem(&mut problems, &name, "templates are in folders: slack, email or webhook");
            }
            continue;
        }
        if name != "shared" && Part::ALL.iter().all(|part| part.sink != name) {
            problem(&mut problems, &name, "no kind of sink with templates has this name: slack, email, webhook");
            continue;
        }
        for (file, is_folder) in list(&folder.join(&name), &name, &mut problems) {
            let path = format!("{name}/{file}");
            match judge(&path, is_folder).and_then(|()| load(&folder.join(&path))) {
                Ok(_) if files.len() >= FILES => {
                    problem(&mut problems, &path, &format!("a folder holds at most {FILES} templates"));
                    return (files, problems);
                }
                Ok(text) => {
                    files.insert(path, text);
                }
                Err(message) => problem(&mut problems, &path, &message),
            }
        }
    }
    (files, problems)
}

/// Whether a template can have this path.
fn judge(path: &str, is_folder: bool) -> Result<(), String> {
    let sink = path.split('/').next().unwrap_or_default();
    if is_folder {
        return Err("folders of templates have no folders inside".to_owned());
    }
    if sink == "shared" {
        let known: Vec<&str> = builtin::TEMPLATES.iter().filter_map(|(path, _)| path.strip_prefix("shared/")).collect();
        let file = path.strip_prefix("shared/").unwrap_or_default();
        return if known.contains(&file) {
            Ok(())
        } else {
            Err(format!("only built-in files of shared/ can be replaced: {}", known.join(", ")))
        };
    }
    let Some((_, name)) = Part::of(path) else {
        let endings: Vec<String> = Part::ALL
            .iter()
            .filter(|part| part.sink == sink)
            .map(|part| format!("<event type>.{}", part.ending))
            .collect();
        return Err(format!("the name of a template for {sink} is {}", endings.join(" or ")));
    };
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        Ok(())
    } else {
        Err(format!("{name:?} is no event type: letters, digits, dots, `_` and `-` only"))
    }
}

fn load(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|e| format!("it can't be read: {e}"))?.len();
    if size > BYTES {
        return Err(format!("it is larger than {} KiB", BYTES / 1024));
    }
    fs::read_to_string(path).map_err(|e| format!("it can't be read: {e}"))
}

/// Names in a folder, sorted, without hidden ones, and whether each is a folder.
fn list(folder: &Path, shown: &str, problems: &mut Vec<TemplateError>) -> Vec<(String, bool)> {
    let shown = if shown.is_empty() { folder.display().to_string() } else { shown.to_owned() };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problem(problems, &shown, &format!("the folder can't be read: {error}"));
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path().is_dir())) {
            Ok((name, _)) if name.starts_with('.') => {}
            Ok(entry) => names.push(entry),
            Err(error) => problem(problems, &shown, &format!("the folder can't be read: {error}")),
        }
    }
    names.sort();
    names
}

fn problem(problems: &mut Vec<TemplateError>, template: &str, message: &str) {
    problems.push(TemplateError { template: template.to_owned(), message: message.to_owned() });
}
