use jiff::civil::date;

use super::*;

fn dollars(usd: i64) -> Micros {
    Micros(usd * Micros::PER_DOLLAR)
}

/// Four weeks with quiet weekends, one dear day, and a day nobody answered for.
fn chart() -> Chart {
    let (from, to) = (date(2026, 11, 16), date(2026, 11, 22));
    let first = date(2026, 10, 26);
    let days = days_of(first, to, |date| {
        let n = days_between(first, date);
        let weekend = n % 7 >= 5;
        let usual = if weekend { 40 } else { 160 + n * 7 % 23 };
        let spend = match n {
            11 => return None,
            24 => 412,
            _ => usual + n * 13 % 31 - 12,
        };
        Some(Day {
            date,
            spend: Some(dollars(spend)),
            expected: Some(dollars(usual)),
            range: Some((dollars(usual * 7 / 10), dollars(usual * 14 / 10))),
        })
    });
    let total = days.iter().filter(|d| d.date >= from).filter_map(|d| d.spend).sum();
    let moved = |name: &str, actual, expected| Moved {
        name: name.to_owned(),
        actual: dollars(actual),
        expected: dollars(expected),
    };
    let movers =
        vec![moved("ana@example.com", 412, 112), moved("Bo Ödegård", 60, 145), moved("cy@example.com", 88, 40)];
    Chart {
        whose: None,
        from,
        to,
        total,
        expected: Some(dollars(980)),
        estimated: false,
        open: false,
        days,
        daily_limit: Some(dollars(300)),
        movers,
    }
}

#[test]
fn the_number_comes_first_and_says_how_sure_it_is() {
    let mut chart = Chart { total: dollars(1_204), ..chart() };
    assert_eq!(chart.headline(), "$1,204 in 7 days");
    assert_eq!(chart.comparison().as_deref(), Some("expected $980, 23 % more"));
    assert_eq!(chart.span(), "16 – 22 Nov 2026");
    chart.estimated = true;
    chart.open = true;
    assert_eq!(chart.headline(), "at least est. $1,204 in 7 days");
    chart.total = dollars(500);
    assert_eq!(chart.comparison().as_deref(), Some("expected $980"), "what is not over is not less");
    chart.from = chart.to;
    assert_eq!(chart.headline(), "at least est. $500 on 22 Nov");
    chart.expected = None;
    assert_eq!(chart.comparison(), None);
}

#[test]
fn an_unknown_day_is_hatched_and_never_a_bar() {
    let mut chart = chart();
    let hatched = |chart: &Chart| drawing::markup(chart, Theme::Light).matches("url(#unknown)").count();
    assert_eq!(hatched(&chart), 2, "the day and its sign");
    chart.days[11].spend = Some(Micros::ZERO);
    assert_eq!(hatched(&chart), 0);
    let bars = |chart: &Chart| drawing::markup(chart, Theme::Light).matches("<rect").count();
    let known = bars(&chart);
    chart.days[27].spend = None;
    assert_eq!((bars(&chart), hatched(&chart)), (known + 1, 2), "its hatching in the place of its bar, and the sign");
    assert!(chart.headline().starts_with("at least "), "the sum lacks it");
    assert!(chart.alt().contains("1 day is unknown"));
}

#[test]
fn a_day_that_is_not_over_looks_so() {
    let open = Chart { open: true, ..chart() };
    let markup = drawing::markup(&open, Theme::Light);
    assert_eq!((markup.matches("url(#open)").count(), markup.matches(">so far<").count()), (2, 1));
    assert!(!drawing::markup(&chart(), Theme::Light).contains("url(#open)"));
}

#[test]
fn names_are_data_whatever_they_say() {
    let hostile = "</text><script>alert(1)</script>\u{0}\u{fffe}\u{202e}\"'&amp;]]><!--".repeat(40);
    let mut chart = Chart { whose: Some(hostile.clone()), ..chart() };
    for moved in &mut chart.movers {
        moved.name.clone_from(&hostile);
    }
    chart.movers.extend(chart.movers.clone());
    for theme in [Theme::Light, Theme::Dark] {
        let svg = chart.svg(theme).unwrap();
        assert!(!svg.contains("<script") && !svg.contains("<text") && !svg.contains('\u{202e}'), "{svg}");
        Tree::from_str(&svg, &Options::default()).unwrap();
        assert!(!drawing::markup(&chart, theme).contains("<script"));
    }
    assert!(chart.alt().chars().count() <= ALT);
}

#[test]
fn the_picture_is_a_png_of_the_right_size_and_always_the_same() {
    let mut chart = chart();
    let png = chart.png(Theme::Light).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let read = Pixmap::decode_png(&png).unwrap();
    assert_eq!((read.width(), read.height()), (1_600, 2 * (446 + 26 + 3 * 38)));
    assert!(read.pixels().iter().all(|pixel| pixel.alpha() == u8::MAX), "it stands on any ground");
    assert_eq!(chart.png(Theme::Light).unwrap(), png);
    assert_ne!(chart.png(Theme::Dark).unwrap(), png);
    let first = date(2026, 1, 1);
    chart.days = (0..400)
        .map(|n| Day {
            date: plus_days(first, n),
            spend: (n % 9 != 0).then(|| dollars(n * 7919 % 977)),
            expected: Some(dollars(n * 31 % 400)),
            range: Some((dollars(n * 17 % 200), dollars(400 + n * 13 % 300))),
        })
        .collect();
    assert_eq!(chart.drawn().len(), DAYS_MAX);
    let png = chart.png(Theme::Dark).unwrap();
    assert!(png.len() <= PNG_BYTES, "{}", png.len());
    assert_eq!(Pixmap::decode_png(&png).unwrap().width(), 1_600, "and sharp, at {} bytes", png.len());
}

