//! What is kept per series: its input, and a detector state per observation.

use std::sync::Arc;

use weir_detect::State;
use weir_model::{Interner, MetricKind, MetricMeta, Series, Value};
use weir_observe::{Input, Role};

/// Part of every companion's name; series that carry it are not judged again.
pub(super) const MARK: &str = ".anomaly.";

/// Length at which the name of a series is cut off, bytes.
const LONGEST_NAME: usize = 200;

const NS_PER_S: i64 = 1_000_000_000;

/// A series under watch.
#[derive(Debug)]
pub(super) struct Tracked {
    /// For people who look into a state file; empty when none is kept.
    pub(super) name: Box<str>,
    pub(super) input: Input,
    /// Most series have one; a list of fixed length is a word smaller than one that can grow.
    pub(super) streams: Box<[Stream]>,
}

/// One observation of a series over time.
#[derive(Debug)]
pub(super) struct Stream {
    /// The role in one word: see [`code`].
    role: u64,
    pub(super) state: State,
    /// Time of the sample that began the alarm, Unix s.
    alarm_since_s: u32,
    /// Samples in a row beyond the static threshold, saturating.
    pub(super) breaches: u8,
    companions: Option<Box<Companions>>,
}

/// The series that carry the findings about one observation.
#[derive(Debug)]
pub(super) struct Companions {
    /// Hash of the series they go with: another one of the same identity has its own.
    of: u64,
    pub(super) score: Arc<Series>,
    pub(super) state: Arc<Series>,
    /// Lower and upper edge of the band.
    pub(super) bands: Option<(Arc<Series>, Arc<Series>)>,
}

impl Tracked {
    pub(super) fn new(kind: MetricKind) -> Self {
        Self { name: Box::default(), input: Input::new(kind), streams: Box::default() }
    }

    /// Reads a word of what a sample needs; see `Store`.
    pub(super) fn touch(&self) -> u64 {
        self.input.touch() ^ self.streams.len() as u64
    }

    /// Metric and labels in one text of bounded length.
    pub(super) fn name_of(series: &Series) -> Box<str> {
        let mut name = series.metric().name.to_string();
        name.push('{');
        for (i, (key, value)) in series.labels().iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            name.push_str(&format!("{comma}{key}={}", value.to_text()));
        }
        name.push('}');
        let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
        name.truncate(end.unwrap_or(0));
        name.into()
    }

    /// Bytes of the detector states.
    pub(super) fn size(&self) -> usize {
        let streams = self.streams.iter();
        size_of::<Self>() + self.name.len() + self.input.size() + streams.map(|s| size_of::<Stream>() + s.state.size()).sum::<usize>()
    }
}

/// The stream of a role, made when it is first seen.
pub(super) fn stream(streams: &mut Box<[Stream]>, role: Role) -> Option<&mut Stream> {
    let code = code(role);
    let at = streams.iter().position(|s| s.role == code).unwrap_or(streams.len());
    if at == streams.len() {
        if at >= super::MAX_STREAMS {
            return None;
        }
        let mut longer = std::mem::take(streams).into_vec();
        longer.reserve_exact(1);
        longer.push(Stream::new(role, State::new()));
        *streams = longer.into_boxed_slice();
    }
    streams.get_mut(at)
}

/// The roles that are no quantile, by their codes: patterns that are no number.
const NAMED: [(u64, Role); 4] = [
    (u64::MAX, Role::Value),
    (u64::MAX - 1, Role::Rate),
    (u64::MAX - 2, Role::Count),
    (u64::MAX - 3, Role::Mean),
];

/// A role in one word: a quantile by its bits. A quantile that is no number has one code, whatever it is.
fn code(role: Role) -> u64 {
    match role {
        Role::Quantile(quantile) if quantile.is_nan() => f64::NAN.to_bits(),
        Role::Quantile(quantile) => quantile.to_bits(),
        named => NAMED.iter().find(|(_, role)| *role == named).map_or(0, |(code, _)| *code),
    }
}

