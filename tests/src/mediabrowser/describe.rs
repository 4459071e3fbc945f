//! Items as answers: `BaseItemDto` and `UserItemDataDto`, with just the fields that the server gives unasked plus
//! those asked for.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{TICKS, libraries, spelling};
use crate::world::{ItemId, Kind, Library, Media, Model, UserState};

/// What an answer is to contain.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Names of fields in lower case; none: all (a single item).
    pub fields: Option<Vec<String>>,
    /// With the user's state.
    pub user_data: bool,
}

impl Wanted {
    /// Everything, as for a single item.
    pub const fn all() -> Self {
        Self { fields: None, user_data: true }
    }

    fn has(&self, field: &str) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.iter().any(|name| name.eq_ignore_ascii_case(field)))
    }
}

/// What is inside shows and seasons, counted once an answer.
#[derive(Debug, Default)]
pub(super) struct Folders(HashMap<ItemId, Inside>);

#[derive(Debug, Default, Clone)]
struct Inside {
    episodes: u64,
    played: u64,
    children: u64,
}

impl Folders {
    /// Counts for a user; for no user nothing counts as played.
    pub fn count(model: &Model, user: Option<&str>) -> Self {
        let mut folders = Self::default();
        for media in model.items() {
            match media.kind {
                Kind::Episode => {
                    let played = user.is_some_and(|user| model.state_of(user, media).played);
                    for folder in [&media.show, &media.season_id].into_iter().flatten() {
                        let inside = folders.0.entry(folder.clone()).or_default();
                        inside.episodes += 1;
                        inside.played += u64::from(played);
                    }
                    if let Some(season) = &media.season_id {
                        folders.0.entry(season.clone()).or_default().children += 1;
                    }
                }
                Kind::Season => {
                    if let Some(show) = &media.show {
                        folders.0.entry(show.clone()).or_default().children += 1;
                    }
                }
                Kind::Movie | Kind::Show => {}
            }
        }
        folders
    }
}

impl Folders {
    /// Everything in the folder is played.
    pub fn is_played(&self, folder: &str) -> bool {
        self.0.get(folder).is_some_and(|inside| inside.episodes > 0 && inside.played == inside.episodes)
    }
}

/// `BaseItemDto` of a film, show, season or episode.
pub(super) fn item(model: &Model, user: Option<&str>, media: &Media, wanted: &Wanted, folders: &Folders) -> Value {
    let emby = model.flavor.is_emby();
    let playable = media.kind.is_playable();
    let mut dto = json!({
        "Name": media.title,
        "ServerId": model.server_id,
        "Id": media.id,
        "IsFolder": !playable,
        "Type": kind_name(media.kind),
        "ImageTags": {},
        "BackdropImageTags": [],
    });
    let Some(fields) = dto.as_object_mut() else { return dto };
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.to_owned(), value);
        }
    };
    put("RunTimeTicks", json!(media.runtime_ms.map(|runtime| runtime * TICKS)));
    put(
        "MediaType",
        json!(if playable {
            "Video"
        } else if emby {
            ""
        } else {
            "Unknown"
        }),
    );
    match media.kind {
        Kind::Movie | Kind::Show => {}
        Kind::Season => put("IndexNumber", json!(media.season)),
        Kind::Episode => {
            put("IndexNumber", json!(media.episode));
            put("IndexNumberEnd", json!(media.episode_end));
            put("ParentIndexNumber", json!(media.season));
        }
    }
    if let Some(show) = media.show.as_ref().and_then(|id| model.media.get(id)) {
        put("SeriesName", json!(show.title));
        put("SeriesId", json!(show.id));
    }
    if let Some(season) = media.season_id.as_ref().and_then(|id| model.media.get(id)) {
        put("SeasonName", json!(season.title));
        put("SeasonId", json!(season.id));
    }
    if !emby {
        put("LocationType", json!("FileSystem"));
        put("ImageBlurHashes", json!({}));
        if playable {
            put("VideoType", json!("VideoFile"));
            put("Container", json!("mkv"));
            put("HasSubtitles", json!(true));
        }
    }
    // Jellyfin gives year and premiere date unasked, Emby does not.
    if !emby || wanted.has("ProductionYear") {
        put("ProductionYear", json!(media.year));
    }
    if !emby || wanted.has("PremiereDate") {
        put("PremiereDate", json!(media.year.map(|year| format!("{year:04}-01-01T00:00:00.0000000Z"))));
    }
    let inside = folders.0.get(&media.id).cloned().unwrap_or_default();
    put_asked(model, media, wanted, &inside, &mut put);
    if wanted.user_data
        && let Some(user) = user
    {
        put("UserData", user_data_in(model, user, media, wanted, &inside));
    }
    dto
}

