//! What is remembered of a server between two reconciles, so that it is asked no more often than its interval says: neither our own writes nor
//! restarts of watches make a probe come earlier. Lost with the leadership; then everybody is asked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use watchstate_projection::household::Users;

use super::owned::WebhookToken;
use super::probe::{Access, Findings, Verdict};
use super::secrets::{Gathered, Lack, Version};
use crate::watched::Versions;

/// All that decides about what a probe finds, apart from the server itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The spec.
    pub generation: Option<i64>,
    /// Asked for by annotation.
    pub requested_at: Option<String>,
    /// The Secrets.
    pub secrets: Result<Vec<(String, Version)>, String>,
    /// A login's token is there.
    pub kept: bool,
    /// Who watches there.
    pub people: Result<Users, String>,
}

/// What was read of Secrets.
#[derive(Clone)]
pub struct Read {
    /// The versions in which the watch showed them then; None: it hadn't yet.
    pub shown: Option<Versions>,
    /// For which spec.
    pub generation: Option<i64>,
    /// For which request to rotate the webhook's token.
    pub rotation: Option<String>,
    /// What the server is reached with.
    pub gathered: Result<Gathered, Lack>,
    /// What its events carry.
    pub token: Result<Option<WebhookToken>, Lack>,
}

impl Read {
    /// Whether it would be read the same again.
    pub fn holds(&self, shown: Option<&Versions>, generation: Option<i64>, rotation: Option<&String>) -> bool {
        shown.is_some()
            && self.shown.as_ref() == shown
            && self.generation == generation
            && self.rotation.as_ref() == rotation
    }
}

/// What is remembered of one server.
#[derive(Clone)]
pub struct Remembered {
    /// What was read of its Secrets.
    pub read: Arc<Read>,
    /// What it was asked with.
    pub inputs: Inputs,
    /// When it is to be asked again.
    pub due_at: Timestamp,
    /// What was found.
    pub findings: Arc<Findings>,
    /// With what it was reached, where it took the token.
    pub access: Option<Access>,
    /// With what it was reached the last time that it took a token, and where: enough to say goodbye to it when its Secrets have gone first.
    pub parting: Option<(String, Access)>,
    /// The webhook that was set up there, as a hash of all that it says, and what came of it.
    pub webhook: Option<([u8; 32], Verdict)>,
}

impl Remembered {
    /// Whether the server must be asked anew.
    pub fn is_due(&self, inputs: &Inputs, now: Timestamp) -> bool {
        self.inputs != *inputs || now >= self.due_at
    }
}

/// What is remembered of all servers, by the resources' uids.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<String, Remembered>>>);

impl Memory {
    /// What is remembered of a server.
    pub fn of(&self, uid: &str) -> Option<Remembered> {
        self.with(|all| all.get(uid).cloned())
    }

    /// Remembers.
    pub fn keep(&self, uid: &str, remembered: Remembered) {
        self.with(|all| all.insert(uid.to_owned(), remembered));
    }

    /// Forgets a server that is gone, and says what was known.
    pub fn forget(&self, uid: &str) -> Option<Remembered> {
        self.with(|all| all.remove(uid))
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<String, Remembered>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_when_its_time_has_come_or_something_has_changed_and_not_before() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let inputs = Inputs {
            generation: Some(1),
            requested_at: None,
            secrets: Ok(Vec::new()),
            kept: false,
            people: Ok(Users::new()),
        };
        let read = Read {
            shown: None,
            generation: Some(1),
            rotation: None,
            gathered: Err(Lack { reason: "Pending", message: String::new() }),
            token: Ok(None),
        };
        let remembered = Remembered {
            read: Arc::new(read),
            inputs: inputs.clone(),
            due_at: at(300),
            findings: Arc::new(Findings::nothing("Pending", "")),
            access: None,
            parting: None,
            webhook: None,
        };
        let version = Version { uid: "u".into(), resource_version: "2".into() };
        let cases = [
            (inputs.clone(), 299, false),
            (inputs.clone(), 300, true),
            (Inputs { generation: Some(2), ..inputs.clone() }, 1, true),
            (Inputs { requested_at: Some("now".into()), ..inputs.clone() }, 1, true),
            (Inputs { secrets: Ok(vec![("s".into(), version)]), ..inputs.clone() }, 1, true),
            (Inputs { kept: true, ..inputs.clone() }, 1, true),
            (Inputs { people: Err("several".into()), ..inputs }, 1, true),
        ];
        for (inputs, now, due) in cases {
            assert_eq!(remembered.is_due(&inputs, at(now)), due, "{inputs:?} at {now}");
        }
    }

    #[test]
    fn secrets_are_read_again_when_the_watch_shows_others_or_others_are_wanted() {
        let versions = |version: &str| Some(Versions::from_iter([(("Secret", "s".to_owned()), version.to_owned())]));
        let read = |shown| Read {
            shown,
            generation: Some(1),
            rotation: None,
            gathered: Err(Lack { reason: "Pending", message: String::new() }),
            token: Ok(None),
        };
        let asked = "now".to_owned();
        for (read, shown, generation, rotation, holds) in [
            (read(versions("1")), versions("1"), 1, None, true),
            (read(versions("1")), versions("2"), 1, None, false),
            (read(versions("1")), Some(Versions::default()), 1, None, false),
            (read(versions("1")), None, 1, None, false),
            (read(None), None, 1, None, false),
            (read(versions("1")), versions("1"), 2, None, false),
            (read(versions("1")), versions("1"), 1, Some(&asked), false),
        ] {
            assert_eq!(read.holds(shown.as_ref(), Some(generation), rotation), holds, "{shown:?} {generation}");
        }
    }
}
