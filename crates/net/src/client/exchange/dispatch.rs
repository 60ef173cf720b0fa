//! Signing and sending one request; once more when the authenticator could learn from a refusal.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CONNECTION, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use weir_core::{ClientAuth, RequestParts};

use super::{Hop, HttpClient, failure};
use crate::error::NetError;

impl HttpClient {
    /// Signs with `auth`, if given, and sends.
    pub(super) async fn dispatch(
        &self,
        hop: &Hop,
        url: &Uri,
        headers: HeaderMap,
        auth: Option<&Arc<dyn ClientAuth>>,
    ) -> Result<Response<Incoming>, NetError> {
        let Some(auth) = auth else {
            return self.transmit(hop, url, headers).await;
        };
        let mut may_repeat = true;
        loop {
            let mut signed = headers.clone();
            let parts = RequestParts {
                method: &hop.method,
                uri: url,
                headers: &mut signed,
                body: &hop.body,
            };
            auth.authorize(parts).await.map_err(|e| NetError::Auth {
                message: e.message,
                retryable: e.retryable,
            })?;
            let response = self.transmit(hop, url, signed.clone()).await?;
            let is_refusal = matches!(
                response.status(),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            );
            if !may_repeat || !is_refusal || !auth.refused(&signed, response.headers()).await {
                return Ok(response);
            }
            may_repeat = false;
        }
    }

    /// Sends, with the headers that are no business of a signature.
    async fn transmit(
        &self,
        hop: &Hop,
        url: &Uri,
        mut headers: HeaderMap,
    ) -> Result<Response<Incoming>, NetError> {
        headers
            .entry(ACCEPT_ENCODING)
            .or_insert(HeaderValue::from_static("gzip"));
        if !self.shared.options.keep_alive {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if url.scheme() == Some(&Scheme::HTTP) {
            let proxy = self.shared.connector.0.proxy.find(url);
            if let Some(auth) = proxy.and_then(|proxy| proxy.auth) {
                headers.insert(PROXY_AUTHORIZATION, auth);
            }
        }
        let mut request = Request::new(Full::new(hop.body.clone()));
        *request.method_mut() = hop.method.clone();
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        self.shared
            .pool
            .request(request)
            .await
            .map_err(|e| failure(&e, &hop.url))
    }
}
