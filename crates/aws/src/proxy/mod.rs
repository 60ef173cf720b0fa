//! A proxy that signs requests of local programs and hands them to an AWS service: X-Ray SDKs ask it
//! for sampling rules (AWS-34, AWS-35).
//!
//! Used by a receiver of segments and by an extension, which do not know each other. Requests and
//! answers are held whole, both bounded; requests are charged to the ledger of the program.

mod config;
mod region;
mod target;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST,
    HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Response, StatusCode, Uri};
use weir_config::ProcessEnvironment;
use weir_core::telemetry::Counter;
use weir_core::{BoxFut, BuildCtx, BuildError, Clock, Fold, Stop};
use weir_net::http::{HttpHandler, HttpRequest, HttpServer, HttpServerConfig, ServerContext};
use weir_net::tls::TlsClientConfig;
use weir_net::{
    ConnectionLimits, HttpClient, HttpClientOptions, HttpResponse, NetError, ProxyChoice,
};

use crate::chain::{AssumeRole, ChainSettings, ca_bundle, find};
use crate::clock::ServiceClock;
use crate::credentials::CredentialsProvider;
use crate::endpoint::{EndpointSettings, Service, dns_suffix};
use crate::sign::Signer;
use crate::sources::Profiles;

pub use config::{Dialer, ProxyConfig};
use target::Target;

/// Largest request and answer in bytes. Sampling rules are a few kilobytes.
const MAX_BODY: usize = 10 << 20;
/// Time for the headers of a request, as in the reference.
const HEADER_TIME: Duration = Duration::from_secs(20);
/// Time for the service to answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Idle connections to the service are closed after this time, and so many are kept, as in the
/// reference.
const IDLE_TIME: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 2;
/// Requests at a time; each may hold a request and an answer of [`MAX_BODY`].
const MAX_CONNECTIONS: usize = 64;

/// Headers that belong to one connection, and those that are made anew.
const NOT_FORWARDED: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What became of requests, by the `outcome` label of the counter.
#[derive(Debug)]
struct Outcomes {
    answered: Counter,
    not_signed: Counter,
    not_answered: Counter,
    refused: Counter,
}

/// Signs requests and hands them on.
#[derive(Debug)]
pub struct Forwarder {
    id: String,
    kind: &'static str,
    target: Target,
    signer: Signer,
    credentials: Arc<dyn CredentialsProvider>,
    client: HttpClient,
    clock: Arc<ServiceClock>,
    fold: Fold,
    outcomes: Outcomes,
}

