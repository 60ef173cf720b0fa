//! EC2, query protocol, version 2016-11-15.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::{Inventory, MAX_PAGES, unreadable};
use crate::error::AwsError;
use crate::sources::encoded;

/// Instances of one page.
const PAGE: usize = 1000;

/// An instance; texts are empty where the service gives none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Identifier.
    pub id: String,
    /// Account of the reservation.
    pub owner: String,
    /// Architecture.
    pub architecture: String,
    /// Image.
    pub image: String,
    /// Availability zone.
    pub zone: String,
    /// `spot` or `scheduled`; empty for others.
    pub lifecycle: String,
    /// State, such as `running`.
    pub state: String,
    /// Type, such as `t3.small`.
    pub kind: String,
    /// `windows`, or empty.
    pub platform: String,
    /// Private address.
    pub private_ip: String,
    /// Private name.
    pub private_dns: String,
    /// Public address.
    pub public_ip: String,
    /// Public name.
    pub public_dns: String,
    /// IPv6 address of the instance itself.
    pub ipv6: String,
    /// Network.
    pub vpc: String,
    /// Subnet of the first interface.
    pub subnet: String,
    /// Interfaces in a subnet, in the service's order.
    pub interfaces: Vec<InterfaceAddresses>,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// A network interface of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceAddresses {
    /// Its subnet.
    pub subnet: String,
    /// Its place among the interfaces.
    pub device: usize,
    /// IPv6 addresses; the flag marks primary ones.
    pub ipv6: Vec<(String, bool)>,
}

impl Inventory {
    /// Instances that fit the filters: a name and values each.
    ///
    /// # Errors
    /// The service refuses, or cannot be reached.
    pub async fn instances(
        &self,
        filters: &[(String, Vec<String>)],
    ) -> Result<Vec<Instance>, AwsError> {
        let mut form = format!("Action=DescribeInstances&Version=2016-11-15&MaxResults={PAGE}");
        for (i, (name, values)) in filters.iter().enumerate() {
            let i = i + 1;
            form.push_str(&format!("&Filter.{i}.Name={}", encoded(name)));
            for (j, value) in values.iter().enumerate() {
                form.push_str(&format!("&Filter.{i}.Value.{}={}", j + 1, encoded(value)));
            }
        }
        self.all_pages(&form).await
    }

    /// The instances with these identifiers.
    ///
    /// # Errors
    /// As [`Self::instances`].
    pub async fn instances_by_id(&self, ids: &[String]) -> Result<Vec<Instance>, AwsError> {
        let mut found = Vec::new();
        for some in ids.chunks(PAGE) {
            let form = numbered("DescribeInstances", "InstanceId", some);
            found.extend(self.all_pages(&form).await?);
        }
        Ok(found)
    }

    async fn all_pages(&self, form: &str) -> Result<Vec<Instance>, AwsError> {
        let mut found = Vec::new();
        let mut page = form.to_owned();
        for _ in 0..MAX_PAGES {
            let text = self.query(page).await?;
            let (instances, next) = read_instances(&text)?;
            found.extend(instances);
            match next {
                Some(token) => page = format!("{form}&NextToken={}", encoded(&token)),
                None => return Ok(found),
            }
        }
        Err(unreadable("DescribeInstances never ends"))
    }

    /// Identifiers of the availability zones by name, such as `eu-west-2a` to `euw2-az2`.
    ///
    /// # Errors
    /// As [`Self::instances`].
    pub async fn zone_ids(&self) -> Result<BTreeMap<String, String>, AwsError> {
        let form = "Action=DescribeAvailabilityZones&Version=2016-11-15".to_owned();
        let text = self.query(form).await?;
        let document = parse(&text)?;
        let zones = items(document.root_element(), "availabilityZoneInfo");
        Ok(zones
            .map(|zone| (text_of(zone, "zoneName"), text_of(zone, "zoneId")))
            .filter(|(name, _)| !name.is_empty())
            .collect())
    }

