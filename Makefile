# Two commands matter to a new user: `make run` and `make test`. The rest are their parts.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export GOFLAGS ?= -buildvcs=false
export QPOINT_DATA_DIR ?= ./data

BINARY  := _build/otelcol-qpoint
AGENT   := _build/agent/otelcol-qpoint-agent
CONFIG  := distributions/otelcol-qpoint/configs/demo.yaml
TOOL    := go tool -modfile=tools/go.mod
RELEASE := go tool -modfile=tools/release/go.mod
VERSION := $(shell sed -n 's/^  version: //p' builder-config.yaml)
ARCH    := $(shell go env GOARCH)
# Files of a package are as old as the commit: two builds of one commit are the same to the byte.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
# What the binary is made of: it is rebuilt when one of these is newer.
SOURCES := $(shell git ls-files -co --exclude-standard 'bpf/*' 'exporter/*' 'extension/*' 'internal/*' 'processor/*' 'receiver/*' 2>/dev/null | grep -v '_test\.go$$' | grep -v '/testdata/' | grep -v '/web/')
# Tests that drive the kernel are bound to its timing and run without the race detector.
KERNEL_TESTS := ./bpf/... ./receiver/qtapreceiver ./receiver/qtapreceiver/internal/kernel/... ./receiver/qtapreceiver/internal/restart

# Runs tests. Up to three that fail are run once more: they need real kernels, programs and browsers, and one hiccup in some
# thousand of them must not hide what the rest says. What passed only then is listed at the end, and is a bug to be filed.
# RERUNS=0 fails at once.
RERUNS ?= 1
define GOTEST
	@mkdir -p _build && rm -f _build/$@.second-runs
	$(TOOL) gotestsum --format standard-quiet --rerun-fails=$(RERUNS) --rerun-fails-max-failures=3 --rerun-fails-report=_build/$@.second-runs --packages="$(2)" -- $(1)
	@if [ -s _build/$@.second-runs ]; then echo 'passed only in a second run:'; cat _build/$@.second-runs; fi
endef

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: $(BINARY) chdb ## build what is missing and start the demo
	@if [ "$$(id -u)" != 0 ]; then echo 'make run needs root: it loads eBPF programs (try: sudo -E make run)' >&2; exit 1; fi
	@mkdir -p "$(QPOINT_DATA_DIR)"
	exec $(BINARY) --config $(CONFIG)

.PHONY: doctor
doctor: $(BINARY) ## say what this host and your rights allow (exit code 1: something is missing)
	@$(BINARY) --config distributions/otelcol-qpoint/configs/doctor.yaml

.PHONY: build
build: $(BINARY) ## build the distribution with ocb

$(BINARY): builder-config.yaml go.mod go.sum tools/go.mod $(SOURCES)
	CGO_ENABLED=0 $(TOOL) builder --config builder-config.yaml
	@touch $(BINARY)

.PHONY: agent
agent: $(AGENT) ## build the lean agent with ocb

$(AGENT): builder-config.agent.yaml go.mod go.sum tools/go.mod $(SOURCES)
	@mkdir -p _build
	CGO_ENABLED=0 $(TOOL) builder --config builder-config.agent.yaml
	@touch $(AGENT)

# nfpm takes SOURCE_DATE_EPOCH. The agent needs nothing of the whole distribution.
PACKAGE = @mkdir -p _build/packages; find _build/packages -name "$(1)[_-][0-9]*.$(2)" -delete; VERSION=$(VERSION) ARCH=$(ARCH) $(RELEASE) nfpm package --target _build/packages --packager
.PHONY: deb rpm deb-agent rpm-agent
deb rpm: %: %-agent $(BINARY) ## make the packages of the distribution and of the agent in _build/packages
	$(call PACKAGE,otelcol-qpoint,$@) $@ --config distributions/otelcol-qpoint/package/nfpm.full.yaml
deb-agent rpm-agent: %-agent: $(AGENT)
	$(call PACKAGE,otelcol-qpoint-agent,$*) $* --config distributions/otelcol-qpoint/package/nfpm.agent.yaml

