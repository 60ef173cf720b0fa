//! Units: UCUM, as OTLP writes them, and words, as Prometheus does.

use std::borrow::Cow;

/// UCUM unit and its word, in both directions.
const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    // Spelled so in the reference.
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// Singular words behind `per`.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The words of a UCUM unit: the main one and `per_<word>`, each empty if there is none. Units in
/// braces are annotations and give nothing.
pub(super) fn unit_words(unit: &str) -> (Cow<'_, str>, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let usable = |part: &str| !part.is_empty() && !part.contains(['{', '}']);
    let main = main.trim();
    let main = match main {
        "1" => "",
        main if !usable(main) => "",
        main => UNITS
            .iter()
            .find(|(ucum, _)| *ucum == main)
            .map_or(main, |(_, word)| word),
    };
    let per = per.trim();
    let per = if usable(per) {
        let word = PER_UNITS
            .iter()
            .find(|(ucum, _)| *ucum == per)
            .map_or(per, |(_, word)| word);
        format!("per_{word}")
    } else {
        String::new()
    };
    (Cow::Borrowed(main), per)
}

/// A unit in the classic alphabet: other characters become `_`, runs of it one, and a leading one
/// goes.
pub(super) fn clean(unit: &str) -> String {
    let mut result = String::with_capacity(unit.len());
    for c in unit.chars() {
        if c.is_ascii_alphanumeric() || c == ':' {
            result.push(c);
        } else if !result.ends_with('_') {
            result.push('_');
        }
    }
    if result.starts_with('_') {
        result.remove(0);
    }
    result
}

/// The unit of an OTLP metric as words: `By/s` is `bytes_per_second`.
#[must_use]
pub fn prometheus_unit(unit: &str, escape: bool) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) = if escape {
        (clean(&main), clean(&per))
    } else {
        (main.into_owned(), per)
    };
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        _ => per,
    };
    let trimmed = joined.strip_prefix('_').unwrap_or(&joined);
    trimmed.strip_suffix('_').unwrap_or(trimmed).to_owned()
}

/// The unit of a scraped metric in UCUM: `seconds` is `s`, `bytes_per_second` is `By/s`. Words that
/// are not known stay as they are.
#[must_use]
pub fn ucum_unit(words: &str) -> Cow<'_, str> {
    let main_of = |word| {
        UNITS
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(ucum, _)| *ucum)
    };
    if let Some((main, per)) = words.split_once("_per_") {
        let per = PER_UNITS
            .iter()
            .find(|(_, known)| *known == per)
            .map_or(per, |(ucum, _)| ucum);
        return Cow::Owned(format!("{}/{per}", main_of(main).unwrap_or(main)));
    }
    match words {
        "ratio" => Cow::Borrowed("1"),
        _ => Cow::Borrowed(main_of(words).unwrap_or(words)),
    }
}

/// Takes type and unit off the end of a scraped metric's name (`trim_metric_suffixes`): `_total` of
/// sums, then the unit in words. A name of one word is left alone.
#[must_use]
pub fn trim_suffixes<'a>(name: &'a str, unit: &str, sum: bool) -> &'a str {
    let without = |text: &'a str, word: &str| match text.strip_suffix(word) {
        Some(head) if !word.is_empty() => head
            .strip_suffix('_')
            .filter(|head| !head.is_empty())
            .unwrap_or(text),
        _ => text,
    };
    without(if sum { without(name, "total") } else { name }, unit)
}
