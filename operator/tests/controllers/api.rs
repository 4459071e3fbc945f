//! An API server in memory, as far as the operator can tell one from a real one: versions, watches that can expire, server-side apply by one manager,
//! the status as a part of its own, finalizers, conflicts. Real ones are tried elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::{StreamExt, stream};
use http::{Method, StatusCode, header};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The API server of one namespace. Clones are handles of the same.
#[derive(Clone)]
pub struct Api {
    /// Where it listens.
    pub url: String,
    state: Arc<Mutex<Objects>>,
    /// The version of the last change.
    changed: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Objects {
    version: u64,
    /// By plural and name.
    all: BTreeMap<(String, String), Value>,
    /// What happened: version, plural, kind of change, object.
    history: Vec<(u64, String, &'static str, Value)>,
    /// Watches from before this have expired.
    expired: u64,
    /// Method and path of each request that came.
    requests: Vec<String>,
    /// Requests are not answered.
    deaf: bool,
    /// The namespace is being deleted.
    ending: bool,
    /// Kinds that aren't installed.
    unknown: BTreeSet<String>,
}

impl Api {
    /// Starts one with an empty namespace `media`.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let api = Self { url, state: Arc::default(), changed: Arc::new(watch::channel(0).0) };
        let routes = Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        api
    }

    /// A client of it.
    pub fn client(&self) -> kube::Client {
        let mut config = kube::Config::new(self.url.parse().unwrap());
        "media".clone_into(&mut config.default_namespace);
        kube::Client::try_from(config).unwrap()
    }

    /// An object as it is; null: there is none.
    pub fn get(&self, plural: &str, name: &str) -> Value {
        self.with(|objects| objects.all.get(&(plural.to_owned(), name.to_owned())).cloned().unwrap_or_default())
    }

    /// All objects of a kind.
    pub fn all(&self, plural: &str) -> Vec<Value> {
        self.with(|objects| {
            objects.all.iter().filter(|((kind, _), _)| kind == plural).map(|(_, it)| it.clone()).collect()
        })
    }

    /// Puts an object there, as a user would: whatever it doesn't say stays.
    pub fn put(&self, plural: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.with(|objects| objects.change(plural, &name, object, "").unwrap());
        self.tell();
    }

    /// Deletes an object, as a user would.
    pub fn delete(&self, plural: &str, name: &str) {
        self.with(|objects| objects.delete(plural, name));
        self.tell();
    }

    /// Forgets what happened: watches must begin anew.
    pub fn expire(&self) {
        self.with(|objects| {
            objects.version += 1;
            objects.expired = objects.version;
            objects.history.clear();
        });
        self.tell();
    }

    /// Somebody deletes the namespace.
    pub fn end(&self) {
        self.with(|objects| objects.ending = true);
    }

    /// Somebody deletes the definition of a kind, or brings it back.
    pub fn know(&self, plural: &str, known: bool) {
        self.with(
            |objects| {
                if known { objects.unknown.remove(plural) } else { objects.unknown.insert(plural.to_owned()) }
            },
        );
    }

    /// Answers no more, or again.
    pub fn be_deaf(&self, deaf: bool) {
        self.with(|objects| objects.deaf = deaf);
    }

    /// The requests so far that write anything but events and leases.
    pub fn writes(&self) -> Vec<String> {
        let writes = |request: &&String| {
            !request.starts_with("GET") && !request.contains("/events") && !request.contains("/leases")
        };
        self.with(|objects| objects.requests.iter().filter(writes).cloned().collect())
    }

    /// The reasons of the events about an object, in their order.
    pub fn told(&self, name: &str) -> Vec<String> {
        let mut events = self.all("events");
        events.retain(|event| event["regarding"]["name"] == name);
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
        events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until an object is as expected.
    pub async fn until(&self, plural: &str, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                let object = self.get(plural, name);
                if fits(&object) {
                    return object;
                }
                changed.changed().await.unwrap();
            }
        };
        let object = tokio::time::timeout(PATIENCE, waiting).await;
        object
            .unwrap_or_else(|_| panic!("{plural}/{name} is still {:#}\n{:?}", self.get(plural, name), self.told(name)))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Objects) -> T) -> T {
        f(&mut self.state.lock().unwrap())
    }

    fn tell(&self) {
        let version = self.with(|objects| objects.version);
        self.changed.send_replace(version);
    }
}