.PHONY: sbom sbom-agent
sbom: sbom-agent $(BINARY) ## write what the binaries are made of (CycloneDX) to _build/packages
	@mkdir -p _build/packages
	$(RELEASE) cyclonedx-gomod bin -json -noserial -output _build/packages/otelcol-qpoint.cdx.json $(BINARY)
sbom-agent: $(AGENT)
	@mkdir -p _build/packages
	$(RELEASE) cyclonedx-gomod bin -json -noserial -output _build/packages/otelcol-qpoint-agent.cdx.json $(AGENT)

.PHONY: check-reproducible
check-reproducible: ## build the agent and its packages twice, in two folders: every byte must be the same
	scripts/reproduce.sh

.PHONY: chdb
chdb: ## fetch the embedded ClickHouse (libchdb) once
	@scripts/fetch-chdb.sh >/dev/null

.PHONY: generate
generate: packages-build ## make the BPF objects anew from their C sources
	go generate ./bpf/... ./tests/bench/peer

.PHONY: docs
docs: ## make the tables of docs/configure.md and docs/operate.md anew from configurations, READMEs and metrics
	go test ./tests/docs -run '^Test(Configure|Operate)$$' -update

.PHONY: ui
ui: ## build the page into extension/pulseapiextension/dist
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || a == 22 && b >= 12 || a == 20 && b >= 19 ? 0 : 1)' || { echo 'the page is built with Node 20.19, 22.12 or newer' >&2; exit 1; }
	cd extension/pulseapiextension/web && npm ci --ignore-scripts && npm run check && npm run build

.PHONY: packages-build packages-test
packages-build: ## install the Debian packages that generate needs
	@scripts/packages.sh clang-19:clang-19 llvm-strip-19:llvm-19
packages-test: ## install the Debian packages that the tests drive
	@scripts/packages.sh curl:curl openssl:openssl nginx:nginx-light wrk:wrk chromium:chromium python3:python3 ip:iproute2 wget:wget gnutls-cli:gnutls-bin git:git /usr/lib/git-core/git-http-backend:git node:nodejs javac:openjdk-17-jdk-headless tstclnt:libnss3-tools npm:npm gcc:gcc musl-gcc:musl-tools nft:nftables unzip:unzip pgrep:procps
	@scripts/openssl-1.1.sh
	@scripts/bun-musl.sh

.PHONY: test
test: test-unit test-chart test-kernel test-e2e test-faults-short ## run the tests of this host

# npm ci is what gives the browser tests their driver.
.PHONY: npm
npm:
	cd tests && npm ci --ignore-scripts --silent
	cd extension/pulseapiextension/web && npm ci --ignore-scripts --silent

.PHONY: test-unit
test-unit: packages-test chdb npm ## run the tests of the packages, under the race detector
	$(call GOTEST,-race -timeout 30m -p 2,$$(go list ./... | grep -vxF "$$(go list $(KERNEL_TESTS) ./tests/e2e ./tests/exactness ./tests/faults)" | xargs))

.PHONY: test-kernel
test-kernel: packages-test npm ## run the tests that load eBPF programs (root)
	$(call GOTEST,-count=1 -timeout 30m -p 1,$(KERNEL_TESTS))

.PHONY: test-e2e
test-e2e: packages-test chdb npm $(BINARY) ## drive the built binary with real programs (root)
	$(call GOTEST,-count=1 -timeout 60m,./tests/e2e)

# OUTAGE=2m makes each outage shorter. The disk under a queue is in the long form only until it has been repeated often enough.
.PHONY: test-faults-short test-faults
test-faults-short: packages-test chdb $(BINARY)
	$(call GOTEST,-count=1 -timeout 60m -skip '^TestCapture|^TestQueueDiskFull$$',./tests/faults)
test-faults: packages-test chdb $(BINARY) ## take the stores away for 10 minutes in every way, fill disks, kill processes (root; takes hours)
	go test -count=1 -timeout 6h -v ./tests/faults -outage=$(or $(OUTAGE),10m)

