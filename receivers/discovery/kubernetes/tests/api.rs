//! From an API of ours (`weir_testkit::KubernetesApi`) to groups of targets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_core::{BuildCtx, ComponentId, ComponentKind, Deadline, Stop};
use weir_testkit::KubernetesApi;

use super::super::super::config::{AttachMetadata, KubernetesSdConfig, Namespaces, Role, Selector};
use super::super::super::{Group, Keep, TargetLabels};
use super::super::{Way, run};

const LIMIT: Duration = Duration::from_secs(20);

/// Entries that run, and the groups they have published.
struct Discovery {
    cx: BuildCtx,
    stop: Stop,
    updates: mpsc::Receiver<Vec<Group>>,
    sender: mpsc::Sender<Vec<Group>>,
    groups: BTreeMap<String, Vec<TargetLabels>>,
    keep: Option<Keep>,
}

impl Discovery {
    fn new() -> Self {
        let id = ComponentId::parse("prometheus").unwrap();
        let (sender, updates) = mpsc::channel(16);
        Self {
            cx: BuildCtx::standalone(id, ComponentKind::Receiver, None),
            stop: Stop::default(),
            updates,
            sender,
            groups: BTreeMap::new(),
            keep: None,
        }
    }

    fn start(&self, at: usize, api: &KubernetesApi, config: KubernetesSdConfig) {
        let config = KubernetesSdConfig {
            api_server: api.url(),
            ..config
        };
        let way = Way {
            updates: self.sender.clone(),
            keep: self.keep.clone(),
            stop: self.stop.clone(),
        };
        let work = run(at, config, self.cx.clone(), way);
        self.cx.tasks.spawn("discovery", work);
    }

    /// Takes updates until the groups are as wanted.
    async fn until(&mut self, holds: impl Fn(&BTreeMap<String, Vec<TargetLabels>>) -> bool) {
        while !holds(&self.groups) {
            let update = tokio::time::timeout(LIMIT, self.updates.recv()).await;
            let update = update.unwrap_or_else(|_| panic!("nothing more than {:?}", self.groups));
            for group in update.unwrap() {
                if group.targets.is_empty() {
                    assert!(
                        self.groups.remove(&group.source).is_some(),
                        "{} twice",
                        group.source
                    );
                } else {
                    self.groups.insert(group.source, group.targets);
                }
            }
        }
    }

    fn get(&self, source: &str, i: usize, name: &str) -> Option<String> {
        super::get(&self.groups[source], i, name)
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stop.stop(Deadline::after(Duration::ZERO));
    }
}

fn role(role: Role) -> KubernetesSdConfig {
    KubernetesSdConfig {
        role: Some(role),
        ..KubernetesSdConfig::default()
    }
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace, "uid": name}})
}

fn pod(name: &str, node: &str, ip: &str, owner: (&str, &str)) -> Value {
    let mut pod = object("Pod", "shop", name);
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": owner.0,
        "name": owner.1, "uid": owner.1, "controller": true}]);
    pod["spec"] = json!({"nodeName": node, "containers": [{"name": "app", "image": "i", "ports": [
        {"name": "http", "containerPort": 80, "protocol": "TCP"},
        {"name": "admin", "containerPort": 81, "protocol": "TCP"}]}]});
    pod["status"] = json!({"podIP": ip, "phase": "Running"});
    pod
}

fn owned(kind: &str, name: &str, owner: (&str, &str)) -> Value {
    let mut object = object(kind, "shop", name);
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": owner.0,
        "name": owner.1, "uid": owner.1, "controller": true}]);
    object
}

