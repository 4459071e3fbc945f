//! The rules of both schemas as a table: for each, changes to a good object that it accepts and that it refuses. The cluster tests read it as well.

#![expect(clippy::needless_pass_by_value, clippy::too_many_lines, clippy::unwrap_used, reason = "a table in a test")]

use serde_json::{Value, json};

/// A rule by its place in the schema and the beginning of its message, and changes to a good object.
pub struct Row {
    pub place: &'static str,
    pub message: &'static str,
    pub accepts: Vec<Value>,
    pub refuses: Vec<Value>,
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
pub fn patched(mut target: Value, patch: &Value) -> Value {
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

/// A good MediaServer.
pub fn media_server() -> Value {
    json!({
        "apiVersion": "watchstate.dev/v1alpha1", "kind": "MediaServer", "metadata": {"name": "one"},
        "spec": {"type": "Jellyfin", "url": "http://jellyfin:8096", "tokenSecretRef": {"name": "jellyfin"}},
    })
}

/// The rules of a MediaServer.
pub fn media_server_rows() -> Vec<Row> {
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
pub fn media_server_changes() -> Vec<Row> {
    vec![row(
        "spec.type",
        "the type of a MediaServer cannot be changed",
        vec![spec(json!({"url": "http://elsewhere:8096"}))],
        vec![spec(json!({"type": "Emby"})), spec(json!({"type": "Plex"}))],
    )]
}

/// A good SyncSchedule.
pub fn sync_schedule() -> Value {
    json!({
        "apiVersion": "watchstate.dev/v1alpha1", "kind": "SyncSchedule", "metadata": {"name": "one"},
        "spec": {"import": {}},
    })
}

/// The rules of a SyncSchedule.
pub fn sync_schedule_rows() -> Vec<Row> {
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