impl Objects {
    /// Merges a change into an object, made where there is none. `part`: the part of the object that is meant.
    fn change(&mut self, plural: &str, name: &str, change: &Value, part: &str) -> Result<Value, StatusCode> {
        let key = (plural.to_owned(), name.to_owned());
        let before = self.all.get(&key).cloned();
        if before.is_none() && !part.is_empty() {
            return Err(StatusCode::NOT_FOUND);
        }
        let mut after = before.clone().unwrap_or_else(|| {
            json!({ "metadata": {
                "name": name, "namespace": "media", "generation": 1, "uid": format!("uid-{plural}-{name}-{}", self.version),
                "creationTimestamp": "2026-01-01T00:00:00Z",
            }})
        });
        let wanted = change["metadata"]["resourceVersion"].as_str();
        if wanted.is_some_and(|wanted| after["metadata"]["resourceVersion"] != wanted) {
            return Err(StatusCode::CONFLICT);
        }
        if part == "status" {
            after["status"] = change["status"].clone();
        } else {
            let mut change = change.clone();
            if let Some(fields) = change.as_object_mut()
                && before.is_some()
            {
                fields.remove("status");
            }
            merge(&mut after, &change);
            encode(&mut after);
        }
        if before.as_ref() == Some(&after) {
            return Ok(after);
        }
        if before.as_ref().is_some_and(|before| before["spec"] != after["spec"]) {
            after["metadata"]["generation"] = json!(after["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
        }
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let held = after["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if after["metadata"]["deletionTimestamp"].is_string() && !held {
            self.store(plural, name, after.clone(), "DELETED");
            self.all.remove(&key);
            return Ok(after);
        }
        Ok(self.store(plural, name, after, kind))
    }

    fn delete(&mut self, plural: &str, name: &str) {
        let key = (plural.to_owned(), name.to_owned());
        let Some(mut object) = self.all.get(&key).cloned() else { return };
        if object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
            self.store(plural, name, object, "MODIFIED");
        } else {
            self.store(plural, name, object, "DELETED");
            self.all.remove(&key);
        }
    }

    fn store(&mut self, plural: &str, name: &str, mut object: Value, change: &'static str) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, plural.to_owned(), change, object.clone()));
        self.all.insert((plural.to_owned(), name.to_owned()), object.clone());
        object
    }
}

/// What is null goes, objects are merged, everything else is replaced.
fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, change) in change {
                if change.is_null() {
                    into.remove(name);
                } else {
                    merge(into.entry(name).or_insert(Value::Object(Map::new())), change);
                }
            }
        }
        (into, change) => *into = change.clone(),
    }
}

/// Secrets may be given in plain text.
fn encode(object: &mut Value) {
    use base64::Engine as _;
    let Some(plain) = object.as_object_mut().and_then(|fields| fields.remove("stringData")) else { return };
    for (key, value) in plain.as_object().into_iter().flatten() {
        object["data"][key] = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap()).into();
    }
    if object["type"].is_null() {
        object["type"] = json!("Opaque");
    }
}

