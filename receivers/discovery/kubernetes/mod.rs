//! `kubernetes_sd_configs` (prometheus-receiver 3.4): role `pod` in [`pod`], `node`, `service` and
//! `ingress` in [`roles`], `endpoints` and `endpointslice` in [`endpoints`].
//!
//! The objects are in watches that are shared with all jobs and processors (`weir-kube`). Targets
//! are made of them when they change.

mod endpoints;
mod labels;
mod pod;
mod roles;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tracing::error;
use weir_core::{BuildCtx, Stop};
use weir_kube::{Access, Changes, Cluster, Key, Query, Resource, Server, Slim, Watch, any};

use super::config::{KubernetesSdConfig, Role};
use super::{Group, Keep, TargetLabels};
use labels::Attached;

/// Where a pod finds the name of its own namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Most groups of an update: the labels of thousands of pods are not there all at once.
const TOGETHER: usize = 64;

/// Where the groups of an entry go.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) updates: mpsc::Sender<Vec<Group>>,
    /// Which targets are wanted: nothing is remembered of an object that has none of them.
    pub(super) keep: Option<Keep>,
    pub(super) stop: Stop,
}

/// Watches what the role needs until `stop`. Without a cluster there are no targets, and one line says so.
pub(super) async fn run(at: usize, config: KubernetesSdConfig, cx: BuildCtx, way: Way) {
    let cluster = match access(&config) {
        Ok(access) => Cluster::of(&access, &cx).await,
        Err(reason) => Err(reason),
    };
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(reason) => return error!("Cannot create service discovery: {reason}"),
    };
    let mut namespaces: Vec<Option<String>> =
        config.namespaces.names.iter().cloned().map(Some).collect();
    if config.namespaces.own_namespace {
        match tokio::fs::read_to_string(OWN_NAMESPACE).await {
            Ok(name) => namespaces.push(Some(name.trim().to_owned())),
            Err(reason) => {
                return error!("Cannot create service discovery: own_namespace: {reason}");
            }
        }
    }
    let role = config.role.unwrap_or(Role::Pod);
    if role == Role::Node {
        // nodes belong to no namespace
        namespaces.clear();
    }
    if namespaces.is_empty() {
        namespaces.push(None);
    }
    let watches = namespaces.into_iter().map(|namespace| {
        let scope = Scope {
            at,
            role,
            cluster: cluster.clone(),
            namespace,
            config: &config,
            way: way.clone(),
        };
        follow(scope)
    });
    join_all(watches).await;
}

/// The way to the API that an entry asks for.
///
/// # Errors
/// A file with a user name or password that cannot be read.
fn access(config: &KubernetesSdConfig) -> Result<Access, String> {
    if !config.kubeconfig_file.is_empty() {
        return Ok(Access::KubeConfig {
            file: Some(config.kubeconfig_file.clone().into()),
            context: String::new(),
        });
    }
    if config.api_server.is_empty() {
        return Ok(Access::ServiceAccount);
    }
    let tls = &config.tls_config;
    let mut server = Server {
        url: config.api_server.clone(),
        ca: tls.ca.expose().clone(),
        ca_file: tls.ca_file.clone(),
        certificate: tls.cert.expose().clone(),
        certificate_file: tls.cert_file.clone(),
        key: tls.key.expose().clone(),
        key_file: tls.key_file.clone(),
        server_name: tls.server_name.clone(),
        insecure: tls.insecure_skip_verify,
        token: config.bearer_token.expose().clone(),
        token_file: config.bearer_token_file.clone(),
        user: None,
    };
    if let Some(authorization) = &config.authorization {
        server.token = authorization.credentials.expose().clone();
        server.token_file = authorization.credentials_file.clone();
    }
    if let Some(basic) = &config.basic_auth {
        let name = text_or_file(&basic.username, &basic.username_file)?;
        let password = text_or_file(basic.password.expose(), &basic.password_file)?;
        server.user = Some((name, password));
    }
    Ok(Access::Server(Box::new(server)))
}

fn text_or_file(text: &str, file: &str) -> Result<String, String> {
    match file.is_empty() {
        true => Ok(text.to_owned()),
        false => {
            let text = std::fs::read_to_string(file).map_err(|why| format!("{file}: {why}"))?;
            Ok(text.trim().to_owned())
        }
    }
}

/// One entry in one namespace, or in all.
struct Scope<'a> {
    /// Place of the entry, part of the names of its groups.
    at: usize,
    role: Role,
    cluster: Arc<Cluster>,
    namespace: Option<String>,
    config: &'a KubernetesSdConfig,
    way: Way,
}

/// The objects of a role with those that they are joined with.
trait View: Send + Sync {
    /// Kind in the names of groups.
    fn kind(&self) -> &'static str;
    /// Changes of the objects that have targets, then those of the others.
    fn changes(&self) -> Vec<Changes>;
    /// Which objects' targets may be others, now that these of watch `of` have changed.
    fn touched(&self, of: usize, keys: BTreeSet<Key>) -> BTreeSet<Key>;
    /// The targets of an object, none if it is gone.
    fn targets(&self, key: &str) -> Vec<TargetLabels>;
}

async fn follow(scope: Scope<'_>) {
    let attached = scope.attached();
    match scope.role {
        Role::Pod => {
            let view = scope.single(Resource::Pod, attached, pod::targets);
            scope.publish(view).await;
        }
        Role::Node => {
            let view = scope.single(Resource::Node, attached, roles::node);
            scope.publish(view).await;
        }
        Role::Service => {
            let view = scope.single(Resource::Service, attached, roles::service);
            scope.publish(view).await;
        }
        Role::Ingress => {
            let view = scope.single(Resource::Ingress, attached, roles::ingress);
            scope.publish(view).await;
        }
        Role::Endpoints => {
            let view = endpoints::Joined::<weir_kube::Endpoints>::new(&scope, attached);
            scope.publish(view).await;
        }
        Role::EndpointSlice => {
            let view = endpoints::Joined::<weir_kube::Slice>::new(&scope, attached);
            scope.publish(view).await;
        }
    }
}

