#!/usr/bin/env python3
"""weir against a real kube-apiserver, as the DaemonSet example runs it.

  python run.py --binary PATH --apiserver PATH

Needs root on Linux (a mount namespace of its own holds the service account's files), etcd (Debian: etcd-server) and a
kube-apiserver (`make test-kube` builds it from the Go modules in tests/kube/apiserver). What happens:

1. etcd and kube-apiserver start on free ports of 127.0.0.1, with RBAC and tokens of service accounts.
2. The manifests of examples/kubernetes/daemonset.yaml are created as they are: namespace, service account, role, binding,
   configuration, DaemonSet. Pods are made on two nodes, with addresses of 127.0.0.0/8 as their status.
3. weir starts with the configuration of the example as a pod of its service account would: a token that the API server gave
   for it, no other permission. A second configuration file only names ports and the mock services in place of AWS. It must
   scrape the pod of its node that asks for it and no other, take metrics and spans over OTLP, and tag both with pod,
   namespace and node on their way to all three destinations. The API server's audit log must hold one list of pods for the node.
4. Each permission of the role is taken away in turn: weir must name it, and get going when it comes back.

Everything listens on 127.0.0.1 and ends within three minutes; only what was started here is ended.
"""

import argparse
import contextlib
import gzip
import http.server
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib

import yaml

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "examples/kubernetes/daemonset.yaml"
ADMIN = "admin-token-of-this-test"
DEADLINE_S = 40
NODE = "node-1"
MOUNT = "/var/run/secrets"
ACCOUNT = f"{MOUNT}/kubernetes.io/serviceaccount"


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, check, seconds=DEADLINE_S):
    """The first true answer of `check`."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            if answer := check():
                return answer
        except OSError as error:
            last = error
        time.sleep(0.1)
    raise SystemExit(f"FAILED: {what}: not seen within {seconds} s ({last})")


def must(holds, what):
    """Ends with a reason if something does not hold."""
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"  {what}: yes", flush=True)


@contextlib.contextmanager
def program(folder, name, command, env=None):
    """Runs a program with its output in a file; ends it, by force if need be. Prints the output when something failed."""
    path = folder / f"{name}.log"
    with open(path, "wb") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder, env=env)
    failed = True
    try:
        yield process, path
        failed = False
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if failed:
            print(f"---- the end of {path.name}")
            print("\n".join(path.read_text(errors="replace").splitlines()[-40:]), flush=True)


class Api:
    """The API server as its administrator sees it."""

    def __init__(self, port):
        self.url = f"https://127.0.0.1:{port}"
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def call(self, method, path, body=None, kind="application/json"):
        """An answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.tls) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"FAILED: {method} {path}: {error.code} {error.read().decode()[:500]}") from error

    def ready(self):
        """Whether it serves."""
        request = urllib.request.Request(self.url + "/readyz", headers={"Authorization": f"Bearer {ADMIN}"})
        with urllib.request.urlopen(request, timeout=5, context=self.tls) as answer:
            return answer.status == 200

    def create(self, manifest):
        """An object of a manifest."""
        group = manifest["apiVersion"]
        prefix = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        space = manifest["metadata"].get("namespace")
        resource = manifest["kind"].lower() + "s"
        path = f"{prefix}/namespaces/{space}/{resource}" if space else f"{prefix}/{resource}"
        return self.call("POST", path, manifest)


def pod(name, node, address, port, scrape):
    """A pod that runs."""
    annotations = {"prometheus.io/scrape": "true"} if scrape else {}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}, "annotations": annotations},
        "spec": {"nodeName": node, "containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": port}]}]},
    }, {
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "startTime": "2024-05-01T10:00:00Z",
            "conditions": [{"type": "Ready", "status": "True"}],
        }
    }


