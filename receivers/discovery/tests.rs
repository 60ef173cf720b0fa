//! Mechanisms that ask a server, against servers played here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::watch;
use weir_core::{BuildCtx, ComponentId, ComponentKind, Deadline, Stop};
use weir_testkit::{MockServer, Recorded, sigv4};

use super::config::{Ec2SdConfig, EcsSdConfig, HttpSdConfig};
use super::{Group, Sources, start};

const LIMIT: Duration = Duration::from_secs(20);

fn cx() -> BuildCtx {
    weir_net::install_default_provider();
    let id = ComponentId::parse("prometheus").unwrap();
    BuildCtx::standalone(id, ComponentKind::Receiver, None)
}

fn answer(kind: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    let headers = answer.headers_mut();
    headers.insert("content-type", kind.parse().unwrap());
    answer
}

/// The labels of all targets, one line each, sorted.
fn lines(groups: &[Group]) -> Vec<String> {
    let targets = groups.iter().flat_map(|group| &group.targets);
    let mut lines: Vec<String> = targets
        .map(|labels| {
            let mut pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
            pairs.sort();
            pairs.join(" ")
        })
        .collect();
    lines.sort();
    lines
}

async fn next(found: &mut watch::Receiver<Arc<Vec<Group>>>) -> Vec<String> {
    tokio::time::timeout(LIMIT, found.changed())
        .await
        .expect("an update")
        .unwrap();
    lines(&found.borrow_and_update())
}

/// PROM-29: headers, credentials, the content type, and what stays on an error.
#[tokio::test]
async fn http_discovery_asks_checks_and_keeps() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let server = MockServer::start(|_| {
        let good = r#"[{"targets":["h:1"],"labels":{"zone":"a"}}]"#;
        match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => answer("application/json; charset=utf-8", good),
            1 => answer("text/plain", "[]"),
            2 => answer("application/json; charset=latin-1", "[]"),
            3 => answer("application/json", r#"[{"targets":["h:2"],"label":{}}]"#),
            4 => {
                let mut answer = answer("application/json", "[]");
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                answer
            }
            _ => answer("application/json", r#"[{"targets":["h:3"]}]"#),
        }
    })
    .unwrap();
    let url = format!("{}/sd?x=1", server.url());
    let config: HttpSdConfig = serde_json::from_value(serde_json::json!({
        "url": url, "refresh_interval": "200ms", "bearer_token": "t",
        "http_headers": {"x-own": {"values": ["v"]}},
    }))
    .unwrap();
    let stop = Stop::default();
    let sources = Sources {
        https: &[config],
        ..Sources::default()
    };
    let mut found = start(&sources, "job", &cx(), stop.clone());
    assert_eq!(
        next(&mut found).await,
        [format!("__address__=h:1 __meta_url={url} zone=a")]
    );
    // The next update is that of the next answer that counts.
    assert_eq!(
        next(&mut found).await,
        [format!("__address__=h:3 __meta_url={url}")]
    );
    let requests = server.requests();
    assert!(requests.len() >= 6);
    for (name, value) in [
        ("accept", "application/json"),
        ("x-prometheus-refresh-interval-seconds", "0.2"),
        ("authorization", "Bearer t"),
        ("x-own", "v"),
    ] {
        assert_eq!(requests[0].header(name), value, "{name}");
    }
    assert!(requests[0].header("user-agent").starts_with("weir/"));
    stop.stop(Deadline::after(Duration::ZERO));
}

