//! What households live through, played out by the real worker binary against simulated servers and a real Postgres. One file a theme.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what builds and looks at households stands outside of test functions")]

mod backups;
mod builders;
mod clocks;
mod dry_runs;
mod echoes;
mod episodes;
mod faults;
mod first_sync;
mod kills;
mod ledger;
mod matching;
mod new_servers;
mod persons;
mod policies;
mod positions;
mod replaced_files;
mod requests;
mod rewatches;
mod telling;
mod together;
mod trust;
mod unplays;
mod vanished_libraries;
