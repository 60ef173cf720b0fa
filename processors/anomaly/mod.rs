//! The `anomaly` processor: judges every metric series by its own past, in the stream.
//!
//! Gauges and non-monotonic sums are judged by value, counters by rate, histograms by the rate and
//! the mean of their observations, summaries by each quantile. What it finds never changes the
//! identity of a series: see [`config::Emit`].

pub mod config;
mod emit;
mod input;
mod series;
mod store;
#[cfg(test)]
mod tests;
mod zone;

use std::sync::{Arc, Mutex, PoisonError};

use weir_core::telemetry::Counter;
use weir_core::{
    BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signals, Stability, Transform,
};
use weir_detect::{Outside, Settings, Verdict};
use weir_model::{Batch, Metrics, Point, Series, SeriesTable};

pub use config::Config;
use config::Emit;
use emit::{Findings, LineLimit, direction};
use series::{MARK, Stream, Tracked};
use store::{Place, Store};
use zone::{Calendar, Cursor};

/// Observations judged per series, at most.
const MAX_STREAMS: usize = 8;

/// The component.
#[derive(Debug)]
pub struct Kind;

impl ProcessorKind for Kind {
    const TYPE: &'static str = "anomaly";
    const STABILITY: Stability = Stability::Alpha;
    const SIGNALS: Signals = Signals::METRICS;
    type Config = Config;

    fn build(
        config: Config,
        cx: BuildCtx,
        _next: Arc<dyn Consumer>,
    ) -> BoxFut<'static, Result<Processor, BuildError>> {
        Box::pin(async move { Ok(Processor::Transform(Anomaly::new(&config, cx))) })
    }
}

/// One instance.
struct Anomaly {
    settings: Settings,
    /// The same for rates, which are never negative.
    rate_settings: Settings,
    calendar: Calendar,
    emit: Vec<Emit>,
    bands: bool,
    filter: Option<Filter>,
    store: Arc<Store>,
    lines: LineLimit,
    counters: Counters,
    cx: BuildCtx,
}

struct Counters {
    judged: Counter,
    alarms: Counter,
    refused: Counter,
    evicted: Counter,
}

type NameTest = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Which metrics are judged, remembered by series.
struct Filter {
    include: Option<NameTest>,
    exclude: Option<NameTest>,
    memo: Arc<Mutex<SeriesTable<bool>>>,
}

impl Filter {
    fn new(config: &config::MetricsConfig) -> Option<Self> {
        let test = |part: &Option<config::MatchConfig>| {
            part.as_ref().map(|p| Box::new(p.compile()) as NameTest)
        };
        let (include, exclude) = (test(&config.include), test(&config.exclude));
        (include.is_some() || exclude.is_some()).then(|| Self {
            include,
            exclude,
            memo: Arc::default(),
        })
    }

    /// For each point of a batch whether it is judged.
    fn choose(&self, metrics: &Metrics) -> Vec<bool> {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = |series: &Series| {
            *memo.get_or_insert_with(series, || self.wants(&series.metric().name))
        };
        metrics.points().map(|point| wanted(&point.series)).collect()
    }

    fn wants(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|test| test(name))
            && !self.exclude.as_ref().is_some_and(|test| test(name))
    }
}

/// Where a finding belongs.
struct Site<'a> {
    /// Place of the point in its batch.
    at: usize,
    series: &'a Series,
    time_ns: u64,
    /// Worst score of the point's observations before.
    worst: f64,
}

/// What the points of one batch share.
struct Pass {
    cursor: Cursor,
    /// Seconds on a clock that never goes back.
    now_s: u64,
    /// For points without a time, Unix ns.
    now_ns: u64,
    findings: Findings,
    judged: u64,
}

impl Anomaly {
    fn new(config: &Config, cx: BuildCtx) -> Arc<Self> {
        let settings = config.settings();
        let rate_min = settings.min.map_or(0.0, |min| min.max(0.0));
        let rate_settings = Settings { min: Some(rate_min), ..config.settings() };
        let excluded = config.exclude.iter().filter_map(|r| r.parse().ok()).collect();
        let id = cx.id.to_string();
        let labels = [("processor", id.as_str())];
        let counter = |name: &str, help: &str| {
            cx.telemetry.counter(&format!("otelcol_processor_anomaly_{name}"), help, &labels)
        };
        let this = Arc::new(Self {
            rate_settings,
            settings,
            calendar: Calendar::new(&config.timezone, excluded),
            emit: config.emit.clone(),
            bands: config.bands,
            filter: Filter::new(&config.metrics),
            store: Arc::new(Store::new(config.max_series)),
            lines: LineLimit::default(),
            counters: Counters {
                judged: counter("samples_judged", "Observations compared with their band"),
                alarms: counter("alarms_started", "Alarms that began"),
                refused: counter(
                    "samples_refused",
                    "Points that passed without judgement because max_series was reached",
                ),
                evicted: counter("series_evicted", "Idle series that gave way or were forgotten"),
            },
            cx,
        });
        this.register(&labels);
        this
    }

