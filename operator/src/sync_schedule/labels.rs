//! The labels of children: by some the operator finds them again, by others the chart's NetworkPolicy and PodMonitor find pods.
//! Users can't set labels that begin like these; the schema refuses them.

use std::collections::BTreeMap;

use super::part::Part;

/// The SyncSchedule that a child belongs to.
pub const SCHEDULE: &str = "watchstate.dev/schedule";
/// What the child does, see [`Part::name`].
pub const PART: &str = "watchstate.dev/part";

const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
const PART_OF: &str = "app.kubernetes.io/part-of";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The labels of a child and of its pods.
pub fn of(schedule: &str, part: Part) -> BTreeMap<String, String> {
    [
        (NAME, "watchstate"),
        (INSTANCE, schedule),
        (COMPONENT, "worker"),
        (PART_OF, "watchstate"),
        (MANAGED_BY, "watchstate-operator"),
        (SCHEDULE, schedule),
        (PART, part.name()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// What finds the pods of one part of one schedule, and nothing else. It can't be changed on a Deployment.
pub fn selector(schedule: &str, part: Part) -> BTreeMap<String, String> {
    of(schedule, part)
        .into_iter()
        .filter(|(key, _)| [COMPONENT, PART_OF, SCHEDULE, PART].contains(&key.as_str()))
        .collect()
}

/// The query that finds all children of a schedule.
pub fn query(schedule: &str) -> String {
    format!("{SCHEDULE}={schedule}")
}
