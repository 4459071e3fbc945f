# Everything that people and CI run. Each target installs what it needs, or says in one line what is missing.
# Builds need no database: the checked queries are in worker/store/.sqlx.

CARGO ?= cargo
export SQLX_OFFLINE ?= true
# Scenarios wait for processes and servers more than they compute.
export RUST_TEST_THREADS ?= 6
WITH_POSTGRES = $(CARGO) run --quiet --package watchstate-tests --bin with-postgres --

.PHONY: help build demo test unit judge bench lint fmt crds sqlx install

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: needs-cargo ## The release binaries, in target/release
	$(CARGO) build --release --package watchstate-worker

install: needs-cargo ## watchstate-worker into cargo's bin folder
	$(CARGO) install --locked --path worker

demo: needs-cargo ## Three simulated servers, one real worker: see what happens and why
	$(CARGO) build --quiet --release --package watchstate-worker --package watchstate-tests
	$(CARGO) run --quiet --release --package watchstate-tests --bin demo

test: lint unit judge ## Every test there is

unit: needs-cargo ## Unit, property and scenario tests, with a Postgres of their own
	$(CARGO) build --quiet --workspace --all-targets
	WATCHSTATE_BUILT=1 $(WITH_POSTGRES) $(CARGO) test --workspace

judge: needs-cargo needs-python3 needs-node ## Other people's client libraries against the simulators
	$(CARGO) build --quiet --package watchstate-tests
	python3 tests/judge/run.py

bench: needs-cargo ## Speed and memory, as ratios to floors measured in the same run
	$(CARGO) build --quiet --release --package watchstate-worker --package watchstate-tests
	$(CARGO) run --quiet --release --package watchstate-tests --bin bench

lint: needs-cargo ## Formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --workspace --all-targets -- --deny warnings

fmt: needs-cargo ## Format
	$(CARGO) fmt --all

crds: needs-cargo ## Renew the resources' YAML
	$(CARGO) run --quiet --package watchstate-crds --bin crdgen -- crds

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
