//! How the pod of a resource is found (processors 1.3).
//!
//! Each rule makes an identifier of a resource and the address of its sender, and the same
//! identifier of each pod that it can find.

use std::net::IpAddr;

use weir_kube::Pod;
use weir_model::{Attributes, ValueRef};

use super::config::{Association, SourceFrom};

/// Attributes by which a pod is found when there are no rules, in this order; the address of the
/// sender comes before the last one.
const ADDRESS: &str = "k8s.pod.ip";
const OLD_ADDRESS: &str = "ip";
const HOST: &str = "host.name";

/// The rules.
#[derive(Debug)]
pub(super) struct Associations {
    rules: Vec<Vec<Source>>,
}

#[derive(Debug, PartialEq)]
enum Source {
    Sender,
    Attribute(String),
}

/// What a resource is associated by.
#[derive(Debug, PartialEq)]
pub(super) struct Identifier {
    pub(super) text: Box<str>,
    /// Whether the address of the sender is a part of it.
    pub(super) by_sender: bool,
}

/// An address without the difference between IPv4 and IPv4 within IPv6.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// An attribute as text; empty if it is not there.
pub(super) fn text(attributes: &Attributes, key: &str) -> String {
    match attributes.get(key) {
        Some(ValueRef::Str(text)) => text.to_owned(),
        Some(ValueRef::Int(number)) => number.to_string(),
        Some(ValueRef::Bool(value)) => value.to_string(),
        Some(ValueRef::Double(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// An attribute that names a pod; `host.name` counts only if it is an address.
fn named(attributes: &Attributes, key: &str) -> String {
    let found = text(attributes, key);
    match key == HOST && found.parse::<IpAddr>().is_err() {
        true => String::new(),
        false => found,
    }
}

/// Texts of one rule in one; a zero byte is in no name of Kubernetes.
fn joined(rule: usize, parts: &[String]) -> Box<str> {
    let mut text = rule.to_string();
    for part in parts {
        text.push('\0');
        text.push_str(part);
    }
    text.into()
}

impl Associations {
    pub(super) fn new(rules: &[Association]) -> Self {
        let rule = |rule: &Association| {
            let sources = rule.sources.iter().map(|source| match source.from {
                SourceFrom::Connection => Source::Sender,
                SourceFrom::ResourceAttribute => Source::Attribute(source.name.clone()),
            });
            sources.collect()
        };
        Self { rules: rules.iter().map(rule).collect() }
    }

    /// Whether a resource may be found by its sender.
    pub(super) fn ask_sender(&self) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|rule| rule.contains(&Source::Sender))
    }

    /// Whether a rule reads attributes that come from other objects than the pod.
    pub(super) fn ask_others(&self) -> bool {
        let foreign = |source: &Source| match source {
            Source::Sender => false,
            Source::Attribute(name) => !OWN.contains(&name.as_str()),
        };
        self.rules.iter().flatten().any(foreign)
    }

    /// The identifier of a resource: that of the first rule whose sources are all there.
    pub(super) fn of_resource(
        &self,
        attributes: &Attributes,
        sender: Option<IpAddr>,
    ) -> Option<Identifier> {
        let sender = sender.map(|address| canonical(address).to_string());
        if self.rules.is_empty() {
            let found = [ADDRESS, OLD_ADDRESS].map(|key| named(attributes, key));
            let found = found.into_iter().find(|text| !text.is_empty());
            let by_sender = found.is_none() && sender.is_some();
            let found = found.or(sender).or_else(|| Some(named(attributes, HOST)));
            let text = found.filter(|text| !text.is_empty())?;
            return Some(Identifier { text: joined(0, &[text]), by_sender });
        }
        self.rules.iter().enumerate().find_map(|(i, rule)| {
            let parts = rule.iter().map(|source| match source {
                Source::Sender => sender.clone(),
                Source::Attribute(name) => {
                    Some(named(attributes, name)).filter(|text| !text.is_empty())
                }
            });
            let parts: Vec<String> = parts.collect::<Option<_>>()?;
            let by_sender = rule.contains(&Source::Sender);
            Some(Identifier { text: joined(i, &parts), by_sender })
        })
    }

    /// All identifiers of a pod. `extracted` are the attributes it gives.
    pub(super) fn of_pod(
        &self,
        pod: &Pod,
        extracted: impl Fn(&str) -> Option<String>,
    ) -> Vec<Box<str>> {
        // Pods on the network of their node all have its address.
        let address = Some(pod.ip.clone()).filter(|ip| !ip.is_empty());
        let own_address = address.clone().filter(|_| !pod.host_network);
        if self.rules.is_empty() {
            return own_address.iter().map(|ip| joined(0, std::slice::from_ref(ip))).collect();
        }
        let mut identifiers = Vec::new();
        for (i, rule) in self.rules.iter().enumerate().filter(|(_, rule)| !rule.is_empty()) {
            // A source may have several values: all combinations count.
            let mut all: Vec<Vec<String>> = vec![Vec::new()];
            for source in rule {
                let values: Vec<String> = match source {
                    Source::Sender => own_address.clone().into_iter().collect(),
                    Source::Attribute(name) => values(pod, name, address.as_ref(), &extracted),
                };
                all = all
                    .iter()
                    .flat_map(|start| {
                        values.iter().map(move |value| {
                            let mut parts = start.clone();
                            parts.push(value.clone());
                            parts
                        })
                    })
                    .collect();
            }
            identifiers.extend(all.iter().map(|parts| joined(i, parts)));
        }
        identifiers
    }
}

/// Attributes that a pod has whether they are extracted or not.
const OWN: [&str; 6] =
    ["k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", ADDRESS, HOST, "container.id"];

fn values(
    pod: &Pod,
    name: &str,
    address: Option<&String>,
    extracted: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let one = match name {
        "k8s.namespace.name" => Some(pod.metadata.namespace.clone()),
        "k8s.pod.name" => Some(pod.metadata.name.clone()),
        "k8s.pod.uid" => Some(pod.metadata.uid.clone()),
        ADDRESS | HOST => address.cloned(),
        "container.id" => {
            let ids = pod.containers.iter().map(|container| bare_id(&container.id));
            return ids.filter(|id| !id.is_empty()).map(str::to_owned).collect();
        }
        other => extracted(other),
    };
    one.into_iter().filter(|text| !text.is_empty()).collect()
}

/// The id of a container without its runtime.
pub(super) fn bare_id(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, id)| id)
}
