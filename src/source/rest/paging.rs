//! How a list goes on, and how its end is known.
//!
//! Invariant: an end is explicit. A page that comes again, a cursor that comes again, an empty page that promises more,
//! or another number of rows than the list says it has, is a fault and never an end.

use std::collections::BTreeSet;

use http::HeaderMap;
use reqwest::Url;
use serde_json::Value;

use super::faults::Faults;
use super::manifest::{PageKind, PageManifest};
use super::pointer::Pointer;
use crate::domain::record::key_hash;

/// How a list goes on, checked.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    pub kind: PageKind,
    send: String,
    next: Option<Pointer>,
    more: Option<Pointer>,
    total: Option<Pointer>,
    pages: Option<Pointer>,
    pub size: Option<(String, u32)>,
    first: u64,
    /// Parameters go into the body.
    pub in_body: bool,
    /// Where one answer is all that is read: whether it is all there is.
    whole: bool,
}

/// The parameters of one call; texts, or numbers where they count.
pub type Parameters = Vec<(String, Value)>;

/// What to ask next.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// The collection's address with these parameters.
    With(Parameters),
    /// An address the server gave.
    At(Url),
}

/// What came with one page.
#[derive(Debug, Clone, Copy)]
pub struct Came<'a> {
    pub document: &'a Value,
    pub headers: &'a HeaderMap,
    /// The address that was asked.
    pub url: &'a Url,
    /// Rows on it, unusable ones included.
    pub rows: u64,
    /// Those that no earlier page had.
    pub fresh: u64,
    /// The key of the last row, as it goes back to the server.
    pub last: Option<&'a str>,
}

/// One list on its way.
#[derive(Debug)]
pub struct Pager<'p> {
    paging: &'p Paging,
    most: u32,
    /// All there is is asked for, so that a number of rows in all can be held against what comes.
    whole: bool,
    next: Option<Step>,
    /// Hashes of the cursors and addresses so far.
    seen: BTreeSet<u64>,
    pages: u32,
    fresh: u64,
}

#[derive(Debug, Clone)]
enum Step {
    First,
    Text(String),
    Number(u64),
    Url(Url),
}

impl Paging {
    pub fn compile(manifest: &PageManifest, is_post: bool, faults: &mut Faults) -> Option<Self> {
        let mut own = Faults::default();
        let paging = compile(manifest, is_post, &mut own);
        let fine = own.is_empty();
        faults.below("page", own);
        fine.then_some(paging)
    }

    /// Whether a list that was read in this way was read to its end: its answers say so, or the manifest does.
    pub fn shows_its_end(&self) -> bool {
        self.shows_its_end_without_total() || self.total.is_some()
    }

    fn shows_its_end_without_total(&self) -> bool {
        self.kind != PageKind::None || self.whole || self.more.is_some()
    }
}

fn compile(manifest: &PageManifest, is_post: bool, faults: &mut Faults) -> Paging {
    use PageKind::{AfterKey, Cursor, None as Single, Offset, Page};
    let kind = manifest.kind;
    let given = [
        ("send", manifest.send.is_some(), &[Cursor, AfterKey, Page, Offset][..]),
        ("next", manifest.next.is_some(), &[Cursor]),
        ("pages", manifest.pages.is_some(), &[Page]),
        ("first", manifest.first.is_some(), &[Page, Offset]),
        ("whole", manifest.whole.is_some(), &[Single]),
    ];
    for (key, there, kinds) in given {
        if there && !kinds.contains(&kind) {
            faults.add(key, "does not go with this kind of pages");
        }
    }
    let send = manifest.send.clone().unwrap_or_else(|| match kind {
        Cursor => "cursor".to_owned(),
        Page => "page".to_owned(),
        Offset => "offset".to_owned(),
        _ => String::new(),
    });
    if kind == AfterKey && send.is_empty() {
        faults.add("send", "is missing: the parameter that takes the last row's key, like \"starting_after\"");
    }
    if kind == Cursor && manifest.next.is_none() {
        faults.add("next", "is missing: the pointer to the next page's cursor, like \"/next_cursor\"");
    }
    if manifest.body && !is_post {
        faults.add("body", "goes with post only");
    }
    if kind == Offset && manifest.size.is_none() {
        faults.add("size", "is missing: the parameter and number of rows a page has, like [\"limit\", 100]");
    }
    if manifest.size.as_ref().is_some_and(|(name, size)| name.is_empty() || !(1..=100_000).contains(size)) {
        faults.add("size", "must be a parameter's name and a number of rows between 1 and 100000");
    }
    let mut pointer = |key: &str, text: &Option<String>| text.as_deref().and_then(|text| faults.one(key, text));
    Paging {
        kind,
        send,
        next: pointer("next", &manifest.next),
        more: pointer("more", &manifest.more),
        total: pointer("total", &manifest.total),
        pages: pointer("pages", &manifest.pages),
        size: manifest.size.clone(),
        first: manifest.first.unwrap_or(u64::from(kind == PageKind::Page)),
        in_body: manifest.body,
        whole: manifest.whole.unwrap_or(true),
    }
}

