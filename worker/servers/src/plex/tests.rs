mod accounts;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::Url;
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::ids::{ExternalId, Kind, Provider};
use watchstate_domain::item::{ItemState, ServerKind};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, Request as Received, ResponseTemplate};

use super::*;
use crate::testing::{
    TOKEN, account, all, answers, asked, assert_harmless, at, client, connection, film, library, refuses, shown, view,
};
use crate::{AccountSecret, Content, Counts, Selection, Write, connect};

fn root() -> Value {
    json!({"MediaContainer": {"friendlyName": "Plex at home", "version": "1.41.6.9606-e5eadc3ab",
        "machineIdentifier": "machine-1", "platform": "Linux", "myPlexUsername": "anna"}})
}

fn page(items: &[Value], total: usize) -> Value {
    json!({"MediaContainer": {"size": items.len(), "totalSize": total, "offset": 0, "Metadata": items}})
}

fn movie(key: usize) -> Value {
    json!({"ratingKey": key.to_string(), "key": format!("/library/metadata/{key}"), "type": "movie", "title": format!("Film {key}"),
        "guid": "plex://movie/5d776825880197001ec90e6f", "Guid": [{"id": format!("tmdb://{key}")}],
        "year": 1999, "addedAt": 1_600_000_000, "updatedAt": 1_600_000_100})
}

/// Pages of `total` films, as `X-Plex-Container-*` asks for them.
fn films(total: usize) -> impl Fn(&Received) -> ResponseTemplate {
    move |request: &Received| {
        let number = |name: &str| -> usize {
            let (_, value) = request.url.query_pairs().find(|(key, _)| key == name).unwrap();
            assert_eq!(request.headers[name.to_ascii_lowercase().as_str()].to_str().unwrap(), value);
            value.parse().unwrap()
        };
        let (start, size) = (number("X-Plex-Container-Start"), number("X-Plex-Container-Size"));
        let items: Vec<Value> = (start..total.min(start + size)).map(|key| movie(key + 1)).collect();
        ResponseTemplate::new(200).set_body_json(page(&items, total))
    }
}

async fn library_answers(server: &MockServer, items: &[Value]) {
    answers(server, "GET", "/library/sections/7/all", page(items, items.len())).await;
}

