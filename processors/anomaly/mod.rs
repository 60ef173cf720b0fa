//! The `anomaly` processor: judges every metric series by its own past, in the stream.
//!
//! Gauges and non-monotonic sums are judged by value, counters by rate, histograms by the rate and
//! the mean of their observations, summaries by each quantile. What it finds never changes the
//! identity of a series: see [`config::Emit`].

pub mod config;
mod emit;
mod incidents;
mod keep;
mod pass;
mod persist;
mod select;
mod series;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_incidents;
#[cfg(test)]
mod tests_options;
#[cfg(test)]
mod tests_restart;
mod zone;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_core::telemetry::Counter;
use weir_core::{
    BoxFut, BuildCtx, BuildError, Consumer, Data, Flow, Processor, ProcessorKind, Reject,
    Signals, Stability, Transform,
};
use weir_detect::{Outside, Settings};
use weir_model::{Batch, Metrics, Point, PointValue};
use weir_observe::Role;

pub use config::Config;
use config::{Emit, ThresholdConfig};
use emit::{Finding, LineLimit, direction};
use incidents::{Incidents, Member, Record};
use keep::Keeper;
use pass::{Change, Pass, Round, Site};
pub use persist::describe;
use select::Plans;
use series::{Stream, Tracked};
use store::Store;
use zone::Calendar;

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
    quantiles: Vec<f64>,
    thresholds: Vec<ThresholdConfig>,
    plans: Plans,
    store: Arc<Store>,
    incidents: Option<Arc<Mutex<Incidents>>>,
    keeper: Option<Arc<Keeper>>,
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
        let store = Arc::new(Store::new(config.max_series, config.max_state.as_usize()));
        let this = Arc::new(Self {
            rate_settings,
            settings,
            calendar: Calendar::new(&config.timezone, excluded),
            emit: config.emit.clone(),
            bands: config.bands,
            quantiles: config.quantiles.clone(),
            thresholds: config.thresholds.clone(),
            plans: Plans::new(config),
            incidents: config.incidents.as_ref().map(|c| Arc::new(Mutex::new(Incidents::new(c)))),
            keeper: Keeper::new(&cx, &store, config.snapshot_interval.to_std()),
            store,
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
        let (sweep, keeper) = (self.plans.sweeper(), self.keeper.clone());
        self.cx.housekeeping.add(move |interner| {
            evicted.add(store.sweep(clock.monotonic().as_secs()) as u64);
            sweep(interner);
            if let Some(keeper) = &keeper {
                keeper.clone().save_if_due();
            }
        });
        if let Some(incidents) = &self.incidents {
            let (open, all) = (incidents.clone(), incidents.clone());
            telemetry.observe_gauge(
                "otelcol_processor_anomaly_incidents",
                "Open incidents",
                labels,
                move || lock(&open).len() as f64,
            );
            telemetry.observe_counter(
                "otelcol_processor_anomaly_incidents_opened",
                "Incidents that opened",
                labels,
                move || lock(&all).opened as f64,
            );
            let all = incidents.clone();
            telemetry.observe_counter(
                "otelcol_processor_anomaly_incidents_overflow",
                "Alarms that belong to no incident because too many are open",
                labels,
                move || lock(&all).overflow as f64,
            );
        }
    }

    fn tracked(
        &self,
        mut site: Site<'_>,
        point: &Point,
        rule: Option<&ThresholdConfig>,
        tracked: &mut Tracked,
        pass: &mut Pass,
    ) {
        if site.time_ns == 0 {
            site.time_ns = pass.now_ns;
        }
        if point.is_stale() {
            for companions in tracked.streams.iter().filter_map(Stream::known_companions) {
                pass.findings.stale(companions, site.time_ns);
            }
            return;
        }
        let time = i64::try_from(site.time_ns).unwrap_or(i64::MAX);
        let Tracked { input, streams, .. } = tracked;
        input.observe(point, time, &self.quantiles, |role, value| {
            let Some(stream) = series::stream(streams, role) else { return };
            let finding = self.judge(stream, time, value, rule, pass);
            if finding.verdict.judged {
                pass.judged += 1;
                self.report(&site, stream, &finding, pass);
                site.worst = finding.verdict.score.max(site.worst);
            }
        });
    }

    fn judge(
        &self,
        stream: &mut Stream,
        time_ns: i64,
        value: f64,
        rule: Option<&ThresholdConfig>,
        pass: &mut Pass,
    ) -> Finding {
        let local_s = self.calendar.local_s(&mut pass.cursor, time_ns);
        let settings =
            if stream.role().never_negative() { &self.rate_settings } else { &self.settings };
        let learn = self.calendar.learns(time_ns);
        let verdict = stream.state.observe(settings, time_ns, local_s, value, learn);
        let mut finding = Finding::new(verdict);
        // a limit is meant for what a metric measures, not for how often a distribution is fed
        if let Some(rule) = rule
            && stream.role() != Role::Count
        {
            finding.limit(rule, &mut stream.breaches);
        }
        if finding.verdict.alarm_started {
            stream.alarm_began(time_ns);
            self.counters.alarms.add(1);
        }
        finding
    }

    /// Notes an alarm that began or ended for the incidents.
    fn incident(&self, site: &Site<'_>, stream: &Stream, finding: &Finding, pass: &mut Pass) {
        let v = &finding.verdict;
        if self.incidents.is_none() || !(v.alarm_started || v.alarm_ended) {
            return;
        }
        let key = site.key ^ stream.role().salt();
        let member = || Member {
            key,
            name: format!("{} {}", Tracked::name_of(site.series), stream.role().observation()),
            since_ns: site.time_ns,
            direction: direction(finding),
            score: v.score,
        };
        let began = (!v.alarm_ended).then(|| (site.series.clone(), member()));
        pass.changes.push(Change { at: site.at, key, began });
    }

    /// Tells the incidents what changed, in the order of the batch.
    fn change_incidents(&self, pass: &mut Pass) {
        let Some(incidents) = &self.incidents else { return };
        pass.changes.sort_by_key(|change| change.at);
        for change in pass.changes.drain(..) {
            match change.began {
                Some((series, member)) => {
                    lock(incidents).began(&series, member, pass.now_s, &self.cx.interner);
                }
                None => lock(incidents).ended(change.key, pass.now_s),
            }
        }
    }

    /// Records and gauges of the incidents.
    fn tell_incidents(&self, pass: &mut Pass) {
        let Some(incidents) = &self.incidents else { return };
        let (records, gauges) = lock(incidents).tick(pass.now_s);
        for (series, active) in gauges {
            let value = PointValue::Int(i64::try_from(active).unwrap_or(i64::MAX));
            pass.findings.companions.push(Point::new(series, 0, pass.now_ns, value));
        }
        for record in records {
            self.log_incident(&record, pass.now_ns);
        }
    }

    fn log_incident(&self, record: &Record, now_ns: u64) {
        let incident = &record.incident;
        let members = incident.members.iter();
        let names: Vec<String> = members
            .map(|m| format!("{} {} (score {:.2})", m.name, m.direction, m.score))
            .collect();
        tracing::warn!(
            kind = "processor",
            name = %self.cx.id,
            incident = format!("{:016x}", incident.id),
            state = record.change.as_str(),
            group = incident.groups.join(","),
            series = incident.total,
            active = incident.active,
            opened_unix_ns = incident.opened_ns,
            duration_s = now_ns.saturating_sub(incident.opened_ns) / 1_000_000_000,
            first = names.first().map_or("", String::as_str),
            members = names.join("; "),
            "incident {}",
            record.change.as_str(),
        );
    }

    fn report(&self, site: &Site<'_>, stream: &mut Stream, finding: &Finding, pass: &mut Pass) {
        let verdict = &finding.verdict;
        self.incident(site, stream, finding, pass);
        for emit in &self.emit {
            match emit {
                Emit::Companion => {
                    let to = stream.companions(site.series, self.bands, &self.cx.interner);
                    pass.findings.companion(to, finding, site.time_ns);
                }
                Emit::Attributes => {
                    let notable = verdict.in_alarm || verdict.outside != Outside::Inside;
                    if notable || self.bands {
                        let observation = stream.role().observation();
                        pass.findings.tag(site.at, finding, &observation, site.worst);
                    }
                }
                Emit::Log => {
                    if verdict.alarm_started || verdict.alarm_ended {
                        self.log(site, stream, finding, pass.now_s);
                    }
                }
            }
        }
    }

    fn log(&self, site: &Site<'_>, stream: &Stream, finding: &Finding, now_s: u64) {
        let v = &finding.verdict;
        let Some(suppressed) = self.lines.pass(now_s) else { return };
        let since = u64::try_from(stream.alarm_since_ns()).unwrap_or(0);
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
            observation = %stream.role().observation(),
            value = v.value,
            lower = v.lower,
            upper = v.upper,
            score = v.score,
            direction = direction(finding),
            anomaly_kind = finding.kind,
            time_unix_ns = site.time_ns,
            duration_s = site.time_ns.saturating_sub(since) / 1_000_000_000,
            suppressed_lines = suppressed,
            "{}",
            if v.alarm_started { "anomaly began" } else { "anomaly ended" },
        );
    }

    fn metrics(&self, metrics: &mut Metrics) {
        let mut pass = Pass::new(self.calendar.cursor(), &*self.cx.clock);
        let plans = self.plans.of(metrics);
        let now_s = pass.now_s;
        let mut round = Round::new(self, metrics.points().collect(), plans, &mut pass);
        self.store.each(&round.wanted(), now_s, &mut round);
        self.change_incidents(&mut pass);
        self.tell_incidents(&mut pass);
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

    fn stop(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.save();
        }
    }
}

fn lock(incidents: &Mutex<Incidents>) -> MutexGuard<'_, Incidents> {
    incidents.lock().unwrap_or_else(PoisonError::into_inner)
}
