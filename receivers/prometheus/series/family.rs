//! Metric families of a target: what its metadata lines say, and what that makes of a metric name
//! (prometheus-receiver specification, section 9.5).

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::{Attributes, Interner, MetricKind, MetricMeta, Temporality};
use weir_prom::exposition::MetricType;
use weir_prom::naming::{trim_suffixes, ucum_unit};

/// Suffixes of the series of a family, in the order in which they are tried.
const SUFFIXES: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_info", "_created"];

/// Synthetic series of a scrape: name, unit in words, description. They have their description
/// wherever they come from.
const SYNTHETIC: [(&str, &str, &str); 5] = [
    ("up", "", "The scraping was successful"),
    (
        "scrape_duration_seconds",
        "seconds",
        "Duration of the scrape",
    ),
    (
        "scrape_samples_scraped",
        "",
        "The number of samples the target exposed",
    ),
    (
        "scrape_samples_post_metric_relabeling",
        "",
        "The number of samples remaining after metric relabeling was applied",
    ),
    (
        "scrape_series_added",
        "",
        "The approximate number of new series in this scrape",
    ),
];

/// More families than this beside those in use are forgotten.
const SPARE_FAMILIES: usize = 1000;

/// What metadata lines say about a family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Family {
    pub(crate) kind: MetricType,
    pub(crate) help: Box<str>,
    pub(crate) unit: Box<str>,
}

/// Families by name. Who looks at them shares them, and they are copied only if they change then.
pub(crate) type FamilyTable = Arc<HashMap<Box<str>, Family>>;

/// What a metadata line sets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    Type(MetricType),
    Help(&'a str),
    Unit(&'a str),
}

/// The part of a metric that the series of a name carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The value of a gauge or sum.
    Number,
    /// Start times of the counter.
    CounterCreated,
    /// Sums, counts and start times of histograms or summaries.
    Sum,
    Count,
    Created,
    /// Buckets, with their bound in `le`, or quantiles.
    Bound(&'static str),
}

/// What a metric name means.
#[derive(Debug, Clone)]
pub(super) struct Name {
    /// The metric that its series belong to.
    pub(super) metric: Arc<MetricMeta>,
    /// Which part of it they carry.
    pub(super) part: Part,
}

impl Name {
    /// The label that is not one of the metric: `le` of histograms, `quantile` of summaries.
    pub(super) fn own_label(&self) -> Option<&'static str> {
        match self.metric.kind {
            MetricKind::Histogram { .. } => Some("le"),
            MetricKind::Summary => Some("quantile"),
            _ => None,
        }
    }
}

/// The families of one target.
#[derive(Debug, Default)]
pub(super) struct Families {
    families: FamilyTable,
    names: HashMap<Box<str>, Name>,
    /// Native histograms, which have the type of their own.
    natives: HashMap<Box<str>, Name>,
    trim: bool,
}

impl Families {
    /// No families; `trim` takes type and unit off metric names.
    pub(super) fn new(trim: bool) -> Self {
        Self {
            trim,
            ..Self::default()
        }
    }

    /// What is known now.
    pub(super) fn table(&self) -> FamilyTable {
        Arc::clone(&self.families)
    }

    /// Takes in a metadata line. Returns whether names that are in use change their meaning, so
    /// that their series have to be resolved anew.
    pub(super) fn set(&mut self, name: &str, change: Change<'_>) -> bool {
        let known = self.families.get(name);
        let mut family = known.cloned().unwrap_or_default();
        match change {
            Change::Type(kind) => family.kind = kind,
            Change::Help(text) => family.help = text.into(),
            Change::Unit(unit) => family.unit = unit.into(),
        }
        if known == Some(&family) {
            return false;
        }
        if self.families.len() > 2 * self.names.len() + SPARE_FAMILIES {
            self.forget_unused();
        }
        Arc::make_mut(&mut self.families).insert(name.into(), family);
        let mut in_use = self.names.remove(name).is_some();
        in_use |= self.natives.remove(name).is_some();
        for suffix in SUFFIXES {
            in_use |= self
                .names
                .remove(format!("{name}{suffix}").as_str())
                .is_some();
        }
        in_use
    }

