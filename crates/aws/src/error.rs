//! What a call may end with.

use std::fmt;

use crate::transport::{TransportError, TransportErrorKind};

/// Kinds of failure, by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Too many requests.
    Throttled,
    /// The service failed (5xx).
    Server,
    /// No answer within the time.
    Timeout,
    /// The host name is not known.
    UnknownHost,
    /// The connection failed or broke.
    Transport,
    /// No credentials, or the request could not be signed.
    Credentials,
    /// The credentials are expired or unknown.
    Expired,
    /// The credentials are good but may not do this.
    AccessDenied,
    /// What the call is about does not exist.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// The service does not accept the request.
    Invalid,
    /// Another answer of the 4xx family.
    Client,
}

/// A call that failed, after all its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// What it means.
    pub kind: ErrorKind,
    /// The service's word for it, such as `ThrottlingException`; empty if it gave none.
    pub code: String,
    /// Text of the service or the transport.
    pub message: String,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Attempts made.
    pub attempts: u32,
}

/// Codes of throttling (sigv4auth-and-aws-client section 4.2).
const THROTTLING: [&str; 14] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "RequestThrottled",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
];

impl AwsError {
    /// The failure an answer stands for: its status, `x-amzn-errortype` header and body.
    pub fn from_answer(status: u16, error_type: Option<&str>, body: &[u8]) -> Self {
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        struct Body {
            #[serde(rename = "__type")]
            kind: Option<String>,
            code: Option<String>,
            #[serde(alias = "Message", alias = "errorMessage")]
            message: Option<String>,
        }
        // EC2 answers in XML.
        if error_type.is_none() && body.first() == Some(&b'<') {
            return crate::sources::xml_refusal(status, body);
        }
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let code = error_type
            .map(str::to_owned)
            .or(body.code)
            .or(body.kind)
            .unwrap_or_default();
        // `namespace#Name:uri` in both places.
        let code = code.split(':').next().unwrap_or_default();
        let code = code
            .rsplit('#')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        let message = body
            .message
            .unwrap_or_else(|| format!("HTTP status {status}"));
        Self::coded(status, code, message)
    }

    /// An answer whose code and message are known.
    pub(crate) fn coded(status: u16, code: String, message: String) -> Self {
        Self {
            kind: kind(status, &code),
            code,
            message,
            status: Some(status),
            attempts: 1,
        }
    }

    pub(crate) fn from_transport(error: TransportError) -> Self {
        Self {
            kind: match error.kind {
                TransportErrorKind::Timeout => ErrorKind::Timeout,
                TransportErrorKind::UnknownHost => ErrorKind::UnknownHost,
                TransportErrorKind::Other => ErrorKind::Transport,
            },
            code: String::new(),
            message: error.message,
            status: None,
            attempts: 1,
        }
    }

    pub(crate) fn local(kind: ErrorKind, message: String) -> Self {
        Self {
            kind,
            code: String::new(),
            message,
            status: None,
            attempts: 1,
        }
    }

    /// Whether the SDKs try again: throttling, 500/502/503/504, request timeouts, no answer.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::Throttled
            | ErrorKind::Timeout
            | ErrorKind::Transport
            | ErrorKind::UnknownHost => true,
            ErrorKind::Server => matches!(self.status, Some(500 | 502 | 503 | 504)),
            _ => matches!(
                self.code.as_str(),
                "RequestTimeout" | "RequestTimeoutException"
            ),
        }
    }

    /// Whether the service answered and blamed the request (4xx, throttling included).
    pub fn is_client_fault(&self) -> bool {
        self.status.is_some_and(|status| status < 500)
    }

    /// Whether the service objects to the time of the signature.
    pub(crate) fn is_about_time(&self) -> bool {
        matches!(
            self.code.as_str(),
            "RequestTimeTooSkewed"
                | "RequestExpired"
                | "RequestInTheFuture"
                | "InvalidSignatureException"
                | "SignatureDoesNotMatch"
                | "AuthFailure"
        )
    }
}

fn kind(status: u16, code: &str) -> ErrorKind {
    if THROTTLING.contains(&code) || (status == 429 && code.is_empty()) {
        return ErrorKind::Throttled;
    }
    match code {
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId" => ErrorKind::Expired,
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" => ErrorKind::AccessDenied,
        "ResourceNotFoundException" => ErrorKind::NotFound,
        "ResourceAlreadyExistsException" => ErrorKind::AlreadyExists,
        "InvalidParameterException" | "InvalidRequestException" | "ValidationException" => {
            ErrorKind::Invalid
        }
        _ if status >= 500 => ErrorKind::Server,
        _ if status == 403 => ErrorKind::AccessDenied,
        _ => ErrorKind::Client,
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "status {status}, ")?;
        }
        if !self.code.is_empty() {
            write!(f, "{}: ", self.code)?;
        }
        f.write_str(&self.message)?;
        if self.attempts > 1 {
            write!(f, " (after {} attempts)", self.attempts)?;
        }
        Ok(())
    }
}

impl std::error::Error for AwsError {}
