//! What runs where: instances of EC2, and tasks of ECS with what is around them. For discovery.

mod ec2;
mod ecs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use weir_config::{ProcessEnvironment, Secret};
use weir_core::{BuildCtx, BuildError};
use weir_net::HttpClient;

pub use ec2::{Instance, InterfaceAddresses};
pub use ecs::{
    Attachment, Cluster, Container, ContainerDefinition, Deployment, NetworkBinding,
    NetworkInterface, Pair, PortMapping, Service as EcsService, Tag, Task, TaskDefinition,
};

use crate::chain::{known_region, surroundings};
use crate::client::{AwsClient, Call, ClientIdentity};
use crate::clock::ServiceClock;
use crate::connect::NetTransport;
use crate::credentials::Credentials;
use crate::endpoint::{EndpointSettings, Service};
use crate::error::{AwsError, ErrorKind};
use crate::region::region_of_instance;
use crate::session::AwsSession;
use crate::sources::{AssumedRole, Profiles, Role, profile_provider, search};

/// Answers above this size are refused.
const MAX_ANSWER: usize = 32 << 20;
/// Pages of one listing; more is a service that never ends.
const MAX_PAGES: usize = 1000;

/// Where to look and as whom; empty texts mean what the SDKs do without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryKeys {
    /// Region; empty: environment, profile, instance.
    pub region: String,
    /// Access key; both halves or none.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret<String>,
    /// Profile of the shared files.
    pub profile: String,
    /// Role to assume.
    pub role_arn: String,
    /// External id of the role.
    pub external_id: String,
}

/// EC2 and ECS of one region.
#[derive(Debug)]
pub struct Inventory {
    ec2: AwsClient,
    ecs: AwsClient,
}

impl Inventory {
    /// Clients for both services. A service that has no endpoint among these keeps that of the
    /// region, as in the reference.
    ///
    /// # Errors
    /// There is no region, or a key cannot be used.
    pub async fn connect(
        keys: &InventoryKeys,
        endpoints_given: &[(Service, &str)],
        http: &HttpClient,
        cx: &BuildCtx,
    ) -> Result<Self, BuildError> {
        let environment = ProcessEnvironment;
        let mut profiles = Profiles::read(&environment)?;
        if !keys.profile.is_empty() {
            profiles.select(&keys.profile);
        }
        let known = known_region(&keys.region, &environment, &profiles);
        let clock = Arc::new(ServiceClock::new(cx.clock.clone()));
        let region = if known.is_empty() {
            region_of_instance(&surroundings("", clock.clone())?).await?
        } else {
            known
        };
        let mut around = surroundings(&region, clock.clone())?;
        let endpoints = EndpointSettings::read(&environment, &profiles);
        around.profiles = Arc::new(profiles);
        let secret = keys.secret_key.expose();
        let mut credentials = if !keys.access_key.is_empty() && !secret.is_empty() {
            Arc::new(Credentials::fixed(&keys.access_key, secret, None)) as Arc<_>
        } else if !keys.profile.is_empty() {
            profile_provider(&around).await?
        } else {
            search(&around).await?
        };
        if !keys.role_arn.is_empty() {
            let role = Role {
                arn: keys.role_arn.clone(),
                external_id: Some(keys.external_id.clone()).filter(|id| !id.is_empty()),
                ..Role::default()
            };
            credentials = around.cached(AssumedRole::new(&around, credentials, role));
        }
        let client = |service: Service| {
            let session = AwsSession {
                endpoint: endpoints_given
                    .iter()
                    .find(|(given, _)| *given == service)
                    .map(|(_, url)| (*url).to_owned())
                    .unwrap_or_default(),
                max_retries: 0,
                ..AwsSession::default()
            };
            let identity = ClientIdentity {
                user_agent: cx.build_info.user_agent(),
                ..ClientIdentity::default()
            };
            let transport = Arc::new(NetTransport::for_answers_of(http.clone(), MAX_ANSWER));
            let parts = (transport as Arc<_>, credentials.clone(), clock.clone());
            AwsClient::with_settings(&session, service, &region, identity, parts, &endpoints)
        };
        Ok(Self {
            ec2: client(Service::Ec2)?,
            ecs: client(Service::Ecs)?,
        })
    }

    /// The region it looks into.
    #[must_use]
    pub fn region(&self) -> &str {
        self.ec2.region()
    }

    /// A call of the query protocol of EC2; the answer's text.
    async fn query(&self, form: String) -> Result<String, AwsError> {
        let call = Call {
            path: "/",
            content_type: "application/x-www-form-urlencoded; charset=utf-8",
            target: None,
            headers: HeaderMap::new(),
            body: Bytes::from(form),
        };
        let answer = self.ec2.call(&call).await?;
        String::from_utf8(answer.into()).map_err(|_| unreadable("the answer is not UTF-8"))
    }

    /// A call of the JSON protocol of ECS.
    async fn json<Answer: serde::de::DeserializeOwned>(
        &self,
        target: &'static str,
        body: &serde_json::Value,
    ) -> Result<Answer, AwsError> {
        let call = Call {
            path: "/",
            content_type: "application/x-amz-json-1.1",
            target: Some(target),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_string()),
        };
        let answer = self.ecs.call(&call).await?;
        serde_json::from_slice(&answer).map_err(|error| unreadable(&error.to_string()))
    }
}

/// An answer that is no answer.
fn unreadable(why: &str) -> AwsError {
    AwsError::local(ErrorKind::Client, format!("unreadable answer: {why}"))
}
