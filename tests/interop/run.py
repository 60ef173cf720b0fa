#!/usr/bin/env python3
"""Other people's programs at both ends of weir: an unmodified OpenTelemetry SDK sends, a real Prometheus stores.

  python run.py --binary PATH [--only sdk|prometheus]

`sdk` needs opentelemetry-sdk and the two OTLP exporters (requirements.txt). `prometheus` needs the programs
`prometheus` and `prometheus-node-exporter` (Debian packages of these names). Everything listens on free ports of
127.0.0.1, ends within two minutes, and only what was started here is ended.
"""

import argparse
import contextlib
import http.server
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

DEADLINE_S = 50


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, check):
    """The first true answer of `check`; ends the run when none comes in time."""
    end = time.monotonic() + DEADLINE_S
    last = None
    while time.monotonic() < end:
        try:
            answer = check()
            if answer:
                return answer
        except OSError as error:
            last = error
        time.sleep(0.2)
    sys.exit(f"{what}: not seen within {DEADLINE_S} s ({last})")


def get(url):
    """Body of a page as text."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def program(folder, name, *command):
    """Runs a program with its output in a file; ends it with SIGTERM."""
    with open(folder / f"{name}.log", "wb") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder)
        try:
            yield process
        finally:
            process.terminate()
            if process.wait(timeout=20) not in (0, -15):
                print((folder / f"{name}.log").read_text()[-2000:])
                sys.exit(f"{name} ended with {process.returncode}")


@contextlib.contextmanager
def weir(folder, binary, config):
    """Runs weir on a configuration with a health check of its own."""
    health = free_port()
    config["extensions"] = config.get("extensions", {}) | {"health_check": {"endpoint": f"127.0.0.1:{health}"}}
    config["service"]["extensions"] = list(config["extensions"])
    reader = {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": free_port()}}}}
    config["service"]["telemetry"] = {"metrics": {"readers": [reader]}}
    (folder / "config.yaml").write_text(json.dumps(config))
    with program(folder, "weir", binary, "--config", folder / "config.yaml"):
        wait_until("health check of weir", lambda: get(f"http://127.0.0.1:{health}/"))
        yield


class Sink(http.server.BaseHTTPRequestHandler):
    """Takes OTLP over HTTP and keeps the bodies."""

    bodies = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append((self.path, body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def send_with_sdk(protocol, port):
    """Three spans and three kinds of metrics, as a service would send them."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        spans = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True)
        metrics = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True)
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        spans = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces", compression=Compression.Gzip)
        metrics = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{port}/v1/metrics")
    resource = Resource.create({"service.name": f"shop-{protocol}"})
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(spans))
    tracer = tracing.get_tracer("interop", "1")
    with tracer.start_as_current_span("checkout", attributes={"customer": "c-1"}):
        with tracer.start_as_current_span("pay"):
            pass
        with tracer.start_as_current_span("ship") as span:
            span.add_event("packed", {"boxes": 2})
    reader = PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)
    measuring = MeterProvider(resource=resource, metric_readers=[reader])
    meter = measuring.get_meter("interop")
    meter.create_counter("orders", unit="1").add(7, {"kind": "book"})
    meter.create_histogram("latency", unit="ms").record(12.5)
    meter.create_up_down_counter("in_flight").add(-2)
    tracing.shutdown()
    measuring.shutdown()


