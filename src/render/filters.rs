//! Filters that templates use besides Tera's own. `templates/README.md` lists them for those who write templates.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tera::value::ValueKind;
use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

use super::engine::{Dialect, json_inner, slack_in_json};
use super::marks::outside;
use super::show;
use super::text::{brief, one_line};
use crate::domain::money::Micros;

/// Longest label of a link.
const LINK_LABEL: usize = 120;

/// Makes the filters known to `tera`; some print differently by dialect.
pub fn register(tera: &mut Tera, dialect: Dialect, zone: &TimeZone) {
    let (of_date, of_show) = (zone.clone(), zone.clone());
    tera.register_filter("money", |v: &Value, _: Kwargs, _: &State| micros(v).map(|amount| amount.to_string()));
    tera.register_filter("usd", |v: &Value, _: Kwargs, _: &State| micros(v).map(show::usd));
    tera.register_filter("money0", |v: &Value, _: Kwargs, _: &State| micros(v).map(show::usd_rounded));
    tera.register_filter("percent", |v: &Value, _: Kwargs, _: &State| percent(v));
    tera.register_filter("cut", |v: &Value, args: Kwargs, _: &State| -> TeraResult<String> {
        Ok(brief(&plain(v)?, args.must_get::<usize>("length")?))
    });
    tera.register_filter("pad", |v: &Value, args: Kwargs, _: &State| pad(v, &args));
    tera.register_filter("date", move |v: &Value, args: Kwargs, _: &State| date(v, &args, &of_date));
    tera.register_filter("urlencode", |v: &Value, _: Kwargs, _: &State| plain(v).map(|text| urlencode(&text)));
    tera.register_filter("who", |v: &Value, _: Kwargs, _: &State| as_json(v).map(|who| show::person(&who)));
    tera.register_filter("label", |v: &Value, _: Kwargs, _: &State| plain(v).map(|name| show::label(&name)));
    tera.register_filter("show", move |v: &Value, args: Kwargs, _: &State| -> TeraResult<String> {
        Ok(show::value(&as_json(v)?, args.get::<usize>("length")?.unwrap_or(show::VALUE), &of_show))
    });
    for name in ["json", "json_encode"] {
        tera.register_filter(name, move |v: &Value, _: Kwargs, _: &State| json(v, dialect));
    }
    tera.register_filter("http_url", move |v: &Value, _: Kwargs, _: &State| -> TeraResult<Value> {
        let url = show::http_url(&plain(v)?).unwrap_or_default();
        // Inside JSON an address keeps its `&`: a button's `url` is no mrkdwn. It holds no `<`, `>` or `|` any more.
        Ok(if dialect == Dialect::SlackBlocks { Value::safe_string(&json_inner(&url)) } else { Value::from(url) })
    });
    if matches!(dialect, Dialect::SlackBlocks | Dialect::SlackText) {
        tera.register_filter("slack_link", move |v: &Value, args: Kwargs, _: &State| slack_link(v, &args, dialect));
        tera.register_filter("bold", move |v: &Value, _: Kwargs, _: &State| plain(v).map(|text| bold(&text, dialect)));
    }
}

fn json(value: &Value, dialect: Dialect) -> TeraResult<Value> {
    let text = serde_json::to_string(value).map_err(|e| Error::chain("this can't be written as JSON", e))?;
    Ok(match dialect {
        // `&`, `<` and `>` occur in JSON only inside strings.
        Dialect::SlackBlocks => Value::safe_string(&outside(&text)),
        Dialect::Json => Value::safe_string(&text),
        Dialect::SlackText | Dialect::Text | Dialect::Html => Value::from(text),
    })
}

fn slack_link(value: &Value, args: &Kwargs, dialect: Dialect) -> TeraResult<Value> {
    let given = args.get::<&Value>("label")?.map(plain).transpose()?.unwrap_or_default();
    let url = show::http_url(&plain(value)?);
    let label = brief(if given.is_empty() { url.as_deref().unwrap_or_default() } else { &given }, LINK_LABEL);
    // A `|` or a `>` can't end a label early: the first is made harmless, the second is escaped.
    let label = outside(&label.replace('|', "¦"));
    let link = match url {
        Some(url) => format!("<{}|{label}>", url.replace('&', "&amp;")),
        None => label,
    };
    Ok(Value::safe_string(&if dialect == Dialect::SlackBlocks { json_inner(&link) } else { link }))
}

/// `*text*`, unless the text has asterisks of its own or breaks lines, where Slack would show the marks.
fn bold(text: &str, dialect: Dialect) -> Value {
    let marks = if text.contains(['*', '\n']) || text.trim() != text || text.is_empty() { "" } else { "*" };
    let text = if dialect == Dialect::SlackBlocks { slack_in_json(text) } else { outside(text) };
    Value::safe_string(&format!("{marks}{text}{marks}"))
}

fn percent(value: &Value) -> TeraResult<String> {
    match value.as_f64().or_else(|| value.as_str().and_then(|s| s.parse().ok())) {
        Some(number) => Ok(show::percent(number)),
        None => Err(Error::message(format!("percent takes a number, not {value}"))),
    }
}

fn pad(value: &Value, args: &Kwargs) -> TeraResult<String> {
    let (text, width) = (one_line(&plain(value)?), args.must_get::<usize>("width")?.min(200));
    let fill = " ".repeat(width.saturating_sub(text.chars().count()));
    Ok(if args.get::<bool>("right")?.unwrap_or(false) { format!("{fill}{text}") } else { format!("{text}{fill}") })
}

