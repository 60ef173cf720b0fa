//! Trace and segment ids in X-Ray's form.

use weir_model::traces::SpanRef;

/// Oldest trace id the service takes, in seconds (28 days).
const MAX_AGE: i64 = 28 * 24 * 60 * 60;
/// How far a trace id's time may lie ahead, in seconds.
const MAX_SKEW: i64 = 300;

/// The made-up ids of one span: of the service half of a split segment, and of exceptions.
///
/// The reference draws them at random. Here they are a hash of what the span is known by, so that a
/// span that is sent again, also by another process, gives the same documents again: X-Ray takes a
/// document with a known id in the place of the first one.
#[derive(Debug)]
pub(crate) struct Ids {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    start_ns: u64,
    kind: i32,
    made: u64,
}

impl Ids {
    /// The ids of a span. Kind and start tell spans apart that share an id, which Zipkin's do.
    pub(crate) fn of_span(trace_id: [u8; 16], span: SpanRef<'_>) -> Self {
        Self {
            trace_id,
            span_id: span_id(span.span_id()).unwrap_or_default(),
            start_ns: span.start_ns(),
            kind: span.kind(),
            made: 0,
        }
    }

    /// Ids of no span in particular.
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            trace_id: [0; 16],
            span_id: [0; 8],
            start_ns: seed,
            kind: 0,
            made: 0,
        }
    }

    /// The next id.
    pub(crate) fn next_id(&mut self) -> [u8; 8] {
        self.made += 1;
        // Most spans need none, so nothing is worked out before.
        let trace_id = u128::from_be_bytes(self.trace_id);
        let seed = mixed((trace_id >> 64) as u64, trace_id as u64);
        let seed = mixed(seed, u64::from_be_bytes(self.span_id));
        let seed = mixed(seed ^ self.kind as u64, self.start_ns);
        mixed(seed, self.made).to_be_bytes()
    }
}

/// Both numbers folded into one that looks random.
fn mixed(a: u64, b: u64) -> u64 {
    // Digits of pi.
    const A: u64 = 0x243f_6a88_85a3_08d3;
    const B: u64 = 0x1319_8a2e_0370_7344;
    let product = u128::from(a ^ A) * u128::from(b ^ B);
    let folded = (product as u64) ^ (product >> 64) as u64;
    // A product of small numbers is small: one more round spreads it.
    let product = u128::from(folded ^ B) * u128::from(A);
    (product as u64) ^ (product >> 64) as u64
}

/// The eight bytes of a span id; `None` for an absent one (empty or all zero). Ids of another
/// length are not OTLP and count as absent.
pub(crate) fn span_id(bytes: &[u8]) -> Option<[u8; 8]> {
    <[u8; 8]>::try_from(bytes).ok().filter(|id| *id != [0; 8])
}

/// The sixteen bytes of a trace id, zero if it is absent; `None` for any other length.
pub(crate) fn trace_id(bytes: &[u8]) -> Option<[u8; 16]> {
    if bytes.is_empty() {
        return Some([0; 16]);
    }
    bytes.try_into().ok()
}

/// Whether the time in a trace id's first four bytes is one the service accepts (XR-02).
pub(crate) fn is_recent(trace_id: [u8; 16], now_seconds: i64) -> bool {
    let [a, b, c, d, ..] = trace_id;
    let age = now_seconds - i64::from(u32::from_be_bytes([a, b, c, d]));
    (-MAX_SKEW..=MAX_AGE).contains(&age)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;
    use std::sync::Arc;

    use weir_model::TracesBuilder;

    use super::*;

    #[test]
    fn made_up_ids_are_the_same_each_time_and_differ_between_spans() {
        let (resource, scope) = (Arc::default(), Arc::default());
        let mut builder = TracesBuilder::default();
        for n in 1..=1000_u64 {
            for kind in 1..=2 {
                let mut span = builder.push(&resource, &scope);
                span.set_ids(&[1; 16], &n.to_be_bytes(), &[]);
                span.set_kind(kind);
            }
        }
        let traces = builder.finish();
        let all = || {
            let mut ids = Vec::new();
            for span in traces.spans() {
                let mut of_span = Ids::of_span([1; 16], span);
                ids.extend([of_span.next_id(), of_span.next_id(), of_span.next_id()]);
            }
            ids
        };
        let made = all();
        assert_eq!(made, all());
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), 6000);
        // Bits are spread: each is set in about half of them.
        for bit in 0..64 {
            let set = made
                .iter()
                .filter(|id| u64::from_be_bytes(**id) >> bit & 1 == 1);
            assert!((2700..3300).contains(&set.count()), "{bit}");
        }
    }

    fn at(seconds: u32) -> [u8; 16] {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&seconds.to_be_bytes());
        id
    }

    #[test]
    fn the_epoch_of_a_trace_id_may_be_28_days_old_and_5_minutes_ahead() {
        let now = 1_795_364_000;
        for (seconds, accepted) in [
            (1_795_364_000, true),
            (1_795_364_000 - 2_419_200, true),
            (1_795_364_000 - 2_419_201, false),
            (1_795_364_300, true),
            (1_795_364_301, false),
        ] {
            assert_eq!(is_recent(at(seconds), now), accepted, "{seconds}");
        }
    }

    #[test]
    fn absent_ids_are_empty_or_zero() {
        assert_eq!(span_id(&[]), None);
        assert_eq!(span_id(&[0; 8]), None);
        assert_eq!(span_id(&[1; 7]), None);
        assert_eq!(span_id(&[1; 8]), Some([1; 8]));
        assert_eq!(trace_id(&[]), Some([0; 16]));
        assert_eq!(trace_id(&[1; 8]), None);
    }
}
