//! What becomes of MediaServers: from a resource to a registered server, and back.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use watchstate_operator::context::Context;
use watchstate_operator::database::Database;
use watchstate_operator::lease::Candidate;
use watchstate_operator::media_server::goodbye;
use watchstate_operator::media_server::registry::{Projection, project};
use watchstate_runtime::admin::Readiness;
use watchstate_runtime::clock::Clock;
use watchstate_store::Store;
use watchstate_store::registry::{self, WantedServer};
use watchstate_store::wake::Channel;
use watchstate_tests::plex_tv::PlexTv;
use watchstate_tests::server::SimServer;
use watchstate_tests::world::{Flavor, TimeSource};

use crate::house::{House, condition_of, simulated};

fn jellyfin(server: &SimServer, more: &Value) -> Value {
    let mut spec =
        json!({ "type": "Jellyfin", "url": server.url, "tokenSecretRef": { "name": "jellyfin", "key": "token" } });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

/// A Jellyfin with an API key in the Secret `jellyfin`.
async fn with_jellyfin(house: &House) -> SimServer {
    let server = simulated(Flavor::Jellyfin1011, "jellyfin").await;
    let key = server.world.add_api_key("watchstate");
    house.secret("jellyfin", &json!({ "token": key }));
    server
}

/// How often a server was asked who it is: once a probe.
fn introductions(server: &SimServer) -> usize {
    server.world.log().all().iter().filter(|seen| seen.operation == "GET /System/Info/Public").count()
}

#[tokio::test]
async fn a_server_becomes_ready_and_registered_and_then_nothing_is_written_or_asked_any_more() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    let users = json!([{ "person": "anna", "account": "Anna" }, { "person": "ben", "account": "ben" }]);
    house.server("jellyfin", &jellyfin(&server, &json!({ "users": users })));
    house.start();
    let object = house.until("jellyfin", "Ready", "True", "Ready").await;
    assert_eq!(condition_of(&object, "Ready")["message"], "Jellyfin 10.11.2: 2 accounts, 1 of 1 library");
    assert_eq!(object["status"]["server"]["id"], "jellyfin-id");
    assert_eq!(object["status"]["users"][0]["person"], "anna");
    assert_eq!(object["status"]["libraries"][0]["supported"], true);
    assert_eq!(
        object["status"]["webhook"],
        json!({ "path": "/webhook", "tokenSecretName": "jellyfin-webhook", "tokenSecretKey": "token" })
    );
    assert_eq!(house.registered().await, [("jellyfin".to_owned(), Some("jellyfin-id".to_owned()))]);
    let mut connection = house.store.as_ref().unwrap().acquire().await.unwrap();
    let registered = registry::registered(&mut connection, "jellyfin").await.unwrap().unwrap();
    assert!(registered.accounts.iter().all(|account| account.remote_id.is_some()));
    assert_eq!(registered.webhook_token_sha256.unwrap().len(), 32);

    // Its own writes come back by the watches, Secrets of others change, watches expire, a label is put on: nothing follows.
    let writes = house.api.writes().len();
    house.api.expire();
    house.secret("other", &json!({ "a": "b" }));
    house.api.put("mediaservers", &json!({ "metadata": { "name": "jellyfin", "labels": { "a": "b" } } }));
    let token = json!({ "name": "gone", "key": "token" });
    house.server("second", &json!({ "type": "Jellyfin", "url": "http://127.0.0.1:9", "tokenSecretRef": token, "webhook": { "enabled": false } }));
    let second = house.until("second", "Ready", "False", "SecretNotFound").await;
    assert!(condition_of(&second, "Stalled").is_null(), "the Secret may come any moment");
    let new = house.api.writes().split_off(writes);
    assert!(new.iter().all(|write| write.contains("/second")), "{new:?}");
    assert_eq!(introductions(&server), 1, "it was asked once");
    house.assert_no_secret_shows(&[]);
    house.stop().await;
}

