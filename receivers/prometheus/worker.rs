//! The loop of one target (prometheus-receiver specification, sections 5.1, 5.2, 6 and 8).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weir_core::telemetry::{Gauge, ReceiverTelemetry};
use weir_core::{Batch, Clock, Consumer, Signal, Stop};
use weir_model::{Ledger, Metrics, Point};
use weir_prom::exposition::{MediaType, TextFormat};

use super::api::Status;
use super::client::{FetchError, Fetched, Fetcher};
use super::config::JobRules;
use super::handover::Succession;
use super::series::{Counts, LeftOut, Page, PageError, TargetSeries};
use super::target::Target;

/// Bodies from this size on are read on a thread of their own, so that others get their turn.
const LARGE_BODY: usize = 512 << 10;

/// A tick that is late by no more than this, or a hundredth of the interval, counts as in time.
const TOLERANCE: Duration = Duration::from_millis(2);

/// The same failure of a target is logged at most once in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Synthetic series of every scrape, in the order of the values of [`Report`].
const SYNTHETIC: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Those of `extra_scrape_metrics`.
const EXTRA: [&str; 3] = [
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// What the loops of a job share.
pub(crate) struct Shared {
    pub(crate) job: Arc<JobRules>,
    pub(crate) fetcher: Fetcher,
    pub(crate) next: Arc<dyn Consumer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: ReceiverTelemetry,
    pub(crate) ledger: Arc<Ledger>,
    /// The receiver as a whole stops: then no stale markers are sent.
    pub(crate) stop: Stop,
    pub(crate) scrape_on_shutdown: bool,
    pub(crate) initial_offset: Duration,
    /// Differs from host to host, so that not all scrape at once.
    pub(crate) seed: u64,
    /// Lines in the series caches of all targets, and their bytes.
    pub(crate) cache_lines: Gauge,
    pub(crate) cache_bytes: Gauge,
    /// More targets than `target_limit`: all fail.
    pub(crate) too_many: AtomicBool,
    /// Whether another job has taken targets over: then they get no stale markers either.
    pub(crate) succession: Arc<Succession>,
}

/// Why a scrape failed.
#[derive(Debug, thiserror::Error)]
enum ScrapeError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Page(#[from] PageError),
    #[error("target_limit exceeded: the job has more targets than {0}")]
    TooManyTargets(u64),
}

/// What is known of a scrape when it is over.
struct Report {
    counts: Counts,
    duration: Duration,
    body_bytes: f64,
    error: Option<ScrapeError>,
}

/// The loop of a target.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    target: Arc<Target>,
    /// Where the API finds what became of the scrapes.
    status: Option<Arc<Status>>,
    /// Away while a page is read on another thread.
    series: Option<TargetSeries>,
    last_logged: Option<(String, Duration)>,
    failures: u64,
    /// What the gauges have of this target: lines and bytes.
    gauged: (i64, i64),
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.gauge((0, 0));
    }
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: Arc<Target>,
        status: Option<Arc<Status>>,
        series: TargetSeries,
    ) -> Self {
        Self {
            shared,
            target,
            status,
            series: Some(series),
            last_logged: None,
            failures: 0,
            gauged: (0, 0),
        }
    }

    /// Scrapes until `gone` (the target has gone) or the receiver stops.
    pub(crate) async fn run(mut self, gone: CancellationToken) {
        let interval = self.target.interval;
        let now = self.shared.clock.unix_ns();
        let wait = first_wait(&self.target.key, self.shared.seed, interval, now);
        let mut next = Instant::now() + self.shared.initial_offset + wait;
        let mut scraped = false;
        let mut aligned_ns = None;
        loop {
            if !wait_until(next, &gone, &self.shared.stop).await {
                break;
            }
            let time_ns = align(self.shared.clock.unix_ns(), &mut aligned_ns, interval);
            self.scrape(milliseconds(time_ns)).await;
            scraped = true;
            // A scrape that took longer than the interval skips ticks.
            let now = Instant::now();
            next += interval;
            while next <= now {
                next += interval;
            }
        }
        if self.shared.scrape_on_shutdown {
            self.scrape(milliseconds(self.shared.clock.unix_ns())).await;
            scraped = true;
        }
        if scraped && !self.shared.stop.is_stopped() {
            self.say_goodbye(next).await;
        }
    }

    /// The target is gone: after two more intervals its series turn stale, unless the program ends.
    async fn say_goodbye(&mut self, next: Instant) {
        let never = CancellationToken::new();
        if !wait_until(next, &never, &self.shared.stop).await {
            return;
        }
        let time_ms = milliseconds(self.shared.clock.unix_ns());
        let interval = self.target.interval;
        let end = next + interval + interval / 10;
        if !wait_until(end, &never, &self.shared.stop).await {
            return;
        }
        let taken_over = tokio::select! {
            taken_over = self.shared.succession.has_taken_over(&self.target.labels) => taken_over,
            () = self.shared.stop.stopped() => return,
        };
        if taken_over {
            return;
        }
        let Some(series) = &mut self.series else {
            return;
        };
        let mut synthetic = SYNTHETIC.to_vec();
        if self.shared.job.extra_metrics {
            synthetic.extend(EXTRA);
        }
        let mut points = Vec::new();
        series.gone(time_ms, &synthetic, &mut points);
        self.send(points).await;
    }

    async fn scrape(&mut self, time_ms: i64) {
        let start = self.shared.clock.monotonic();
        let job = Arc::clone(&self.shared.job);
        let fetched = if self.shared.too_many.load(Ordering::Relaxed) {
            Err(ScrapeError::TooManyTargets(job.target_limit))
        } else {
            let fetched = self
                .shared
                .fetcher
                .fetch(&self.target.url, self.target.timeout)
                .await;
            fetched.map_err(ScrapeError::from)
        };
        let body_bytes = match &fetched {
            Ok(fetched) => fetched.body.len() as f64,
            Err(ScrapeError::Fetch(FetchError::TooLarge(_))) => -1.0,
            Err(_) => 0.0,
        };
        let mut points = self
            .series
            .as_ref()
            .map(TargetSeries::points)
            .unwrap_or_default();
        let (counts, error) = match fetched {
            Ok(fetched) if !fetched.body.is_empty() => {
                let (counts, left_out, error) = self.read(fetched, time_ms, &mut points).await;
                self.log_left_out(&left_out);
                (counts, error.map(ScrapeError::from))
            }
            other => {
                if let Some(series) = &mut self.series {
                    series.no_page(time_ms, &mut points);
                }
                (Counts::default(), other.err())
            }
        };
        let duration = self.shared.clock.monotonic().saturating_sub(start);
        self.log_failure(error.as_ref(), time_ms);
        if let Some(series) = &self.series {
            if let Some(status) = &self.status {
                let error = error.as_ref().map(ToString::to_string);
                status.set(time_ms, duration, error, series.families());
            }
            let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            self.gauge((whole(series.lines()), whole(series.cache_bytes())));
        }
        self.report(
            &Report {
                counts,
                duration,
                body_bytes,
                error,
            },
            time_ms,
            &mut points,
        );
        self.send(points).await;
    }

    /// Brings the gauges up to date.
    fn gauge(&mut self, now: (i64, i64)) {
        let before = std::mem::replace(&mut self.gauged, now);
        self.shared.cache_lines.add(now.0 - before.0);
        self.shared.cache_bytes.add(now.1 - before.1);
    }

    /// Reads a page, on another thread if it is large.
    async fn read(
        &mut self,
        fetched: Fetched,
        time_ms: i64,
        points: &mut Vec<Point>,
    ) -> (Counts, LeftOut, Option<PageError>) {
        let Some(mut series) = self.series.take() else {
            return (Counts::default(), LeftOut::default(), None);
        };
        let now_ms = milliseconds(self.shared.clock.unix_ns());
        let mut found = std::mem::take(points);
        let outcome = if fetched.body.len() < LARGE_BODY {
            let outcome = series.page(page(&fetched), time_ms, now_ms, &mut found);
            self.series = Some(series);
            outcome
        } else {
            let work = tokio::task::spawn_blocking(move || {
                let outcome = series.page(page(&fetched), time_ms, now_ms, &mut found);
                (series, found, outcome)
            });
            match work.await {
                Ok((series, all, outcome)) => {
                    self.series = Some(series);
                    found = all;
                    outcome
                }
                // The panic goes on to whoever watches the tasks.
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return (Counts::default(), LeftOut::default(), None),
                },
            }
        };
        *points = found;
        (outcome.counts, outcome.left_out, outcome.error)
    }

    #[expect(clippy::cast_precision_loss, reason = "samples are doubles")]
    fn report(&mut self, report: &Report, time_ms: i64, points: &mut Vec<Point>) {
        let Some(series) = &mut self.series else {
            return;
        };
        let values = [
            if report.error.is_none() { 1.0 } else { 0.0 },
            report.duration.as_secs_f64(),
            report.counts.scraped as f64,
            report.counts.after_relabelling as f64,
            report.counts.added as f64,
        ];
        for (name, value) in SYNTHETIC.iter().zip(values) {
            series.synthetic(name, value, time_ms, points);
        }
        if self.shared.job.extra_metrics {
            let limit = self.shared.job.page.series.limits.samples as f64;
            let values = [self.target.timeout.as_secs_f64(), limit, report.body_bytes];
            for (name, value) in EXTRA.iter().zip(values) {
                series.synthetic(name, value, time_ms, points);
            }
        }
    }

    /// Hands the points on. What is refused is lost: the next scrape has newer values.
    async fn send(&self, points: Vec<Point>) {
        let count = points.len();
        if count == 0 {
            return;
        }
        let mut batch = Batch::metrics(Metrics::from_points(points));
        let Some(charge) = self.shared.ledger.charge(batch.size_bytes()) else {
            self.shared.telemetry.refused(Signal::Metrics, count);
            warn!(target_labels = %self.target.labels, "scraped data refused: out of memory budget");
            return;
        };
        batch.charge = Some(Arc::new(charge));
        match self.shared.next.consume(batch).await {
            Ok(()) => self.shared.telemetry.accepted(Signal::Metrics, count),
            Err(reject) => {
                self.shared.telemetry.refused(Signal::Metrics, count);
                warn!(target_labels = %self.target.labels, "scraped data refused: {reject}");
            }
        }
    }

    /// Logs why a scrape failed: a new reason at once, the same one now and then with a count.
    fn log_failure(&mut self, error: Option<&ScrapeError>, time_ms: i64) {
        let Some(error) = error else {
            self.failures = 0;
            self.last_logged = None;
            return;
        };
        self.failures += 1;
        let reason = error.to_string();
        let now = self.shared.clock.monotonic();
        if let Some((last, at)) = &self.last_logged
            && *last == reason
            && now.saturating_sub(*at) < LOG_EVERY
        {
            return;
        }
        warn!(
            scrape_timestamp = time_ms,
            target_labels = %self.target.labels,
            url = %self.target.url,
            failed_scrapes = self.failures,
            "Failed to scrape Prometheus endpoint: {reason}"
        );
        self.last_logged = Some((reason, now));
    }

    fn log_left_out(&self, left_out: &LeftOut) {
        if left_out.any() {
            warn!(
                target_labels = %self.target.labels,
                repeated = left_out.repeated,
                too_far_ahead = left_out.ahead,
                inconsistent_times = left_out.other_time,
                without_bound = left_out.unusable,
                buckets_without_number = left_out.invalid,
                "samples of a scrape were left out"
            );
        }
    }
}

