//! Targets of single objects here, the way from the API to targets in [`api`].

#![allow(clippy::unwrap_used)]

mod api;

use weir_kube::{
    Address, Container, Ingress, IngressRule, Metadata, Node, Owner, PackedPod, Pod, Port,
};

use super::super::TargetLabels;
use super::labels::Attached;
use super::{pod, roles};

fn get(targets: &[TargetLabels], i: usize, name: &str) -> Option<String> {
    let meta = format!("__meta_kubernetes_{name}");
    let found = targets[i]
        .iter()
        .find(|(key, _)| *key == meta || key == name);
    found.map(|(_, value)| value.clone())
}

fn named(name: &str) -> Metadata {
    Metadata {
        name: name.into(),
        namespace: "shop".into(),
        ..Metadata::default()
    }
}

fn web() -> Pod {
    let port = |name: &str, number| Port {
        name: name.into(),
        number,
        protocol: "TCP".into(),
    };
    let container = |name: &str, ports| Container {
        name: name.into(),
        image: "i:1".into(),
        ports,
        ..Container::default()
    };
    let mut metadata = named("web");
    metadata
        .labels
        .insert("app.kubernetes.io/name".into(), "web".into());
    metadata.annotations.insert("empty".into(), String::new());
    let (kind, controller) = ("ReplicaSet".into(), true);
    metadata.owners.push(Owner {
        kind,
        name: "web-5".into(),
        uid: "r".into(),
        controller,
    });
    let mut app = container("app", vec![port("http", 80), port("", 81)]);
    (app.id, app.known) = ("containerd://x".into(), true);
    Pod {
        metadata,
        node: "n1".into(),
        ip: "10.0.0.1".into(),
        phase: "Running".into(),
        ready: "True".into(),
        containers: vec![app, container("side", Vec::new())],
        ..Pod::default()
    }
}

fn targets(pod: Pod) -> Vec<TargetLabels> {
    pod::targets(&PackedPod::of(pod), &Attached::default())
}

#[test]
fn a_target_per_port_and_one_for_a_container_without_ports() {
    let found = targets(web());
    let addresses = [0, 1, 2].map(|i| get(&found, i, "__address__").unwrap());
    assert_eq!(addresses, ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.1"]);
    assert_eq!(get(&found, 0, "pod_container_port_name").unwrap(), "http");
    assert_eq!(get(&found, 1, "pod_container_port_name"), None);
    assert_eq!(
        get(&found, 0, "pod_container_id").unwrap(),
        "containerd://x"
    );
    assert_eq!(get(&found, 2, "pod_container_id"), None);
    assert_eq!(get(&found, 0, "pod_ready").unwrap(), "true");
    assert_eq!(
        get(&found, 0, "pod_label_app_kubernetes_io_name").unwrap(),
        "web"
    );
    assert_eq!(get(&found, 0, "pod_annotation_empty"), None);
    assert_eq!(
        get(&found, 0, "pod_annotationpresent_empty").unwrap(),
        "true"
    );
    assert_eq!(get(&found, 0, "pod_controller_kind").unwrap(), "ReplicaSet");
}

#[test]
fn a_pod_without_an_address_has_no_targets_and_ipv6_gets_brackets() {
    assert!(
        targets(Pod {
            ip: String::new(),
            ..web()
        })
        .is_empty()
    );
    let six = targets(Pod {
        ip: "fd00::1".into(),
        ..web()
    });
    assert_eq!(get(&six, 0, "__address__").unwrap(), "[fd00::1]:80");
    assert_eq!(get(&six, 2, "__address__").unwrap(), "fd00::1");
}

#[test]
fn a_node_is_its_kubelet_at_the_preferred_address() {
    let address = |kind: &str, address: &str| Address {
        kind: kind.into(),
        address: address.into(),
    };
    let node = Node {
        metadata: Metadata {
            name: "n".into(),
            ..Metadata::default()
        },
        provider_id: "aws:///x".into(),
        addresses: vec![
            address("Hostname", "h"),
            address("InternalIP", "fd00::1"),
            address("InternalIP", "fd00::2"),
        ],
        conditions: vec![("Ready".into(), "True".into())],
        kubelet_port: 10250,
    };
    let found = roles::node(&node, &Attached::default());
    assert_eq!(get(&found, 0, "__address__").unwrap(), "[fd00::1]:10250");
    assert_eq!(get(&found, 0, "instance").unwrap(), "n");
    assert_eq!(get(&found, 0, "node_condition_ready").unwrap(), "true");
    assert_eq!(
        get(&found, 0, "node_address_InternalIP").unwrap(),
        "fd00::1"
    );
    assert_eq!(get(&found, 0, "node_provider_id").unwrap(), "aws:///x");
    assert!(roles::node(&Node::default(), &Attached::default()).is_empty());
}

#[test]
fn an_ingress_is_a_target_per_path_and_secure_where_tls_covers_it() {
    let rule = |host: &str, paths: &[&str]| IngressRule {
        host: host.into(),
        paths: paths.iter().map(ToString::to_string).collect(),
    };
    let ingress = Ingress {
        metadata: named("i"),
        class: String::new(),
        tls_hosts: vec!["*.a.test".into()],
        rules: vec![rule("x.a.test", &["/p", ""]), rule("x.y.a.test", &[])],
    };
    let found = roles::ingress(&ingress, &Attached::default());
    let all = |name: &str| [0, 1, 2].map(|i| get(&found, i, name).unwrap());
    assert_eq!(all("ingress_path"), ["/p", "/", "/"]);
    assert_eq!(all("ingress_scheme"), ["https", "https", "http"]);
    assert_eq!(get(&found, 2, "__address__").unwrap(), "x.y.a.test");
}

#[test]
fn keys_of_the_http_client_reach_the_way_to_the_api() {
    use weir_config::{Errors, Secret, Validate as _};

    use super::super::config::{KubernetesSdConfig, Role};
    use weir_kube::Access;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "p\n").unwrap();
    let mut config = KubernetesSdConfig {
        role: Some(Role::Pod),
        api_server: "https://10.0.0.1:6443".into(),
        bearer_token: Secret::new("t".into()),
        ..KubernetesSdConfig::default()
    };
    config.tls_config.ca_file = "ca.crt".into();
    let Ok(Access::Server(server)) = super::access(&config) else {
        panic!("no server")
    };
    assert_eq!(
        (server.token.as_str(), server.ca_file.as_str()),
        ("t", "ca.crt")
    );
    config.basic_auth = Some(super::super::client::BasicAuth {
        username: "u".into(),
        password_file: file.to_str().unwrap().into(),
        ..Default::default()
    });
    let Ok(Access::Server(server)) = super::access(&config) else {
        panic!("no server")
    };
    assert_eq!(server.user, Some(("u".into(), "p".into())));
    let wrong = |config: &KubernetesSdConfig| {
        let mut errors = Errors::default();
        config.validate(&mut errors);
        format!("{errors:?}")
    };
    config.basic_auth = None;
    assert!(
        !wrong(&config).contains("please provide"),
        "{}",
        wrong(&config)
    );
    config.api_server.clear();
    assert!(
        wrong(&config).contains("please provide the 'api_server' URL"),
        "{}",
        wrong(&config)
    );
    config.proxy_url = "http://proxy:1".into();
    assert!(
        wrong(&config).contains("not offered for the Kubernetes API"),
        "{}",
        wrong(&config)
    );
}
