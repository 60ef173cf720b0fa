//! One series under test: its samples go through every rule, in order, once.

use weir_detect::{Outside, Rate, Settings};

use crate::moment::{self, Calendar};
use crate::problem::Problem;
use crate::rule::{Rule, Watcher};
use crate::score::{AlarmRun, Ground, Tally, Window};
use crate::thin::{Row, Thin};
use crate::times::Times;
use crate::train::{Feed, Identity, Trainer};
use crate::verdicts::VerdictFile;

/// How long a time before scoring begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WarmUp {
    /// So many seconds.
    Seconds(f64),
    /// A share of the rows, at most so many (NAB's probation).
    Rows {
        /// Of all rows.
        share: f64,
        /// At most.
        most: u64,
    },
}

/// What is known of a series before its first sample.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    /// Path of its outputs, without an extension: `set/name`.
    pub(crate) name: String,
    /// For people.
    pub(crate) title: String,
    /// The values are cumulative.
    pub(crate) counter: bool,
    /// What it is called in a pipeline; `None` for OTLP, which says so itself.
    pub(crate) identity: Option<Identity>,
    /// Values are never negative (rates).
    pub(crate) rate: bool,
    /// Distance of samples, s; measured when it is not known.
    pub(crate) interval_s: Option<f64>,
    pub(crate) warm_up: WarmUp,
    /// Labelled incidents; those in a label column count when this is `None`.
    pub(crate) windows: Option<Vec<Window>>,
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) time_ns: i64,
    /// Not a number: missing.
    pub(crate) value: f64,
    /// Whether it is labelled as part of an incident; `None`: there are no labels.
    pub(crate) label: Option<bool>,
}

/// What all series share.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) rules: Vec<Rule>,
    pub(crate) calendar: Calendar,
    /// Rows kept to be drawn; 0: none.
    pub(crate) drawn_rows: usize,
    /// Only these times are drawn.
    pub(crate) span: Option<moment::Span>,
}

/// A series in work.
pub(crate) struct Track<'a> {
    feed: Option<(Feed, &'a dyn Trainer)>,
    meta: Meta,
    rate: Option<Rate>,
    watchers: Vec<Watched>,
    /// Settings of the 2-sigma band, when verdicts are written.
    inner: Option<Settings>,
    calendar: Calendar,
    times: Times,
    labels: Vec<(i64, i64)>,
    labelled: bool,
    in_label: bool,
    counts: Counts,
    thin: Option<Thin>,
    span: Option<moment::Span>,
    output: Option<VerdictFile>,
}

struct Watched {
    watcher: Watcher,
    runs: Vec<AlarmRun>,
    on: bool,
}

/// Samples of a series by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) samples: u64,
    /// Without a value, or that give no rate.
    pub(crate) missing: u64,
    pub(crate) judged: u64,
    pub(crate) outside: u64,
}

/// What a series gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) meta: Meta,
    pub(crate) counts: Counts,
    pub(crate) interval_s: f64,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    /// One for each rule.
    pub(crate) tallies: Vec<Tally>,
    /// All labelled incidents.
    pub(crate) windows: Vec<Window>,
    /// Rows to draw, and the number of samples behind each two of them.
    pub(crate) rows: Vec<Row>,
    pub(crate) stride: u64,
}

