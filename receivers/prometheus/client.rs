//! The request of a scrape (prometheus-receiver specification, sections 2.5, 5.3 and 5.4).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use weir_core::Clock;
use weir_model::{Charge, Ledger};
use weir_net::NetError;
use weir_prom::exposition::{MediaType, media_type};

use super::config::JobRules;
use crate::discovery::client::{Access, AccessError};

/// Bodies of this size and more are refused where no `body_size_limit` is set.
const DEFAULT_LIMIT: u64 = 64 << 20;

/// Why a target gave no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("body size limit exceeded: {0} bytes or more")]
    TooLarge(u64),
    #[error("unsupported Content-Type {0:?}, and no fallback_scrape_protocol for the target")]
    ContentType(Option<String>),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("no token for the request within {0:?}")]
    NoToken(Duration),
}

/// A page as it came.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) body: Bytes,
    pub(crate) kind: MediaType,
    /// The body's bytes in the memory budget.
    pub(crate) _charge: Option<Charge>,
}

/// Fetches the pages of a job's targets.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    access: Access,
    headers: HeaderMap,
    body_limit: u64,
    ledger: Arc<Ledger>,
    fallback: Option<MediaType>,
}

impl Fetcher {
    /// A client for the targets of a job.
    ///
    /// # Errors
    /// If certificates or the proxy cannot be used.
    pub(crate) fn new(
        job: &JobRules,
        user_agent: &str,
        clock: &Arc<dyn Clock>,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, NetError> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (ACCEPT, job.accept.as_str()),
            (
                ACCEPT_ENCODING,
                if job.compression { "gzip" } else { "identity" },
            ),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        let limit = Some(job.body_limit).filter(|limit| *limit > 0);
        Ok(Self {
            access: Access::new(&job.client, user_agent, clock)?,
            headers,
            body_limit: limit.unwrap_or(DEFAULT_LIMIT),
            ledger: Arc::clone(ledger),
            fallback: job.fallback,
        })
    }

    /// Fetches the page of a target.
    pub(crate) async fn fetch(&self, url: &Uri, timeout: Duration) -> Result<Fetched, FetchError> {
        let mut headers = self.headers.clone();
        let mut seconds = String::new();
        weir_prom::float::push_plain(&mut seconds, timeout.as_secs_f64());
        if let Ok(seconds) = HeaderValue::from_str(&seconds) {
            headers.insert("x-prometheus-scrape-timeout-seconds", seconds);
        }
        // A token may have to be fetched first: that counts as time of the scrape.
        let start = tokio::time::Instant::now();
        tokio::time::timeout(timeout, self.access.add_headers(&mut headers))
            .await
            .map_err(|_| FetchError::NoToken(timeout))??;
        let timeout = timeout.saturating_sub(start.elapsed());
        // The limit counts from "or more" on.
        let cap = usize::try_from(self.body_limit - 1).unwrap_or(usize::MAX);
        let answer = self
            .access
            .client
            .get_charged_body(url, &headers, cap, timeout, &self.ledger)
            .await;
        let (answer, charge) = match answer {
            Err(NetError::BodyTooLarge { limit, .. }) => {
                return Err(FetchError::TooLarge(limit as u64 + 1));
            }
            answer => answer?,
        };
        if answer.status != StatusCode::OK {
            return Err(FetchError::Status(answer.status));
        }
        let content_type = answer
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let kind = media_type(content_type)
            .or(self.fallback)
            .ok_or_else(|| FetchError::ContentType(content_type.map(str::to_owned)))?;
        Ok(Fetched {
            body: answer.body,
            kind,
            _charge: charge,
        })
    }
}
