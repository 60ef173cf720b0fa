//! Tokens of OAuth 2.0 for clients without a user (RFC 6749 section 4.4, RFC 7523 section 2.1).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use tokio::sync::Mutex;
use tokio::time::Instant;
use weir_core::Clock;
use weir_net::{HttpClient, HttpClientOptions, NetError};

use crate::discovery::shown::{HIDDEN, shown_text, shown_url};

use super::{AccessError, OAuth2, basic_header, connect_headers, either, jwt, proxy, tls};

/// A token is renewed so long before its end.
const EARLY: Duration = Duration::from_secs(10);
/// The longest time for a request of a token; the scrape has its own limit besides.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Fetches tokens and keeps the last one while it is good.
#[derive(Debug)]
pub(super) struct TokenSource {
    config: OAuth2,
    client: HttpClient,
    /// Tells the times in assertions.
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    /// How the server wants to be told who asks; found out at the first request.
    in_body: Option<bool>,
}

#[derive(Debug, Clone)]
struct Token {
    /// Type and token, as the header has them.
    header: String,
    until: Option<Instant>,
}

/// The answer of a token endpoint (RFC 6749 section 5.1).
#[derive(serde::Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

/// A refusal (RFC 6749 section 5.2).
#[derive(Default, serde::Deserialize)]
struct Refusal {
    error: String,
}

/// A status with the token or why there is none.
type Asked = (StatusCode, Result<Token, String>);

impl TokenSource {
    /// # Errors
    /// If certificates or the proxy cannot be used.
    pub(super) fn new(
        config: OAuth2,
        user_agent: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NetError> {
        let client = HttpClient::new(HttpClientOptions {
            tls: tls(&config.tls_config),
            proxy: proxy(
                &config.proxy_url,
                &config.no_proxy,
                config.proxy_from_environment,
            ),
            connect_headers: connect_headers(&config.proxy_connect_header)?,
            timeout: Some(TIMEOUT),
            max_idle_per_host: 1,
            user_agent: user_agent.to_owned(),
            ..HttpClientOptions::default()
        })?;
        Ok(Self {
            config,
            client,
            clock,
            held: Mutex::default(),
        })
    }

    /// The value of `Authorization`. Those who ask at the same time share one request.
    ///
    /// # Errors
    /// If there is no token.
    pub(super) async fn authorization(&self) -> Result<String, AccessError> {
        let mut held = self.held.lock().await;
        if let Some(token) = &held.token
            && token.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(token.header.clone());
        }
        let token = self.fetch(&mut held.in_body).await?;
        let header = token.header.clone();
        held.token = Some(token);
        Ok(header)
    }

    /// A new token, by the grant type of the configuration.
    async fn fetch(&self, in_body: &mut Option<bool>) -> Result<Token, AccessError> {
        if self.config.grant_type == jwt::GRANT_TYPE {
            let now = self.clock.unix_ms() / 1000;
            let assertion = jwt::assertion(&self.config, now).map_err(|why| self.failed(why))?;
            let own = [("assertion", assertion.as_str())];
            let answer = self.send(jwt::GRANT_TYPE, &own, HeaderMap::new()).await?;
            return answer.1.map_err(|why| self.failed(why));
        }
        self.fetch_with_secret(in_body).await
    }

