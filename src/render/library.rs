//! The templates there are: built-in ones and a user's, and which of them a message is rendered with.

mod builtin;
mod check;
mod folder;
mod lint;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::tz::TimeZone;

use super::TemplateError;
use super::engine::{Dialect, Engine};
use super::scene::Scene;
use crate::domain::delivery::DeliveryKind;
use crate::domain::event::Event;

pub use check::{check, strangers};
pub use lint::{Finding, lint};

/// One part of a message to one kind of sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub sink: &'static str,
    /// What a template's file name ends with.
    pub ending: &'static str,
    pub dialect: Dialect,
}

impl Part {
    pub const SLACK_BLOCKS: Self = Self { sink: "slack", ending: "blocks.json", dialect: Dialect::SlackBlocks };
    pub const SLACK_TEXT: Self = Self { sink: "slack", ending: "text.txt", dialect: Dialect::SlackText };
    pub const EMAIL_SUBJECT: Self = Self { sink: "email", ending: "subject.txt", dialect: Dialect::Text };
    pub const EMAIL_TEXT: Self = Self { sink: "email", ending: "body.txt", dialect: Dialect::Text };
    pub const EMAIL_HTML: Self = Self { sink: "email", ending: "body.html", dialect: Dialect::Html };
    pub const WEBHOOK_BODY: Self = Self { sink: "webhook", ending: "body.json", dialect: Dialect::Json };

    pub const ALL: [Self; 6] = [
        Self::SLACK_BLOCKS,
        Self::SLACK_TEXT,
        Self::EMAIL_SUBJECT,
        Self::EMAIL_TEXT,
        Self::EMAIL_HTML,
        Self::WEBHOOK_BODY,
    ];

    /// `slack/budget.exceeded.blocks.json`
    fn template(self, name: &str) -> String {
        format!("{}/{name}.{}", self.sink, self.ending)
    }

    /// The part and the name a template's path stands for: `slack/budget.exceeded.blocks.json`.
    fn of(path: &str) -> Option<(Self, &str)> {
        let (sink, file) = path.split_once('/')?;
        Self::ALL.into_iter().filter(|part| part.sink == sink).find_map(|part| {
            let name = file.strip_suffix(part.ending)?.strip_suffix('.')?;
            (!name.is_empty()).then_some((part, name))
        })
    }
}

/// The built-in templates, and a user's laid over a copy of them.
#[derive(Debug)]
pub struct Library {
    /// As shipped: what everything falls back to.
    builtin: Engines,
    /// What is used first.
    engines: Engines,
    /// Paths of the user's templates.
    users: BTreeSet<String>,
    /// Where the readers are.
    zone: TimeZone,
}

/// A template and the engine that renders it.
pub struct Template<'a> {
    pub name: String,
    engine: &'a Engine,
}

impl Template<'_> {
    pub fn render(&self, context: &tera::Context) -> Result<String, String> {
        self.engine.render(&self.name, context)
    }
}

impl Library {
    pub fn load(folder: Option<&Path>, zone: &TimeZone) -> Result<Self, Vec<TemplateError>> {
        let mut builtin = Engines::new(zone);
        let problems =
            builtin.add_all(builtin::TEMPLATES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut engines = builtin.clone();
        let mut users = BTreeSet::new();
        if let Some(folder) = folder {
            let (files, mut problems) = folder::read(folder);
            users.extend(files.keys().cloned());
            problems.extend(engines.add_all(files));
            if !problems.is_empty() {
                problems.sort();
                return Err(problems);
            }
        }
        Ok(Self { builtin, engines, users, zone: zone.clone() })
    }

    /// Paths of the user's templates.
    pub fn users(&self) -> impl Iterator<Item = &String> {
        self.users.iter()
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// One message, as its templates see it.
    pub fn scene<'a>(&self, kind: DeliveryKind, events: Vec<&'a Event>) -> Scene<'a> {
        Scene::of(kind, events, &self.zone)
    }

    /// Whether any event at all could have a template for this part. Cheap, for the path of every delivery.
    pub fn has_any(&self, part: Part) -> bool {
        let folder = format!("{}/", part.sink);
        let of_part = |path: &str| path.starts_with(&folder) && path.ends_with(part.ending);
        builtin::TEMPLATES.iter().any(|(path, _)| of_part(path)) || self.users.iter().any(|path| of_part(path))
    }

