//! The picture, 800 units wide. It is shown as small as 400 pixels across, so letters are 21 units and more, and few.

use super::axis::{self, Axis};
use super::letters::{self, Weight};
use super::theme::{Palette, Theme};
use super::{Chart, Day, MOVERS_MAX, Moved};
use crate::domain::money::Micros;
use crate::render::show::day as day_name;
use crate::render::text::{brief, escape_html};

const WIDTH: f64 = 800.0;
const MARGIN: f64 = 32.0;
const TOP: f64 = 182.0;
const BOTTOM: f64 = 392.0;
/// Height without movers, and of each.
const HEIGHT: f64 = 446.0;
const ROW: f64 = 38.0;
const HEADLINE: f64 = 40.0;
const SUBLINE: f64 = 25.0;
const SMALL: f64 = 22.0;
/// Dates written below, and the least room between two of them.
const DATES_MAX: usize = 6;
const GAP: f64 = 14.0;
/// A limit so many times higher than all that is drawn would leave only stumps below it.
const LIMIT_TIMES: f64 = 3.0;
/// Less than this is not drawn.
const THIN: f64 = 0.1;
/// Narrower than this, a day has no room for a sign of its own.
const SIGN: f64 = 13.0;

/// The picture as SVG with text.
pub fn markup(chart: &Chart, theme: Theme) -> String {
    let days = chart.drawn();
    let movers = &chart.movers[..chart.movers.len().min(MOVERS_MAX)];
    let rows = f64::from(u32::try_from(movers.len()).unwrap_or_default());
    let height = HEIGHT + if movers.is_empty() { 0.0 } else { rows.mul_add(ROW, 26.0) };
    let mut sheet = Sheet { chart, days, ink: theme.palette(), out: String::new(), height };
    sheet.ground();
    sheet.head();
    let plot = Plot::of(chart, days);
    sheet.grid(&plot);
    sheet.ranges(&plot);
    sheet.bars(&plot);
    sheet.expectations(&plot);
    sheet.limit(&plot);
    sheet.dates(&plot);
    sheet.movers(movers);
    sheet.finish()
}

/// Where things stand.
struct Plot {
    axis: Axis,
    left: f64,
    /// Width of a day.
    step: f64,
    /// A limit too high to be drawn where it belongs.
    limit_is_far: bool,
}

impl Plot {
    fn of(chart: &Chart, days: &[Day]) -> Self {
        let amounts = |day: &Day| [day.spend, day.expected, day.range.map(|(_, high)| high)];
        let amounts: Vec<f64> = days.iter().flat_map(amounts).flatten().map(Micros::as_f64).collect();
        let (least, most) = amounts.iter().fold((0.0_f64, 0.0_f64), |(a, b), usd| (a.min(*usd), b.max(*usd)));
        let limit = chart.daily_limit.map_or(0.0, Micros::as_f64);
        let limit_is_far = most > 0.0 && limit > most * LIMIT_TIMES;
        let most = if limit_is_far { most } else { most.max(limit) };
        let axis = Axis::new(least, most, TOP, BOTTOM);
        let widest = axis.lines().into_iter().map(|usd| letters::width(&axis::label(usd), SMALL, Weight::Regular));
        let left = MARGIN + widest.fold(0.0, f64::max) + 12.0;
        let count = f64::from(u32::try_from(days.len().max(1)).unwrap_or(u32::MAX));
        // One day alone would be a wall.
        let step = ((WIDTH - MARGIN - left) / count).min(120.0);
        Self { axis, left, step, limit_is_far }
    }

    fn x(&self, at: usize) -> f64 {
        self.left + self.step * f64::from(u32::try_from(at).unwrap_or_default())
    }

    fn usd(&self, amount: Micros) -> f64 {
        self.axis.place(amount.as_f64())
    }
}

#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

struct Sheet<'a> {
    chart: &'a Chart,
    days: &'a [Day],
    ink: Palette,
    out: String,
    height: f64,
}

