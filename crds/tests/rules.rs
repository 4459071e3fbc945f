//! Every rule of the schemas, accepting and refusing: once by the CEL expression that the API server runs, once
//! by its twin in Rust. A rule that is missing in the table, or has no twin, fails here.

#![expect(
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "tables in a test"
)]

use std::collections::BTreeSet;

use kube::CustomResourceExt;
use kube::core::cel::{validate_cel, validate_cel_update};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use watchstate_crds::{MediaServer, Problem, SyncSchedule};

/// A rule by its place in the schema and the beginning of its message, and changes to a good object.
struct Row {
    place: &'static str,
    message: &'static str,
    accepts: Vec<Value>,
    refuses: Vec<Value>,
}

fn row(place: &'static str, message: &'static str, accepts: Vec<Value>, refuses: Vec<Value>) -> Row {
    Row { place, message, accepts, refuses }
}

fn named(length: usize) -> Value {
    json!({"metadata": {"name": "n".repeat(length)}})
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

/// RFC 7386: objects are merged, null removes, all else replaces.
fn patched(mut target: Value, patch: &Value) -> Value {
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(fields) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (name, value) in fields {
            if value.is_null() {
                target.as_object_mut().unwrap().remove(name);
            } else {
                apply(&mut target[name], value);
            }
        }
    }
    apply(&mut target, patch);
    target
}

fn media_server() -> Value {
    json!({
        "apiVersion": "watchstate.dev/v1alpha1", "kind": "MediaServer", "metadata": {"name": "one"},
        "spec": {"type": "Jellyfin", "url": "http://jellyfin:8096", "tokenSecretRef": {"name": "jellyfin"}},
    })
}

fn media_server_rows() -> Vec<Row> {
    let login = json!({"name": "login"});
    let pin = |person: &str| json!({"person": person, "account": person, "pinSecretRef": {"name": "pin"}});
    let user = |person: &str, account: &str| json!({"person": person, "account": account});
    vec![
        row("", "the name of a MediaServer", vec![named(1), named(63)], vec![named(64), named(200)]),
        row(
            "spec",
            "exactly one of tokenSecretRef",
            vec![spec(json!({})), spec(json!({"tokenSecretRef": null, "loginSecretRef": login}))],
            vec![spec(json!({"tokenSecretRef": null})), spec(json!({"loginSecretRef": login}))],
        ),
        row(
            "spec",
            "loginSecretRef is for Jellyfin and Emby",
            vec![
                spec(json!({"type": "Plex"})),
                spec(json!({"type": "Emby", "tokenSecretRef": null, "loginSecretRef": login})),
            ],
            vec![spec(json!({"type": "Plex", "tokenSecretRef": null, "loginSecretRef": login}))],
        ),
        row(
            "spec",
            "pinSecretRef is for accounts",
            vec![
                spec(json!({"type": "Plex", "users": [pin("anna"), pin("ben")]})),
                spec(json!({"users": [user("anna", "a")]})),
                spec(json!({"users": []})),
            ],
            vec![
                spec(json!({"users": [pin("anna")]})),
                spec(json!({"type": "Emby", "users": [user("anna", "a"), pin("ben")]})),
            ],
        ),
        row(
            "spec.users",
            "two persons cannot share",
            vec![spec(json!({"users": [user("anna", "a"), user("ben", "b"), user("cleo", "A")]}))],
            vec![
                spec(json!({"users": [user("anna", "a"), user("ben", "a")]})),
                spec(json!({"users": [user("anna", "a"), user("ben", "b"), user("cleo", "a"), user("dan", "a")]})),
            ],
        ),
        row(
            "spec.url",
            "an address such as",
            [
                "http://jellyfin",
                "https://media.example.org/jellyfin",
                "http://10.0.0.7:8096",
                "http://[fd00::1]:8096/",
                "https://media_box.lan/a/b",
            ]
            .map(|url| spec(json!({"url": url})))
            .to_vec(),
            [
                "jellyfin:8096",
                "ftp://jellyfin",
                "http://",
                "http://user:password@jellyfin",
                "http://jellyfin?token=secret",
                "http://jellyfin/#/web",
                "http://jellyfin:port",
                "http://jelly fin",
                "http://jellyfin\n",
                " http://jellyfin",
                "HTTP://jellyfin",
            ]
            .map(|url| spec(json!({"url": url})))
            .to_vec(),
        ),
        row(
            "spec.libraries",
            "a library cannot be both",
            vec![
                spec(json!({"libraries": {}})),
                spec(json!({"libraries": {"include": ["Films", "Shows"]}})),
                spec(json!({"libraries": {"exclude": ["Films"]}})),
                spec(json!({"libraries": {"include": ["Films"], "exclude": ["films"]}})),
            ],
            vec![spec(json!({"libraries": {"include": ["Films", "Shows"], "exclude": ["Home", "Shows"]}}))],
        ),
        row(
            "spec.webhook",
            "register needs enabled",
            vec![
                spec(json!({"webhook": {"register": true}})),
                spec(json!({"webhook": {"enabled": false}})),
                spec(json!({"webhook": {"enabled": false, "register": false}})),
            ],
            vec![spec(json!({"webhook": {"enabled": false, "register": true}}))],
        ),
        row(
            "spec.tls",
            "caSecretRef has no effect",
            vec![
                spec(json!({"tls": {}})),
                spec(json!({"tls": {"insecureSkipVerify": true}})),
                spec(json!({"tls": {"caSecretRef": {"name": "ca"}, "insecureSkipVerify": false}})),
            ],
            vec![spec(json!({"tls": {"caSecretRef": {"name": "ca"}, "insecureSkipVerify": true}}))],
        ),
        row(
            "spec.interval",
            "the interval may not",
            ["30s", "30000ms", "0h1m", "24h"].map(|interval| spec(json!({"interval": interval}))).to_vec(),
            ["29s", "29999ms", "0m"].map(|interval| spec(json!({"interval": interval}))).to_vec(),
        ),
        row(
            "spec.limits.timeout",
            "the timeout may not",
            ["1s", "1000ms", "5m"].map(|timeout| spec(json!({"limits": {"timeout": timeout}}))).to_vec(),
            ["999ms", "0s"].map(|timeout| spec(json!({"limits": {"timeout": timeout}}))).to_vec(),
        ),
    ]
}

