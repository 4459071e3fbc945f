//! What an apply decides: created, changed, unchanged and removed, field by field, and all problems at once.

use secrecy::SecretString;
use serde_json::json;
use watchstate_domain::item::ServerKind;
use watchstate_store::registry::ServerPolicy;

use super::*;
use crate::apply::diff::Report;
use crate::apply::documents::{self, Source};

const SECRETS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: tokens}
stringData: {token: hush-new-and-long-enough, pin: '4711'}
";

fn server(name: &str, kind: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata: {{name: {name}, labels: {{watch: home}}}}\n\
         spec: {{type: {kind}, url: 'http://{name}', tokenSecretRef: {{name: tokens}}{spec}}}\n"
    )
}

fn schedule(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: watchstate.dev/v1alpha1\nkind: SyncSchedule\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}

fn documents(parts: &[String]) -> Documents {
    documents::read(&[Source { name: "f.yaml".to_owned(), text: parts.join("\n") }]).unwrap()
}

fn registered(name: &str, users: &[(&str, &str)]) -> WantedServer {
    WantedServer {
        name: name.to_owned(),
        kind: ServerKind::Plex,
        url: format!("http://{name}"),
        policy: ServerPolicy::default(),
        users: users.iter().map(|(person, account)| ((*person).to_owned(), (*account).to_owned())).collect(),
        webhook_token_sha256: None,
    }
}

/// The registry as applying `documents` leaves it.
fn applied(documents: &Documents) -> Current {
    let plan = plan(documents, &Current::default(), false).unwrap();
    let secrets = plan
        .secrets
        .into_iter()
        .map(|(name, wanted)| (name, wanted.into_iter().filter_map(|(file, secret)| Some((file, secret?))).collect()));
    Current { servers: plan.servers, schedules: plan.schedules, secrets: secrets.collect() }
}

fn actions(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(|change| format!("{} {}", change.name, change.change.as_str())).collect()
}

#[test]
fn the_first_apply_creates_and_the_same_again_changes_nothing() {
    let documents = documents(&[
        SECRETS.to_owned(),
        server("plex", "Plex", ", users: [{person: anna, account: Anna, pinSecretRef: {name: tokens}}]"),
        server("emby", "Emby", ", webhook: {tokenSecretRef: {name: tokens}}"),
        schedule("home", "servers: {matchLabels: {watch: home}}"),
    ]);
    let first = plan(&documents, &Current::default(), false).unwrap();
    assert_eq!(actions(&first), ["plex created", "emby created", "home created"]);
    assert_eq!(first.servers[1].users, [("anna".to_owned(), String::new())]);
    assert_eq!(first.schedules[0].1.servers, ["emby", "plex"]);
    assert_eq!(
        serde_json::to_value(&first.changes[1]).unwrap(),
        json!({
            "kind": "MediaServer", "name": "emby", "change": "created",
            "fields": [
                {"field": "type", "before": null, "after": "Emby"},
                {"field": "url", "before": null, "after": "http://emby"},
                {"field": "users.anna", "before": null, "after": ""},
                {"field": "token", "secret": "set"},
                {"field": "webhook token", "secret": "set"},
            ],
        })
    );

    for prune in [false, true] {
        let second = plan(&documents, &applied(&documents), prune).unwrap();
        assert_eq!(actions(&second), ["plex unchanged", "emby unchanged", "home unchanged"]);
        assert!(second.servers.is_empty() && second.schedules.is_empty() && second.remarks.is_empty(), "{second:?}");
    }
}

#[test]
fn what_changes_is_told_field_by_field_and_secrets_by_name_only() {
    let before = documents(&[
        SECRETS.replace("hush-new-and-long-enough", "hush-old"),
        server(
            "plex",
            "Plex",
            ", users: [{person: anna, account: Anna, pinSecretRef: {name: tokens}}, {person: ben, account: Ben}]",
        ),
        schedule("home", "policy: {unplayed: {count: 20}}"),
    ]);
    let spec = ", users: [{person: anna, account: anna2}, {person: carl, account: C}], limits: {timeout: 2m}, \
                libraries: {include: [Films]}, webhook: {tokenSecretRef: {name: tokens}}";
    let after = documents(&[
        SECRETS.to_owned(),
        server("plex", "Plex", spec).replace("http://plex", "http://other"),
        schedule("home", "policy: {unplayed: {count: 30}}, prune: {}"),
    ]);
    let plan = plan(&after, &applied(&before), false).unwrap();
    let report = Report { dry_run: true, changes: plan.changes.clone(), remarks: plan.remarks.clone() };
    let lines: Vec<String> = report.sheet().rows.into_iter().map(|row| row.join("|")).collect();
    assert_eq!(
        lines,
        [
            "MediaServer plex|changed|url: http://plex → http://other",
            "||users.anna: Anna → anna2",
            "||users.ben: Ben → none",
            "||users.carl: none → C",
            "||include: none → Films",
            "||timeoutMs: 60000 → 120000",
            "||token: changed",
            "||users/anna/pin: removed",
            "||webhook token: set",
            "SyncSchedule home|changed|brake.count: 20 → 30",
            "||keepMs.events: none → 1209600000",
            "||keepMs.runs: none → 2592000000",
        ]
    );
    assert!(!format!("{plan:?} {report:?} {}", serde_json::to_string(&report).unwrap()).contains("hush"));
}

