//! Segment documents as they are sent: the members that mean something to a span.
//!
//! Members and their types are those of the X-Ray developer guide, "segment documents". What is left
//! out here (origin, links, precursor ids, the flags error, fault and throttle) the reference does
//! not translate either.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::json::{Json, Scalar, Text, object};

object! {
    /// The first line of a datagram.
    Header {
        format: Text<'a> = "format",
        version: i64 = "version",
    }
}

impl Header<'_> {
    pub(super) fn is_known(&self) -> bool {
        let json = |format: &Text<'_>| format.as_str().eq_ignore_ascii_case("json");
        self.format.as_ref().is_some_and(json) && self.version == Some(1)
    }
}

object! {
    /// A segment, or a subsegment in it or on its own.
    Document {
        name: Text<'a> = "name",
        id: Text<'a> = "id",
        trace_id: Text<'a> = "trace_id",
        parent_id: Text<'a> = "parent_id",
        start_time: f64 = "start_time",
        end_time: f64 = "end_time",
        in_progress: bool = "in_progress",
        kind: Text<'a> = "type",
        namespace: Text<'a> = "namespace",
        traced: bool = "traced",
        user: Text<'a> = "user",
        resource_arn: Text<'a> = "resource_arn",
        service: Box<Service<'a>> = "service",
        http: Box<Http<'a>> = "http",
        cause: Cause<'a> = "cause",
        aws: Box<Aws<'a>> = "aws",
        sql: Box<Sql<'a>> = "sql",
        annotations: BTreeMap<Text<'a>, Scalar<'a>> = "annotations",
        metadata: BTreeMap<Text<'a>, Option<BTreeMap<Text<'a>, Json<'a>>>> = "metadata",
        subsegments: Vec<Document<'a>> = "subsegments",
    }
}

impl Document<'_> {
    /// The document and all subsegments in it.
    pub(super) fn segments(&self) -> usize {
        let inner = self.subsegments.iter().flatten();
        1 + inner.map(Document::segments).sum::<usize>()
    }
}

object! {
    /// `service`.
    Service {
        version: Text<'a> = "version",
    }
}

object! {
    /// `http`.
    Http {
        request: Request<'a> = "request",
        response: Response<'a> = "response",
    }
}

object! {
    /// `http.request`.
    Request {
        method: Text<'a> = "method",
        url: Text<'a> = "url",
        user_agent: Text<'a> = "user_agent",
        client_ip: Text<'a> = "client_ip",
        x_forwarded_for: bool = "x_forwarded_for",
    }
}

object! {
    /// `http.response`.
    Response {
        status: i64 = "status",
        content_length: Scalar<'a> = "content_length",
    }
}

object! {
    /// `sql`.
    Sql {
        url: Text<'a> = "url",
        sanitized_query: Text<'a> = "sanitized_query",
        database_type: Text<'a> = "database_type",
        user: Text<'a> = "user",
    }
}

object! {
    /// `aws`.
    Aws {
        account_id: Text<'a> = "account_id",
        operation: Text<'a> = "operation",
        region: Text<'a> = "region",
        request_id: Text<'a> = "request_id",
        queue_url: Text<'a> = "queue_url",
        table_name: Text<'a> = "table_name",
        retries: i64 = "retries",
        log_groups: Vec<LogGroup<'a>> = "cloudwatch_logs",
        beanstalk: Beanstalk<'a> = "elastic_beanstalk",
        ecs: Ecs<'a> = "ecs",
        ec2: Ec2<'a> = "ec2",
        eks: Eks<'a> = "eks",
        xray: Sdk<'a> = "xray",
    }
}

object! {
    /// An entry of `aws.cloudwatch_logs`.
    LogGroup {
        name: Text<'a> = "log_group",
        arn: Text<'a> = "arn",
    }
}

object! {
    /// `aws.elastic_beanstalk`.
    Beanstalk {
        environment: Text<'a> = "environment_name",
        version_label: Text<'a> = "version_label",
        deployment_id: i64 = "deployment_id",
    }
}

object! {
    /// `aws.ecs`.
    Ecs {
        container: Text<'a> = "container",
        container_id: Text<'a> = "container_id",
        availability_zone: Text<'a> = "availability_zone",
    }
}

object! {
    /// `aws.ec2`.
    Ec2 {
        instance_id: Text<'a> = "instance_id",
        availability_zone: Text<'a> = "availability_zone",
        instance_size: Text<'a> = "instance_size",
        ami_id: Text<'a> = "ami_id",
    }
}

object! {
    /// `aws.eks`.
    Eks {
        cluster_name: Text<'a> = "cluster_name",
        pod: Text<'a> = "pod",
        container_id: Text<'a> = "container_id",
    }
}

object! {
    /// `aws.xray`.
    Sdk {
        name: Text<'a> = "sdk",
        version: Text<'a> = "sdk_version",
    }
}

/// `cause`: the id of an exception in another subsegment, or exceptions.
#[derive(Debug)]
pub(super) enum Cause<'a> {
    Id(Text<'a>),
    Exceptions(Exceptions<'a>),
}

impl<'a> Cause<'a> {
    pub(super) fn exceptions(&self) -> &[Exception<'a>] {
        match self {
            Self::Exceptions(Exceptions {
                list: Some(list), ..
            }) => list,
            _ => &[],
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Cause<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Cause<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an exception id or an object")
            }
            fn visit_borrowed_str<E>(self, id: &'de str) -> Result<Cause<'de>, E> {
                Ok(Cause::Id(Text(id.into())))
            }
            fn visit_str<E>(self, id: &str) -> Result<Cause<'de>, E> {
                Ok(Cause::Id(Text(id.to_owned().into())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cause<'de>, A::Error> {
                Exceptions::deserialize(MapAccessDeserializer::new(map)).map(Cause::Exceptions)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

object! {
    /// `cause` as an object.
    Exceptions {
        list: Vec<Exception<'a>> = "exceptions",
    }
}

object! {
    /// An exception.
    Exception {
        id: Text<'a> = "id",
        message: Text<'a> = "message",
        kind: Text<'a> = "type",
        remote: bool = "remote",
        truncated: i64 = "truncated",
        skipped: i64 = "skipped",
        cause: Text<'a> = "cause",
        stack: Vec<Frame<'a>> = "stack",
    }
}

object! {
    /// A frame of a stack.
    Frame {
        path: Text<'a> = "path",
        line: i64 = "line",
        label: Text<'a> = "label",
    }
}
