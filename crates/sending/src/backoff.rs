//! Waits between attempts: exponential, jittered, ended by `max_elapsed_time` (OTLP-42, OTLP-43).

use std::time::Duration;

use weir_core::Deadline;

use crate::settings::RetrySettings;

/// The waits of one delivery.
#[derive(Debug)]
pub(crate) struct Backoff {
    interval: f64,
    max_interval: f64,
    multiplier: f64,
    randomization_factor: f64,
    /// When retrying ends; none for never.
    end: Option<Deadline>,
}

impl Backoff {
    /// Starts counting now.
    pub(crate) fn new(settings: &RetrySettings) -> Self {
        Self {
            interval: settings.initial_interval.as_secs_f64(),
            max_interval: settings.max_interval.as_secs_f64(),
            multiplier: settings.multiplier,
            randomization_factor: settings.randomization_factor,
            end: (!settings.max_elapsed_time.is_zero())
                .then(|| Deadline::after(settings.max_elapsed_time.to_std())),
        }
    }

    /// The next wait, at least `asked` (what the server wants); `None` when it would pass the end.
    /// `random` lies in 0..1.
    pub(crate) fn next(&mut self, asked: Option<Duration>, random: f64) -> Option<Duration> {
        let jitter = 1.0 + self.randomization_factor * (2.0 * random - 1.0);
        let wait = (self.interval * jitter).max(0.0);
        self.interval = (self.interval * self.multiplier).min(self.max_interval);
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
        let wait = wait.max(asked.unwrap_or_default());
        match self.end {
            Some(end) if wait > end.remaining() => None,
            _ => Some(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seconds(waits: &[Option<Duration>]) -> Vec<f64> {
        waits
            .iter()
            .map(|w| (w.unwrap().as_secs_f64() * 1000.0).round() / 1000.0)
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_by_half_up_to_the_longest() {
        let mut backoff = Backoff::new(&RetrySettings::default());
        let waits: Vec<_> = (0..7).map(|_| backoff.next(None, 0.5)).collect();
        assert_eq!(
            seconds(&waits),
            [5.0, 7.5, 11.25, 16.875, 25.313, 30.0, 30.0]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_is_half_of_the_interval_to_either_side() {
        let mut low = Backoff::new(&RetrySettings::default());
        let mut high = Backoff::new(&RetrySettings::default());
        assert_eq!(
            seconds(&[low.next(None, 0.0), low.next(None, 0.0)]),
            [2.5, 3.75]
        );
        assert_eq!(seconds(&[high.next(None, 1.0)]), [7.5]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_may_ask_for_more_but_not_for_less() {
        let mut backoff = Backoff::new(&RetrySettings::default());
        let asked = |s| Some(Duration::from_secs(s));
        assert_eq!(backoff.next(asked(60), 0.5), asked(60));
        assert_eq!(seconds(&[backoff.next(asked(1), 0.5)]), [7.5]);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_before_a_wait_that_would_pass_the_limit() {
        let mut backoff = Backoff::new(&RetrySettings::default());
        tokio::time::advance(Duration::from_secs(294)).await;
        assert!(backoff.next(None, 0.5).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(backoff.next(None, 0.5), None);

        let mut endless = Backoff::new(&RetrySettings {
            max_elapsed_time: weir_config::Duration::ZERO,
            ..RetrySettings::default()
        });
        tokio::time::advance(Duration::from_secs(1_000_000)).await;
        assert!(endless.next(None, 0.5).is_some());
    }
}
