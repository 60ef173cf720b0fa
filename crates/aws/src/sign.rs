//! Signature Version 4 (AWS-05..12).

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};

use crate::credentials::Credentials;

/// Headers that are not signed, because proxies and transports change them.
const UNSIGNED: [&str; 5] = [
    "authorization",
    "user-agent",
    "x-amzn-trace-id",
    "expect",
    "transfer-encoding",
];

/// A request that cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be signed: {message}")]
pub struct SignError {
    /// Why.
    pub message: String,
}

/// Signs requests for one service in one region.
#[derive(Clone, Debug)]
pub struct Signer {
    region: String,
    service: String,
    settings: SigningSettings,
}

impl Signer {
    /// A signer. Region and service are signed as given, also when empty.
    pub fn new(region: &str, service: &str) -> Self {
        let mut settings = SigningSettings::default();
        settings.excluded_headers = Some(UNSIGNED.map(Cow::Borrowed).to_vec());
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        Self {
            region: region.to_owned(),
            service: service.to_owned(),
            settings,
        }
    }

    /// The region signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The service signed for.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Adds `x-amz-date`, `x-amz-security-token` for temporary credentials, and `authorization`
    /// for a request that goes out at `unix_ns` with this body (after compression).
    ///
    /// # Errors
    /// When the URI has no host or a header value is not text.
    pub fn sign(
        &self,
        method: &http::Method,
        uri: &http::Uri,
        headers: &mut http::HeaderMap,
        body: &[u8],
        credentials: &Credentials,
        unix_ns: u64,
    ) -> Result<(), SignError> {
        if uri.host().is_none_or(str::is_empty) {
            return Err(SignError {
                message: "its address has no host".to_owned(),
            });
        }
        let added = self.headers(method, uri, headers, body, credentials, unix_ns)?;
        for (name, value, sensitive) in added {
            let mut value = HeaderValue::from_str(&value).map_err(refused)?;
            value.set_sensitive(sensitive);
            headers.insert(name, value);
        }
        Ok(())
    }

    fn headers(
        &self,
        method: &http::Method,
        uri: &http::Uri,
        headers: &http::HeaderMap,
        body: &[u8],
        credentials: &Credentials,
        unix_ns: u64,
    ) -> Result<Vec<(HeaderName, String, bool)>, SignError> {
        let params = v4::SigningParams::builder()
            .identity(credentials.identity())
            .region(&self.region)
            .name(&self.service)
            .time(time(unix_ns))
            .settings(self.settings.clone())
            .build()
            .map_err(refused)?
            .into();
        let mut signed = Vec::with_capacity(headers.len() + 1);
        for (name, value) in headers {
            // Signed from the address, without a default port.
            if name != HOST && name != CONTENT_LENGTH {
                signed.push((name.as_str(), value.to_str().map_err(refused)?));
            }
        }
        let length = body.len().to_string();
        if !body.is_empty() {
            signed.push((CONTENT_LENGTH.as_str(), &length));
        }
        let uri = uri.to_string();
        let request = SignableRequest::new(
            method.as_str(),
            &uri,
            signed.iter().copied(),
            SignableBody::Bytes(body),
        );
        let output = sign(request.map_err(refused)?, &params).map_err(refused)?;
        let (instructions, _) = output.into_parts();
        let (added, _) = instructions.into_parts();
        Ok(added
            .into_iter()
            .map(|header| {
                (
                    HeaderName::from_static(header.name()),
                    header.value().to_owned(),
                    header.sensitive(),
                )
            })
            .collect())
    }
}

fn refused(error: impl std::fmt::Display) -> SignError {
    SignError {
        message: error.to_string(),
    }
}

fn time(unix_ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(unix_ns)
}

/// `20231114T221320Z` (`X-Amz-Date`) as Unix nanoseconds.
pub fn sign_time(text: &str) -> Option<u64> {
    let part = |range: std::ops::Range<usize>| text.get(range);
    let written = format!(
        "{}-{}-{}T{}:{}:{}",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        text.get(13..)?
    );
    crate::sources::instant(&written)
}
