//! Money as integer micro-dollars.
//!
//! Invariant: no sum, comparison or stored amount is ever a float. Decimal text is parsed digit by digit; JSON
//! numbers are read through their shortest decimal text, which is what the sender wrote.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in millionths of a US dollar. Arithmetic saturates: an amount never wraps into another sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

/// Why a text or number is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("{0:?} is not a decimal amount")]
    NotDecimal(String),
    #[error("{0:?} is beyond what an amount can hold (about 9.2 million million dollars)")]
    TooLarge(String),
    #[error("{0} has more than six decimal places; a millionth of a dollar is the least there is")]
    TooFine(String),
}

impl Micros {
    pub const ZERO: Self = Self(0);
    pub const PER_DOLLAR: i64 = 1_000_000;

    /// Reads a decimal of `10^-scale` units per dollar: scale 0 is dollars, scale 2 is cents. Digits below a
    /// micro-dollar are rounded half away from zero.
    pub fn parse_scaled(text: &str, scale: u32) -> Result<Self, MoneyError> {
        Self::parse(text, scale).map(|(amount, _)| amount)
    }

    /// The amount, and whether it is all that was written.
    fn parse(text: &str, scale: u32) -> Result<(Self, bool), MoneyError> {
        let fault = || MoneyError::NotDecimal(text.chars().take(40).collect());
        let large = || MoneyError::TooLarge(text.chars().take(40).collect());
        let trimmed = text.trim();
        let (negative, unsigned) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i32>().map_err(|_| fault())?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(fault());
        }
        if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(fault());
        }
        // The value is `digits * 10^shift` micro-dollars.
        let digits: String = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            return Ok((Self::ZERO, true));
        }
        let fraction_len = i64::try_from(fraction.len()).map_err(|_| large())?;
        let shift = 6 - i64::from(scale) + i64::from(exponent) - fraction_len;
        let amount = scale_digits(significant, shift).ok_or_else(large)?;
        let signed = if negative { -amount } else { amount };
        let exact = significant.len() - significant.trim_end_matches('0').len();
        let exact = shift >= 0 || usize::try_from(-shift).is_ok_and(|dropped| dropped <= exact);
        i64::try_from(signed).map(|amount| (Self(amount), exact)).map_err(|_| large())
    }

    /// Reads dollars.
    pub fn parse_usd(text: &str) -> Result<Self, MoneyError> {
        Self::parse_scaled(text, 0)
    }

    /// Reads dollars as a person sets them: what is finer than a micro-dollar is refused instead of rounded.
    pub fn parse_usd_exact(text: &str) -> Result<Self, MoneyError> {
        match Self::parse(text, 0)? {
            (amount, true) => Ok(amount),
            (_, false) => Err(MoneyError::TooFine(text.trim().chars().take(40).collect())),
        }
    }

    /// Reads a JSON number or numeric string as dollars (scale 0) or cents (scale 2).
    pub fn from_json(value: &serde_json::Value, scale: u32) -> Result<Self, MoneyError> {
        match value {
            serde_json::Value::Number(n) => Self::parse_scaled(&n.to_string(), scale),
            serde_json::Value::String(s) => Self::parse_scaled(s, scale),
            other => Err(MoneyError::NotDecimal(other.to_string().chars().take(40).collect())),
        }
    }

    /// This amount times `percent`, rounded up: the spend at which a threshold counts as crossed.
    #[must_use]
    pub fn percent_ceil(self, percent: Percent) -> Self {
        let product = i128::from(self.0) * i128::from(percent.0);
        Self(clamp(div_ceil(product, i128::from(Percent::WHOLE.0))))
    }

    /// What part of `whole` this is, in percent with one decimal, as text: `106.2`. `None` for a zero whole.
    pub fn percent_of(self, whole: Self) -> Option<f64> {
        if whole.0 == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people, one decimal")]
        let ratio = (i128::from(self.0) * 1000 / i128::from(whole.0)) as f64 / 10.0;
        Some(ratio)
    }

    /// Dollars as a float, for statistics only; never to be summed or compared with a limit.
    #[expect(clippy::cast_precision_loss, reason = "statistics work in logarithms; 53 bits are plenty")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The nearest amount to a statistic. Not for money that was read from anywhere.
    #[expect(clippy::cast_possible_truncation, reason = "float-to-int casts saturate")]
    pub fn from_estimate(dollars: f64) -> Self {
        if dollars.is_nan() { Self::ZERO } else { Self((dollars * 1e6).round() as i64) }
    }

    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Exact decimal dollars: `212.4`, `0.000001`. What JSON carries.
    pub fn to_decimal(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let absolute = self.0.unsigned_abs();
        let (dollars, micros) = (absolute / 1_000_000, absolute % 1_000_000);
        let fraction = format!("{micros:06}");
        let fraction = fraction.trim_end_matches('0');
        match fraction.len() {
            0 => format!("{sign}{dollars}.00"),
            1 => format!("{sign}{dollars}.{fraction}0"),
            _ => format!("{sign}{dollars}.{fraction}"),
        }
    }
}