#[tokio::test]
async fn attached_metadata_come_with_the_targets_of_pods() {
    let api = KubernetesApi::start().await.unwrap();
    let mut node = object("Node", "", "n1");
    node["metadata"]["labels"] = json!({"zone": "a"});
    api.put("nodes", node);
    let mut namespace = object("Namespace", "", "shop");
    namespace["metadata"]["annotations"] = json!({"owner": "x"});
    api.put("namespaces", namespace);
    api.put(
        "replicasets",
        owned("ReplicaSet", "web-5d", ("Deployment", "web")),
    );
    api.put("jobs", owned("Job", "nightly-1", ("CronJob", "nightly")));
    api.put(
        "pods",
        pod("web", "n1", "10.0.0.1", ("ReplicaSet", "web-5d")),
    );
    api.put("pods", pod("night", "n1", "10.0.0.2", ("Job", "nightly-1")));
    api.put(
        "pods",
        pod("lost", "unknown", "10.0.0.3", ("ReplicaSet", "web-5d")),
    );
    let mut discovery = Discovery::new();
    let attach_metadata = AttachMetadata {
        node: true,
        namespace: true,
        deployment: true,
        job: true,
        cronjob: true,
    };
    discovery.start(
        0,
        &api,
        KubernetesSdConfig {
            attach_metadata,
            ..role(Role::Pod)
        },
    );
    discovery.until(|groups| groups.len() == 2).await;
    let get = |source, name| discovery.get(source, 0, name).unwrap_or_default();
    let (web, night) = ("kubernetes/0/pod/shop/web", "kubernetes/0/pod/shop/night");
    assert_eq!(get(web, "node_name"), "n1");
    assert_eq!(get(web, "node_label_zone"), "a");
    assert_eq!(get(web, "namespace_annotation_owner"), "x");
    assert_eq!(get(web, "pod_deployment_name"), "web");
    assert_eq!(get(web, "pod_job_name"), "");
    assert_eq!(
        (get(night, "pod_job_name"), get(night, "pod_cronjob_name")),
        ("nightly-1".into(), "nightly".into())
    );
    // the node comes later
    api.put("nodes", object("Node", "", "unknown"));
    discovery.until(|groups| groups.len() == 3).await;
}

#[tokio::test]
async fn slices_give_targets_with_what_stands_behind_them() {
    let api = KubernetesApi::start().await.unwrap();
    let mut service = object("Service", "shop", "web");
    service["metadata"]["labels"] = json!({"app": "w"});
    api.put("services", service);
    api.put(
        "pods",
        pod("web-1", "n1", "10.0.0.1", ("StatefulSet", "web")),
    );
    let mut slice = object("EndpointSlice", "shop", "web-x");
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "web"});
    slice["addressType"] = json!("IPv4");
    slice["ports"] =
        json!([{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}]);
    slice["endpoints"] = json!([
        {"addresses": ["10.0.0.1"], "nodeName": "n1", "zone": "a",
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "deprecatedTopology": {"rack/x": "r"},
            "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop"}},
        {"addresses": ["10.0.0.9"]}]);
    api.put("endpointslices", slice.clone());
    // what the API may leave out or send as null
    let mut empty = object("EndpointSlice", "shop", "none");
    (empty["endpoints"], empty["ports"]) = (Value::Null, Value::Null);
    api.put("endpointslices", empty);
    let mut discovery = Discovery::new();
    discovery.start(0, &api, role(Role::EndpointSlice));
    let source = "kubernetes/0/endpointslice/shop/web-x";
    discovery.until(|groups| groups.contains_key(source)).await;
    let get = |i, name: &str| discovery.get(source, i, name).unwrap_or_default();
    let addresses = [0, 1, 2].map(|i| get(i, "__address__"));
    assert_eq!(addresses, ["10.0.0.1:80", "10.0.0.9:80", "10.0.0.1:81"]);
    for (name, value) in [
        ("endpointslice_name", "web-x"),
        ("endpointslice_address_type", "IPv4"),
        ("endpointslice_port", "80"),
        ("endpointslice_port_app_protocol", "http"),
        ("endpointslice_endpoint_conditions_ready", "true"),
        ("endpointslice_endpoint_conditions_terminating", "false"),
        ("endpointslice_endpoint_node_name", "n1"),
        ("endpointslice_endpoint_zone", "a"),
        ("endpointslice_endpoint_topology_rack_x", "r"),
        ("endpointslice_endpoint_topology_present_rack_x", "true"),
        ("endpointslice_address_target_kind", "Pod"),
        ("service_name", "web"),
        ("service_label_app", "w"),
        ("pod_name", "web-1"),
        ("pod_container_port_name", "http"),
    ] {
        assert_eq!(get(0, name), value, "{name}");
    }
    assert_eq!(get(1, "endpointslice_endpoint_conditions_ready"), "");
    assert_eq!(get(1, "pod_name"), "");
    // another port of the pod
    assert_eq!(
        (get(2, "pod_container_port_name"), get(2, "service_name")),
        ("admin".into(), "web".into())
    );
    assert_eq!(get(2, "endpointslice_port"), "");
    // the service goes, then the slice
    api.delete("services", "shop", "web");
    discovery
        .until(|groups| super::get(&groups[source], 0, "service_name").is_none())
        .await;
    api.delete("endpointslices", "shop", "web-x");
    discovery.until(BTreeMap::is_empty).await;
}

