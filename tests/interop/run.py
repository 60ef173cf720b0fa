#!/usr/bin/env python3
"""Other people's programs at both ends of weir: an unmodified OpenTelemetry SDK sends, a real Prometheus stores.

  python run.py --binary PATH [--only sdk|prometheus|equality] [--seconds N]

`sdk` needs opentelemetry-sdk and the two OTLP exporters (requirements.txt). `prometheus` needs the programs
`prometheus` and `prometheus-node-exporter` (Debian packages of these names), and so does `equality`: weir and a Prometheus
scrape the same targets for so many seconds (--seconds), and what a second Prometheus got from weir by remote write has to be what the
first one has: number of series, label sets, rates. Everything listens on free ports of 127.0.0.1, and only what was started here
is ended.
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


EVERY_TYPE = """\
# HELP shop_orders_total Orders.
# TYPE shop_orders_total counter
shop_orders_total{{kind="book",odd="a\\"b\\\\c"}} {count}
shop_orders_total{{kind="toy",odd=""}} {half}
# HELP shop_open Open baskets.
# TYPE shop_open gauge
shop_open {wave}
# TYPE shop_nothing gauge
shop_nothing NaN
# HELP shop_latency_seconds Latency.
# TYPE shop_latency_seconds histogram
shop_latency_seconds_bucket{{path="/",le="0.1"}} {half}
shop_latency_seconds_bucket{{path="/",le="1"}} {count}
shop_latency_seconds_bucket{{path="/",le="+Inf"}} {count}
shop_latency_seconds_sum{{path="/"}} {half}
shop_latency_seconds_count{{path="/"}} {count}
# TYPE shop_size_bytes summary
shop_size_bytes{{quantile="0.5"}} 12
shop_size_bytes{{quantile="0.99"}} {wave}
shop_size_bytes_sum {half}
shop_size_bytes_count {count}
# TYPE shop_untyped untyped
shop_untyped{{a="1"}} {wave}
shop_without_type {count}
"""
OPEN_METRICS = """\
# TYPE om_orders counter
# HELP om_orders Orders.
om_orders_total{{kind="book"}} {count} # {{trace_id="0102030405060708090a0b0c0d0e0f10"}} 1
# TYPE om_open gauge
om_open {wave}
# TYPE om_latency_seconds histogram
# UNIT om_latency_seconds seconds
om_latency_seconds_bucket{{le="1.0"}} {half}
om_latency_seconds_bucket{{le="+Inf"}} {count}
om_latency_seconds_sum {half}
om_latency_seconds_count {count}
# TYPE om_size summary
om_size{{quantile="0.5"}} 12
om_size_sum {half}
om_size_count {count}
# TYPE om_build info
om_build_info{{version="1"}} 1
# TYPE om_state stateset
om_state{{om_state="on"}} 1
om_state{{om_state="off"}} 0
# TYPE om_thing unknown
om_thing {wave}
# EOF
"""


class Pages(http.server.BaseHTTPRequestHandler):
    """Pages with every type of metric; counters grow with time at steady rates."""

    began = time.time()

    def do_GET(self):
        age = time.time() - self.began
        values = {"count": int(age * 100), "half": age * 50, "wave": int(age) % 7}
        open_metrics = self.path == "/openmetrics"
        body = (OPEN_METRICS if open_metrics else EVERY_TYPE).format(**values).encode()
        kind = "application/openmetrics-text; version=1.0.0" if open_metrics else "text/plain; version=0.0.4"
        self.send_response(200)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def normal(labels):
    """A label set without what the way through OTLP changes in the reference as well: the text of numbers in `le` and
    `quantile` (1e+06 becomes 1000000), and the ending of info metrics (OpenMetrics' `om_build_info`)."""
    labels = dict(labels)
    for name in ("le", "quantile"):
        if name in labels:
            labels[name] = str(float(labels[name]))
    if labels.get("__name__") == "om_build":
        labels["__name__"] = "om_build_info"
    return frozenset(labels.items())


class Store:
    """Questions to a Prometheus server."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path, **query):
        return json.loads(get(f"{self.url}{path}?{urllib.parse.urlencode(query, doseq=True)}"))["data"]

    def ask(self, expression, at=None):
        """Labels as a frozen set of pairs -> value."""
        rows = self.get("query", query=expression, **({"time": at} if at else {}))["result"]
        return {normal(row["metric"]): float(row["value"][1]) for row in rows}

    def label_sets(self, start, end):
        query = {"match[]": '{__name__=~".+"}', "start": start, "end": end}
        return {normal(labels) for labels in self.get("series", **query)}


def different(what, ours, theirs):
    """Ends the run if two sets differ, with the first of what differs."""
    for text, rest in (("only by weir", ours - theirs), ("only by Prometheus", theirs - ours)):
        for labels in sorted(rest, key=str)[:10]:
            print(f"{what}, {text}: {dict(labels)}")
    if ours != theirs:
        sys.exit(f"{what}: {len(ours - theirs)} only by weir, {len(theirs - ours)} only by Prometheus")


def compare_rates(by_weir, direct, end, seconds, interval):
    """rate() of all counters, also of the parts of histograms and summaries."""
    kinds = direct.get("metadata")
    names = set()
    for name, (entry, *_) in kinds.items():
        if entry["type"] == "counter":
            names |= {name, f"{name}_total"}
        if entry["type"] in ("histogram", "summary"):
            names |= {f"{name}{suffix}" for suffix in ("_bucket", "_sum", "_count")}
    compared, worst, far = 0, 0.0, []
    # Both scrape once an interval, at different moments: that is how far apart two equal rates may be.
    allowed = 4 * interval / seconds + 0.02
    for name in sorted(names):
        expression = f"rate({name}[{int(seconds)}s])"
        ours, theirs = by_weir.ask(expression, end), direct.ask(expression, end)
        different(expression, set(ours), set(theirs))
        for labels, rate in theirs.items():
            compared += 1
            apart = abs(ours[labels] - rate) / max(abs(rate), abs(ours[labels]), 1.0)
            worst = max(worst, apart)
            if not apart <= allowed:
                far.append((apart, name, dict(labels), ours[labels], rate))
    for apart, name, labels, ours, theirs in sorted(far, key=lambda row: -row[0])[:10]:
        print(f"rate({name}) of {labels}: {ours} by weir, {theirs} by Prometheus")
    if far:
        sys.exit(f"{len(far)} of {compared} rates are more than {allowed:.1%} apart")
    return compared, worst


def equality(folder, binary, seconds):
    """The same targets, scraped by a Prometheus and by weir, which sends to another Prometheus."""
    interval = 1 if seconds < 120 else 5
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    node, stores = free_port(), [free_port(), free_port()]
    jobs = [
        {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for name, path, port in (
            ("node", "/metrics", node),
            ("prometheus", "/metrics", stores[0]),
            ("types", "/metrics", pages.server_port),
            ("openmetrics", "/openmetrics", pages.server_port),
        )
    ]
    # The page's content type decides about the format: neither may ask for protobuf.
    scraping = {"global": {"scrape_interval": f"{interval}s", "scrape_timeout": f"{interval}s"}, "scrape_configs": jobs}
    (folder / "weir.yml").write_text("global: {}\n")
    (folder / "direct.yml").write_text(json.dumps(scraping))
    exporter = {
        "endpoint": f"http://127.0.0.1:{stores[0]}/api/v1/write",
        # What a scraped metric does not have when Prometheus stores it.
        "disable_scope_info": True,
        "target_info": {"enabled": False},
        "translation_strategy": "UnderscoreEscapingWithoutSuffixes",
    }
    config = {
        "receivers": {"prometheus": {"config": scraping}},
        "exporters": {"prometheusremotewrite": exporter},
        "service": {"pipelines": {"metrics": {"receivers": ["prometheus"], "exporters": ["prometheusremotewrite"]}}},
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(program(folder, "node", "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node}"))
        for name, port in zip(("weir", "direct"), stores):
            server = ["prometheus", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
            server += [f"--storage.tsdb.path={folder}/tsdb-{name}", f"--config.file={folder}/{name}.yml"]
            stack.enter_context(program(folder, f"prometheus-{name}", *server))
            wait_until("Prometheus", lambda port=port: get(f"http://127.0.0.1:{port}/-/ready"))
        stack.enter_context(weir(folder, binary, config))
        by_weir, direct = Store(stores[0]), Store(stores[1])
        for store in (by_weir, direct):
            wait_until("four targets", lambda store=store: len(store.ask("up == 1")) == 4)
        start = time.time() + 2 * interval
        end = start + seconds
        time.sleep(max(0, end + 3 * interval - time.time()))
        every = 'count({__name__=~".+"})'
        counts = [list(store.ask(every, end).values())[0] for store in (by_weir, direct)]
        different("series", by_weir.label_sets(start, end), direct.label_sets(start, end))
        if counts[0] != counts[1]:
            sys.exit(f"{every}: {counts[0]} by weir, {counts[1]} by Prometheus")
        compared, worst = compare_rates(by_weir, direct, end, seconds, interval)
        print(f"equality: {int(counts[0])} series by weir and by Prometheus, label sets equal, after {seconds} s")
        print(f"equality: {compared} rates over {seconds} s, at most {worst:.2%} apart")
    pages.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--only", choices=("sdk", "prometheus", "equality"))
    parser.add_argument("--seconds", type=int, default=40, help="how long `equality` scrapes (40)")
    options = parser.parse_args()
    for part in (sdk, prometheus, equality):
        if options.only in (None, part.__name__):
            with tempfile.TemporaryDirectory() as folder:
                more = [options.seconds] if part is equality else []
                part(pathlib.Path(folder), options.binary.resolve(), *more)


if __name__ == "__main__":
    main()