def arrived(service):
    """Spans and metrics by name that the sink got, once there are three of each."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans, points = {}, {}
    for path, body in list(Sink.bodies):
        traces = path == "/v1/traces"
        request = (ExportTraceServiceRequest if traces else ExportMetricsServiceRequest).FromString(body)
        for resource in request.resource_spans if traces else request.resource_metrics:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            assert names["service.name"] == service, names
            for scope in resource.scope_spans if traces else resource.scope_metrics:
                assert scope.scope.name == "interop", scope
                spans |= {span.name: span for span in getattr(scope, "spans", [])}
                points |= {metric.name: metric for metric in getattr(scope, "metrics", [])}
    return (spans, points) if len(spans) >= 3 and len(points) >= 3 else None


def sdk(folder, binary):
    """SDK -> weir -> sink, over gRPC and over HTTP."""
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    ports = {"grpc": free_port(), "http": free_port()}
    protocols = {name: {"endpoint": f"127.0.0.1:{port}"} for name, port in ports.items()}
    pipeline = {"receivers": ["otlp"], "exporters": ["otlphttp"]}
    config = {
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"otlphttp": {"endpoint": f"http://127.0.0.1:{sink.server_port}", "compression": "none"}},
        "service": {"pipelines": {"traces": pipeline, "metrics": pipeline}},
    }
    with weir(folder, binary, config):
        for protocol, port in ports.items():
            Sink.bodies.clear()
            send_with_sdk(protocol, port)
            spans, points = wait_until("telemetry at the sink", lambda: arrived(f"shop-{protocol}"))
            assert set(spans) == {"checkout", "pay", "ship"}, spans
            assert spans["pay"].parent_span_id == spans["checkout"].span_id
            assert spans["ship"].events[0].name == "packed"
            assert points["orders"].sum.data_points[0].as_int == 7, points
            assert points["latency"].histogram.data_points[0].sum == 12.5, points
            assert points["in_flight"].sum.data_points[0].as_int == -2, points
            print(f"sdk over {protocol}: 3 spans and 3 metrics arrived as sent")
    sink.shutdown()


def prometheus(folder, binary):
    """node_exporter -> weir -> Prometheus' remote-write receiver."""
    exporter, store = free_port(), free_port()
    (folder / "prometheus.yml").write_text("global: {}\n")
    scrape = {
        "job_name": "node",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}],
    }
    config = {
        "receivers": {"prometheus": {"config": {"scrape_configs": [scrape]}}},
        "exporters": {"prometheusremotewrite": {"endpoint": f"http://127.0.0.1:{store}/api/v1/write"}},
        "service": {"pipelines": {"metrics": {"receivers": ["prometheus"], "exporters": ["prometheusremotewrite"]}}},
    }
    server = ["prometheus", f"--web.listen-address=127.0.0.1:{store}", "--web.enable-remote-write-receiver"]
    server += [f"--storage.tsdb.path={folder}/tsdb", f"--config.file={folder}/prometheus.yml"]

    def ask(expression):
        query = urllib.parse.urlencode({"query": expression})
        answer = json.loads(get(f"http://127.0.0.1:{store}/api/v1/query?{query}"))
        return answer["data"]["result"]

    with contextlib.ExitStack() as stack:
        stack.enter_context(
            program(folder, "node", "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{exporter}")
        )
        stack.enter_context(program(folder, "prometheus", *server))
        wait_until("Prometheus", lambda: get(f"http://127.0.0.1:{store}/-/ready"))
        page = wait_until("node_exporter", lambda: get(f"http://127.0.0.1:{exporter}/metrics"))
        stack.enter_context(weir(folder, binary, config))
        wait_until("up in Prometheus", lambda: ask('up{job="node"} == 1'))
        wait_until("five scrapes", lambda: ask('count_over_time(up{job="node"}[1m]) >= 5'))
        want = {re.split(r"[{ ]", line)[0] for line in page.splitlines() if line and line[0] != "#"}
        want |= {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added"}
        stored = {row["metric"]["__name__"] for row in ask('count by (__name__) ({job="node"})')}
        assert not want - stored, sorted(want - stored)
        lines = int(float(ask('scrape_samples_scraped{job="node"}')[0]["value"][1]))
        series = int(ask('count({job="node",__name__!~"up|scrape_.*"})')[0]["value"][1])
        assert series >= lines > 300, (series, lines)
        rate = ask('rate(node_cpu_seconds_total{mode="idle",cpu="0"}[1m])')
        assert 0 <= float(rate[0]["value"][1]) <= 1.5, rate
        print(f"prometheus: {len(want)} metric names, {series} series of {lines} scraped samples stored")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--only", choices=("sdk", "prometheus"))
    options = parser.parse_args()
    for part in (sdk, prometheus):
        if options.only in (None, part.__name__):
            with tempfile.TemporaryDirectory() as folder:
                part(pathlib.Path(folder), options.binary.resolve())


if __name__ == "__main__":
    main()
