//! Streaming anomaly detection for metric series: pure, synchronous, one small state per series.
//!
//! Each sample is judged by what was known before it, in constant time and memory. Two forecasters
//! run side by side: a fast one (recent past) and a slow one (level plus daily and weekly season).
//! Each has its own scale and its own calibrated tails, so that the band covers what its number of
//! standard deviations promises whatever the distribution; an alarm stage with a budget turns
//! deviations into alarms.
//!
//! Also here: the way from raw data points to values, see [`Rate`] and [`histogram`].

mod alarm;
mod archive;
mod channel;
pub mod histogram;
mod pace;
mod rate;
mod recurrence;
mod season;
mod settings;
mod snapshot;
mod state;
mod table;
mod tails;
mod verdict;
mod view;
mod watch;

pub use archive::{ArchiveWriter, ArchivedSeries, read_archive};
pub use rate::{Interval, Rate, Stream};
pub use settings::{Direction, Seasonality, Settings, SettingsError, WarmUp};
pub use snapshot::SnapshotError;
pub use state::{Learned, State, utc_seconds};
pub use verdict::{Kind, Outside, Ready, Verdict};

/// Weight of the newest sample in a mean over `tau` seconds, `dt` seconds after the one before:
/// 1 - exp(-dt / tau).
fn gain(dt: f64, tau: f64) -> f64 {
    let x = dt / tau;
    if x < 0.25 {
        // the diagonal approximant of order 2: error below 2e-6 here, a fifth of the time
        x / (1.0 + x / 2.0 + x * x / 12.0)
    } else {
        1.0 - (-x).exp()
    }
}
