//! What the configuration means, worked out once.

use std::collections::{HashMap, HashSet};

use weir_model::Series;

use super::config::{Config, Destination};
use super::declarations::Declarations;
use super::labels::Labels;
use super::names::{self, Filled};
use super::units;

/// Layout of an event's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// At the top of the event, time as text.
    Zero,
    /// Under `_aws`, time as a number.
    One,
    /// Any other text in the configuration: events without metadata.
    Unknown,
}

/// The configuration, compiled.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The keys as they were given.
    pub(crate) config: Config,
    /// Dimension sets.
    pub(crate) declarations: Declarations,
    /// Layout.
    pub(crate) version: Version,
    /// Where events go.
    pub(crate) destination: Destination,
    /// Whether events are written as JSON strings inside a request body.
    pub(crate) embedded: bool,
    /// Labels that hold JSON.
    pub(crate) json_labels: HashSet<String>,
    /// Whether events are kept to what CloudWatch makes metrics of.
    pub(crate) limits: bool,
    /// Unit and overwrite flag by metric name.
    units: HashMap<String, (String, bool)>,
    /// Seconds between values by metric name.
    resolutions: HashMap<String, i64>,
    /// The stream when none is configured.
    default_stream: String,
}

/// Where a resource's events go.
#[derive(Debug)]
pub(crate) struct Place {
    /// CloudWatch namespace.
    pub(crate) namespace: String,
    /// Log group.
    pub(crate) group: String,
    /// Log stream.
    pub(crate) stream: String,
    /// Whether a placeholder found no resource attribute, so that labels are asked too (EMF-13).
    pub(crate) pending: bool,
}

impl Settings {
    /// `default_stream` is the log stream name to use when none is configured (EMF-10).
    pub(crate) fn new(config: Config, default_stream: String) -> Self {
        let named = || {
            let descriptors = config.metric_descriptors.iter();
            descriptors.filter(|d| !d.metric_name.is_empty())
        };
        let units = named()
            .filter(|d| d.has_unit())
            .map(|d| (d.metric_name.clone(), (d.unit.clone(), d.overwrite)))
            .collect();
        let resolutions = named()
            .filter(|d| d.storage_resolution != 0)
            .map(|d| (d.metric_name.clone(), d.storage_resolution))
            .collect();
        let destination = config.destination();
        Self {
            declarations: Declarations::new(&config),
            version: match config.version.as_str() {
                "0" => Version::Zero,
                "1" => Version::One,
                _ => Version::Unknown,
            },
            destination,
            embedded: destination != Destination::Stdout,
            json_labels: config
                .parse_json_encoded_attr_values
                .iter()
                .cloned()
                .collect(),
            limits: config.enforce_limits,
            units,
            resolutions,
            default_stream,
            config,
        }
    }

    /// The CloudWatch unit of a metric (spec 8).
    pub(crate) fn unit<'a>(&'a self, metric: &str, unit: &'a str) -> &'a str {
        match self.units.get(metric) {
            Some((own, overwrite)) if *overwrite || unit.is_empty() => units::translate(own),
            _ => units::translate(unit),
        }
    }

    /// Seconds between values of a metric, where a descriptor says so; else 0.
    pub(crate) fn resolution(&self, metric: &str) -> i64 {
        self.resolutions.get(metric).copied().unwrap_or(0)
    }

    /// Where the events of a resource go, as far as its attributes tell.
    pub(crate) fn place(&self, series: &Series) -> Place {
        let resource = &series.resource().attributes;
        let namespace = match self.config.namespace.as_str() {
            "" => names::namespace(resource),
            namespace => namespace.to_owned(),
        };
        let fill = |template: &str, default: &dyn Fn() -> String| match template {
            "" => Filled {
                text: default(),
                complete: true,
            },
            template => names::fill_from_resource(template, resource),
        };
        let group = fill(&self.config.log_group_name, &|| {
            format!("/metrics/{namespace}")
        });
        let stream = fill(&self.config.log_stream_name, &|| {
            self.default_stream.clone()
        });
        Place {
            pending: !(group.complete && stream.complete),
            namespace,
            group: group.text,
            stream: stream.text,
        }
    }

    /// The names of a point whose place is pending: each that has an `undefined` in it is filled
    /// anew from the labels alone (EMF-13).
    pub(crate) fn names_by_labels(
        &self,
        group: &str,
        stream: &str,
        labels: &Labels,
    ) -> (String, String) {
        let fill = |name: &str, template: &str| {
            if template.is_empty() || !name.contains(names::UNDEFINED) {
                return name.to_owned();
            }
            names::fill(template, |key| labels.get(key).map(Into::into)).text
        };
        (
            fill(group, &self.config.log_group_name),
            fill(stream, &self.config.log_stream_name),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::MetricDescriptor;
    use super::*;

    #[test]
    fn descriptors_give_units_and_overwrite_only_when_told() {
        let descriptor = |name: &str, unit: &str, overwrite| MetricDescriptor {
            metric_name: name.to_owned(),
            unit: unit.to_owned(),
            overwrite,
            ..MetricDescriptor::default()
        };
        let config = Config {
            metric_descriptors: vec![
                descriptor("a", "Percent", false),
                descriptor("b", "Percent", true),
                descriptor("c", "percent", true),
                descriptor("d", "Bytes", true),
                descriptor("d", "Count", true),
                descriptor("", "Count", true),
            ],
            ..Config::default()
        };
        let settings = Settings::new(config, String::new());
        assert_eq!(settings.unit("a", ""), "Percent");
        assert_eq!(settings.unit("a", "ms"), "Milliseconds");
        assert_eq!(settings.unit("a", "1"), "");
        assert_eq!(settings.unit("b", "ms"), "Percent");
        assert_eq!(settings.unit("c", "ms"), "Milliseconds");
        assert_eq!(settings.unit("d", "ms"), "Count");
        assert_eq!(settings.unit("", "KiBy"), "KiBy");
    }

    #[test]
    fn a_descriptor_may_set_the_resolution_alone() {
        let descriptor = |name: &str, unit: &str, storage_resolution| MetricDescriptor {
            metric_name: name.to_owned(),
            unit: unit.to_owned(),
            storage_resolution,
            ..MetricDescriptor::default()
        };
        let config = Config {
            metric_descriptors: vec![
                descriptor("a", "", 1),
                descriptor("b", "Percent", 60),
                descriptor("", "Count", 1),
            ],
            ..Config::default()
        };
        let settings = Settings::new(config, String::new());
        let found = |name| (settings.unit(name, ""), settings.resolution(name));
        assert_eq!(found("a"), ("", 1));
        assert_eq!(found("b"), ("Percent", 60));
        assert_eq!(found(""), ("", 0));
    }
}
