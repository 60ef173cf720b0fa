//! The `sigv4auth` extension: signs requests of HTTP exporters with AWS Signature Version 4
//! (AWS-01..17).
//!
//! Differences from the reference: a `session_name` is honoured, a host without a region is no
//! crash, and warnings about one host are folded.

mod config;
mod infer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use http::header::{HOST, USER_AGENT};
use weir_aws::{
    AssumeRole, AwsError, ChainSettings, CredentialsProvider, ErrorKind, ServiceClock, Signer,
    credentials_chain,
};
use weir_core::{
    AuthError, BoxFut, BuildCtx, BuildError, ClientAuth, Clock, Extension, ExtensionKind, Fold,
    RequestParts, Stability,
};

pub use config::{AssumeRoleConfig, Config};

/// Registration.
pub struct Kind;

impl ExtensionKind for Kind {
    const TYPE: &'static str = "sigv4auth";
    const STABILITY: Stability = Stability::Beta;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
    ) -> BoxFut<'static, Result<Arc<dyn Extension>, BuildError>> {
        Box::pin(async move {
            let credentials = credentials_chain(chain(&config), cx.clock.clone());
            // A token file is exchanged at the first request only; everything else must work now.
            if config.assume_role.web_identity_token_file.is_empty() {
                credentials.credentials().await.map_err(|error| {
                    BuildError(format!("could not retrieve credential provider: {error}"))
                })?;
            }
            let auth = SigV4::new(&config, credentials, &cx);
            Ok(Arc::new(SigV4Auth(Arc::new(auth))) as Arc<dyn Extension>)
        })
    }
}

/// Where to look for credentials.
fn chain(config: &Config) -> ChainSettings {
    let role = &config.assume_role;
    let sts_region = match role.sts_region.as_str() {
        "" => config.region.clone(),
        region => region.to_owned(),
    };
    ChainSettings {
        region: sts_region.clone(),
        assume_role: (!role.arn.is_empty()).then(|| AssumeRole {
            arn: role.arn.clone(),
            external_id: role.external_id.clone(),
            region: sts_region,
            session_name: role.session_name.clone(),
            web_identity_token_file: role.web_identity_token_file.clone(),
        }),
    }
}

struct SigV4Auth(Arc<SigV4>);

impl Extension for SigV4Auth {
    fn client_auth(&self) -> Option<Arc<dyn ClientAuth>> {
        Some(self.0.clone())
    }
}

/// The authenticator.
#[derive(Debug)]
struct SigV4 {
    id: String,
    region: String,
    service: String,
    credentials: Arc<dyn CredentialsProvider>,
    clock: Arc<ServiceClock>,
    /// Behind the `User-Agent` of the exporter.
    agent: String,
    fold: Fold,
}

impl SigV4 {
    fn new(config: &Config, credentials: Arc<dyn CredentialsProvider>, cx: &BuildCtx) -> Self {
        Self {
            id: cx.id.to_string(),
            region: config.region.clone(),
            service: config.service.clone(),
            credentials,
            clock: Arc::new(ServiceClock::new(cx.clock.clone())),
            agent: format!("{}-aws/{}", cx.build_info.name, cx.build_info.version),
            fold: Fold::default(),
        }
    }

    /// A signer for the configured region and service, or those the host stands for.
    fn signer(&self, host: &str) -> Signer {
        let inferred = infer::from_host(host);
        let service = or(&self.service, inferred.service);
        let region = or(&self.region, inferred.region);
        for (what, value) in [("service", service), ("region", region)] {
            if value.is_empty() {
                self.warn(what, host);
            }
        }
        Signer::new(region, service)
    }

    fn warn(&self, what: &str, host: &str) {
        let key = format!("{what} {host}");
        if let Some(left_out) = self.fold.say(&key, self.clock.monotonic()) {
            tracing::warn!(
                "otelcol.component.id" = self.id,
                "otelcol.component.kind" = "extension",
                host,
                left_out,
                "the {what} cannot be told from the host: AWS will refuse the request; set `{what}`"
            );
        }
    }

    async fn sign(&self, request: RequestParts<'_>) -> Result<(), AuthError> {
        let credentials = self.credentials.credentials().await.map_err(|error| AuthError {
            message: format!("error retrieving credentials: {error}"),
            retryable: true,
        })?;
        let headers = request.headers;
        let agent = match headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()) {
            Some(agent) => format!("{agent} {}", self.agent),
            None => self.agent.clone(),
        };
        if let Ok(agent) = HeaderValue::from_str(&agent) {
            headers.insert(USER_AGENT, agent);
        }
        let host = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| request.uri.authority().map(http::uri::Authority::as_str))
            .unwrap_or_default();
        let signer = self.signer(host);
        let now = self.clock.unix_ns();
        signer
            .sign(request.method, request.uri, headers, request.body, &credentials, now)
            .map_err(|error| AuthError {
                message: error.to_string(),
                retryable: false,
            })
    }
}

impl SigV4 {
    /// Learns from a refusal what the headers tell: that the credentials have ended, or the time.
    async fn learn(&self, signed: &HeaderMap, answer: &HeaderMap) -> bool {
        let text = |headers: &HeaderMap, name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let code = text(answer, "x-amzn-errortype");
        if AwsError::from_answer(403, Some(&code), b"").kind == ErrorKind::Expired {
            let authorization = text(signed, "authorization");
            self.credentials.refused();
            let new = self.credentials.credentials().await;
            return new.is_ok_and(|new| {
                !authorization.contains(&format!("Credential={}/", new.access_key_id()))
            });
        }
        let signed_at = weir_aws::sign_time(&text(signed, "x-amz-date"));
        signed_at.is_some_and(|signed_at| self.clock.learn(answer, signed_at))
    }
}

impl ClientAuth for SigV4 {
    fn authorize<'a>(&'a self, request: RequestParts<'a>) -> BoxFut<'a, Result<(), AuthError>> {
        Box::pin(self.sign(request))
    }

    fn refused<'a>(
        &'a self,
        signed: &'a HeaderMap,
        answer: &'a HeaderMap,
    ) -> BoxFut<'a, bool> {
        Box::pin(self.learn(signed, answer))
    }
}

fn or<'a>(configured: &'a str, inferred: &'a str) -> &'a str {
    if configured.is_empty() {
        inferred
    } else {
        configured
    }
}
