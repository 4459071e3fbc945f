//! Documents without a cluster are read as strictly as by an API server, and secrets stay secret.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use secrecy::ExposeSecret;
use watchstate_crds::document::{Document, ParseError, parse};
use watchstate_crds::sync_schedule::PushMode;

fn server(spec: &str) -> String {
    format!(
        "apiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata: {{name: plex}}\nspec: \
         {{type: Plex, url: 'http://plex:32400', tokenSecretRef: {{name: plex}}{spec}}}\n"
    )
}

fn schedule(spec: &str) -> String {
    format!("apiVersion: watchstate.dev/v1alpha1\nkind: SyncSchedule\nmetadata: {{name: home}}\nspec: {{{spec}}}\n")
}

fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(documents) => panic!("accepted: {documents:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_examples_are_accepted_whole() {
    for (file, kinds) in [
        ("single-user.yaml", vec!["Secret", "MediaServer", "MediaServer", "SyncSchedule"]),
        ("household.yaml", vec!["MediaServer", "MediaServer", "MediaServer", "SyncSchedule"]),
    ] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
        let documents = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(documents.iter().map(Document::kind).collect::<Vec<_>>(), kinds, "{file}");
        for document in &documents {
            assert_eq!(document.validate(), [], "{file}, {}", document.name());
        }
    }
}

#[test]
fn missing_fields_get_their_defaults_and_missing_parts_stay_off() {
    let documents = parse(&format!("{}---\n{}", server(""), schedule("push: {}"))).unwrap();
    let [Document::MediaServer(server), Document::SyncSchedule(schedule)] = &documents[..] else {
        panic!("{documents:?}")
    };
    assert_eq!(server.spec.interval.get().as_secs(), 300);
    assert_eq!(server.spec.token_secret_ref.as_ref().unwrap().key, "token");
    assert_eq!(schedule.spec.push.as_ref().unwrap().mode, PushMode::Scheduled);
    assert_eq!(schedule.spec.import, None);
    assert_eq!(schedule.spec.policy.unplayed.count, 20);
}

#[test]
fn what_does_not_fit_the_schema_is_refused_by_the_name_of_its_field() {
    let servers = [
        (", interva: 5m", "spec.interva: is no field of this resource; known here: export, import, interval,"),
        (", import: {enable: true}", "spec.import.enable: is no field"),
        (", users: [{person: anna, account: a, pin: '1'}]", "spec.users[0].pin: is no field"),
        (", users: [{person: anna}]", "spec.users[0].account: is required"),
        (", users: {person: anna}", "spec.users: must be a list, not a group of fields"),
        (", unplayed: follow", "spec.unplayed: must be one of Follow, Ignore"),
        (", import: {mode: Metadata}", "spec.import.mode: must be one of Full, MetadataOnly"),
        (", suspend: 'yes'", "spec.suspend: must be true or false, not a text: write it without quotes"),
        (", limits: {pageSize: '50'}", "spec.limits.pageSize: must be a whole number, not a text"),
        (", limits: {pageSize: 50.5}", "spec.limits.pageSize: must be a whole number, not a number"),
        (", limits: {pageSize: 50000000000}", "spec.limits.pageSize: must be a whole number"),
        (", limits: {pageSize: 9}", "spec.limits.pageSize: must be 10 to 10000"),
        (", limits: {concurrency: 65}", "spec.limits.concurrency: must be 1 to 64"),
        (", interval: 5 minutes", "spec.interval: must be a duration with units"),
        (", interval: 5", "spec.interval: must be a text, not a number: put it in quotes"),
        (", users: [{person: ' anna', account: a}]", "spec.users[0].person: must be one line of text"),
        (", users: [{person: '', account: a}]", "spec.users[0].person: must have 1 to 63 characters"),
        (
            ", users: [{person: anna, account: a}, {person: anna, account: b}]",
            "spec.users[1].person: stands there twice",
        ),
        (", libraries: {include: [Films, Films]}", "spec.libraries.include[1]: stands there twice"),
        (", libraries: {include: ['']}", "spec.libraries.include[0]: must have 1 to 200 characters"),
        (", loginSecretRef: {name: Not_A_Name}", "spec.loginSecretRef.name: must be a name of lower-case letters"),
        (", tls: {caSecretRef: {name: ca, key: a/b}}", "spec.tls.caSecretRef.key: must be a key of letters"),
        (", pathRules: [{from: /a, to: /b}, {from: /a, to: /c}]", "spec.pathRules[1].from: stands there twice"),
    ];
    let schedules = [
        ("import: {schedule: hourly}", "spec.import.schedule: must have 9 to 100 characters"),
        ("import: {schedule: '0 * * * * *'}", "spec.import.schedule: must be a cron expression of five fields"),
        ("import: {schedule: 'TZ=UTC 0 * * * *'}", "spec.import.schedule: must be a cron expression of five fields"),
        ("timeZone: Berlin time", "spec.timeZone: must be a time zone of the tz database"),
        ("backup: {}", "spec.backup.to: is required"),
        ("backup: {to: {}, keep: 0}", "spec.backup.keep: must be 1 to 1000"),
        ("prune: {keepRuns: 4w}", "spec.prune.keepRuns: must be a number with the unit h or d"),
        ("prune: {keepRuns: 0d}", "spec.prune.keepRuns: must be a number with the unit h or d"),
        ("policy: {unplayed: {percent: 101}}", "spec.policy.unplayed.percent: must be 0 to 100"),
        ("policy: {unplayed: {count: -1}}", "spec.policy.unplayed.count: must be 0 to 1000000"),
        ("servers: {names: []}", "spec.servers.names: must have 1 to 100 entries"),
        ("servers: {matchLabels: {}}", "spec.servers.matchLabels: must have 1 to 50 entries"),
        ("servers: {matchLabels: {a.b/c: 'no blanks'}}", "spec.servers.matchLabels[a.b/c]: must be a label's value"),
        ("worker: {resources: {request: {cpu: 1}}}", "spec.worker.resources.request: is no field"),
        (
            "worker: {resources: {requests: {cpu: [1]}}}",
            "spec.worker.resources.requests.cpu: must be a number or a text",
        ),
        ("worker: {tolerations: [{key: a, effects: b}]}", "spec.worker.tolerations[0].effects: is no field"),
        ("worker: {env: [{name: A, value: 1}]}", "spec.worker.env[0].value: must be a text, not a number"),
        ("worker: {env: [{name: A}, {name: A}]}", "spec.worker.env[1].name: stands there twice"),
    ];
    let servers = servers.map(|(spec, expected)| (server(spec), "MediaServer plex", expected));
    let schedules = schedules.map(|(spec, expected)| (schedule(spec), "SyncSchedule home", expected));
    for (text, object, expected) in servers.into_iter().chain(schedules) {
        let message = refusal(&text);
        assert!(message.starts_with(&format!("document 1, {object}: {expected}")), "{text}\n{message}");
    }
}

