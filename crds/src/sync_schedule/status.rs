//! What became of a schedule: its conditions and, for each verb, the last and the next run.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncScheduleStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, LastRunSucceeded and Held; Reconciling and Stalled only while they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// Names of the MediaServers that take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub servers: Vec<String>,
    /// When the last run of any verb ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<Time>,
    /// When the next run of any verb begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<Time>,
    /// The last and the next run, one entry a verb that is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 5),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["verb"])
    )]
    pub verbs: Vec<VerbStatus>,
    /// Runs that the brake holds. To let one through, set the annotation watchstate.dev/approve to its id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub held_runs: Vec<HeldRun>,
    /// The last value of the annotation watchstate.dev/requestedAt that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_requested_at: Option<String>,
    /// The last value of the annotation watchstate.dev/approve that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_approval: Option<String>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verb {
    /// Reads from the servers.
    Import,
    /// Writes every difference.
    Export,
    /// Writes single changes.
    Push,
    /// Deletes what is no longer needed.
    Prune,
    /// Writes backups.
    Backup,
}

impl Verb {
    /// All verbs, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Import, Self::Export, Self::Push, Self::Prune, Self::Backup];

    /// In lower case: the worker's command, and what follows the schedule's name in the name of a CronJob.
    pub fn command(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Export => "export",
            Self::Push => "push",
            Self::Prune => "prune",
            Self::Backup => "backup",
        }
    }
}

/// The last and the next run of a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerbStatus {
    /// Import, Export, Push, Prune or Backup.
    pub verb: Verb,
    /// Id of the last run, as the worker's command runs lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_id: Option<String>,
    /// How the last run ended: Succeeded, PartlyFailed (some servers were left out), Failed or Held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<Outcome>,
    /// When the last run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_started_at: Option<Time>,
    /// When the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_finished_at: Option<Time>,
    /// When a run last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_succeeded_at: Option<Time>,
    /// When the next run begins. Missing: the verb does not run by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<Time>,
    /// What the last run counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<RunCounts>,
    /// What went wrong in the last run, in words. Missing: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// All went well.
    Succeeded,
    /// Some servers failed, the others went on.
    PartlyFailed,
    /// Nothing came of it.
    Failed,
    /// The brake holds it.
    Held,
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunCounts {
    /// Items that were read.
    #[serde(default)]
    pub read: i64,
    /// Watch states that changed.
    #[serde(default)]
    pub changed: i64,
    /// Writes to servers that went well.
    #[serde(default)]
    pub written: i64,
    /// Writes to servers that failed; they are tried again.
    #[serde(default)]
    pub failed: i64,
    /// Changes that the brake holds.
    #[serde(default)]
    pub held: i64,
}

/// A run that the brake holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldRun {
    /// Id of the run: the value for the annotation watchstate.dev/approve.
    pub id: String,
    /// What the run does.
    pub verb: Verb,
    /// How many titles it would mark unplayed.
    pub titles: i64,
    /// Since when it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Whose titles and why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
