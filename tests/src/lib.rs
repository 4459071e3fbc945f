//! Simulated media servers (Plex, Jellyfin, Emby) for tests and demos, so close to the real ones that other people's
//! client libraries believe them.

pub mod control;
pub mod http;
pub mod library;
pub mod mediabrowser;
pub mod plex;
pub mod plex_tv;
pub mod server;
pub mod world;
