//! Log lines as the reference prints them: five tab-separated fields, or one JSON object.
//!
//! Console: `TIME LEVEL target message {fields}`; times are UTC with milliseconds
//! (config-and-cli section 8.1). Everything goes to standard error.

use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use weir_core::Clock;
use weir_runtime::LogsTelemetry;

/// Console or JSON lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Console,
    Json,
}

/// Writes events to standard error.
struct Lines {
    encoding: Encoding,
    level: Level,
    clock: Arc<dyn Clock>,
    fields: Map<String, Value>,
}

/// Installs the log output for the whole process; a second call changes nothing.
pub fn init(settings: &LogsTelemetry, clock: Arc<dyn Clock>, fields: &[(&str, &str)]) {
    let level = match settings.level.to_ascii_lowercase().as_str() {
        "debug" => Level::DEBUG,
        "warn" => Level::WARN,
        "error" => Level::ERROR,
        _ => Level::INFO,
    };
    let encoding = if settings.encoding == "json" {
        Encoding::Json
    } else {
        Encoding::Console
    };
    let mut initial = Map::new();
    for (name, value) in fields {
        initial.insert((*name).to_owned(), Value::from(*value));
    }
    if let Ok(Value::Object(more)) = serde_json::to_value(&settings.initial_fields) {
        initial.extend(more);
    }
    let lines = Lines {
        encoding,
        level,
        clock,
        fields: initial,
    };
    let subscriber = tracing_subscriber::registry().with(lines);
    // Fails only if one is installed already (tests, reload): that one stays.
    drop(tracing::subscriber::set_global_default(subscriber));
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // Libraries below speak only when something is wrong; their chatter is not ours.
        let own = metadata.target().starts_with("weir");
        *metadata.level()
            <= if own {
                self.level
            } else {
                Level::WARN.min(self.level)
            }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields {
            message: String::new(),
            map: self.fields.clone(),
        };
        event.record(&mut fields);
        let line = self.line(event, &fields);
        // Nowhere to report that standard error is gone.
        drop(std::io::stderr().lock().write_all(line.as_bytes()));
    }
}

impl Lines {
    fn line(&self, event: &Event<'_>, fields: &Fields) -> String {
        let metadata = event.metadata();
        let time = weir_core::clock::rfc3339_millis(self.clock.unix_ms());
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let target = metadata.target().replace("::", "/");
        let caller = format!("{target}:{}", metadata.line().unwrap_or(0));
        match self.encoding {
            Encoding::Console => {
                let json = Value::Object(fields.map.clone());
                format!("{time}\t{level}\t{caller}\t{}\t{json}\n", fields.message)
            }
            Encoding::Json => {
                let mut map = Map::new();
                map.insert("level".into(), level.into());
                map.insert("ts".into(), time.into());
                map.insert("caller".into(), caller.into());
                map.insert("msg".into(), fields.message.clone().into());
                map.extend(fields.map.clone());
                format!("{}\n", Value::Object(map))
            }
        }
    }
}

/// Collects an event's fields.
struct Fields {
    message: String,
    map: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.map.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.put(field, value.into());
        }
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(
            field,
            serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number),
        );
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
