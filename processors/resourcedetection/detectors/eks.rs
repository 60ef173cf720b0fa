//! `eks`: the cluster, from what a pod of it finds.

use std::sync::Arc;

use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;
use weir_core::BoxFut;

use super::super::config::KubernetesConfig;
use super::super::detection::{Detector, Found};
use super::super::world::World;
use super::{Answers, Filter, Table, absent, ec2};

pub(crate) const ATTRIBUTES: Table = &[
    ("cloud.account.id", false),
    ("cloud.availability_zone", false),
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("cloud.region", false),
    ("host.id", false),
    ("host.image.id", false),
    ("host.name", false),
    ("host.type", false),
    ("k8s.cluster.name", false),
];

/// Those that take the instance's metadata service.
const OF_INSTANCE: [&str; 8] = [
    "cloud.account.id",
    "cloud.availability_zone",
    "cloud.region",
    "host.id",
    "host.image.id",
    "host.name",
    "host.type",
    "k8s.cluster.name",
];

/// The token of the pod's service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

pub(super) struct Eks {
    pub(super) world: Arc<dyn World>,
    pub(super) required: bool,
    /// Variable with the node's name; empty for none.
    pub(super) node_variable: String,
    pub(super) filter: Filter,
}

impl Detector for Eks {
    fn detect(&self, end: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async move {
            let token = self.in_pod()?;
            if !self.is_eks(&token).await? {
                return absent(self.required, "the cluster is not one of EKS");
            }
            let mut answers = self.filter.start();
            answers.put("cloud.provider", "aws");
            answers.put("cloud.platform", "aws_eks");
            if self.filter.any_of(&OF_INSTANCE)
                && let Err(why) = self.put_instance(&mut answers, end).await
            {
                if self.required {
                    return Err(why);
                }
                warn!(why, "the instance that this pod runs on is not known");
            }
            Ok(answers.found())
        })
    }
}

impl Eks {
    /// The service account's token. As in the reference, to name this detector outside a pod is an
    /// error.
    fn in_pod(&self) -> Result<String, String> {
        let outside = |why: String| {
            format!("not in a Kubernetes pod with a service account: {why}; take `eks` out of `detectors`, or mount the token")
        };
        for name in ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"] {
            if self.world.variable(name).unwrap_or_default().is_empty() {
                return Err(outside(format!("{name} is not set")));
            }
        }
        self.world.file(TOKEN).map_err(|error| outside(format!("{TOKEN}: {error}")))
    }

    /// By what EKS mounts into a pod, who issued its token, or the version of its API server.
    async fn is_eks(&self, token: &str) -> Result<bool, String> {
        for (variable, part) in [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "eks.amazonaws.com"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "eks-pod-identity"),
        ] {
            if self.world.variable(variable).is_some_and(|path| path.contains(part)) {
                return Ok(true);
            }
        }
        if issuer(token).is_some_and(|issuer| issuer.contains("oidc.eks.")) {
            return Ok(true);
        }
        Ok(self.world.kubernetes_version().await?.contains("-eks-"))
    }

    async fn put_instance(&self, answers: &mut Answers<'_>, end: Instant) -> Result<(), String> {
        if let Err(why) = ec2::reachable(&*self.world, end).await {
            return self.put_node(answers, &why).await;
        }
        let (identity, hostname) = ec2::identity(&*self.world).await?;
        answers.put("cloud.account.id", identity.account_id);
        answers.put("cloud.availability_zone", identity.availability_zone);
        answers.put("cloud.region", identity.region.as_str());
        answers.put("host.id", identity.instance_id.as_str());
        answers.put("host.image.id", identity.image_id);
        answers.put("host.name", hostname);
        answers.put("host.type", identity.instance_type);
        self.put_cluster(answers, &identity.region, &identity.instance_id).await
    }

    /// What the node object tells, where pods cannot reach the metadata service:
    /// `aws:///<zone>/<instance>`.
    async fn put_node(&self, answers: &mut Answers<'_>, unreachable: &str) -> Result<(), String> {
        let node = match self.node_variable.as_str() {
            "" => String::new(),
            name => self.world.variable(name).unwrap_or_default(),
        };
        if node.is_empty() {
            return Err(format!("{unreachable}; without it, `node_from_env_var` has to name a variable with the node's name"));
        }
        let found = self.world.node(&KubernetesConfig::default(), &node).await?;
        let mut parts = found.provider_id.rsplit('/');
        let (instance, zone) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let region = zone.trim_end_matches(|last: char| last.is_ascii_lowercase());
        answers.put_known("cloud.availability_zone", zone);
        answers.put_known("cloud.region", region);
        answers.put_known("host.id", instance);
        answers.put("host.name", node);
        self.put_cluster(answers, region, instance).await
    }

    /// The name of the cluster, from the tags that EKS puts on its instances.
    async fn put_cluster(&self, answers: &mut Answers<'_>, region: &str, instance: &str) -> Result<(), String> {
        const OWNED: &str = "kubernetes.io/cluster/";
        if !self.filter.is_on("k8s.cluster.name") {
            return Ok(());
        }
        let tags = self.world.instance_tags(region, instance).await?;
        let own = tags.iter().find_map(|(name, value)| match name.as_str() {
            "eks:cluster-name" | "aws:eks:cluster-name" => Some(value.as_str()),
            name => name.strip_prefix(OWNED),
        });
        answers.put_known("k8s.cluster.name", own.unwrap_or_default());
        Ok(())
    }
}

/// Who issued a token (RFC 7519, `iss`). It is not verified: nothing is granted for it.
fn issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    let claims = base64url(token.split('.').nth(1)?)?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.iss)
}

/// RFC 4648 section 5, without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    Some(out)
}