    /// Asks with the credentials in a header first; if that is refused, in the body. What worked is
    /// kept.
    async fn fetch_with_secret(&self, in_body: &mut Option<bool>) -> Result<Token, AccessError> {
        let secret = either(&self.config.client_secret, &self.config.client_secret_file)?;
        let first = in_body.unwrap_or(false);
        let (status, token) = self.ask(&secret, first).await?;
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST);
        let (used, result) = match token {
            Err(_) if in_body.is_none() && refused => (true, self.ask(&secret, true).await?.1),
            other => (first, other),
        };
        let token = result.map_err(|why| self.failed(why))?;
        *in_body = Some(used);
        Ok(token)
    }

    async fn ask(&self, secret: &str, in_body: bool) -> Result<Asked, AccessError> {
        let mut headers = HeaderMap::new();
        let mut own = Vec::new();
        if in_body {
            own.push(("client_id", self.config.client_id.as_str()));
            own.push(("client_secret", secret));
        } else {
            // RFC 6749 section 2.3.1: both are form-encoded first.
            let encoded = |text: &str| {
                let mut out = String::new();
                crate::discovery::push_form(&mut out, text);
                out
            };
            let basic = basic_header(&encoded(&self.config.client_id), &encoded(secret));
            let mut value = HeaderValue::from_str(&basic)
                .map_err(|_| AccessError::Header("the client secret"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        self.send("client_credentials", &own, headers).await
    }

    /// Sends the form with the parameters of all grant types and these.
    async fn send(
        &self,
        grant_type: &str,
        own: &[(&str, &str)],
        mut headers: HeaderMap,
    ) -> Result<Asked, AccessError> {
        let config = &self.config;
        let url: Uri = config
            .token_url
            .parse()
            .map_err(|_| self.failed("not a URL".to_owned()))?;
        let scopes = config.scopes.join(" ");
        let mut form = Vec::new();
        // As in the reference, servers that are off the standard may get another name for it.
        if !config.endpoint_params.contains_key("grant_type") {
            form.push(("grant_type", grant_type));
        }
        if !scopes.is_empty() {
            form.push(("scope", &scopes));
        }
        let params = config.endpoint_params.iter();
        form.extend(params.map(|(name, value)| (name.as_str(), value.as_str())));
        form.extend_from_slice(own);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut body = String::new();
        for (name, value) in form {
            if !body.is_empty() {
                body.push('&');
            }
            crate::discovery::push_form(&mut body, name);
            body.push('=');
            crate::discovery::push_form(&mut body, value);
        }
        let answer = self
            .client
            .send(Method::POST, &url, &headers, Bytes::from(body))
            .await
            .map_err(|error| self.failed(error.to_string()))?;
        let token = if answer.status.is_success() {
            read_token(&answer.body)
        } else {
            let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
            let hint = self.hint(&refusal.error);
            Err(format!("HTTP status {}{hint}", answer.status))
        };
        Ok((answer.status, token))
    }

    /// The code of a refusal (RFC 6749 section 5.2) and the keys that it is about. Other text of the
    /// server is not shown: it may repeat what it was sent.
    fn hint(&self, error: &str) -> String {
        let jwt = self.config.grant_type == jwt::GRANT_TYPE;
        let keys = match error {
            "invalid_grant" | "invalid_client" if jwt => {
                "client_id, client_certificate_key, client_certificate_key_id, signature_algorithm, iss, audience and claims"
            }
            "invalid_grant" | "invalid_client" => "client_id and client_secret",
            "invalid_scope" => "scopes",
            "invalid_request" => "endpoint_params",
            "unauthorized_client" | "unsupported_grant_type" => "client_id and grant_type",
            _ => return String::new(),
        };
        format!(", {error}: check {keys} of oauth2")
    }

    /// The URL is shown without what may be secret in it.
    fn failed(&self, why: String) -> AccessError {
        let url = self.config.token_url.parse();
        let url = url.map_or_else(|_| HIDDEN.to_owned(), |url| shown_url(&url));
        let why = match shown_text(&why) {
            Cow::Owned(shown) => shown,
            Cow::Borrowed(_) => why,
        };
        AccessError::Token { url, why }
    }
}

fn read_token(body: &[u8]) -> Result<Token, String> {
    // The reason would repeat parts of the answer, which may be the token.
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| "the answer is not a JSON object with a token".to_owned())?;
    if answer.access_token.is_empty() {
        return Err("the answer has no access_token".to_owned());
    }
    let kind = match answer.token_type.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer",
        "mac" => "MAC",
        "basic" => "Basic",
        _ => answer.token_type.as_str(),
    };
    let lifetime = answer.expires_in.filter(|seconds| *seconds > 0.0);
    let lifetime = lifetime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let until = lifetime.and_then(|time| Instant::now().checked_add(time.saturating_sub(EARLY)));
    Ok(Token {
        header: format!("{kind} {}", answer.access_token),
        until,
    })
}
