//! Results: what a caller may do with data that was not accepted.

use std::fmt;
use std::time::Duration;

/// Why something failed, for people, and the code that a protocol may carry on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// One sentence. Never holds header values or secrets.
    pub message: String,
    /// Short stable word for the `reason` label of drop counters, such as `queue_full`.
    pub reason: &'static str,
    /// gRPC status code to answer with, when the failure came with one.
    pub grpc_code: Option<u32>,
}

impl Cause {
    /// A cause with a reason word.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            reason,
            grpc_code: None,
        }
    }

    /// Adds the gRPC code to answer with.
    pub fn with_grpc_code(mut self, code: u32) -> Self {
        self.grpc_code = Some(code);
        self
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Data was not accepted. Named by what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Send it again, after a while.
    Retry {
        /// How long the other side wants to be left alone.
        after: Option<Duration>,
        /// Why.
        why: Cause,
    },
    /// Sending it again will not help.
    Permanent(Cause),
    /// Part of it was accepted; the rest will not be, however often it is sent.
    Partial {
        /// Items not accepted.
        rejected: u64,
        /// Why.
        why: Cause,
    },
}

impl Reject {
    /// A retryable failure.
    pub fn retry(reason: &'static str, message: impl Into<String>) -> Self {
        Reject::Retry {
            after: None,
            why: Cause::new(reason, message),
        }
    }

    /// A failure for good.
    pub fn permanent(reason: &'static str, message: impl Into<String>) -> Self {
        Reject::Permanent(Cause::new(reason, message))
    }

    /// Why.
    pub fn why(&self) -> &Cause {
        match self {
            Reject::Retry { why, .. } | Reject::Permanent(why) | Reject::Partial { why, .. } => why,
        }
    }

    /// Whether sending again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Reject::Retry { .. })
    }

    /// The worse of two results of one fan-out, with both texts: a retryable failure wins, because
    /// only then nothing is lost.
    pub fn worse(self, other: Reject) -> Reject {
        let (mut first, second) = if other.is_retryable() && !self.is_retryable() {
            (other, self)
        } else {
            (self, other)
        };
        let text = format!("{}; {}", first.why(), second.why());
        match &mut first {
            Reject::Retry { why, .. } | Reject::Permanent(why) | Reject::Partial { why, .. } => {
                why.message = text;
            }
        }
        first
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why().fmt(f)
    }
}

impl std::error::Error for Reject {}

/// A component could not be built or started. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// A component cannot go on; the program drains and exits with code 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retryable_result_of_a_fan_out_wins_and_names_both() {
        let permanent = Reject::permanent("a", "first broke");
        let retry = Reject::retry("b", "second is busy");
        let worse = permanent.worse(retry);
        assert!(worse.is_retryable());
        assert_eq!(worse.to_string(), "second is busy; first broke");
    }
}
