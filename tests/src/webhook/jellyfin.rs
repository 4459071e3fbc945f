//! What Jellyfin's plugin *Webhook* (v21) tells: each saving of a user's record with its reason, playbacks beside that,
//! and new items. Every event is one flat object without a path, a library or the ids of an episode's show.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{Event, Shape, leaves};
use crate::mediabrowser::{TICKS, kind_name, provider};
use crate::world::{Change, Kind, Media, Model, What};

/// The server stands in a time zone of its own, so that its local times differ from UTC.
const ZONE: Offset = Offset::constant(2);

/// What is a GUID to the server: a template writes those with dashes.
const GUIDS: [&str; 5] = ["ItemId", "SeriesId", "SeasonId", "UserId", "MediaSourceId"];

/// What is a time to the server.
const TIMES: [&str; 5] = ["Timestamp", "UtcTimestamp", "LastPlayedDate", "LastActivityDate", "LastPlaybackCheckIn"];

type Fields = Map<String, Value>;

/// The events of a change. A record is saved, and that is told, before the playback is.
pub(super) fn events(model: &Model, change: &Change, shape: &Shape) -> Vec<Event> {
    let Some(media) = model.item(&change.item) else { return Vec::new() };
    let told = Told { model, change, shape };
    match change.what {
        What::Started => told.playback(media, "PlaybackStart", "PlaybackStart", None),
        What::Progressed | What::Paused | What::Resumed => {
            told.playback(media, "PlaybackProgress", "PlaybackProgress", None)
        }
        What::Stopped { completed, .. } => told.playback(media, "PlaybackStop", "PlaybackFinished", Some(completed)),
        What::MarkedPlayed | What::MarkedUnplayed => {
            leaves(model, media).into_iter().filter_map(|leaf| told.saved(leaf, "TogglePlayed")).collect()
        }
        What::StateSet => told.saved(media, "UpdateUserData").into_iter().collect(),
        What::Rated => told.saved(media, "UpdateUserRating").into_iter().collect(),
        What::Added => vec![told.event("ItemAdded", told.item("ItemAdded", media))],
        What::Scrobbled | What::Removed => Vec::new(),
    }
}

/// A change on its way to be told.
struct Told<'c> {
    model: &'c Model,
    change: &'c Change,
    shape: &'c Shape,
}

