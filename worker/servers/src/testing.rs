//! For tests: connections to a mocked server, what it was asked, and things to write.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};

use futures::TryStreamExt;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;
use watchstate_domain::ids::{Ids, Kind};
use watchstate_domain::item::{Item, ItemState, ServerKind};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::error::ServerError;
use crate::{
    Account, AccountView, Connection, Content, Credentials, Library, MediaServer, Page, Result, Selection, connect,
};

pub(crate) const TOKEN: &str = "s3cret-token";

pub(crate) fn connection(kind: ServerKind, server: &MockServer) -> Connection {
    let credentials =
        Credentials { token: Some(SecretString::from(format!("{TOKEN}\n"))), login: None, accounts: BTreeMap::new() };
    let url = Url::parse(&server.uri()).unwrap();
    Connection::new("cinema", kind, url.clone(), credentials, "client-1", url)
}

pub(crate) fn client(kind: ServerKind, server: &MockServer) -> Box<dyn MediaServer> {
    connect(connection(kind, server)).unwrap()
}

pub(crate) fn account(id: &str, own: bool) -> Account {
    Account { id: id.to_owned(), name: "Anna".to_owned(), admin: own, own }
}

pub(crate) async fn view(kind: ServerKind, server: &MockServer, account_id: &str) -> Box<dyn AccountView> {
    client(kind, server).open(&account(account_id, true), "machine-1").await.unwrap()
}

pub(crate) fn library(content: Content) -> Library {
    Library { id: "7".to_owned(), title: "Films".to_owned(), content }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn film(remote_id: &str, state: ItemState) -> Item {
    Item {
        remote_id: remote_id.to_owned(),
        kind: Kind::Movie,
        title: "Film".to_owned(),
        show: None,
        year: None,
        season: None,
        episode: None,
        episode_end: None,
        ids: Ids::default(),
        junk_ids: 0,
        path: None,
        runtime_ms: Some(6_000_000),
        added_at: None,
        state,
    }
}

/// Answers `route` with JSON, whatever the query.
pub(crate) async fn answers(server: &MockServer, verb: &str, route: &str, json: Value) {
    Mock::given(method(verb))
        .and(path(route))
        .respond_with(ResponseTemplate::new(200).set_body_json(json))
        .mount(server)
        .await;
}

/// Answers `route` with a status alone.
pub(crate) async fn refuses(server: &MockServer, verb: &str, route: &str, status: u16) {
    Mock::given(method(verb)).and(path(route)).respond_with(ResponseTemplate::new(status)).mount(server).await;
}

/// What the server was asked: method, path and query, decoded.
pub(crate) async fn asked(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests
        .iter()
        .map(|request| {
            let query: Vec<String> = request.url.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
            let separator = if query.is_empty() { "" } else { "?" };
            format!("{} {}{separator}{}", request.method, request.url.path(), query.join("&"))
        })
        .collect()
}

/// The JSON of the last request.
pub(crate) async fn sent(server: &MockServer) -> Value {
    server.received_requests().await.unwrap().last().unwrap().body_json().unwrap()
}

pub(crate) async fn all(view: &dyn AccountView, library: &Library, selection: Selection) -> Result<Vec<Page>> {
    view.items(library, selection).try_collect().await
}

/// Everything that an error could show to anybody.
pub(crate) fn shown(error: &ServerError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        write!(text, " {error} {error:?}").unwrap();
        source = error.source();
    }
    text
}

/// Fails where something shows a secret.
#[track_caller]
pub(crate) fn assert_harmless(text: &(impl Debug + ?Sized)) {
    let text = format!("{text:?}");
    for secret in [TOKEN, "hunter2", "4711", "user-token", "server-token"] {
        assert!(!text.contains(secret), "{secret} shows in {text}");
    }
}
