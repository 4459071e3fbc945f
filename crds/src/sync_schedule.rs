//! The `SyncSchedule` resource: which servers are synced when, how carefully, and by what pods.
//! Its CEL rules are in `rules`, each with its twin in Rust.

#![expect(clippy::doc_markdown, reason = "field docs are what kubectl explain shows: plain text")]
#![expect(rustdoc::bare_urls, reason = "as above")]

mod backup;
mod policy;
mod rules;
mod status;
mod timetable;
mod worker;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use self::backup::{Backup, BackupTarget, Bucket, VolumeClaim};
pub use self::policy::{Policy, ProgressPolicy, UnplayedBrake};
pub(crate) use self::rules::problems;
pub use self::status::{HeldRun, Outcome, RunCounts, SyncScheduleStatus, Verb, VerbStatus};
pub(crate) use self::timetable::problems as of_timetable;
pub use self::worker::{ImagePullPolicy, Worker};
use crate::duration::Duration;
use crate::pattern;

/// What the user wants to be synced, when and how.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "watchstate.dev",
    version = "v1alpha1",
    kind = "SyncSchedule",
    plural = "syncschedules",
    shortname = "sync",
    category = "watchstate",
    namespaced,
    status = "SyncScheduleStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "When the MediaServers of this namespace are synced, how carefully, and by what pods. Each part (import, export, push, prune, backup) that is missing is off; a part that is there but empty ({}) runs with its defaults.",
    selectable = ".spec.suspend",
    validation = rules::NAME_LENGTH,
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.import.schedule", description = "When is imported"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend", description = "Whether nothing is run"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether all that the spec asks for is in place"),
    printcolumn(name = "Succeeded", type_ = "string", json_path = ".status.conditions[?(@.type==\"LastRunSucceeded\")].status", description = "Whether the last runs ended well"),
    printcolumn(name = "Held", type_ = "string", json_path = ".status.conditions[?(@.type==\"Held\")].status", description = "Whether a run waits for approval"),
    printcolumn(name = "Last Run", type_ = "date", json_path = ".status.lastRunAt", description = "When the last run ended"),
    printcolumn(name = "Next Run", type_ = "string", json_path = ".status.nextRunAt", description = "When the next run begins", priority = 1),
    printcolumn(name = "Push", type_ = "string", json_path = ".spec.push.mode", description = "How changes are pushed", priority = 1),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "Why it is ready or not", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Since when the resource exists")
)]
#[serde(rename_all = "camelCase")]
pub struct SyncScheduleSpec {
    /// Which MediaServers of this namespace take part. Missing: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServerSelection>,
    /// The time zone of all schedules here, by its name in the tz database, for example Europe/Berlin.
    /// Missing: that of the cluster, which is UTC as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::TIME_ZONE))]
    #[x_kube(validation = rules::TIME_ZONE_NAMED)]
    pub time_zone: Option<String>,
    /// true: no new runs, and no pushing; runs under way end in peace. Default: false.
    #[serde(default)]
    pub suspend: bool,
    /// Reading from the servers. Missing: off. Empty ({}): with its defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<Import>,
    /// Comparing all of a server with what is agreed, and writing the difference. Missing: off. Empty ({}): with its defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
    /// Writing single changes soon after they are known. Missing: off. Empty ({}): with its defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// Deleting what is no longer needed from the database. Missing: off. Empty ({}): with its defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// Writing all watch states to files outside the database. Missing: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// How carefully is synced.
    #[serde(default)]
    pub policy: Policy,
    /// The pods that do the work.
    #[serde(default, skip_serializing_if = "Worker::is_default")]
    pub worker: Worker,
}

