#!/usr/bin/env python3
"""Writes benches/order.txt: names of the functions that run, those of the data path first, for the linker.

    WEIR_SYMBOLS=1 cargo build --release
    KIT=../shared/bench COLBENCH=.../colbench benches/order.py target/release/weir

Each scenario of the bench kit runs a few seconds under callgrind (Debian: valgrind). What runs more often than in the
idle scenario belongs to the data path: the more scenarios it serves, the further in front. What runs at start follows.
"""
import collections
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
KIT = os.environ.get("KIT", os.path.join(HERE, "../../shared/bench"))
COLBENCH = os.environ.get("COLBENCH", os.path.join(KIT, "target/release/colbench"))
SPANS = ["--signal", "traces", "--resources", "1", "--per-resource", "100"]
POINTS = ["--signal", "metrics", "--series", "2000"]
IDLE = "s7-idle"
# configuration of the kit -> load, nothing for scrapes and for the idle one
SCENARIOS = {
    IDLE: None,
    "s1-emf": POINTS,
    "s1r-emf-norollup-resource": POINTS,
    "s2-xray": SPANS,
    "s3-prw": POINTS,
    "s4-scrape": None,
}
TARGETS = 4


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def free_range(count):
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        held = []
        try:
            for port in range(first, first + count):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for listener in held:
                listener.close()


def start(*command, **more):
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def run(binary, name, load, folder):
    """Runs a scenario; the file that callgrind wrote."""
    ports = {key: free_port() for key in ("HEALTH", "GRPC", "HTTP", "SINK", "SELF")}
    first = free_range(TARGETS)
    values = dict(ports, INTERVAL="2s", TIMEOUT="2s", TARGETS=", ".join(f"'127.0.0.1:{first + i}'" for i in range(TARGETS)))
    text = open(os.path.join(KIT, "configs", name + ".yaml")).read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    config, out = os.path.join(folder, name + ".yaml"), os.path.join(folder, name + ".callgrind")
    open(config, "w").write(text)
    environment = dict(os.environ, AWS_ACCESS_KEY_ID="AKIDTEST", AWS_SECRET_ACCESS_KEY="test")
    others = [
        start(COLBENCH, "sink", "--listen", f"127.0.0.1:{ports['SINK']}"),
        start(COLBENCH, "targets", "--targets", TARGETS, "--series", 500, "--base-port", first),
    ]
    valgrind = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={out}"]
    weir = start(*valgrind, binary, "--config", config, env=environment)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", ports["HEALTH"]), 1).close()
                break
            except OSError:
                time.sleep(0.2)
        if load:
            target = ["--target", f"127.0.0.1:{ports['GRPC']}", "--rate", 500, "--duration", 8]
            subprocess.run([COLBENCH, "load", *map(str, target + load)], check=True, stdout=subprocess.DEVNULL)
        else:
            time.sleep(8)
        time.sleep(2)
        weir.send_signal(signal.SIGTERM)
        weir.wait(60)
    finally:
        for process in [weir, *others]:
            process.kill()
            process.wait()
    return out


def instructions(path):
    """Instructions by function, without those of the functions it calls."""
    names, counts, function, inclusive = {}, collections.Counter(), None, False
    for line in open(path):
        named = re.match(r"(c?fn)=\((\d+)\)(?: (.*))?", line)
        if named:
            if named[3]:
                # A quote and a number tell recursion apart.
                names[named[2]] = named[3].strip().split("'")[0]
            if named[1] == "fn":
                function = names[named[2]]
        elif line.startswith("calls="):
            inclusive = True
        elif cost := re.match(r"[+\-*\d]+ (\d+)$", line):
            if not inclusive:
                counts[function] += int(cost[1])
            inclusive = False
    return counts


def main():
    binary = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        found = {name: instructions(run(binary, name, load, folder)) for name, load in SCENARIOS.items()}
    idle = found.pop(IDLE)
    total = sum(found.values(), collections.Counter(idle))
    serves = {name: sum(run[name] > 1.5 * idle[name] + 50 for run in found.values()) for name in total}
    symbols = subprocess.run(["nm", binary], check=True, capture_output=True, text=True).stdout.split()
    own = set(symbols) & set(total)
    order = sorted(own, key=lambda name: (-serves[name], -total[name], name))
    with open(os.path.join(HERE, "order.txt"), "w") as out:
        out.writelines(name + "\n" for name in order)
    print(f"{len(order)} functions, {sum(serves[name] > 0 for name in order)} of them of the data path")


if __name__ == "__main__":
    main()
