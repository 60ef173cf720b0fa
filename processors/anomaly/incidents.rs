//! From alarms to incidents: alarms of series that share a resource attribute, close in time, are
//! one incident. It opens with the first, grows with the further ones, and is over when all of
//! them have ended.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use weir_model::{Attributes, Interner, MetricKind, MetricMeta, Series};

use super::config::IncidentsConfig;

/// Members named in a record; the others are counted.
pub(super) const NAMED: usize = 50;
/// Open incidents at once; further alarms stand for themselves.
const MOST_OPEN: usize = 1000;
/// Seconds between two records about one growing incident.
const UPDATE_S: u64 = 60;
/// An incident without news is over after this long, s: its series may be gone.
const EXPIRE_S: u64 = 86_400;
/// Name of the gauge.
pub(super) const GAUGE: &str = "anomaly.incident.members";

/// One series (and observation) in an alarm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    /// Key of series and observation.
    pub(super) key: u64,
    /// Metric, labels, observation.
    pub(super) name: String,
    /// Time of the sample that began the alarm, Unix ns.
    pub(super) since_ns: u64,
    /// above, below, flat
    pub(super) direction: &'static str,
    pub(super) score: f64,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Updated,
    Resolved,
}

impl Change {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
        }
    }
}

/// An incident.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    /// Stable for its life: from the first member and its time.
    pub(super) id: u64,
    /// `key=value` texts that its members share with at least one other.
    pub(super) groups: Vec<String>,
    /// In the order in which they broke, at most [`NAMED`].
    pub(super) members: Vec<Member>,
    /// All that ever belonged to it.
    pub(super) total: usize,
    /// In an alarm now.
    pub(super) active: usize,
    pub(super) opened_ns: u64,
    /// The series of the gauge.
    gauge: Arc<Series>,
    last_alarm_s: u64,
    last_change_s: u64,
    last_record_s: u64,
    told: usize,
}

/// A record about an incident.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) change: Change,
    pub(super) incident: Incident,
}

/// All open incidents.
#[derive(Debug)]
pub(super) struct Incidents {
    group_by: Vec<String>,
    window_s: u64,
    resolve_s: u64,
    open: VecDeque<Incident>,
    /// Members in an alarm: key to incident.
    active: HashMap<u64, u64>,
    records: Vec<Record>,
    last_tick_s: u64,
    /// Alarms that found no place.
    pub(super) overflow: u64,
    pub(super) opened: u64,
}

impl Incidents {
    pub(super) fn new(config: &IncidentsConfig) -> Self {
        Self {
            group_by: config.group_by.clone(),
            window_s: config.window.to_std().as_secs(),
            resolve_s: config.resolve_after.to_std().as_secs(),
            open: VecDeque::new(),
            active: HashMap::new(),
            records: Vec::new(),
            last_tick_s: 0,
            overflow: 0,
            opened: 0,
        }
    }

