//! What people ask: one file a verb. They read the store and print; only `held`, `inbox`, `outbox`, `prune` and `restore` change it.

pub mod backup;
pub mod held;
pub mod inbox;
pub mod outbox;
pub mod prune;
mod question;
pub mod restore;
pub mod runs;
pub mod servers;
pub mod state;
pub mod why;