/// `22 Nov 2026`, or `22 Nov 2026, 14:05 UTC`; what is neither a date nor a time stays as it is.
fn date(value: &Value, args: &Kwargs, zone: &TimeZone) -> TeraResult<String> {
    let text = plain(value)?;
    let zone = match args.get::<&str>("tz")? {
        Some(name) => TimeZone::get(name).map_err(|e| Error::message(format!("date(tz=…): {e}")))?,
        None => zone.clone(),
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(show::time(at, &zone));
    }
    Ok(text.parse::<Date>().map_or(text, show::date))
}

fn micros(value: &Value) -> TeraResult<Micros> {
    Micros::from_json(&as_json(value)?, 0).map_err(|e| Error::message(format!("money takes dollars: {e}")))
}

/// Text of a scalar; nothing for null. What is undefined, a list or a map is an error: it would print as debug text.
fn plain(value: &Value) -> TeraResult<String> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::message("the value is not defined")),
        ValueKind::None => Ok(String::new()),
        ValueKind::Array | ValueKind::Map | ValueKind::Bytes => {
            Err(Error::message(format!("text is needed here, not {}; see the filters show and json", value.name())))
        }
        _ => Ok(value.to_string()),
    }
}

fn as_json(value: &Value) -> TeraResult<serde_json::Value> {
    if value.is_undefined() {
        return Err(Error::message("the value is not defined"));
    }
    serde_json::to_value(value).map_err(|e| Error::chain("this can't be written as JSON", e))
}

/// RFC 3986, section 2.3: everything but unreserved characters is percent-encoded.
fn urlencode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::engine::Engine;
    use super::*;
    use serde_json::json;

    fn print(dialect: Dialect, template: &str) -> Result<String, String> {
        let mut engine = Engine::new(dialect, &TimeZone::UTC);
        engine.add([("t", template)])?;
        let context = tera::Context::from_serialize(&json!({
            "usd": "1234.5", "whole": "88.00", "pc": 106.2, "hundred": 100.0, "none": null, "day": "2026-11-22",
            "at": "2026-11-22T14:05:33Z", "ana": { "id": "u1", "email": "ana@example.com", "name": null },
            "evil": "<!here>|\"x", "link": "https://example.com/a?b=1&c=<d|e>", "js": "javascript:alert(1)",
            "list": [1, "a"], "long": "one two three",
        }))
        .map_err(|e| e.to_string())?;
        engine.render("t", &context)
    }

    #[test]
    fn filters_print_for_people() {
        for (template, expected) in [
            ("{{ usd | money }}", "$1,234.50"),
            ("{{ whole | money }} {{ whole | usd }}", "$88.00 $88"),
            ("{{ usd | money0 }}", "$1,235"),
            ("{{ pc | percent }} {{ hundred | percent }} {{ 7 | percent }}", "106.2 % 100 % 7 %"),
            ("{{ ana | who }}{{ none | who }}", "ana@example.com"),
            ("{{ day | date }}; {{ at | date }}", "22 Nov 2026; 22 Nov 2026, 14:05 UTC"),
            ("{{ at | date(tz=\"Europe/Berlin\") }}", "22 Nov 2026, 15:05 CET"),
            ("{{ long | cut(length=8) }}", "one two…"),
            ("{{ 'a' | pad(width=3) }}|{{ 'a' | pad(width=3, right=true) }}|", "a  |  a|"),
            ("{{ 'a b/ü' | urlencode }}", "a%20b%2F%C3%BC"),
            ("{{ 'creatorUserID' | label }}", "Creator user ID"),
            ("{{ list | show }} {{ none | show }}", "1, a –"),
            ("{{ js | http_url }}", ""),
            ("{{ list | json }}", "[1,\"a\"]"),
        ] {
            assert_eq!(print(Dialect::Text, template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn filters_refuse_what_they_can_not_print() {
        for template in [
            "{{ nope | money }}",
            "{{ long | money }}",
            "{{ none | money }}",
            "{{ list | cut(length=5) }}",
            "{{ long | cut }}",
            "{{ nope | show }}",
            "{{ long | percent }}",
            "{{ long | slack_link }}",
        ] {
            assert!(print(Dialect::Text, template).is_err(), "{template}");
        }
    }

    #[test]
    fn slack_links_and_json_carry_no_markup() {
        let link = r#""{{ link | slack_link(label=evil) }}""#;
        let text: String = serde_json::from_str(&print(Dialect::SlackBlocks, link).unwrap()).unwrap();
        assert_eq!(text, "<https://example.com/a?b=1&amp;c=%3Cd%7Ce%3E|&lt;!here&gt;¦\"x>");
        let url: String =
            serde_json::from_str(&print(Dialect::SlackBlocks, r#""{{ link | http_url }}""#).unwrap()).unwrap();
        assert_eq!(url, "https://example.com/a?b=1&c=%3Cd%7Ce%3E");
        assert_eq!(print(Dialect::SlackText, "{{ js | slack_link(label='x') }}").unwrap(), "x");
        let json: String = serde_json::from_str(&print(Dialect::SlackBlocks, "{{ evil | json }}").unwrap()).unwrap();
        assert_eq!(json, "&lt;!here&gt;|\"x");
        assert_eq!(print(Dialect::Html, "{{ evil | json }}").unwrap(), "&quot;&lt;!here&gt;|\\&quot;x&quot;");
        assert_eq!(
            print(Dialect::SlackText, "{{ evil | bold }} {{ 'a*b' | bold }}").unwrap(),
            "*&lt;!here&gt;|\"x* a*b"
        );
    }
}
