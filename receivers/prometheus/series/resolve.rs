//! From the labels of a new line to its slot: target labels, relabelling, limits, and the metric
//! and series that it belongs to. Done once per series.

use std::sync::Arc;

use weir_model::{AttributesBuilder, Interner, Scope, Series};
use weir_prom::exposition::NameScheme;
use weir_prom::labels::{LabelSet, METRIC_NAME};
use weir_prom::relabel::{RelabelRule, apply_all};

use super::family::{Families, Name, Part};
use super::groups::Groups;
use super::resources::Resources;
use super::slot::{Role, Slot};

/// Prefix of labels that belong to the instrumentation scope.
const SCOPE_PREFIX: &str = "otel_scope_";

/// Labels that are no attributes of points.
const NOT_ATTRIBUTES: [&str; 5] = [
    METRIC_NAME,
    "job",
    "instance",
    "__scheme__",
    "__metrics_path__",
];

/// Limits of a job; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Samples of a scrape after relabelling.
    pub(crate) samples: u64,
    /// Labels of a series, with those of the target.
    pub(crate) labels: u64,
    /// Bytes of a label name.
    pub(crate) name_length: u64,
    /// Bytes of a label value.
    pub(crate) value_length: u64,
}

/// How the lines of a job become series.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeriesRules {
    pub(crate) honor_labels: bool,
    pub(crate) relabel: Vec<RelabelRule>,
    /// Labels that are set on every series.
    pub(crate) external_labels: Vec<(String, String)>,
    pub(crate) limits: Limits,
    pub(crate) name_scheme: NameScheme,
    /// Classic histograms count as one sample each, and are relabelled as one series.
    pub(crate) classic_as_native: bool,
    /// Type and unit are taken off metric names.
    pub(crate) trim_suffixes: bool,
    /// Name and version of the scope of series that name none.
    pub(crate) scope: (String, String),
}

impl SeriesRules {
    /// Whether lines with different labels may come to have the same.
    pub(super) fn may_make_equal(&self) -> bool {
        !self.relabel.is_empty() || !self.external_labels.is_empty()
    }
}

/// Why a series makes the whole scrape fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SeriesError {
    #[error(transparent)]
    Labels(#[from] weir_prom::exposition::InvalidSeries),
    #[error("a series has no metric name after relabelling: {0}")]
    NoName(String),
    #[error("metric name or label name not valid under metric_name_validation_scheme: {0}")]
    BadName(String),
    #[error("label_limit exceeded: metric {metric} has {count} labels, the limit is {limit}")]
    LabelLimit {
        metric: String,
        count: usize,
        limit: u64,
    },
    #[error("label_name_length_limit exceeded: {name} of metric {metric}, the limit is {limit}")]
    NameLength {
        metric: String,
        name: String,
        limit: u64,
    },
    #[error("label_value_length_limit exceeded: {name} of metric {metric}, the limit is {limit}")]
    ValueLength {
        metric: String,
        name: String,
        limit: u64,
    },
}

/// At most so much of a name is shown.
fn shown(text: &str) -> String {
    text.chars().take(50).collect()
}

/// What resolving needs besides the labels.
pub(super) struct Resolver<'a> {
    pub(super) rules: &'a SeriesRules,
    /// Public labels of the target.
    pub(super) target: &'a LabelSet,
    pub(super) families: &'a mut Families,
    pub(super) resources: &'a mut Resources,
    pub(super) groups: &'a mut Groups,
    pub(super) scope: &'a Arc<Scope>,
    pub(super) interner: &'a Interner,
}

/// A name that the labels do not have yet, made from `name` by prefixes.
fn exported(labels: &LabelSet, name: &str) -> String {
    let mut free = format!("exported_{name}");
    while !labels.get(&free).is_empty() {
        free.insert_str(0, "exported_");
    }
    free
}

