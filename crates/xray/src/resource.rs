//! What all spans of a resource share, written once: `service`, `origin`, the resource's part of
//! the `aws` block, and its annotations and metadata.

use std::ops::Range;
use std::sync::Arc;

use weir_model::series::Resource;
use weir_model::{Attributes, ValueRef};

use crate::json::{Detail, DocumentWriter, member};
use crate::keys::RESOURCE_PREFIX;
use crate::metadata::{annotation_key, is_scalar};
use crate::segment::Settings;
use crate::stack::Language;

/// A resource as segments need it. Texts are fragments for the request body, see
/// [`crate::json`].
#[derive(Debug)]
pub(crate) struct ResourceView {
    resource: Arc<Resource>,
    /// `service.name`.
    pub service_name: Box<str>,
    /// Of the SDK; decides how stacks are read.
    pub language: Language,
    /// Members `service` and `origin`.
    pub head: Vec<u8>,
    /// Members of the `aws` block up to `xray`; `None` on another cloud, where there is no block.
    pub aws: Option<Vec<u8>>,
    /// `cloud.account.id`.
    pub account_id: Box<str>,
    /// Members of the default metadata, by the configured index.
    pub metadata: Vec<u8>,
    /// Values of annotations, by the configured index.
    values: Vec<u8>,
    /// Annotation keys and their values' places.
    annotations: Vec<(Box<str>, Range<usize>)>,
    /// Attributes that JSON has no form for.
    pub unprintable: u64,
}

impl ResourceView {
    pub(crate) fn new(resource: &Arc<Resource>, settings: &Settings) -> Self {
        let attributes = &resource.attributes;
        let text = |key| text_of(attributes, key);
        let mut view = Self {
            resource: resource.clone(),
            service_name: text("service.name").into(),
            language: Language::of(text("telemetry.sdk.language")),
            head: Vec::new(),
            aws: None,
            account_id: text("cloud.account.id").into(),
            metadata: Vec::new(),
            values: Vec::new(),
            annotations: Vec::new(),
            unprintable: 0,
        };
        let mut w = DocumentWriter::new(&mut view.head, Detail::FULL);
        write_service(&mut w, attributes);
        if let Some(origin) = origin(attributes) {
            w.raw(member!("origin"));
            w.text(origin);
        }
        if matches!(text("cloud.provider"), "" | "aws") {
            let mut aws = Vec::new();
            write_aws(
                &mut DocumentWriter::new(&mut aws, Detail::FULL),
                attributes,
                settings,
            );
            view.aws = Some(aws);
        }
        view.index(settings);
        view
    }

    /// Whether this is the view of `resource`.
    pub(crate) fn is_of(&self, resource: &Arc<Resource>) -> bool {
        Arc::ptr_eq(&self.resource, resource)
    }

    /// The attributes themselves.
    pub(crate) fn attributes(&self) -> &Attributes {
        &self.resource.attributes
    }

    /// Annotations by the configured index: cleaned key and fragment.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.annotations
            .iter()
            .map(|(key, range)| (&**key, self.values.get(range.clone()).unwrap_or(&[])))
    }

    /// Divides the attributes into annotations and metadata (XR-39, XR-43).
    fn index(&mut self, settings: &Settings) {
        let mut name = RESOURCE_PREFIX.to_owned();
        let mut metadata = DocumentWriter::new(&mut self.metadata, Detail::FULL);
        for (key, value) in self.resource.attributes.iter() {
            name.truncate(RESOURCE_PREFIX.len());
            name.push_str(key);
            if is_scalar(value) && settings.indexes(&name) {
                let start = self.values.len();
                let mut w = DocumentWriter::new(&mut self.values, Detail::FULL);
                let printed = w.value(value);
                self.unprintable += w.unprintable;
                if printed {
                    let key = annotation_key(&name, settings.allow_dot).into();
                    self.annotations.push((key, start..self.values.len()));
                }
                continue;
            }
            let before = metadata.mark();
            metadata.key(&name);
            if !metadata.value(value) {
                metadata.rewind(before);
            }
        }
        self.unprintable += metadata.unprintable;
    }
}

/// Text of an attribute; empty if it is absent or no text.
fn text_of<'a>(attributes: &'a Attributes, key: &str) -> &'a str {
    attributes.get(key).and_then(|v| v.as_str()).unwrap_or("")
}

/// `service`: the version of the service, or of its image (XR-14).
fn write_service(w: &mut DocumentWriter<'_>, attributes: &Attributes) {
    let first_tag = || match attributes.get("container.image.tags") {
        Some(ValueRef::List(tags)) => tags.iter().next(),
        _ => None,
    };
    let version = attributes
        .get("service.version")
        .or_else(first_tag)
        .or_else(|| attributes.get("container.image.tag"));
    if let Some(version) = version {
        w.raw(concat!(member!("service"), "{"));
        w.text_member(member!("version"), version.as_str().unwrap_or(""));
        w.close_object();
    }
}

