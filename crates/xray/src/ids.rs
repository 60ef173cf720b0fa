//! Trace and segment ids in X-Ray's form.

/// Oldest trace id the service takes, in seconds (28 days).
const MAX_AGE: i64 = 28 * 24 * 60 * 60;
/// How far a trace id's time may lie ahead, in seconds.
const MAX_SKEW: i64 = 300;

/// The random ids of split segments and exceptions.
#[derive(Debug)]
pub struct Ids(fastrand::Rng);

impl Ids {
    /// A source of ids; `seed` decides them all, so it must differ between processes.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }
    /// The next id.
    pub fn next_id(&mut self) -> [u8; 8] {
        self.0.u64(..).to_be_bytes()
    }
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
    use super::*;

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