/// Rules about a change: the good object is what it was before.
fn media_server_changes() -> Vec<Row> {
    vec![row(
        "spec.type",
        "the type of a MediaServer cannot be changed",
        vec![spec(json!({"url": "http://elsewhere:8096"}))],
        vec![spec(json!({"type": "Emby"})), spec(json!({"type": "Plex"}))],
    )]
}

fn sync_schedule() -> Value {
    json!({
        "apiVersion": "watchstate.dev/v1alpha1", "kind": "SyncSchedule", "metadata": {"name": "one"},
        "spec": {"import": {}},
    })
}

fn sync_schedule_rows() -> Vec<Row> {
    let to = |to: Value| spec(json!({"backup": {"to": to}}));
    let claim = |path: &str| to(json!({"volumeClaim": {"claimName": "backups", "path": path}}));
    let bucket = |more: Value| {
        let bucket = json!({"name": "bucket", "secretRef": {"name": "keys"}});
        to(json!({"bucket": patched(bucket, &more)}))
    };
    let inside = ["a", "a/b/c", "..a/b..", "a/"];
    let outside = ["/a", "..", "a/../b", "a/.."];
    let labels = |label: &str| spec(json!({"worker": {"podLabels": {"team": "home", label: "x"}}}));
    vec![
        row("", "the name of a SyncSchedule", vec![named(1), named(45)], vec![named(46), named(52)]),
        row(
            "spec.servers",
            "exactly one of names",
            vec![
                spec(json!({"servers": {"names": ["plex"]}})),
                spec(json!({"servers": {"matchLabels": {"home": "yes"}}})),
                spec(json!({})),
            ],
            vec![
                spec(json!({"servers": {}})),
                spec(json!({"servers": {"names": ["plex"], "matchLabels": {"home": "yes"}}})),
            ],
        ),
        row(
            "spec.timeZone",
            "the time zone has to be named",
            ["Europe/Berlin", "UTC", "Localia"].map(|zone| spec(json!({"timeZone": zone}))).to_vec(),
            ["Local", "local", "LOCAL"].map(|zone| spec(json!({"timeZone": zone}))).to_vec(),
        ),
        row(
            "spec.backup.to",
            "exactly one of volumeClaim",
            vec![to(json!({"volumeClaim": {"claimName": "backups"}})), bucket(json!({}))],
            vec![
                to(json!({})),
                to(json!({
                    "volumeClaim": {"claimName": "backups"}, "bucket": {"name": "bucket", "secretRef": {"name": "keys"}},
                })),
            ],
        ),
        row(
            "spec.backup.to.volumeClaim.path",
            "the folder is named from the root",
            inside.map(claim).to_vec(),
            outside.map(claim).to_vec(),
        ),
        row(
            "spec.backup.to.bucket.prefix",
            "the folder is named from the root",
            inside.map(|prefix| bucket(json!({ "prefix": prefix }))).to_vec(),
            outside.map(|prefix| bucket(json!({ "prefix": prefix }))).to_vec(),
        ),
        row(
            "spec.backup.to.bucket.endpoint",
            "an address such as",
            vec![bucket(json!({"endpoint": "https://minio:9000"}))],
            vec![bucket(json!({"endpoint": "minio:9000"})), bucket(json!({"endpoint": "s3://bucket"}))],
        ),
        row(
            "spec.worker.podLabels",
            "labels that begin with",
            ["example.org/app", "watchstate.devel/a", "app"].map(labels).to_vec(),
            ["watchstate.dev/run", "app.kubernetes.io/name"].map(labels).to_vec(),
        ),
    ]
}

