//! Reading of a protobuf page.

use weir_model::{Buckets, Exemplar, ExponentialHistogram, Extras, Point, PointValue};
use weir_prom::cache::Lookup;
use weir_prom::exposition::protobuf::{
    Family, NativeSample, ProtoExemplar, ProtoSample, ProtoSeries, ProtoVisitor, read_families,
};

use super::exemplar::ExemplarBuilder;
use super::family::Change;
use super::pass::{Given, Pass, Stopped};
use super::slot::Role;
use super::{PageError, TargetSeries, nanoseconds};

/// Coarsest resolution of a native histogram.
const MIN_SCHEMA: i32 = -4;

struct Visitor<'a> {
    target: &'a mut TargetSeries,
    pass: &'a mut Pass,
    points: &'a mut Vec<Point>,
}

impl TargetSeries {
    pub(super) fn read_protobuf(
        &mut self,
        body: &[u8],
        pass: &mut Pass,
        points: &mut Vec<Point>,
    ) -> Result<(), Stopped> {
        let forms = self.rules.forms;
        read_families(
            body,
            forms,
            &mut Visitor {
                target: self,
                pass,
                points,
            },
        )
    }
}

impl ProtoVisitor for Visitor<'_> {
    type Error = Stopped;

    fn family(&mut self, family: &Family<'_>) -> Result<(), Stopped> {
        let families = &mut self.target.families;
        let mut changed = families.set(family.name, Change::Type(family.kind));
        changed |= families.set(family.name, Change::Help(family.help));
        changed |= families.set(family.name, Change::Unit(family.unit));
        if changed && !self.pass.anew {
            Err(Stopped::MetadataChanged)
        } else {
            Ok(())
        }
    }

    fn sample(&mut self, series: &ProtoSeries<'_>, sample: ProtoSample<'_>) -> Result<(), Stopped> {
        let exemplar = sample
            .exemplar
            .map(|exemplar| move |time_ms| convert(exemplar, time_ms));
        let given = Given {
            value: sample.value,
            timestamp_ms: sample.timestamp_ms,
            exemplar,
        };
        let (target, pass) = (&mut *self.target, &mut *self.pass);
        if !pass.anew && target.cache.matches(series.key) == Some(series.key.len()) {
            let place = target.cache.advance();
            target.known(place, given, pass, self.points);
            return Ok(());
        }
        target.unknown(
            series.key,
            |set| series.labels_into(set),
            given,
            pass,
            self.points,
        )?;
        Ok(())
    }

    fn native(
        &mut self,
        series: &ProtoSeries<'_>,
        histogram: &NativeSample<'_>,
    ) -> Result<(), Stopped> {
        let (target, pass) = (&mut *self.target, &mut *self.pass);
        pass.counts.scraped += 1;
        let place = match target.cache.look_up(series.key) {
            Lookup::Repeated(_) => {
                pass.counts.after_relabelling += 1;
                pass.left_out.repeated += 1;
                return Ok(());
            }
            Lookup::Known(place) if !pass.anew => place,
            Lookup::Known(place) => {
                let alive = target.empty_slot(place);
                let slot = target.resolve(|set| series.labels_into(set), Role::Native)?;
                target.fill_slot(place, slot, alive);
                place
            }
            Lookup::New => {
                let slot = target.resolve(|set| series.labels_into(set), Role::Native)?;
                let dropped = slot.role == Role::Dropped;
                // A cache that is full does without the series.
                let Ok(place) = target.cache.insert(series.key, slot) else {
                    return Ok(());
                };
                pass.counts.added += u64::from(!dropped);
                place
            }
        };
        let own_time = histogram
            .timestamp_ms
            .filter(|_| target.rules.honor_timestamps);
        let track = target.rules.track_timestamps_staleness;
        let Some(slot) = target.cache.value(place) else {
            return Ok(());
        };
        let Some(of) = slot.series.clone() else {
            return Ok(());
        };
        pass.counts.after_relabelling += 1;
        let time_ms = own_time.unwrap_or(pass.time_ms);
        if !pass.takes(target.rules.series.limits.samples, time_ms) {
            if slot.is_alive() {
                pass.missed.push(slot.clone());
                slot.set_alive(false);
            }
            return Ok(());
        }
        slot.set_alive(own_time.is_none() || track);
        let value = exponential(
            histogram,
            target.rules.max_schema,
            target.rules.native_buckets,
        )?;
        let value = PointValue::ExponentialHistogram(Box::new(value));
        let mut point = Point::new(of, 0, nanoseconds(time_ms), value);
        if !histogram.exemplars.is_empty() {
            let exemplars = histogram
                .exemplars
                .iter()
                .map(|e| convert(e, time_ms))
                .collect();
            point.extras = Some(Box::new(Extras {
                exemplars,
                tags: Vec::new(),
            }));
        }
        self.points.push(point);
        Ok(())
    }
}