#[tokio::test]
async fn it_tells_who_it_is_and_how_far_its_clock_is_off() {
    let server = MockServer::start().await;
    Mock::given(path("/"))
        .and(header("x-plex-token", TOKEN))
        .and(header("x-plex-client-identifier", "client-1"))
        .and(header("x-plex-product", "Watch State Sync"))
        .and(header("accept", "application/json"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(root()).insert_header("date", "Tue, 01 Jul 2025 13:00:00 GMT"),
        )
        .mount(&server)
        .await;
    let noon: Timestamp = "2025-07-01T12:00:00Z".parse().unwrap();
    let identity = client(ServerKind::Plex, &server).identify(&move || noon).await.unwrap();
    assert_eq!(
        identity,
        Identity {
            server_id: "machine-1".to_owned(),
            name: "Plex at home".to_owned(),
            version: "1.41.6.9606".to_owned(),
            clock_offset: ClockOffset(3_600_000),
        }
    );
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    assert!(!requests[0].headers.contains_key("x-plex-provides"));
}

#[tokio::test]
async fn a_revoked_token_says_what_to_renew() {
    let server = MockServer::start().await;
    refuses(&server, "GET", "/", 401).await;
    let error = client(ServerKind::Plex, &server).identify(&|| at(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.to_string().contains("tokenSecretRef"), "{error}");
}

#[tokio::test]
async fn libraries_of_all_kinds_are_listed() {
    let server = MockServer::start().await;
    let directory =
        |key: Value, kind: &str| json!({"key": key, "type": kind, "title": kind, "agent": "x", "Location": []});
    let directories =
        json!([directory(json!("1"), "movie"), directory(json!(2), "show"), directory(json!("3"), "artist")]);
    answers(&server, "GET", "/library/sections", json!({"MediaContainer": {"size": 3, "Directory": directories}}))
        .await;
    let libraries = view(ServerKind::Plex, &server, "1").await.libraries().await.unwrap();
    let found: Vec<_> = libraries.iter().map(|library| (library.id.as_str(), library.content.clone())).collect();
    assert_eq!(found, [("1", Content::Movies), ("2", Content::Shows), ("3", Content::Other("artist".to_owned()))]);
}

#[tokio::test]
async fn a_server_without_libraries_has_none() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/library/sections", json!({"MediaContainer": {"size": 0}})).await;
    assert_eq!(view(ServerKind::Plex, &server, "1").await.libraries().await.unwrap(), []);
}

#[tokio::test]
async fn counts_are_asked_for_without_items() {
    let server = MockServer::start().await;
    let counted = |total: usize| {
        ResponseTemplate::new(200).set_body_json(json!({"MediaContainer": {"size": 0, "totalSize": total}}))
    };
    let route = || Mock::given(path("/library/sections/7/all"));
    route().and(query_param("unwatched", "0")).respond_with(counted(2)).with_priority(1).mount(&server).await;
    route().and(query_param("inProgress", "1")).respond_with(counted(1)).with_priority(1).mount(&server).await;
    // The total may come in a header, and as text.
    let in_header = ResponseTemplate::new(200)
        .set_body_json(json!({"MediaContainer": {"size": 0}}))
        .insert_header("x-plex-container-total-size", "9");
    route().respond_with(in_header).mount(&server).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    assert_eq!(view.counts(&library(Content::Shows)).await.unwrap(), Counts { total: 9, played: 2, resumable: 1 });
    assert_eq!(
        asked(&server).await,
        [
            "GET /library/sections/7/all?type=4&X-Plex-Container-Start=0&X-Plex-Container-Size=0",
            "GET /library/sections/7/all?type=4&unwatched=0&X-Plex-Container-Start=0&X-Plex-Container-Size=0",
            "GET /library/sections/7/all?type=4&inProgress=1&X-Plex-Container-Start=0&X-Plex-Container-Size=0",
        ]
    );
}

#[tokio::test]
async fn a_count_that_is_not_told_is_an_error_and_not_zero() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/library/sections/7/all", json!({"MediaContainer": {"size": 0}})).await;
    let error = view(ServerKind::Plex, &server, "1").await.counts(&library(Content::Movies)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadAnswer);
}

#[tokio::test]
async fn a_library_costs_one_request_a_page() {
    let server = MockServer::start().await;
    Mock::given(path("/library/sections/7/all")).respond_with(films(25)).mount(&server).await;
    let mut connection = connection(ServerKind::Plex, &server);
    connection.limits.page_size = 10;
    let view = connect(connection).unwrap().open(&account("1", true), "machine-1").await.unwrap();
    let pages = all(&*view, &library(Content::Movies), Selection::All).await.unwrap();
    let sizes: Vec<_> = pages.iter().map(|page| (page.items.len(), page.received, page.total)).collect();
    assert_eq!(sizes, [(10, 10, 25), (10, 10, 25), (5, 5, 25)]);
    assert_eq!(pages[2].items[4].remote_id, "25");
    assert_eq!(asked(&server).await.len(), 3);
    assert_eq!(
        asked(&server).await[1],
        "GET /library/sections/7/all?type=1&includeGuids=1&sort=addedAt:asc&X-Plex-Container-Start=10&X-Plex-Container-Size=10"
    );
}

#[tokio::test]
async fn half_a_library_is_an_error_and_not_a_library() {
    let server = MockServer::start().await;
    let half = |request: &Received| {
        let late = request.url.query().unwrap().contains("X-Plex-Container-Start=2");
        let items = if late { vec![] } else { vec![movie(1), movie(2)] };
        ResponseTemplate::new(200).set_body_json(page(&items, 4))
    };
    Mock::given(path("/library/sections/7/all")).respond_with(half).mount(&server).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let error = all(&*view, &library(Content::Movies), Selection::All).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadAnswer);
    assert!(error.to_string().contains("nothing is concluded"), "{error}");
}

