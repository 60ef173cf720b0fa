//! The few requests to the Kubernetes API.

use serde::Deserialize;
use weir_kube::Access;

use super::config::{AuthType, KubernetesConfig};
use super::world::Node;

/// The part of a node's `spec` that is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

pub(super) async fn node(api: &KubernetesConfig, name: &str) -> Result<Node, String> {
    let node = access(api).object::<Spec>("Node", name).await?;
    Ok(Node {
        uid: node.uid,
        provider_id: node.spec.provider_id,
    })
}

pub(super) async fn namespace_uid(api: &KubernetesConfig, name: &str) -> Result<String, String> {
    let namespace = access(api).object::<serde_json::Value>("Namespace", name).await?;
    Ok(namespace.uid)
}

pub(super) async fn version() -> Result<String, String> {
    access(&KubernetesConfig::default()).version().await
}

fn access(api: &KubernetesConfig) -> Access {
    match api.auth_type {
        AuthType::KubeConfig => Access::KubeConfig {
            file: None,
            context: api.context.clone(),
        },
        AuthType::ServiceAccount => Access::ServiceAccount,
        AuthType::None => Access::Anonymous,
    }
}