/// The resource of a role.
fn resource(role: Role) -> Resource {
    match role {
        Role::Pod => Resource::Pod,
        Role::Node => Resource::Node,
        Role::Service => Resource::Service,
        Role::Endpoints => Resource::Endpoints,
        Role::EndpointSlice => Resource::EndpointSlice,
        Role::Ingress => Resource::Ingress,
    }
}

impl Scope<'_> {
    /// The objects of a role, as its selector wants them.
    fn watch<T: Slim>(&self, role: Role) -> Watch<T> {
        self.cluster.watch(resource(role), &self.query(role))
    }

    fn query(&self, role: Role) -> Query {
        let mut selectors = self.config.selectors.iter();
        let selector = selectors.find(|selector| selector.role == Some(role));
        Query {
            namespace: self.namespace.clone().filter(|_| role != Role::Node),
            labels: selector
                .map(|selector| selector.label.clone())
                .unwrap_or_default(),
            fields: selector
                .map(|selector| selector.field.clone())
                .unwrap_or_default(),
        }
    }

    fn attached(&self) -> Attached {
        let want = &self.config.attach_metadata;
        let here = Query {
            namespace: self.namespace.clone(),
            ..Query::default()
        };
        let mut attached = Attached {
            job: want.job,
            ..Attached::default()
        };
        if want.node {
            let mut nodes = self.query(Role::Node);
            // Pods of one node need no other.
            let pods = self.query(Role::Pod).fields;
            if let Some(node) = pods
                .strip_prefix("spec.nodeName=")
                .filter(|n| !n.contains(','))
                && nodes == Query::default()
            {
                nodes.fields = format!("metadata.name={node}");
            }
            attached.nodes = Some(self.cluster.watch(Resource::Node, &nodes));
        }
        if want.namespace {
            let one = self
                .namespace
                .as_ref()
                .map(|name| format!("metadata.name={name}"));
            let namespaces = Query {
                fields: one.unwrap_or_default(),
                ..Query::default()
            };
            attached.namespaces = Some(self.cluster.watch(Resource::Namespace, &namespaces));
        }
        if want.deployment {
            attached.replica_sets = Some(self.cluster.watch(Resource::ReplicaSet, &here));
        }
        if want.cronjob {
            attached.jobs = Some(self.cluster.watch(Resource::Job, &here));
        }
        attached
    }

    fn single<T: Slim>(
        &self,
        resource: Resource,
        attached: Attached,
        targets: fn(&T, &Attached) -> Vec<TargetLabels>,
    ) -> Single<T> {
        let objects = self.cluster.watch(resource, &self.query(self.role));
        let kind = match self.role {
            Role::Pod => "pod",
            Role::Node => "node",
            Role::Service => "service",
            _ => "ingress",
        };
        Single {
            kind,
            objects,
            attached,
            targets,
        }
    }

    /// Publishes the groups of a view: all of them once everything is listed, then those that have
    /// become others.
    async fn publish(&self, view: impl View) {
        let mut changes = view.changes();
        let mut listed = vec![false; changes.len()];
        let mut due = BTreeSet::new();
        let mut published: HashMap<Key, u64, foldhash::fast::RandomState> = HashMap::default();
        loop {
            let (of, keys) = tokio::select! {
                () = self.way.stop.stopped() => return,
                change = any(&mut changes) => change,
            };
            listed[of] = true;
            due.extend(view.touched(of, keys));
            if !listed.iter().all(|listed| *listed) {
                continue;
            }
            let mut groups = Vec::new();
            for key in std::mem::take(&mut due) {
                let mut targets = view.targets(&key);
                if let Some(keep) = &self.way.keep {
                    keep.retain(&mut targets);
                }
                let hash = published.hasher().hash_one(&targets);
                let old = match targets.is_empty() {
                    true => published.remove(&key),
                    false => published.insert(key.clone(), hash),
                };
                // Nothing to nothing and same to same are no news.
                let news = old.map_or(!targets.is_empty(), |old| old != hash);
                if news {
                    let source = format!("kubernetes/{}/{}/{key}", self.at, view.kind());
                    groups.push(Group { source, targets });
                }
                if groups.len() == TOGETHER {
                    let groups = std::mem::take(&mut groups);
                    if self.way.updates.send(groups).await.is_err() {
                        return;
                    }
                }
            }
            if !groups.is_empty() && self.way.updates.send(groups).await.is_err() {
                return;
            }
        }
    }
}

/// A role whose targets come from one object each.
struct Single<T> {
    kind: &'static str,
    objects: Watch<T>,
    attached: Attached,
    targets: fn(&T, &Attached) -> Vec<TargetLabels>,
}

impl<T: Slim> View for Single<T> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn changes(&self) -> Vec<Changes> {
        let mut changes = vec![self.objects.changes()];
        changes.extend(self.attached.changes());
        changes
    }

    fn touched(&self, of: usize, keys: BTreeSet<Key>) -> BTreeSet<Key> {
        match of {
            0 => keys,
            // What is attached changes rarely; equal groups are not sent again.
            _ => self.objects.keys(),
        }
    }

    fn targets(&self, key: &str) -> Vec<TargetLabels> {
        let object = self.objects.get(key);
        object.map_or_else(Vec::new, |object| (self.targets)(&object, &self.attached))
    }
}