fn convert(exemplar: &ProtoExemplar<'_>, time_ms: i64) -> Exemplar {
    let mut builder = ExemplarBuilder::default();
    for (name, value) in &exemplar.labels {
        builder.label(name, value);
    }
    builder.build(exemplar.value, exemplar.timestamp_ms.unwrap_or(time_ms))
}

/// The OTLP form of a native histogram, at a resolution that keeps to the limits.
fn exponential(
    native: &NativeSample<'_>,
    max_schema: i32,
    max_buckets: u64,
) -> Result<ExponentialHistogram, PageError> {
    let mut schema = native.schema;
    let mut positive = native.positive.clone();
    let mut negative = native.negative.clone();
    let filled = |side: &(i32, Vec<u64>)| side.1.iter().filter(|count| **count > 0).count();
    loop {
        let buckets = filled(&positive) + filled(&negative);
        let too_many = max_buckets > 0 && buckets as u64 > max_buckets;
        if schema <= max_schema && !too_many {
            break;
        }
        if schema <= MIN_SCHEMA {
            return Err(PageError::BucketLimit(buckets));
        }
        schema -= 1;
        positive = coarser(&positive);
        negative = coarser(&negative);
    }
    Ok(ExponentialHistogram {
        count: native.count,
        sum: Some(native.sum),
        scale: schema,
        zero_count: native.zero_count,
        zero_threshold: native.zero_threshold,
        positive: side(positive),
        negative: side(negative),
        ..ExponentialHistogram::default()
    })
}

/// OTLP knows a bucket by its lower bound, the native histogram by its upper one.
fn side((first, counts): (i32, Vec<u64>)) -> Option<Buckets> {
    (!counts.is_empty()).then(|| Buckets {
        offset: first.saturating_sub(1),
        counts,
    })
}

/// Merges two buckets into one. By upper bounds, bucket `i` goes to `ceil(i / 2)`.
fn coarser((first, counts): &(i32, Vec<u64>)) -> (i32, Vec<u64>) {
    let up = |index: i64| (index + 1).div_euclid(2);
    let start = up(i64::from(*first));
    let mut merged: Vec<u64> = Vec::new();
    for (at, count) in counts.iter().enumerate() {
        let index = up(i64::from(*first) + i64::try_from(at).unwrap_or(i64::MAX)) - start;
        let index = usize::try_from(index).unwrap_or(0);
        if merged.len() <= index {
            merged.resize(index + 1, 0);
        }
        if let Some(sum) = merged.get_mut(index) {
            *sum = sum.saturating_add(*count);
        }
    }
    (i32::try_from(start).unwrap_or(i32::MAX), merged)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn native() -> NativeSample<'static> {
        NativeSample {
            count: 21,
            sum: 4.5,
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 2,
            positive: (-1, vec![1, 0, 2, 3, 4]),
            negative: (4, vec![9]),
            timestamp_ms: None,
            exemplars: Vec::new(),
        }
    }

    /// PROM-58: the bucket before, gaps and all; coarser where a limit asks for it.
    #[test]
    fn native_histograms_become_exponential_ones() {
        let plain = exponential(&native(), 8, 0).unwrap();
        assert_eq!(
            (plain.count, plain.sum, plain.scale),
            (21, Some(4.5), 3)
        );
        assert_eq!((plain.zero_count, plain.zero_threshold), (2, 0.001));
        assert_eq!((plain.min, plain.max), (None, None));
        let side = |offset, counts: &[u64]| {
            Some(Buckets {
                offset,
                counts: counts.to_vec(),
            })
        };
        assert_eq!(plain.positive, side(-2, &[1, 0, 2, 3, 4]));
        assert_eq!(plain.negative, side(3, &[9]));
        // Buckets -1 to 3 by their upper bounds become 0 to 2.
        let coarser = exponential(&native(), 2, 0).unwrap();
        assert_eq!((coarser.scale, coarser.positive), (2, side(-1, &[1, 5, 4])));
        let limited = exponential(&native(), 8, 3).unwrap();
        assert_eq!(limited.scale, 1);
        let error = exponential(&native(), 8, 1).unwrap_err();
        assert_eq!(error, PageError::BucketLimit(3));
    }
}