    /// Fill of the store, and its chores.
    fn register(&self, labels: &[(&str, &str)]) {
        let telemetry = &self.cx.telemetry;
        let store = self.store.clone();
        telemetry.observe_gauge(
            "otelcol_processor_anomaly_series",
            "Series with a state",
            labels,
            move || store.size().0 as f64,
        );
        let store = self.store.clone();
        telemetry.observe_gauge(
            "otelcol_processor_anomaly_state_bytes",
            "Bytes of all states",
            labels,
            move || store.size().1 as f64,
        );
        let (store, clock) = (self.store.clone(), self.cx.clock.clone());
        let evicted = self.counters.evicted.clone();
        let memo = self.filter.as_ref().map(|f| f.memo.clone());
        self.cx.housekeeping.add(move |interner| {
            evicted.add(store.sweep(clock.monotonic().as_secs()) as u64);
            if let Some(memo) = &memo {
                memo.lock().unwrap_or_else(PoisonError::into_inner).sweep(interner);
            }
        });
    }

    /// Judges one point, the `at`-th of its batch.
    fn point(&self, at: usize, point: &Point, pass: &mut Pass) {
        let metric = point.series.metric();
        if metric.name.contains(MARK) {
            return;
        }
        let kind = metric.kind;
        let place = self.store.with(
            point.series.stable_hash(),
            pass.now_s,
            || Tracked::new(kind),
            |tracked| self.tracked(at, point, tracked, pass),
        );
        match place {
            Place::Known | Place::Added => {}
            Place::Replaced => self.counters.evicted.add(1),
            Place::Full => self.counters.refused.add(1),
        }
    }

    fn tracked(&self, at: usize, point: &Point, tracked: &mut Tracked, pass: &mut Pass) {
        let time_ns = if point.time_ns == 0 { pass.now_ns } else { point.time_ns };
        if point.is_stale() {
            for companions in tracked.streams.iter().filter_map(Stream::known_companions) {
                pass.findings.stale(companions, time_ns);
            }
            return;
        }
        let time = i64::try_from(time_ns).unwrap_or(i64::MAX);
        let Tracked { input, streams } = tracked;
        let mut worst = 0.0;
        input.observe(point, time, |role, value| {
            let Some(stream) = series::stream(streams, role) else { return };
            let verdict = self.judge(stream, time, value, pass);
            if verdict.judged {
                pass.judged += 1;
                let site = Site { at, series: &point.series, time_ns, worst };
                self.report(&site, stream, &verdict, pass);
                worst = verdict.score.max(worst);
            }
        });
    }

    fn judge(&self, stream: &mut Stream, time_ns: i64, value: f64, pass: &mut Pass) -> Verdict {
        let local_s = self.calendar.local_s(&mut pass.cursor, time_ns);
        let settings =
            if stream.role.never_negative() { &self.rate_settings } else { &self.settings };
        let learn = self.calendar.learns(time_ns);
        let verdict = stream.state.observe(settings, time_ns, local_s, value, learn);
        if verdict.alarm_started {
            stream.alarm_since_ns = time_ns;
            self.counters.alarms.add(1);
        }
        verdict
    }

    fn report(&self, site: &Site<'_>, stream: &mut Stream, verdict: &Verdict, pass: &mut Pass) {
        for emit in &self.emit {
            match emit {
                Emit::Companion => {
                    let to = stream.companions(site.series, self.bands, &self.cx.interner);
                    pass.findings.companion(to, verdict, site.time_ns);
                }
                Emit::Attributes => {
                    let notable = verdict.in_alarm || verdict.outside != Outside::Inside;
                    if notable || self.bands {
                        let observation = stream.role.observation();
                        pass.findings.tag(site.at, verdict, &observation, site.worst);
                    }
                }
                Emit::Log => {
                    if verdict.alarm_started || verdict.alarm_ended {
                        self.log(site, stream, verdict, pass.now_s);
                    }
                }
            }
        }
    }

    fn log(&self, site: &Site<'_>, stream: &Stream, v: &Verdict, now_s: u64) {
        let Some(suppressed) = self.lines.pass(now_s) else { return };
        let since = u64::try_from(stream.alarm_since_ns).unwrap_or(0);
        let mut labels = String::new();
        for (key, value) in site.series.labels().iter() {
            let comma = if labels.is_empty() { "" } else { "," };
            labels.push_str(&format!("{comma}{key}={}", value.to_text()));
        }
        tracing::info!(
            kind = "processor",
            name = %self.cx.id,
            metric = %site.series.metric().name,
            labels,
            observation = %stream.role.observation(),
            value = v.value,
            lower = v.lower,
            upper = v.upper,
            score = v.score,
            direction = direction(v),
            anomaly_kind = v.kind.map_or("", weir_detect::Kind::as_str),
            time_unix_ns = site.time_ns,
            duration_s = site.time_ns.saturating_sub(since) / 1_000_000_000,
            suppressed_lines = suppressed,
            "{}",
            if v.alarm_started { "anomaly began" } else { "anomaly ended" },
        );
    }

    fn metrics(&self, metrics: &mut Metrics) {
        let mut pass = Pass {
            cursor: self.calendar.cursor(),
            now_s: self.cx.clock.monotonic().as_secs(),
            now_ns: self.cx.clock.unix_ns(),
            findings: Findings::default(),
            judged: 0,
        };
        let wanted = self.filter.as_ref().map(|filter| filter.choose(metrics));
        for (at, point) in metrics.points().enumerate() {
            if wanted.as_ref().is_none_or(|w| w.get(at) == Some(&true)) {
                self.point(at, point, &mut pass);
            }
        }
        self.counters.judged.add(pass.judged);
        pass.findings.apply(metrics);
    }
}

impl Transform for Anomaly {
    fn apply(&self, batch: &mut Batch) -> Result<Flow, Reject> {
        if let Data::Metrics(metrics) = &mut batch.data {
            self.metrics(metrics);
        }
        Ok(Flow::Pass)
    }
}
