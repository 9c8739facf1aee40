//! The spend chart: a picture of spend a day against what was to be expected and the budget, and who moved most.
//!
//! Pure: the same chart is the same bytes on every machine. Invariants: a day nobody answered for never looks like a
//! day without spend; whatever names say, the picture stays well-formed and within [`PNG_BYTES`].

mod axis;
mod digest;
mod drawing;
mod letters;
mod theme;

use jiff::civil::Date;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, WriteOptions};

use super::show::{day, percent, usd_rounded};
use super::text::{brief, escape_html};
use crate::domain::money::Micros;
use crate::domain::time::{days_between, plus_days};

pub use theme::Theme;

/// Days drawn; of more, the newest. At this number a day is 6 units wide.
pub const DAYS_MAX: usize = 120;
/// Movers named; more would be a table.
pub const MOVERS_MAX: usize = 3;
/// Largest picture. Charts of 120 days take about half of it.
pub const PNG_BYTES: usize = 180_000;
/// Pixels for each of the picture's 800 units across, so that it is sharp on dense screens.
const SCALE: f32 = 2.0;
/// Characters of the words beside the picture; Slack takes 2,000, people less.
const ALT: usize = 500;
/// Characters that no XML may hold, besides controls (<https://www.w3.org/TR/xml/#charsets>).
const NO_XML: [char; 2] = ['\u{fffe}', '\u{ffff}'];
/// Characters of a name.
const NAME: usize = 60;

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Whose spend, unless it is everybody's.
    pub whose: Option<String>,
    /// First and last day of the stretch the headline speaks of; days before it are drawn paler.
    pub from: Date,
    pub to: Date,
    /// Spent in the stretch.
    pub total: Micros,
    /// What was to be expected of it.
    pub expected: Option<Micros>,
    /// Part of the total is worked out, not billed.
    pub estimated: bool,
    /// The last day is not over.
    pub open: bool,
    /// Oldest first; the last [`DAYS_MAX`] are drawn.
    pub days: Vec<Day>,
    /// The limit of a day.
    pub daily_limit: Option<Micros>,
    /// The first [`MOVERS_MAX`] are named.
    pub movers: Vec<Moved>,
}

/// One day.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    pub date: Date,
    /// `None` where nobody answered for the day.
    pub spend: Option<Micros>,
    pub expected: Option<Micros>,
    /// Most days lie between these two.
    pub range: Option<(Micros, Micros)>,
}

/// Who spent more, or less, than usual.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// From outside.
    pub name: String,
    pub actual: Micros,
    pub expected: Micros,
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    #[error("there is no day to draw")]
    Empty,
    #[error("the picture can't be drawn: {0}")]
    Drawing(String),
    #[error("the picture would be larger than {PNG_BYTES} bytes")]
    TooLarge,
}

impl Chart {
    /// The picture as SVG, its letters as outlines: it needs no typeface and looks the same everywhere.
    pub fn svg(&self, theme: Theme) -> Result<String, ChartError> {
        let options = WriteOptions { coordinates_precision: 2, transforms_precision: 5, ..WriteOptions::default() };
        let outlined = self.tree(theme)?.to_string(&options);
        // Letters that became outlines say nothing to who can't see them.
        let said: String = self.alt().chars().filter(|c| !NO_XML.contains(c)).collect();
        let said = format!("<title>{}</title>", escape_html(&said));
        match outlined.find("<svg").and_then(|at| outlined[at..].find('>').map(|end| at + end)) {
            Some(end) => Ok(format!("{} role=\"img\">{said}{}", &outlined[..end], &outlined[end + 1..])),
            None => Err(ChartError::Drawing("it has no beginning".to_owned())),
        }
    }

    /// The picture as PNG, 1,600 pixels wide.
    pub fn png(&self, theme: Theme) -> Result<Vec<u8>, ChartError> {
        let tree = self.tree(theme)?;
        let png = rasterize(&tree, SCALE)?;
        if png.len() <= PNG_BYTES {
            return Ok(png);
        }
        Some(rasterize(&tree, 1.0)?).filter(|png| png.len() <= PNG_BYTES).ok_or(ChartError::TooLarge)
    }

    /// `$1,204 in 7 days`.
    pub fn headline(&self) -> String {
        let least = if self.is_partial() { "at least " } else { "" };
        let estimated = if self.estimated { "est. " } else { "" };
        let span = match self.span_days() {
            1 => format!("on {}", day(self.from, self.to)),
            days => format!("in {days} days"),
        };
        format!("{least}{estimated}{} {span}", amount(self.total))
    }

    /// `expected $980, 23 % more`; `None` with too little history.
    pub fn comparison(&self) -> Option<String> {
        let expected = self.expected?;
        let moved =
            (self.total - expected).percent_of(expected).filter(|_| !self.is_partial() || self.total > expected);
        let moved = moved.map(|p| (p.abs().round(), if p > 0.0 { "more" } else { "less" }));
        let moved = moved.filter(|(p, _)| *p >= 1.0).map(|(p, word)| format!(", {} {word}", percent(p)));
        Some(format!("expected {}{}", amount(expected), moved.unwrap_or_default()))
    }

