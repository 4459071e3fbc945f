//! Events: what happened, for `kubectl describe`. A closed list of reasons, each told on a transition and never twice in a row.

use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::error::words;

/// The name by which the API server and people know us.
pub const CONTROLLER: &str = "watchstate-operator";
/// The API server takes no more.
const LONGEST_NOTE: usize = 1024;

/// Declares the reasons: word, type, what was being done, what it means and what to do.
macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $name:ident: $kind:ident, $action:literal;)+) => {
        /// Why an event is told. Part of the contract with users, as conditions' reasons are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means and what to do, for documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning,)+),)+ }
            }

            /// True where somebody should look.
            pub const fn is_warning(self) -> bool {
                match self { $(Self::$name => matches!(Kind::$kind, Kind::Warning),)+ }
            }

            const fn action(self) -> &'static str {
                match self { $(Self::$name => $action,)+ }
            }
        }
    };
}

#[derive(Clone, Copy)]
enum Kind {
    Normal,
    Warning,
}

reasons! {
    /// MediaServer: all is as the spec asks for; the note says what was found. Nothing to do.
    Ready: Normal, "Probe";
    /// MediaServer: something is missing that no other event tells, such as the webhook's token. The note says what to do.
    NotReady: Warning, "Probe";
    /// MediaServer: the server answers again. Nothing to do.
    Reachable: Normal, "Probe";
    /// MediaServer: the server doesn't answer, or another one does. See whether it runs and whether spec.url is right.
    NotReachable: Warning, "Probe";
    /// MediaServer: the token is taken again. Nothing to do.
    Authenticated: Normal, "Probe";
    /// MediaServer: the token or login is refused, or its Secret can't be used. Put a good one into the Secret; nothing needs a restart.
    NotAuthenticated: Warning, "Probe";
    /// MediaServer: all accounts were found again. Nothing to do.
    UsersResolved: Normal, "Probe";
    /// MediaServer: an account isn't at the server, or may not be used. Correct spec.users, or its Secrets.
    UsersNotResolved: Warning, "Probe";
    /// MediaServer: the registry in the database says what the spec says again. Nothing to do.
    Registered: Normal, "Register";
    /// MediaServer: the registry couldn't be written. Bring the database back; it is tried again by itself.
    NotRegistered: Warning, "Register";
    /// MediaServer: the server was told to send its events here. Nothing to do.
    WebhookRegistered: Normal, "RegisterWebhook";
    /// MediaServer: the server couldn't be told. The note says what it needs; or enter the address by hand.
    WebhookNotRegistered: Warning, "RegisterWebhook";
    /// MediaServer: the server no longer sends its events here, since the resource goes. Nothing to do.
    WebhookRemoved: Normal, "RemoveWebhook";
    /// MediaServer: the resource goes, and the server still sends its events here, where they are refused. Remove the webhook at the server by hand.
    WebhookLeft: Warning, "RemoveWebhook";
    /// MediaServer: the webhook's token was replaced as asked for. Where the address was entered by hand, enter the new token.
    WebhookTokenRotated: Normal, "RotateWebhookToken";
    /// MediaServer: another token for the webhook was asked for, and the one that is used is in a Secret of yours. Put another one there.
    RotationRefused: Warning, "RotateWebhookToken";
    /// MediaServer: username and password were exchanged for a token. Nothing to do.
    LoggedIn: Normal, "LogIn";
    /// SyncSchedule: everything that it asks for is in place; its servers are ready.
    ScheduleReady: Normal, "Settle";
    /// SyncSchedule: something that it asks for isn't in place; the note begins with the reason of the condition Ready, and says what to do.
    ScheduleNotReady: Warning, "Settle";
    /// SyncSchedule: the newest run of a verb failed, at some servers or at all, and the one before didn't; the note says why.
    RunFailed: Warning, "Run";
    /// SyncSchedule: the newest run of a verb went well, after one that failed.
    RunRecovered: Normal, "Run";
    /// SyncSchedule: the brake holds un-plays that a run found: approve them by the annotation watchstate.dev/approve, or discard them with the worker's held discard.
    RunHeld: Warning, "Run";
    /// SyncSchedule: the annotation watchstate.dev/requestedAt has started a Job.
    RunRequested: Normal, "Run";
    /// SyncSchedule: the annotation watchstate.dev/requestedAt asks for a run, and neither import, export nor push is on.
    RequestRefused: Warning, "Run";
    /// SyncSchedule: the annotation watchstate.dev/approve lets a held run through; the servers are told by the next export.
    RunApproved: Normal, "Approve";
    /// SyncSchedule: the annotation watchstate.dev/approve names no run that is held; the note lists those that are.
    ApprovalRefused: Warning, "Approve";
}

/// So many events are remembered, so that one that is told again within minutes counts up the one before. Each holds a few kilobytes.
const REMEMBERED: usize = 200;

/// Tells events. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
    told: Arc<Mutex<Told>>,
}

struct Told {
    recorder: Recorder,
    count: usize,
}

impl Events {
    /// Tells events in the name of this replica.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance.to_owned()) };
        let told = Told { recorder: Recorder::new(client.clone(), reporter.clone()), count: 0 };
        Self { client, reporter, told: Arc::new(Mutex::new(told)) }
    }

    /// The recorder, or a new one, which remembers nothing.
    fn recorder(&self) -> Recorder {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.count >= REMEMBERED {
            *told = Told { recorder: Recorder::new(self.client.clone(), self.reporter.clone()), count: 0 };
        }
        told.count += 1;
        told.recorder.clone()
    }

    /// Tells that something happened to an object. That it can't be told is logged, and stops nobody.
    pub async fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, reason: Reason, note: &str) {
        let event = Event {
            type_: if reason.is_warning() { EventType::Warning } else { EventType::Normal },
            reason: reason.as_str().to_owned(),
            note: Some(shortened(note).to_owned()),
            action: reason.action().to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder().publish(&event, &object.object_ref(&())).await {
            tracing::debug!(reason = reason.as_str(), "an event could not be told: {}", words(&error));
        }
    }
}

/// As much of a text as an event takes, cut between two characters.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_NOTE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = "ä".repeat(1024);
        assert_eq!(shortened(&long).len(), 1024);
        let odd = format!("x{long}");
        assert_eq!(shortened(&odd).len(), 1023);
    }

    #[test]
    fn reasons_are_words_of_their_own_with_a_meaning() {
        let words: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(reason.as_str().chars().all(char::is_alphanumeric) && reason.meaning().trim().ends_with('.'));
        }
    }
}
