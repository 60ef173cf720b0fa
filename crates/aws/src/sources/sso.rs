//! IAM Identity Center: the token a person's login left behind, exchanged for keys of a role.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use weir_core::{BoxFut, BuildError, Clock};

use super::profile::Profile;
use super::{Surroundings, ask, encoded, get, instant};
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};
use crate::endpoint::Service;

/// A token is renewed so long before its end.
const EARLY_NS: u64 = 300 * 1_000_000_000;

/// A role of a login.
#[derive(Debug)]
pub(super) struct Sso {
    around: Surroundings,
    profile: String,
    account: String,
    role: String,
    region: String,
    cache: PathBuf,
    /// The token can be renewed: only those of a `sso_session`.
    is_renewable: bool,
}

impl Sso {
    /// The login of a profile, if it has one.
    ///
    /// # Errors
    /// Half of its keys are missing.
    pub(super) fn of(
        around: &Surroundings,
        profile: Profile<'_>,
    ) -> Result<Option<Self>, BuildError> {
        let account = profile.get("sso_account_id");
        let role = profile.get("sso_role_name");
        let session = profile.get("sso_session");
        if account.is_none()
            && role.is_none()
            && session.is_none()
            && profile.get("sso_start_url").is_none()
        {
            return Ok(None);
        }
        let section = match session {
            None => None,
            Some(name) => Some(around.profiles.sso_session(name).ok_or_else(|| {
                let profile = profile.name;
                BuildError(format!(
                    "profile `{profile}`: there is no section [sso-session {name}]"
                ))
            })?),
        };
        let of_session = |key: &str| section.and_then(|s| s.get(key)).map(String::as_str);
        let needed = |key: &str, value: Option<&str>| {
            value.map(str::to_owned).ok_or_else(|| {
                let profile = profile.name;
                BuildError(format!("profile `{profile}`: SSO needs `{key}`"))
            })
        };
        let start_url = of_session("sso_start_url").or(profile.get("sso_start_url"));
        let start_url = needed("sso_start_url", start_url)?;
        let name = sha1_hex(session.unwrap_or(&start_url));
        let cache =
            PathBuf::from(around.profiles.home()).join(format!(".aws/sso/cache/{name}.json"));
        Ok(Some(Self {
            around: around.clone(),
            profile: profile.name.to_owned(),
            account: needed("sso_account_id", account)?,
            role: needed("sso_role_name", role)?,
            region: needed(
                "sso_region",
                of_session("sso_region").or(profile.get("sso_region")),
            )?,
            cache,
            is_renewable: session.is_some(),
        }))
    }

    fn failed(&self, what: &str) -> CredentialsError {
        CredentialsError::new(format!(
            "{what}: run `aws sso login --profile {}`",
            self.profile
        ))
    }