    /// Forgets families that no metric name in use belongs to.
    fn forget_unused(&mut self) {
        let names = &self.names;
        Arc::make_mut(&mut self.families).retain(|family, _| {
            names.contains_key(family)
                || SUFFIXES
                    .iter()
                    .any(|suffix| names.contains_key(format!("{family}{suffix}").as_str()))
        });
    }

    /// What a metric name means.
    pub(super) fn name(&mut self, name: &str, interner: &Interner) -> Name {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let meaning = self.describe(name, interner);
        self.names.insert(name.into(), meaning.clone());
        meaning
    }

    /// What a name means as that of a native histogram.
    pub(super) fn native(&mut self, name: &str, interner: &Interner) -> Name {
        if let Some(known) = self.natives.get(name) {
            return known.clone();
        }
        let family = self.families.get(name).cloned().unwrap_or_default();
        let kind = MetricKind::ExponentialHistogram {
            temporality: Temporality::Cumulative,
        };
        let family = Family {
            kind: MetricType::Histogram,
            ..family
        };
        let meaning = Name {
            metric: self.metric(name, kind, &family, interner),
            part: Part::Number,
        };
        self.natives.insert(name.into(), meaning.clone());
        meaning
    }

    fn describe(&self, name: &str, interner: &Interner) -> Name {
        if let Some((_, unit, help)) = SYNTHETIC.iter().find(|(known, _, _)| *known == name) {
            let family = Family {
                kind: MetricType::Gauge,
                help: (*help).into(),
                unit: (*unit).into(),
            };
            let metric = self.metric(name, MetricKind::Gauge, &family, interner);
            return Name {
                metric,
                part: Part::Number,
            };
        }
        let (base, family) = self.family_of(name);
        let kind = metric_kind(family.kind);
        let created = name.strip_suffix("_created") == Some(base);
        let part = match kind {
            MetricKind::Histogram { .. } | MetricKind::Summary if name.ends_with("_sum") => {
                Part::Sum
            }
            MetricKind::Histogram { .. } | MetricKind::Summary if name.ends_with("_count") => {
                Part::Count
            }
            MetricKind::Histogram { .. } | MetricKind::Summary if created => Part::Created,
            MetricKind::Histogram { .. } => Part::Bound("le"),
            MetricKind::Summary => Part::Bound("quantile"),
            MetricKind::Sum { .. } if created => Part::CounterCreated,
            _ => Part::Number,
        };
        // Counters keep the name of their series; the other types have that of the family.
        let shown = match (family.kind, part) {
            (MetricType::Counter, Part::CounterCreated) => format!("{base}_total"),
            (MetricType::Counter, _) => name.to_owned(),
            _ => base.to_owned(),
        };
        Name {
            metric: self.metric(&shown, kind, &family, interner),
            part,
        }
    }

    /// The family of a metric name and the name it is known by; an unknown one is its own family.
    fn family_of<'a>(&self, name: &'a str) -> (&'a str, Family) {
        if let Some(family) = self.families.get(name) {
            return (name, family.clone());
        }
        let base = SUFFIXES
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).filter(|base| !base.is_empty()));
        match base.and_then(|base| Some((base, self.families.get(base)?))) {
            Some((base, family)) => (base, family.clone()),
            None => (name, Family::default()),
        }
    }

    fn metric(
        &self,
        name: &str,
        kind: MetricKind,
        family: &Family,
        interner: &Interner,
    ) -> Arc<MetricMeta> {
        let name = if self.trim {
            trim_suffixes(name, &family.unit, matches!(kind, MetricKind::Sum { .. }))
        } else {
            name
        };
        interner.metric(MetricMeta {
            name: name.into(),
            unit: ucum_unit(&family.unit).into(),
            description: family.help.clone(),
            kind,
            metadata: Attributes::from_iter([("prometheus.type", family.kind.as_str())]),
        })
    }
}

