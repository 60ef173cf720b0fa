# Two commands do all the set-up on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test fmt clippy unit checks deny conformance interop moto report-test soak test-kube build bench order tools

CARGO ?= cargo
KIT ?= ../shared/conformance
KIT_BENCH ?= ../shared/bench
VENV ?= target/venv

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: tools ## Build the program and run its demo (about a minute, then it ends by itself)
	$(CARGO) build --locked --profile release-fast
	./target/release-fast/weir demo

test: tools fmt clippy checks deny conformance unit ## Everything that CI checks

tools:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install rustup (https://rustup.rs), then run make again"; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing: install gcc (Debian: apt-get install build-essential)"; exit 1; }

fmt: ## Formatting
	$(CARGO) fmt --all --check

clippy: ## Lints; warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

checks: ## File sizes, plain ASCII sources, components that keep to themselves
	$(CARGO) run --locked --quiet -p xtask -- check

deny: ## Licences, banned crates, sources
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --log-level error check bans licenses sources

# A run repeats itself; other inputs: make unit PROPTEST_RNG_SEED=$$RANDOM
PROPTEST_RNG_SEED ?= 1
unit: ## Unit, property, golden and integration tests
	PROPTEST_RNG_SEED=$(PROPTEST_RNG_SEED) $(CARGO) test --locked --workspace

build: ## The program, optimised
	$(CARGO) build --locked --release

order: ## Writes the order of functions in the program anew, after an update of crates (needs valgrind and KIT_BENCH)
	WEIR_SYMBOLS=1 $(CARGO) build --locked --release
	KIT=$(KIT_BENCH) benches/order.py target/release/weir

bench: ## Micro benches
	$(CARGO) bench --locked --workspace

interop: ## An OpenTelemetry SDK sends to it, a real Prometheus stores (Debian: prometheus, prometheus-node-exporter)
	$(CARGO) build --locked
	@[ -x $(VENV)-interop/bin/python ] || python3 -m venv $(VENV)-interop
	$(VENV)-interop/bin/pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt
	$(VENV)-interop/bin/python tests/interop/run.py --binary target/debug/weir
	$(VENV)-interop/bin/python tests/interop/detector.py --binary target/debug/weir

moto: ## What it sends to AWS, against moto's services with their checks of signatures and permissions on
	$(CARGO) build --locked
	@[ -x $(VENV)-moto/bin/python ] || python3 -m venv $(VENV)-moto
	$(VENV)-moto/bin/pip install --quiet --disable-pip-version-check -r tests/moto/requirements.txt
	$(VENV)-moto/bin/python tests/moto/run.py --binary target/debug/weir

test-kube: ## The DaemonSet example on a real kube-apiserver with etcd, built from its Go modules (needs root and Go)
	$(CARGO) build --locked
	@command -v etcd >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q etcd-server; }
	tests/kube/build.sh
	@[ -x $(VENV)-kube/bin/python ] || python3 -m venv $(VENV)-kube
	$(VENV)-kube/bin/pip install --quiet --disable-pip-version-check -r tests/kube/requirements.txt
	timeout 600 $(VENV)-kube/bin/python tests/kube/run.py --binary target/debug/weir --apiserver target/kube/kube-apiserver

soak: ## Two minutes each of backends that fail under load
	$(CARGO) test --locked --test it outage -- --ignored --nocapture --test-threads 1

report-test: ## The report of `weir backtest` in a headless browser (Debian: chromium)
	$(CARGO) build --locked
	python3 tests/report/run.py --binary target/debug/weir

conformance: ## The conformance kit, where it is present: no case may fail that passed before
	@if [ -d $(KIT) ]; then \
		$(CARGO) build --locked; \
		[ -x $(VENV)/bin/python ] || python3 -m venv $(VENV); \
		$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $(KIT)/requirements.txt; \
		$(VENV)/bin/python tests/conformance/gate.py --kit $(KIT) --binary target/debug/weir; \
	else echo "conformance: $(KIT) is not here; the golden files in the component folders are tested by make unit"; fi
