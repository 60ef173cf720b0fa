//! The instance metadata service of EC2: credentials of the instance role, and the region (AWS-22).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use weir_core::{BoxFut, Clock};

use super::{KeysDocument, Surroundings, get, is_true, within};
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};

const WHAT: &str = "EC2 IMDS";
/// A session token is asked for so long, and used nearly to its end.
const TOKEN_SECONDS: u64 = 300;
const TOKEN_USED: Duration = Duration::from_secs(TOKEN_SECONDS - 10);
/// One operation with all its requests.
const LIMIT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 3;

/// How the service is asked.
#[derive(Clone, Debug)]
enum Session {
    /// Nothing is known yet, or the token ended.
    None,
    /// Version 2, until this monotonic time.
    Token(String, Duration),
    /// The service has no tokens: version 1.
    WithoutTokens,
}

/// The service.
#[derive(Debug)]
pub(crate) struct InstanceMetadata {
    around: Surroundings,
    base: String,
    v1_allowed: bool,
    attempts: u32,
    session: Mutex<Session>,
}

impl InstanceMetadata {
    /// The service at its usual address, or where the environment or the profile says.
    ///
    /// # Errors
    /// It is switched off, or its address cannot be used.
    pub(crate) fn new(around: &Surroundings) -> Result<Self, CredentialsError> {
        if is_true(around.variable("AWS_EC2_METADATA_DISABLED")) {
            return Err(CredentialsError::new(
                "access disabled to EC2 IMDS by AWS_EC2_METADATA_DISABLED",
            ));
        }
        let either = |variable: &str, key: &str| {
            let of_profile = || around.profiles.value(key).map(str::to_owned);
            around.variable(variable).or_else(of_profile)
        };
        let endpoint = either(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "ec2_metadata_service_endpoint",
        );
        let mode = either(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
            "ec2_metadata_service_endpoint_mode",
        );
        let base = match (
            endpoint,
            mode.as_deref().map(str::to_ascii_lowercase).as_deref(),
        ) {
            (Some(endpoint), _) => endpoint,
            (None, Some("ipv6")) => "http://[fd00:ec2::254]".to_owned(),
            (None, None | Some("ipv4")) => "http://169.254.169.254".to_owned(),
            (None, Some(mode)) => {
                return Err(CredentialsError::new(format!(
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is `{mode}`: write IPv4 or IPv6"
                )));
            }
        };
        let v1_disabled = either("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled");
        Ok(Self {
            around: around.clone(),
            base: base.trim_end_matches('/').to_owned(),
            v1_allowed: !is_true(v1_disabled),
            attempts: ATTEMPTS,
            session: Mutex::new(Session::None),
        })
    }

    /// The same with one attempt per text, for those who wait between attempts themselves.
    pub(crate) fn without_retries(self) -> Self {
        Self {
            attempts: 1,
            ..self
        }
    }

    /// The text under a path such as `/latest/meta-data/placement/region`.
    ///
    /// # Errors
    /// It does not answer within five seconds, or does not know.
    pub(crate) async fn text(&self, path: &str) -> Result<String, CredentialsError> {
        within(LIMIT, WHAT, self.ask(path)).await
    }

    async fn ask(&self, path: &str) -> Result<String, CredentialsError> {
        let mut failed = String::new();
        for _ in 0..self.attempts {
            let token = self.token().await?;
            let header = token
                .as_deref()
                .map(|token| ("x-aws-ec2-metadata-token", token));
            let request = get(&format!("{}{path}", self.base), header.as_slice())?;
            match self.around.local.send(request).await {
                Ok(answer) if answer.status().is_success() => {
                    return Ok(String::from_utf8_lossy(answer.body()).trim().to_owned());
                }
                // The token ended early, or tokens are needed after all.
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                    self.remember(Session::None);
                    failed = "HTTP status 401".to_owned();
                }
                Ok(answer) if answer.status().is_client_error() => {
                    let status = answer.status().as_u16();
                    return Err(CredentialsError {
                        message: format!("{WHAT} has no {path} (HTTP status {status})"),
                        // Tells who retries that it is no use.
                        denied: self.attempts == 1,
                    });
                }
                Ok(answer) => failed = format!("HTTP status {}", answer.status().as_u16()),
                Err(error) => failed = error.to_string(),
            }
        }
        Err(CredentialsError::new(format!(
            "{WHAT} at {} failed: {failed}",
            self.base
        )))
    }

    /// The token to ask with; `None` where the service has none (version 1).
    async fn token(&self) -> Result<Option<String>, CredentialsError> {
        let session = self
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match session {
            Session::Token(token, end) if self.around.clock.monotonic() < end => {
                return Ok(Some(token));
            }
            Session::WithoutTokens => return Ok(None),
            _ => {}
        }
        let request = http::Request::put(format!("{}/latest/api/token", self.base))
            .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS)
            .body(Bytes::new())
            .map_err(|error| CredentialsError::new(format!("{WHAT}: {error}")))?;
        let why = match self.around.local.send(request).await {
            Ok(answer) if answer.status().is_success() => {
                let token = String::from_utf8_lossy(answer.body()).trim().to_owned();
                let end = self.around.clock.monotonic() + TOKEN_USED;
                self.remember(Session::Token(token.clone(), end));
                return Ok(Some(token));
            }
            Ok(answer) => {
                let status = answer.status().as_u16();
                if !matches!(status, 403..=405) {
                    return Err(CredentialsError::new(format!(
                        "{WHAT} refused a session token: HTTP status {status}"
                    )));
                }
                if self.v1_allowed {
                    self.remember(Session::WithoutTokens);
                }
                format!("HTTP status {status}")
            }
            // Behind too many hops the answer with the token is lost; version 1 may still work.
            Err(error) => error.to_string(),
        };
        if self.v1_allowed {
            return Ok(None);
        }
        Err(CredentialsError::new(format!(
            "{WHAT} gave no session token ({why}), and version 1 is switched off: in a container \
             raise the hop limit of the instance's metadata options to 2"
        )))
    }

    fn remember(&self, session: Session) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let roles = self.ask(ROLES).await?;
        let Some(role) = roles.lines().next().filter(|role| !role.is_empty()) else {
            return Err(CredentialsError::new(
                "the instance has no role: attach an instance profile, or set credentials",
            ));
        };
        let text = self.ask(&format!("{ROLES}{role}")).await?;
        let document = KeysDocument::read(WHAT, text.as_bytes())?;
        if let Some(code) = document.code.as_deref().filter(|code| *code != "Success") {
            let message = document.message.as_deref().unwrap_or_default();
            return Err(CredentialsError::new(format!(
                "{WHAT} gave no credentials for the role {role}: {code} {message}"
            )));
        }
        document.credentials(WHAT)
    }
}

impl CredentialsProvider for InstanceMetadata {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(within(LIMIT, WHAT, self.fetch()))
    }
}
