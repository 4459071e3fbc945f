//! Webhooks as a receiver meets them: how they are sent, held back, turned round and repeated; what is told is tested
//! server by server beside this.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::http::{Answer, Call, Group, Http, Operation};
use crate::server::{Listening, Service};
use crate::world::{NewEpisode, NewMovie, TimeSource, Write};

mod emby;
mod jellyfin;
mod plex;

const MINUTE: u64 = 60_000;
const NOW: &str = "2026-03-01T20:00:00Z";

/// Takes what it is sent and keeps it.
#[derive(Default)]
struct Receiver {
    calls: Mutex<Vec<Call>>,
    http: Http,
    busy: bool,
}

impl Receiver {
    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

impl Service for Receiver {
    fn operation(&self, _: &Call) -> Operation {
        Operation { label: "webhook", group: Group::Other }
    }

    fn answer(&self, call: &Call) -> Answer {
        self.calls.lock().unwrap().push(call.clone());
        Answer::status(if self.busy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    }

    fn http(&self) -> &Http {
        &self.http
    }

    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }

    fn control(&self, _: &Call) -> Option<Answer> {
        None
    }
}

/// A server with a film and a season, and a webhook to a receiver.
struct Setup {
    world: World,
    film: String,
    season: String,
    receiver: Arc<Receiver>,
    listening: Listening,
    hooks: Webhooks,
}

async fn setup(flavor: Flavor) -> Setup {
    setup_with(flavor, |target| target).await
}

async fn setup_with(flavor: Flavor, change: impl FnOnce(Target) -> Target) -> Setup {
    let time = TimeSource::fixed(NOW.parse().unwrap());
    let world = World::at(time, flavor, "Home", "0123456789abcdef0123456789abcdef");
    world.add_owner("anna");
    world.add_user("ben");
    let film = world.add_movie(&heat());
    for episode in 1..=2 {
        world.add_episode(&wire(episode));
    }
    let season = world.read(|model| model.media.values().find(|media| media.title == "Season 1").unwrap().id.clone());
    let receiver = Arc::new(Receiver::default());
    let listening = Listening::start(Arc::clone(&receiver) as Arc<dyn Service>, "127.0.0.1:0").await.unwrap();
    let target = change(Target::new(&format!("{}/hook?apikey=secret", listening.url())));
    let hooks = Webhooks::start(&world, target).unwrap();
    Setup { world, film, season, receiver, listening, hooks }
}

fn heat() -> NewMovie {
    NewMovie::new("Heat", 1995).id("imdb", "tt0113277").id("tmdb", "949").minutes(100)
}

fn wire(episode: u32) -> NewEpisode {
    let new = NewEpisode::new("The Wire", 1, episode).show_year(2002).show_id("tvdb", "79126");
    new.id("tvdb", &format!("30000{episode}"))
}

impl Setup {
    /// The events sent so far, by name.
    async fn events(&self) -> Vec<String> {
        self.hooks.settle().await.into_iter().map(|sent| sent.event).collect()
    }

    /// The payload of the last event of this name.
    async fn body(&self, event: &str) -> Value {
        let sent = self.hooks.settle().await;
        sent.into_iter().rfind(|sent| sent.event == event).unwrap_or_else(|| panic!("no {event}")).body
    }

