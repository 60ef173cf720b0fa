#!/usr/bin/env bash
# End to end against peers: builds the bench kit and the program, runs the scenarios alternately, prints the kit's table.
#
#   KIT=../shared/bench ROTEL_BIN=... VMAGENT_BIN=... ADOT_BIN=... benches/compare.sh [repeats]
#
# Peers whose variable is not set are left out. Pins the load to core 0 and the program to core 1.
set -euo pipefail
cd "$(dirname "$0")/.."
kit=$(cd "${KIT:-../shared/bench}" && pwd)
repeats=${1:-1}
work=$PWD/target/bench
mkdir -p "$work"
cargo build --locked --release
CARGO_TARGET_DIR=$work/kit cargo build --locked --release --manifest-path "$kit/Cargo.toml"
export COLBENCH=$work/kit/release/colbench CANDIDATE_BIN=$PWD/target/release/weir
out=$work/results.jsonl
rm -f "$out"
run() { # peers, scenarios
    local collectors=candidate peer
    for peer in $1; do
        local variable=${peer^^}_BIN
        if [ -n "${!variable:-}" ]; then collectors+=,$peer; fi
    done
    "$kit/bench.py" run --collectors "$collectors" --scenarios "$2" --repeats "$repeats" --out "$out"
}
"$COLBENCH" floor --cpu 1
run "adot" s1,s1n,s1r,s2,s3,s3n
run "adot vmagent" s4,s4big
run "adot rotel" s5t,s5m,s7
"$kit/bench.py" report "$out"
