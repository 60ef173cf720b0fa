//! Cross-origin requests (OTLP-19; the Fetch standard's CORS protocol).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};

/// `cors` of an HTTP server. Without `allowed_origins` nothing is answered to browsers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins, each with at most one `*`; `*` alone is any.
    pub allowed_origins: Vec<String>,
    /// Request headers; none: `Accept`, `Content-Type`, `X-Requested-With`. `*` is any.
    pub allowed_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub exposed_headers: Vec<String>,
    /// Seconds for which a browser may keep the answer to a preflight; 0 leaves it out.
    pub max_age: i64,
}

impl Validate for CorsConfig {
    fn validate(&self, errors: &mut Errors) {
        if self.allowed_origins.is_empty() && !self.allowed_headers.is_empty() {
            errors.warn(
                "allowed_headers",
                "without allowed_origins the cors settings have no effect",
                "add allowed_origins",
            );
        }
        for (index, origin) in self.allowed_origins.iter().enumerate() {
            if origin.matches('*').count() > 1 {
                errors.push(
                    &format!("allowed_origins[{index}]"),
                    "an origin may have one `*` only",
                    "",
                );
            }
        }
    }
}

/// Methods that are allowed to scripts.
const METHODS: [Method; 3] = [Method::GET, Method::POST, Method::HEAD];
/// Vary of preflight answers.
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);

/// The settings, prepared.
#[derive(Debug)]
pub(super) struct Cors {
    any_origin: bool,
    /// Before and after the `*`; no second part: exact. Lower case.
    origins: Vec<(String, Option<String>)>,
    any_header: bool,
    /// Lower case.
    headers: Vec<String>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl Cors {
    pub(super) fn new(config: &CorsConfig) -> Option<Cors> {
        if config.allowed_origins.is_empty() {
            return None;
        }
        let headers: Vec<String> = if config.allowed_headers.is_empty() {
            ["accept", "content-type", "x-requested-with"]
                .map(str::to_owned)
                .into()
        } else {
            config
                .allowed_headers
                .iter()
                .map(|h| h.to_ascii_lowercase())
                .collect()
        };
        let origins = config.allowed_origins.iter().map(|origin| {
            let origin = origin.to_ascii_lowercase();
            match origin.split_once('*') {
                Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
                None => (origin, None),
            }
        });
        Some(Cors {
            any_origin: config.allowed_origins.iter().any(|o| o == "*"),
            origins: origins.collect(),
            any_header: headers.iter().any(|h| h == "*"),
            headers,
            exposed: (!config.exposed_headers.is_empty())
                .then(|| HeaderValue::from_str(&config.exposed_headers.join(", ")).ok())
                .flatten(),
            max_age: (config.max_age > 0).then(|| HeaderValue::from(config.max_age)),
        })
    }

    /// The headers of the answer to a preflight; `None` if it is none.
    pub(super) fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<HeaderMap> {
        if method != Method::OPTIONS {
            return None;
        }
        let wanted = request.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut answer = HeaderMap::new();
        answer.insert(VARY, PREFLIGHT_VARY);
        let Some(origin) = self.allowed_origin(request) else {
            return Some(answer);
        };
        let Some(method) = METHODS
            .iter()
            .find(|m| m.as_str().as_bytes() == wanted.as_bytes())
        else {
            return Some(answer);
        };
        let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS);
        if !asked.is_none_or(|asked| self.allows_headers(asked)) {
            return Some(answer);
        }
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Ok(method) = HeaderValue::from_str(method.as_str()) {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        if let Some(asked) = asked.filter(|a| !a.is_empty()) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        answer.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        if let Some(max_age) = &self.max_age {
            answer.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        Some(answer)
    }

    /// Adds to the answer of any other request what its origin needs.
    pub(super) fn decorate(&self, method: &Method, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.allowed_origin(request) else {
            return;
        };
        if method != Method::OPTIONS && !METHODS.contains(method) {
            return;
        }
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        if let Some(exposed) = &self.exposed {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    fn allowed_origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        if self.any_origin {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        let fits = |(before, after): &(String, Option<String>)| match after {
            None => text == *before,
            Some(after) => {
                text.len() >= before.len() + after.len()
                    && text.starts_with(before.as_str())
                    && text.ends_with(after.as_str())
            }
        };
        self.origins.iter().any(fits).then(|| origin.clone())
    }

    fn allows_headers(&self, asked: &HeaderValue) -> bool {
        let Ok(asked) = asked.to_str() else {
            return false;
        };
        self.any_header
            || asked
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase())
                .all(|name| name.is_empty() || self.headers.contains(&name))
    }
}
