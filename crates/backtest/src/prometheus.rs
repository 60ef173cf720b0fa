//! Answers of Prometheus' `query_range` (and `query` with a range).
//!
//! Source: Prometheus HTTP API, "Expression query result formats".

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use serde::Deserialize;

use crate::input::Tracks;
use crate::moment;
use crate::problem::Problem;
use crate::slug::slug;
use crate::track::Sample;
use crate::train::Identity;

#[derive(Deserialize)]
struct Answer {
    status: Option<String>,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    #[serde(default)]
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Takes the samples of an answer into the series. An answer may continue earlier ones.
pub(crate) fn read(text: &[u8], place: &str, tracks: &mut Tracks<'_>) -> Result<(), Problem> {
    let cure = "use an answer of /api/v1/query_range, or OTLP metrics";
    let failed = |e: serde_json::Error| Problem::new(place, e.to_string(), cure);
    let answer: Answer = serde_json::from_slice(text).map_err(failed)?;
    if let Some(error) = answer
        .error
        .filter(|_| answer.status.as_deref() != Some("success"))
    {
        return Err(Problem::new(place, format!("Prometheus says: {error}"), ""));
    }
    let Some(data) = answer.data else {
        return Err(Problem::new(
            place,
            "neither an answer of Prometheus nor OTLP metrics",
            cure,
        ));
    };
    if data.result_type != "matrix" {
        let what = format!("the result is a {}, not a matrix", data.result_type);
        return Err(Problem::new(place, what, "ask /api/v1/query_range"));
    }
    let streams: Vec<Stream> = serde_json::from_value(data.result).map_err(failed)?;
    for stream in streams {
        let at = tracks.series(key(&stream.metric), |meta| {
            let title = title(&stream.metric);
            meta.name = format!("{}/{}", meta.name, slug(&title));
            meta.title = title;
            meta.identity = Some(identity(&stream.metric));
        })?;
        for (seconds, value) in &stream.values {
            let value: f64 = value.parse().map_err(|_| {
                let what = format!("`{value}` of {} is not a number", title(&stream.metric));
                Problem::new(place, what, "")
            })?;
            let sample = Sample {
                time_ns: moment::from_seconds(*seconds),
                value,
                label: None,
            };
            tracks.observe(at, sample)?;
        }
    }
    Ok(())
}

fn identity(labels: &BTreeMap<String, String>) -> Identity {
    let others = labels.iter().filter(|(key, _)| *key != "__name__");
    Identity {
        metric: labels.get("__name__").cloned().unwrap_or_default(),
        labels: others
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    }
}

fn key(labels: &BTreeMap<String, String>) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    for text in labels.iter().flat_map(|(key, value)| [key, value]) {
        hasher.write(text.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

/// `name{key="value"}`, as Prometheus writes it.
fn title(labels: &BTreeMap<String, String>) -> String {
    let name = labels.get("__name__").map_or("", String::as_str);
    let others = labels.iter().filter(|(key, _)| *key != "__name__");
    let others: Vec<String> = others
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    match (name, others.is_empty()) {
        ("", true) => "value".to_owned(),
        (name, true) => name.to_owned(),
        (name, false) => format!("{name}{{{}}}", others.join(",")),
    }
}