#[test]
fn all_that_is_wrong_with_a_document_is_said_at_once() {
    let message = refusal(&server(", interva: 5m, limits: {page: 1}, suspend: 3"));
    for field in ["spec.interva:", "spec.limits.page:", "spec.suspend:"] {
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn what_is_no_object_of_ours_is_refused_with_what_is_accepted() {
    let good = server("");
    for (text, expected) in [
        ("- a\n".to_owned(), "document 1: an object with apiVersion, kind and metadata is expected"),
        (
            "metadata: {name: a}\n".to_owned(),
            "document 1: an object without kind is not accepted; accepted are MediaServer,",
        ),
        (
            format!("{good}---\nkind: ConfigMap\napiVersion: v1\n"),
            "document 2: kind ConfigMap is not accepted; accepted are MediaServer, SyncSchedule, Secret and a List of them",
        ),
        (good.replace("v1alpha1", "v1"), "document 1, MediaServer plex: apiVersion must be watchstate.dev/v1alpha1"),
        (
            good.replace("metadata: {name: plex}\n", ""),
            "document 1, MediaServer (without a name): metadata: is required",
        ),
        (
            good.replace("{name: plex}\nspec", "{}\nspec"),
            "document 1, MediaServer (without a name): metadata.name: is required",
        ),
        (
            good.replace("name: plex}\nspec", "name: plex, label: {a: b}}\nspec"),
            "document 1, MediaServer plex: metadata.label: is no field",
        ),
        (
            good.replace("name: plex}\nspec", "name: PLEX}\nspec"),
            "document 1, MediaServer PLEX: metadata.name: must be a name of lower-case",
        ),
        (good.replace("spec:", "specs:"), "document 1, MediaServer plex: specs: is no field"),
        (format!("{good}---\n{good}"), "document 2, MediaServer plex: stands in document 1 already"),
        (format!("{good}---\nmetadata: {{a: 1, a: 2}}\n"), "line 6, column 18: this field is given twice"),
        (schedule("import: {schedule: */5 * * * *}"), "line 4, column "),
    ] {
        let message = refusal(&text);
        assert!(message.starts_with(expected), "{text}\n{message}");
    }
}

#[test]
fn a_list_counts_as_the_objects_in_it() {
    let item = |name: &str| {
        format!("  - {}", server("").replace("name: plex}\n", &format!("name: {name}}}\n")).replace('\n', "\n    "))
    };
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}\n{}\n", item("one").trim_end(), item("two").trim_end());
    let documents = parse(&list).unwrap();
    assert_eq!(documents.iter().map(Document::name).collect::<Vec<_>>(), ["one", "two"]);

    let message = refusal(&list.replacen("type: Plex", "typ: Plex", 2).replacen("typ: Plex", "type: Plex", 1));
    assert!(message.starts_with("document 1, item 2, MediaServer two: spec.typ: is no field"), "{message}");
}

#[test]
fn nulls_and_empty_documents_count_as_missing() {
    let text = format!("---\n# nothing here\n---\n{}", server(", suspend: null, users: , limits: {pageSize: ~}"));
    let documents = parse(&text).unwrap();
    let [Document::MediaServer(server)] = &documents[..] else { panic!("{documents:?}") };
    assert!(server.spec.users.is_empty());
    assert_eq!(server.spec.limits.page_size, 1000);
}

#[test]
fn what_a_cluster_adds_to_an_object_is_accepted() {
    let stored = server("").replace(
        "metadata: {name: plex}",
        "metadata: {name: plex, namespace: media, uid: u, resourceVersion: '7', generation: 2, creationTimestamp: \
         '2026-11-01T10:00:00Z', labels: {a.b/c: d}, managedFields: [{manager: kubectl, operation: Apply, fieldsType: \
         FieldsV1, fieldsV1: {'f:spec': {'f:url': {}}}}]}\nstatus: {observedGeneration: 2, conditions: [{type: Ready, \
         status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-11-01T10:00:00Z'}]}",
    );
    let documents = parse(&stored).unwrap();
    assert_eq!(documents[0].namespace(), Some("media"));
    assert_eq!(documents[0].validate(), []);
}

#[test]
fn secrets_are_read_from_plain_text_and_from_base64_and_plain_text_wins() {
    let documents = parse(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: tokens, namespace: media}\ntype: Opaque\n\
         data: {plex: cGxleC10b2tlbg==, both: b2xk}\nstringData: {emby: emby-token, both: new}\n",
    )
    .unwrap();
    let [Document::Secret(secret)] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!((secret.name.as_str(), secret.namespace.as_deref()), ("tokens", Some("media")));
    let plain: Vec<_> = secret.data.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
    assert_eq!(plain, [("both", "new"), ("emby", "emby-token"), ("plex", "plex-token")]);
    let shown = format!("{documents:?}");
    assert!(!shown.contains("emby-token") && !shown.contains("plex-token") && shown.contains("emby"), "{shown}");
}

