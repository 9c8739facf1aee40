//! The money axis: where an amount stands, and which amounts are written beside it.

/// Lines across the picture, besides the one at the bottom.
const LINES: f64 = 3.0;
/// Part of the height that stays free above the highest amount.
const HEADROOM: f64 = 1.08;

/// From US dollars to places. The lowest amount is at the bottom, which is zero unless something was given back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    least: f64,
    most: f64,
    step: f64,
    top: f64,
    bottom: f64,
}

impl Axis {
    /// For amounts between `least` and `most`, on a height from `top` down to `bottom`.
    pub fn new(least: f64, most: f64, top: f64, bottom: f64) -> Self {
        let most = (most * HEADROOM).max(0.01);
        let step = round_step((most - least.min(0.0)) / LINES);
        let least = (least.min(0.0) / step).floor() * step;
        Self { least, most, step, top, bottom }
    }

    /// Where an amount stands; what is beyond an end stands at it.
    pub fn place(&self, usd: f64) -> f64 {
        let part = ((usd - self.least) / (self.most - self.least)).clamp(0.0, 1.0);
        self.bottom - part * (self.bottom - self.top)
    }

    /// Amounts with a line, from the lowest up.
    pub fn lines(&self) -> Vec<f64> {
        let mut lines = Vec::new();
        let mut at = self.least;
        while at <= self.most && lines.len() < 10 {
            lines.push(at);
            at += self.step;
        }
        lines
    }
}

/// The next round number: 1, 2, 2.5 or 5 times a power of ten.
fn round_step(raw: f64) -> f64 {
    let power = 10.0_f64.powf(raw.max(1e-6).log10().floor());
    let times = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|t| t * power >= raw * 0.999).unwrap_or(10.0);
    times * power
}

/// An amount in few characters: `$0`, `$250`, `$12k`, `$1.5M`, `$2B`.
pub fn label(usd: f64) -> String {
    let sign = if usd < 0.0 { "-" } else { "" };
    let (value, unit) = match usd.abs() {
        v if v >= 9.995e11 => (v / 1e12, "T"),
        v if v >= 9.995e8 => (v / 1e9, "B"),
        v if v >= 999_500.0 => (v / 1e6, "M"),
        v if v >= 9_999.5 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let text = if value < 1.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    let text = if value == 0.0 { "0" } else { text.strip_suffix(".0").unwrap_or(&text) };
    match text.split_once('.') {
        // $2.50, not $2.5
        Some((whole, tenth)) if unit.is_empty() && tenth.len() == 1 => format!("{sign}${whole}.{tenth}0"),
        None if unit.is_empty() && text.len() == 4 => format!("{sign}${},{}", &text[..1], &text[1..]),
        _ => format!("{sign}${text}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_stand_where_they_belong() {
        let axis = Axis::new(0.0, 250.0, 100.0, 300.0);
        assert_eq!(axis.lines(), [0.0, 100.0, 200.0]);
        assert!((axis.place(0.0) - 300.0).abs() < 1e-9 && axis.place(250.0) > 100.0);
        assert!(axis.place(200.0) < axis.place(100.0));
        assert!((axis.place(9e9) - 100.0).abs() < 1e-9, "beyond the end is at the end");
        let back = Axis::new(-30.0, 250.0, 100.0, 300.0);
        assert!(back.lines()[0] < -29.0 && back.place(0.0) < 300.0);
    }

    #[test]
    fn lines_are_few_and_round_whatever_the_amounts() {
        for most in [0.0, 0.004, 0.7, 3.0, 19.0, 99.0, 1_204.0, 48_000.0, 9.2e12] {
            let lines = Axis::new(0.0, most, 0.0, 100.0).lines();
            assert!((2..=5).contains(&lines.len()), "{most}: {lines:?}");
        }
    }

    #[test]
    fn labels_are_short() {
        for (usd, text) in [
            (0.0, "$0"),
            (0.25, "$0.25"),
            (2.5, "$2.50"),
            (20.0, "$20"),
            (1_000.0, "$1,000"),
            (12_500.0, "$12.5k"),
            (20_000.0, "$20k"),
            (2_500_000.0, "$2.5M"),
            (2_000_000_000.0, "$2B"),
            (-1_500_000_000_000.0, "-$1.5T"),
            (-50.0, "-$50"),
        ] {
            assert_eq!(label(usd), text);
        }
    }
}
