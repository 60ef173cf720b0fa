//! `ecs_sd_configs`: tasks of the services of ECS.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tracing::warn;
use weir_aws::inventory::{Cluster, EcsService, Instance, Inventory, Tag, Task};
use weir_aws::{AwsError, Service};
use weir_core::{BoxFut, BuildCtx, Stop};

use super::config::EcsSdConfig;
use super::poll::{Ask, Poll, connect};
use super::{Group, Labels, TargetLabels, join};

/// Asks every `refresh_interval` until `stop`; on an error the old targets stay.
pub(super) async fn run(
    at: usize,
    config: EcsSdConfig,
    cx: BuildCtx,
    updates: mpsc::Sender<Vec<Group>>,
    stop: Stop,
) {
    let poll = Poll {
        source: format!("ecs/{at}"),
        what: "ECS",
        every: config.refresh_interval.to_std(),
    };
    let tasks = Tasks {
        config,
        cx,
        inventory: None,
    };
    poll.run(tasks, updates, stop).await;
}

/// Who asks for the tasks.
struct Tasks {
    config: EcsSdConfig,
    cx: BuildCtx,
    inventory: Option<Inventory>,
}

impl Ask for Tasks {
    fn ask(&mut self) -> BoxFut<'_, Result<Vec<TargetLabels>, String>> {
        Box::pin(async {
            let config = &self.config;
            let inventory = match &mut self.inventory {
                Some(inventory) => inventory,
                none => {
                    let endpoint = [(Service::Ecs, config.endpoint.as_str())];
                    let (client, keys) = (config.client(), config.inventory_keys());
                    none.insert(connect(&client, &keys, &endpoint, &self.cx).await?)
                }
            };
            targets(config, inventory).await
        })
    }
}

async fn targets(config: &EcsSdConfig, inventory: &Inventory) -> Result<Vec<TargetLabels>, String> {
    let look = Look {
        inventory,
        port: config.port,
        at_once: config.request_concurrency.max(1),
    };
    look.targets(&config.clusters)
        .await
        .map_err(|error| error.to_string())
}

/// One look with both services elsewhere.
#[cfg(test)]
pub(super) async fn look(
    config: &EcsSdConfig,
    endpoints: &[(Service, &str)],
    cx: &BuildCtx,
) -> Result<Vec<TargetLabels>, String> {
    let (client, keys) = (config.client(), config.inventory_keys());
    targets(config, &connect(&client, &keys, endpoints, cx).await?).await
}

/// One round of questions.
struct Look<'a> {
    inventory: &'a Inventory,
    port: u16,
    at_once: usize,
}

/// What is known of the hosts and interfaces of tasks.
#[derive(Default)]
struct Around {
    /// Identifiers of instances by ARN of the container instance.
    ids: BTreeMap<String, String>,
    instances: BTreeMap<String, Instance>,
    public: BTreeMap<String, String>,
}

