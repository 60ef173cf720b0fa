//! ECS, JSON protocol, version 2014-11-13.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Inventory, MAX_PAGES, unreadable};
use crate::error::AwsError;

/// Clusters, tasks and instances that one call describes.
const MANY: usize = 100;
/// Services that one call describes.
const FEW: usize = 10;

macro_rules! answers {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            pub struct $name { $($(#[$field_meta])* pub $field: $kind,)* }
        )*
    };
}

answers! {
    /// A tag.
    Tag {
        /// Its name.
        key: String,
        /// Its value; some have none.
        value: Option<String>,
    }
    /// A cluster.
    Cluster {
        /// ARN.
        cluster_arn: String,
        /// Name.
        cluster_name: String,
        /// Tags.
        tags: Vec<Tag>,
    }
    /// A service.
    Service {
        /// ARN.
        service_arn: String,
        /// Name.
        service_name: String,
        /// Its cluster.
        cluster_arn: String,
        /// Status, such as `ACTIVE`.
        status: String,
        /// Its deployments; the tasks of one say that they were started by its `id`.
        deployments: Vec<Deployment>,
        /// Tags.
        tags: Vec<Tag>,
    }
    /// A deployment of a service.
    Deployment {
        /// Identifier.
        id: String,
        /// Status, such as `PRIMARY`.
        status: String,
    }
    /// A name and a value of an attachment.
    Pair {
        /// Name.
        name: String,
        /// Value.
        value: String,
    }
    /// Something attached to a task.
    Attachment {
        /// Such as `ElasticNetworkInterface`.
        #[serde(rename = "type")]
        kind: String,
        /// What is known of it.
        details: Vec<Pair>,
    }
    /// A port of a container on its host.
    NetworkBinding {
        /// Port inside.
        container_port: u32,
        /// Port outside.
        host_port: u32,
    }
    /// An interface of a container of its own.
    NetworkInterface {
        /// Its address.
        private_ipv4_address: String,
    }
    /// A container of a task.
    Container {
        /// Name.
        name: String,
        /// Ports on the host.
        network_bindings: Vec<NetworkBinding>,
        /// Interfaces.
        network_interfaces: Vec<NetworkInterface>,
    }
    /// A task.
    Task {
        /// ARN.
        task_arn: String,
        /// Its cluster.
        cluster_arn: String,
        /// ARN of its definition.
        task_definition_arn: String,
        /// Instance that it runs on; none on Fargate.
        container_instance_arn: Option<String>,
        /// Group, such as `service:web`.
        group: String,
        /// What started it.
        started_by: String,
        /// `EC2` or `FARGATE`.
        launch_type: String,
        /// Availability zone.
        availability_zone: String,
        /// Wanted status.
        desired_status: String,
        /// Status.
        last_status: String,
        /// Health.
        health_status: String,
        /// Operating system.
        platform_family: Option<String>,
        /// Version of Fargate.
        platform_version: Option<String>,
        /// What is attached.
        attachments: Vec<Attachment>,
        /// Containers.
        containers: Vec<Container>,
        /// Tags.
        tags: Vec<Tag>,
    }
    /// A port that a definition asks for.
    PortMapping {
        /// Port inside.
        container_port: u32,
        /// Port outside; 0 for any.
        host_port: u32,
    }
    /// A container of a definition.
    ContainerDefinition {
        /// Name.
        name: String,
        /// Docker labels.
        docker_labels: std::collections::BTreeMap<String, String>,
        /// Ports.
        port_mappings: Vec<PortMapping>,
    }
    /// What tasks are made from.
    TaskDefinition {
        /// ARN.
        task_definition_arn: String,
        /// Family, the name without its revision.
        family: String,
        /// Revision.
        revision: u64,
        /// `awsvpc`, `bridge`, `host` or `none`; bridge if empty.
        network_mode: String,
        /// Containers.
        container_definitions: Vec<ContainerDefinition>,
    }
}

impl Inventory {
    /// ARNs of all pages of a listing, which are under `key`.
    async fn list(
        &self,
        target: &'static str,
        mut request: Value,
        key: &str,
    ) -> Result<Vec<String>, AwsError> {
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let answer: Value = self.json(target, &request).await?;
            let arns = answer.get(key).and_then(Value::as_array);
            let arns = arns.into_iter().flatten().filter_map(Value::as_str);
            found.extend(arns.map(str::to_owned));
            match answer.get("nextToken").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => {
                    request["nextToken"] = Value::from(token);
                }
                _ => return Ok(found),
            }
        }
        Err(unreadable("the list never ends"))
    }

    /// ARNs of the clusters.
    ///
    /// # Errors
    /// The service refuses, or cannot be reached.
    pub async fn cluster_arns(&self) -> Result<Vec<String>, AwsError> {
        let target = "AmazonEC2ContainerServiceV20141113.ListClusters";
        self.list(target, json!({}), "clusterArns").await
    }

    /// Clusters with their tags.
    ///
    /// # Errors
    /// As [`Self::cluster_arns`].
    pub async fn clusters(&self, names: &[String]) -> Result<Vec<Cluster>, AwsError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            clusters: Vec<Cluster>,
        }
        let target = "AmazonEC2ContainerServiceV20141113.DescribeClusters";
        let mut found = Vec::new();
        for some in names.chunks(MANY) {
            let request = json!({"clusters": some, "include": ["TAGS"]});
            found.extend(self.json::<Answer>(target, &request).await?.clusters);
        }
        Ok(found)
    }

    /// ARNs of the services of a cluster.
    ///
    /// # Errors
    /// As [`Self::cluster_arns`].
    pub async fn service_arns(&self, cluster: &str) -> Result<Vec<String>, AwsError> {
        let target = "AmazonEC2ContainerServiceV20141113.ListServices";
        let request = json!({"cluster": cluster});
        self.list(target, request, "serviceArns").await
    }

    /// Up to ten services of a cluster, with their tags.
    ///
    /// # Errors
    /// As [`Self::cluster_arns`].
    pub async fn services(&self, cluster: &str, arns: &[String]) -> Result<Vec<Service>, AwsError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            services: Vec<Service>,
        }
        let target = "AmazonEC2ContainerServiceV20141113.DescribeServices";
        let mut found = Vec::new();
        for some in arns.chunks(FEW) {
            let request = json!({"cluster": cluster, "services": some, "include": ["TAGS"]});
            found.extend(self.json::<Answer>(target, &request).await?.services);
        }
        Ok(found)
    }

    /// ARNs of the running tasks of a cluster, or of one of its services.
    ///
    /// # Errors
    /// As [`Self::cluster_arns`].
    pub async fn task_arns(
        &self,
        cluster: &str,
        service: Option<&str>,
    ) -> Result<Vec<String>, AwsError> {
        let target = "AmazonEC2ContainerServiceV20141113.ListTasks";
        let mut request = json!({"cluster": cluster});
        if let Some(service) = service {
            request["serviceName"] = Value::from(service);
        }
        self.list(target, request, "taskArns").await
    }

    /// Tasks with their tags.
    ///
    /// # Errors
    /// As [`Self::cluster_arns`].
    pub async fn tasks(&self, cluster: &str, arns: &[String]) -> Result<Vec<Task>, AwsError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            tasks: Vec<Task>,
        }
        let target = "AmazonEC2ContainerServiceV20141113.DescribeTasks";
        let mut found = Vec::new();
        for some in arns.chunks(MANY) {
            let request = json!({"cluster": cluster, "tasks": some, "include": ["TAGS"]});
            found.extend(self.json::<Answer>(target, &request).await?.tasks);
        }
        Ok(found)
    }

    /// What a task is made from.
    ///
    /// # Errors
    /// As [`Self::cluster_arns`].
    pub async fn task_definition(&self, arn: &str) -> Result<TaskDefinition, AwsError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "taskDefinition")]
            definition: TaskDefinition,
        }
        let target = "AmazonEC2ContainerServiceV20141113.DescribeTaskDefinition";
        let request = json!({"taskDefinition": arn});
        Ok(self.json::<Answer>(target, &request).await?.definition)
    }

    /// EC2 instances of container instances: ARN and identifier.
    ///
    /// # Errors
    /// As [`Self::cluster_arns`].
    pub async fn container_instances(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Vec<(String, String)>, AwsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default)]
            container_instances: Vec<Found>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Found {
            container_instance_arn: String,
            ec2_instance_id: String,
        }
        let target = "AmazonEC2ContainerServiceV20141113.DescribeContainerInstances";
        let mut found = Vec::new();
        for some in arns.chunks(MANY) {
            let request = json!({"cluster": cluster, "containerInstances": some});
            let answer: Answer = self.json(target, &request).await?;
            let pairs = answer.container_instances.into_iter();
            found.extend(pairs.map(|one| (one.container_instance_arn, one.ec2_instance_id)));
        }
        Ok(found)
    }
}