#[tokio::test]
async fn a_login_is_exchanged_once_and_its_token_is_sent_to_no_other_server() {
    let mut house = House::new().await;
    let server = simulated(Flavor::Emby49, "emby").await;
    server.world.edit_user("anna", |user| user.password = "hunter2".to_owned()).unwrap();
    house.secret("root", &json!({ "username": "anna", "password": "hunter2" }));
    let spec = |url: &str| json!({ "type": "Emby", "url": url, "loginSecretRef": { "name": "root" } });
    house.server("emby", &spec(&server.url));
    house.start();
    house.until("emby", "Ready", "True", "Ready").await;
    let kept = house.api.get("secrets", "emby-login");
    assert_eq!(kept["metadata"]["annotations"]["watchstate.dev/url"], server.url);
    assert_eq!(kept["metadata"]["ownerReferences"][0]["name"], "emby");
    let logins = |server: &SimServer| {
        server.world.log().all().iter().filter(|seen| seen.operation.contains("Authenticate")).count()
    };
    assert_eq!(logins(&server), 1);

    // The address leads elsewhere now: what answers there is asked who it is, and gets neither token nor login.
    let other = simulated(Flavor::Emby49, "other").await;
    house.server("emby", &spec(&other.url));
    house.until("emby", "Reachable", "False", "ServerChanged").await;
    let asked: Vec<String> = other.world.log().all().iter().map(|seen| seen.operation.to_owned()).collect();
    assert_eq!(asked, ["GET /System/Info/Public"]);

    // Back again. The token that was kept is for another address than the last, but this one: it holds.
    house.server("emby", &spec(&server.url));
    house.until("emby", "Ready", "True", "Ready").await;
    assert_eq!(logins(&server), 1);
    let token = house.api.get("secrets", "emby-login")["data"]["token"].clone();

    // Revoked at the server, it is exchanged anew.
    let users: Vec<String> =
        server.world.read(|model| model.users.iter().flat_map(|user| user.tokens.clone()).collect());
    assert!(users.iter().all(|token| server.world.revoke(token)));
    house.api.put(
        "mediaservers",
        &json!({ "metadata": { "name": "emby", "annotations": { "watchstate.dev/requestedAt": "now" } } }),
    );
    house.api.until("secrets", "emby-login", |secret| secret["data"]["token"] != token).await;
    house.api.until("mediaservers", "emby", |object| object["status"]["lastHandledRequestedAt"] == "now").await;
    assert_eq!(logins(&server), 2);
    house.assert_no_secret_shows(&users.iter().map(String::as_str).collect::<Vec<_>>());
    house.stop().await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_and_a_good_one_in_the_secret_is_enough() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    let key = server.world.add_api_key("second");
    house.secret("jellyfin", &json!({ "token": "s3cret-token" }));
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    house.start();
    let object = house.until("jellyfin", "Ready", "False", "CredentialsRefused").await;
    assert_eq!(condition_of(&object, "Stalled")["status"], "True");
    assert_eq!(condition_of(&object, "Reachable")["status"], "True");
    house.secret("jellyfin", &json!({ "token": key }));
    let object = house.until("jellyfin", "Ready", "True", "Ready").await;
    assert!(condition_of(&object, "Stalled").is_null());
    house.assert_no_secret_shows(&[]);
    // Of each transition one event.
    house.api.until("mediaservers", "jellyfin", |_| house.api.told("jellyfin").contains(&"Ready".to_owned())).await;
    assert_eq!(house.api.told("jellyfin"), ["NotAuthenticated", "Authenticated", "Ready"]);
    house.stop().await;
}

