//! The HTTP client of scrapes and of discovery, with the keys that Prometheus gives it
//! (prometheus-receiver specification, section 2.5).

pub(crate) mod config;
mod jwt;
mod oauth2;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use weir_config::Secret;
use weir_core::Clock;
use weir_net::tls::TlsClientConfig;
use weir_net::{HttpClient, HttpClientOptions, NetError, ProxyChoice};

pub(crate) use config::{
    Authorization, BasicAuth, HeaderValues, HttpClientBlock, OAuth2, TlsConfig, http_url,
    place_tls_files, tls_version, with_client_keys,
};
use oauth2::TokenSource;

/// Idle connections are kept so long.
const IDLE: Duration = Duration::from_secs(300);

/// Why a request could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("cannot read {path}: {why}")]
    File { path: String, why: String },
    #[error("{0} is not a valid header value")]
    Header(&'static str),
    #[error("no token from {url}: {why}")]
    Token { url: String, why: String },
}

/// A client with its credentials. Clones share connections and tokens.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) client: HttpClient,
    block: Arc<HttpClientBlock>,
    tokens: Option<Arc<TokenSource>>,
}

impl Access {
    /// # Errors
    /// If certificates or the proxy cannot be used.
    pub(crate) fn new(
        block: &HttpClientBlock,
        user_agent: &str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, NetError> {
        let client = HttpClient::new(HttpClientOptions {
            tls: tls(&block.tls),
            proxy: proxy(
                &block.proxy_url,
                &block.no_proxy,
                block.proxy_from_environment,
            ),
            connect_headers: connect_headers(&block.proxy_connect_header)?,
            idle_timeout: Some(IDLE),
            http2: block.enable_http2,
            follow_redirects: block.follow_redirects,
            user_agent: user_agent.to_owned(),
            ..HttpClientOptions::default()
        })?;
        let tokens = match &block.oauth2 {
            Some(oauth2) => {
                let source = TokenSource::new(oauth2.clone(), user_agent, Arc::clone(clock))?;
                Some(Arc::new(source))
            }
            None => None,
        };
        Ok(Self {
            client,
            block: Arc::new(block.clone()),
            tokens,
        })
    }

    /// Adds the configured headers and the credentials. Files are read for every request, so that
    /// new tokens count (PROM-13).
    ///
    /// # Errors
    /// A file or a token that cannot be had.
    pub(crate) async fn add_headers(&self, headers: &mut HeaderMap) -> Result<(), AccessError> {
        self.add_own_headers(headers)?;
        let text = match &self.tokens {
            Some(tokens) => Some(tokens.authorization().await?),
            None => self.authorization()?,
        };
        if let Some(text) = text {
            let bad = |_| AccessError::Header("the authorization");
            let mut value = HeaderValue::from_str(&text).map_err(bad)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(())
    }

    /// `http_headers`; they do not follow a redirect to another host, because they are sensitive.
    fn add_own_headers(&self, headers: &mut HeaderMap) -> Result<(), AccessError> {
        let bad = || AccessError::Header("http_headers");
        for (name, values) in &self.block.headers {
            let name = HeaderName::try_from(name).map_err(|_| bad())?;
            let mut append = |text: &str| {
                let mut value = HeaderValue::from_str(text).map_err(|_| bad())?;
                value.set_sensitive(true);
                headers.append(&name, value);
                Ok(())
            };
            for text in &values.values {
                append(text)?;
            }
            for secret in &values.secrets {
                append(secret.expose())?;
            }
            for file in &values.files {
                append(&read(file)?)?;
            }
        }
        Ok(())
    }

    fn authorization(&self) -> Result<Option<String>, AccessError> {
        let block = &self.block;
        if let Some(basic) = &block.basic_auth {
            let user = if basic.username_file.is_empty() {
                basic.username.clone()
            } else {
                read(&basic.username_file)?
            };
            let password = either(&basic.password, &basic.password_file)?;
            return Ok(Some(basic_header(&user, &password)));
        }
        let (kind, token) = match &block.authorization {
            Some(given) => (
                given.kind.trim(),
                either(&given.credentials, &given.credentials_file)?,
            ),
            None => ("", either(&block.bearer_token, &block.bearer_token_file)?),
        };
        let kind = if kind.is_empty() { "Bearer" } else { kind };
        Ok((!token.is_empty()).then(|| format!("{kind} {token}")))
    }
}

/// The value of `Authorization` for a user and a password (RFC 7617).
fn basic_header(user: &str, password: &str) -> String {
    let pair = weir_model::text::base64(format!("{user}:{password}").as_bytes());
    format!("Basic {pair}")
}

/// A secret from the configuration or from its file.
fn either(text: &Secret<String>, file: &str) -> Result<String, AccessError> {
    if file.is_empty() {
        Ok(text.expose().clone())
    } else {
        read(file)
    }
}

/// Text of a small file, without blanks at its ends.
fn read(path: &str) -> Result<String, AccessError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| AccessError::File {
            path: path.to_owned(),
            why: error.to_string(),
        })
}

/// TLS in the terms of the network crate.
fn tls(block: &TlsConfig) -> TlsClientConfig {
    let version = |text: &str| tls_version(text).unwrap_or_default().to_owned();
    TlsClientConfig {
        insecure_skip_verify: block.insecure_skip_verify,
        server_name_override: block.server_name.clone(),
        ca_file: block.ca_file.clone(),
        ca_pem: block.ca.clone(),
        cert_file: block.cert_file.clone(),
        cert_pem: block.cert.clone(),
        key_file: block.key_file.clone(),
        key_pem: block.key.clone(),
        min_version: version(&block.min_version),
        max_version: version(&block.max_version),
        // Certificates that were exchanged are used for the next handshake after a while.
        reload_interval: weir_config::Duration::from_secs(60),
        ..TlsClientConfig::default()
    }
}

fn proxy(url: &str, no_proxy: &str, from_environment: bool) -> ProxyChoice {
    if !url.is_empty() {
        ProxyChoice::Url {
            url: url.to_owned(),
            no_proxy: no_proxy.to_owned(),
        }
    } else if from_environment {
        ProxyChoice::Environment
    } else {
        ProxyChoice::None
    }
}

fn connect_headers(given: &BTreeMap<String, Vec<Secret<String>>>) -> Result<HeaderMap, NetError> {
    let bad = |_| NetError::Config("proxy_connect_header: not a valid header".to_owned());
    let mut headers = HeaderMap::new();
    for (name, values) in given {
        let name = HeaderName::try_from(name).map_err(|error| bad(error.to_string()))?;
        for value in values {
            let value = HeaderValue::from_str(value.expose());
            headers.append(&name, value.map_err(|error| bad(error.to_string()))?);
        }
    }
    Ok(headers)
}
