//! Clients over the network: region, credentials and transport put together.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

use weir_config::ProcessEnvironment;
use weir_core::{BoxFut, BuildCtx, BuildError};
use weir_net::tls::TlsClientConfig;
use weir_net::{HttpClient, HttpClientOptions, NetError, ProxyChoice};

use crate::chain::{AssumeRole, ChainSettings, ca_bundle, find};
use crate::client::{AwsClient, ClientIdentity};
use crate::clock::ServiceClock;
use crate::endpoint::{EndpointSettings, Service};
use crate::region::resolve_region;
use crate::session::AwsSession;
use crate::sources::Profiles;
use crate::transport::{Transport, TransportError, TransportErrorKind};

impl AwsSession {
    /// A client of a service as these keys say. Credentials are looked for at the first call.
    ///
    /// `identity.user_agent` is put behind `name/version` of the program.
    ///
    /// # Errors
    /// There is no region, or a key cannot be used; the text says what to change.
    pub async fn connect(
        &self,
        service: Service,
        identity: ClientIdentity,
        cx: &BuildCtx,
    ) -> Result<AwsClient, BuildError> {
        let region = resolve_region(&self.region, &ProcessEnvironment).await?;
        let assume_role = (!self.role_arn.is_empty()).then(|| AssumeRole {
            arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            region: region.clone(),
            ..AssumeRole::default()
        });
        let settings = ChainSettings {
            region: region.clone(),
            assume_role,
        };
        let clock = Arc::new(ServiceClock::new(cx.clock.clone()));
        let credentials = find(&settings, clock.clone()).await?;
        let profiles = Profiles::read(&ProcessEnvironment)?;
        let options = self.options(ca_bundle(&ProcessEnvironment, &profiles));
        let http = HttpClient::new(options).map_err(|error| BuildError(error.to_string()))?;
        let program = &cx.build_info;
        let identity = ClientIdentity {
            user_agent: format!(
                "{}/{} {}",
                program.name, program.version, identity.user_agent
            ),
            ..identity
        };
        AwsClient::with_settings(
            self,
            service,
            &region,
            identity,
            (Arc::new(NetTransport::new(http)), credentials, clock),
            &EndpointSettings::read(&ProcessEnvironment, &profiles),
        )
    }

    /// `ca_file`: authorities to trust in place of the system's; empty for none.
    fn options(&self, ca_file: String) -> HttpClientOptions {
        let limit = Some(self.request_timeout_seconds).filter(|seconds| *seconds > 0);
        HttpClientOptions {
            tls: TlsClientConfig {
                insecure_skip_verify: self.no_verify_ssl,
                ca_file,
                ..TlsClientConfig::default()
            },
            proxy: if self.proxy_address.is_empty() {
                ProxyChoice::Environment
            } else {
                ProxyChoice::Url {
                    url: self.proxy_address.clone(),
                    no_proxy: String::new(),
                }
            },
            timeout: limit.map(Duration::from_secs),
            max_idle_per_host: self.num_workers.max(1),
            // A signature is good for one host only.
            follow_redirects: false,
            ..HttpClientOptions::default()
        }
    }
}

/// Requests over `weir-net`.
#[derive(Debug)]
pub(crate) struct NetTransport {
    client: HttpClient,
    /// Whole answers up to this size; else what the client keeps of an answer suffices.
    whole: Option<usize>,
}

impl NetTransport {
    pub(crate) fn new(client: HttpClient) -> Self {
        Self {
            client,
            whole: None,
        }
    }

    /// For answers of up to so many bytes.
    pub(crate) fn for_answers_of(client: HttpClient, most: usize) -> Self {
        Self {
            client,
            whole: Some(most),
        }
    }
}

impl Transport for NetTransport {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let (method, uri, headers) = (parts.method, &parts.uri, &parts.headers);
            let answer = match self.whole {
                Some(most) => {
                    let answer = self.client.send_for_body(method, uri, headers, body, most);
                    answer.await
                }
                None => self.client.send(method, uri, headers, body).await,
            };
            let answer = answer.map_err(|error| TransportError {
                kind: match &error {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS-29, AWS-31: the keys of a session shape the client of its service, which is not that of
    /// the credential calls.
    #[test]
    fn proxy_certificates_and_timeout_are_those_of_the_session() {
        let plain = AwsSession::default().options(String::new());
        assert_eq!(plain.proxy, ProxyChoice::Environment);
        assert!(!plain.tls.insecure_skip_verify && !plain.follow_redirects);
        assert_eq!(plain.timeout, Some(Duration::from_secs(30)));
        assert_eq!(plain.max_idle_per_host, 8);
        let session = AwsSession {
            proxy_address: "http://proxy:3128".to_owned(),
            no_verify_ssl: true,
            request_timeout_seconds: 0,
            num_workers: 0,
            ..AwsSession::default()
        };
        let options = session.options("/ca.pem".to_owned());
        let proxy = ProxyChoice::Url {
            url: "http://proxy:3128".to_owned(),
            no_proxy: String::new(),
        };
        assert_eq!(options.proxy, proxy);
        assert!(options.tls.insecure_skip_verify);
        assert_eq!(options.tls.ca_file, "/ca.pem");
        assert_eq!((options.timeout, options.max_idle_per_host), (None, 1));
    }
}
