//! Signed JSON posts to one service: endpoint, signature, attempts, errors.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Uri};
use weir_config::ProcessEnvironment;
use weir_core::{BuildCtx, BuildError, Clock};

use crate::clock::ServiceClock;
use crate::credentials::CredentialsProvider;
use crate::endpoint::{EndpointSettings, Service};
use crate::error::{AwsError, ErrorKind};
use crate::retry::{RetryBudget, delay};
use crate::session::{AwsSession, wrong_url};
use crate::sign::Signer;
use crate::sources::Profiles;
use crate::transport::{Transport, TransportError};

/// What all calls of a client say about who makes them.
#[derive(Clone, Debug, Default)]
pub struct ClientIdentity {
    /// Put behind the program's own name in `User-Agent`.
    pub user_agent: String,
    /// More headers of every call; they are signed.
    pub headers: HeaderMap,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Path behind the endpoint, with its slash.
    pub path: &'static str,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `X-Amz-Target` of the JSON protocol.
    pub target: Option<&'static str>,
    /// More headers of this call; they are signed.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
}

/// A client of one service in one region. Calls may run in parallel.
#[derive(Debug)]
pub struct AwsClient {
    transport: Arc<dyn Transport>,
    credentials: Arc<dyn CredentialsProvider>,
    clock: Arc<ServiceClock>,
    signer: Signer,
    base: String,
    headers: HeaderMap,
    attempts: u32,
    budget: RetryBudget,
}

impl AwsClient {
    /// The same as [`AwsSession::connect`].
    ///
    /// # Errors
    /// No region, or an endpoint or proxy that cannot be used.
    pub async fn connect(
        session: &AwsSession,
        service: Service,
        identity: ClientIdentity,
        cx: &BuildCtx,
    ) -> Result<Self, BuildError> {
        session.connect(service, identity, cx).await
    }

    /// A client from its parts; `user_agent` is taken as it is.
    ///
    /// # Errors
    /// An endpoint or user agent that cannot be used.
    pub fn new(
        session: &AwsSession,
        service: Service,
        region: &str,
        identity: ClientIdentity,
        transport: Arc<dyn Transport>,
        credentials: Arc<dyn CredentialsProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let profiles = Profiles::read(&ProcessEnvironment)?;
        Self::with_settings(
            session,
            service,
            region,
            identity,
            (transport, credentials, Arc::new(ServiceClock::new(clock))),
            &EndpointSettings::read(&ProcessEnvironment, &profiles),
        )
    }

    pub(crate) fn with_settings(
        session: &AwsSession,
        service: Service,
        region: &str,
        identity: ClientIdentity,
        (transport, credentials, clock): (
            Arc<dyn Transport>,
            Arc<dyn CredentialsProvider>,
            Arc<ServiceClock>,
        ),
        endpoints: &EndpointSettings,
    ) -> Result<Self, BuildError> {
        let base = service.url(&session.endpoint, region, endpoints);
        let base = base.trim_end_matches('/').to_owned();
        if let Some(hint) = wrong_url(&base) {
            return Err(BuildError(format!(
                "`{base}` is not the URL of a service: {hint} (`endpoint`, AWS_ENDPOINT_URL or the profile)"
            )));
        }
        let mut headers = identity.headers;
        let agent = HeaderValue::from_str(identity.user_agent.trim())
            .map_err(|_| BuildError("the user agent has characters a header cannot".to_owned()))?;
        headers.insert(USER_AGENT, agent);
        Ok(Self {
            transport,
            credentials,
            clock,
            signer: Signer::new(region, service.signing_name()),
            base,
            headers,
            attempts: session.attempts(),
            budget: RetryBudget::default(),
        })
    }

    /// The region it works in.
    pub fn region(&self) -> &str {
        self.signer.region()
    }

    /// Makes a call, with the attempts of the session; the body of the answer.
    ///
    /// # Errors
    /// The failure of the last attempt.
    pub async fn call(&self, call: &Call) -> Result<Bytes, AwsError> {
        let uri: Uri = format!("{}{}", self.base, call.path)
            .parse()
            .map_err(|e| AwsError::local(ErrorKind::Client, format!("wrong address: {e}")))?;
        let invocation = invocation_id();
        let (mut attempt, mut cost) = (1, None);
        loop {
            let mut error = match self.attempt(call, &uri, &invocation, attempt).await {
                Ok(body) => {
                    self.budget.give_back(cost);
                    return Ok(body);
                }
                Err(failed) => failed,
            };
            error.attempts = attempt;
            if attempt >= self.attempts || !(error.corrected || error.error.is_retryable()) {
                return Err(error.finish());
            }
            let Some(taken) = self.budget.take(&error.error) else {
                return Err(error.finish());
            };
            cost = Some(taken);
            if !error.corrected {
                tokio::time::sleep(delay(attempt, fastrand::f64())).await;
            }
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        call: &Call,
        uri: &Uri,
        invocation: &str,
        attempt: u32,
    ) -> Result<Bytes, Failed> {
        let credentials = self
            .credentials
            .credentials()
            .await
            .map_err(|error| AwsError {
                status: error.denied.then_some(403),
                ..AwsError::local(ErrorKind::Credentials, error.to_string())
            })?;
        let mut headers = self.headers.clone();
        headers.extend(call.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
        if let Some(target) = call.target {
            const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
            headers.insert(TARGET, HeaderValue::from_static(target));
        }
        let count = format!("attempt={attempt}; max={}", self.attempts);
        for (name, value) in [
            ("amz-sdk-invocation-id", invocation),
            ("amz-sdk-request", &count),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let now = self.clock.unix_ns();
        self.signer
            .sign(
                &Method::POST,
                uri,
                &mut headers,
                &call.body,
                &credentials,
                now,
            )
            .map_err(|error| AwsError::local(ErrorKind::Credentials, error.to_string()))?;
        let mut request = http::Request::new(call.body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        let answer = self.transport.send(request).await;
        let answer = answer.map_err(|e: TransportError| AwsError::from_transport(e))?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let error_type = answer.headers().get("x-amzn-errortype");
        let error_type = error_type.and_then(|value| value.to_str().ok());
        let status = answer.status().as_u16();
        let error = AwsError::from_answer(status, error_type, answer.body());
        let corrected = match error.kind {
            ErrorKind::Expired => self.renew(credentials.access_key_id()).await,
            _ => error.is_about_time() && self.clock.learn(answer.headers(), now),
        };
        Err(Failed {
            error,
            corrected,
            attempts: attempt,
        })
    }

    /// Gets other credentials than the refused ones; whether there are any.
    async fn renew(&self, refused: &str) -> bool {
        self.credentials.refused();
        let new = self.credentials.credentials().await;
        new.is_ok_and(|new| new.access_key_id() != refused)
    }
}

/// A failed attempt.
struct Failed {
    error: AwsError,
    /// Its cause is gone: another attempt may follow at once.
    corrected: bool,
    attempts: u32,
}

impl Failed {
    fn finish(self) -> AwsError {
        AwsError {
            attempts: self.attempts,
            ..self.error
        }
    }
}

impl From<AwsError> for Failed {
    fn from(error: AwsError) -> Self {
        Self {
            error,
            corrected: false,
            attempts: 1,
        }
    }
}

/// A random UUID (version 4), the same for all attempts of a call.
fn invocation_id() -> String {
    let bits = fastrand::u128(..);
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        (bits >> 80) & 0xffff,
        (bits >> 64) & 0xffff,
        (bits >> 48) & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}