impl<'a> Track<'a> {
    pub(crate) fn new(
        meta: Meta,
        setup: &Setup,
        output: Option<VerdictFile>,
        feed: Option<(Feed, &'a dyn Trainer)>,
    ) -> Self {
        let rate = meta.counter || meta.rate;
        let watchers = setup.rules.iter().map(|rule| Watched {
            watcher: Watcher::new(rule, rate),
            runs: Vec::new(),
            on: false,
        });
        let watchers: Vec<Watched> = watchers.collect();
        let inner = output
            .as_ref()
            .and_then(|_| match watchers.first().map(|w| &w.watcher) {
                Some(Watcher::Band(band)) => Some(Settings {
                    stddevs: 2.0,
                    ..band.0.clone()
                }),
                _ => None,
            });
        Self {
            feed,
            rate: meta.counter.then(Rate::new),
            meta,
            watchers,
            inner,
            calendar: setup.calendar.clone(),
            times: Times::default(),
            labels: Vec::new(),
            labelled: false,
            in_label: false,
            counts: Counts::default(),
            thin: (setup.drawn_rows > 0).then(|| Thin::new(setup.drawn_rows)),
            span: setup.span,
            output,
        }
    }

    /// Takes a sample through all rules.
    pub(crate) fn observe(&mut self, sample: Sample) -> Result<(), Problem> {
        let time_ns = sample.time_ns;
        self.times.push(time_ns);
        self.label(&sample);
        if let Some((feed, trainer)) = &mut self.feed {
            feed.push(&sample, *trainer);
        }
        let value = match &mut self.rate {
            // 0: the start time is not known
            Some(rate) => rate
                .cumulative(0, time_ns, sample.value)
                .unwrap_or(f64::NAN),
            None => sample.value,
        };
        self.counts.samples += 1;
        self.counts.missing += u64::from(!value.is_finite());
        let local_s = self.calendar.local_s(time_ns);
        let learn = self.calendar.learns(time_ns);
        let inner = self.inner_band(time_ns, local_s, value, learn);
        for (at, watched) in self.watchers.iter_mut().enumerate() {
            let (on, verdict) = watched.watcher.observe(time_ns, local_s, value, learn);
            watched.follow(on, time_ns, value, verdict.as_ref());
            let Some(verdict) = verdict.filter(|_| at == 0) else {
                continue;
            };
            self.counts.judged += u64::from(verdict.judged);
            self.counts.outside += u64::from(verdict.outside != Outside::Inside);
            if let Some(output) = &mut self.output {
                output.row(time_ns, &verdict, inner)?;
            }
            if let Some(thin) = &mut self.thin
                && self.span.is_none_or(|span| span.contains(time_ns))
            {
                let (lower, upper) = if verdict.judged {
                    (verdict.lower, verdict.upper)
                } else {
                    (f64::NAN, f64::NAN)
                };
                thin.push(Row {
                    time_ns,
                    value,
                    lower,
                    upper,
                    in_alarm: on,
                });
            }
        }
        Ok(())
    }

    /// The 2-sigma band for this sample, by what was known before it.
    fn inner_band(&self, time_ns: i64, local_s: i64, value: f64, learn: bool) -> (f64, f64) {
        let first = self.watchers.first().map(|w| &w.watcher);
        let (Some(settings), Some(Watcher::Band(band))) = (&self.inner, first) else {
            return (f64::NAN, f64::NAN);
        };
        let verdict = band
            .1
            .clone()
            .observe(settings, time_ns, local_s, value, learn);
        (verdict.lower, verdict.upper)
    }

    fn label(&mut self, sample: &Sample) {
        let Some(label) = sample.label else { return };
        self.labelled = true;
        match self.labels.last_mut().filter(|_| self.in_label && label) {
            Some(last) => last.1 = sample.time_ns,
            None if label => self.labels.push((sample.time_ns, sample.time_ns)),
            None => {}
        }
        self.in_label = label;
    }

    /// Counts.
    pub(crate) fn finish(mut self) -> Result<Outcome, Problem> {
        if let Some((feed, trainer)) = &mut self.feed {
            feed.flush(*trainer);
        }
        if let Some(output) = &mut self.output {
            output.flush()?;
        }
        let interval_s = self
            .meta
            .interval_s
            .unwrap_or_else(|| self.times.interval_s());
        let first_ns = self.times.first_ns().unwrap_or(0);
        let from_s = moment::seconds(first_ns) + self.warm_up_s(interval_s);
        let by_label = self.labels.iter().map(|(start, end)| Window {
            start_s: moment::seconds(*start),
            end_s: moment::seconds(*end),
            kind: String::new(),
        });
        let by_label: Option<Vec<Window>> = self.labelled.then(|| by_label.collect());
        let windows = self.meta.windows.clone().or(by_label);
        let ground = Ground {
            times: &self.times,
            interval_s,
            from_s,
            windows: windows.as_deref(),
        };
        let tallies = self
            .watchers
            .iter()
            .map(|w| Tally::new(&w.runs, &ground))
            .collect();
        let (rows, stride) = self.thin.map(Thin::finish).unwrap_or_default();
        Ok(Outcome {
            meta: self.meta,
            counts: self.counts,
            interval_s,
            first_ns,
            last_ns: self.times.last_ns().unwrap_or(first_ns),
            tallies,
            windows: windows.unwrap_or_default(),
            rows,
            stride,
        })
    }

    fn warm_up_s(&self, interval_s: f64) -> f64 {
        match self.meta.warm_up {
            WarmUp::Seconds(seconds) => seconds,
            WarmUp::Rows { share, most } => {
                let rows = (self.times.len() as f64 * share).floor().min(most as f64);
                rows * interval_s
            }
        }
    }
}

impl Watched {
    /// Keeps account of the alarms.
    fn follow(
        &mut self,
        on: bool,
        time_ns: i64,
        value: f64,
        verdict: Option<&weir_detect::Verdict>,
    ) {
        let began = on && !self.on;
        self.on = on;
        if !on {
            return;
        }
        let now = AlarmRun {
            start_ns: time_ns,
            end_ns: time_ns,
            value,
            score: verdict.map_or(0.0, |v| v.score),
            side: verdict.map_or(Outside::Inside, |v| v.outside),
            kind: verdict.and_then(|v| v.kind),
        };
        match self.runs.last_mut().filter(|_| !began) {
            Some(last) => {
                let start_ns = last.start_ns;
                let worst = if now.score > last.score { now } else { *last };
                *last = AlarmRun {
                    start_ns,
                    end_ns: time_ns,
                    kind: now.kind.or(last.kind),
                    ..worst
                };
            }
            None => self.runs.push(now),
        }
    }
}
