//! Targets that go from one job to the next: a job of the target allocator that is changed is a new
//! job, and what both scrape must not turn stale in between.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use weir_prom::labels::LabelSet;

use super::worker::fnv;

/// How long the discovery of the next job is waited for: after that long without a sample, Prometheus
/// takes a series for ended anyway.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What a job has found, and which job comes after it.
#[derive(Debug)]
pub(crate) struct Succession {
    /// Hashes of the labels of its targets, once discovery has answered.
    targets: watch::Sender<Option<HashSet<u64>>>,
    next: OnceLock<Arc<Succession>>,
}

impl Default for Succession {
    fn default() -> Self {
        Self { targets: watch::Sender::new(None), next: OnceLock::new() }
    }
}

impl Succession {
    /// Discovery found these targets.
    pub(super) fn found<'a>(&self, targets: impl Iterator<Item = &'a LabelSet>) {
        let hashes = targets.map(hash).collect();
        self.targets.send_replace(Some(hashes));
    }

    /// The targets go on in another job.
    pub(super) fn hand_over(&self, next: &Arc<Self>) {
        // a job has one successor: it is ended once
        drop(self.next.set(next.clone()));
    }

    /// Whether a later job scrapes the target with these labels. Waits a while for its discovery.
    pub(super) async fn has_taken_over(&self, labels: &LabelSet) -> bool {
        let Some(mut last) = self.next.get() else { return false };
        loop {
            while let Some(next) = last.next.get() {
                last = next;
            }
            let mut targets = last.targets.subscribe();
            let known = tokio::time::timeout(PATIENCE, targets.wait_for(Option::is_some)).await;
            if last.next.get().is_some() {
                continue;
            }
            return match known {
                Ok(Ok(found)) => found.as_ref().is_some_and(|found| found.contains(&hash(labels))),
                Ok(Err(_)) | Err(_) => false,
            };
        }
    }
}

fn hash(labels: &LabelSet) -> u64 {
    fnv(labels.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(instance: &str) -> LabelSet {
        let mut labels = LabelSet::new();
        labels.set("instance", instance);
        labels
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_job_of_a_chain_decides() {
        let [first, second, third] = [(); 3].map(|()| Arc::new(Succession::default()));
        let (kept, gone) = (labels("a:1"), labels("b:1"));
        first.found([&kept, &gone].into_iter());
        assert!(!first.has_taken_over(&kept).await, "nobody comes after it");
        first.hand_over(&second);
        second.found([&kept, &gone].into_iter());
        assert!(first.has_taken_over(&gone).await);
        second.hand_over(&third);
        let [kept_too, gone_too] = [&kept, &gone].map(|labels| first.has_taken_over(labels));
        let later = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            third.found([&kept].into_iter());
        };
        let (kept, gone, ()) = tokio::join!(kept_too, gone_too, later);
        assert_eq!((kept, gone), (true, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_finds_nothing_has_taken_nothing_over() {
        let (first, second) = (Succession::default(), Arc::new(Succession::default()));
        first.hand_over(&second);
        let start = tokio::time::Instant::now();
        assert!(!first.has_taken_over(&labels("a:1")).await);
        assert_eq!(start.elapsed(), PATIENCE);
    }
}