#[tokio::test]
async fn an_address_that_can_not_be_one_is_told_and_nobody_is_asked() {
    let tv = PlexTv::new(TimeSource::real());
    let listening = tv.start("127.0.0.1:0").await.unwrap();
    let mut house =
        House::new().await.given(|context: &mut Context| context.plex_tv = listening.url().parse().unwrap());
    house.secret("plex", &json!({ "token": "s3cret-token" }));
    let token = json!({ "name": "plex", "key": "token" });
    house.server("plex", &json!({ "type": "Plex", "url": "http://192.168.1.300:32400", "tokenSecretRef": token }));
    house.start();
    let object = house.until("plex", "Reachable", "False", "InvalidSpec").await;
    let message = condition_of(&object, "Ready")["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("spec.url: invalid IPv4 address; expected is"), "{message}");
    assert_eq!(condition_of(&object, "Stalled")["status"], "True");
    house.assert_no_secret_shows(&[]);
    house.stop().await;
}

#[tokio::test]
async fn another_servers_secret_is_sent_to_nobody() {
    let mut house = House::new().await;
    let (server, thief) = (with_jellyfin(&house).await, simulated(Flavor::Jellyfin1011, "thief").await);
    server.world.edit_user("anna", |user| user.password = "hunter2".to_owned()).unwrap();
    house.secret("root", &json!({ "username": "anna", "password": "hunter2" }));
    house.server("good", &json!({ "type": "Jellyfin", "url": server.url, "loginSecretRef": { "name": "root" } }));
    house.start();
    house.until("good", "Ready", "True", "Ready").await;
    house.secret("pg-app", &json!({ "uri": "postgres://hunter2" }));
    for (name, secret, key) in [("one", "good-login", "token"), ("two", "pg-app", "uri")] {
        let token = json!({ "name": secret, "key": key });
        house.server(name, &json!({ "type": "Jellyfin", "url": thief.url, "tokenSecretRef": token }));
        house.until(name, "Ready", "False", "SecretRefused").await;
        let mut connection = house.store.as_ref().unwrap().acquire().await.unwrap();
        let registered = registry::registered(&mut connection, name).await.unwrap().unwrap();
        assert!(registered.server.policy.suspend, "no worker takes anything to it either");
    }
    assert!(thief.world.log().all().is_empty(), "nothing was asked of it");
    house.stop().await;
}

#[tokio::test]
async fn accounts_that_are_not_there_are_named_and_the_others_are_registered() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    let users = json!([{ "person": "anna", "account": "anna" }, { "person": "carl", "account": "Carl" }]);
    house.server("jellyfin", &jellyfin(&server, &json!({ "users": users })));
    house.start();
    let object = house.until("jellyfin", "UsersResolved", "False", "UserNotFound").await;
    let message = condition_of(&object, "UsersResolved")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Carl") && message.contains("accounts there: anna, ben"), "{message}");
    assert!(object["status"]["users"][0]["problem"].is_null());
    assert_eq!(house.registered().await.len(), 1);
    server.world.add_user("Carl");
    house.api.put(
        "mediaservers",
        &json!({ "metadata": { "name": "jellyfin", "annotations": { "watchstate.dev/requestedAt": "1" } } }),
    );
    house.until("jellyfin", "Ready", "True", "Ready").await;
    house.stop().await;
}

#[tokio::test]
async fn who_names_nobody_belongs_to_the_one_person_of_the_household_and_is_asked_about_with_several() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    house.start();
    let object = house.until("jellyfin", "Ready", "True", "Ready").await;
    assert_eq!(object["status"]["users"][0]["person"], "me");
    let named = |users: &Value| {
        let token = json!({ "name": "gone", "key": "token" });
        json!({ "type": "Plex", "url": "http://127.0.0.1:9", "tokenSecretRef": token, "users": users })
    };
    house.server("plex", &named(&json!([{ "person": "anna", "account": "a" }])));
    house.api.until("mediaservers", "jellyfin", |object| object["status"]["users"][0]["person"] == "anna").await;
    house.server("plex", &named(&json!([{ "person": "anna", "account": "a" }, { "person": "ben", "account": "b" }])));
    house.until("jellyfin", "Ready", "False", "InvalidSpec").await;
    house.stop().await;
}

