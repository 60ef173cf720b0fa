#!/usr/bin/env python3
"""The detector with a real Prometheus behind it.

  python detector.py --binary PATH

A made-up service breaks while weir scrapes it and writes to Prometheus. Every PromQL query of docs/anomaly-detection.md must
then find something, and `weir backtest` must read the series back. Needs `prometheus` (the Debian package of this name).
Everything listens on free ports of 127.0.0.1, and only what was started here is ended.
"""

import argparse
import contextlib
import http.server
import json
import pathlib
import re
import subprocess
import tempfile
import threading
import urllib.parse

from run import free_port, get, program, wait_until, weir


@contextlib.contextmanager
def storage(folder, port):
    """A Prometheus that takes remote write."""
    (folder / "prometheus.yml").write_text("global: {}\n")
    server = ["prometheus", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    server += [f"--storage.tsdb.path={folder}/tsdb", f"--config.file={folder}/prometheus.yml"]
    with program(folder, "prometheus", *server):
        wait_until("Prometheus", lambda: get(f"http://127.0.0.1:{port}/-/ready"))
        yield


def query(port, expression):
    """Result of a PromQL query now."""
    parameters = urllib.parse.urlencode({"query": expression})
    return json.loads(get(f"http://127.0.0.1:{port}/api/v1/query?{parameters}"))["data"]["result"]


class Service(http.server.BaseHTTPRequestHandler):
    """A page of metrics whose latency breaks once enough has been learned."""

    scrapes = 0
    quiet = 110

    def do_GET(self):
        Service.scrapes += 1
        noise = (Service.scrapes * 7919) % 13 / 13
        latency = 45 + noise + (200 if Service.scrapes > self.quiet else 0)
        body = f"# TYPE checkout_latency_milliseconds gauge\ncheckout_latency_milliseconds {latency:.3f}\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def documented_queries():
    """The PromQL in the documentation, each query a block."""
    text = (pathlib.Path(__file__).parents[2] / "docs" / "anomaly-detection.md").read_text()
    blocks = re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5, blocks
    return blocks


def detector(folder, binary):
    """A service that breaks -> weir tags it -> Prometheus: the documented queries find it; a backtest reads it back."""
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    store = free_port()
    scrape = {
        "job_name": "shop",
        "scrape_interval": "200ms",
        "scrape_timeout": "200ms",
        "static_configs": [{"targets": [f"127.0.0.1:{service.server_port}"]}],
    }
    pipeline = {"receivers": ["prometheus"], "processors": ["anomaly"], "exporters": ["prometheusremotewrite"]}
    config = {
        "receivers": {"prometheus": {"config": {"scrape_configs": [scrape]}}},
        "processors": {"anomaly": {"emit": ["companion"], "bands": True}},
        "exporters": {"prometheusremotewrite": {"endpoint": f"http://127.0.0.1:{store}/api/v1/write"}},
        "service": {"pipelines": {"metrics": pipeline}},
    }
    with storage(folder, store), weir(folder, binary, config):
        state = "checkout_latency_milliseconds_anomaly_state != 0"
        wait_until("an alarm in Prometheus", lambda: query(store, state))
        for expression in documented_queries():
            assert query(store, expression), f"no answer to: {expression}"
        print(f"detector: {len(documented_queries())} documented queries find the alarm")
        backtest = [str(binary), "backtest", f"http://127.0.0.1:{store}", "--query", "checkout_latency_milliseconds"]
        done = subprocess.run(backtest + ["--last", "2m", "--step", "1s"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        samples = re.search(r"^([\d,]+) samples in", done.stdout, re.MULTILINE)
        assert samples and int(samples[1].replace(",", "")) >= 10, done.stdout
        assert "checkout_latency_milliseconds{" in done.stdout, done.stdout
        wrong = subprocess.run(backtest[:3] + ["--query", "up{"], capture_output=True, text=True, timeout=60)
        assert wrong.returncode == 1 and "Prometheus says: " in wrong.stderr, wrong.stderr
        print(f"detector: a backtest of {samples[1]} samples from Prometheus")
    service.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        detector(pathlib.Path(folder), options.binary.resolve())


if __name__ == "__main__":
    main()
