//! When a failed attempt is followed by another: delays, and a budget for all calls of a client
//! (sigv4auth-and-aws-client section 4.2).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{AwsError, ErrorKind};

const BUDGET: u32 = 500;
const COST: u32 = 5;
const COST_AFTER_TIMEOUT: u32 = 10;
const LONGEST_DELAY: f64 = 20.0;

/// A budget that failures use up and successes fill again, so that a broken service is not also
/// flooded with retries.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(BUDGET))
    }
}

impl RetryBudget {
    /// Takes what a retry after this failure costs; `None` when the budget is used up.
    pub(crate) fn take(&self, error: &AwsError) -> Option<u32> {
        let cost = match error.kind {
            ErrorKind::Timeout => COST_AFTER_TIMEOUT,
            _ => COST,
        };
        let take = |left: u32| left.checked_sub(cost);
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, take)
            .is_ok()
            .then_some(cost)
    }

    /// A success gives back what its last retry cost, or one for a first try.
    pub(crate) fn give_back(&self, cost: Option<u32>) {
        let add = |left: u32| Some(left.saturating_add(cost.unwrap_or(1)).min(BUDGET));
        // The closure never refuses, so this is never an error.
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, add)
            .unwrap_or_default();
    }
}

/// The delay before the attempt after attempt `n` (from 1): a random part of 2^n seconds.
pub(crate) fn delay(n: u32, random: f64) -> Duration {
    let longest = f64::from(n.min(16)).exp2();
    Duration::from_secs_f64((random * longest).clamp(0.0, LONGEST_DELAY))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn delays_double_up_to_twenty_seconds() {
        let seconds: Vec<f64> = (1..7).map(|n| delay(n, 0.75).as_secs_f64()).collect();
        assert_eq!(seconds, [1.5, 3.0, 6.0, 12.0, 20.0, 20.0]);
        assert_eq!(delay(u32::MAX, 1.0), Duration::from_secs(20));
        assert_eq!(delay(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn the_budget_ends_and_fills_again() {
        let budget = RetryBudget::default();
        let error = AwsError::local(ErrorKind::Timeout, String::new());
        let taken = std::iter::from_fn(|| budget.take(&error)).count();
        assert_eq!(taken, 50);
        for _ in 0..5 {
            budget.give_back(None);
        }
        assert_eq!(budget.take(&error), None);
        budget.give_back(Some(COST));
        assert_eq!(budget.take(&error), Some(10));
    }
}
