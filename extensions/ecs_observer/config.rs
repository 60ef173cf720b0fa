//! Keys of `ecs_observer`.

use regex::Regex;
use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

/// Configuration of `ecs_observer`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often the tasks are asked for.
    pub(super) refresh_interval: Duration,
    /// The cluster.
    pub(super) cluster_name: String,
    /// Its region; that of the environment or the instance if empty.
    pub(super) cluster_region: String,
    /// File that the targets are written to.
    pub(super) result_file: String,
    /// Label that gets the job's name.
    pub(super) job_label_name: String,
    /// Which services.
    pub(super) services: Vec<ServiceFilter>,
    /// Which task definitions.
    pub(super) task_definitions: Vec<TaskDefinitionFilter>,
    /// Which containers, by their Docker labels.
    pub(super) docker_labels: Vec<DockerLabelFilter>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_secs(30),
            cluster_name: "default".to_owned(),
            cluster_region: String::new(),
            result_file: "/etc/ecs_sd_targets.yaml".to_owned(),
            job_label_name: "prometheus_job".to_owned(),
            services: Vec::new(),
            task_definitions: Vec::new(),
            docker_labels: Vec::new(),
        }
    }
}

/// An entry of `services`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServiceFilter {
    /// Regular expression for the service's name.
    pub(super) name_pattern: String,
    /// Regular expression for the container's name; any if empty.
    pub(super) container_name_pattern: String,
    pub(super) job_name: String,
    pub(super) metrics_path: String,
    /// Ports inside the container.
    pub(super) metrics_ports: Vec<u16>,
}

/// An entry of `task_definitions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TaskDefinitionFilter {
    /// Regular expression for the definition's ARN.
    pub(super) arn_pattern: String,
    /// Regular expression for the container's name; any if empty.
    pub(super) container_name_pattern: String,
    pub(super) job_name: String,
    pub(super) metrics_path: String,
    /// Ports inside the container.
    pub(super) metrics_ports: Vec<u16>,
}

/// An entry of `docker_labels`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DockerLabelFilter {
    /// Label with the port inside the container.
    pub(super) port_label: String,
    /// Label with the path.
    pub(super) metrics_path_label: String,
    /// Label with the job's name.
    pub(super) job_name_label: String,
    pub(super) job_name: String,
    pub(super) metrics_path: String,
    /// Not for this filter: the port is in the label.
    pub(super) metrics_ports: Vec<u16>,
}

fn check_pattern(errors: &mut Errors, path: &str, pattern: &str) {
    if let Err(error) = Regex::new(pattern) {
        let text = error.to_string();
        let text = text.lines().last().unwrap_or_default().to_owned();
        errors.push(path, format!("invalid pattern `{pattern}`: {text}"), "");
    }
}

fn check_ports(errors: &mut Errors, path: &str, ports: &[u16]) {
    for (i, port) in ports.iter().enumerate() {
        if ports.iter().take(i).any(|other| other == port) {
            let text = format!("metrics_ports has duplicated port {port}");
            errors.push(&format!("{path}.metrics_ports[{i}]"), text, "");
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.cluster_name.is_empty() {
            errors.push("cluster_name", "must specify the cluster's name", "");
        }
        if self.result_file.is_empty() {
            errors.push("result_file", "must specify a file", "");
        }
        if self.refresh_interval.is_zero() || self.refresh_interval.is_negative() {
            errors.push("refresh_interval", "must be greater than 0", "");
        }
        for (i, filter) in self.services.iter().enumerate() {
            let path = format!("services[{i}]");
            if filter.name_pattern.is_empty() {
                let text = "name_pattern is required";
                errors.push(&format!("{path}.name_pattern"), text, "");
            }
            check_pattern(errors, &format!("{path}.name_pattern"), &filter.name_pattern);
            let own = format!("{path}.container_name_pattern");
            check_pattern(errors, &own, &filter.container_name_pattern);
            check_ports(errors, &path, &filter.metrics_ports);
        }
        for (i, filter) in self.task_definitions.iter().enumerate() {
            let path = format!("task_definitions[{i}]");
            if filter.arn_pattern.is_empty() {
                let text = "arn_pattern is required";
                errors.push(&format!("{path}.arn_pattern"), text, "");
            }
            check_pattern(errors, &format!("{path}.arn_pattern"), &filter.arn_pattern);
            let own = format!("{path}.container_name_pattern");
            check_pattern(errors, &own, &filter.container_name_pattern);
            check_ports(errors, &path, &filter.metrics_ports);
        }
        for (i, filter) in self.docker_labels.iter().enumerate() {
            if filter.port_label.is_empty() {
                let text = "port_label is required";
                errors.push(&format!("docker_labels[{i}].port_label"), text, "");
            }
            if !filter.metrics_ports.is_empty() {
                let text = "metrics_ports is not for docker_labels: the port is in the label";
                errors.push(&format!("docker_labels[{i}].metrics_ports"), text, "remove it");
            }
        }
    }
}
