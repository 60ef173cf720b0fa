//! The search for credentials: the AWS SDK's sources in the order of the reference (AWS-18).
//!
//! The first source that is configured is used; when it fails there is no going on to the next.

use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::use_dual_stack::use_dual_stack_provider;
use aws_config::default_provider::use_fips::use_fips_provider;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::error::display::DisplayErrorContext;
use tokio::sync::OnceCell;
use weir_config::{Environment, ProcessEnvironment};
use weir_core::{BoxFut, Clock};

use crate::cache::Cached;
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};

/// Assumed roles last 15 minutes, the shortest time there is.
const SESSION: Duration = Duration::from_secs(900);

/// A role to assume with the found credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role.
    pub arn: String,
    /// External id; empty for none.
    pub external_id: String,
    /// Region of the STS endpoint.
    pub region: String,
    /// Session name; empty for a made-up one.
    pub session_name: String,
    /// A file with a web identity token, in place of the found credentials; empty for none.
    pub web_identity_token_file: String,
}

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainSettings {
    /// Region of STS and SSO calls of the sources themselves; empty: theirs.
    pub region: String,
    /// A role on top.
    pub assume_role: Option<AssumeRole>,
}

/// The chain, cached. It does nothing before the first request for credentials.
pub fn credentials_chain(
    settings: ChainSettings,
    clock: Arc<dyn Clock>,
) -> Arc<dyn CredentialsProvider> {
    let lazy = Lazy {
        settings,
        clock: clock.clone(),
        built: OnceCell::new(),
    };
    Arc::new(Cached::new(Box::new(lazy), clock))
}

/// Text of the instance metadata service under `latest/meta-data/`.
///
/// # Errors
/// It is switched off, does not answer or does not know.
pub async fn instance_metadata(path: &str) -> Result<String, String> {
    let off = ProcessEnvironment.get("AWS_EC2_METADATA_DISABLED");
    if off.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err("access disabled to EC2 IMDS by AWS_EC2_METADATA_DISABLED".to_owned());
    }
    let client = imds_client(&provider_config(None));
    let text = client.get(format!("/latest/meta-data/{path}")).await;
    text.map(String::from)
        .map_err(|error| format!("EC2 IMDS: {}", DisplayErrorContext(error)))
}

/// Built at the first use, because building reads profiles and the environment.
#[derive(Debug)]
struct Lazy {
    settings: ChainSettings,
    clock: Arc<dyn Clock>,
    built: OnceCell<SharedCredentialsProvider>,
}

impl CredentialsProvider for Lazy {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async {
            let built = self
                .built
                .get_or_init(|| build(&self.settings, self.clock.unix_ns()))
                .await;
            match built.provide_credentials().await {
                Ok(credentials) => Ok(credentials.into()),
                Err(error) => {
                    let message = DisplayErrorContext(error).to_string();
                    // The only trace of the service's answer in the SDK's error.
                    let denied = message.contains("AccessDenied");
                    Err(CredentialsError { message, denied })
                }
            }
        })
    }
}

/// Names and addresses of credential endpoints are not those of the data calls: their own client,
/// which honours the proxy variables of the environment (AWS-29).
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut builder = Connector::builder().proxy_config(ProxyConfig::from_env());
        if let Some(settings) = settings {
            builder = builder.connector_settings(settings.clone());
        }
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build()
    })
}

pub(crate) fn provider_config(region: Option<&str>) -> ProviderConfig {
    ProviderConfig::without_region()
        .with_http_client(http_client())
        .with_region(
            region
                .filter(|region| !region.is_empty())
                .map(|region| Region::new(region.to_owned())),
        )
}

fn imds_client(config: &ProviderConfig) -> imds::Client {
    imds::Client::builder()
        .configure(config)
        .connect_timeout(Duration::from_millis(250))
        .read_timeout(Duration::from_millis(500))
        .operation_timeout(Duration::from_secs(5))
        .build()
}