/// Place and message of every rule in a resource's schema.
fn rules_of<T: CustomResourceExt>() -> BTreeSet<(String, String)> {
    fn collect(schema: &Value, place: &str, rules: &mut BTreeSet<(String, String)>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().expect("every rule has a message for a person");
            rules.insert((place.to_owned(), message.to_owned()));
        }
        for (name, child) in schema["properties"].as_object().into_iter().flatten() {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            collect(child, &place, rules);
        }
        for each in ["items", "additionalProperties"].into_iter().filter(|each| schema[each].is_object()) {
            collect(&schema[each], &format!("{place}[]"), rules);
        }
    }
    let definition = serde_json::to_value(T::crd()).unwrap();
    let mut rules = BTreeSet::new();
    collect(definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap(), "", &mut rules);
    rules
}

fn messages(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.message.clone()).collect()
}

/// Runs all rows: both judges say nothing to what a row accepts, and exactly the row's message to what it refuses.
/// Returns the rules that were tried.
fn judge<T: DeserializeOwned + Serialize + CustomResourceExt>(
    base: &Value,
    rows: &[Row],
    by_cel: impl Fn(&T) -> Vec<String>,
    by_rust: impl Fn(&T) -> Vec<Problem>,
) -> BTreeSet<(String, String)> {
    let rules = rules_of::<T>();
    let mut tried = BTreeSet::new();
    for Row { place, message, accepts, refuses } in rows {
        let is_row = |(at, text): &&(String, String)| at == place && text.starts_with(message);
        let rule = rules.iter().find(is_row).unwrap_or_else(|| panic!("no rule {place:?}: {message}")).clone();
        assert!(!accepts.is_empty() && !refuses.is_empty(), "{place}: {message}: both verdicts need an example");
        for (patches, expected) in [(accepts, vec![]), (refuses, vec![rule.1.clone()])] {
            for patch in patches {
                let object: T = serde_json::from_value(patched(base.clone(), patch)).unwrap();
                assert_eq!(by_cel(&object), expected, "CEL about {patch}");
                let problems = by_rust(&object);
                assert_eq!(messages(&problems), expected, "Rust about {patch}");
                for Problem { field, .. } in problems {
                    assert!(field == "metadata.name" || field.starts_with(place), "{field} is not within {place}");
                }
            }
        }
        tried.insert(rule);
    }
    tried
}

fn cel_messages(verdict: Result<(), kube::core::cel::ValidationErrors>) -> Vec<String> {
    verdict.err().into_iter().flat_map(kube::core::cel::ValidationErrors::into_vec).map(|error| error.message).collect()
}

#[test]
fn every_rule_of_a_media_server_is_judged_alike_by_cel_and_by_rust() {
    let base = media_server();
    let before: MediaServer = serde_json::from_value(base.clone()).unwrap();
    let mut tried =
        judge(&base, &media_server_rows(), |server| cel_messages(validate_cel(server)), MediaServer::validate);
    tried.extend(judge(
        &base,
        &media_server_changes(),
        |server: &MediaServer| cel_messages(validate_cel_update(server, &before)),
        |server| server.validate_update(&before),
    ));
    assert_eq!(tried, rules_of::<MediaServer>(), "left: rules in the table, right: rules of the schema");
}

#[test]
fn every_rule_of_a_schedule_is_judged_alike_by_cel_and_by_rust() {
    let tried = judge(
        &sync_schedule(),
        &sync_schedule_rows(),
        |schedule| cel_messages(validate_cel(schedule)),
        SyncSchedule::validate,
    );
    assert_eq!(tried, rules_of::<SyncSchedule>(), "left: rules in the table, right: rules of the schema");
}