# Short forms: a load that no queue can overflow with, and faults of what is captured.
.PHONY: test-load
test-load: packages-test chdb $(BINARY) ## account for every request of a load, and break what is captured (root)
	go test -count=1 -p 1 -timeout 30m ./tests/exactness
	go test -count=1 -p 1 -timeout 30m -run '^TestCapture' ./tests/faults

# RATE=0 finds the highest rate that the machine holds; MINUTES is how long it is held.
.PHONY: test-exactness
test-exactness: packages-test chdb $(BINARY) ## account for every request of 40 minutes at the highest rate that is held (root)
	go test -count=1 -timeout 6h -v -run '^TestExactness$$' ./tests/exactness -rate $(or $(RATE),0) -duration $(or $(MINUTES),40)m -out $(CURDIR)/tests/exactness/exactness.json

.PHONY: test-capture-faults
test-capture-faults: packages-test chdb $(BINARY) ## the long forms: 100,000 connections, 1,000 cgroups, 20 mutations of each seed (root)
	go test -count=1 -timeout 2h -v -run '^TestCapture' ./tests/faults -long

.PHONY: soak
soak: packages-test chdb $(BINARY) ## hold a load for MINUTES (60): memory and file descriptors must stay flat (root)
	go test -count=1 -timeout 6h -v -run '^TestSoak$$' ./tests/exactness -minutes $(or $(MINUTES),60) -out $(CURDIR)/tests/exactness/soak.json

# The proof that nothing is attributed to the wrong connection, process or request; make test runs its short form.
.PHONY: test-attribution
test-attribution: packages-test ## 20,000 exchanges of each program, faults on the line, forgeries, 10,000 joined pairs (root)
	go test -count=1 -timeout 30m -v -run '^Test(Attribution|Faults|Overflow|TraceJoin|Forged)' ./receiver/qtapreceiver -exchanges=20000

# The proof that sensitive data stays in the bucket; make test runs its short form.
.PHONY: test-privacy
test-privacy: packages-test chdb $(BINARY) ## plant 50,000 canaries twice and search all that is written or sent (root)
	go test -count=1 ./tests/privacy/...
	go test -count=2 -timeout 40m -v -run '^TestCanaries' ./tests/e2e -canaries=50000

# Figures of tests/privacy/README.md; make test runs a short form of the first.
.PHONY: bench-privacy
bench-privacy: ## recall and precision of the detectors, and their speed beside contrib's redaction processor
	go run ./tests/privacy/recall -out tests/privacy/recall.json
	cd tests/privacy/contrib && go run . -out ../throughput.json

# One line of Debian kernels after the other, each in a virtual machine; ONLY=6.1 runs one.
.PHONY: test-kernels
test-kernels: packages-test ## run the capture's tests on kernels 5.10, 6.1, 6.12 and 7.x, and on arm64, in QEMU
	@scripts/packages.sh qemu-system-x86_64:qemu-system-x86 qemu-system-aarch64:qemu-system-arm /usr/bin/python3:python3
	go run ./tests/kernels -only "$(ONLY)"

# A module of its own: Helm is a large dependency that only this needs.
.PHONY: test-chart
test-chart: ## render the Helm chart and decode it strictly
	cd tests/chart && go test ./...

# With systemd as it is on the host's distribution, on a kernel of test-kernels.
.PHONY: test-packages
test-packages: packages-test deb rpm ## install, start, use and remove the packages in a virtual machine
	@scripts/packages.sh qemu-system-x86_64:qemu-system-x86 rpm:rpm zstd:zstd xz:xz-utils /lib/systemd/systemd:systemd ip:iproute2
	go run ./tests/packages

# Apart from make test: it builds two more collectors.
.PHONY: test-foreign
test-foreign: packages-test chdb $(BINARY) ## build and run collectors of others that take single parts of this project (root)
	go test -count=1 -timeout 30m -tags foreign -v -run '^TestForeign$$' ./tests/e2e

.PHONY: check-arm64
check-arm64: ## build everything for arm64
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build ./...
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go vet $(KERNEL_TESTS)

