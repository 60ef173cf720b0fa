//! TLS of clients: authorities, client certificate, and verification switched off on request.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::config::TlsClientConfig;
use super::material::{self, Reloading};
use crate::error::NetError;

/// The rustls configuration of a client that offers the given ALPN protocols.
///
/// The system's authorities are read at the first handshake that needs them, so that a program
/// that only speaks plain text does not pay for them.
///
/// # Errors
/// Files that cannot be read or used, by name.
pub fn client_config(
    config: &TlsClientConfig,
    protocols: &[&[u8]],
) -> Result<Arc<rustls::ClientConfig>, NetError> {
    let common = config.common();
    let provider = material::provider_for(&common);
    let verifier: Arc<dyn ServerCertVerifier> = if config.insecure_skip_verify {
        Arc::new(NoVerification(provider.signature_verification_algorithms))
    } else {
        match own_authorities(config)? {
            Some(mut roots) => {
                if config.include_system_ca_certs_pool {
                    roots.extend(system_authorities().roots.iter().cloned());
                }
                web_pki(roots, provider.clone())
                    .map_err(|e| NetError::Config(format!("tls: {e}")))?
            }
            None => Arc::new(SystemAuthorities {
                algorithms: provider.signature_verification_algorithms,
                provider: provider.clone(),
                verifier: OnceLock::new(),
            }),
        }
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&material::versions(&common))
        .map_err(|e| NetError::Config(format!("tls: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut client = match material::certified_key(&common)? {
        Some(key) => builder
            .with_client_cert_resolver(Arc::new(ClientCertificate(Reloading::new(&common, key)))),
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(client))
}

fn own_authorities(config: &TlsClientConfig) -> Result<Option<RootCertStore>, NetError> {
    let pem = config.ca_pem.expose();
    if !pem.is_empty() {
        return material::authorities(pem.as_bytes(), "ca_pem").map(Some);
    }
    if config.ca_file.is_empty() {
        return Ok(None);
    }
    material::authorities_file(&config.ca_file, "ca_file").map(Some)
}

/// The authorities of the operating system, read once; what cannot be read is logged and skipped.
fn system_authorities() -> &'static RootCertStore {
    static STORE: OnceLock<RootCertStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some certificate authorities of the system cannot be read");
        }
        let mut store = RootCertStore::empty();
        let (_, _unusable) = store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            tracing::warn!(
                "no certificate authorities found on this system; install ca-certificates or set \
                 tls.ca_file"
            );
        }
        store
    })
}

fn web_pki(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::server::VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()
}

#[derive(Debug)]
struct ClientCertificate(Reloading);

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Verification against the system's authorities, which are read when first needed.
#[derive(Debug)]
struct SystemAuthorities {
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, String>>,
}

impl ServerCertVerifier for SystemAuthorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = self.verifier.get_or_init(|| {
            web_pki(system_authorities().clone(), self.provider.clone()).map_err(|e| e.to_string())
        });
        match verifier {
            Ok(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            Err(why) => Err(rustls::Error::General(why.clone())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// `insecure_skip_verify`: any certificate will do, but the server must hold its key.
#[derive(Debug)]
struct NoVerification(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
