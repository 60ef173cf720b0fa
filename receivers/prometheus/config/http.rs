//! The HTTP client block of Prometheus (prometheus-receiver specification, section 2.5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Secret, Validate};

/// `basic_auth`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BasicAuth {
    /// User name.
    pub(crate) username: String,
    /// File with it.
    pub(crate) username_file: String,
    /// Password.
    pub(crate) password: Secret<String>,
    /// File with it.
    pub(crate) password_file: String,
}

/// `authorization`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Authorization {
    /// Scheme; `Bearer` if empty.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// What follows it.
    pub(crate) credentials: Secret<String>,
    /// File with that.
    pub(crate) credentials_file: String,
}

/// `tls_config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// Certificate authorities, as text.
    pub(crate) ca: Secret<String>,
    /// File with them.
    pub(crate) ca_file: String,
    /// Client certificate, as text.
    pub(crate) cert: Secret<String>,
    /// File with it.
    pub(crate) cert_file: String,
    /// Its key, as text.
    pub(crate) key: Secret<String>,
    /// File with it.
    pub(crate) key_file: String,
    /// Name to expect in the certificate of the server.
    pub(crate) server_name: String,
    /// Do not check the certificate.
    pub(crate) insecure_skip_verify: bool,
    /// `TLS10` to `TLS13`.
    pub(crate) min_version: String,
    /// `TLS10` to `TLS13`.
    pub(crate) max_version: String,
}

/// A value of `http_headers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HeaderValues {
    /// Values.
    pub(crate) values: Vec<String>,
    /// Values that are not to be shown.
    pub(crate) secrets: Vec<Secret<String>>,
    /// Files with values.
    pub(crate) files: Vec<String>,
}

/// The keys of the block that jobs have among their own, put together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HttpClientBlock {
    pub(crate) basic_auth: Option<BasicAuth>,
    pub(crate) authorization: Option<Authorization>,
    pub(crate) bearer_token: Secret<String>,
    pub(crate) bearer_token_file: String,
    pub(crate) oauth2: bool,
    pub(crate) tls: TlsConfig,
    pub(crate) follow_redirects: bool,
    pub(crate) enable_http2: bool,
    pub(crate) proxy_url: String,
    pub(crate) no_proxy: String,
    pub(crate) proxy_from_environment: bool,
    pub(crate) headers: BTreeMap<String, HeaderValues>,
}

/// Headers that belong to the connection or to other keys.
const RESERVED: [&str; 17] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
    "accept-encoding",
];

impl Validate for HttpClientBlock {
    fn validate(&self, errors: &mut Errors) {
        let bearer = !self.bearer_token.expose().is_empty() || !self.bearer_token_file.is_empty();
        let given = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.oauth2,
            bearer,
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            let text = "at most one of basic_auth, authorization, oauth2 and bearer_token must be configured";
            errors.push("", text, "remove all but one of them");
        }
        if self.oauth2 {
            errors.push(
                "oauth2",
                "oauth2 is known but not offered yet",
                "use authorization or basic_auth",
            );
        }
        self.validate_credentials(errors);
        self.validate_tls(errors);
        if !self.proxy_url.is_empty() && self.proxy_from_environment {
            let text = "proxy_from_environment must not be set when proxy_url is";
            errors.push("proxy_from_environment", text, "remove one of them");
        }
        if !self.no_proxy.is_empty() && self.proxy_url.is_empty() {
            errors.push(
                "no_proxy",
                "no_proxy needs proxy_url",
                "set proxy_url, or remove no_proxy",
            );
        }
        for name in self.headers.keys() {
            if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                let text = format!("header `{name}` cannot be set");
                errors.push(
                    &format!("http_headers.{name}"),
                    text,
                    "it belongs to another key",
                );
            }
        }
    }
}

impl HttpClientBlock {
    fn validate_credentials(&self, errors: &mut Errors) {
        let one = |errors: &mut Errors, key: &str, text: bool, file: &str| {
            if text && !file.is_empty() {
                let message = format!("at most one of {key} and {key}_file must be configured");
                errors.push(&format!("{key}_file"), message, "remove one of them");
            }
        };
        one(
            errors,
            "bearer_token",
            !self.bearer_token.expose().is_empty(),
            &self.bearer_token_file,
        );
        check_file(errors, "bearer_token_file", &self.bearer_token_file);
        if let Some(basic) = &self.basic_auth {
            one(
                errors,
                "basic_auth.username",
                !basic.username.is_empty(),
                &basic.username_file,
            );
            one(
                errors,
                "basic_auth.password",
                !basic.password.expose().is_empty(),
                &basic.password_file,
            );
            check_file(errors, "basic_auth.password_file", &basic.password_file);
        }
        if let Some(authorization) = &self.authorization {
            let text = !authorization.credentials.expose().is_empty();
            one(
                errors,
                "authorization.credentials",
                text,
                &authorization.credentials_file,
            );
            if authorization.kind.trim().eq_ignore_ascii_case("basic") {
                let text = "authorization type cannot be set to \"basic\"";
                errors.push("authorization.type", text, "use basic_auth instead");
            }
            check_file(
                errors,
                "authorization.credentials_file",
                &authorization.credentials_file,
            );
        }
    }

    fn validate_tls(&self, errors: &mut Errors) {
        let tls = &self.tls;
        let pairs = [
            ("ca", !tls.ca.expose().is_empty(), &tls.ca_file),
            ("cert", !tls.cert.expose().is_empty(), &tls.cert_file),
            ("key", !tls.key.expose().is_empty(), &tls.key_file),
        ];
        for (key, text, file) in pairs {
            if text && !file.is_empty() {
                let message = format!("at most one of {key} and {key}_file must be configured");
                errors.push(
                    &format!("tls_config.{key}_file"),
                    message,
                    "remove one of them",
                );
            }
        }
        let cert = !tls.cert.expose().is_empty() || !tls.cert_file.is_empty();
        let key = !tls.key.expose().is_empty() || !tls.key_file.is_empty();
        if cert != key {
            let text = "cert and key must be configured together";
            errors.push(
                "tls_config",
                text,
                "give cert_file and key_file, or neither",
            );
        }
        check_file(errors, "tls_config.cert_file", &tls.cert_file);
        check_file(errors, "tls_config.key_file", &tls.key_file);
        for (key, version) in [
            ("min_version", &tls.min_version),
            ("max_version", &tls.max_version),
        ] {
            if !version.is_empty() && tls_version(version).is_none() {
                let text = format!("unknown TLS version `{version}`");
                errors.push(
                    &format!("tls_config.{key}"),
                    text,
                    "use TLS10, TLS11, TLS12 or TLS13",
                );
            }
        }
    }
}

/// The version in the notation of the network crate.
pub(crate) fn tls_version(version: &str) -> Option<&'static str> {
    match version {
        "TLS10" => Some("1.0"),
        "TLS11" => Some("1.1"),
        "TLS12" => Some("1.2"),
        "TLS13" => Some("1.3"),
        _ => None,
    }
}

/// Files with credentials must be there at the start (PROM-08).
fn check_file(errors: &mut Errors, key: &str, path: &str) {
    if !path.is_empty()
        && let Err(error) = std::fs::metadata(path)
    {
        let text = format!("error checking file \"{path}\": {error}");
        errors.push(key, text, "create the file, or correct the path");
    }
}