#[tokio::test]
async fn a_full_page_without_a_total_is_not_taken_for_the_whole_library() {
    let server = MockServer::start().await;
    let untold = json!({"MediaContainer": {"size": 2, "Metadata": [movie(1), movie(2)]}});
    answers(&server, "GET", "/library/sections/7/all", untold).await;
    let mut connection = connection(ServerKind::Plex, &server);
    connection.limits.page_size = 2;
    let full = connect(connection).unwrap().open(&account("1", true), "machine-1").await.unwrap();
    let error = all(&*full, &library(Content::Movies), Selection::All).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadAnswer);
    let short = view(ServerKind::Plex, &server, "1").await;
    assert_eq!(all(&*short, &library(Content::Movies), Selection::All).await.unwrap()[0].total, 2);
}

#[tokio::test]
async fn films_are_read_with_ids_state_and_file() {
    let server = MockServer::start().await;
    let film = json!({"ratingKey": "101", "type": "movie", "title": "The \"Matrix\"", "year": 1999,
        "guid": "plex://movie/5d776825880197001ec90e6f",
        "Guid": [{"id": "imdb://tt0133093"}, {"id": "tmdb://603"}, {"id": "tvdb://junk"}],
        "addedAt": 1_600_000_000, "lastViewedAt": "1700000000", "viewCount": "3", "viewOffset": 12_000, "duration": 8_160_000,
        "Media": [{"id": 1, "Part": [{"id": 2, "file": "/films/matrix.mkv"}]}], "Genre": [{"tag": "Action"}], "rating": 8.7});
    let bare = json!({"ratingKey": 102, "type": "movie", "title": "Bare", "year": -3, "addedAt": -5, "lastViewedAt": 99_999_999_999_999_i64,
        "guid": "local://102"});
    let clip = json!({"ratingKey": "103", "type": "clip", "title": "Trailer"});
    library_answers(&server, &[film, bare, clip]).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let pages = all(&*view, &library(Content::Movies), Selection::All).await.unwrap();
    assert_eq!((pages[0].received, pages[0].items.len()), (3, 2));
    let film = &pages[0].items[0];
    assert_eq!(film.title, "The \"Matrix\"");
    assert_eq!(film.ids.to_string(), "imdb:tt0133093 tmdb:603 plex:movie/5d776825880197001ec90e6f");
    assert_eq!((film.junk_ids, film.year, film.runtime_ms), (1, Some(1999), Some(8_160_000)));
    assert_eq!(film.path.as_deref(), Some("/films/matrix.mkv"));
    assert_eq!(film.added_at, Some(at(1_600_000_000)));
    assert_eq!(
        film.state,
        ItemState { played: true, plays: 3, last_played_at: Some(at(1_700_000_000)), position_ms: 12_000 }
    );
    let bare = &pages[0].items[1];
    assert_eq!((bare.remote_id.as_str(), bare.year, bare.added_at), ("102", None, None));
    assert_eq!(bare.state, ItemState::default());
    assert!(bare.ids.is_empty());
}

#[tokio::test]
async fn episodes_know_their_show_their_numbers_and_the_ids_of_legacy_agents() {
    let server = MockServer::start().await;
    let modern = json!({"ratingKey": "1", "type": "episode", "title": "Pilot", "parentIndex": 0, "index": 2, "year": 2011,
        "guid": "plex://episode/5d776825880197001ec90e70", "Guid": [{"id": "tvdb://3254641"}],
        "grandparentRatingKey": "9", "grandparentTitle": "Thrones", "grandparentGuid": "plex://show/5d9c086c46115600200aa2fe"});
    let legacy = json!({"ratingKey": "2", "type": "episode", "title": "Nine", "grandparentTitle": "Thrones",
        "guid": "com.plexapp.agents.thetvdb://121361/3/9?lang=en"});
    library_answers(&server, &[modern, legacy]).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let pages = all(&*view, &library(Content::Shows), Selection::All).await.unwrap();
    let [modern, legacy] = &pages[0].items[..] else { panic!("two episodes") };
    assert_eq!((modern.kind, modern.season, modern.episode, modern.year), (Kind::Episode, Some(0), Some(2), None));
    let show = modern.show.as_ref().unwrap();
    assert_eq!((show.remote_id.as_deref(), show.title.as_str()), (Some("9"), "Thrones"));
    assert_eq!(show.ids.get(Provider::Plex), Some("show/5d9c086c46115600200aa2fe"));
    assert_eq!((legacy.season, legacy.episode, legacy.ids.is_empty()), (Some(3), Some(9), true));
    let id = ExternalId { provider: Provider::Tvdb, value: "121361".to_owned() };
    assert!(legacy.show.as_ref().unwrap().ids.iter().eq([id]));
}

