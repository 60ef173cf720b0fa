//! Calls `PutTraceSegments`, one after the other, and reads what it says about each document.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_aws::{AwsError, ErrorKind, UnprocessedSegment, XRay};
use weir_core::{Batch, BoxFut, Cause, Data, Deadline, Exporter, Fatal, Reject};
use weir_model::Traces;
use weir_xray::{Body, Request, Settings, Translator};

use super::meters::Meters;
use super::report::Reporter;

/// Wait before documents that the service put back are sent again; doubled each time.
const PUT_BACK_WAIT: Duration = Duration::from_millis(100);

/// Sends batches of spans.
pub(super) struct XRayExporter {
    settings: Settings,
    api: Arc<XRay>,
    /// Tries of a document that the service puts back.
    attempts: u32,
    meters: Meters,
    reporter: Option<Reporter>,
}

/// What became of a batch's spans on the way.
#[derive(Debug, Default)]
struct Fates {
    /// Spans that X-Ray put back to the end, and those of a failed call.
    put_back: BTreeSet<usize>,
    /// Spans without documents; they are counted, and not to be sent again.
    skipped: BTreeSet<usize>,
    /// Where the spans begin that no call was made for; `None` if there was one for all.
    unsent: Option<usize>,
}

impl Fates {
    /// Whether a span is to be sent again.
    fn is_left(&self, index: usize) -> bool {
        let unsent = self.unsent.is_some_and(|first| index >= first);
        (unsent && !self.skipped.contains(&index)) || self.put_back.contains(&index)
    }
}

impl XRayExporter {
    pub(super) fn new(
        settings: Settings,
        api: Arc<XRay>,
        attempts: u32,
        meters: Meters,
        reporter: Option<Reporter>,
    ) -> Self {
        Self {
            settings,
            api,
            attempts,
            meters,
            reporter,
        }
    }

    /// Sends all documents of the spans, in order, at most 50 a call; the first failing call ends it
    /// (XR-47, XR-49).
    async fn send_all(&self, traces: &Traces, fates: &mut Fates) -> Result<(), Reject> {
        let now = i64::try_from(self.meters.clock.unix_ms() / 1000).unwrap_or(i64::MAX);
        let mut translator = Translator::new(&self.settings, now);
        let mut body = Body::default();
        let mut ready: Option<Request> = None;
        for span in traces.spans().enumerate() {
            let added = translator.add(span, &mut body, |body| ready = body.finish());
            if let Err(why) = added {
                self.meters.skipped(why);
                fates.skipped.insert(span.0);
            }
            if let Some(request) = ready.take() {
                self.send(request, fates).await?;
            }
        }
        self.meters.unprintable(translator.unprintable);
        if let Some(request) = body.finish() {
            self.send(request, fates).await?;
        }
        let put_back = fates.put_back.len();
        if put_back == 0 {
            return Ok(());
        }
        let text = format!("X-Ray put back {put_back} spans for now");
        Err(Reject::retry("unprocessed", text))
    }

