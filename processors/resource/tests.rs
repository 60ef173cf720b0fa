#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use weir_core::Signal;

use super::*;
use crate::testing::{applied, attributes, batch, context, decode, plain};

fn processor(yaml: &str, signal: Signal) -> (ResourceProcessor, Arc<Interner>) {
    let config: Config = decode(yaml).unwrap_or_else(|error| panic!("{error}"));
    let cx = context(signal);
    let interner = cx.interner.clone();
    (ResourceProcessor::new(&config, &cx), interner)
}

/// One item under each of some resources.
fn request(signal: Signal, resources: &[Value]) -> Value {
    let block = |attrs: &Value| {
        let resource = json!({"attributes": attributes(attrs)});
        match signal {
            Signal::Traces => json!({"resource": resource, "scopeSpans": [{"spans": [{"name": "s"}]}]}),
            Signal::Metrics => json!({"resource": resource, "scopeMetrics": [{"metrics": [
                {"name": "m", "gauge": {"dataPoints": [{"asInt": "1"}]}}]}]}),
            Signal::Logs => json!({"resource": resource, "scopeLogs": [{"logRecords": [{"flags": 1}]}]}),
        }
    };
    json!({key(signal): resources.iter().map(block).collect::<Vec<_>>()})
}

fn key(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "resourceSpans",
        Signal::Metrics => "resourceMetrics",
        Signal::Logs => "resourceLogs",
    }
}

/// Attributes of the resources, in order.
fn resources(signal: Signal, request: &Value) -> Vec<Value> {
    let blocks = request[key(signal)].as_array().unwrap().iter();
    blocks.map(|block| plain(&block["resource"]["attributes"])).collect()
}

#[test]
fn resources_of_every_signal_change_in_the_order_of_the_actions() {
    let yaml = r"
attributes:
  - {key: env, value: prod, action: insert}
  - {key: up, value: b, action: update}
  - {key: num, action: convert, converted_type: int}
  - {key: img, pattern: '^(?P<image_repo>.*):(?P<image_tag>.*)$', action: extract}
  - {pattern: '^del', action: delete}
  - {key: copy, from_attribute: service.name, action: upsert}
";
    let before = json!({
        "service.name": "shop", "num": "12", "img": "repo/app:1.2", "del1": 1, "up": "a",
    });
    let after = json!({
        "service.name": "shop", "num": 12, "img": "repo/app:1.2", "image_repo": "repo/app",
        "image_tag": "1.2", "up": "b", "env": "prod", "copy": "shop",
    });
    for signal in Signal::ALL {
        let (processor, interner) = processor(yaml, signal);
        let request = request(signal, &[before.clone(), json!({"env": "x"})]);
        for _ in 0..2 {
            let mut batch = batch(signal, &request, &interner);
            let got = applied(&processor, &mut batch);
            assert_eq!(resources(signal, &got), [after.clone(), json!({"env": "x"})], "{signal}");
        }
    }
}

#[test]
fn a_batch_whose_resources_stay_keeps_its_bytes() {
    let yaml = "attributes: [{key: env, value: prod, action: insert}]\n";
    for signal in Signal::ALL {
        let (processor, interner) = processor(yaml, signal);
        let request = request(signal, &[json!({"env": "prod"})]);
        let mut batch = batch(signal, &request, &interner);
        processor.apply(&mut batch).unwrap();
        assert!(batch.wire_chunks().is_some(), "{signal}");
    }
}

#[test]
fn each_sender_gets_its_own_value() {
    let yaml = "attributes: [{key: tenant, from_context: metadata.X-Scope-OrgID, action: upsert}]\n";
    for signal in Signal::ALL {
        let (processor, interner) = processor(yaml, signal);
        let request = request(signal, &[json!({})]);
        for tenant in ["one", "two", "one"] {
            let mut batch = batch(signal, &request, &interner);
            let headers = vec![("x-scope-orgid".to_owned(), tenant.to_owned())];
            batch.client = Some(Arc::new(ClientMetadata { headers, address: None }));
            let got = applied(&processor, &mut batch);
            assert_eq!(resources(signal, &got), [json!({"tenant": tenant})], "{signal}");
        }
    }
}
