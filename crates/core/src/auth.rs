//! Authentication hooks of extensions (for example `sigv4auth`).

use bytes::Bytes;

use crate::component::BoxFut;

/// Why a request could not be signed or was refused. Never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AuthError {
    /// One sentence with the cure.
    pub message: String,
    /// Whether trying again may help (credentials endpoint unreachable) or not (not configured).
    pub retryable: bool,
}

/// What a client authenticator sees and changes.
#[derive(Debug)]
pub struct RequestParts<'a> {
    /// Method.
    pub method: &'a http::Method,
    /// Absolute URI.
    pub uri: &'a http::Uri,
    /// Headers; the authenticator adds its own.
    pub headers: &'a mut http::HeaderMap,
    /// The body as it goes out (after compression).
    pub body: &'a Bytes,
}

/// Adds credentials to outgoing requests.
pub trait ClientAuth: Send + Sync + std::fmt::Debug {
    /// Signs a request.
    fn authorize<'a>(&'a self, request: RequestParts<'a>) -> BoxFut<'a, Result<(), AuthError>>;

    /// A request signed with the headers `signed` was refused (401, 403) with the headers `answer`:
    /// the chance to renew credentials or to correct the time. Whether to sign and send once more.
    fn refused<'a>(
        &'a self,
        signed: &'a http::HeaderMap,
        answer: &'a http::HeaderMap,
    ) -> BoxFut<'a, bool> {
        let _ = (signed, answer);
        Box::pin(async { false })
    }
}

/// Checks incoming requests.
pub trait ServerAuth: Send + Sync + std::fmt::Debug {
    /// Accepts or refuses by the headers.
    fn authenticate<'a>(
        &'a self,
        headers: &'a http::HeaderMap,
    ) -> BoxFut<'a, Result<(), AuthError>>;
}
