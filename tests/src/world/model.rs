//! What a simulated server knows: users, libraries, media, watch states, sessions, history. Plain data that can
//! be written to JSON and read back; the rules that change it are in the modules beside this one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::flavor::Flavor;

/// An item's id as the server writes it: a number (Plex, Emby) or 32 hex digits (Jellyfin).
pub type ItemId = String;
/// A user's id as the server writes it: a number (Plex) or 32 hex digits (Jellyfin, Emby).
pub type UserId = String;
/// A library's id as the server writes it.
pub type LibraryId = String;

/// Everything that one server knows, apart from the time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    /// Which server in which version.
    pub flavor: Flavor,
    /// The server's name, as people gave it.
    pub name: String,
    /// Machine identifier (Plex) or server id (Jellyfin, Emby).
    pub server_id: String,
    /// Settings that change rules.
    pub settings: Settings,
    /// Users in the order they were added.
    pub users: Vec<User>,
    /// Tokens that belong to no user: API keys of Jellyfin and Emby, with the name of the application.
    pub api_keys: BTreeMap<String, String>,
    /// Libraries in the order they were added.
    pub libraries: Vec<Library>,
    /// All items by id.
    pub media: BTreeMap<ItemId, Media>,
    /// Items that exist but that the server does not show at the moment (an unmounted disk).
    pub hidden: BTreeSet<ItemId>,
    /// User -> state key -> state. Which keys an item has depends on the flavor.
    pub states: BTreeMap<UserId, BTreeMap<String, UserState>>,
    /// Who is playing what right now.
    pub sessions: Vec<Session>,
    /// Playbacks that were finished (Plex's history; marks by hand are not in it).
    pub history: Vec<HistoryEntry>,
    /// What came in through the API, oldest first.
    pub writes: Vec<WriteSeen>,
    /// Webhooks as they are set up at the server.
    #[serde(default)]
    pub notifications: Notifications,
    /// The next number for ids that are numbers.
    pub next_id: u64,
    /// Raised by a rescan, so that ids made from paths differ from before.
    pub generation: u32,
    /// Where shows (library, title) and their seasons were last found: a hint that saves a look at every item.
    #[serde(skip)]
    pub(crate) folders: BTreeMap<(LibraryId, String, Option<u32>), ItemId>,
}

/// The id of Jellyfin's plug-in *Webhook*.
pub const PLUGIN: &str = "71552a5a5c5c4350a2aeebe451a30173";

/// Webhooks as an administrator sets them up, in the servers' own words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Notifications {
    /// Jellyfin: the configuration of the plug-in *Webhook*; none: it isn't installed.
    pub plugin: Option<Value>,
    /// Emby: the notifications of all users.
    pub emby: Vec<Value>,
    /// Emby: there is no Premiere, and no notifications.
    pub without_premiere: bool,
}

impl Default for Notifications {
    fn default() -> Self {
        let plugin = json!({ "ServerUrl": "", "GenericOptions": [], "DiscordOptions": [] });
        Self { plugin: Some(plugin), emby: Vec::new(), without_premiere: false }
    }
}

/// Server settings that change rules.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Below this percentage a position is forgotten (`MinResumePct`).
    pub min_resume_percent: u64,
    /// Above this percentage an item counts as played (`MaxResumePct`; Plex: the played threshold).
    pub max_resume_percent: u64,
    /// Items shorter than this have no position (`MinResumeDurationSeconds`).
    pub min_resume_seconds: u64,
    /// Whether old ways to send a token are accepted (`EnableLegacyAuthorization`).
    pub legacy_authorization: bool,
}

/// A person's account at this server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the servers' own flags, one by one")]
pub struct User {
    /// Id at this server; at Plex also the account id at plex.tv.
    pub id: UserId,
    /// Plex: the account's uuid (16 hex digits). Elsewhere the id again.
    pub uuid: String,
    /// Name for login and display.
    pub name: String,
    /// Password; empty means none is asked.
    pub password: String,
    /// Valid tokens of this user *for this server*, the newest last.
    pub tokens: Vec<String>,
    /// Plex: the token for plex.tv itself (also valid at the server for its owner).
    pub account_token: String,
    /// Administrator; at Plex the owner.
    pub admin: bool,
    /// Not shown on the login page.
    pub hidden: bool,
    /// May not log in.
    pub disabled: bool,
    /// Plex: member of the owner's home (else a friend whom the server is shared with).
    pub home: bool,
    /// Plex: a managed user without an account of their own.
    pub restricted: bool,
    /// Plex: the PIN that protects switching to this home user.
    pub pin: Option<String>,
    /// E-mail address; invented.
    pub email: String,
}

/// What a library holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Films.
    Movies,
    /// Shows.
    Shows,
    /// Films and shows (no `CollectionType`); at Plex a library of films.
    Mixed,
    /// Music: nothing of ours.
    Music,
    /// Photos: nothing of ours.
    Photos,
    /// Home videos: nothing of ours.
    HomeVideos,
    /// Collections (box sets): nothing of ours.
    Collections,
}