    /// The picture in words, for who can't see it.
    pub fn alt(&self) -> String {
        let drawn = self.drawn();
        let whose = self.whose.as_ref().map_or(String::new(), |name| format!(" of {}", brief(name, NAME)));
        let mut said = format!("Chart of spend a day{whose}. {}", capital(&self.headline()));
        said.extend(self.comparison().map(|text| format!(", {text}")));
        let highest = drawn.iter().filter_map(|d| Some((d.spend?, d.date))).max();
        if let Some((spent, date)) = highest.filter(|(spent, _)| drawn.len() > 1 && *spent > Micros::ZERO) {
            said.push_str(&format!(". Highest day: {}, {}", day(date, self.to), amount(spent)));
        }
        if let Some(limit) = self.daily_limit {
            let over = drawn.iter().filter(|d| d.spend.is_some_and(|spent| spent >= limit)).count();
            said.push_str(&format!(". Budget {} a day, reached on {over} of {} days", amount(limit), drawn.len()));
        }
        match drawn.iter().filter(|d| d.spend.is_none()).count() {
            0 => {}
            1 => said.push_str(". 1 day is unknown"),
            unknown => said.push_str(&format!(". {unknown} days are unknown")),
        }
        let moved: Vec<String> = self.movers.iter().take(MOVERS_MAX).map(Moved::alt).collect();
        if !moved.is_empty() {
            said.push_str(&format!(". Moved most: {}", moved.join("; ")));
        }
        brief(&format!("{said}."), ALT)
    }

    /// `16 – 22 Nov 2026`.
    fn span(&self) -> String {
        let (from, to) = (self.from, self.to);
        let to_text = to.strftime("%-d %b %Y");
        match () {
            () if from == to => to_text.to_string(),
            () if (from.year(), from.month()) == (to.year(), to.month()) => format!("{} – {to_text}", from.day()),
            () => format!("{} – {to_text}", day(from, to)),
        }
    }

    fn span_days(&self) -> i64 {
        days_between(self.from, self.to) + 1
    }

    /// What is known is less than what will be.
    fn is_partial(&self) -> bool {
        self.open || self.drawn().iter().any(|d| self.is_told(d.date) && d.spend.is_none())
    }

    /// Whether the headline speaks of the day.
    fn is_told(&self, date: Date) -> bool {
        self.from <= date && date <= self.to
    }

    fn drawn(&self) -> &[Day] {
        &self.days[self.days.len().saturating_sub(DAYS_MAX)..]
    }

    fn tree(&self, theme: Theme) -> Result<Tree, ChartError> {
        if self.days.is_empty() {
            return Err(ChartError::Empty);
        }
        let options = Options {
            font_family: letters::Weight::Regular.family().to_owned(),
            fontdb: letters::database(),
            // Nothing is ever loaded from elsewhere.
            resources_dir: None,
            ..Options::default()
        };
        Tree::from_str(&drawing::markup(self, theme), &options).map_err(|e| ChartError::Drawing(e.to_string()))
    }
}

impl Moved {
    /// `$300 more than usual`.
    fn by(&self) -> String {
        let (by, word) = match self.actual - self.expected {
            up if up > Micros::ZERO => (up, "more"),
            down => (Micros::ZERO - down, "less"),
        };
        format!("{} {word} than usual", amount(by))
    }

    fn alt(&self) -> String {
        format!("{} {}, {}", brief(&self.name, NAME), amount(self.actual), self.by())
    }
}

/// The best name of several that the typeface can write; the first where it can write none.
pub fn writable_name<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| brief(n, NAME)).filter(|n| !n.is_empty()).collect();
    names.iter().find(|name| letters::has_all(name)).or(names.first()).cloned().unwrap_or_default()
}

/// `$1,204`, and from ten millions on `$12.3M`, `$1.23B`: in full they have no room.
fn amount(of: Micros) -> String {
    /// Three figures are said of what is large.
    const LARGE: [(i64, &str); 3] = [(1_000_000, "M"), (1_000_000_000, "B"), (1_000_000_000_000, "T")];
    const FIRST: i64 = 10_000_000;
    let dollars = of.0 / Micros::PER_DOLLAR;
    let whole = dollars.saturating_abs();
    if whole < FIRST {
        return usd_rounded(of);
    }
    // One that would be rounded to a thousand of its unit is one of the next.
    let fits = |(unit, _): &&(i64, &str)| whole < unit.saturating_mul(1_000) - unit / 2;
    let (unit, letter) = LARGE.iter().find(fits).copied().unwrap_or(LARGE[2]);
    let decimals = match whole / unit {
        ..=9 => 2,
        10..=99 => 1,
        _ => 0,
    };
    let cut = unit / 10_i64.pow(decimals);
    let figures = (whole + cut / 2) / cut;
    let (before, after) = (figures / 10_i64.pow(decimals), figures % 10_i64.pow(decimals));
    let sign = if dollars < 0 { "-" } else { "" };
    let digits = usize::try_from(decimals).unwrap_or_default();
    let after = format!("{after:0digits$}");
    let after = after.trim_end_matches('0');
    let point = if decimals == 0 || after.is_empty() { String::new() } else { format!(".{after}") };
    format!("{sign}${before}{point}{letter}")
}

fn capital(text: &str) -> String {
    super::show::capitalize(text)
}

fn rasterize(tree: &Tree, scale: f32) -> Result<Vec<u8>, ChartError> {
    let size = tree.size().to_int_size().scale_by(scale);
    let pixmap = size.and_then(|size| Pixmap::new(size.width(), size.height()));
    let mut pixmap = pixmap.ok_or_else(|| ChartError::Drawing("it has no size".to_owned()))?;
    resvg::render(tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|e| ChartError::Drawing(e.to_string()))
}

/// The days from `from` to `to`, those without an entry in `known` unknown.
pub fn days_of(from: Date, to: Date, mut known: impl FnMut(Date) -> Option<Day>) -> Vec<Day> {
    let mut days = Vec::new();
    let mut date = from;
    while date <= to && days.len() < DAYS_MAX {
        days.push(known(date).unwrap_or(Day { date, spend: None, expected: None, range: None }));
        date = plus_days(date, 1);
    }
    days
}

#[cfg(test)]
mod tests;