/// Adds the labels of the target. Clashing labels of the series win if they are honoured, even
/// empty ones; else they move to `exported_` names.
pub(super) fn add_target_labels(labels: &mut LabelSet, target: &LabelSet, honor: bool) {
    let mut clashing: Vec<(String, String)> = Vec::new();
    for (name, value) in target.iter() {
        if honor && labels.has(name) {
            continue;
        }
        let own = labels.get(name);
        if !own.is_empty() {
            clashing.push((name.to_owned(), own.to_owned()));
        }
        labels.set(name, value);
    }
    labels.drop_empty();
    clashing.sort_by_key(|(name, _)| name.len());
    for (name, value) in clashing {
        let free = exported(labels, &name);
        labels.set(&free, &value);
    }
}

impl Resolver<'_> {
    /// Resolves the labels of a line of a page.
    pub(super) fn line(&mut self, labels: &mut LabelSet) -> Result<Slot, SeriesError> {
        let part = self
            .rules
            .classic_as_native
            .then(|| self.split_classic(labels))
            .flatten();
        if !self.relabelled(labels)? {
            return Ok(Slot::new(Role::Dropped));
        }
        if let Some((suffix, bound)) = part {
            // The series was relabelled as a whole; its lines find their family as always.
            let name = format!("{}{suffix}", labels.get(METRIC_NAME));
            labels.set(METRIC_NAME, &name);
            labels.set("le", &bound);
        }
        let name = labels.get(METRIC_NAME).to_owned();
        if name == "target_info" {
            let (job, instance) = self.owner(labels);
            let number = self
                .resources
                .add_info((&job, &instance), labels, self.interner);
            return Ok(Slot::of_group(Role::TargetInfo, number, 0));
        }
        let meaning = self.families.name(&name, self.interner);
        Ok(self.slot(labels, &meaning))
    }

    /// Resolves the labels of a native histogram.
    pub(super) fn native(&mut self, labels: &mut LabelSet) -> Result<Slot, SeriesError> {
        if !self.relabelled(labels)? {
            return Ok(Slot::new(Role::Dropped));
        }
        let name = labels.get(METRIC_NAME).to_owned();
        let meaning = self.families.native(&name, self.interner);
        Ok(Slot::of_series(Role::Native, self.series(labels, &meaning)))
    }

    /// The series of a synthetic metric of the target.
    pub(super) fn synthetic(&mut self, name: &str) -> Arc<Series> {
        let mut labels = self.target.clone();
        labels.set(METRIC_NAME, name);
        self.add_external_labels(&mut labels);
        let meaning = self.families.name(name, self.interner);
        self.series(&labels, &meaning)
    }

    /// Takes suffix and bound off the labels of a classic histogram's line.
    fn split_classic(&mut self, labels: &mut LabelSet) -> Option<(&'static str, String)> {
        let name = labels.get(METRIC_NAME).to_owned();
        let meaning = self.families.name(&name, self.interner);
        if meaning.own_label() != Some("le") {
            return None;
        }
        let suffix = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find(|s| name.ends_with(s))?;
        let bound = labels.get("le").to_owned();
        labels.set(METRIC_NAME, name.strip_suffix(suffix)?);
        labels.remove("le");
        Some((suffix, bound))
    }

    /// Applies everything that changes labels, and checks the result; `false` if the series is
    /// dropped.
    fn relabelled(&self, labels: &mut LabelSet) -> Result<bool, SeriesError> {
        add_target_labels(labels, self.target, self.rules.honor_labels);
        if !apply_all(&self.rules.relabel, labels) || labels.is_empty() {
            return Ok(false);
        }
        self.check(labels)?;
        self.add_external_labels(labels);
        Ok(true)
    }

    fn add_external_labels(&self, labels: &mut LabelSet) {
        for (name, value) in &self.rules.external_labels {
            labels.set(name, value);
        }
    }

    fn check(&self, labels: &LabelSet) -> Result<(), SeriesError> {
        let metric = labels.get(METRIC_NAME);
        if metric.is_empty() {
            return Err(SeriesError::NoName(labels.to_string()));
        }
        let scheme = self.rules.name_scheme;
        if !scheme.allows_metric(metric) || !labels.iter().all(|(n, _)| scheme.allows_label(n)) {
            return Err(SeriesError::BadName(labels.to_string()));
        }
        let Limits {
            labels: count,
            name_length,
            value_length,
            ..
        } = self.rules.limits;
        let over = |length: usize, limit: u64| limit > 0 && length as u64 > limit;
        if over(labels.len(), count) {
            let (metric, limit) = (shown(metric), count);
            return Err(SeriesError::LabelLimit {
                metric,
                count: labels.len(),
                limit,
            });
        }
        for (name, value) in labels.iter() {
            if over(name.len(), name_length) {
                let (metric, name, limit) = (shown(metric), shown(name), name_length);
                return Err(SeriesError::NameLength {
                    metric,
                    name,
                    limit,
                });
            }
            if over(value.len(), value_length) {
                let (metric, name, limit) = (shown(metric), shown(name), value_length);
                return Err(SeriesError::ValueLength {
                    metric,
                    name,
                    limit,
                });
            }
        }
        Ok(())
    }

    /// Job and instance of a series; those of the target if it has none.
    fn owner(&self, labels: &LabelSet) -> (String, String) {
        let either = |name| match labels.get(name) {
            "" => self.target.get(name).to_owned(),
            own => own.to_owned(),
        };
        (either("job"), either("instance"))
    }

    /// The slot of a series with this meaning.
    fn slot(&mut self, labels: &LabelSet, meaning: &Name) -> Slot {
        let bound = match meaning.part {
            Part::Bound(label) => match labels.get(label).parse::<f64>() {
                Ok(bound) if !bound.is_nan() => Some(bound),
                _ => return Slot::new(Role::Unusable),
            },
            _ => None,
        };
        let series = self.series(labels, meaning);
        let role = match meaning.part {
            Part::Number => return Slot::of_series(Role::Number, series),
            Part::CounterCreated => return Slot::of_series(Role::CounterCreated, series),
            Part::Sum => Role::Sum,
            Part::Count => Role::Count,
            Part::Created => Role::Created,
            Part::Bound(_) => Role::Bound,
        };
        let group = self.groups.refer(&series);
        let index = bound.map(|bound| self.groups.bound(group, bound));
        match index {
            None => Slot::of_group(role, group, 0),
            Some(Some(index)) => Slot::of_group(role, group, index),
            Some(None) => {
                self.groups.release(group, None);
                Slot::new(Role::Unusable)
            }
        }
    }

    fn series(&mut self, labels: &LabelSet, meaning: &Name) -> Arc<Series> {
        let (job, instance) = self.owner(labels);
        let resource = self.resources.of(&job, &instance, self.interner);
        let own = meaning.own_label();
        let mut attributes = AttributesBuilder::default();
        let mut scoped = false;
        for (name, value) in labels.iter() {
            if name.starts_with(SCOPE_PREFIX) {
                scoped = true;
            } else if !NOT_ATTRIBUTES.contains(&name) && Some(name) != own {
                attributes.set_str(name, value);
            }
        }
        let scope = if scoped {
            self.scope_of(labels)
        } else {
            Arc::clone(self.scope)
        };
        self.interner
            .series(&resource, &scope, &meaning.metric, attributes.build())
    }

    /// The scope that the labels name.
    fn scope_of(&self, labels: &LabelSet) -> Arc<Scope> {
        let mut scope = Scope::default();
        let mut attributes = AttributesBuilder::default();
        for (name, value) in labels.iter() {
            match name.strip_prefix(SCOPE_PREFIX) {
                None => {}
                Some("name") => scope.name = value.into(),
                Some("version") => scope.version = value.into(),
                Some("schema_url") => scope.schema_url = value.into(),
                Some(attribute) => {
                    attributes.set_str(attribute, value);
                }
            }
        }
        scope.attributes = attributes.build();
        self.interner.scope(scope)
    }
}
