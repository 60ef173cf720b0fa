//! Calls `PutTraceSegments`, one after the other, and reads what it says about each document.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_aws::{AwsError, ErrorKind, UnprocessedSegment, XRay};
use weir_core::{
    Batch, BoxFut, Cause, Data, Deadline, Exporter, Fatal, Reject,
};
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

/// What of a batch is to be sent again.
#[derive(Debug)]
enum Left {
    /// The spans from this one on.
    From(usize),
    /// These spans.
    Only(BTreeSet<usize>),
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
    async fn send_all(&self, traces: &Traces) -> Result<(), (Reject, Left)> {
        let now = i64::try_from(self.meters.clock.unix_ms() / 1000).unwrap_or(i64::MAX);
        let mut translator = Translator::new(&self.settings, now);
        let mut body = Body::default();
        let mut ready: Option<Request> = None;
        let mut put_back = BTreeSet::new();
        for span in traces.spans().enumerate() {
            let added = translator.add(span, &mut body, |body| ready = body.finish());
            if let Err(why) = added {
                self.meters.skipped(why);
            }
            if let Some(request) = ready.take() {
                self.send(request, &mut put_back).await?;
            }
        }
        self.meters.unprintable(translator.unprintable);
        if let Some(request) = body.finish() {
            self.send(request, &mut put_back).await?;
        }
        if put_back.is_empty() {
            return Ok(());
        }
        let text = format!("X-Ray put back {} spans for now", put_back.len());
        Err((
            Reject::retry("unprocessed", text),
            Left::Only(put_back),
        ))
    }

    /// Sends one request, and again what of it the service puts back for now. The spans of documents
    /// that it put back to the end join `put_back`.
    async fn send(
        &self,
        mut request: Request,
        put_back: &mut BTreeSet<usize>,
    ) -> Result<(), (Reject, Left)> {
        let mut wait = PUT_BACK_WAIT;
        let mut attempt = 1;
        loop {
            let bytes = Bytes::from(std::mem::take(&mut request.bytes));
            let answer = self.api.put_trace_segments(bytes.clone()).await;
            let reply = answer.map_err(|error| self.failed(&error, &request))?;
            let (refused, again) = sort_out(&request, &reply.unprocessed_trace_segments);
            for segment in &refused {
                self.meters.refused(segment);
            }
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
                put_back.extend(documents.map(|document| document.span));
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
    fn failed(&self, error: &AwsError, request: &Request) -> (Reject, Left) {
        if let Some(reporter) = &self.reporter {
            reporter.counts().failed(error);
        }
        let first = request.documents.first().map_or(0, |document| document.span);
        let reason = match error.kind {
            ErrorKind::Throttled => "throttled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Credentials | ErrorKind::Expired => "credentials",
            ErrorKind::AccessDenied => "access_denied",
            ErrorKind::Invalid => "invalid_request",
            ErrorKind::Transport | ErrorKind::UnknownHost => "connection",
            _ => "backend_error",
        };
        let why = Cause::new(reason, format!("PutTraceSegments: {error}{}", hint(error.kind)));
        let reject = match error.kind {
            ErrorKind::Invalid => Reject::Permanent(why),
            _ => Reject::Retry { after: None, why },
        };
        (reject, Left::From(first))
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

/// Divides what the service did not take into what it never will and the places of documents worth
/// sending again. A segment that is not of this request, or has no id, counts as refused.
fn sort_out<'r>(
    request: &Request,
    unprocessed: &'r [UnprocessedSegment],
) -> (Vec<&'r UnprocessedSegment>, Vec<usize>) {
    let mut refused = Vec::new();
    let mut again = Vec::new();
    for segment in unprocessed {
        let place = segment.id.as_deref().and_then(|id| request.place_of(id));
        match place {
            Some(place) if is_passing(segment.error_code.as_deref().unwrap_or("")) => {
                if !again.contains(&place) {
                    again.push(place);
                }
            }
            _ => refused.push(segment),
        }
    }
    (refused, again)
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
            let Err((reject, left)) = self.send_all(traces).await else {
                return Ok(());
            };
            if reject.is_retryable() {
                match left {
                    Left::From(0) => {}
                    Left::From(first) => *traces = traces.split_off(first),
                    Left::Only(spans) => {
                        let mut index = 0..;
                        traces.retain(|_| index.next().is_some_and(|index| spans.contains(&index)));
                    }
                }
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
