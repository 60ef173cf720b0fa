//! OTLP trace requests to X-Ray segment documents: whatever bytes decode, every document is one of
//! X-Ray's schema and within its size, in bodies of at most 50, and each span is in one or counted.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use weir_model::{Interner, Traces};
use weir_xray::{Body, MAX_DOCUMENTS, Request, Settings, Translator};

#[path = "../../crates/xray/src/tests/schema.rs"]
mod schema;

/// As the reference by default, and with everything switched on.
static SETTINGS: LazyLock<[Settings; 3]> = LazyLock::new(|| {
    let indexed = ["http.method", "otel.resource.service.name", ""];
    let strict = Settings {
        strict: true,
        allow_dot: false,
        current_names: true,
        any_trace_age: false,
        log_groups: vec!["g".to_owned()],
        indexed: indexed.into_iter().map(Into::into).collect(),
        ..Settings::default()
    };
    let all = Settings {
        index_all: true,
        strict: true,
        ..Settings::default()
    };
    [Settings::default(), strict, all]
});

fn requests(traces: &Traces, settings: &Settings) -> (Vec<Request>, usize) {
    let mut translator = Translator::new(settings, 0);
    let (mut body, mut requests, mut skipped) = (Body::default(), Vec::new(), 0);
    for span in traces.spans().enumerate() {
        let added = translator.add(span, &mut body, |body| requests.extend(body.finish()));
        skipped += usize::from(added.is_err());
    }
    requests.extend(body.finish());
    (requests, skipped)
}

fuzz_target!(|data: &[u8]| {
    let interner = Arc::new(Interner::new(64 << 10));
    let Ok(traces) = Traces::from_otlp(data.to_vec().into(), &interner) else {
        return;
    };
    for settings in SETTINGS.iter() {
        let rules = schema::Rules {
            reference_forms: !settings.strict,
            dots: settings.allow_dot,
        };
        let (requests, skipped) = requests(&traces, settings);
        let mut documents = 0;
        for request in &requests {
            let body: serde_json::Value = serde_json::from_slice(&request.bytes).unwrap();
            let texts = body["TraceSegmentDocuments"].as_array().unwrap();
            assert_eq!(texts.len(), request.documents.len());
            assert!((1..=MAX_DOCUMENTS).contains(&texts.len()));
            documents += texts.len();
            for text in texts {
                schema::check(text.as_str().unwrap(), rules).unwrap();
            }
        }
        assert!(documents + skipped >= traces.len());
    }
});