fn ec2(request: &Recorded) -> Response<Bytes> {
    let form = String::from_utf8(request.body.to_vec()).unwrap();
    let instances = |items: &str, more: &str| {
        format!(
            "<DescribeInstancesResponse><reservationSet><item><ownerId>42</ownerId><instancesSet>{items}</instancesSet></item></reservationSet>{more}</DescribeInstancesResponse>"
        )
    };
    let body = if form.contains("DescribeAvailabilityZones") {
        "<R><availabilityZoneInfo><item><zoneName>eu-west-1a</zoneName><zoneId>euw1-az2</zoneId></item></availabilityZoneInfo></R>".to_owned()
    } else if form.contains("DescribeNetworkInterfaces") {
        "<R><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><association><publicIp>9.9.9.9</publicIp></association></item></networkInterfaceSet></R>".to_owned()
    } else if form.contains("NextToken") {
        instances(
            "<item><instanceId>i-2</instanceId><privateIpAddress>10.0.0.2</privateIpAddress></item><item><instanceId>i-3</instanceId></item>",
            "",
        )
    } else {
        instances(
            "<item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceType>t3.small</instanceType>\
             <instanceState><name>running</name></instanceState><placement><availabilityZone>eu-west-1a</availabilityZone></placement>\
             <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>1.2.3.4</ipAddress><dnsName>d</dnsName><vpcId>v</vpcId><subnetId>s1</subnetId>\
             <networkInterfaceSet><item><subnetId>s1</subnetId><attachment><deviceIndex>0</deviceIndex></attachment></item>\
             <item><subnetId>s2</subnetId><attachment><deviceIndex>1</deviceIndex></attachment><ipv6AddressesSet><item><ipv6Address>fd00::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item></networkInterfaceSet>\
             <tagSet><item><key>my.tag/x</key><value>y</value></item></tagSet></item>",
            "<nextToken>t</nextToken>",
        )
    };
    answer("text/xml", body)
}

/// PROM-38: EC2, with pages, filters and signed calls.
#[tokio::test]
async fn instances_become_targets_with_their_labels() {
    let server = MockServer::start(ec2).unwrap();
    let config: Ec2SdConfig = serde_json::from_value(serde_json::json!({
        "endpoint": server.url(), "region": "eu-west-1", "access_key": "AK", "secret_key": "SK", "port": 9100,
        "filters": [{"name": "tag:team", "values": ["a b", "c"]}],
    }))
    .unwrap();
    let stop = Stop::default();
    let sources = Sources {
        ec2: &[config],
        ..Sources::default()
    };
    let mut found = start(&sources, "job", &cx(), stop.clone());
    let targets = next(&mut found).await.join("\n").replace("__meta_ec2_", "");
    let expected = [
        "__address__=10.0.0.1:9100 ami=ami-1 availability_zone=eu-west-1a availability_zone_id=euw1-az2 instance_id=i-1 \
         instance_state=running instance_type=t3.small ipv6_addresses=,fd00::1, owner_id=42 primary_ipv6_addresses=,,fd00::1, \
         primary_subnet_id=s1 private_ip=10.0.0.1 public_dns_name=d public_ip=1.2.3.4 region=eu-west-1 subnet_id=,s1,s2, \
         tag_my_tag_x=y vpc_id=v",
        "__address__=10.0.0.2:9100 instance_id=i-2 owner_id=42 private_ip=10.0.0.2 region=eu-west-1",
    ];
    assert_eq!(targets, expected.join("\n"));
    let requests = server.requests();
    for request in &requests {
        sigv4::verify(request, "SK", "eu-west-1", "ec2").unwrap();
    }
    let form = String::from_utf8(requests[1].body.to_vec()).unwrap();
    let filter = "&Filter.1.Name=tag%3Ateam&Filter.1.Value.1=a%20b&Filter.1.Value.2=c";
    assert!(form.ends_with(filter), "{form}");
    stop.stop(Deadline::after(Duration::ZERO));
}