/// Which servers take part: by name or by label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::ONE_SELECTION)]
pub struct ServerSelection {
    /// Names of MediaServers in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 100),
        inner(length(min = 1, max = 63), regex(pattern = pattern::NAME)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub names: Option<Vec<String>>,
    /// All MediaServers of this namespace that carry these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels", extend("minProperties" = 1))]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// Reading from the servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    /// When to read what changed, as a cron expression of five fields. Default: 0 * * * * (every hour).
    #[serde(default = "Import::schedule")]
    #[schemars(length(min = 9, max = 100), regex(pattern = pattern::CRON))]
    pub schedule: String,
    /// When to read everything again, for example 0 4 * * 0. Missing: only where the counts of a library do not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 100), regex(pattern = pattern::CRON))]
    pub full_schedule: Option<String>,
}

impl Import {
    fn schedule() -> String {
        "0 * * * *".to_owned()
    }
}

impl Default for Import {
    fn default() -> Self {
        Self { schedule: Self::schedule(), full_schedule: None }
    }
}

/// Writing every difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    /// When to compare and write, as a cron expression of five fields. Default: 30 * * * * (at half past every hour).
    #[serde(default = "Export::schedule")]
    #[schemars(length(min = 9, max = 100), regex(pattern = pattern::CRON))]
    pub schedule: String,
}

impl Export {
    fn schedule() -> String {
        "30 * * * *".to_owned()
    }
}

impl Default for Export {
    fn default() -> Self {
        Self { schedule: Self::schedule() }
    }
}

/// Writing single changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Push {
    /// Realtime: a Deployment writes changes within a second. Scheduled: a CronJob writes those that came together.
    /// Off: changes wait for the next export. Default: Scheduled.
    #[serde(default)]
    pub mode: PushMode,
    /// When to push in the mode Scheduled, as a cron expression of five fields. Default: */10 * * * * (every ten minutes).
    #[serde(default = "Push::schedule")]
    #[schemars(length(min = 9, max = 100), regex(pattern = pattern::CRON))]
    pub schedule: String,
}

impl Push {
    fn schedule() -> String {
        "*/10 * * * *".to_owned()
    }
}

impl Default for Push {
    fn default() -> Self {
        Self { mode: PushMode::default(), schedule: Self::schedule() }
    }
}

/// How changes are pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PushMode {
    /// By a Deployment, at once.
    Realtime,
    /// By a CronJob.
    #[default]
    Scheduled,
    /// Not at all.
    Off,
}

/// Deleting what is no longer needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    /// When to prune, as a cron expression of five fields. Default: 0 */12 * * * (every twelve hours).
    #[serde(default = "Prune::schedule")]
    #[schemars(length(min = 9, max = 100), regex(pattern = pattern::CRON))]
    pub schedule: String,
    /// How long single plays stay in the history, for example 1825d. What is watched stays known in any case.
    /// Missing: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = pattern::AGE))]
    pub keep_history: Option<Duration>,
    /// How long titles that no server has any more and that nobody has watched are remembered, for example 730d.
    /// Missing: for ever. What somebody has watched stays in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = pattern::AGE))]
    pub keep_titles: Option<Duration>,
    /// How long the reports of runs are kept, for example 30d. Held runs stay until they are decided. Default: 30d.
    #[serde(default = "Prune::month")]
    #[schemars(length(max = 8), regex(pattern = pattern::AGE))]
    pub keep_runs: Duration,
    /// How long received events and their verdicts are kept, for example 14d. Default: 14d.
    #[serde(default = "Prune::fortnight")]
    #[schemars(length(max = 8), regex(pattern = pattern::AGE))]
    pub keep_events: Duration,
}

impl Prune {
    fn schedule() -> String {
        "0 */12 * * *".to_owned()
    }

    fn month() -> Duration {
        Duration::days(30)
    }

    fn fortnight() -> Duration {
        Duration::days(14)
    }
}

impl Default for Prune {
    fn default() -> Self {
        Self {
            schedule: Self::schedule(),
            keep_history: None,
            keep_titles: None,
            keep_runs: Self::month(),
            keep_events: Self::fortnight(),
        }
    }
}

/// A map of labels, bounded so that rules over it stay cheap.
fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": pattern::LABEL_VALUE }
    })
}
