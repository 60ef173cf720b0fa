#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use weir_config::{Errors, Validate};
use weir_core::{ComponentId, ComponentKind};
use weir_testkit::{MockServer, Recorded};

use super::*;

fn cx() -> BuildCtx {
    weir_net::install_default_provider();
    let id = ComponentId::parse("ecs_observer").unwrap();
    BuildCtx::standalone(id, ComponentKind::Extension, None)
}

fn ecs(request: &Recorded) -> Response<Bytes> {
    let target = request.header("x-amz-target").rsplit('.').next().unwrap();
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    let body = match target {
        "ListTasks" => json!({"taskArns": ["t1", "t2", "t3"]}),
        "DescribeTasks" => json!({"tasks": [
            {"taskArn": "t1", "taskDefinitionArn": "arn:task-definition/web:7", "startedBy": "ecs-svc/1", "launchType": "FARGATE",
             "group": "service:web", "healthStatus": "HEALTHY", "tags": [{"key": "team/x", "value": "a"}],
             "attachments": [{"type": "ElasticNetworkInterface", "details": [{"name": "privateIPv4Address", "value": "10.0.0.1"}]}]},
            {"taskArn": "t2", "taskDefinitionArn": "arn:task-definition/job:1", "launchType": "EC2", "containerInstanceArn": "ci",
             "containers": [{"name": "job", "networkBindings": [{"containerPort": 9000, "hostPort": 32001}]}]},
            {"taskArn": "t3", "taskDefinitionArn": "arn:task-definition/web:7", "startedBy": "ecs-svc/old"}]}),
        "DescribeTaskDefinition" if asked["taskDefinition"] == "arn:task-definition/web:7" => json!({"taskDefinition": {
            "family": "web", "revision": 7, "networkMode": "awsvpc", "containerDefinitions": [
                {"name": "app", "portMappings": [{"containerPort": 8080}, {"containerPort": 9113}]},
                {"name": "side", "portMappings": [{"containerPort": 9113}], "dockerLabels": {"PORT": "9113", "PATH": "/side", "JOB": "sidecar"}}]}}),
        "DescribeTaskDefinition" => json!({"taskDefinition": {"family": "job", "revision": 1, "networkMode": "bridge",
            "containerDefinitions": [{"name": "job", "portMappings": [{"containerPort": 9000, "hostPort": 0}],
                "dockerLabels": {"PORT": "none"}}]}}),
        "ListServices" => json!({"serviceArns": ["arn:service/c/web", "arn:service/c/other"]}),
        "DescribeServices" => {
            assert_eq!(asked["services"], json!(["arn:service/c/web"]));
            json!({"services": [{"serviceName": "web", "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY"}, {"id": "ecs-svc/old", "status": "INACTIVE"}]}]})
        }
        "DescribeContainerInstances" => json!({"containerInstances": [{"containerInstanceArn": "ci", "ec2InstanceId": "i-1"}]}),
        other => panic!("{other}"),
    };
    Response::new(Bytes::from(body.to_string()))
}

fn ec2(_: &Recorded) -> Response<Bytes> {
    Response::new(Bytes::from_static(
        b"<R><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId><instanceType>t3.small</instanceType>\
          <privateIpAddress>10.9.9.9</privateIpAddress><tagSet><item><key>k</key><value>v</value></item></tagSet></item></instancesSet></item></reservationSet></R>",
    ))
}

fn config(value: Value) -> Config {
    serde_json::from_value(value).unwrap()
}

