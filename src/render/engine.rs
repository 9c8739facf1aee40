//! Tera, once for each way of writing.
//!
//! Invariant: whatever a template prints of the data is escaped for the place it is printed to, without the template
//! asking for it; a rendering ends with at most [`OUTPUT_BYTES`] or with an error, never with a panic.

use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::tz::TimeZone;
use tera::{Context, ErrorKind, Kwargs, State, Tera, TeraResult};

use super::filters;
use super::marks::outside;
use super::text::{clean, escape_html, one_line};

/// Most bytes one rendering may print.
pub const OUTPUT_BYTES: usize = 256 * 1024;
/// Most elements `range()` makes.
const RANGE: i128 = 1_000;

/// A way of writing: what is escaped, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// mrkdwn inside JSON strings.
    SlackBlocks,
    /// mrkdwn.
    SlackText,
    /// A line of text stays a line: line breaks in data become spaces.
    Text,
    Html,
    /// JSON strings, the data as it is.
    Json,
}

impl Dialect {
    pub const ALL: [Self; 5] = [Self::SlackBlocks, Self::SlackText, Self::Text, Self::Html, Self::Json];
}

/// A Tera instance that writes one dialect.
#[derive(Clone)]
pub struct Engine {
    tera: Tera,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.tera.get_template_names().collect();
        names.sort_unstable();
        f.debug_struct("Engine").field("templates", &names).finish()
    }
}

impl Engine {
    /// Times are printed in `zone` where a template names no other.
    pub fn new(dialect: Dialect, zone: &TimeZone) -> Self {
        let mut tera = Tera::new();
        tera.autoescape_on([""]);
        tera.set_escape_fn(match dialect {
            Dialect::SlackBlocks => write_slack_blocks,
            Dialect::SlackText => write_slack_text,
            Dialect::Text => write_text,
            Dialect::Html => write_html,
            Dialect::Json => write_json,
        });
        tera.register_function("range", |args: Kwargs, _: &State| range(&args));
        filters::register(&mut tera, dialect, zone);
        Self { tera }
    }

    /// Adds templates that may need one another; all or none.
    pub fn add<'a>(&mut self, templates: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
        // Parsing is guarded like rendering: these texts are other people's.
        let mut next = self.tera.clone();
        let templates: Vec<(&str, &str)> = templates.into_iter().collect();
        let added = catch_unwind(AssertUnwindSafe(|| {
            let outcome = next.add_raw_templates(templates);
            outcome.map(|()| next)
        }));
        match added {
            Ok(Ok(tera)) => {
                self.tera = tera;
                Ok(())
            }
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err("the template engine panicked while reading it".to_owned()),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.tera.contains_template(name)
    }

    /// Names that a template uses, whether the branch they stand in is taken or not; without those it sets itself.
    pub fn variables(&self, name: &str) -> Vec<&str> {
        let mut found: Vec<&str> =
            self.tera.get_template_variables(name).map(|names| names.into_iter().collect()).unwrap_or_default();
        found.sort_unstable();
        found
    }

    pub fn render(&self, name: &str, context: &Context) -> Result<String, String> {
        let mut out = Limited { bytes: Vec::new(), full: false };
        let outcome = catch_unwind(AssertUnwindSafe(|| self.tera.render_to(name, context, &mut out)));
        match outcome {
            Ok(Ok(())) => String::from_utf8(out.bytes).map_err(|_| "it printed no valid UTF-8".to_owned()),
            Ok(Err(_)) if out.full => Err(format!("it printed more than {} KiB", OUTPUT_BYTES / 1024)),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => Err("the template engine panicked while rendering it".to_owned()),
        }
    }
}

