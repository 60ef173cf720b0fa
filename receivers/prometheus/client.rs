//! The request of a scrape (prometheus-receiver specification, sections 2.5, 5.3 and 5.4).

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use weir_config::Secret;
use weir_net::tls::TlsClientConfig;
use weir_net::{HttpClient, HttpClientOptions, NetError, ProxyChoice};
use weir_prom::exposition::{MediaType, media_type};

use super::config::{HttpClientBlock, JobRules, tls_version};

/// Bodies above this size are refused even without a `body_size_limit`.
const MAX_BODY: usize = 1 << 30;

/// Idle connections are kept so long.
const IDLE: Duration = Duration::from_secs(300);

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
    #[error("cannot read {path}: {why}")]
    File { path: String, why: String },
    #[error("{0} is not a valid header value")]
    Header(&'static str),
}

/// A page as it came.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) body: Bytes,
    pub(crate) kind: MediaType,
}

/// Fetches the pages of a job's targets.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    client: HttpClient,
    block: HttpClientBlock,
    headers: HeaderMap,
    body_limit: u64,
    fallback: Option<MediaType>,
}

impl Fetcher {
    /// A client for the targets of a job.
    ///
    /// # Errors
    /// If certificates or the proxy cannot be used.
    pub(crate) fn new(job: &JobRules, user_agent: &str) -> Result<Self, NetError> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (ACCEPT, job.accept.as_str()),
            (
                ACCEPT_ENCODING,
                if job.compression { "gzip" } else { "identity" },
            ),
            (USER_AGENT, user_agent),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        let client = HttpClient::new(HttpClientOptions {
            tls: tls(&job.client),
            proxy: proxy(&job.client),
            idle_timeout: Some(IDLE),
            http2: job.client.enable_http2,
            follow_redirects: job.client.follow_redirects,
            ..HttpClientOptions::default()
        })?;
        Ok(Self {
            client,
            block: job.client.clone(),
            headers,
            body_limit: job.body_limit,
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
        self.add_own_headers(&mut headers)?;
        if let Some(value) = self.authorization()? {
            headers.insert(AUTHORIZATION, value);
        }
        // The limit counts from "or more" on.
        let cap = match usize::try_from(self.body_limit) {
            Ok(0) | Err(_) => MAX_BODY,
            Ok(limit) => (limit - 1).min(MAX_BODY),
        };
        let answer = match self.client.get_body(url, &headers, cap, timeout).await {
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
        })
    }

    fn add_own_headers(&self, headers: &mut HeaderMap) -> Result<(), FetchError> {
        for (name, values) in &self.block.headers {
            let bad = || FetchError::Header("http_headers");
            let name = HeaderName::try_from(name).map_err(|_| bad())?;
            let texts = values.values.iter().map(String::as_str);
            for text in texts.chain(values.secrets.iter().map(|secret| secret.expose().as_str())) {
                headers.append(&name, HeaderValue::from_str(text).map_err(|_| bad())?);
            }
            for file in &values.files {
                headers.append(
                    &name,
                    HeaderValue::from_str(&read(file)?).map_err(|_| bad())?,
                );
            }
        }
        Ok(())
    }

    /// The `Authorization` header. Files are read for every request, so that new tokens count.
    fn authorization(&self) -> Result<Option<HeaderValue>, FetchError> {
        let either = |text: &Secret<String>, file: &str| {
            if file.is_empty() {
                Ok(text.expose().clone())
            } else {
                read(file)
            }
        };
        let block = &self.block;
        let text = if let Some(basic) = &block.basic_auth {
            let user = if basic.username_file.is_empty() {
                basic.username.clone()
            } else {
                read(&basic.username_file)?
            };
            let password = either(&basic.password, &basic.password_file)?;
            let pair = weir_model::text::base64(format!("{user}:{password}").as_bytes());
            format!("Basic {pair}")
        } else if let Some(authorization) = &block.authorization {
            let credentials = either(&authorization.credentials, &authorization.credentials_file)?;
            if credentials.is_empty() {
                return Ok(None);
            }
            let kind = authorization.kind.trim();
            format!(
                "{} {credentials}",
                if kind.is_empty() { "Bearer" } else { kind }
            )
        } else {
            let token = either(&block.bearer_token, &block.bearer_token_file)?;
            if token.is_empty() {
                return Ok(None);
            }
            format!("Bearer {token}")
        };
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| FetchError::Header("the authorization"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Text of a small file, without blanks at its ends.
fn read(path: &str) -> Result<String, FetchError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| FetchError::File {
            path: path.to_owned(),
            why: error.to_string(),
        })
}

fn tls(block: &HttpClientBlock) -> TlsClientConfig {
    let version = |text: &str| tls_version(text).unwrap_or_default().to_owned();
    TlsClientConfig {
        insecure_skip_verify: block.tls.insecure_skip_verify,
        server_name_override: block.tls.server_name.clone(),
        ca_file: block.tls.ca_file.clone(),
        ca_pem: block.tls.ca.clone(),
        cert_file: block.tls.cert_file.clone(),
        cert_pem: block.tls.cert.clone(),
        key_file: block.tls.key_file.clone(),
        key_pem: block.tls.key.clone(),
        min_version: version(&block.tls.min_version),
        max_version: version(&block.tls.max_version),
        // Certificates that were exchanged are used for the next handshake after a while.
        reload_interval: weir_config::Duration::from_secs(60),
        ..TlsClientConfig::default()
    }
}

fn proxy(block: &HttpClientBlock) -> ProxyChoice {
    if !block.proxy_url.is_empty() {
        ProxyChoice::Url {
            url: block.proxy_url.clone(),
            no_proxy: block.no_proxy.clone(),
        }
    } else if block.proxy_from_environment {
        ProxyChoice::Environment
    } else {
        ProxyChoice::None
    }
}
