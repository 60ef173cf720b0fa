//! Whatever happens: accepted = sent + failed + queued, and every accepted item arrives or is
//! counted as dropped.

use proptest::prelude::*;
use weir_core::Reject;

use super::fakes::{Answer, Bench, Fake, batch};
use crate::{BatchSettings, QueueSettings, RetrySettings, SendingSettings, Sizer, TimeoutSettings};

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Accept),
        2 => Just(Answer::Refuse(Reject::retry("busy", "503"))),
        1 => Just(Answer::Refuse(Reject::permanent("bad_request", "400"))),
        1 => Just(Answer::Hang),
        2 => (0_usize..4).prop_map(Answer::AcceptSome),
    ]
}

fn queue() -> impl Strategy<Value = Option<QueueSettings>> {
    let sizer = prop_oneof![
        Just(Sizer::Requests),
        Just(Sizer::Items),
        Just(Sizer::Bytes)
    ];
    let batch =
        proptest::option::of(
            (1_u64..20, 0_u64..10).prop_map(|(min_size, more)| BatchSettings {
                min_size,
                max_size: if more == 0 { 0 } else { min_size + more },
                sizer: Some(Sizer::Items),
                ..BatchSettings::default()
            }),
        );
    let queue = (1_usize..4, 1_u64..2000, sizer, any::<bool>(), batch).prop_map(
        |(num_consumers, queue_size, sizer, wait_for_result, batch)| QueueSettings {
            num_consumers,
            queue_size,
            sizer,
            wait_for_result,
            batch,
            ..QueueSettings::default()
        },
    );
    proptest::option::of(queue)
}

fn settings() -> impl Strategy<Value = SendingSettings> {
    (queue(), any::<bool>()).prop_map(|(queue, enabled)| SendingSettings {
        timeout: TimeoutSettings::default(),
        retry: RetrySettings {
            enabled,
            ..RetrySettings::default()
        },
        queue,
        gather: if enabled { 0 } else { 20 },
        ..SendingSettings::default()
    })
}

/// Sends the batches with pauses, drains, and compares the counts.
async fn run(settings: SendingSettings, answers: Vec<Answer>, sends: Vec<(usize, u64)>) {
    let fake = Fake::answering(answers);
    let bench = Bench::started(fake.clone(), &settings).await;
    let (mut accepted, mut refused, mut waiting) = (0.0, 0.0, Vec::new());
    let told = settings.queue.as_ref().is_none_or(|q| q.wait_for_result);
    for (count, pause) in sends {
        let stage = bench.stage.clone();
        let call = async move { (count as f64, stage.consume(batch(0..count as i64)).await) };
        waiting.push(Box::pin(call));
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        if !told && let Some(call) = waiting.pop() {
            match call.await {
                (items, Ok(())) => accepted += items,
                (items, Err(_)) => refused += items,
            }
            let counted = bench.sent() + bench.failed();
            assert!(counted <= accepted, "more counted than accepted");
        }
    }
    let mut errors = 0.0;
    let calls = async {
        for call in waiting {
            match call.await {
                (_, Ok(())) => {}
                (items, Err(_)) => errors += items,
            }
        }
    };
    if told {
        calls.await;
        let delivered: usize = fake.sizes().iter().sum();
        assert_eq!(bench.sent(), delivered as f64);
        // Without a merge of several callers, an error is about the caller's own items.
        assert!(bench.failed() + bench.refused() <= errors || bench.failed() == 0.0);
    }
    bench.drain(3600).await;
    let delivered: usize = fake.sizes().iter().sum();
    assert_eq!(bench.sent(), delivered as f64);
    if !told {
        assert_eq!(bench.sent() + bench.failed(), accepted);
        assert_eq!(bench.refused(), refused);
        assert_eq!(bench.dropped(), bench.failed());
    }
    assert_eq!(bench.queue_size(), 0.0);
    assert_eq!(bench.telemetry.total("weir_exporter_queue_bytes"), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_item_is_counted_once(
        settings in settings(),
        answers in proptest::collection::vec(answer(), 0..30),
        sends in proptest::collection::vec((0_usize..12, 0_u64..3000), 0..20),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(run(settings, answers, sends));
    }
}