impl<'p> Pager<'p> {
    /// `most` pages at most; `whole`: of all there is, not only of what is new or recent.
    pub fn new(paging: &'p Paging, most: u32, whole: bool) -> Self {
        Self { paging, most, whole, next: Some(Step::First), seen: BTreeSet::new(), pages: 0, fresh: 0 }
    }

    /// Pages read so far.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// What to ask next; `None` after the explicit end.
    pub fn ask(&self) -> Option<Ask> {
        let step = self.next.as_ref()?;
        if let Step::Url(url) = step {
            return Some(Ask::At(url.clone()));
        }
        let size = self.paging.size.iter().map(|(name, size)| (name.clone(), Value::from(*size)));
        let place = match (step, self.paging.kind) {
            (Step::First, PageKind::Page) => Some(Value::from(self.paging.first)),
            (Step::First | Step::Url(_), _) => None,
            (Step::Text(text), _) => Some(Value::from(text.as_str())),
            (Step::Number(number), _) => Some(Value::from(*number)),
        };
        Some(Ask::With(size.chain(place.map(|place| (self.paging.send.clone(), place))).collect()))
    }

    /// Takes note of a page.
    ///
    /// # Errors
    /// What is wrong with it; the list is over then.
    pub fn took(&mut self, came: Came<'_>) -> Result<(), String> {
        self.pages += 1;
        self.fresh += came.fresh;
        let before = self.next.take();
        let more = self.says_more(came.document)?;
        let next = self.after(before.as_ref(), more, &came)?;
        if let Some(step) = &next {
            if came.rows == 0 {
                return Err(self.fault("is empty yet promises more"));
            }
            if came.fresh == 0 {
                return Err(self.fault("shows only what earlier pages have shown, yet promises more"));
            }
            let mark = match step {
                Step::Text(text) => Some(key_hash(text)),
                Step::Url(url) => Some(key_hash(url.as_str())),
                _ => None,
            };
            if mark.is_some_and(|mark| !self.seen.insert(mark)) {
                return Err(self.fault("names a next page that was there before"));
            }
            if self.pages >= self.most {
                return Err(self.fault("is the last that is read in one look, and there is more"));
            }
        } else {
            self.check_total(came.document)?;
        }
        self.next = next;
        Ok(())
    }

    /// What comes after this page; `None` where the list ends.
    fn after(&self, before: Option<&Step>, more: Option<bool>, came: &Came<'_>) -> Result<Option<Step>, String> {
        if more == Some(false) && self.paging.kind != PageKind::Link {
            return Ok(None);
        }
        match self.paging.kind {
            PageKind::None if more == Some(true) => {
                Err(self.fault("says that there is more, and page says no way to it"))
            }
            PageKind::None => Ok(None),
            PageKind::Cursor => self.cursor(came.document, more),
            PageKind::AfterKey if came.rows == 0 && more.is_none() => Ok(None),
            PageKind::AfterKey => match came.last {
                Some(key) => Ok(Some(Step::Text(key.to_owned()))),
                None if came.rows == 0 => Err(self.fault("is empty yet promises more")),
                None => Err(self.fault("ends in a row without a key, and the next page is asked for by it")),
            },
            PageKind::Page => {
                let number = if let Some(Step::Number(number)) = before { *number } else { self.paging.first };
                let last = self.number(self.paging.pages.as_ref(), came.document, "page.pages")?;
                let is_last = last.is_some_and(|last| u64::from(self.pages) >= last);
                let ended = is_last || (more.is_none() && (came.rows == 0 || self.has_all(came.document)?));
                Ok((!ended).then_some(Step::Number(number.saturating_add(1))))
            }
            PageKind::Offset => {
                let from = if let Some(Step::Number(number)) = before { *number } else { self.paging.first };
                let ended = more.is_none() && (came.rows == 0 || self.has_all(came.document)?);
                Ok((!ended).then_some(Step::Number(from.saturating_add(came.rows))))
            }
            PageKind::Link => {
                next_link(came.headers, came.url).map(|url| url.map(Step::Url)).map_err(|what| self.fault(what))
            }
        }
    }

