//! Cleaning and cutting text from outside. Lengths are in code points, as Slack counts them.

/// Marks what was cut off.
pub const ELLIPSIS: char = '…';

/// Text without control characters (newline and tab stay; `\r\n`, `\r` and Unicode line separators become newlines)
/// and without the bidirectional overrides, embeddings and isolates that could turn round the words after it.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\u{2028}' | '\u{2029}' | '\u{85}' => out.push('\n'),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || is_bidi_control(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Clean text on a single line: every run of white space is one space.
pub fn one_line(text: &str) -> String {
    let cleaned = clean(text);
    let mut out = String::with_capacity(cleaned.len());
    for word in cleaned.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Clean text on a single line of at most `max` characters, the last of them `…` where something was cut off.
pub fn brief(text: &str, max: usize) -> String {
    cut(&one_line(text), max)
}

/// At most `max` characters of `text`, the last of them `…` where something was cut off.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.truncate(out.trim_end().len());
    if max > 0 {
        out.push(ELLIPSIS);
    }
    out
}

/// Plain text as it is sent: no trailing blanks, never more than one empty line in a row, no empty lines at either end.
pub fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0_usize;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        blank = 0;
        out.push_str(line);
    }
    out
}

/// Escapes Slack's three control characters.
/// Source: <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
pub fn escape_slack(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// Escapes text for HTML content and for attributes in either kind of quotes.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Unicode Bidirectional Algorithm, explicit formatting characters (UAX #9, table 4). The plain marks (LRM, RLM, ALM)
/// are left alone: names in Arabic and Hebrew need them.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_go_and_lines_are_lines() {
        assert_eq!(clean("a\r\nb\rc\u{0}\u{7f}\u{202e}d\u{2028}e\tf"), "a\nb\ncd\ne\tf");
        assert_eq!(one_line("  a \r\n\t b\u{200b}c "), "a b\u{200b}c");
    }

    #[test]
    fn a_cut_is_marked_and_never_too_long() {
        for (text, max, expected) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("ab cd", 4, "ab…"), ("äöüß", 2, "ä…"), ("abc", 0, ""), ("", 0, "")]
        {
            assert_eq!(cut(text, max), expected, "{text} to {max}");
        }
    }

    #[test]
    fn tidy_text_has_single_blank_lines() {
        assert_eq!(tidy("\n\na  \n\n\n\nb\nc\n\n"), "a\n\nb\nc");
    }
}