#[tokio::test]
async fn endpoints_are_joined_with_services_and_pods() {
    let api = KubernetesApi::start().await.unwrap();
    let mut endpoints = object("Endpoints", "shop", "web");
    endpoints["subsets"] = json!([{"ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        "addresses": [{"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop"}}],
        "notReadyAddresses": [{"ip": "10.0.0.2"}]}]);
    api.put("endpoints", endpoints);
    api.put("services", object("Service", "shop", "web"));
    let mut discovery = Discovery::new();
    discovery.start(0, &api, role(Role::Endpoints));
    let source = "kubernetes/0/endpoints/shop/web";
    discovery.until(|groups| groups.contains_key(source)).await;
    assert_eq!(discovery.groups[source].len(), 2);
    assert_eq!(discovery.get(source, 1, "endpoint_ready").unwrap(), "false");
    // the pod behind comes later, with one port more
    api.put(
        "pods",
        pod("web-1", "n1", "10.0.0.1", ("StatefulSet", "web")),
    );
    discovery.until(|groups| groups[source].len() == 3).await;
    assert_eq!(
        discovery
            .get(source, 0, "pod_container_port_number")
            .unwrap(),
        "80"
    );
    assert_eq!(
        discovery.get(source, 2, "__address__").unwrap(),
        "10.0.0.1:81"
    );
    assert_eq!(discovery.get(source, 2, "endpoint_ready"), None);
    assert_eq!(discovery.get(source, 2, "endpoints_name").unwrap(), "web");
}

#[tokio::test]
async fn entries_share_one_watch_of_a_query_and_selectors_go_to_the_api() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("here", "n1", "10.0.0.1", ("ReplicaSet", "r")));
    api.put("pods", pod("there", "n2", "10.0.0.2", ("ReplicaSet", "r")));
    let mut discovery = Discovery::new();
    let selector = Selector {
        role: Some(Role::Pod),
        label: String::new(),
        field: "spec.nodeName=n1".to_owned(),
    };
    let of_node = KubernetesSdConfig {
        selectors: vec![selector],
        ..role(Role::Pod)
    };
    discovery.start(0, &api, of_node.clone());
    discovery.start(1, &api, of_node.clone());
    let attach_metadata = AttachMetadata {
        node: true,
        ..AttachMetadata::default()
    };
    discovery.start(
        2,
        &api,
        KubernetesSdConfig {
            attach_metadata,
            ..of_node
        },
    );
    api.put("nodes", object("Node", "", "n1"));
    discovery.until(|groups| groups.len() == 3).await;
    assert!(
        discovery
            .groups
            .keys()
            .all(|source| source.ends_with("pod/shop/here"))
    );
    let lists: Vec<_> = api
        .asked()
        .into_iter()
        .filter(|asked| asked.verb == "list")
        .collect();
    let fields: Vec<_> = lists
        .iter()
        .map(|asked| (asked.resource.as_str(), asked.fields.as_str()))
        .collect();
    assert_eq!(fields.len(), 2, "{fields:?}");
    assert!(fields.contains(&("pods", "spec.nodeName=n1")));
    // pods of one node need no other node
    assert!(fields.contains(&("nodes", "metadata.name=n1")));
    assert!(api.wait(LIMIT, |api| api.open_watches() == 2).await);
    discovery.stop.stop(Deadline::after(Duration::ZERO));
    assert!(api.wait(LIMIT, |api| api.open_watches() == 0).await);
}

#[tokio::test]
async fn only_the_namespaces_of_an_entry_are_asked_for() {
    let api = KubernetesApi::start().await.unwrap();
    for namespace in ["shop", "bank", "other"] {
        let mut pod = pod("web", "n1", "10.0.0.1", ("ReplicaSet", "r"));
        pod["metadata"]["namespace"] = json!(namespace);
        api.put("pods", pod);
    }
    let mut discovery = Discovery::new();
    let config = KubernetesSdConfig {
        namespaces: Namespaces {
            names: vec!["shop".to_owned(), "bank".to_owned()],
            own_namespace: false,
        },
        ..role(Role::Pod)
    };
    discovery.start(0, &api, config);
    let sources = ["kubernetes/0/pod/bank/web", "kubernetes/0/pod/shop/web"];
    discovery.until(|groups| groups.len() == 2).await;
    assert_eq!(discovery.groups.keys().collect::<Vec<_>>(), sources);
    assert!(api.wait(LIMIT, |api| api.open_watches() == 2).await);
    // Neither a list nor a watch goes beyond them: roles in the two namespaces are permission enough.
    let asked = api.asked();
    let mut places: Vec<(&str, &str)> = asked
        .iter()
        .map(|asked| (asked.verb.as_str(), asked.namespace.as_str()))
        .collect();
    places.sort_unstable();
    let expected = [
        ("list", "bank"),
        ("list", "shop"),
        ("watch", "bank"),
        ("watch", "shop"),
    ];
    assert_eq!(places, expected);
}

