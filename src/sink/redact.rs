//! Takes secrets out of what a receiver said, before it is kept or shown.
//!
//! Invariant: text that went through [`Redactor::clean`] holds none of the secrets it was built with, in none of the
//! spellings a receiver is likely to echo them in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::domain::delivery::{EXCERPT_BYTES, cut};
use crate::http::Reply;

/// What stands in for a secret.
const MARK: &str = "…";
/// Shorter parts of a URL's path are words, not tokens.
const TOKEN_BYTES: usize = 6;
/// Shorter values of a URL's query are numbers and switches.
const WORD_BYTES: usize = 3;
/// Shorter user names are parts of too many words; they go where they stand alone.
const NAME_BYTES: usize = 4;
/// A shorter end of a cut text is not worth taking for the beginning of a secret.
const STUMP_BYTES: usize = 4;

/// Knows the secrets of one sink.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first.
    needles: Vec<Needle>,
}

#[derive(Clone)]
struct Needle {
    /// Lower case.
    text: String,
    /// Only where no letter or digit stands beside it.
    alone: bool,
}

impl Redactor {
    /// Adds a secret: a token, a password, a key.
    #[must_use]
    pub fn secret(self, text: &str) -> Self {
        self.with(text.trim(), false)
    }

    fn with(mut self, text: &str, alone: bool) -> Self {
        self.add(text, alone);
        self.add(&STANDARD.encode(text), alone);
        self.add(text.strip_prefix("whsec_").unwrap_or(text), alone);
        self
    }

    /// Adds a URL with all in it that may be a secret: credentials, path, query.
    #[must_use]
    pub fn url(self, url: &Url) -> Self {
        let mut this = self.credentials(url);
        this.add(url.as_str(), false);
        this.add(url.as_str().trim_end_matches('/'), false);
        for part in url.path().split('/').chain([url.path()]).filter(|part| part.len() >= TOKEN_BYTES) {
            this.add(part, false);
        }
        if let Some(query) = url.query() {
            this.add(query, false);
            for (_, value) in url.query_pairs().filter(|(_, value)| value.len() >= WORD_BYTES) {
                this.add(&value, false);
            }
        }
        this
    }

    /// Adds the user and password of a URL.
    #[must_use]
    pub fn credentials(mut self, url: &Url) -> Self {
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or("")));
        if !password.is_empty() {
            // As in HTTP Basic (RFC 7617) and SASL PLAIN (RFC 4616).
            self.add(&STANDARD.encode(format!("{user}:{password}")), false);
            self.add(&STANDARD.encode(format!("\0{user}\0{password}")), false);
        }
        let user = user.trim();
        self.with(user, user.len() < NAME_BYTES).secret(&password)
    }

    /// The text without secrets and control characters, at most [`EXCERPT_BYTES`] of it.
    pub fn clean(&self, text: &str) -> String {
        cut(&self.mask(&plain(text)), EXCERPT_BYTES)
    }

    /// The body of an answer, cleaned. `cap` is what it was read to.
    pub fn body(&self, reply: &Reply, cap: usize) -> String {
        let text = self.mask(&plain(&String::from_utf8_lossy(&reply.body)));
        let whole = if reply.body.len() < cap { text.as_str() } else { self.without_stump(&text) };
        cut(whole.trim(), EXCERPT_BYTES)
    }

    /// Adds a text in the spellings it may come back in.
    fn add(&mut self, text: &str, alone: bool) {
        let json = serde_json::Value::from(text).to_string();
        let spellings = [
            text.to_owned(),
            decoded(text),
            utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
            json.trim_matches('"').to_owned(),
            json.trim_matches('"').replace('/', "\\/"),
            text.trim_end_matches('=').to_owned(),
        ];
        for spelling in spellings.into_iter().chain(escaped(text)) {
            let text = spelling.to_ascii_lowercase();
            match self.needles.iter_mut().find(|needle| needle.text == text) {
                Some(known) => known.alone &= alone,
                None if text.is_empty() => {}
                None => self.needles.push(Needle { text, alone }),
            }
        }
        self.needles.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then_with(|| a.text.cmp(&b.text)));
    }

    /// Every stretch that any needle covers becomes one mark, so that overlapping secrets leave nothing over.
    fn mask(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let lower = text.to_ascii_lowercase();
        let mut hits: Vec<(usize, usize)> = Vec::new();
        for needle in &self.needles {
            let found = lower.match_indices(needle.text.as_str()).map(|(at, hit)| (at, at + hit.len()));
            hits.extend(found.filter(|hit| !needle.alone || stands_alone(&lower, *hit)));
        }
        hits.sort_unstable();
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for (start, end) in hits {
            if start >= done {
                out.push_str(text.get(done..start).unwrap_or_default());
                out.push_str(MARK);
            }
            done = done.max(end);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// A cut text may end in the first part of a secret; that goes as well.
    fn without_stump<'a>(&self, text: &'a str) -> &'a str {
        let lower = text.to_ascii_lowercase();
        let stump = |needle: &Needle| {
            let ends = |n: &usize| needle.text.get(..*n).is_some_and(|head| lower.ends_with(head));
            (STUMP_BYTES..needle.text.len()).rev().find(ends)
        };
        let longest = self.needles.iter().filter_map(stump).max().unwrap_or(0);
        text.get(..text.len() - longest).unwrap_or_default()
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} needles)", self.needles.len())
    }
}

