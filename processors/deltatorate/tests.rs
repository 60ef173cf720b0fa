#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use weir_core::Signal;

use super::{Config, DeltaToRate, Kind};
use crate::testing::{applied, batch, context, decode};

#[tokio::test]
async fn rates_equal_those_of_the_reference() {
    crate::golden::cases::<Kind>("deltatorate").await;
}

#[test]
fn names_are_required() {
    assert!(decode::<Config>("{}").unwrap_err().contains("metric names are missing"));
    assert!(decode::<Config>("metrics: [a]").is_ok());
}

#[test]
fn only_named_delta_sums_change() {
    let cx = context(Signal::Metrics);
    let processor = DeltaToRate::new(decode("metrics: [d, c]").unwrap(), &cx);
    let sum = |name: &str, temporality: u8| {
        json!({"name": name, "sum": {"aggregationTemporality": temporality, "dataPoints":
            [{"startTimeUnixNano": "1000000000", "timeUnixNano": "3000000000", "asInt": "5"}]}})
    };
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [sum("d", 1), sum("c", 2), sum("e", 1)]}]}]});
    for _ in 0..2 {
        let mut batch = batch(Signal::Metrics, &body, &cx.interner);
        let out = applied(&processor, &mut batch);
        let metrics = out["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap().clone();
        let find = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
        assert_eq!(find("d")["gauge"]["dataPoints"][0]["asDouble"], Value::from(2.5));
        assert_eq!(find("c")["sum"]["dataPoints"][0]["asInt"], "5");
        assert_eq!(find("e")["sum"]["dataPoints"][0]["asInt"], "5");
    }
}
