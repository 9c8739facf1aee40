//! Values as people read them: money, shares, times, people, names of fields. Plain text, one line, never escaped.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use url::Url;

use super::text::{brief, cut};
use crate::domain::money::Micros;
use crate::domain::payload::Who;
use crate::domain::time::utc_day;

/// Characters of a value shown where nothing else is asked for.
pub const VALUE: usize = 120;
/// Characters of a person's name.
pub const NAME: usize = 80;
/// Longest address that is linked to.
const URL_MAX: usize = 2_000;
/// Items of a list that are shown before `and N more`.
const ITEMS: usize = 5;

/// `$1,234.56`; whole dollars without cents: `$200`.
pub fn usd(amount: Micros) -> String {
    let text = amount.to_string();
    text.strip_suffix(".00").map(str::to_owned).unwrap_or(text)
}

/// `$88` from ten dollars on, with cents below: for lists where cents are noise.
pub fn usd_rounded(amount: Micros) -> String {
    let dollars = Micros::PER_DOLLAR;
    if amount.0.saturating_abs() < 10 * dollars {
        return usd(amount);
    }
    let half = if amount.is_negative() { -dollars / 2 } else { dollars / 2 };
    usd(Micros(amount.0.saturating_add(half) / dollars * dollars))
}

/// `106.2 %`, `80 %`.
pub fn percent(value: f64) -> String {
    let text = format!("{value:.1}");
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

/// `3.1`, `3`.
pub fn ratio(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// `1,200`.
pub fn count(n: u64) -> String {
    let dollars = Micros(i64::try_from(n).unwrap_or(i64::MAX).saturating_mul(Micros::PER_DOLLAR)).to_string();
    dollars.trim_start_matches('$').trim_end_matches(".00").to_owned()
}

/// The best there is to call someone by: name, else email, else id.
pub fn who(who: &Who) -> String {
    let best = [who.name.as_deref(), who.email.as_deref(), Some(who.id.as_str())];
    best.into_iter().flatten().map(|name| brief(name, NAME)).find(|name| !name.is_empty()).unwrap_or_default()
}

/// [`who`] of a person in JSON; a text is a name, null is nobody.
pub fn person(person: &Value) -> String {
    match person {
        Value::String(name) => brief(name, NAME),
        Value::Object(fields) => ["name", "email", "id"]
            .into_iter()
            .filter_map(|key| fields.get(key).and_then(Value::as_str))
            .map(|name| brief(name, NAME))
            .find(|name| !name.is_empty())
            .unwrap_or_default(),
        _ => String::new(),
    }
}

/// `22 Nov 2026`.
pub fn date(day: Date) -> String {
    day.strftime("%-d %b %Y").to_string()
}

/// `22 Nov`, with the year where it is not `now`'s.
pub fn day(day: Date, now: Date) -> String {
    if day.year() == now.year() { day.strftime("%-d %b").to_string() } else { date(day) }
}

/// `22 Nov 2026, 14:05 UTC`.
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%-d %b %Y, %H:%M %Z").to_string()
}

/// A date or an instant as people write it; anything else as it is, cut.
pub fn moment(text: &str, zone: &TimeZone) -> String {
    if let Ok(at) = text.parse::<Timestamp>() {
        return time(at, zone);
    }
    text.parse::<Date>().map_or_else(|_| brief(text, 40), date)
}

/// A date or an instant as short as it is clear at `now`: `13:40 UTC`, `20 Nov, 09:00 UTC`, `20 Nov`.
pub fn recent(text: &str, now: Timestamp, zone: &TimeZone) -> String {
    match (text.parse::<Timestamp>(), text.parse::<Date>()) {
        (Ok(at), _) => {
            let (at, today) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()).date());
            let clock = at.strftime("%H:%M %Z").to_string();
            if at.date() == today { clock } else { format!("{}, {clock}", day(at.date(), today)) }
        }
        (_, Ok(date)) => day(date, utc_day(now)),
        _ => brief(text, 40),
    }
}

/// The name of a field as a label: `creatorUserID` is `Creator user ID`.
pub fn label(name: &str) -> String {
    let mut spaced = String::new();
    let mut previous = ' ';
    for c in brief(name, 60).chars() {
        if matches!(c, '_' | '-' | '.' | '/') {
            spaced.push(' ');
        } else {
            if c.is_uppercase() && previous.is_lowercase() {
                spaced.push(' ');
            }
            spaced.push(c);
        }
        previous = c;
    }
    let words: Vec<String> = spaced.split_whitespace().map(plain_word).collect();
    capitalize(&words.join(" "))
}

