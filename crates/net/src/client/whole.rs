//! Requests whose answers are wanted whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use weir_model::{Charge, Ledger};

use super::exchange::{HttpClient, HttpResponse, Limit, Longer};
use crate::error::NetError;

impl HttpClient {
    /// Gets a document of at most `cap` bytes, compressed and decompressed, within `timeout`.
    ///
    /// # Errors
    /// As [`Self::send`], and [`NetError::BodyTooLarge`].
    pub async fn get_body(
        &self,
        url: &Uri,
        headers: &HeaderMap,
        cap: usize,
        timeout: Duration,
    ) -> Result<HttpResponse, NetError> {
        let limit = Limit::of(cap, Longer::Refuse);
        self.in_time(url, Some(timeout), async {
            self.request(Method::GET, url, headers, Bytes::new(), limit)
                .await
        })
        .await
        .map(|(answer, _)| answer)
    }

    /// As [`Self::get_body`], with the body charged to a ledger while it comes in; the charge is
    /// for as long as the body is held.
    ///
    /// # Errors
    /// As [`Self::get_body`], and [`NetError::NoMemory`] when the ledger is full.
    pub async fn get_charged_body(
        &self,
        url: &Uri,
        headers: &HeaderMap,
        cap: usize,
        timeout: Duration,
        ledger: &Arc<Ledger>,
    ) -> Result<(HttpResponse, Option<Charge>), NetError> {
        let limit = Limit {
            ledger: Some(ledger),
            ..Limit::of(cap, Longer::Refuse)
        };
        self.in_time(url, Some(timeout), async {
            self.request(Method::GET, url, headers, Bytes::new(), limit)
                .await
        })
        .await
    }

    /// Sends a request, as [`Self::send`], for an answer of at most `cap` bytes.
    ///
    /// # Errors
    /// As [`Self::send`], and [`NetError::BodyTooLarge`].
    pub async fn send_for_body(
        &self,
        method: Method,
        url: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        cap: usize,
    ) -> Result<HttpResponse, NetError> {
        let limit = Limit::of(cap, Longer::Refuse);
        self.in_time(url, self.timeout(), async {
            self.request(method, url, headers, body, limit).await
        })
        .await
        .map(|(answer, _)| answer)
    }
}