def unsnappy(data):
    """Snappy's block format taken apart."""
    at = shift = size = 0
    while True:
        byte = data[at]
        size |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                more = length - 60
                length = int.from_bytes(data[at:at + more], "little") + 1
                at += more
            out += data[at:at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, offset = ((tag >> 2) & 7) + 4, ((tag >> 5) << 8) | data[at]
            at += 1
        else:
            wide = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + wide], "little")
            at += wide
        for _ in range(length):
            out.append(out[-offset])
    if len(out) != size:
        raise SystemExit("FAILED: a remote write body is not whole")
    return bytes(out)


class Mock:
    """Scrape targets, the three destinations, and what came to each."""

    def __init__(self):
        self.scraped, self.metrics, self.traces, self.written = [], [], [], []
        mock = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers all of it."""

            protocol_version = "HTTP/1.1"

            def answer(self, body=b"{}", kind="application/json"):
                """200."""
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                """A page."""
                mock.scraped.append(self.connection.getsockname()[0])
                self.answer(b"# TYPE shop_orders gauge\nshop_orders 7\n", "text/plain; version=0.0.4")

            def do_POST(self):
                """What weir sends."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                encoding = self.headers.get("Content-Encoding", "")
                if encoding == "gzip":
                    body = gzip.decompress(body)
                elif encoding == "deflate":
                    body = zlib.decompress(body)
                if self.path.startswith("/prw"):
                    mock.written.append(unsnappy(body))
                elif "TraceSegments" in self.path:
                    mock.traces += json.loads(body)["TraceSegmentDocuments"]
                elif self.headers.get("X-Amz-Target", "").endswith("PutLogEvents"):
                    mock.metrics += [event["message"] for event in json.loads(body)["logEvents"]]
                self.answer()

            def log_message(self, *_):
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def overlay(mock, ports):
    """Ports and services of this machine in place of those of the example."""
    here = f"http://127.0.0.1:{mock.port}"
    return yaml.safe_dump({
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{ports['health']}"}},
        "receivers": {
            "otlp": {"protocols": {
                "grpc": {"endpoint": f"127.0.0.1:{ports['grpc']}"},
                "http": {"endpoint": f"127.0.0.1:{ports['http']}"},
            }},
            "prometheus": {"config": {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}}},
        },
        "processors": {"batch": {"timeout": "200ms"}},
        "exporters": {
            "awsxray": {"endpoint": here},
            "awsemf": {"endpoint": here},
            "prometheusremotewrite": {"endpoint": f"{here}/prw"},
        },
        "service": {"telemetry": {"metrics": {"level": "none"}}},
    })


@contextlib.contextmanager
def weir(folder, binary, config, mock, api_port, name):
    """weir as a pod of the example's service account."""
    ports = {"health": free_port(), "grpc": free_port(), "http": free_port()}
    (folder / "config.yaml").write_text(config)
    (folder / "overlay.yaml").write_text(overlay(mock, ports))
    env = {
        "PATH": os.environ["PATH"], "K8S_NODE_NAME": NODE,
        "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api_port),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
    }
    run = [binary, f"--config={folder}/config.yaml", f"--config={folder}/overlay.yaml"]
    script = (
        f"mount -t tmpfs tmpfs {MOUNT} && mkdir -p {ACCOUNT} && cp {shlex.quote(str(folder))}/account/* {ACCOUNT}/"
        f" && exec {' '.join(shlex.quote(str(part)) for part in run)}"
    )
    with program(folder, name, ["unshare", "-m", "sh", "-c", script], env) as (process, log):
        def ready():
            if process.poll() is not None:
                raise SystemExit(f"FAILED: weir ended with {process.returncode}")
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['health']}/", timeout=5) as answer:
                return answer.status == 200
        wait_until("weir is ready", ready)
        yield ports, log


