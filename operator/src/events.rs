//! Events: what happened, for `kubectl describe`. A closed list of reasons, each told on a transition and never twice in a row.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

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
    /// MediaServer: it answers, its token is good, its accounts were found.
    Ready: Normal, "Probe";
}

/// Tells events. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Tells events in the name of this replica.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
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
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, reason = reason.as_str(), "an event could not be told");
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
