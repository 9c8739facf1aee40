//! `ampbridge backtest`: what the rules would have told, over a history.

mod file;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::civil::Date;

use super::{Failure, Outcome, output, spend};
use crate::app::Parts;
use crate::config::Settings;
use crate::domain::backtest::{self, Detection, History};
use crate::domain::cycle::World;
use crate::domain::record::{Evidence, Person, Rows};
use crate::domain::rules::settings::Preset;
use crate::domain::rules::spike::SpikeRule;
use crate::domain::rules::{Rule, RuleSpec};
use crate::domain::spend::{Per, Scope, SpendRow};
use crate::domain::time::{Timestamp, minus_days, start_of_utc_day, utc_day};
use crate::source::Source;

/// The one source of a file.
const FILE_SOURCE: &str = "csv";
/// Days before the first judged one that are learned from.
const LEARNED: i64 = 100;

#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// A file instead of the stored ledger: columns series, timestamp, value, and label where known.
    #[arg(long, value_name = "FILE", conflicts_with = "source")]
    csv: Option<PathBuf>,
    /// The file's rows are polls: a day's spend so far at that instant.
    #[arg(long, requires = "csv")]
    intraday: bool,
    /// With --intraday: a file of whole days before, to learn from [default: `x_daily.csv` beside `x_intraday.csv`].
    #[arg(long, value_name = "FILE", requires = "intraday")]
    before: Option<PathBuf>,
    /// Ask this source for its history now, instead of the stored ledger. Nothing is stored.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only this rule of the config. With --csv and without this: one spike rule per series.
    #[arg(long = "rule", value_name = "NAME")]
    rules: Vec<String>,
    /// With --csv: how readily spikes are told.
    #[arg(long, value_name = "PRESET", value_parser = ["calm", "default", "eager"])]
    preset: Option<String>,
    /// With --csv: the score itself, for trying other ones than the presets'.
    #[arg(long, value_name = "Z", conflicts_with = "preset")]
    score: Option<f64>,
    /// With --csv: least excess worth a word, US dollars.
    #[arg(long, value_name = "USD")]
    floor: Option<f64>,
    /// First day whose messages count.
    #[arg(long, value_name = "DAY")]
    from: Option<Date>,
    /// Last day.
    #[arg(long, value_name = "DAY")]
    to: Option<Date>,
    /// Write every spike told as a row: series, timestamp.
    #[arg(long, value_name = "OUT")]
    detections: Option<PathBuf>,
    /// How far forecasts of the month were off, and how well a limit that will not hold was told ahead.
    #[arg(long)]
    forecasts: bool,
    /// Propose limits and a preset, each with the number of messages it would have given.
    #[arg(long)]
    suggest: bool,
    #[command(flatten)]
    json: super::Json,
}

/// A history and what it is to be played with.
struct Play {
    world: World,
    history: History,
    people: BTreeMap<String, BTreeMap<String, Person>>,
    file: Option<file::File>,
}

pub(super) async fn run(args: &BacktestArgs, settings: impl Fn() -> Result<Settings, Failure>) -> Outcome {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::Usage(format!("--from {from} is after --to {to}")));
    }
    let play = match (&args.csv, &args.source) {
        (Some(path), _) => from_file(args, path, settings)?,
        (None, Some(source)) => from_source(args, source, super::parts(settings()?)?).await?,
        (None, None) => from_ledger(args, super::parts(settings()?)?).await?,
    };
    if play.history.values().all(BTreeMap::is_empty) {
        return Err(Failure::Failed(vec!["there is no history to play: no money is known yet".to_owned()]));
    }
    if args.suggest {
        report::suggestions(&backtest::suggest::suggest(&play.world, &play.history, &play.people), args.json.json);
        return Ok(());
    }
    if args.forecasts {
        let days = by_scope(&play.history);
        report::forecasts(&days, args.json.json);
        return Ok(());
    }
    let mut outcome = match &play.file {
        Some(file) if args.intraday => {
            let before = match days_before(args) {
                Some(path) => file::read(&path).map_err(usage)?.by_day(),
                None => BTreeMap::new(),
            };
            backtest::play_polls(&play.world, FILE_SOURCE, &before, &file.rows)
        }
        _ => backtest::play_days(&play.world, &play.history, &play.people),
    };
    let counts = |at: Timestamp, day: Date| {
        args.from.is_none_or(|from| day >= from) && args.to.is_none_or(|to| day <= to) && at >= Timestamp::MIN
    };
    outcome.detections.retain(|d| counts(d.at, d.day));
    outcome.events.retain(|e| counts(e.seen, utc_day(e.seen)));
    if let Some(path) = &args.detections {
        let text = detections_csv(&outcome.detections, args.intraday);
        std::fs::write(path, text).map_err(|e| Failure::Failed(vec![format!("{}: {e}", path.display())]))?;
    }
    let score = play.file.as_ref().filter(|f| !f.labels.is_empty()).map(|file| {
        let found = by_series(&outcome.detections, args.intraday);
        backtest::score::score(&file.labels, &found)
    });
    report::told(
        &report::Told { outcome: &outcome, history: &play.history, file: play.file.as_ref(), score },
        args.json.json,
    );
    Ok(())
}

