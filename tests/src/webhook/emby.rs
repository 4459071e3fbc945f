//! What Emby tells: what players do (but no progress), marks by hand and by programs, ratings, new items. A playback
//! that ends is no mark, and fields set by a program are told to nobody.

use serde_json::{Map, Value, json};

use super::{Event, leaves};
use crate::mediabrowser::{TICKS, date, whole_item};
use crate::world::{Change, Kind, Media, Model, What};

/// The events of a change; with `user_data` items carry the user's state.
pub(super) fn events(model: &Model, change: &Change, user_data: bool) -> Vec<Event> {
    let Some(media) = model.item(&change.item) else { return Vec::new() };
    let told = Told { model, change, user_data };
    let marked =
        |name: &str, did: &str| leaves(model, media).into_iter().map(|leaf| told.event(name, did, leaf)).collect();
    match change.what {
        What::Started => vec![told.playback("playback.start", "has started playing", media)],
        What::Paused => vec![told.playback("playback.pause", "has paused", media)],
        What::Resumed => vec![told.playback("playback.unpause", "has resumed", media)],
        What::Stopped { .. } => vec![told.playback("playback.stop", "has finished playing", media)],
        What::MarkedPlayed => marked("item.markplayed", "has marked as played:"),
        What::MarkedUnplayed => marked("item.markunplayed", "has marked as unplayed:"),
        What::Rated => vec![told.event("item.rate", "has rated", media)],
        What::Added => vec![told.event("library.new", "", media)],
        What::Progressed | What::StateSet | What::Scrobbled | What::Removed => Vec::new(),
    }
}

/// A change on its way to be told.
struct Told<'c> {
    model: &'c Model,
    change: &'c Change,
    user_data: bool,
}

impl Told<'_> {
    fn event(&self, name: &str, did: &str, media: &Media) -> Event {
        Event::new(self.change.at, name, self.payload(name, did, media))
    }

    fn playback(&self, name: &str, did: &str, media: &Media) -> Event {
        let mut payload = self.payload(name, did, media);
        let session = self.change.session.as_ref();
        let position_ms = session.map(|session| session.position_ms).unwrap_or_default();
        let mut info = json!({
            "PositionTicks": position_ms * TICKS,
            "PlaylistIndex": 0,
            "PlaylistLength": 1,
            "PlaySessionId": session.map_or_else(String::new, |session| crate::world::hex(&session.id)),
        });
        let mut state = json!({
            "PositionTicks": position_ms * TICKS,
            "CanSeek": true,
            "IsPaused": self.change.what == What::Paused,
            "IsMuted": false,
            "RepeatMode": "RepeatNone",
        });
        if let What::Stopped { completed, position_ms } = self.change.what {
            info["PositionTicks"] = json!(position_ms.unwrap_or_default() * TICKS);
            info["PlayedToCompletion"] = json!(completed);
            // The player has gone on, to the next episode or to nothing, before this is told.
            state["PositionTicks"] = json!(0);
            state["CanSeek"] = json!(false);
        }
        payload["PlaybackInfo"] = info;
        payload["Session"] = json!({
            "RemoteEndPoint": "192.0.2.10",
            "Client": "Simulated Player",
            "DeviceName": "Living room",
            "DeviceId": "living-room",
            "ApplicationVersion": "1.0",
            "Id": session.map_or("session0", |session| session.id.as_str()),
            "PlayState": state,
        });
        Event::new(self.change.at, name, payload)
    }

    /// What every event has.
    fn payload(&self, name: &str, did: &str, media: &Media) -> Value {
        let (model, at) = (self.model, self.change.at);
        let user = self.change.user.as_ref().and_then(|id| model.user(id));
        let called = called(model, media);
        let title = match user {
            Some(user) if self.change.session.is_some() => format!("{} {did} {called} on Living room", user.name),
            Some(user) => format!("{} {did} {called}", user.name),
            None => format!("New: {called}"),
        };
        let mut payload = json!({
            "Title": title,
            "Description": at.strftime("%A, %B %-d, %Y %-I:%M %p").to_string(),
            "Date": date(at),
            "Event": name,
            "Severity": "Info",
            "Item": self.item(media),
            "Server": { "Name": model.name, "Id": model.server_id, "Version": model.flavor.version() },
        });
        if let Some(user) = user {
            payload["User"] = json!({ "Name": user.name, "Id": user.id });
        }
        payload
    }

    /// The item as its page shows it, with its file but not with all versions of it.
    fn item(&self, media: &Media) -> Value {
        let user = self.change.user.as_deref().filter(|_| self.user_data);
        let described = whole_item(self.model, user, media);
        let Value::Object(mut fields) = described else { return described };
        fields.retain(|name, _| !matches!(name.as_str(), "MediaSources" | "CanDelete" | "Etag" | "DateModified"));
        fields.extend(file(media));
        Value::Object(fields)
    }
}

fn file(media: &Media) -> Map<String, Value> {
    let file_name = media.path.rsplit('/').next().unwrap_or_default();
    let fields = json!({ "FileName": file_name, "Container": "mkv", "Size": 4_000_000_000_u64, "Bitrate": 5_000_000 });
    match fields {
        Value::Object(fields) if media.kind.is_playable() => fields,
        _ => Map::new(),
    }
}

/// What people call the item.
fn called(model: &Model, media: &Media) -> String {
    let show = media.show.as_ref().and_then(|id| model.media.get(id));
    match (media.kind, show) {
        (Kind::Episode, Some(show)) => {
            let (season, episode) = (media.season.unwrap_or_default(), media.episode.unwrap_or_default());
            format!("{} - S{season}, Ep{episode} - {}", show.title, media.title)
        }
        (Kind::Season, Some(show)) => format!("{} - {}", show.title, media.title),
        _ => media.title.clone(),
    }
}
