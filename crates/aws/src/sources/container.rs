//! Credentials of containers: ECS task roles, EKS Pod Identity, Greengrass (AWS-20, AWS-21).

use std::net::IpAddr;

use bytes::Bytes;
use weir_core::{BoxFut, BuildError};

use super::{KeysDocument, Surroundings, ask, get};
use crate::credentials::{Credentials, CredentialsError, CredentialsProvider};

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// Addresses besides loopback that may hand out credentials without TLS: ECS, EKS Pod Identity.
const LINK_LOCAL: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The endpoint.
#[derive(Debug)]
pub(super) struct Container {
    around: Surroundings,
    url: String,
    /// Inside this machine or pod; others are reached as any web address.
    is_local: bool,
}

impl Container {
    /// The endpoint the environment names, if it does.
    ///
    /// # Errors
    /// It must not be asked for credentials.
    pub(super) async fn of(around: &Surroundings) -> Result<Option<Self>, BuildError> {
        if let Some(path) = around.variable(RELATIVE) {
            return Ok(Some(Self {
                around: around.clone(),
                url: format!("http://169.254.170.2{path}"),
                is_local: true,
            }));
        }
        let Some(url) = around.variable(FULL) else {
            return Ok(None);
        };
        let is_local = is_local(&url).await?;
        Ok(Some(Self {
            around: around.clone(),
            url,
            is_local,
        }))
    }

    /// `Authorization`: read anew for each request, because the token is exchanged now and then.
    async fn authorization(&self) -> Result<Option<String>, CredentialsError> {
        let Some(file) = self.around.variable(TOKEN_FILE) else {
            return Ok(self.around.variable(TOKEN));
        };
        let text = tokio::fs::read_to_string(&file).await;
        let text = text.map_err(|error| {
            CredentialsError::new(format!("{TOKEN_FILE} `{file}` cannot be read: {error}"))
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    async fn request(&self) -> Result<http::Request<Bytes>, CredentialsError> {
        let token = self.authorization().await?;
        let header = token.as_deref().map(|token| ("authorization", token));
        get(&self.url, header.as_slice())
    }

    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        const WHAT: &str = "the container credentials endpoint";
        let transport = match self.is_local {
            true => &self.around.local,
            false => &self.around.remote,
        };
        let answer = ask(&**transport, WHAT, || Box::pin(self.request())).await?;
        let status = answer.status();
        if !status.is_success() {
            let document = KeysDocument::read(WHAT, answer.body()).unwrap_or_default();
            let message = format!(
                "{WHAT} answered with status {} {} {}",
                status.as_u16(),
                document.code.unwrap_or_default(),
                document.message.unwrap_or_default()
            );
            return Err(CredentialsError {
                message: message.trim_end().to_owned(),
                denied: status.is_client_error(),
            });
        }
        let keys = KeysDocument::read(WHAT, answer.body())?.credentials(WHAT)?;
        Ok(keys.of_container())
    }
}

impl CredentialsProvider for Container {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(self.fetch())
    }
}

/// Whether a full address is one of this machine's or pod's.
///
/// # Errors
/// A plain http address elsewhere: credentials must not cross a network in the clear.
async fn is_local(address: &str) -> Result<bool, BuildError> {
    let refused = |why: &str| BuildError(format!("{FULL} `{address}`: {why}"));
    let uri: http::Uri = address.parse().map_err(|_| refused("this is not a URL"))?;
    let host = uri.host().ok_or_else(|| refused("it has no host"))?;
    match uri.scheme_str() {
        Some("https") => return Ok(false),
        Some("http") => {}
        _ => return Err(refused("it must begin with `http://` or `https://`")),
    }
    let host = host.trim_matches(['[', ']']);
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80)))
            .await
            .map_err(|error| refused(&format!("its host cannot be looked up: {error}")))?
            .map(|address| address.ip())
            .collect(),
    };
    if addresses.iter().all(is_allowed) {
        return Ok(true);
    }
    Err(refused(
        "credentials are fetched over http only from loopback, 169.254.170.2, 169.254.170.23 and \
         [fd00:ec2::23]; use https",
    ))
}

fn is_allowed(address: &IpAddr) -> bool {
    let named = |text: &&str| text.parse().is_ok_and(|known: IpAddr| known == *address);
    address.is_loopback() || LINK_LOCAL.iter().any(named)
}
