# gotapi-ws. `make` lists what there is to do.
#
# Needs Go and a POSIX shell; `make test` also redis-server, which it installs
# on Debian when it runs as root; what is about JavaScript also Node 20 and npm.
# No target downloads anything but Go modules, npm and Debian packages.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What is released is one module; the others use it, and nobody imports them.
MODULES := . e2e deploy/verify deploy/sbom
FOLDERS := internal proto wire access hooks services edge historysvc standalone clients/go examples/go cli e2e
PACKAGES := $(FOLDERS:%=./%/...)
MAINS := ./edge/cmd/edge ./historysvc/cmd/historysvc ./standalone/cmd/gotapi-ws ./cli/cmd/gotapi
BIN := $(CURDIR)/.bin

# ---- tools: pinned, from the Go module proxy, installed into .bin on first use

BUF_VERSION           := v1.75.0
PROTOC_GO_VERSION     := v1.36.12
PROTOC_GRPC_VERSION   := v1.6.2
GATEWAY_VERSION       := v2.33.0
GOLANGCI_VERSION      := v2.15.0
GOTESTSUM_VERSION     := v1.13.0
BENCHSTAT_VERSION     := v0.0.0-20260908200009-22c9c6c9d4da
DEADCODE_VERSION      := v0.52.0
GORELEASER_VERSION    := v2.15.1
GOVULNCHECK_VERSION   := v1.9.0

# $(call tool,name,module path,version): a stamp that stands for the tool.
TOOLS :=
define tool
$(1)_TOOL := $(BIN)/.$(1)-$(3)
TOOLS += $$($(1)_TOOL)
$$($(1)_TOOL):
	@mkdir -p $(BIN); rm -f $(BIN)/.$(1)-*
	GOBIN=$(BIN) GOFLAGS= go install $(2)@$(3)
	@touch $$@
endef
$(eval $(call tool,buf,github.com/bufbuild/buf/cmd/buf,$(BUF_VERSION)))
$(eval $(call tool,protoc-gen-go,google.golang.org/protobuf/cmd/protoc-gen-go,$(PROTOC_GO_VERSION)))
$(eval $(call tool,protoc-gen-go-grpc,google.golang.org/grpc/cmd/protoc-gen-go-grpc,$(PROTOC_GRPC_VERSION)))
$(eval $(call tool,protoc-gen-grpc-gateway,github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway,$(GATEWAY_VERSION)))
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_VERSION)))
$(eval $(call tool,gotestsum,gotest.tools/gotestsum,$(GOTESTSUM_VERSION)))
$(eval $(call tool,benchstat,golang.org/x/perf/cmd/benchstat,$(BENCHSTAT_VERSION)))
$(eval $(call tool,deadcode,golang.org/x/tools/cmd/deadcode,$(DEADCODE_VERSION)))
$(eval $(call tool,govulncheck,golang.org/x/vuln/cmd/govulncheck,$(GOVULNCHECK_VERSION)))
$(eval $(call tool,goreleaser,github.com/goreleaser/goreleaser/v2,$(GORELEASER_VERSION)))
GENERATORS := $(protoc-gen-go_TOOL) $(protoc-gen-go-grpc_TOOL) $(protoc-gen-grpc-gateway_TOOL)

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: tools
tools: $(filter-out $(goreleaser_TOOL),$(TOOLS)) ## install all pinned tools into .bin, but goreleaser, which builds for minutes

# ---- build and run

