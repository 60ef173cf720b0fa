//! From tasks to targets.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Serialize;
use weir_aws::AwsError;
use weir_aws::inventory::{
    ContainerDefinition, EcsService, Instance, Inventory, Task, TaskDefinition,
};

use super::config::{Config, DockerLabelFilter};

/// Definitions that are kept between two rounds; they never change.
const MOST_DEFINITIONS: usize = 2000;
/// The path where nothing names another.
const DEFAULT_PATH: &str = "/metrics";

/// A target, as file discovery reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct FileTarget {
    pub(super) targets: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
}

/// Targets, and what made others impossible.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) targets: Vec<FileTarget>,
    pub(super) left_out: Vec<String>,
}

/// A name filter of services or definitions, compiled.
struct ByName {
    name: Regex,
    container: Option<Regex>,
    port_of: Vec<u16>,
    path: String,
    job: String,
}

/// The filters, compiled.
pub(super) struct Finder {
    cluster: String,
    job_label: String,
    services: Vec<ByName>,
    definitions: Vec<ByName>,
    labels: Vec<DockerLabelFilter>,
    known: BTreeMap<String, TaskDefinition>,
}

/// What a filter wants of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    port: u16,
    path: String,
    job: String,
}

/// A task with what belongs to it.
struct Found<'a> {
    task: &'a Task,
    definition: &'a TaskDefinition,
    service: Option<&'a EcsService>,
    instance: Option<&'a Instance>,
}

impl ByName {
    fn new(
        name: &str,
        container: &str,
        (ports, path, job): (&[u16], &str, &str),
    ) -> Result<Self, regex::Error> {
        Ok(Self {
            name: Regex::new(name)?,
            container: match container {
                "" => None,
                pattern => Some(Regex::new(pattern)?),
            },
            port_of: ports.to_vec(),
            path: path.to_owned(),
            job: job.to_owned(),
        })
    }

    /// The wanted ports among those that the container has.
    fn wanted(&self, container: &ContainerDefinition) -> Vec<Wanted> {
        let named = self.container.as_ref();
        if named.is_some_and(|pattern| !pattern.is_match(&container.name)) {
            return Vec::new();
        }
        let mapped = container.port_mappings.iter();
        mapped
            .filter_map(|mapping| u16::try_from(mapping.container_port).ok())
            .filter(|port| self.port_of.contains(port))
            .map(|port| Wanted {
                port,
                path: self.path.clone(),
                job: self.job.clone(),
            })
            .collect()
    }
}

impl Finder {
    /// # Errors
    /// A pattern that is not valid, which validation has found before.
    pub(super) fn new(config: &Config) -> Result<Self, regex::Error> {
        let services = config.services.iter().map(|f| {
            let rest = (f.metrics_ports.as_slice(), f.metrics_path.as_str(), f.job_name.as_str());
            ByName::new(&f.name_pattern, &f.container_name_pattern, rest)
        });
        let definitions = config.task_definitions.iter().map(|f| {
            let rest = (f.metrics_ports.as_slice(), f.metrics_path.as_str(), f.job_name.as_str());
            ByName::new(&f.arn_pattern, &f.container_name_pattern, rest)
        });
        Ok(Self {
            cluster: config.cluster_name.clone(),
            job_label: config.job_label_name.clone(),
            services: services.collect::<Result<_, _>>()?,
            definitions: definitions.collect::<Result<_, _>>()?,
            labels: config.docker_labels.clone(),
            known: BTreeMap::new(),
        })
    }

    /// Asks for the tasks of the cluster, and what is around them.
    ///
    /// # Errors
    /// The service refuses, or cannot be reached.
    pub(super) async fn round(&mut self, inventory: &Inventory) -> Result<Round, AwsError> {
        let arns = inventory.task_arns(&self.cluster, None).await?;
        let tasks = inventory.tasks(&self.cluster, &arns).await?;
        let used: BTreeSet<&str> = tasks.iter().map(|t| t.task_definition_arn.as_str()).collect();
        if self.known.len() > MOST_DEFINITIONS {
            self.known.retain(|arn, _| used.contains(arn.as_str()));
        }
        for arn in used {
            if !self.known.contains_key(arn) {
                let definition = inventory.task_definition(arn).await?;
                self.known.insert(arn.to_owned(), definition);
            }
        }
        let services = self.services(inventory).await?;
        let instances = self.instances(inventory, &tasks).await?;
        let mut round = Round::default();
        for task in &tasks {
            let Some(definition) = self.known.get(&task.task_definition_arn) else {
                continue;
            };
            let host = task.container_instance_arn.as_ref();
            let found = Found {
                task,
                definition,
                service: services.get(&task.started_by),
                instance: host.and_then(|arn| instances.get(arn)),
            };
            self.targets(&found, &mut round);
        }
        round.targets.sort();
        Ok(round)
    }

