use super::*;

/// plex.tv with an owner, two more members of the home, and three friends of whom one may see this server.
async fn plex_tv() -> MockServer {
    let tv = MockServer::start().await;
    answers(&tv, "GET", "/api/v2/user", json!({"id": 1001, "uuid": "u1", "username": "anna", "title": "Anna"})).await;
    let home = json!({"id": 5, "name": "home", "users": [
        {"id": 1001, "uuid": "u1", "friendlyName": "Anna", "title": "Anna", "username": "anna", "admin": true, "protected": false},
        {"id": 1002, "uuid": "u2", "title": "Ben", "username": "", "admin": false, "protected": true},
        {"id": 1003, "uuid": "u3", "title": "Cleo", "protected": false}]});
    answers(&tv, "GET", "/api/v2/home/users", home).await;
    let xml = |body: &str| ResponseTemplate::new(200).set_body_raw(body.as_bytes(), "application/xml");
    let friends = r#"<?xml version="1.0"?><MediaContainer friendlyName="myPlex" size="3">
        <User id="1003" title="Cleo" username="" email="" home="1"><Server id="1" machineIdentifier="machine-1"/></User>
        <User id="3003" title="" username="Guest" email="guest@example.org" home="0"/>
        <User id="3004" title="Elsewhere" username="else" home="0"/></MediaContainer>"#;
    Mock::given(path("/api/users")).respond_with(xml(friends)).mount(&tv).await;
    let shares = r#"<MediaContainer size="2"><SharedServer id="1" userID="1003" accessToken="server-token-3"/>
        <SharedServer id="2" userID="3003" accessToken="server-token-guest" invitedAt="1"><Section id="1"/></SharedServer></MediaContainer>"#;
    Mock::given(path("/api/servers/machine-1/shared_servers")).respond_with(xml(shares)).mount(&tv).await;
    let switch =
        |user: &'static str| Mock::given(method("POST")).and(path(format!("/api/v2/home/users/{user}/switch")));
    let switched = |token: &str| ResponseTemplate::new(201).set_body_json(json!({"authToken": token, "title": "x"}));
    switch("u2")
        .and(query_param("pin", "4711"))
        .respond_with(switched("user-token-2"))
        .with_priority(1)
        .mount(&tv)
        .await;
    switch("u2").respond_with(ResponseTemplate::new(401)).mount(&tv).await;
    switch("u3").respond_with(switched("user-token-3")).mount(&tv).await;
    let resources = |token: &str| {
        let player = json!({"name": "TV", "provides": "player", "clientIdentifier": "tv", "accessToken": null});
        let server =
            json!({"name": "Home", "provides": "server", "clientIdentifier": "machine-1", "accessToken": token});
        ResponseTemplate::new(200).set_body_json(json!([player, server]))
    };
    for user in ["2", "3"] {
        Mock::given(path("/api/v2/resources"))
            .and(header("x-plex-token", format!("user-token-{user}").as_str()))
            .respond_with(resources(&format!("server-token-{user}")))
            .mount(&tv)
            .await;
    }
    tv
}

async fn plex() -> MockServer {
    let server = MockServer::start().await;
    answers(&server, "GET", "/", root()).await;
    answers(&server, "GET", "/status/sessions", json!({"MediaContainer": {"size": 0}})).await;
    answers(&server, "GET", "/library/sections", json!({"MediaContainer": {"size": 0}})).await;
    server
}

fn with_tv(server: &MockServer, tv: &MockServer, secrets: BTreeMap<String, AccountSecret>) -> Box<dyn MediaServer> {
    let mut connection = connection(ServerKind::Plex, server);
    connection.plex_tv = Url::parse(&tv.uri()).unwrap();
    connection.credentials.accounts = secrets;
    connect(connection).unwrap()
}

fn other(id: &str, name: &str) -> Account {
    Account { id: id.to_owned(), name: name.to_owned(), admin: false, own: false }
}

#[tokio::test]
async fn owner_home_and_friends_who_see_this_server_are_its_accounts() {
    let (server, tv) = (plex().await, plex_tv().await);
    let client = with_tv(&server, &tv, BTreeMap::new());
    let own = Account { id: "1".to_owned(), name: "Anna".to_owned(), admin: true, own: true };
    let expected = [own.clone(), other("1002", "Ben"), other("1003", "Cleo"), other("3003", "Guest")];
    assert_eq!(client.accounts().await.unwrap().there, expected);
    assert_eq!(client.own_account().await.unwrap(), Some(own));
}

#[tokio::test]
async fn the_owner_is_the_same_account_when_plex_tv_is_away() {
    let (server, tv) = (plex().await, MockServer::start().await);
    for status in [401, 500, 503] {
        tv.reset().await;
        refuses(&tv, "GET", "/api/v2/user", status).await;
        let accounts = with_tv(&server, &tv, BTreeMap::new()).accounts().await.unwrap();
        assert_eq!(accounts.there, [Account { id: "1".to_owned(), name: "anna".to_owned(), admin: true, own: true }]);
        assert_eq!(accounts.partial.map(|error| error.is_configuration()), Some(status == 401));
    }
}