impl Sheet<'_> {
    fn finish(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{0}\" viewBox=\"0 0 {WIDTH} {0}\">{1}</svg>",
            self.height, self.out
        )
    }

    fn ground(&mut self) {
        let (ink, height) = (self.ink, self.height);
        // Grey for what nobody knows, blue for what is not all yet.
        self.out.push_str(&format!(
            "<defs><pattern id=\"unknown\" width=\"12\" height=\"12\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"3\" height=\"12\" fill=\"{}\" fill-opacity=\"0.45\"/></pattern>\
             <pattern id=\"open\" width=\"9\" height=\"9\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">\
             <rect width=\"5\" height=\"9\" fill=\"{}\"/></pattern></defs>",
            ink.muted, ink.bar
        ));
        self.rect(0.0, 0.0, WIDTH, height, ink.ground);
    }

    /// The number first, then what it is measured by, then what the signs mean.
    fn head(&mut self) {
        let room = WIDTH - 2.0 * MARGIN;
        let (chart, ink) = (self.chart, self.ink);
        let line = super::capital(&chart.headline());
        self.text(
            MARGIN,
            58.0,
            HEADLINE,
            Weight::Bold,
            ink.text,
            Anchor::Start,
            &fitted(&line, HEADLINE, Weight::Bold),
        );
        let whose = chart.whose.as_ref().map(|name| brief(name, 30));
        let parts: Vec<String> = [chart.comparison(), Some(chart.span()), whose].into_iter().flatten().collect();
        let line = letters::fit(&super::capital(&parts.join(" · ")), SUBLINE, Weight::Regular, room);
        self.text(MARGIN, 98.0, SUBLINE, Weight::Regular, ink.text, Anchor::Start, &line);
        self.legend(142.0);
    }

    fn legend(&mut self, y: f64) {
        let (ink, chart) = (self.ink, self.chart);
        let has = |test: fn(&Day) -> bool| self.days.iter().any(test);
        let mut signs = vec![(Sign::Fill(ink.bar), "spent")];
        if has(is_high) {
            signs.push((Sign::Fill(ink.high), "above range"));
        }
        if has(|d| d.range.is_some()) {
            signs.push((Sign::Range, "expected range"));
        } else if has(|d| d.expected.is_some()) {
            signs.push((Sign::Expected, "expected"));
        }
        if chart.open && self.days.last().is_some_and(|d| d.spend.is_some()) {
            signs.push((Sign::Fill("url(#open)"), "so far"));
        }
        if has(|d| d.spend.is_none()) {
            signs.push((Sign::Fill("url(#unknown)"), "unknown"));
        }
        let wide = |sign: &Sign| if matches!(sign, Sign::Fill(_)) { 20.0 } else { 34.0 };
        let takes = |(sign, word): &(Sign, &str)| wide(sign) + 9.0 + letters::width(word, SMALL, Weight::Regular);
        let gaps = f64::from(u32::try_from(signs.len().saturating_sub(1)).unwrap_or_default());
        let left = WIDTH - 2.0 * MARGIN - signs.iter().map(takes).sum::<f64>();
        let gap = (left / gaps.max(1.0)).clamp(8.0, 24.0);
        let mut x = MARGIN;
        for (sign, word) in signs {
            let (next, wide) = (x + takes(&(sign, word)) + gap, wide(&sign));
            match sign {
                Sign::Fill(fill) => self.rect(x, y - 17.0, wide, 20.0, fill),
                Sign::Range => {
                    self.rect(x, y - 17.0, wide, 20.0, ink.range);
                    self.line(x, x + wide, y - 7.0, ink.expected, 3.0);
                }
                Sign::Expected => self.line(x, x + wide, y - 7.0, ink.expected, 3.0),
            }
            self.text(x + wide + 9.0, y, SMALL, Weight::Regular, ink.muted, Anchor::Start, word);
            x = next;
        }
    }

    fn grid(&mut self, plot: &Plot) {
        let ink = self.ink;
        for usd in plot.axis.lines() {
            let y = plot.axis.place(usd);
            let (colour, width) = if usd == 0.0 { (ink.muted, 2.0) } else { (ink.grid, 2.0) };
            self.line(plot.left, WIDTH - MARGIN, y, colour, width);
            self.text(plot.left - 12.0, y + 7.5, SMALL, Weight::Regular, ink.muted, Anchor::End, &axis::label(usd));
        }
    }

    fn ranges(&mut self, plot: &Plot) {
        for (at, day) in self.days.iter().enumerate() {
            let Some((low, high)) = day.range else { continue };
            let (top, bottom) = (plot.usd(high), plot.usd(low));
            // Crisp, or seams would show between the days.
            self.out.push_str(&format!(
                "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" shape-rendering=\"crispEdges\"/>",
                plot.x(at),
                plot.step + 0.1,
                (bottom - top).max(1.0),
                self.ink.range
            ));
        }
    }

    fn bars(&mut self, plot: &Plot) {
        let ink = self.ink;
        let last = self.days.len().saturating_sub(1);
        for (at, day) in self.days.iter().enumerate() {
            let x = plot.x(at);
            let Some(spend) = day.spend else {
                self.rect(x, TOP, plot.step, BOTTOM - TOP, "url(#unknown)");
                if plot.step >= SIGN {
                    let y = plot.axis.place(0.0) - 10.0;
                    self.text(x + plot.step / 2.0, y, SMALL, Weight::Bold, ink.text, Anchor::Middle, "?");
                }
                continue;
            };
            let (zero, y) = (plot.axis.place(0.0), plot.usd(spend));
            let (top, tall) = if y < zero { (y, zero - y) } else { (zero, y - zero) };
            let (x, wide) = (x + plot.step * 0.16, plot.step * 0.68);
            let colour = match (is_high(day), self.chart.is_told(day.date)) {
                (true, true) => ink.high,
                (true, false) => ink.high_before,
                (false, true) => ink.bar,
                (false, false) => ink.bar_before,
            };
            if self.chart.open && at == last && tall >= THIN {
                self.rect(x, top, wide, tall, ink.ground);
                self.rect(x, top, wide, tall, "url(#open)");
                self.out.push_str(&format!(
                    "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" fill=\"none\" \
                     stroke=\"{}\" stroke-width=\"2\"/>",
                    ink.bar
                ));
            } else {
                self.rect(x, top, wide, tall, colour);
            }
        }
    }

    /// The expected amount across each day, above the bars.
    fn expectations(&mut self, plot: &Plot) {
        for (at, day) in self.days.iter().enumerate() {
            let Some(expected) = day.expected else { continue };
            let (x, y) = (plot.x(at), plot.usd(expected));
            self.line(x, x + plot.step, y, self.ink.ground, 6.0);
            self.line(x, x + plot.step, y, self.ink.expected, 3.0);
        }
    }

    fn limit(&mut self, plot: &Plot) {
        let Some(limit) = self.chart.daily_limit else { return };
        let colour = self.ink.limit;
        let label = format!("budget {} a day", super::amount(limit));
        if plot.limit_is_far {
            self.label(WIDTH - MARGIN, TOP - 2.0, colour, &format!("▲ {label}"));
            return;
        }
        let y = plot.usd(limit);
        self.out.push_str(&format!(
            "<path d=\"M{:.1} {y:.1}H{:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"3\" stroke-dasharray=\"10 6\"/>",
            plot.left,
            WIDTH - MARGIN
        ));
        let wide = letters::width(&label, SMALL, Weight::Bold);
        let ends = [WIDTH - MARGIN, plot.left + wide + 8.0];
        let is_free = |right: &f64| self.is_free(plot, right - wide, *right, y);
        let right = ends.into_iter().find(is_free).unwrap_or(WIDTH - MARGIN);
        self.label(right, y - 9.0, colour, &label);
    }

    /// Whether no bar between two places comes as high as `y`.
    fn is_free(&self, plot: &Plot, from: f64, to: f64, y: f64) -> bool {
        let reaches = |day: &Day| day.spend.is_none_or(|spend| plot.usd(spend) < y);
        !self.days.iter().enumerate().any(|(at, day)| reaches(day) && plot.x(at + 1) > from && plot.x(at) < to)
    }

    /// Text over whatever is drawn there.
    fn label(&mut self, right: f64, y: f64, colour: &str, text: &str) {
        let wide = letters::width(text, SMALL, Weight::Bold);
        self.out.push_str(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"25\" rx=\"4\" fill=\"{}\" fill-opacity=\"0.86\"/>",
            right - wide - 6.0,
            y - 19.0,
            wide + 12.0,
            self.ink.ground
        ));
        self.text(right, y, SMALL, Weight::Bold, colour, Anchor::End, text);
    }

    /// At most six dates, the last day's always, and none that would touch the one after it.
    fn dates(&mut self, plot: &Plot) {
        let (count, to) = (self.days.len(), self.chart.to);
        let widest = letters::width("30 Nov", SMALL, Weight::Regular) + GAP;
        let mut every = count.div_ceil(DATES_MAX).max(1);
        while plot.x(every) - plot.x(0) < widest && every < count {
            every += 1;
        }
        let mut free = WIDTH;
        for (at, day) in self.days.iter().enumerate().rev().step_by(every) {
            let text = day_name(day.date, to);
            let half = letters::width(&text, SMALL, Weight::Regular) / 2.0;
            let x = (plot.x(at) + plot.step / 2.0).clamp(MARGIN + half, WIDTH - MARGIN - half);
            if x + half > free {
                continue;
            }
            free = x - half - GAP;
            self.text(x, BOTTOM + 30.0, SMALL, Weight::Regular, self.ink.muted, Anchor::Middle, &text);
        }
    }

    fn movers(&mut self, movers: &[Moved]) {
        let ink = self.ink;
        if movers.is_empty() {
            return;
        }
        self.line(MARGIN, WIDTH - MARGIN, HEIGHT, ink.grid, 2.0);
        let by = |moved: &Moved| {
            let (arrow, colour) = if moved.actual > moved.expected { ("▲", ink.more) } else { ("▼", ink.less) };
            (format!("{arrow} {}", moved.by()), colour)
        };
        let widths = movers.iter().map(|moved| letters::width(&by(moved).0, SMALL, Weight::Regular));
        let by_left = WIDTH - MARGIN - widths.fold(0.0, f64::max);
        let mut y = HEIGHT + ROW;
        for moved in movers {
            let (by, colour) = by(moved);
            self.text(by_left, y, SMALL, Weight::Regular, colour, Anchor::Start, &by);
            let spent = super::amount(moved.actual);
            self.text(by_left - 22.0, y, SMALL, Weight::Bold, ink.text, Anchor::End, &spent);
            let room = by_left - letters::width(&spent, SMALL, Weight::Bold) - 44.0 - MARGIN;
            let name = letters::fit(&brief(&moved.name, super::NAME), SMALL, Weight::Regular, room.max(60.0));
            self.text(MARGIN, y, SMALL, Weight::Regular, ink.text, Anchor::Start, &name);
            y += ROW;
        }
    }

    /// Nothing where it has no height: a day without spend is empty ground.
    fn rect(&mut self, x: f64, y: f64, wide: f64, tall: f64, fill: &str) {
        if tall < THIN {
            return;
        }
        self.out.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" fill=\"{fill}\"/>"
        ));
    }

    fn line(&mut self, from: f64, to: f64, y: f64, colour: &str, width: f64) {
        self.out.push_str(&format!(
            "<path d=\"M{from:.1} {y:.1}H{to:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        ));
    }

    /// The only way a text gets into the picture.
    #[expect(clippy::too_many_arguments, reason = "what a text has, and it is called in one file")]
    fn text(&mut self, x: f64, y: f64, size: f64, weight: Weight, colour: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.out.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-family=\"{}\" font-size=\"{size}\" fill=\"{colour}\" \
             text-anchor=\"{anchor}\">{}</text>",
            weight.family(),
            escape_html(&letters::drawable(text))
        ));
    }
}

/// How a thing looks in the picture.
#[derive(Clone, Copy)]
enum Sign {
    Fill(&'static str),
    Range,
    Expected,
}

fn is_high(day: &Day) -> bool {
    matches!((day.spend, day.range), (Some(spend), Some((_, high))) if spend > high)
}

fn fitted(text: &str, size: f64, weight: Weight) -> String {
    letters::fit(text, size, weight, WIDTH - 2.0 * MARGIN)
}
