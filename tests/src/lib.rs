//! Simulated media servers (Plex, Jellyfin, Emby) for tests and demos, so close to the real ones that other people's
//! client libraries believe them; and the harnesses that run the real binaries against them and a real Postgres
//! ([`household`], [`postgres`]).

pub mod control;
pub mod household;
pub mod http;
pub mod library;
pub mod mediabrowser;
pub mod plex;
pub mod plex_tv;
pub mod postgres;
pub mod process;
pub mod reserved;
pub mod server;
pub mod webhook;
pub mod world;
