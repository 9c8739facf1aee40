//! `ampbridge state`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::{Failure, Json, Outcome, data, output};
use crate::admin::client::Client;
use crate::admin::{Answer, Op};
use crate::app::Parts;
use crate::store::sled;

#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// The collections and how they stand; with a collection's name, its records.
    Show {
        /// SOURCE/COLLECTION, like acme/threads.
        #[arg(value_name = "COLLECTION")]
        collection: Option<String>,
        /// This many records at most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        json: Json,
    },
    /// Forget what is known of collections; their next complete look is a quiet baseline. Events and deliveries stay.
    Reset {
        /// SOURCE, or SOURCE/COLLECTION.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Everything; needed where no name is given.
        #[arg(long)]
        all: bool,
    },
    /// Write everything to a file as JSON Lines, deliveries that still wait too.
    Export {
        /// Where to; replaced if it is there.
        file: PathBuf,
    },
    /// Read an export into an empty store (a `store.path` where nothing is yet).
    Import {
        /// What `state export` wrote.
        file: PathBuf,
    },
}

pub(super) async fn run(parts: Parts, command: StateCommand) -> Outcome {
    match command {
        StateCommand::Show { collection, limit, json } => show(parts, collection, limit, json).await,
        StateCommand::Reset { names, all } => {
            if names.is_empty() && !all {
                return Err(Failure::Usage("name a SOURCE or SOURCE/COLLECTION, or say --all".to_owned()));
            }
            data::done(parts, Op::StateReset { collections: names }).await
        }
        StateCommand::Export { file } => export(parts, &file).await,
        StateCommand::Import { file } => import(parts, &file).await,
    }
}

async fn show(parts: Parts, collection: Option<String>, limit: usize, json: Json) -> Outcome {
    let whole = collection.is_none();
    let Answer::Data(state) = data::operate(parts, Op::StateShow { collection, limit }).await? else { return Ok(()) };
    if json.json || !whole {
        output::json(&state);
        return Ok(());
    }
    let text = |key: &str| state.get(key).map(output::cell).unwrap_or_default();
    output::line(&format!(
        "store {} (format {}, {} commits, {} events, {} deliveries waiting)",
        text("store"),
        text("format"),
        text("commits"),
        text("events"),
        text("open_deliveries")
    ));
    let keys = ["collection", "rows", "baseline", "last_good", "failures", "hold", "last_error"];
    let cell = |row: &Value, key: &str| {
        let text = row.get(key).map(output::cell).unwrap_or_default();
        match row.get("days").and_then(Value::as_u64) {
            Some(days) if key == "rows" => {
                format!("{text} of {}", output::count(usize::try_from(days).unwrap_or(usize::MAX), "day"))
            }
            _ => text,
        }
    };
    let rows: Vec<Vec<String>> = state
        .get("collections")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|row| keys.iter().map(|key| cell(row, key)).collect())
        .collect();
    output::table(&["COLLECTION", "RECORDS", "BASELINE", "LAST GOOD LOOK", "FAILURES", "HOLD", "LAST ERROR"], &rows);
    Ok(())
}

/// Writes beside the target first, so that a failed export leaves no half file under its name. What is no file (a device, a
/// pipe) is written into, never replaced; a link is followed.
async fn export(parts: Parts, file: &Path) -> Outcome {
    let target = Target::of(file).map_err(|e| unwritable(file, &e))?;
    let folder = parts.settings.store.path.clone();
    let lines = if let Some(holder) = sled::holder(&folder) {
        let client = Client::find(&folder, parts.settings.admin.token.as_ref()).map_err(|why| {
            Failure::Store(format!("the store {} is in use by {holder}, and {why}", folder.display()))
        })?;
        let mut out = BufWriter::new(target.open().map_err(|e| unwritable(file, &e))?);
        let mut lines = 0;
        client
            .export(|piece| {
                lines += piece.split(|b| *b == b'\n').count() - 1;
                out.write_all(piece)
            })
            .await?;
        out.flush().map_err(|e| unwritable(file, &e))?;
        // The last line only counts the others.
        lines.saturating_sub(1)
    } else {
        let out = BufWriter::new(target.open().map_err(|e| unwritable(file, &e))?);
        let app = parts.open("state export")?;
        let lines = app.core.store.export(Box::new(out)).await;
        app.core.store.close().await?;
        usize::try_from(lines?).unwrap_or(usize::MAX)
    };
    target.finish().map_err(|e| unwritable(file, &e))?;
    output::line(&format!("{} written to {}", output::count(lines, "line"), file.display()));
    Ok(())
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(vec![format!("{} can't be written: {error}", file.display())])
}

/// Where an export goes.
enum Target {
    /// A file that is there once it is whole, written beside it until then.
    File {
        whole: PathBuf,
        part: PathBuf,
    },
    Device(PathBuf),
}

impl Target {
    fn of(file: &Path) -> std::io::Result<Self> {
        match std::fs::metadata(file) {
            Ok(found) if found.is_dir() => Err(std::io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => Ok(Self::Device(file.to_owned())),
            Ok(_) => Ok(Self::beside(std::fs::canonicalize(file)?)),
            Err(_) => Ok(Self::beside(file.to_owned())),
        }
    }

    fn beside(whole: PathBuf) -> Self {
        let mut name = whole.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        Self::File { part: whole.with_file_name(name), whole }
    }

    fn open(&self) -> std::io::Result<File> {
        match self {
            Self::File { part, .. } => private(part),
            Self::Device(path) => std::fs::OpenOptions::new().write(true).open(path),
        }
    }

    fn finish(&self) -> std::io::Result<()> {
        let Self::File { whole, part } = self else { return Ok(()) };
        File::open(part)?.sync_all()?;
        std::fs::rename(part, whole)
    }
}

async fn import(parts: Parts, file: &Path) -> Outcome {
    let source =
        File::open(file).map_err(|e| Failure::Failed(vec![format!("{} can't be read: {e}", file.display())]))?;
    let path = parts.settings.store.path.clone();
    let app = parts.open("state import")?;
    let lines = app.core.store.import(Box::new(BufReader::new(source))).await?;
    output::line(&format!(
        "{} read into {}",
        output::count(usize::try_from(lines).unwrap_or(usize::MAX), "line"),
        path.display()
    ));
    Ok(())
}

/// A file that only its owner may read: an export holds everything the store does.
fn private(path: &std::path::Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_written_into_and_a_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("export"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let target = Target::of(&link).unwrap();
        target.open().unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"old", "not before it is whole");
        target.finish().unwrap();
        assert!(link.is_symlink() && std::fs::read(&file).unwrap() == b"new");
        let device = Target::of(Path::new("/dev/null")).unwrap();
        assert!(matches!(device, Target::Device(_)));
        device.open().unwrap().write_all(b"x").unwrap();
        device.finish().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        assert!(Target::of(folder.path()).is_err());
    }
}