/// First letter in upper case, the rest as it is.
pub fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Any JSON value in a few words of at most `max` characters: lists and objects by what names their items.
pub fn value(value: &Value, max: usize, zone: &TimeZone) -> String {
    let text = match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(n) => n.to_string(),
        Value::String(text) if text.trim().is_empty() => "–".to_owned(),
        Value::String(text) if text.len() >= 20 && text.parse::<Timestamp>().is_ok() => moment(text, zone),
        Value::String(text) => brief(text, max),
        Value::Array(items) if items.is_empty() => "–".to_owned(),
        Value::Array(items) => list(items.iter().map(|item| self::value(item, max, zone)), ITEMS),
        Value::Object(fields) => {
            let named = ["name", "title", "url", "email", "id"].into_iter().find_map(|key| fields.get(key)?.as_str());
            match named {
                Some(text) => brief(text, max),
                None => list(fields.iter().map(|(k, v)| format!("{k}: {}", self::value(v, 40, zone))), ITEMS),
            }
        }
    };
    cut(&text, max)
}

/// `a, b and 3 more`.
pub fn list(items: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let more = items.len().saturating_sub(most);
    let shown: Vec<String> = items.take(most).collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A web address that is safe to link to, percent-encoded; `None` for any other scheme and for what is too long.
pub fn http_url(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return None;
    }
    let mut out = String::with_capacity(url.as_str().len());
    for c in url.as_str().chars() {
        match c {
            '|' => out.push_str("%7C"),
            '<' => out.push_str("%3C"),
            '>' => out.push_str("%3E"),
            '"' => out.push_str("%22"),
            '\'' => out.push_str("%27"),
            '`' => out.push_str("%60"),
            '\\' => out.push_str("%5C"),
            c => out.push(c),
        }
    }
    (out.len() <= URL_MAX).then_some(out)
}

/// `owner/name` of a repository's address, else the address as text.
pub fn repository(address: &str) -> String {
    let path = Url::parse(address).ok().map(|url| url.path().trim_matches('/').trim_end_matches(".git").to_owned());
    brief(path.as_deref().filter(|p| !p.is_empty()).unwrap_or(address), NAME)
}

/// Lower case, unless it is an abbreviation.
fn plain_word(word: &str) -> String {
    if word.eq_ignore_ascii_case("usd") || word.eq_ignore_ascii_case("url") || word.eq_ignore_ascii_case("id") {
        return word.to_uppercase();
    }
    if word.chars().count() > 1 && word.chars().all(|c| c.is_uppercase() || c.is_numeric()) {
        return word.to_owned();
    }
    word.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_have_no_needless_cents() {
        let usd_of = |text: &str| usd(Micros::parse_usd(text).unwrap());
        let rounded = |text: &str| usd_rounded(Micros::parse_usd(text).unwrap());
        assert_eq!([usd_of("200"), usd_of("1212.4"), usd_of("0.004")], ["$200", "$1,212.40", "$0.004"]);
        assert_eq!([rounded("87.5"), rounded("9.994"), rounded("-12.6"), rounded("3")], ["$88", "$9.99", "-$13", "$3"]);
        assert_eq!([count(7), count(1_200_000)], ["7", "1,200,000"]);
    }

    #[test]
    fn values_are_shown_in_few_words() {
        for (value, text) in [
            (json!(null), "–"),
            (json!(""), "–"),
            (json!(true), "yes"),
            (json!(4.5), "4.5"),
            (json!("a\nb"), "a b"),
            (json!("2026-11-22T14:05:00Z"), "22 Nov 2026, 14:05 UTC"),
            (json!([]), "–"),
            (json!([{"url": "https://example.com/a"}, 2]), "https://example.com/a, 2"),
            (json!([1, 2, 3, 4, 5, 6, 7]), "1, 2, 3, 4, 5 and 2 more"),
            (json!({"a": 1, "b": null}), "a: 1, b: –"),
        ] {
            assert_eq!(super::value(&value, 60, &TimeZone::UTC), text);
        }
        assert_eq!(super::value(&json!("abcdef"), 4, &TimeZone::UTC), "abc…");
    }

    #[test]
    fn labels_and_people() {
        assert_eq!(
            [label("spend_usd"), label("creatorUserID"), label("band_after")],
            ["Spend USD", "Creator user ID", "Band after"]
        );
        assert_eq!(person(&json!({"id": "u1", "email": null, "name": " "})), "u1");
        assert_eq!(person(&json!({"id": "u1", "email": "a@example.com", "name": "ana"})), "ana");
        assert_eq!(repository("https://example.com/acme/web.git"), "acme/web");
        assert_eq!(repository("not an address"), "not an address");
    }

    #[test]
    fn only_web_addresses_are_linked() {
        for bad in ["javascript:alert(1)", "ftp://example.com", "/relative", "", "https://", "data:text/html,x"] {
            assert_eq!(http_url(bad), None, "{bad}");
        }
        assert_eq!(http_url("https://example.com/a|b'c").as_deref(), Some("https://example.com/a%7Cb%27c"));
        assert_eq!(http_url(&format!("https://example.com/{}", "ä".repeat(400))), None);
    }
}
