//! The `service` section (config-and-cli section 8).

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};

/// `service.telemetry`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceTelemetry {
    /// Own logs.
    pub logs: LogsTelemetry,
    /// Own metrics.
    pub metrics: MetricsTelemetry,
    /// Own traces; read, not used.
    pub traces: any::Any,
    /// Resource attributes of own telemetry: a map, or `attributes: [{name, value}]`.
    pub resource: any::Any,
}

/// `service.telemetry.logs`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogsTelemetry {
    /// debug, info, warn or error.
    pub level: String,
    /// console or json.
    pub encoding: String,
    /// Accepted, without effect.
    pub development: bool,
    /// Accepted: there is no caller field.
    pub disable_caller: bool,
    /// Accepted: there are no stack traces.
    pub disable_stacktrace: bool,
    /// Accepted: repeated failures are folded to one line in any case.
    pub sampling: any::Any,
    /// Accepted: logs go to standard error.
    pub output_paths: Vec<String>,
    /// Accepted: logs go to standard error.
    pub error_output_paths: Vec<String>,
    /// Fields added to every line.
    pub initial_fields: any::Any,
    /// Accepted, without effect.
    pub processors: any::Any,
}

impl Default for LogsTelemetry {
    fn default() -> Self {
        Self {
            level: "info".into(),
            encoding: "console".into(),
            development: false,
            disable_caller: false,
            disable_stacktrace: false,
            sampling: any::Any::default(),
            output_paths: vec!["stderr".into()],
            error_output_paths: vec!["stderr".into()],
            initial_fields: any::Any::default(),
            processors: any::Any::default(),
        }
    }
}

/// How much of the own metrics is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsLevel {
    /// Nothing; no port is opened.
    None,
    /// The essential ones.
    Basic,
    /// The usual ones.
    #[default]
    Normal,
    /// All of them.
    Detailed,
}

/// `service.telemetry.metrics`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsTelemetry {
    /// How much.
    pub level: MetricsLevel,
    /// Where to; by default one page on localhost:8888.
    pub readers: Option<Vec<Reader>>,
    /// Accepted, without effect.
    pub views: any::Any,
    /// Old key `host:port` of the page; the reference no longer knows it, many files still do.
    pub address: Option<String>,
}

/// One entry of `readers`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reader {
    /// A page to be scraped.
    pub pull: Option<PullReader>,
    /// Pushing own metrics; accepted, without effect.
    pub periodic: any::Any,
}

/// A `pull` reader.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PullReader {
    /// Kind of page.
    pub exporter: PullExporter,
}

/// The exporter of a pull reader.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PullExporter {
    /// The Prometheus page.
    pub prometheus: Option<PrometheusPage>,
}

/// Where the page stands and how names are written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusPage {
    /// Host to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Accepted: names carry no scope labels.
    pub without_scope_info: bool,
    /// Accepted: names carry no type suffix.
    pub without_type_suffix: bool,
    /// Accepted: names carry no units.
    pub without_units: bool,
    /// Accepted, without effect.
    pub with_resource_constant_labels: any::Any,
}

impl Default for PrometheusPage {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 8888,
            without_scope_info: true,
            without_type_suffix: true,
            without_units: true,
            with_resource_constant_labels: any::Any::default(),
        }
    }
}

impl MetricsTelemetry {
    /// Addresses to serve the page on; none when the level is `none`.
    pub fn pages(&self) -> Vec<String> {
        if self.level == MetricsLevel::None {
            return Vec::new();
        }
        if let Some(address) = &self.address {
            return vec![address.clone()];
        }
        let Some(readers) = &self.readers else {
            let page = PrometheusPage::default();
            return vec![format!("{}:{}", page.host, page.port)];
        };
        let pull = readers
            .iter()
            .filter_map(|r| r.pull.as_ref()?.exporter.prometheus.as_ref());
        pull.map(|page| format!("{}:{}", page.host, page.port))
            .collect()
    }
}

impl Validate for ServiceTelemetry {
    fn validate(&self, errors: &mut Errors) {
        if !matches!(
            self.logs.level.to_ascii_lowercase().as_str(),
            "debug" | "info" | "warn" | "error"
        ) {
            let text = format!("unknown log level `{}`", self.logs.level);
            errors.push("logs.level", text, "use debug, info, warn or error");
        }
        if !matches!(self.logs.encoding.as_str(), "console" | "json") {
            let text = format!("unknown log encoding `{}`", self.logs.encoding);
            errors.push("logs.encoding", text, "use console or json");
        }
        let empty = self.metrics.readers.as_ref().is_some_and(Vec::is_empty);
        if empty && self.metrics.level != MetricsLevel::None {
            let hint = "remove the key for the default page, or set level: none";
            errors.push("metrics.readers", "the list of readers is empty", hint);
        }
        if self.metrics.address.is_some() {
            let hint = "use readers: [{pull: {exporter: {prometheus: {host, port}}}}]";
            errors.warn(
                "metrics.address",
                "`address` is an old key; it still works here",
                hint,
            );
        }
    }
}

/// A part of the configuration that is kept as it is.
pub mod any {
    use serde::de::{MapAccess, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Any YAML value.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub enum Any {
        /// Nothing.
        #[default]
        Null,
        /// Boolean.
        Bool(bool),
        /// Integer.
        Int(i64),
        /// Number.
        Float(f64),
        /// Text.
        Text(String),
        /// List.
        List(Vec<Any>),
        /// Map in order.
        Map(Vec<(String, Any)>),
    }

    impl Serialize for Any {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Any::Null => serializer.serialize_unit(),
                Any::Bool(b) => serializer.serialize_bool(*b),
                Any::Int(i) => serializer.serialize_i64(*i),
                Any::Float(f) => serializer.serialize_f64(*f),
                Any::Text(t) => serializer.serialize_str(t),
                Any::List(items) => serializer.collect_seq(items),
                Any::Map(entries) => serializer.collect_map(entries.iter().map(|(k, v)| (k, v))),
            }
        }
    }

    impl<'de> Deserialize<'de> for Any {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(AnyVisitor)
        }
    }

    struct AnyVisitor;

    impl<'de> Visitor<'de> for AnyVisitor {
        type Value = Any;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("any value")
        }
        fn visit_unit<E>(self) -> Result<Any, E> {
            Ok(Any::Null)
        }
        fn visit_none<E>(self) -> Result<Any, E> {
            Ok(Any::Null)
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Any, D::Error> {
            Any::deserialize(deserializer)
        }
        fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
            Ok(Any::Bool(value))
        }
        fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
            Ok(Any::Int(value))
        }
        fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
            Ok(i64::try_from(value).map_or(Any::Float(value as f64), Any::Int))
        }
        fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
            Ok(Any::Float(value))
        }
        fn visit_str<E>(self, value: &str) -> Result<Any, E> {
            Ok(Any::Text(value.to_owned()))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Any, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(Any::List(list))
        }
        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Any, A::Error> {
            let mut map = Vec::new();
            while let Some(entry) = entries.next_entry()? {
                map.push(entry);
            }
            Ok(Any::Map(map))
        }
    }
}
