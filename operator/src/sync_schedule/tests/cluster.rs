//! An API server for tests: objects in memory, and a log of what was asked. It answers as the real one does where a controller can tell: 404, 409,
//! a status that only its subresource changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde::Serialize;
use serde_json::{Value, json};

/// The namespace of all tests.
pub const NAMESPACE: &str = "media";

/// The server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Cluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By path: `/apis/batch/v1/namespaces/media/jobs/x`.
    objects: BTreeMap<String, Value>,
    log: Vec<String>,
    events: Vec<(String, String)>,
    refused: Option<(String, StatusCode, String)>,
    made: u64,
}

impl Cluster {
    /// A client of it.
    pub fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let query = parts.uri.query().unwrap_or_default();
                let (status, answer) = cluster.with(|state| state.answer(&parts.method, parts.uri.path(), query, body));
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        Client::new(service, NAMESPACE)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts an object there, by its kind's path: `batch/v1/cronjobs`.
    pub fn put(&self, kind: &str, object: &impl Serialize) {
        let object = serde_json::to_value(object).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.with(|state| state.objects.insert(format!("{}/{name}", path(kind)), object));
    }

    /// Takes the object of that name away.
    pub fn remove(&self, kind: &str, name: &str) {
        self.with(|state| state.objects.remove(&format!("{}/{name}", path(kind))));
    }

    /// The object of that name.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.with(|state| state.objects.get(&format!("{}/{name}", path(kind))).cloned())
    }

    /// The names of all objects of a kind.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let prefix = format!("{}/", path(kind));
        self.with(|state| {
            state.objects.keys().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect()
        })
    }

    /// What was asked since the last call, apart from events: `PATCH /apis/…`.
    pub fn asked(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.log))
    }

    /// What was asked since the last call and isn't reading, without the path of the namespace.
    pub fn written(&self) -> Vec<String> {
        let namespace = format!("/namespaces/{NAMESPACE}");
        self.asked()
            .into_iter()
            .filter(|line| !line.starts_with("GET"))
            .map(|line| line.replace(&namespace, ""))
            .collect()
    }

    /// The reasons and notes of the events since the last call.
    pub fn events(&self) -> Vec<(String, String)> {
        self.with(|state| std::mem::take(&mut state.events))
    }

    /// From now on the server answers so to writes to objects whose path ends so.
    pub fn refuse(&self, ending: &str, code: u16, why: &str) {
        let code = StatusCode::from_u16(code).unwrap();
        self.with(|state| state.refused = Some((ending.to_owned(), code, why.to_owned())));
    }
}

fn path(kind: &str) -> String {
    let (group, plural) = kind.rsplit_once('/').unwrap();
    let root = if group == "v1" { "/api/v1".to_owned() } else { format!("/apis/{group}") };
    format!("{root}/namespaces/{NAMESPACE}/{plural}")
}

type Answer = (StatusCode, Value);

fn status(code: StatusCode, message: &str) -> Answer {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": message, "code": code.as_u16() });
    (code, body)
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> Answer {
        if path.contains("/events") {
            let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
            self.events.push((text("reason"), text("note")));
            return (StatusCode::CREATED, body);
        }
        self.log.push(format!("{method} {path}"));
        let (object, subresource) = path.strip_suffix("/status").map_or((path, false), |object| (object, true));
        if let Some((ending, code, why)) = &self.refused
            && *method != Method::GET
            && object.ends_with(ending.as_str())
        {
            return status(*code, why);
        }
        match *method {
            Method::GET => self.read(object, query),
            Method::POST => {
                let object = format!("{object}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
                if self.objects.contains_key(&object) {
                    return status(StatusCode::CONFLICT, "AlreadyExists");
                }
                (StatusCode::CREATED, self.store(&object, body))
            }
            Method::PATCH if subresource => {
                let Some(found) = self.objects.get_mut(object) else {
                    return status(StatusCode::NOT_FOUND, "NotFound");
                };
                found["status"] = body["status"].clone();
                (StatusCode::OK, found.clone())
            }
            Method::PATCH => (StatusCode::OK, self.store(object, body)),
            Method::DELETE => match self.objects.remove(object) {
                Some(found) => (StatusCode::OK, found),
                None => status(StatusCode::NOT_FOUND, "NotFound"),
            },
            _ => status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn read(&self, path: &str, query: &str) -> Answer {
        if let Some(found) = self.objects.get(path) {
            return (StatusCode::OK, found.clone());
        }
        // A list, where the last part of the path is a plural.
        if !path.ends_with('s') || path.matches('/').count() < 5 {
            return status(StatusCode::NOT_FOUND, "NotFound");
        }
        let query: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let wanted = query.get("labelSelector").and_then(|label| label.split_once('='));
        let prefix = format!("{path}/");
        let items: Vec<Value> = self
            .objects
            .iter()
            .filter(|(path, _)| path.strip_prefix(&prefix).is_some_and(|name| !name.contains('/')))
            .map(|(_, object)| object.clone())
            .filter(|object| wanted.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value))
            .collect();
        (StatusCode::OK, json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }))
    }

    /// Keeps uid and status of what was there, in a new version.
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        let before = self.objects.get(path);
        self.made += 1;
        let uid =
            before.map_or_else(|| json!(format!("uid-{}", self.made)), |before| before["metadata"]["uid"].clone());
        object["metadata"]["uid"] = uid;
        object["metadata"]["resourceVersion"] = json!(self.made.to_string());
        if let Some(status) = before.and_then(|before| before.get("status")) {
            object["status"] = status.clone();
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}
