//! A job with its defaults filled in and its rules compiled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_prom::exposition::protobuf::HistogramForms;
use weir_prom::exposition::{EscapingScheme, MediaType, ScrapeProtocol, accept_header};
use weir_prom::relabel::{RelabelConfig, RelabelError, RelabelRule};

use super::scrape::{ScrapeConfig, escaping_scheme, name_scheme};
use super::{Global, PromSize};
use crate::discovery::client::HttpClientBlock;
use crate::prometheus::series::{Limits, PageRules, SeriesRules};

/// Finest resolution of a native histogram.
const MAX_SCHEMA: i32 = 8;

/// Coarsest resolution of a native histogram.
const MIN_SCHEMA: i32 = -4;

/// What a job does to its targets.
#[derive(Debug, Clone)]
pub(crate) struct JobRules {
    pub(crate) name: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) path: String,
    pub(crate) scheme: String,
    pub(crate) params: BTreeMap<String, Vec<String>>,
    pub(crate) relabel: Vec<RelabelRule>,
    pub(crate) page: Arc<PageRules>,
    /// Value of the `Accept` header.
    pub(crate) accept: String,
    pub(crate) compression: bool,
    /// Bytes of a body from which on the scrape fails; 0 is none.
    pub(crate) body_limit: u64,
    /// Targets above which all fail; 0 is none.
    pub(crate) target_limit: u64,
    /// Three more synthetic series.
    pub(crate) extra_metrics: bool,
    /// What a body of unknown type is read as.
    pub(crate) fallback: Option<MediaType>,
    pub(crate) client: HttpClientBlock,
}

fn either(own: u64, global: u64) -> u64 {
    if own == 0 { global } else { own }
}

fn compile(
    rules: &[RelabelConfig],
    scheme: weir_prom::exposition::NameScheme,
) -> Result<Vec<RelabelRule>, RelabelError> {
    rules.iter().map(|rule| rule.compile(scheme)).collect()
}

/// The finest resolution at which buckets grow by at least this factor.
fn schema_of_factor(factor: f64) -> i32 {
    if factor <= 1.0 {
        return MAX_SCHEMA;
    }
    #[expect(clippy::cast_possible_truncation, reason = "clamped to a small range")]
    let schema = (-factor.log2().log2()).floor().clamp(-4.0, 8.0) as i32;
    schema.clamp(MIN_SCHEMA, MAX_SCHEMA)
}

impl JobRules {
    /// Fills in and compiles. `scope` is name and version of the receiver's own scope.
    ///
    /// # Errors
    /// If a rule is not valid, which validation has found before.
    pub(crate) fn new(
        global: &Global,
        job: &ScrapeConfig,
        trim_suffixes: bool,
        scope: (String, String),
    ) -> Result<Self, RelabelError> {
        let (interval, timeout) = global.times(job);
        let validation = if job.metric_name_validation_scheme.is_empty() {
            &global.metric_name_validation_scheme
        } else {
            &job.metric_name_validation_scheme
        };
        let scheme = name_scheme(validation).unwrap_or_default();
        let native = job
            .scrape_native_histograms
            .unwrap_or(global.scrape_native_histograms);
        let classic_too = job
            .always_scrape_classic_histograms
            .unwrap_or(global.always_scrape_classic_histograms);
        let whole = job
            .convert_classic_histograms_to_nhcb
            .unwrap_or(global.convert_classic_histograms_to_nhcb);
        let PromSize(body_limit) = job.body_size_limit;
        let series = SeriesRules {
            honor_labels: job.honor_labels,
            relabel: compile(&job.metric_relabel_configs, scheme)?,
            external_labels: global.external_labels.clone().into_iter().collect(),
            limits: Limits {
                samples: either(job.sample_limit, global.sample_limit),
                labels: either(job.label_limit, global.label_limit),
                name_length: either(job.label_name_length_limit, global.label_name_length_limit),
                value_length: either(
                    job.label_value_length_limit,
                    global.label_value_length_limit,
                ),
            },
            name_scheme: scheme,
            classic_as_native: whole && !classic_too,
            trim_suffixes,
            scope,
        };
        let page = PageRules {
            series,
            honor_timestamps: job.honor_timestamps,
            track_timestamps_staleness: job.track_timestamps_staleness,
            forms: HistogramForms {
                native,
                classic_too,
            },
            native_buckets: job.native_histogram_bucket_limit,
            max_schema: schema_of_factor(job.native_histogram_min_bucket_factor),
        };
        Ok(Self {
            name: job.job_name.clone(),
            interval: interval.to_std(),
            timeout: timeout.to_std(),
            path: job.metrics_path.clone(),
            scheme: job.scheme.clone(),
            params: job.params.clone(),
            relabel: compile(&job.relabel_configs, scheme)?,
            page: Arc::new(page),
            accept: accept_header(&protocols(global, job, native), escaping(global, job)),
            compression: job.enable_compression,
            body_limit: either(body_limit, global.body_size_limit.0),
            target_limit: either(job.target_limit, global.target_limit),
            extra_metrics: job
                .extra_scrape_metrics
                .unwrap_or(global.extra_scrape_metrics),
            fallback: job
                .fallback_scrape_protocol
                .parse()
                .ok()
                .map(ScrapeProtocol::media_type),
            client: job.client(),
        })
    }
}

/// What to ask for: the list of the job, that of all jobs, or the default.
fn protocols(global: &Global, job: &ScrapeConfig, native: bool) -> Vec<ScrapeProtocol> {
    let given = if job.scrape_protocols.is_empty() {
        global.scrape_protocols.as_deref().unwrap_or_default()
    } else {
        &job.scrape_protocols
    };
    let parsed: Vec<ScrapeProtocol> = given.iter().filter_map(|name| name.parse().ok()).collect();
    match (parsed.is_empty(), native) {
        (false, _) => parsed,
        (true, true) => ScrapeProtocol::PROTO_FIRST.to_vec(),
        (true, false) => ScrapeProtocol::TEXT.to_vec(),
    }
}

/// How targets are asked to write names: legacy names need escapes.
fn escaping(global: &Global, job: &ScrapeConfig) -> EscapingScheme {
    let legacy = |validation: &str| validation == "legacy";
    let own = escaping_scheme(&job.metric_name_escaping_scheme);
    let of_all = escaping_scheme(&global.metric_name_escaping_scheme);
    let fallback = if legacy(&job.metric_name_validation_scheme) {
        EscapingScheme::Underscores
    } else {
        of_all.unwrap_or(if legacy(&global.metric_name_validation_scheme) {
            EscapingScheme::Underscores
        } else {
            EscapingScheme::AllowUtf8
        })
    };
    own.unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_become_resolutions() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (1.1, 2),
            (1.5, 0),
            (2.0, 0),
            (4.0, -1),
            (1e9, -4),
        ] {
            assert_eq!(schema_of_factor(factor), schema, "{factor}");
        }
    }
}