/// The fields that are given on request.
fn put_asked(model: &Model, media: &Media, wanted: &Wanted, inside: &Inside, put: &mut impl FnMut(&str, Value)) {
    let playable = media.kind.is_playable();
    let mut ask = |name: &str, value: &dyn Fn() -> Value| {
        if wanted.has(name) {
            put(name, value());
        }
    };
    ask("ProviderIds", &|| {
        let ids = media.ids.iter().map(|(provider, value)| (spelling::provider(provider), json!(value)));
        Value::Object(ids.collect::<Map<_, _>>())
    });
    ask("Path", &|| json!(media.path));
    ask("DateCreated", &|| json!(spelling::date(media.added_at)));
    ask("Etag", &|| json!(crate::world::hex(&format!("{} {}", media.id, media.saved_at))));
    ask("SortName", &|| json!(sort_name(media)));
    ask("OriginalTitle", &|| json!(media.title));
    ask("Overview", &|| json!(format!("About {}.", media.title)));
    ask("Genres", &|| json!(["Drama"]));
    ask("Taglines", &|| json!([]));
    ask("ExternalUrls", &|| json!([]));
    ask("ParentId", &|| {
        let parent = media.season_id.as_ref().or(media.show.as_ref()).unwrap_or(&media.library);
        json!(parent)
    });
    ask("CanDelete", &|| json!(false));
    ask("MediaSources", &|| if playable { media_sources(model, media) } else { Value::Null });
    ask("RecursiveItemCount", &|| if playable { Value::Null } else { json!(inside.episodes) });
    ask("ChildCount", &|| if playable { Value::Null } else { json!(inside.children) });
    if model.flavor.is_emby() {
        ask("DateModified", &|| json!(spelling::date(media.saved_at)));
    }
}

/// `BaseItemDto` of a library.
pub(super) fn library(model: &Model, library: &Library) -> Value {
    let created = spelling::date(library.created_at);
    let mut dto = json!({
        "Name": library.title,
        "ServerId": model.server_id,
        "Id": library.id,
        "Etag": crate::world::hex(&library.uuid),
        "DateCreated": created,
        "CanDelete": false,
        "CanDownload": false,
        "SortName": library.title.to_lowercase(),
        "ExternalUrls": [],
        "Path": format!("/config/root/default/{}", library.title),
        "Taglines": [],
        "Genres": [],
        "PlayAccess": "Full",
        "ProviderIds": {},
        "IsFolder": true,
        "ParentId": if model.flavor.is_emby() { "1".to_owned() } else { crate::world::hex("root") },
        "Type": "CollectionFolder",
        "UserData": { "PlaybackPositionTicks": 0, "PlayCount": 0, "IsFavorite": false, "Played": false },
        "ChildCount": model.items().filter(|media| media.library == library.id).count(),
        "DisplayPreferencesId": library.uuid.replace('-', ""),
        "Tags": [],
        "ImageTags": {},
        "BackdropImageTags": [],
        "LockedFields": [],
        "LockData": false,
    });
    if let Some(kind) = libraries::collection_type(library.content) {
        dto["CollectionType"] = json!(kind);
    }
    if model.flavor.is_jellyfin() {
        dto["LocationType"] = json!("FileSystem");
        dto["MediaType"] = json!("Unknown");
        dto["UserData"]["Key"] = json!(library.id);
        dto["UserData"]["ItemId"] = json!(library.id);
    }
    dto
}

/// `UserItemDataDto`, whole: as the marks answer it.
pub(super) fn user_data(model: &Model, user: &str, media: &Media) -> Value {
    let folders = if media.kind.is_playable() { Folders::default() } else { Folders::count(model, Some(user)) };
    let inside = folders.0.get(&media.id).cloned().unwrap_or_default();
    user_data_in(model, user, media, &Wanted::all(), &inside)
}