#[tokio::test]
async fn webhooks_are_set_up_at_all_three_servers_and_taken_away_with_the_resource() {
    let house = House::new().await;
    let servers = [
        (simulated(Flavor::Jellyfin1011, "jellyfin").await, "Jellyfin"),
        (simulated(Flavor::Emby49, "emby").await, "Emby"),
        (simulated(Flavor::Plex, "plex").await, "Plex"),
    ];
    let tv = PlexTv::new(TimeSource::real());
    let listening = tv.start("127.0.0.1:0").await.unwrap();
    tv.add_server(&servers[2].0.world, &servers[2].0.url);
    // What somebody else has set up, and what stays.
    let others = json!({ "GenericOptions": [{ "WebhookUri": "http://other.example" }], "DiscordOptions": [{ "WebhookUri": "x" }] });
    servers[0].0.world.edit(|model| model.notifications.plugin = Some(others.clone()));
    let others_at_emby = json!([{ "Id": "1", "UserId": "u", "Options": { "Url": "http://other.example" } }]);
    servers[1].0.world.edit(|model| model.notifications.emby = others_at_emby.as_array().unwrap().clone());
    let mut house = house.given(|context: &mut Context| context.plex_tv = listening.url().parse().unwrap());
    for (server, kind) in &servers {
        let name = kind.to_lowercase();
        let token = match *kind {
            "Plex" => server.world.read(|model| model.owner().unwrap().account_token.clone()),
            _ => server.world.add_api_key("watchstate"),
        };
        house.secret(&name, &json!({ "token": token }));
        let secret = json!({ "name": name, "key": "token" });
        let users = json!([{ "person": "anna", "account": "anna" }]);
        let spec = json!({ "type": kind, "url": server.url, "tokenSecretRef": secret, "webhook": { "register": true }, "users": users });
        house.server(&name, &spec);
    }
    house.start();
    let told = |kind: &str| -> String {
        match kind {
            "Jellyfin" => servers[0].0.world.read(|model| json!(model.notifications.plugin).to_string()),
            "Emby" => servers[1].0.world.read(|model| json!(model.notifications.emby).to_string()),
            _ => tv.webhooks("anna").join(" "),
        }
    };
    let token = |name: &str| -> String {
        use base64::Engine as _;
        let data = house.api.get("secrets", &format!("{name}-webhook"))["data"]["token"].as_str().unwrap().to_owned();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data).unwrap()).unwrap()
    };
    for (_, kind) in &servers {
        let name = kind.to_lowercase();
        house.until(&name, "WebhookRegistered", "True", "Registered").await;
        let told = told(kind);
        assert!(
            told.contains("http://watchstate-webhook.media.svc:8080/webhook?watchstate=uid-mediaservers-"),
            "{told}"
        );
        assert!(told.contains(&token(&name)), "{kind}: {told}");
        assert_eq!(house.api.get("mediaservers", &name)["metadata"]["finalizers"], json!(["watchstate.dev/webhook"]));
        house.assert_no_secret_shows(&[&token(&name)]);
    }
    // Another token, on request: once.
    let before = token("plex");
    house.api.put(
        "mediaservers",
        &json!({ "metadata": { "name": "plex", "annotations": { "watchstate.dev/rotate-webhook-token": "1" } } }),
    );
    let rotated = |object: &Value| object["status"]["webhook"]["lastHandledRotation"] == "1";
    house.api.until("mediaservers", "plex", rotated).await;
    assert_ne!(token("plex"), before);
    assert!(told("Plex").contains(&token("plex")) && !told("Plex").contains(&before));

    for (_, kind) in &servers {
        let name = kind.to_lowercase();
        house.api.delete("mediaservers", &name);
        house.api.until("mediaservers", &name, Value::is_null).await;
        assert!(!told(kind).contains("watchstate="), "{kind}: {}", told(kind));
        assert!(house.api.told(&name).contains(&"WebhookRemoved".to_owned()));
    }
    assert_eq!(
        (told("Jellyfin"), told("Emby"), told("Plex")),
        (others.to_string(), others_at_emby.to_string(), String::new())
    );
    house.stop().await;
}

#[tokio::test]
async fn before_the_operator_is_removed_webhooks_are_taken_away_and_resources_let_go() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    let farewell = async |house: &House| {
        let last = Candidate::new(house.api.client(), "media", "last", Clock::system());
        watchstate_operator::media_server::farewell(&house.context, &last).await.unwrap();
    };
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    farewell(&house).await;
    assert!(house.api.all("leases").is_empty(), "nothing to take away: nobody is disturbed");
    house.api.know("mediaservers", false);
    farewell(&house).await;
    house.api.know("mediaservers", true);

    house.server("jellyfin", &jellyfin(&server, &json!({ "webhook": { "register": true } })));
    let away = jellyfin(&server, &json!({ "webhook": { "register": true }, "url": "http://127.0.0.1:9" }));
    house.start();
    house.until("jellyfin", "WebhookRegistered", "True", "Registered").await;
    house.server("away", &away);
    let held = |object: &Value| object["metadata"]["finalizers"] == json!(["watchstate.dev/webhook"]);
    house.api.until("mediaservers", "away", held).await;
    house.stop().await;
    farewell(&house).await;
    assert!(!server.world.read(|model| json!(model.notifications.plugin).to_string()).contains("watchstate="));
    for name in ["jellyfin", "away"] {
        let left = house.api.get("mediaservers", name);
        assert!(!held(&left) && left["metadata"]["deletionTimestamp"].is_null(), "it stays, and isn't held: {left}");
    }
    assert!(house.api.told("jellyfin").contains(&"WebhookRemoved".to_owned()));
}

#[tokio::test]
async fn a_token_in_a_secret_of_the_users_is_not_replaced_and_that_is_said() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    house.secret("mine", &json!({ "token": "a-token-of-my-own" }));
    let webhook = json!({ "webhook": { "tokenSecretRef": { "name": "mine", "key": "token" } } });
    house.server("jellyfin", &jellyfin(&server, &webhook));
    house.start();
    house.until("jellyfin", "Ready", "True", "Ready").await;
    let rotate = |value: &str| {
        let annotations = json!({ "watchstate.dev/rotate-webhook-token": value });
        house.api.put("mediaservers", &json!({ "metadata": { "name": "jellyfin", "annotations": annotations } }));
    };
    for value in ["1", "2"] {
        rotate(value);
        let handled = |object: &Value| object["status"]["webhook"]["lastHandledRotation"] == value;
        house.api.until("mediaservers", "jellyfin", handled).await;
    }
    assert!(house.api.told("jellyfin").contains(&"RotationRefused".to_owned()));
    house.assert_no_secret_shows(&["a-token-of-my-own"]);
    house.stop().await;
}