    /// Services that a filter names, by the deployments that start their tasks.
    async fn services(
        &self,
        inventory: &Inventory,
    ) -> Result<BTreeMap<String, EcsService>, AwsError> {
        if self.services.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut arns = inventory.service_arns(&self.cluster).await?;
        // The name is the last part of the ARN.
        arns.retain(|arn| {
            let name = arn.rsplit('/').next().unwrap_or(arn);
            self.services.iter().any(|filter| filter.name.is_match(name))
        });
        let mut by_deployment = BTreeMap::new();
        for service in inventory.services(&self.cluster, &arns).await? {
            for deployment in &service.deployments {
                // A deployment that is drained has no tasks worth scraping.
                if matches!(deployment.status.as_str(), "ACTIVE" | "PRIMARY") {
                    by_deployment.insert(deployment.id.clone(), service.clone());
                }
            }
        }
        Ok(by_deployment)
    }

    /// Instances by the ARN of the container instance.
    async fn instances(
        &self,
        inventory: &Inventory,
        tasks: &[Task],
    ) -> Result<BTreeMap<String, Instance>, AwsError> {
        let hosts = tasks.iter().filter_map(|t| t.container_instance_arn.clone());
        let hosts: BTreeSet<String> = hosts.collect();
        let hosts: Vec<String> = hosts.into_iter().collect();
        let pairs = inventory.container_instances(&self.cluster, &hosts).await?;
        let ids: Vec<String> = pairs.iter().map(|(_, id)| id.clone()).collect();
        let found = inventory.instances_by_id(&ids).await?;
        let by_id: BTreeMap<String, Instance> =
            found.into_iter().map(|i| (i.id.clone(), i)).collect();
        let of_host = |(arn, id): (String, String)| Some((arn, by_id.get(&id)?.clone()));
        Ok(pairs.into_iter().filter_map(of_host).collect())
    }

    fn targets(&self, found: &Found<'_>, round: &mut Round) {
        for container in &found.definition.container_definitions {
            for wanted in self.wanted(found, container, round) {
                match address(found, container, wanted.port) {
                    Ok(address) => {
                        let labels = self.labels_of(found, container, &wanted);
                        round.targets.push(FileTarget {
                            targets: vec![address],
                            labels,
                        });
                    }
                    Err(why) => round.left_out.push(format!(
                        "{} container {} port {}: {why}",
                        found.task.task_arn, container.name, wanted.port
                    )),
                }
            }
        }
    }

    /// What all filters want of a container. Of equal ports and paths the first one counts.
    fn wanted(
        &self,
        found: &Found<'_>,
        container: &ContainerDefinition,
        round: &mut Round,
    ) -> Vec<Wanted> {
        let mut all: Vec<Wanted> = Vec::new();
        let mut add = |wanted: Vec<Wanted>| {
            for one in wanted {
                let same = |other: &Wanted| other.port == one.port && other.path == one.path;
                if !all.iter().any(same) {
                    all.push(one);
                }
            }
        };
        if let Some(service) = found.service {
            let by_name = self.services.iter();
            by_name
                .filter(|filter| filter.name.is_match(&service.service_name))
                .for_each(|filter| add(filter.wanted(container)));
        }
        let by_arn = self.definitions.iter();
        by_arn
            .filter(|filter| filter.name.is_match(&found.task.task_definition_arn))
            .for_each(|filter| add(filter.wanted(container)));
        for filter in &self.labels {
            let label = |name: &str| container.docker_labels.get(name).cloned();
            let Some(port) = label(&filter.port_label) else {
                continue;
            };
            let Ok(port) = port.trim().parse() else {
                round.left_out.push(format!(
                    "{} container {}: label {} is no port: `{port}`",
                    found.task.task_arn, container.name, filter.port_label
                ));
                continue;
            };
            add(vec![Wanted {
                port,
                path: label(&filter.metrics_path_label)
                    .unwrap_or_else(|| filter.metrics_path.clone()),
                job: label(&filter.job_name_label).unwrap_or_else(|| filter.job_name.clone()),
            }]);
        }
        all
    }

