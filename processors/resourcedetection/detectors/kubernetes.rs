//! `k8s_api`, formerly `k8snode`: the node and the cluster, from the Kubernetes API.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;
use weir_core::BoxFut;

use super::super::config::KubernetesConfig;
use super::super::detection::{Detector, Found};
use super::super::world::World;
use super::{Filter, Table, absent};

pub(crate) const ATTRIBUTES: Table = &[
    ("k8s.cluster.uid", true),
    ("k8s.node.name", true),
    ("k8s.node.uid", true),
];

/// The namespace whose UID stands for that of the cluster.
const CLUSTER_NAMESPACE: &str = "kube-system";

pub(super) struct Kubernetes {
    pub(super) world: Arc<dyn World>,
    pub(super) required: bool,
    pub(super) config: KubernetesConfig,
    pub(super) filter: Filter,
}

impl Detector for Kubernetes {
    fn detect(&self, _: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async {
            let variable = match self.config.node_from_env_var.as_str() {
                "" => "K8S_NODE_NAME",
                name => name,
            };
            let node = self.world.variable(variable).unwrap_or_default();
            if node.is_empty() {
                return Err(format!(
                    "the environment variable {variable} does not name the node: set it from `spec.nodeName` in the \
                     pod's `env`, or name another one under `node_from_env_var`"
                ));
            }
            let mut answers = self.filter.start();
            answers.put("k8s.node.name", node.as_str());
            if self.filter.is_on("k8s.node.uid") {
                match self.world.node(&self.config, &node).await {
                    Ok(found) => answers.put_known("k8s.node.uid", &found.uid),
                    Err(why) => return absent(self.required, &warned(&why)),
                }
            }
            if self.filter.is_on("k8s.cluster.uid") {
                match self.world.namespace_uid(&self.config, CLUSTER_NAMESPACE).await {
                    Ok(uid) => answers.put_known("k8s.cluster.uid", &uid),
                    Err(why) if self.required => return Err(why),
                    Err(why) => {
                        warned(&why);
                    }
                }
            }
            Ok(answers.found())
        })
    }
}

fn warned(why: &str) -> String {
    warn!(why, "the Kubernetes API did not answer");
    why.to_owned()
}
