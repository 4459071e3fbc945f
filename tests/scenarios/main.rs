//! What households live through, played out by the real worker binary against simulated servers and a real Postgres. One file a theme.

#![expect(
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::similar_names,
    clippy::type_complexity,
    clippy::unwrap_used,
    reason = "what builds, tells and looks at households stands outside of test functions, and is written to be read"
)]

mod backups;
mod builders;
mod circle;
mod clocks;
mod commands;
mod databases;
mod dry_runs;
mod echoes;
mod embedded;
mod episodes;
mod faults;
mod first_sync;
mod followers;
mod kills;
mod ledger;
mod loss;
mod matching;
mod new_servers;
mod outputs;
mod persons;
mod policies;
mod positions;
mod receivers;
mod replaced_files;
mod requests;
mod rewatches;
mod secrets;
mod telling;
mod together;
mod trust;
mod unplays;
mod vanished_libraries;
mod webhooks;
