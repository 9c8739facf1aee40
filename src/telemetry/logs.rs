//! Logs to stderr: for people on a terminal, JSON Lines otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Human where stderr is a terminal, JSON otherwise.
    #[default]
    Auto,
    Human,
    Json,
}

/// Starts logging. `filter` is a level (`info`) or directives (`ampbridge=debug,reqwest=warn`); a bad one means `info`.
/// What the storage engine logs by itself is left out unless asked for: every failure of it is told by ourselves.
pub fn start(filter: &str, format: Format) {
    let quiet = if filter.contains("sled") { "" } else { ",sled=off" };
    let filter = EnvFilter::try_new(format!("{filter}{quiet}")).unwrap_or_else(|_| EnvFilter::new("info,sled=off"));
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start (in tests) is harmless.
    let _ = if human {
        builder.with_ansi(terminal).compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// A panic is logged as one line; inside the storage engine it is an error that is handled.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        if crate::store::sled::is_guarded() {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload().downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied()).unwrap_or("panic");
        tracing::error!(place, "defect in ampbridge, please report it: {text} ({place})");
    }));
}
