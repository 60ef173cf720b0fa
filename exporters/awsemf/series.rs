//! What is worked out once per series: its labels, group, metric and delta state.

use std::hash::BuildHasher;

use weir_model::{MetricKind, Series, Temporality};

use super::context::Context;
use super::delta::{Slot, StreamKey};
use super::encode::quantile_text;
use super::labels::Labels;
use super::names::UNDEFINED;
use super::tables::{Kind, NONE, Target};
use super::translate::Translator;

/// What is known about a series after its first point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Group of its points.
    pub(crate) group: u32,
    /// Its metric.
    pub(crate) metric: u32,
    /// Slot of its delta state, or [`NONE`].
    pub(crate) slot: u32,
    /// Whether labels decide about the log group or stream (EMF-13).
    pub(crate) pending: bool,
    /// Whether the slot is one for summaries.
    pub(crate) totals: bool,
}

// What a cumulative stream costs beyond its series: this, its slot and about 8 bytes of index.
const _: () = assert!(size_of::<Entry>() + size_of::<Slot<f64>>() + 8 <= 64);

impl Translator {
    /// What is known about a series; nothing when there is no room for its delta state.
    #[inline]
    pub(super) fn entry(&mut self, series: &Series, cx: &mut Context<'_>) -> Option<Entry> {
        // A series under a borrowed scope name has other labels than usual.
        if !cx.inherits
            && let Some(entry) = self.entries.get(series)
        {
            return Some(*entry);
        }
        self.describe(series, cx)
    }

    /// Works out everything about a series.
    #[cold]
    fn describe(&mut self, series: &Series, cx: &mut Context<'_>) -> Option<Entry> {
        let settings = self.settings.clone();
        let metric = series.metric();
        let labels = Labels::new(series, cx.scope_name, &settings.config);
        let place = settings.place(series);
        let (kind, cumulative) = match metric.kind {
            MetricKind::Gauge => (Kind::Gauge, false),
            MetricKind::Sum { temporality, .. } => {
                (Kind::Sum, temporality == Temporality::Cumulative)
            }
            MetricKind::Histogram { .. } => (Kind::Histogram, false),
            MetricKind::ExponentialHistogram { .. } => (Kind::Exponential, false),
            MetricKind::Summary => (Kind::Summary, cx.prometheus),
        };
        let totals = kind == Kind::Summary;
        let slot = if cumulative {
            let content = (
                &*metric.name,
                &place.namespace,
                &place.group,
                &place.stream,
                &labels,
            );
            let key: StreamKey = self.seeds.each_ref().map(|seed| seed.hash_one(content));
            let slot = if totals {
                self.totals.slot(key)
            } else {
                self.sums.slot(key)
            };
            let Some(slot) = slot else {
                cx.counts.no_room += 1;
                return None;
            };
            slot
        } else {
            NONE
        };
        let (group, stream) = if place.pending {
            settings.names_by_labels(&place.group, &place.stream, &labels)
        } else {
            (place.group, place.stream)
        };
        let set = self.tables.label_set(&labels, &settings);
        let namespace = self.tables.names.intern(place.namespace.into());
        let target = self.tables.targets.intern(Target {
            group: group.into(),
            stream: stream.into(),
        });
        let entry = Entry {
            group: self.tables.group(set, namespace, target, kind),
            metric: self.tables.metric(&metric.name, metric, &settings),
            slot,
            pending: place.pending,
            totals,
        };
        if !cx.inherits {
            self.entries.insert(series, entry);
        }
        Some(entry)
    }

    /// The group of a point. Where labels decide about the place, the first that fills all
    /// placeholders decides for the later points of the metric too, as in the reference (EMF-14).
    #[inline]
    pub(super) fn place(&mut self, entry: Entry, cx: &mut Context<'_>) -> u32 {
        if entry.pending {
            self.pending_place(entry.group, cx).unwrap_or(entry.group)
        } else {
            entry.group
        }
    }

    fn pending_place(&mut self, own: u32, cx: &mut Context<'_>) -> Option<u32> {
        let group = self.tables.groups.get(own)?;
        let (labels, namespace, kind) = (group.labels, group.namespace, group.kind);
        let own_target = group.target;
        let target = match cx.target {
            Some(current) if current != own_target => {
                let targets = &mut self.tables.targets;
                let (now, own) = (targets.get(current)?, targets.get(own_target)?);
                let pick = |now: &str, own: &str| {
                    if now.contains(UNDEFINED) {
                        own.into()
                    } else {
                        now.into()
                    }
                };
                let target = Target {
                    group: pick(&now.group, &own.group),
                    stream: pick(&now.stream, &own.stream),
                };
                targets.intern(target)
            }
            _ => own_target,
        };
        cx.target = Some(target);
        if target == own_target {
            return Some(own);
        }
        Some(self.tables.group(labels, namespace, target, kind))
    }

    /// The `_sum` and `_count` metrics of a summary.
    pub(super) fn sum_and_count(&mut self, metric: u32, series: &Series) -> (u32, u32) {
        if let Some(known) = self.detailed.get(&metric) {
            return *known;
        }
        let meta = series.metric();
        let mut made = |suffix| {
            let name = format!("{}{suffix}", meta.name);
            self.tables.metric(&name, meta, &self.settings)
        };
        let (sum, count) = (made("_sum"), made("_count"));
        self.detailed.insert(metric, (sum, count));
        (sum, count)
    }

    /// The group of a summary's quantile.
    pub(super) fn quantile_group(
        &mut self,
        group: u32,
        quantile: f64,
        series: &Series,
        cx: &Context<'_>,
    ) -> u32 {
        if let Some(known) = self.quantiles.get(&(group, quantile.to_bits())) {
            return *known;
        }
        let Some(base) = self.tables.groups.get(group) else {
            return group;
        };
        let (namespace, target, kind) = (base.namespace, base.target, base.kind);
        let labels = Labels::new(series, cx.scope_name, &self.settings.config)
            .with_quantile(quantile_text(quantile));
        let set = self.tables.label_set(&labels, &self.settings);
        let made = self.tables.group(set, namespace, target, kind);
        self.quantiles.insert((group, quantile.to_bits()), made);
        made
    }
}
