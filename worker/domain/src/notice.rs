//! What a server's webhook tells of one item and account, in one form for all servers.
//!
//! A notice is a server's word, like a [`crate::merge::Reading`], but seldom the whole of it: some say only that somebody stopped at some position.

mod meaning;
mod reason;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, ItemState};

pub use meaning::{Base, Happened, Meaning, happened_at, meaning};
pub use reason::Reason;

/// One event of a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The event in the server's own words: `media.scrobble`, `UserDataSaved TogglePlayed`, `playback.stop`, `tautulli.watched`.
    pub event: String,
    /// Who sent it: Plex `machineIdentifier`, Jellyfin and Emby server id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Whose event it is; None for events of nobody, such as a new item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Teller>,
    /// When it was sent, on the server's clock; None where the payload bears no stamp (Plex).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Of which item, as far as the payload describes it. Its `state` is that of nobody: what happened stands in [`Self::what`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// The server's id of the item's library, where it is told (Plex).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library_id: Option<String>,
    /// What happened.
    pub what: What,
}

impl Notice {
    /// True when it names another server than the one with this id.
    pub fn is_of_another(&self, server: &str) -> bool {
        self.server_id.as_deref().is_some_and(|told| !same_id(told, server))
    }
}

/// Ids as they compare: Jellyfin writes GUIDs with and without dashes.
pub fn same_id(one: &str, other: &str) -> bool {
    let letters = |id: &str| {
        id.chars().filter(|letter| *letter != '-').map(|letter| letter.to_ascii_lowercase()).collect::<String>()
    };
    letters(one) == letters(other)
}

/// The account that an event is of, as the server calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teller {
    /// Its id; Plex: 1 for the server's owner on some set-ups, the id at plex.tv on others. Empty where only the name is told.
    pub id: String,
    /// Its name. May be empty.
    pub name: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// The account's record of the item was saved: all of it is told, as a reading would (Jellyfin's `UserDataSaved`, Emby's `Item.UserData`).
    Saved {
        /// The record, stamps on the server's clock.
        state: ItemState,
        /// What made the server save it.
        cause: Cause,
    },
    /// Watched to its end.
    Finished,
    /// Marked as played.
    MarkedPlayed,
    /// Marked as not played.
    MarkedUnplayed,
    /// A viewing stopped or paused here.
    Position {
        /// Milliseconds from the start.
        position_ms: u64,
    },
    /// A viewing began or goes on: nothing is known of it yet.
    Started,
    /// An item was added to a library.
    Added,
    /// A rating or a favourite changed.
    Rated,
    /// Somebody tries whether events arrive.
    Test,
    /// It would tell what happened, and lacks the fields that say so: a template of the user's own.
    Incomplete,
    /// Anything else, which has no bearing on what was watched.
    Other,
}

/// What made a server save a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A playback began.
    Started,
    /// A playback goes on.
    Progress,
    /// A playback ended, at its end or before.
    Stopped,
    /// Somebody marked it, or a program did.
    Marked,
    /// A program set fields of the record.
    Set,
}