impl Stream {
    pub(super) fn new(role: Role, state: State) -> Self {
        Self { role: code(role), state, alarm_since_s: 0, breaches: 0, companions: None }
    }

    pub(super) fn role(&self) -> Role {
        let named = NAMED.iter().find(|(code, _)| *code == self.role);
        named.map_or_else(|| Role::Quantile(f64::from_bits(self.role)), |(_, role)| *role)
    }

    /// An alarm began with a sample of this time, Unix ns. Kept to the second.
    pub(super) fn alarm_began(&mut self, time_ns: i64) {
        self.alarm_since_s = u32::try_from(time_ns / NS_PER_S).unwrap_or(0);
    }

    /// Time of the sample that began the alarm, Unix ns to the second.
    pub(super) fn alarm_since_ns(&self) -> i64 {
        i64::from(self.alarm_since_s) * NS_PER_S
    }

    /// The companions, made when they are first needed.
    pub(super) fn companions(
        &mut self,
        of: &Series,
        bands: bool,
        interner: &Interner,
    ) -> &Companions {
        let role = self.role();
        if self.companions.as_ref().is_some_and(|known| known.of != of.stable_hash()) {
            self.companions = None;
        }
        self.companions
            .get_or_insert_with(|| Box::new(Companions::new(of, role, bands, interner)))
    }

    /// The companions, if there were any yet.
    pub(super) fn known_companions(&self) -> Option<&Companions> {
        self.companions.as_deref()
    }
}

impl Companions {
    fn new(of: &Series, role: Role, bands: bool, interner: &Interner) -> Self {
        let metric = of.metric();
        let labels = match role {
            Role::Quantile(quantile) => {
                let mut labels = of.labels().to_builder();
                labels.set_value("quantile", &Value::Str(quantile.to_string()));
                labels.build()
            }
            _ => of.labels().clone(),
        };
        let unit = match role {
            Role::Value | Role::Mean | Role::Quantile(_) => metric.unit.to_string(),
            Role::Rate => format!("{}/s", metric.unit),
            Role::Count => "{count}/s".to_owned(),
        };
        let gauge = |suffix: &str, unit: &str, description: &str| {
            let name = format!("{}{}{MARK}{suffix}", metric.name, role.infix());
            let mut meta = MetricMeta::new(&name, MetricKind::Gauge);
            meta.unit = unit.into();
            meta.description = description.into();
            let meta = interner.metric(meta);
            interner.series(of.resource(), of.scope(), &meta, labels.clone())
        };
        Self {
            of: of.stable_hash(),
            score: gauge("score", "", "Distance from the forecast; 0.5 and more is far"),
            state: gauge("state", "", "In an alarm: 1 above, -1 below, 2 flat; else 0"),
            bands: bands.then(|| {
                (
                    gauge("lower", &unit, "Lower edge of the normal range"),
                    gauge("upper", &unit, "Upper edge of the normal range"),
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_survives_its_code() {
        let quantiles = [0.0, 5e-324, 0.5, 0.99, 1.0, -1.0, f64::INFINITY].map(Role::Quantile);
        let roles = [Role::Value, Role::Rate, Role::Count, Role::Mean].into_iter().chain(quantiles);
        let mut streams = Box::default();
        for role in roles {
            assert_eq!(Stream::new(role, State::new()).role(), role);
        }
        for (count, role) in [(1, Role::Mean), (1, Role::Mean), (2, Role::Quantile(0.0))] {
            let found = stream(&mut streams, role).map(|s| s.role());
            assert_eq!((found, streams.len()), (Some(role), count));
        }
        for payload in 1..20 {
            let odd = f64::from_bits(u64::MAX - payload);
            stream(&mut streams, Role::Quantile(odd));
        }
        assert_eq!(streams.len(), 3, "one place for quantiles that are no number");
    }
}
