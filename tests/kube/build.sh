#!/usr/bin/env bash
# Builds the kube-apiserver of tests/kube/apiserver into target/kube, unless that is there already.
set -euo pipefail
cd "$(dirname "$0")/apiserver"
out=../../../target/kube
mkdir -p "$out"
stamp=$(cat go.mod go.sum main.go | sha256sum)
[ -x "$out/kube-apiserver" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
PATH="$PATH:/usr/local/go/bin"
command -v go >/dev/null || { echo "Go is missing: kube-apiserver is built from its Go modules"; exit 1; }
version=$(sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\)$|\1|p' go.mod)
minor=${version#v1.}
flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
flags="$flags -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
echo "building kube-apiserver $version (some minutes)"
GOFLAGS=-mod=readonly CGO_ENABLED=0 timeout 2400 go build -trimpath -ldflags "$flags" -o "$out/kube-apiserver" .
echo "$stamp" > "$out/stamp"
