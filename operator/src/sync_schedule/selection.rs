//! Which MediaServers take part in a schedule. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use watchstate_crds::condition::{self, reason};
use watchstate_crds::sync_schedule::ServerSelection;
use watchstate_crds::{MediaServer, MediaServerStatus, SyncSchedule};

/// What a selection comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selected {
    /// The servers, by name.
    pub servers: Vec<Arc<MediaServer>>,
    /// Names that the spec lists and no MediaServer has.
    pub unknown: Vec<String>,
}

/// Chooses from `all` MediaServers of the namespace. One that is being deleted is no longer there.
pub fn select(selection: Option<&ServerSelection>, all: &[Arc<MediaServer>]) -> Selected {
    let mut servers: Vec<Arc<MediaServer>> = all
        .iter()
        .filter(|server| server.metadata.deletion_timestamp.is_none() && chooses(selection, server))
        .cloned()
        .collect();
    servers.sort_by_key(|server| server.name_any());
    let named = selection.and_then(|selection| selection.names.as_ref());
    let mut unknown: Vec<String> = named
        .into_iter()
        .flatten()
        .filter(|name| !servers.iter().any(|server| server.metadata.name.as_ref() == Some(name)))
        .cloned()
        .collect();
    unknown.sort();
    Selected { servers, unknown }
}

fn chooses(selection: Option<&ServerSelection>, server: &MediaServer) -> bool {
    let Some(selection) = selection else { return true };
    let named = selection.names.iter().flatten().any(|name| server.metadata.name.as_ref() == Some(name));
    named || selection.match_labels.as_ref().is_some_and(|wanted| carries(server, wanted))
}

fn carries(server: &MediaServer, wanted: &BTreeMap<String, String>) -> bool {
    let labels = server.labels();
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a schedule has to be looked at again when a server changes: it takes part, or did until now.
pub fn concerns(schedule: &SyncSchedule, server: &MediaServer) -> bool {
    let took_part = schedule
        .status
        .as_ref()
        .is_some_and(|status| status.servers.iter().any(|name| server.metadata.name.as_ref() == Some(name)));
    took_part || chooses(schedule.spec.servers.as_ref(), server)
}

/// Takes off a server in memory what no schedule looks at, which is most of its status.
pub fn leave_what_matters(server: &mut MediaServer) {
    if let Some(status) = &mut server.status {
        let mut conditions = std::mem::take(&mut status.conditions);
        conditions.retain(|found| [condition::READY, condition::AUTHENTICATED].contains(&found.type_.as_str()));
        *status = MediaServerStatus { conditions, ..MediaServerStatus::default() };
    }
}

/// Why a server isn't ready, in its own words; None where it is, or where it is meant to be left alone.
pub fn trouble(server: &MediaServer) -> Option<String> {
    if server.spec.suspend {
        return None;
    }
    let conditions = server.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match condition::find(conditions, condition::READY) {
        Some(ready) if ready.status == condition::State::True.as_str() => None,
        Some(ready) => Some(format!("{} ({}: {})", server.name_any(), ready.reason, ready.message)),
        None => Some(format!("{} (not looked at yet)", server.name_any())),
    }
}

/// Whether the operator has looked at the Secrets that a server names now, and may send them there.
pub fn may_have_secrets(server: &MediaServer) -> bool {
    let conditions = server.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, condition::AUTHENTICATED).is_some_and(|authenticated| {
        let refused = [reason::PENDING, reason::SECRET_REFUSED, reason::SECRET_NOT_FOUND];
        authenticated.observed_generation == server.metadata.generation
            && !refused.contains(&authenticated.reason.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_schedule::fixtures::{schedule, server};

    fn names(selected: &Selected) -> Vec<String> {
        selected.servers.iter().map(|server| server.name_any()).collect()
    }

    #[test]
    fn servers_are_chosen_by_name_by_all_of_the_labels_or_altogether_and_unknown_names_are_told() {
        let all = [
            server("plex", "labels: {watch: home}"),
            server("emby", "labels: {watch: home, tier: old}"),
            server("jellyfin", ""),
            server("leaving", "labels: {watch: home}, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [a]"),
        ]
        .map(Arc::new);
        for (spec, servers, unknown) in [
            ("{}", vec!["emby", "jellyfin", "plex"], vec![]),
            ("{servers: {names: [plex, emby]}}", vec!["emby", "plex"], vec![]),
            ("{servers: {names: [plex, zeus, ares]}}", vec!["plex"], vec!["ares", "zeus"]),
            ("{servers: {names: [leaving]}}", vec![], vec!["leaving"]),
            ("{servers: {matchLabels: {watch: home}}}", vec!["emby", "plex"], vec![]),
            ("{servers: {matchLabels: {watch: home, tier: old}}}", vec!["emby"], vec![]),
            ("{servers: {matchLabels: {watch: work}}}", vec![], vec![]),
        ] {
            let selected = select(schedule("s", spec).spec.servers.as_ref(), &all);
            assert_eq!(
                (names(&selected), selected.unknown),
                (servers.into_iter().map(str::to_owned).collect(), unknown.into_iter().map(str::to_owned).collect()),
                "{spec}"
            );
        }
    }

    #[test]
    fn a_change_of_a_server_concerns_the_schedules_that_it_takes_part_in_or_did() {
        let plex = server("plex", "labels: {watch: home}");
        let mut left = schedule("s", "{servers: {matchLabels: {watch: work}}}");
        for (spec, concerned) in [
            ("{}", true),
            ("{servers: {names: [plex]}}", true),
            ("{servers: {names: [emby]}}", false),
            ("{servers: {matchLabels: {watch: home}}}", true),
            ("{servers: {matchLabels: {watch: work}}}", false),
        ] {
            assert_eq!(concerns(&schedule("s", spec), &plex), concerned, "{spec}");
        }
        left.status = Some(watchstate_crds::SyncScheduleStatus { servers: vec!["plex".into()], ..Default::default() });
        assert!(concerns(&left, &plex), "its label was taken off: what it gave to the pods has to go");
    }

    #[test]
    fn a_server_tells_why_it_is_not_ready_unless_it_is_suspended() {
        let mut plex = server("plex", "");
        assert_eq!(trouble(&plex), None);
        plex.status = None;
        assert_eq!(trouble(&plex).as_deref(), Some("plex (not looked at yet)"));
        let mut status = watchstate_crds::MediaServerStatus::default();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let set = |status: &mut watchstate_crds::MediaServerStatus, state, reason| {
            condition::set(&mut status.conditions, condition::READY, state, reason, "no answer", None, now);
        };
        set(&mut status, condition::State::False, condition::reason::UNREACHABLE);
        plex.status = Some(status.clone());
        assert_eq!(trouble(&plex).as_deref(), Some("plex (Unreachable: no answer)"));
        plex.spec.suspend = true;
        assert_eq!(trouble(&plex), None);
        plex.spec.suspend = false;
        set(&mut status, condition::State::True, condition::reason::READY);
        plex.status = Some(status);
        assert_eq!(trouble(&plex), None);
    }
}
