//! What a reviewer would say of templates: where, in which field, and what. Beyond what [`super::check`] refuses, it
//! finds what would only show later: parts cut because they are too long, blocks Slack would not take or that are left
//! out, a part without the one its readers fall back to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Library, Part, builtin, check, default_name, folder, strangers};
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::Event;
use crate::render::scene::{self, Scene};
use crate::render::{SUBJECT, TemplateError, lenient, samples, slack, slack_lint};

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file below the folder of templates.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Where in what the template makes: `blocks[2].text`, `subject`; empty where that is the whole.
    pub field: String,
    pub message: String,
    /// The template can't be used like this; else it is only worth a thought.
    pub fatal: bool,
}

/// Looks through a folder of templates, or the built-in ones. `types` are those that events can have.
pub fn lint(folder: Option<&Path>, types: &BTreeSet<String>) -> Vec<Finding> {
    let files: BTreeMap<String, String> = match folder {
        Some(folder) => folder::read(folder).0,
        None => builtin::TEMPLATES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
    };
    let library = match Library::load(folder, &TimeZone::UTC) {
        Ok(library) => library,
        Err(errors) => return errors.into_iter().map(|error| from_error(error, &files)).collect(),
    };
    let mut findings: Vec<Finding> = check(&library).into_iter().map(|error| from_error(error, &files)).collect();
    for (path, source) in &files {
        let Some((part, name)) = Part::of(path).filter(|(_, name)| !name.starts_with('_')) else { continue };
        if findings.iter().any(|finding| finding.file == *path && finding.fatal) {
            continue;
        }
        findings.extend(without_fallback(path, part, name, &files, folder.is_none()));
        let mut found = Vec::new();
        for (kind, events) in occasions(name) {
            let scene = library.scene(kind, events.iter().collect());
            let Ok(out) = library.engines.get(part.dialect).render(path, &scene.context) else { continue };
            found.extend(judge(part, path, source, &out, &scene));
        }
        found.sort();
        // The same of many samples is one thing.
        found.dedup_by(|a, b| (&a.file, &a.field, a.line) == (&b.file, &b.field, b.line));
        findings.extend(found);
    }
    if folder.is_some() {
        let strange = strangers(files.keys(), types).into_iter().map(|(file, message)| Finding {
            file,
            line: 1,
            field: String::new(),
            message,
            fatal: false,
        });
        let is_new = |finding: &Finding| findings.iter().all(|known| known.file != finding.file || !known.fatal);
        let strange: Vec<Finding> = strange.filter(is_new).collect();
        findings.extend(strange);
    }
    findings.sort();
    findings.dedup();
    findings
}

/// `slack/x.blocks.json, line 3, column 7: …` is how the engine names places; `(with the sample of T)` stays.
fn from_error(error: TemplateError, files: &BTreeMap<String, String>) -> Finding {
    let place = error.message.split_once(", line ").and_then(|(file, rest)| {
        let (line, rest) = rest.split_once(", column ")?;
        let (_, message) = rest.split_once(": ")?;
        let file = file.rsplit(' ').next().unwrap_or(file).to_owned();
        Some((file, line.parse().ok()?, message.to_owned()))
    });
    let without = || {
        // Some errors name no place, but what it is about.
        let source = files.get(&error.template).map(String::as_str).unwrap_or_default();
        let line = quoted(&error.message).map_or(1, |name| line_with(source, &name.to_lowercase()));
        (error.template.clone(), line, error.message.clone())
    };
    let (file, line, message) = place.unwrap_or_else(without);
    let field = quoted(&message).unwrap_or_default();
    Finding { file, line, field, message, fatal: true }
}

/// The name an error puts into backquotes.
fn quoted(message: &str) -> Option<String> {
    message.split('`').nth(1).map(str::to_owned)
}

