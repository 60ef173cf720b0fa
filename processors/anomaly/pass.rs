//! One batch on its way through: what its points share, and the visits to their series.

use std::sync::Arc;

use weir_core::Clock;
use weir_model::{Point, Series};

use super::emit::Findings;
use super::incidents::{self, Member};
use super::select::Plan;
use super::series::{MARK, Tracked};
use super::store::{Place, Visit, Want, Wanted};
use super::zone::Cursor;
use super::Anomaly;

/// Where a finding belongs.
pub(super) struct Site<'a> {
    /// Place of the point in its batch.
    pub(super) at: usize,
    pub(super) series: &'a Arc<Series>,
    /// Key of the series' state.
    pub(super) key: u64,
    pub(super) time_ns: u64,
    /// Worst score of the point's observations before.
    pub(super) worst: f64,
}

/// What the points of one batch share.
pub(super) struct Pass {
    pub(super) cursor: Cursor,
    /// Seconds on a clock that never goes back.
    pub(super) now_s: u64,
    /// For points without a time, Unix ns.
    pub(super) now_ns: u64,
    pub(super) findings: Findings,
    pub(super) judged: u64,
    /// Alarms that began or ended, for the incidents.
    pub(super) changes: Vec<Change>,
}

/// An alarm that began or ended.
pub(super) struct Change {
    /// Place of the point in its batch.
    pub(super) at: usize,
    pub(super) key: u64,
    /// Where and what began; `None` when it ended.
    pub(super) began: Option<(Arc<Series>, Member)>,
}

impl Pass {
    pub(super) fn new(cursor: Cursor, clock: &dyn Clock) -> Self {
        Self {
            cursor,
            now_s: clock.monotonic().as_secs(),
            now_ns: clock.unix_ns(),
            findings: Findings::default(),
            judged: 0,
            changes: Vec::new(),
        }
    }
}

/// The points of a batch, and the plan of each where they differ.
pub(super) struct Round<'a> {
    anomaly: &'a Anomaly,
    points: Vec<&'a Point>,
    plans: Option<Vec<Plan>>,
    pass: &'a mut Pass,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        anomaly: &'a Anomaly,
        points: Vec<&'a Point>,
        plans: Option<Vec<Plan>>,
        pass: &'a mut Pass,
    ) -> Self {
        Self { anomaly, points, plans, pass }
    }

    fn plan(&self, at: usize) -> Option<&Plan> {
        self.plans.as_ref().and_then(|plans| plans.get(at))
    }

    /// The states of the points that are judged.
    pub(super) fn wanted(&self) -> Wanted {
        let want = |(at, point): (usize, &&Point)| {
            let plan = self.plan(at);
            let key = plan.map_or_else(|| point.series.stable_hash(), |plan| plan.key);
            let judged = plan.is_none_or(|plan| plan.judged);
            judged.then_some(Want { key, at: u32::try_from(at).ok()? })
        };
        let wanted: Vec<Want> = self.points.iter().enumerate().filter_map(want).collect();
        Wanted::new(&wanted)
    }
}

impl Visit for Round<'_> {
    /// The processor's own series are not watched.
    fn make(&mut self, want: &Want) -> Option<Tracked> {
        let series = &self.points.get(want.at as usize)?.series;
        let metric = series.metric();
        if metric.name.contains(MARK) || &*metric.name == incidents::GAUGE {
            return None;
        }
        let mut tracked = Tracked::new(metric.kind);
        if self.anomaly.keeper.is_some() {
            tracked.name = Tracked::name_of(series);
        }
        Some(tracked)
    }

    fn work(&mut self, want: &Want, tracked: &mut Tracked) {
        let at = want.at as usize;
        let Some(point) = self.points.get(at) else { return };
        let rule = self.plan(at).and_then(|plan| plan.rule);
        let rule = rule.and_then(|rule| self.anomaly.thresholds.get(usize::from(rule)));
        let (series, time_ns) = (&point.series, point.time_ns);
        let site = Site { at, series, key: want.key, time_ns, worst: 0.0 };
        self.anomaly.tracked(site, point, rule, tracked, self.pass);
    }

    fn placed(&mut self, place: Place) {
        let counters = &self.anomaly.counters;
        match place {
            Place::Known | Place::Added => {}
            Place::Replaced => counters.evicted.add(1),
            Place::Full => counters.refused.add(1),
        }
    }
}