#[test]
fn odd_amounts_make_no_odd_pictures() {
    let one = |spend: Option<i64>, limit: Option<i64>| Chart {
        days: vec![Day { date: date(2026, 11, 22), spend: spend.map(Micros), expected: None, range: None }],
        daily_limit: limit.map(Micros),
        movers: Vec::new(),
        expected: None,
        ..chart()
    };
    for spend in [None, Some(0), Some(1), Some(-5_000_000), Some(i64::MAX), Some(i64::MIN)] {
        for limit in [None, Some(1), Some(i64::MAX)] {
            let markup = drawing::markup(&one(spend, limit), Theme::Light);
            assert!(!markup.contains("NaN") && !markup.contains("inf"), "{spend:?} {limit:?}: {markup}");
            Tree::from_str(&markup, &Options::default()).unwrap();
        }
    }
    assert_eq!(Chart { days: Vec::new(), ..chart() }.png(Theme::Light), Err(ChartError::Empty));
}

#[test]
fn few_dates_and_the_last_one_among_them() {
    for count in [1, 2, 7, 28, 35, 120] {
        let mut chart = chart();
        let first = plus_days(chart.to, 1 - count);
        chart.days = days_of(first, chart.to, |_| None);
        let markup = drawing::markup(&chart, Theme::Light);
        let looks = format!("font-size=\"22\" fill=\"{}\" text-anchor=\"middle\"", Theme::Light.palette().muted);
        assert!((1..=6).contains(&markup.matches(&looks).count()), "{count} days");
        assert!(markup.contains(">22 Nov<"), "{count} days");
    }
}

#[test]
fn the_words_say_what_the_picture_shows() {
    let said = chart().alt();
    for text in [
        "in 7 days, expected $980",
        "Highest day: 19 Nov, $412",
        "Budget $300 a day, reached on 1 of 28 days",
        "1 day is unknown",
        "ana@example.com $412, $300 more than usual",
    ] {
        assert!(said.contains(text), "{text:?} in {said}");
    }
    assert_eq!(writable_name(["王小明", "wang@example.com"]), "wang@example.com");
    assert_eq!(writable_name(["王小明"]), "王小明");
}

#[test]
fn large_amounts_are_said_in_few_figures_and_never_cut() {
    for (usd, text) in [
        (1_204, "$1,204"),
        (9_999_999, "$9,999,999"),
        (10_000_000, "$10M"),
        (12_340_000, "$12.3M"),
        (999_400_000, "$999M"),
        (999_600_000, "$1B"),
        (1_234_567_890, "$1.23B"),
        (-45_000_000_000, "-$45B"),
        (9_200_000_000_000, "$9.2T"),
    ] {
        assert_eq!(amount(dollars(usd)), text, "{usd}");
    }
    let large = chart_times(9_000_000_000);
    let drawn = drawing::markup(&large, Theme::Light);
    assert!(!drawn.contains('…'), "{drawn}");
    assert!(!large.alt().contains('…'));
}

/// The same, of a workspace so many times as large.
fn chart_times(times: i64) -> Chart {
    let chart = chart();
    let larger = |amount: Micros| Micros(amount.0.saturating_mul(times));
    let day = |day: &Day| Day {
        date: day.date,
        spend: day.spend.map(larger),
        expected: day.expected.map(larger),
        range: day.range.map(|(low, high)| (larger(low), larger(high))),
    };
    Chart {
        open: true,
        estimated: true,
        total: larger(chart.total),
        expected: chart.expected.map(larger),
        days: chart.days.iter().map(day).collect(),
        daily_limit: chart.daily_limit.map(larger),
        movers: chart
            .movers
            .iter()
            .map(|m| Moved { name: m.name.clone(), actual: larger(m.actual), expected: larger(m.expected) })
            .collect(),
        ..chart
    }
}

#[test]
fn no_two_dates_touch() {
    for (count, to) in (1..=120).map(|n| (n, date(2026, 11, 22))).chain((1..=60).map(|n| (n, date(2027, 1, 20)))) {
        let first = plus_days(to, 1 - count);
        let day = |date| Day { date, spend: Some(dollars(3)), expected: None, range: None };
        let chart = Chart { from: first, to, days: days_of(first, to, |d| Some(day(d))), ..chart() };
        let drawn = drawing::markup(&chart, Theme::Light);
        let below = drawn.split("<text ").filter(|text| text.contains("y=\"422.0\""));
        let mut places: Vec<(f64, f64)> = below
            .map(|text| {
                let x: f64 = text.split('"').nth(1).unwrap().parse().unwrap();
                let said = text.split('>').nth(1).unwrap().split('<').next().unwrap();
                let half = letters::width(said, 22.0, letters::Weight::Regular) / 2.0;
                (x - half, x + half)
            })
            .collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(
            !places.is_empty() && places.windows(2).all(|w| w[0].1 + 8.0 < w[1].0),
            "{count} days to {to}: {places:?}"
        );
    }
}
