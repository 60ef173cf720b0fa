//! How requests travel.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_core::{BoxFut, BuildError};
use weir_net::tls::TlsClientConfig;
use weir_net::{HttpClient, HttpClientOptions, NetError, ProxyChoice};

use crate::session::AwsSession;

/// Sends one HTTP request. Implemented over `weir-net`, and by tests.
pub trait Transport: Send + Sync + Debug {
    /// The answer with its whole body (bounded), or why there is none.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>>;
}

/// Kinds of transport failures, as X-Ray's telemetry counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// No answer within the time.
    Timeout,
    /// The host name is not known.
    UnknownHost,
    /// Anything else.
    Other,
}

/// There was no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// What happened.
    pub message: String,
    /// Its kind.
    pub kind: TransportErrorKind,
}

/// Connections of `weir-net` with the session's settings (AWS-29: they are of no concern to
/// credential calls).
pub(crate) fn over_net(session: &AwsSession) -> Result<Arc<dyn Transport>, BuildError> {
    let proxy = match session.proxy_address.as_str() {
        "" => ProxyChoice::Environment,
        url => ProxyChoice::Url {
            url: url.to_owned(),
            no_proxy: String::new(),
        },
    };
    let seconds = session.request_timeout_seconds;
    let options = HttpClientOptions {
        tls: TlsClientConfig {
            insecure_skip_verify: session.no_verify_ssl,
            ..TlsClientConfig::default()
        },
        proxy,
        timeout: (seconds > 0).then(|| Duration::from_secs(seconds)),
        max_idle_per_host: session.num_workers.max(1),
        follow_redirects: false,
        ..HttpClientOptions::default()
    };
    match HttpClient::new(options) {
        Ok(client) => Ok(Arc::new(OverNet { client })),
        Err(error) => Err(BuildError(error.to_string())),
    }
}

#[derive(Debug)]
struct OverNet {
    client: HttpClient,
}

impl Transport for OverNet {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let answer = self
                .client
                .send(parts.method, &parts.uri, &parts.headers, body)
                .await
                .map_err(|error| TransportError {
                    kind: match error {
                        NetError::Timeout { .. } => TransportErrorKind::Timeout,
                        NetError::Resolve { .. } => TransportErrorKind::UnknownHost,
                        _ => TransportErrorKind::Other,
                    },
                    message: error.to_string(),
                })?;
            let mut response = http::Response::new(answer.body);
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}
