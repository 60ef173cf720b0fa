//! When credentials are fetched.

use std::sync::Arc;
use std::time::Duration;

use weir_core::{Clock, ManualClock};

use super::fakes::{NOW_NS, Source, keys};
use crate::cache::Cached;
use crate::{Credentials, CredentialsProvider};

const MINUTE_NS: u64 = 60_000_000_000;

struct Bench {
    clock: Arc<ManualClock>,
    source: Arc<Source>,
    cached: Cached,
}

impl Bench {
    fn new(sets: impl IntoIterator<Item = Credentials>) -> Self {
        let clock = Arc::new(ManualClock::at(NOW_NS));
        let source = Arc::new(Source::of(sets));
        let shared: Arc<dyn Clock> = clock.clone();
        let cached = Cached::new(Box::new(source.clone()), shared);
        Self {
            clock,
            source,
            cached,
        }
    }

    async fn get(&self) -> String {
        match self.cached.credentials().await {
            Ok(credentials) => credentials.access_key_id().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn asked(&self) -> usize {
        *self.source.asked.lock().unwrap()
    }

    fn pass(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(60 * minutes));
    }
}

fn until(id: &str, minutes: u64) -> Credentials {
    keys(id).expiring(NOW_NS + minutes * MINUTE_NS)
}

#[tokio::test(start_paused = true)]
async fn parallel_requests_share_one_fetch() {
    let bench = Bench::new([until("a", 60)]);
    let all = tokio::join!(bench.get(), bench.get(), bench.get());
    assert_eq!(all, ("a".into(), "a".into(), "a".into()));
    assert_eq!(bench.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn they_are_renewed_a_minute_early_without_holding_up_others() {
    let bench = Bench::new([until("a", 15), until("b", 60)]);
    assert_eq!(bench.get().await, "a");
    bench.pass(13);
    assert_eq!(bench.get().await, "a");
    bench.pass(1);
    // One call renews; the one beside it goes on with what is still good.
    assert_eq!(
        tokio::join!(bench.get(), bench.get()),
        ("b".into(), "a".into())
    );
    assert_eq!((bench.get().await.as_str(), bench.asked()), ("b", 2));
}

/// Containers hand out new ones five minutes before the end; short ones are used nearly to it.
#[tokio::test(start_paused = true)]
async fn how_early_depends_on_source_and_length() {
    let bench = Bench::new([until("a", 15).of_container(), until("b", 60)]);
    assert_eq!(bench.get().await, "a");
    bench.pass(9);
    assert_eq!(bench.get().await, "a");
    bench.pass(1);
    assert_eq!(bench.get().await, "b");

    let bench = Bench::new([keys("a").expiring(NOW_NS + 3_000_000_000), until("b", 60)]);
    for (milliseconds, id) in [(0, "a"), (2600, "a"), (100, "b")] {
        bench.clock.advance(Duration::from_millis(milliseconds));
        assert_eq!(bench.get().await, id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_repeated_later_and_fails_nobody_before_the_end() {
    let bench = Bench::new([until("a", 15).of_container()]);
    assert_eq!(bench.get().await, "a");
    bench.pass(11);
    assert_eq!((bench.get().await.as_str(), bench.asked()), ("a", 2));
    assert_eq!((bench.get().await.as_str(), bench.asked()), ("a", 2));
    bench.pass(1);
    assert_eq!((bench.get().await.as_str(), bench.asked()), ("a", 3));
    bench.pass(3);
    assert_eq!(bench.get().await, "no AWS credentials: used up");
}

#[tokio::test(start_paused = true)]
async fn keys_without_an_end_are_fetched_once() {
    let bench = Bench::new([keys("a")]);
    for _ in 0..3 {
        bench.pass(1_000_000);
        assert_eq!(bench.get().await, "a");
    }
    assert_eq!(bench.asked(), 1);
}

/// AWS-23: who waited for a fetch that failed has its failure, and does not fetch once more.
#[tokio::test(start_paused = true)]
async fn a_failed_fetch_is_shared_by_those_who_waited() {
    let bench = Bench::new([]);
    let all = tokio::join!(bench.get(), bench.get(), bench.get());
    let why = "no AWS credentials: used up".to_owned();
    assert_eq!(all, (why.clone(), why.clone(), why.clone()));
    assert_eq!(bench.asked(), 1);
    assert_eq!((bench.get().await, bench.asked()), (why, 2));
}

/// A clock that is ahead makes all credentials look ended: they are used all the same, and not
/// fetched for each request.
#[tokio::test(start_paused = true)]
async fn credentials_that_come_at_their_end_are_used_for_a_minute() {
    let ended = keys("a").expiring(NOW_NS - MINUTE_NS);
    let bench = Bench::new([ended, until("b", 60)]);
    assert_eq!(bench.get().await, "a");
    assert_eq!((bench.get().await.as_str(), bench.asked()), ("a", 1));
    bench.pass(1);
    assert_eq!((bench.get().await.as_str(), bench.asked()), ("b", 2));
}
