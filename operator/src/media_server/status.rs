//! The status: what was found, as conditions and fields, and what is worth an event. Pure.

use jiff::Timestamp;
use watchstate_crds::condition::{
    AUTHENTICATED, REACHABLE, READY, RECONCILING, REGISTERED, STALLED, State, USERS_RESOLVED, WEBHOOK_REGISTERED,
    clear, find, reason, set,
};
use watchstate_crds::media_server::WebhookStatus;
use watchstate_crds::{MediaServer, MediaServerStatus};

use super::probe::{Findings, Verdict, counted};
use crate::error::Kind;
use crate::events::Reason;

/// The clock of a server is told anew when it is off by so many seconds more or less; it wavers with each answer.
const NOISE_SECONDS: i64 = 5;

/// All that a status is made of.
pub struct Outcome<'a> {
    /// What was found at the server.
    pub findings: &'a Findings,
    /// The webhook's token, or why there is none.
    pub webhook: Result<Option<WebhookStatus>, Verdict>,
    /// The webhook at the server.
    pub webhook_registered: Verdict,
    /// The registry.
    pub registered: Verdict,
    /// The request by annotation that this answers.
    pub requested_at: Option<String>,
}

/// The status of a server that is seen for the first time, before anything was asked: a server that doesn't answer takes its time.
pub fn pending(server: &MediaServer, now: Timestamp) -> MediaServerStatus {
    let mut status =
        MediaServerStatus { observed_generation: server.metadata.generation, ..MediaServerStatus::default() };
    let generation = server.metadata.generation;
    let conditions = &mut status.conditions;
    set(conditions, READY, State::Unknown, reason::PENDING, "the server is being asked", generation, now);
    set(conditions, RECONCILING, State::True, reason::PROGRESSING, "the server is being asked", generation, now);
    status
}

/// The status of a server that is to be left alone: as it was, and that it is left alone.
pub fn suspended(server: &MediaServer, registered: &Verdict, now: Timestamp) -> MediaServerStatus {
    let mut status = server.status.clone().unwrap_or_default();
    let generation = server.metadata.generation;
    status.observed_generation = generation;
    let was = match find(&status.conditions, READY).map(|ready| ready.status.as_str()) {
        Some("True") => State::True,
        Some("False") => State::False,
        _ => State::Unknown,
    };
    let message = "spec.suspend is set: the server is left alone, its events are ignored";
    set(&mut status.conditions, READY, was, reason::SUSPENDED, message, generation, now);
    say(&mut status, REGISTERED, registered, generation, now);
    clear(&mut status.conditions, RECONCILING);
    clear(&mut status.conditions, STALLED);
    status
}

/// The status that follows from all that was done.
pub fn of(server: &MediaServer, outcome: &Outcome<'_>, now: Timestamp) -> MediaServerStatus {
    let Outcome { findings, webhook, webhook_registered, registered, requested_at } = outcome;
    let before = server.status.clone().unwrap_or_default();
    let generation = server.metadata.generation;
    let mut status = MediaServerStatus { observed_generation: generation, conditions: before.conditions, ..before };
    say(&mut status, REACHABLE, &findings.reachable, generation, now);
    say(&mut status, AUTHENTICATED, &findings.authenticated, generation, now);
    say(&mut status, USERS_RESOLVED, &findings.users_resolved, generation, now);
    say(&mut status, REGISTERED, registered, generation, now);
    say(&mut status, WEBHOOK_REGISTERED, webhook_registered, generation, now);

    let token = webhook.as_ref().err();
    let parts = [
        Some(&findings.reachable),
        Some(&findings.authenticated),
        Some(&findings.users_resolved),
        token,
        Some(registered),
    ];
    let lacking = parts.into_iter().flatten().find(|verdict| verdict.state != State::True);
    match lacking {
        None => {
            let message = summary(server, findings);
            set(&mut status.conditions, READY, State::True, reason::READY, &message, generation, now);
        }
        Some(lacking) => {
            // What nobody knows keeps it from being ready as well.
            set(&mut status.conditions, READY, State::False, lacking.reason, &lacking.message, generation, now);
        }
    }
    clear(&mut status.conditions, RECONCILING);
    match lacking.filter(|lacking| lacking.helps == Kind::Stalled) {
        Some(lacking) => {
            set(&mut status.conditions, STALLED, State::True, lacking.reason, &lacking.message, generation, now);
        }
        None => clear(&mut status.conditions, STALLED),
    }

    // What isn't known now stays as it was last seen.
    if findings.identity.is_some() {
        status.server.clone_from(&findings.identity);
        status.users.clone_from(&findings.users);
        if findings.users_resolved.state == State::True || !findings.libraries.is_empty() {
            status.libraries.clone_from(&findings.libraries);
        }
        status.clock_offset_seconds = settled(status.clock_offset_seconds, findings);
    }
    if let Ok(webhook) = webhook {
        status.webhook.clone_from(webhook);
    }
    status.last_handled_requested_at.clone_from(requested_at);
    status
}

