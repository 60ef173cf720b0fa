#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake;
mod golden;

use std::time::Duration;

use serde_json::{Value, json};
use weir_config::{Diagnostics, Node as Tree, decode_and_validate};
use weir_core::{ManualClock, Signal};

use super::world::Node;
use super::*;
use crate::testing::{applied, attributes, batch, context, decode, plain};
use fake::Fake;

/// The configuration in a whole file.
fn config_of(tree: &Tree) -> Config {
    let node = tree.get("processors").and_then(|node| node.get("resourcedetection")).unwrap();
    let decoded = decode_and_validate(node, "processors.resourcedetection");
    decoded.map_err(|found| Diagnostics(found).to_string()).unwrap().value
}

async fn built(config: &Config, cx: &BuildCtx, world: Arc<dyn World>) -> Result<ResourceDetection, String> {
    let shared = Shared::new(config, cx, &world);
    shared.detect().await?;
    Ok(ResourceDetection::new(config, cx, shared))
}

/// What is detected, as a plain object.
async fn detected(yaml: &str, world: Fake) -> Result<Value, String> {
    let config: Config = decode(yaml)?;
    let cx = context(Signal::Metrics);
    let processor = built(&config, &cx, Arc::new(world)).await?;
    Ok(resource_after(&processor, Signal::Metrics, &cx, &json!({})))
}

fn request(signal: Signal, attrs: &Value) -> Value {
    let resource = json!({"attributes": attributes(attrs)});
    match signal {
        Signal::Traces => json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{"name": "s"}]}]}]}),
        Signal::Metrics => json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
            {"name": "m", "gauge": {"dataPoints": [{"asInt": "1"}]}}]}]}]}),
        Signal::Logs => json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{"flags": 1}]}]}]}),
    }
}

fn block_after(processor: &ResourceDetection, signal: Signal, cx: &BuildCtx, attrs: &Value) -> Value {
    let mut batch = batch(signal, &request(signal, attrs), &cx.interner);
    let got = applied(processor, &mut batch);
    got.as_object().unwrap().values().next().unwrap()[0].clone()
}

fn resource_after(processor: &ResourceDetection, signal: Signal, cx: &BuildCtx, attrs: &Value) -> Value {
    plain(&block_after(processor, signal, cx, attrs)["resource"]["attributes"])
}

fn instance() -> Fake {
    let mut fake = Fake::default();
    let document = json!({
        "accountId": "123456789012", "availabilityZone": "us-west-2c", "imageId": "ami-0abc",
        "instanceId": "i-0123", "instanceType": "m5.xlarge", "region": "us-west-2",
    });
    for (path, text) in [
        ("meta-data/instance-id", "i-0123"),
        ("meta-data/hostname", "ip-10-0-0-4.us-west-2.compute.internal"),
        ("dynamic/instance-identity/document", &document.to_string()),
        ("meta-data/tags/instance", "Name\nteam\nk8s"),
        ("meta-data/tags/instance/Name", "box"),
        ("meta-data/tags/instance/team", "x"),
    ] {
        fake.metadata.insert(format!("/latest/{path}"), text.to_owned());
    }
    fake
}

/// PROC-22.
#[tokio::test(start_paused = true)]
async fn env_reads_pairs_in_the_encoding_of_url_queries() {
    for (text, expected) in [
        (" a=1 , b=x%2Cy%3Dz ,c=%EC%84%9C", json!({"a": "1", "b": "x,y=z", "c": "\u{c11c}"})),
        ("a=b=c,empty=,plus=x+y,", json!({"a": "b=c", "empty": "", "plus": "x y"})),
        ("a=1,a=2", json!({"a": "2"})),
        ("  ", json!({})),
    ] {
        let world = Fake::default().variable("OTEL_RESOURCE_ATTRIBUTES", text);
        assert_eq!(detected("detectors: [env]", world).await.unwrap(), expected, "{text}");
    }
    let long = format!("k={}", "x".repeat(257));
    for text in ["no-equals-sign", "a=1,b", "=x", "a=%4", "a=%zz", "k=\u{e4}", &long] {
        let world = Fake::default().variable("OTEL_RESOURCE_ATTRIBUTES", text);
        let error = detected("detectors: [env]", world).await.unwrap_err();
        assert!(error.contains("detector `env`: invalid resource format"), "{error}");
    }
    let older = Fake::default().variable("OTEL_RESOURCE", "a=1");
    assert_eq!(detected("{}", older).await.unwrap(), json!({"a": "1"}));
}

