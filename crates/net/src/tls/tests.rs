#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
//! TLS between our own ends, and the certificates for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_config::{Errors, Validate};

use super::*;

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A certificate authority in a folder of its own.
pub(crate) struct Authority {
    pub(crate) dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Each has a name of its own, as in life.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { dir, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    /// Writes `name.pem` and `name.key` for a host.
    pub(crate) fn issue(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let cert_path = self.dir.path().join(format!("{name}.pem"));
        let key_path = self.dir.path().join(format!("{name}.key"));
        std::fs::write(&cert_path, certificate.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        (cert_path, key_path)
    }

    pub(crate) fn server(&self, host: &str) -> TlsServerConfig {
        let (cert, key) = self.issue("server", host);
        TlsServerConfig {
            cert_file: text(&cert),
            key_file: text(&key),
            ..TlsServerConfig::default()
        }
    }

    pub(crate) fn client(&self) -> TlsClientConfig {
        TlsClientConfig {
            ca_file: self.path("ca.pem"),
            ..TlsClientConfig::default()
        }
    }

    pub(crate) fn client_with_certificate(&self) -> TlsClientConfig {
        let (cert, key) = self.issue("client", "client.test");
        TlsClientConfig {
            cert_file: text(&cert),
            key_file: text(&key),
            ..self.client()
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What both ends got out of one handshake: the bytes echoed, and the server's certificate.
async fn handshake(
    server: &Arc<rustls::ServerConfig>,
    client: &Arc<rustls::ClientConfig>,
    name: &'static str,
) -> Result<Vec<u8>, String> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let acceptor = tokio_rustls::TlsAcceptor::from(server.clone());
    let connector = tokio_rustls::TlsConnector::from(client.clone());
    let serve = async move {
        let mut stream = acceptor.accept(far).await.map_err(|e| e.to_string())?;
        let mut byte = [0; 1];
        stream
            .read_exact(&mut byte)
            .await
            .map_err(|e| e.to_string())?;
        stream.write_all(&byte).await.map_err(|e| e.to_string())
    };
    let ask = async move {
        let name = ServerName::try_from(name).unwrap();
        let mut stream = connector
            .connect(name, near)
            .await
            .map_err(|e| e.to_string())?;
        stream.write_all(b"x").await.map_err(|e| e.to_string())?;
        let mut byte = [0; 1];
        stream
            .read_exact(&mut byte)
            .await
            .map_err(|e| e.to_string())?;
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        Ok::<_, String>(certificate)
    };
    let (served, asked) = tokio::join!(serve, ask);
    served?;
    asked
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_configured() {
    let authority = Authority::new();
    let server = server_config(&authority.server("localhost"), &[]).unwrap();
    let trusting = client_config(&authority.client(), &[]).unwrap();
    handshake(&server, &trusting, "localhost").await.unwrap();

    let by_text = TlsClientConfig {
        ca_pem: std::fs::read_to_string(authority.path("ca.pem"))
            .unwrap()
            .into(),
        ..TlsClientConfig::default()
    };
    handshake(&server, &client_config(&by_text, &[]).unwrap(), "localhost")
        .await
        .unwrap();

    let other = client_config(&Authority::new().client(), &[]).unwrap();
    assert!(handshake(&server, &other, "localhost").await.is_err());
    let system = client_config(&TlsClientConfig::default(), &[]).unwrap();
    assert!(handshake(&server, &system, "localhost").await.is_err());
    assert!(handshake(&server, &trusting, "other.test").await.is_err());

    let careless = TlsClientConfig {
        insecure_skip_verify: true,
        ..TlsClientConfig::default()
    };
    let careless = client_config(&careless, &[]).unwrap();
    handshake(&server, &careless, "other.test").await.unwrap();
}

/// OTLP-27.
#[tokio::test]
async fn client_certificates_are_required_and_checked() {
    let authority = Authority::new();
    let config = TlsServerConfig {
        client_ca_file: authority.path("ca.pem"),
        ..authority.server("localhost")
    };
    let server = server_config(&config, &[]).unwrap();
    let good = client_config(&authority.client_with_certificate(), &[]).unwrap();
    handshake(&server, &good, "localhost").await.unwrap();
    let without = client_config(&authority.client(), &[]).unwrap();
    assert!(handshake(&server, &without, "localhost").await.is_err());
    let foreign = TlsClientConfig {
        ca_file: authority.path("ca.pem"),
        ..Authority::new().client_with_certificate()
    };
    // The files of the other authority are gone with it, which is an error by name.
    assert!(
        client_config(&foreign, &[])
            .unwrap_err()
            .to_string()
            .contains("client.pem")
    );
    let stranger = Authority::new();
    let foreign = TlsClientConfig {
        ca_file: authority.path("ca.pem"),
        ..stranger.client_with_certificate()
    };
    let foreign = client_config(&foreign, &[]).unwrap();
    assert!(handshake(&server, &foreign, "localhost").await.is_err());
}

#[tokio::test]
async fn replaced_client_authorities_are_used_when_asked_for() {
    let (first, second) = (Authority::new(), Authority::new());
    let ca = first.path("clients.pem");
    let config = TlsServerConfig {
        client_ca_file: ca.clone(),
        client_ca_file_reload: true,
        ..first.server("localhost")
    };
    std::fs::copy(first.path("ca.pem"), &ca).unwrap();
    let server = server_config(&config, &[]).unwrap();
    let client = TlsClientConfig {
        ca_file: first.path("ca.pem"),
        ..second.client_with_certificate()
    };
    let client = client_config(&client, &[]).unwrap();
    assert!(handshake(&server, &client, "localhost").await.is_err());
    let later = std::time::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    std::fs::copy(second.path("ca.pem"), &ca).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&ca)
        .unwrap()
        .set_modified(later)
        .unwrap();
    handshake(&server, &client, "localhost").await.unwrap();
}

/// OTLP-28.
#[tokio::test(start_paused = true)]
async fn a_changed_certificate_is_used_after_the_reload_interval() {
    let authority = Authority::new();
    let config = TlsServerConfig {
        reload_interval: weir_config::Duration::from_secs(60),
        ..authority.server("localhost")
    };
    let server = server_config(&config, &[]).unwrap();
    // A client each time, for a resumed session shows the certificate of its first handshake.
    let client = || client_config(&authority.client(), &[]).unwrap();
    let first = handshake(&server, &client(), "localhost").await.unwrap();
    authority.issue("server", "localhost");
    assert_eq!(
        handshake(&server, &client(), "localhost").await.unwrap(),
        first
    );
    tokio::time::advance(Duration::from_secs(61)).await;
    let second = handshake(&server, &client(), "localhost").await.unwrap();
    assert_ne!(second, first);
    std::fs::write(authority.path("server.pem"), "damaged").unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(
        handshake(&server, &client(), "localhost").await.unwrap(),
        second
    );
}

#[tokio::test]
async fn versions_suites_and_curves_are_honoured() {
    let authority = Authority::new();
    let server = authority.server("localhost");
    let only = |min: &str, max: &str| TlsClientConfig {
        min_version: min.to_owned(),
        max_version: max.to_owned(),
        ..authority.client()
    };
    let newest = TlsServerConfig {
        min_version: "1.3".to_owned(),
        ..server.clone()
    };
    let newest = server_config(&newest, &[]).unwrap();
    let client = client_config(&only("", "1.2"), &[]).unwrap();
    assert!(handshake(&newest, &client, "localhost").await.is_err());
    let client = client_config(&only("1.0", ""), &[]).unwrap();
    handshake(&newest, &client, "localhost").await.unwrap();

    let suite = |name: &str| TlsServerConfig {
        max_version: "1.2".to_owned(),
        cipher_suites: vec![name.to_owned()],
        curve_preferences: vec!["P384".to_owned(), "P521".to_owned()],
        ..server.clone()
    };
    let any = client_config(&authority.client(), &[]).unwrap();
    let ecdsa = suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    handshake(&server_config(&ecdsa, &[]).unwrap(), &any, "localhost")
        .await
        .unwrap();
    let rsa = suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert!(
        handshake(&server_config(&rsa, &[]).unwrap(), &any, "localhost")
            .await
            .is_err()
    );
}

#[test]
fn unusable_files_are_named() {
    let authority = Authority::new();
    let good = authority.server("localhost");
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    authority.issue("other", "localhost");
    let cases = [
        (
            TlsServerConfig {
                cert_file: "/no/such.pem".into(),
                ..good.clone()
            },
            "/no/such.pem",
        ),
        (
            TlsServerConfig {
                key_file: "/no/such.key".into(),
                ..good.clone()
            },
            "/no/such.key",
        ),
        (
            TlsServerConfig {
                cert_file: authority.path("empty.pem"),
                ..good.clone()
            },
            "empty.pem",
        ),
        (
            TlsServerConfig {
                key_file: authority.path("empty.pem"),
                ..good.clone()
            },
            "empty.pem",
        ),
        (
            TlsServerConfig {
                key_file: authority.path("other.key"),
                ..good.clone()
            },
            "other.key",
        ),
        (
            TlsServerConfig {
                client_ca_file: authority.path("empty.pem"),
                ..good
            },
            "empty.pem",
        ),
        (TlsServerConfig::default(), "cert_file"),
    ];
    for (config, name) in cases {
        let text = server_config(&config, &[]).unwrap_err().to_string();
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn settings_that_contradict_themselves_are_found() {
    let check = |config: TlsClientConfig| {
        let mut errors = Errors::default();
        config.validate(&mut errors);
        !errors.is_empty()
    };
    let base = TlsClientConfig::default;
    assert!(!check(base()));
    assert!(check(TlsClientConfig {
        cert_file: "x".into(),
        ..base()
    }));
    assert!(check(TlsClientConfig {
        key_pem: "x".to_owned().into(),
        ..base()
    }));
    assert!(check(TlsClientConfig {
        ca_file: "x".into(),
        ca_pem: "x".to_owned().into(),
        ..base()
    }));
    assert!(check(TlsClientConfig {
        min_version: "1.4".into(),
        ..base()
    }));
    assert!(check(TlsClientConfig {
        max_version: "1.1".into(),
        ..base()
    }));
    assert!(check(TlsClientConfig {
        min_version: "1.3".into(),
        max_version: "1.2".into(),
        ..base()
    }));
    assert!(check(TlsClientConfig {
        cipher_suites: vec!["nonsense".into()],
        ..base()
    }));
    assert!(check(TlsClientConfig {
        curve_preferences: vec!["P1".into()],
        ..base()
    }));
    let mut errors = Errors::default();
    TlsServerConfig::default().validate(&mut errors);
    assert!(!errors.is_empty());
}
