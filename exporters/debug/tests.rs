#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use weir_core::{ComponentId, ComponentKind};
use weir_model::{Interner, Logs, Metrics, Traces};

fn batch(signal: Signal, json: &str) -> Batch {
    let interner = Arc::new(Interner::default());
    match signal {
        Signal::Traces => Batch::traces(Traces::from_json(json.as_bytes(), &interner).unwrap()),
        Signal::Metrics => Batch::metrics(Metrics::from_json(json.as_bytes(), &interner).unwrap()),
        Signal::Logs => Batch::logs(Logs::from_json(json.as_bytes(), &interner).unwrap()),
    }
}

/// The lines without spaces at their ends: editors and the golden files drop them.
fn trimmed(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

fn golden(signal: Signal, verbosity: Verbosity, input: &str, expected: &str) {
    let batch = batch(signal, input);
    let request = request(&batch);
    let request = Message(&request);
    let text = match verbosity {
        Verbosity::Basic => String::new(),
        Verbosity::Normal => normal::text(signal, request),
        Verbosity::Detailed => detailed::text(signal, request),
    };
    let counts = Counts::of(signal, request, batch.len()).line(signal);
    let all = format!("{counts}\n{text}");
    assert_eq!(trimmed(&all), trimmed(expected));
}

macro_rules! golden {
    ($name:ident, $signal:expr, $verbosity:expr, $file:literal) => {
        #[test]
        fn $name() {
            let input = include_str!(concat!("testdata/", $file, ".json"));
            let expected = include_str!(concat!("testdata/", $file, ".txt"));
            golden($signal, $verbosity, input, expected);
        }
    };
}

golden!(
    normal_metrics_read_as_in_the_reference,
    Signal::Metrics,
    Verbosity::Normal,
    "normal-metrics"
);
golden!(
    normal_logs_read_as_in_the_reference,
    Signal::Logs,
    Verbosity::Normal,
    "normal-logs"
);
golden!(
    detailed_metrics_read_as_in_the_reference,
    Signal::Metrics,
    Verbosity::Detailed,
    "detailed-metrics"
);
golden!(
    detailed_traces_read_as_in_the_reference,
    Signal::Traces,
    Verbosity::Detailed,
    "detailed-traces"
);
golden!(
    detailed_logs_read_as_in_the_reference,
    Signal::Logs,
    Verbosity::Detailed,
    "detailed-logs"
);

#[test]
fn a_normal_span_is_a_line_under_its_resource_and_scope() {
    let input = include_str!("testdata/detailed-traces.json");
    let expected = "Traces\t{\"resource spans\": 1, \"spans\": 2}\n\
        ResourceTraces #0 service.name=shop host.name=h1\n\
        ScopeTraces #0 tracer@1.0\n\
        op 000102030405060708090a0b0c0d0e0f 1100220033005f59 \
        k=v l=[1,{\"a\":null}] m={\"x\":1.5}\n\
        two 000102030405060708090a0b0c0d0e0f 1100220033005f5a\n";
    golden(Signal::Traces, Verbosity::Normal, input, expected);
}

#[test]
fn negative_buckets_come_in_ascending_order() {
    let input = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"e",
        "exponentialHistogram":{"dataPoints":[{"count":"3","scale":-1,
        "negative":{"offset":-1,"bucketCounts":["1","2"]}}]}}]}]}]}"#;
    let expected = "Metrics\t{\"resource metrics\": 1, \"metrics\": 1, \"data points\": 1}\n\
        ResourceMetrics #0\n\
        ScopeMetrics #0\n\
        e{} count=3 le-1=2 le-0.25=1\n";
    golden(Signal::Metrics, Verbosity::Normal, input, expected);
}

fn context(signal: Signal) -> BuildCtx {
    let id = ComponentId::parse("debug").unwrap();
    BuildCtx::standalone(id, ComponentKind::Exporter, Some(signal))
}

#[tokio::test]
async fn raw_output_is_appended_to_every_path_with_an_empty_line_after_each_text() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.txt", "b.txt"].map(|name| folder.path().join(name));
    let config = Config {
        verbosity: Verbosity::Normal,
        use_internal_logger: false,
        output_paths: paths.iter().map(|p| p.display().to_string()).collect(),
        ..Config::default()
    };
    let exporter = Debug::new(&config, &context(Signal::Logs)).unwrap();
    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"b"}}]}]}]}"#;
    for _ in 0..2 {
        exporter.export(&mut batch(Signal::Logs, json)).await.unwrap();
    }
    let once = "Logs\t{\"resource logs\": 1, \"log records\": 1}\n\
        ResourceLog #0\nScopeLog #0\nb \n\n";
    for path in paths {
        assert_eq!(std::fs::read_to_string(path).unwrap(), once.repeat(2));
    }
}

#[test]
fn a_path_that_cannot_be_opened_is_named_with_the_cure() {
    let config = Config {
        use_internal_logger: false,
        output_paths: vec!["/no/such/folder/x.txt".to_owned()],
        ..Config::default()
    };
    let error = Debug::new(&config, &context(Signal::Logs)).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("/no/such/folder/x.txt") && text.contains("folder that exists"), "{text}");
}

fn decode(yaml: &str) -> Result<Config, String> {
    let source = weir_config::Source::new("config.yaml", yaml, weir_config::Origin::Document);
    let node = weir_config::parse_yaml(&source).map_err(|e| format!("{e:?}"))?;
    weir_config::decode_and_validate(&node, "exporters.debug")
        .map(|decoded| decoded.value)
        .map_err(|found| weir_config::Diagnostics(found).to_string())
}

#[test]
fn keys_are_read_and_mistakes_are_named() {
    let config = decode("verbosity: Detailed\nsampling_thereafter: 200\n").unwrap();
    assert_eq!(config.verbosity, Verbosity::Detailed);
    assert_eq!((config.sampling_initial, config.sampling_thereafter), (2, 200));
    let error = decode("verbosity: loud\n").unwrap_err();
    assert!(error.contains("loud") && error.contains("detailed"), "{error}");
    let error = decode("use_internal_logger: false\noutput_paths: []\n").unwrap_err();
    assert!(error.contains("output_paths"), "{error}");
}
