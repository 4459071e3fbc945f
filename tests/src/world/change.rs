//! What happens at a server, as those who listen hear it: the world's own listeners, and webhooks.

use jiff::Timestamp;

use super::model::{ItemId, Session, UserId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// Whose state; none for items that come and go.
    pub user: Option<UserId>,
    /// Which item.
    pub item: ItemId,
    /// What.
    pub what: What,
    /// The user's playback of the item as it is now; after a stop as it was before. None if none was under way.
    pub session: Option<Session>,
    /// Came in through the API from outside (else: a viewer at this server's own player).
    pub by_api: bool,
}

impl Change {
    /// An item came or went.
    pub(super) fn of_item(at: Timestamp, item: &str, what: What) -> Self {
        Self { at, user: None, item: item.to_owned(), what, session: None, by_api: false }
    }
}

/// Kinds of [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A playback began.
    Started,
    /// A playback went on.
    Progressed,
    /// A playback was paused.
    Paused,
    /// A playback went on after a pause.
    Resumed,
    /// A playback ended.
    Stopped {
        /// The server counted it as watched to the end.
        completed: bool,
        /// Where it ended, in milliseconds; none if the player could not tell.
        position_ms: Option<u64>,
    },
    /// Plex: 90 % were passed and the view was counted.
    Scrobbled,
    /// Marked as played.
    MarkedPlayed,
    /// Marked as unplayed.
    MarkedUnplayed,
    /// State fields were set by the `UserData` route, or a position without a playback.
    StateSet,
    /// Favourite or rating changed.
    Rated,
    /// An item appeared.
    Added,
    /// An item went away.
    Removed,
}