/// A library.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Library {
    /// Its id.
    pub id: LibraryId,
    /// A uuid beside the id, as Plex has it.
    pub uuid: String,
    /// Its title.
    pub title: String,
    /// What it holds.
    pub content: Content,
    /// Folder of its files.
    pub path: String,
    /// Users who may see it besides administrators; none: everybody.
    pub users: Option<BTreeSet<UserId>>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// A film.
    Movie,
    /// A show (series).
    Show,
    /// A season of a show.
    Season,
    /// An episode, or a file with several.
    Episode,
}

impl Kind {
    /// Films and episodes can be watched; shows and seasons are folders of them.
    pub const fn is_playable(self) -> bool {
        matches!(self, Self::Movie | Self::Episode)
    }
}

/// An item of a library.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Media {
    /// Its id.
    pub id: ItemId,
    /// The library it is in.
    pub library: LibraryId,
    /// What it is.
    pub kind: Kind,
    /// Title of the film, show, season or episode.
    pub title: String,
    /// Year, where known.
    pub year: Option<u16>,
    /// The show of a season or episode.
    pub show: Option<ItemId>,
    /// The season of an episode.
    pub season_id: Option<ItemId>,
    /// Season number of a season or episode; specials are 0.
    pub season: Option<u32>,
    /// Number of the episode, or of the first in the file.
    pub episode: Option<u32>,
    /// Number of the last episode in a file with several.
    pub episode_end: Option<u32>,
    /// External ids just as the server has them, right or wrong: (provider, value).
    pub ids: Vec<(String, String)>,
    /// Plex's guid: `plex://movie/…`, `local://…`, or of an old agent. Empty elsewhere.
    pub guid: String,
    /// The file, or the folder of a show or season.
    pub path: String,
    /// Length in milliseconds; none: the server has not probed it.
    pub runtime_ms: Option<u64>,
    /// `addedAt`, `DateCreated`.
    pub added_at: Timestamp,
    /// `updatedAt`, `DateLastSaved`: when the item itself was last saved. User data does not move it.
    pub saved_at: Timestamp,
    /// The primary version, if this is an alternate one (Jellyfin 12).
    pub version_of: Option<ItemId>,
}

impl Media {
    /// The value of an external id, whatever the case of the provider's name.
    pub fn external_id(&self, provider: &str) -> Option<&str> {
        let found = self.ids.iter().find(|(name, _)| name.eq_ignore_ascii_case(provider))?;
        Some(found.1.as_str())
    }
}

/// What a user did with an item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UserState {
    /// Counts as watched. At Plex the same as `plays > 0`.
    pub played: bool,
    /// `PlayCount`, `viewCount`.
    pub plays: u32,
    /// `LastPlayedDate`, `lastViewedAt`.
    pub last_played_at: Option<Timestamp>,
    /// `PlaybackPositionTicks`, `viewOffset`, in milliseconds; 0 is none.
    pub position_ms: u64,
    /// Marked as a favourite.
    pub favorite: bool,
    /// Rating by the user.
    pub rating: Option<f64>,
}

/// A playback under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Id of the session.
    pub id: String,
    /// Number of the session (Plex's `sessionKey`).
    pub key: u64,
    /// Who watches.
    pub user: UserId,
    /// What.
    pub item: ItemId,
    /// Where they are, in milliseconds.
    pub position_ms: u64,
    /// Paused.
    pub paused: bool,
    /// When it began, by the server's clock.
    pub started_at: Timestamp,
    /// When it was last heard of, by the server's clock.
    pub active_at: Timestamp,
    /// Whether this playback was already counted as a view (Plex counts once when 90 % is passed).
    pub counted: bool,
}

/// A finished playback in Plex's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Number of the entry.
    pub id: u64,
    /// Who watched.
    pub user: UserId,
    /// What.
    pub item: ItemId,
    /// When, by the server's clock.
    pub viewed_at: Timestamp,
}

/// A change of a state that came in through the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Write {
    /// Marked as played: `PlayedItems` (with or without a date), `/:/scrobble` (never a date).
    Played {
        /// The date that came with it and was understood.
        date: Option<Timestamp>,
    },
    /// Marked as unplayed: `DELETE PlayedItems`, `/:/unscrobble`.
    Unplayed,
    /// Fields set just as given: `UserData` (Jellyfin, Emby).
    Set(StatePatch),
    /// A position told without a playback: `/:/progress`, `/:/timeline`, Emby's `PlayingItems/…/Progress`.
    Position {
        /// In milliseconds.
        position_ms: u64,
    },
    /// Taken off the "continue watching" row (Plex); the position is forgotten.
    Forget,
    /// Favourite set or cleared.
    Favorite(bool),
}

/// Fields of a state to set; absent ones stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatePatch {
    /// Sets `played`.
    pub played: Option<bool>,
    /// Sets `plays`.
    pub plays: Option<u32>,
    /// Sets `last_played_at`; there is no way to clear it.
    pub last_played_at: Option<Timestamp>,
    /// Sets `position_ms`.
    pub position_ms: Option<u64>,
    /// Sets `favorite`.
    pub favorite: Option<bool>,
    /// Sets `rating`.
    pub rating: Option<f64>,
}

/// One write that came in through the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteSeen {
    /// Whose state.
    pub user: UserId,
    /// Of which item.
    pub item: ItemId,
    /// What was asked for.
    pub what: Write,
    /// When, by the server's clock.
    pub at: Timestamp,
}
