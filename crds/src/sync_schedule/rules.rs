//! What a schema's types and bounds cannot say about a `SyncSchedule`: each rule as CEL for the API
//! server, and as a line of Rust for those who have none. A table test holds both to the same verdict.

use super::{SyncSchedule, SyncScheduleSpec};
use crate::address::{self, is_address};
use crate::validate::{Problem, Rule, report};

/// A CronJob's name has at most 52 characters, and the longest ending is `-import` (or `-export`, `-backup`).
pub(super) const NAME_LENGTH: Rule = (
    "size(self.metadata.name) <= 45",
    "the name of a SyncSchedule may have at most 45 characters, since its CronJobs are called <name>-import and so on",
);

pub(super) const ONE_SELECTION: Rule = (
    "has(self.names) != has(self.matchLabels)",
    "exactly one of names and matchLabels is needed; for all servers of the namespace leave servers out",
);

/// As Kubernetes sees it: a CronJob refuses `Local`, whatever its case.
pub(super) const TIME_ZONE_NAMED: Rule = (
    "self.lowerAscii() != 'local'",
    "the time zone has to be named, for example Europe/Berlin; Local depends on the machine",
);

pub(super) const ONE_TARGET: Rule = (
    "has(self.volumeClaim) != has(self.bucket)",
    "exactly one of volumeClaim and bucket is needed as the place for backups",
);

pub(super) const PATH_STAYS_INSIDE: Rule = (
    "!self.startsWith('/') && !self.split('/').exists(part, part == '..')",
    "the folder is named from the root of the volume or bucket: without / in front, and without ..",
);

/// By these labels the operator finds its pods again.
pub(super) const LABELS_NOT_OURS: Rule = (
    "self.all(label, !label.startsWith('watchstate.dev/') && !label.startsWith('app.kubernetes.io/'))",
    "labels that begin with watchstate.dev/ or app.kubernetes.io/ are set by the operator",
);

/// Every rule above that this object breaks.
pub(crate) fn problems(schedule: &SyncSchedule) -> Vec<Problem> {
    let SyncScheduleSpec {
        servers,
        time_zone,
        suspend: _,
        import: _,
        export: _,
        push: _,
        prune: _,
        backup,
        policy: _,
        worker,
    } = &schedule.spec;
    let mut found = Vec::new();

    let name = schedule.metadata.name.as_deref().unwrap_or_default();
    report(&mut found, name.chars().count() <= 45, "metadata.name", NAME_LENGTH);
    if let Some(servers) = servers {
        let one = servers.names.is_some() != servers.match_labels.is_some();
        report(&mut found, one, "spec.servers", ONE_SELECTION);
    }
    if let Some(zone) = time_zone {
        report(&mut found, !zone.eq_ignore_ascii_case("local"), "spec.timeZone", TIME_ZONE_NAMED);
    }
    if let Some(backup) = backup {
        let one = backup.to.volume_claim.is_some() != backup.to.bucket.is_some();
        report(&mut found, one, "spec.backup.to", ONE_TARGET);
        if let Some(path) = backup.to.volume_claim.as_ref().and_then(|claim| claim.path.as_ref()) {
            report(&mut found, stays_inside(path), "spec.backup.to.volumeClaim.path", PATH_STAYS_INSIDE);
        }
        if let Some(prefix) = backup.to.bucket.as_ref().and_then(|bucket| bucket.prefix.as_ref()) {
            report(&mut found, stays_inside(prefix), "spec.backup.to.bucket.prefix", PATH_STAYS_INSIDE);
        }
        if let Some(endpoint) = backup.to.bucket.as_ref().and_then(|bucket| bucket.endpoint.as_ref()) {
            report(&mut found, is_address(endpoint), "spec.backup.to.bucket.endpoint", address::RULE);
        }
    }
    let ours = |label: &String| label.starts_with("watchstate.dev/") || label.starts_with("app.kubernetes.io/");
    report(&mut found, !worker.pod_labels.keys().any(ours), "spec.worker.podLabels", LABELS_NOT_OURS);
    found
}

fn stays_inside(path: &str) -> bool {
    !path.starts_with('/') && !path.split('/').any(|part| part == "..")
}
