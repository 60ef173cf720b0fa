//! `ecs`: the task, from its metadata endpoint (Amazon ECS developer guide, "Task metadata endpoint
//! version 4").

use std::sync::Arc;

use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;
use tracing::warn;
use weir_core::BoxFut;

use super::super::detection::{Detector, Found};
use super::super::world::{Answer, World};
use super::{Answers, Filter, Table, absent};

pub(crate) const ATTRIBUTES: Table = &[
    ("aws.ecs.cluster.arn", true),
    ("aws.ecs.launchtype", true),
    ("aws.ecs.task.arn", true),
    ("aws.ecs.task.family", true),
    ("aws.ecs.task.id", true),
    ("aws.ecs.task.revision", true),
    ("aws.log.group.arns", true),
    ("aws.log.group.names", true),
    ("aws.log.stream.arns", true),
    ("aws.log.stream.names", true),
    ("cloud.account.id", true),
    ("cloud.availability_zone", true),
    ("cloud.platform", true),
    ("cloud.provider", true),
    ("cloud.region", true),
];

pub(super) struct Ecs {
    pub(super) world: Arc<dyn World>,
    pub(super) required: bool,
    pub(super) filter: Filter,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Task {
    cluster: String,
    #[serde(rename = "TaskARN")]
    arn: String,
    family: String,
    revision: String,
    launch_type: String,
    availability_zone: String,
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    docker_id: String,
    known_status: String,
    #[serde(rename = "Type")]
    kind: String,
    log_driver: String,
    log_options: LogOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogOptions {
    #[serde(rename = "awslogs-group")]
    group: String,
    #[serde(rename = "awslogs-region")]
    region: String,
    #[serde(rename = "awslogs-stream")]
    stream: String,
}

impl Detector for Ecs {
    fn detect(&self, _: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async {
            let Some((task, own)) = self.world.ecs().await else {
                return absent(self.required, "no ECS_CONTAINER_METADATA_URI_V4: not in an ECS task");
            };
            let task: Task = read(task)?;
            let mut answers = self.filter.start();
            let account = put_task(&task, &mut answers);
            match read::<Container>(own) {
                Ok(own) => put_logs(&task.containers, &own, &account, &mut answers),
                Err(why) if self.required => return Err(why),
                Err(why) => warn!(why, "the log groups of the task are not known"),
            }
            Ok(answers.found())
        })
    }
}

fn read<T: DeserializeOwned>(answer: Answer) -> Result<T, String> {
    serde_json::from_str(&answer?)
        .map_err(|error| format!("the document of the ECS agent makes no sense: {error}"))
}

/// All but the logs; returns the account.
fn put_task(task: &Task, answers: &mut Answers<'_>) -> String {
    // arn:aws:ecs:<region>:<account>:task/<cluster>/<id>, without the cluster in older tasks.
    let mut parts = task.arn.splitn(6, ':').skip(3);
    let mut part = || parts.next().unwrap_or_default();
    let (region, account, name) = (part(), part(), part());
    answers.put("cloud.provider", "aws");
    answers.put("cloud.platform", "aws_ecs");
    answers.put_known("cloud.region", region);
    answers.put_known("cloud.account.id", account);
    answers.put_known("cloud.availability_zone", &task.availability_zone);
    answers.put("aws.ecs.task.arn", task.arn.as_str());
    answers.put("aws.ecs.task.family", task.family.as_str());
    answers.put("aws.ecs.task.revision", task.revision.as_str());
    answers.put_known("aws.ecs.task.id", name.rsplit('/').next().unwrap_or_default());
    let cluster = match task.cluster.contains(':') {
        true => task.cluster.clone(),
        false => format!("arn:aws:ecs:{region}:{account}:cluster/{}", task.cluster),
    };
    answers.put("aws.ecs.cluster.arn", cluster);
    let launch_type = task.launch_type.to_ascii_lowercase();
    if matches!(launch_type.as_str(), "ec2" | "fargate") {
        answers.put("aws.ecs.launchtype", launch_type);
    }
    account.to_owned()
}

/// Where the other containers of the task write their logs to.
fn put_logs(containers: &[Container], own: &Container, account: &str, answers: &mut Answers<'_>) {
    let logging = containers.iter().filter(|container| {
        container.docker_id != own.docker_id
            && container.kind == "NORMAL"
            && container.known_status == "RUNNING"
            && container.log_driver == "awslogs"
            && !container.log_options.group.is_empty()
    });
    let (mut groups, mut group_arns) = (Vec::new(), Vec::new());
    let (mut streams, mut stream_arns) = (Vec::new(), Vec::new());
    for LogOptions {
        group,
        region,
        stream,
    } in logging.map(|container| &container.log_options)
    {
        let arn = format!("arn:aws:logs:{region}:{account}:log-group:{group}");
        groups.push(group.clone());
        if !stream.is_empty() {
            streams.push(stream.clone());
            stream_arns.push(format!("{arn}:log-stream:{stream}"));
        }
        group_arns.push(arn);
    }
    answers.put_list("aws.log.group.names", groups);
    answers.put_list("aws.log.group.arns", group_arns);
    answers.put_list("aws.log.stream.names", streams);
    answers.put_list("aws.log.stream.arns", stream_arns);
}
