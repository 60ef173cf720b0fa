//! Meta labels, and what is attached to them of other objects.

use std::collections::BTreeMap;

use weir_kube::{Changes, Metadata, Pod, Watch, key};

use super::super::TargetLabels;

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn join(host: &str, port: i64) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Every character outside `[a-zA-Z0-9_]` becomes `_`.
pub(super) fn label_name(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    key.chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect()
}

/// Labels by name; empty values give no label.
#[derive(Clone, Default)]
pub(super) struct Meta(pub(super) BTreeMap<String, String>);

impl Meta {
    pub(super) fn put(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0
                .insert(format!("__meta_kubernetes_{name}"), value.to_owned());
        }
    }

    /// A value of which the API may say nothing.
    pub(super) fn put_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.put(name, &value.to_string());
        }
    }

    /// Labels and annotations: the value, which may be empty, and that it is present.
    pub(super) fn put_object(&mut self, kind: &str, metadata: &Metadata) {
        self.put_map(&format!("{kind}_label"), &metadata.labels);
        self.put_map(&format!("{kind}_annotation"), &metadata.annotations);
    }

    fn put_map(&mut self, what: &str, map: &BTreeMap<String, String>) {
        for (key, value) in map {
            let key = label_name(key);
            self.put(&format!("{what}_{key}"), value);
            self.put(&format!("{what}present_{key}"), "true");
        }
    }

    /// As the labels of a target with this address.
    pub(super) fn at(mut self, address: String) -> TargetLabels {
        self.0.insert("__address__".to_owned(), address);
        self.0.into_iter().collect()
    }
}

/// `attach_metadata`: the objects whose labels targets get besides their own.
#[derive(Clone, Default)]
pub(super) struct Attached {
    pub(super) nodes: Option<Watch<Metadata>>,
    pub(super) namespaces: Option<Watch<Metadata>>,
    /// For the names of deployments.
    pub(super) replica_sets: Option<Watch<Metadata>>,
    /// For the names of cron jobs.
    pub(super) jobs: Option<Watch<Metadata>>,
    /// The name of a pod's job, which the pod knows itself.
    pub(super) job: bool,
}

impl Attached {
    pub(super) fn changes(&self) -> impl Iterator<Item = Changes> {
        let all = [
            &self.nodes,
            &self.namespaces,
            &self.replica_sets,
            &self.jobs,
        ];
        all.into_iter().flatten().map(Watch::changes)
    }

    /// Labels of a node, if nodes are attached; whether the node is known or does not matter.
    pub(super) fn put_node(&self, meta: &mut Meta, name: &str) -> bool {
        let Some(nodes) = &self.nodes else {
            return true;
        };
        let Some(node) = nodes.get(&key("", name)) else {
            return false;
        };
        meta.put("node_name", &node.name);
        meta.put_object("node", &node);
        true
    }

    /// Labels of a namespace, if namespaces are attached.
    pub(super) fn put_namespace(&self, meta: &mut Meta, name: &str) {
        let found = self
            .namespaces
            .as_ref()
            .and_then(|all| all.get(&key("", name)));
        if let Some(namespace) = found {
            meta.put_object("namespace", &namespace);
        }
    }

    /// Names of what stands behind a pod.
    pub(super) fn put_owners(&self, meta: &mut Meta, pod: &Pod) {
        let Some(owner) = pod.metadata.controller() else {
            return;
        };
        let behind = |watch: &Option<Watch<Metadata>>, kind: &str| {
            let found = watch
                .as_ref()?
                .get(&key(&pod.metadata.namespace, &owner.name))?;
            let behind = found.controller().filter(|behind| behind.kind == kind)?;
            Some(behind.name.clone())
        };
        match owner.kind.as_str() {
            "ReplicaSet" => {
                meta.put_some(
                    "pod_deployment_name",
                    behind(&self.replica_sets, "Deployment"),
                );
            }
            "Job" => {
                meta.put_some("pod_job_name", Some(&owner.name).filter(|_| self.job));
                meta.put_some("pod_cronjob_name", behind(&self.jobs, "CronJob"));
            }
            _ => {}
        }
    }
}