impl Told<'_> {
    fn event(&self, name: &str, fields: Fields) -> Event {
        let fields = match self.shape {
            Shape::JellyfinTemplate(wanted) => {
                let kept = fields.into_iter().filter(|(name, _)| wanted.contains(name));
                kept.map(templated).collect()
            }
            // This destination reads its JSON as a list of texts, which only a template can write.
            Shape::JellyfinForm => fields.into_iter().map(templated).collect(),
            _ => fields,
        };
        Event::new(self.change.at, name, Value::Object(fields))
    }

    /// A playback is told twice: as a record that was saved, and as what the player did.
    fn playback(&self, media: &Media, name: &str, reason: &str, completed: Option<bool>) -> Vec<Event> {
        let mut fields = self.item(name, media);
        let session = self.change.session.as_ref();
        let position_ms = match self.change.what {
            What::Stopped { position_ms, .. } => position_ms,
            _ => session.map(|session| session.position_ms),
        };
        let position_ms = position_ms.unwrap_or_default();
        put(&mut fields, "PlaybackPositionTicks", json!(position_ms * TICKS));
        put(&mut fields, "PlaybackPosition", json!(hours(position_ms)));
        put(&mut fields, "MediaSourceId", json!(media.id));
        put(&mut fields, "IsPaused", json!(self.change.what == What::Paused));
        put(&mut fields, "IsAutomated", json!(false));
        put(&mut fields, "DeviceId", json!("living-room"));
        put(&mut fields, "DeviceName", json!(quoted("Living room")));
        put(&mut fields, "ClientName", json!("Simulated Player"));
        put(&mut fields, "Client", json!(quoted("Simulated Player")));
        put(&mut fields, "PlayMethod", json!("DirectPlay"));
        put(&mut fields, "Id", json!(session.map_or("session0", |session| session.id.as_str())));
        put(&mut fields, "LastActivityDate", json!(utc(self.change.at)));
        put(&mut fields, "LastPlaybackCheckIn", json!(utc(self.change.at)));
        put(&mut fields, "RemoteEndPoint", json!("192.0.2.10"));
        if let Some(completed) = completed {
            put(&mut fields, "PlayedToCompletion", json!(completed));
        }
        if !self.put_user(&mut fields) {
            return Vec::new();
        }
        self.saved(media, reason).into_iter().chain([self.event(name, fields)]).collect()
    }

    /// `UserDataSaved`: the record as it is now.
    fn saved(&self, media: &Media, reason: &str) -> Option<Event> {
        let mut fields = self.item("UserDataSaved", media);
        if !self.put_user(&mut fields) {
            return None;
        }
        let state = self.model.state_of(self.change.user.as_deref()?, media);
        put(&mut fields, "Likes", json!(false));
        put(&mut fields, "Rating", state.rating.map_or_else(|| json!(0), |rating| json!(rating)));
        put(&mut fields, "PlaybackPositionTicks", json!(state.position_ms * TICKS));
        put(&mut fields, "PlaybackPosition", json!(hours(state.position_ms)));
        put(&mut fields, "PlayCount", json!(state.plays));
        put(&mut fields, "Favorite", json!(state.favorite));
        put(&mut fields, "Played", json!(state.played));
        put(&mut fields, "AudioStreamIndex", json!(-1));
        put(&mut fields, "SubtitleStreamIndex", json!(-1));
        if let Some(at) = state.last_played_at {
            put(&mut fields, "LastPlayedDate", json!(utc(at)));
        }
        put(&mut fields, "SaveReason", json!(reason));
        Some(self.event(&format!("UserDataSaved {reason}"), fields))
    }

    /// Puts the user in; answers whether there is one.
    fn put_user(&self, fields: &mut Fields) -> bool {
        let Some(user) = self.change.user.as_ref().and_then(|id| self.model.user(id)) else { return false };
        put(fields, "NotificationUsername", json!(user.name));
        put(fields, "UserId", json!(user.id));
        true
    }

    /// What every event has, and what every event of an item has.
    fn item(&self, notification: &str, media: &Media) -> Fields {
        let (model, mut fields) = (self.model, Fields::new());
        let show = media.show.as_ref().and_then(|id| model.media.get(id));
        put(&mut fields, "ServerId", json!(model.server_id));
        put(&mut fields, "ServerName", json!(quoted(&model.name)));
        put(&mut fields, "ServerVersion", json!(model.flavor.version()));
        put(&mut fields, "ServerUrl", json!("localhost:8096"));
        put(&mut fields, "NotificationType", json!(notification));
        put(&mut fields, "Timestamp", json!(local(self.change.at)));
        put(&mut fields, "UtcTimestamp", json!(utc(self.change.at)));
        put(&mut fields, "Name", json!(quoted(&media.title)));
        put(&mut fields, "Overview", json!(quoted(&format!("About {}.", media.title))));
        put(&mut fields, "Tagline", json!(""));
        put(&mut fields, "ItemId", json!(media.id));
        put(&mut fields, "ItemType", json!(kind_name(media)));
        put(&mut fields, "RunTimeTicks", json!(media.runtime_ms.unwrap_or_default() * TICKS));
        put(&mut fields, "RunTime", json!(hours(media.runtime_ms.unwrap_or_default())));
        put(&mut fields, "Genres", json!("Drama"));
        // The year of the show takes the place of a season's or an episode's own.
        if let Some(year) = show.and_then(|show| show.year).or(media.year) {
            put(&mut fields, "Year", json!(year));
        }
        if let Some(year) = media.year {
            put(&mut fields, "PremiereDate", json!(format!("{year:04}-01-01")));
        }
        if let Some(show) = show {
            put_parents(&mut fields, media, show);
        }
        for (name, value) in &media.ids {
            put(&mut fields, &format!("Provider_{}", provider(name).to_lowercase()), json!(value));
        }
        if media.kind.is_playable() && media.runtime_ms.is_some() {
            put_streams(&mut fields);
        }
        fields
    }
}

fn put(fields: &mut Fields, name: &str, value: Value) {
    fields.insert(name.to_owned(), value);
}

/// The show and the numbers of a season or an episode.
fn put_parents(fields: &mut Fields, media: &Media, show: &Media) {
    put(fields, "SeriesName", json!(quoted(&show.title)));
    put(fields, "SeriesId", json!(show.id));
    if media.kind == Kind::Episode {
        if let Some(season) = &media.season_id {
            put(fields, "SeasonId", json!(season));
        }
        if let Some(year) = show.year {
            put(fields, "SeriesPremiereDate", json!(format!("{year:04}-01-01")));
        }
    }
    let numbers =
        [("SeasonNumber", media.season), ("EpisodeNumber", media.episode), ("EpisodeNumberEnd", media.episode_end)];
    for (name, number) in numbers {
        let Some(number) = number else { continue };
        put(fields, name, json!(number));
        put(fields, &format!("{name}00"), json!(format!("{number:02}")));
        put(fields, &format!("{name}000"), json!(format!("{number:03}")));
    }
}

