//! What a Plex Media Server tells: what players do and what was added or rated. Marks, by hand or by a program, and
//! progress it tells nobody. Items are described as their owner sees them, whoever plays them.

use serde_json::{Value, json};

use super::Event;
use crate::plex::{section_type, without_files};
use crate::world::{Change, Model, Session, User, What};

/// What the server notices of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noticed {
    Play,
    Pause,
    Resume,
    Stop,
    Scrobble,
    Rate,
    New,
}

impl Noticed {
    /// What the server notices of a change, in order.
    pub(super) fn of(change: &Change) -> &'static [Self] {
        match (change.what, &change.session) {
            (What::Added, _) => &[Self::New],
            (What::Rated, _) => &[Self::Rate],
            (What::Started, Some(_)) => &[Self::Play],
            (What::Paused, Some(_)) => &[Self::Pause],
            (What::Resumed, Some(_)) => &[Self::Resume],
            // The end was passed and the viewer paused in one report.
            (What::Scrobbled, Some(session)) if session.paused => &[Self::Scrobble, Self::Pause],
            (What::Scrobbled, Some(_)) => &[Self::Scrobble],
            // The end was passed since the last report.
            (What::Stopped { completed: true, .. }, Some(session)) if !session.counted => &[Self::Scrobble, Self::Stop],
            (What::Stopped { .. }, Some(_)) => &[Self::Stop],
            // What a program tells without a player (a position) is no playback.
            _ => &[],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Play => "media.play",
            Self::Pause => "media.pause",
            Self::Resume => "media.resume",
            Self::Stop => "media.stop",
            Self::Scrobble => "media.scrobble",
            Self::Rate => "media.rate",
            Self::New => "library.new",
        }
    }

    const fn has_picture(self) -> bool {
        matches!(self, Self::Play | Self::Rate | Self::New)
    }
}

/// Where the player is, in milliseconds.
pub(super) fn position(change: &Change, session: &Session) -> u64 {
    match change.what {
        What::Stopped { position_ms: Some(position_ms), .. } => position_ms,
        _ => session.position_ms,
    }
}

/// The events of a change. A server without an owner has no webhooks.
pub(super) fn events(model: &Model, change: &Change, owner_by_account: bool) -> Vec<Event> {
    let Some(owner) = model.owner() else { return Vec::new() };
    let user = change.user.as_ref().and_then(|id| model.user(id)).unwrap_or(owner);
    let Some(metadata) = metadata(model, change, owner, user) else { return Vec::new() };
    let id = if user.id == owner.id && !owner_by_account { 1 } else { user.id.parse().unwrap_or(0_i64) };
    let event = |noticed: &Noticed| {
        let mut payload = json!({
            "event": noticed.name(),
            // Whether it is the doing of the one whose webhook this is.
            "user": user.id == owner.id,
            "owner": true,
            "Account": { "id": id, "thumb": avatar(user), "title": user.name },
            "Server": { "title": model.name, "uuid": model.server_id },
            "Metadata": metadata,
        });
        if *noticed != Noticed::New {
            payload["Player"] = json!({
                "local": true,
                "publicAddress": "203.0.113.7",
                "title": "Living room",
                "uuid": format!("player-{}", user.uuid),
            });
        }
        Event { picture: noticed.has_picture(), ..Event::new(change.at, noticed.name(), payload) }
    };
    Noticed::of(change).iter().map(event).collect()
}

fn avatar(user: &User) -> String {
    format!("https://plex.tv/users/{}/avatar?c=1", user.uuid)
}

/// The item with the owner's views, the player's position and the rating of whoever rated.
fn metadata(model: &Model, change: &Change, owner: &User, user: &User) -> Option<Value> {
    let media = model.item(&change.item)?;
    let mut metadata = without_files(model, &owner.id, media);
    let fields = metadata.as_object_mut()?;
    if let Some(library) = model.library(&media.library) {
        fields.insert("librarySectionType".to_owned(), json!(section_type(library.content)));
    }
    if let Some(session) = &change.session {
        fields.remove("viewOffset");
        let position_ms = position(change, session);
        if position_ms > 0 {
            fields.insert("viewOffset".to_owned(), json!(position_ms));
        }
    }
    if let Some(rating) = model.state_of(&user.id, media).rating.filter(|_| change.what == What::Rated) {
        fields.insert("userRating".to_owned(), json!(rating));
    }
    Some(metadata)
}