VERSION ?= $(shell git describe --tags --always --abbrev=12 --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
DATE    ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
PROGRAM_PKG := github.com/gotapi/gotapi-ws/services/program
CLI_PKG := github.com/gotapi/gotapi-ws/cli
LDFLAGS := -s -w $(foreach p,$(PROGRAM_PKG) $(CLI_PKG),-X $(p).version=$(VERSION) -X $(p).commit=$(COMMIT) -X $(p).date=$(DATE))
# Without the workspace: the versions are those of go.mod, as with `go install`.
GO_BUILD := CGO_ENABLED=0 GOWORK=off go build -trimpath -ldflags '$(LDFLAGS)'

.PHONY: build
build: ## build bin/edge, bin/historysvc, bin/gotapi-ws (both in one process) and bin/gotapi (the client)
	$(GO_BUILD) -o bin/ $(MAINS)

.PHONY: reproducible
reproducible: ## build HEAD twice, from nothing, and compare: the same programs, static
	scripts/reproducible.sh

.PHONY: run
run: ## build and run both services in one process, no Redis needed (ARGS='-listen ...')
	$(GO_BUILD) -o bin/gotapi-ws ./standalone/cmd/gotapi-ws
	@exec bin/gotapi-ws $(ARGS)

# ---- the contract between the services

.PHONY: gen
gen: $(buf_TOOL) $(GENERATORS) ## generate Go from proto/
	PATH="$(BIN):$$PATH" buf generate

.PHONY: gen-check
gen-check: $(buf_TOOL) $(GENERATORS) ## fail if the generated code is not what `make gen` makes
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	PATH="$(BIN):$$PATH" buf generate -o "$$tmp"; \
	diff -r "$$tmp/proto/gen" proto/gen || { echo 'proto/gen is not current: run `make gen`' >&2; exit 1; }

.PHONY: proto-check
proto-check: $(buf_TOOL) ## lint and format of proto/, and no breaking change against main
	PATH="$(BIN):$$PATH" buf lint
	PATH="$(BIN):$$PATH" buf format --diff --exit-code
	PATH="$(BIN):$$PATH" scripts/proto-breaking.sh

# ---- JavaScript: the npm packages, and the pages of the edge

# Installed as the lock file says; not again while that stays the same.
clients/%/node_modules/.package-lock.json: clients/%/package-lock.json
	cd clients/$* && npm ci --no-audit --no-fund
	@touch $@

.PHONY: web
web: clients/console/node_modules/.package-lock.json ## build clients/console into the assets that the edge embeds
	cd clients/console && npm run build

.PHONY: web-check
web-check: clients/console/node_modules/.package-lock.json ## fail if the assets are not what `make web` makes
	cd clients/console && npm run check

.PHONY: test-js
test-js: redis build web-check clients/js/node_modules/.package-lock.json clients/openapi/node_modules/.package-lock.json ## the npm packages, the pages in Chromium, and clients generated from OpenAPI
	@scripts/ensure-browsers.sh chromium
	cd clients/js && npm test
	cd clients/console && npm test
	cd clients/openapi && npm test

BROWSERS ?= chromium firefox webkit
.PHONY: test-browsers
test-browsers: redis build clients/js/node_modules/.package-lock.json clients/console/node_modules/.package-lock.json ## the pages and the client in BROWSERS: chromium, firefox and webkit
	@scripts/ensure-browsers.sh $(BROWSERS)
	cd clients/js && npm run build
	cd clients/console && BROWSERS='$(BROWSERS)' npm run test:engines

# ---- checks and tests

.PHONY: lint
lint: $(golangci-lint_TOOL) $(deadcode_TOOL) ## golangci-lint, unreachable code, tidy modules, modules that build alone, subjects of commits
	$(BIN)/golangci-lint run --allow-parallel-runners $(PACKAGES)
	scripts/commit-subjects.sh
	scripts/deadcode.sh $(BIN)/deadcode $(MAINS) ./standalone/cmd/reference
	scripts/modules.sh $(MODULES)

.PHONY: outsider
outsider: ## prove that others can `go install` the programs and import the Go client
	scripts/outsider.sh

.PHONY: words
words: ## refuse turns of phrase, and lines of Markdown over 100 columns (part of lint)
	scripts/words.sh
lint: words

.PHONY: fmt
fmt: $(golangci-lint_TOOL) $(buf_TOOL) ## format Go and proto files
	$(BIN)/golangci-lint fmt $(FOLDERS)
	$(BIN)/buf format -w

# STORE=redis8 or valkey: all targets that start a redis-server use that product
# (scripts/ensure-redis.sh); none: the one in PATH. The programs are kept in STORES,
# outside the repository.
STORE ?=
STORES ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gotapi-ws/stores
ifneq ($(STORE),)
export PATH := $(STORES)/$(STORE):$(PATH)
endif

.PHONY: redis
redis: # redis-server is there, or is installed
	@scripts/ensure-redis.sh $(if $(STORE),$(STORE) '$(STORES)')

# Like clients/%/node_modules.
examples/grpc/node/node_modules/.package-lock.json: examples/grpc/node/package-lock.json
	cd examples/grpc/node && npm ci --no-audit --no-fund
	@touch $@

.PHONY: examples
examples: examples/grpc/node/node_modules/.package-lock.json ## prepare the examples, to run or to test them
	@scripts/ensure-python.sh
	PATH="/usr/bin:$$PATH" examples/grpc/python/generate.sh

# gotestsum shows one line per package, and at the end what failed or was skipped.
GO_TEST := $(BIN)/gotestsum --format pkgname --format-hide-empty-pkg -- -race -shuffle=on

.PHONY: test
test: redis build $(gotestsum_TOOL) ## everything in Go: unit, contract, integration (real Redis), end to end with the built binaries
	$(GO_TEST) -timeout 5m $(filter-out ./e2e/...,$(PACKAGES))
	E2E_BIN=$(CURDIR)/bin $(GO_TEST) -timeout 8m $$(go list ./e2e/... | grep -v '/e2e/examples$$')

.PHONY: test-examples
test-examples: redis build examples $(gotestsum_TOOL) ## the examples in Python and Node (as root on Debian it installs packages of Python)
	E2E_BIN=$(CURDIR)/bin $(GO_TEST) -timeout 5m ./e2e/examples

STORE_PACKAGES := ./historysvc/... ./e2e/conformance ./e2e/whole ./e2e/faults ./e2e/playbook
.PHONY: test-store
test-store: redis build $(gotestsum_TOOL) ## what depends on the product of STORE (redis8, valkey; none: the one in PATH): the store, its contract, end to end
	E2E_BIN=$(CURDIR)/bin $(GO_TEST) -timeout 8m $(STORE_PACKAGES)

.PHONY: docs
docs: redis build ## write the tables of docs/configuration.md from the flags, those of docs/metrics.md from what the built programs export
	go run ./standalone/cmd/reference docs/configuration.md
	E2E_BIN=$(CURDIR)/bin go test -count=1 -run Reference ./e2e/operations -update

.PHONY: manifests
manifests: ## write deploy/kubernetes from the chart deploy/helm/gotapi-ws
	cd deploy/verify && go test -count=1 -run PlainManifests . -update

# A module of its own: nothing else depends on Kubernetes.
.PHONY: test-deploy
test-deploy: build $(gotestsum_TOOL) $(golangci-lint_TOOL) ## what is in deploy/: chart, manifests, units, compose files, rules and dashboard
	@scripts/ensure-deploy-tools.sh
	cd deploy/verify && $(BIN)/golangci-lint run --allow-parallel-runners ./...
	cd deploy/verify && E2E_BIN=$(CURDIR)/bin $(GO_TEST) -timeout 5m ./...

.PHONY: check
check: lint proto-check gen-check test test-examples test-deploy ## all that must pass before a change lands

FUZZTIME ?= 50000x
.PHONY: fuzz
fuzz: ## run each fuzz target FUZZTIME times (50000x), or so long (10m)
	scripts/fuzz.sh $(FUZZTIME) $(FOLDERS)

BENCH ?= .
COUNT ?= 6
OUT ?= bin/bench.txt
.PHONY: bench
bench: $(benchstat_TOOL) redis ## benchmarks matching BENCH, COUNT times, into OUT; compared with OLD if that is given
	@mkdir -p $(dir $(OUT))
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PACKAGES) | tee $(OUT)
	$(BIN)/benchstat $(OLD) $(OUT)

