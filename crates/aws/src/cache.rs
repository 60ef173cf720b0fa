//! One set of credentials for all requests, fetched before the last one ends (AWS-23).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use weir_core::{BoxFut, Clock};

use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};

/// While the old ones are still good, a failed fetch is not repeated sooner than this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Caches another source. Calls that come while credentials are being fetched share the fetch, and
/// do not wait for it while the old ones are good.
#[derive(Debug)]
pub(crate) struct Cached {
    source: Box<dyn CredentialsProvider>,
    clock: Arc<dyn Clock>,
    current: RwLock<Option<Current>>,
    /// Held while fetching; when a fetch failed last, in the clock's monotonic time.
    fetching: tokio::sync::Mutex<Option<Duration>>,
}

#[derive(Debug, Clone)]
struct Current {
    credentials: Credentials,
    /// New ones are fetched so long before the end.
    early: Duration,
}

impl Cached {
    pub(crate) fn new(source: Box<dyn CredentialsProvider>, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            clock,
            current: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    fn current(&self) -> Option<Current> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The time until they end; `None` for never.
    fn left(&self, credentials: &Credentials) -> Option<Duration> {
        let end = credentials.expires_unix_ns()?;
        Some(Duration::from_nanos(
            end.saturating_sub(self.clock.unix_ns()),
        ))
    }

    /// Whether they need not be renewed yet.
    fn is_fresh(&self, current: &Current) -> bool {
        self.left(&current.credentials)
            .is_none_or(|left| left > current.early)
    }

    /// Whether they can still be used.
    fn is_good(&self, current: &Current) -> bool {
        self.left(&current.credentials)
            .is_none_or(|left| !left.is_zero())
    }

    async fn get(&self) -> Result<Credentials, CredentialsError> {
        let old = self.current();
        if let Some(old) = old.as_ref().filter(|c| self.is_fresh(c)) {
            return Ok(old.credentials.clone());
        }
        let old = old.filter(|c| self.is_good(c)).map(|c| c.credentials);
        let mut failed = match &old {
            None => self.fetching.lock().await,
            Some(old) => match self.fetching.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(old.clone()),
            },
        };
        // Somebody else may have fetched while this call stood in line.
        if let Some(new) = self.current().filter(|c| self.is_fresh(c)) {
            return Ok(new.credentials);
        }
        let now = self.clock.monotonic();
        if let (Some(old), Some(last)) = (&old, *failed)
            && now.saturating_sub(last) < PAUSE_AFTER_FAILURE
        {
            return Ok(old.clone());
        }
        match self.source.credentials().await {
            Ok(new) => {
                *failed = None;
                let early = new.renewed_before_end(self.left(&new).unwrap_or_default());
                let current = Current {
                    credentials: new.clone(),
                    early,
                };
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
                Ok(new)
            }
            Err(error) => {
                *failed = Some(now);
                match old {
                    Some(old) => {
                        tracing::warn!(%error, "AWS credentials could not be renewed; using the old ones until they end");
                        Ok(old)
                    }
                    None => Err(error),
                }
            }
        }
    }
}

impl CredentialsProvider for Cached {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(self.get())
    }

    fn refused(&self) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.source.refused();
    }
}
