//! Colours. Blue for what is usual and orange for what is not: kinds of colour blindness tell the two apart (the pair is
//! of Okabe and Ito, <https://jfly.uni-koeln.de/color/>), and nothing is told by its colour alone.

/// What the picture is looked at on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

/// Colours as SVG writes them.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    pub ground: &'static str,
    pub text: &'static str,
    pub muted: &'static str,
    pub grid: &'static str,
    /// Spend as expected, of the stretch the headline speaks of and of the days before it.
    pub bar: &'static str,
    pub bar_before: &'static str,
    /// Spend above the expected range, the same.
    pub high: &'static str,
    pub high_before: &'static str,
    pub range: &'static str,
    pub expected: &'static str,
    pub limit: &'static str,
    pub more: &'static str,
    pub less: &'static str,
}

impl Theme {
    pub fn palette(self) -> Palette {
        match self {
            Self::Light => Palette {
                ground: "#ffffff",
                text: "#1b1f24",
                muted: "#57606a",
                grid: "#e3e7eb",
                bar: "#0072b2",
                bar_before: "#93bfdd",
                high: "#d55e00",
                high_before: "#ecb58c",
                range: "#dfe3e8",
                expected: "#1b1f24",
                limit: "#9b1c64",
                more: "#b34700",
                less: "#00639c",
            },
            Self::Dark => Palette {
                ground: "#16191d",
                text: "#f0f3f6",
                muted: "#adb5be",
                grid: "#2b3138",
                bar: "#56b4e9",
                bar_before: "#2f6a94",
                high: "#f0963c",
                high_before: "#91592a",
                range: "#353c45",
                expected: "#f0f3f6",
                limit: "#f49ac4",
                more: "#f5ab62",
                less: "#7cc7f0",
            },
        }
    }
}