/// The streams of the file. What is unknown of them comes as null.
fn put_streams(fields: &mut Fields) {
    let streams = json!({
        "Video_0_Title": "1080p H264 SDR", "Video_0_Type": "Video", "Video_0_Codec": "h264", "Video_0_Profile": "High",
        "Video_0_Level": 40, "Video_0_Height": 1080, "Video_0_Width": 1920, "Video_0_AspectRatio": "16:9",
        "Video_0_Interlaced": false, "Video_0_FrameRate": 23.976_025, "Video_0_VideoRange": "SDR",
        "Video_0_ColorSpace": null, "Video_0_ColorTransfer": null, "Video_0_ColorPrimaries": null,
        "Video_0_PixelFormat": "yuv420p", "Video_0_RefFrames": 1, "Audio_0_Title": "English - AAC - Stereo",
        "Audio_0_Type": "Audio", "Audio_0_Language": "eng", "Audio_0_Codec": "aac", "Audio_0_Channels": 2,
        "Audio_0_Bitrate": 192_000, "Audio_0_SampleRate": 48_000, "Audio_0_Default": true, "Subtitle_0_Title": "Und",
        "Subtitle_0_Type": "Subtitle", "Subtitle_0_Language": null, "Subtitle_0_Codec": "subrip",
        "Subtitle_0_Default": false, "Subtitle_0_Forced": false, "Subtitle_0_External": false,
    });
    if let Value::Object(streams) = streams {
        fields.extend(streams);
    }
}

/// Names are escaped for templates before anything is written, and so twice in JSON.
fn quoted(text: &str) -> String {
    text.replace('"', "\\\"")
}

/// `hh:mm:ss`; starts anew after a day.
fn hours(millis: u64) -> String {
    let seconds = millis / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// A time in UTC. One without milliseconds has seven digits all the same; others have no zeros at the end.
fn utc(at: Timestamp) -> String {
    stamp(at, "Z")
}

/// A local time, which calls itself UTC when it has no milliseconds: a bug of the server.
fn local(at: Timestamp) -> String {
    let here = at.saturating_add(SignedDuration::from_secs(i64::from(ZONE.seconds()))).unwrap_or(at);
    stamp(here, if at.subsec_millisecond() == 0 { "Z" } else { "+02:00" })
}

fn stamp(at: Timestamp, zone: &str) -> String {
    let digits = format!("{:07}", at.subsec_nanosecond().max(0) / 100);
    let digits = if at.subsec_millisecond() == 0 { &digits } else { digits.trim_end_matches('0') };
    format!("{}.{digits}{zone}", at.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// A value as a template writes it: as .NET shows it to people.
fn templated((name, value): (String, Value)) -> (String, Value) {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if yes { "True" } else { "False" }.to_owned(),
        Value::String(text) if GUIDS.contains(&name.as_str()) => {
            uuid::Uuid::try_parse(&text).map_or(text, |guid| guid.to_string())
        }
        Value::String(text) if TIMES.contains(&name.as_str()) => match text.parse::<Timestamp>() {
            Ok(at) => at.to_zoned(TimeZone::UTC).strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string(),
            Err(_) => text,
        },
        Value::String(text) => text,
        other => other.to_string(),
    };
    (name, Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_without_milliseconds_claims_to_be_utc() {
        let whole: Timestamp = "2026-03-01T20:00:00Z".parse().unwrap();
        let split: Timestamp = "2026-03-01T20:00:00.12Z".parse().unwrap();
        assert_eq!(
            (utc(whole), local(whole)),
            ("2026-03-01T20:00:00.0000000Z".into(), "2026-03-01T22:00:00.0000000Z".into())
        );
        assert_eq!(
            (utc(split), local(split)),
            ("2026-03-01T20:00:00.12Z".into(), "2026-03-01T22:00:00.12+02:00".into())
        );
    }

    #[test]
    fn templates_write_what_people_read() {
        let write = |name: &str, value: Value| templated((name.to_owned(), value)).1;
        assert_eq!(write("Played", json!(true)), json!("True"));
        assert_eq!(
            write("ItemId", json!("0123456789abcdef0123456789abcdef")),
            json!("01234567-89ab-cdef-0123-456789abcdef")
        );
        assert_eq!(
            write("ServerId", json!("0123456789abcdef0123456789abcdef")),
            json!("0123456789abcdef0123456789abcdef")
        );
        assert_eq!(write("UtcTimestamp", json!("2026-03-01T20:00:00.0000000Z")), json!("3/1/2026 8:00:00 PM"));
        assert_eq!(write("PlayCount", json!(2)), json!("2"));
    }

    #[test]
    fn hours_start_anew_after_a_day() {
        assert_eq!((hours(3_723_000), hours(25 * 3_600_000)), ("01:02:03".into(), "01:00:00".into()));
    }
}