#[tokio::test]
async fn of_targets_that_nobody_wants_nothing_is_sent() {
    let api = KubernetesApi::start().await.unwrap();
    for (name, ip) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        api.put("pods", pod(name, "n1", ip, ("ReplicaSet", "r")));
    }
    let mut discovery = Discovery::new();
    // One of the two ports of one of the two pods.
    discovery.keep = Some(Keep::new(
        |target| target.contains(&("__address__".into(), "10.0.0.2:81".into())),
        None,
    ));
    discovery.start(0, &api, role(Role::Pod));
    discovery.until(|groups| !groups.is_empty()).await;
    let source = "kubernetes/0/pod/shop/b";
    assert_eq!(discovery.groups.keys().collect::<Vec<_>>(), [source]);
    assert_eq!(discovery.groups[source].len(), 1);
    // It loses what was wanted: its group goes; the other one never was there.
    api.put("pods", pod("a", "n1", "10.0.0.3", ("ReplicaSet", "r")));
    api.put("pods", pod("b", "n1", "10.0.0.4", ("ReplicaSet", "r")));
    discovery.until(BTreeMap::is_empty).await;
}

/// 1,000 pods come, change and go, while connections break and versions expire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churned_pods_are_targets_once_and_none_is_left_over() {
    let api = KubernetesApi::start().await.unwrap();
    let address = |i: usize| format!("10.0.{}.{}", i / 256, i % 256);
    for i in 0..1_000 {
        api.put(
            "pods",
            pod(&format!("pod-{i}"), "n1", &address(i), ("ReplicaSet", "r")),
        );
    }
    let mut discovery = Discovery::new();
    discovery.start(0, &api, role(Role::Pod));
    discovery.until(|groups| groups.len() == 1_000).await;
    for i in 0..1_000 {
        api.delete("pods", "shop", &format!("pod-{i}"));
        api.put(
            "pods",
            pod(
                &format!("pod-{}", i + 1_000),
                "n1",
                &address(i),
                ("ReplicaSet", "r"),
            ),
        );
        match i {
            100 | 700 => api.cut(),
            300 => api.expire(),
            500 => api.bookmark(),
            900 => api.drop_next(3),
            _ => {}
        }
        if i % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let expected: Vec<String> = (1_000..2_000)
        .map(|i| format!("kubernetes/0/pod/shop/pod-{i}"))
        .collect();
    let all = |groups: &BTreeMap<String, Vec<TargetLabels>>| {
        groups.len() == 1_000 && expected.iter().all(|source| groups.contains_key(source))
    };
    discovery.until(all).await;
    for (i, source) in expected.iter().enumerate() {
        assert_eq!(
            discovery.get(source, 0, "__address__").unwrap(),
            format!("{}:80", address(i))
        );
        assert_eq!(discovery.groups[source].len(), 2);
    }
}

/// An API server that refuses a watch whose version it no longer has, instead of saying so in it.
#[tokio::test]
async fn a_watch_that_is_refused_as_too_old_lists_again() {
    let api = KubernetesApi::start().await.unwrap();
    api.refuse_expired();
    api.put("pods", pod("web", "n1", "10.0.0.1", ("ReplicaSet", "r")));
    let mut discovery = Discovery::new();
    discovery.start(0, &api, role(Role::Pod));
    discovery.until(|groups| groups.len() == 1).await;
    assert!(api.wait(LIMIT, |api| api.open_watches() == 1).await);
    api.put("pods", pod("late", "n1", "10.0.0.2", ("ReplicaSet", "r")));
    api.expire();
    discovery.until(|groups| groups.len() == 2).await;
}

#[tokio::test]
async fn a_list_that_is_forbidden_is_tried_again() {
    let api = KubernetesApi::start().await.unwrap();
    api.put("pods", pod("web", "n1", "10.0.0.1", ("ReplicaSet", "r")));
    api.permit(Some(&[]));
    let mut discovery = Discovery::new();
    discovery.start(0, &api, role(Role::Pod));
    assert!(api.wait(LIMIT, |api| !api.asked().is_empty()).await);
    api.permit(None);
    discovery.until(|groups| groups.len() == 1).await;
}
