//! Which items of a library are asked for, and what a library holds.

use jiff::Timestamp;

/// What a library holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Films.
    Movies,
    /// Series with episodes.
    Shows,
    /// Films and series (Jellyfin's and Emby's mixed libraries).
    Mixed,
    /// Anything else, by the server's own word: never read.
    Other(String),
}

impl Content {
    /// True where the library can be synced.
    pub const fn supported(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// True where the library holds shows.
    pub const fn has_shows(&self) -> bool {
        matches!(self, Self::Shows | Self::Mixed)
    }
}

/// Which items of a library are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Every film and episode.
    All,
    /// Every show (the items that carry the shows' ids).
    Shows,
    /// Films and episodes with activity at or after the stamp (server's clock), newest first. Positions and plays both count as activity.
    ActiveSince(Timestamp),
    /// Films, episodes and shows that are new or changed at or after the stamp (server's clock): metadata, not states.
    ChangedSince(Timestamp),
}
