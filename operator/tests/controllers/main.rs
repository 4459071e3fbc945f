//! The controllers as they are, against an API server in memory, simulated media servers and a real Postgres.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on says where")]

mod api;
mod house;
mod lease;
mod media_server;
mod sync_schedule;
