#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// Runs a scrape through the cache as a receiver does, and returns the values of its lines in
/// order (`None`: repeated) and those that vanished.
fn scrape(
    cache: &mut ScrapeCache<u32>,
    lines: &[Vec<u8>],
    fresh: &mut u32,
    complete: bool,
) -> (Vec<Option<u32>>, Vec<u32>) {
    cache.begin();
    let mut values = Vec::new();
    for line in lines {
        let place = if cache.matches(line) == Some(line.len()) {
            Some(cache.advance().unwrap())
        } else {
            match cache.look_up(line) {
                Lookup::Known(place) => Some(place),
                Lookup::Repeated(_) => None,
                Lookup::New => {
                    *fresh += 1;
                    Some(cache.insert(line, *fresh).unwrap())
                }
            }
        };
        values.push(place.map(|place| *cache.value(place).unwrap()));
    }
    let mut vanished = Vec::new();
    if complete {
        cache.finish(|value| vanished.push(value));
    } else {
        cache.abandon(|_| {});
    }
    vanished.sort_unstable();
    (values, vanished)
}

/// What the cache must do, without any cleverness.
#[derive(Default)]
struct Model {
    known: HashMap<Vec<u8>, u32>,
    fresh: u32,
}

impl Model {
    fn scrape(&mut self, lines: &[Vec<u8>], complete: bool) -> (Vec<Option<u32>>, Vec<u32>) {
        let mut seen: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut values = Vec::new();
        for line in lines {
            if seen.contains_key(line) {
                values.push(None);
                continue;
            }
            let value = self.known.remove(line).unwrap_or_else(|| {
                self.fresh += 1;
                self.fresh
            });
            seen.insert(line.clone(), value);
            values.push(Some(value));
        }
        let mut vanished = Vec::new();
        if complete {
            vanished = self.known.values().copied().collect();
            vanished.sort_unstable();
            self.known = seen;
        } else {
            self.known.extend(seen);
        }
        (values, vanished)
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    (0..40u32)
        .prop_map(|number| format!("metric_{}{{label=\"{number}\"}}", number / 10).into_bytes())
}

/// A page: mostly the same lines in the same order, with some changes.
fn page() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![
        Just(
            (0..40u32)
                .map(|n| format!("metric_{}{{label=\"{n}\"}}", n / 10).into_bytes())
                .collect()
        ),
        prop::collection::vec(line(), 0..60),
        (prop::collection::btree_set(0..40u32, 0..6)).prop_map(|missing| {
            (0..40u32)
                .filter(|n| !missing.contains(n))
                .map(|n| format!("metric_{}{{label=\"{n}\"}}", n / 10).into_bytes())
                .collect()
        }),
    ]
}

proptest! {
    #[test]
    fn equals_the_model(pages in prop::collection::vec((page(), prop::bool::weighted(0.8)), 1..8)) {
        let mut cache = ScrapeCache::new(7);
        let mut model = Model::default();
        let mut fresh = 0;
        for (lines, complete) in pages {
            let expected = model.scrape(&lines, complete);
            let found = scrape(&mut cache, &lines, &mut fresh, complete);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(cache.len(), model.known.len());
        }
    }
}

fn page_of(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| {
            let route = n / 10;
            format!(
                "http_requests_total{{code=\"200\",handler=\"/api/v1/route{route}\",method=\"GET\",pod=\"web-{n:06}\"}}"
            )
            .into_bytes()
        })
        .collect()
}

#[test]
fn unchanged_scrapes_build_no_index() {
    let mut cache = ScrapeCache::new(1);
    let mut fresh = 0;
    let lines = page_of(1000);
    scrape(&mut cache, &lines, &mut fresh, true);
    cache.begin();
    for line in &lines {
        assert_eq!(cache.matches(line), Some(line.len()));
        cache.advance().unwrap();
    }
    assert!(cache.rebuild.is_none());
    assert!(cache.matches(b"anything").is_none());
    assert!(cache.advance().is_none());
    cache.finish(|_| panic!("nothing vanished"));
}

#[test]
fn lines_that_vanish_or_move_a_little_need_no_index() {
    let mut cache = ScrapeCache::new(1);
    let mut fresh = 0;
    let mut lines = page_of(100);
    scrape(&mut cache, &lines, &mut fresh, true);
    lines.drain(10..13);
    cache.begin();
    for line in &lines {
        if cache.matches(line).is_some() {
            cache.advance().unwrap();
        } else {
            assert!(matches!(cache.look_up(line), Lookup::Known(_)));
        }
    }
    assert!(cache.rebuild.as_ref().unwrap().bytes() > 0);
    let mut vanished = Vec::new();
    cache.finish(|value| vanished.push(value));
    assert_eq!(vanished, [11, 12, 13]);
}

/// Guarantees the figure that the memory goal rests on.
#[test]
fn a_line_costs_a_fingerprint_and_its_value() {
    let mut cache = ScrapeCache::new(1);
    let mut fresh = 0;
    scrape(&mut cache, &page_of(20_000), &mut fresh, true);
    let per_line = cache.bytes() / 20_000;
    assert!(
        per_line <= 16 + size_of::<u32>() + 2,
        "{per_line} bytes a line"
    );
}

#[test]
fn a_failed_scrape_forgets_nothing() {
    let mut cache = ScrapeCache::new(1);
    let mut fresh = 0;
    let lines = page_of(10);
    scrape(&mut cache, &lines, &mut fresh, true);
    let (_, vanished) = scrape(&mut cache, &lines[5..7], &mut fresh, false);
    assert!(vanished.is_empty());
    assert_eq!(cache.len(), 10);
    let (values, _) = scrape(&mut cache, &lines, &mut fresh, true);
    assert_eq!(values, (1..=10).map(Some).collect::<Vec<_>>());
}
