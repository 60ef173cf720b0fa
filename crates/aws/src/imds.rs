//! What the instance metadata service of EC2 knows besides credentials (Amazon EC2 user guide,
//! "Instance metadata").

use std::sync::Arc;
use std::time::Duration;

use crate::chain::surroundings;
use crate::clock::ServiceClock;
use crate::sources::{InstanceMetadata, Surroundings};

/// How often a text is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in all; 0 for as many as it takes.
    pub attempts: u32,
    /// Longest wait between two of them.
    pub max_backoff: Duration,
}

/// The service, asked with one session token for several texts.
#[derive(Clone, Debug)]
pub struct Ec2Metadata {
    service: Arc<InstanceMetadata>,
    patience: Patience,
}

impl Ec2Metadata {
    /// The service at its usual address, or where the environment or the profile says.
    ///
    /// # Errors
    /// It is switched off (`AWS_EC2_METADATA_DISABLED`), or its address cannot be used.
    pub fn new(patience: Patience) -> Result<Self, String> {
        let clock = Arc::new(ServiceClock::of_machine());
        let around = surroundings("", clock).map_err(|error| error.0)?;
        Self::around(&around, patience)
    }

    pub(crate) fn around(around: &Surroundings, patience: Patience) -> Result<Self, String> {
        let service = InstanceMetadata::new(around).map_err(|error| error.message)?;
        Ok(Self {
            service: Arc::new(service.without_retries()),
            patience,
        })
    }

    /// The text under a path such as `/latest/meta-data/instance-id`.
    ///
    /// # Errors
    /// It does not answer, or does not know; the caller sets the limit in time.
    pub async fn text(&self, path: &str) -> Result<String, String> {
        let mut attempt = 1;
        loop {
            let error = match self.service.text(path).await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            if attempt == self.patience.attempts || error.denied {
                return Err(error.message);
            }
            let wait = Duration::from_secs(1 << attempt.min(20)).min(self.patience.max_backoff);
            tokio::time::sleep(wait.mul_f64(fastrand::f64())).await;
            attempt = attempt.saturating_add(1);
        }
    }
}
