//! `elastic_beanstalk`: the environment, from the file that Beanstalk writes for X-Ray.

use std::io::ErrorKind;
use std::sync::Arc;

use serde::Deserialize;
use tokio::time::Instant;
use weir_core::BoxFut;

use super::super::detection::{Detector, Found};
use super::super::world::World;
use super::{Filter, Table, absent};

const FILE: &str = "/var/elasticbeanstalk/xray/environment.conf";

pub(crate) const ATTRIBUTES: Table = &[
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("deployment.environment", true),
    ("service.instance.id", true),
    ("service.version", true),
];

pub(super) struct Beanstalk {
    pub(super) world: Arc<dyn World>,
    pub(super) required: bool,
    pub(super) filter: Filter,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Environment {
    deployment_id: i64,
    environment_name: String,
    version_label: String,
}

impl Detector for Beanstalk {
    fn detect(&self, _: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async {
            let text = match self.world.file(FILE) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return absent(self.required, &format!("there is no {FILE}"));
                }
                Err(error) => return Err(format!("{FILE}: {error}")),
            };
            let environment: Environment =
                serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
            let mut answers = self.filter.start();
            answers.put("cloud.provider", "aws");
            answers.put("cloud.platform", "aws_elastic_beanstalk");
            answers.put("deployment.environment", environment.environment_name);
            answers.put("service.instance.id", environment.deployment_id.to_string());
            answers.put("service.version", environment.version_label);
            Ok(answers.found())
        })
    }
}
