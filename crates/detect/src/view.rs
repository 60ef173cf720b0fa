//! One sample as the two channels see it.

use crate::channel::{Deviation, Moment};
use crate::tails::Both;
use crate::{Settings, State};

/// Samples before the first band.
pub(crate) const FAST_READY: u32 = 40;
/// Age at which the seasonal channel takes part, s.
pub(crate) const SLOW_READY_S: f64 = 2.0 * 86_400.0;
/// Samples before grown noise is looked for.
const RESTLESS_READY: u32 = 200;
/// Values beyond this magnitude are treated as infinite: sums of them must stay finite.
pub(crate) const LARGEST: f64 = 1e290;

/// The two channels' view of one sample.
pub(crate) struct View {
    pub(crate) fast_forecast: f64,
    pub(crate) slow_forecast: f64,
    pub(crate) fast: Deviation,
    pub(crate) slow: Deviation,
    pub(crate) fast_ready: bool,
    pub(crate) slow_ready: bool,
    /// Least half width of the band.
    pub(crate) least: f64,
    /// Widening by recurring spikes.
    pub(crate) widening: Both,
    /// Severity of grown noise.
    pub(crate) restless: f64,
    /// Severities at 3 sigma, after widening, whatever the settings: they steer learning.
    pub(crate) fast_severity: f64,
    pub(crate) slow_severity: f64,
}

impl State {
    /// How far a value is from the two forecasts.
    pub(crate) fn view(
        &self,
        settings: &Settings,
        m: &Moment,
        value: f64,
        fast_forecast: f64,
    ) -> View {
        let stddevs = settings.stddevs.clamp(0.1, 100.0);
        let slow_forecast = self.slow.level + self.slow.season;
        let fast = self
            .fast
            .spread
            .deviation(value - fast_forecast, m.noise, m.floor, stddevs);
        let slow = self
            .slow
            .spread
            .deviation(value - slow_forecast, m.noise, m.floor, stddevs);
        let fast_ready = m.seen > FAST_READY;
        let slow_ready = m.age > SLOW_READY_S;
        let least = (settings.min_half_width_ratio * self.slow.level.abs())
            .max(settings.min_half_width)
            .clamp(0.0, LARGEST);
        let severity = |ready: bool, d: &Deviation| {
            if ready {
                d.z.abs() / (d.outer * m.widening.deciding)
            } else {
                0.0
            }
        };
        View {
            fast_severity: severity(fast_ready, &fast),
            slow_severity: severity(slow_ready, &slow),
            fast_forecast,
            slow_forecast,
            fast,
            slow,
            fast_ready,
            slow_ready,
            least,
            widening: m.widening,
            restless: if m.seen > RESTLESS_READY {
                self.restless.severity(fast.z / m.widening.deciding, m)
            } else {
                0.0
            },
        }
    }
}

impl View {
    /// Distance in half widths of the configured band.
    pub(crate) fn severity(&self, d: &Deviation, ready: bool) -> f64 {
        if !ready {
            return 0.0;
        }
        d.residual.abs() / (d.scale * d.edge * self.widening.deciding).max(self.least)
    }

    /// How much of the least half width the channel's own band makes up; 1 when it is wider. Tests that
    /// know nothing of the least width are weakened by it.
    pub(crate) fn own_part(&self, d: &Deviation) -> f64 {
        (d.scale * d.edge * self.widening.deciding / self.least).min(1.0)
    }

    /// Distance relative to the 2-sigma edge.
    pub(crate) fn inner_severity(&self) -> f64 {
        if !self.fast_ready {
            return 0.0;
        }
        self.fast.residual.abs() / (self.fast.scale * self.fast.inner).max(self.least * 2.0 / 3.0)
    }
}
