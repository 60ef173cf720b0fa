//! Which metrics and points a transform works on.

use regex::Regex;
use weir_model::{Attributes, Interner, Point, Series};
use weir_prom::relabel::re2;

use super::config::{MatchType, TransformConfig};
use super::memo::{Memo, Metric};

/// A text or an expression.
#[derive(Debug)]
enum Text {
    Strict(String),
    Regexp(Regex),
}

impl Text {
    fn new(text: &str, kind: MatchType) -> Result<Self, String> {
        match kind {
            MatchType::Strict => Ok(Self::Strict(text.to_owned())),
            MatchType::Regexp => re2(text).map(Self::Regexp),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Strict(wanted) => wanted == text,
            Self::Regexp(regex) => regex.is_match(text),
        }
    }
}

/// What is known of a series.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    name: bool,
    labels: bool,
}

/// `include` and `experimental_match_labels`.
#[derive(Debug)]
pub(super) struct Chooser {
    name: Text,
    labels: Vec<(String, Text)>,
    verdicts: Memo<Verdict>,
}

impl Chooser {
    pub(super) fn new(config: &TransformConfig) -> Result<Self, String> {
        let label = |(key, value): (&String, &String)| {
            Ok((key.clone(), Text::new(value, config.match_type)?))
        };
        Ok(Self {
            name: Text::new(config.included(), config.match_type)?,
            labels: config.experimental_match_labels.iter().map(label).collect::<Result<_, String>>()?,
            verdicts: Memo::default(),
        })
    }

    pub(super) fn takes_name(&self, name: &str) -> bool {
        self.name.matches(name)
    }

    /// Whether labels are those asked for. A label that is absent or no text counts as empty.
    pub(super) fn takes_labels(&self, labels: &Attributes) -> bool {
        self.labels.iter().all(|(key, wanted)| {
            let value = labels.get(key);
            wanted.matches(value.and_then(|value| value.as_str()).unwrap_or(""))
        })
    }

    fn verdict(&self, series: &Series) -> Verdict {
        *self.verdicts.lock().get_or_insert_with(series, || Verdict {
            name: self.takes_name(&series.metric().name),
            labels: self.takes_labels(series.labels()),
        })
    }

    /// Whether a point takes part.
    pub(super) fn takes(&self, point: &Point) -> bool {
        let Verdict { name, labels } = self.verdict(&point.series);
        name && labels
    }

    /// Whether any point of a metric takes part, and whether all do.
    pub(super) fn any_all(&self, points: &Metric) -> (bool, bool) {
        let (mut any, mut all) = (false, true);
        for point in points {
            let takes = self.takes(point);
            (any, all) = (any || takes, all && takes);
        }
        (any, all)
    }

    /// The new name for a metric: groups of the expression filled in, if there are any.
    pub(super) fn expand(&self, template: &str, name: &str) -> String {
        let mut out = String::new();
        if let Text::Regexp(regex) = &self.name
            && let Some(found) = regex.captures(name)
        {
            found.expand(template, &mut out);
        }
        if out.is_empty() { template.to_owned() } else { out }
    }

    /// Label names and values from the groups of the expression; a group without a name is `$1`.
    pub(super) fn groups(&self, name: &str) -> Vec<(String, String)> {
        let Text::Regexp(regex) = &self.name else { return Vec::new() };
        let Some(found) = regex.captures(name) else { return Vec::new() };
        let group = |(at, key): (usize, Option<&str>)| {
            let key = key.map_or_else(|| format!("${at}"), str::to_owned);
            let value = found.get(at).filter(|value| !value.is_empty())?;
            Some((key, value.as_str().to_owned()))
        };
        regex.capture_names().enumerate().skip(1).filter_map(group).collect()
    }

    pub(super) fn sweep(&self, interner: &Interner) {
        self.verdicts.lock().sweep(interner);
    }
}
