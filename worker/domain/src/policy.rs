//! What the household wants: the parts of the resources that decide merging and writing.

use serde::{Deserialize, Serialize};

/// Whether a server's un-marking is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unplayed {
    /// An un-play on this server un-plays the title everywhere.
    #[default]
    Follow,
    /// An un-play on this server is undone by the next export.
    Ignore,
}

/// How much of a server's word is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportMode {
    /// Items and states.
    #[default]
    Full,
    /// Items only: the server is written to, its states are not believed.
    MetadataOnly,
}

/// When a run that un-plays stops and asks: more than `count` titles *and* more than `percent` of the account's played titles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrakePolicy {
    /// Titles.
    pub count: u32,
    /// Percent of the account's played titles.
    pub percent: u32,
}

impl Default for BrakePolicy {
    fn default() -> Self {
        Self { count: 20, percent: 10 }
    }
}

/// Whether positions travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressPolicy {
    /// False: positions are neither adopted nor written.
    pub enabled: bool,
    /// Positions below this are no viewing yet, in milliseconds.
    pub minimum_ms: u64,
}

impl Default for ProgressPolicy {
    fn default() -> Self {
        Self { enabled: true, minimum_ms: 60_000 }
    }
}
