//! Alarms against labelled incidents, event by event.
//!
//! The same counting as the evaluation kit's `events`: alarms closer than the merge gap are one; an
//! incident is found by an alarm that began in it (or just before); alarms elsewhere are false, but
//! for those that begin in the recovery right behind an incident, which are ignored.

use weir_detect::{Kind, Outside};

use crate::moment;
use crate::times::Times;

/// Seconds of a week.
const WEEK_S: f64 = 604_800.0;

/// A labelled incident, Unix seconds, both ends inclusive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
    /// What kind of incident; may be empty.
    pub(crate) kind: String,
}

/// Samples in alarm without a sample between them that is not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AlarmRun {
    /// Its first sample, Unix ns.
    pub(crate) start_ns: i64,
    /// Its last sample.
    pub(crate) end_ns: i64,
    /// The value that was farthest from its band.
    pub(crate) value: f64,
    /// Its score; 0 where a rule has none.
    pub(crate) score: f64,
    /// Its side.
    pub(crate) side: Outside,
    /// The shape, as far as it was known at the end.
    pub(crate) kind: Option<Kind>,
}

/// What an alarm turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing is labelled.
    Unknown,
    /// It found an incident.
    Hit,
    /// It did not.
    False,
    /// It began in the recovery behind an incident.
    Recovery,
    /// It began before anything is scored.
    WarmUp,
}

/// An alarm: runs joined over the merge gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarm {
    pub(crate) run: AlarmRun,
    pub(crate) meaning: Meaning,
}

/// An incident and how long it took to be found, s; `None`: missed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incident {
    pub(crate) window: Window,
    pub(crate) delay_s: Option<f64>,
}

/// How one rule did on one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Alarms in order, those of the warm-up among them.
    pub(crate) alarms: Vec<Alarm>,
    /// Incidents that were scored; `None` when nothing is labelled.
    pub(crate) incidents: Option<Vec<Incident>>,
    /// Time after the warm-up without long gaps, weeks.
    pub(crate) weeks: f64,
    /// The same without the incidents and their surroundings.
    pub(crate) normal_weeks: f64,
}

/// What is known of a series besides its alarms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) times: &'a Times,
    pub(crate) interval_s: f64,
    /// Nothing before it is scored, Unix s.
    pub(crate) from_s: f64,
    /// Labelled incidents in order; `None` when nothing is labelled.
    pub(crate) windows: Option<&'a [Window]>,
}

impl Tally {
    /// Counts.
    pub(crate) fn new(runs: &[AlarmRun], ground: &Ground<'_>) -> Self {
        let gap = merge_gap(ground.interval_s);
        let truth = ground.windows.map(|w| truth(w, gap, ground.from_s));
        let mut delays = vec![None; truth.as_ref().map_or(0, Vec::len)];
        let mut alarms = Vec::new();
        for alarm in alarm_events(runs, gap, ground) {
            let meaning = match &truth {
                _ if moment::seconds(alarm.start_ns) < ground.from_s => Meaning::WarmUp,
                None => Meaning::Unknown,
                Some(truth) => meaning(&alarm, truth, &mut delays, ground.interval_s),
            };
            alarms.push(Alarm {
                run: alarm,
                meaning,
            });
        }
        let (weeks, normal_weeks) = weeks(ground, truth.as_deref().unwrap_or_default());
        let incidents = truth.map(|truth| {
            let pairs = truth.into_iter().zip(delays);
            pairs
                .map(|(window, delay_s)| Incident { window, delay_s })
                .collect()
        });
        Self {
            alarms,
            incidents,
            weeks,
            normal_weeks,
        }
    }

    /// Alarms with this meaning.
    pub(crate) fn count(&self, meaning: Meaning) -> usize {
        self.alarms.iter().filter(|a| a.meaning == meaning).count()
    }

    /// Alarms after the warm-up.
    pub(crate) fn scored(&self) -> usize {
        self.alarms.len() - self.count(Meaning::WarmUp)
    }
}

