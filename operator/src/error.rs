//! What can go wrong in a reconcile, and when it is tried again: the kind of error decides.

use std::time::Duration;

use kube::runtime::controller::Action;
use watchstate_runtime::redact;
use watchstate_store::StoreError;

use crate::context::Jitter;
use crate::database::Away;

/// A reconcile that couldn't be carried through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused something, or didn't answer.
    #[error("{what} failed: {}", words(.cause))]
    Kubernetes {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        cause: Box<kube::Error>,
    },
    /// The database is away.
    #[error(transparent)]
    Away(#[from] Away),
    /// The database refused something.
    #[error("the registry could not be read or written")]
    Store(#[from] StoreError),
    /// No token can be made.
    #[error("the system gives no random numbers")]
    Random,
}

/// What helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody must change something. A change wakes us.
    Stalled,
    /// Something else must come first, and it may not wake us.
    Waiting,
    /// Trying again.
    Transient,
}

impl Error {
    /// An error of the API server. For `map_err`.
    pub fn kubernetes(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |cause| Self::Kubernetes { what, cause: Box::new(cause) }
    }

    /// What helps against it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Kubernetes { cause, .. } => of_kubernetes(cause),
            Self::Store(error) if error.is_retryable() && !error.is_of_data() => Kind::Transient,
            Self::Away(_) | Self::Store(_) => Kind::Waiting,
            Self::Random => Kind::Transient,
        }
    }
}

/// An error of the API server in its own sentence; the client's words repeat all of the answer.
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => redact::chain(other),
    }
}

fn of_kubernetes(error: &kube::Error) -> Kind {
    match error {
        // What the API server calls invalid stays so until somebody changes something; missing rights come with the next install.
        kube::Error::Api(status) => match status.code {
            400 | 422 => Kind::Stalled,
            401 | 403 => Kind::Waiting,
            _ => Kind::Transient,
        },
        _ => Kind::Transient,
    }
}

/// The shortest wait.
const SHORTEST: Duration = Duration::from_secs(5);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);
/// The wait for something else to come.
const WAIT: Duration = Duration::from_secs(30);

/// When it is tried again; also what somebody must change, since that may be a policy of the cluster, which doesn't wake us. `failing_for`: how long it has been failing; each wait is as long, so that waits double without anything being
/// remembered.
pub fn requeue(kind: Kind, failing_for: Duration, jitter: &Jitter) -> Action {
    Action::requeue(jitter.spread(wait(kind, failing_for).unwrap_or(LONGEST)))
}

/// The wait without jitter; None: until something changes.
pub fn wait(kind: Kind, failing_for: Duration) -> Option<Duration> {
    match kind {
        Kind::Stalled => None,
        Kind::Waiting => Some(WAIT),
        Kind::Transient => Some(failing_for.clamp(SHORTEST, LONGEST)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16) -> Error {
        let status = Status { code, ..Status::default() };
        Error::kubernetes("reading")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn the_kind_of_error_decides_when_it_is_tried_again() {
        let secs = Duration::from_secs;
        let cases = [
            (api(400), 0, None),
            (api(422), 60, None),
            (api(403), 0, Some(secs(30))),
            (api(404), 0, Some(secs(5))),
            (api(409), 0, Some(secs(5))),
            (api(500), 2, Some(secs(5))),
            (api(500), 40, Some(secs(40))),
            (api(500), 86_400, Some(secs(300))),
            (Error::Away(Away), 3_600, Some(secs(30))),
            (Error::Store(StoreError::Embedded("x".into())), 10, Some(secs(10))),
            (
                Error::Store(StoreError::Inconsistent { table: "server", column: "kind", found: "x".into() }),
                10,
                Some(secs(30)),
            ),
        ];
        for (error, failing_for, expected) in cases {
            assert_eq!(wait(error.kind(), secs(failing_for)), expected, "{error:?}");
        }
    }

    #[test]
    fn waits_are_spread() {
        let late = Jitter::from_fn(|| 0.75);
        assert_eq!(requeue(Kind::Waiting, Duration::ZERO, &late), Action::requeue(WAIT.mul_f64(1.05)));
        assert_eq!(requeue(Kind::Stalled, Duration::ZERO, &late), Action::requeue(LONGEST.mul_f64(1.05)));
    }
}
