//! The four family tables joined, and what is known of components that are not here.

use weir_core::{ComponentKind, Registry};
use weir_runtime::Catalog;

/// All components of this build.
pub const REGISTRY: Registry = Registry {
    receivers: weir_receivers::COMPONENTS,
    processors: weir_processors::COMPONENTS,
    exporters: weir_exporters::COMPONENTS,
    extensions: weir_extensions::COMPONENTS,
};

/// Components of the reference or of the upstream project, so that an error can say "not offered
/// yet" instead of "unknown" (adot-components, tiers). What the tables above hold comes first, so
/// a name may stay here after its component has been built.
const ELSEWHERE: &[(ComponentKind, &[&str])] = &[
    (
        ComponentKind::Receiver,
        &[
            "awscontainerinsightreceiver",
            "awsecscontainermetrics",
            "awsxray",
            "file_log",
            "filelog",
            "hostmetrics",
            "jaeger",
            "k8s_cluster",
            "kafka",
            "kubeletstats",
            "otlp",
            "prometheus",
            "statsd",
            "zipkin",
        ],
    ),
    (
        ComponentKind::Processor,
        &[
            "attributes",
            "batch",
            "cumulativetodelta",
            "deltatocumulative",
            "deltatorate",
            "filter",
            "groupbyattrs",
            "groupbytrace",
            "k8s_attributes",
            "k8sattributes",
            "memory_limiter",
            "metrics_transform",
            "metricsgeneration",
            "metricstransform",
            "probabilistic_sampler",
            "resource",
            "resource_detection",
            "resourcedetection",
            "span",
            "tail_sampling",
            "transform",
        ],
    ),
    (
        ComponentKind::Exporter,
        &[
            "awscloudwatchlogs",
            "awsemf",
            "awsxray",
            "datadog",
            "debug",
            "file",
            "kafka",
            "load_balancing",
            "loadbalancing",
            "logzio",
            "otlp",
            "otlp_grpc",
            "otlp_http",
            "otlphttp",
            "prometheus",
            "prometheus_remote_write",
            "prometheusremotewrite",
            "signalfx",
        ],
    ),
    (
        ComponentKind::Extension,
        &[
            "awsproxy",
            "basicauth",
            "bearertokenauth",
            "ecs_observer",
            "file_storage",
            "headers_setter",
            "health_check",
            "pprof",
            "sigv4auth",
            "zpages",
        ],
    ),
];

/// Names that once loaded, and what to write today.
const REMOVED: &[(ComponentKind, &str, &str)] = &[
    (
        ComponentKind::Exporter,
        "logging",
        "use the `debug` exporter",
    ),
    (
        ComponentKind::Exporter,
        "awsprometheusremotewrite",
        "use `prometheusremotewrite` with `auth: {authenticator: sigv4auth}` and the `sigv4auth` extension",
    ),
    (
        ComponentKind::Processor,
        "experimental_metricsgeneration",
        "use the `metricsgeneration` processor",
    ),
    (
        ComponentKind::Processor,
        "tailsampling",
        "use the `tail_sampling` processor",
    ),
];

/// What can be configured.
pub const CATALOG: Catalog = Catalog {
    registry: REGISTRY,
    elsewhere: ELSEWHERE,
    removed: REMOVED,
};
