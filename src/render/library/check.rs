//! Rendering every template with every sample, with no way out.

use std::collections::BTreeSet;

use super::{Library, Part};
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::Event;
use crate::domain::hint::hint;
use crate::render::scene;
use crate::render::{TemplateError, samples};

/// Names that stand for no type.
const APART: [&str; 3] = ["default", "group", "digest"];

/// All templates that fail with a sample they may meet, each with its first failure.
pub fn check(library: &Library) -> Vec<TemplateError> {
    let mut problems = Vec::new();
    for kind in samples::types() {
        for (_, event) in samples::variants(kind) {
            try_parts(library, DeliveryKind::Single, &[&event], &mut problems);
        }
    }
    for kind in [DeliveryKind::Group, DeliveryKind::Digest, DeliveryKind::Update, DeliveryKind::Reminder] {
        for variant in ["sample", "hostile"] {
            let events = one_of_each(variant);
            try_parts(library, kind, &events.iter().collect::<Vec<_>>(), &mut problems);
        }
    }
    for (path, kind) in other_types(library) {
        // Of types nothing is known of, either shape will do.
        let failures: Vec<Vec<TemplateError>> = shapes(&kind)
            .iter()
            .map(|event| {
                let mut failed = Vec::new();
                try_parts(library, DeliveryKind::Single, &[event], &mut failed);
                failed.retain(|problem| problem.template == path);
                failed
            })
            .collect();
        if samples::sample(&kind).is_none() {
            problems.push(TemplateError { template: path, message: format!("no event has the type {kind}") });
        } else if failures.iter().all(|failed| !failed.is_empty()) {
            problems.extend(failures.into_iter().flatten());
        }
    }
    let failed: BTreeSet<String> = problems.iter().map(|problem| problem.template.clone()).collect();
    problems.extend(undefined(library).into_iter().filter(|problem| !failed.contains(&problem.template)));
    problems.sort();
    problems.dedup_by(|a, b| a.template == b.template);
    problems
}

/// The user's templates that are for no event: named neither after a type nor after a family of them. `types` are those
/// that there can be; each comes with what is probably meant.
pub fn strangers<'p>(paths: impl Iterator<Item = &'p String>, types: &BTreeSet<String>) -> Vec<(String, String)> {
    let is_family = |name: &str| types.iter().any(|kind| kind.split('.').next() == Some(name));
    let strange = |path: &'p String| {
        let (_, name) = Part::of(path)?;
        let is_known = name.starts_with('_') || APART.contains(&name) || types.contains(name) || is_family(name);
        let hint = hint(name, types.iter().map(String::as_str));
        (!is_known).then(|| (path.clone(), format!("no event has the type {name}, so it is never used{hint}")))
    };
    paths.filter_map(strange).collect()
}

/// The user's templates that name what no message has, wherever that stands: no sample takes every branch.
fn undefined(library: &Library) -> Vec<TemplateError> {
    let event = samples::sample("budget.exceeded");
    let scene = library.scene(DeliveryKind::Single, event.iter().collect());
    let mut problems = Vec::new();
    for path in &library.users {
        let Some((part, _)) = Part::of(path) else { continue };
        let names = library.engines.get(part.dialect).variables(path);
        if let Some(name) = names.into_iter().find(|name| !scene.context.contains_key(name)) {
            let message = format!("`{name}` is nothing that a message has; what there is, docs/templates.md lists");
            problems.push(TemplateError { template: path.clone(), message });
        }
    }
    problems
}

fn try_parts(library: &Library, kind: DeliveryKind, events: &[&Event], problems: &mut Vec<TemplateError>) {
    let scene = library.scene(kind, events.to_vec());
    for part in Part::ALL {
        for template in library.chain(part, &scene) {
            let outcome = template.render(&scene.context).and_then(|out| finish(part, &out));
            if let Err(message) = outcome {
                let about = scene.event.map(|e| e.kind.as_str()).unwrap_or_default();
                let message = format!("{message} (with the sample of {about})");
                problems.push(TemplateError { template: template.name, message });
            }
        }
    }
}

fn finish(part: Part, out: &str) -> Result<(), String> {
    match part {
        Part::SLACK_BLOCKS => scene::slack_blocks(out).map(drop),
        Part::SLACK_TEXT => scene::slack_text(out).map(drop),
        Part::EMAIL_SUBJECT => scene::subject(out).map(drop),
        Part::EMAIL_TEXT => scene::plain(out).map(drop),
        Part::EMAIL_HTML => scene::html(out).map(drop),
        _ => scene::json(out).map(drop),
    }
}

fn one_of_each(variant: &str) -> Vec<Event> {
    let of_kind =
        |kind: &str| samples::variants(kind).into_iter().find(|(name, _)| *name == variant).map(|(_, event)| event);
    samples::types().into_iter().filter_map(of_kind).collect()
}

/// Templates a user wrote for types, or families of types, that none of the samples is of; each with the type to try.
fn other_types(library: &Library) -> Vec<(String, String)> {
    let known = samples::types();
    let sampled = |name: &str| known.iter().any(|kind| *kind == name || kind.split('.').next() == Some(name));
    let named = library.users.iter().filter_map(|path| Part::of(path).map(|(_, name)| (path, name)));
    named
        .filter(|(_, name)| !name.starts_with('_') && !APART.contains(name) && !sampled(name))
        .map(|(path, name)| {
            (path.clone(), if name.contains('.') { name.to_owned() } else { format!("{name}.created") })
        })
        .collect()
}

/// A changed record and a moved level under the name of `kind`.
fn shapes(kind: &str) -> Vec<Event> {
    ["mission.updated", "wallet.low"]
        .into_iter()
        .filter_map(samples::sample)
        .map(|event| Event { kind: kind.to_owned(), ..event })
        .collect()
}
