//! What households live through, played out by the real worker binary against simulated servers and a real Postgres. One file a theme.

mod first_sync;