    /// The access token of the login, renewed where that is possible.
    async fn token(&self) -> Result<String, CredentialsError> {
        let text = tokio::fs::read(&self.cache).await.map_err(|error| {
            self.failed(&format!(
                "there is no SSO login in {} ({error})",
                self.cache.display()
            ))
        })?;
        let mut login: Map<String, Value> = serde_json::from_slice(&text).map_err(|error| {
            self.failed(&format!("{} is no JSON: {error}", self.cache.display()))
        })?;
        let end = text_of(&login, "expiresAt").and_then(instant).unwrap_or(0);
        let left = end.saturating_sub(self.around.clock.unix_ns());
        if left <= EARLY_NS && self.is_renewable {
            match self.renew(&mut login).await {
                Ok(()) => {}
                Err(error) if left == 0 => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the SSO token could not be renewed; using it to its end");
                }
            }
        } else if left == 0 {
            return Err(self.failed("the SSO login has ended"));
        }
        let token = text_of(&login, "accessToken").map(str::to_owned);
        token.ok_or_else(|| self.failed("the SSO login has no token"))
    }

    async fn renew(&self, login: &mut Map<String, Value>) -> Result<(), CredentialsError> {
        let field = |name| {
            text_of(login, name)
                .ok_or_else(|| self.failed("the SSO login has ended and cannot be renewed"))
        };
        let body = json!({
            "grantType": "refresh_token",
            "clientId": field("clientId")?,
            "clientSecret": field("clientSecret")?,
            "refreshToken": field("refreshToken")?,
        });
        let url = self.around.url(Service::SsoOidc, &self.region);
        let request = http::Request::post(format!("{url}/token"))
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(|error| CredentialsError::new(format!("`{url}`: {error}")))?;
        let answer = ask(&*self.around.remote, "renewing the SSO token", || {
            let request = request.clone();
            Box::pin(async { Ok(request) })
        })
        .await?;
        if !answer.status().is_success() {
            return Err(self.failed(&format!(
                "the SSO token could not be renewed (HTTP status {})",
                answer.status().as_u16()
            )));
        }
        let new: Map<String, Value> = serde_json::from_slice(answer.body()).unwrap_or_default();
        let (Some(token), Some(seconds)) = (
            text_of(&new, "accessToken"),
            new.get("expiresIn").and_then(Value::as_u64),
        ) else {
            return Err(self.failed("the renewed SSO token cannot be read"));
        };
        let end = self.around.clock.unix_ns() / 1_000_000_000 + seconds;
        let end = aws_smithy_types::DateTime::from_secs(i64::try_from(end).unwrap_or(i64::MAX));
        let end = end
            .fmt(aws_smithy_types::date_time::Format::DateTime)
            .unwrap_or_default();
        login.insert("accessToken".to_owned(), token.into());
        login.insert("expiresAt".to_owned(), end.into());
        if let Some(refresh) = text_of(&new, "refreshToken") {
            login.insert("refreshToken".to_owned(), refresh.into());
        }
        self.keep(login).await;
        Ok(())
    }

    /// Leaves the new token for the other AWS tools; that this fails costs only another renewal.
    async fn keep(&self, login: &Map<String, Value>) {
        let text = Value::Object(login.clone()).to_string();
        let beside = self.cache.with_extension("json.new");
        let written = async {
            let mut options = tokio::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            options.mode(0o600);
            let mut file = options.open(&beside).await?;
            tokio::io::AsyncWriteExt::write_all(&mut file, text.as_bytes()).await?;
            file.sync_all().await?;
            tokio::fs::rename(&beside, &self.cache).await
        };
        if let Err(error) = written.await {
            let file = self.cache.display().to_string();
            tracing::warn!(%error, file, "the renewed SSO token could not be written");
        }
    }

    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        const WHAT: &str = "SSO GetRoleCredentials";
        let token = self.token().await?;
        let url = format!(
            "{}/federation/credentials?account_id={}&role_name={}",
            self.around.url(Service::Sso, &self.region),
            encoded(&self.account),
            encoded(&self.role)
        );
        let request = get(&url, &[("x-amz-sso_bearer_token", &token)])?;
        let answer = ask(&*self.around.remote, WHAT, || {
            let request = request.clone();
            Box::pin(async { Ok(request) })
        })
        .await?;
        match answer.status().as_u16() {
            200..=299 => {}
            401 => return Err(self.failed("the SSO login is not accepted any more")),
            status => {
                return Err(CredentialsError {
                    message: format!(
                        "{WHAT}: HTTP status {status} for role {} in account {}",
                        self.role, self.account
                    ),
                    denied: true,
                });
            }
        }
        let answer: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let keys = answer.get("roleCredentials").and_then(Value::as_object);
        let field = |name| keys.and_then(|keys| text_of(keys, name));
        let (Some(id), Some(secret)) = (field("accessKeyId"), field("secretAccessKey")) else {
            return Err(CredentialsError::new(format!(
                "{WHAT}: the answer has no keys"
            )));
        };
        let credentials = Credentials::fixed(id, secret, field("sessionToken"));
        let end = keys.and_then(|keys| keys.get("expiration")?.as_u64());
        Ok(match end {
            Some(milliseconds) => credentials.expiring(
                u64::try_from(Duration::from_millis(milliseconds).as_nanos()).unwrap_or(u64::MAX),
            ),
            None => credentials,
        })
    }
}

impl CredentialsProvider for Sso {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(self.fetch())
    }
}

fn text_of<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// The name of a login's file.
pub(super) fn sha1_hex(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