    /// The templates to try for a part of a message, best first. Empty where there is none.
    ///
    /// A user's templates come before the built-in ones; of each, that of the event type, that of its family
    /// (`budget`), the default. If the first fails, the defaults follow: the user's, and the built-in one as shipped.
    pub fn chain(&self, part: Part, scene: &Scene<'_>) -> Vec<Template<'_>> {
        let names = names(scene);
        let engine = self.engines.get(part.dialect);
        let default = default_name(scene.kind);
        let mut chain: Vec<Template<'_>> = Vec::new();
        let users = names.iter().map(|name| part.template(name)).find(|path| self.users.contains(path));
        let shipped = || names.iter().map(|name| part.template(name)).find(|path| engine.has(path));
        // `default` is also the last resort of groups and digests, but a user's default is meant for single events.
        let last = || Some(part.template("default")).filter(|path| engine.has(path));
        if let Some(name) = users.or_else(shipped).or_else(last) {
            chain.push(Template { name, engine });
        }
        let users_default = part.template(default);
        if self.users.contains(&users_default) && chain.iter().all(|t| t.name != users_default) {
            chain.push(Template { name: users_default, engine });
        }
        let builtin = self.builtin.get(part.dialect);
        for name in [default, "default"] {
            let path = part.template(name);
            // Without a user's folder both sets are the same.
            let tried = self.users.is_empty() && chain.iter().any(|t| t.name == path);
            if builtin.has(&path) && !tried {
                chain.push(Template { name: path, engine: builtin });
            }
        }
        chain
    }
}

/// Names of templates that may fit a message, best first.
fn names(scene: &Scene<'_>) -> Vec<String> {
    let default = default_name(scene.kind);
    let mut names = Vec::new();
    if let Some(event) = scene.event
        && scene.kind != DeliveryKind::Group
        && (scene.kind != DeliveryKind::Digest || event.kind.starts_with("digest."))
    {
        names.push(event.kind.clone());
        names.extend(event.kind.split_once('.').map(|(family, _)| family.to_owned()));
    }
    if names.last().is_none_or(|last| last != default) {
        names.push(default.to_owned());
    }
    names
}

fn default_name(kind: DeliveryKind) -> &'static str {
    match kind {
        DeliveryKind::Group => "group",
        DeliveryKind::Digest => "digest",
        DeliveryKind::Single | DeliveryKind::Update | DeliveryKind::Reminder => "default",
    }
}

/// One engine per dialect.
#[derive(Debug, Clone)]
struct Engines {
    slack_blocks: Engine,
    slack_text: Engine,
    text: Engine,
    html: Engine,
    json: Engine,
}

impl Engines {
    fn new(zone: &TimeZone) -> Self {
        Self {
            slack_blocks: Engine::new(Dialect::SlackBlocks, zone),
            slack_text: Engine::new(Dialect::SlackText, zone),
            text: Engine::new(Dialect::Text, zone),
            html: Engine::new(Dialect::Html, zone),
            json: Engine::new(Dialect::Json, zone),
        }
    }

    fn get(&self, dialect: Dialect) -> &Engine {
        match dialect {
            Dialect::SlackBlocks => &self.slack_blocks,
            Dialect::SlackText => &self.slack_text,
            Dialect::Text => &self.text,
            Dialect::Html => &self.html,
            Dialect::Json => &self.json,
        }
    }

    fn get_mut(&mut self, dialect: Dialect) -> &mut Engine {
        match dialect {
            Dialect::SlackBlocks => &mut self.slack_blocks,
            Dialect::SlackText => &mut self.slack_text,
            Dialect::Text => &mut self.text,
            Dialect::Html => &mut self.html,
            Dialect::Json => &mut self.json,
        }
    }

    /// Adds templates, each to the engines it is for, and reports every one that can't be used.
    fn add_all(&mut self, templates: impl IntoIterator<Item = (String, String)>) -> Vec<TemplateError> {
        let templates: Vec<(String, String)> = templates.into_iter().collect();
        let mut problems: Vec<TemplateError> = Vec::new();
        for dialect in Dialect::ALL {
            let mine = templates.iter().filter(|(path, _)| dialects(path).contains(&dialect));
            for (path, message) in add_one_by_one(self.get_mut(dialect), mine.collect()) {
                if problems.iter().all(|p| p.template != path) {
                    problems.push(TemplateError { template: path, message });
                }
            }
        }
        problems
    }
}

/// All at once where all are well; else one by one, again and again, because they may need one another.
fn add_one_by_one(engine: &mut Engine, mut left: Vec<&(String, String)>) -> Vec<(String, String)> {
    if engine.add(left.iter().map(|(path, text)| (path.as_str(), text.as_str()))).is_ok() {
        return Vec::new();
    }
    loop {
        let mut failed = Vec::new();
        let before = left.len();
        left.retain(|(path, text)| match engine.add([(path.as_str(), text.as_str())]) {
            Ok(()) => false,
            Err(error) => {
                failed.push((path.clone(), error));
                true
            }
        });
        if failed.is_empty() || left.len() == before {
            return failed;
        }
    }
}

/// The dialects a template is written in; what is shared is written in each that has the components it is made of.
fn dialects(path: &str) -> Vec<Dialect> {
    match Part::of(path) {
        Some((part, _)) => vec![part.dialect],
        None => vec![Dialect::SlackBlocks, Dialect::Text, Dialect::Html],
    }
}
