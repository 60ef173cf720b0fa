//! The intern tables, side tables by series and the memo of label processors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use weir_model::{
    Attributes, Interner, Mapped, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource,
    Scope, Series, SeriesIndex, SeriesMapper, SeriesTable, Value,
};

/// Sweeps after which an unused look-up entry is gone.
const SWEEPS: usize = 11;

fn labels(id: usize) -> Attributes {
    Attributes::from_iter([
        ("id", Value::Int(id as i64)),
        ("zone", Value::from("eu-west-1")),
    ])
}

fn series(interner: &Interner, id: usize) -> Arc<Series> {
    let resource = interner.resource(Resource::default());
    let scope = interner.scope(Scope::default());
    let metric = interner.metric(MetricMeta::new("requests", MetricKind::Gauge));
    interner.series(&resource, &scope, &metric, labels(id))
}

/// A request with one point for each of these series.
fn request(ids: &[usize]) -> Vec<u8> {
    let interner = Interner::default();
    let point = |id: &usize| {
        Point::new(
            series(&interner, *id),
            0,
            *id as u64 + 1,
            PointValue::Int(*id as i64),
        )
    };
    let mut out = Vec::new();
    Metrics::from_points(ids.iter().map(point).collect()).encode_otlp(&mut out);
    out
}

fn read(ids: &[usize], interner: &Arc<Interner>) -> Metrics {
    Metrics::from_otlp(request(ids).into(), interner).unwrap()
}

fn ids(metrics: &Metrics) -> Vec<usize> {
    let id = |p: &Point| {
        p.series
            .labels()
            .get("id")
            .and_then(|v| v.as_int())
            .unwrap()
    };
    metrics.points().map(|p| id(p) as usize).collect()
}

#[test]
fn equal_content_is_one_series_whatever_its_encoding() {
    let interner = Arc::new(Interner::default());
    let points = read(&[1, 2, 1], &interner).into_points();
    assert!(Arc::ptr_eq(&points[0].series, &points[2].series));
    assert!(!Arc::ptr_eq(&points[0].series, &points[1].series));
    assert!(Arc::ptr_eq(&points[0].series, &series(&interner, 1)));
    // Another order of labels on the wire, and a key that stands twice.
    let json = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"requests","gauge":
      {"dataPoints":[{"asInt":"1","attributes":[{"key":"zone","value":{"stringValue":"x"}},
      {"key":"zone","value":{"stringValue":"eu-west-1"}},{"key":"id","value":{"intValue":"1"}}]}]}}]}]}]}"#;
    let other = Metrics::from_json(json, &interner).unwrap().into_points();
    assert!(Arc::ptr_eq(&points[0].series, &other[0].series));
    assert_eq!(interner.stats().series, 2);
    // The hash is of the content: another interner has the same.
    let elsewhere = Interner::default();
    assert_eq!(
        series(&elsewhere, 1).stable_hash(),
        points[0].series.stable_hash()
    );
}

#[test]
fn what_nobody_uses_is_forgotten_and_its_bytes_come_back() {
    let interner = Arc::new(Interner::default());
    drop(read(&[1, 2], &interner).into_points());
    let held = series(&interner, 2);
    assert!(interner.stats().used_bytes > 0);
    for _ in 0..SWEEPS {
        interner.sweep();
    }
    let stats = interner.stats();
    assert_eq!((stats.series, stats.evicted), (1, 1));
    assert!(interner.is_live(held.index()));
    assert!(Arc::ptr_eq(&held, &series(&interner, 2)));
    drop(held);
    interner.sweep();
    // Resource, scope and metric were held by the series until this sweep.
    interner.sweep();
    let stats = interner.stats();
    assert_eq!((stats.series, stats.used_bytes), (0, 0));
}

#[test]
fn series_in_use_survive_sweeps() {
    let interner = Arc::new(Interner::default());
    let first = read(&[7], &interner).into_points()[0].series.index();
    for _ in 0..3 * SWEEPS {
        assert_eq!(read(&[7], &interner).into_points()[0].series.index(), first);
        interner.sweep();
    }
    assert_eq!(interner.stats().evicted, 0);
}

#[test]
fn over_the_budget_series_pass_uninterned_and_right() {
    let interner = Arc::new(Interner::new(20_000));
    let all: Vec<usize> = (0..500).collect();
    for _ in 0..3 {
        let metrics = read(&all, &interner);
        assert_eq!(ids(&metrics), all);
        assert!(
            metrics
                .points()
                .any(|p| p.series.index() == SeriesIndex::NONE)
        );
        assert!(
            metrics
                .points()
                .any(|p| p.series.index() != SeriesIndex::NONE)
        );
        let stats = interner.stats();
        assert!(stats.used_bytes <= stats.budget_bytes, "{stats:?}");
        assert!(stats.over_budget > 0);
    }
    // Nothing fits: still right.
    let none = Arc::new(Interner::new(0));
    assert_eq!(ids(&read(&all, &none)), all);
    assert_eq!((none.stats().series, none.stats().used_bytes), (0, 0));
}