#[test]
fn no_error_shows_a_value_of_a_secret() {
    let secret = |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: tokens}}\n{rest}\n");
    for (text, expected) in [
        (secret("stringData: {pin: 4711471147}"), "stringData.pin: must be a text, not a number: put it in quotes"),
        (secret("stringData: {pin: [4711471147]}"), "stringData.pin: must be a text, not a list"),
        (secret("stringData: x4711471147"), "stringData: must be a group of fields, not a text"),
        (secret("data: {pin: '-4711471147'}"), "data[pin]: must be base64: plain text goes into stringData"),
        (secret("data: {pin: //8=}"), "data[pin]: must be text in UTF-8 when decoded"),
        (
            secret("stringDate: {pin: x4711471147}"),
            "stringDate: is no field of this resource; known here: apiVersion, data,",
        ),
        (secret("stringData: {pin: *x4711471147}"), "a text that begins with * has to be put in quotes"),
        (secret("stringData: {pin: @x4711471147}"), "this is not YAML"),
        (secret("stringData: {pin: x4711471147, pin: x4711471147}"), "this field is given twice"),
        (secret("stringData: {pin: .inf, x: 4711471147}"), "this number is too large"),
        (secret("stringData:\n  pin: x4711471147\n x: [x4711471147"), "this is not YAML"),
        (secret("stringData: {pin: \"x4711471147\\q\"}"), "this is not YAML"),
        (secret("stringData: {pin: !x4711471147 4711471147}"), ""),
        (server(", token: x4711471147"), "spec.token: is no field"),
        (
            server("").replace("{name: plex}}", "x4711471147}"),
            "spec.tokenSecretRef: must be a group of fields, not a text",
        ),
        (server("").replace("url: 'http:", "url: 'X4711471147"), ""),
        (server(", interval: x4711471147"), "spec.interval: must be a duration"),
        (server("").replace("type: Plex", "type: x4711471147"), "spec.type: must be one of Plex, Jellyfin, Emby"),
    ] {
        let (shown, debug) = match parse(&text) {
            Err(error) => (error.to_string(), format!("{error:?}")),
            Ok(documents) => {
                let problems: Vec<_> = documents.iter().flat_map(Document::validate).collect();
                (format!("{problems:?}"), String::new())
            }
        };
        assert!(shown.contains(expected), "{text}\n{shown}");
        assert!(!shown.contains("4711471147") && !debug.contains("4711471147"), "{text}\n{shown}\n{debug}");
    }
}

#[test]
fn rules_between_fields_are_told_by_validate_with_the_field_they_are_about() {
    let documents =
        parse(&server(", loginSecretRef: {name: a}, users: [{person: anna, account: a}, {person: ben, account: a}]"))
            .unwrap();
    let fields: Vec<_> = documents[0].validate().into_iter().map(|problem| problem.field).collect();
    assert_eq!(fields, ["spec", "spec.loginSecretRef", "spec.users[1].account"]);
}

#[test]
fn an_empty_text_holds_no_documents() {
    assert!(parse("").unwrap().is_empty());
    assert!(parse("# only a remark\n").unwrap().is_empty());
    assert!(matches!(parse("{").unwrap_err(), ParseError::Yaml { .. }));
}