#[test]
fn a_new_token_alone_is_a_change() {
    let documents = documents(&[SECRETS.to_owned(), server("plex", "Plex", "")]);
    let mut current = applied(&documents);
    current.secrets.insert("plex".to_owned(), Held::from([("token".to_owned(), SecretString::from("hush-old"))]));
    let plan = plan(&documents, &current, false).unwrap();
    assert_eq!(actions(&plan), ["plex changed"]);
}

#[test]
fn what_the_files_do_not_name_stays_unless_it_is_pruned() {
    let documents = documents(&[SECRETS.to_owned(), server("plex", "Plex", "")]);
    let mut current = applied(&documents);
    current.servers.push(registered("emby", &[("me", "")]));
    current.schedules.push(("old".to_owned(), SchedulePolicy::default()));

    let kept = plan(&documents, &current, false).unwrap();
    assert_eq!(actions(&kept), ["plex unchanged"]);
    assert_eq!(kept.remarks, ["Not in the files, and left as they are: emby. --prune removes them."]);
    assert!(kept.removed_servers.is_empty() && kept.removed_schedules.is_empty());

    let pruned = plan(&documents, &current, true).unwrap();
    assert_eq!(actions(&pruned), ["plex unchanged", "emby removed", "old removed"]);
    assert_eq!(
        (&pruned.removed_servers[..], &pruned.removed_schedules[..]),
        (&["emby".to_owned()][..], &["old".to_owned()][..])
    );
}

#[test]
fn registered_servers_belong_to_the_household_unless_they_are_pruned() {
    let documents = documents(&[SECRETS.to_owned(), server("plex", "Plex", "")]);
    let current = Current { servers: vec![registered("emby", &[("anna", "A"), ("ben", "B")])], ..Current::default() };
    let problems = plan(&documents, &current, false).unwrap_err();
    assert_eq!(
        problems,
        [
            "f.yaml: MediaServer plex names no users, and the household has several persons (anna, ben): say whose account the token is"
        ]
    );
    let pruned = plan(&documents, &current, true).unwrap();
    assert_eq!(pruned.servers[0].users, [("me".to_owned(), String::new())]);
}

#[test]
fn a_household_that_gets_names_takes_the_nameless_person_along_or_says_what_stays_behind() {
    let nameless = server("plex", "Plex", "");
    let named = server("emby", "Emby", ", users: [{person: anna, account: A}]");
    let current = applied(&documents(&[SECRETS.to_owned(), nameless.clone()]));

    let together = plan(&documents(&[SECRETS.to_owned(), nameless, named.clone()]), &current, false).unwrap();
    assert_eq!(together.servers[0].users, [("anna".to_owned(), String::new())]);
    assert!(
        together.remarks[0].starts_with("No account is me's any more; what me watched stays stored."),
        "{:?}",
        together.remarks
    );

    let alone = plan(&documents(&[SECRETS.to_owned(), named]), &current, false).unwrap();
    assert!(
        alone.remarks.iter().any(|remark| remark.contains("MediaServer plex's token belongs to nobody by name")),
        "{:?}",
        alone.remarks
    );
}

#[test]
fn another_type_under_the_same_name_is_refused() {
    let current = Current { servers: vec![registered("plex", &[("me", "")])], ..Current::default() };
    for prune in [false, true] {
        let problems =
            plan(&documents(&[SECRETS.to_owned(), server("plex", "Emby", "")]), &current, prune).unwrap_err();
        assert!(problems[0].starts_with("f.yaml: MediaServer plex: spec.type: it is Plex until now"), "{problems:?}");
    }
}

#[test]
fn all_problems_between_documents_are_told_at_once() {
    let current = Current { servers: vec![registered("a", &[("me", "")])], ..Current::default() };
    let documents = documents(&[
        server("a", "Emby", ""),
        server("b", "Plex", ", users: [{person: anna, account: A}, {person: ben, account: B}]"),
        schedule("home", "servers: {names: [a, gone]}"),
        schedule("work", "servers: {matchLabels: {watch: work}}"),
    ]);
    let problems = plan(&documents, &current, false).unwrap_err();
    for part in [
        "MediaServer a names no users",
        "MediaServer a: spec.type",
        "MediaServer a: spec.tokenSecretRef: Secret tokens (key token) is not in the files",
        "MediaServer b: spec.tokenSecretRef",
        "SyncSchedule home: spec.servers.names: there is no MediaServer gone",
        "SyncSchedule work: spec.servers.matchLabels",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part} in {problems:#?}");
    }
    assert_eq!(problems.len(), 6, "{problems:#?}");
}

#[test]
fn a_schedule_by_labels_says_which_servers_it_cannot_see() {
    let current = Current { servers: vec![registered("emby", &[("me", "")])], ..Current::default() };
    let documents = documents(&[
        SECRETS.to_owned(),
        server("plex", "Plex", ""),
        schedule("home", "servers: {matchLabels: {watch: home}}"),
    ]);
    let plan = plan(&documents, &current, false).unwrap();
    assert_eq!(plan.schedules[0].1.servers, ["plex"]);
    assert!(plan.remarks.iter().any(|remark| remark.contains("emby can't take part")), "{:?}", plan.remarks);
}
