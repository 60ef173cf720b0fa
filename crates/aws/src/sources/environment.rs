//! Keys in environment variables, under the current and the older names.

use weir_config::Environment;

use super::set;
use crate::credentials::Credentials;

/// The keys of the environment; `None` unless both halves are set.
pub(super) fn keys(environment: &dyn Environment) -> Option<Credentials> {
    let either = |name, older| set(environment, name).or_else(|| set(environment, older));
    let id = either("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY")?;
    let secret = either("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY")?;
    let token = set(environment, "AWS_SESSION_TOKEN");
    Some(Credentials::fixed(&id, &secret, token.as_deref()))
}

/// Names of sessions nobody named, as the reference makes them: of an assumed role, of a web identity.
pub(crate) fn session_names(now_ns: u64) -> (String, String) {
    (format!("aws-go-sdk-{now_ns}"), now_ns.to_string())
}
