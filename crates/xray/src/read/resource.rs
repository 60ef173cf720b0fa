//! The resource of a segment.

use weir_model::{AttributesBuilder, Resource, Value};

use super::document::{Aws, Document};
use super::json::Text;

/// The resource that segment and subsegments share.
pub(super) fn resource(document: &Document<'_>) -> Resource {
    let mut attributes = Attributes(AttributesBuilder::default());
    attributes.text("service.name", &document.name);
    match &document.aws {
        None => attributes.str("cloud.provider", "unknown"),
        Some(aws) => {
            attributes.str("cloud.provider", "aws");
            attributes.aws(aws);
            attributes.sdk(aws, document);
        }
    }
    if let Some(service) = &document.service {
        attributes.text("service.version", &service.version);
    }
    attributes.text("aws.xray.resource_arn", &document.resource_arn);
    Resource {
        attributes: attributes.0.build(),
        ..Resource::default()
    }
}

struct Attributes(AttributesBuilder);

impl Attributes {
    fn str(&mut self, name: &str, value: &str) {
        self.0.set_str(name, value);
    }

    fn text(&mut self, name: &str, value: &Option<Text<'_>>) {
        if let Some(value) = value {
            self.str(name, value.as_str());
        }
    }

    fn list<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a Text<'a>>) {
        let values: Vec<Value> = values.map(|value| Value::from(value.as_str())).collect();
        if !values.is_empty() {
            self.0.set_value(name, &Value::List(values));
        }
    }

    /// What the segment ran on. Of two blocks with the same attribute the later one counts.
    fn aws(&mut self, aws: &Aws<'_>) {
        self.text("cloud.account.id", &aws.account_id);
        if let Some(groups) = &aws.log_groups {
            let arns = groups.iter().filter_map(|group| group.arn.as_ref());
            self.list("aws.log.group.arns", arns);
            let names = groups.iter().filter_map(|group| group.name.as_ref());
            self.list("aws.log.group.names", names);
        }
        if let Some(ec2) = &aws.ec2 {
            self.text("cloud.availability_zone", &ec2.availability_zone);
            self.text("host.id", &ec2.instance_id);
            self.text("host.type", &ec2.instance_size);
            self.text("host.image.id", &ec2.ami_id);
        }
        if let Some(ecs) = &aws.ecs {
            self.text("container.name", &ecs.container);
            self.text("cloud.availability_zone", &ecs.availability_zone);
            self.text("container.id", &ecs.container_id);
        }
        if let Some(beanstalk) = &aws.beanstalk {
            self.text("service.namespace", &beanstalk.environment);
            if let Some(id) = beanstalk.deployment_id {
                self.str("service.instance.id", &id.to_string());
            }
            self.text("service.version", &beanstalk.version_label);
        }
        if let Some(eks) = &aws.eks {
            self.text("container.id", &eks.container_id);
            self.text("k8s.cluster.name", &eks.cluster_name);
            self.text("k8s.pod.name", &eks.pod);
        }
    }

    fn sdk(&mut self, aws: &Aws<'_>, document: &Document<'_>) {
        let Some(sdk) = &aws.xray else { return };
        self.text("telemetry.sdk.version", &sdk.version);
        let Some(name) = &sdk.name else { return };
        self.str("telemetry.sdk.name", name.as_str());
        let exceptions = document
            .cause
            .as_ref()
            .map_or(&[][..], |cause| cause.exceptions());
        if !exceptions.is_empty() {
            // The stacks are written in Java's form below, and an exporter must read them so.
            self.str("telemetry.sdk.language", "java");
        } else if let Some((_, language)) = name.as_str().split_once("for ") {
            self.str("telemetry.sdk.language", language);
        }
    }
}
