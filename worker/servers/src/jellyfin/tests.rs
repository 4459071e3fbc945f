mod reads;

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::ids::Kind;
use watchstate_domain::item::{ItemState, ServerKind};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, Request as Received, ResponseTemplate};

use crate::testing::{
    TOKEN, account, all, answers, asked, assert_harmless, at, client, connection, film, library, refuses, sent, shown,
    view,
};
use crate::{Account, AccountSecret, Content, Counts, ErrorKind, Identity, Selection, ServerError, Write, connect};

const KIND: ServerKind = ServerKind::Jellyfin;

/// What every list is asked for, in the order of the query.
const LIST: &str = "GET /Items?userId=u1&recursive=true&excludeLocationTypes=Virtual&collapseBoxSetItems=false&enableImages=false&enableUserData=true&enableTotalRecordCount=true&parentId=7";

fn info(version: &str) -> Value {
    json!({"Id": "server-1", "ServerName": "Jelly", "Version": version, "OperatingSystem": "Linux", "ProductName": "Jellyfin Server"})
}

fn user(id: &str, name: &str, admin: bool) -> Value {
    json!({"Id": id, "Name": name, "Policy": {"IsAdministrator": admin, "IsDisabled": false}, "LastActivityDate": "2024-01-01T00:00:00Z"})
}

fn page(items: &[Value], total: usize) -> Value {
    json!({"Items": items, "TotalRecordCount": total, "StartIndex": 0})
}

fn movie(id: usize) -> Value {
    json!({"Id": id.to_string(), "Type": "Movie", "Name": format!("Film {id}"), "UserData": {"Played": false}})
}

fn films(total: usize) -> impl Fn(&Received) -> ResponseTemplate {
    move |request: &Received| {
        let number = |name: &str| -> usize {
            request.url.query_pairs().find(|(key, _)| key == name).unwrap().1.parse().unwrap()
        };
        let (start, size) = (number("startIndex"), number("limit"));
        let items: Vec<Value> = (start..total.min(start + size)).map(|id| movie(id + 1)).collect();
        ResponseTemplate::new(200).set_body_json(page(&items, total))
    }
}

#[tokio::test]
async fn a_configured_token_is_sent_alone_so_that_no_device_is_renamed() {
    let server = MockServer::start().await;
    Mock::given(path("/System/Info"))
        .and(header("authorization", format!("MediaBrowser Token=\"{TOKEN}\"").as_str()))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(info("10.11.2"))
                .insert_header("date", "Tue, 01 Jul 2025 11:00:00 GMT"),
        )
        .mount(&server)
        .await;
    let noon: Timestamp = "2025-07-01T12:00:00Z".parse().unwrap();
    let identity = client(KIND, &server).identify(&move || noon).await.unwrap();
    let expected = Identity {
        server_id: "server-1".to_owned(),
        name: "Jelly".to_owned(),
        version: "10.11.2".to_owned(),
        clock_offset: ClockOffset(-3_600_000),
    };
    assert_eq!(identity, expected);
    let headers = &server.received_requests().await.unwrap()[0].headers;
    assert!(!headers.contains_key("x-emby-token") && !headers.contains_key("x-emby-authorization"));
}