def send(ports):
    """A metric and a span as an application of the pod at 127.0.0.1 sends them."""
    now = str(time.time_ns())
    trace = f"{int(time.time()):08x}" + "0" * 20 + "0001"
    points = {"dataPoints": [{"timeUnixNano": now, "asInt": "3"}]}
    metrics = {"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [
        {"metrics": [{"name": "app_requests", "gauge": points}]}]}]}
    span = {"traceId": trace, "spanId": "0000000000000001", "name": "checkout", "kind": 2,
            "startTimeUnixNano": now, "endTimeUnixNano": now}
    traces = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}
    for signal_name, body in (("metrics", metrics), ("traces", traces)):
        request = urllib.request.Request(
            f"http://127.0.0.1:{ports['http']}/v1/{signal_name}", data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            if answer.status != 200:
                raise SystemExit(f"FAILED: {signal_name} answered with {answer.status}")


def tagged(text, name):
    """Whether a text names the pod, its namespace and its node."""
    return all(part in text for part in (name, "shop", NODE))


def suffices(folder, options, config, api_port, mock):
    """The rules of the example are enough for all that it does."""
    print("the rules of the example suffice", flush=True)
    with weir(folder, options.binary, config, mock, api_port, "weir") as (ports, log):
        wait_until("a scrape of the node's pod", lambda: mock.scraped)
        seen = {}

        def arrived():
            send(ports)
            seen["orders"] = [m for m in mock.metrics if "shop_orders" in m and tagged(m, "web")]
            seen["requests"] = [m for m in mock.metrics if "app_requests" in m and tagged(m, "web")]
            seen["spans"] = [t for t in mock.traces if "checkout" in t and tagged(t, "web")]
            series = b"\n".join(mock.written).decode(errors="replace")
            seen["written"] = all(tagged(series, part) for part in ("shop_orders", "app_requests", "k8s_pod_name", "web"))
            return all(seen.values())
        try:
            wait_until("pod, namespace and node at all three destinations", arrived)
        except SystemExit:
            print({name: bool(found) for name, found in seen.items()}, flush=True)
            raise
        must(seen["orders"] and seen["requests"], "scraped and received metrics reach CloudWatch with pod, namespace and node")
        must(seen["spans"], "spans reach X-Ray with pod, namespace and node")
        must(seen["written"], "both reach remote write with pod, namespace and node")
        must(set(mock.scraped) == {"127.0.0.1"}, "only the annotated pod of this node is scraped")
        must("watching" not in log.read_text(errors="replace"), "no watch failed")
    asked = audit(folder)
    must(all(f"spec.nodeName%3D{NODE}" in uri for _, uri in asked), "the API is asked for pods of this node only")
    must([verb for verb, _ in asked].count("list") == 1, "discovery and attributes share one watch")


def audit(folder):
    """What the service account asked, as verb and address."""
    events = [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]
    ours = [event for event in events if event["user"]["username"] == "system:serviceaccount:weir:weir"]
    return [(event["verb"], event["requestURI"]) for event in ours if event["stage"] == "ResponseStarted"
            or event["verb"] != "watch" and event["stage"] == "ResponseComplete"]


def each_is_needed(folder, options, config, api, api_port, role, mock):
    """One permission fewer is told by name, and does no harm when it comes back."""
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role['metadata']['name']}"
    permissions = [(i, resource, verb) for i, rule in enumerate(role["rules"])
                   for resource in rule["resources"] for verb in rule["verbs"]]
    for at, resource, verb in permissions:
        print(f"without {verb} on {resource}", flush=True)
        fewer = json.loads(json.dumps(role["rules"]))
        fewer[at]["verbs"].remove(verb)
        merge = "application/merge-patch+json"
        api.call("PATCH", path, {"rules": fewer}, merge)
        mock.scraped.clear()
        with weir(folder, options.binary, config, mock, api_port, f"weir-without-{verb}-{resource}") as (_, log):
            wanted = re.compile(rf'cannot {verb} resource \\*"{resource}\\*".*grant the verbs list and watch on the resource {resource}')
            wait_until("the missing permission in the log", lambda: wanted.search(log.read_text(errors="replace")))
            must(True, f"the log names {verb} on {resource}")
            api.call("PATCH", path, {"rules": role["rules"]}, merge)
            wait_until("scrapes once the permission is there", lambda: mock.scraped)
            must(True, "it gets going when the permission comes back")


