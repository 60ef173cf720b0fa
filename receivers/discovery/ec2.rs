//! `ec2_sd_configs`: instances of EC2.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tracing::debug;
use weir_aws::inventory::{Instance, Inventory};
use weir_aws::{AwsError, Service};
use weir_core::{BoxFut, BuildCtx, Stop};

use super::config::Ec2SdConfig;
use super::poll::{Ask, Poll, connect};
use super::{Group, Labels, TargetLabels, join};

/// Asks every `refresh_interval` until `stop`; on an error the old targets stay.
pub(super) async fn run(
    at: usize,
    config: Ec2SdConfig,
    cx: BuildCtx,
    updates: mpsc::Sender<Vec<Group>>,
    stop: Stop,
) {
    let poll = Poll {
        source: format!("ec2/{at}"),
        what: "EC2",
        every: config.refresh_interval.to_std(),
    };
    let filters = config.filters.iter();
    let instances = Instances {
        filters: filters
            .map(|filter| (filter.name.clone(), filter.values.clone()))
            .collect(),
        config,
        cx,
        inventory: None,
        zones: None,
    };
    poll.run(instances, updates, stop).await;
}

/// Who asks for the instances.
struct Instances {
    config: Ec2SdConfig,
    filters: Vec<(String, Vec<String>)>,
    cx: BuildCtx,
    inventory: Option<Inventory>,
    zones: Option<BTreeMap<String, String>>,
}

impl Ask for Instances {
    fn ask(&mut self) -> BoxFut<'_, Result<Vec<TargetLabels>, String>> {
        Box::pin(self.targets())
    }
}

impl Instances {
    async fn targets(&mut self) -> Result<Vec<TargetLabels>, String> {
        let config = &self.config;
        let inventory = match &mut self.inventory {
            Some(inventory) => inventory,
            none => {
                let endpoint = [(Service::Ec2, config.endpoint.as_str())];
                let (client, keys) = (config.client(), config.inventory_keys());
                none.insert(connect(&client, &keys, &endpoint, &self.cx).await?)
            }
        };
        if self.zones.is_none() {
            // Only one label needs them; a role may lack the permission.
            match inventory.zone_ids().await {
                Ok(found) => self.zones = Some(found),
                Err(error) => debug!("availability zones are not known: {error}"),
            }
        }
        let found = inventory.instances(&self.filters).await;
        let instances = found.map_err(|error: AwsError| error.to_string())?;
        let unknown = BTreeMap::new();
        let zones = self.zones.as_ref().unwrap_or(&unknown);
        let targets = instances.iter();
        Ok(targets
            .filter_map(|instance| target(instance, inventory.region(), zones, config.port))
            .collect())
    }
}

/// The labels of an instance; one without a private address is no target.
fn target(
    instance: &Instance,
    region: &str,
    zones: &BTreeMap<String, String>,
    port: u16,
) -> Option<TargetLabels> {
    if instance.private_ip.is_empty() {
        return None;
    }
    let mut labels = Labels::with_prefix("__meta_ec2_");
    let zone_id = zones.get(&instance.zone).map_or("", String::as_str);
    for (name, value) in [
        ("ami", instance.image.as_str()),
        ("architecture", &instance.architecture),
        ("availability_zone", &instance.zone),
        ("availability_zone_id", zone_id),
        ("instance_id", &instance.id),
        ("instance_lifecycle", &instance.lifecycle),
        ("instance_state", &instance.state),
        ("instance_type", &instance.kind),
        ("default_ipv6_address", &instance.ipv6),
        ("owner_id", &instance.owner),
        ("platform", &instance.platform),
        ("private_dns_name", &instance.private_dns),
        ("private_ip", &instance.private_ip),
        ("region", region),
    ] {
        labels.put(name, value);
    }
    if !instance.public_ip.is_empty() {
        labels.put("public_ip", &instance.public_ip);
        labels.put("public_dns_name", &instance.public_dns);
    }
    if !instance.vpc.is_empty() {
        put_network(instance, &mut labels);
    }
    for (name, value) in &instance.tags {
        labels.put_named("tag_", name, value);
    }
    Some(labels.at(join(&instance.private_ip, port)))
}

/// Lists of the interfaces in a network, wrapped in commas.
fn put_network(instance: &Instance, labels: &mut Labels) {
    labels.put("vpc_id", &instance.vpc);
    labels.put("primary_subnet_id", &instance.subnet);
    let mut subnets: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    let mut primary: BTreeMap<usize, &str> = BTreeMap::new();
    for interface in &instance.interfaces {
        if !subnets.contains(&interface.subnet.as_str()) {
            subnets.push(&interface.subnet);
        }
        for (address, is_primary) in &interface.ipv6 {
            all.push(address.as_str());
            if *is_primary {
                primary.insert(interface.device, address);
            }
        }
    }
    labels.put("subnet_id", &format!(",{},", subnets.join(",")));
    if !all.is_empty() {
        labels.put("ipv6_addresses", &format!(",{},", all.join(",")));
    }
    // A place in the list is that of the interface; an instance has at most some dozens.
    if let Some(last) = primary.keys().next_back().filter(|last| **last < 256) {
        let placed: Vec<&str> = (0..=*last)
            .map(|device| primary.get(&device).copied().unwrap_or_default())
            .collect();
        labels.put("primary_ipv6_addresses", &format!(",{},", placed.join(",")));
    }
}
