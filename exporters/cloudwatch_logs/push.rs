//! Putting requests to CloudWatch Logs: making the streams they need, and what each failure means
//! (awsemf, sections 12.4, 12.5; EMF-54..59).

use bytes::Bytes;
use weir_aws::{AwsError, CloudWatchLogs, ErrorKind, NewGroup, RejectedLogEvents};
use weir_core::{Cause, Reject};

use super::request::{Request, Target};

/// `UNAVAILABLE` of gRPC: what a retryable failure is answered with.
pub(crate) const UNAVAILABLE: u32 = 14;

/// Puts requests, and makes the groups and streams they need.
#[derive(Debug)]
pub(crate) struct Pusher {
    logs: CloudWatchLogs,
    /// Calls of `PutLogEvents` for one request at most.
    puts: usize,
    new_group: NewGroup,
    /// Whether sending again will not help after a failure.
    is_final: fn(&AwsError) -> bool,
}

impl Pusher {
    /// `retries`: puts of a request after its stream had to be made, 1 at least.
    pub(crate) fn new(
        logs: CloudWatchLogs,
        retries: i64,
        new_group: NewGroup,
        is_final: fn(&AwsError) -> bool,
    ) -> Self {
        Self {
            logs,
            puts: usize::try_from(retries).unwrap_or(0).max(1) + 1,
            new_group,
            is_final,
        }
    }

    /// Puts one request of so many events. A stream that does not exist is made, and the request put
    /// again.
    pub(crate) async fn put(&self, request: Request, events: u64) -> Result<Rejected, Failure> {
        let Request { target, body, .. } = request;
        let body = Bytes::from(body);
        let mut puts = 1;
        loop {
            let error = match self.logs.put_log_events(body.clone()).await {
                Ok(reply) => {
                    let info = reply.rejected_log_events_info.unwrap_or_default();
                    return Ok(Rejected::new(info, events));
                }
                Err(error) => error,
            };
            if error.kind != ErrorKind::NotFound || puts == self.puts {
                return Err(self.failure(&error, "PutLogEvents", &target));
            }
            let Target { group, stream } = &target;
            let made = self.logs.ensure_log_stream(group, stream, &self.new_group);
            made.await
                .map_err(|error| self.failure(&error, "making the log stream", &target))?;
            puts += 1;
        }
    }

    /// What a failure means for the data, in a sentence that says where and what to change.
    fn failure(&self, error: &AwsError, action: &str, target: &Target) -> Failure {
        let cure = match error.kind {
            ErrorKind::AccessDenied => {
                "; allow logs:PutLogEvents, logs:CreateLogStream, logs:CreateLogGroup, \
                 logs:PutRetentionPolicy and logs:TagResource"
            }
            ErrorKind::Invalid => {
                "; check log_group_name and log_stream_name against the names CloudWatch Logs allows"
            }
            ErrorKind::Throttled => "; batch more, use fewer log streams, or raise the quota",
            _ => "",
        };
        let Target { group, stream } = target;
        let message =
            format!("{action} failed for log group `{group}`, stream `{stream}`: {error}{cure}");
        let why = Cause::new(reason(error.kind), message);
        Failure {
            kind: error.kind,
            reject: if (self.is_final)(error) {
                Reject::Permanent(why)
            } else {
                Reject::Retry {
                    after: None,
                    why: why.with_grpc_code(UNAVAILABLE),
                }
            },
        }
    }
}

/// A request that was not taken.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) kind: ErrorKind,
    /// What it means for the data.
    pub(crate) reject: Reject,
}

/// The word for drop counters.
fn reason(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Throttled => "throttled",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Credentials | ErrorKind::Expired => "credentials",
        ErrorKind::AccessDenied => "access_denied",
        ErrorKind::Invalid => "invalid_request",
        ErrorKind::Transport | ErrorKind::UnknownHost => "connection",
        _ => "backend_error",
    }
}

/// Events of a request that the service took but will not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Events too old for the service.
    pub(crate) too_old: u64,
    /// Events too far ahead.
    pub(crate) too_new: u64,
    /// Events older than the group's retention.
    pub(crate) expired: u64,
}

impl Rejected {
    /// All of them.
    pub(crate) fn total(self) -> u64 {
        self.too_old + self.too_new + self.expired
    }

    /// Reads the indices: ends are exclusive, the start is inclusive (`PutLogEvents` API reference).
    fn new(info: RejectedLogEvents, events: u64) -> Self {
        let expired = info.expired_log_event_end_index.unwrap_or(0).min(events);
        let old = info.too_old_log_event_end_index.unwrap_or(0).min(events);
        let new = info.too_new_log_event_start_index.unwrap_or(events);
        Self {
            expired,
            too_old: old.saturating_sub(expired),
            too_new: events.saturating_sub(new.max(old).max(expired)),
        }
    }
}
