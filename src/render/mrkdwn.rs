//! Cutting Slack's mrkdwn to a length, in code points.
//!
//! Invariants: the result is never longer than asked; an entity (`&amp;`), a link (`<url|label>`) or a code fence is
//! never cut in two; what was cut off is marked with `…`.

use super::text::ELLIPSIS;

const FENCE: &str = "```";
/// Kept free for saying how many lines were left out.
const NOTE: usize = 20;
/// Longest entity Slack knows is `&amp;`; a few more characters cost nothing.
const ENTITY_MAX: usize = 10;

pub fn length(text: &str) -> usize {
    text.chars().count()
}

/// At most `max` characters, cut at the end of a line where that keeps at least half of what fits; the lines left out
/// are counted.
pub fn cut(text: &str, max: usize) -> String {
    let (kept, lost) = keep_lines(text, max.saturating_sub(NOTE));
    if length(text) > max && lost > 0 {
        return format!("{kept}\n{}", and_more(lost));
    }
    cut_anywhere(text, max)
}

/// `…and 3 more`
pub fn and_more(n: usize) -> String {
    format!("{ELLIPSIS}and {n} more")
}

/// Lines that hold something.
pub fn lines(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Whole lines of at most `max` characters together, and how many were left out; none are (0) where a cut between lines
/// would lose more than half of what fits, or break a code fence.
pub fn keep_lines(text: &str, max: usize) -> (&str, usize) {
    let kept = prefer_line_end(prefix(text, max));
    if kept.len() == text.len() || !kept.ends_with('\n') || in_fence(kept) {
        return (text, 0);
    }
    let rest = text.get(kept.len()..).unwrap_or_default();
    (kept.trim_end(), lines(rest))
}

/// At most `max` characters, within a line if need be.
pub fn cut_anywhere(text: &str, max: usize) -> String {
    if length(text) <= max {
        return text.to_owned();
    }
    if max == 0 {
        return String::new();
    }
    let plain = prefer_line_end(prefix(text, max - 1));
    if !in_fence(plain) {
        return format!("{plain}{ELLIPSIS}");
    }
    // The cut lies inside a code fence, which must be closed again: `…`, a newline and the fence.
    let closing = 2 + length(FENCE);
    if max <= closing {
        return ELLIPSIS.to_string();
    }
    let shorter = prefer_line_end(prefix(text, max - closing));
    if in_fence(shorter) { format!("{shorter}{ELLIPSIS}\n{FENCE}") } else { format!("{shorter}{ELLIPSIS}") }
}

/// The longest prefix of whole atoms with at most `max` characters.
fn prefix(text: &str, max: usize) -> &str {
    let mut end = 0;
    let mut used = 0;
    let mut rest = text;
    while let Some(atom) = atom(rest) {
        used += length(atom);
        if used > max {
            break;
        }
        end += atom.len();
        rest = rest.get(atom.len()..).unwrap_or_default();
    }
    text.get(..end).unwrap_or_default()
}

/// What stands at the start of `text` and must not be cut in two.
fn atom(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    let whole = match first {
        '&' => text.char_indices().take(ENTITY_MAX).find(|(_, c)| *c == ';').map(|(at, _)| at + 1),
        '<' => text
            .char_indices()
            .skip(1)
            .find(|(_, c)| matches!(c, '<' | '>' | '\n'))
            .and_then(|(at, c)| (c == '>').then_some(at + 1)),
        '`' if text.starts_with(FENCE) => Some(FENCE.len()),
        _ => None,
    };
    text.get(..whole.unwrap_or(first.len_utf8()))
}

fn prefer_line_end(text: &str) -> &str {
    match text.rfind('\n') {
        Some(at) if at * 2 >= text.len() => text.get(..=at).unwrap_or(text),
        _ => text,
    }
}

fn in_fence(text: &str) -> bool {
    text.matches(FENCE).count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_where_it_hurts_least() {
        for (text, max, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("ab&amp;cd", 8, "ab&amp;…"),
            ("ab&amp;cd", 7, "ab…"),
            ("see <https://example.com|here> now", 20, "see …"),
            ("a < b and more", 6, "a < b…"),
            ("line one\nline two", 12, "line one\n…"),
            ("a\nlonger second line", 12, "a\nlonger se…"),
            ("one item\ntwo items\nthree items\nfour items\nfive", 42, "one item\ntwo items\n…and 3 more"),
            ("```\nlong code here\n```", 16, "```\nlong co…\n```"),
            ("ääääää", 3, "ää…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, max), expected, "{text:?} to {max}");
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("&amp;".to_owned()),
            Just("&lt;".to_owned()),
            Just("<https://example.com/a|label>".to_owned()),
            Just("```".to_owned()),
            Just("\n".to_owned()),
            "[a-zä🦀 ]{1,12}",
        ];
        prop::collection::vec(piece, 0..60).prop_map(|p| p.concat())
    }

    proptest! {
        #[test]
        fn never_too_long_never_split(text in pieces(), max in 0_usize..300) {
            let out = cut(&text, max);
            prop_assert!(length(&out) <= max, "{} > {max}", length(&out));
            if length(&text) <= max {
                prop_assert_eq!(&out, &text);
            } else if max > 0 {
                prop_assert!(out.contains(ELLIPSIS));
            }
            for (at, _) in out.match_indices('&') {
                let rest = &out[at..];
                prop_assert!(rest.starts_with("&amp;") || rest.starts_with("&lt;"), "{out:?}");
            }
            prop_assert_eq!(out.matches('<').count(), out.matches("|label>").count());
            if text.matches(FENCE).count() % 2 == 0 {
                prop_assert!(!in_fence(&out), "{:?}", out);
            }
        }

        #[test]
        fn whatever_the_text_never_too_long(text in any::<String>(), max in 0_usize..40) {
            prop_assert!(length(&cut(&text, max)) <= max);
        }
    }
}
