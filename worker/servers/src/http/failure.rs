//! Failed attempts, told in words that say what to do.

use http::StatusCode;
use http::header::{HeaderMap, LOCATION};

use super::repeat::{self, Cause, Repeat};
use super::{Http, Request, body};
use crate::connection::Origin;
use crate::error::{ErrorKind, ServerError};

/// A failed attempt, and whether another one makes sense.
pub(super) struct Failure {
    pub(super) error: ServerError,
    pub(super) cause: Cause,
}

impl Http {
    pub(super) fn not_sent(&self, request: &Request, error: reqwest::Error) -> Failure {
        let tls = repeat::tls_problem(&error).map(ToString::to_string);
        let (cause, kind, problem) = if let Some(problem) = tls {
            (
                Cause::Final,
                ErrorKind::Configuration,
                format!(
                    "no secure connection ({problem}): name the authority, or the server's own certificate, in tls.caSecretRef, or correct scheme and host of the url"
                ),
            )
        } else if error.is_connect() {
            let origin = Origin(&self.0.base).to_string();
            (
                Cause::NoConnection,
                ErrorKind::Unreachable,
                format!("no connection to {origin}: is it running, is the url right?"),
            )
        } else if error.is_timeout() {
            (Cause::TimedOut, ErrorKind::TimedOut, format!("no answer within {:?} (limits.timeout)", self.0.timeout))
        } else {
            (Cause::Broken, ErrorKind::Unreachable, "the connection broke before the answer came".to_owned())
        };
        let mut failure = self.failure(request, cause, kind, problem, Some(error.without_url()));
        failure.error.unanswered = true;
        failure
    }

    pub(super) fn not_whole(&self, request: &Request, problem: body::Problem) -> Failure {
        match problem {
            body::Problem::TooLarge => self.failure(
                request,
                Cause::Final,
                ErrorKind::BadAnswer,
                format!("the answer is larger than {} MiB: lower limits.pageSize", body::LIMIT >> 20),
                None,
            ),
            body::Problem::TimedOut(error) => self.failure(
                request,
                Cause::TimedOut,
                ErrorKind::TimedOut,
                format!("the answer didn't end within {:?} (limits.timeout)", self.0.timeout),
                Some(error),
            ),
            body::Problem::Cut(error) => self.failure(
                request,
                Cause::Broken,
                ErrorKind::BadAnswer,
                "the answer broke off in the middle".to_owned(),
                Some(error),
            ),
        }
    }

    pub(super) fn web_page(&self, request: &Request) -> Failure {
        let problem =
            "a web page came as the answer: is the url right, is a login page of a proxy in between?".to_owned();
        self.failure(request, Cause::Final, ErrorKind::BadAnswer, problem, None)
    }

    pub(super) fn refusal(&self, request: &Request, status: StatusCode, headers: &HeaderMap) -> Failure {
        let code = status.as_u16();
        let (kind, problem) = match code {
            300..=399 => (ErrorKind::Configuration, redirect(request, status, headers)),
            401 => (ErrorKind::Unauthorized, request.if_refused.to_owned()),
            403 => (
                ErrorKind::Forbidden,
                "the token may not do this (403): use one of an administrator, or of the account itself".to_owned(),
            ),
            404 => (ErrorKind::NotFound, "there is no such thing (404)".to_owned()),
            408 | 504 => (ErrorKind::TimedOut, format!("no answer in time ({code})")),
            429 => (ErrorKind::RateLimited, "too many requests (429): lower limits.requestsPerSecond".to_owned()),
            500..=599 => (ErrorKind::ServerFailure, format!("the server failed ({code}): its log says why")),
            _ => (ErrorKind::BadAnswer, format!("the server refused the request ({code})")),
        };
        let mut failure = self.failure(request, Cause::Status(code), kind, problem, None);
        failure.error = failure.error.retry_after(repeat::pause(headers));
        failure
    }

    /// An error; where a write may have happened in spite of it, it says so.
    fn failure(
        &self,
        request: &Request,
        cause: Cause,
        kind: ErrorKind,
        problem: String,
        source: Option<reqwest::Error>,
    ) -> Failure {
        let (kind, problem) = if request.repeat == Repeat::OnlyIfRefused && cause.may_have_happened() {
            (ErrorKind::Uncertain, format!("{problem}; whether it was done must be read from the item"))
        } else {
            (kind, problem)
        };
        let error = self.error(request.operation, kind, problem);
        Failure { error: if let Some(source) = source { error.caused_by(source) } else { error }, cause }
    }
}

fn redirect(request: &Request, status: StatusCode, headers: &HeaderMap) -> String {
    let target = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| request.url.join(value).ok())
        .map_or_else(|| "elsewhere".to_owned(), |target| format!("to {}", Origin(&target)));
    format!(
        "it redirects {target} ({}), where the token isn't taken: set the url to the final address",
        status.as_u16()
    )
}
