//! Which series are judged, under which key their state is kept, which static rule holds for them:
//! worked out once per series.

use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexSet};
use sha2::{Digest, Sha256};
use weir_model::{Attributes, Interner, MetricKind, Metrics, Series, SeriesTable};

use super::config::{Config, MatchConfig, MatchType, MetricType};

/// A compiled [`MatchConfig`].
struct Selector {
    names: Vec<String>,
    expressions: RegexSet,
    any_name: bool,
    types: Vec<MetricType>,
    labels: Vec<(String, Text)>,
}

enum Text {
    Whole(String),
    Expression(Regex),
}

impl Selector {
    /// Expressions that do not compile were refused before.
    fn new(config: &MatchConfig) -> Self {
        let strict = config.match_type == MatchType::Strict;
        let text = |value: &String| match Regex::new(value) {
            Ok(expression) if !strict => Text::Expression(expression),
            _ => Text::Whole(value.clone()),
        };
        let labels = config.labels.iter().map(|(key, value)| (key.clone(), text(value)));
        Self {
            names: if strict { config.metric_names.clone() } else { Vec::new() },
            expressions: RegexSet::new(config.expressions()).unwrap_or_default(),
            any_name: config.metric_names.is_empty(),
            types: config.types.clone(),
            labels: labels.collect(),
        }
    }

    fn matches(&self, series: &Series) -> bool {
        let name = &*series.metric().name;
        let named = self.any_name
            || self.names.iter().any(|n| n == name)
            || self.expressions.is_match(name);
        let of_type =
            self.types.is_empty() || self.types.contains(&metric_type(series.metric().kind));
        named && of_type && self.labels.iter().all(|(key, wanted)| labelled(series, key, wanted))
    }
}

/// Whether a label of the series, or else an attribute of its resource, has this value.
fn labelled(series: &Series, key: &str, wanted: &Text) -> bool {
    let found = series.labels().get(key).or_else(|| series.resource().attributes.get(key));
    found.is_some_and(|value| match wanted {
        Text::Whole(text) => value.to_text() == *text,
        Text::Expression(expression) => expression.is_match(&value.to_text()),
    })
}

fn metric_type(kind: MetricKind) -> MetricType {
    match kind {
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Sum { .. } => MetricType::Sum,
        MetricKind::Histogram { .. } => MetricType::Histogram,
        MetricKind::ExponentialHistogram { .. } => MetricType::ExponentialHistogram,
        MetricKind::Summary => MetricType::Summary,
    }
}

/// What was decided about one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Judged at all.
    pub(super) judged: bool,
    /// Key of its state.
    pub(super) key: u64,
    /// Static rule, by its place in the configuration.
    pub(super) rule: Option<u16>,
}

/// All decisions, remembered by series.
pub(super) struct Plans {
    include: Option<Selector>,
    exclude: Option<Selector>,
    rules: Vec<Selector>,
    /// Labels and resource attributes that are no part of a series' identity.
    without: Vec<String>,
    memo: Arc<Mutex<SeriesTable<Plan>>>,
}

impl Plans {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            include: config.metrics.include.as_ref().map(Selector::new),
            exclude: config.metrics.exclude.as_ref().map(Selector::new),
            rules: config.thresholds.iter().map(|rule| Selector::new(&rule.metrics)).collect(),
            without: config.identity.without.clone(),
            memo: Arc::default(),
        }
    }

    /// Every series is judged under its own hash: nothing to look up.
    fn trivial(&self) -> bool {
        self.include.is_none()
            && self.exclude.is_none()
            && self.rules.is_empty()
            && self.without.is_empty()
    }

    /// The plan of each point of a batch; `None` when all are judged under their series' hash.
    pub(super) fn of(&self, metrics: &Metrics) -> Option<Vec<Plan>> {
        if self.trivial() {
            return None;
        }
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let mut plan = |series: &Series| *memo.get_or_insert_with(series, || self.make(series));
        Some(metrics.points().map(|point| plan(&point.series)).collect())
    }

    /// Forgets what the interner has forgotten.
    pub(super) fn sweeper(&self) -> impl Fn(&Interner) + Send + Sync + use<> {
        let memo = self.memo.clone();
        move |interner| memo.lock().unwrap_or_else(PoisonError::into_inner).sweep(interner)
    }

    fn make(&self, series: &Series) -> Plan {
        let included = self.include.as_ref().is_none_or(|s| s.matches(series));
        let excluded = self.exclude.as_ref().is_some_and(|s| s.matches(series));
        let rule = self.rules.iter().position(|rule| rule.matches(series));
        Plan {
            judged: included && !excluded,
            key: self.key(series),
            rule: rule.and_then(|at| u16::try_from(at).ok()),
        }
    }

    /// The series' own hash, or one that leaves out labels that change with every restart.
    fn key(&self, series: &Series) -> u64 {
        let present = |attributes: &Attributes| {
            self.without.iter().any(|key| attributes.get(key).is_some())
        };
        let (resource, labels) = (&series.resource().attributes, series.labels());
        if !present(resource) && !present(labels) {
            return series.stable_hash();
        }
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for attributes in [resource, labels] {
            let mut kept = attributes.to_builder();
            for key in &self.without {
                kept.remove(key);
            }
            part(kept.build().as_bytes());
        }
        part(series.metric().name.as_bytes());
        part(series.metric().unit.as_bytes());
        part(format!("{:?}", series.metric().kind).as_bytes());
        part(series.scope().name.as_bytes());
        let digest = hash.finalize();
        digest.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}