    /// Public addresses of network interfaces by their identifiers.
    ///
    /// # Errors
    /// As [`Self::instances`].
    pub async fn public_addresses(
        &self,
        interfaces: &[String],
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let mut found = BTreeMap::new();
        for some in interfaces.chunks(PAGE) {
            let form = numbered("DescribeNetworkInterfaces", "NetworkInterfaceId", some);
            let text = self.query(form).await?;
            let document = parse(&text)?;
            for interface in items(document.root_element(), "networkInterfaceSet") {
                let public = child(interface, "association").map(|node| text_of(node, "publicIp"));
                if let Some(address) = public.filter(|address| !address.is_empty()) {
                    found.insert(text_of(interface, "networkInterfaceId"), address);
                }
            }
        }
        Ok(found)
    }
}

fn numbered(action: &str, name: &str, values: &[String]) -> String {
    let mut form = format!("Action={action}&Version=2016-11-15");
    for (i, value) in values.iter().enumerate() {
        form.push_str(&format!("&{name}.{}={}", i + 1, encoded(value)));
    }
    form
}

fn parse(text: &str) -> Result<Document<'_>, AwsError> {
    Document::parse(text).map_err(|error| unreadable(&error.to_string()))
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name_local(name))
}

/// The `item` elements of a set.
fn items<'a, 'i>(node: Node<'a, 'i>, set: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    child(node, set)
        .into_iter()
        .flat_map(|set| set.children())
        .filter(|item| item.has_tag_name_local("item"))
}

/// Text of a child; empty if there is none.
fn text_of(node: Node<'_, '_>, name: &str) -> String {
    let text = child(node, name).and_then(|child| child.text());
    text.unwrap_or_default().trim().to_owned()
}

/// Names without their namespace: EC2 has one for all elements.
trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// The instances of a page, and the token of the next one.
pub(super) fn read_instances(text: &str) -> Result<(Vec<Instance>, Option<String>), AwsError> {
    let document = parse(text)?;
    let root = document.root_element();
    let mut found = Vec::new();
    for reservation in items(root, "reservationSet") {
        let owner = text_of(reservation, "ownerId");
        for node in items(reservation, "instancesSet") {
            found.push(instance(node, &owner));
        }
    }
    let next = text_of(root, "nextToken");
    Ok((found, (!next.is_empty()).then_some(next)))
}

fn instance(node: Node<'_, '_>, owner: &str) -> Instance {
    let text = |name: &str| text_of(node, name);
    let inside = |outer: &str, name: &str| {
        let outer = child(node, outer);
        outer.map(|outer| text_of(outer, name)).unwrap_or_default()
    };
    let tag = |item: Node<'_, '_>| {
        // A tag without a value is left out, one with an empty value is not.
        child(item, "value").map(|_| (text_of(item, "key"), text_of(item, "value")))
    };
    Instance {
        id: text("instanceId"),
        owner: owner.to_owned(),
        architecture: text("architecture"),
        image: text("imageId"),
        zone: inside("placement", "availabilityZone"),
        lifecycle: text("instanceLifecycle"),
        state: inside("instanceState", "name"),
        kind: text("instanceType"),
        platform: text("platform"),
        private_ip: text("privateIpAddress"),
        private_dns: text("privateDnsName"),
        public_ip: text("ipAddress"),
        public_dns: text("dnsName"),
        ipv6: text("ipv6Address"),
        vpc: text("vpcId"),
        subnet: text("subnetId"),
        interfaces: items(node, "networkInterfaceSet")
            .map(interface)
            .filter(|interface| !interface.subnet.is_empty())
            .collect(),
        tags: items(node, "tagSet").filter_map(tag).collect(),
    }
}

fn interface(node: Node<'_, '_>) -> InterfaceAddresses {
    let device = child(node, "attachment").map(|attachment| text_of(attachment, "deviceIndex"));
    InterfaceAddresses {
        subnet: text_of(node, "subnetId"),
        device: device.and_then(|text| text.parse().ok()).unwrap_or(0),
        ipv6: items(node, "ipv6AddressesSet")
            .map(|item| {
                let primary = text_of(item, "isPrimaryIpv6") == "true";
                (text_of(item, "ipv6Address"), primary)
            })
            .collect(),
    }
}
