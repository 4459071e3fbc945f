//! Marks, positions and playbacks told to the server, and what it tells of sessions and history.

use http::StatusCode;

use super::Asked;
use super::element::{Element, refuse, respond};
use super::items::{Detail, item, section_number, type_name};
use super::query::Params;
use super::server::account_id;
use crate::http::Answer;
use crate::world::{Model, Session, StatePatch, WorldError, Write};

/// The only identifier under which items of libraries are marked.
const LIBRARY: &str = "com.plexapp.plugins.library";

/// `/:/scrobble?key=&identifier=`: one more view, now; there is no way to send a date.
pub(super) fn scrobble(asked: &Asked<'_>) -> Answer {
    mark(asked, &Write::Played { date: None })
}

/// `/:/unscrobble?key=&identifier=`: no views, no date, no position.
pub(super) fn unscrobble(asked: &Asked<'_>) -> Answer {
    mark(asked, &Write::Unplayed)
}

/// `/:/progress?key=&identifier=&time=&state=`: a position without a player.
pub(super) fn progress(asked: &Asked<'_>) -> Answer {
    match position(&asked.params) {
        Some(position_ms) => mark(asked, &Write::Position { position_ms }),
        None => refuse(StatusCode::BAD_REQUEST),
    }
}

/// `/:/rate?key=&identifier=&rating=`.
pub(super) fn rate(asked: &Asked<'_>) -> Answer {
    let Some(rating) = asked.params.get("rating").and_then(|rating| rating.parse::<f64>().ok()) else {
        return refuse(StatusCode::BAD_REQUEST);
    };
    let patch = StatePatch { rating: Some(rating), ..Default::default() };
    mark(asked, &Write::Set(patch))
}

/// `/actions/removeFromContinueWatching?ratingKey=`.
pub(super) fn forget(asked: &Asked<'_>) -> Answer {
    let Some(key) = asked.params.get("ratingKey") else { return refuse(StatusCode::BAD_REQUEST) };
    empty(&asked.world.write(&asked.user, key, &Write::Forget).map(drop))
}

fn mark(asked: &Asked<'_>, write: &Write) -> Answer {
    let params = &asked.params;
    let key = params.get("key").or_else(|| params.get("ratingKey"));
    match (key, params.get("identifier")) {
        (Some(key), Some(LIBRARY)) => empty(&asked.world.write(&asked.user, rating_key(key), write).map(drop)),
        _ => refuse(StatusCode::BAD_REQUEST),
    }
}

/// Marks are answered with nothing at all.
fn empty(done: &Result<(), WorldError>) -> Answer {
    match done {
        Ok(()) => respond(StatusCode::OK, "text/html", ""),
        Err(_) => refuse(StatusCode::NOT_FOUND),
    }
}

/// `/:/timeline`: what players tell all the time. `stopped` without a playback before it is how tools set a position.
pub(super) fn timeline(asked: &Asked<'_>) -> Answer {
    let params = &asked.params;
    let key = params.get("ratingKey").or_else(|| params.get("key"));
    let (Some(key), Some(position_ms)) = (key, position(params)) else { return refuse(StatusCode::BAD_REQUEST) };
    let (user, key) = (&asked.user, rating_key(key));
    let done = match params.get("state") {
        Some("stopped") if plays(asked, key) => asked.world.report_stop(user, key, Some(position_ms)),
        Some("stopped") => asked.world.write(user, key, &Write::Position { position_ms }),
        Some("paused") => asked.world.report_progress(user, key, position_ms, true),
        Some("playing" | "buffering") => asked.world.report_progress(user, key, position_ms, false),
        _ => return refuse(StatusCode::BAD_REQUEST),
    };
    match done {
        Ok(_) => asked.answer(&Element::container().with("size", 0)),
        Err(_) => refuse(StatusCode::NOT_FOUND),
    }
}

fn plays(asked: &Asked<'_>, item: &str) -> bool {
    let same = |session: &Session| session.user == asked.user && session.item == item;
    asked.world.read(|model| model.sessions.iter().any(same))
}

fn position(params: &Params) -> Option<u64> {
    params.get("time")?.parse().ok()
}

/// Keys come as rating keys and as paths (`/library/metadata/7`).
fn rating_key(key: &str) -> &str {
    key.strip_prefix("/library/metadata/").unwrap_or(key)
}

/// `GET /status/sessions`, for the owner only.
pub(super) fn sessions(asked: &Asked<'_>) -> Answer {
    if !asked.owner {
        return refuse(StatusCode::FORBIDDEN);
    }
    let container = asked.world.read(|model| {
        let playing: Vec<Element> = model.sessions.iter().filter_map(|session| playing(model, session)).collect();
        Element::container().with("size", playing.len()).children(playing)
    });
    asked.answer(&container)
}

