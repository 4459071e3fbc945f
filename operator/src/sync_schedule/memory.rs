//! What is remembered of a schedule between two passes: in which versions the last one left the children. As long as the watches show those, and the
//! same is wanted, there is nothing to be asked of the API server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::ended::Ended;
use crate::watched::Versions;

/// How a pass left the children.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// In which versions.
    pub versions: Versions,
    /// What was wanted, as a hash.
    pub wanted: [u8; 32],
    /// The Jobs that are over.
    pub jobs: Vec<Ended>,
    /// Whether the follower's pod is up; None: there should be none.
    pub follower: Option<bool>,
}

impl Left {
    /// Whether all is as it was left. `shown`: as the watches show it; None: they haven't yet.
    pub fn holds(&self, shown: Option<&Versions>, wanted: [u8; 32]) -> bool {
        shown == Some(&self.versions) && self.wanted == wanted
    }
}

/// What is remembered of all schedules, by the resources' uids. Lost with the leadership.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<String, Left>>>);

impl Memory {
    /// How the last pass left a schedule's children; None: it left something to be looked at, or there was none.
    pub fn of(&self, uid: &str) -> Option<Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// Remembers, or forgets.
    pub fn keep(&self, uid: &str, left: Option<Left>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match left {
            Some(left) => all.insert(uid.to_owned(), left),
            None => all.remove(uid),
        };
    }
}