fn merge_gap(interval_s: f64) -> f64 {
    (5.0 * interval_s).max((60.0 * interval_s).min(600.0))
}

/// Incidents that end after the warm-up, joined when closer than the merge gap.
fn truth(windows: &[Window], gap: f64, from_s: f64) -> Vec<Window> {
    let mut sorted = windows.to_vec();
    sorted.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let mut joined: Vec<Window> = Vec::new();
    for window in sorted {
        match joined.last_mut() {
            Some(last) if window.start_s - last.end_s <= gap => {
                last.end_s = last.end_s.max(window.end_s);
            }
            _ => joined.push(window),
        }
    }
    joined.retain(|w| w.end_s >= from_s);
    joined
}

/// Runs joined over the merge gap; one that reaches from the warm-up into the scored time is cut
/// in two there.
fn alarm_events(runs: &[AlarmRun], gap: f64, ground: &Ground<'_>) -> Vec<AlarmRun> {
    let scored = |ns: i64| moment::seconds(ns) >= ground.from_s;
    let first_scored_ns = if runs.iter().any(|r| !scored(r.start_ns) && scored(r.end_ns)) {
        ground.times.iter().find(|t| scored(*t))
    } else {
        None
    };
    let mut parts = Vec::with_capacity(runs.len());
    for run in runs {
        match first_scored_ns.filter(|_| !scored(run.start_ns) && scored(run.end_ns)) {
            Some(cut_ns) => {
                parts.push(AlarmRun {
                    end_ns: cut_ns,
                    ..*run
                });
                parts.push(AlarmRun {
                    start_ns: cut_ns,
                    ..*run
                });
            }
            None => parts.push(*run),
        }
    }
    let mut joined: Vec<AlarmRun> = Vec::new();
    for run in parts {
        let near = |last: &AlarmRun| {
            scored(last.start_ns) == scored(run.start_ns)
                && moment::seconds(run.start_ns) - moment::seconds(last.end_ns) <= gap
        };
        match joined.last_mut().filter(|last| near(last)) {
            Some(last) => last.join(&run),
            None => joined.push(run),
        }
    }
    joined
}

impl AlarmRun {
    fn join(&mut self, later: &Self) {
        let worst = if later.score > self.score {
            *later
        } else {
            *self
        };
        *self = Self {
            start_ns: self.start_ns,
            end_ns: later.end_ns,
            kind: later.kind.or(self.kind),
            ..worst
        };
    }
}

fn meaning(
    alarm: &AlarmRun,
    truth: &[Window],
    delays: &mut [Option<f64>],
    interval_s: f64,
) -> Meaning {
    let (start, end) = (
        moment::seconds(alarm.start_ns),
        moment::seconds(alarm.end_ns),
    );
    let latest_hit = |w: &Window| w.end_s + 3.0 * interval_s;
    let began_in = truth.iter().any(|w| {
        let lead = (5.0 * interval_s).max(0.1 * (w.end_s - w.start_s));
        start >= w.start_s - lead && start <= latest_hit(w)
    });
    if began_in {
        for (window, delay) in truth.iter().zip(delays) {
            if end >= window.start_s && start <= latest_hit(window) {
                let late = (start - window.start_s).max(0.0);
                *delay = Some(delay.map_or(late, |d: f64| d.min(late)));
            }
        }
        return Meaning::Hit;
    }
    let recovers = truth.iter().any(|w| {
        let recovery = (10.0 * interval_s).max((0.5 * (w.end_s - w.start_s)).min(7200.0));
        start > latest_hit(w) && start <= w.end_s + recovery
    });
    if recovers {
        Meaning::Recovery
    } else {
        Meaning::False
    }
}

