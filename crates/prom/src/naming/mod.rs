//! Names and units between OTLP and Prometheus (prometheusremotewrite specification, sections 3.1
//! to 3.3; PRW-05 to PRW-11).

mod unit;

use std::borrow::Cow;
use std::str::FromStr;

pub use unit::{prometheus_unit, trim_suffixes, ucum_unit};

use unit::{clean, unit_words};

/// How OTLP names become Prometheus names (`translation_strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TranslationStrategy {
    /// Names of the classic alphabet, with unit and type as suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Names of the classic alphabet, nothing added.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are, with unit and type as suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl TranslationStrategy {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::UnderscoreEscapingWithSuffixes,
        Self::UnderscoreEscapingWithoutSuffixes,
        Self::NoUtf8EscapingWithSuffixes,
        Self::NoTranslation,
    ];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::NoTranslation => "NoTranslation",
        }
    }

    /// Whether names keep to the classic alphabet. The others need remote write 2.0.
    #[must_use]
    pub const fn escapes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes
        )
    }

    /// Whether unit and type are added to names.
    #[must_use]
    pub const fn adds_suffixes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes
        )
    }
}

/// A name that is no translation strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown translation strategy `{0}`; known are UnderscoreEscapingWithSuffixes, \
     UnderscoreEscapingWithoutSuffixes, NoUTF8EscapingWithSuffixes and NoTranslation"
)]
pub struct UnknownStrategy(pub String);

impl FromStr for TranslationStrategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.name() == name)
            .ok_or_else(|| UnknownStrategy(name.to_owned()))
    }
}

/// What about the type of a metric matters for its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameShape {
    /// A monotonic sum: gets `_total`.
    Counter,
    /// A gauge: gets `_ratio` if its unit is `1`.
    Gauge,
    /// Anything else.
    Other,
}

/// A name of which nothing is left, or only underscores.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no Prometheus name can be made of `{0}`")]
pub struct UnusableName(pub String);

/// Makes metric and label names.
#[derive(Debug, Clone, Default)]
pub struct Namer {
    /// The strategy.
    pub strategy: TranslationStrategy,
    /// Goes before every metric name, with `_` between; may be empty.
    pub namespace: String,
    /// Whether labels may start with one underscore instead of `key_` (feature gate
    /// `pkg.translator.prometheus.PermissiveLabelSanitization`).
    pub permissive_labels: bool,
}

impl Namer {
    /// The name of a metric.
    ///
    /// # Errors
    /// If nothing or only underscores are left; the metric has to be dropped.
    pub fn metric(&self, name: &str, unit: &str, shape: NameShape) -> Result<String, UnusableName> {
        if !self.strategy.escapes() {
            return Ok(self.unescaped(name, unit, shape));
        }
        let result = if self.strategy.adds_suffixes() {
            self.with_suffixes(name, unit, shape)
        } else {
            self.without_suffixes(name)
        };
        let blank = result.bytes().all(|byte| byte == b'_');
        if result.is_empty() || (blank && result != name) {
            return Err(UnusableName(name.to_owned()));
        }
        Ok(result)
    }

    fn with_suffixes(&self, name: &str, unit: &str, shape: NameShape) -> String {
        let mut words: Vec<&str> = name
            .split(|c| !is_metric_char(c))
            .filter(|word| !word.is_empty())
            .collect();
        let (main, per) = unit_words(unit);
        let (main, per) = (clean(&main), clean(&per));
        let per = if per == "per_" {
            ""
        } else {
            per.strip_suffix('_').unwrap_or(&per)
        };
        // Both are compared with the words of the name alone.
        let main_new = !words.contains(&main.as_str());
        let per_new = !per.is_empty() && !words.contains(&per);
        let main = if per_new {
            main.strip_suffix('_').unwrap_or(&main)
        } else {
            &main
        };
        if main_new && !main.is_empty() {
            words.push(main);
        }
        if per_new {
            words.push(per);
        }
        let suffix = type_suffix(unit, shape);
        if !suffix.is_empty() {
            words.retain(|word| *word != suffix);
            words.push(suffix);
        }
        if !self.namespace.is_empty() {
            words.insert(0, &self.namespace);
        }
        let mut result = words.join("_");
        if result.starts_with(|c: char| c.is_ascii_digit()) {
            result.insert(0, '_');
        }
        result
    }

