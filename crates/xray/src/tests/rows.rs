//! The specification row by row where the golden cases and the whole documents leave gaps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Tables of input and outcome: `json!` values are handed over, and a table may be long.
#![allow(clippy::needless_pass_by_value, clippy::too_many_lines)]

use serde_json::{Value as Json, json};

use super::support::{document, documents_with};
use crate::segment::Settings;

const PARENT: &str = "1111111111111111";

/// The only document of a span of some kind with these attributes, without a resource.
fn of(kind: i32, attributes: Json) -> Json {
    document(
        json!({"name": "own name", "kind": kind, "attributes": attributes}),
        &json!({}),
    )
}

/// The document of a span with nothing but a resource.
fn of_resource(resource: Json) -> Json {
    document(json!({"name": "x", "kind": 2}), &resource)
}

fn indexed(names: &[&str]) -> Settings {
    Settings {
        indexed: names.iter().map(|name| (*name).into()).collect(),
        ..Settings::default()
    }
}

#[test]
fn times_are_shortest_doubles_of_seconds() {
    for (ns, text) in [
        ("1795364000123456789", "1795364000.1234567"),
        ("1795364000000000000", "1795364000"),
        ("1795364000500000000", "1795364000.5"),
        ("0", "0"),
        ("1", "1e-9"),
        ("18446744073709551615", "18446744073.709553"),
    ] {
        let span = json!({"name": "x", "startTimeUnixNano": ns, "endTimeUnixNano": ns});
        let document = document(span, &json!({}));
        for time in [&document["start_time"], &document["end_time"]] {
            let wanted: f64 = text.parse().unwrap();
            assert_eq!(time.as_f64().unwrap().to_bits(), wanted.to_bits(), "{ns}");
        }
    }
}

#[test]
fn a_span_is_a_subsegment_with_a_parent_and_a_kind_that_does_not_serve() {
    for (kind, with_parent) in [
        (0, true),
        (1, true),
        (2, false),
        (3, true),
        (4, true),
        (5, false),
        (99, true),
    ] {
        let root = of(kind, json!({}));
        assert_eq!(root.get("type"), None, "{kind}");
        let child = json!({"name": "x", "kind": kind, "parentSpanId": PARENT});
        let child = document(child, &json!({}));
        assert_eq!(child["type"] == "subsegment", with_parent, "{kind}");
        assert_eq!(child["parent_id"], PARENT);
    }
}