/// Weeks scored, and those of them away from incidents. A gap of more than ten intervals counts as
/// one interval.
fn weeks(ground: &Ground<'_>, truth: &[Window]) -> (f64, f64) {
    let interval_s = ground.interval_s;
    let mut near: Vec<(f64, f64)> = truth
        .iter()
        .map(|w| {
            let behind = (10.0 * interval_s).max((0.5 * (w.end_s - w.start_s)).min(7200.0));
            (w.start_s - 5.0 * interval_s, w.end_s + behind)
        })
        .collect();
    // what is labelled but was not scored is not normal either
    let labelled = ground.windows.unwrap_or_default();
    near.extend(labelled.iter().map(|w| (w.start_s, w.end_s)));
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    let near = disjoint(&near);
    let (mut all_s, mut normal_s) = (0.0, 0.0);
    let mut times = ground.times.iter().map(moment::seconds).peekable();
    while let Some(time) = times.next() {
        let Some(next) = times.peek() else { break };
        if time < ground.from_s {
            continue;
        }
        let mut step = next - time;
        if step > 10.0 * interval_s {
            step = interval_s;
        }
        all_s += step;
        let at = near.partition_point(|(_, end)| *end < time);
        if near.get(at).is_none_or(|(start, _)| time < *start) {
            normal_s += step;
        }
    }
    (all_s / WEEK_S, normal_s / WEEK_S)
}

/// Sorted spans without overlap.
fn disjoint(sorted: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut result: Vec<(f64, f64)> = Vec::with_capacity(sorted.len());
    for span in sorted {
        match result.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => result.push(*span),
        }
    }
    result
}

/// Sums over series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) alarms: usize,
    pub(crate) weeks: f64,
    pub(crate) labelled: bool,
    pub(crate) found: usize,
    pub(crate) missed: usize,
    pub(crate) false_alarms: usize,
    /// Weeks of normal time of labelled series.
    pub(crate) normal_weeks: f64,
    /// Delays of what was found, s.
    delays: Vec<f64>,
}

impl Totals {
    pub(crate) fn add(&mut self, tally: &Tally) {
        self.alarms += tally.scored();
        self.weeks += tally.weeks;
        let Some(incidents) = &tally.incidents else {
            return;
        };
        self.labelled = true;
        self.normal_weeks += tally.normal_weeks;
        self.false_alarms += tally.count(Meaning::False);
        incidents
            .iter()
            .for_each(|incident| self.incident(incident));
    }

    pub(crate) fn incident(&mut self, incident: &Incident) {
        match incident.delay_s {
            Some(delay) => {
                self.found += 1;
                self.delays.push(delay);
            }
            None => self.missed += 1,
        }
    }

    pub(crate) fn alarms_per_week(&self) -> Option<f64> {
        (self.weeks > 0.0).then(|| self.alarms as f64 / self.weeks)
    }

    pub(crate) fn false_per_week(&self) -> Option<f64> {
        let some = self.labelled && self.normal_weeks > 0.0;
        some.then(|| self.false_alarms as f64 / self.normal_weeks)
    }

    /// Share of the hits and false alarms that are hits; counted in incidents, as the kit does.
    pub(crate) fn precision(&self) -> Option<f64> {
        ratio(self.found, self.found + self.false_alarms)
    }

    pub(crate) fn recall(&self) -> Option<f64> {
        ratio(self.found, self.found + self.missed)
    }

    pub(crate) fn f1(&self) -> Option<f64> {
        // with incidents in the data, no hit is 0 and not unknown
        ratio(
            2 * self.found,
            2 * self.found + self.false_alarms + self.missed,
        )
        .filter(|_| self.found + self.missed > 0)
    }

    /// A quantile of the delays, s, by linear interpolation.
    pub(crate) fn delay(&self, quantile: f64) -> Option<f64> {
        let mut sorted = self.delays.clone();
        sorted.sort_by(f64::total_cmp);
        let place = quantile * sorted.len().checked_sub(1)? as f64;
        let low = *sorted.get(place.floor() as usize)?;
        let high = *sorted.get(place.ceil() as usize)?;
        Some(low + (high - low) * place.fract())
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