    fn without_suffixes(&self, name: &str) -> String {
        let mut result = joined(name);
        if !self.namespace.is_empty() {
            let namespace = joined(&self.namespace);
            return format!("{namespace}_{result}");
        }
        if result.starts_with(|c: char| c.is_ascii_digit()) {
            result.insert(0, '_');
        }
        result
    }

    fn unescaped(&self, name: &str, unit: &str, shape: NameShape) -> String {
        let mut result = name.to_owned();
        if !self.namespace.is_empty() {
            result = format!("{}_{result}", self.namespace);
        }
        if !self.strategy.adds_suffixes() {
            return result;
        }
        let suffix = type_suffix(unit, shape);
        let (main, per) = unit_words(unit);
        for tail in [suffix, per.as_str()] {
            cut_tail(&mut result, tail);
        }
        if !main.is_empty() && !result.ends_with(main.as_ref() as &str) {
            result.push('_');
            result.push_str(&main);
        }
        for tail in [per.as_str(), suffix] {
            if !tail.is_empty() {
                result.push('_');
                result.push_str(tail);
            }
        }
        result
    }

    /// The name of a label.
    ///
    /// # Errors
    /// If it is empty or only underscores are left; the point has to be dropped.
    pub fn label<'a>(&self, name: &'a str) -> Result<Cow<'a, str>, UnusableName> {
        if !self.strategy.escapes() {
            let blank = name.bytes().all(|byte| byte == b'_');
            return if blank {
                Err(UnusableName(name.to_owned()))
            } else {
                Ok(Cow::Borrowed(name))
            };
        }
        if name.is_empty() {
            return Err(UnusableName(String::new()));
        }
        let reserved = name
            .strip_prefix("__")
            .and_then(|rest| rest.strip_suffix("__"));
        let mut result = match reserved {
            Some(inner) => format!("__{}__", collapsed(inner)),
            None => collapsed(name),
        };
        if result.starts_with(|c: char| c.is_ascii_digit()) {
            result.insert_str(0, "key_");
        } else if !self.permissive_labels && result.starts_with('_') && !result.starts_with("__") {
            result.insert_str(0, "key");
        }
        if result.bytes().all(|byte| byte == b'_') {
            return Err(UnusableName(name.to_owned()));
        }
        Ok(if result == name {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(result)
        })
    }

    /// The unit as words, for metadata: `bytes_per_second`.
    #[must_use]
    pub fn unit(&self, unit: &str) -> String {
        prometheus_unit(unit, self.strategy.escapes())
    }
}

/// Label names of `target_info` in remote write 1.0: one underscore for each character that is not
/// allowed, runs kept.
#[must_use]
pub fn target_info_label(name: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Cow::Borrowed(name);
    }
    let mut result: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    if result.starts_with(|c: char| c.is_ascii_digit()) {
        result.insert_str(0, "key_");
    }
    Cow::Owned(result)
}

const fn type_suffix(unit: &str, shape: NameShape) -> &'static str {
    match shape {
        NameShape::Counter => "total",
        NameShape::Gauge if matches!(unit.as_bytes(), b"1") => "ratio",
        _ => "",
    }
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The pieces of the classic alphabet, underscores included, with `_` between.
fn joined(name: &str) -> String {
    let pieces: Vec<&str> = name
        .split(|c| !is_metric_char(c) && c != '_')
        .filter(|piece| !piece.is_empty())
        .collect();
    pieces.join("_")
}

/// Runs of other characters than letters and digits become one `_`.
fn collapsed(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            result.push(c);
        } else if !result.ends_with('_') {
            result.push('_');
        }
    }
    result
}

/// Takes `tail` and the delimiter before it off the end.
fn cut_tail(text: &mut String, tail: &str) {
    if !tail.is_empty() && text.len() > tail.len() + 1 && text.ends_with(tail) {
        let mut at = text.len() - tail.len() - 1;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
    }
}

#[cfg(test)]
mod tests;
