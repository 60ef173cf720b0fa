//! The time of AWS, which may differ from that of this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::DATE;
use weir_core::{Clock, SystemClock};

/// A clock further off than this is corrected by the service's `Date`.
const SKEW_NOTICED_NS: u64 = 240 * 1_000_000_000;

/// The machine's clock, corrected by what services said about the time after they had refused a
/// signature (sigv4auth-and-aws-client section 4.2).
#[derive(Debug)]
pub struct ServiceClock {
    clock: Arc<dyn Clock>,
    /// The services' clock minus ours, as far as it matters.
    skew_ns: AtomicI64,
}

impl ServiceClock {
    /// A clock that is taken as right until a service says otherwise.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            skew_ns: AtomicI64::new(0),
        }
    }

    /// The machine's clock, for calls that have no other.
    pub(crate) fn of_machine() -> Self {
        Self::new(Arc::new(SystemClock::default()))
    }

    /// Takes over the time of an answer's `Date` header if the request, signed at `signed_at` (Unix
    /// nanoseconds), was minutes away from it; whether it was, so that another attempt makes sense.
    pub fn learn(&self, answer: &HeaderMap, signed_at: u64) -> bool {
        let date = answer.get(DATE).and_then(|date| date.to_str().ok());
        let Some(theirs) = date.and_then(http_date_unix_ns) else {
            return false;
        };
        if theirs.abs_diff(signed_at) < SKEW_NOTICED_NS {
            return false;
        }
        let skew = i128::from(theirs) - i128::from(self.clock.unix_ns());
        let skew = i64::try_from(skew).unwrap_or_default();
        self.skew_ns.store(skew, Ordering::Relaxed);
        tracing::warn!(
            seconds = skew / 1_000_000_000,
            "the clock of this machine differs from that of AWS; signing with the time of AWS"
        );
        true
    }
}

impl Clock for ServiceClock {
    fn unix_ns(&self) -> u64 {
        let skew = self.skew_ns.load(Ordering::Relaxed);
        self.clock.unix_ns().saturating_add_signed(skew)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// `Tue, 14 Nov 2023 22:13:20 GMT` as Unix nanoseconds.
fn http_date_unix_ns(text: &str) -> Option<u64> {
    let format = aws_smithy_types::date_time::Format::HttpDate;
    let time = aws_smithy_types::DateTime::from_str(text, format).ok()?;
    u64::try_from(time.as_nanos()).ok()
}