/// Where the service runs (XR-13).
fn origin(attributes: &Attributes) -> Option<&'static str> {
    let provider = attributes.get("cloud.provider");
    if provider.is_some_and(|p| p.as_str() != Some("aws")) {
        return None;
    }
    Some(match text_of(attributes, "cloud.platform") {
        "aws_app_runner" => "AWS::AppRunner::Service",
        "aws_eks" => "AWS::EKS::Container",
        "aws_elastic_beanstalk" => "AWS::ElasticBeanstalk::Environment",
        "aws_ecs" => match text_of(attributes, "aws.ecs.launchtype") {
            "ec2" => "AWS::ECS::EC2",
            "fargate" => "AWS::ECS::Fargate",
            _ => "AWS::ECS::Container",
        },
        "aws_ec2" => "AWS::EC2::Instance",
        _ => return None,
    })
}

/// The resource's members of the `aws` block (XR-34 to XR-36).
fn write_aws(w: &mut DocumentWriter<'_>, attributes: &Attributes, settings: &Settings) {
    let text = |key| text_of(attributes, key);
    let platform = text("cloud.platform");
    let deployment = text("service.instance.id");
    if platform == "aws_elastic_beanstalk" && !deployment.is_empty() {
        w.raw(concat!(member!("elastic_beanstalk"), "{"));
        w.nullable_member(member!("environment_name"), text("service.namespace"));
        w.nullable_member(member!("version_label"), text("service.version"));
        w.raw(member!("deployment_id"));
        w.int(deployment.parse().unwrap_or(0));
        w.close_object();
    }
    write_log_groups(w, attributes, settings);
    if platform == "aws_ecs" {
        w.raw(concat!(member!("ecs"), "{"));
        w.text_member(member!("container"), text("container.name"));
        w.text_member(member!("container_id"), text("container.id"));
        w.text_member(member!("task_arn"), text("aws.ecs.task.arn"));
        w.text_member(member!("task_family"), text("aws.ecs.task.family"));
        w.text_member(member!("cluster_arn"), text("aws.ecs.cluster.arn"));
        w.text_member(member!("container_arn"), text("aws.ecs.container.arn"));
        w.text_member(
            member!("availability_zone"),
            text("cloud.availability_zone"),
        );
        w.text_member(member!("launch_type"), text("aws.ecs.launchtype"));
        w.close_object();
    }
    if platform == "aws_ec2" || !text("host.id").is_empty() {
        w.raw(concat!(member!("ec2"), "{"));
        w.nullable_member(member!("instance_id"), text("host.id"));
        w.nullable_member(
            member!("availability_zone"),
            text("cloud.availability_zone"),
        );
        w.nullable_member(member!("instance_size"), text("host.type"));
        w.nullable_member(member!("ami_id"), text("host.image.id"));
        w.close_object();
    }
    if platform == "aws_eks" || !text("k8s.cluster.name").is_empty() {
        w.raw(concat!(member!("eks"), "{"));
        w.nullable_member(member!("cluster_name"), text("k8s.cluster.name"));
        w.nullable_member(member!("pod"), text("k8s.pod.name"));
        w.nullable_member(member!("container_id"), text("container.id"));
        w.close_object();
    }
    w.raw(concat!(member!("xray"), "{"));
    let (sdk, language) = (text("telemetry.sdk.name"), text("telemetry.sdk.language"));
    if !sdk.is_empty() {
        w.raw(member!("sdk"));
        match language {
            "" => w.text(sdk),
            language => w.text_parts(&[sdk, " for ", language]),
        }
    }
    w.text_member(member!("sdk_version"), text("telemetry.sdk.version"));
    let auto = ["telemetry.auto.version", "telemetry.distro.version"];
    w.raw(member!("auto_instrumentation"));
    w.bool(auto.into_iter().any(|key| !text(key).is_empty()));
    w.close_object();
}

/// `cloudwatch_logs`: of the resource's ARNs, else its names, else of the configuration (XR-35).
fn write_log_groups(w: &mut DocumentWriter<'_>, attributes: &Attributes, settings: &Settings) {
    let before = w.mark();
    w.raw(concat!(member!("cloudwatch_logs"), "["));
    let first = w.mark();
    for_each_text(attributes.get("aws.log.group.arns"), |arn| {
        w.open_object();
        w.text_member(member!("log_group"), arn.split(':').nth(6).unwrap_or(arn));
        w.text_member(member!("arn"), arn);
        w.close_object();
    });
    let write_name = |name: &str, w: &mut DocumentWriter<'_>| {
        w.open_object();
        w.text_member(member!("log_group"), name);
        w.close_object();
    };
    if !w.wrote_since(first) {
        let names = attributes.get("aws.log.group.names");
        for_each_text(names, |name| write_name(name, w));
    }
    if !w.wrote_since(first) {
        for name in &settings.log_groups {
            write_name(name, w);
        }
    }
    if w.wrote_since(first) {
        w.close_array();
    } else {
        w.rewind(before);
    }
}

/// The texts of a list, or the parts of a text between `&`.
fn for_each_text(value: Option<ValueRef<'_>>, mut f: impl FnMut(&str)) {
    match value {
        Some(ValueRef::List(list)) => list.iter().for_each(|v| f(v.as_str().unwrap_or(""))),
        Some(ValueRef::Str(text)) => text.split('&').filter(|t| !t.is_empty()).for_each(f),
        _ => {}
    }
}