/// The OTLP type of a Prometheus type.
fn metric_kind(kind: MetricType) -> MetricKind {
    let temporality = Temporality::Cumulative;
    match kind {
        MetricType::Counter => MetricKind::Sum {
            temporality,
            monotonic: true,
        },
        MetricType::Info | MetricType::StateSet => MetricKind::Sum {
            temporality,
            monotonic: false,
        },
        MetricType::Histogram => MetricKind::Histogram { temporality },
        MetricType::Summary => MetricKind::Summary,
        MetricType::Gauge | MetricType::Unknown | MetricType::GaugeHistogram => MetricKind::Gauge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(metadata: &[(&str, MetricType)]) -> Families {
        let mut families = Families::new(false);
        for (name, kind) in metadata {
            families.set(name, Change::Type(*kind));
        }
        families
    }

    #[test]
    fn names_find_their_family() {
        let interner = Interner::default();
        let mut families = families(&[
            ("c_total", MetricType::Counter),
            ("oc", MetricType::Counter),
            ("h", MetricType::Histogram),
            ("s", MetricType::Summary),
            ("build", MetricType::Info),
            ("gh", MetricType::GaugeHistogram),
            ("plain_created", MetricType::Gauge),
        ]);
        let monotonic = "Sum { temporality: Cumulative, monotonic: true }";
        for (name, shown, part, kind) in [
            ("c_total", "c_total", Part::Number, monotonic),
            ("oc_total", "oc_total", Part::Number, monotonic),
            ("oc_created", "oc_total", Part::CounterCreated, monotonic),
            ("oc", "oc", Part::Number, monotonic),
            (
                "h_bucket",
                "h",
                Part::Bound("le"),
                "Histogram { temporality: Cumulative }",
            ),
            (
                "h_sum",
                "h",
                Part::Sum,
                "Histogram { temporality: Cumulative }",
            ),
            (
                "h_count",
                "h",
                Part::Count,
                "Histogram { temporality: Cumulative }",
            ),
            (
                "h_created",
                "h",
                Part::Created,
                "Histogram { temporality: Cumulative }",
            ),
            ("s", "s", Part::Bound("quantile"), "Summary"),
            ("s_count", "s", Part::Count, "Summary"),
            (
                "build_info",
                "build",
                Part::Number,
                "Sum { temporality: Cumulative, monotonic: false }",
            ),
            ("gh_bucket", "gh", Part::Number, "Gauge"),
            ("gh_gcount", "gh_gcount", Part::Number, "Gauge"),
            ("plain_created", "plain_created", Part::Number, "Gauge"),
            ("x_created", "x_created", Part::Number, "Gauge"),
            ("x_bucket", "x_bucket", Part::Number, "Gauge"),
            ("_total", "_total", Part::Number, "Gauge"),
        ] {
            let found = families.name(name, &interner);
            assert_eq!(&*found.metric.name, shown, "{name}");
            assert_eq!(found.part, part, "{name}");
            assert_eq!(format!("{:?}", found.metric.kind), kind, "{name}");
        }
    }

    #[test]
    fn only_a_change_of_names_in_use_asks_for_resolving() {
        let interner = Interner::default();
        let mut families = families(&[("a", MetricType::Counter)]);
        let before = families.name("a_total", &interner);
        assert!(!families.set("a", Change::Type(MetricType::Counter)));
        assert!(!families.set("b", Change::Help("text")));
        assert!(families.set("a", Change::Help("text")));
        let after = families.name("a_total", &interner);
        assert_eq!(
            (&*before.metric.description, &*after.metric.description),
            ("", "text")
        );
        families.name("late", &interner);
        assert!(families.set("late", Change::Type(MetricType::Gauge)));
    }

    #[test]
    fn units_suffixes_and_synthetic_series() {
        let interner = Interner::default();
        let mut families = Families::new(true);
        families.set("lat_seconds", Change::Unit("seconds"));
        families.set("lat_seconds", Change::Type(MetricType::Gauge));
        let latency = families.name("lat_seconds", &interner).metric;
        assert_eq!((&*latency.name, &*latency.unit), ("lat", "s"));
        let duration = families.name("scrape_duration_seconds", &interner).metric;
        assert_eq!((&*duration.name, &*duration.unit), ("scrape_duration", "s"));
    }

    #[test]
    fn families_that_come_and_go_are_forgotten() {
        let mut families = Families::new(false);
        families.name("used_total", &Interner::default());
        families.set("used", Change::Type(MetricType::Counter));
        for number in 0..10_000 {
            families.set(&format!("churn_{number}"), Change::Help("x"));
        }
        assert!(families.families.len() <= SPARE_FAMILIES + 3);
    }
}