/// `$1,234.56`: cents for people; below a cent the micro-dollars are shown.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let absolute = self.0.unsigned_abs();
        if absolute != 0 && absolute < 10_000 {
            return write!(f, "{sign}${}", Self(clamp(i128::from(absolute))).to_decimal());
        }
        let cents = (absolute + 5_000) / 10_000;
        let (dollars, rest) = (cents / 100, cents % 100);
        let digits = dollars.to_string();
        let mut grouped = String::new();
        for (i, c) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(c);
        }
        write!(f, "{sign}${grouped}.{rest:02}")
    }
}

impl Add for Micros {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
impl AddAssign for Micros {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl Sub for Micros {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
impl Sum for Micros {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_decimal())
    }
}
impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(d)?;
        Self::from_json(&value, 0).map_err(serde::de::Error::custom)
    }
}
impl schemars::JsonSchema for Micros {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Usd".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "US dollars as a decimal string, exact to the micro-dollar",
            "type": "string", "pattern": r"^-?\d+\.\d{2,6}$"
        })
    }
}

/// A percentage in thousandths of a percent, so that `12.5` is exact.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub i64);

impl Percent {
    pub const WHOLE: Self = Self(100_000);

    /// Reads at most three decimal places; `None` for more, and for what is no number.
    pub fn parse(text: &str) -> Option<Self> {
        // `12.5` as dollars is 12_500_000 micro; a thousandth of that is thousandths of a percent.
        let micros = Micros::parse_usd_exact(text).ok()?;
        (micros.0 % 1000 == 0).then_some(Self(micros.0 / 1000))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{whole}.{}", format!("{rest:03}").trim_end_matches('0'))
        }
    }
}

/// Splits `total` by `weights` so that the parts sum to it exactly (largest remainder; ties go to the earlier one).
/// With no weight above zero the parts are all zero and the rest is the caller's to book.
pub fn split_exact(total: Micros, weights: &[i128]) -> Vec<Micros> {
    let sum: i128 = weights.iter().sum();
    if sum <= 0 {
        return vec![Micros::ZERO; weights.len()];
    }
    let total_wide = i128::from(total.0);
    let mut parts: Vec<i128> = Vec::with_capacity(weights.len());
    let mut remainders: Vec<(i128, usize)> = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let product = total_wide.saturating_mul(*weight);
        parts.push(product.div_euclid(sum));
        remainders.push((product.rem_euclid(sum), index));
    }
    let missing = total_wide - parts.iter().sum::<i128>();
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in remainders.iter().take(usize::try_from(missing).unwrap_or(0)) {
        parts[*index] += 1;
    }
    parts.into_iter().map(|p| Micros(clamp(p))).collect()
}