/// The file of whole days to learn from: as named, or `x_daily.csv` beside `x_intraday.csv`.
fn days_before(args: &BacktestArgs) -> Option<PathBuf> {
    if args.before.is_some() {
        return args.before.clone();
    }
    let polls = args.csv.as_ref()?;
    let name = polls.file_name()?.to_str()?;
    let beside = polls.with_file_name(name.replace("intraday", "daily"));
    let found = beside != *polls && beside.is_file();
    if found {
        output::warning(&format!("learns from the days before in {} (--before names another file)", beside.display()));
    }
    found.then_some(beside)
}

fn usage(why: String) -> Failure {
    Failure::Usage(why)
}

fn from_file(
    args: &BacktestArgs,
    path: &std::path::Path,
    settings: impl Fn() -> Result<Settings, Failure>,
) -> Result<Play, Failure> {
    let file = file::read(path).map_err(usage)?;
    let mut world = World { bridge: "backtest".to_owned(), sources: vec![FILE_SOURCE.to_owned()], ..World::default() };
    if args.rules.is_empty() {
        let preset = match args.preset.as_deref() {
            Some("calm") => Preset::Calm,
            Some("eager") => Preset::Eager,
            _ => Preset::Default,
        };
        let mut sensitivity = preset.sensitivity(args.floor.unwrap_or(5.0));
        sensitivity.z = args.score.unwrap_or(sensitivity.z);
        let rule = Rule::Spike(SpikeRule { per: Per::User, sensitivity });
        world.rules = vec![RuleSpec { name: "spend-spike".to_owned(), sources: Vec::new(), rule }];
    } else {
        let settings = settings()?;
        world.groups = settings.groups.clone();
        world.week_start = settings.bridge.week_start;
        world.rules = chosen(&settings.rules, &args.rules)?;
        // The file stands for whatever sources the rule counts.
        world.rules.iter_mut().for_each(|rule| rule.sources = Vec::new());
    }
    let history = History::from([(FILE_SOURCE.to_owned(), file.by_day())]);
    Ok(Play { world, history, people: BTreeMap::new(), file: Some(file) })
}

fn chosen(rules: &[RuleSpec], names: &[String]) -> Result<Vec<RuleSpec>, Failure> {
    if names.is_empty() {
        return Ok(rules.to_vec());
    }
    for name in names {
        if !rules.iter().any(|r| r.name == *name) {
            let hint = crate::config::hint(name, rules.iter().map(|r| r.name.as_str()));
            return Err(usage(format!("there is no rule {name:?}{hint}")));
        }
    }
    Ok(rules.iter().filter(|r| names.contains(&r.name)).cloned().collect())
}

async fn from_ledger(args: &BacktestArgs, parts: Parts) -> Result<Play, Failure> {
    let rules = chosen(&parts.world.rules, &args.rules)?;
    let world = World { rules, ..World::clone(&parts.world) };
    let to = args.to.unwrap_or_else(|| utc_day(parts.clock.now()));
    let view = spend::load(parts, args.from.map(|from| minus_days(from, LEARNED)), to).await?;
    let mut history = History::new();
    for day in &view.days {
        history.entry(day.source.clone()).or_default().insert(day.day, day.spend.as_rows(day.day));
    }
    Ok(Play { world, history, people: view.people, file: None })
}

