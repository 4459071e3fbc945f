//! `/_sim/…`: control of a running simulator from outside, for demos and for tests in other languages. Neither log
//! nor faults see these calls.
//!
//! | call | does |
//! |---|---|
//! | `GET /_sim/world` | the whole world as JSON, as `--config` reads it |
//! | `GET /_sim/states?user=` | a user's states by item id |
//! | `GET /_sim/sessions`, `GET /_sim/writes` | who plays what; writes seen through the API |
//! | `GET /_sim/log`, `GET /_sim/log/all` | requests counted by route and purpose; each of them |
//! | `DELETE /_sim/log`, `/_sim/writes`, `/_sim/faults` | forgets, heals |
//! | `POST /_sim/faults` | injects a [`Fault`] |
//! | `POST /_sim/webhooks` | sends events from now on: `{"url": "http://…", "shape": "jellyfin_json"}`; see [`Target`] |
//! | `GET`, `DELETE /_sim/webhooks` | what was sent to whom, and with which status; ends all of them |
//! | `POST /_sim/do` | carries out an order: `{"do": "play_to_end", "user": "anna", "item": "Heat"}`; see `Order` |

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Answer, Call, Fault};
use crate::webhook::{Target, Webhooks};
use crate::world::{Kind, NewEpisode, NewMovie, World, WorldError};

/// What can be asked for by `POST /_sim/do`, as `{"do": "play_to_end", "user": "anna", "item": "Heat"}`. Users are
/// named by name or id; items by id, by the title of a film, or like `The Wire S01E02`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Order {
    /// A viewer starts to play.
    Start { user: String, item: String },
    /// The playback has come to a position.
    Progress { user: String, item: String, position_ms: u64 },
    /// The viewer pauses.
    Pause { user: String, item: String, position_ms: u64 },
    /// The viewer stops.
    Stop { user: String, item: String, position_ms: u64 },
    /// The viewer watches from start to end.
    PlayToEnd { user: String, item: String },
    /// The viewer marks as played.
    MarkPlayed { user: String, item: String, date: Option<Timestamp> },
    /// The viewer marks as unplayed.
    MarkUnplayed { user: String, item: String },
    /// A film appears.
    AddMovie { title: String, year: u16, ids: BTreeMap<String, String>, path: Option<String> },
    /// An episode appears.
    AddEpisode { show: String, season: u32, episode: u32, show_ids: BTreeMap<String, String>, path: Option<String> },
    /// An item goes away.
    Remove { item: String },
    /// Another file takes an item's place.
    ReplaceFile { item: String, path: String },
    /// An item is matched to other ids.
    Rematch { item: String, ids: BTreeMap<String, String> },
    /// All libraries are read anew: all ids change.
    Rescan { keep_added: bool },
    /// All items are hidden.
    HideAll,
    /// Every second item is hidden.
    HideHalf,
    /// Nothing is hidden any more.
    ShowAll,
    /// Another server answers at this address.
    ChangeIdentity { server_id: String },
    /// A token becomes worthless.
    Revoke { token: String },
    /// The server's clock is wrong by so many seconds.
    Offset { seconds: i64 },
    /// The household's clock stops at a time.
    SetClock { at: Timestamp },
    /// The household's clock is moved by so many seconds.
    Advance { seconds: i64 },
    /// The household's clock runs on.
    Thaw,
}

/// Answers a control call; none for any other path.
pub fn answer(world: &World, call: &Call) -> Option<Answer> {
    let path = call.path.strip_prefix("/_sim/")?;
    Some(match (&call.method, path.trim_end_matches('/')) {
        (&Method::GET, "world") => Answer::new(StatusCode::OK, "application/json", world.to_json()),
        (&Method::GET, "states") => states(world, call.value("user").unwrap_or_default()),
        (&Method::GET, "sessions") => Answer::json(&json!(world.sessions())),
        (&Method::GET, "writes") => Answer::json(&json!(world.writes())),
        (&Method::GET, "log") => Answer::json(&counted(world)),
        (&Method::GET, "log/all") => Answer::json(&json!(world.log().all())),
        (&Method::DELETE, "log") => done(|| world.log().clear()),
        (&Method::DELETE, "writes") => done(|| world.clear_writes()),
        (&Method::DELETE, "faults") => done(|| world.heal()),
        (&Method::POST, "faults") => match serde_json::from_slice::<Fault>(&call.body) {
            Ok(fault) => done(|| world.inject(fault)),
            Err(error) => refused(&format!("this is not a fault: {error}")),
        },
        (&Method::GET, "webhooks") => Answer::json(&webhooks(world)),
        (&Method::DELETE, "webhooks") => done(|| world.webhooks().clear()),
        (&Method::POST, "webhooks") => match serde_json::from_slice::<Target>(&call.body) {
            Ok(target) => match Webhooks::start(world, target) {
                Ok(webhooks) => done(|| world.webhooks().keep(webhooks)),
                Err(error) => refused(&error.to_string()),
            },
            Err(error) => refused(&format!("this is not a webhook: {error}")),
        },
        (&Method::POST, "do") => match serde_json::from_slice::<Order>(&call.body) {
            Ok(order) => match carry_out(world, &order) {
                Ok(result) => Answer::json(&result),
                Err(error) => refused(&error.to_string()),
            },
            Err(error) => refused(&format!("this is not an order: {error}")),
        },
        _ => Answer::new(StatusCode::NOT_FOUND, "text/plain", "no such control route"),
    })
}

