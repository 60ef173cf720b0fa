//! The receiver over a real socket, with a recording pipeline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]

mod golden;

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use weir_config::{Errors, Validate};
use weir_core::{
    Batch, BoxFut, BuildCtx, ComponentId, ComponentKind, Consumer, Deadline, Outputs,
    Receiver as _, Reject, Stop,
};
use weir_model::Ledger;
use weir_net::datagram::{IpFamily, listen_udp};

use super::intake::Intake;
use super::{AwsXray, Config};

const HEADER: &str = "{\"format\": \"json\", \"version\": 1}\n";

/// Keeps what it gets; may refuse it, or wait for a permit.
#[derive(Default)]
pub(super) struct Pipeline {
    got: Mutex<Vec<Batch>>,
    arrived: Notify,
    gate: Option<Semaphore>,
    refuses: bool,
}

impl Consumer for Pipeline {
    fn consume(&self, batch: Batch) -> BoxFut<'_, Result<(), Reject>> {
        Box::pin(async move {
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let refused = self
                .refuses
                .then(|| Reject::retry("queue_full", "the queue is full"));
            self.got.lock().unwrap().push(batch);
            self.arrived.notify_waiters();
            refused.map_or(Ok(()), Err)
        })
    }
}

impl Pipeline {
    pub(super) fn spans(&self) -> usize {
        self.got.lock().unwrap().iter().map(Batch::len).sum()
    }

    /// Waits for so many spans; a receiver that loses some fails the test here.
    pub(super) async fn wait(&self, spans: usize) {
        let all = async {
            loop {
                let arrived = self.arrived.notified();
                if self.spans() >= spans {
                    return;
                }
                arrived.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), all).await;
        assert!(waited.is_ok(), "{} of {spans} spans", self.spans());
    }