    /// Sends one request, and again what of it the service puts back for now. The spans of documents
    /// that it put back to the end join those to be sent again.
    async fn send(&self, mut request: Request, fates: &mut Fates) -> Result<(), Reject> {
        let behind = request
            .documents
            .last()
            .map_or(0, |document| document.span + 1);
        let mut wait = PUT_BACK_WAIT;
        let mut attempt = 1;
        loop {
            let bytes = Bytes::from(std::mem::take(&mut request.bytes));
            let reply = match self.api.put_trace_segments(bytes.clone()).await {
                Ok(reply) => reply,
                Err(error) => {
                    let spans = request.documents.iter().map(|document| document.span);
                    fates.put_back.extend(spans);
                    fates.unsent = Some(behind);
                    return Err(self.failed(&error));
                }
            };
            let Sorted {
                refused,
                spans,
                again,
            } = sort_out(&request, &reply.unprocessed_trace_segments);
            self.meters.refused(&refused, spans);
            let dealt_with = request.documents.len() - again.len();
            self.meters.sent(dealt_with.saturating_sub(refused.len()));
            if let Some(reporter) = &self.reporter {
                // Like the reference, which does not look at what was refused.
                reporter.counts().sent(dealt_with);
            }
            if again.is_empty() {
                return Ok(());
            }
            if attempt >= self.attempts {
                let documents = again.iter().filter_map(|at| request.documents.get(*at));
                fates
                    .put_back
                    .extend(documents.map(|document| document.span));
                return Ok(());
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            attempt += 1;
            request.bytes = bytes.to_vec();
            request = request.only(&again);
        }
    }

    /// What a failed call means for the caller (XR-50).
    fn failed(&self, error: &AwsError) -> Reject {
        if let Some(reporter) = &self.reporter {
            reporter.counts().failed(error);
        }
        let reason = match error.kind {
            ErrorKind::Throttled => "throttled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Credentials | ErrorKind::Expired => "credentials",
            ErrorKind::AccessDenied => "access_denied",
            ErrorKind::Invalid => "invalid_request",
            ErrorKind::Transport | ErrorKind::UnknownHost => "connection",
            _ => "backend_error",
        };
        let why = Cause::new(
            reason,
            format!("PutTraceSegments: {error}{}", hint(error.kind)),
        );
        match error.kind {
            ErrorKind::Invalid => Reject::Permanent(why),
            _ => Reject::Retry { after: None, why },
        }
    }
}

/// What to change, where that is known.
fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AccessDenied => {
            "; the credentials need the permission xray:PutTraceSegments (policy AWSXRayDaemonWriteAccess)"
        }
        ErrorKind::Credentials => "; check the credentials, or `role_arn`",
        ErrorKind::UnknownHost => "; check `region` and `endpoint`",
        _ => "",
    }
}

/// What the service did not take.
#[derive(Debug, Default)]
struct Sorted<'r> {
    /// What it never will.
    refused: Vec<&'r UnprocessedSegment>,
    /// How many spans are lost with that; some have two documents.
    spans: usize,
    /// Places of documents worth sending again.
    again: Vec<usize>,
}

/// Divides what the service did not take. An entry with no id, which it could not read, or with an id
/// that is not in the request stands for one of the documents that no other entry names; entries
/// beyond the number of documents stand for nothing.
fn sort_out<'r>(request: &Request, unprocessed: &'r [UnprocessedSegment]) -> Sorted<'r> {
    let mut sorted = Sorted::default();
    let mut named = BTreeSet::new();
    let mut nameless = Vec::new();
    let mut spans = BTreeSet::new();
    for segment in unprocessed {
        let id = segment.id.as_deref().unwrap_or("");
        let mut places = request.places_of(id).peekable();
        if places.peek().is_none() {
            nameless.push(segment);
        }
        let passing = is_passing(segment.error_code.as_deref().unwrap_or(""));
        for place in places {
            if !named.insert(place) {
                continue;
            }
            if passing {
                sorted.again.push(place);
            } else {
                sorted.refused.push(segment);
                spans.extend(request.documents.get(place).map(|document| document.span));
            }
        }
    }
    nameless.truncate(request.documents.len().saturating_sub(named.len()));
    sorted.spans = spans.len() + nameless.len();
    sorted.refused.append(&mut nameless);
    sorted.again.sort_unstable();
    sorted
}

/// Whether an error code stands for a trouble of the service that passes.
fn is_passing(code: &str) -> bool {
    const PASSING: [&str; 7] = [
        "throttl",
        "limitexceeded",
        "toomanyrequests",
        "internal",
        "unavailable",
        "timeout",
        "slowdown",
    ];
    let code = code.to_ascii_lowercase();
    PASSING.iter().any(|part| code.contains(part))
}

impl Exporter for XRayExporter {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            let Data::Traces(traces) = &mut batch.data else {
                return Err(Reject::permanent("signal", "X-Ray takes traces only"));
            };
            let mut fates = Fates::default();
            let Err(reject) = self.send_all(traces, &mut fates).await else {
                return Ok(());
            };
            if reject.is_retryable() {
                let mut index = 0..;
                traces.retain(|_| index.next().is_some_and(|index| fates.is_left(index)));
            }
            Err(reject)
        })
    }

    fn start(&self) -> BoxFut<'_, Result<(), Fatal>> {
        Box::pin(async {
            if let Some(reporter) = &self.reporter {
                reporter.start();
            }
            Ok(())
        })
    }

    fn stop(&self, by: Deadline) -> BoxFut<'_, ()> {
        Box::pin(async move {
            if let Some(reporter) = &self.reporter {
                reporter.stop(by).await;
            }
        })
    }
}
