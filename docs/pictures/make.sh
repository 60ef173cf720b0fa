#!/bin/sh
# Draws the pictures of docs/anomaly-detection.md: make.sh [PROGRAM]
set -eu
cd "$(dirname "$0")/../.."
weir=${1:-target/debug/weir}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
draw() { # PICTURE SERIES SPAN [ARGUMENTS]
    picture=$1 series=$2 span=$3
    shift 3
    $weir backtest examples/backtest --quiet --min 0 --svg "$work" --span "$span" "$@" >"$work/summary"
    cp "$work/$series.svg" "docs/pictures/$picture.svg"
}
draw learning requests 2025-03-03..2025-03-08
draw band requests 2025-03-15..2025-03-21
draw shift requests 2025-03-24..2025-03-28
draw threshold cpu 2025-03-10T12:00:00Z..2025-03-15 --threshold above=80
