//! The typeface that comes with the binary: how wide a text is, and which characters there are.
//!
//! No typeface of the machine is ever used, so a picture is the same everywhere.

use std::sync::{Arc, OnceLock};

use resvg::usvg::fontdb::Database;
use skrifa::MetadataProvider as _;
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, charmap::Charmap, metrics::GlyphMetrics};

use crate::render::text::ELLIPSIS;

const REGULAR: &[u8] = include_bytes!("fonts/Inter-Regular.otf");
const BOLD: &[u8] = include_bytes!("fonts/Inter-SemiBold.otf");
/// Stands for a character the typeface does not have.
const MISSING: char = '?';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Regular,
    Bold,
}

impl Weight {
    /// Names are those the files give themselves.
    pub fn family(self) -> &'static str {
        match self {
            Self::Regular => "Inter",
            Self::Bold => "Inter Semi Bold",
        }
    }

    fn font(self) -> Option<FontRef<'static>> {
        let bytes = match self {
            Self::Regular => REGULAR,
            Self::Bold => BOLD,
        };
        FontRef::new(bytes).ok()
    }
}

/// Both weights, for the one who draws.
pub fn database() -> Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    let load = || {
        let mut database = Database::new();
        database.load_font_data(REGULAR.to_vec());
        database.load_font_data(BOLD.to_vec());
        Arc::new(database)
    };
    Arc::clone(FONTS.get_or_init(load))
}

/// Whether every character of `text` can be drawn.
pub fn has_all(text: &str) -> bool {
    Weight::Regular.font().is_some_and(|font| text.chars().all(|c| font.charmap().map(c).is_some()))
}

/// The same text of characters that can be drawn.
pub fn drawable(text: &str) -> String {
    let Some(font) = Weight::Regular.font() else { return String::new() };
    let charmap: Charmap<'_> = font.charmap();
    text.chars().map(|c| if charmap.map(c).is_some() { c } else { MISSING }).collect()
}

/// How wide `text` is at `size`; kerning left aside, which moves it by a hundredth.
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let Some(font) = weight.font() else { return 0.0 };
    // Widths scale with the size.
    let metrics: GlyphMetrics<'_> = font.glyph_metrics(Size::new(1_000.0), LocationRef::default());
    let charmap = font.charmap();
    let advance = |c: char| metrics.advance_width(charmap.map(c)?);
    text.chars().filter_map(advance).map(f64::from).sum::<f64>() * size / 1_000.0
}

/// `text` no wider than `room`, its end replaced by `…` where it is.
pub fn fit(text: &str, size: f64, weight: Weight, room: f64) -> String {
    let whole = drawable(text);
    if width(&whole, size, weight) <= room {
        return whole;
    }
    let mut kept: Vec<char> = whole.chars().collect();
    loop {
        kept.pop();
        let shown = format!("{}{ELLIPSIS}", kept.iter().collect::<String>().trim_end());
        if kept.is_empty() || width(&shown, size, weight) <= room {
            return shown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_typeface_has_what_the_picture_says_and_most_names() {
        assert!(has_all("$1,204 in 7 days – ▲ ▼ … est. Bé Łukasz Ελένη Ольга Ñandú"));
        assert!(!has_all("王"));
        assert_eq!(drawable("王 & Bo"), "? & Bo");
        let families: Vec<String> = database().faces().map(|face| face.families[0].0.clone()).collect();
        assert_eq!(families, [Weight::Regular.family(), Weight::Bold.family()]);
    }

    #[test]
    fn what_is_too_wide_is_cut() {
        let wide = width("mmmmmmmmmm", 20.0, Weight::Regular);
        assert!(wide > width("iiiiiiiiii", 20.0, Weight::Regular) * 2.0);
        let cut = fit("mmmmmmmmmm", 20.0, Weight::Regular, wide / 2.0);
        assert!(cut.ends_with('…') && width(&cut, 20.0, Weight::Regular) <= wide / 2.0, "{cut}");
        assert_eq!(fit("Bo", 20.0, Weight::Bold, wide), "Bo");
        assert_eq!(fit("Bo", 20.0, Weight::Bold, 0.1), "…", "never nothing");
    }
}
