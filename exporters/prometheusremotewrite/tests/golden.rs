//! Golden cases: configuration and input in, what the reference sends out.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use weir_config::decode_and_validate;
use weir_core::Interner;
use weir_model::Metrics;

use super::decode::{Decoded, T0_MS, same};
use crate::prometheusremotewrite::config::Config;
use crate::prometheusremotewrite::labels::Rules;
use crate::prometheusremotewrite::pack::Packer;
use crate::prometheusremotewrite::translate::Translator;

/// The exporter's part of a case's configuration.
pub(super) fn config(yaml: &str) -> Config {
    let yaml = yaml.replace("{{prw}}", "9");
    let document: Value = serde_yaml::from_str(&yaml).unwrap();
    let part = &document["exporters"]["prometheusremotewrite"];
    let node: weir_config::Node = serde_json::from_value(part.clone()).unwrap();
    decode_and_validate::<Config>(&node, "exporters.prometheusremotewrite")
        .unwrap_or_else(|errors| panic!("{errors:?}"))
        .value
}

/// Fills in `{{ns:+1s}}`.
fn filled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{ns:") {
        let (offset, after) = after.split_once("s}}").unwrap();
        let seconds: i64 = offset.parse().unwrap();
        out.push_str(before);
        out.push_str(&((T0_MS + seconds * 1000) * 1_000_000).to_string());
        rest = after;
    }
    out + rest
}

/// Everything sent for a list of batches, and the number of requests.
pub(super) fn translate(config: &Config, batches: &[Metrics]) -> (Decoded, usize) {
    let v2 = config.is_v2();
    let mut translator = Translator::new(Rules::new(config, v2, false), config.send_metadata);
    let mut packer = Packer::new(config.batch_bytes());
    let (mut decoded, mut requests) = (Decoded::default(), 0);
    let read = |decoded: &mut Decoded, body: &[u8]| {
        let body = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        if v2 {
            decoded.read_v2(&body);
        } else {
            decoded.read_v1(&body);
        }
    };
    for batch in batches {
        translator.begin();
        for slice in batch.slices() {
            translator.add(slice);
        }
        translator.finish();
        packer.begin();
        let mut items = 0;
        while let Some(packed) = packer.next(&mut translator) {
            requests += 1;
            items += packed.counts.items;
            read(&mut decoded, &packed.body);
        }
        assert!(items <= batch.len());
        if config.send_metadata {
            let entries = crate::prometheusremotewrite::metadata(&translator);
            for packed in packer.metadata(&entries) {
                read(&mut decoded, &packed.body);
            }
        }
    }
    (decoded, requests)
}

fn check(case: &Path) {
    let read = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
    let config = config(&read("config.yaml"));
    let input: Value = serde_json::from_str(&filled(&read("input.json"))).unwrap();
    // what was decided to be otherwise counts, where there is such a decision
    let decided = case.join("expected-alt.json").exists();
    let expected = read(if decided { "expected-alt.json" } else { "expected.json" });
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let interner = Arc::new(Interner::new(64 << 20));
    let batches: Vec<Metrics> = input["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["send"] == "metrics")
        .map(|step| Metrics::from_json(step["body"].to_string().as_bytes(), &interner).unwrap())
        .collect();
    let (decoded, requests) = translate(&config, &batches);
    let expected = &expected["prw"];
    let mut series: Vec<Value> = expected["series"].as_array().unwrap().clone();
    series.sort_by_key(|series| series["labels"].to_string());
    let got = decoded.series();
    for (got, expected) in got.iter().zip(&series) {
        assert!(same(got, expected), "{}:\ngot      {got}\nexpected {expected}", case.display());
    }
    assert_eq!(got.len(), series.len(), "{}", case.display());
    if let Some(metadata) = expected.get("metadata") {
        assert!(same(&Value::Array(decoded.metadata), metadata));
    }
    if let Some(count) = expected.get("requests").and_then(Value::as_u64) {
        assert_eq!(requests as u64, count, "{}", case.display());
    }
}

#[test]
fn every_case_gives_what_the_reference_sends() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheusremotewrite/testdata");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        check(&entry.unwrap().path());
        cases += 1;
    }
    assert_eq!(cases, 25);
}
