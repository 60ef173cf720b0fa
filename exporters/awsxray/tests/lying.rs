//! A service that answers what it should not: nothing crashes, neighbours arrive, each loss is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weir_aws::{Transport, TransportError, TransportErrorKind};
use weir_core::{Batch, BoxFut, BuildCtx, Data, Exporter};

use super::fakes::{ScriptedXRay, context, exporter, ids, spans, unprocessed};

fn dropped(cx: &BuildCtx) -> f64 {
    cx.telemetry.total("weir_dropped_items_total")
}

fn taken(cx: &BuildCtx) -> f64 {
    cx.telemetry.total("weir_exporter_awsxray_documents")
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_of_x_ray_is_no_delivery() {
    for text in [
        "<html>log in here</html>",
        "\"nonsense\"",
        "[]",
        "{\"UnprocessedTraceSegments\": 5}",
        "{\"UnprocessedTraceSegments\": [",
        " ",
    ] {
        let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
        service.then_text(200, text);
        let mut batch = spans(3);
        let reject = exporter(&service, &cx)
            .export(&mut batch)
            .await
            .unwrap_err();
        assert!(reject.is_retryable(), "{text}");
        assert!(reject.to_string().contains("`endpoint`"), "{reject}");
        assert_eq!((batch.len(), taken(&cx), dropped(&cx)), (3, 0.0, 0.0));
    }
    for text in [
        "",
        "{}",
        "{\"UnprocessedTraceSegments\": null}",
        "{\"x\": [1]}",
    ] {
        let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
        service.then_text(200, text);
        exporter(&service, &cx).export(&mut spans(3)).await.unwrap();
        assert_eq!((taken(&cx), dropped(&cx)), (3.0, 0.0), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_document_is_counted_once_however_often_it_is_named() {
    let id = |n: usize| format!("{n:016x}");
    for (entries, lost) in [
        (
            json!([{"Id": id(1), "ErrorCode": "X"}, {"Id": id(1), "ErrorCode": "Y"}]),
            1.0,
        ),
        (
            json!([{"Id": id(1)}, {"Id": id(2), "ErrorCode": null}]),
            2.0,
        ),
        // Unreadable, or of nobody: one of the documents it must be.
        (json!([{}, null, 5, {"Id": 7}]), 4.0),
        (json!([{"Id": id(99)}, {"Id": "zz"}, {"Id": ""}]), 3.0),
        (json!([{"Id": id(1).to_uppercase(), "Extra": 1}]), 1.0),
        // More than there are.
        (Json::from(vec![json!({"ErrorCode": "X"}); 500]), 5.0),
        (
            Json::from(vec![json!({"Id": id(3), "ErrorCode": "X"}); 500]),
            1.0,
        ),
    ] {
        let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
        service.then(200, &json!({"UnprocessedTraceSegments": entries}));
        exporter(&service, &cx).export(&mut spans(5)).await.unwrap();
        assert_eq!(service.sent().len(), 1);
        assert_eq!((taken(&cx), dropped(&cx)), (5.0 - lost, lost), "{entries}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_refused_and_put_back_is_what_it_is_called_first() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service.then(
        200,
        &unprocessed(&[(1, "Throttled"), (1, "Bad"), (2, "Bad"), (2, "Throttled")]),
    );
    exporter(&service, &cx).export(&mut spans(2)).await.unwrap();
    assert_eq!(service.sent(), [ids(1..=2), ids([1])]);
    assert_eq!((taken(&cx), dropped(&cx)), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_before_a_failing_call_is_left_as_well() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    service
        .then(200, &unprocessed(&[(7, "Throttled")]))
        .then(200, &unprocessed(&[(7, "Throttled")]));
    for _ in 0..2 {
        service.then(500, &json!({}));
    }
    let mut batch = spans(60);
    let exporter = exporter(&service, &cx);
    let reject = exporter.export(&mut batch).await.unwrap_err();
    assert!(reject.is_retryable());
    service.recover();
    exporter.export(&mut batch).await.unwrap();
    let wanted: Vec<String> = ids([7]).into_iter().chain(ids(51..=60)).collect();
    assert_eq!(service.sent().last().unwrap(), &wanted);
}

#[tokio::test(start_paused = true)]
async fn halves_of_a_split_span_are_the_same_when_sent_again() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    let mut batch = spans(1);
    if let Data::Traces(traces) = &mut batch.data {
        traces.for_each_mut(|span| {
            span.set_kind(3);
            span.set("aws.span.kind", weir_model::ValueRef::Str("LOCAL_ROOT"));
        });
    }
    for _ in 0..2 {
        service.then(200, &unprocessed(&[(1, "Throttled")]));
    }
    let exporter = exporter(&service, &cx);
    assert!(
        exporter
            .export(&mut batch)
            .await
            .unwrap_err()
            .is_retryable()
    );
    exporter.export(&mut batch).await.unwrap();
    let sent = service.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 2]);
    assert_eq!(sent[0], sent[2]);
}

#[tokio::test(start_paused = true)]
async fn spans_without_documents_are_counted_once_over_all_tries() {
    let (service, cx) = (Arc::new(ScriptedXRay::default()), context());
    let mut batch = spans(3);
    if let Data::Traces(traces) = &mut batch.data {
        let mut first = true;
        traces.for_each_mut(|span| {
            if std::mem::take(&mut first) {
                span.set_ids(&[1; 3], &[1; 8], &[]);
            }
        });
    }
    for _ in 0..2 {
        service.then(500, &json!({}));
    }
    let exporter = exporter(&service, &cx);
    exporter.export(&mut batch).await.unwrap_err();
    exporter.export(&mut batch).await.unwrap();
    assert_eq!((taken(&cx), dropped(&cx)), (2.0, 1.0));
}

/// One answer of [`LyingXRay`].
#[derive(Clone, Debug)]
enum Act {
    Take,
    Status(u16, &'static str),
    Text(&'static str),
    Break,
    /// Names these documents of the call, the flag tells whether for now only.
    Name(Vec<(prop::sample::Index, bool)>),
}

fn act() -> impl Strategy<Value = Act> {
    let name = (any::<prop::sample::Index>(), any::<bool>());
    prop_oneof![
        3 => Just(Act::Take),
        1 => prop::sample::select(vec![
            (500, ""), (503, ""), (429, "ThrottledException"), (400, "ThrottledException"),
            (403, "AccessDeniedException"), (418, ""),
        ]).prop_map(|(status, code)| Act::Status(status, code)),
        1 => prop::sample::select(vec!["<html>", "[]", "5"]).prop_map(Act::Text),
        1 => Just(Act::Break),
        4 => prop::collection::vec(name, 0..20).prop_map(Act::Name),
    ]
}

/// Remembers what it took and what it refused.
#[derive(Debug, Default)]
struct LyingXRay {
    acts: Mutex<VecDeque<Act>>,
    taken: Mutex<BTreeSet<String>>,
    refused: Mutex<BTreeSet<String>>,
}

impl LyingXRay {
    /// Status and body.
    fn answer(&self, act: Act, sent: Vec<String>) -> Option<(u16, String)> {
        let mut named = BTreeSet::new();
        let mut list = Vec::new();
        match act {
            Act::Take => {}
            Act::Status(status, code) => {
                return Some((status, json!({"__type": code}).to_string()));
            }
            Act::Text(text) => return Some((200, text.to_owned())),
            Act::Break => return None,
            Act::Name(entries) => {
                for (index, passing) in entries {
                    let id = index.get(&sent);
                    let code = if passing { "Throttled" } else { "Bad" };
                    list.push(json!({"Id": id, "ErrorCode": code}));
                    if named.insert(id.clone()) && !passing {
                        self.refused.lock().unwrap().insert(id.clone());
                    }
                }
            }
        }
        let rest = sent.into_iter().filter(|id| !named.contains(id));
        self.taken.lock().unwrap().extend(rest);
        Some((200, json!({"UnprocessedTraceSegments": list}).to_string()))
    }
}

impl Transport for LyingXRay {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFut<'_, Result<http::Response<Bytes>, TransportError>> {
        let body: Json = serde_json::from_slice(request.body()).unwrap();
        let documents = body["TraceSegmentDocuments"].as_array().unwrap();
        assert!((1..=50).contains(&documents.len()));
        let id = |text: &Json| {
            let document: Json = serde_json::from_str(text.as_str().unwrap()).unwrap();
            document["id"].as_str().unwrap().to_owned()
        };
        let sent = documents.iter().map(id).collect();
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Take);
        let answer = self.answer(act, sent);
        Box::pin(async move {
            let (status, body) = answer.ok_or_else(|| TransportError {
                message: "broken".to_owned(),
                kind: TransportErrorKind::Other,
            })?;
            Ok(http::Response::builder()
                .status(status)
                .body(body.into())
                .unwrap())
        })
    }
}

fn left(batch: &Batch) -> BTreeSet<String> {
    let Data::Traces(traces) = &batch.data else {
        panic!()
    };
    let id = |id: &[u8]| format!("{:016x}", u64::from_be_bytes(id.try_into().unwrap()));
    traces.spans().map(|span| id(span.span_id())).collect()
}

proptest! {
    /// Whatever is answered, each span has arrived, or is counted as lost, or is still there to be
    /// sent again, and it is only one of these.
    #[test]
    fn every_span_arrives_or_is_counted_or_is_left(
        count in 1usize..130,
        acts in prop::collection::vec(act(), 0..16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let service = Arc::new(LyingXRay::default());
        *service.acts.lock().unwrap() = acts.into();
        let cx = context();
        runtime.block_on(async {
            let exporter = exporter(&service, &cx);
            let mut batch = spans(count);
            for _ in 0..20 {
                let result = exporter.export(&mut batch).await;
                let (taken, refused) =
                    (service.taken.lock().unwrap().clone(), service.refused.lock().unwrap().clone());
                let open = if result.is_ok() { BTreeSet::new() } else { left(&batch) };
                prop_assert_eq!(taken.len() + refused.len() + open.len(), count);
                let all: BTreeSet<_> = taken.iter().chain(&refused).chain(&open).cloned().collect();
                prop_assert_eq!(all.into_iter().collect::<Vec<_>>(), ids(1..=count));
                prop_assert_eq!(super::lying::taken(&cx), taken.len() as f64);
                prop_assert_eq!(dropped(&cx), refused.len() as f64);
                if result.is_ok() {
                    return Ok(());
                }
            }
            prop_assert!(false, "never done");
            Ok(())
        })?;
    }
}
