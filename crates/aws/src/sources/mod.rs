//! Where credentials come from: the sources of the reference in its order (AWS-18).
//!
//! The first source that is configured is used; when it fails there is no going on to the next.
//! Each source has a file of its own; this one chooses, and holds what they share.

mod container;
mod environment;
mod instance;
mod process;
mod profile;
mod roles;
mod sso;
mod sts;

#[cfg(test)]
mod tests;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use weir_config::Environment;
use weir_core::{BoxFut, BuildError, Clock};

use crate::clock::ServiceClock;
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};
use crate::endpoint::{EndpointSettings, Service};
use crate::retry::delay;
use crate::transport::Transport;

pub(crate) use environment::session_names;
pub(crate) use instance::InstanceMetadata;
pub(crate) use profile::Profiles;
pub(crate) use sts::{AssumedRole, Role, WebIdentity, element, refusal as xml_refusal};

/// Attempts of one call of a credential source, as the SDKs make.
const ATTEMPTS: u32 = 3;

/// Environment variables, shared between sources.
pub(crate) type SharedEnvironment = Arc<dyn Environment + Send + Sync>;

/// A source of credentials, shared.
pub(crate) type Provider = Arc<dyn CredentialsProvider>;

/// All that the search touches.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) environment: SharedEnvironment,
    pub(crate) profiles: Arc<Profiles>,
    /// STS and SSO; through the proxy of the environment (AWS-29).
    pub(crate) remote: Arc<dyn Transport>,
    /// Container endpoints and instance metadata; never through a proxy.
    pub(crate) local: Arc<dyn Transport>,
    pub(crate) clock: Arc<ServiceClock>,
    /// Region of STS and SSO calls; empty if none is known.
    pub(crate) region: String,
}

impl Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// A variable that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        set(&*self.environment, name)
    }

    /// Keeps what a source hands out until shortly before its end.
    pub(crate) fn cached(&self, source: impl CredentialsProvider + 'static) -> Provider {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Arc::new(crate::cache::Cached::new(Box::new(source), clock))
    }

    /// Base URL of a service in the region of the credential calls.
    pub(crate) fn url(&self, service: Service, region: &str) -> String {
        let settings = EndpointSettings::read(&*self.environment, &self.profiles);
        service.url("", region, &settings)
    }
}

/// A variable that is set to something.
pub(crate) fn set(environment: &dyn Environment, name: &str) -> Option<String> {
    environment
        .get(name)
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// The source that the environment and the profile stand for.
///
/// # Errors
/// A source that can never work: a profile that is not there, an address that may not be asked.
pub(crate) async fn search(around: &Surroundings) -> Result<Provider, BuildError> {
    if let Some(keys) = environment::keys(&*around.environment) {
        return Ok(Arc::new(keys));
    }
    if let Some(file) = around.variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let Some(role_arn) = around.variable("AWS_ROLE_ARN") else {
            return Err(BuildError(
                "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: set the role to assume with the token"
                    .to_owned(),
            ));
        };
        let session_name = around.variable("AWS_ROLE_SESSION_NAME");
        let identity = WebIdentity::new(around, role_arn, file, session_name);
        return Ok(around.cached(identity));
    }
    let profile = around.profiles.selected()?;
    roles::of_profile(around, profile).await
}

/// The source that the selected profile stands for, whatever the environment has.
///
/// # Errors
/// As [`search`].
pub(crate) async fn profile_provider(around: &Surroundings) -> Result<Provider, BuildError> {
    roles::of_profile(around, around.profiles.selected()?).await
}

/// Sends a request until it is answered with something else than a passing failure.
///
/// `request` is asked for each attempt anew, so that it can be signed anew.
pub(crate) async fn ask<'a>(
    transport: &'a dyn Transport,
    what: &'a str,
    request: impl Fn() -> BoxFut<'a, Result<http::Request<Bytes>, CredentialsError>> + Send,
) -> Result<http::Response<Bytes>, CredentialsError> {
    let mut attempt = 1;
    loop {
        let failed = match transport.send(request().await?).await {
            Ok(answer) if !is_passing(answer.status()) => return Ok(answer),
            Ok(answer) => format!("HTTP status {}", answer.status().as_u16()),
            Err(error) => error.to_string(),
        };
        if attempt >= ATTEMPTS {
            return Err(CredentialsError::new(format!(
                "{what} failed {attempt} times, at last: {failed}"
            )));
        }
        tokio::time::sleep(delay(attempt, fastrand::f64())).await;
        attempt += 1;
    }
}

fn is_passing(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// A request without a body.
pub(crate) fn get(
    url: &str,
    headers: &[(&'static str, &str)],
) -> Result<http::Request<Bytes>, CredentialsError> {
    let mut builder = http::Request::get(url).header("accept", "application/json");
    for (name, value) in headers {
        let value = http::HeaderValue::from_str(value).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let value = value.map_err(|_| {
            CredentialsError::new(format!("the value for the header {name} has line breaks"))
        })?;
        builder = builder.header(*name, value);
    }
    builder
        .body(Bytes::new())
        .map_err(|error| CredentialsError::new(format!("`{url}` cannot be asked: {error}")))
}

/// Credentials as the container endpoint, instance metadata and external programs write them.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct KeysDocument {
    pub(crate) version: Option<u64>,
    #[serde(alias = "code")]
    pub(crate) code: Option<String>,
    #[serde(alias = "message")]
    pub(crate) message: Option<String>,
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: Option<String>,
    expiration: Option<String>,
}

impl KeysDocument {
    pub(crate) fn read(what: &str, text: &[u8]) -> Result<Self, CredentialsError> {
        // The parser's message has the place only, never the text.
        serde_json::from_slice(text).map_err(|error| {
            CredentialsError::new(format!("{what} gave no JSON with credentials: {error}"))
        })
    }

    pub(crate) fn credentials(self, what: &str) -> Result<Credentials, CredentialsError> {
        let missing = |name: &str| CredentialsError::new(format!("{what} gave no {name}"));
        if self.access_key_id.is_empty() {
            return Err(missing("AccessKeyId"));
        }
        if self.secret_access_key.is_empty() {
            return Err(missing("SecretAccessKey"));
        }
        let token = self.token.filter(|token| !token.is_empty());
        let keys = Credentials::fixed(
            &self.access_key_id,
            &self.secret_access_key,
            token.as_deref(),
        );
        match self.expiration.filter(|text| !text.is_empty()) {
            None => Ok(keys),
            Some(text) => Ok(keys.expiring(instant(&text).ok_or_else(|| {
                CredentialsError::new(format!("{what} gave `{text}` as the end, which is no time"))
            })?)),
        }
    }
}

/// `2023-11-14T22:13:20Z` as Unix nanoseconds.
pub(crate) fn instant(text: &str) -> Option<u64> {
    let format = aws_smithy_types::date_time::Format::DateTimeWithOffset;
    let time = aws_smithy_types::DateTime::from_str(text.trim(), format).ok()?;
    u64::try_from(time.as_nanos()).ok()
}

/// Percent-encoded but for the characters that never need it (RFC 3986, unreserved).
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whether a switch is on.
pub(crate) fn is_true(value: Option<String>) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The longest a whole source may take.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, CredentialsError>>,
) -> Result<T, CredentialsError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Err(CredentialsError::new(format!(
            "{what} did not answer within {seconds} s"
        )))
    })
}