/// Every kind of filter, both kinds of network, and what cannot be a target.
#[tokio::test]
async fn tasks_become_targets_of_a_file() {
    let (ecs, ec2) = (MockServer::start(ecs).unwrap(), MockServer::start(ec2).unwrap());
    let config = config(json!({
        "cluster_name": "main", "cluster_region": "eu-west-1",
        "services": [{"name_pattern": "^web$", "container_name_pattern": "^app$", "metrics_ports": [9113, 1], "job_name": "svc"}],
        "task_definitions": [{"arn_pattern": "job:[0-9]+$", "metrics_ports": [9000], "metrics_path": "/m"}],
        "docker_labels": [{"port_label": "PORT", "metrics_path_label": "PATH", "job_name_label": "JOB"}],
    }));
    let endpoints = [(weir_aws::Service::Ecs, ecs.url()), (weir_aws::Service::Ec2, ec2.url())];
    let endpoints = endpoints.each_ref().map(|(service, url)| (*service, url.as_str()));
    let http = HttpClient::new(HttpClientOptions::default()).unwrap();
    let keys = InventoryKeys {
        region: "eu-west-1".into(),
        access_key: "AK".into(),
        secret_key: weir_config::Secret::new("SK".to_owned()),
        ..InventoryKeys::default()
    };
    let inventory = Inventory::connect(&keys, &endpoints, &http, &cx()).await.unwrap();
    let mut finder = Finder::new(&config).unwrap();
    let round = finder.round(&inventory).await.unwrap();
    let shown: Vec<String> = round
        .targets
        .iter()
        .map(|target| {
            let pairs = target.labels.iter().map(|(n, v)| format!("{n}={v}"));
            let labels: Vec<String> = pairs.collect();
            format!("{} {}", target.targets[0], labels.join(" ")).replace("__meta_ecs_", "")
        })
        .collect();
    let task = "health_status=HEALTHY";
    let rest = "source=t1 task_definition_family=web task_definition_revision=7 task_group=service:web task_launch_type=FARGATE \
                task_started_by=ecs-svc/1 task_tags_team_x=a";
    assert_eq!(
        shown,
        [
            format!(
                "10.0.0.1:9113 cluster_name=main container_labels_JOB=sidecar container_labels_PATH=/side container_labels_PORT=9113 \
                 container_name=side {task} service_name=web {rest} __metrics_path__=/side prometheus_job=sidecar"
            ),
            format!(
                "10.0.0.1:9113 cluster_name=main container_name=app {task} service_name=web {rest} __metrics_path__=/metrics prometheus_job=svc"
            ),
            "10.9.9.9:32001 cluster_name=main container_labels_PORT=none container_name=job ec2_instance_id=i-1 ec2_instance_type=t3.small \
             ec2_private_ip=10.9.9.9 ec2_tags_k=v health_status= source=t2 task_definition_family=job task_definition_revision=1 task_group= \
             task_launch_type=EC2 task_started_by= __metrics_path__=/m"
                .to_owned(),
        ]
    );
    let left_out = round.left_out.join("\n");
    for part in ["label PORT is no port: `none`", "t3 container side port 9113: the task has no address yet"] {
        assert!(left_out.contains(part), "{left_out}");
    }
    // Definitions never change: a second round does not ask for them.
    let definitions = |requests: &[Recorded]| {
        let target = |r: &&Recorded| r.header("x-amz-target").ends_with("DescribeTaskDefinition");
        requests.iter().filter(target).count()
    };
    let again = finder.round(&inventory).await.unwrap();
    assert_eq!(again.targets, round.targets);
    assert_eq!(definitions(&ecs.requests()), 2);
}

#[test]
fn the_file_is_replaced_and_read_by_file_discovery() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.yaml");
    let target = FileTarget {
        targets: vec!["h:1".into()],
        labels: [("a".to_owned(), "b".to_owned())].into(),
    };
    write(&file, &[target]).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read, json!([{"targets": ["h:1"], "labels": {"a": "b"}}]));
    write(&file, &[]).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[]\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("none/t.yaml");
    assert!(write(&nowhere, &[]).unwrap_err().contains("cannot write"));
}

#[test]
fn keys_are_checked() {
    let errors = |value: Value| {
        let mut errors = Errors::default();
        config(value).validate(&mut errors);
        format!("{errors:?}")
    };
    let mut none = Errors::default();
    Config::default().validate(&mut none);
    assert!(none.is_empty());
    for (value, message) in [
        (json!({"services": [{"name_pattern": "("}]}), "invalid pattern `(`"),
        (json!({"services": [{}]}), "name_pattern is required"),
        (json!({"task_definitions": [{}]}), "arn_pattern is required"),
        (json!({"docker_labels": [{}]}), "port_label is required"),
        (json!({"docker_labels": [{"port_label": "a", "metrics_ports": [1]}]}), "the port is in the label"),
        (json!({"services": [{"name_pattern": "a", "metrics_ports": [1, 1]}]}), "duplicated port 1"),
        (json!({"cluster_name": ""}), "must specify the cluster"),
        (json!({"refresh_interval": "0s"}), "must be greater than 0"),
    ] {
        let found = errors(value);
        assert!(found.contains(message), "{message}: {found}");
    }
    let defaults = Config::default();
    assert_eq!(defaults.result_file, "/etc/ecs_sd_targets.yaml");
    assert_eq!(defaults.job_label_name, "prometheus_job");
}
