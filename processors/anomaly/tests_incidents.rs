//! Alarms become incidents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use weir_model::{Attributes, MetricKind, MetricMeta, Resource, Scope, Series};

use super::incidents::{Change, Incident};
use super::tests::{Rig, at};
use super::*;

const YAML: &str = "{emit: log, incidents: {}}";
/// Minutes of normal life before the fault.
const SETTLED: u64 = 120;

fn of_resource(rig: &Rig, attributes: &[(&str, &str)], name: &str, label: &str) -> Arc<Series> {
    let resource = rig.cx.interner.resource(Resource {
        attributes: Attributes::from_iter(attributes.iter().copied()),
        ..Resource::default()
    });
    let scope = rig.cx.interner.scope(Scope::default());
    let metric = rig.cx.interner.metric(MetricMeta::new(name, MetricKind::Gauge));
    let labels = Attributes::from_iter([("id", label)]);
    rig.cx.interner.series(&resource, &scope, &metric, labels)
}

/// One minute of all series; `height` of a series is what it stands above normal.
fn minute(
    rig: &mut Rig,
    all: &[Arc<Series>],
    minute: u64,
    height: impl Fn(usize) -> f64,
) -> Vec<Point> {
    let mut points = Vec::new();
    for (i, series) in all.iter().enumerate() {
        let value = 50.0 + rig.noise() + height(i);
        points.push(Point::new(series.clone(), 0, at(minute), PointValue::Double(value)));
    }
    rig.apply(points)
}

fn open(rig: &Rig) -> Vec<Incident> {
    lock(rig.anomaly.incidents.as_ref().unwrap()).open().cloned().collect()
}

fn opened(rig: &Rig) -> u64 {
    lock(rig.anomaly.incidents.as_ref().unwrap()).opened
}

#[test]
fn two_thousand_series_of_one_node_are_one_incident_led_by_the_one_that_broke_first() {
    let mut rig = Rig::new(YAML);
    let all: Vec<_> = (0..2000)
        .map(|i| {
            let service = format!("service-{}", i % 40);
            let attributes = [("k8s.node.name", "node-1"), ("service.name", service.as_str())];
            of_resource(&rig, &attributes, "load", &i.to_string())
        })
        .collect();
    for m in 0..SETTLED {
        minute(&mut rig, &all, m, |_| 0.0);
    }
    let before = opened(&rig);
    assert!(before <= 2, "{before} before the fault");
    for _ in 0..20 {
        rig.clock.advance(std::time::Duration::from_secs(60));
    }
    minute(&mut rig, &all, SETTLED, |_| 0.0);
    assert_eq!(open(&rig).len(), 0, "what there was is over");
    let before = opened(&rig);
    minute(&mut rig, &all, SETTLED + 1, |i| if i == 1717 { 60.0 } else { 0.0 });
    for m in SETTLED + 2..SETTLED + 8 {
        minute(&mut rig, &all, m, |_| 60.0);
    }
    let incidents = opened(&rig) - before;
    assert!((1..=3).contains(&incidents), "{incidents} incidents");
    let incident = open(&rig).into_iter().max_by_key(|i| i.total).unwrap();
    assert!(incident.total >= 1990, "{} members", incident.total);
    assert_eq!(incident.members.len(), incidents::NAMED);
    assert!(incident.members[0].name.contains("id=1717"), "{:?}", incident.members[0]);
    assert!(incident.members.is_sorted_by_key(|m| m.since_ns));
}

