//! TLS of servers: certificate with reload, client certificates.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::config::TlsServerConfig;
use super::material::{self, Reloading};
use crate::error::NetError;

/// The rustls configuration of a listener that speaks the given ALPN protocols.
///
/// # Errors
/// Files that cannot be read or used, by name.
pub fn server_config(
    config: &TlsServerConfig,
    protocols: &[&[u8]],
) -> Result<Arc<rustls::ServerConfig>, NetError> {
    let common = config.common();
    let key = material::certified_key(&common)?.ok_or_else(|| {
        NetError::Config("tls: a server needs cert_file and key_file (or their _pem forms)".into())
    })?;
    let builder = rustls::ServerConfig::builder_with_provider(material::provider_for(&common))
        .with_protocol_versions(&material::versions(&common))
        .map_err(|e| NetError::Config(format!("tls: {e}")))?;
    let builder = if config.client_ca_file.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_verifier(Arc::new(ClientAuthorities::new(config)?))
    };
    let resolver = Certificates(Reloading::new(&common, key));
    let mut server = builder.with_cert_resolver(Arc::new(resolver));
    server.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(server))
}

#[derive(Debug)]
struct Certificates(Reloading);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

/// Checks client certificates against `client_ca_file`, which may be replaced while running.
#[derive(Debug)]
struct ClientAuthorities {
    path: String,
    reload: bool,
    current: Mutex<(Option<SystemTime>, Arc<dyn ClientCertVerifier>)>,
    /// Names of the first authorities; hints to clients need a borrow that outlives the lock, so
    /// none are sent when the file may be replaced.
    hints: Vec<DistinguishedName>,
}

impl ClientAuthorities {
    fn new(config: &TlsServerConfig) -> Result<Self, NetError> {
        let path = config.client_ca_file.clone();
        let verifier = Self::load(&path)?;
        let reload = config.client_ca_file_reload;
        let hints = if reload {
            Vec::new()
        } else {
            verifier.root_hint_subjects().to_vec()
        };
        let current = Mutex::new((modified(&path), verifier));
        Ok(ClientAuthorities {
            path,
            reload,
            current,
            hints,
        })
    }

    fn load(path: &str) -> Result<Arc<dyn ClientCertVerifier>, NetError> {
        let roots = material::authorities_file(path, "client_ca_file")?;
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), super::provider())
            .build()
            .map_err(|e| NetError::Config(format!("client_ca_file {path}: {e}")))
    }

    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if self.reload {
            let changed = modified(&self.path);
            if changed.is_some() && changed != current.0 {
                match Self::load(&self.path) {
                    Ok(verifier) => *current = (changed, verifier),
                    Err(error) => tracing::warn!(
                        %error,
                        "client certificate authorities could not be read again; \
                         those in memory stay in use"
                    ),
                }
            }
        }
        current.1.clone()
    }
}

fn modified(path: &str) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

impl ClientCertVerifier for ClientAuthorities {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verifier()
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}