LOAD_FOR ?= 10s
LOAD_RUN ?= .
LOAD_ARGS ?=
.PHONY: load
load: redis build ## CPU per million messages, latency and memory of the built programs; cases matching LOAD_RUN, LOAD_FOR each
	go run ./e2e/load -bin bin -for $(LOAD_FOR) -run '$(LOAD_RUN)' $(LOAD_ARGS)

.PHONY: test-compose
test-compose: ## prove docker-compose.yml with a real Docker engine (Linux, root)
	deploy/compose-test.sh

CHAOS_FOR ?= 2m
CHAOS_SEED ?=
CHAOS_ARGS ?=
.PHONY: chaos
chaos: redis build ## kill, stop, cut and slow everything under load for CHAOS_FOR (2m) with the faults of CHAOS_SEED; check every promise
	go build -o bin/chaos ./e2e/chaos
	E2E_BIN=$(CURDIR)/bin bin/chaos -for $(CHAOS_FOR) $(if $(CHAOS_SEED),-seed $(CHAOS_SEED)) -dump bin/chaos-failed $(CHAOS_ARGS)

.PHONY: chaos-selftest
chaos-selftest: redis ## prove that `make chaos` finds builds that are broken on purpose
	CHAOS_SELFTEST=1 go test -count=1 -v -timeout 10m -run Broken ./e2e/chaos

