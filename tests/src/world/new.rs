//! Builders for films and episodes to add to a world.

use jiff::Timestamp;

use super::model::LibraryId;

/// A film to add. The same value added to several servers makes the same film there.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct NewMovie {
    pub(super) title: String,
    pub(super) year: Option<u16>,
    pub(super) common: Common,
    pub(super) versions: Vec<String>,
}

/// An episode (or a file with several) to add; its show and season are made where they are missing.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct NewEpisode {
    pub(super) show: String,
    pub(super) show_year: Option<u16>,
    pub(super) show_ids: Vec<(String, String)>,
    pub(super) season: u32,
    pub(super) episode: u32,
    pub(super) episode_end: Option<u32>,
    pub(super) title: Option<String>,
    pub(super) common: Common,
}

/// What films and episodes have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    pub(super) library: Option<LibraryId>,
    pub(super) ids: Vec<(String, String)>,
    pub(super) guid: Option<String>,
    pub(super) path: Option<String>,
    pub(super) runtime_ms: Option<u64>,
    pub(super) unprobed: bool,
    pub(super) added_at: Option<Timestamp>,
}

macro_rules! common_setters {
    () => {
        /// The library to put it in; else the first that fits, made if there is none.
        pub fn library(mut self, id: &str) -> Self {
            self.common.library = Some(id.to_owned());
            self
        }

        /// An external id, taken as it is: `("imdb", "tt0113277")`.
        pub fn id(mut self, provider: &str, value: &str) -> Self {
            self.common.ids.push((provider.to_owned(), value.to_owned()));
            self
        }

        /// Plex's guid, in place of the one made from the ids: `local://…`, `com.plexapp.agents.hama://…`.
        pub fn guid(mut self, guid: &str) -> Self {
            self.common.guid = Some(guid.to_owned());
            self
        }

        /// The file, in place of the usual path below the library's folder.
        pub fn path(mut self, path: &str) -> Self {
            self.common.path = Some(path.to_owned());
            self
        }

        /// Length in minutes, in place of 100 (films) and 45 (episodes).
        pub fn minutes(mut self, minutes: u64) -> Self {
            self.common.runtime_ms = Some(minutes * 60_000);
            self
        }

        /// The server does not know the length.
        pub fn without_runtime(mut self) -> Self {
            self.common.unprobed = true;
            self
        }

        /// When the server noticed the file, in place of its present time.
        pub fn added_at(mut self, at: Timestamp) -> Self {
            self.common.added_at = Some(at);
            self
        }
    };
}

impl NewMovie {
    /// A film.
    pub fn new(title: &str, year: u16) -> Self {
        Self { title: title.to_owned(), year: Some(year), ..Self::default() }
    }

    /// One more file of the film: an alternate version on Jellyfin 12, another item elsewhere.
    pub fn version(mut self, path: &str) -> Self {
        self.versions.push(path.to_owned());
        self
    }

    common_setters!();
}

impl NewEpisode {
    /// An episode of a show.
    pub fn new(show: &str, season: u32, episode: u32) -> Self {
        Self { show: show.to_owned(), season, episode, ..Self::default() }
    }

    /// The file holds all episodes up to this one.
    pub fn through(mut self, last: u32) -> Self {
        self.episode_end = Some(last);
        self
    }

    /// The episode's title, in place of `Episode n`.
    pub fn title(mut self, title: &str) -> Self {
        self.title = Some(title.to_owned());
        self
    }

    /// The year of the show, used when it is made.
    pub fn show_year(mut self, year: u16) -> Self {
        self.show_year = Some(year);
        self
    }

    /// An external id of the show, used when it is made.
    pub fn show_id(mut self, provider: &str, value: &str) -> Self {
        self.show_ids.push((provider.to_owned(), value.to_owned()));
        self
    }

    common_setters!();
}
