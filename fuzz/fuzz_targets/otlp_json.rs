//! OTLP requests in JSON, all three signals: read or refused, never a panic; what was read is
//! written and read again with the same number of items.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use weir_model::{Interner, Logs, Metrics, Traces};

fuzz_target!(|data: &[u8]| {
    let interner = Arc::new(Interner::new(64 << 10));
    if let Ok(batch) = Traces::from_json(data, &interner) {
        let again = Traces::from_json(&batch.to_json(), &interner);
        assert_eq!(again.map(|b| b.len()), Ok(batch.len()));
    }
    if let Ok(batch) = Logs::from_json(data, &interner) {
        let again = Logs::from_json(&batch.to_json(), &interner);
        assert_eq!(again.map(|b| b.len()), Ok(batch.len()));
    }
    if let Ok(batch) = Metrics::from_json(data, &interner) {
        let again = Metrics::from_json(&batch.to_json(), &interner);
        assert_eq!(again.map(|b| b.len()), Ok(batch.len()));
    }
});
