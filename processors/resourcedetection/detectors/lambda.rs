//! `lambda`: the AWS Lambda function, from the variables of its environment.

use std::sync::Arc;

use tokio::time::Instant;
use weir_core::BoxFut;

use super::super::detection::{Detector, Found};
use super::super::world::World;
use super::{Filter, Table, absent};

pub(crate) const ATTRIBUTES: Table = &[
    ("aws.log.group.names", true),
    ("aws.log.stream.names", true),
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("cloud.region", true),
    ("faas.instance", true),
    ("faas.max_memory", true),
    ("faas.name", true),
    ("faas.version", true),
];

pub(super) struct Lambda {
    pub(super) world: Arc<dyn World>,
    pub(super) required: bool,
    pub(super) filter: Filter,
}

impl Detector for Lambda {
    fn detect(&self, _: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async {
            let variable = |name: &str| self.world.variable(name).unwrap_or_default();
            let name = variable("AWS_LAMBDA_FUNCTION_NAME");
            if name.is_empty() {
                return absent(self.required, "AWS_LAMBDA_FUNCTION_NAME is not set: not on Lambda");
            }
            let stream = variable("AWS_LAMBDA_LOG_STREAM_NAME");
            let mut answers = self.filter.start();
            answers.put("cloud.provider", "aws");
            answers.put("cloud.platform", "aws_lambda");
            answers.put("faas.name", name.as_str());
            answers.put_known("cloud.region", &variable("AWS_REGION"));
            answers.put_known("faas.version", &variable("AWS_LAMBDA_FUNCTION_VERSION"));
            answers.put_known("faas.max_memory", &variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
            answers.put_known("faas.instance", &stream);
            let list = |text: String| Some(text).filter(|text| !text.is_empty()).into_iter().collect();
            answers.put_list("aws.log.group.names", list(variable("AWS_LAMBDA_LOG_GROUP_NAME")));
            answers.put_list("aws.log.stream.names", list(stream));
            Ok(answers.found())
        })
    }
}
