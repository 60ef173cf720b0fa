//! Rules for log events in CloudWatch's Embedded Metric Format and for the `PutLogEvents` calls that
//! carry them (EMF specification, `PutLogEvents` API reference), as checks.

use serde_json::{Map, Value};

/// Bytes the service adds to each event when it counts.
const EVENT_OVERHEAD: usize = 26;
/// Largest request, in bytes of messages and overhead; also the largest event.
const MOST_BYTES: usize = 1_048_576;
/// Events of a request at most.
const MOST_EVENTS: usize = 10_000;
/// Milliseconds between the first and the last event of a request at most.
const MOST_SPAN_MS: i64 = 86_400_000;

/// Checks the body of a `PutLogEvents` call and the events in it; gives their number.
///
/// # Errors
/// The first rule that is broken.
pub fn check_request(body: &[u8]) -> Result<usize, String> {
    let body: Value = serde_json::from_slice(body).map_err(|e| format!("no JSON: {e}"))?;
    for key in ["logGroupName", "logStreamName"] {
        if body.get(key).and_then(Value::as_str).is_none() {
            return Err(format!("no {key}"));
        }
    }
    let events = list(&body, "logEvents")?;
    if events.is_empty() || events.len() > MOST_EVENTS {
        return Err(format!("{} events", events.len()));
    }
    let (mut bytes, mut times) = (0, Vec::with_capacity(events.len()));
    for event in events {
        let message = event.get("message").and_then(Value::as_str);
        let message = message.ok_or("an event without message")?;
        let time = event.get("timestamp").and_then(Value::as_i64);
        times.push(time.ok_or("an event without timestamp")?);
        bytes += message.len() + EVENT_OVERHEAD;
        check_event(message).map_err(|why| format!("{why} in {}", start(message)))?;
    }
    if bytes > MOST_BYTES {
        return Err(format!("{bytes} bytes"));
    }
    if !times.is_sorted() {
        return Err("events out of order".to_owned());
    }
    match (times.first(), times.last()) {
        (Some(first), Some(last)) if last - first > MOST_SPAN_MS => {
            Err(format!("{} ms in one request", last - first))
        }
        _ => Ok(events.len()),
    }
}

/// Checks one event of either layout. An event without metadata is a plain log line.
///
/// # Errors
/// The first rule that is broken.
pub fn check_event(text: &str) -> Result<(), String> {
    if text.len() + EVENT_OVERHEAD > MOST_BYTES {
        return Err(format!("an event of {} bytes", text.len()));
    }
    let event: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| format!("no JSON object: {e}"))?;
    // A label or a metric may be called `_aws` where no metadata is.
    let new = event.get("_aws");
    let new = new.filter(|metadata| metadata.get("CloudWatchMetrics").is_some());
    let directives = match (new, event.get("CloudWatchMetrics")) {
        (Some(metadata), _) => {
            let time = metadata.get("Timestamp").and_then(Value::as_u64);
            time.ok_or("Timestamp is no count of milliseconds")?;
            list(metadata, "CloudWatchMetrics")?
        }
        (None, Some(Value::Array(directives))) => {
            let time = event.get("Timestamp").and_then(Value::as_str);
            let time = time.and_then(|time| time.parse::<u64>().ok());
            time.ok_or("Timestamp is no text of milliseconds")?;
            directives
        }
        (None, _) => return Ok(()),
    };
    directives
        .iter()
        .try_for_each(|directive| check_directive(directive, &event))
}

fn check_directive(directive: &Value, event: &Map<String, Value>) -> Result<(), String> {
    name(directive, "Namespace", 1024)?;
    let sets = list(directive, "Dimensions")?;
    if sets.is_empty() {
        return Err("no dimension set".to_owned());
    }
    for set in sets {
        let set = set.as_array().ok_or("a dimension set is no list")?;
        if set.len() > 30 {
            return Err(format!("{} names in a dimension set", set.len()));
        }
        for dimension in set {
            let name = dimension.as_str().ok_or("a dimension's name is no text")?;
            check_length(name, 250)?;
            if !event.get(name).is_some_and(Value::is_string) {
                return Err(format!("dimension {name:?} has no text"));
            }
        }
    }
    let metrics = list(directive, "Metrics")?;
    if metrics.is_empty() || metrics.len() > 100 {
        return Err(format!("{} metrics", metrics.len()));
    }
    let mut seen = std::collections::BTreeSet::new();
    for metric in metrics {
        let name = name(metric, "Name", 1024)?;
        if !seen.insert(name) {
            return Err(format!("metric {name:?} twice"));
        }
        if !metric.get("Unit").is_some_and(Value::is_string) {
            return Err(format!("metric {name:?} has no unit"));
        }
        if !metric.get("StorageResolution").is_some_and(Value::is_i64) {
            return Err(format!("metric {name:?} has no resolution"));
        }
        let value = event
            .get(name)
            .ok_or(format!("metric {name:?} has no value"))?;
        if !is_value(value) {
            return Err(format!("metric {name:?} is {}", start(&value.to_string())));
        }
    }
    Ok(())
}

