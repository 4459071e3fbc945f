//! The committed YAML and the pages' fields are what the types say, and a document without a cluster gets the same defaults as in one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kube::core::cel::apply_defaults;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use watchstate_crds::{
    MediaServer, SyncSchedule, definitions, media_server_definition, page_file, renew_page, sync_schedule_definition,
    to_yaml,
};

/// Where the definitions are kept, from the project's root: for people and for the chart.
const FOLDERS: [&str; 2] = ["crds", "charts/watchstate/files/crds"];

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, definition) in definitions() {
        let meant = to_yaml(&definition).unwrap();
        for folder in FOLDERS {
            let committed = std::fs::read_to_string(root.join(folder).join(file)).unwrap_or_default();
            assert!(committed == meant, "{folder}/{file} differs from the types; renew it: make crds");
        }
    }
}

#[test]
fn the_pages_of_the_resources_have_the_fields_of_the_types() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/resources");
    for (_, definition) in definitions() {
        let file = page_file(&definition);
        let committed = std::fs::read_to_string(folder.join(&file)).unwrap();
        let meant = renew_page(&committed, &definition).unwrap();
        assert!(committed == meant, "docs/resources/{file} differs from the types; renew it: make crds");
    }
}

#[test]
fn the_committed_definitions_read_back_as_the_definitions() {
    for (file, definition) in definitions() {
        let read: Value = serde_saphyr::from_str(&to_yaml(&definition).unwrap()).unwrap();
        let meant = serde_json::to_value(&definition).unwrap();
        assert!(read == meant, "crds/{file}: YAML and JSON differ");
    }
}

fn schema_of(definition: &impl Serialize) -> Value {
    let definition = serde_json::to_value(definition).unwrap();
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

/// What serde makes of a document has to be what the API server makes of it.
fn agree<T: DeserializeOwned + Serialize>(schema: &Value, kind: &str, spec: &Value) -> Value {
    let document = json!({
        "apiVersion": "watchstate.dev/v1alpha1", "kind": kind, "metadata": {"name": "one"}, "spec": spec,
    });
    let by_server = apply_defaults(schema, &document);
    // Round and round: what was defaulted may hold more that is to be defaulted.
    assert_eq!(apply_defaults(schema, &by_server), by_server, "{spec}");
    let typed: T = serde_json::from_value(document).unwrap();
    let by_serde = serde_json::to_value(&typed).unwrap();
    assert_eq!(by_serde["spec"], by_server["spec"], "left serde, right the schema, for {spec}");
    by_serde["spec"].clone()
}

#[test]
fn a_media_server_gets_the_same_defaults_with_and_without_a_cluster() {
    let schema = schema_of(&media_server_definition());
    let with = |more: Value| {
        let mut spec = json!({"type": "Plex", "url": "http://plex:32400"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        agree::<MediaServer>(&schema, "MediaServer", &spec)
    };
    assert_eq!(
        with(json!({"tokenSecretRef": {"name": "plex"}})),
        json!({
            "type": "Plex", "url": "http://plex:32400", "tokenSecretRef": {"name": "plex", "key": "token"},
            "import": {"enabled": true, "mode": "Full"}, "export": {"enabled": true}, "unplayed": "Follow",
            "webhook": {"enabled": true, "matchUser": true, "matchServer": true, "register": false},
            "limits": {"concurrency": 4, "timeout": "60s", "pageSize": 1000}, "interval": "5m", "suspend": false,
        })
    );
    with(json!({"import": {}, "export": {}, "webhook": {}, "limits": {}, "tls": {}, "libraries": {}}));
    with(json!({"import": {"enabled": false}, "webhook": {"register": true}, "limits": {"pageSize": 50}}));
    with(json!({"tls": {"caSecretRef": {"name": "ca"}}, "webhook": {"tokenSecretRef": {"name": "hook"}}}));
    with(json!({"users": [{
        "person": "anna", "account": "a", "tokenSecretRef": {"name": "a"}, "pinSecretRef": {"name": "a"},
    }]}));
}

#[test]
fn a_schedule_gets_the_same_defaults_with_and_without_a_cluster() {
    let schema = schema_of(&sync_schedule_definition());
    let with = |spec: Value| agree::<SyncSchedule>(&schema, "SyncSchedule", &spec);
    let policy = json!({
        "unplayed": {"count": 20, "percent": 10}, "progress": {"enabled": true, "minimum": "60s"}, "dryRun": false,
    });
    assert_eq!(with(json!({})), json!({"suspend": false, "policy": policy}), "a missing part is off");
    assert_eq!(
        with(json!({"import": {}, "export": {}, "push": {}, "prune": {}, "backup": {"to": {}}})),
        json!({
            "suspend": false, "policy": policy,
            "import": {"schedule": "0 * * * *"},
            "export": {"schedule": "30 * * * *"},
            "push": {"mode": "Scheduled", "schedule": "*/10 * * * *"},
            "prune": {"schedule": "0 */12 * * *", "keepRuns": "30d", "keepEvents": "14d"},
            "backup": {"schedule": "0 6 */3 * *", "keep": 7, "to": {}},
        })
    );
    with(json!({"policy": {}}));
    with(json!({"policy": {"unplayed": {}, "progress": {}}}));
    with(json!({"policy": {"unplayed": {"count": 0}, "progress": {"enabled": false}, "dryRun": true}}));
    with(json!({"push": {"mode": "Off"}, "import": {"schedule": "5 * * * *"}}));
    with(json!({"backup": {"to": {"bucket": {
        "name": "bucket", "secretRef": {"name": "keys"}, "caSecretRef": {"name": "ca"},
    }}}}));
}

#[test]
fn every_part_of_a_schedule_made_in_code_has_the_defaults_of_an_empty_part() {
    use watchstate_crds::sync_schedule::{Export, Import, Policy, Prune, Push};
    fn same<T: Default + DeserializeOwned + PartialEq + std::fmt::Debug>() {
        assert_eq!(serde_json::from_value::<T>(json!({})).unwrap(), T::default());
    }
    same::<Import>();
    same::<Export>();
    same::<Push>();
    same::<Prune>();
    same::<Policy>();
}
