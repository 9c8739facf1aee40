//! The console: one line per event, for trying things out.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::delivery::{Outcome, Report};
use crate::render::Renderer;

use super::target::Problem;
use super::{Common, Context, Manners, Message, Sink, SinkConfig};

/// Where lines go.
pub type Writer = Arc<Mutex<dyn Write + Send>>;

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Time, severity, type and a line for people.
    #[default]
    Text,
    /// The event itself.
    Json,
}

/// Settings of the console.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// `text` (the default) or `json`.
    #[serde(default)]
    format: Format,
}

impl SinkConfig for ConsoleConfig {
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn build(&self, name: &str, common: &Common, context: &Context) -> Result<Arc<dyn Sink>, String> {
        let stdout: Writer = Arc::new(Mutex::new(io::stdout()));
        Ok(Arc::new(Console::new(name, common, context, self.format, stdout)))
    }

    fn summary(&self) -> String {
        "one line per event on stdout".to_owned()
    }
}

/// Writes events line by line.
pub struct Console {
    name: String,
    common: Common,
    renderer: Arc<Renderer>,
    format: Format,
    writer: Writer,
}

impl Console {
    pub fn new(name: &str, common: &Common, context: &Context, format: Format, writer: Writer) -> Self {
        let renderer = Arc::clone(&context.renderer);
        Self { name: name.to_owned(), common: *common, renderer, format, writer }
    }

    fn lines(&self, message: &Message) -> Result<String, serde_json::Error> {
        let mut lines = String::new();
        for stored in &message.events {
            let event = &stored.event;
            match self.format {
                Format::Json => lines.push_str(&serde_json::to_string(event)?),
                Format::Text => {
                    let said = self.renderer.line(event);
                    // A terminal would obey what it is sent.
                    let said = said.replace(char::is_control, " ");
                    let head = [event.time.to_string().as_str(), event.severity.as_str(), &event.kind].join(" ");
                    lines.extend([head.as_str(), "  ", &said]);
                }
            }
            lines.push('\n');
        }
        Ok(lines)
    }
}

#[async_trait]
impl Sink for Console {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "console"
    }

    fn manners(&self) -> Manners {
        Manners { concurrency: 1, pace: Duration::ZERO, timeout: self.common.timeout, retry: self.common.retry }
    }

    async fn send(&self, message: &Message) -> Report {
        let lines = match self.lines(message) {
            Ok(lines) => lines,
            Err(error) => return Report::new(Outcome::Permanent, None, format!("can't be written as JSON: {error}")),
        };
        let writer = Arc::clone(&self.writer);
        // A pipe nobody reads from blocks; it may, but not the runtime and not past the deadline.
        let written = tokio::task::spawn_blocking(move || write(&writer, &lines));
        let failed = match tokio::time::timeout(self.common.timeout, written).await {
            Ok(Ok(Ok(()))) => return Report::new(Outcome::Accepted, None, ""),
            Ok(Ok(Err(error))) => format!("can't write: {error}"),
            Ok(Err(_)) => "writing was broken off".to_owned(),
            Err(_) => format!("not written within {:?}: nobody reads", self.common.timeout),
        };
        Report::new(Outcome::Transient { after: None, refusal: false }, None, failed)
    }

    async fn connect(&self) -> Result<String, String> {
        Ok("writes to the console".to_owned())
    }
}

fn write(writer: &Mutex<dyn Write + Send>, lines: &str) -> io::Result<()> {
    let mut writer = match writer.try_lock() {
        Ok(writer) => writer,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Waiting here would pile up a thread per attempt.
        Err(TryLockError::WouldBlock) => return Err(io::Error::other("an earlier line is still being written")),
    };
    writer.write_all(lines.as_bytes())?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testkit::{common, context, hasty, message};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn written(format: Format) -> String {
        let page = Page::default();
        let sink = Console::new("out", &common(), &context(), format, Arc::new(Mutex::new(page.clone())));
        assert_eq!(sink.send(&message()).await.outcome, Outcome::Accepted);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn a_line_for_people_and_one_for_programs() {
        let text = written(Format::Text).await;
        assert!(text.starts_with("2026-11-22T10:00:00Z warning budget.exceeded") && text.ends_with('\n'), "{text}");
        assert_eq!(text.lines().count(), 1);
        let json = written(Format::Json).await;
        let event: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(event["type"], "budget.exceeded");
    }

    /// A pipe that nobody reads from until the test does.
    struct Pipe(std::sync::mpsc::Receiver<()>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_stalls_costs_an_attempt_and_no_more() {
        let (read, pipe) = std::sync::mpsc::channel();
        let sink = Console::new("out", &hasty(), &context(), Format::Text, Arc::new(Mutex::new(Pipe(pipe))));
        for reason in ["nobody reads", "still being written"] {
            let report = sink.send(&message()).await;
            assert!(matches!(report.outcome, Outcome::Transient { .. }));
            assert!(report.detail.contains(reason), "{}", report.detail);
        }
        for _ in 0..2 {
            read.send(()).unwrap();
        }
        let deadline = Duration::from_secs(30);
        let taken = async {
            while sink.send(&message()).await.outcome != Outcome::Accepted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(deadline, taken).await.unwrap();
    }
}
