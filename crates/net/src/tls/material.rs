//! Certificates and keys from files or text, and the choice of versions, suites and curves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring as provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{NamedGroup, RootCertStore, SupportedProtocolVersion};
use tokio::time::Instant;

use super::config::Common;
use crate::error::NetError;

/// Curves under the names of the reference that the provider has.
const CURVES: [(&str, NamedGroup); 3] = [
    ("X25519", NamedGroup::X25519),
    ("P256", NamedGroup::secp256r1),
    ("P384", NamedGroup::secp384r1),
];
/// Curves of the reference that the provider lacks: accepted and left out of the offer.
const OTHER_CURVES: [&str; 2] = ["P521", "X25519MLKEM768"];

pub(super) fn is_curve(name: &str) -> bool {
    CURVES.iter().any(|(known, _)| *known == name) || OTHER_CURVES.contains(&name)
}

/// Whether it is the name of a suite; of those that the provider lacks, only the form is known.
pub(super) fn is_suite(name: &str) -> bool {
    has_suite(name) || name.starts_with("TLS_")
}

pub(super) fn has_suite(name: &str) -> bool {
    provider::ALL_CIPHER_SUITES
        .iter()
        .any(|s| suite_name(*s) == strip(name))
}

/// `TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305` is an older name of the suite that ends in `_SHA256`.
fn strip(name: &str) -> String {
    name.trim_end_matches("_SHA256").to_owned()
}

fn suite_name(suite: rustls::SupportedCipherSuite) -> String {
    strip(&format!("{:?}", suite.suite()).replace("TLS13_", "TLS_"))
}

fn bad(text: String) -> NetError {
    NetError::Config(text)
}

fn read(path: &str, what: &str) -> Result<Vec<u8>, NetError> {
    std::fs::read(path).map_err(|e| bad(format!("cannot read {what} {path}: {e}")))
}

/// The provider with the suites and curves of the configuration.
pub(super) fn provider_for(common: &Common<'_>) -> Arc<CryptoProvider> {
    if common.cipher_suites.is_empty() && common.curve_preferences.is_empty() {
        return super::provider();
    }
    let mut custom = (*super::provider()).clone();
    if !common.cipher_suites.is_empty() {
        let wanted: Vec<String> = common.cipher_suites.iter().map(|s| strip(s)).collect();
        // The list is about TLS 1.2; the suites of 1.3 are all safe and always offered.
        custom.cipher_suites.retain(|suite| {
            suite.version().version == rustls::ProtocolVersion::TLSv1_3
                || wanted.contains(&suite_name(*suite))
        });
    }
    let groups: Vec<NamedGroup> = common
        .curve_preferences
        .iter()
        .filter_map(|name| CURVES.iter().find(|(known, _)| known == name))
        .map(|(_, group)| *group)
        .collect();
    if !groups.is_empty() {
        custom
            .kx_groups
            .retain(|group| groups.contains(&group.name()));
        custom
            .kx_groups
            .sort_by_key(|group| groups.iter().position(|g| *g == group.name()));
    }
    Arc::new(custom)
}

pub(super) fn versions(common: &Common<'_>) -> Vec<&'static SupportedProtocolVersion> {
    let mut versions = Vec::with_capacity(2);
    if common.max_version != "1.2" {
        versions.push(&rustls::version::TLS13);
    }
    if common.min_version != "1.3" {
        versions.push(&rustls::version::TLS12);
    }
    versions
}

/// Authorities from PEM text; at least one.
pub(super) fn authorities(pem: &[u8], from: &str) -> Result<RootCertStore, NetError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| bad(format!("{from} is no valid PEM: {e}")))?;
        store.add(certificate).map_err(|e| {
            bad(format!(
                "{from} holds a certificate that cannot be an authority: {e}"
            ))
        })?;
    }
    if store.is_empty() {
        return Err(bad(format!("{from} holds no certificate in PEM form")));
    }
    Ok(store)
}

pub(super) fn authorities_file(path: &str, what: &str) -> Result<RootCertStore, NetError> {
    authorities(&read(path, what)?, path)
}

/// Certificate chain and key as configured; `None` when none is.
pub(super) fn certified_key(common: &Common<'_>) -> Result<Option<Arc<CertifiedKey>>, NetError> {
    if !common.has_certificate() {
        return Ok(None);
    }
    let source = KeySource {
        cert: Source::new(common.cert_file, common.cert_pem, "cert_pem"),
        key: Source::new(common.key_file, common.key_pem, "key_pem"),
    };
    source.load().map(Some)
}

/// Certificate and key that are read again when the interval has passed and a handshake comes.
#[derive(Debug)]
pub(super) struct Reloading {
    source: KeySource,
    /// Zero: never read again.
    interval: Duration,
    current: Mutex<(Instant, Arc<CertifiedKey>)>,
}

impl Reloading {
    pub(super) fn new(common: &Common<'_>, first: Arc<CertifiedKey>) -> Self {
        Reloading {
            source: KeySource {
                cert: Source::new(common.cert_file, common.cert_pem, "cert_pem"),
                key: Source::new(common.key_file, common.key_pem, "key_pem"),
            },
            interval: common.reload_interval.to_std(),
            current: Mutex::new((Instant::now(), first)),
        }
    }

    /// The certificate for this handshake. One that cannot be read leaves the old one in use.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.interval.is_zero() && current.0.elapsed() >= self.interval {
            current.0 = Instant::now();
            match self.source.load() {
                Ok(key) => current.1 = key,
                Err(error) => tracing::warn!(
                    %error,
                    "TLS certificate could not be read again; the one in memory stays in use"
                ),
            }
        }
        current.1.clone()
    }
}

#[derive(Debug)]
struct KeySource {
    cert: Source,
    key: Source,
}

/// A file, or text from the configuration (never printed).
enum Source {
    File(String),
    Text(Vec<u8>, &'static str),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Source {
    fn new(file: &str, text: &str, name: &'static str) -> Self {
        if text.is_empty() {
            Source::File(file.to_owned())
        } else {
            Source::Text(text.as_bytes().to_vec(), name)
        }
    }

    fn name(&self) -> &str {
        match self {
            Source::File(path) => path,
            Source::Text(_, name) => name,
        }
    }

    fn read(&self, what: &str) -> Result<Vec<u8>, NetError> {
        match self {
            Source::File(path) => read(path, what),
            Source::Text(text, _) => Ok(text.clone()),
        }
    }
}

impl KeySource {
    fn load(&self) -> Result<Arc<CertifiedKey>, NetError> {
        let (cert, key) = (self.cert.name(), self.key.name());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert.read("the certificate")?)
            .collect::<Result<_, _>>()
            .map_err(|e| bad(format!("{cert} is no valid PEM: {e}")))?;
        if chain.is_empty() {
            return Err(bad(format!("{cert} holds no certificate in PEM form")));
        }
        let pem = self.key.read("the private key")?;
        let private = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|e| bad(format!("{key} holds no private key in PEM form: {e}")))?;
        let signer = super::provider()
            .key_provider
            .load_private_key(private)
            .map_err(|e| bad(format!("{key} cannot be used as a private key: {e}")))?;
        let pair = CertifiedKey::new(chain, signer);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Arc::new(pair))
            }
            Err(_) => Err(bad(format!(
                "the private key {key} is not that of certificate {cert}"
            ))),
        }
    }
}
