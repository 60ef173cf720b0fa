//! `ec2`: the instance, from its metadata service.

use std::sync::Arc;

use regex::Regex;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use weir_core::BoxFut;
use weir_model::Value;

use super::super::detection::{Detector, Found};
use super::super::world::World;
use super::{Filter, Table, absent};

pub(crate) const ATTRIBUTES: Table = &[
    ("cloud.account.id", true),
    ("cloud.availability_zone", true),
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("cloud.region", true),
    ("host.id", true),
    ("host.image.id", true),
    ("host.name", true),
    ("host.type", true),
];

const INSTANCE_ID: &str = "/latest/meta-data/instance-id";
const HOSTNAME: &str = "/latest/meta-data/hostname";
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
const TAGS: &str = "/latest/meta-data/tags/instance";

pub(super) struct Ec2 {
    pub(super) world: Arc<dyn World>,
    /// Whether it is an error that there is no metadata service.
    pub(super) required: bool,
    pub(super) tags: Vec<Regex>,
    pub(super) tags_from_imds: bool,
    pub(super) filter: Filter,
}

/// The identity document of an instance.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) account_id: String,
    pub(super) availability_zone: String,
    pub(super) image_id: String,
    pub(super) instance_id: String,
    pub(super) instance_type: String,
    pub(super) region: String,
}

impl Detector for Ec2 {
    fn detect(&self, end: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async move {
            if let Err(why) = reachable(&*self.world, end).await {
                return absent(self.required, &why);
            }
            let (identity, hostname) = identity(&*self.world).await?;
            let mut answers = self.filter.start();
            answers.put("cloud.provider", "aws");
            answers.put("cloud.platform", "aws_ec2");
            answers.put("cloud.region", identity.region.as_str());
            answers.put("cloud.account.id", identity.account_id);
            answers.put("cloud.availability_zone", identity.availability_zone);
            answers.put("host.id", identity.instance_id.as_str());
            answers.put("host.image.id", identity.image_id);
            answers.put("host.type", identity.instance_type);
            answers.put("host.name", hostname);
            let mut found = answers.found();
            if !self.tags.is_empty() {
                match self.tags(&identity.region, &identity.instance_id).await {
                    Ok(tags) => found.attributes.extend(
                        tags.into_iter()
                            .map(|(name, value)| (format!("ec2.tag.{name}"), Value::from(value))),
                    ),
                    Err(why) => warn!(why, "the tags of the instance are not known"),
                }
            }
            Ok(found)
        })
    }
}

impl Ec2 {
    async fn tags(&self, region: &str, instance: &str) -> Result<Vec<(String, String)>, String> {
        let wanted = |name: &str| self.tags.iter().any(|pattern| pattern.is_match(name));
        if !self.tags_from_imds {
            let tags = self.world.instance_tags(region, instance).await?;
            return Ok(tags.into_iter().filter(|(name, _)| wanted(name)).collect());
        }
        let mut tags = Vec::new();
        let names = self.world.instance_metadata(TAGS).await?;
        for name in names.lines().filter(|name| wanted(name)) {
            let value = self.world.instance_metadata(&format!("{TAGS}/{name}")).await?;
            tags.push((name.to_owned(), value));
        }
        Ok(tags)
    }
}

/// The id of this instance, if it is one that tells.
pub(super) async fn reachable(world: &dyn World, end: Instant) -> Result<String, String> {
    match timeout_at(end, world.instance_metadata(INSTANCE_ID)).await {
        Ok(answer) => answer,
        Err(_) => Err("EC2 IMDS did not answer before the timeout".to_owned()),
    }
}

/// The identity document and the host name.
pub(super) async fn identity(world: &dyn World) -> Result<(Identity, String), String> {
    let document = world.instance_metadata(DOCUMENT).await?;
    let identity = serde_json::from_str(&document)
        .map_err(|error| format!("the instance identity document makes no sense: {error}"))?;
    let hostname = world.instance_metadata(HOSTNAME).await?;
    Ok((identity, hostname))
}