    fn labels_of(
        &self,
        found: &Found<'_>,
        container: &ContainerDefinition,
        wanted: &Wanted,
    ) -> BTreeMap<String, String> {
        let Found {
            task,
            definition,
            service,
            instance,
        } = found;
        let mut labels = BTreeMap::new();
        let path = if wanted.path.is_empty() {
            DEFAULT_PATH
        } else {
            &wanted.path
        };
        labels.insert("__metrics_path__".to_owned(), path.to_owned());
        if !wanted.job.is_empty() {
            labels.insert(self.job_label.clone(), wanted.job.clone());
        }
        let mut put = |name: &str, value: &str| {
            labels.insert(format!("__meta_ecs_{name}"), value.to_owned());
        };
        put("source", &task.task_arn);
        put("cluster_name", &self.cluster);
        put("task_definition_family", &definition.family);
        put("task_definition_revision", &definition.revision.to_string());
        put("task_started_by", &task.started_by);
        put("task_launch_type", &task.launch_type);
        put("task_group", &task.group);
        put("container_name", &container.name);
        put("health_status", &task.health_status);
        if let Some(service) = service {
            put("service_name", &service.service_name);
        }
        for tag in &task.tags {
            let value = tag.value.as_deref().unwrap_or_default();
            put(&format!("task_tags_{}", sanitized(&tag.key)), value);
        }
        for (name, value) in &container.docker_labels {
            put(&format!("container_labels_{}", sanitized(name)), value);
        }
        if let Some(instance) = instance {
            for (name, value) in [
                ("ec2_instance_id", &instance.id),
                ("ec2_instance_type", &instance.kind),
                ("ec2_vpc_id", &instance.vpc),
                ("ec2_subnet_id", &instance.subnet),
                ("ec2_private_ip", &instance.private_ip),
                ("ec2_public_ip", &instance.public_ip),
            ] {
                if !value.is_empty() {
                    put(name, value);
                }
            }
            for (name, value) in &instance.tags {
                put(&format!("ec2_tags_{}", sanitized(name)), value);
            }
        }
        labels
    }
}

/// A name as labels may have it.
fn sanitized(name: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() { c } else { '_' }
    };
    name.chars().map(allowed).collect()
}

/// Private address and the port on it.
fn address(
    found: &Found<'_>,
    container: &ContainerDefinition,
    port: u16,
) -> Result<String, &'static str> {
    let mode = found.definition.network_mode.as_str();
    let host = match mode {
        "none" => return Err("its network mode is none"),
        "awsvpc" => {
            let details = found.task.attachments.iter().flat_map(|a| &a.details);
            let mut addresses = details.filter(|pair| pair.name == "privateIPv4Address");
            let own = addresses.next().map(|pair| pair.value.as_str());
            own.ok_or("the task has no address yet")?
        }
        _ => {
            let instance = found.instance.ok_or("its instance is not known")?;
            instance.private_ip.as_str()
        }
    };
    if host.is_empty() {
        return Err("there is no private address");
    }
    let wanted = u32::from(port);
    let mapped = if matches!(mode, "awsvpc" | "host") {
        let mut mappings = container.port_mappings.iter();
        let mapping = mappings.find(|m| m.container_port == wanted);
        // In these modes both ports are the same, and one may be left out.
        mapping.map(|m| if m.host_port == 0 { wanted } else { m.host_port })
    } else {
        let running = found.task.containers.iter().find(|c| c.name == container.name);
        let bindings = running.into_iter().flat_map(|c| &c.network_bindings);
        let mut bound = bindings.filter(|b| b.container_port == wanted);
        bound.next().map(|b| b.host_port)
    };
    let mapped = mapped.ok_or("the port is not mapped")?;
    Ok(format!("{host}:{mapped}"))
}
