//! The `tls` block of clients and servers (spec otlp-and-helpers 2.5).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Secret, Validate};

/// Keys of a Trusted Platform Module. Accepted so that such blocks are understood; using one is
/// refused, because keys in a TPM are not supported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tpm {
    /// Whether the private key lies in the module.
    pub enabled: bool,
    /// Device path.
    pub path: String,
    /// Owner authorisation.
    pub owner_auth: Secret<String>,
    /// Key authorisation.
    pub auth: Secret<String>,
}

/// `tls` of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsClientConfig {
    /// gRPC: plain text. HTTP: without effect, the scheme of the URL decides.
    pub insecure: bool,
    /// The server's certificate is not checked.
    pub insecure_skip_verify: bool,
    /// Name to ask for and to expect in the certificate, instead of the host of the endpoint.
    pub server_name_override: String,
    /// PEM file with certificate authorities; none: those of the system.
    pub ca_file: String,
    /// The same as text.
    pub ca_pem: Secret<String>,
    /// With `ca_file` or `ca_pem`: trust the system's authorities as well.
    pub include_system_ca_certs_pool: bool,
    /// PEM file with the client's certificate chain.
    pub cert_file: String,
    /// The same as text.
    pub cert_pem: Secret<String>,
    /// PEM file with the private key of the certificate.
    pub key_file: String,
    /// The same as text.
    pub key_pem: Secret<String>,
    /// Lowest protocol version: `1.2` (default), `1.3`; lower ones mean 1.2.
    pub min_version: String,
    /// Highest protocol version; default the highest known.
    pub max_version: String,
    /// Cipher suites for TLS 1.2 by their IANA names; none: all that are safe.
    pub cipher_suites: Vec<String>,
    /// Accepted; this program has no insecure suites.
    pub include_insecure_cipher_suites: bool,
    /// Key exchange groups: `X25519`, `P256`, `P384`.
    pub curve_preferences: Vec<String>,
    /// Certificate and key are read again on a handshake when this time has passed; 0 is never.
    pub reload_interval: Duration,
    /// Key in a TPM.
    pub tpm: Tpm,
}

/// `tls` of a server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServerConfig {
    /// PEM file with the authorities that client certificates are checked against; set: clients
    /// must show a certificate.
    pub client_ca_file: String,
    /// Read `client_ca_file` again when it has changed.
    pub client_ca_file_reload: bool,
    /// Not used by servers; accepted as in the reference.
    pub ca_file: String,
    /// Not used by servers; accepted as in the reference.
    pub ca_pem: Secret<String>,
    /// Not used by servers; accepted as in the reference.
    pub include_system_ca_certs_pool: bool,
    /// PEM file with the server's certificate chain.
    pub cert_file: String,
    /// The same as text.
    pub cert_pem: Secret<String>,
    /// PEM file with the private key of the certificate.
    pub key_file: String,
    /// The same as text.
    pub key_pem: Secret<String>,
    /// Lowest protocol version: `1.2` (default), `1.3`; lower ones mean 1.2.
    pub min_version: String,
    /// Highest protocol version; default the highest known.
    pub max_version: String,
    /// Cipher suites for TLS 1.2 by their IANA names; none: all that are safe.
    pub cipher_suites: Vec<String>,
    /// Accepted; this program has no insecure suites.
    pub include_insecure_cipher_suites: bool,
    /// Key exchange groups: `X25519`, `P256`, `P384`.
    pub curve_preferences: Vec<String>,
    /// Certificate and key are read again on a handshake when this time has passed; 0 is never.
    pub reload_interval: Duration,
    /// Key in a TPM.
    pub tpm: Tpm,
}

/// What both sides share, borrowed.
pub(super) struct Common<'a> {
    pub(super) cert_file: &'a str,
    pub(super) cert_pem: &'a str,
    pub(super) key_file: &'a str,
    pub(super) key_pem: &'a str,
    pub(super) min_version: &'a str,
    pub(super) max_version: &'a str,
    pub(super) cipher_suites: &'a [String],
    pub(super) curve_preferences: &'a [String],
    pub(super) reload_interval: Duration,
    tpm: &'a Tpm,
}

