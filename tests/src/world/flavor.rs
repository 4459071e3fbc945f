//! Which server, in which version, is simulated. Everything that differs between versions asks here.

use serde::{Deserialize, Serialize};

/// A media server of a named version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Flavor {
    /// Plex Media Server 1.41.
    Plex,
    /// Jellyfin 10.10: user data by key, a starting playback clears Played.
    Jellyfin1010,
    /// Jellyfin 10.11: user data by item, a starting playback clears Played.
    Jellyfin1011,
    /// Jellyfin 12: user data by item, Played survives a starting playback, no legacy authorization.
    Jellyfin12,
    /// Emby 4.8.
    Emby48,
    /// Emby 4.9.
    Emby49,
}

impl Flavor {
    /// All of them, in the order they are declared.
    pub const ALL: [Self; 6] =
        [Self::Plex, Self::Jellyfin1010, Self::Jellyfin1011, Self::Jellyfin12, Self::Emby48, Self::Emby49];

    /// The version string that the server tells about itself.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Plex => "1.41.6.9606-59d9a3da4",
            Self::Jellyfin1010 => "10.10.7",
            Self::Jellyfin1011 => "10.11.2",
            Self::Jellyfin12 => "12.0.0",
            Self::Emby48 => "4.8.10.0",
            Self::Emby49 => "4.9.1.2",
        }
    }

    /// A short name for command lines and file names, as in `jellyfin-10.11`.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Plex => "plex",
            Self::Jellyfin1010 => "jellyfin-10.10",
            Self::Jellyfin1011 => "jellyfin-10.11",
            Self::Jellyfin12 => "jellyfin-12",
            Self::Emby48 => "emby-4.8",
            Self::Emby49 => "emby-4.9",
        }
    }

    /// The flavor with this [`slug`](Self::slug).
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flavor| flavor.slug() == slug)
    }

    /// A Plex Media Server.
    pub const fn is_plex(self) -> bool {
        matches!(self, Self::Plex)
    }

    /// A Jellyfin of any version.
    pub const fn is_jellyfin(self) -> bool {
        matches!(self, Self::Jellyfin1010 | Self::Jellyfin1011 | Self::Jellyfin12)
    }

    /// An Emby of any version.
    pub const fn is_emby(self) -> bool {
        matches!(self, Self::Emby48 | Self::Emby49)
    }

    /// A playback that starts clears Played (Jellyfin up to 10.11; Emby by lineage).
    pub const fn start_clears_played(self) -> bool {
        matches!(self, Self::Jellyfin1010 | Self::Jellyfin1011) || self.is_emby()
    }

    /// Copies of one title share their state through a user-data key (Jellyfin up to 10.10; Emby by lineage).
    pub const fn shares_state_by_key(self) -> bool {
        matches!(self, Self::Jellyfin1010) || self.is_emby()
    }

    /// Several files of one film are alternate versions of one item, and finishing one finishes all.
    pub const fn has_alternate_versions(self) -> bool {
        matches!(self, Self::Jellyfin12)
    }

    /// `X-Emby-Token`, `api_key` and the like are accepted when the server is fresh (Jellyfin 12 turned them off).
    pub const fn accepts_legacy_authorization(self) -> bool {
        !matches!(self, Self::Jellyfin12)
    }
}