# FULL=1 measures the whole matrix (two to three hours) and installs mitmproxy and tshark, which are measured where they are there. RESUME=1 goes on with results.json.
.PHONY: bench packages-bench
bench: packages-test $(if $(FULL),packages-bench) chdb $(BINARY) ## measure what watching costs (root; at most 12 minutes, FULL=1: hours)
	go run ./tests/bench -collector $(BINARY) $(if $(FULL),,-quick) $(if $(RESUME),-resume) -only "$(ONLY)"
packages-bench:
	@scripts/packages.sh mitmdump:mitmproxy tshark:tshark

.PHONY: bench-stages
bench-stages: chdb ## measure each stage of the collector alone, with its allocations
	go test -run '^$$' -bench '^BenchmarkDecodePacket$$' -benchmem ./receiver/qtapreceiver/internal/kernel
	go test -run '^$$' -bench '^BenchmarkKeepAlive$$' -benchmem ./receiver/qtapreceiver/internal/l7/http1
	go test -run '^$$' -bench '^BenchmarkReplay$$' -benchmem ./receiver/qtapreceiver/internal/engine
	go test -run '^$$' -bench '^BenchmarkTraces$$' -benchmem ./processor/anonymizeprocessor
	go test -run '^$$' -bench '^BenchmarkPack$$' -benchmem ./internal/archive
	go test -run '^$$' -bench '^BenchmarkUpload$$' -benchmem ./exporter/qpoints3exporter
	go test -run '^$$' -bench '^Benchmark(Convert|Push)$$' -benchmem ./exporter/pulseexporter

# ROWS=1000000 fills the store with fewer rows.
.PHONY: bench-store
bench-store: chdb ## compare pulse with contrib's clickhouse exporter, and ask a day of 50M rows (takes an hour)
	cd tests/bench/contrib && go run . -out ../store.json
	go run ./tests/bench/store -rows $(or $(ROWS),50000000) -out tests/bench/questions.json

# The gateway once more with an extension that profiles it, for the bench alone: it is in no package. ONLY=knee, memory or objects measures that.
.PHONY: bench-scale
bench-scale: chdb $(BINARY) ## find how much one gateway takes, and count what payloads ask of a bucket (root, 2 CPUs, 10 minutes)
	@mkdir -p _build/scale
	sed -e 's#^  output_path: .*#  output_path: ./_build/scale#' -e 's#^    path: \.$$#    path: $(CURDIR)#' -e 's#^extensions:#&\n  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/extension/pprofextension v0.161.0#' builder-config.yaml > _build/scale.yaml
	CGO_ENABLED=0 $(TOOL) builder --config _build/scale.yaml
	go run ./tests/scale -collector $(BINARY) -profiled _build/scale/otelcol-qpoint $(if $(ONLY),-only $(ONLY))

.PHONY: lint
lint: ## gofmt, licence headers, vet, golangci-lint
	@out=$$(git ls-files '*.go' | grep -v '_bpfe' | xargs gofmt -l); if [ -n "$$out" ]; then echo "not gofmt-ed: $$out" >&2; exit 1; fi
	@out=$$(git ls-files 'bpf/*.[ch]' 'tests/bench/peer/*.c' '*.go' | grep -v '_bpfe' | xargs grep -L 'SPDX-License-Identifier: Apache-2.0'); if [ -n "$$out" ]; then echo "without a licence header: $$out" >&2; exit 1; fi
	go vet ./...
	go vet -tags foreign ./...
	$(TOOL) golangci-lint run --timeout 15m

.PHONY: check-generated
check-generated: generate ui ## fail when a committed generated file is not what its sources produce
	@git diff --exit-code --stat -- bpf tests/bench/peer extension/pulseapiextension/dist || { echo 'generated files differ from their sources: commit the output of `make generate ui`' >&2; exit 1; }
	@out=$$(git ls-files --others --exclude-standard -- bpf tests/bench/peer extension/pulseapiextension/dist); if [ -n "$$out" ]; then echo "generated but not committed: $$out" >&2; exit 1; fi

.PHONY: clean
clean: ## remove build outputs (./data stays)
	rm -rf _build
