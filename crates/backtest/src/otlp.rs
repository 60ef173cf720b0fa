//! Files of OTLP metrics: JSON lines, and protobuf as one request or as requests behind their
//! lengths (four bytes, most significant first: what the Collector's file exporter writes).

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use weir_model::{Attributes, Interner, Metrics, Point, Series};
use weir_observe::{Input, Role};

use crate::input::Tracks;
use crate::json_input::MOST_BYTES;
use crate::problem::Problem;
use crate::slug::slug;
use crate::track::Sample;

/// The points of a file, series by series.
pub(crate) struct Reader {
    interner: Arc<Interner>,
    inputs: HashMap<u64, Input, foldhash::fast::RandomState>,
}

impl Reader {
    pub(crate) fn new(interner: Arc<Interner>) -> Self {
        Self {
            interner,
            inputs: HashMap::default(),
        }
    }
}

/// Bytes of a length in front of a request.
const LENGTH: usize = 4;

/// Takes the points of a JSON document into the series.
pub(crate) fn read_json(text: &[u8], place: &str, tracks: &mut Tracks<'_>) -> Result<(), Problem> {
    let mut reader = tracks.take_otlp();
    let metrics = Metrics::from_json(text, &reader.interner);
    let metrics = metrics.map_err(|e| Problem::new(place, e.to_string(), ""))?;
    let result = reader.take(&metrics, tracks);
    tracks.give_otlp(reader);
    result
}

/// Takes the points of a protobuf file into the series.
pub(crate) fn read_protobuf(input: impl Read, tracks: &mut Tracks<'_>) -> Result<(), Problem> {
    let place = tracks.place().to_owned();
    let mut bytes = Vec::new();
    let failed = |e: std::io::Error| Problem::new(&place, e.to_string(), "");
    input
        .take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 >= MOST_BYTES {
        return Err(Problem::new(&place, "more than 1 GiB", "split it"));
    }
    let mut rest = Bytes::from(bytes);
    let mut reader = tracks.take_otlp();
    // a request begins with 0x0a: as a length that would be 160 MiB and more
    let framed = rest.first().is_some_and(|b| *b != 0x0a);
    let mut at = 0;
    while !rest.is_empty() {
        let request = if framed {
            frame(&mut rest)
        } else {
            Some(std::mem::take(&mut rest))
        };
        let Some(request) = request else {
            let what = format!("the file ends within the request at byte {at}");
            return Err(Problem::new(&place, what, "was it cut off?"));
        };
        let next = at + request.len() + LENGTH;
        let metrics = Metrics::from_otlp(request, &reader.interner).map_err(|e| {
            let what = format!("the request at byte {at} is not OTLP metrics: {e}");
            Problem::new(&place, what, "")
        })?;
        reader.take(&metrics, tracks)?;
        at = next;
    }
    tracks.give_otlp(reader);
    Ok(())
}

/// The next request behind its length.
fn frame(rest: &mut Bytes) -> Option<Bytes> {
    let length = rest
        .first_chunk::<LENGTH>()
        .map(|b| u32::from_be_bytes(*b))?;
    let end = LENGTH.checked_add(usize::try_from(length).ok()?)?;
    if rest.len() < end {
        return None;
    }
    let mut request = rest.split_to(end);
    Some(request.split_off(LENGTH))
}

impl Reader {
    fn take(&mut self, metrics: &Metrics, tracks: &mut Tracks<'_>) -> Result<(), Problem> {
        tracks.train(metrics);
        for point in metrics.points().filter(|p| !p.is_stale()) {
            self.point(point, tracks)?;
        }
        Ok(())
    }

    fn point(&mut self, point: &Point, tracks: &mut Tracks<'_>) -> Result<(), Problem> {
        let series = &point.series;
        let hash = series.stable_hash();
        let input = self.inputs.entry(hash);
        let input = input.or_insert_with(|| Input::new(series.metric().kind));
        let time_ns = i64::try_from(point.time_ns).unwrap_or(i64::MAX);
        let mut seen = Vec::new();
        input.observe(point, time_ns, &[], |role, value| seen.push((role, value)));
        for (role, value) in seen {
            let key = hash ^ role.salt().wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let at = tracks.series(key, |meta| {
                let title = title(series, role);
                meta.name = format!("{}/{}", meta.name, slug(&format!("{title} {hash}")));
                meta.title = title;
                meta.identity = None;
                meta.counter = false;
                meta.rate = role.never_negative();
            })?;
            tracks.observe(
                at,
                Sample {
                    time_ns,
                    value,
                    label: None,
                },
            )?;
        }
        Ok(())
    }
}

/// `metric{label="value"} rate`, and the resource behind it.
fn title(series: &Series, role: Role) -> String {
    let list = |attributes: &Attributes| {
        let each = attributes.iter();
        let each: Vec<String> = each
            .map(|(k, v)| format!("{k}={:?}", v.to_text()))
            .collect();
        if each.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", each.join(","))
        }
    };
    let resource = list(&series.resource().attributes);
    let of = if resource.is_empty() {
        String::new()
    } else {
        format!(" of {resource}")
    };
    format!(
        "{}{}{}{of}",
        series.metric().name,
        list(series.labels()),
        suffix(role)
    )
}

/// What is judged of the metric, behind its name.
fn suffix(role: Role) -> String {
    match role {
        Role::Value => String::new(),
        Role::Rate | Role::Count => " rate".to_owned(),
        Role::Mean => " mean".to_owned(),
        Role::Quantile(quantile) => format!(" q{quantile}"),
    }
}
