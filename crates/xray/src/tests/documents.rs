//! Whole documents: the worked examples of the specification to the byte, and what the golden cases
//! leave out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value as Json, json};

use super::support::{T0, batch, document, documents_with, translate};
use crate::segment::{Settings, Skipped};

fn of(span: Json) -> Json {
    document(span, &json!({}))
}

fn with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut changed = Settings::default();
    change(&mut changed);
    changed
}

fn texts(settings: &Settings, span: Json, resource: &Json) -> Vec<String> {
    translate(&batch(vec![span], resource), settings).texts()
}

#[test]
fn worked_example_a_server_span_to_the_byte() {
    let settings = with(|s| {
        s.indexed.insert("otel.resource.service.name".into());
        s.indexed.insert("http.route".into());
        s.log_groups.push("lg1".into());
    });
    let span = json!({
        "name": "x", "kind": 2, "parentSpanId": "1111111111111111",
        "attributes": {
            "http.request.method": "GET", "url.scheme": "https", "server.address": "shop.example",
            "server.port": 8443, "url.path": "/cart/7", "url.query": "a=1",
            "http.response.status_code": 200, "client.address": "10.0.0.9",
            "network.peer.address": "10.0.0.8", "user_agent.original": "ua",
            "http.route": "/cart/{id}", "enduser.id": "u1", "n": 5,
        },
    });
    let resource = json!({
        "cloud.account.id": "123456789012", "cloud.platform": "aws_eks", "cloud.provider": "aws",
        "container.id": "cid", "k8s.cluster.name": "cl", "k8s.pod.name": "pod-1",
        "service.name": "shop (front)", "service.version": "1.2", "telemetry.distro.version": "2.0",
        "telemetry.sdk.language": "java", "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.40",
    });
    assert_eq!(
        texts(&settings, span, &resource),
        [concat!(
            r#"{"name":"shop (front)","id":"a1b2c3d4e5f60718","start_time":1795364000.1234567,"service":{"version":"1.2"},"#,
            r#""origin":"AWS::EKS::Container","user":"u1","trace_id":"1-6b0314a0-0123456789abcdef01234567","end_time":1795364000.9876544,"#,
            r#""http":{"request":{"method":"GET","url":"https://shop.example:8443/cart/7?a=1","user_agent":"ua","client_ip":"10.0.0.9"},"response":{"status":200,"content_length":0}},"#,
            r#""fault":false,"error":false,"throttle":false,"#,
            r#""aws":{"cloudwatch_logs":[{"log_group":"lg1"}],"eks":{"cluster_name":"cl","pod":"pod-1","container_id":"cid"},"xray":{"sdk":"opentelemetry for java","sdk_version":"1.40","auto_instrumentation":true},"account_id":"123456789012"},"#,
            r#""annotations":{"http.route":"/cart/{id}","otel.resource.service.name":"shop (front)"},"#,
            r#""metadata":{"default":{"n":5,"otel.resource.cloud.account.id":"123456789012","otel.resource.cloud.platform":"aws_eks","otel.resource.cloud.provider":"aws","otel.resource.container.id":"cid","otel.resource.k8s.cluster.name":"cl","otel.resource.k8s.pod.name":"pod-1","otel.resource.service.version":"1.2","otel.resource.telemetry.distro.version":"2.0","otel.resource.telemetry.sdk.language":"java","otel.resource.telemetry.sdk.name":"opentelemetry","otel.resource.telemetry.sdk.version":"1.40"}},"#,
            r#""parent_id":"1111111111111111"}"#,
            "\n"
        )]
    );
}

