//! What Tautulli tells of the Plex it watches, by the template that people give it: JSON in which all values are text.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Event;
use super::body::as_texts;
use super::plex::{Noticed, position};
use crate::world::{Change, Kind, Media, Model};

/// The events of a change.
pub(super) fn events(model: &Model, change: &Change) -> Vec<Event> {
    let Some(media) = model.item(&change.item) else { return Vec::new() };
    let named = Noticed::of(change).iter().filter_map(|noticed| name(*noticed));
    named.map(|name| Event::new(change.at, name, payload(model, change, media, name))).collect()
}

/// Ratings it does not tell.
const fn name(noticed: Noticed) -> Option<&'static str> {
    match noticed {
        Noticed::Play => Some("tautulli.start"),
        Noticed::Pause => Some("tautulli.pause"),
        Noticed::Resume => Some("tautulli.resume"),
        Noticed::Stop => Some("tautulli.stop"),
        Noticed::Scrobble => Some("tautulli.watched"),
        Noticed::New => Some("tautulli.created"),
        Noticed::Rate => None,
    }
}

fn payload(model: &Model, change: &Change, media: &Media, name: &str) -> Value {
    // It knows everybody by their account at plex.tv, the owner too. What has no user has empty fields.
    let user = change.user.as_ref().and_then(|id| model.user(id));
    let show = media.show.as_ref().and_then(|id| model.media.get(id));
    let season = media.season_id.as_ref().and_then(|id| model.media.get(id));
    let library = model.library(&media.library);
    let id = |provider: &str| media.external_id(provider).unwrap_or_default().to_owned();
    let position_ms = change.session.as_ref().map(|session| position(change, session));
    let kind = match media.kind {
        Kind::Movie => "movie",
        Kind::Show => "show",
        Kind::Season => "season",
        Kind::Episode => "episode",
    };
    as_texts(json!({
        "event": name,
        "Account": {
            "id": user.map(|user| &user.id),
            "title": user.map(|user| &user.name),
            "thumb": user.map(|user| format!("https://plex.tv/users/{}/avatar?c=1", user.uuid)),
        },
        "Server": { "title": model.name, "uuid": model.server_id, "version": model.flavor.version() },
        "Player": {
            "local": change.session.is_some(),
            "publicAddress": change.session.as_ref().map(|_| "203.0.113.7"),
            "title": change.session.as_ref().map(|_| "Living room"),
            "uuid": user.map(|user| format!("player-{}", user.uuid)),
        },
        "Metadata": {
            "ratingKey": media.id,
            "parentRatingKey": media.season_id,
            "grandparentRatingKey": media.show,
            "guid": media.guid,
            "type": kind,
            "title": media.title,
            "parentTitle": season.map(|season| &season.title),
            "grandparentTitle": show.map(|show| &show.title),
            "librarySectionID": library.map(|library| &library.id),
            "librarySectionTitle": library.map(|library| &library.title),
            "index": if media.kind == Kind::Season { media.season } else { media.episode },
            "parentIndex": media.season.filter(|_| media.kind == Kind::Episode),
            "year": media.year,
            "originallyAvailableAt": media.year.map(|year| format!("{year:04}-01-01")),
            "viewOffset": position_ms.unwrap_or_default(),
            "duration": media.runtime_ms,
            "addedAt": written(media.added_at),
            "updatedAt": written(media.saved_at),
            "Guids": { "imdb": id("imdb"), "tmdb": id("tmdb"), "tvdb": id("tvdb") },
        },
    }))
}

fn written(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
