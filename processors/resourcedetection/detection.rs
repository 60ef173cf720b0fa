//! Asking all detectors at once and putting their answers together.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};
use weir_core::BoxFut;
use weir_model::Value;

/// The schema of the attributes that detectors name themselves.
pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.6.1";
/// Wait after a first failure; doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// What a detector that knows the end may run over it.
const GRACE: Duration = Duration::from_millis(100);

/// What was detected.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Attributes of the resource.
    pub(super) attributes: BTreeMap<String, Value>,
    /// Their schema; empty if none is known.
    pub(super) schema_url: &'static str,
}

/// Someone who knows something about where the process runs.
pub(super) trait Detector: Send + Sync {
    /// What it knows; nothing if this is not its platform. A platform that does not answer before
    /// `end` counts as not there.
    ///
    /// # Errors
    /// It is the platform, and an answer is missing or makes no sense.
    fn detect(&self, end: Instant) -> BoxFut<'_, Result<Found, String>>;
}

/// Detectors by name, in the order of precedence.
pub(super) type Detectors = Vec<(String, Box<dyn Detector>)>;

/// Asks all of them at once, again after failures, until `limit` has passed; the first to know an
/// attribute decides it.
///
/// # Errors
/// All that went wrong, by detector.
pub(super) async fn detect_all(detectors: &Detectors, limit: Duration) -> Result<Found, String> {
    let end = Instant::now() + limit;
    let asked = detectors.iter().map(|(_, detector)| ask(&**detector, end));
    let mut merged = Found::default();
    let mut failures = Vec::new();
    for ((name, _), answer) in detectors.iter().zip(join_all(asked).await) {
        match answer {
            Ok(found) => merge(&mut merged, found),
            Err(error) => failures.push(format!("detector `{name}`: {error}")),
        }
    }
    match failures.is_empty() {
        true => Ok(merged),
        false => Err(failures.join("; ")),
    }
}

fn merge(merged: &mut Found, found: Found) {
    if merged.schema_url.is_empty() {
        merged.schema_url = found.schema_url;
    }
    for (key, value) in found.attributes {
        merged.attributes.entry(key).or_insert(value);
    }
}

async fn ask(detector: &dyn Detector, end: Instant) -> Result<Found, String> {
    let mut wait = FIRST_WAIT;
    let mut last = "no answer before the timeout".to_owned();
    let attempts = async {
        loop {
            match detector.detect(end).await {
                Ok(found) => return found,
                Err(error) => last = error,
            }
            sleep(wait).await;
            wait *= 2;
        }
    };
    let answer = timeout_at(end + GRACE, attempts).await;
    answer.map_err(|_| last)
}
