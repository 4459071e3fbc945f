use secrecy::SecretString;
use serde_json::{Value, json};
use watchstate_domain::item::{ItemState, ServerKind};
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::testing::{TOKEN, all, answers, asked, at, client, connection, film, library, refuses, sent, view};
use crate::{Content, Selection, connect};

const KIND: ServerKind = ServerKind::Emby;

fn info(version: &str) -> Value {
    json!({"Id": "server-1", "ServerName": "Emby", "Version": version, "OperatingSystem": "Linux"})
}

#[tokio::test]
async fn it_is_spoken_to_in_its_own_way() {
    let server = MockServer::start().await;
    Mock::given(path("/System/Info"))
        .and(header("x-emby-token", TOKEN))
        .respond_with(ResponseTemplate::new(200).set_body_json(info("4.9.1.2")))
        .mount(&server)
        .await;
    assert_eq!(client(KIND, &server).identify(&|| at(0)).await.unwrap().version, "4.9.1.2");
    assert!(!server.received_requests().await.unwrap()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn versions_are_taken_or_refused_with_a_reason() {
    let cases = [
        ("4.8.10.0", None),
        ("4.10.0.23", None),
        ("4.7.14.0", Some((ErrorKind::Unsupported, "4.8 or newer"))),
        ("10.11.2", Some((ErrorKind::WrongServer, "type: Jellyfin"))),
    ];
    for (version, expected) in cases {
        let server = MockServer::start().await;
        answers(&server, "GET", "/System/Info", info(version)).await;
        let found = client(KIND, &server).identify(&|| at(0)).await.err();
        assert_eq!(found.as_ref().map(crate::ServerError::kind), expected.map(|(kind, _)| kind), "{version}");
        if let (Some(error), Some((_, words))) = (found, expected) {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[tokio::test]
async fn a_login_introduces_us_and_its_token_is_used() {
    let server = MockServer::start().await;
    let login = json!({"User": {"Id": "u1", "Name": "Anna", "Policy": {"IsAdministrator": false}}, "AccessToken": "user-token"});
    answers(&server, "POST", "/Users/AuthenticateByName", login).await;
    answers(&server, "GET", "/System/Info", info("4.8.10.0")).await;
    let mut connection = connection(KIND, &server);
    connection.credentials.token = None;
    connection.credentials.login = Some(("anna".to_owned(), SecretString::from("hunter2")));
    let client = connect(connection).unwrap();
    client.identify(&|| at(0)).await.unwrap();
    let accounts = client.accounts().await.unwrap().there;
    assert!(matches!(&accounts[..], [only] if only.own && only.id == "u1"));
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    let introduction = requests[0].headers["authorization"].to_str().unwrap();
    assert!(introduction.starts_with("Emby Client=\"Watch State Sync\", "), "{introduction}");
    assert_eq!(requests[1].headers["x-emby-token"], "user-token");
}

#[tokio::test]
async fn lists_ask_for_counts_and_dates_and_are_the_users() {
    let server = MockServer::start().await;
    let film = json!({"Id": 914_048, "Type": "Movie", "Name": "Film", "UserData": {"Played": true, "PlayCount": 0,
        "LastPlayedDate": "2023-11-14T22:13:20.0000000Z", "PlaybackPositionTicks": 0}});
    answers(&server, "GET", "/Users/u1/Items", json!({"Items": [film], "TotalRecordCount": 1})).await;
    answers(
        &server,
        "GET",
        "/Users/u1/Views",
        json!({"Items": [{"Id": "7", "Name": "Films", "CollectionType": "movies"}]}),
    )
    .await;
    let view = view(KIND, &server, "u1").await;
    assert_eq!(
        view.libraries().await.unwrap(),
        [crate::Library { id: "7".to_owned(), title: "Films".to_owned(), content: Content::Movies }]
    );
    let pages = all(&*view, &library(Content::Movies), Selection::ChangedSince(at(1_700_000_000))).await.unwrap();
    let item = &pages[0].items[0];
    assert_eq!((item.remote_id.as_str(), item.state.played, item.state.plays), ("914048", true, 0));
    assert_eq!(
        asked(&server).await[1],
        "GET /Users/u1/Items?Recursive=true&ExcludeLocationTypes=Virtual&CollapseBoxSetItems=false&EnableImages=false&EnableUserData=true&EnableTotalRecordCount=true&ParentId=7&Fields=ProviderIds,DateCreated,Path,ProductionYear,UserDataPlayCount,UserDataLastPlayedDate&StartIndex=0&Limit=1000&IncludeItemTypes=Movie,Episode,Series&SortBy=DateCreated,SortName&SortOrder=Ascending&MinDateLastSaved=2023-11-14T22:13:20Z"
    );
}

#[tokio::test]
async fn marks_carry_the_date_in_the_one_form_that_is_read() {
    let server = MockServer::start().await;
    refuses(&server, "POST", "/Users/u1/PlayedItems/101", 204).await;
    refuses(&server, "DELETE", "/Users/u1/PlayedItems/101", 204).await;
    let view = view(KIND, &server, "u1").await;
    let item = film("101", ItemState { plays: 1, ..ItemState::default() });
    let precise = at(1_700_000_000).checked_add(jiff::SignedDuration::from_millis(123)).unwrap();
    let written = view.write(&item, &Write::Played { at: Some(precise) }).await.unwrap();
    assert_eq!(written, ItemState { played: true, plays: 2, last_played_at: Some(at(1_700_000_000)), position_ms: 0 });
    view.write(&item, &Write::Played { at: None }).await.unwrap();
    assert_eq!(view.write(&item, &Write::Unplayed).await.unwrap(), ItemState::default());
    assert_eq!(
        asked(&server).await,
        [
            "POST /Users/u1/PlayedItems/101?DatePlayed=20231114221320",
            "POST /Users/u1/PlayedItems/101",
            "DELETE /Users/u1/PlayedItems/101",
        ]
    );
}

#[tokio::test]
async fn a_mark_that_may_have_been_counted_is_not_sent_again() {
    let server = MockServer::start().await;
    refuses(&server, "POST", "/Users/u1/PlayedItems/101", 504).await;
    let view = view(KIND, &server, "u1").await;
    let error = view.write(&film("101", ItemState::default()), &Write::Played { at: None }).await.unwrap_err();
    assert_eq!((error.kind(), asked(&server).await.len()), (ErrorKind::Uncertain, 1));
}

#[tokio::test]
async fn a_position_keeps_everything_else_of_the_record() {
    let server = MockServer::start().await;
    let record = json!({"Id": "101", "Type": "Movie", "UserData": {"Rating": 8.0, "PlaybackPositionTicks": 10, "PlayedPercentage": 0.1,
        "PlayCount": 0, "IsFavorite": true, "Played": true, "Key": "603"}});
    answers(&server, "GET", "/Users/u1/Items/101", record).await;
    refuses(&server, "POST", "/Users/u1/Items/101/UserData", 204).await;
    let view = view(KIND, &server, "u1").await;
    let state = ItemState { played: true, plays: 2, last_played_at: Some(at(1_600_000_000)), position_ms: 1 };
    let item = film("101", state);

    let position = Write::Position { position_ms: 60_000, at: at(1_700_000_000) };
    let written = view.write(&item, &position).await.unwrap();
    assert_eq!(written, ItemState { position_ms: 60_000, last_played_at: Some(at(1_700_000_000)), ..state });
    assert_eq!(
        sent(&server).await,
        json!({"Rating": 8.0, "PlaybackPositionTicks": 600_000_000, "PlayCount": 2, "IsFavorite": true, "Played": true,
            "Key": "603", "LastPlayedDate": "2023-11-14T22:13:20Z"})
    );

    assert_eq!(view.write(&item, &Write::ClearPosition).await.unwrap(), ItemState { position_ms: 0, ..state });
    assert_eq!(
        sent(&server).await,
        json!({"Rating": 8.0, "PlaybackPositionTicks": 0, "PlayCount": 2, "IsFavorite": true, "Played": true,
            "Key": "603", "LastPlayedDate": "2020-09-13T12:26:40Z"})
    );
    assert_eq!(asked(&server).await.len(), 4);
}

#[tokio::test]
async fn a_record_that_did_not_come_is_not_overwritten() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/Users/u1/Items/101", json!({"Id": "101"})).await;
    let view = view(KIND, &server, "u1").await;
    let error = view.write(&film("101", ItemState::default()), &Write::ClearPosition).await.unwrap_err();
    assert_eq!((error.kind(), asked(&server).await.len()), (ErrorKind::BadAnswer, 1));
}