#[tokio::test]
async fn a_resource_that_is_made_anew_takes_over_what_its_earlier_life_left() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    house.start();
    house.until("jellyfin", "Ready", "True", "Ready").await;
    let token = |house: &House| house.api.get("secrets", "jellyfin-webhook")["data"]["token"].clone();
    let before = token(&house);
    house.api.delete("mediaservers", "jellyfin");
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    let object = house.until("jellyfin", "Ready", "True", "Ready").await;
    let secret = house.api.get("secrets", "jellyfin-webhook");
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], object["metadata"]["uid"]);
    assert_eq!(token(&house), before);
    house.stop().await;
}

#[tokio::test]
async fn what_a_server_lacks_for_webhooks_is_told_and_nothing_else_suffers() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    server.world.edit(|model| model.notifications.plugin = None);
    house.server("jellyfin", &jellyfin(&server, &json!({ "webhook": { "register": true } })));
    house.start();
    let object = house.until("jellyfin", "WebhookRegistered", "False", "NotSupported").await;
    assert!(condition_of(&object, "WebhookRegistered")["message"].as_str().unwrap().contains("not installed"));
    assert_eq!(condition_of(&object, "Ready")["status"], "True");
    house.stop().await;
}

#[tokio::test]
async fn a_resource_whose_server_is_gone_goes_soon_and_says_what_is_left() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    house.server("jellyfin", &jellyfin(&server, &json!({ "webhook": { "register": true } })));
    house.start();
    house.until("jellyfin", "WebhookRegistered", "True", "Registered").await;
    let world = server.stop().await;
    drop(world);
    house.api.delete("secrets", "jellyfin");
    house.api.delete("mediaservers", "jellyfin");
    // Within half a minute: longer it waits for nothing.
    house.api.until("mediaservers", "jellyfin", Value::is_null).await;
    assert!(house.api.told("jellyfin").contains(&"WebhookLeft".to_owned()));
    house.stop().await;
}

#[tokio::test]
async fn an_operator_that_ends_with_its_namespace_holds_nothing_back_and_one_that_just_ends_does() {
    for ends in [false, true] {
        let mut house = House::new().await;
        let server = with_jellyfin(&house).await;
        house.server("jellyfin", &jellyfin(&server, &json!({ "webhook": { "register": true } })));
        house.start();
        house.until("jellyfin", "WebhookRegistered", "True", "Registered").await;
        if ends {
            house.api.end();
        }
        house.stop().await;
        let finalizers = house.api.get("mediaservers", "jellyfin")["metadata"]["finalizers"].clone();
        assert_eq!(finalizers == json!([]), ends, "{finalizers}");
    }
}

#[tokio::test]
async fn a_server_without_its_resource_is_swept_out_of_the_registry_and_history_stays() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    // One that went while nobody was there.
    let mut connection = house.store.as_ref().unwrap().acquire().await.unwrap();
    let mut left = unasked("left");
    left.webhook_token_sha256 = Some(vec![0; 32]);
    registry::put_server(&mut connection, &left, house.context.clock.now()).await.unwrap();
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    house.start();
    house.until("jellyfin", "Ready", "True", "Ready").await;
    let mut ear = house.store.as_ref().unwrap().listen(&[Channel::Registry]).await.unwrap();
    let mut gone = async |names: &[&str]| {
        while house.registered().await.into_iter().map(|(name, _)| name).collect::<Vec<_>>() != names {
            tokio::time::timeout(std::time::Duration::from_secs(20), ear.hear())
                .await
                .expect("the registry changes")
                .unwrap();
        }
    };
    gone(&["jellyfin"]).await;
    let persons = watchstate_store::report::persons(&mut connection).await.unwrap();
    assert!(persons.iter().any(|(_, name)| name == "anna"), "persons stay: {persons:?}");
    house.api.delete("mediaservers", "jellyfin");
    gone(&[]).await;
    house.stop().await;
}

