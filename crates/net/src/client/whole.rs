//! Requests whose answers are wanted whole or not at all.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use super::exchange::{HttpClient, HttpResponse, Longer};
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
        let limit = (cap, Longer::Refuse);
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
        let limit = (cap, Longer::Refuse);
        self.in_time(url, self.timeout(), async {
            self.request(method, url, headers, body, limit).await
        })
        .await
    }
}
