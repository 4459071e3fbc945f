//! From what resources say to what the registry holds. Pure, and without secrets.

use std::collections::BTreeMap;

use watchstate_crds::media_server::{ImportMode, Unplayed};
use watchstate_crds::sync_schedule::ServerSelection;
use watchstate_crds::{Duration, MediaServerSpec, ServerType, SyncScheduleSpec};
use watchstate_domain::item::ServerKind;
use watchstate_domain::policy::{self, BrakePolicy, ProgressPolicy};
use watchstate_servers::Library;
use watchstate_store::registry::{PathRule, SchedulePolicy, ServerPolicy};

/// What runs there.
pub const fn kind(server_type: ServerType) -> ServerKind {
    match server_type {
        ServerType::Plex => ServerKind::Plex,
        ServerType::Jellyfin => ServerKind::Jellyfin,
        ServerType::Emby => ServerKind::Emby,
    }
}

/// What is wanted of a server.
pub fn server_policy(spec: &MediaServerSpec) -> ServerPolicy {
    let libraries = spec.libraries.clone().unwrap_or_default();
    ServerPolicy {
        import: spec.import.enabled,
        import_mode: match spec.import.mode {
            ImportMode::Full => policy::ImportMode::Full,
            ImportMode::MetadataOnly => policy::ImportMode::MetadataOnly,
        },
        export: spec.export.enabled,
        unplayed: match spec.unplayed {
            Unplayed::Follow => policy::Unplayed::Follow,
            Unplayed::Ignore => policy::Unplayed::Ignore,
        },
        include: libraries.include,
        exclude: libraries.exclude,
        path_rules: spec
            .path_rules
            .iter()
            .map(|rule| PathRule { from: rule.from.clone(), to: rule.to.clone() })
            .collect(),
        concurrency: positive(spec.limits.concurrency),
        requests_per_second: spec.limits.requests_per_second.map(positive),
        timeout_ms: milliseconds(&spec.limits.timeout),
        page_size: positive(spec.limits.page_size),
        insecure_skip_verify: spec.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify),
        webhook: spec.webhook.enabled,
        match_user: spec.webhook.match_user,
        match_server: spec.webhook.match_server,
        suspend: spec.suspend,
    }
}

/// What is wanted of a schedule that takes in `servers` (empty: all). Retention, where the schedule prunes: `runs` and `events`, and
/// `history` and `items` (titles that no server has any more) unless they are kept for ever.
pub fn schedule_policy(spec: &SyncScheduleSpec, servers: Vec<String>) -> SchedulePolicy {
    let policy = &spec.policy;
    let mut keep_ms = BTreeMap::new();
    if let Some(prune) = &spec.prune {
        let kept = [
            ("runs", Some(&prune.keep_runs)),
            ("events", Some(&prune.keep_events)),
            ("items", prune.keep_titles.as_ref()),
            ("history", prune.keep_history.as_ref()),
        ];
        keep_ms.extend(kept.into_iter().filter_map(|(name, kept)| Some((name.to_owned(), milliseconds(kept?)))));
    }
    SchedulePolicy {
        servers,
        brake: BrakePolicy { count: unsigned(policy.unplayed.count), percent: unsigned(policy.unplayed.percent) },
        progress: ProgressPolicy {
            enabled: policy.progress.enabled,
            minimum_ms: milliseconds(&policy.progress.minimum),
        },
        dry_run: policy.dry_run,
        keep_ms,
    }
}