/// A number, a list of at most 100 numbers, or a set of statistics.
fn is_value(value: &Value) -> bool {
    let numbers = |value: &Value| {
        let list = value.as_array()?;
        (list.len() <= 100 && list.iter().all(Value::is_number)).then_some(list.len())
    };
    match value {
        Value::Object(set) => {
            let (values, counts) = (set.get("Values"), set.get("Counts"));
            ["Max", "Min", "Count", "Sum"]
                .iter()
                .all(|key| set.get(*key).is_some_and(Value::is_number))
                && values.is_some() == counts.is_some()
                && values.map(numbers) == counts.map(numbers)
                && values.map(numbers) != Some(None)
        }
        Value::Array(_) => numbers(value).is_some(),
        other => other.is_number(),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    let list = value.get(key).and_then(Value::as_array);
    list.ok_or_else(|| format!("{key} is no list"))
}

fn name<'a>(value: &'a Value, key: &str, most: usize) -> Result<&'a str, String> {
    let text = value.get(key).and_then(Value::as_str);
    let text = text.ok_or_else(|| format!("{key} is no text"))?;
    check_length(text, most)?;
    Ok(text)
}

fn check_length(text: &str, most: usize) -> Result<(), String> {
    match text.chars().count() {
        0 => Err("an empty name".to_owned()),
        count if count > most => Err(format!("a name of {count} characters")),
        _ => Ok(()),
    }
}

/// The first characters of a long text.
fn start(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let mut event = json!({
            "_aws": {
                "CloudWatchMetrics": [{
                    "Namespace": "N",
                    "Dimensions": [["d"], []],
                    "Metrics": [{"Name": "m", "Unit": "", "StorageResolution": 60}],
                }],
                "Timestamp": 1,
            },
            "d": "x",
            "m": {"Values": [1], "Counts": [2], "Max": 1, "Min": 1, "Count": 2, "Sum": 2},
        });
        change(&mut event);
        check_event(&event.to_string())
    }

    #[test]
    fn every_broken_emf_rule_is_found() {
        assert_eq!(event(|_| ()), Ok(()));
        assert_eq!(check_event("{\"_aws\":\"a label\",\"m\":1}"), Ok(()));
        assert!(check_event("{\"a\":[Truncated...]").is_err());
        let many = |count: usize| {
            (0..count)
                .map(|at| json!(format!("l{at}")))
                .collect::<Value>()
        };
        for (path, value) in [
            ("/m", json!("text")),
            ("/m", json!(vec![1; 101])),
            ("/m/Counts", json!([1, 2])),
            ("/m/Sum", json!(null)),
            ("/d", json!(1)),
            ("/_aws/Timestamp", json!(1.5)),
            ("/_aws/CloudWatchMetrics/0/Namespace", json!("")),
            (
                "/_aws/CloudWatchMetrics/0/Namespace",
                json!("n".repeat(1025)),
            ),
            ("/_aws/CloudWatchMetrics/0/Dimensions", json!([])),
            ("/_aws/CloudWatchMetrics/0/Dimensions/0", json!(["none"])),
            ("/_aws/CloudWatchMetrics/0/Dimensions/0", many(31)),
            ("/_aws/CloudWatchMetrics/0/Metrics", json!([])),
            ("/_aws/CloudWatchMetrics/0/Metrics/0/Name", json!("")),
            ("/_aws/CloudWatchMetrics/0/Metrics/0/Name", json!("other")),
            ("/_aws/CloudWatchMetrics/0/Metrics/0/Unit", json!(null)),
        ] {
            let found = event(|event| {
                if let Some(place) = event.pointer_mut(path) {
                    *place = value.clone();
                }
            });
            assert!(found.is_err(), "{path} {value}");
        }
    }

    #[test]
    fn requests_are_checked_as_a_whole() {
        let request = |times: &[i64]| {
            let event = |time: &i64| json!({"message": "{}", "timestamp": time});
            let events: Value = times.iter().map(event).collect();
            check_request(
                json!({"logEvents": events, "logGroupName": "g", "logStreamName": "s"})
                    .to_string()
                    .as_bytes(),
            )
        };
        assert_eq!(request(&[1, 2, 2]), Ok(3));
        assert!(request(&[]).is_err());
        assert!(request(&[2, 1]).is_err());
        assert!(request(&[0, MOST_SPAN_MS + 1]).is_err());
        assert!(request(&[0; MOST_EVENTS + 1]).is_err());
    }
}