#[test]
fn a_table_never_shows_the_value_of_an_earlier_series() {
    let interner = Interner::default();
    let mut table = SeriesTable::default();
    let old = series(&interner, 1);
    let place = old.index();
    assert_eq!(*table.get_or_insert_with(&old, || "old"), "old");
    assert_eq!(*table.get_or_insert_with(&old, || "again"), "old");
    drop(old);
    interner.sweep();
    assert!(!interner.is_live(place));
    let new = series(&interner, 2);
    // The same place, another generation.
    assert_ne!(new.index(), place);
    assert_eq!(table.get(&new), None);
    assert_eq!(*table.get_or_insert_with(&new, || "new"), "new");
    assert_eq!((table.len(), table.remove(&new)), (1, Some("new")));
    assert!(table.is_empty() && table.remove(&new).is_none());
    table.insert(&new, "kept");
    drop(new);
    interner.sweep();
    table.sweep(&interner);
    assert!(table.is_empty());
}

#[test]
fn a_table_makes_the_value_of_an_uninterned_series_each_time() {
    let interner = Interner::new(0);
    let (a, b) = (series(&interner, 1), series(&interner, 2));
    assert_eq!(
        (a.index(), b.index()),
        (SeriesIndex::NONE, SeriesIndex::NONE)
    );
    let mut table = SeriesTable::default();
    assert_eq!(*table.get_or_insert_with(&a, || 1), 1);
    assert_eq!(*table.get_or_insert_with(&b, || 2), 2);
    table.insert(&a, 3);
    assert!(table.get(&a).is_none() && table.is_empty());
}

#[test]
fn a_mapper_asks_once_per_series_and_epoch() {
    let interner = Arc::new(Interner::default());
    let mapper = SeriesMapper::default();
    let asked = std::cell::Cell::new(0);
    let target = series(&interner, 99);
    let map = |series: &Arc<Series>| {
        asked.set(asked.get() + 1);
        match series.labels().get("id").and_then(|v| v.as_int()) {
            Some(2) => Mapped::Drop,
            Some(3) => Mapped::To(target.clone()),
            _ => Mapped::Same,
        }
    };
    let mut same = read(&[1, 4], &interner);
    assert_eq!(mapper.apply(&mut same, 0, map), 0);
    assert!(
        same.wire_chunks().is_some(),
        "nothing changed, so the bytes stay"
    );
    let mut mixed = read(&[1, 2, 3, 2], &interner);
    assert_eq!(mapper.apply(&mut mixed, 0, map), 2);
    assert_eq!(ids(&mixed), [1, 99]);
    assert!(mixed.wire_chunks().is_none());
    assert_eq!(asked.get(), 4);
    let mut again = read(&[1, 2, 3], &interner);
    mapper.apply(&mut again, 0, map);
    assert_eq!(asked.get(), 4);
    let mut later = read(&[1, 2, 3], &interner);
    mapper.apply(&mut later, 1, map);
    assert_eq!(asked.get(), 7);
    mapper.sweep(&interner);
}

#[test]
fn threads_agree_on_one_series() {
    let interner = Arc::new(Interner::default());
    let bytes = request(&(0..200).collect::<Vec<_>>());
    let read = || {
        let bytes = bytes.clone().into();
        Metrics::from_otlp(bytes, &interner).unwrap().into_points()
    };
    let results: Vec<Vec<Point>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for points in &results {
        for (a, b) in points.iter().zip(&results[0]) {
            assert!(Arc::ptr_eq(&a.series, &b.series));
        }
    }
    assert_eq!(interner.stats().series, 200);
}

#[derive(Clone, Debug)]
enum Step {
    Read(Vec<usize>),
    Sweep(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(0..40usize, 1..30).prop_map(Step::Read),
        1 => (1..15usize).prop_map(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever order points come in, whatever was forgotten between, whatever the budget: what
    /// is read is what was sent, and interned series are one per content.
    #[test]
    fn look_ups_are_right_in_any_order(
        steps in proptest::collection::vec(step(), 1..20),
        budget in prop_oneof![Just(usize::MAX), 0..40_000usize],
    ) {
        let interner = Arc::new(Interner::new(budget));
        for step in steps {
            match step {
                Step::Read(sent) => {
                    let metrics = read(&sent, &interner);
                    prop_assert_eq!(ids(&metrics), sent);
                    for p in metrics.points() {
                        prop_assert_eq!(p.time_ns, ids(&Metrics::from_points(vec![p.clone()]))[0] as u64 + 1);
                        for q in metrics.points().filter(|q| q.series.index() == p.series.index()) {
                            let interned = p.series.index() != SeriesIndex::NONE;
                            prop_assert!(!interned || Arc::ptr_eq(&p.series, &q.series));
                        }
                    }
                }
                Step::Sweep(times) => (0..times).for_each(|_| interner.sweep()),
            }
            prop_assert!(interner.stats().used_bytes <= budget);
        }
        for _ in 0..SWEEPS + 2 {
            interner.sweep();
        }
        prop_assert_eq!(interner.stats().used_bytes, 0);
    }
}