#[tokio::test]
async fn who_was_told_before_plex_tv_stopped_answering_is_there() {
    let (server, tv) = (plex().await, plex_tv().await);
    let away = ResponseTemplate::new(503);
    Mock::given(path("/api/servers/machine-1/shared_servers")).respond_with(away).with_priority(1).mount(&tv).await;
    let accounts = with_tv(&server, &tv, BTreeMap::new()).accounts().await.unwrap();
    let names: Vec<&str> = accounts.there.iter().map(|account| account.name.as_str()).collect();
    assert_eq!((names, accounts.partial.is_some()), (vec!["Anna", "Ben", "Cleo"], true));
}

#[tokio::test]
async fn a_token_that_is_not_the_owners_sees_its_own_account_only() {
    let (server, tv) = (MockServer::start().await, plex_tv().await);
    answers(&server, "GET", "/", root()).await;
    refuses(&server, "GET", "/status/sessions", 403).await;
    let accounts = with_tv(&server, &tv, BTreeMap::new()).accounts().await.unwrap().there;
    assert_eq!(accounts, [Account { id: "1001".to_owned(), name: "Anna".to_owned(), admin: false, own: true }]);
}

/// The token with which the view of `account` asks.
async fn token_of(server: &MockServer, client: &dyn MediaServer, account: &Account) -> Result<String> {
    client.open(account, "machine-1").await?.libraries().await?;
    let requests = server.received_requests().await.unwrap();
    Ok(requests.last().unwrap().headers["x-plex-token"].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_sort_of_account_gets_a_token_of_its_own() {
    let (server, tv) = (plex().await, plex_tv().await);
    let secret = |token: Option<&str>, pin: Option<&str>| AccountSecret {
        token: token.map(Into::into),
        pin: pin.map(Into::into),
    };
    let secrets = BTreeMap::from([
        ("ben".to_owned(), secret(None, Some("4711\n"))),
        ("77".to_owned(), secret(Some("user-token-77"), None)),
    ]);
    let client = with_tv(&server, &tv, secrets);
    let cases = [
        (account("1", true), TOKEN),
        (other("77", "Dora"), "user-token-77"),
        (other("1002", "Ben"), "server-token-2"),
        (other("1003", "Cleo"), "server-token-3"),
        (other("3003", "Guest"), "server-token-guest"),
    ];
    for (account, token) in cases {
        assert_eq!(token_of(&server, &*client, &account).await.unwrap(), token);
    }
}

#[tokio::test]
async fn own_and_configured_tokens_need_no_plex_tv() {
    let (server, tv) = (plex().await, plex_tv().await);
    let token = AccountSecret { token: Some("user-token-77".into()), pin: None };
    let client = with_tv(&server, &tv, BTreeMap::from([("Dora".to_owned(), token)]));
    client.open(&account("1", true), "machine-1").await.unwrap();
    client.open(&other("77", "dora"), "machine-1").await.unwrap();
    assert!(asked(&tv).await.is_empty());
}

#[tokio::test]
async fn accounts_that_cannot_be_opened_say_why() {
    let (server, tv) = (plex().await, plex_tv().await);
    let pin = |pin: &str| {
        let secret = AccountSecret { token: None, pin: Some(pin.into()) };
        BTreeMap::from([("Ben".to_owned(), secret)])
    };
    let cases = [
        (BTreeMap::new(), other("1002", "Ben"), "pinSecretRef"),
        (pin("hunter2"), other("1002", "Ben"), "correct the PIN"),
        (BTreeMap::new(), other("3004", "Elsewhere"), "no access to this server"),
    ];
    for (secrets, account, words) in cases {
        let error = with_tv(&server, &tv, secrets).open(&account, "machine-1").await.err().unwrap();
        assert!(error.is_configuration(), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_harmless(&shown(&error));
    }
    let error = with_tv(&server, &tv, pin("4711")).open(&other("1002", "Ben"), "machine-2").await.err().unwrap();
    assert!(error.to_string().contains("no access to this server"), "{error}");
}

#[tokio::test]
async fn plex_tv_that_is_busy_is_asked_again_and_shows_no_token_when_it_answers_oddly() {
    let (server, tv) = (plex().await, plex_tv().await);
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "0");
    Mock::given(path("/api/v2/home/users")).respond_with(busy).up_to_n_times(2).with_priority(1).mount(&tv).await;
    let client = with_tv(&server, &tv, BTreeMap::new());
    assert_eq!(token_of(&server, &*client, &other("1003", "Cleo")).await.unwrap(), "server-token-3");

    let odd = MockServer::start().await;
    answers(&odd, "GET", "/api/v2/home/users", json!({"users": []})).await;
    let xml = "<MediaContainer><SharedServer accessToken='server-token-x'/></MediaContainer>";
    Mock::given(path("/api/servers/machine-1/shared_servers"))
        .respond_with(ResponseTemplate::new(200).set_body_string(xml))
        .mount(&odd)
        .await;
    let error = with_tv(&server, &odd, BTreeMap::new()).open(&other("1", "X"), "machine-1").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::BadAnswer);
    assert_harmless(&shown(&error));
}
