//! Counts of trace segments that X-Ray wants to hear about (`PutTelemetryRecords`, awsxray, section 9).
//!
//! A receiver and an exporter of segments may count into the same record. They find each other
//! here by component id, across the whole process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use weir_config::Environment;

use crate::chain::instance_metadata;
use crate::error::{AwsError, ErrorKind};

/// What happened since the last record.
#[derive(Debug, Default)]
pub struct SegmentCounts {
    received: AtomicU32,
    rejected: AtomicU32,
    sent: AtomicU32,
    client_errors: AtomicU32,
    server_errors: AtomicU32,
    timeouts: AtomicU32,
    unknown_hosts: AtomicU32,
    other_errors: AtomicU32,
}

/// One record as the service takes it. Spillover and refused connections are always 0, as in the
/// reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TelemetryRecord {
    /// End of the time it covers, Unix seconds.
    pub timestamp: f64,
    /// Segments that came in.
    pub segments_received_count: u32,
    /// Segments that went out.
    pub segments_sent_count: u32,
    /// Always 0.
    pub segments_spillover_count: u32,
    /// Segments that came in and could not be used.
    pub segments_rejected_count: u32,
    /// Failed calls.
    pub backend_connection_errors: BackendConnectionErrors,
}

/// Failed calls by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BackendConnectionErrors {
    /// No answer in time.
    pub timeout_count: u32,
    /// Always 0.
    pub connection_refused_count: u32,
    /// Answers of the 4xx family.
    #[serde(rename = "HTTPCode4XXCount")]
    pub http_code_4xx_count: u32,
    /// Answers of the 5xx family.
    #[serde(rename = "HTTPCode5XXCount")]
    pub http_code_5xx_count: u32,
    /// The host name could not be looked up.
    pub unknown_host_count: u32,
    /// Anything else.
    pub other_count: u32,
}

impl SegmentCounts {
    /// Segments came in.
    pub fn received(&self, segments: usize) {
        add(&self.received, segments);
    }

    /// Segments came in and could not be used.
    pub fn rejected(&self, segments: usize) {
        add(&self.rejected, segments);
    }

    /// Segments went out.
    pub fn sent(&self, segments: usize) {
        add(&self.sent, segments);
    }

    /// A call failed.
    pub fn failed(&self, error: &AwsError) {
        let counter = match (error.status, error.kind) {
            (Some(400..=499), _) => &self.client_errors,
            (Some(500..=599), _) => &self.server_errors,
            (Some(_), _) => &self.other_errors,
            (None, ErrorKind::Timeout) => &self.timeouts,
            (None, ErrorKind::UnknownHost | ErrorKind::Transport) => &self.unknown_hosts,
            (None, _) => &self.other_errors,
        };
        add(counter, 1);
    }

    /// The counts since the last time, `None` if there is nothing to tell.
    pub fn take(&self, unix_ns: u64) -> Option<TelemetryRecord> {
        let take = |counter: &AtomicU32| counter.swap(0, Ordering::Relaxed);
        let counts = TelemetryRecord {
            segments_received_count: take(&self.received),
            segments_sent_count: take(&self.sent),
            segments_rejected_count: take(&self.rejected),
            backend_connection_errors: BackendConnectionErrors {
                timeout_count: take(&self.timeouts),
                http_code_4xx_count: take(&self.client_errors),
                http_code_5xx_count: take(&self.server_errors),
                unknown_host_count: take(&self.unknown_hosts),
                other_count: take(&self.other_errors),
                connection_refused_count: 0,
            },
            ..TelemetryRecord::default()
        };
        if counts == TelemetryRecord::default() {
            return None;
        }
        Some(TelemetryRecord {
            timestamp: (unix_ns / 1_000_000_000) as f64,
            ..counts
        })
    }
}

fn add(counter: &AtomicU32, by: usize) {
    let by = u32::try_from(by).unwrap_or(u32::MAX);
    counter.fetch_add(by, Ordering::Relaxed);
}

static SHARED: Mutex<BTreeMap<String, Arc<SegmentCounts>>> = Mutex::new(BTreeMap::new());

/// New counts that components of these ids share from now on.
pub fn share_segment_counts<'a>(ids: impl IntoIterator<Item = &'a str>) -> Arc<SegmentCounts> {
    let counts = Arc::new(SegmentCounts::default());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    for id in ids {
        shared.insert(id.to_owned(), counts.clone());
    }
    counts
}

/// The counts that the component of this id shares, if some exporter reports them.
pub fn segment_counts(id: &str) -> Option<Arc<SegmentCounts>> {
    let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.get(id).cloned()
}

/// Host name and instance id for the records: as configured, else of the environment
/// (`AWS_HOSTNAME`, `AWS_INSTANCE_ID`), else of the instance; empty where nobody knows.
pub async fn telemetry_host(
    hostname: &str,
    instance_id: &str,
    environment: &(dyn Environment + Sync),
) -> (String, String) {
    let find = async |configured: &str, variable: &str, path: &str| {
        if !configured.is_empty() {
            return configured.to_owned();
        }
        match environment.get(variable).filter(|value| !value.is_empty()) {
            Some(value) => value,
            None => instance_metadata(path).await.unwrap_or_default(),
        }
    };
    (
        find(hostname, "AWS_HOSTNAME", "hostname").await,
        find(instance_id, "AWS_INSTANCE_ID", "instance-id").await,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counts_are_told_once_and_by_kind() {
        let counts = SegmentCounts::default();
        assert_eq!(counts.take(0), None);
        counts.received(3);
        counts.rejected(1);
        counts.sent(2);
        for (status, kind) in [
            (Some(400), ErrorKind::Invalid),
            (Some(503), ErrorKind::Server),
            (None, ErrorKind::Timeout),
            (None, ErrorKind::UnknownHost),
            (None, ErrorKind::Credentials),
        ] {
            let error = AwsError::local(kind, String::new());
            counts.failed(&AwsError { status, ..error });
        }
        let record = serde_json::to_value(counts.take(5_900_000_000).unwrap()).unwrap();
        let expected = serde_json::json!({
            "Timestamp": 5.0, "SegmentsReceivedCount": 3, "SegmentsSentCount": 2,
            "SegmentsSpilloverCount": 0, "SegmentsRejectedCount": 1,
            "BackendConnectionErrors": {
                "TimeoutCount": 1, "ConnectionRefusedCount": 0, "HTTPCode4XXCount": 1,
                "HTTPCode5XXCount": 1, "UnknownHostCount": 1, "OtherCount": 1,
            },
        });
        assert_eq!(record, expected);
        assert_eq!(counts.take(6), None);
    }

    #[test]
    fn components_share_by_id() {
        let counts = share_segment_counts(["segment_counts_test", "segment_counts_test/b"]);
        segment_counts("segment_counts_test/b").unwrap().sent(1);
        assert_eq!(counts.take(0).unwrap().segments_sent_count, 1);
        assert!(segment_counts("segment_counts_test/c").is_none());
    }
}