/// Messages a template of this name is for: the plain samples.
fn occasions(name: &str) -> Vec<(DeliveryKind, Vec<Event>)> {
    let plain = |kind: &&str| samples::sample(kind);
    let types = samples::types();
    let together = match name {
        "group" => Some(DeliveryKind::Group),
        "digest" => Some(DeliveryKind::Digest),
        _ => None,
    };
    if let Some(kind) = together.filter(|kind| default_name(*kind) == name) {
        return vec![(kind, types.iter().filter_map(plain).collect())];
    }
    let fits = |kind: &&&str| name == "default" || **kind == name || kind.split('.').next() == Some(name);
    let mut events: Vec<Event> = types.iter().filter(fits).filter_map(plain).collect();
    if events.is_empty() {
        events.extend(samples::sample(name));
    }
    events.into_iter().map(|event| (DeliveryKind::Single, vec![event])).collect()
}

/// What is odd about one output.
fn judge(part: Part, path: &str, source: &str, out: &str, scene: &Scene<'_>) -> Vec<Finding> {
    let about = scene.event.map(|event| event.kind.clone()).unwrap_or_default();
    let finding = |line: usize, field: String, message: String| Finding {
        file: path.to_owned(),
        line,
        field,
        message: format!("{message} (with the sample of {about})"),
        fatal: false,
    };
    let too_long = |field: &str, length: usize, most: usize| {
        (length > most)
            .then(|| finding(1, field.to_owned(), format!("{length} characters, {most} at most; the rest is cut")))
    };
    let length = out.trim().chars().count();
    match part {
        Part::SLACK_BLOCKS => {
            let Ok(Value::Array(blocks)) = lenient::parse(out) else { return Vec::new() };
            let problems = slack_lint::lint(&blocks).into_iter();
            problems.map(|(at, field, message)| finding(line_of(source, &blocks, at), field, message)).collect()
        }
        Part::SLACK_TEXT => too_long("text", length, slack::MESSAGE_TEXT).into_iter().collect(),
        Part::EMAIL_SUBJECT => {
            let mut found: Vec<Finding> = too_long("subject", length, SUBJECT).into_iter().collect();
            if out.trim().contains('\n') {
                found.push(finding(1, "subject".to_owned(), "more than one line; they become one".to_owned()));
            }
            found
        }
        Part::EMAIL_TEXT => too_long("text", length, scene::BODY).into_iter().collect(),
        Part::EMAIL_HTML => {
            let lower = out.to_lowercase();
            let odd = [
                ("<script", "mail clients run no scripts"),
                ("<link", "mail clients load no style sheets; put styles into `style` attributes"),
                ("<img", "mail clients load no pictures from elsewhere before their reader agrees"),
            ];
            let found = odd.into_iter().filter(|(tag, _)| lower.contains(tag));
            found
                .map(|(tag, why)| {
                    finding(line_with(source, tag), tag.trim_start_matches('<').to_owned(), why.to_owned())
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The line a block most likely comes from: where its type stands for as many times as it is the n-th of that type.
fn line_of(source: &str, blocks: &[Value], at: usize) -> usize {
    let kind = |block: &Value| block.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(own) = blocks.get(at).map(kind) else { return 1 };
    let number = blocks.iter().take(at).filter(|block| kind(block) == own).count();
    let wanted = format!("\"{own}\"");
    let lines: Vec<usize> =
        source.lines().enumerate().filter(|(_, line)| line.contains(&wanted)).map(|(n, _)| n + 1).collect();
    lines.get(number).or(lines.last()).copied().unwrap_or(1)
}

fn line_with(source: &str, text: &str) -> usize {
    source.lines().position(|line| line.to_lowercase().contains(text)).map_or(1, |at| at + 1)
}

/// A rich part whose plain one is not of the same hand: readers of notifications and of plain text get other words.
fn without_fallback(
    path: &str,
    part: Part,
    name: &str,
    files: &BTreeMap<String, String>,
    builtin: bool,
) -> Option<Finding> {
    let (plain, readers) = match part {
        Part::SLACK_BLOCKS => (Part::SLACK_TEXT, "notifications and screen readers"),
        Part::EMAIL_HTML => (Part::EMAIL_TEXT, "readers of plain text"),
        _ => return None,
    };
    let beside = plain.template(name);
    // Shipped notifications are all of one template, which fits all.
    if files.contains_key(&beside) || (builtin && part == Part::SLACK_BLOCKS) {
        return None;
    }
    let message = format!("there is no {beside} beside it: {readers} get the built-in words");
    Some(Finding { file: path.to_owned(), line: 1, field: plain.ending.to_owned(), message, fatal: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<(String, usize, String)> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let types = samples::types().into_iter().map(str::to_owned).collect();
        lint(Some(folder.path()), &types).into_iter().map(|f| (f.file, f.line, f.field)).collect()
    }

    fn at(file: &str, line: usize, field: &str) -> (String, usize, String) {
        (file.to_owned(), line, field.to_owned())
    }

    #[test]
    fn the_built_in_templates_leave_nothing_to_say() {
        assert_eq!(lint(None, &BTreeSet::new()), []);
    }

    #[test]
    fn what_is_wrong_is_named_by_file_line_and_field() {
        const TEXT: &str = "slack/budget.exceeded.text.txt";
        const BLOCKS: &str = "slack/budget.exceeded.blocks.json";
        const HTML: &str = "email/budget.body.html";
        assert_eq!(findings(&[(TEXT, "{{ head }}\n{{ event.data.spent }}")]), [at(TEXT, 2, "spent")]);
        assert_eq!(findings(&[(TEXT, "{{ head }}\n{{ head | nope }}")]), [at(TEXT, 2, "nope")]);
        let branch = "{{ head }}\n{% if event.severity == 'nope' %}{{ spent }}{% endif %}";
        assert_eq!(findings(&[(TEXT, branch)]), [at(TEXT, 2, "spent")], "no sample comes there");
        let own = "{% set spent = 1 %}{% for e in events %}{{ loop.index }}{{ e.id }}{% endfor %}{{ spent }}{{ head }}";
        assert_eq!(findings(&[(TEXT, own)]), []);
        assert_eq!(findings(&[("slack/thing.craeted.text.txt", "x")]), [at("slack/thing.craeted.text.txt", 1, "")]);
        assert_eq!(findings(&[("slack/mission.text.txt", "x"), ("slack/mision.text.txt", "x")]).len(), 1);
        let section = r#"{ "type": "section", "text": { "type": "mrkdwn", "text": "{{ head }}" } },"#;
        let long = section.replace("{{ head }}", &"x".repeat(3_001));
        let text = (TEXT, "{{ head }}");
        assert_eq!(findings(&[text, (BLOCKS, &format!("[\n{section}\n{long}\n]"))]), [at(BLOCKS, 3, "blocks[1].text")]);
        let button = r#"{ "type": "actions", "elements": [
            { "type": "button", "text": { "type": "plain_text", "text": "Mute" }, "action_id": "mute" }] },"#;
        assert_eq!(
            findings(&[text, (BLOCKS, &format!("[\n{section}\n{button}\n]"))]),
            [at(BLOCKS, 3, "blocks[1].elements[0]")]
        );
        assert_eq!(findings(&[(BLOCKS, &format!("[{section}]"))]), [at(BLOCKS, 1, "text.txt")]);
        assert_eq!(findings(&[text, (BLOCKS, "[\n{ \"type\": \"sektion\" }]")])[0].0, BLOCKS);
        assert_eq!(
            findings(&[(HTML, "<p>\n<img src=\"https://example.com/a.png\">")]),
            [at(HTML, 1, "body.txt"), at(HTML, 2, "img")]
        );
        assert_eq!(
            findings(&[("email/budget.exceeded.subject.txt", &"x".repeat(121))]),
            [at("email/budget.exceeded.subject.txt", 1, "subject")]
        );
    }
}