STORM_ARGS ?=
.PHONY: storm
storm: redis build ## kill an edge with 10,000 members; how fast they are back on the others, what it costs, and that nothing is missing
	go build -o bin/storm ./e2e/storm
	E2E_BIN=$(CURDIR)/bin bin/storm $(STORM_ARGS)

# ---- what it is made of

NPM_LOCKS := $(CURDIR)/clients/js/package-lock.json,$(CURDIR)/clients/console/package-lock.json
PROGRAMS = $(patsubst %,$(CURDIR)/bin/%,$(notdir $(MAINS)))

# ---- releases

.PHONY: release
release: $(goreleaser_TOOL) ## build the release of the tag VERSION into dist/: archives, packages, checksums
	@[ "$$(git describe --tags --exact-match 2>/dev/null)" = "$(VERSION)" ] || { echo 'check out the tag first: make release VERSION=v0.1.0' >&2; exit 1; }
	$(BIN)/goreleaser release --clean --skip=publish

.PHONY: release-snapshot
release-snapshot: $(goreleaser_TOOL) ## build such a release of what is checked out
	SNAPSHOT=1 $(BIN)/goreleaser release --clean --snapshot

.PHONY: sbom
sbom: build ## write bin/sbom.cdx.json (CycloneDX): what the programs and packages are made of; fail on a licence that is not allowed
	cd deploy/sbom && go run . -out $(CURDIR)/bin/sbom.cdx.json -version $(VERSION) -npm $(NPM_LOCKS) $(PROGRAMS)

.PHONY: audit
audit: sbom $(golangci-lint_TOOL) ## the parts and their licences, tests of the tool that lists them, and gosec over everything
	cd deploy/sbom && go vet ./... && go test ./...
	$(BIN)/golangci-lint run --allow-parallel-runners --enable-only gosec $(PACKAGES)
	cd deploy/sbom && $(BIN)/golangci-lint run --allow-parallel-runners ./...

# Apart from audit, because they ask databases that a closed network does not reach.
.PHONY: audit-online
audit-online: $(govulncheck_TOOL) ## known vulnerabilities: govulncheck (vuln.go.dev) and npm audit
	cd clients/js && npm audit --package-lock-only
	cd clients/console && npm audit --package-lock-only
	$(BIN)/govulncheck $(PACKAGES)

ADDR ?= 127.0.0.1:4998
.PHONY: conformance
conformance: ## run the protocol's conformance suite against the server at ADDR (host:port)
	go test -count=1 -v ./e2e/conformance -args -addr=$(ADDR)

.PHONY: clean
clean: ## remove what was built; the tools in .bin stay
	rm -rf bin
