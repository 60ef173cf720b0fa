//! Resource attributes of tasks and containers.

use std::sync::LazyLock;

use regex::Regex;
use weir_model::{Attributes, AttributesBuilder, ValueRef};

use super::documents::{Container, Task};

/// Attributes of a task.
pub(super) fn task_attributes(task: &Task) -> AttributesBuilder {
    let Arn {
        region,
        account,
        task_id,
    } = Arn::parse(&task.task_arn);
    let mut attributes = AttributesBuilder::default();
    for (key, value) in [
        ("aws.ecs.cluster.name", cluster_name(&task.cluster)),
        ("aws.ecs.task.arn", &task.task_arn),
        ("aws.ecs.task.id", task_id),
        ("aws.ecs.task.family", &task.family),
        ("aws.ecs.task.version", &task.revision),
        ("aws.ecs.task.revision", &task.revision),
        ("aws.ecs.service.name", &task.service_name),
        ("cloud.availability_zone", &task.availability_zone),
        ("aws.ecs.task.pull_started_at", &task.pull_started_at),
        ("aws.ecs.task.pull_stopped_at", &task.pull_stopped_at),
        ("aws.ecs.task.known_status", &task.known_status),
        ("aws.ecs.task.launch_type", &task.launch_type),
        ("cloud.region", region),
        ("cloud.account.id", account),
    ] {
        attributes.set_str(key, value);
    }
    let launch_type = task.launch_type.to_lowercase();
    if matches!(launch_type.as_str(), "ec2" | "fargate") {
        attributes.set_str("aws.ecs.launchtype", &launch_type);
    }
    attributes
}

/// Attributes of a container: its own and those of its task.
pub(super) fn container_attributes(container: &Container, task: &AttributesBuilder) -> Attributes {
    let (image, tag) = image_name(&container.image).unwrap_or(("", ""));
    let mut attributes = task.clone();
    for (key, value) in [
        ("container.name", container.name.as_str()),
        ("container.id", &container.docker_id),
        ("aws.ecs.docker.name", &container.docker_name),
        ("container.image.name", image),
        ("aws.ecs.container.image.id", &container.image_id),
        ("container.image.tag", tag),
        ("aws.ecs.container.created_at", &container.created_at),
        ("aws.ecs.container.started_at", &container.started_at),
        // The reference spells it so.
        ("aws.ecs.container.know_status", &container.known_status),
    ] {
        attributes.set_str(key, value);
    }
    if !container.finished_at.is_empty() {
        attributes.set_str("aws.ecs.container.finished_at", &container.finished_at);
    }
    if let Some(code) = container.exit_code {
        attributes.set("aws.ecs.container.exit_code", ValueRef::Int(code));
    }
    attributes.build()
}

/// The parts of `arn:aws:ecs:region:account:task/[cluster/]id`; empty if it is none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arn<'a> {
    region: &'a str,
    account: &'a str,
    task_id: &'a str,
}

impl<'a> Arn<'a> {
    fn parse(arn: &'a str) -> Self {
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (scheme, partition, service) = (next(), next(), next());
        if scheme != "arn" || !partition.starts_with("aws") || service != "ecs" {
            return Self::default();
        }
        let (region, account, what) = (next(), next(), next());
        Self {
            region,
            account,
            task_id: what.rsplit('/').next().unwrap_or_default(),
        }
    }
}

/// The name at the end of a cluster's ARN; other texts as they are.
fn cluster_name(cluster: &str) -> &str {
    if cluster.starts_with("arn:aws") {
        cluster.rsplit('/').next().unwrap_or_default()
    } else {
        cluster
    }
}

/// `[host[:port]/]path[:tag][@digest]`, the grammar of image references (OCI distribution).
static IMAGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)";
    let host = format!(r"(?:{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?");
    let part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    let tag = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let algorithm = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*";
    let digest = format!("{algorithm}:[0-9a-fA-F]{{32,}}");
    let whole = format!("^((?:{host}/)?{part}(?:/{part})*)(?::({tag}))?(?:@{digest})?$");
    Regex::new(&whole).ok()
});

/// Repository and tag of an image; `latest` if it names no tag. `None` if it is no image name.
fn image_name(image: &str) -> Option<(&str, &str)> {
    let found = IMAGE.as_ref()?.captures(image)?;
    let tag = found.get(2).map_or("latest", |tag| tag.as_str());
    Some((found.get(1)?.as_str(), tag))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn images_have_a_name_and_a_tag() {
        let zeros = "0".repeat(64);
        for (image, expected) in [
            ("alpine", Some(("alpine", "latest"))),
            ("alpine:v1.0.0", Some(("alpine", "v1.0.0"))),
            ("example.com:3000/a/b:test", Some(("example.com:3000/a/b", "test"))),
            ("example.com:3000/a/b", Some(("example.com:3000/a/b", "latest"))),
            (&format!("a/b@sha256:{zeros}"), Some(("a/b", "latest"))),
            (&format!("a:1.36@sha256:{zeros}"), Some(("a", "1.36"))),
            ("", None),
            ("aaa:", None),
            ("Upper/Case", None),
            ("a b", None),
        ] {
            let expected: Option<(&str, &str)> = expected;
            assert_eq!(image_name(image), expected, "{image}");
        }
    }

    #[test]
    fn arns_of_every_partition_and_form_are_read() {
        let of = |region, account, task_id| Arn {
            region,
            account,
            task_id,
        };
        for (arn, expected) in [
            ("arn:aws:ecs:us-west-2:1:task/default/158d", of("us-west-2", "1", "158d")),
            ("arn:aws:ecs:us-west-2:1:task/158d", of("us-west-2", "1", "158d")),
            ("arn:aws-cn:ecs:cn-north-1:1:task/c/x", of("cn-north-1", "1", "x")),
            ("arn:aws:ecs", of("", "", "")),
            ("arn:aws:s3:::b", of("", "", "")),
            ("nonsense", of("", "", "")),
            ("", of("", "", "")),
        ] {
            assert_eq!(Arn::parse(arn), expected, "{arn}");
        }
        assert_eq!(cluster_name("arn:aws:ecs:us-west-2:1:cluster/prod"), "prod");
        assert_eq!(cluster_name("default"), "default");
    }
}