/// Ids differ from run to run: each is replaced by the order of its first appearance.
fn with_named_ids(texts: &[String], ids: &[&str]) -> Vec<String> {
    let id = regex::Regex::new(r#""(?:id|parent_id)":"([0-9a-f]{16})""#).unwrap();
    let mut names: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let mut named = texts.to_vec();
    for text in texts {
        for found in id.captures_iter(text) {
            if !names.contains(&found[1].to_owned()) {
                names.push(found[1].to_owned());
                for text in &mut named {
                    *text = text.replace(&found[1], &format!("<{}>", names.len() - ids.len()));
                }
            }
        }
    }
    named
}

#[test]
fn worked_example_b_split_local_root_to_the_byte() {
    let span = json!({
        "name": "x", "kind": 3, "status": {"code": 2, "message": "boom"},
        "attributes": {
            "rpc.system": "aws-api", "rpc.method": "GetItem", "aws.remote.service": "AWS::DynamoDB",
            "aws.local.service": "shop", "http.status_code": 400, "aws.dynamodb.table_names": ["t1"],
            "aws.region": "eu-west-1", "aws.requestId": "rq", "aws.span.kind": "LOCAL_ROOT",
        },
    });
    let made = texts(&Settings::default(), span, &json!({}));
    assert_eq!(
        with_named_ids(&made, &["a1b2c3d4e5f60718"]),
        [
            concat!(
                r#"{"name":"DynamoDB","id":"a1b2c3d4e5f60718","start_time":1795364000.1234567,"trace_id":"1-6b0314a0-0123456789abcdef01234567","end_time":1795364000.9876544,"#,
                r#""http":{"request":{},"response":{"status":400,"content_length":0}},"fault":false,"error":true,"throttle":false,"#,
                r#""cause":{"exceptions":[{"id":"<1>","message":"boom","type":""}]},"#,
                r#""aws":{"xray":{"auto_instrumentation":false},"operation":"GetItem","region":"eu-west-1","request_id":"rq","table_name":"t1"},"#,
                r#""metadata":{"default":{"aws.dynamodb.table_names":["t1"],"aws.local.service":"shop","aws.remote.service":"AWS::DynamoDB","aws.span.kind":"LOCAL_ROOT","rpc.system":"aws-api"}},"#,
                r#""namespace":"aws","parent_id":"<2>","type":"subsegment"}"#,
                "\n"
            ),
            concat!(
                r#"{"name":"shop","id":"<2>","start_time":1795364000.1234567,"trace_id":"1-6b0314a0-0123456789abcdef01234567","end_time":1795364000.9876544,"#,
                r#""fault":false,"error":true,"throttle":false,"cause":{"exceptions":[{"id":"<3>","message":"boom","type":""}]},"#,
                r#""aws":{"xray":{"auto_instrumentation":false}},"metadata":{"default":{}}}"#,
                "\n"
            ),
        ]
    );
}

#[test]
fn worked_example_c_sql_exception_and_link_to_the_byte() {
    let span = json!({
        "name": "SELECT users", "kind": 3, "spanId": "b1b2c3d4e5f60718", "parentSpanId": "1111111111111111",
        "status": {"code": 2},
        "attributes": {
            "db.system": "mysql", "db.name": "users", "db.connection_string": "jdbc:mysql://db.dev:3306",
            "db.statement": "SELECT 1", "db.user": "root", "net.peer.name": "db.dev",
        },
        "events": [{"name": "exception", "attributes": {
            "exception.type": "ValueError", "exception.message": "bad",
            "exception.stacktrace": "Traceback\n  File \"/a/b.py\", line 12, in f\n    x\nValueError: bad",
        }}],
        "links": [{"traceId": "6b0314a0ffffffffffffffffffffffff", "spanId": "2222222222222222", "attributes": {"k": "v"}}],
    });
    let made = texts(
        &Settings::default(),
        span,
        &json!({"telemetry.sdk.language": "python"}),
    );
    assert_eq!(
        with_named_ids(
            &made,
            &["b1b2c3d4e5f60718", "1111111111111111", "2222222222222222"]
        ),
        [concat!(
            r#"{"name":"users@db.dev","id":"b1b2c3d4e5f60718","start_time":1795364000.1234567,"links":[{"trace_id":"1-6b0314a0-ffffffffffffffffffffffff","id":"2222222222222222","attributes":{"k":"v"}}],"#,
            r#""trace_id":"1-6b0314a0-0123456789abcdef01234567","end_time":1795364000.9876544,"fault":true,"error":false,"throttle":false,"#,
            r#""cause":{"exceptions":[{"id":"<1>","message":"bad","type":"ValueError","remote":true,"stack":[{"path":"/a/b.py","line":12,"label":"f"}]}]},"#,
            r#""aws":{"xray":{"auto_instrumentation":false}},"namespace":"remote","parent_id":"1111111111111111","type":"subsegment","#,
            r#""sql":{"connection_string":"jdbc:mysql://db.dev:3306/users","url":"SELECT users","sanitized_query":"SELECT 1","database_type":"mysql","user":"root"}}"#,
            "\n"
        )]
    );
}

#[test]
fn in_progress_is_a_boolean_and_is_read_only() {
    let span =
        |value: Json| json!({"kind": 2, "name": "x", "attributes": {"aws.xray.inprogress": value}});
    let spans = batch(vec![span(json!(true))], &json!({}));
    // Twice: two exporters may hold the same spans.
    for _ in 0..2 {
        let document = translate(&spans, &Settings::default())
            .documents()
            .remove(0);
        assert_eq!(document["in_progress"], true);
        assert_eq!(document.get("end_time"), None);
        assert_eq!(document.get("metadata"), None);
    }
    let done = of(span(json!(false)));
    assert!(done.get("in_progress").is_none() && done["end_time"].is_number());
    assert_eq!(done.get("metadata"), None);
    let text = of(span(json!("yes")));
    assert_eq!(text["metadata"]["default"]["aws.xray.inprogress"], "yes");
}

#[test]
fn values_json_cannot_hold_are_left_out_alone_and_counted() {
    let span = json!({"name": "x", "kind": 2, "attributes": {
        "nan": {"doubleValue": "NaN"}, "list": [{"doubleValue": "Infinity"}, 1], "kept": 1.5,
    }});
    let mut settings = Settings::default();
    settings.indexed.insert("nan".into());
    let made = translate(
        &batch(vec![span], &json!({"inf": {"doubleValue": "-Infinity"}})),
        &settings,
    );
    let document = &made.documents()[0];
    assert_eq!(
        document["metadata"]["default"],
        json!({"kept": 1.5, "list": [null, 1]})
    );
    assert_eq!(document.get("annotations"), None);
    assert_eq!((made.unprintable, made.skipped.len()), (3, 0));
}

#[test]
fn a_local_root_of_another_cloud_has_two_documents_without_aws() {
    let span = json!({"name": "cli", "kind": 3, "attributes": {"aws.span.kind": "LOCAL_ROOT", "aws.local.service": "x"}});
    let made = documents_with(
        &Settings::default(),
        span,
        &json!({"cloud.provider": "gcp", "service.name": "g"}),
    );
    assert_eq!(made.len(), 2);
    assert_eq!(
        (&made[0]["name"], &made[1]["name"]),
        (&json!("cli"), &json!("x"))
    );
    assert!(
        made.iter()
            .all(|d| d.get("aws").is_none() && d.get("origin").is_none())
    );
    assert_eq!(made[0]["parent_id"], made[1]["id"]);
}

#[test]
fn local_roots_that_serve_are_one_segment() {
    for (kind, name) in [(1, "local"), (2, "local")] {
        let span = json!({
            "name": "n", "kind": kind, "parentSpanId": "1111111111111111",
            "attributes": {"aws.span.kind": "LOCAL_ROOT", "aws.local.service": "local", "rpc.system": "aws-api"},
        });
        let document = of(span);
        assert_eq!(document["name"], name);
        assert_eq!(document["parent_id"], "1111111111111111");
        assert!(document.get("type").is_none() && document.get("namespace").is_none());
    }
}

#[test]
fn trace_ids_are_checked_only_without_the_gate() {
    let at = |seconds: i64| format!("{:08x}0123456789abcdef01234567", T0 + seconds);
    let spans = vec![
        json!({"name": "ok", "traceId": at(0)}),
        json!({"name": "old", "traceId": at(-2_419_201)}),
        json!({"name": "ahead", "traceId": at(301)}),
        json!({"name": "link", "traceId": at(0), "links": [{"traceId": at(-3_456_000)}]}),
    ];
    let spans = batch(spans, &json!({}));
    let checked = translate(&spans, &with(|s| s.any_trace_age = false));
    assert_eq!(checked.documents().len(), 1);
    assert_eq!(checked.skipped, [Skipped::InvalidTraceId; 3]);
    let unchecked = translate(&spans, &Settings::default());
    assert_eq!(unchecked.documents().len(), 4);
    assert_eq!(unchecked.skipped, []);
}

#[test]
fn client_addresses() {
    let http = |attributes: Json| {
        of(json!({"name": "x", "kind": 2, "attributes": attributes}))["http"]["request"].clone()
    };
    for (attributes, ip, forwarded) in [
        (
            json!({"http.method": "G", "http.client_ip": "a"}),
            json!("a"),
            json!(true),
        ),
        (
            json!({"http.method": "G", "http.client_ip": "a", "net.peer.ip": "b"}),
            json!("a"),
            Json::Null,
        ),
        (
            json!({"http.method": "G", "net.peer.ip": "b"}),
            json!("b"),
            Json::Null,
        ),
        (
            json!({"http.method": "G", "client.address": "10.0.0.1"}),
            json!("10.0.0.1"),
            json!(true),
        ),
        (
            json!({"http.method": "G", "client.address": "host"}),
            Json::Null,
            Json::Null,
        ),
        (
            json!({"http.method": "G", "network.peer.address": "::1"}),
            json!("::1"),
            Json::Null,
        ),
        (
            json!({"http.method": "G", "client.address": "10.0.0.1", "network.peer.address": "/sock"}),
            json!("10.0.0.1"),
            json!(true),
        ),
    ] {
        let request = http(attributes.clone());
        assert_eq!(request["client_ip"], ip, "{attributes}");
        assert_eq!(request["x_forwarded_for"], forwarded, "{attributes}");
    }
}

#[test]
fn attributes_of_http_are_taken_even_without_a_block() {
    let document = of(
        json!({"name": "x", "kind": 1, "attributes": {"server.address": "a", "net.peer.port": 1, "k": 1}}),
    );
    assert_eq!(document.get("http"), None);
    assert_eq!(document["metadata"]["default"], json!({"k": 1}));
}

#[test]
fn status_codes_as_text_count_as_zero() {
    let document =
        of(json!({"name": "x", "status": {"code": 2}, "attributes": {"http.status_code": "404"}}));
    assert_eq!(document["http"]["response"]["status"], 0);
    assert_eq!(
        (&document["fault"], &document["error"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn failed_tries_of_sdk_calls_are_exceptions() {
    let event = |attributes: Json| json!({"name": "HTTP request failure", "timeUnixNano": "1795364000123456789", "attributes": attributes});
    let span = |events: Vec<Json>| json!({"name": "x", "kind": 3, "attributes": {"rpc.system": "aws-api"}, "events": events});
    let full = event(json!({"http.response.status_code": 503, "aws.http.error_message": "slow"}));
    let cause = &of(span(vec![full.clone()]))["cause"]["exceptions"][0];
    assert_eq!(cause["type"], "aws.http.error.event");
    assert_eq!(cause["message"], "503@1795364000.123456@slow");
    assert_eq!(cause["remote"], true);
    let partial = event(json!({"http.response.status_code": 503}));
    assert_eq!(of(span(vec![partial]))["cause"], json!({}));
    let other = of(json!({"name": "x", "kind": 3, "events": [full]}));
    assert_eq!(other.get("cause"), None);
}

#[test]
fn everything_is_indexed_on_request() {
    let settings = with(|s| s.index_all = true);
    let span = json!({"name": "x", "kind": 2, "attributes": {
        "a b": 1, "list": [1], "aws.xray.metadata.ns": "{\"a\":1}", "aws.xray.annotations": ["q"], "enduser.id": "u",
    }});
    let document = &documents_with(&settings, span, &json!({"r": true, "rl": [1]}))[0];
    assert_eq!(
        document["annotations"],
        json!({"a_b": 1, "aws.xray.metadata.ns": "{\"a\":1}", "otel.resource.r": true})
    );
    assert_eq!(
        document["metadata"],
        json!({"default": {"otel.resource.rl": [1]}})
    );
    assert_eq!(document["user"], "u");
}

#[test]
fn annotation_keys_lose_their_dots_without_the_gate() {
    let settings = with(|s| {
        s.allow_dot = false;
        s.index_all = true;
    });
    let span = json!({"name": "x", "kind": 2, "attributes": {"a.b": 1}});
    let document = &documents_with(&settings, span, &json!({"c.d": 2}))[0];
    assert_eq!(
        document["annotations"],
        json!({"a_b": 1, "otel_resource_c_d": 2})
    );
}

#[test]
fn the_spans_own_list_reaches_the_resource() {
    let span = json!({"name": "x", "kind": 2, "attributes": {
        "aws.xray.annotations": ["otel.resource.r", "http.method"], "http.method": "GET", "otel.resource.s": 1,
    }});
    let document = document(span, &json!({"r": true, "s": 2, "t": 3}));
    // Taken attributes come back for the configured index only.
    assert_eq!(document["annotations"], json!({"otel.resource.r": true}));
    assert_eq!(
        document["metadata"]["default"],
        json!({"otel.resource.s": 1, "otel.resource.t": 3})
    );
}

#[test]
fn metadata_namespaces() {
    let span = json!({"name": "x", "kind": 2, "attributes": {
        "aws.xray.metadata.b": "{\"x\": 9007199254740993, \"y\": [null, \"<\"]}",
        "aws.xray.metadata.DEFAULT": "{\"k\": 1}", "aws.xray.metadata.z": "{}",
        "aws.xray.metadata.list": "[1]", "aws.xray.metadata.num": 5, "aws.xray.metadata.bad": "{",
    }});
    let document = document(span, &json!({}));
    assert_eq!(
        document["metadata"],
        json!({
            "b": {"x": 9_007_199_254_740_992_i64, "y": [null, "<"]}, "z": {},
            "default": {
                "k": 1, "aws.xray.metadata.list": "[1]", "aws.xray.metadata.num": 5, "aws.xray.metadata.bad": "{",
            },
        })
    );
}

#[test]
fn the_service_half_keeps_metadata_of_the_resource_only() {
    let span = json!({"name": "x", "kind": 5, "attributes": {
        "aws.span.kind": "LOCAL_ROOT", "aws.local.service": "s", "k": 1,
        "aws.xray.metadata.ns": "{\"a\": 1, \"otel.resource.b\": 2}",
    }});
    let made = documents_with(&Settings::default(), span, &json!({"r": 1}));
    assert_eq!(
        made[0]["metadata"]["ns"],
        json!({"a": 1, "otel.resource.b": 2})
    );
    assert_eq!(
        made[1]["metadata"],
        json!({"default": {"otel.resource.r": 1}, "ns": {"otel.resource.b": 2}})
    );
}

#[test]
fn current_conventions_fill_what_the_reference_leaves_empty_on_request() {
    let settings = with(|s| s.current_names = true);
    let client = json!({"name": "e", "kind": 3, "attributes": {
        "http.request.method": "GET", "server.address": "s5", "server.port": 9090, "url.path": "/e",
    }});
    let document = &documents_with(&settings, client, &json!({}))[0];
    assert_eq!(document["name"], "s5");
    assert_eq!(document["http"]["request"]["url"], "http://s5:9090/e");
    let database = json!({"name": "SELECT", "kind": 3, "attributes": {
        "db.system.name": "microsoft.sql_server", "db.namespace": "shop", "db.query.text": "SELECT 2",
        "server.address": "db.example",
    }});
    let document = &documents_with(&settings, database, &json!({}))[0];
    assert_eq!(document["name"], "shop@db.example");
    assert_eq!(
        document["sql"],
        json!({
            "connection_string": "localhost/shop", "url": "SELECT", "sanitized_query": "SELECT 2", "database_type": "mssql",
        })
    );
    assert_eq!(document.get("metadata"), None);
}

#[test]
fn tables_accounts_and_log_groups() {
    let span = json!({"name": "x", "kind": 3, "attributes": {
        "aws.dynamodb.table_names": ["a", "b"], "aws.table_name": "t", "aws.account_id": "1", "aws.queue.url": "q",
        "aws.operation": "op", "rpc.method": "m",
    }});
    let aws = &document(span, &json!({"cloud.account.id": "2"}))["aws"];
    assert_eq!(
        *aws,
        json!({
            "xray": {"auto_instrumentation": false}, "account_id": "1", "operation": "op", "queue_url": "q", "table_names": ["a", "b"],
        })
    );
    let beanstalk = json!({
        "cloud.platform": "aws_elastic_beanstalk", "service.instance.id": "x7", "service.namespace": "env",
    });
    let document = document(json!({"name": "x"}), &beanstalk);
    assert_eq!(
        document["aws"]["elastic_beanstalk"],
        json!({"environment_name": "env", "version_label": null, "deployment_id": 0})
    );
    assert_eq!(document["origin"], "AWS::ElasticBeanstalk::Environment");
}

#[test]
fn a_document_over_64_kib_is_cut_and_not_refused() {
    let span =
        json!({"name": "x", "kind": 2, "attributes": {"a": "y".repeat(100_000), "b": "kept"}});
    let document = of(span);
    assert_eq!(
        document["metadata"]["default"]["a"].as_str().unwrap().len(),
        2048
    );
    assert_eq!(document["metadata"]["default"]["b"], "kept");
    let many: serde_json::Map<String, Json> = (0..2000)
        .map(|i| (format!("key{i}"), "z".repeat(40).into()))
        .collect();
    let document = of(json!({"name": "x", "kind": 2, "attributes": many}));
    assert_eq!(document.get("metadata"), None);
    let settings = with(|s| s.index_all = true);
    let many: serde_json::Map<String, Json> = (0..2000)
        .map(|i| (format!("key{i}"), "z".repeat(40).into()))
        .collect();
    let made = translate(
        &batch(
            vec![
                json!({"name": "x", "attributes": many}),
                json!({"name": "ok"}),
            ],
            &json!({}),
        ),
        &settings,
    );
    assert_eq!(made.skipped, [Skipped::TooLarge]);
    assert_eq!(made.documents().len(), 1);
}

#[test]
fn of_two_spellings_the_later_one_counts() {
    // Attributes here come sorted by name.
    let document = of(
        json!({"name": "x", "attributes": {"http.method": "OLD", "http.request.method": "NEW"}}),
    );
    assert_eq!(document["http"]["request"]["method"], "NEW");
}
