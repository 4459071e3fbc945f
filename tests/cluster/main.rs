//! Tests on a real Kubernetes: `make cluster-test` starts one and runs them (`tests/kubernetes/cluster run` says which one it takes).
//! In the order in which they build on each other: what the API server accepts, what the chart makes, then the running whole.

#![expect(clippy::panic, clippy::unwrap_used, reason = "these are tests and what they share")]

mod cluster;
mod definitions;
mod door;
mod films;
mod installation;
mod life;
mod manifests;
mod namespace;
mod path;
mod releases;
mod rights;
mod rules;
mod trouble;