fn say(status: &mut MediaServerStatus, kind: &str, verdict: &Verdict, generation: Option<i64>, now: Timestamp) {
    set(&mut status.conditions, kind, verdict.state, verdict.reason, &verdict.message, generation, now);
}

/// `Plex 1.41.6: 2 accounts, 3 of 4 libraries`.
fn summary(server: &MediaServer, findings: &Findings) -> String {
    let version = findings.identity.as_ref().and_then(|identity| identity.version.as_deref()).unwrap_or_default();
    let included = findings.libraries.iter().filter(|library| library.included).count();
    format!(
        "{:?} {version}: {}, {included} of {}",
        server.spec.server_type,
        counted(findings.users.len(), "account"),
        if findings.libraries.len() == 1 {
            "1 library".to_owned()
        } else {
            format!("{} libraries", findings.libraries.len())
        },
    )
}

fn settled(before: Option<i64>, findings: &Findings) -> Option<i64> {
    let measured = findings.clock_offset?.0 / 1_000;
    match before {
        Some(before) if (before - measured).abs() < NOISE_SECONDS => Some(before),
        _ => Some(measured),
    }
}

/// What has changed between two statuses that people should hear of, each with a sentence.
pub fn transitions(before: Option<&MediaServerStatus>, after: &MediaServerStatus) -> Vec<(Reason, String)> {
    /// Condition, what is told when it begins to hold, and when it ceases to.
    const TOLD: [(&str, Reason, Reason); 6] = [
        (REACHABLE, Reason::Reachable, Reason::NotReachable),
        (AUTHENTICATED, Reason::Authenticated, Reason::NotAuthenticated),
        (USERS_RESOLVED, Reason::UsersResolved, Reason::UsersNotResolved),
        (REGISTERED, Reason::Registered, Reason::NotRegistered),
        (WEBHOOK_REGISTERED, Reason::WebhookRegistered, Reason::WebhookNotRegistered),
        (READY, Reason::Ready, Reason::NotReady),
    ];
    let was = |kind| before.and_then(|before| find(&before.conditions, kind));
    let mut told = Vec::new();
    for (kind, holds, fails) in TOLD {
        let Some(now) = find(&after.conditions, kind) else { continue };
        let was = was(kind);
        let changed = was.is_none_or(|was| was.status != now.status || was.reason != now.reason);
        let failed_before = was.is_some_and(|was| was.status == "False" && was.reason != reason::NOT_REQUESTED);
        // What goes well the first time is told by Ready alone; what isn't asked for, by nobody.
        let first = kind == READY || kind == WEBHOOK_REGISTERED;
        match now.status.as_str() {
            "True" if was.is_none_or(|was| was.status != "True") && (first || failed_before) => {
                told.push((holds, now.message.clone()));
            }
            "False" if changed && kind != READY && now.reason != reason::NOT_REQUESTED => {
                told.push((fails, now.message.clone()));
            }
            _ => {}
        }
    }
    // A reason of its own is told where no condition tells it: a webhook's token that can't be used.
    if let (true, Some(ready)) = (told.is_empty(), find(&after.conditions, READY))
        && ready.status == "False"
        && was(READY).is_none_or(|was| was.status != "False" || was.reason != ready.reason)
    {
        told.push((Reason::NotReady, ready.message.clone()));
    }
    told
}

#[cfg(test)]
mod tests;