async fn from_source(args: &BacktestArgs, name: &str, parts: Parts) -> Result<Play, Failure> {
    let Some(source) = parts.sources.iter().find(|s| s.name() == name) else {
        let hint = crate::config::hint(name, parts.settings.sources.keys().map(String::as_str));
        return Err(usage(format!("there is no source {name:?}{hint}")));
    };
    let rules = chosen(&parts.world.rules, &args.rules)?.into_iter().filter_map(|mut rule| {
        rule.group_of(name)?;
        rule.sources = Vec::new();
        Some(rule)
    });
    let world = World { rules: rules.collect(), sources: vec![name.to_owned()], ..World::clone(&parts.world) };
    let mut days: BTreeMap<Date, Vec<SpendRow>> = BTreeMap::new();
    let mut people = BTreeMap::new();
    read_history(source, parts.clock.now(), &mut days, &mut people).await?;
    let days = days.split_off(&args.from.map_or(Date::MIN, |from| minus_days(from, LEARNED)));
    Ok(Play {
        world,
        history: History::from([(name.to_owned(), days)]),
        people: BTreeMap::from([(name.to_owned(), people)]),
        file: None,
    })
}

/// Asks a source as a bridge would that has not looked for a year: sources then show as much as they have.
async fn read_history(
    source: &Arc<dyn Source>,
    now: Timestamp,
    days: &mut BTreeMap<Date, Vec<SpendRow>>,
    people: &mut BTreeMap<String, Person>,
) -> Result<(), Failure> {
    use crate::domain::collection::{CollectionState, Role};
    use crate::source::{LookRequest, Pages};
    let long_ago = minus_days(utc_day(now), 365);
    for collection in source.collections().iter().filter(|c| c.spec.role == Role::Spend) {
        let state = CollectionState {
            baseline: Some(start_of_utc_day(long_ago)),
            cursor: serde_json::json!({ "long": long_ago.to_string() }),
            ..CollectionState::default()
        };
        let request = LookRequest::full(&collection.spec.name, state, now);
        let (pages, mut incoming) = Pages::channel();
        let looking = async {
            let end = source.look(&request, &pages).await;
            drop(pages);
            end
        };
        let taking = async {
            let mut found = Vec::new();
            while let Some(page) = incoming.recv().await {
                found.push(page);
            }
            found
        };
        let (end, found) = futures_util::future::join(looking, taking).await;
        if let Evidence::Partial(failure) = end.evidence {
            return Err(Failure::Failed(vec![format!("source {}: {}", source.name(), failure.message)]));
        }
        for page in found {
            people.extend(page.people);
            if let Rows::Spend(rows) = page.rows {
                for row in rows {
                    days.entry(row.day).or_default().push(row);
                }
            }
        }
    }
    Ok(())
}

/// A row each: for whole days the day it is of, for polls the instant it was told.
fn detections_csv(detections: &[Detection], intraday: bool) -> String {
    let mut text = String::from("series,timestamp\n");
    for (series, times) in by_series(detections, intraday) {
        let series = if series.contains([',', '"']) { format!("\"{}\"", series.replace('"', "\"\"")) } else { series };
        for at in times {
            text.push_str(&format!("{series},{at}\n"));
        }
    }
    text
}

fn by_series(detections: &[Detection], intraday: bool) -> BTreeMap<String, BTreeSet<Timestamp>> {
    let mut found: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
    for detection in detections {
        let series = match &detection.scope {
            Scope::User(id) => id.clone(),
            other => other.to_string(),
        };
        let at = if intraday { detection.at } else { start_of_utc_day(detection.day) };
        found.entry(series).or_default().insert(at);
    }
    found
}

/// Totals of each user and of all, US dollars; idle days as zero once there was a first one.
fn by_scope(history: &History) -> backtest::outlook::Days {
    let mut scopes = backtest::outlook::Days::new();
    let days: BTreeSet<Date> = history.values().flat_map(BTreeMap::keys).copied().collect();
    for row in history.values().flat_map(BTreeMap::values).flatten() {
        for scope in ["workspace".to_owned(), format!("user:{}", row.user.as_deref().unwrap_or_default())] {
            *scopes.entry(scope).or_default().entry(row.day).or_default() += row.amount.as_f64();
        }
    }
    for known in scopes.values_mut() {
        let Some(first) = known.keys().next().copied() else { continue };
        for day in days.range(first..) {
            known.entry(*day).or_default();
        }
    }
    scopes
}

pub(super) fn unreadable(why: &str) {
    output::warning(why);
}
