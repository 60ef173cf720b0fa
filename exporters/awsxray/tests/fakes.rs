//! A scripted X-Ray and what is sent to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use weir_aws::{
    AwsClient, AwsSession, ClientIdentity, Credentials, CredentialsError, CredentialsProvider,
    Service, Transport, TransportError, TransportErrorKind, XRay,
};
use weir_core::registry::ComponentKind;
use weir_core::{Batch, BoxFut, BuildCtx, ComponentId, ManualClock, Signal};
use weir_model::TracesBuilder;
use weir_xray::Settings;

use super::super::meters::Meters;
use super::super::send::XRayExporter;

/// What the clock shows, Unix seconds.
pub(super) const T0: i64 = 1_795_364_000;

/// Answers in order; 200 with nothing unprocessed when there are no more.
#[derive(Debug, Default)]
pub(super) struct ScriptedXRay {
    answers: Mutex<VecDeque<Result<(u16, Bytes), TransportErrorKind>>>,
    /// Path, headers and body.
    pub(super) calls: Mutex<Vec<(String, http::HeaderMap, Json)>>,
    /// How long each answer takes, in milliseconds.
    delay_ms: AtomicU64,
}

impl ScriptedXRay {
    pub(super) fn then(self: &Arc<Self>, status: u16, body: &Json) -> Arc<Self> {
        self.then_text(status, &body.to_string())
    }
    pub(super) fn then_text(self: &Arc<Self>, status: u16, body: &str) -> Arc<Self> {
        let answer = Ok((status, Bytes::from(body.to_owned())));
        self.answers.lock().unwrap().push_back(answer);
        self.clone()
    }
    /// Forgets the answers that were not given yet.
    pub(super) fn recover(&self) {
        self.answers.lock().unwrap().clear();
    }
    /// Answers take so long from now on.
    pub(super) fn slow_down(&self, to: Duration) {
        self.delay_ms
            .store(to.as_millis() as u64, Ordering::Relaxed);
    }
    pub(super) fn broken(self: &Arc<Self>, kind: TransportErrorKind) -> Arc<Self> {
        self.answers.lock().unwrap().push_back(Err(kind));
        self.clone()
    }
    /// Ids of the segments of each `PutTraceSegments` call.
    pub(super) fn sent(&self) -> Vec<Vec<String>> {
        let calls = self.calls.lock().unwrap();
        let bodies = calls.iter().filter(|(path, _, _)| path == "/TraceSegments");
        bodies
            .map(|(_, _, body)| {
                let documents = body["TraceSegmentDocuments"].as_array().unwrap();
                let id = |text: &Json| -> String {
                    let document: Json = serde_json::from_str(text.as_str().unwrap()).unwrap();
                    document["id"].as_str().unwrap().to_owned()
                };
                documents.iter().map(id).collect()
            })
            .collect()
    }
    pub(super) fn records(&self) -> Vec<Json> {
        let calls = self.calls.lock().unwrap();
        let bodies = calls
            .iter()
            .filter(|(path, _, _)| path == "/TelemetryRecords");
        bodies.map(|(_, _, body)| body.clone()).collect()
    }
}

impl Transport for ScriptedXRay {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        let body = serde_json::from_slice(request.body()).unwrap();
        let path = request.uri().path().to_owned();
        let headers = request.headers().clone();
        self.calls.lock().unwrap().push((path, headers, body));
        let answer = self.answers.lock().unwrap().pop_front();
        let fine = Bytes::from_static(b"{\"UnprocessedTraceSegments\": []}");
        let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            match answer.unwrap_or(Ok((200, fine))) {
                Ok((status, body)) => {
                    Ok(http::Response::builder().status(status).body(body).unwrap())
                }
                Err(kind) => Err(TransportError {
                    message: "broken".to_owned(),
                    kind,
                }),
            }
        })
    }
}

#[derive(Debug)]
struct Keys;

impl CredentialsProvider for Keys {
    fn credentials(&self) -> BoxFut<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async { Ok(Credentials::fixed("id", "secret", None)) })
    }
    fn refused(&self) {}
}

pub(super) fn context() -> BuildCtx {
    BuildCtx {
        clock: Arc::new(ManualClock::at(T0 as u64 * 1_000_000_000)),
        ..BuildCtx::standalone(
            ComponentId::parse("awsxray/x").unwrap(),
            ComponentKind::Exporter,
            Some(Signal::Traces),
        )
    }
}

pub(super) fn api<T: Transport + 'static>(service: &Arc<T>, cx: &BuildCtx) -> Arc<XRay> {
    let session = AwsSession {
        endpoint: "http://127.0.0.1:1".to_owned(),
        ..AwsSession::default()
    };
    let client = AwsClient::new(
        &session,
        Service::XRay,
        "eu-west-1",
        ClientIdentity::default(),
        service.clone(),
        Arc::new(Keys),
        cx.clock.clone(),
    );
    Arc::new(XRay::new(client.unwrap(), cx.clock.clone()))
}

pub(super) fn exporter<T: Transport + 'static>(service: &Arc<T>, cx: &BuildCtx) -> XRayExporter {
    XRayExporter::new(
        Settings::default(),
        api(service, cx),
        2,
        Meters::new(cx),
        None,
    )
}

/// A batch of spans with ids from 1.
pub(super) fn spans(count: usize) -> Batch {
    let (resource, scope) = (Arc::default(), Arc::default());
    let mut builder = TracesBuilder::default();
    for n in 1..=count as u64 {
        let mut span = builder.push(&resource, &scope);
        span.set_name("x");
        span.set_ids(&[1; 16], &n.to_be_bytes(), &[]);
    }
    Batch::traces(builder.finish())
}

pub(super) fn ids(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("{n:016x}")).collect()
}

pub(super) fn unprocessed(list: &[(usize, &str)]) -> Json {
    let list = list
        .iter()
        .map(|(n, code)| json!({"Id": format!("{n:016x}"), "ErrorCode": code, "Message": "m"}));
    json!({"UnprocessedTraceSegments": list.collect::<Vec<_>>()})
}