/// What the registry shall hold of a server that nobody has asked yet.
fn unasked(name: &str) -> WantedServer {
    let spec = json!({ "type": "Plex", "url": "http://plex" });
    let kind = json!({ "apiVersion": "watchstate.dev/v1alpha1", "kind": "MediaServer", "metadata": { "name": name }, "spec": spec });
    let server = serde_json::from_value(kind).unwrap();
    watchstate_operator::media_server::registry::wanted(&server, &vec![("anna".to_owned(), "anna".to_owned())], None)
}

#[tokio::test]
async fn a_server_that_is_registered_while_the_registry_waits_to_be_swept_stays() {
    let database = watchstate_tests::postgres::database().await.unwrap();
    let narrow = Store::connect(&database.url, 1).await.unwrap();
    narrow.migrate().await.unwrap();
    let mut only = narrow.acquire().await.unwrap();
    let there = Mutex::new(BTreeSet::new());
    let mut sweeping = Box::pin(goodbye::sweep(&narrow, || there.lock().unwrap().clone()));
    assert!(futures::poll!(&mut sweeping).is_pending(), "it waits for a connection");
    there.lock().unwrap().insert("new".to_owned());
    registry::put_server(&mut only, &unasked("new"), Clock::system().now()).await.unwrap();
    drop(only);
    assert_eq!(sweeping.await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_is_made_anew_while_the_earlier_is_swept_is_registered() {
    let database = watchstate_tests::postgres::database().await.unwrap();
    let store = Store::connect(&database.url, 4).await.unwrap();
    store.migrate().await.unwrap();
    let now = Clock::system().now();
    let projection = || Projection { wanted: unasked("plex"), findings: None, fresh: true };
    for _ in 0..20 {
        project(&store, &projection(), now).await.unwrap();
        let anew = Mutex::new(None);
        let asked = AtomicUsize::new(0);
        let there = || {
            if asked.fetch_add(1, Ordering::Relaxed) == 1 {
                let store = store.clone();
                let registering = async move { project(&store, &projection(), now).await };
                *anew.lock().unwrap() = Some(tokio::spawn(registering));
            }
            BTreeSet::new()
        };
        assert_eq!(goodbye::sweep(&store, there).await.unwrap(), ["plex"]);
        let registering = anew.lock().unwrap().take().unwrap();
        assert!(registering.await.unwrap().unwrap(), "it is written, since nothing is there");
        let servers = registry::servers(&mut store.acquire().await.unwrap()).await.unwrap();
        assert_eq!(servers.len(), 1);
    }
}

#[tokio::test]
async fn without_the_database_all_else_goes_on_and_with_it_the_registry_is_made_up_for() {
    let database = watchstate_tests::postgres::database().await.unwrap();
    let (away, keeper) = Database::at(&database.url);
    let mut house = House::with(away).await;
    let server = with_jellyfin(&house).await;
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    house.start();
    let object = house.until("jellyfin", "Registered", "False", "DatabaseUnavailable").await;
    assert_eq!(condition_of(&object, "UsersResolved")["status"], "True");
    assert_eq!(condition_of(&object, "Ready")["reason"], "DatabaseUnavailable");
    let readiness = Readiness::new(tokio_util::sync::CancellationToken::new());
    let told = readiness.tell("database");
    tokio::select! {
        kept = keeper.keep(told) => panic!("{kept:?}"),
        _ = house.until("jellyfin", "Ready", "True", "Ready") => {}
    }
    assert!(readiness.away().is_empty());
    assert_eq!(introductions(&server), 1, "the server wasn't asked again for it");
    house.stop().await;
}

#[tokio::test]
async fn a_suspended_server_is_left_alone_and_the_registry_says_so() {
    let mut house = House::new().await;
    let server = with_jellyfin(&house).await;
    house.server("jellyfin", &jellyfin(&server, &json!({})));
    house.start();
    house.until("jellyfin", "Ready", "True", "Ready").await;
    house.server("jellyfin", &jellyfin(&server, &json!({ "suspend": true })));
    house.until("jellyfin", "Ready", "True", "Suspended").await;
    let asked = server.world.log().all().len();
    let mut connection = house.store.as_ref().unwrap().acquire().await.unwrap();
    assert!(registry::registered(&mut connection, "jellyfin").await.unwrap().unwrap().server.policy.suspend);
    assert_eq!(server.world.log().all().len(), asked);
    house.server("jellyfin", &jellyfin(&server, &json!({ "suspend": false })));
    house.until("jellyfin", "Ready", "True", "Ready").await;
    house.stop().await;
}
