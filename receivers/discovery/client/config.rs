//! The keys of the HTTP client block of Prometheus (prometheus-receiver specification, section 2.5).

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

/// `oauth2`: a token is fetched and renewed (RFC 6749 section 4.4, RFC 7523 section 2.1).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OAuth2 {
    /// Identifier of the client.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: Secret<String>,
    /// File with it.
    pub(crate) client_secret_file: String,
    /// What the token is for.
    pub(crate) scopes: Vec<String>,
    /// Where tokens are given out.
    pub(crate) token_url: String,
    /// More parameters of the request.
    pub(crate) endpoint_params: BTreeMap<String, String>,
    /// TLS of the token URL.
    pub(crate) tls_config: TlsConfig,
    /// Proxy of the token URL.
    pub(crate) proxy_url: String,
    /// Hosts that the proxy is not used for.
    pub(crate) no_proxy: String,
    /// The proxy of the environment.
    pub(crate) proxy_from_environment: bool,
    /// Headers for the proxy.
    pub(crate) proxy_connect_header: BTreeMap<String, Vec<Secret<String>>>,
    /// `client_credentials` if empty.
    pub(crate) grant_type: String,
    /// For `jwt-bearer`, as the keys below: which key it is (`kid`).
    pub(crate) client_certificate_key_id: String,
    /// The RSA key that signs, as PEM text.
    pub(crate) client_certificate_key: Secret<String>,
    /// File with it.
    pub(crate) client_certificate_key_file: String,
    /// `RS256` if empty.
    pub(crate) signature_algorithm: String,
    /// Who asks; the client identifier if empty.
    pub(crate) iss: String,
    /// Who is asked; the token URL if empty.
    pub(crate) audience: String,
    /// More claims; they win over those that are made here.
    pub(crate) claims: BTreeMap<String, weir_config::Node>,
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
    pub(crate) oauth2: Option<OAuth2>,
    pub(crate) tls: TlsConfig,
    pub(crate) follow_redirects: bool,
    pub(crate) enable_http2: bool,
    pub(crate) proxy_url: String,
    pub(crate) no_proxy: String,
    pub(crate) proxy_from_environment: bool,
    pub(crate) proxy_connect_header: BTreeMap<String, Vec<Secret<String>>>,
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
            self.oauth2.is_some(),
            bearer,
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            let text = "at most one of basic_auth, authorization, oauth2 and bearer_token must be configured";
            errors.push("", text, "remove all but one of them");
        }
        if let Some(oauth2) = &self.oauth2 {
            errors.nested("oauth2", oauth2);
        }
        self.validate_credentials(errors);
        errors.nested("tls_config", &self.tls);
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
        if !self.proxy_connect_header.is_empty()
            && self.proxy_url.is_empty()
            && !self.proxy_from_environment
        {
            let text = "proxy_connect_header needs proxy_url or proxy_from_environment";
            errors.push("proxy_connect_header", text, "set one of them");
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
}

impl Validate for TlsConfig {
    fn validate(&self, errors: &mut Errors) {
        let tls = self;
        let pairs = [
            ("ca", !tls.ca.expose().is_empty(), &tls.ca_file),
            ("cert", !tls.cert.expose().is_empty(), &tls.cert_file),
            ("key", !tls.key.expose().is_empty(), &tls.key_file),
        ];
        for (key, text, file) in pairs {
            if text && !file.is_empty() {
                let message = format!("at most one of {key} and {key}_file must be configured");
                errors.push(&format!("{key}_file"), message, "remove one of them");
            }
        }
        let cert = !tls.cert.expose().is_empty() || !tls.cert_file.is_empty();
        let key = !tls.key.expose().is_empty() || !tls.key_file.is_empty();
        if cert != key {
            let text = "cert and key must be configured together";
            errors.push("", text, "give cert_file and key_file, or neither");
        }
        check_file(errors, "cert_file", &tls.cert_file);
        check_file(errors, "key_file", &tls.key_file);
        for (key, version) in [
            ("min_version", &tls.min_version),
            ("max_version", &tls.max_version),
        ] {
            if !version.is_empty() && tls_version(version).is_none() {
                let text = format!("unknown TLS version `{version}`");
                errors.push(key, text, "use TLS10, TLS11, TLS12 or TLS13");
            }
        }
    }
}

impl Validate for OAuth2 {
    fn validate(&self, errors: &mut Errors) {
        if self.client_id.is_empty() {
            errors.push("client_id", "oauth2 client_id must be configured", "");
        }
        if self.token_url.is_empty() {
            errors.push("token_url", "oauth2 token_url must be configured", "");
        } else if http_url(&self.token_url).is_none() {
            let text = format!("`{}` is not a URL", self.token_url);
            errors.push("token_url", text, "for example https://idp/oauth2/token");
        }
        match self.grant_type.as_str() {
            "" | "client_credentials" => self.validate_secret(errors),
            super::jwt::GRANT_TYPE => super::jwt::validate(self, errors),
            other => {
                let text = format!("unsupported oauth2 grant_type `{other}`");
                let hint = concat!(
                    "use client_credentials or ",
                    "urn:ietf:params:oauth:grant-type:jwt-bearer"
                );
                errors.push("grant_type", text, hint);
            }
        }
        for (name, taken) in [
            ("scope", !self.scopes.is_empty()),
            ("assertion", self.grant_type == super::jwt::GRANT_TYPE),
        ] {
            if taken && self.endpoint_params.contains_key(name) {
                let text = format!("cannot overwrite parameter \"{name}\"");
                let key = format!("endpoint_params.{name}");
                errors.push(&key, text, "remove it");
            }
        }
        for (key, path) in [
            ("client_secret_file", &self.client_secret_file),
            (
                "client_certificate_key_file",
                &self.client_certificate_key_file,
            ),
        ] {
            check_file(errors, key, path);
        }
        errors.nested("tls_config", &self.tls_config);
    }
}