def start_cluster(stack, folder, options):
    """etcd and the API server; the latter's port."""
    client, peer, port = free_port(), free_port(), free_port()
    etcd = ["etcd", "--data-dir", folder / "etcd", "--listen-client-urls", f"http://127.0.0.1:{client}",
            "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--unsafe-no-fsync"]
    if "--unsafe-no-fsync" not in subprocess.run(["etcd", "--help"], capture_output=True, text=True, check=False).stdout:
        etcd.pop()
    stack.enter_context(program(folder, "etcd", etcd, {"PATH": os.environ["PATH"], "ETCD_UNSUPPORTED_ARCH": os.uname().machine}))
    (folder / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
    (folder / "audit.yaml").write_text(yaml.safe_dump({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}))
    subprocess.run(["openssl", "genrsa", "-out", folder / "account.key", "2048"], check=True, capture_output=True)
    server = [
        options.apiserver, f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1", f"--secure-port={port}",
        "--advertise-address=127.0.0.1", f"--cert-dir={folder}/certs", "--service-cluster-ip-range=10.96.0.0/16",
        f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC", "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={folder}/account.key",
        f"--service-account-signing-key-file={folder}/account.key", "--disable-admission-plugins=ServiceAccount",
        f"--audit-policy-file={folder}/audit.yaml", f"--audit-log-path={folder}/audit.log",
    ]
    process, _ = stack.enter_context(program(folder, "kube-apiserver", server))
    api = Api(port)

    def ready():
        if process.poll() is not None:
            raise SystemExit(f"FAILED: kube-apiserver ended with {process.returncode}")
        return api.ready()
    wait_until("kube-apiserver is ready", ready, 60)
    return api, port


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--apiserver", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.binary, options.apiserver = options.binary.resolve(), options.apiserver.resolve()
    for needed in ("etcd", "unshare", "openssl"):
        if not shutil.which(needed):
            raise SystemExit(f"FAILED: {needed} is missing")
    manifests = list(yaml.safe_load_all(EXAMPLE.read_text()))
    find = {manifest["kind"]: manifest for manifest in manifests}
    made_mount = not os.path.exists(MOUNT)
    os.makedirs(MOUNT, exist_ok=True)
    mock = Mock()
    with tempfile.TemporaryDirectory(prefix="weir-kube-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        (folder / "certs").mkdir()
        (folder / "account").mkdir()
        api, port = start_cluster(stack, folder, options)
        for manifest in manifests:
            api.create(manifest)
        print(f"created: {', '.join(find)}", flush=True)
        token = api.call("POST", "/api/v1/namespaces/weir/serviceaccounts/weir/token",
                         {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        (folder / "account/token").write_text(token["status"]["token"])
        (folder / "account/namespace").write_text("weir")
        shutil.copy(folder / "certs/apiserver.crt", folder / "account/ca.crt")
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        for pod_name, node, address, scrape in (
                ("web", NODE, "127.0.0.1", True), ("quiet", NODE, "127.0.0.2", False), ("far", "node-2", "127.0.0.3", True)):
            spec, status = pod(pod_name, node, address, mock.port, scrape)
            api.create(spec)
            api.call("PATCH", f"/api/v1/namespaces/shop/pods/{pod_name}/status", status, "application/merge-patch+json")
        config = find["ConfigMap"]["data"]["config.yaml"]
        suffices(folder, options, config, port, mock)
        each_is_needed(folder, options, config, api, port, find["ClusterRole"], mock)
    if made_mount:
        with contextlib.suppress(OSError):
            os.rmdir(MOUNT)
    print("kube: the DaemonSet example works against a real API server, and each of its permissions is needed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
