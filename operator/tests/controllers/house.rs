//! An operator at work in a household of simulated servers.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchstate_operator::args::{Variables, WorkerArgs};
use watchstate_operator::context::{Context, Jitter};
use watchstate_operator::database::Database;
use watchstate_operator::events::Events;
use watchstate_operator::media_server;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::Metrics;
use watchstate_store::{Store, registry};
use watchstate_tests::server::SimServer;
use watchstate_tests::world::{Content, Flavor, World};

use crate::api::Api;

/// The secrets of all tests: none of them may show anywhere.
pub const SECRETS: [&str; 3] = ["hunter2", "s3cret-token", "4711"];

/// An operator and what it works on.
pub struct House {
    pub api: Api,
    pub store: Option<Store>,
    pub context: Arc<Context>,
    stop: CancellationToken,
    working: Option<JoinHandle<()>>,
    _database: Option<watchstate_tests::postgres::Database>,
}

impl House {
    /// With a database of its own.
    pub async fn new() -> Self {
        let database = watchstate_tests::postgres::database().await.expect("a database");
        let store = Store::connect(&database.url, 4).await.expect("a connection");
        store.migrate().await.expect("the schema");
        Self::of(Database::fixed(Some(store.clone())), Some(store), Some(database)).await
    }

    /// Without a database, or with one that may come later.
    pub async fn with(database: Database) -> Self {
        Self::of(database, None, None).await
    }

    async fn of(database: Database, store: Option<Store>, held: Option<watchstate_tests::postgres::Database>) -> Self {
        watchstate_runtime::install_crypto();
        let api = Api::start().await;
        let client = api.client();
        let context = Context {
            client: client.clone(),
            namespace: "media".to_owned(),
            database,
            clock: Clock::system(),
            jitter: Jitter::from_fn(|| 0.5),
            worker: WorkerArgs {
                env: Variables::default(),
                image: "watchstate:1".to_owned(),
                pull_policy: None,
                service_account: "default".to_owned(),
                database_secret: "pg-app".to_owned(),
                database_secret_key: "uri".to_owned(),
            },
            webhook_url: Some("http://watchstate-webhook.media.svc:8080".parse().unwrap()),
            plex_tv: "http://127.0.0.1:9".parse().unwrap(),
            metrics: Arc::new(Metrics::new().unwrap()),
            events: Events::new(client, "operator-1"),
        };
        Self { api, store, context: Arc::new(context), stop: CancellationToken::new(), working: None, _database: held }
    }

    /// Changes what the operator is given, before it starts.
    pub fn given(mut self, change: impl FnOnce(&mut Context)) -> Self {
        let mut context = (*self.context).clone();
        change(&mut context);
        self.context = Arc::new(context);
        self
    }

    /// Lets the operator work.
    pub fn start(&mut self) {
        self.working = Some(tokio::spawn(media_server::controller(self.context.clone(), self.stop.clone())));
    }

    /// Lets it end in peace.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(working) = self.working.take() {
            working.await.unwrap();
        }
    }

    /// A Secret.
    pub fn secret(&self, name: &str, values: &Value) {
        self.api.put(
            "secrets",
            &json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": values }),
        );
    }

    /// A MediaServer.
    pub fn server(&self, name: &str, spec: &Value) {
        let meta = json!({ "name": name });
        let kind =
            json!({ "apiVersion": "watchstate.dev/v1alpha1", "kind": "MediaServer", "metadata": meta, "spec": spec });
        self.api.put("mediaservers", &kind);
    }

    /// Waits until a condition says so.
    pub async fn until(&self, name: &str, condition: &str, status: &str, reason: &str) -> Value {
        let says = |object: &Value| {
            let found = condition_of(object, condition);
            found["status"] == status && found["reason"] == reason
        };
        self.api.until("mediaservers", name, says).await
    }

    /// The names of the registry's servers, each with who answered.
    pub async fn registered(&self) -> Vec<(String, Option<String>)> {
        let mut connection = self.store.as_ref().unwrap().acquire().await.unwrap();
        let servers = registry::servers(&mut connection).await.unwrap();
        servers.into_iter().map(|server| (server.name, server.remote_id)).collect()
    }

    /// Fails where a secret shows in anything but a Secret.
    pub fn assert_no_secret_shows(&self, more: &[&str]) {
        for plural in ["mediaservers", "events", "leases"] {
            let text = format!("{:?}", self.api.all(plural));
            for secret in SECRETS.iter().chain(more) {
                assert!(!shows(&text, secret), "{secret} shows in {plural}: {text}");
            }
        }
    }
}

/// Whether a secret stands in a text. Digits inside a longer number are no PIN: ports and fractions of seconds have any.
fn shows(text: &str, secret: &str) -> bool {
    let digit = |neighbour: Option<char>| neighbour.is_some_and(|neighbour| neighbour.is_ascii_digit());
    let number = secret.chars().all(|c| c.is_ascii_digit());
    text.match_indices(secret).any(|(at, found)| {
        let inside = digit(text[..at].chars().next_back()) || digit(text[at + found.len()..].chars().next());
        !(number && inside)
    })
}

/// A condition of an object; null: there is none.
pub fn condition_of(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// A simulated server with an owner anna, a user ben and a library of films.
pub async fn simulated(flavor: Flavor, name: &str) -> SimServer {
    let world = World::new(flavor, name, &format!("{name}-id"));
    world.add_owner("anna");
    world.add_user("ben");
    world.add_library("Films", Content::Movies);
    SimServer::start(world, "127.0.0.1:0").await.unwrap()
}