impl OAuth2 {
    fn validate_secret(&self, errors: &mut Errors) {
        let secret = !self.client_secret.expose().is_empty();
        if !secret && self.client_secret_file.is_empty() {
            let text = "either oauth2 client_secret or client_secret_file must be configured";
            errors.push("client_secret", text, "");
        }
        if secret && !self.client_secret_file.is_empty() {
            let text =
                "at most one of oauth2 client_secret and client_secret_file must be configured";
            errors.push("client_secret_file", text, "remove one of them");
        }
    }
}

/// An http(s) URL with a host.
pub(crate) fn http_url(text: &str) -> Option<http::Uri> {
    let url: http::Uri = text.parse().ok()?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    (known && url.host().is_some_and(|host| !host.is_empty())).then_some(url)
}

/// Declares a configuration struct with the keys of the HTTP client among its own.
///
/// Flattening would lose the detection of unknown keys, so they are spelled out, once for all. The
/// struct gets `client(&self) -> HttpClientBlock`.
macro_rules! with_client_keys {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $kind:ty = $default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, ::serde::Deserialize, ::serde::Serialize)]
        #[serde(default, deny_unknown_fields)]
        $visibility struct $name {
            $($(#[$field_meta])* pub(crate) $field: $kind,)*
            pub(crate) basic_auth: Option<$crate::discovery::client::BasicAuth>,
            pub(crate) authorization: Option<$crate::discovery::client::Authorization>,
            pub(crate) bearer_token: ::weir_config::Secret<String>,
            pub(crate) bearer_token_file: String,
            pub(crate) oauth2: Option<$crate::discovery::client::OAuth2>,
            pub(crate) tls_config: $crate::discovery::client::TlsConfig,
            pub(crate) follow_redirects: bool,
            pub(crate) enable_http2: bool,
            pub(crate) proxy_url: String,
            pub(crate) no_proxy: String,
            pub(crate) proxy_from_environment: bool,
            pub(crate) proxy_connect_header:
                ::std::collections::BTreeMap<String, Vec<::weir_config::Secret<String>>>,
            pub(crate) http_headers:
                ::std::collections::BTreeMap<String, $crate::discovery::client::HeaderValues>,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    basic_auth: None,
                    authorization: None,
                    bearer_token: ::weir_config::Secret::default(),
                    bearer_token_file: String::new(),
                    oauth2: None,
                    tls_config: $crate::discovery::client::TlsConfig::default(),
                    follow_redirects: true,
                    enable_http2: true,
                    proxy_url: String::new(),
                    no_proxy: String::new(),
                    proxy_from_environment: false,
                    proxy_connect_header: ::std::collections::BTreeMap::new(),
                    http_headers: ::std::collections::BTreeMap::new(),
                }
            }
        }

        impl $name {
            /// The keys of the HTTP client.
            pub(crate) fn client(&self) -> $crate::discovery::client::HttpClientBlock {
                $crate::discovery::client::HttpClientBlock {
                    basic_auth: self.basic_auth.clone(),
                    authorization: self.authorization.clone(),
                    bearer_token: self.bearer_token.clone(),
                    bearer_token_file: self.bearer_token_file.clone(),
                    oauth2: self.oauth2.clone(),
                    tls: self.tls_config.clone(),
                    follow_redirects: self.follow_redirects,
                    enable_http2: self.enable_http2,
                    proxy_url: self.proxy_url.clone(),
                    no_proxy: self.no_proxy.clone(),
                    proxy_from_environment: self.proxy_from_environment,
                    proxy_connect_header: self.proxy_connect_header.clone(),
                    headers: self.http_headers.clone(),
                }
            }

            #[allow(dead_code, reason = "not all of these structs stand in files of their own")]
            /// Paths relative to the file that they stand in are made relative to its folder.
            pub(crate) fn place_files(&mut self, place: &dyn Fn(&mut String)) {
                place(&mut self.bearer_token_file);
                $crate::discovery::client::place_tls_files(&mut self.tls_config, place);
                if let Some(basic) = &mut self.basic_auth {
                    place(&mut basic.username_file);
                    place(&mut basic.password_file);
                }
                if let Some(authorization) = &mut self.authorization {
                    place(&mut authorization.credentials_file);
                }
                if let Some(oauth2) = &mut self.oauth2 {
                    place(&mut oauth2.client_secret_file);
                    place(&mut oauth2.client_certificate_key_file);
                    $crate::discovery::client::place_tls_files(&mut oauth2.tls_config, place);
                }
                for header in self.http_headers.values_mut() {
                    header.files.iter_mut().for_each(place);
                }
            }
        }
    };
}
pub(crate) use with_client_keys;

/// The part of `place_files` for a TLS block.
pub(crate) fn place_tls_files(tls: &mut TlsConfig, place: &dyn Fn(&mut String)) {
    [&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file]
        .into_iter()
        .for_each(place);
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