/// Carries an order out. The result is the item's id where one came or changed, else null.
fn carry_out(world: &World, order: &Order) -> Result<Value, WorldError> {
    let id = |item: &str| find(world, item);
    let pairs = |ids: &BTreeMap<String, String>| ids.clone().into_iter().collect::<Vec<_>>();
    match order {
        Order::Start { user, item } => world.start_playback(user, &id(item)?)?,
        Order::Progress { user, item, position_ms } => world.progress(user, &id(item)?, *position_ms)?,
        Order::Pause { user, item, position_ms } => world.pause(user, &id(item)?, *position_ms)?,
        Order::Stop { user, item, position_ms } => world.stop_playback(user, &id(item)?, *position_ms)?,
        Order::PlayToEnd { user, item } => world.play_to_end(user, &id(item)?)?,
        Order::MarkPlayed { user, item, date } => world.mark_played(user, &id(item)?, *date)?,
        Order::MarkUnplayed { user, item } => world.mark_unplayed(user, &id(item)?)?,
        Order::AddMovie { title, year, ids, path } => {
            let new = pairs(ids).iter().fold(NewMovie::new(title, *year), |new, (name, value)| new.id(name, value));
            let new = path.iter().fold(new, |new, path| new.path(path));
            return Ok(json!(world.add_movie(&new)));
        }
        Order::AddEpisode { show, season, episode, show_ids, path } => {
            let new = NewEpisode::new(show, *season, *episode);
            let new = pairs(show_ids).iter().fold(new, |new, (name, value)| new.show_id(name, value));
            let new = path.iter().fold(new, |new, path| new.path(path));
            return Ok(json!(world.add_episode(&new)));
        }
        Order::Remove { item } => world.remove(&id(item)?),
        Order::ReplaceFile { item, path } => return Ok(json!(world.replace_file(&id(item)?, path)?)),
        Order::Rematch { item, ids } => {
            let ids: Vec<_> = ids.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            world.rematch(&id(item)?, &ids)?;
        }
        Order::Rescan { keep_added } => return Ok(json!(world.rescan(*keep_added))),
        Order::HideAll => world.hide_all(),
        Order::HideHalf => world.hide_half(),
        Order::ShowAll => world.show_all(),
        Order::ChangeIdentity { server_id } => world.change_identity(server_id),
        Order::Revoke { token } => drop(world.revoke(token)),
        Order::Offset { seconds } => world.clock().set_offset(SignedDuration::from_secs(*seconds)),
        Order::SetClock { at } => world.clock().time().set(*at),
        Order::Advance { seconds } => world.clock().time().advance(SignedDuration::from_secs(*seconds)),
        Order::Thaw => world.clock().time().thaw(),
    }
    Ok(Value::Null)
}

/// An item by id, by the title of a film or show, or like `The Wire S01E02`.
fn find(world: &World, item: &str) -> Result<String, WorldError> {
    world.read(|model| {
        let episode = || {
            let (show, numbers) = item.rsplit_once(" S")?;
            let (season, episode) = numbers.split_once('E')?;
            model.find_episode(show, season.parse().ok()?, episode.parse().ok()?)
        };
        let found = model.item(item).or_else(|| model.find(Kind::Movie, item)).or_else(episode);
        let found = found.or_else(|| model.find(Kind::Show, item)).map(|media| media.id.clone());
        found.ok_or_else(|| WorldError::NoItem(item.to_owned()))
    })
}