    /// The requests received so far.
    async fn calls(&self) -> Vec<Call> {
        self.hooks.settle().await;
        self.receiver.calls()
    }
}

fn text(call: &Call) -> String {
    String::from_utf8_lossy(&call.body).into_owned()
}

/// The parts of a multipart body: head and content.
fn parts(call: &Call) -> Vec<(String, Vec<u8>)> {
    let boundary = call.header("content-type").unwrap().split_once("boundary=").unwrap().1.trim_matches('"');
    let mark = format!("--{boundary}");
    let places: Vec<usize> =
        (0..call.body.len()).filter(|place| call.body[*place..].starts_with(mark.as_bytes())).collect();
    let ranges = places.windows(2).map(|pair| &call.body[pair[0] + mark.len() + 2..pair[1] - 2]);
    ranges
        .map(|part| {
            let end = part.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            (String::from_utf8(part[..end].to_vec()).unwrap(), part[end + 4..].to_vec())
        })
        .collect()
}

#[tokio::test]
async fn events_carry_the_state_at_their_own_time_however_late_they_are_sent() {
    let setup = setup(Flavor::Jellyfin1011).await;
    setup.world.play_to_end("anna", &setup.film).unwrap();
    setup.world.mark_unplayed("anna", &setup.film).unwrap();
    let played: Vec<Value> =
        setup.hooks.settle().await.iter().filter_map(|sent| sent.body.get("Played").cloned()).collect();
    assert_eq!(played, [json!(false), json!(true), json!(true), json!(false)]);
}

#[tokio::test]
async fn requests_arrive_in_order_and_their_statuses_are_kept() {
    let setup = setup(Flavor::Emby49).await;
    setup.world.start_playback("anna", &setup.film).unwrap();
    for minute in 1..=20 {
        setup.world.pause("anna", &setup.film, minute * MINUTE).unwrap();
        setup.world.progress("anna", &setup.film, minute * MINUTE).unwrap();
    }
    let sent = setup.hooks.wait_for(41).await;
    assert!(sent.iter().all(|sent| sent.status == Some(200)));
    let received: Vec<Value> =
        setup.calls().await.iter().map(|call| serde_json::from_slice(&call.body).unwrap()).collect();
    assert!(received.iter().eq(sent.iter().map(|sent| &sent.body)));
}

#[tokio::test]
async fn the_secret_goes_in_the_query_or_in_a_header() {
    let header = ("X-Api-Key".to_owned(), "secret2".to_owned());
    let setup = setup_with(Flavor::Jellyfin12, |target| Target { header: Some(header), ..target }).await;
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    let call = setup.calls().await.remove(0);
    assert_eq!((call.value("apikey"), call.header("x-api-key")), (Some("secret"), Some("secret2")));
    assert!(!format!("{:?}", setup.hooks).contains("secret"));
}

#[tokio::test]
async fn what_was_held_back_can_come_in_reverse() {
    let setup = setup(Flavor::Emby48).await;
    setup.hooks.hold();
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    setup.world.mark_unplayed("anna", &setup.film).unwrap();
    assert_eq!(setup.events().await, [""; 0]);
    setup.hooks.release_reversed();
    setup.world.mark_played("ben", &setup.film, None).unwrap();
    assert_eq!(setup.events().await, ["item.markunplayed", "item.markplayed", "item.markplayed"]);
}

#[tokio::test]
async fn what_was_held_back_can_come_in_order() {
    let setup = setup(Flavor::Plex).await;
    setup.hooks.hold();
    setup.world.start_playback("anna", &setup.film).unwrap();
    setup.world.pause("anna", &setup.film, MINUTE).unwrap();
    setup.hooks.release();
    assert_eq!(setup.events().await, ["media.play", "media.pause"]);
}

#[tokio::test]
async fn each_event_can_come_twice() {
    let setup = setup(Flavor::Emby49).await;
    setup.hooks.twice();
    setup.world.play_to("anna", &setup.film, 50 * MINUTE).unwrap();
    assert_eq!(setup.events().await, ["playback.start", "playback.start", "playback.stop", "playback.stop"]);
    let calls = setup.calls().await;
    assert_eq!(calls[0].body, calls[1].body);
}

#[tokio::test]
async fn a_refused_event_is_not_sent_again() {
    let setup = setup(Flavor::Plex).await;
    let receiver = Arc::new(Receiver { busy: true, ..Receiver::default() });
    let listening = Listening::start(Arc::clone(&receiver) as Arc<dyn Service>, "127.0.0.1:0").await.unwrap();
    let hooks = Webhooks::start(&setup.world, Target::new(&listening.url())).unwrap();
    setup.world.start_playback("anna", &setup.film).unwrap();
    assert_eq!(hooks.wait_for(1).await[0].status, Some(503));
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn an_event_that_nobody_takes_is_lost() {
    let setup = setup(Flavor::Plex).await;
    setup.listening.stop().await;
    setup.world.start_playback("anna", &setup.film).unwrap();
    assert_eq!(setup.hooks.wait_for(1).await[0].status, None);
}

#[tokio::test]
async fn a_dropped_webhook_sends_nothing_more() {
    let setup = setup(Flavor::Emby49).await;
    let other = Webhooks::start(&setup.world, Target::new(&setup.listening.url())).unwrap();
    drop(setup.hooks);
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    assert_eq!(other.settle().await.len(), 1);
    assert_eq!(setup.receiver.calls().len(), 1);
}

#[tokio::test]
async fn a_server_has_only_its_own_shapes() {
    let world = World::new(Flavor::Plex, "Home", "home1");
    let start = |url: &str, shape| Webhooks::start(&world, Target { shape, ..Target::new(url) });
    let refused = start("http://127.0.0.1:9/", Some(Shape::EmbyJson)).unwrap_err();
    assert_eq!(refused.to_string(), "plex sends no events in the form EmbyJson");
    assert!(matches!(start("nowhere", None).unwrap_err(), WebhookError::Url(_)));
}
