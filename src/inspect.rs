//! Subcommands that print: components, print-config.

use std::io::Write as _;

use serde_json::{Map, Value, json};
use weir_config::Diagnostics;
use weir_core::{ComponentKind, Signal, Signals, Stability};

use crate::cli::{Format, Mode};
use crate::components::REGISTRY;
use crate::run::{self, BUILD_INFO, EXIT_FAILURE, EXIT_OK, Options};

/// Writes to standard output; a closed pipe is nobody's error.
pub fn print(text: &str) {
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}

/// `weir components`: YAML in the shape of the upstream collector.
pub fn components() -> u8 {
    let mut all = Map::new();
    let info = json!({"command": BUILD_INFO.name, "description": env!("CARGO_PKG_DESCRIPTION"), "version": BUILD_INFO.version});
    all.insert("buildinfo".into(), info);
    macro_rules! family {
        ($kind:expr, $table:expr) => {
            let rows = $table
                .iter()
                .map(|e| row(e.name, e.aliases, e.signals, e.stability))
                .collect();
            all.insert($kind.section().into(), Value::Array(rows));
        };
    }
    family!(ComponentKind::Receiver, REGISTRY.receivers);
    family!(ComponentKind::Processor, REGISTRY.processors);
    family!(ComponentKind::Exporter, REGISTRY.exporters);
    family!(ComponentKind::Extension, REGISTRY.extensions);
    let providers: Vec<_> = ["env", "file", "http", "https", "yaml"]
        .map(|s| json!({"scheme": s}))
        .into();
    all.insert("providers".into(), Value::Array(providers));
    print(&yaml(&Value::Object(all)));
    EXIT_OK
}

fn row(name: &str, aliases: &[&str], signals: Signals, stability: Stability) -> Value {
    let mut row = json!({"name": name});
    if !aliases.is_empty() {
        row["aliases"] = json!(aliases);
    }
    let stability = stability.as_str();
    row["stability"] = if signals == Signals::NONE {
        json!({"extension": stability})
    } else {
        let served = Signal::ALL.into_iter().filter(|s| signals.contains(*s));
        Value::Object(
            served
                .map(|s| (s.as_str().to_owned(), json!(stability)))
                .collect(),
        )
    };
    row
}

/// `weir print-config`: all sources merged, all defaults filled in, secrets masked.
pub fn print_config(options: &Options, format: Format, mode: Mode) -> u8 {
    let (loaded, plan) = match run::checked(options) {
        Ok(both) => both,
        Err(found) => return run::refuse(&found),
    };
    if !loaded.warnings.is_empty() {
        run::say(&Diagnostics(loaded.warnings).to_string());
    }
    let mut all = Map::new();
    if mode == Mode::Unredacted {
        // Secrets stand only in the tree as it was written; defaults are left out of it.
        let Ok(tree) = serde_json::to_value(&loaded.root) else {
            return EXIT_FAILURE;
        };
        print(&text(&tree, format));
        return EXIT_OK;
    }
    for ((kind, id), planned) in &plan.components {
        let section = all.entry(kind.section()).or_insert_with(|| json!({}));
        section[id.as_str()] = planned.print.clone();
    }
    let mut pipelines = Map::new();
    for pipeline in &plan.pipelines {
        let ids = |ids: &[weir_core::ComponentId]| {
            json!(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>())
        };
        let entry = json!({
            "receivers": ids(&pipeline.receivers),
            "processors": ids(&pipeline.processors),
            "exporters": ids(&pipeline.exporters),
        });
        pipelines.insert(pipeline.id.clone(), entry);
    }
    let extensions: Vec<_> = plan.extensions.iter().map(|id| id.as_str()).collect();
    let telemetry = serde_json::to_value(&plan.telemetry).unwrap_or_default();
    let service = json!({"extensions": extensions, "pipelines": pipelines, "telemetry": telemetry});
    all.insert("service".into(), service);
    print(&text(&Value::Object(all), format));
    EXIT_OK
}

fn text(value: &Value, format: Format) -> String {
    match format {
        Format::Yaml => yaml(value),
        Format::Json => format!("{value:#}\n"),
    }
}

fn yaml(value: &Value) -> String {
    // JSON values have string keys and no cycles: they always print.
    serde_yaml::to_string(value).unwrap_or_default()
}