fn user_data_in(model: &Model, user: &str, media: &Media, wanted: &Wanted, inside: &Inside) -> Value {
    let state = model.state_of(user, media);
    let jellyfin = model.flavor.is_jellyfin();
    // Emby leaves out count and date of plays in lists unless they are asked for.
    let with_plays = jellyfin || wanted.has("UserDataPlayCount");
    let with_date = jellyfin || wanted.has("UserDataLastPlayedDate");
    let mut data = json!({
        "PlaybackPositionTicks": state.position_ms * TICKS,
        "PlayCount": if with_plays { state.plays } else { 0 },
        "IsFavorite": state.favorite,
        "Played": state.played,
    });
    let Some(fields) = data.as_object_mut() else { return data };
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if let Some(at) = state.last_played_at.filter(|_| with_date) {
        put("LastPlayedDate", json!(spelling::date(at)));
    }
    if let Some(rating) = state.rating {
        put("Rating", json!(rating));
    }
    if jellyfin {
        put("Key", json!(model.user_data_keys(media).first()));
        put("ItemId", json!(media.id));
    }
    if media.kind.is_playable() {
        if let Some(percentage) = percentage(&state, media) {
            put("PlayedPercentage", json!(percentage));
        }
    } else {
        put("UnplayedItemCount", json!(inside.episodes - inside.played));
        put("Played", json!(inside.episodes > 0 && inside.played == inside.episodes));
        if inside.episodes > 0 && jellyfin {
            put("PlayedPercentage", json!(ratio(inside.played, inside.episodes)));
        }
    }
    data
}

fn percentage(state: &UserState, media: &Media) -> Option<f64> {
    let runtime_ms = media.runtime_ms.filter(|runtime| *runtime > 0)?;
    (state.position_ms > 0).then(|| ratio(state.position_ms, runtime_ms))
}

#[expect(clippy::cast_precision_loss, reason = "a percentage, for display")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

fn media_sources(model: &Model, media: &Media) -> Value {
    let primary = media.version_of.as_ref().unwrap_or(&media.id);
    let versions = model.items().filter(|other| other.version_of.as_ref() == Some(primary) || other.id == *primary);
    // The item itself comes first.
    let mut versions: Vec<_> = versions.collect();
    versions.sort_by_key(|version| version.id != media.id);
    let sources = versions.into_iter().map(|version| {
        let source = json!({
            "Protocol": "File",
            "Id": if model.flavor.is_emby() { format!("mediasource_{}", version.id) } else { version.id.clone() },
            "Path": version.path,
            "Type": "Default",
            "Container": "mkv",
            "Size": 4_000_000_000_u64,
            "Name": version.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".mkv"),
            "IsRemote": false,
            "RunTimeTicks": version.runtime_ms.map(|runtime| runtime * TICKS),
            "SupportsTranscoding": true,
            "SupportsDirectStream": true,
            "SupportsDirectPlay": true,
            "IsInfiniteStream": false,
            "RequiresOpening": false,
            "RequiresClosing": false,
            "RequiresLooping": false,
            "SupportsProbing": true,
            "ReadAtNativeFramerate": false,
            "MediaStreams": [],
            "Formats": [],
            "Bitrate": 5_000_000,
            "RequiredHttpHeaders": {},
        });
        spelling::without_nulls(source)
    });
    Value::Array(sources.collect())
}

/// `Type`.
pub(super) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Movie => "Movie",
        Kind::Show => "Series",
        Kind::Season => "Season",
        Kind::Episode => "Episode",
    }
}

/// What items are sorted by when sorted by name.
pub(super) fn sort_name(media: &Media) -> String {
    let title = media.title.to_lowercase();
    let title = ["the ", "a ", "an "].iter().find_map(|article| title.strip_prefix(article)).unwrap_or(&title);
    match media.kind {
        Kind::Movie | Kind::Show => title.to_owned(),
        Kind::Season => format!("{:04} - {title}", media.season.unwrap_or(0)),
        Kind::Episode => {
            format!("{:03} - {:04} - {title}", media.season.unwrap_or(0), media.episode.unwrap_or(0))
        }
    }
}