#[tokio::test]
async fn versions_are_taken_or_refused_with_a_reason() {
    let cases = [
        ("10.9.11", None),
        ("10.10.7", None),
        ("10.11.0", None),
        ("12.0.0", None),
        ("10.8.13", Some((ErrorKind::Unsupported, "10.10 or newer"))),
        ("4.9.1.2", Some((ErrorKind::WrongServer, "type: Emby"))),
    ];
    for (version, expected) in cases {
        let server = MockServer::start().await;
        answers(&server, "GET", "/System/Info", info(version)).await;
        let outcome = client(KIND, &server).identify(&|| at(0)).await;
        match (outcome, expected) {
            (Ok(identity), None) => assert_eq!(identity.version, version),
            (Err(error), Some((kind, words))) => {
                assert_eq!(error.kind(), kind);
                assert!(error.to_string().contains(words), "{error}");
            }
            (outcome, _) => panic!("{version}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_refused_token_says_that_it_was_sent_the_right_way() {
    let server = MockServer::start().await;
    refuses(&server, "GET", "/System/Info", 401).await;
    let error = client(KIND, &server).identify(&|| at(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.to_string().contains("MediaBrowser scheme"), "{error}");
}

#[tokio::test]
async fn a_user_who_may_not_see_the_server_s_details_is_identified_all_the_same() {
    let server = MockServer::start().await;
    refuses(&server, "GET", "/System/Info", 403).await;
    answers(&server, "GET", "/Users/Me", user("u2", "Ben", false)).await;
    answers(&server, "GET", "/System/Info/Public", info("10.11.2")).await;
    assert_eq!(client(KIND, &server).identify(&|| at(0)).await.unwrap().server_id, "server-1");
}

#[tokio::test]
async fn accounts_are_all_for_administrators_and_keys_and_the_own_one_for_others() {
    let account = |id: &str, name: &str, admin, own| Account { id: id.to_owned(), name: name.to_owned(), admin, own };
    let users = json!([user("u1", "Anna", true), user("u2", "Ben", false)]);

    let server = MockServer::start().await;
    answers(&server, "GET", "/Users", users.clone()).await;
    answers(&server, "GET", "/Users/Me", user("u1", "Anna", true)).await;
    let expected = [account("u1", "Anna", true, true), account("u2", "Ben", false, false)];
    assert_eq!(client(KIND, &server).accounts().await.unwrap().there, expected);

    for status in [400, 404, 500] {
        let server = MockServer::start().await;
        answers(&server, "GET", "/Users", users.clone()).await;
        refuses(&server, "GET", "/Users/Me", status).await;
        let expected = [account("u1", "Anna", true, false), account("u2", "Ben", false, false)];
        assert_eq!(client(KIND, &server).accounts().await.unwrap().there, expected);
        assert_eq!(client(KIND, &server).own_account().await.unwrap(), None);
    }

    let server = MockServer::start().await;
    answers(&server, "GET", "/Users/Me", user("u2", "Ben", false)).await;
    assert_eq!(client(KIND, &server).accounts().await.unwrap().there, [account("u2", "Ben", false, true)]);
    assert_eq!(asked(&server).await, ["GET /Users/Me"]);
}

#[tokio::test]
async fn a_login_is_exchanged_once_and_names_us() {
    let server = MockServer::start().await;
    let login = json!({"User": user("u1", "Anna", true), "AccessToken": "user-token", "ServerId": "server-1"});
    answers(&server, "POST", "/Users/AuthenticateByName", login).await;
    answers(&server, "GET", "/System/Info", info("12.0.0")).await;
    answers(&server, "GET", "/Users", json!([user("u1", "Anna", true), user("u2", "Ben", false)])).await;
    let mut connection = connection(KIND, &server);
    connection.credentials.token = None;
    connection.credentials.login = Some(("anna".to_owned(), SecretString::from("hunter2\n")));
    let client = connect(connection).unwrap();
    let (identity, accounts) = tokio::join!(client.identify(&|| at(0)), client.accounts());
    assert_eq!(identity.unwrap().version, "12.0.0");
    assert!(accounts.unwrap().there[0].own);
    let requests = server.received_requests().await.unwrap();
    let logins: Vec<_> = requests.iter().filter(|request| request.method == "POST").collect();
    assert_eq!(logins.len(), 1);
    assert_eq!(logins[0].body_json::<Value>().unwrap(), json!({"Username": "anna", "Pw": "hunter2"}));
    let ours = format!(
        "Client=\"Watch%20State%20Sync\", Device=\"Watch%20State%20Sync\", DeviceId=\"client-1\", Version=\"{}\"",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(logins[0].headers["authorization"], format!("MediaBrowser {ours}"));
    let later = requests.iter().find(|request| request.method == "GET").unwrap();
    assert_eq!(later.headers["authorization"], format!("MediaBrowser Token=\"user-token\", {ours}"));
}

#[tokio::test]
async fn a_refused_login_names_its_secret_and_shows_no_password() {
    let server = MockServer::start().await;
    let refusal = ResponseTemplate::new(401).set_body_string("hunter2");
    Mock::given(path("/Users/AuthenticateByName")).respond_with(refusal).mount(&server).await;
    let mut connection = connection(KIND, &server);
    connection.credentials.token = None;
    connection.credentials.login = Some(("anna".to_owned(), SecretString::from("hunter2")));
    let error = connect(connection).unwrap().identify(&|| at(0)).await.unwrap_err();
    assert!(error.is_configuration() && error.to_string().contains("loginSecretRef"), "{error}");
    assert_harmless(&shown(&error));
}

#[tokio::test]
async fn an_account_with_a_token_of_its_own_is_asked_for_with_it() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/UserViews", json!({"Items": []})).await;
    let mut connection = connection(KIND, &server);
    let secret = AccountSecret { token: Some("user-token".into()), pin: None };
    connection.credentials.accounts = BTreeMap::from([("anna".to_owned(), secret)]);
    let client = connect(connection).unwrap();
    client.open(&account("u1", false), "server-1").await.unwrap().libraries().await.unwrap();
    let seen = server.received_requests().await.unwrap();
    assert_eq!(seen[0].headers["authorization"], "MediaBrowser Token=\"user-token\"");
}

#[tokio::test]
async fn writes_set_exact_values_and_never_lower_a_count() {
    let server = MockServer::start().await;
    refuses(&server, "POST", "/UserItems/101/UserData", 204).await;
    refuses(&server, "DELETE", "/UserPlayedItems/101", 204).await;
    let view = view(KIND, &server, "u1").await;
    let state = ItemState { played: false, plays: 3, last_played_at: Some(at(1_600_000_000)), position_ms: 5_000 };
    let item = film("101", state);
    let played_at = at(1_700_000_000);

    let written = view.write(&item, &Write::Played { at: Some(played_at) }).await.unwrap();
    assert_eq!(written, ItemState { played: true, plays: 3, last_played_at: Some(played_at), position_ms: 0 });
    assert_eq!(
        sent(&server).await,
        json!({"Played": true, "PlayCount": 3, "PlaybackPositionTicks": 0, "LastPlayedDate": "2023-11-14T22:13:20Z"})
    );

    view.write(&film("101", ItemState::default()), &Write::Played { at: None }).await.unwrap();
    assert_eq!(sent(&server).await, json!({"Played": true, "PlayCount": 1, "PlaybackPositionTicks": 0}));

    let position = Write::Position { position_ms: 60_000, at: played_at };
    let written = view.write(&item, &position).await.unwrap();
    assert_eq!(written, ItemState { position_ms: 60_000, last_played_at: Some(played_at), ..state });
    assert_eq!(
        sent(&server).await,
        json!({"PlaybackPositionTicks": 600_000_000, "LastPlayedDate": "2023-11-14T22:13:20Z"})
    );

    let written = view.write(&item, &Write::ClearPosition).await.unwrap();
    assert_eq!(written, ItemState { position_ms: 0, ..state });
    assert_eq!(sent(&server).await, json!({"PlaybackPositionTicks": 0}));

    assert_eq!(view.write(&item, &Write::Unplayed).await.unwrap(), ItemState::default());
    let asked = asked(&server).await;
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[0], "POST /UserItems/101/UserData?userId=u1");
    assert_eq!(asked[4], "DELETE /UserPlayedItems/101?userId=u1");
}

#[tokio::test]
async fn what_the_server_tells_of_a_write_is_believed() {
    let server = MockServer::start().await;
    let data = json!({"Played": true, "PlayCount": 4, "PlaybackPositionTicks": 0, "LastPlayedDate": "2023-11-14T22:13:20Z", "ItemId": "101"});
    answers(&server, "POST", "/UserItems/101/UserData", data).await;
    let view = view(KIND, &server, "u1").await;
    let written = view.write(&film("101", ItemState::default()), &Write::Played { at: None }).await.unwrap();
    assert_eq!(written.plays, 4);
}

#[tokio::test]
async fn writes_that_set_are_repeated_until_they_are_done() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/UserItems/101/UserData"))
        .respond_with(ResponseTemplate::new(502))
        .up_to_n_times(2)
        .with_priority(1)
        .mount(&server)
        .await;
    refuses(&server, "POST", "/UserItems/101/UserData", 204).await;
    let view = view(KIND, &server, "u1").await;
    view.write(&film("101", ItemState::default()), &Write::Played { at: None }).await.unwrap();
    assert_eq!(asked(&server).await.len(), 3);
}

#[test]
fn another_server_at_the_address_is_told_with_both_ids() {
    let error = ServerError::wrong_server("cinema", "server-1", "server-2");
    assert_eq!(error.kind(), ErrorKind::WrongServer);
    assert!(error.to_string().contains("server-1") && error.to_string().contains("server-2"));
}