/// Takes so many bytes and then refuses.
struct Limited {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Limited {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + data.len() > OUTPUT_BYTES {
            self.full = true;
            return Err(io::Error::other("too much output"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `budget.exceeded.body.txt, line 3: …`, or Tera's own report where that names file and line itself.
fn explain(error: &tera::Error) -> String {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            let span = report.span();
            format!(
                "{}, line {}, column {}: {}",
                report.filename(),
                span.start_line,
                span.start_col + 1,
                report.message()
            )
        }
        _ => error.to_string(),
    }
}

/// Escapes for mrkdwn, then for a JSON string.
pub fn slack_in_json(text: &str) -> String {
    json_inner(&outside(&clean(text)))
}

/// What stands between the quotes of a JSON string.
pub fn json_inner(text: &str) -> String {
    let quoted = serde_json::Value::String(text.to_owned()).to_string();
    quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).unwrap_or_default().to_owned()
}

fn write_slack_blocks(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(slack_in_json(text).as_bytes())
}

fn write_slack_text(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(outside(&clean(text)).as_bytes())
}

fn write_text(text: &str, out: &mut dyn Write) -> io::Result<()> {
    if text.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}') {
        return out.write_all(one_line(text).as_bytes());
    }
    out.write_all(clean(text).as_bytes())
}

fn write_html(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(escape_html(&clean(text)).as_bytes())
}

fn write_json(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(json_inner(text).as_bytes())
}

/// Tera's `range`, for lists a person reads.
fn range(args: &Kwargs) -> TeraResult<Vec<i128>> {
    let (start, end) = (args.get::<i128>("start")?.unwrap_or(0), args.must_get::<i128>("end")?);
    let step = args.get::<i128>("step_by")?.unwrap_or(1).max(1);
    if end.saturating_sub(start) / step > RANGE {
        return Err(tera::Error::message(format!("range() makes at most {RANGE} numbers")));
    }
    let mut numbers = Vec::new();
    let mut next = start;
    while next < end {
        numbers.push(next);
        next = next.saturating_add(step);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<!channel> & \"q\" \\ 'a'\r\n\u{0}</script>{{ 7*7 }}\u{202e}🦀";

    fn print(dialect: Dialect, template: &str) -> Result<String, String> {
        let mut engine = Engine::new(dialect, &TimeZone::UTC);
        engine.add([("t", template)])?;
        let mut context = Context::new();
        context.insert("x", HOSTILE);
        engine.render("t", &context)
    }

    #[test]
    fn each_dialect_escapes_for_its_place() {
        let blocks = print(Dialect::SlackBlocks, r#"{"a": "{{ x }}"}"#).unwrap();
        let value: serde_json::Value = serde_json::from_str(&blocks).unwrap();
        let plain = "\"q\" \\ 'a'\n";
        assert_eq!(value["a"], format!("&lt;!channel&gt; &amp; {plain}&lt;/script&gt;{{{{ 7*7 }}}}🦀"));
        let text = print(Dialect::Text, "{{ x }}").unwrap();
        assert_eq!(text, "<!channel> & \"q\" \\ 'a' </script>{{ 7*7 }}🦀");
        let html = print(Dialect::Html, "{{ x }}").unwrap();
        assert!(html.starts_with("&lt;!channel&gt; &amp; &quot;q&quot; \\ &#39;a&#39;\n&lt;/script&gt;"), "{html}");
        let json = print(Dialect::Json, r#""{{ x }}""#).unwrap();
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), HOSTILE);
        assert!(print(Dialect::SlackText, "{{ x }}").unwrap().starts_with("&lt;!channel&gt; &amp; \"q\""));
    }

    #[test]
    fn what_is_undefined_or_unknown_fails_and_says_where() {
        for (template, said) in [
            ("{{ nope }}", "t, line 1, column 4"),
            ("\n{{ x.nope }}", "line 2"),
            ("{{ x | nope }}", "Unknown filter `nope`"),
            ("{% include \"nope\" %}", "Unknown template"),
            ("{{ x ", "line 1"),
        ] {
            let error = print(Dialect::Text, template).unwrap_err();
            assert!(error.contains(said), "{template}: {error}");
        }
    }

    #[test]
    fn output_and_range_are_limited() {
        let bomb = "{% for a in range(end=900) %}{% for b in range(end=900) %}{{ x }}{% endfor %}{% endfor %}";
        assert_eq!(print(Dialect::Text, bomb).unwrap_err(), "it printed more than 256 KiB");
        assert!(print(Dialect::Text, "{{ range(end=100000) | length }}").unwrap_err().contains("at most 1000"));
        assert_eq!(print(Dialect::Text, "{{ range(start=2, end=7, step_by=2) | length }}").unwrap(), "3");
    }
}
