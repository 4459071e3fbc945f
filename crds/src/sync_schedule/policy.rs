//! How carefully is synced: the brake on un-plays, positions, and the dry run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::pattern;

/// How carefully is synced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The brake: a run that would mark more titles of one account unplayed than both numbers allow is held until someone
    /// approves it by the annotation watchstate.dev/approve.
    #[serde(default)]
    pub unplayed: UnplayedBrake,
    /// Positions in titles that are not watched to the end.
    #[serde(default)]
    pub progress: ProgressPolicy,
    /// true: everything is read and decided, and nothing is written to any server. Default: false.
    #[serde(default)]
    pub dry_run: bool,
}

/// How many titles a run may mark unplayed before it is held: it is held above both numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnplayedBrake {
    /// So many titles of one account may become unplayed in one run. Default: 20.
    #[serde(default = "UnplayedBrake::twenty")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub count: i32,
    /// So many percent of the account's played titles may become unplayed in one run. Default: 10.
    #[serde(default = "UnplayedBrake::ten")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: i32,
}

impl UnplayedBrake {
    fn twenty() -> i32 {
        20
    }

    fn ten() -> i32 {
        10
    }
}

impl Default for UnplayedBrake {
    fn default() -> Self {
        Self { count: Self::twenty(), percent: Self::ten() }
    }
}

/// Positions in titles that are not watched to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgressPolicy {
    /// false: positions are not synced. Default: true.
    #[serde(default = "ProgressPolicy::yes")]
    pub enabled: bool,
    /// Positions nearer to the beginning count as not started, as a duration with units such as 60s or 5m. Default: 60s.
    #[serde(default = "ProgressPolicy::minute")]
    #[schemars(length(max = 24), regex(pattern = pattern::DURATION))]
    pub minimum: Duration,
}

impl ProgressPolicy {
    fn yes() -> bool {
        true
    }

    fn minute() -> Duration {
        Duration::seconds(60)
    }
}

impl Default for ProgressPolicy {
    fn default() -> Self {
        Self { enabled: Self::yes(), minimum: Self::minute() }
    }
}
