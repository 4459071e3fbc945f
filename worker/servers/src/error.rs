//! What can go wrong with a server, told so that a person knows what to do, and sorted so that a program does.

use std::sync::Arc;
use std::time::Duration;

use crate::operation::Operation;

/// The sorts of failure. They decide about repeating and about the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection: the name doesn't resolve, nothing listens, the connection broke.
    Unreachable,
    /// No answer within the limit.
    TimedOut,
    /// The token or login was refused (401).
    Unauthorized,
    /// The token is good, but not for this (403).
    Forbidden,
    /// The server doesn't know the item, the account or the route (404).
    NotFound,
    /// Too many requests (429), still so after waiting.
    RateLimited,
    /// The server failed (5xx).
    ServerFailure,
    /// The answer is no answer to what was asked: HTML, cut, inconsistent pages.
    BadAnswer,
    /// The address leads to another server, or to a server of another make.
    WrongServer,
    /// The server can't do this, or is too old.
    Unsupported,
    /// The configuration can't work.
    Configuration,
    /// A write that must not be repeated may or may not have happened: read the item before anything else.
    Uncertain,
}

impl ErrorKind {
    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::ServerFailure => "server_failure",
            Self::BadAnswer => "bad_answer",
            Self::WrongServer => "wrong_server",
            Self::Unsupported => "unsupported",
            Self::Configuration => "configuration",
            Self::Uncertain => "uncertain",
        }
    }
}

/// A call to a server that failed. Holds no secret: neither tokens nor addresses with queries nor more than an excerpt of an answer.
#[derive(Debug, thiserror::Error)]
#[error("{server}: {} failed: {problem}", operation.phrase())]
pub struct ServerError {
    server: Arc<str>,
    operation: Operation,
    kind: ErrorKind,
    problem: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) unanswered: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ServerError {
    pub(crate) fn new(server: &Arc<str>, operation: Operation, kind: ErrorKind, problem: impl Into<String>) -> Self {
        Self {
            server: Arc::clone(server),
            operation,
            kind,
            problem: problem.into(),
            retry_after: None,
            unanswered: false,
            source: None,
        }
    }

    pub(crate) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    /// The same failure, of another kind and in other words: for callers who know better what it means.
    pub(crate) fn meaning(mut self, kind: ErrorKind, problem: impl Into<String>) -> Self {
        self.kind = kind;
        self.problem = problem.into();
        self
    }

    /// The address answers as another server than the one that is known by this name.
    pub fn wrong_server(server: &str, known: &str, found: &str) -> Self {
        Self::new(
            &Arc::from(server),
            Operation::Identify,
            ErrorKind::WrongServer,
            format!(
                "the address leads to another server (id {found}) than before (id {known}): correct the url, or give the new server a name of its own"
            ),
        )
    }

    /// The sort of failure.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// False where nothing came back: no connection, none that can be trusted, or silence.
    pub const fn answered(&self) -> bool {
        !self.unanswered
    }

    /// Whether the token was taken, where the failure of a call that shows it says so.
    pub const fn token_taken(&self) -> Option<bool> {
        match self.kind {
            ErrorKind::Unauthorized => Some(false),
            ErrorKind::Forbidden => Some(true),
            _ => None,
        }
    }

    /// The name of the server as configured.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// True where only a change of the configuration helps: exit code 2.
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unauthorized
                | ErrorKind::Forbidden
                | ErrorKind::WrongServer
                | ErrorKind::Unsupported
                | ErrorKind::Configuration
        )
    }

    /// True where the same call may succeed later. Not for [`ErrorKind::Uncertain`]: there the state is read first.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unreachable
                | ErrorKind::TimedOut
                | ErrorKind::RateLimited
                | ErrorKind::ServerFailure
                | ErrorKind::BadAnswer
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_server_the_action_and_the_way_out() {
        let error = ServerError::new(
            &Arc::from("cinema"),
            Operation::Libraries,
            ErrorKind::Unauthorized,
            "the token was refused (401): renew the Secret",
        );
        assert_eq!(
            error.to_string(),
            "cinema: listing the libraries failed: the token was refused (401): renew the Secret"
        );
        assert!(error.is_configuration() && !error.is_retryable());
    }

    #[test]
    fn an_uncertain_write_is_neither_repeated_nor_a_matter_of_configuration() {
        let error = ServerError::new(&Arc::from("cinema"), Operation::MarkPlayed, ErrorKind::Uncertain, "reset");
        assert!(!error.is_retryable() && !error.is_configuration());
    }
}
