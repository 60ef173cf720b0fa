//! All that detectors ask: an interface, so that tests give the answers, and the machine itself.

use std::io;
use std::time::Duration;

use tokio::sync::OnceCell;
use weir_aws::{Ec2Metadata, EcsTaskMetadata, Patience};
use weir_config::{Environment, ProcessEnvironment};
use weir_core::BoxFut;

use super::config::KubernetesConfig;

/// What a request gave: the text, or why there is none.
pub(super) type Answer = Result<String, String>;

/// What the Kubernetes API knows of a node and the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// UID of the node object.
    pub(super) uid: String,
    /// `spec.providerID`, such as `aws:///us-west-2a/i-0123`.
    pub(super) provider_id: String,
}

/// The surroundings of the process.
pub(super) trait World: Send + Sync {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// A file's text.
    fn file(&self, path: &str) -> io::Result<String>;
    /// Names in a folder, sorted.
    fn folder(&self, path: &str) -> io::Result<Vec<String>>;
    /// A text of the EC2 instance metadata service, by its path from the root.
    fn instance_metadata<'a>(&'a self, path: &'a str) -> BoxFut<'a, Answer>;
    /// Tags of an EC2 instance from the API of its region.
    fn instance_tags<'a>(
        &'a self,
        region: &'a str,
        instance: &'a str,
    ) -> BoxFut<'a, Result<Vec<(String, String)>, String>>;
    /// The ECS documents on the task and on this container; `None` outside a task.
    fn ecs<'a>(&'a self) -> BoxFut<'a, Option<(Answer, Answer)>>;
    /// A node.
    fn node<'a>(&'a self, api: &'a KubernetesConfig, name: &'a str) -> BoxFut<'a, Result<Node, String>>;
    /// UID of a namespace.
    fn namespace_uid<'a>(&'a self, api: &'a KubernetesConfig, name: &'a str) -> BoxFut<'a, Answer>;
    /// Version of the API server of the cluster that this pod runs in, such as `v1.30.4-eks-a737599`.
    fn kubernetes_version(&self) -> BoxFut<'_, Answer>;
}

/// This machine.
#[derive(Debug)]
pub(super) struct Machine {
    patience: Patience,
    /// Made at the first request, so that its session token serves all.
    metadata: OnceCell<Ec2Metadata>,
}

impl Machine {
    /// `attempts` and `max_backoff` of requests to the instance metadata service.
    pub(super) fn new(attempts: u32, max_backoff: Duration) -> Self {
        let patience = Patience {
            attempts,
            max_backoff,
        };
        Self {
            patience,
            metadata: OnceCell::new(),
        }
    }
}

impl World for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        ProcessEnvironment.get(name)
    }

    fn file(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn folder(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn instance_metadata<'a>(&'a self, path: &'a str) -> BoxFut<'a, Answer> {
        Box::pin(async move {
            let make = || async { Ec2Metadata::new(self.patience) };
            self.metadata.get_or_try_init(make).await?.text(path).await
        })
    }

    fn instance_tags<'a>(
        &'a self,
        region: &'a str,
        instance: &'a str,
    ) -> BoxFut<'a, Result<Vec<(String, String)>, String>> {
        Box::pin(weir_aws::instance_tags(region, instance))
    }

    fn ecs<'a>(&'a self) -> BoxFut<'a, Option<(Answer, Answer)>> {
        Box::pin(async {
            let text = |answer: Result<bytes::Bytes, weir_aws::MetadataError>| {
                answer
                    .map(|body| String::from_utf8_lossy(&body).into_owned())
                    .map_err(|error| error.to_string())
            };
            match EcsTaskMetadata::found(&ProcessEnvironment) {
                Ok(None) => None,
                Ok(Some(agent)) => Some((text(agent.task().await), text(agent.container().await))),
                Err(error) => Some((Err(error.0.clone()), Err(error.0))),
            }
        })
    }

    #[cfg(feature = "kubernetes")]
    fn node<'a>(&'a self, api: &'a KubernetesConfig, name: &'a str) -> BoxFut<'a, Result<Node, String>> {
        Box::pin(super::kubernetes::node(api, name))
    }

    #[cfg(feature = "kubernetes")]
    fn namespace_uid<'a>(&'a self, api: &'a KubernetesConfig, name: &'a str) -> BoxFut<'a, Answer> {
        Box::pin(super::kubernetes::namespace_uid(api, name))
    }

    #[cfg(feature = "kubernetes")]
    fn kubernetes_version(&self) -> BoxFut<'_, Answer> {
        Box::pin(super::kubernetes::version())
    }

    #[cfg(not(feature = "kubernetes"))]
    fn node<'a>(&'a self, _: &'a KubernetesConfig, _: &'a str) -> BoxFut<'a, Result<Node, String>> {
        Box::pin(async { Err(WITHOUT.to_owned()) })
    }

    #[cfg(not(feature = "kubernetes"))]
    fn namespace_uid<'a>(&'a self, _: &'a KubernetesConfig, _: &'a str) -> BoxFut<'a, Answer> {
        Box::pin(async { Err(WITHOUT.to_owned()) })
    }

    #[cfg(not(feature = "kubernetes"))]
    fn kubernetes_version(&self) -> BoxFut<'_, Answer> {
        Box::pin(async { Err(WITHOUT.to_owned()) })
    }
}

#[cfg(not(feature = "kubernetes"))]
const WITHOUT: &str = "this build leaves the Kubernetes API out";