impl Look<'_> {
    async fn targets(&self, clusters: &[String]) -> Result<Vec<TargetLabels>, AwsError> {
        let names = if clusters.is_empty() {
            self.inventory.cluster_arns().await?
        } else {
            clusters.to_vec()
        };
        let mut targets = Vec::new();
        for cluster in self.inventory.clusters(&names).await? {
            targets.extend(self.of_cluster(&cluster).await?);
        }
        Ok(targets)
    }

    async fn of_cluster(&self, cluster: &Cluster) -> Result<Vec<TargetLabels>, AwsError> {
        let name = cluster.cluster_arn.as_str();
        let services = self.inventory.service_arns(name).await?;
        let some: Vec<Vec<String>> = services.chunks(10).map(<[String]>::to_vec).collect();
        let services: Vec<EcsService> = stream::iter(some)
            .map(|some| async move { self.inventory.services(name, &some).await })
            .buffered(self.at_once)
            .try_concat()
            .await?;
        let tasks: Vec<(EcsService, Vec<Task>)> = stream::iter(services)
            .map(|service| async move {
                let arns = self
                    .inventory
                    .task_arns(name, Some(&service.service_name))
                    .await?;
                let tasks = self.inventory.tasks(name, &arns).await?;
                Ok::<_, AwsError>((service, tasks))
            })
            .buffered(self.at_once)
            .try_collect()
            .await?;
        let all: Vec<&Task> = tasks.iter().flat_map(|(_, tasks)| tasks).collect();
        let around = self.around(name, &all).await;
        Ok(tasks
            .iter()
            .flat_map(|(service, tasks)| tasks.iter().map(move |task| (service, task)))
            .filter_map(|(service, task)| self.target(cluster, service, task, &around))
            .collect())
    }

    /// Hosts and public addresses. What cannot be found out is only missing from the labels, and
    /// takes the address from tasks that have none of their own.
    async fn around(&self, cluster: &str, tasks: &[&Task]) -> Around {
        let mut around = Around::default();
        let mut hosts: Vec<String> = tasks
            .iter()
            .filter_map(|task| task.container_instance_arn.clone())
            .collect();
        hosts.sort();
        hosts.dedup();
        match self.inventory.container_instances(cluster, &hosts).await {
            Ok(pairs) => around.ids = pairs.into_iter().collect(),
            Err(error) => warn!(cluster, "container instances are not known: {error}"),
        }
        let ids: Vec<String> = around.ids.values().cloned().collect();
        match self.inventory.instances_by_id(&ids).await {
            Ok(found) => {
                let with_address = found.into_iter().filter(|i| !i.private_ip.is_empty());
                around.instances = with_address.map(|i| (i.id.clone(), i)).collect();
            }
            Err(error) => warn!(cluster, "instances are not known: {error}"),
        }
        let interfaces = tasks
            .iter()
            .filter_map(|task| detail(task, "networkInterfaceId"))
            .map(str::to_owned);
        let interfaces: Vec<String> = interfaces.collect();
        match self.inventory.public_addresses(&interfaces).await {
            Ok(found) => around.public = found,
            Err(error) => warn!(cluster, "public addresses are not known: {error}"),
        }
        around
    }

    /// The labels of a task; one without an address is no target.
    fn target(
        &self,
        cluster: &Cluster,
        service: &EcsService,
        task: &Task,
        around: &Around,
    ) -> Option<TargetLabels> {
        let host = task.container_instance_arn.as_deref();
        let instance_id = host.and_then(|arn| around.ids.get(arn));
        let instance = instance_id.and_then(|id| around.instances.get(id));
        let own = task
            .attachments
            .iter()
            .any(|attachment| attachment.kind == "ElasticNetworkInterface");
        let of_instance = |get: fn(&Instance) -> &String| instance.map_or("", |i| get(i).as_str());
        let (mode, address, subnet, public) = if own {
            let interface = detail(task, "networkInterfaceId").unwrap_or_default();
            (
                "awsvpc",
                detail(task, "privateIPv4Address").unwrap_or_default(),
                detail(task, "subnetId").unwrap_or_default(),
                around.public.get(interface).map_or("", String::as_str),
            )
        } else {
            (
                "bridge",
                of_instance(|i| &i.private_ip),
                of_instance(|i| &i.subnet),
                of_instance(|i| &i.public_ip),
            )
        };
        if address.is_empty() {
            return None;
        }
        let mut labels = Labels::with_prefix("__meta_ecs_");
        for (name, value) in [
            ("cluster", cluster.cluster_name.as_str()),
            ("cluster_arn", &service.cluster_arn),
            ("service", &service.service_name),
            ("service_arn", &service.service_arn),
            ("service_status", &service.status),
            ("task_group", &task.group),
            ("task_arn", &task.task_arn),
            ("task_definition", &task.task_definition_arn),
            ("region", self.inventory.region()),
            ("availability_zone", &task.availability_zone),
            ("subnet_id", subnet),
            ("ip_address", address),
            ("launch_type", &task.launch_type),
            ("desired_status", &task.desired_status),
            ("last_status", &task.last_status),
            ("health_status", &task.health_status),
            (
                "platform_family",
                task.platform_family.as_deref().unwrap_or_default(),
            ),
            (
                "platform_version",
                task.platform_version.as_deref().unwrap_or_default(),
            ),
            ("network_mode", mode),
            ("container_instance_arn", host.unwrap_or_default()),
            ("ec2_instance_id", instance_id.map_or("", String::as_str)),
            ("ec2_instance_type", of_instance(|i| &i.kind)),
            ("ec2_instance_private_ip", of_instance(|i| &i.private_ip)),
            ("ec2_instance_public_ip", of_instance(|i| &i.public_ip)),
            ("public_ip", public),
        ] {
            labels.put(name, value);
        }
        put_tags(&mut labels, "tag_cluster_", &cluster.tags);
        put_tags(&mut labels, "tag_service_", &service.tags);
        put_tags(&mut labels, "tag_task_", &task.tags);
        for (name, value) in instance.iter().flat_map(|instance| &instance.tags) {
            labels.put_named("tag_ec2_", name, value);
        }
        Some(labels.at(join(address, self.port)))
    }
}

fn put_tags(labels: &mut Labels, prefix: &str, tags: &[Tag]) {
    for tag in tags {
        if let Some(value) = &tag.value {
            labels.put_named(prefix, &tag.key, value);
        }
    }
}

/// A detail of the first network interface of a task.
fn detail<'a>(task: &'a Task, name: &str) -> Option<&'a str> {
    let mut attachments = task.attachments.iter();
    let interface = attachments.find(|attachment| attachment.kind == "ElasticNetworkInterface")?;
    let found = interface.details.iter().find(|pair| pair.name == name)?;
    Some(&found.value)
}