fn states(world: &World, user: &str) -> Answer {
    if world.read(|model| model.user(user).is_none()) {
        return refused(&WorldError::NoUser(user.to_owned()).to_string());
    }
    Answer::json(&json!(world.states(user)))
}

fn webhooks(world: &World) -> Value {
    let told = |one: &Webhooks| json!({ "url": one.address(), "shape": one.shape(), "sent": one.sent() });
    world.webhooks().kept(|kept| kept.iter().map(told).collect())
}

fn counted(world: &World) -> Value {
    let (mut operations, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for seen in world.log().all() {
        *operations.entry(seen.operation).or_insert(0_u64) += 1;
        *groups.entry(format!("{:?}", seen.group)).or_insert(0_u64) += 1;
    }
    json!({ "total": world.log().total(), "peak": world.log().peak(), "operations": operations, "groups": groups })
}

fn done(act: impl FnOnce()) -> Answer {
    act();
    Answer::status(StatusCode::NO_CONTENT)
}

fn refused(reason: &str) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Flavor;

    fn world() -> World {
        let world = World::new(Flavor::Jellyfin1011, "Home", "0123456789abcdef0123456789abcdef");
        world.add_owner("anna");
        world.add_movie(&NewMovie::new("Heat", 1995));
        world.add_episode(&NewEpisode::new("The Wire", 1, 2));
        world
    }

    fn order(world: &World, order: &Value) -> Answer {
        answer(world, &Call::post("/_sim/do").with_json(order)).unwrap()
    }

    #[test]
    fn orders_name_items_by_title_or_numbers() {
        let world = world();
        for item in ["Heat", "The Wire S01E02"] {
            let done = order(&world, &json!({ "do": "play_to_end", "user": "anna", "item": item }));
            assert_eq!(done.status, StatusCode::OK, "{}", done.text());
        }
        assert!(world.states("anna").values().all(|state| state.played));
        let states = answer(&world, &Call::get("/_sim/states?user=anna")).unwrap().value();
        assert_eq!(states.as_object().unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_there_is_refused_with_its_name() {
        let world = world();
        let unknown = order(&world, &json!({ "do": "mark_unplayed", "user": "anna", "item": "Casablanca" }));
        assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
        assert!(unknown.text().contains("Casablanca"), "{}", unknown.text());
        assert_eq!(order(&world, &json!({ "do": "dance" })).status, StatusCode::BAD_REQUEST);
        assert_eq!(answer(&world, &Call::get("/Items")).map(|answer| answer.status), None);
    }

    #[tokio::test]
    async fn webhooks_are_set_up_and_ended_from_outside() {
        let world = world();
        let ask = |call: Call| answer(&world, &call).unwrap();
        let post = |target: &Value| ask(Call::post("/_sim/webhooks").with_json(target));
        let refused = post(&json!({ "url": "http://127.0.0.1:9/", "shape": "emby_json" }));
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text().contains("jellyfin-10.11"), "{}", refused.text());
        let target = json!({ "url": "http://127.0.0.1:9/hook?apikey=secret", "shape": "jellyfin_json" });
        assert_eq!(post(&target).status, StatusCode::NO_CONTENT);
        let listed = ask(Call::get("/_sim/webhooks")).value();
        assert_eq!(listed, json!([{ "url": "http://127.0.0.1:9/hook", "shape": "jellyfin_json", "sent": [] }]));
        assert_eq!(ask(Call::delete("/_sim/webhooks")).status, StatusCode::NO_CONTENT);
        assert_eq!(ask(Call::get("/_sim/webhooks")).value(), json!([]));
    }

    #[test]
    fn clocks_are_set_from_outside() {
        let world = world();
        order(&world, &json!({ "do": "set_clock", "at": "2026-01-01T00:00:00Z" }));
        order(&world, &json!({ "do": "offset", "seconds": -3600 }));
        order(&world, &json!({ "do": "advance", "seconds": 60 }));
        assert_eq!(world.now(), "2025-12-31T23:01:00Z".parse().unwrap());
    }

    #[test]
    fn a_world_taken_out_can_be_loaded_again() {
        let text = answer(&world(), &Call::get("/_sim/world")).unwrap();
        let loaded = World::from_json(&text.text(), crate::world::TimeSource::real()).unwrap();
        assert!(loaded.movie("Heat").is_some());
    }
}
