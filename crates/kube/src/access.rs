//! How the API is reached.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use kube::client::{Body, ClientBuilder};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tower::util::MapRequestLayer;
use weir_config::{Environment as _, ProcessEnvironment};

use crate::cluster::lock;
use crate::explain::chain;

/// A way to reach the API, with its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// From a pod, as its service account; the token is read again as it is renewed.
    ServiceAccount,
    /// From a pod, without credentials.
    Anonymous,
    /// By a kubeconfig file.
    KubeConfig {
        /// The file; that of `KUBECONFIG`, or `~/.kube/config`, if left out.
        file: Option<PathBuf>,
        /// The context; the current one if empty.
        context: String,
    },
    /// By an address.
    Server(Box<Server>),
}

/// An address of the API with what a client needs there. Texts left empty do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The address, such as `https://10.0.0.1:6443`.
    pub url: String,
    /// Certificate authorities as PEM text.
    pub ca: String,
    /// File with them.
    pub ca_file: String,
    /// Client certificate as PEM text.
    pub certificate: String,
    /// File with it.
    pub certificate_file: String,
    /// Its key as PEM text.
    pub key: String,
    /// File with it.
    pub key_file: String,
    /// Bearer token.
    pub token: String,
    /// File with it, read again as it changes.
    pub token_file: String,
    /// User name and password.
    pub user: Option<(String, String)>,
    /// Name to expect in the certificate of the server.
    pub server_name: String,
    /// Do not check the certificate.
    pub insecure: bool,
}

impl Access {
    /// The same with the kubeconfig file named, if there is one only, so that all who use it find
    /// each other.
    #[must_use]
    pub(crate) fn resolved(&self) -> Self {
        let Self::KubeConfig {
            file: None,
            context,
        } = self
        else {
            return self.clone();
        };
        let given = |name: &str| {
            ProcessEnvironment
                .get(name)
                .filter(|value| !value.is_empty())
        };
        let file = match given("KUBECONFIG") {
            // Several are put together.
            Some(files) if files.contains(':') => None,
            Some(file) => Some(PathBuf::from(file)),
            None => given("HOME").map(|home| PathBuf::from(home).join(".kube/config")),
        };
        Self::KubeConfig {
            file,
            context: context.clone(),
        }
    }

    /// A client.
    ///
    /// # Errors
    /// Outside a cluster where one is needed, and for files that are missing or make no sense.
    pub(crate) async fn client(&self, user_agent: &str) -> Result<Client, String> {
        let mut config = match self {
            Self::ServiceAccount => Config::incluster().map_err(|e| chain(&e))?,
            Self::Anonymous => {
                let mut config = Config::incluster().map_err(|e| chain(&e))?;
                config.auth_info = AuthInfo::default();
                config
            }
            Self::KubeConfig { file, context } => {
                let file = match file {
                    Some(file) => Kubeconfig::read_from(file),
                    None => Kubeconfig::read(),
                };
                let options = KubeConfigOptions {
                    context: Some(context.clone()).filter(|context| !context.is_empty()),
                    ..KubeConfigOptions::default()
                };
                let file = file.map_err(|e| chain(&e))?;
                let config = Config::from_custom_kubeconfig(file, &options).await;
                config.map_err(|e| chain(&e))?
            }
            Self::Server(server) => server.config()?,
        };
        if !user_agent.is_empty()
            && let Ok(value) = user_agent.parse()
        {
            config
                .headers
                .push((HeaderName::from_static("user-agent"), value));
        }
        with_token_file(config)
    }
}

/// A client of this configuration that reads the file with its token for each request, as a token
/// that was renewed counts at once; the library's own does so once a minute. A file that is gone leaves
/// the token that was read last.
fn with_token_file(mut config: Config) -> Result<Client, String> {
    let auth = &mut config.auth_info;
    // What the library prefers to a file.
    let other = auth.username.is_some() || auth.token.is_some();
    let Some(file) = auth.token_file.take_if(|_| !other) else {
        return Client::try_from(config).map_err(|e| chain(&e));
    };
    let header = move || {
        let token = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value = value.map_err(|e| format!("{file}: {e}"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    let last = Arc::new(Mutex::new(header()?));
    let layer = MapRequestLayer::new(move |mut request: Request<Body>| {
        let mut last = lock(&last);
        if let Ok(value) = header() {
            *last = value;
        }
        request.headers_mut().insert(AUTHORIZATION, last.clone());
        request
    });
    let builder = ClientBuilder::try_from(config).map_err(|e| chain(&e))?;
    Ok(builder.with_layer(&layer).build())
}

impl Server {
    fn config(&self) -> Result<Config, String> {
        let url = http::Uri::try_from(&self.url).map_err(|e| format!("{}: {e}", self.url))?;
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let mut config = Config::new(url);
        if !self.ca.is_empty() {
            config.root_cert = Some(certificates(&self.ca)?);
        }
        config.root_cert_file = given(&self.ca_file).map(PathBuf::from);
        config.accept_invalid_certs = self.insecure;
        config.tls_server_name = given(&self.server_name);
        config.auth_info = AuthInfo {
            username: self.user.as_ref().map(|(user, _)| user.clone()),
            password: self
                .user
                .as_ref()
                .map(|(_, password)| password.clone().into()),
            token: given(&self.token).map(Into::into),
            token_file: given(&self.token_file),
            client_certificate: given(&self.certificate_file),
            client_certificate_data: given(&self.certificate).map(|text| STANDARD.encode(text)),
            client_key: given(&self.key_file),
            client_key_data: given(&self.key).map(|text| STANDARD.encode(text).into()),
            ..AuthInfo::default()
        };
        Ok(config)
    }
}

fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes());
    let all: Result<Vec<_>, _> = all.map(|one| one.map(|one| one.to_vec())).collect();
    all.map_err(|e| format!("the certificate authorities cannot be read: {e}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use weir_testkit::KubernetesApi;

    use super::*;

    #[tokio::test]
    async fn a_renewed_token_counts_at_the_next_request() {
        let api = KubernetesApi::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "first\n").unwrap();
        let server = Server {
            url: api.url(),
            token_file: file.to_str().unwrap().to_owned(),
            ..Server::default()
        };
        let client = Access::Server(Box::new(server)).client("").await.unwrap();
        let ask = async || {
            let request = Request::get("/api/v1/pods").body(Vec::new()).unwrap();
            client.request_text(request).await.unwrap();
            api.asked().pop().unwrap().authorization
        };
        assert_eq!(ask().await, "Bearer first");
        std::fs::write(&file, "second").unwrap();
        assert_eq!(ask().await, "Bearer second");
        // The file may be gone: its last token is used.
        std::fs::remove_file(&file).unwrap();
        assert_eq!(ask().await, "Bearer second");
    }

    #[tokio::test]
    async fn a_token_file_that_is_missing_is_an_error_that_names_it() {
        let server = Server {
            url: "http://127.0.0.1:1".to_owned(),
            token_file: "/nowhere/token".to_owned(),
            ..Server::default()
        };
        let error = Access::Server(Box::new(server))
            .client("")
            .await
            .err()
            .unwrap();
        assert!(error.contains("/nowhere/token"), "{error}");
    }
}
