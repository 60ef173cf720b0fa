//! The few requests to the Kubernetes API.

use kube::api::ApiResource;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, Object};
use kube::{Api, Client, Config};
use serde::Deserialize;

use super::config::{AuthType, KubernetesConfig};
use super::world::Node;

/// The part of a node's `spec` that is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

/// An object of which only the metadata and that part are read.
type Slim = Object<Option<Spec>, serde_json::Value>;

pub(super) async fn node(api: &KubernetesConfig, name: &str) -> Result<Node, String> {
    let node = object(api, "Node", name).await?;
    Ok(Node {
        uid: node.metadata.uid.unwrap_or_default(),
        provider_id: node.spec.unwrap_or_default().provider_id,
    })
}

pub(super) async fn namespace_uid(api: &KubernetesConfig, name: &str) -> Result<String, String> {
    let namespace = object(api, "Namespace", name).await?;
    Ok(namespace.metadata.uid.unwrap_or_default())
}

async fn object(api: &KubernetesConfig, kind: &str, name: &str) -> Result<Slim, String> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
    let objects: Api<Slim> = Api::all_with(client(api).await?, &resource);
    objects.get(name).await.map_err(|error| failed(&error))
}

pub(super) async fn version() -> Result<String, String> {
    let client = client(&KubernetesConfig::default()).await?;
    let version = client.apiserver_version().await;
    Ok(version.map_err(|error| failed(&error))?.git_version)
}

async fn client(api: &KubernetesConfig) -> Result<Client, String> {
    let mut config = match api.auth_type {
        AuthType::KubeConfig => {
            let file = Kubeconfig::read().map_err(|error| failed(&error))?;
            let options = KubeConfigOptions {
                context: Some(api.context.clone()).filter(|context| !context.is_empty()),
                ..KubeConfigOptions::default()
            };
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| failed(&error))?
        }
        AuthType::ServiceAccount | AuthType::None => {
            Config::incluster().map_err(|error| failed(&error))?
        }
    };
    if api.auth_type == AuthType::None {
        config.auth_info = AuthInfo::default();
    }
    Client::try_from(config).map_err(|error| failed(&error))
}

/// An error with its causes, which this library leaves out of the first line.
fn failed(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