impl TlsClientConfig {
    pub(super) fn common(&self) -> Common<'_> {
        Common {
            cert_file: &self.cert_file,
            cert_pem: self.cert_pem.expose(),
            key_file: &self.key_file,
            key_pem: self.key_pem.expose(),
            min_version: &self.min_version,
            max_version: &self.max_version,
            cipher_suites: &self.cipher_suites,
            curve_preferences: &self.curve_preferences,
            reload_interval: self.reload_interval,
            tpm: &self.tpm,
        }
    }
}

impl TlsServerConfig {
    pub(super) fn common(&self) -> Common<'_> {
        Common {
            cert_file: &self.cert_file,
            cert_pem: self.cert_pem.expose(),
            key_file: &self.key_file,
            key_pem: self.key_pem.expose(),
            min_version: &self.min_version,
            max_version: &self.max_version,
            cipher_suites: &self.cipher_suites,
            curve_preferences: &self.curve_preferences,
            reload_interval: self.reload_interval,
            tpm: &self.tpm,
        }
    }
}

impl Common<'_> {
    pub(super) fn has_certificate(&self) -> bool {
        !self.cert_file.is_empty() || !self.cert_pem.is_empty()
    }

    fn has_key(&self) -> bool {
        !self.key_file.is_empty() || !self.key_pem.is_empty()
    }

    fn validate(&self, errors: &mut Errors) {
        for (file, pem, name) in [
            (self.cert_file, self.cert_pem, "cert"),
            (self.key_file, self.key_pem, "key"),
        ] {
            if !file.is_empty() && !pem.is_empty() {
                errors.push(
                    &format!("{name}_pem"),
                    format!("provide either {name}_file or {name}_pem, not both"),
                    "remove one of them",
                );
            }
        }
        if self.has_certificate() != self.has_key() {
            errors.push(
                "",
                "a certificate needs its private key, and the other way round",
                "set cert_file and key_file (or cert_pem and key_pem), or none of them",
            );
        }
        self.validate_versions(errors);
        if self.reload_interval.is_negative() {
            errors.push("reload_interval", "must not be negative", "0 means never");
        }
        for (index, name) in self.curve_preferences.iter().enumerate() {
            if !super::material::is_curve(name) {
                errors.push(
                    &format!("curve_preferences[{index}]"),
                    format!("unknown curve {name:?}"),
                    "use X25519, P256, P384",
                );
            }
        }
        for (index, name) in self.cipher_suites.iter().enumerate() {
            if !super::material::is_suite(name) {
                errors.push(
                    &format!("cipher_suites[{index}]"),
                    format!("unknown cipher suite {name:?}"),
                    "leave cipher_suites out to allow all that are safe",
                );
            } else if !super::material::has_suite(name) {
                errors.warn(
                    &format!("cipher_suites[{index}]"),
                    format!("cipher suite {name} is not available and is left out"),
                    "",
                );
            }
        }
        if self.tpm.enabled {
            errors.push(
                "tpm.enabled",
                "keys in a TPM are not supported",
                "use cert_file and key_file",
            );
        }
    }

    fn validate_versions(&self, errors: &mut Errors) {
        for (key, version) in [
            ("min_version", self.min_version),
            ("max_version", self.max_version),
        ] {
            match version {
                "" | "1.2" | "1.3" => {}
                "1.0" | "1.1" if key == "min_version" => errors.warn(
                    key,
                    format!("TLS {version} is not supported, the lowest version is 1.2"),
                    "",
                ),
                "1.0" | "1.1" => errors.push(
                    key,
                    format!("TLS {version} is insecure and not supported"),
                    "use 1.2 or 1.3",
                ),
                other => errors.push(
                    key,
                    format!("unsupported TLS version {other:?}"),
                    "use \"1.2\" or \"1.3\", in quotes",
                ),
            }
        }
        if self.min_version == "1.3" && self.max_version == "1.2" {
            errors.push("max_version", "lower than min_version", "");
        }
    }
}

impl Validate for TlsClientConfig {
    fn validate(&self, errors: &mut Errors) {
        if !self.ca_file.is_empty() && !self.ca_pem.expose().is_empty() {
            errors.push("ca_pem", "provide either ca_file or ca_pem, not both", "");
        }
        self.common().validate(errors);
    }
}

impl Validate for TlsServerConfig {
    fn validate(&self, errors: &mut Errors) {
        let common = self.common();
        if !common.has_certificate() && !common.has_key() {
            errors.push(
                "",
                "a server needs a certificate and its key for TLS",
                "set cert_file and key_file, or remove the tls block for plain text",
            );
        }
        common.validate(errors);
    }
}
