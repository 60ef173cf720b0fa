#!/usr/bin/env python3
"""What plain HTTP costs at the pace of the kit's scenarios: the least that a collector on the same libraries can take.

    COLBENCH=.../colbench benches/transport.py [ROUNDS]

The kit's own sink, which only counts, receives what a scenario sends; then the kit's own load sends as many requests of
the size that weir sends. Both are hyper without anything behind it, pinned to core 1 as the collector is. Times are CPU
time, ns per item (minimum and median of the rounds): at 20 to 100 requests a second each request finds cold caches.
"""
import json
import os
import socket
import statistics
import subprocess
import sys
import time

COLBENCH = os.environ.get("COLBENCH", "colbench")
SECONDS = 5
# scenario -> load, items a second and per request; requests sent per request received, items that make their size
SCENARIOS = {
    "s1": (["--signal", "metrics", "--series", "20000"], 10_000, 500, 1, 294),
    "s2": (["--signal", "traces", "--resources", "1", "--per-resource", "100"], 5_000, 100, 2, 88),
    "s3": (["--signal", "metrics", "--series", "20000"], 20_000, 500, 1, 146),
    "s3n": (["--signal", "metrics", "--kind", "numbers", "--series", "20000"], 50_000, 500, 1, 57),
}


def sink(core):
    """The kit's receiver on a core, and its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    process = subprocess.Popen([COLBENCH, "sink", "--listen", address, "--cpu", str(core)], stdout=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(address.split(":")).close()
            return process, address
        except OSError:
            time.sleep(0.02)


def load(address, core, seconds, rate, workers, more):
    """Runs the kit's load; what it printed."""
    command = [COLBENCH, "load", "--target", address, "--cpu", core, "--duration", seconds, "--rate", rate, "--workers", workers]
    printed = subprocess.run([str(part) for part in command] + more, capture_output=True, text=True, check=True).stdout
    return json.loads(printed)


def cpu_ns(process):
    """CPU time of all threads so far."""
    tasks = f"/proc/{process.pid}/task"
    return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks))


def receive(shape, rate):
    """CPU time to receive an item, ns."""
    process, address = sink(1)
    load(address, 0, 2, rate, 4, shape)
    before = cpu_ns(process)
    sent = load(address, 0, SECONDS, rate, 4, shape)["accepted"]
    spent = cpu_ns(process) - before
    process.kill()
    process.wait()
    return spent / sent


def send(shape, per_second, items):
    """CPU time to send a request, ns, and its bytes."""
    process, address = sink(0)
    shape = shape + ["--protocol", "http", "--resources", "1", "--per-resource", str(items)]
    result = load(address, 1, SECONDS, per_second * items, 1, shape)
    process.kill()
    process.wait()
    return result["cpu_s"] * 1e9 / result["requests"], result["bytes"] // result["requests"]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("| scenario | receive, ns per item | send, ns per item | bytes of a request sent |\n|---|---|---|---|")
    for name, (shape, rate, per_request, requests, items) in SCENARIOS.items():
        received = [receive(shape, rate) for _ in range(rounds)]
        sent = [send(shape, rate // per_request * requests, items) for _ in range(rounds)]
        size = sent[0][1]
        sent = [cost * requests / per_request for cost, _ in sent]
        show = lambda values: f"{min(values):.0f} / {statistics.median(values):.0f}"
        print(f"| {name} | {show(received)} | {show(sent)} | {requests} x {size} |", flush=True)


if __name__ == "__main__":
    main()
