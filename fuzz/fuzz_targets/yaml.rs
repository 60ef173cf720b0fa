//! Any text as a configuration: it is read or refused, and what is refused can be shown.
#![no_main]

use std::collections::BTreeMap;
use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use weir_config::{ComponentId, Duration, NoFetch, Node, Origin, Source, StringOrList};

#[derive(Deserialize)]
struct Collector {
    #[serde(default)]
    receivers: BTreeMap<ComponentId, Option<Component>>,
    service: Option<Node>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Component {
    endpoint: String,
    timeout: Duration,
    size: u16,
    names: Vec<String>,
    tags: StringOrList,
}

fuzz_target!(|text: &str| {
    match weir_config::parse_yaml(&Source::new("fuzz.yaml", text, Origin::Document)) {
        Ok(node) => {
            if let Err(errors) = weir_config::decode::<Collector>(&node, "") {
                errors.iter().for_each(|error| drop(black_box(error.to_string())));
            }
        }
        Err(error) => drop(black_box(error.to_string())),
    }
    // The same text may also refer to itself.
    let environment = BTreeMap::from([("X".to_owned(), text.to_owned())]);
    let locations = [format!("yaml:{text}"), "yaml:x: ${X}".to_owned()];
    match weir_config::load(&locations, &[], &environment, &NoFetch) {
        Ok(loaded) => {
            if let Ok(collector) = weir_config::decode::<Collector>(&loaded.root, "") {
                let used = |c: &Component| {
                    c.size as usize + c.endpoint.len() + c.names.len() + c.tags.0.len()
                        + usize::from(c.timeout.is_zero())
                };
                black_box(collector.receivers.values().flatten().map(used).sum::<usize>());
                black_box(collector.service);
            }
        }
        Err(errors) => drop(black_box(errors.to_string())),
    }
});