async fn answer(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let deaf = api.with(|objects| {
        objects.requests.push(format!("{} {}", parts.method, parts.uri.path()));
        objects.deaf
    });
    if deaf {
        return std::future::pending().await;
    }
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let after = path.iter().position(|part| *part == "namespaces").map_or(path.len(), |at| at + 2);
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let accept = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let metadata = accept.contains("as=PartialObjectMetadata");
    match path[after..] {
        [] => {
            let mut namespace = json!({ "metadata": { "name": "media" } });
            if api.with(|objects| objects.ending) {
                namespace["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
            }
            json(StatusCode::OK, &namespace)
        }
        [plural, ..] if api.with(|objects| objects.unknown.contains(plural)) => status(StatusCode::NOT_FOUND),
        [plural] if query.get("watch").is_some_and(|watch| watch == "true") => {
            let from = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
            watch_from(&api, plural.to_owned(), from, metadata)
        }
        [plural] if parts.method == Method::GET => {
            let version = api.with(|objects| objects.version.to_string());
            let items: Vec<Value> = api.all(plural).into_iter().map(|object| shown(object, metadata)).collect();
            json(StatusCode::OK, &json!({ "metadata": { "resourceVersion": version }, "items": items }))
        }
        [plural] => created(&api, plural, &body),
        [plural, name] | [plural, name, _] if parts.method == Method::GET => match api.get(plural, name) {
            Value::Null => status(StatusCode::NOT_FOUND),
            object => json(StatusCode::OK, &object),
        },
        [plural, name] if parts.method == Method::DELETE => {
            api.delete(plural, name);
            json(StatusCode::OK, &json!({ "kind": "Status", "status": "Success" }))
        }
        [plural, name, ..] => {
            let part = path.get(after + 2).copied().unwrap_or_default();
            let change: Value = serde_json::from_slice(&body).unwrap();
            if parts.method == Method::PUT && api.get(plural, name).is_null() {
                return status(StatusCode::NOT_FOUND);
            }
            let changed = api.with(|objects| objects.change(plural, name, &change, part));
            api.tell();
            changed.map_or_else(status, |object| json(StatusCode::OK, &object))
        }
    }
}

fn created(api: &Api, plural: &str, body: &Bytes) -> Response {
    let object: Value = serde_json::from_slice(body).unwrap();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    if !api.get(plural, &name).is_null() {
        return status(StatusCode::CONFLICT);
    }
    let made = api.with(|objects| objects.change(plural, &name, &object, ""));
    api.tell();
    made.map_or_else(status, |object| json(StatusCode::CREATED, &object))
}

fn shown(object: Value, metadata: bool) -> Value {
    if !metadata {
        return object;
    }
    json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"] })
}

/// What happens from a version on, for as long as somebody listens.
fn watch_from(api: &Api, plural: String, from: u64, metadata: bool) -> Response {
    let api = api.clone();
    let changed = api.changed.subscribe();
    let lines = stream::unfold((api, changed, from, false), move |(api, mut changed, from, ended)| {
        let plural = plural.clone();
        async move {
            if ended {
                return None;
            }
            loop {
                changed.borrow_and_update();
                let (expired, news) = api.with(|objects| {
                    let news: Vec<_> = objects
                        .history
                        .iter()
                        .filter(|(version, kind, ..)| *version > from && *kind == plural)
                        .map(|(version, _, change, object)| (*version, *change, object.clone()))
                        .collect();
                    (from < objects.expired, news)
                });
                if expired {
                    let gone = json!({ "type": "ERROR", "object": {
                        "kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old",
                    }});
                    return Some((format!("{gone}\n"), (api, changed, from, true)));
                }
                if let Some((last, ..)) = news.last() {
                    let last = *last;
                    let mut text = String::new();
                    for (_, change, object) in news {
                        text.push_str(&json!({ "type": change, "object": shown(object, metadata) }).to_string());
                        text.push('\n');
                    }
                    return Some((text, (api, changed, last, false)));
                }
                if changed.changed().await.is_err() {
                    return None;
                }
            }
        }
    });
    let body = Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>));
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

fn json(status: StatusCode, value: &Value) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(value.to_string()))
        .unwrap()
}

fn status(code: StatusCode) -> Response {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "Failure",
    };
    let told = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason, "reason": reason,
        "code": code.as_u16(),
    });
    json(code, &told)
}
