//! What a simulated server was asked, without tokens: for counting requests in tests and for finding out what a
//! client does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::Call;

/// Query names whose values are secrets.
const SECRET: [&str; 7] = ["x-plex-token", "apikey", "api_key", "token", "pin", "password", "pw"];

/// What a request is for, so that tests can count in these terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub enum Group {
    /// A page of items with their states.
    ReadPage,
    /// Only the number of items.
    Count,
    /// Items named by id.
    ById,
    /// A state is changed.
    Write,
    /// Who is playing what, or a playback reported.
    Session,
    /// Which server, which version, is it up.
    Identity,
    /// Which libraries.
    Libraries,
    /// Users, logins, tokens.
    Login,
    /// Anything else, also what the server doesn't have.
    Other,
}

/// Which route a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The route's template, as in `POST /UserPlayedItems/{id}`.
    pub label: &'static str,
    /// What it is for.
    pub group: Group,
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query, with secrets blotted out.
    pub query: Vec<(String, String)>,
    /// The route's template.
    pub operation: &'static str,
    /// What it is for.
    pub group: Group,
    /// Whose token it was.
    pub user: Option<String>,
    /// The status; 0 if the connection was closed without an answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: usize,
    /// How long the server took.
    pub duration: Duration,
}

/// A list of all requests since it was last cleared. Clones are handles of the same.
#[derive(Clone)]
pub struct RequestLog(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    arrived: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    in_flight: usize,
    peak: usize,
    on_hold: usize,
}

impl RequestLog {
    /// How many requests took this route (`POST /UserPlayedItems/{id}`).
    pub fn count(&self, operation: &str) -> usize {
        self.with(|state| state.seen.iter().filter(|seen| seen.operation == operation).count())
    }

    /// How many requests were for this.
    pub fn group(&self, group: Group) -> usize {
        self.with(|state| state.seen.iter().filter(|seen| seen.group == group).count())
    }

    /// How many requests there were.
    pub fn total(&self) -> usize {
        self.with(|state| state.seen.len())
    }

    /// The most requests that were answered at the same time.
    pub fn peak(&self) -> usize {
        self.with(|state| state.peak)
    }

    /// How many requests a fault keeps waiting right now. To stop a client at a chosen request, let a fault hold that one, and wait for this.
    pub fn on_hold(&self) -> usize {
        self.with(|state| state.on_hold)
    }

    /// All requests, oldest answer first.
    pub fn all(&self) -> Vec<Seen> {
        self.with(|state| state.seen.clone())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.with(|state| {
            state.seen.clear();
            state.peak = state.in_flight;
        });
        self.0.arrived.send_replace(0);
    }

    /// Waits until `enough` of the log, now or after one of the next requests was answered or put on hold.
    pub async fn wait_until(&self, mut enough: impl FnMut(&Self) -> bool) {
        let mut arrived = self.0.arrived.subscribe();
        while !enough(self) {
            if arrived.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn begin(&self) {
        self.with(|state| {
            state.in_flight += 1;
            state.peak = state.peak.max(state.in_flight);
        });
    }

    pub(crate) fn end(&self) {
        self.with(|state| state.in_flight = state.in_flight.saturating_sub(1));
    }

    pub(crate) fn hold(&self) {
        self.with(|state| state.on_hold += 1);
        self.0.arrived.send_modify(|_| {});
    }

    pub(crate) fn let_go(&self) {
        self.with(|state| state.on_hold = state.on_hold.saturating_sub(1));
        self.0.arrived.send_modify(|_| {});
    }

    pub(crate) fn push(&self, seen: Seen) {
        let total = self.with(|state| {
            state.seen.push(seen);
            state.seen.len()
        });
        self.0.arrived.send_replace(total);
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for RequestLog {
    fn default() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), arrived: watch::Sender::new(0) }))
    }
}

impl fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestLog({} requests)", self.total())
    }
}

impl Seen {
    /// What the log keeps of a call that was answered with `status`.
    pub(crate) fn of(call: &Call, operation: Operation) -> Self {
        let blot = |(name, value): &(String, String)| {
            let secret = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
            (name.clone(), if secret { "***".to_owned() } else { value.clone() })
        };
        let path = match operation.label.strip_suffix("{key}") {
            Some(_) => call.path.rsplit_once('/').map_or_else(String::new, |(head, _)| format!("{head}/***")),
            None => call.path.clone(),
        };
        Self {
            method: call.method.to_string(),
            path,
            query: call.query.iter().map(blot).collect(),
            operation: operation.label,
            group: operation.group,
            user: None,
            status: 0,
            bytes: 0,
            duration: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_pins_are_not_kept() {
        let operation = Operation { label: "DELETE /Auth/Keys/{key}", group: Group::Login };
        let call = Call::delete("/Auth/Keys/secret1?ApiKey=secret2&X-Plex-Token=secret3&pin=secret4&limit=5");
        let kept = serde_json::to_string(&Seen::of(&call, operation)).unwrap();
        assert!(!kept.contains("secret"), "{kept}");
        assert!(kept.contains("limit"));
    }
}