    pub(super) fn batches(&self) -> Vec<Batch> {
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

pub(super) fn cx() -> BuildCtx {
    let id = ComponentId::parse("awsxray").unwrap();
    BuildCtx::standalone(id, ComponentKind::Receiver, None)
}

/// The receiving half, running.
pub(super) struct Bench {
    pub(super) pipeline: Arc<Pipeline>,
    cx: BuildCtx,
    address: SocketAddr,
    sender: UdpSocket,
    stop: Stop,
    task: JoinHandle<()>,
}

impl Bench {
    pub(super) fn start(pipeline: Pipeline, cx: BuildCtx) -> Self {
        let socket = listen_udp("127.0.0.1:0", IpFamily::Any).unwrap();
        let address = socket.local_addr().unwrap();
        let (pipeline, stop) = (Arc::new(pipeline), Stop::default());
        let intake = Intake::new(&cx, socket, pipeline.clone());
        let task = tokio::spawn(intake.run(stop.clone()));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        Self {
            pipeline,
            cx,
            address,
            sender,
            stop,
            task,
        }
    }

    pub(super) fn send(&self, datagram: &[u8]) {
        self.sender.send_to(datagram, self.address).unwrap();
    }

    fn segments(&self, documents: &[String]) {
        self.send(format!("{HEADER}{}", documents.join("\n")).as_bytes());
    }

    pub(super) async fn end(self) -> BuildCtx {
        self.stop.stop(Deadline::after(Duration::from_secs(20)));
        self.task.await.unwrap();
        self.cx
    }
}

fn segment(name: &str) -> String {
    format!(
        "{{\"name\": \"{name}\", \"id\": \"1100220033004401\", \"start_time\": 1700000000, \
         \"trace_id\": \"1-6553f100-0123456789abcdef01234567\"}}"
    )
}

fn dropped(cx: &BuildCtx, reason: &str) -> String {
    let page = cx.telemetry.encode();
    let start = format!(
        "weir_receiver_awsxray_dropped_segments{{receiver=\"awsxray\",reason=\"{reason}\"}} "
    );
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{start} in\n{page}"))
        .to_owned()
}

fn has_line(cx: &BuildCtx, line: &str) {
    let page = cx.telemetry.encode();
    assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
}

/// AWS-36, AWS-42: what is refused is counted by reason and costs no neighbour.
#[tokio::test]
async fn refused_segments_are_counted_and_cost_no_neighbour() {
    let bench = Bench::start(Pipeline::default(), cx());
    bench.send(b"nonsense");
    bench.send(HEADER.as_bytes());
    bench.segments(&["{\"name\": ".to_owned()]);
    let bad = segment("bad").replace("1100220033004401", "x");
    bench.segments(&[segment("a"), bad, "{broken".to_owned(), segment("b")]);
    bench.segments(&[segment("c").replace("\"name\": \"c\", ", "")]);
    bench.segments(&[segment("d")]);
    bench.pipeline.wait(3).await;
    let pipeline = bench.pipeline.clone();
    let cx = bench.end().await;
    let batches = pipeline.batches();
    let mut names: Vec<String> = batches
        .iter()
        .flat_map(|batch| match &batch.data {
            weir_model::Data::Traces(traces) => traces.spans().map(|span| span.name().to_owned()),
            other => panic!("{other:?}"),
        })
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b", "d"]);
    for (reason, count) in [
        ("invalid_header", "1"),
        ("empty", "1"),
        ("invalid_json", "2"),
        ("invalid_id", "1"),
        ("missing_field", "1"),
        ("out_of_memory", "0"),
    ] {
        assert_eq!(dropped(&cx, reason), count, "{reason}");
    }
    let labels = "{receiver=\"awsxray\",transport=\"udp\"}";
    has_line(&cx, &format!("otelcol_receiver_accepted_spans{labels} 3"));
    has_line(&cx, &format!("otelcol_receiver_refused_spans{labels} 6"));
    has_line(
        &cx,
        "weir_receiver_awsxray_held_bytes{receiver=\"awsxray\"} 0",
    );
}

#[tokio::test]
async fn what_the_pipeline_refuses_is_counted() {
    let pipeline = Pipeline {
        refuses: true,
        ..Pipeline::default()
    };
    let bench = Bench::start(pipeline, cx());
    bench.segments(&[segment("a"), segment("b")]);
    bench.pipeline.wait(2).await;
    let cx = bench.end().await;
    assert_eq!(dropped(&cx, "refused_by_pipeline"), "2");
    assert_eq!(cx.telemetry.total("otelcol_receiver_refused_spans"), 2.0);
    assert_eq!(cx.telemetry.total("otelcol_receiver_accepted_spans"), 0.0);
    assert_eq!(cx.telemetry.total("weir_receiver_awsxray_held_bytes"), 0.0);
}

/// Without memory a datagram is dropped, and its bytes are given back once it is delivered.
#[tokio::test]
async fn memory_in_flight_is_charged_and_given_back() {
    let mut cx = cx();
    cx.ledger = Ledger::new(300);
    let ledger = cx.ledger.clone();
    let bench = Bench::start(Pipeline::default(), cx);
    bench.segments(&[segment("a")]);
    bench.pipeline.wait(1).await;
    let held = ledger.used();
    assert!(held > 100, "{held}");
    bench.segments(&[segment(&"long".repeat(100))]);
    bench.segments(&[segment("b")]);
    bench.pipeline.wait(2).await;
    drop(bench.pipeline.batches());
    let cx = bench.end().await;
    assert_eq!(dropped(&cx, "out_of_memory"), "1");
    assert_eq!(ledger.used(), 0);
}

/// While the pipeline is busy segments are collected into few batches; nothing of them is lost.
#[tokio::test]
async fn segments_wait_for_a_busy_pipeline() {
    let pipeline = Pipeline {
        gate: Some(Semaphore::new(0)),
        ..Pipeline::default()
    };
    let bench = Bench::start(pipeline, cx());
    let sent = 200;
    for n in 0..sent {
        bench.segments(&[segment(&format!("s{n}"))]);
        // So that the receiver reads as the datagrams come, not only at the end.
        tokio::task::yield_now().await;
    }
    bench.pipeline.gate.as_ref().unwrap().add_permits(sent);
    bench.pipeline.wait(sent).await;
    let batches = bench.pipeline.batches();
    assert!(batches.len() < sent, "{}", batches.len());
    assert!(
        bench
            .cx
            .telemetry
            .total("weir_receiver_awsxray_dropped_datagrams")
            == 0.0
    );
    bench.end().await;
}

/// Data that came before the end is delivered; what the pipeline does not take in time is counted.
#[tokio::test(start_paused = true)]
async fn the_end_delivers_or_counts() {
    let bench = Bench::start(Pipeline::default(), cx());
    bench.segments(&[segment("a")]);
    bench.segments(&[segment("b")]);
    let pipeline = bench.pipeline.clone();
    let ended = bench.end().await;
    assert_eq!(pipeline.spans(), 2);
    assert_eq!(
        ended.telemetry.total("otelcol_receiver_accepted_spans"),
        2.0
    );

    let pipeline = Pipeline {
        gate: Some(Semaphore::new(0)),
        ..Pipeline::default()
    };
    let bench = Bench::start(pipeline, cx());
    bench.segments(&[segment("a"), segment("b")]);
    let cx = bench.end().await;
    assert_eq!(dropped(&cx, "shutdown"), "2");
}

/// The kernel's own drops show on the metrics page.
#[tokio::test]
async fn datagrams_that_nobody_reads_in_time_are_counted() {
    let cx = cx();
    let socket = listen_udp("127.0.0.1:0", IpFamily::Any).unwrap();
    let address = socket.local_addr().unwrap();
    // Made but not run: nobody reads.
    let intake = Intake::new(&cx, socket, Arc::new(Pipeline::default()));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = vec![b'x'; 60_000];
    for _ in 0..500 {
        sender.send_to(&datagram, address).unwrap();
    }
    let name = "weir_receiver_awsxray_dropped_datagrams";
    let counted = cx.telemetry.total(name);
    assert!(counted > 0.0);
    drop(intake);
    assert_eq!(
        cx.telemetry.total(name),
        counted,
        "the count stays when the socket is gone"
    );
}

fn free(tcp: bool) -> SocketAddr {
    let any = "127.0.0.1:0";
    if tcp {
        std::net::TcpListener::bind(any)
            .unwrap()
            .local_addr()
            .unwrap()
    } else {
        UdpSocket::bind(any).unwrap().local_addr().unwrap()
    }
}

/// A proxy whose address is taken is no reason to lose segments; a segments' address is.
#[tokio::test]
async fn a_taken_address_ends_the_receiver_only_if_it_is_that_of_the_segments() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config {
        endpoint: free(false).to_string(),
        ..Config::default()
    };
    config.proxy_server.endpoint = taken.local_addr().unwrap().to_string();
    config.proxy_server.region = "eu-west-1".to_owned();
    let pipeline = Arc::new(Pipeline::default());
    let mut outputs = Outputs::default();
    outputs.set(weir_core::Signal::Traces, pipeline.clone());
    let start = |config: &Config| {
        let receiver = Box::new(AwsXray {
            config: config.clone(),
            cx: cx(),
        });
        let stop = Stop::default();
        let started = receiver.start(outputs.clone(), stop.clone());
        async move { (started.await, stop) }
    };
    let (running, stop) = start(&config).await;
    let running = tokio::spawn(running.unwrap());
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = format!("{HEADER}{}", segment("a"));
    sender
        .send_to(datagram.as_bytes(), &config.endpoint)
        .unwrap();
    pipeline.wait(1).await;
    let (second, _) = start(&config).await;
    let text = second.err().unwrap().0;
    assert!(
        text.starts_with("listen udp 127.0.0.1:") && text.contains("in use"),
        "{text}"
    );
    stop.stop(Deadline::after(Duration::from_secs(5)));
    running.await.unwrap().unwrap();
}

/// Both halves at their addresses, as configured.
#[tokio::test]
async fn segments_and_requests_are_served_together() {
    let mut config = Config {
        endpoint: free(false).to_string(),
        ..Config::default()
    };
    config.proxy_server.endpoint = free(true).to_string();
    config.proxy_server.region = "eu-west-1".to_owned();
    config.proxy_server.aws_endpoint = format!("http://{}", free(true));
    let mut outputs = Outputs::default();
    outputs.set(weir_core::Signal::Traces, Arc::new(Pipeline::default()));
    let stop = Stop::default();
    let receiver = Box::new(AwsXray {
        config: config.clone(),
        cx: cx(),
    });
    let running = tokio::spawn(receiver.start(outputs, stop.clone()).await.unwrap());
    let mut stream = tokio::net::TcpStream::connect(&config.proxy_server.endpoint)
        .await
        .unwrap();
    // What the proxy answers by itself, without credentials and service.
    stream
        .write_all(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    stop.stop(Deadline::after(Duration::from_secs(5)));
    running.await.unwrap().unwrap();
}

/// AWS-37.
#[test]
fn only_udp_is_taken() {
    let errors = |config: &Config| {
        let mut errors = Errors::default();
        config.validate(&mut errors);
        errors
    };
    let config = Config::default();
    assert!(errors(&config).is_empty());
    assert_eq!(config.references().len(), 1);
    let tcp = Config {
        transport: "tcp".to_owned(),
        ..config.clone()
    };
    assert!(!errors(&tcp).is_empty());
    let nowhere = Config {
        endpoint: "localhost".to_owned(),
        ..config.clone()
    };
    assert!(!errors(&nowhere).is_empty());
    let anywhere = Config {
        endpoint: "localhost:0".to_owned(),
        ..config
    };
    assert!(anywhere.references().is_empty());
}