#[test]
fn faults_of_two_services_are_two_incidents_and_each_is_opened_and_resolved_once() {
    let mut rig = Rig::new(YAML);
    let all: Vec<_> = (0..60)
        .map(|i| {
            let (service, node) = (format!("s{}", i % 3), format!("n{}", i % 3));
            let attributes = [("k8s.node.name", &*node), ("service.name", &*service)];
            of_resource(&rig, &attributes, "load", &i.to_string())
        })
        .collect();
    for m in 0..SETTLED {
        minute(&mut rig, &all, m, |_| 0.0);
    }
    let before = opened(&rig);
    let gauge = |points: &[Point]| -> Vec<(String, f64)> {
        let gauges = points.iter().filter(|p| &*p.series.metric().name == incidents::GAUGE);
        gauges
            .map(|p| {
                let group = p.series.labels().get("incident.group").unwrap();
                (group.to_text().into_owned(), p.value.as_f64().unwrap())
            })
            .collect()
    };
    let mut told = Vec::new();
    for m in SETTLED..SETTLED + 8 {
        told = minute(&mut rig, &all, m, |i| if i % 3 < 2 { 60.0 } else { 0.0 });
    }
    assert_eq!(opened(&rig) - before, 2);
    let mut counts = gauge(&told);
    counts.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("service.name=s0".to_owned(), 20.0), ("service.name=s1".to_owned(), 20.0)];
    assert_eq!(counts, expected);
    let mut last = Vec::new();
    for m in SETTLED + 8..SETTLED + 400 {
        last.extend(gauge(&minute(&mut rig, &all, m, |_| 0.0)));
    }
    assert_eq!(open(&rig).len(), 0);
    for (group, _) in expected {
        let zeros = last.iter().filter(|(g, v)| *g == group && *v == 0.0).count();
        assert!(zeros >= 1, "{group} ends at 0");
    }
}

#[test]
fn records_open_update_and_resolve() {
    let rig = Rig::new(YAML);
    let series = of_resource(&rig, &[("service.name", "a")], "m", "1");
    let mut incidents = Incidents::new(&config::IncidentsConfig::default());
    let member = |key: u64, since_ns| Member {
        key,
        name: format!("m{key}"),
        since_ns,
        direction: "above",
        score: 0.7,
    };
    let interner = &rig.cx.interner;
    incidents.began(&series, member(1, 100), 10, interner);
    incidents.began(&series, member(2, 50), 11, interner);
    let changes = |records: &[Record]| records.iter().map(|r| r.change).collect::<Vec<_>>();
    let (records, _) = incidents.tick(12);
    assert_eq!(changes(&records), [Change::Opened]);
    let (records, gauges) = incidents.tick(80);
    assert_eq!(changes(&records), [Change::Updated]);
    assert_eq!(records[0].incident.members[0].name, "m2", "the one that broke first leads");
    assert_eq!(gauges[0].1, 2);
    let id = records[0].incident.id;
    incidents.ended(1, 90);
    incidents.ended(2, 100);
    incidents.ended(2, 100);
    incidents.began(&series, member(1, 200), 150, interner);
    incidents.ended(1, 200);
    assert_eq!(changes(&incidents.tick(400).0), []);
    let (records, gauges) = incidents.tick(501);
    assert_eq!(changes(&records), [Change::Resolved]);
    assert_eq!((records[0].incident.id, records[0].incident.total, gauges[0].1), (id, 2, 0));
    incidents.began(&series, member(1, 900), 900, interner);
    let (records, _) = incidents.tick(900);
    assert_ne!(records[0].incident.id, id, "a new one");
}

#[test]
fn open_incidents_are_bounded_and_those_without_news_expire() {
    let rig = Rig::new(YAML);
    let mut incidents = Incidents::new(&config::IncidentsConfig::default());
    for i in 0..1010_u64 {
        let name = format!("s{i}");
        let series = of_resource(&rig, &[("service.name", &name)], "m", "1");
        let name = String::new();
        let member = Member { key: i, name, since_ns: i, direction: "above", score: 0.6 };
        incidents.began(&series, member, 5, &rig.cx.interner);
    }
    assert_eq!((incidents.len(), incidents.overflow), (1000, 10));
    incidents.tick(6);
    assert_eq!(incidents.tick(90_000).0.len(), 1000);
    assert_eq!(incidents.len(), 0);
}