impl Forwarder {
    /// Finds region and endpoint. Credentials are looked for at the first request.
    ///
    /// # Errors
    /// There is no region, or a key cannot be used; the text says what to change.
    pub async fn new(config: &ProxyConfig, cx: &BuildCtx) -> Result<Self, BuildError> {
        let region = region::proxy_region(config, &ProcessEnvironment).await?;
        let assume_role = (!config.role_arn.is_empty()).then(|| AssumeRole {
            arn: config.role_arn.clone(),
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
        let endpoints = EndpointSettings::read(&ProcessEnvironment, &profiles);
        let mut config = config.clone();
        if config.tls.ca_file.is_empty() && config.tls.ca_pem.expose().is_empty() {
            config.tls.ca_file = ca_bundle(&ProcessEnvironment, &profiles);
        }
        Self::with(&config, &region, &endpoints, (credentials, clock), cx)
    }

    fn with(
        config: &ProxyConfig,
        region: &str,
        endpoints: &EndpointSettings,
        (credentials, clock): (Arc<dyn CredentialsProvider>, Arc<ServiceClock>),
        cx: &BuildCtx,
    ) -> Result<Self, BuildError> {
        if config.aws_endpoint.is_empty() && !config::is_name(region) {
            return Err(BuildError(format!(
                "invalid region: {region}; set `region` to the name of one, such as `eu-west-1`"
            )));
        }
        let service = config.service();
        let url = match service {
            _ if !config.aws_endpoint.is_empty() => config.aws_endpoint.clone(),
            "xray" => Service::XRay.url("", region, endpoints),
            "logs" => Service::Logs.url("", region, endpoints),
            name => format!("https://{name}.{region}.{}", dns_suffix(region, false)),
        };
        let target = url.parse::<Uri>().ok().as_ref().and_then(Target::of);
        let target = target.ok_or_else(|| {
            BuildError(format!(
                "`{url}` is not the URL of a service: write `aws_endpoint` as https://host"
            ))
        })?;
        let client = HttpClient::new(client_options(config))
            .map_err(|error| BuildError(error.to_string()))?;
        let kind = cx.kind.as_str();
        let count = |outcome| {
            let labels = [(kind, cx.id.as_str()), ("outcome", outcome)];
            let help = "Requests to the signing proxy";
            cx.telemetry
                .counter("weir_aws_proxy_requests", help, &labels)
        };
        Ok(Self {
            id: cx.id.to_string(),
            kind,
            target,
            signer: Signer::new(region, service),
            credentials,
            client,
            clock,
            fold: Fold::default(),
            outcomes: Outcomes {
                answered: count("answered"),
                not_signed: count("not_signed"),
                not_answered: count("not_answered"),
                refused: count("refused"),
            },
        })
    }

    /// The region requests are signed for.
    pub fn region(&self) -> &str {
        self.signer.region()
    }

    async fn forward(&self, request: HttpRequest) -> Response<Bytes> {
        let (head, body) = (request.head, request.body);
        let Some(address) = self.target.address(&head.uri) else {
            self.outcomes.refused.add(1);
            return failure(StatusCode::BAD_REQUEST, "the request names no path");
        };
        let mut headers = head.headers;
        keep_end_to_end(&mut headers);
        if body.is_empty() {
            headers.remove(CONTENT_ENCODING);
        }
        let mut first = true;
        loop {
            let now = self.clock.unix_ns();
            let signed = self.sign(&head.method, &address, &mut headers, &body, now);
            if let Err(answer) = signed.await {
                return answer;
            }
            let sent = self
                .client
                .send_for_body(
                    head.method.clone(),
                    &address,
                    &headers,
                    body.clone(),
                    MAX_BODY,
                )
                .await;
            match sent {
                // A clock that is off makes every signature a bad one: once more with the right time.
                Ok(answer)
                    if first
                        && matches!(answer.status.as_u16(), 400 | 401 | 403)
                        && self.clock.learn(&answer.headers, now) =>
                {
                    first = false;
                }
                Ok(answer) => return self.answered(answer),
                Err(error) => return self.not_answered(&error),
            }
        }
    }

    fn answered(&self, answer: HttpResponse) -> Response<Bytes> {
        self.outcomes.answered.add(1);
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        keep_end_to_end(response.headers_mut());
        response
    }

    fn not_answered(&self, error: &NetError) -> Response<Bytes> {
        self.outcomes.not_answered.add(1);
        self.warn(&error.to_string());
        let status = match error {
            NetError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        failure(status, &error.to_string())
    }

    /// Signs, or answers why not. The reference hands such requests on without a signature, for the
    /// service to refuse them with a text that says less.
    async fn sign(
        &self,
        method: &Method,
        address: &Uri,
        headers: &mut HeaderMap,
        body: &Bytes,
        now: u64,
    ) -> Result<(), Response<Bytes>> {
        let credentials = self.credentials.credentials().await.map_err(|error| {
            self.outcomes.not_signed.add(1);
            let text = format!(
                "{error}; give this program AWS credentials by the environment, a profile or a role"
            );
            self.warn(&text);
            failure(StatusCode::BAD_GATEWAY, &text)
        })?;
        for name in [AUTHORIZATION.as_str(), "x-amz-date", "x-amz-security-token"] {
            headers.remove(name);
        }
        let signed = self
            .signer
            .sign(method, address, headers, body, &credentials, now);
        signed.map_err(|error| {
            self.outcomes.refused.add(1);
            failure(StatusCode::BAD_REQUEST, &error.to_string())
        })
    }

    fn warn(&self, text: &str) {
        if let Some(left_out) = self.fold.say(text, self.clock.monotonic()) {
            tracing::warn!(
                "otelcol.component.id" = self.id,
                "otelcol.component.kind" = self.kind,
                left_out,
                "a request could not be handed to AWS: {text}"
            );
        }
    }
}

fn client_options(config: &ProxyConfig) -> HttpClientOptions {
    HttpClientOptions {
        tls: TlsClientConfig {
            // The key by which the reference switches the check off.
            insecure_skip_verify: config.tls.insecure || config.tls.insecure_skip_verify,
            ..config.tls.clone()
        },
        proxy: if config.proxy_address.is_empty() {
            ProxyChoice::Environment
        } else {
            ProxyChoice::Url {
                url: config.proxy_address.clone(),
                no_proxy: String::new(),
            }
        },
        timeout: Some(ANSWER_TIME),
        max_idle_per_host: IDLE_CONNECTIONS,
        idle_timeout: Some(IDLE_TIME),
        // A signature is good for one host only.
        follow_redirects: false,
        ..HttpClientOptions::default()
    }
}

/// Takes out what belongs to one connection, also headers that `Connection` names.
fn keep_end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&NOT_FORWARDED) {
        headers.remove(name);
    }
}

/// An answer of the proxy itself, in the form of the service's errors.
fn failure(status: StatusCode, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "message": message }).to_string();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The listening side.
#[derive(Debug)]
pub struct ProxyServer {
    server: HttpServer,
    forwarder: Arc<Forwarder>,
}

impl ProxyServer {
    /// Binds the endpoint.
    ///
    /// # Errors
    /// An address that cannot be bound.
    pub fn bind(
        config: &ProxyConfig,
        forwarder: Forwarder,
        cx: &BuildCtx,
    ) -> Result<Self, NetError> {
        let server = HttpServerConfig {
            max_request_body_size: MAX_BODY as i64,
            keep_alives_enabled: Some(false),
            ..HttpServerConfig::listening_on(&config.endpoint)
        };
        let context = ServerContext {
            ledger: Some(cx.ledger.clone()),
            raw_bodies: true,
            limits: ConnectionLimits {
                header: Some(HEADER_TIME),
                max_connections: MAX_CONNECTIONS,
                ..ConnectionLimits::default()
            },
            ..ServerContext::default()
        };
        Ok(Self {
            server: HttpServer::bind(&server, context)?,
            forwarder: Arc::new(forwarder),
        })
    }

    /// The bound address.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.server.local_addr()
    }

    /// Serves until `stop`, then finishes the requests under way within its deadline.
    ///
    /// # Errors
    /// None that a configuration can cause.
    pub async fn serve(self, stop: Stop) -> Result<(), NetError> {
        self.server
            .serve(Arc::new(Handler(self.forwarder)), stop)
            .await
    }
}

struct Handler(Arc<Forwarder>);

impl HttpHandler for Handler {
    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        Box::pin(self.0.forward(request))
    }
}
