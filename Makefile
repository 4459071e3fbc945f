# Everything that people and CI run. Each target installs what it needs, or says in one line what is missing.
# Builds need no database: the checked queries are in worker/store/.sqlx.

CARGO ?= cargo
export SQLX_OFFLINE ?= true
# Scenarios wait for processes and servers more than they compute.
export RUST_TEST_THREADS ?= 6
# A test's error says what went wrong; where it went through is pages that hide it.
export RUST_LIB_BACKTRACE ?= 0
WITH_POSTGRES = $(CARGO) run --quiet --package watchstate-tests --bin with-postgres --

# How long `make fuzz` stays with each parser.
SECONDS ?= 60
BINARIES = --package watchstate-operator --package watchstate-worker --package watchstate-webhook
# What was just built together is run as it is: built again by itself it would get other features, and take as long again.
BUILT = WATCHSTATE_BUILT=1 $(or $(CARGO_TARGET_DIR),target)

.PHONY: help build demo test unit chart-test cluster-test cluster cluster-down judge bench fuzz lint fmt crds sqlx install

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: needs-cargo ## The release binaries, in target/release
	$(CARGO) build --release $(BINARIES)

install: needs-cargo ## watchstate-worker and watchstate-webhook into cargo's bin folder
	$(CARGO) install --locked --path worker
	$(CARGO) install --locked --path webhook

demo: needs-cargo ## Three simulated servers, real worker and receiver: see what happens and why
	$(CARGO) build --quiet --release $(BINARIES) --package watchstate-tests
	$(BUILT)/release/demo

test: lint unit chart-test cluster-test judge ## Every test there is

unit: needs-cargo ## Unit, property and scenario tests, with a Postgres of their own
	$(CARGO) build --quiet --workspace --all-targets
	WATCHSTATE_BUILT=1 $(WITH_POSTGRES) $(CARGO) test --workspace

chart-test: needs-python3 ## What the chart promises, rendered with helm
	programs=$$(tests/kubernetes/cluster programs) && PATH="$$programs:$$PATH" python3 charts/tests/run.py

# Selected together each time, so that cargo builds everything once, with the same features.
IN_CLUSTER = $(BINARIES) --package watchstate-tests

cluster-test: needs-cargo ## Tests on a real Kubernetes: $$KUBECONFIG, kind, k3d, or one that it builds and starts
	$(CARGO) build --quiet $(IN_CLUSTER)
	$(CARGO) test --quiet $(IN_CLUSTER) --test cluster --no-run
	WATCHSTATE_BUILT=1 tests/kubernetes/cluster run $(or $(CARGO_TARGET_DIR),target)/debug/with-postgres $(CARGO) test $(IN_CLUSTER) --test cluster

cluster: needs-cargo needs-curl ## A throw-away Kubernetes with everything installed, to try by hand
	$(CARGO) build --quiet $(IN_CLUSTER)
	tests/kubernetes/cluster up

cluster-down: ## Takes it away; nothing is left
	tests/kubernetes/cluster down

judge: needs-cargo needs-python3 needs-node ## Other people's client libraries against the simulators
	$(CARGO) build --quiet --package watchstate-tests
	python3 tests/judge/run.py

bench: needs-cargo ## Speed and memory of worker, receiver and operator, beside floors measured in the same run
	$(CARGO) build --quiet --release $(BINARIES) --package watchstate-tests
	$(BUILT)/release/bench

fuzz: needs-cargo needs-c++ ## The webhooks' parsers, SECONDS=60 for each
	CARGO="$(CARGO)" worker/servers/fuzz/run.sh $(SECONDS)

lint: needs-cargo ## Formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --quiet --package watchstate-tests --test cluster -- --deny warnings

fmt: needs-cargo ## Format
	$(CARGO) fmt --all

crds: needs-cargo ## Renew the resources' YAML, and their fields in docs/resources
	$(CARGO) run --quiet --package watchstate-crds --bin crdgen -- crds docs/resources
	cp crds/mediaservers.yaml crds/syncschedules.yaml charts/watchstate/files/crds/

# The tests' binary is taken as it was last built: with a changed query, the store doesn't compile before this has run.
sqlx: needs-cargo ## Renew worker/store/.sqlx after a query or a migration has changed
	@test -x target/debug/with-postgres || $(CARGO) build --package watchstate-tests --bin with-postgres
	rm -rf worker/store/.sqlx.new && mkdir worker/store/.sqlx.new
	touch worker/store/src/lib.rs
	target/debug/with-postgres --migrations worker/store/migrations env SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/worker/store/.sqlx.new \
		$(CARGO) check --package watchstate-store
	rm -rf worker/store/.sqlx && mv worker/store/.sqlx.new worker/store/.sqlx

needs-%:
	@command -v $* >/dev/null || { echo "$* is missing: install it and try again" >&2; exit 1; }
