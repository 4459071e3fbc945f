//! A simulated server on a real port: faults as a client meets them, the log, the clock in `Date`.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Client, Response};

use super::*;
use crate::http::{Fault, Group};
use crate::world::{Flavor, NewMovie, TimeSource};

struct Setup {
    server: SimServer,
    client: Client,
    token: String,
    mark: String,
}

async fn setup() -> Setup {
    let time = TimeSource::fixed("2026-03-01T20:00:00Z".parse().unwrap());
    let world = World::at(time, Flavor::Jellyfin1011, "Home", "0123456789abcdef0123456789abcdef");
    let (alice, film) = (world.add_owner("alice"), world.add_movie(&NewMovie::new("Heat", 1995)));
    let server = SimServer::start(world, "127.0.0.1:0").await.unwrap();
    let mark = format!("/UserPlayedItems/{film}");
    Setup { server, client: Client::new(), token: alice.tokens[0].clone(), mark }
}

impl Setup {
    async fn send(&self, method: reqwest::Method, path: &str) -> reqwest::Result<Response> {
        let request = self.client.request(method, format!("{}{path}", self.server.url));
        request.header("Authorization", format!("MediaBrowser Token=\"{}\"", self.token)).send().await
    }

    async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.send(reqwest::Method::GET, path).await
    }

    async fn post(&self, path: &str) -> reqwest::Result<Response> {
        self.send(reqwest::Method::POST, path).await
    }

    fn played(&self) -> bool {
        self.server.world.states("alice").values().all(|state| state.played)
    }
}

#[tokio::test]
async fn answers_carry_the_servers_own_time_and_are_logged() {
    let setup = setup().await;
    setup.server.world.clock().set_offset(SignedDuration::from_hours(-1));
    let answer = setup.get("/Items?recursive=true&limit=0&ApiKey=secret").await.unwrap();
    assert_eq!(answer.headers()["date"], "Sun, 01 Mar 2026 19:00:00 GMT");
    let log = setup.server.world.log();
    assert_eq!((log.group(Group::Count), log.count("GET /Items"), log.total()), (1, 1, 1));
    let seen = &log.all()[0];
    assert_eq!((seen.status, seen.user.is_some()), (200, true));
    assert!(!format!("{seen:?}").contains("secret"));
}

#[tokio::test]
async fn a_status_fault_comes_with_its_retry_after_and_does_nothing() {
    let setup = setup().await;
    setup.server.world.inject(Fault::too_many(7).group(Group::Write).times(1));
    let refused = setup.post(&setup.mark).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    assert!(!setup.played());
    assert_eq!(setup.post(&setup.mark).await.unwrap().status(), 200);
    assert!(setup.played());
}

#[tokio::test]
async fn a_reset_closes_the_connection_and_does_nothing() {
    let setup = setup().await;
    setup.server.world.inject(Fault::new(FaultKind::Reset));
    assert!(setup.post(&setup.mark).await.is_err());
    assert!(!setup.played());
    assert_eq!(setup.server.world.log().all()[0].status, 0);
}

#[tokio::test]
async fn a_write_may_happen_though_its_answer_never_comes() {
    let setup = setup().await;
    setup.server.world.inject(Fault::new(FaultKind::WriteThenReset).method("POST"));
    assert!(setup.post(&setup.mark).await.is_err());
    assert!(setup.played());
    assert_eq!(setup.server.world.writes().len(), 1);
}

#[tokio::test]
async fn a_cut_body_is_shorter_than_announced() {
    let setup = setup().await;
    setup.server.world.inject(Fault::new(FaultKind::CutBody));
    let answer = setup.get("/Items?recursive=true").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.content_length().is_some_and(|length| length > 0));
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn broken_json_and_html_come_whole_and_with_status_200() {
    let setup = setup().await;
    setup.server.world.inject(Fault::new(FaultKind::WrongJson).times(1));
    let broken = setup.get("/Items?recursive=true").await.unwrap();
    assert_eq!(broken.status(), 200);
    let text = broken.text().await.unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
    setup.server.world.inject(Fault::new(FaultKind::Html200));
    let page = setup.get("/Items?recursive=true").await.unwrap();
    assert!(page.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    setup.server.world.heal();
    assert!(setup.get("/Items?recursive=true").await.unwrap().text().await.unwrap().starts_with('{'));
}

#[tokio::test]
async fn a_delayed_answer_comes_after_the_client_gave_up() {
    let setup = setup().await;
    setup.server.world.inject(Fault::new(FaultKind::Delay(60_000)));
    let request = setup.client.get(format!("{}/System/Ping", setup.server.url)).timeout(Duration::from_millis(50));
    assert!(request.send().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn a_test_can_wait_for_a_request_that_is_held_before_or_after_it_was_carried_out() {
    for (kind, done) in [(FaultKind::Delay(60_000), false), (FaultKind::LateAnswer(60_000), true)] {
        let setup = setup().await;
        let log = setup.server.world.log().clone();
        setup.server.world.inject(Fault::new(kind).group(Group::Write));
        {
            let request = setup.post(&setup.mark);
            tokio::select! {
                _ = request => panic!("an answer came"),
                () = log.wait_until(|log| log.on_hold() == 1) => {}
            }
        }
        assert_eq!(setup.played(), done, "{kind:?}");
        // The client has hung up.
        log.wait_until(|log| log.on_hold() == 0).await;
    }
}

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back_at_the_same_address() {
    let setup = setup().await;
    let (addr, client) = (setup.server.addr, Client::new());
    let world = setup.server.stop().await;
    let ping = format!("http://{addr}/System/Ping");
    assert!(client.get(&ping).send().await.unwrap_err().is_connect());
    let again = SimServer::start(world, addr).await.unwrap();
    assert_eq!(client.get(&ping).send().await.unwrap().status(), 200);
    again.stop().await;
}

#[tokio::test]
async fn a_test_can_wait_for_the_requests_it_expects() {
    let setup = setup().await;
    let log = setup.server.world.log().clone();
    let waiting = tokio::spawn(async move { log.wait_until(|log| log.group(Group::Identity) == 2).await });
    for _ in 0..2 {
        setup.get("/System/Ping").await.unwrap();
    }
    waiting.await.unwrap();
}