/// A session is the item with the player's position in place of the kept one, and who plays it where.
fn playing(model: &Model, session: &Session) -> Option<Element> {
    let media = model.item(&session.item)?;
    let user = model.user(&session.user)?;
    let account = account_id(model, &user.id);
    let detail = Detail { section: true, guids: true, ..Detail::default() };
    let user_element = Element::new("User")
        .single()
        .with("id", account.to_string())
        .with("thumb", format!("https://plex.tv/users/{}/avatar?c=1", user.uuid))
        .with("title", user.name.clone());
    let player = Element::new("Player")
        .single()
        .with("address", "192.0.2.10")
        .with("device", "TV")
        .with("machineIdentifier", format!("player-{}", user.uuid))
        .with("model", "simulated")
        .with("platform", "Android")
        .with("platformVersion", "12")
        .with("product", "Plex for Android (TV)")
        .with("profile", "Android")
        .with("remotePublicAddress", "203.0.113.7")
        .with("state", if session.paused { "paused" } else { "playing" })
        .with("title", "Living room")
        .with("version", "10.0.0")
        .with("local", true)
        .with("relayed", false)
        .with("secure", false)
        .with("userID", account);
    let bandwidth =
        Element::new("Session").single().with("id", session.id.clone()).with("bandwidth", 4000).with("location", "lan");
    let shown = item(model, &session.user, media, detail)
        .without("viewOffset")
        .with("viewOffset", session.position_ms)
        .with("sessionKey", session.key.to_string());
    Some(shown.child(user_element).child(player).child(bandwidth))
}

/// `GET /status/sessions/history/all`: finished playbacks of everybody, for the owner only.
pub(super) fn history(asked: &Asked<'_>) -> Answer {
    if !asked.owner {
        return refuse(StatusCode::FORBIDDEN);
    }
    let params = &asked.params;
    let second = |name: &str| params.get(name).and_then(|value| value.parse::<i64>().ok());
    let page = asked.page();
    let (container, total) = asked.world.read(|model| {
        let mut entries: Vec<(i64, Element)> = model
            .history
            .iter()
            .filter(|entry| {
                let (at, account) = (entry.viewed_at.as_second(), account_id(model, &entry.user));
                let media = model.media.get(&entry.item);
                second("viewedAt>").is_none_or(|from| at >= from)
                    && second("viewedAt>>").is_none_or(|from| at > from)
                    && second("viewedAt<").is_none_or(|until| at <= until)
                    && second("accountID").is_none_or(|wanted| wanted == account)
                    && params.get("metadataItemID").is_none_or(|wanted| wanted == entry.item)
                    && params.get("librarySectionID").is_none_or(|id| media.is_some_and(|media| media.library == id))
            })
            .map(|entry| (entry.viewed_at.as_second(), view(model, entry.id, &entry.user, &entry.item)))
            .map(|(at, element)| (at, element.with("viewedAt", at)))
            .collect();
        if params.get("sort").is_some_and(|sort| sort.ends_with(":desc")) {
            entries.reverse();
        }
        let total = entries.len();
        let shown: Vec<Element> = page.cut(entries).into_iter().map(|(_, element)| element).collect();
        (Element::container().with("size", shown.len()).children(shown), total)
    });
    asked.paged(container, total)
}

/// An entry of the history. A title that has gone since keeps its place, without a rating key.
fn view(model: &Model, id: u64, user: &str, item: &str) -> Element {
    let entry = Element::item("Video").with("historyKey", format!("/status/sessions/history/{id}"));
    let entry = match model.media.get(item) {
        None => entry,
        Some(media) => {
            let parent = |id: &Option<String>| id.as_ref().and_then(|id| model.media.get(id));
            let show = parent(&media.show);
            let path = |id: &str| format!("/library/metadata/{id}");
            let section = model.library(&media.library).map(section_number).unwrap_or_default();
            entry
                .with("key", path(&media.id))
                .with("ratingKey", media.id.clone())
                .with("librarySectionID", section.to_string())
                .with_some("parentKey", media.season_id.as_deref().map(path))
                .with_some("grandparentKey", media.show.as_deref().map(path))
                .with("title", media.title.clone())
                .with_some("parentTitle", parent(&media.season_id).map(|season| season.title.clone()))
                .with_some("grandparentTitle", show.map(|show| show.title.clone()))
                .with("type", type_name(media.kind))
                .with_some("index", media.episode)
                .with_some("parentIndex", media.season)
        }
    };
    entry.with("accountID", account_id(model, user)).with("deviceID", 1)
}
