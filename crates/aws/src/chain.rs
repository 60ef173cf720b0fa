//! Credentials for a component: the search, a role on top, a cache.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use weir_config::{Environment, ProcessEnvironment};
use weir_core::{BoxFut, BuildError, Clock};
use weir_net::tls::TlsClientConfig;
use weir_net::{HttpClient, HttpClientOptions, ProxyChoice};

use crate::clock::ServiceClock;
use crate::connect::NetTransport;
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};
use crate::sources::{
    AssumedRole, InstanceMetadata, Profiles, Provider, Role, Surroundings, WebIdentity, search, set,
};

/// Requests inside this machine or pod: 250 ms to connect, 500 ms for the answer.
const LOCAL_TIMEOUT: Duration = Duration::from_millis(750);
/// Requests to STS and SSO.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(10);

/// A role to assume with the found credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role.
    pub arn: String,
    /// External id; empty for none.
    pub external_id: String,
    /// Region of the STS endpoint; empty: that of the chain.
    pub region: String,
    /// Session name; empty for a made-up one.
    pub session_name: String,
    /// A file with a web identity token, in place of the found credentials; empty for none.
    pub web_identity_token_file: String,
}

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainSettings {
    /// Region of STS and SSO calls of the sources themselves; empty: that of the environment or the
    /// profile.
    pub region: String,
    /// A role on top.
    pub assume_role: Option<AssumeRole>,
}

/// The chain, cached. It does nothing before the first request for credentials; what is wrong with
/// the environment or a profile shows then.
pub fn credentials_chain(
    settings: ChainSettings,
    clock: Arc<dyn Clock>,
) -> Arc<dyn CredentialsProvider> {
    Arc::new(Lazy {
        settings,
        clock: Arc::new(ServiceClock::new(clock)),
        found: OnceCell::new(),
    })
}

/// The chain, cached, chosen now; credentials are fetched at the first request for them.
///
/// # Errors
/// The environment or the profile names a source that can never work.
pub(crate) async fn find(
    settings: &ChainSettings,
    clock: Arc<ServiceClock>,
) -> Result<Provider, BuildError> {
    provider(&surroundings(&settings.region, clock)?, settings).await
}

/// The surroundings of this process.
pub(crate) fn surroundings(
    region: &str,
    clock: Arc<ServiceClock>,
) -> Result<Surroundings, BuildError> {
    let environment = ProcessEnvironment;
    let profiles = Arc::new(Profiles::read(&environment)?);
    let client = |timeout, proxy| {
        let options = HttpClientOptions {
            tls: TlsClientConfig {
                ca_file: ca_bundle(&environment, &profiles),
                ..TlsClientConfig::default()
            },
            proxy,
            timeout: Some(timeout),
            max_idle_per_host: 1,
            follow_redirects: false,
            ..HttpClientOptions::default()
        };
        HttpClient::new(options)
            .map(|client| Arc::new(NetTransport::new(client)))
            .map_err(|error| BuildError(error.to_string()))
    };
    Ok(Surroundings {
        remote: client(REMOTE_TIMEOUT, ProxyChoice::Environment)?,
        local: client(LOCAL_TIMEOUT, ProxyChoice::None)?,
        region: known_region(region, &environment, &profiles),
        environment: Arc::new(environment),
        profiles,
        clock,
    })
}

/// PEM file with the authorities to trust in place of the system's; empty for none.
pub(crate) fn ca_bundle(environment: &dyn Environment, profiles: &Profiles) -> String {
    set(environment, "AWS_CA_BUNDLE")
        .or_else(|| profiles.value("ca_bundle").map(str::to_owned))
        .unwrap_or_default()
}

/// The region without asking anybody; empty if it is not known.
pub(crate) fn known_region(
    configured: &str,
    environment: &dyn Environment,
    profiles: &Profiles,
) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    set(environment, "AWS_REGION")
        .or_else(|| set(environment, "AWS_DEFAULT_REGION"))
        .or_else(|| profiles.value("region").map(str::to_owned))
        .unwrap_or_default()
}

/// The sources with the role on top.
pub(crate) async fn provider(
    around: &Surroundings,
    settings: &ChainSettings,
) -> Result<Provider, BuildError> {
    let Some(role) = &settings.assume_role else {
        return search(around).await;
    };
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut for_role = around.clone();
    if !role.region.is_empty() {
        for_role.region.clone_from(&role.region);
    }
    if let Some(file) = given(&role.web_identity_token_file) {
        let session_name = given(&role.session_name);
        let identity = WebIdentity::new(&for_role, role.arn.clone(), file, session_name);
        return Ok(around.cached(identity));
    }
    let base = search(around).await?;
    let role = Role {
        arn: role.arn.clone(),
        external_id: given(&role.external_id),
        session_name: given(&role.session_name),
        duration: None,
    };
    Ok(around.cached(AssumedRole::new(&for_role, base, role)))
}

/// Text of the instance metadata service under `latest/meta-data/`.
///
/// # Errors
/// It is switched off, does not answer or does not know.
pub async fn instance_metadata(path: &str) -> Result<String, String> {
    let clock = Arc::new(ServiceClock::of_machine());
    let around = surroundings("", clock).map_err(|error| error.0)?;
    let service = InstanceMetadata::new(&around).map_err(|error| error.message)?;
    let text = service.text(&format!("/latest/meta-data/{path}")).await;
    text.map_err(|error| error.message)
}

/// Chosen at the first use, because choosing reads files.
#[derive(Debug)]
struct Lazy {
    settings: ChainSettings,
    clock: Arc<ServiceClock>,
    found: OnceCell<Provider>,
}

impl CredentialsProvider for Lazy {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async {
            let found = self
                .found
                .get_or_try_init(|| find(&self.settings, self.clock.clone()))
                .await;
            match found {
                Ok(found) => found.credentials().await,
                Err(error) => Err(CredentialsError::new(error.0)),
            }
        })
    }

    fn refused(&self) {
        if let Some(found) = self.found.get() {
            found.refused();
        }
    }
}
