//! Every rule of the schemas, accepting and refusing: once by the CEL expression that the API server runs, once
//! by its twin in Rust. A rule that is missing in the table, or has no twin, fails here.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tables in a test")]

mod table;

use std::collections::BTreeSet;

use kube::CustomResourceExt;
use kube::core::cel::{validate_cel, validate_cel_update};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use watchstate_crds::{MediaServer, Problem, SyncSchedule};

use self::table::{
    Row, media_server, media_server_changes, media_server_rows, patched, sync_schedule, sync_schedule_rows,
};

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
