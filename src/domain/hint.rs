//! The name that was probably meant.

/// `; did you mean "x"?` where a known name is near enough.
pub fn hint<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, name)) if distance <= given.len().max(name.len()).div_ceil(2).min(4) => {
            format!("; did you mean {name:?}?")
        }
        _ => String::new(),
    }
}
