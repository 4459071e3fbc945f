//! What a server says of one item: the facts by which it is matched, and its state for one account.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{Ids, Kind};

/// The three kinds of media server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServerKind {
    /// Plex Media Server.
    Plex,
    /// Jellyfin.
    Jellyfin,
    /// Emby.
    Emby,
}

impl ServerKind {
    /// The name as the makers write it; also the word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plex => "Plex",
            Self::Jellyfin => "Jellyfin",
            Self::Emby => "Emby",
        }
    }

    /// True where a left-over position can be taken away from a played item. Plex has no way to do it.
    pub const fn clears_positions(self) -> bool {
        !matches!(self, Self::Plex)
    }

    /// True where the play count rises when a playback starts (Jellyfin, and Emby by lineage), and not when it ends (Plex).
    pub const fn counts_at_start(self) -> bool {
        !matches!(self, Self::Plex)
    }
}

impl std::fmt::Display for ServerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ServerKind {
    type Err = crate::ids::UnknownWord;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Plex, Self::Jellyfin, Self::Emby]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| crate::ids::UnknownWord { what: "kind of server", word: word.to_owned() })
    }
}

/// The state of one item for one account, as the server tells it: every stamp is on the server's own clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemState {
    /// The server's mark.
    pub played: bool,
    /// How often. Emby tells 0 for items that were marked by hand; Jellyfin and Emby count when a playback starts.
    pub plays: u32,
    /// The last activity: when it was played, or when a playback started or went on.
    pub last_played_at: Option<Timestamp>,
    /// How far a viewing got, in milliseconds; 0 when none is under way.
    pub position_ms: u64,
}

/// The show of an episode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowRef {
    /// The show's id on the same server, where the server names it.
    pub remote_id: Option<String>,
    /// Its title.
    pub title: String,
    /// Ids of the show that stand on the episode itself (legacy Plex agents); the show's own item carries the rest.
    pub ids: Ids,
}

/// One item of a library, as one account sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The server's id of it: Plex `ratingKey`, Jellyfin 32 hex digits, Emby a number.
    pub remote_id: String,
    /// What it is.
    pub kind: Kind,
    /// The film's, show's or episode's title.
    pub title: String,
    /// For an episode: its show.
    pub show: Option<ShowRef>,
    /// Year of the film, or of the show.
    pub year: Option<i32>,
    /// Season number; 0 holds the specials.
    pub season: Option<u32>,
    /// Episode number: the first one, where a file holds several.
    pub episode: Option<u32>,
    /// The last episode of a file that holds several.
    pub episode_end: Option<u32>,
    /// The valid ids of the item itself.
    pub ids: Ids,
    /// How many ids were dropped as junk.
    pub junk_ids: u32,
    /// The file's path as the server sees it.
    pub path: Option<String>,
    /// Running time in milliseconds.
    pub runtime_ms: Option<u64>,
    /// When the item was added, on the server's clock: another date means another file.
    pub added_at: Option<Timestamp>,
    /// The account's state of it.
    pub state: ItemState,
}