/// Text without control characters (a terminal may show it), line ends kept.
fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != '\r').map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// The text as web pages write it.
fn escaped(text: &str) -> impl Iterator<Item = String> {
    let plain = text.replace('&', "&amp;");
    let angled = plain.replace('<', "&lt;").replace('>', "&gt;");
    let quotes = ["&quot;", "&#34;", "&#x22;", "\""];
    let ticks = ["&#39;", "&#x27;", "&apos;", "'"];
    let pairs = quotes.into_iter().flat_map(move |quote| ticks.map(|tick| (quote, tick)));
    let both = pairs.map(move |(quote, tick)| angled.replace('"', quote).replace('\'', tick));
    both.chain([plain])
}

fn stands_alone(text: &str, (start, end): (usize, usize)) -> bool {
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let after = text.get(end..).and_then(|text| text.chars().next());
    ![before, after].into_iter().flatten().any(char::is_alphanumeric)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const URL: &str = "https://user:p%40ss@hooks.example.com/services/T0001/B0002tok/XyZ123456?sig=a%2Bb&n=1";

    fn redactor() -> Redactor {
        Redactor::default().url(&Url::parse(URL).unwrap()).secret("whsec_c2VjcmV0c2VjcmV0")
    }

    #[test]
    fn every_spelling_goes() {
        let r = redactor();
        for (text, left) in [
            (format!("no route for {URL}"), "hooks"),
            ("GET /services/T0001/B0002tok/XyZ123456 failed".into(), "XyZ"),
            ("token xyz123456 is unknown".into(), "xyz"),
            ("https:\\/\\/hooks.example.com\\/services\\/T0001\\/B0002tok\\/XyZ123456".into(), "XyZ"),
            ("sig was a+b or a%2Bb".into(), "a+b"),
            ("sig was a%2Bb".into(), "a%2Bb"),
            ("password p@ss".into(), "p@ss"),
            (format!("Authorization: Basic {}", STANDARD.encode("user:p@ss")), &STANDARD.encode("user:p@ss")[..6]),
            ("key c2VjcmV0c2VjcmV0".into(), "c2VjcmV0"),
        ] {
            let cleaned = r.clean(&text);
            assert!(cleaned.contains(MARK) && !cleaned.contains(left), "{cleaned}");
        }
        assert_eq!(r.clean("not found"), "not found");
    }

    #[test]
    fn what_a_web_page_makes_of_a_secret_goes() {
        let r = Redactor::default().secret("a<b>\"c'&d");
        for page in [
            "a&lt;b&gt;&quot;c&#39;&amp;d",
            "a&lt;b&gt;&#34;c&#x27;&amp;d",
            "A&lt;B&gt;&QUOT;C&#X27;&AMP;D",
            "a&lt;b&gt;\"c'&amp;d",
            "a<b>\"c'&amp;d",
        ] {
            assert_eq!(r.clean(&format!("<p>{page}</p>")), "<p>…</p>");
        }
    }

    #[test]
    fn overlapping_secrets_leave_nothing_over() {
        let r = Redactor::default().secret("abcdef").secret("defghi");
        assert_eq!(r.clean("x abcdefghi y"), "x … y");
    }

    #[test]
    fn a_secret_cut_off_at_the_cap_leaves_no_stump() {
        let r = Redactor::default().secret("whsec_0123456789abcdef");
        let text = format!("{}whsec_01234567", "whsec_0123456789abcdef ".repeat(3));
        let reply = Reply {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: Bytes::from(text.clone().into_bytes()),
        };
        assert_eq!(r.body(&reply, text.len()), "… … …");
        assert!(r.body(&reply, text.len() + 1).ends_with("01234567"));
    }

    #[test]
    fn a_short_user_name_goes_where_it_stands_alone() {
        let of = |url: &str| Redactor::default().credentials(&Url::parse(url).unwrap());
        let r = of("smtp://ab:pw@mail.example.com");
        assert_eq!(r.clean("no table for AB, cabs or <ab@example.com>"), "no table for …, cabs or <…@example.com>");
        assert_eq!(r.clean("hopw, pw"), "ho…, …", "a password goes wherever it stands");
        assert_eq!(of("smtp://anna:pw2@mail.example.com").clean("johanna"), "joh…");
        let both = of("smtp://ab:ab@mail.example.com").clean("table");
        assert_eq!(both, "t…le", "a user name that is the password as well");
    }

    #[test]
    fn controls_go_and_lines_stay() {
        assert_eq!(redactor().clean("a\x1b[31mb\r\nc"), "a [31mb\nc");
        assert_eq!(format!("{:?}", Redactor::default()), "Redactor(0 needles)");
    }

    proptest! {
        #[test]
        fn a_secret_never_survives(before in ".{0,40}", secret in "[!-~]{8,40}", after in ".{0,40}") {
            let cleaned = Redactor::default().secret(&secret).clean(&format!("{before}{secret}{after}"));
            prop_assert!(!cleaned.contains(&secret));
        }
    }
}