#[tokio::test]
async fn shows_are_read_from_libraries_that_have_them() {
    let server = MockServer::start().await;
    let show = json!({"ratingKey": "9", "type": "show", "title": "Thrones", "year": 2011, "index": 1,
        "guid": "plex://show/5d9c086c46115600200aa2fe", "Guid": [{"id": "tvdb://121361"}], "leafCount": 73, "viewedLeafCount": 2});
    library_answers(&server, &[show]).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    assert_eq!(all(&*view, &library(Content::Movies), Selection::Shows).await.unwrap(), []);
    let pages = all(&*view, &library(Content::Shows), Selection::Shows).await.unwrap();
    let show = &pages[0].items[0];
    assert_eq!((show.kind, show.year, show.season, show.episode), (Kind::Show, Some(2011), None, None));
    assert_eq!(asked(&server).await.len(), 1);
    assert!(asked(&server).await[0].contains("type=2&"));
}

#[tokio::test]
async fn recent_activity_is_one_small_request_and_holds_where_the_filter_is_ignored() {
    let server = MockServer::start().await;
    let viewed = |key: usize, at: i64| {
        let mut movie = movie(key);
        movie["lastViewedAt"] = json!(at);
        movie
    };
    let mut items: Vec<Value> = vec![viewed(1, 2_000_000_000), viewed(2, 1_900_000_000)];
    items.extend((3..100).map(|key| viewed(key, 1_600_000_000 - i64::try_from(key).unwrap())));
    answers(&server, "GET", "/library/sections/7/all", page(&items, 5000)).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let since = Selection::ActiveSince(at(1_900_000_000));
    let pages = all(&*view, &library(Content::Movies), since).await.unwrap();
    assert_eq!((pages.len(), pages[0].items.len(), pages[0].received), (1, 2, 99));
    assert_eq!(
        asked(&server).await,
        [
            "GET /library/sections/7/all?type=1&includeGuids=1&sort=lastViewedAt:desc&lastViewedAt>=1900000000&X-Plex-Container-Start=0&X-Plex-Container-Size=100"
        ]
    );
}

#[tokio::test]
async fn changed_shows_are_asked_for_when_episodes_changed() {
    let server = MockServer::start().await;
    let route = || Mock::given(path("/library/sections/7/all"));
    let show = json!({"ratingKey": "9", "type": "show", "title": "Thrones", "updatedAt": 1_900_000_500});
    let episode = json!({"ratingKey": "1", "type": "episode", "title": "Pilot", "updatedAt": 1_900_000_000});
    let json = |item: Value| ResponseTemplate::new(200).set_body_json(page(&[item], 1));
    route().and(query_param("type", "2")).respond_with(json(show)).mount(&server).await;
    route().and(query_param("type", "4")).respond_with(json(episode)).mount(&server).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let library = library(Content::Shows);
    let changed = all(&*view, &library, Selection::ChangedSince(at(1_900_000_000))).await.unwrap();
    let kinds: Vec<_> = changed.iter().flat_map(|page| page.items.iter().map(|item| item.kind)).collect();
    assert_eq!(kinds, [Kind::Episode, Kind::Show]);
    let unchanged = all(&*view, &library, Selection::ChangedSince(at(1_900_000_001))).await.unwrap();
    assert!(unchanged.iter().all(|page| page.items.is_empty()));
    let asked = asked(&server).await;
    assert_eq!(asked.len(), 3);
    assert!(asked[2].contains("type=4&includeGuids=1&sort=updatedAt:desc&updatedAt>=1900000001"), "{}", asked[2]);
}