#[test]
fn each_source_of_a_name_gives_way_to_those_before_it() {
    // In falling order; each step drops the first one.
    let sources = [
        ("aws.local.service", "1"),
        ("aws.remote.service", "2"),
        ("peer.service", "3"),
        ("aws.service", "4"),
        ("db.name", "5"),
        ("service.name", "6"),
        ("rpc.service", "7"),
        ("http.host", "8"),
        ("net.peer.name", "9"),
    ];
    let name = |kind: i32, from: usize| {
        let mut attributes = serde_json::Map::new();
        let mut resource = json!({});
        for (key, value) in sources.iter().skip(from) {
            if *key == "service.name" {
                resource = json!({(*key): value});
            } else {
                attributes.insert((*key).to_owned(), (*value).into());
            }
        }
        let span = json!({"name": "own", "kind": kind, "attributes": attributes});
        document(span, &resource)["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let all = |kind| (0..=9).map(|from| name(kind, from)).collect::<Vec<_>>();
    assert_eq!(all(2), ["1", "3", "3", "4", "5", "6", "7", "8", "9", "own"]);
    for calls in [3, 4, 5] {
        assert_eq!(
            all(calls),
            ["2", "2", "3", "4", "5", "7", "7", "8", "9", "own"]
        );
    }
    for other in [0, 1] {
        assert_eq!(
            all(other),
            ["3", "3", "3", "4", "5", "7", "7", "8", "9", "own"]
        );
    }
    // Empty text does not count.
    assert_eq!(
        of(3, json!({"peer.service": "", "http.host": "h"}))["name"],
        "h"
    );
}

#[test]
fn names_from_attributes_are_sent_as_they_are_unless_the_schema_is_strict() {
    let strict = Settings {
        strict: true,
        ..Settings::default()
    };
    let named = |settings: &Settings, name: &str| {
        let span = json!({"name": "x", "kind": 3, "attributes": {"peer.service": name}});
        documents_with(settings, span, &json!({}))[0]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let long = "n".repeat(300);
    for (name, valid) in [
        ("shop (front)", "shop front"),
        ("a*b{c}", "abc"),
        ("***", "span"),
        ("fine_.:/%&#=+-@ 1", "fine_.:/%&#=+-@ 1"),
        (&long, &long[..200]),
        (&"\u{d55c}".repeat(67), &"\u{d55c}".repeat(66)),
    ] {
        assert_eq!(named(&Settings::default(), name), name);
        assert_eq!(named(&strict, name), valid);
    }
    let database = json!({"name": "x", "kind": 3, "attributes": {
        "db.name": "d".repeat(150), "db.connection_string": format!("mysql://{}", "h".repeat(100)),
    }});
    let name = documents_with(&strict, database, &json!({}))[0]["name"].clone();
    assert_eq!(name, format!("{}@{}", "d".repeat(150), "h".repeat(49)));
}

#[test]
fn a_span_without_an_id_gets_one_if_the_schema_is_strict() {
    let span = json!({"name": "x", "spanId": ""});
    assert_eq!(document(span.clone(), &json!({}))["id"], Json::Null);
    let strict = Settings {
        strict: true,
        ..Settings::default()
    };
    let document = &documents_with(&strict, span, &json!({}))[0];
    assert_eq!(document["id"].as_str().unwrap().len(), 16);
}

#[test]
fn the_sdk_prefix_is_cut_for_calls_of_the_aws_api_only() {
    for (name, system, cut) in [
        ("AWS.SDK.S3", "aws-api", "S3"),
        ("AWS::S3", "aws-api", "S3"),
        ("AWS.SDK.AWS::S3", "aws-api", "AWS::S3"),
        ("S3", "aws-api", "S3"),
        ("AWS::S3", "grpc", "AWS::S3"),
        ("AWS.SDK.S3", "AWS-API", "AWS.SDK.S3"),
    ] {
        let document = of(3, json!({"aws.remote.service": name, "rpc.system": system}));
        assert_eq!(document["name"], cut, "{name} {system}");
    }
    assert_eq!(
        of(3, json!({"aws.remote.service": "AWS::S3"}))["name"],
        "AWS::S3"
    );
}

#[test]
fn names_of_databases_have_their_host() {
    for (attributes, name) in [
        (
            json!({"db.name": "d", "db.connection_string": "jdbc:mysql://h:3306/x"}),
            "d@h",
        ),
        (
            json!({"db.name": "d", "db.connection_string": "mysql://h"}),
            "d@h",
        ),
        (
            json!({"db.name": "d", "db.connection_string": "mysql://d b/"}),
            "d",
        ),
        (json!({"db.name": "d", "db.connection_string": ""}), "d"),
        (json!({"db.name": "d"}), "d"),
        (json!({"db.connection_string": "mysql://h"}), "own name"),
    ] {
        assert_eq!(of(3, attributes.clone())["name"], name, "{attributes}");
    }
}

#[test]
fn namespaces_by_system_source_of_the_name_and_kind() {
    for (kind, attributes, namespace) in [
        (1, json!({"rpc.system": "aws-api"}), "aws"),
        (3, json!({"rpc.system": "aws-api"}), "aws"),
        (1, json!({"aws.service": "s"}), "aws"),
        (3, json!({"aws.service": "s"}), "aws"),
        (
            3,
            json!({"aws.service": "s", "peer.service": "p"}),
            "remote",
        ),
        (3, json!({}), "remote"),
        (4, json!({}), "remote"),
        (0, json!({}), ""),
        (1, json!({}), ""),
        (2, json!({}), ""),
        (5, json!({"aws.remote.service": "r"}), ""),
    ] {
        let document = of(kind, attributes.clone());
        let made = document
            .get("namespace")
            .map_or("", |n| n.as_str().unwrap());
        assert_eq!(made, namespace, "{kind} {attributes}");
    }
}

#[test]
fn origins_by_platform() {
    for (resource, origin) in [
        (json!({}), ""),
        (json!({"cloud.platform": "aws_ec2"}), "AWS::EC2::Instance"),
        (
            json!({"cloud.platform": "aws_ec2", "cloud.provider": "aws"}),
            "AWS::EC2::Instance",
        ),
        (
            json!({"cloud.platform": "aws_ec2", "cloud.provider": "gcp"}),
            "",
        ),
        (
            json!({"cloud.platform": "aws_ec2", "cloud.provider": ""}),
            "",
        ),
        (json!({"cloud.platform": "aws_eks"}), "AWS::EKS::Container"),
        (
            json!({"cloud.platform": "aws_app_runner"}),
            "AWS::AppRunner::Service",
        ),
        (
            json!({"cloud.platform": "aws_elastic_beanstalk"}),
            "AWS::ElasticBeanstalk::Environment",
        ),
        (json!({"cloud.platform": "aws_ecs"}), "AWS::ECS::Container"),
        (
            json!({"cloud.platform": "aws_ecs", "aws.ecs.launchtype": "ec2"}),
            "AWS::ECS::EC2",
        ),
        (
            json!({"cloud.platform": "aws_ecs", "aws.ecs.launchtype": "fargate"}),
            "AWS::ECS::Fargate",
        ),
        (
            json!({"cloud.platform": "aws_ecs", "aws.ecs.launchtype": "FARGATE"}),
            "AWS::ECS::Container",
        ),
        (json!({"cloud.platform": "aws_lambda"}), ""),
        (json!({"cloud.platform": "gcp_compute_engine"}), ""),
    ] {
        let document = of_resource(resource.clone());
        let made = document.get("origin").map_or("", |o| o.as_str().unwrap());
        assert_eq!(made, origin, "{resource}");
    }
}

#[test]
fn versions_come_from_the_service_or_its_image() {
    for (resource, service) in [
        (
            json!({"service.version": "1", "container.image.tag": "2"}),
            json!({"version": "1"}),
        ),
        (
            json!({"container.image.tags": ["3", "4"], "container.image.tag": "2"}),
            json!({"version": "3"}),
        ),
        (
            json!({"container.image.tags": [], "container.image.tag": "2"}),
            json!({"version": "2"}),
        ),
        (json!({"container.image.tag": "2"}), json!({"version": "2"})),
        (
            json!({"service.version": "", "container.image.tag": "2"}),
            json!({}),
        ),
        (json!({"service.version": 5}), json!({})),
        (json!({"service.name": "s"}), Json::Null),
    ] {
        assert_eq!(
            of_resource(resource.clone())["service"],
            service,
            "{resource}"
        );
    }
}

fn url(kind: i32, attributes: &Json) -> Json {
    let mut attributes = attributes.clone();
    attributes["http.method"] = "GET".into();
    of(kind, attributes)["http"]["request"]["url"].clone()
}

#[test]
fn urls_of_servers_by_the_first_host_and_without_usual_ports() {
    for (attributes, wanted) in [
        (json!({"http.url": "u", "http.host": "h"}), json!("u")),
        (json!({"url.full": "u", "http.host": "h"}), json!("u")),
        (
            json!({"http.host": "h", "net.host.port": 81, "http.server_name": "s"}),
            json!("http://h/"),
        ),
        (
            json!({"http.server_name": "s", "net.host.name": "n", "net.host.port": 81}),
            json!("http://s:81/"),
        ),
        (
            json!({"net.host.name": "n", "host.name": "o", "net.host.port": "81"}),
            json!("http://n:81/"),
        ),
        (
            json!({"host.name": "o", "server.address": "a", "server.port": 82}),
            json!("http://o:82/"),
        ),
        (
            json!({"server.address": "a", "server.port": 82, "net.host.port": 81}),
            json!("http://a:81/"),
        ),
        (
            json!({"server.address": "a", "server.port": 80}),
            json!("http://a/"),
        ),
        (
            json!({"server.address": "a", "server.port": 443, "http.scheme": "https"}),
            json!("https://a/"),
        ),
        (
            json!({"server.address": "a", "server.port": 80, "url.scheme": "https"}),
            json!("https://a:80/"),
        ),
        (
            json!({"http.host": "h", "http.target": "/t?q", "url.path": "/p"}),
            json!("http://h/t?q"),
        ),
        (
            json!({"http.host": "h", "url.path": "/p", "url.query": "a=1"}),
            json!("http://h/p?a=1"),
        ),
        (
            json!({"http.host": "h", "url.query": "?a=1"}),
            json!("http://h/?a=1"),
        ),
        (json!({"net.peer.name": "p"}), json!("http:///")),
        (json!({"url.path": "/p", "http.target": "/t"}), Json::Null),
        (
            json!({"network.peer.address": "10.0.0.1"}),
            json!("http:///"),
        ),
        (json!({"network.peer.address": "/socket"}), Json::Null),
    ] {
        assert_eq!(url(2, &attributes), wanted, "{attributes}");
    }
}

#[test]
fn urls_of_clients_by_their_peer() {
    for (attributes, wanted) in [
        (json!({"url.full": "u", "net.peer.name": "p"}), json!("u")),
        (
            json!({"http.host": "h", "net.peer.port": 81}),
            json!("http://h/"),
        ),
        (
            json!({"net.peer.name": "p", "net.peer.ip": "1.2.3.4", "net.peer.port": 81}),
            json!("http://p:81/"),
        ),
        (
            json!({"net.peer.ip": "1.2.3.4", "http.scheme": "https", "net.peer.port": 443}),
            json!("https://1.2.3.4/"),
        ),
        // The names that replaced them are not looked at, as in the reference.
        (
            json!({"server.address": "a", "server.port": 82, "url.path": "/p"}),
            json!("http:///p"),
        ),
        (json!({"url.path": "/p"}), Json::Null),
    ] {
        for kind in [0, 1, 3, 4, 5] {
            assert_eq!(url(kind, &attributes), wanted, "{kind} {attributes}");
        }
    }
}

#[test]
fn lengths_of_answers_come_from_the_span_or_its_first_event() {
    let size = |n: i64, kind: &str| json!({"message.type": kind, "messaging.message_payload_size_bytes": n});
    let length = |own: Json, events: &[Json]| {
        let mut attributes = own;
        attributes["http.method"] = "GET".into();
        let events: Vec<Json> = events
            .iter()
            .map(|e| json!({"name": "message", "attributes": e}))
            .collect();
        let span = json!({"name": "x", "attributes": attributes, "events": events});
        document(span, &json!({}))["http"]["response"]["content_length"].clone()
    };
    assert_eq!(length(size(5, "RECEIVED"), &[size(6, "RECEIVED")]), 5);
    assert_eq!(
        length(
            size(5, "SENT"),
            &[size(6, "SENT"), size(7, "RECEIVED"), size(8, "RECEIVED")]
        ),
        7
    );
    assert_eq!(length(json!({}), &[]), 0);
    assert_eq!(length(json!({}), &[json!({"message.type": "RECEIVED"})]), 0);
}

#[test]
fn flags_by_code_and_then_by_status() {
    for (code, status, flags) in [
        (Json::Null, 0, [false, false, false]),
        (Json::Null, 1, [false, false, false]),
        (Json::Null, 2, [true, false, false]),
        (json!(200), 2, [true, false, false]),
        (json!(399), 0, [false, false, false]),
        (json!(400), 0, [false, true, false]),
        (json!(404), 2, [false, true, false]),
        (json!(429), 2, [false, true, true]),
        (json!(499), 1, [false, true, false]),
        (json!(500), 0, [true, false, false]),
        (json!(599), 1, [true, false, false]),
        (json!(600), 0, [false, false, false]),
        (json!(600), 2, [true, false, false]),
        (json!(-404), 0, [false, false, false]),
    ] {
        for key in ["http.status_code", "http.response.status_code"] {
            let attributes = if code.is_null() {
                json!({})
            } else {
                json!({key: code})
            };
            let span = json!({"name": "x", "status": {"code": status}, "attributes": attributes});
            let d = document(span, &json!({}));
            let made = ["fault", "error", "throttle"].map(|flag| d[flag].as_bool().unwrap());
            assert_eq!(made, flags, "{code} {status}");
        }
    }
    // Of both the older name counts.
    let both = json!({"http.status_code": 200, "http.response.status_code": 500});
    assert_eq!(of(2, both)["fault"], false);
}

#[test]
fn an_exception_event_is_a_cause_whatever_the_status() {
    for status in 0..3 {
        let span = json!({"name": "x", "status": {"code": status, "message": "not this"}, "events": [
            {"name": "exception", "attributes": {"exception.message": "m"}},
            {"name": "other", "attributes": {"exception.message": "not this"}},
            {"name": "exception"},
        ]});
        let cause = document(span, &json!({}))["cause"]["exceptions"].clone();
        let mut cause = cause.as_array().unwrap().clone();
        for exception in &mut cause {
            exception.as_object_mut().unwrap().remove("id");
        }
        assert_eq!(
            cause,
            [
                json!({"message": "m", "type": "", "remote": false}),
                json!({"message": "", "type": "", "remote": false}),
            ]
        );
    }
}

#[test]
fn a_status_is_a_cause_with_text_only() {
    let cause = |status: Json, attributes: Json| {
        let span = json!({"name": "x", "kind": 3, "status": status, "attributes": attributes});
        document(span, &json!({}))
    };
    let text = json!({"http.status_text": "gone"});
    let own = cause(json!({"code": 2, "message": "m"}), text.clone());
    let exception = &own["cause"]["exceptions"][0];
    assert_eq!(
        (&exception["message"], &exception["type"]),
        (&json!("m"), &json!(""))
    );
    assert_eq!(exception.get("remote"), None);
    assert_eq!(own.get("metadata"), None);
    let instead = cause(json!({"code": 2}), text.clone());
    assert_eq!(instead["cause"]["exceptions"][0]["message"], "gone");
    assert_eq!(instead.get("metadata"), None);
    assert_eq!(cause(json!({"code": 2}), json!({})).get("cause"), None);
    let fine = cause(json!({"code": 1, "message": "m"}), text);
    assert_eq!(fine.get("cause"), None);
    assert_eq!(fine["metadata"]["default"]["http.status_text"], "gone");
}

#[test]
fn stacks_are_read_in_known_languages_only() {
    let frames = |language: &str| {
        let span = json!({"name": "x", "events": [{"name": "exception", "attributes": {
            "exception.stacktrace": "E: x\n\tat a.b(C.java:1)\n    at f (a:1:2)\n   at A.B() in /c:line 1\nlabel\n/d.go:1",
        }}]});
        let resource = json!({"telemetry.sdk.language": language});
        let cause = document(span, &resource)["cause"]["exceptions"][0].clone();
        cause["stack"].as_array().map_or(0, Vec::len)
    };
    for language in ["java", "php", "javascript", "dotnet", "go"] {
        assert_ne!(frames(language), 0, "{language}");
    }
    for language in ["ruby", "rust", "cpp", "nodejs", "webjs", "Java", ""] {
        assert_eq!(frames(language), 0, "{language}");
    }
}

#[test]
fn missing_parts_are_null_but_for_ecs() {
    let aws = |resource: Json| of_resource(resource)["aws"].clone();
    let nulls = json!({"instance_id": null, "availability_zone": null, "instance_size": null, "ami_id": null});
    assert_eq!(aws(json!({"cloud.platform": "aws_ec2"}))["ec2"], nulls);
    let full = json!({
        "host.id": "i", "cloud.availability_zone": "z", "host.type": "t", "host.image.id": "a",
    });
    assert_eq!(
        aws(full)["ec2"],
        json!({"instance_id": "i", "availability_zone": "z", "instance_size": "t", "ami_id": "a"})
    );
    let cluster = aws(json!({"k8s.cluster.name": "c"}));
    assert_eq!(
        cluster["eks"],
        json!({"cluster_name": "c", "pod": null, "container_id": null})
    );
    assert_eq!(aws(json!({"k8s.pod.name": "p"})).get("eks"), None);
    let platform = aws(json!({"cloud.platform": "aws_eks"}));
    assert_eq!(
        platform["eks"],
        json!({"cluster_name": null, "pod": null, "container_id": null})
    );
    assert_eq!(aws(json!({"cloud.platform": "aws_ecs"}))["ecs"], json!({}));
    assert_eq!(
        aws(json!({"cloud.platform": "aws_ecs", "container.name": "c", "aws.ecs.task.arn": "t"}))["ecs"],
        json!({"container": "c", "task_arn": "t"})
    );
    let beanstalk = |id: &str| {
        aws(json!({"cloud.platform": "aws_elastic_beanstalk", "service.instance.id": id}))
    };
    assert_eq!(
        beanstalk("7")["elastic_beanstalk"],
        json!({"environment_name": null, "version_label": null, "deployment_id": 7})
    );
    assert_eq!(beanstalk("").get("elastic_beanstalk"), None);
}

#[test]
fn log_groups_come_from_arns_then_names_then_the_configuration() {
    let settings = Settings {
        log_groups: vec!["configured".to_owned()],
        ..Settings::default()
    };
    let arn = "arn:aws:logs:r:1:log-group:g:*";
    for (resource, groups) in [
        (
            json!({"aws.log.group.arns": arn, "aws.log.group.names": "n"}),
            json!([{"log_group": "g", "arn": arn}]),
        ),
        (
            json!({"aws.log.group.arns": ["short", arn]}),
            json!([{"log_group": "short", "arn": "short"}, {"log_group": "g", "arn": arn}]),
        ),
        (
            json!({"aws.log.group.arns": "&", "aws.log.group.names": "a&&b"}),
            json!([{"log_group": "a"}, {"log_group": "b"}]),
        ),
        (
            json!({"aws.log.group.arns": [], "aws.log.group.names": ["a", "b&c"]}),
            json!([{"log_group": "a"}, {"log_group": "b&c"}]),
        ),
        (
            json!({"aws.log.group.names": []}),
            json!([{"log_group": "configured"}]),
        ),
        (
            json!({"aws.log.group.names": 5}),
            json!([{"log_group": "configured"}]),
        ),
        (json!({}), json!([{"log_group": "configured"}])),
    ] {
        let made = documents_with(&settings, json!({"name": "x"}), &resource);
        assert_eq!(made[0]["aws"]["cloudwatch_logs"], groups, "{resource}");
    }
    assert_eq!(of_resource(json!({}))["aws"].get("cloudwatch_logs"), None);
}

#[test]
fn the_sdk_is_named_with_its_language() {
    for (resource, xray) in [
        (json!({}), json!({"auto_instrumentation": false})),
        (
            json!({"telemetry.sdk.name": "o", "telemetry.sdk.language": "go", "telemetry.sdk.version": "1"}),
            json!({"sdk": "o for go", "sdk_version": "1", "auto_instrumentation": false}),
        ),
        (
            json!({"telemetry.sdk.name": "o", "telemetry.auto.version": "2"}),
            json!({"sdk": "o", "auto_instrumentation": true}),
        ),
        (
            json!({"telemetry.sdk.language": "go", "telemetry.distro.version": "2"}),
            json!({"auto_instrumentation": true}),
        ),
        (
            json!({"telemetry.auto.version": ""}),
            json!({"auto_instrumentation": false}),
        ),
    ] {
        assert_eq!(
            of_resource(resource.clone())["aws"]["xray"],
            xray,
            "{resource}"
        );
    }
}

#[test]
fn calls_of_aws_tell_operation_region_request_queue_and_table() {
    for (attributes, key, value, left) in [
        (
            json!({"aws.operation": "o", "rpc.method": "m"}),
            "operation",
            json!("o"),
            Json::Null,
        ),
        (
            json!({"rpc.method": "m"}),
            "operation",
            json!("m"),
            Json::Null,
        ),
        (json!({"aws.region": "r"}), "region", json!("r"), Json::Null),
        (
            json!({"aws.request_id": "1"}),
            "request_id",
            json!("1"),
            Json::Null,
        ),
        (
            json!({"aws.requestId": "2"}),
            "request_id",
            json!("2"),
            Json::Null,
        ),
        (
            json!({"aws.queue_url": "q"}),
            "queue_url",
            json!("q"),
            Json::Null,
        ),
        (
            json!({"aws.queue.url": "q"}),
            "queue_url",
            json!("q"),
            Json::Null,
        ),
        (
            json!({"messaging.url": "u", "aws.queue.url": "q"}),
            "queue_url",
            json!("u"),
            json!({"messaging.url": "u"}),
        ),
        (
            json!({"aws.table_name": "t"}),
            "table_name",
            json!("t"),
            Json::Null,
        ),
        (
            json!({"aws.table.name": "t"}),
            "table_name",
            json!("t"),
            Json::Null,
        ),
        (
            json!({"aws.dynamodb.table_names": ["d"], "aws.table_name": "t"}),
            "table_name",
            json!("d"),
            json!({"aws.dynamodb.table_names": ["d"]}),
        ),
        (
            json!({"aws.dynamodb.table_names": "d"}),
            "table_name",
            json!("d"),
            json!({"aws.dynamodb.table_names": "d"}),
        ),
        (
            json!({"aws.dynamodb.table_names": []}),
            "table_name",
            Json::Null,
            json!({"aws.dynamodb.table_names": []}),
        ),
        (
            json!({"aws.account_id": "1"}),
            "account_id",
            json!("1"),
            Json::Null,
        ),
        (
            json!({"rpc.service": "s", "rpc.system": "y"}),
            "operation",
            Json::Null,
            json!({"rpc.service": "s", "rpc.system": "y"}),
        ),
    ] {
        let document = of(3, attributes.clone());
        assert_eq!(document["aws"][key], value, "{attributes}");
        assert_eq!(document["metadata"]["default"], left, "{attributes}");
    }
    // An account without a value is none.
    let span = json!({"name": "x", "kind": 3, "attributes": {"aws.account_id": {}}});
    assert_eq!(
        document(span, &json!({"cloud.account.id": "2"}))["aws"]["account_id"],
        "2"
    );
}

#[test]
fn sql_is_for_listed_systems_and_takes_its_attributes_only_then() {
    let attributes = |system: &str| json!({"db.system": system, "db.name": "n", "db.statement": "s", "db.user": "u", "db.operation": "o"});
    for system in [
        "db2",
        "derby",
        "hive",
        "mariadb",
        "mssql",
        "mysql",
        "oracle",
        "postgresql",
        "sqlite",
        "teradata",
        "other_sql",
    ] {
        let document = of(3, attributes(system));
        assert_eq!(
            document["sql"],
            json!({
                "connection_string": "localhost/n", "url": "own name", "sanitized_query": "s",
                "database_type": system, "user": "u",
            })
        );
        assert_eq!(
            document["metadata"]["default"],
            json!({"db.operation": "o"})
        );
    }
    for system in ["mongodb", "redis", "dynamodb", "MYSQL", ""] {
        let document = of(3, attributes(system));
        assert_eq!(document.get("sql"), None);
        assert_eq!(document["metadata"]["default"], attributes(system));
    }
}

#[test]
fn a_query_under_its_current_name_fills_the_member_the_reference_leaves_out() {
    let filled = of(3, json!({"db.system": "mysql", "db.query.text": "q"}));
    assert_eq!(filled["sql"]["sanitized_query"], "q");
    // Nothing else differs from the reference: it stays metadata.
    assert_eq!(filled["metadata"]["default"], json!({"db.query.text": "q"}));
    let both = of(
        3,
        json!({"db.system": "mysql", "db.query.text": "q", "db.statement": "s"}),
    );
    assert_eq!(both["sql"]["sanitized_query"], "s");
    let current = of(3, json!({"db.system.name": "mysql", "db.query.text": "q"}));
    assert_eq!(current.get("sql"), None);
}

#[test]
fn taken_attributes_come_back_for_the_configured_index() {
    let settings = indexed(&[
        "url.full",
        "aws.region",
        "db.name",
        "enduser.id",
        "otel.resource.r",
        "list",
    ]);
    let span = json!({"name": "x", "kind": 2, "attributes": {
        "url.full": "u", "aws.region": "r", "db.system": "mysql", "db.name": "d", "list": [1], "enduser.id": "e",
        "aws.xray.annotations": ["aws.operation", "own"], "aws.operation": "o", "own": 1.5,
    }});
    let document = &documents_with(&settings, span, &json!({"r": true, "s": false}))[0];
    assert_eq!(
        document["annotations"],
        json!({"url.full": "u", "aws.region": "r", "db.name": "d", "otel.resource.r": true, "own": 1.5})
    );
    assert_eq!(document["http"]["request"]["url"], "u");
    assert_eq!(document["aws"]["region"], "r");
    assert_eq!(
        document["metadata"],
        json!({"default": {"otel.resource.s": false}})
    );
}

#[test]
fn indexed_values_that_are_no_scalars_are_dropped() {
    let settings = indexed(&["list", "map", "bytes", "otel.resource.list"]);
    let span = json!({"name": "x", "kind": 2, "attributes": {
        "list": [1], "bytes": {"bytesValue": "AQI="}, "map": {"kvlistValue": {"values": []}}, "kept": {"bytesValue": "AQI="},
    }});
    let document = &documents_with(&settings, span, &json!({"list": ["a"]}))[0];
    assert_eq!(document.get("annotations"), None);
    // Those of the resource are kept as metadata.
    assert_eq!(
        document["metadata"]["default"],
        json!({"kept": "AQI=", "otel.resource.list": ["a"]})
    );
}

#[test]
fn annotation_keys_are_cleaned_character_by_character() {
    let settings = Settings {
        index_all: true,
        ..Settings::default()
    };
    let span =
        json!({"name": "x", "kind": 2, "attributes": {"a-b/c d": 1, "\u{d55c}.x": 2, "A_9.z": 3}});
    let document = &documents_with(&settings, span, &json!({}))[0];
    assert_eq!(
        document["annotations"],
        json!({"a_b_c_d": 1, "_.x": 2, "A_9.z": 3})
    );
}

#[test]
fn attributes_of_the_resource_are_in_segments_only() {
    let resource = json!({"r": 1});
    for (kind, parent, there) in [
        (1, "", true),
        (1, PARENT, false),
        (2, PARENT, true),
        (3, "", true),
        (3, PARENT, false),
        (5, PARENT, true),
    ] {
        let span = json!({"name": "x", "kind": kind, "parentSpanId": parent});
        for settings in [Settings::default(), indexed(&["otel.resource.r"])] {
            let document = &documents_with(&settings, span.clone(), &resource)[0];
            let found = document.get("metadata").or(document.get("annotations"));
            assert_eq!(found.is_some(), there, "{kind} {parent}");
        }
    }
}

#[test]
fn local_roots_that_call_out_are_two_documents() {
    for kind in [0, 3, 4, 5] {
        let span = json!({
            "name": "own", "kind": kind, "parentSpanId": PARENT,
            "attributes": {
                "aws.span.kind": "LOCAL_ROOT", "aws.local.service": "local", "aws.remote.service": "remote",
                "aws.remote.operation": "o", "remoteTarget": "t", "K8s.RemoteNamespace": "n",
                "http.method": "GET", "aws.region": "r", "enduser.id": "u", "k": 1,
            },
            "links": [{"traceId": "6b0314a0ffffffffffffffffffffffff", "spanId": "2222222222222222"}],
        });
        let made = documents_with(
            &indexed(&["remoteTarget"]),
            span,
            &json!({"service.name": "s"}),
        );
        let [call, service] = made.as_slice() else {
            panic!("{kind}")
        };
        assert_eq!(
            (&call["name"], &service["name"]),
            (&json!("remote"), &json!("local"))
        );
        assert_eq!(
            (&call["id"], &call["parent_id"]),
            (&json!("a1b2c3d4e5f60718"), &service["id"])
        );
        assert_eq!(service["parent_id"], PARENT);
        assert_eq!(
            (&call["type"], &call["namespace"]),
            (&json!("subsegment"), &json!("remote"))
        );
        assert!(service.get("type").is_none() && service.get("namespace").is_none());
        assert!(call.get("http").is_some() && service.get("http").is_none());
        assert_eq!(
            (&call["aws"]["region"], service["aws"].get("region")),
            (&json!("r"), None)
        );
        assert_eq!(
            (&call["user"], &service["user"]),
            (&json!("u"), &json!("u"))
        );
        assert_eq!(call["annotations"], json!({"remoteTarget": "t"}));
        assert_eq!(service.get("annotations"), None);
        assert_eq!(call["metadata"]["default"]["k"], 1);
        let of_consumer = kind == 5;
        assert_eq!(call.get("links").is_none(), of_consumer);
        assert_eq!(service.get("links").is_some(), of_consumer);
        // A consumer is a segment, parent or not, and those tell of the resource.
        let resource = json!({"otel.resource.service.name": "s"});
        let left = if of_consumer { resource } else { json!({}) };
        assert_eq!(service["metadata"]["default"], left, "{kind}");
    }
}

#[test]
fn events_that_are_no_exceptions_are_not_sent() {
    let span = json!({"name": "x", "status": {"code": 2}, "events": [
        {"name": "log", "attributes": {"message": "secret marker", "exception.message": "secret marker"}},
        {"name": "HTTP request failure", "attributes": {
            "http.response.status_code": 500, "aws.http.error_message": "secret marker",
        }},
    ]});
    let document = document(span, &json!({}));
    assert!(
        !document.to_string().contains("secret marker"),
        "{document}"
    );
    assert_eq!(document.get("cause"), None);
}

#[test]
fn the_end_user_is_the_user_and_no_metadata() {
    let document = of(2, json!({"enduser.id": "u"}));
    assert_eq!(
        (&document["user"], document.get("metadata")),
        (&json!("u"), None)
    );
    let document = of(2, json!({"enduser.id": 5}));
    assert_eq!(
        (document.get("user"), document.get("metadata")),
        (None, None)
    );
}