    /// Open incidents.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The open ones.
    #[cfg(test)]
    pub(super) fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.iter()
    }

    /// An alarm began.
    pub(super) fn began(&mut self, series: &Series, m: Member, now_s: u64, interner: &Interner) {
        let groups = self.groups_of(series);
        let window_s = self.window_s;
        let near = |i: &&mut Incident| {
            (i.active > 0 || now_s.saturating_sub(i.last_alarm_s) <= window_s)
                && i.groups.iter().any(|group| groups.contains(group))
        };
        let key = m.key;
        let id = if let Some(incident) = self.open.iter_mut().find(near) {
            incident.join(m, &groups, now_s);
            incident.id
        } else if self.open.len() < MOST_OPEN {
            let incident = Incident::new(series, m, groups, now_s, interner);
            let id = incident.id;
            self.records.push(Record { change: Change::Opened, incident: incident.clone() });
            self.open.push_back(incident);
            self.opened += 1;
            id
        } else {
            self.overflow += 1;
            return;
        };
        // a member that cried before its last alarm ended counts once
        if let Some(before) = self.active.insert(key, id) {
            self.leave(before, now_s);
        }
    }

    /// An alarm ended.
    pub(super) fn ended(&mut self, key: u64, now_s: u64) {
        if let Some(id) = self.active.remove(&key) {
            self.leave(id, now_s);
        }
    }

    fn leave(&mut self, id: u64, now_s: u64) {
        if let Some(incident) = self.open.iter_mut().find(|i| i.id == id) {
            incident.active = incident.active.saturating_sub(1);
            incident.last_change_s = now_s;
        }
    }

    /// Looks for what is to be told; called with every batch, works once a second.
    pub(super) fn tick(&mut self, now_s: u64) -> (Vec<Record>, Vec<(Arc<Series>, usize)>) {
        let mut gauges = Vec::new();
        if now_s == self.last_tick_s && self.records.is_empty() {
            return (Vec::new(), gauges);
        }
        self.last_tick_s = now_s;
        let (resolve_s, mut gone) = (self.resolve_s, Vec::new());
        self.open.retain_mut(|incident| {
            let calm_s = now_s.saturating_sub(incident.last_change_s);
            if incident.active == 0 && calm_s >= resolve_s || calm_s >= EXPIRE_S {
                gone.push(incident.clone());
                return false;
            }
            gauges.push((incident.gauge.clone(), incident.active));
            let due = now_s.saturating_sub(incident.last_record_s) >= UPDATE_S;
            if incident.total != incident.told && due {
                incident.told = incident.total;
                incident.last_record_s = now_s;
                let incident = incident.clone();
                self.records.push(Record { change: Change::Updated, incident });
            }
            true
        });
        for incident in gone {
            self.active.retain(|_, id| *id != incident.id);
            gauges.push((incident.gauge.clone(), 0));
            self.records.push(Record { change: Change::Resolved, incident });
        }
        (std::mem::take(&mut self.records), gauges)
    }

    /// The grouping texts of a series: the attributes of its resource (or labels) named in the
    /// configuration; its metric's name where it has none of them.
    fn groups_of(&self, series: &Series) -> Vec<String> {
        let of = |attributes: &Attributes, key: &String| {
            let value = attributes.get(key)?.to_text().into_owned();
            Some(format!("{key}={value}"))
        };
        let found = self.group_by.iter().filter_map(|key| {
            of(&series.resource().attributes, key).or_else(|| of(series.labels(), key))
        });
        let groups: Vec<String> = found.collect();
        if groups.is_empty() { vec![format!("metric={}", series.metric().name)] } else { groups }
    }
}

impl Incident {
    fn new(
        series: &Series,
        first: Member,
        groups: Vec<String>,
        now_s: u64,
        interner: &Interner,
    ) -> Self {
        let mut meta = MetricMeta::new(GAUGE, MetricKind::Gauge);
        meta.unit = "{series}".into();
        meta.description = "Series of an incident that are in an alarm".into();
        let meta = interner.metric(meta);
        let mut labels = Attributes::from_iter([("", ""); 0]).to_builder();
        labels.set_str("incident.group", groups.first().map_or("", String::as_str));
        let gauge = interner.series(series.resource(), series.scope(), &meta, labels.build());
        Self {
            id: first.since_ns.rotate_left(20) ^ first.key.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            groups,
            opened_ns: first.since_ns,
            members: vec![first],
            total: 1,
            active: 1,
            gauge,
            last_alarm_s: now_s,
            last_change_s: now_s,
            last_record_s: now_s,
            told: 1,
        }
    }

    fn join(&mut self, member: Member, groups: &[String], now_s: u64) {
        self.active += 1;
        self.last_alarm_s = now_s;
        self.last_change_s = now_s;
        for group in groups {
            if self.groups.len() < NAMED && !self.groups.contains(group) {
                self.groups.push(group.clone());
            }
        }
        if self.members.iter().any(|m| m.key == member.key) {
            return;
        }
        self.total += 1;
        self.opened_ns = self.opened_ns.min(member.since_ns);
        let at = self.members.partition_point(|m| m.since_ns <= member.since_ns);
        self.members.insert(at, member);
        self.members.truncate(NAMED);
    }
}