/// The servers that a selection chooses, by name; empty: all of them. `labelled` are the servers with their labels as far as they are known,
/// `known` the names of all.
///
/// # Errors
/// One sentence: a name that is no server's, or labels that no server has (an empty choice would mean all).
pub fn selected(
    selection: Option<&ServerSelection>,
    labelled: &[(&str, Option<&BTreeMap<String, String>>)],
    known: &[&str],
) -> Result<Vec<String>, String> {
    let Some(selection) = selection else { return Ok(Vec::new()) };
    if let Some(names) = &selection.names {
        let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !unknown.is_empty() {
            return Err(format!("spec.servers.names: there is no MediaServer {}", unknown.join(", ")));
        }
        return Ok(sorted(names.clone()));
    }
    let wanted = selection.match_labels.clone().unwrap_or_default();
    let fits = |labels: Option<&BTreeMap<String, String>>| {
        wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let chosen: Vec<String> =
        labelled.iter().filter(|(_, labels)| fits(*labels)).map(|(name, _)| (*name).to_owned()).collect();
    if chosen.is_empty() {
        return Err("spec.servers.matchLabels: no MediaServer in the files has these labels; give the MediaServers in the same apply, \
                    or choose them by names"
            .to_owned());
    }
    Ok(sorted(chosen))
}

/// True when the household wants the library: by title or id, excludes before includes.
pub fn takes_part(policy: &ServerPolicy, library: &Library) -> bool {
    let names = |list: &[String]| {
        list.iter().any(|name| *name == library.id || name.to_lowercase() == library.title.to_lowercase())
    };
    !names(&policy.exclude) && (policy.include.is_empty() || names(&policy.include))
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// The schema has refused what is negative.
fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// The schema has refused what is below 1.
fn positive(number: i32) -> u32 {
    unsigned(number).max(1)
}

fn milliseconds(duration: &Duration) -> u64 {
    u64::try_from(duration.get().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use watchstate_crds::{Document, document};

    use super::*;

    fn server(spec: &str) -> MediaServerSpec {
        let text = format!(
            "apiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata: {{name: a}}\n\
             spec: {{type: Emby, url: 'http://a', tokenSecretRef: {{name: a}}{spec}}}"
        );
        match document::parse(&text).unwrap().remove(0) {
            Document::MediaServer(server) => server.spec,
            other => panic!("{other:?}"),
        }
    }

    fn schedule(spec: &str) -> SyncScheduleSpec {
        let text =
            format!("apiVersion: watchstate.dev/v1alpha1\nkind: SyncSchedule\nmetadata: {{name: a}}\nspec: {{{spec}}}");
        match document::parse(&text).unwrap().remove(0) {
            Document::SyncSchedule(schedule) => schedule.spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_server_that_says_nothing_gets_the_registrys_defaults() {
        assert_eq!(server_policy(&server("")), ServerPolicy::default());
    }

    #[test]
    fn everything_that_a_server_says_reaches_its_policy() {
        let spec = server(
            ", import: {enabled: false, mode: MetadataOnly}, export: {enabled: false}, unplayed: Ignore, suspend: true, \
             libraries: {include: [Films], exclude: [Home]}, tls: {insecureSkipVerify: true}, pathRules: [{from: /a, to: /b}], \
             limits: {concurrency: 2, requestsPerSecond: 10, pageSize: 200, timeout: 2m}, \
             webhook: {enabled: false, matchUser: false, matchServer: false}",
        );
        let expected = ServerPolicy {
            import: false,
            import_mode: policy::ImportMode::MetadataOnly,
            export: false,
            unplayed: policy::Unplayed::Ignore,
            include: vec!["Films".to_owned()],
            exclude: vec!["Home".to_owned()],
            path_rules: vec![PathRule { from: "/a".to_owned(), to: "/b".to_owned() }],
            concurrency: 2,
            requests_per_second: Some(10),
            timeout_ms: 120_000,
            page_size: 200,
            insecure_skip_verify: true,
            webhook: false,
            match_user: false,
            match_server: false,
            suspend: true,
        };
        assert_eq!(server_policy(&spec), expected);
    }

    #[test]
    fn a_schedule_that_says_nothing_gets_the_registrys_defaults() {
        assert_eq!(schedule_policy(&schedule("import: {}"), Vec::new()), SchedulePolicy::default());
    }

    #[test]
    fn everything_that_a_schedule_says_about_policy_and_retention_reaches_the_registry() {
        const DAY: u64 = 86_400_000;
        let spec = schedule(
            "policy: {unplayed: {count: 0, percent: 100}, progress: {enabled: false, minimum: 5m}, dryRun: true}, \
             prune: {keepRuns: 60d, keepHistory: 36h}",
        );
        let kept = [("events", 14 * DAY), ("history", DAY * 3 / 2), ("runs", 60 * DAY)];
        let expected = SchedulePolicy {
            servers: vec!["plex".to_owned()],
            brake: BrakePolicy { count: 0, percent: 100 },
            progress: ProgressPolicy { enabled: false, minimum_ms: 300_000 },
            dry_run: true,
            keep_ms: kept.into_iter().map(|(name, kept)| (name.to_owned(), kept)).collect(),
        };
        assert_eq!(schedule_policy(&spec, vec!["plex".to_owned()]), expected);
    }

    #[test]
    fn servers_are_chosen_by_name_or_by_all_of_the_labels_and_never_all_by_mistake() {
        let labels = |text: &str| -> BTreeMap<String, String> {
            text.split_whitespace()
                .filter_map(|label| label.split_once('='))
                .map(|(key, value)| (key.into(), value.into()))
                .collect()
        };
        let (one, two) = (labels("watch=home tier=old"), labels("watch=home"));
        let labelled = [("plex", Some(&two)), ("emby", Some(&one)), ("jellyfin", None)];
        let known = ["plex", "emby", "jellyfin", "registered"];
        let names = |names: &[&str]| {
            Some(ServerSelection {
                names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
                match_labels: None,
            })
        };
        let by = |text: &str| Some(ServerSelection { names: None, match_labels: Some(labels(text)) });
        let cases: [(Option<ServerSelection>, Option<&[&str]>); 7] = [
            (None, Some(&[])),
            (names(&["plex", "emby"]), Some(&["emby", "plex"])),
            (names(&["registered"]), Some(&["registered"])),
            (names(&["plex", "other"]), None),
            (by("watch=home"), Some(&["emby", "plex"])),
            (by("watch=home tier=old"), Some(&["emby"])),
            (by("watch=work"), None),
        ];
        for (selection, expected) in cases {
            let found = selected(selection.as_ref(), &labelled, &known);
            assert_eq!(
                found.as_deref().ok(),
                expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).as_deref(),
                "{selection:?} {found:?}"
            );
        }
    }
}