async fn build(settings: &ChainSettings, now_ns: u64) -> SharedCredentialsProvider {
    let config = provider_config(Some(&settings.region));
    let config = match settings.region.is_empty() {
        true => config.load_default_region().await,
        false => config,
    };
    let config = config
        .clone()
        .with_use_fips(use_fips_provider(&config).await)
        .with_use_dual_stack(use_dual_stack_provider(&config).await);
    let Some(role) = &settings.assume_role else {
        return SharedCredentialsProvider::new(base(&config, now_ns));
    };
    if !role.web_identity_token_file.is_empty() {
        return SharedCredentialsProvider::new(web_identity(role, config, now_ns));
    }
    assume(role, &config, now_ns).await
}

/// The chain without a role on top.
fn base(config: &ProviderConfig, now_ns: u64) -> CredentialsProviderChain {
    let environment = EnvironmentKeys;
    let mut web_identity = WebIdentityTokenCredentialsProvider::builder().configure(config);
    if let Some(configuration) = web_identity_of(&ProcessEnvironment, now_ns) {
        web_identity = web_identity.static_configuration(configuration);
    }
    let web_identity = web_identity.build();
    let profile = ProfileFileCredentialsProvider::builder()
        .configure(config)
        .build();
    let container = EcsCredentialsProvider::builder().configure(config).build();
    let instance = ImdsCredentialsProvider::builder()
        .configure(config)
        .imds_client(imds_client(config))
        .build();
    CredentialsProviderChain::first_try("environment", environment)
        .or_else("web identity", web_identity)
        .or_else("profile", profile)
        .or_else("container", container)
        .or_else("instance", instance)
}

/// The web identity of the environment (EKS IRSA), with the reference's session name: the time.
fn web_identity_of(environment: &dyn Environment, now_ns: u64) -> Option<StaticConfiguration> {
    let variable = |name| environment.get(name).filter(|value| !value.is_empty());
    Some(StaticConfiguration {
        web_identity_token_file: variable("AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
        role_arn: variable("AWS_ROLE_ARN")?,
        session_name: variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| now_ns.to_string()),
    })
}

fn web_identity(
    role: &AssumeRole,
    config: ProviderConfig,
    now_ns: u64,
) -> WebIdentityTokenCredentialsProvider {
    let region = Region::new(role.region.clone());
    let config = match role.region.is_empty() {
        true => config,
        false => config.with_region(Some(region)),
    };
    WebIdentityTokenCredentialsProvider::builder()
        .configure(&config)
        .static_configuration(StaticConfiguration {
            web_identity_token_file: (&role.web_identity_token_file).into(),
            role_arn: role.arn.clone(),
            session_name: session_name(role, now_ns.to_string()),
        })
        .build()
}

async fn assume(
    role: &AssumeRole,
    config: &ProviderConfig,
    now_ns: u64,
) -> SharedCredentialsProvider {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .no_credentials();
    if !role.region.is_empty() {
        loader = loader.region(Region::new(role.region.clone()));
    }
    let mut builder = AssumeRoleProvider::builder(&role.arn)
        .session_name(session_name(role, format!("aws-go-sdk-{now_ns}")))
        .session_length(SESSION)
        .configure(&loader.load().await);
    if !role.external_id.is_empty() {
        builder = builder.external_id(&role.external_id);
    }
    SharedCredentialsProvider::new(builder.build_from_provider(base(config, now_ns)).await)
}

/// As configured, or the one of the reference, which policies may ask for.
fn session_name(role: &AssumeRole, usual: String) -> String {
    match role.session_name.as_str() {
        "" => usual,
        name => name.to_owned(),
    }
}

/// Keys in environment variables, under the current and the older names.
#[derive(Debug)]
struct EnvironmentKeys;

impl ProvideCredentials for EnvironmentKeys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(environment_keys(&ProcessEnvironment))
    }
}

fn environment_keys(environment: &dyn Environment) -> provider::Result {
    let first = |names: [&str; 2]| {
        let mut values = names.into_iter().filter_map(|name| environment.get(name));
        values.find(|value| !value.trim().is_empty())
    };
    let id = first(["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]);
    let secret = first(["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]);
    let (Some(id), Some(secret)) = (id, secret) else {
        return Err(provider::error::CredentialsError::not_loaded(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set",
        ));
    };
    let token = environment.get("AWS_SESSION_TOKEN");
    Ok(aws_credential_types::Credentials::new(
        id.trim(),
        secret.trim(),
        token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()),
        None,
        "environment",
    ))
}
