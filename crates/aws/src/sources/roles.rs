//! Credentials of a profile: its own source, and the roles on top.

use std::sync::Arc;

use weir_core::{BoxFut, BuildError};

use super::container::Container;
use super::instance::InstanceMetadata;
use super::process::Process;
use super::profile::Profile;
use super::sso::Sso;
use super::sts::{AssumedRole, Role, WebIdentity};
use super::{Provider, Surroundings, environment};
use crate::credentials::{Credentials, CredentialsError};

/// Profiles that name each other as source; more is a mistake.
const LONGEST_CHAIN: usize = 16;

/// The provider of a profile; an empty profile leads on to containers and the instance.
///
/// # Errors
/// A profile that can never work.
pub(super) fn of_profile<'a>(
    around: &'a Surroundings,
    profile: Profile<'a>,
) -> BoxFut<'a, Result<Provider, BuildError>> {
    Box::pin(provider(around, profile, 0))
}

async fn provider(
    around: &Surroundings,
    profile: Profile<'_>,
    depth: usize,
) -> Result<Provider, BuildError> {
    let wrong = |what: String| BuildError(format!("profile `{}`: {what}", profile.name));
    if depth >= LONGEST_CHAIN {
        return Err(wrong("its `source_profile`s never end".to_owned()));
    }
    let role_arn = profile.get("role_arn");
    let (source_profile, credential_source) = (
        profile.get("source_profile"),
        profile.get("credential_source"),
    );
    if role_arn.is_none() && (source_profile.is_some() || credential_source.is_some()) {
        return Err(wrong(
            "`source_profile` and `credential_source` need the role to assume: add `role_arn`"
                .to_owned(),
        ));
    }
    if source_profile.is_some() && credential_source.is_some() {
        return Err(wrong(
            "`source_profile` and `credential_source` exclude each other".to_owned(),
        ));
    }
    let own_keys = (
        profile.get("aws_access_key_id"),
        profile.get("aws_secret_access_key"),
    );
    let base: Provider = if let Some(name) = source_profile.filter(|name| *name != profile.name) {
        let source = around.profiles.get(name).ok_or_else(|| {
            wrong(format!(
                "`source_profile` names `{name}`, which is not there"
            ))
        })?;
        Box::pin(provider(around, source, depth + 1)).await?
    } else if let (Some(id), Some(secret)) = own_keys {
        Arc::new(Credentials::fixed(
            id,
            secret,
            profile.get("aws_session_token"),
        ))
    } else if let Some(source) = credential_source {
        named_source(around, source)
            .await
            .map_err(|error| wrong(error.0))?
    } else if let Some(file) = profile.get("web_identity_token_file") {
        let role_arn = role_arn
            .ok_or_else(|| wrong("`web_identity_token_file` needs `role_arn`".to_owned()))?;
        let session_name = profile.get("role_session_name").map(str::to_owned);
        let identity = WebIdentity::new(around, role_arn.to_owned(), file.to_owned(), session_name);
        return Ok(around.cached(identity));
    } else if let Some(sso) = Sso::of(around, profile)? {
        around.cached(sso)
    } else if profile.get("login_session").is_some() {
        return Err(wrong(
            "`login_session` is not supported: use `credential_process = aws configure export-credentials`"
                .to_owned(),
        ));
    } else if let Some(command) = profile.get("credential_process") {
        around.cached(Process::new(command))
    } else if let Some(container) = Container::of(around).await? {
        around.cached(container)
    } else {
        instance(around)
    };
    match role_of(profile)? {
        None => Ok(base),
        Some(role) => Ok(around.cached(AssumedRole::new(around, base, role))),
    }
}

/// The role to assume on top of a profile's own source.
fn role_of(profile: Profile<'_>) -> Result<Option<Role>, BuildError> {
    let wrong = |what: &str| BuildError(format!("profile `{}`: {what}", profile.name));
    let Some(arn) = profile.get("role_arn") else {
        return Ok(None);
    };
    if profile.get("mfa_serial").is_some() {
        return Err(wrong(
            "`mfa_serial` asks for a code, which nobody can enter here: use a role without it",
        ));
    }
    let duration = match profile.get("duration_seconds").map(str::parse) {
        None => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => return Err(wrong("`duration_seconds` is no number")),
    };
    Ok(Some(Role {
        arn: arn.to_owned(),
        external_id: profile.get("external_id").map(str::to_owned),
        session_name: profile.get("role_session_name").map(str::to_owned),
        duration,
    }))
}

async fn named_source(around: &Surroundings, name: &str) -> Result<Provider, BuildError> {
    match name {
        "Environment" => match environment::keys(&*around.environment) {
            Some(keys) => Ok(Arc::new(keys)),
            None => Err(BuildError(
                "`credential_source = Environment`, but AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set"
                    .to_owned(),
            )),
        },
        "Ec2InstanceMetadata" => Ok(instance(around)),
        "EcsContainer" => match Container::of(around).await? {
            Some(container) => Ok(around.cached(container)),
            None => Err(BuildError(
                "`credential_source = EcsContainer`, but neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set"
                    .to_owned(),
            )),
        },
        other => Err(BuildError(format!(
            "`credential_source` is `{other}`: write Environment, Ec2InstanceMetadata or EcsContainer"
        ))),
    }
}

/// The last resort. That it is switched off shows when credentials are needed, as in the reference.
fn instance(around: &Surroundings) -> Provider {
    match InstanceMetadata::new(around) {
        Ok(instance) => around.cached(instance),
        Err(error) => Arc::new(Nothing(CredentialsError::new(format!(
            "none in the environment, the profile or a container, and {}",
            error.message
        )))),
    }
}

/// No source at all.
#[derive(Debug)]
struct Nothing(CredentialsError);

impl crate::credentials::CredentialsProvider for Nothing {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async { Err(self.0.clone()) })
    }
}
