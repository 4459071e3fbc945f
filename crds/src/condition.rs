//! Condition types and reasons, which are part of the contract with users, and how a condition is
//! set: its transition time moves only when its status does.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Both resources: everything below is as the spec asks for; `kubectl wait --for=condition=Ready` waits for it.
pub const READY: &str = "Ready";
/// Both, and only while it holds: work towards the spec is going on.
pub const RECONCILING: &str = "Reconciling";
/// Both, and only while it holds: nothing will get better until someone changes something.
pub const STALLED: &str = "Stalled";

/// MediaServer: the URL answers, and as the type of server that the spec names.
pub const REACHABLE: &str = "Reachable";
/// MediaServer: the server accepts the token or login.
pub const AUTHENTICATED: &str = "Authenticated";
/// MediaServer: every account of `spec.users` was found on the server and may be used.
pub const USERS_RESOLVED: &str = "UsersResolved";
/// MediaServer: the registry in the database shows what the spec says.
pub const REGISTERED: &str = "Registered";
/// MediaServer: the server was told the webhook's address.
pub const WEBHOOK_REGISTERED: &str = "WebhookRegistered";

/// SyncSchedule: the last finished run of every verb that is on went well.
pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
/// SyncSchedule: the brake holds a run that waits for approval.
pub const HELD: &str = "Held";

/// Reasons: one word a cause, stable, so that alerts and scripts may look at them.
pub mod reason {
    /// All is well.
    pub const READY: &str = "Ready";
    /// Seen for the first time, nothing known yet.
    pub const PENDING: &str = "Pending";
    /// Work is going on.
    pub const PROGRESSING: &str = "Progressing";
    /// `spec.suspend` is set.
    pub const SUSPENDED: &str = "Suspended";
    /// The spec holds what the schema could not refuse, such as a time zone that does not exist.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A Secret that the spec names does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A Secret exists, a key in it does not.
    pub const SECRET_KEY_MISSING: &str = "SecretKeyMissing";
    /// A Secret may not be sent to this server: it belongs to another MediaServer, is bound to another URL, or is none for media servers.
    pub const SECRET_REFUSED: &str = "SecretRefused";
    /// The operator keeps something in a Secret of a name that somebody else's Secret bears.
    pub const SECRET_NOT_OURS: &str = "SecretNotOurs";
    /// The database did not answer.
    pub const DATABASE_UNAVAILABLE: &str = "DatabaseUnavailable";

    /// The server answered as expected.
    pub const ANSWERED: &str = "Answered";
    /// No answer: name, connection, TLS or time-out; the message says which.
    pub const UNREACHABLE: &str = "Unreachable";
    /// The answer came from another type of server than the spec names.
    pub const WRONG_TYPE: &str = "WrongType";
    /// The URL now leads to another server than the one that was registered: refused.
    pub const SERVER_CHANGED: &str = "ServerChanged";
    /// The server's version is not supported.
    pub const UNSUPPORTED_VERSION: &str = "UnsupportedVersion";
    /// Token or login was accepted.
    pub const ACCEPTED: &str = "Accepted";
    /// Token or login was refused.
    pub const CREDENTIALS_REFUSED: &str = "CredentialsRefused";
    /// All accounts were found.
    pub const RESOLVED: &str = "Resolved";
    /// The server has no account of that name or id.
    pub const USER_NOT_FOUND: &str = "UserNotFound";
    /// A PIN is missing or wrong.
    pub const PIN_REFUSED: &str = "PinRefused";
    /// The registry was written.
    pub const REGISTERED: &str = "Registered";
    /// `spec.webhook.register` is off: the address is to be entered by hand.
    pub const NOT_REQUESTED: &str = "NotRequested";
    /// The server cannot be told (no Plex Pass, no Emby Premiere, no plug-in).
    pub const NOT_SUPPORTED: &str = "NotSupported";

    /// The database refused what the spec says.
    pub const DATABASE_REFUSED: &str = "DatabaseRefused";
    /// An account was found, and the token does not open the server for it.
    pub const ACCESS_REFUSED: &str = "AccessRefused";
    /// The operator was not told where the webhook is reached.
    pub const NO_WEBHOOK_URL: &str = "NoWebhookURL";
    /// The server could not be told just now; it is tried again.
    pub const REGISTRATION_FAILED: &str = "RegistrationFailed";

    /// No server is selected.
    pub const NO_SERVERS: &str = "NoServers";
    /// `spec.servers.names` lists servers that do not exist; the others are synced.
    pub const SERVERS_NOT_FOUND: &str = "ServersNotFound";
    /// Servers that take part are not ready; the message names them. The others are synced.
    pub const SERVERS_NOT_READY: &str = "ServersNotReady";
    /// A pod does not start: its image, a Secret or a node is missing; the message says which.
    pub const PODS_NOT_STARTING: &str = "PodsNotStarting";
    /// No part is on: neither import, export, push, prune nor backup.
    pub const NOTHING_TO_DO: &str = "NothingToDo";
    /// The last runs ended well.
    pub const SUCCEEDED: &str = "Succeeded";
    /// A run failed; the message names it.
    pub const FAILED: &str = "Failed";
    /// No run has ended yet.
    pub const NO_RUN_YET: &str = "NoRunYet";
    /// A run would un-play more than the policy allows.
    pub const BRAKE_APPLIED: &str = "BrakeApplied";
    /// No run is held.
    pub const NOTHING_HELD: &str = "NothingHeld";
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl State {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The condition of that type, if there is one.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of that type says `True`.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == State::True.as_str())
}

/// Puts a condition into the list, in the place of the one of its type.
/// `lastTransitionTime` becomes `now` only where the status changes.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    state: State,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let before = conditions.iter_mut().find(|condition| condition.type_ == kind);
    let since = match &before {
        Some(before) if before.status == state.as_str() => before.last_transition_time.clone(),
        _ => Time(now),
    };
    let after = Condition {
        last_transition_time: since,
        message: message.to_owned(),
        observed_generation: generation,
        reason: reason.to_owned(),
        status: state.as_str().to_owned(),
        type_: kind.to_owned(),
    };
    match before {
        Some(before) => *before = after,
        None => conditions.push(after),
    }
}

/// Takes a condition out of the list: for those that are there only while they hold.
pub fn clear(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.type_ != kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_changes() {
        let mut conditions = Vec::new();
        for (state, reason, now, since) in [
            (State::Unknown, reason::PENDING, 10, 10),
            (State::True, reason::READY, 20, 20),
            (State::True, reason::SUSPENDED, 30, 20),
            (State::False, reason::FAILED, 40, 40),
        ] {
            set(&mut conditions, READY, state, reason, "why", Some(now), at(now));
            let ready = find(&conditions, READY).unwrap();
            assert_eq!(ready.last_transition_time, Time(at(since)));
            assert_eq!((ready.reason.as_str(), ready.observed_generation), (reason, Some(now)));
            assert_eq!(is_true(&conditions, READY), state == State::True);
        }
        assert_eq!(conditions.len(), 1, "one entry a type");
    }

    #[test]
    fn a_cleared_condition_is_gone_and_the_others_stay() {
        let mut conditions = Vec::new();
        set(&mut conditions, READY, State::True, reason::READY, "", None, at(1));
        set(&mut conditions, STALLED, State::True, reason::INVALID_SPEC, "", None, at(1));
        clear(&mut conditions, STALLED);
        assert!(find(&conditions, STALLED).is_none());
        assert!(is_true(&conditions, READY));
    }
}