fn scale_digits(digits: &str, shift: i64) -> Option<i128> {
    if shift >= 0 {
        // 38 digits are what an i128 holds; anything longer is far beyond an i64 amount.
        let zeros = usize::try_from(shift).ok()?;
        if digits.len().saturating_add(zeros) > 37 {
            return None;
        }
        let padded = format!("{digits}{}", "0".repeat(zeros));
        return padded.parse().ok();
    }
    let drop = usize::try_from(-shift).ok()?;
    if drop > digits.len() {
        return Some(0);
    }
    let (kept, dropped) = digits.split_at(digits.len() - drop);
    if kept.len() > 37 {
        return None;
    }
    let base: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let round_up = dropped.as_bytes().first().is_some_and(|d| *d >= b'5');
    Some(base + i128::from(round_up))
}

fn div_ceil(a: i128, b: i128) -> i128 {
    let quotient = a.div_euclid(b);
    if a.rem_euclid(b) == 0 { quotient } else { quotient + 1 }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(text: &str) -> Micros {
        Micros::parse_usd(text).unwrap()
    }

    #[test]
    fn reads_decimals_exactly() {
        for (text, micros) in [
            ("0", 0),
            ("1", 1_000_000),
            ("0.1", 100_000),
            (".5", 500_000),
            ("12.345678", 12_345_678),
            ("0.30000000000000004", 300_000),
            ("0.0000005", 1),
            ("0.00000049", 0),
            ("-3.2", -3_200_000),
            ("1e2", 100_000_000),
            ("2.5E-3", 2_500),
        ] {
            assert_eq!(usd(text), Micros(micros), "{text}");
        }
        assert_eq!(Micros::parse_scaled("1234", 2), Ok(Micros(12_340_000)));
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in ["", "NaN", "inf", "1,000", "$5", "1e", "--1", "1.2.3", "0x10"] {
            assert!(matches!(Micros::parse_usd(text), Err(MoneyError::NotDecimal(_))), "{text}");
        }
        for text in ["1e300", "99999999999999999999", "-1e40"] {
            assert!(matches!(Micros::parse_usd(text), Err(MoneyError::TooLarge(_))), "{text}");
        }
    }

    #[test]
    fn a_set_amount_is_never_rounded() {
        for (text, micros) in [("200", 200_000_000), ("0.000001", 1), ("0.0000010", 1), ("1e-6", 1), ("0.0000000", 0)] {
            assert_eq!(Micros::parse_usd_exact(text), Ok(Micros(micros)), "{text}");
        }
        for text in ["0.0000001", "1.0000001", "-0.0000015", "1e-7", "1e-99"] {
            assert_eq!(Micros::parse_usd_exact(text), Err(MoneyError::TooFine(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn prints_for_people_and_for_machines() {
        assert_eq!(usd("1234567.891").to_string(), "$1,234,567.89");
        assert_eq!(usd("0.004").to_string(), "$0.004");
        assert_eq!(usd("-2").to_string(), "-$2.00");
        assert_eq!(usd("212.4").to_decimal(), "212.40");
        assert_eq!(usd("0.000001").to_decimal(), "0.000001");
    }

    #[test]
    fn a_threshold_is_rounded_up() {
        assert_eq!(Micros(1).percent_ceil(Percent(50_000)), Micros(1));
        assert_eq!(usd("200").percent_ceil(Percent(80_000)), usd("160"));
        assert_eq!(usd("0.01").percent_ceil(Percent::parse("12.5").unwrap()), Micros(1250));
    }

    proptest! {
        #[test]
        fn text_round_trips(v in any::<i64>()) {
            prop_assert_eq!(Micros::parse_usd(&Micros(v).to_decimal()), Ok(Micros(v)));
        }

        #[test]
        fn a_split_sums_exactly(total in -1_000_000_000_i64..1_000_000_000_000, weights in prop::collection::vec(0_i128..10_000_000, 1..40)) {
            let parts = split_exact(Micros(total), &weights);
            let expected = if weights.iter().sum::<i128>() == 0 { 0 } else { total };
            prop_assert_eq!(parts.into_iter().sum::<Micros>(), Micros(expected));
        }
    }
}