/// Time to the first scrape: the phase is the same after a restart, and differs over targets.
pub(super) fn first_wait(key: &str, seed: u64, interval: Duration, now_ns: u64) -> Duration {
    let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    let phase = (fnv(key.as_bytes()) ^ seed) % interval_ns;
    let now = now_ns % interval_ns;
    Duration::from_nanos(if phase >= now {
        phase - now
    } else {
        interval_ns - now + phase
    })
}

/// A page as the series cache takes it.
pub(super) fn page(fetched: &Fetched) -> Page<'_> {
    match fetched.kind {
        MediaType::PrometheusText => Page::Text(TextFormat::Prometheus, &fetched.body),
        MediaType::OpenMetricsText => Page::Text(TextFormat::OpenMetrics, &fetched.body),
        MediaType::Protobuf => Page::Protobuf(&fetched.body),
    }
}

/// Waits; `false` if the target has gone or the receiver stops before.
async fn wait_until(at: Instant, gone: &CancellationToken, stop: &Stop) -> bool {
    tokio::select! {
        biased;
        () = stop.stopped() => false,
        () = gone.cancelled() => false,
        () = tokio::time::sleep_until(at) => true,
    }
}

/// The time that a scrape at `now_ns` gets: that of the tick, if it is hardly late, so that times
/// stay evenly spaced.
fn align(now_ns: u64, aligned_ns: &mut Option<u64>, interval: Duration) -> u64 {
    let interval_ns = u64::try_from(interval.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1);
    let tolerance = u64::try_from(TOLERANCE.as_nanos())
        .unwrap_or(0)
        .min(interval_ns / 100);
    let aligned = aligned_ns.get_or_insert(now_ns);
    let late = now_ns.saturating_sub(*aligned);
    *aligned += late / interval_ns * interval_ns;
    if now_ns.saturating_sub(*aligned) <= tolerance && now_ns >= *aligned {
        *aligned
    } else {
        now_ns
    }
}

fn milliseconds(ns: u64) -> i64 {
    i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)
}

/// FNV-1a: the same on every machine and in every version.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROM-20
    #[test]
    fn late_ticks_are_aligned_within_the_tolerance() {
        let interval = Duration::from_secs(1);
        let second = 1_000_000_000;
        let mut aligned = None;
        for (now, expected) in [
            (5 * second, 5 * second),
            (6 * second + 1_900_000, 6 * second),
            (7 * second + 2_100_000, 7 * second + 2_100_000),
            (10 * second + 1_000_000, 10 * second),
            (11 * second - 500_000, 11 * second - 500_000),
            (12 * second, 12 * second),
        ] {
            assert_eq!(align(now, &mut aligned, interval), expected, "{now}");
        }
    }
}
