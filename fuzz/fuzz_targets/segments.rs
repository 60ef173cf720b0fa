//! Any bytes as a datagram with X-Ray segments: spans come from documents that were taken, and from
//! nothing else, and what was built can be written as OTLP and read again.
#![no_main]

use std::hint::black_box;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use weir_model::{Interner, Traces, TracesBuilder};
use weir_xray::read::{Outcome, Reader, datagram_body};

fuzz_target!(|bytes: &[u8]| {
    // Most of the work is in the documents: input without a header is one of them.
    let body = match datagram_body(bytes) {
        Ok(body) => body,
        Err(why) => {
            black_box(why.to_string());
            bytes
        }
    };
    let interner = Arc::new(Interner::default());
    let (mut builder, mut spans) = (TracesBuilder::default(), 0);
    Reader::default().read_body(body, &interner, &mut builder, |outcome| match outcome {
        Outcome::Taken { spans: taken } => spans += taken,
        Outcome::Refused { why, .. } => drop(black_box(why.to_string())),
    });
    let traces = builder.finish();
    assert_eq!(traces.len(), spans);
    let mut request = Vec::new();
    traces.encode_otlp(&mut request);
    let again = Traces::from_otlp(request.into(), &interner).expect("what was built is a request");
    assert_eq!(again.len(), spans);
});
