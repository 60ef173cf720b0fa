//! One set of credentials for all requests, fetched before the last one ends (AWS-23).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use weir_core::{BoxFut, Clock};

use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};

/// Credentials that are at their end by our clock when they come are used so long before others
/// are fetched: the clock may be wrong, and the service says so if they are really of no use.
const USED_ALTHOUGH_ENDED: Duration = Duration::from_secs(60);

/// While the old ones are still good, a failed fetch is not repeated sooner than this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Caches another source. Calls that come while credentials are being fetched share the fetch, and
/// do not wait for it while the old ones are good.
#[derive(Debug)]
pub(crate) struct Cached {
    source: Box<dyn CredentialsProvider>,
    clock: Arc<dyn Clock>,
    current: RwLock<Option<Current>>,
    /// Held while fetching; how and when (the clock's monotonic time) a fetch failed last.
    fetching: tokio::sync::Mutex<Option<(Duration, CredentialsError)>>,
    /// Fetches that ended, well or not.
    fetches: AtomicU64,
}

#[derive(Debug, Clone)]
struct Current {
    credentials: Credentials,
    /// New ones are fetched so long before the end.
    early: Duration,
    /// They had ended when they came: until this monotonic time they are taken as good.
    ended_good_until: Option<Duration>,
}

impl Cached {
    pub(crate) fn new(source: Box<dyn CredentialsProvider>, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            clock,
            current: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
            fetches: AtomicU64::new(0),
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
        self.is_good_although_ended(current)
            || self
                .left(&current.credentials)
                .is_none_or(|left| left > current.early)
    }

    /// Whether they can still be used.
    fn is_good(&self, current: &Current) -> bool {
        self.is_good_although_ended(current)
            || self
                .left(&current.credentials)
                .is_none_or(|left| !left.is_zero())
    }

    fn is_good_although_ended(&self, current: &Current) -> bool {
        let until = current.ended_good_until;
        until.is_some_and(|until| self.clock.monotonic() < until)
    }

    async fn get(&self) -> Result<Credentials, CredentialsError> {
        let old = self.current();
        if let Some(old) = old.as_ref().filter(|c| self.is_fresh(c)) {
            return Ok(old.credentials.clone());
        }
        let old = old.filter(|c| self.is_good(c)).map(|c| c.credentials);
        let seen = self.fetches.load(Ordering::Acquire);
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
        match (&old, &*failed) {
            (Some(old), Some((last, _))) if now.saturating_sub(*last) < PAUSE_AFTER_FAILURE => {
                return Ok(old.clone());
            }
            // The failure of the fetch this call waited for is its own.
            (None, Some((_, error))) if self.fetches.load(Ordering::Acquire) != seen => {
                return Err(error.clone());
            }
            _ => {}
        }
        let fetched = self.source.credentials().await;
        self.fetches.fetch_add(1, Ordering::Release);
        match fetched {
            Ok(new) => {
                *failed = None;
                let left = self.left(&new);
                let has_ended = left.is_some_and(|left| left.is_zero());
                if has_ended {
                    tracing::warn!(
                        "AWS credentials have just come and are already at their end: is the clock of this machine right?"
                    );
                }
                let current = Current {
                    credentials: new.clone(),
                    early: new.renewed_before_end(left.unwrap_or_default()),
                    ended_good_until: has_ended.then_some(now + USED_ALTHOUGH_ENDED),
                };
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
                Ok(new)
            }
            Err(error) => {
                *failed = Some((now, error.clone()));
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
