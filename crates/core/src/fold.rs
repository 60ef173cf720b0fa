//! Repeated failures as one line: a dead backend must not write ten thousand lines a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// At most so many different messages are remembered; beyond that, new ones are always said.
const MAX_KEYS: usize = 256;

/// Says each message once per interval, with the number of times it was left out before.
#[derive(Debug)]
pub struct Fold {
    interval: Duration,
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug)]
struct Seen {
    since: Duration,
    left_out: u64,
}

impl Default for Fold {
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}

impl Fold {
    /// One line per message and `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            seen: Mutex::default(),
        }
    }

    /// Whether to say `key` now (monotonic time `now`): the number of repetitions left out since
    /// it was last said, or `None` to stay silent.
    pub fn say(&self, key: &str, now: Duration) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = seen.get_mut(key) {
            if now.saturating_sub(entry.since) < self.interval {
                entry.left_out += 1;
                return None;
            }
            entry.since = now;
            return Some(std::mem::take(&mut entry.left_out));
        }
        if seen.len() >= MAX_KEYS {
            let interval = self.interval;
            seen.retain(|_, e| now.saturating_sub(e.since) < interval);
        }
        if seen.len() < MAX_KEYS {
            seen.insert(
                key.to_owned(),
                Seen {
                    since: now,
                    left_out: 0,
                },
            );
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted_and_said_with_the_next_line() {
        let fold = Fold::new(Duration::from_secs(10));
        let at = Duration::from_secs;
        assert_eq!(fold.say("down", at(0)), Some(0));
        assert_eq!(fold.say("down", at(1)), None);
        assert_eq!(fold.say("other", at(1)), Some(0));
        assert_eq!(fold.say("down", at(9)), None);
        assert_eq!(fold.say("down", at(10)), Some(2));
        assert_eq!(fold.say("down", at(20)), Some(0));
    }
}
