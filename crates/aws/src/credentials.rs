//! Credentials, and where they come from.

use std::fmt::{self, Debug};
use std::time::Duration;

use aws_smithy_runtime_api::client::identity::Identity;
use weir_core::BoxFut;

/// Keys to sign with. Never prints its secrets.
#[derive(Clone)]
pub struct Credentials {
    identity: Identity,
    access_key_id: String,
    expires_unix_ns: Option<u64>,
    /// They come from a container endpoint, which is asked five minutes before the end.
    from_container: bool,
}

impl Credentials {
    /// Keys that do not expire, with a session token if they are temporary.
    pub fn fixed(access_key_id: &str, secret_access_key: &str, token: Option<&str>) -> Self {
        let keys = aws_credential_types::Credentials::new(
            access_key_id,
            secret_access_key,
            token.map(str::to_owned),
            None,
            "weir",
        );
        Self {
            access_key_id: access_key_id.to_owned(),
            expires_unix_ns: None,
            from_container: false,
            identity: keys.into(),
        }
    }

    /// The same, expiring at a time (Unix nanoseconds).
    pub fn expiring(self, unix_ns: u64) -> Self {
        Self {
            expires_unix_ns: Some(unix_ns),
            ..self
        }
    }

    /// The same, handed out by a container endpoint.
    pub(crate) fn of_container(self) -> Self {
        Self {
            from_container: true,
            ..self
        }
    }

    /// How long before their end new ones are fetched, when `left` is the time to it now: container
    /// endpoints have new ones five minutes before; others are asked as late as is safe.
    pub(crate) fn renewed_before_end(&self, left: Duration) -> Duration {
        if self.from_container {
            return Duration::from_secs(300);
        }
        (left / 10).min(Duration::from_secs(60))
    }

    /// Public half of the key.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// When they end, Unix nanoseconds; `None` for never.
    pub fn expires_unix_ns(&self) -> Option<u64> {
        self.expires_unix_ns
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("expires_unix_ns", &self.expires_unix_ns)
            .finish_non_exhaustive()
    }
}

/// No credentials. The text says where they were looked for; it never holds one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no AWS credentials: {message}")]
pub struct CredentialsError {
    /// What went wrong.
    pub message: String,
    /// AWS refused, and will as long as nobody changes permissions.
    pub denied: bool,
}

impl CredentialsError {
    /// A failure that may pass.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            denied: false,
        }
    }
}

/// A source of credentials.
pub trait CredentialsProvider: Send + Sync + Debug {
    /// Credentials that are valid now.
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>>;

    /// The service said that the last ones are expired or unknown: forget them.
    fn refused(&self) {}
}

/// Fixed keys are a source as well.
impl CredentialsProvider for Credentials {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async { Ok(self.clone()) })
    }
}
