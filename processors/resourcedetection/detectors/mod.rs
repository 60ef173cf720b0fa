//! The detectors, a file for each platform.

mod beanstalk;
mod ec2;
mod ecs;
mod eks;
mod env;
mod kubernetes;
mod lambda;
mod system;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_config::Errors;
use weir_model::Value;

use super::config::{Config, Switches};
use super::detection::{Detector, Detectors, Found, SCHEMA};
use super::world::World;

pub(super) use beanstalk::ATTRIBUTES as BEANSTALK;
pub(super) use ec2::ATTRIBUTES as EC2;
pub(super) use ecs::ATTRIBUTES as ECS;
pub(super) use eks::ATTRIBUTES as EKS;
pub(super) use kubernetes::ATTRIBUTES as KUBERNETES;
pub(super) use lambda::ATTRIBUTES as LAMBDA;
pub(super) use system::ATTRIBUTES as SYSTEM;

/// Attributes of a detector, and whether each is on by default.
pub(super) type Table = &'static [(&'static str, bool)];

/// Names in `detectors`.
pub(super) const NAMES: &[&str] = &[
    "env",
    "system",
    "ec2",
    "ecs",
    "eks",
    "elastic_beanstalk",
    "lambda",
    "k8s_api",
    "k8snode",
];

/// The detectors of a configuration, in its order.
pub(super) fn of(config: &Config, world: &Arc<dyn World>) -> Detectors {
    let named = config.detectors.iter();
    named
        .filter_map(|name| Some((name.clone(), one(name, config, world.clone())?)))
        .collect()
}

fn one(name: &str, config: &Config, world: Arc<dyn World>) -> Option<Box<dyn Detector>> {
    let required = config.fail_on_missing_metadata;
    Some(match name {
        "env" => Box::new(env::Env { world }),
        "system" => Box::new(system::System {
            world,
            sources: config.system.hostname_sources.clone(),
            filter: Filter::new(SYSTEM, &config.system.resource_attributes),
        }),
        "ec2" => Box::new(ec2::Ec2 {
            world,
            required: required || config.ec2.fail_on_missing_metadata,
            tags: config.ec2.tag_names(&mut Errors::default()),
            tags_from_imds: config.ec2.tags_from_imds,
            filter: Filter::new(EC2, &config.ec2.resource_attributes),
        }),
        "ecs" => Box::new(ecs::Ecs {
            world,
            required,
            filter: Filter::new(ECS, &config.ecs.resource_attributes),
        }),
        "eks" => Box::new(eks::Eks {
            world,
            required,
            node_variable: config.eks.node_from_env_var.clone(),
            filter: Filter::new(EKS, &config.eks.resource_attributes),
        }),
        "elastic_beanstalk" => Box::new(beanstalk::Beanstalk {
            world,
            required,
            filter: Filter::new(BEANSTALK, &config.elasticbeanstalk.resource_attributes),
        }),
        "lambda" => Box::new(lambda::Lambda {
            world,
            required,
            filter: Filter::new(LAMBDA, &config.lambda.resource_attributes),
        }),
        "k8s_api" | "k8snode" => {
            let section = match name {
                "k8s_api" => &config.k8s_api,
                _ => &config.k8snode,
            };
            Box::new(kubernetes::Kubernetes {
                world,
                required,
                filter: Filter::new(KUBERNETES, &section.resource_attributes),
                config: section.clone(),
            })
        }
        _ => return None,
    })
}

/// Which attributes of a detector are on.
#[derive(Clone, Debug)]
struct Filter(BTreeMap<&'static str, bool>);

impl Filter {
    fn new(table: Table, switches: &Switches) -> Self {
        let set = |name: &str| switches.get(name).and_then(|switch| switch.enabled);
        let on = |(name, default): &(&'static str, bool)| (*name, set(name).unwrap_or(*default));
        Self(table.iter().map(on).collect())
    }

    fn is_on(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|on| *on)
    }

    fn any_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is_on(name))
    }

    fn start(&self) -> Answers<'_> {
        Answers {
            filter: self,
            attributes: BTreeMap::new(),
        }
    }
}

/// Collects attributes that are on.
struct Answers<'a> {
    filter: &'a Filter,
    attributes: BTreeMap<String, Value>,
}

impl Answers<'_> {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        if self.filter.is_on(name) {
            self.attributes.insert(name.to_owned(), value.into());
        }
    }

    /// Text that may be unknown: nothing is added then.
    fn put_known(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.put(name, value);
        }
    }

    /// A list of texts; nothing is added if it is empty.
    fn put_list(&mut self, name: &str, values: Vec<String>) {
        if !values.is_empty() {
            self.put(name, Value::List(values.into_iter().map(Value::from).collect()));
        }
    }

    fn found(self) -> Found {
        Found {
            attributes: self.attributes,
            schema_url: SCHEMA,
        }
    }
}

/// Not the platform: nothing, or an error where it has to be.
fn absent(required: bool, why: &str) -> Result<Found, String> {
    match required {
        true => Err(why.to_owned()),
        false => {
            tracing::debug!(why, "a detector of resources is not on its platform");
            Ok(Found::default())
        }
    }
}