fn ecs(request: &Recorded) -> Response<Bytes> {
    let target = request.header("x-amz-target").rsplit('.').next().unwrap();
    let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let body = match target {
        "ListClusters" if asked["nextToken"].is_null() => {
            serde_json::json!({"clusterArns": ["c1"], "nextToken": "n"})
        }
        "ListClusters" => serde_json::json!({"clusterArns": []}),
        "DescribeClusters" => {
            serde_json::json!({"clusters": [{"clusterArn": "c1", "clusterName": "main", "tags": [{"key": "k", "value": "v"}]}]})
        }
        "ListServices" => serde_json::json!({"serviceArns": ["s1"]}),
        "DescribeServices" => {
            serde_json::json!({"services": [{"serviceArn": "s1", "serviceName": "web", "clusterArn": "c1",
            "status": "ACTIVE", "tags": [{"key": "s.k", "value": "sv"}, {"key": "none"}]}]})
        }
        "ListTasks" => serde_json::json!({"taskArns": ["t1", "t2", "t3"]}),
        "DescribeTasks" => serde_json::json!({"tasks": [
            {"taskArn": "t1", "taskDefinitionArn": "d:1", "group": "service:web", "launchType": "FARGATE", "availabilityZone": "a",
             "desiredStatus": "RUNNING", "lastStatus": "RUNNING", "healthStatus": "HEALTHY", "platformFamily": "Linux", "platformVersion": "1.4.0",
             "attachments": [{"type": "ElasticNetworkInterface", "details": [{"name": "networkInterfaceId", "value": "eni-1"},
                {"name": "privateIPv4Address", "value": "10.1.0.1"}, {"name": "subnetId", "value": "sub"}]}]},
            {"taskArn": "t2", "taskDefinitionArn": "d:2", "group": "g", "launchType": "EC2", "containerInstanceArn": "ci1",
             "tags": [{"key": "tk", "value": "tv"}]},
            {"taskArn": "t3", "launchType": "EC2", "containerInstanceArn": "ci-unknown"}]}),
        "DescribeContainerInstances" => {
            serde_json::json!({"containerInstances": [{"containerInstanceArn": "ci1", "ec2InstanceId": "i-1"}]})
        }
        other => panic!("{other}"),
    };
    answer("application/x-amz-json-1.1", body.to_string())
}

/// PROM-38: ECS, with interfaces of their own and on the host.
#[tokio::test]
async fn tasks_become_targets_with_their_labels() {
    let (ec2, ecs) = (
        MockServer::start(ec2).unwrap(),
        MockServer::start(ecs).unwrap(),
    );
    let config: EcsSdConfig = serde_json::from_value(serde_json::json!({
        "region": "eu-west-1", "access_key": "AK", "secret_key": "SK", "request_concurrency": 2,
    }))
    .unwrap();
    let endpoints = [
        (weir_aws::Service::Ecs, ecs.url()),
        (weir_aws::Service::Ec2, ec2.url()),
    ];
    let endpoints = endpoints
        .each_ref()
        .map(|(service, url)| (*service, url.as_str()));
    let targets = super::ecs::look(&config, &endpoints, &cx()).await.unwrap();
    let group = Group {
        source: "ecs".to_owned(),
        targets,
    };
    let targets = lines(&[group]).join("\n").replace("__meta_ecs_", "");
    let expected = [
        "__address__=10.0.0.1:80 cluster=main cluster_arn=c1 container_instance_arn=ci1 ec2_instance_id=i-1 \
         ec2_instance_private_ip=10.0.0.1 ec2_instance_public_ip=1.2.3.4 ec2_instance_type=t3.small ip_address=10.0.0.1 \
         launch_type=EC2 network_mode=bridge public_ip=1.2.3.4 region=eu-west-1 service=web service_arn=s1 service_status=ACTIVE \
         subnet_id=s1 tag_cluster_k=v tag_ec2_my_tag_x=y tag_service_s_k=sv tag_task_tk=tv task_arn=t2 task_definition=d:2 task_group=g",
        "__address__=10.1.0.1:80 availability_zone=a cluster=main cluster_arn=c1 desired_status=RUNNING health_status=HEALTHY \
         ip_address=10.1.0.1 last_status=RUNNING launch_type=FARGATE network_mode=awsvpc platform_family=Linux platform_version=1.4.0 \
         public_ip=9.9.9.9 region=eu-west-1 service=web service_arn=s1 service_status=ACTIVE subnet_id=sub tag_cluster_k=v \
         tag_service_s_k=sv task_arn=t1 task_definition=d:1 task_group=service:web",
    ];
    assert_eq!(targets, expected.join("\n"));
    for request in ecs.requests() {
        sigv4::verify(&request, "SK", "eu-west-1", "ecs").unwrap();
    }
}