/// PROC-23.
#[tokio::test(start_paused = true)]
async fn the_first_detector_that_knows_an_attribute_decides_it() {
    let world = || {
        Fake::default()
            .variable("OTEL_RESOURCE_ATTRIBUTES", "host.name=from-env")
            .file("/proc/sys/kernel/hostname", "kernel")
    };
    let got = detected("detectors: [env, system]", world()).await.unwrap();
    assert_eq!(got, json!({"host.name": "from-env", "os.type": "linux"}));
    let got = detected("detectors: [system, env]", world()).await.unwrap();
    assert_eq!(got, json!({"host.name": "kernel", "os.type": "linux"}));
}

/// PROC-24.
#[tokio::test(start_paused = true)]
async fn existing_values_are_replaced_unless_override_is_off() {
    for (replace, team) in [(true, "detected"), (false, "own")] {
        for signal in Signal::ALL {
            let config: Config = decode(&format!("override: {replace}")).unwrap();
            let cx = context(signal);
            let world = Fake::default().variable("OTEL_RESOURCE_ATTRIBUTES", "team=detected,new=1");
            let processor = built(&config, &cx, Arc::new(world)).await.unwrap();
            for _ in 0..2 {
                let got = resource_after(&processor, signal, &cx, &json!({"team": "own", "other": 2}));
                assert_eq!(got, json!({"team": team, "new": "1", "other": 2}), "{signal}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_schema_is_that_of_the_first_detector_with_one_and_never_replaces_another() {
    let config: Config = decode("detectors: [env, lambda]").unwrap();
    let world = Fake::default().variable("AWS_LAMBDA_FUNCTION_NAME", "fn").variable("OTEL_RESOURCE_ATTRIBUTES", "a=1");
    let world: Arc<dyn World> = Arc::new(world);
    for signal in Signal::ALL {
        let cx = context(signal);
        let processor = built(&config, &cx, world.clone()).await.unwrap();
        let block = block_after(&processor, signal, &cx, &json!({}));
        assert_eq!(block["schemaUrl"], "https://opentelemetry.io/schemas/1.6.1", "{signal}");
        let mut request = request(signal, &json!({}));
        request.as_object_mut().unwrap().values_mut().next().unwrap()[0]["schemaUrl"] = json!("own");
        let got = applied(&processor, &mut batch(signal, &request, &cx.interner));
        assert_eq!(got.as_object().unwrap().values().next().unwrap()[0]["schemaUrl"], "own", "{signal}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_it_all_keeps_its_bytes() {
    for signal in Signal::ALL {
        let cx = context(signal);
        let world = Fake::default().variable("OTEL_RESOURCE_ATTRIBUTES", "a=1");
        let processor = built(&Config::default(), &cx, Arc::new(world)).await.unwrap();
        let mut batch = batch(signal, &request(signal, &json!({"a": "1"})), &cx.interner);
        processor.apply(&mut batch).unwrap();
        assert!(batch.wire_chunks().is_some(), "{signal}");
    }
}

/// PROC-25.
#[tokio::test(start_paused = true)]
async fn ec2_tells_all_of_the_instance() {
    let got = detected("detectors: [ec2]", instance()).await.unwrap();
    let expected = json!({
        "cloud.provider": "aws", "cloud.platform": "aws_ec2", "cloud.region": "us-west-2",
        "cloud.account.id": "123456789012", "cloud.availability_zone": "us-west-2c", "host.id": "i-0123",
        "host.image.id": "ami-0abc", "host.type": "m5.xlarge", "host.name": "ip-10-0-0-4.us-west-2.compute.internal",
    });
    assert_eq!(got, expected);
}

/// PROC-26: whether the service refuses or never answers.
#[tokio::test(start_paused = true)]
async fn ec2_outside_aws_is_nothing_unless_it_has_to_be_there() {
    let hanging = || Fake {
        metadata_hangs: true,
        ..Fake::default()
    };
    for world in [Fake::default(), hanging()] {
        assert_eq!(detected("detectors: [ec2]\ntimeout: 2s", world).await.unwrap(), json!({}));
    }
    for yaml in ["ec2: {fail_on_missing_metadata: true}", "fail_on_missing_metadata: true"] {
        for world in [Fake::default(), hanging()] {
            let error = detected(&format!("detectors: [ec2]\n{yaml}"), world).await.unwrap_err();
            assert!(error.contains("detector `ec2`"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ec2_that_answers_half_fails_the_start_after_the_timeout() {
    let mut world = instance();
    world.metadata.remove("/latest/meta-data/hostname");
    let before = tokio::time::Instant::now();
    let error = detected("detectors: [ec2]\ntimeout: 4s", world).await.unwrap_err();
    assert!(error.contains("hostname"), "{error}");
    assert!(before.elapsed() >= Duration::from_secs(4), "{:?}", before.elapsed());
}

/// PROC-27.
#[tokio::test(start_paused = true)]
async fn ec2_tags_are_chosen_by_regular_expressions() {
    let tagged = |attributes: &Value| {
        let tags = attributes.as_object().unwrap().iter().filter(|(key, _)| key.starts_with("ec2.tag."));
        tags.map(|(key, value)| (key.clone(), value.clone())).collect::<Value>()
    };
    let yaml = "detectors: [ec2]\nec2: {tags: ['^Na.*', '^team$'], tags_from_imds: true}";
    let got = detected(yaml, instance()).await.unwrap();
    assert_eq!(tagged(&got), json!({"ec2.tag.Name": "box", "ec2.tag.team": "x"}));
    let mut world = instance();
    world.tags = vec![("Name".into(), "api".into()), ("other".into(), "y".into())];
    let got = detected("detectors: [ec2]\nec2: {tags: ['^Na']}", world).await.unwrap();
    assert_eq!(tagged(&got), json!({"ec2.tag.Name": "api"}));
    let error = decode::<Config>("detectors: [ec2]\nec2: {tags: ['ok', '(']}").unwrap_err();
    assert!(error.contains("ec2.tags[1]"), "{error}");
}

fn pod() -> Fake {
    Fake::default()
        .variable("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .variable("KUBERNETES_SERVICE_PORT", "443")
        .file("/var/run/secrets/kubernetes.io/serviceaccount/token", "no.token.here")
}

/// PROC-29: each of the signs, and nothing but platform and provider by default.
#[tokio::test(start_paused = true)]
async fn eks_is_known_by_its_tokens_issuer_or_version() {
    let of_version = |version: &str| Fake {
        version: Some(version.to_owned()),
        ..pod()
    };
    // {"iss":"https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"}
    let token = "e30.eyJpc3MiOiJodHRwczovL29pZGMuZWtzLmV1LXdlc3QtMS5hbWF6b25hd3MuY29tL2lkL0FCQyJ9.c2ln";
    for world in [
        pod().variable("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"),
        pod().variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"),
        pod().file("/var/run/secrets/kubernetes.io/serviceaccount/token", token),
        of_version("v1.30.4-eks-a737599"),
    ] {
        let got = detected("detectors: [eks]", world).await.unwrap();
        assert_eq!(got, json!({"cloud.provider": "aws", "cloud.platform": "aws_eks"}));
    }
    let got = detected("detectors: [eks]", of_version("v1.30.4-gke.1")).await.unwrap();
    assert_eq!(got, json!({}));
    let error = detected("detectors: [eks]", Fake::default()).await.unwrap_err();
    assert!(error.contains("KUBERNETES_SERVICE_HOST is not set"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn eks_asks_the_instance_or_else_the_node_where_that_is_wanted() {
    let yaml = "detectors: [eks]\neks:\n  node_from_env_var: NODE\n  resource_attributes:\n    \
                cloud.region: {enabled: true}\n    host.id: {enabled: true}\n    k8s.cluster.name: {enabled: true}\n    \
                cloud.provider: {enabled: false}\n";
    let in_eks = |world: Fake| {
        let mut world = Fake {
            tags: vec![("kubernetes.io/cluster/prod".into(), "owned".into())],
            version: Some("v1.30.4-eks-a737599".to_owned()),
            files: pod().files,
            variables: pod().variables,
            ..world
        }
        .variable("NODE", "node-a");
        let provider_id = "aws:///us-west-2a/i-0123".to_owned();
        world.nodes.insert("node-a".into(), Node { uid: "u".into(), provider_id });
        world
    };
    let expected = json!({
        "cloud.platform": "aws_eks", "cloud.region": "us-west-2", "host.id": "i-0123", "k8s.cluster.name": "prod",
    });
    for world in [instance(), Fake::default()] {
        assert_eq!(detected(yaml, in_eks(world)).await.unwrap(), expected);
    }
}

/// PROC-31.
#[tokio::test(start_paused = true)]
async fn single_attributes_are_switched_on_and_off() {
    let machine = || {
        Fake::default()
            .file("/proc/sys/kernel/hostname", "box\n")
            .file("/proc/sys/kernel/ostype", "Linux\n")
            .file("/proc/sys/kernel/osrelease", "6.1.0\n")
            .file("/proc/sys/kernel/version", "#1 SMP\n")
            .file("/etc/hosts", "127.0.0.1 localhost\n10.0.0.4 box.example.com box # own\n")
            .file("/etc/machine-id", "0123\n")
            .file("/etc/os-release", "NAME=\"Ubuntu\"\nVERSION=\"24.04 LTS\"\nVERSION_ID=\"24.04\"\nID=ubuntu\n")
            .file("/proc/cpuinfo", "processor : 0\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : 85\nmodel name : Xeon\nstepping : 7\ncache size : 1024 KB\n\nprocessor : 1\nmodel : 1\n")
            .file("/sys/class/net/lo/flags", "0x9\n")
            .file("/sys/class/net/eth0/flags", "0x1003\n")
            .file("/sys/class/net/eth0/address", "ac:de:48:23:45:67\n")
            .file("/proc/net/fib_trie", "Main:\n  |-- 10.0.0.4\n     /32 host LOCAL\n  |-- 127.0.0.1\n     /32 host LOCAL\nLocal:\n  |-- 10.0.0.4\n     /32 host LOCAL\n  |-- 10.0.0.255\n     /32 link BROADCAST\n")
            .file("/proc/net/if_inet6", "fe800000000000000000000000000001 02 40 20 80 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n")
    };
    let got = detected("detectors: [system]", machine()).await.unwrap();
    assert_eq!(got, json!({"host.name": "box.example.com", "os.type": "linux"}));
    let names = detectors::SYSTEM.iter().map(|(name, _)| *name).filter(|name| *name != "os.type");
    let on: String = names.map(|name| format!("    {name}: {{enabled: true}}\n")).collect();
    let yaml = format!("detectors: [system]\nsystem:\n  hostname_sources: [os]\n  resource_attributes:\n    os.type: {{enabled: false}}\n{on}");
    let mut got = detected(&yaml, machine()).await.unwrap();
    let got = got.as_object_mut().unwrap();
    got.remove("host.arch").unwrap();
    let description = got.remove("os.description").unwrap();
    assert!(description.as_str().unwrap().starts_with("Ubuntu 24.04 LTS (Linux box 6.1.0 #1 SMP "), "{description}");
    let expected = json!({
        "host.name": "box", "host.id": "0123", "host.ip": ["10.0.0.4", "fe80::1"], "host.mac": ["AC-DE-48-23-45-67"],
        "host.interface": ["eth0", "lo"], "host.cpu.vendor.id": "GenuineIntel", "host.cpu.family": "6", "host.cpu.model.id": "85",
        "host.cpu.model.name": "Xeon", "host.cpu.stepping": "7", "host.cpu.cache.l2.size": 1024, "os.name": "ubuntu",
        "os.version": "24.04", "os.build.id": "6.1.0",
    });
    assert_eq!(Value::Object(got.clone()), expected);
    let error = decode::<Config>("ecs: {resource_attributes: {aws.nothing: {enabled: true}}}").unwrap_err();
    assert!(error.contains("no attribute `aws.nothing`"), "{error}");
}

/// PROC-32.
#[tokio::test(start_paused = true)]
async fn detection_is_run_again_after_the_refresh_interval() {
    let clock = Arc::new(ManualClock::default());
    for signal in Signal::ALL {
        let mut cx = context(signal);
        cx.clock = clock.clone();
        let world = Arc::new(Fake::default().variable("OTEL_RESOURCE_ATTRIBUTES", "a=1"));
        let config: Config = decode("refresh_interval: 1m").unwrap();
        let processor = built(&config, &cx, world.clone()).await.unwrap();
        let ask = || resource_after(&processor, signal, &cx, &json!({}));
        world.set("OTEL_RESOURCE_ATTRIBUTES", "a=2");
        assert_eq!(ask(), json!({"a": "1"}));
        clock.advance(Duration::from_secs(60));
        // The batch that finds it due goes on with what is known.
        assert_eq!(ask(), json!({"a": "1"}));
        while !cx.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(), json!({"a": "2"}), "{signal}");
        // What fails leaves the earlier answers.
        world.set("OTEL_RESOURCE_ATTRIBUTES", "broken");
        clock.advance(Duration::from_secs(60));
        ask();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(ask(), json!({"a": "2"}), "{signal}");
    }
}

/// PROC-33.
#[test]
fn detectors_and_keys_that_are_not_there_are_errors() {
    for (yaml, says) in [
        ("detectors: [env, nothing]", "invalid detector key: `nothing`"),
        ("detectors: [gcp]", "`gcp` of the reference is not offered here"),
        ("detectors: [docker]", "offered are env, system, ec2"),
        ("attributes: [host.name]", "`attributes` is no longer offered"),
        ("timeout: 0s", "detection needs time"),
        ("refresh_interval: -1s", "must not be negative"),
        ("system: {hostname_sources: [lookup]}", "asks the DNS"),
        ("nothing: 1", "nothing"),
    ] {
        let error = decode::<Config>(yaml).unwrap_err();
        assert!(error.contains(says), "{yaml}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn beanstalk_is_read_from_its_file() {
    let conf = r#"{"deployment_id": 23, "version_label": "v1", "environment_name": "blue"}"#;
    let path = "/var/elasticbeanstalk/xray/environment.conf";
    let yaml = "detectors: [elastic_beanstalk]";
    let got = detected(yaml, Fake::default().file(path, conf)).await.unwrap();
    let expected = json!({
        "cloud.provider": "aws", "cloud.platform": "aws_elastic_beanstalk", "deployment.environment": "blue",
        "service.instance.id": "23", "service.version": "v1",
    });
    assert_eq!(got, expected);
    assert_eq!(detected(yaml, Fake::default()).await.unwrap(), json!({}));
    let error = detected(yaml, Fake::default().file(path, "{")).await.unwrap_err();
    assert!(error.contains(path), "{error}");
}

#[tokio::test(start_paused = true)]
async fn kubernetes_needs_the_name_of_the_node_and_lives_without_the_api() {
    let error = detected("detectors: [k8s_api]", Fake::default()).await.unwrap_err();
    assert!(error.contains("K8S_NODE_NAME"), "{error}");
    let named = || Fake::default().variable("K8S_NODE_NAME", "node-a");
    assert_eq!(detected("detectors: [k8s_api]", named()).await.unwrap(), json!({}));
    let error = detected("detectors: [k8s_api]\nfail_on_missing_metadata: true", named()).await.unwrap_err();
    assert!(error.contains("node-a"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn pipelines_of_one_id_share_the_answers() {
    let config = Config::default();
    let cx = context(Signal::Metrics);
    let world = || Arc::new(Fake::default()) as Arc<dyn World>;
    let one = Shared::of(&config, &cx, world);
    let two = Shared::of(&config, &BuildCtx { signal: Some(Signal::Logs), ..cx.clone() }, || panic!("made twice"));
    assert!(Arc::ptr_eq(&one, &two));
    let other = Config { replace: false, ..config.clone() };
    assert!(!Arc::ptr_eq(&one, &Shared::of(&other, &cx, world)));
    let elsewhere = Shared::of(&config, &context(Signal::Metrics), world);
    assert!(!Arc::ptr_eq(&one, &elsewhere));
}