    fn cursor(&self, document: &Value, more: Option<bool>) -> Result<Option<Step>, String> {
        let next = self.paging.next.as_ref().and_then(|pointer| pointer.get(document));
        let cursor = match next {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => return Err(self.fault("names a next page by something that is no text")),
        };
        match (cursor, more) {
            (None, Some(true)) => Err(self.fault("promises more yet names no next page")),
            (cursor, _) => Ok(cursor.map(Step::Text)),
        }
    }

    /// What the page says of there being more; `None` where it is not asked.
    fn says_more(&self, document: &Value) -> Result<Option<bool>, String> {
        let Some(pointer) = &self.paging.more else { return Ok(None) };
        match pointer.get(document) {
            Some(Value::Bool(more)) => Ok(Some(*more)),
            _ => Err(self.fault(&format!("does not say at {pointer} whether there is more; check page.more"))),
        }
    }

    fn has_all(&self, document: &Value) -> Result<bool, String> {
        let total = self.number(self.paging.total.as_ref(), document, "page.total")?;
        Ok(total.is_some_and(|total| self.fresh >= total))
    }

    /// A list that shows another number of rows than it says it has was cut, or changed while it was read. Where something
    /// else says that this is its end, a number that is not there says nothing.
    fn check_total(&self, document: &Value) -> Result<(), String> {
        let Some(pointer) = self.paging.total.as_ref().filter(|_| self.whole) else { return Ok(()) };
        let total = match pointer.get(document).and_then(Value::as_u64) {
            None if self.paging.shows_its_end_without_total() => return Ok(()),
            _ => self.number(Some(pointer), document, "page.total")?,
        };
        match total {
            Some(total) if self.fresh != total => Err(self
                .fault(&format!("is the last, and the list showed {} rows and says that it has {total}", self.fresh))),
            _ => Ok(()),
        }
    }

    fn number(&self, pointer: Option<&Pointer>, document: &Value, key: &str) -> Result<Option<u64>, String> {
        let Some(pointer) = pointer else { return Ok(None) };
        match pointer.get(document).and_then(Value::as_u64) {
            Some(number) => Ok(Some(number)),
            None => Err(self.fault(&format!("has no count at {pointer}; check {key}"))),
        }
    }

    fn fault(&self, what: &str) -> String {
        format!("page {} {what}", self.pages)
    }
}

/// The address of `rel="next"` (RFC 8288), on the same origin.
fn next_link(headers: &HeaderMap, url: &Url) -> Result<Option<Url>, &'static str> {
    for value in headers.get_all(http::header::LINK) {
        let Ok(text) = value.to_str() else { continue };
        for link in links(text) {
            let Some((target, parameters)) = link.split_once('>') else { continue };
            let is_next = parameters.split(';').any(|p| {
                let (name, rel) = p.split_once('=').unwrap_or((p, ""));
                name.trim().eq_ignore_ascii_case("rel")
                    && rel.trim().trim_matches('"').split_whitespace().any(|r| r.eq_ignore_ascii_case("next"))
            });
            if !is_next {
                continue;
            }
            let Ok(next) = url.join(target.trim().trim_start_matches('<')) else {
                return Err("names a next page that is no address");
            };
            if next.origin() != url.origin() {
                return Err("names a next page on another host; credentials do not go there");
            }
            return Ok(Some(next));
        }
    }
    Ok(None)
}

/// The links of a header: commas inside `<…>` part nothing.
fn links(text: &str) -> Vec<&str> {
    let (mut found, mut from, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            ',' if !inside => {
                found.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    found.extend(text.get(from..));
    found
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