#[tokio::test]
async fn single_items_are_read_together_and_unknown_ones_are_missing() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/library/metadata/1,2,3", page(&[movie(1), movie(3)], 2)).await;
    refuses(&server, "GET", "/library/metadata/4", 404).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let ids = |ids: &[&str]| -> Vec<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
    let found = view.items_by_id(&ids(&["1", "2", "3"])).await.unwrap();
    assert_eq!(found.iter().map(|item| item.remote_id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(view.items_by_id(&ids(&["4"])).await.unwrap(), []);
    assert_eq!(view.items_by_id(&[]).await.unwrap(), []);
    assert_eq!(
        asked(&server).await,
        ["GET /library/metadata/1,2,3?includeGuids=1", "GET /library/metadata/4?includeGuids=1"]
    );
}

#[tokio::test]
async fn what_the_account_plays_is_found_by_id_and_by_name() {
    let server = MockServer::start().await;
    let session = |key: &str, id: Value, title: &str| json!({"ratingKey": key, "type": "movie", "User": {"id": id, "title": title}});
    let sessions = json!({"MediaContainer": {"size": 3, "Metadata": [
        session("1", json!("1"), "whoever"), session("2", json!(55), "anna"), session("3", json!("2"), "Ben")]}});
    answers(&server, "GET", "/status/sessions", sessions).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    assert_eq!(view.playing().await.unwrap(), ["1", "2"]);
    server.reset().await;
    refuses(&server, "GET", "/status/sessions", 403).await;
    assert_eq!(view.playing().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn marks_and_positions_are_written_with_one_request_each() {
    let server = MockServer::start().await;
    for route in ["/:/scrobble", "/:/unscrobble"] {
        refuses(&server, "GET", route, 200).await;
    }
    refuses(&server, "POST", "/:/timeline", 200).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let state = ItemState { played: true, plays: 2, last_played_at: Some(at(1_600_000_000)), position_ms: 5 };
    let item = film("101", state);
    assert_eq!(
        view.write(&item, &Write::Played { at: Some(at(1)) }).await.unwrap(),
        ItemState { played: true, plays: 3, last_played_at: None, position_ms: 0 }
    );
    assert_eq!(view.write(&item, &Write::Unplayed).await.unwrap(), ItemState::default());
    let position = Write::Position { position_ms: 60_000, at: at(1_700_000_000) };
    assert_eq!(
        view.write(&item, &position).await.unwrap(),
        ItemState { position_ms: 60_000, last_played_at: None, ..state }
    );
    assert_eq!(
        asked(&server).await,
        [
            "GET /:/scrobble?identifier=com.plexapp.plugins.library&key=101",
            "GET /:/unscrobble?identifier=com.plexapp.plugins.library&key=101",
            "POST /:/timeline?ratingKey=101&key=/library/metadata/101&identifier=com.plexapp.plugins.library&state=stopped&time=60000&duration=6000000&X-Plex-Client-Identifier=client-1",
        ]
    );
}

#[tokio::test]
async fn a_position_never_marks_as_played() {
    let server = MockServer::start().await;
    refuses(&server, "POST", "/:/timeline", 200).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let late = Write::Position { position_ms: 5_900_000, at: at(1_700_000_000) };
    let state = view.write(&film("101", ItemState::default()), &late).await.unwrap();
    assert_eq!((state.position_ms, state.played), (5_340_000, false));
    assert!(asked(&server).await[0].contains("time=5340000&"));
}

#[tokio::test]
async fn a_play_that_may_have_been_counted_is_not_sent_again() {
    let server = MockServer::start().await;
    refuses(&server, "GET", "/:/scrobble", 502).await;
    refuses(&server, "GET", "/:/unscrobble", 502).await;
    let view = view(ServerKind::Plex, &server, "1").await;
    let item = film("101", ItemState::default());
    let error = view.write(&item, &Write::Played { at: None }).await.unwrap_err();
    assert_eq!((error.kind(), asked(&server).await.len()), (ErrorKind::Uncertain, 1));
    let error = view.write(&item, &Write::Unplayed).await.unwrap_err();
    assert_eq!((error.kind(), asked(&server).await.len()), (ErrorKind::ServerFailure, 6));
}

#[tokio::test]
async fn a_left_over_position_cannot_be_cleared_and_nothing_is_sent() {
    let server = MockServer::start().await;
    let view = view(ServerKind::Plex, &server, "1").await;
    assert!(!Write::ClearPosition.is_possible_at(ServerKind::Plex));
    let error = view.write(&film("101", ItemState::default()), &Write::ClearPosition).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(asked(&server).await.is_empty());
}
