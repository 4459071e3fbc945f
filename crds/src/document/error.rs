//! Why a text could not be read. Nothing here quotes a value: it may be a secret.

use std::fmt;

use super::Document;
use crate::validate::Problem;

/// Where an object stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The document, counted from 1, empty ones left out.
    pub document: usize,
    /// The item, counted from 1, where the document is a `List`.
    pub item: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}", self.document)?;
        self.item.map_or(Ok(()), |item| write!(f, ", item {item}"))
    }
}

/// Which object an error speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Where it stands.
    pub place: Place,
    /// Its kind.
    pub kind: String,
    /// Its name, or a remark that it has none.
    pub name: String,
}

impl Subject {
    pub(super) fn invalid(self, problems: Vec<Problem>) -> ParseError {
        ParseError::Invalid { subject: self, problems }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} {}", self.place, self.kind, self.name)
    }
}

/// A text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is no YAML, or says the same thing twice.
    #[error("line {line}, column {column}: {reason}")]
    Yaml {
        /// The line, counted from 1.
        line: u64,
        /// The column, counted from 1.
        column: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A document is a list or a plain value.
    #[error("{place}: an object with apiVersion, kind and metadata is expected")]
    NotAnObject {
        /// Where it stands.
        place: Place,
    },
    /// A document has no kind, or one that means nothing here.
    #[error("{place}: {} is not accepted; accepted are {} and a List of them", named(.kind), Document::KINDS.join(", "))]
    UnknownKind {
        /// Where it stands.
        place: Place,
        /// Its kind.
        kind: String,
    },
    /// The kind is known, in another version or group.
    #[error("{subject}: apiVersion must be {expected}")]
    WrongVersion {
        /// Which object.
        subject: Subject,
        /// The version that is accepted.
        expected: &'static str,
    },
    /// Fields are unknown, missing, of a wrong type or out of bounds.
    #[error("{subject}: {}", listed(.problems))]
    Invalid {
        /// Which object.
        subject: Subject,
        /// Each field that is wrong.
        problems: Vec<Problem>,
    },
    /// An object is there twice.
    #[error("{subject}: stands in {first} already; every name may be given once only")]
    Twice {
        /// The second of them.
        subject: Subject,
        /// Where the first stands.
        first: Place,
    },
}

impl ParseError {
    /// Keeps the place of an error and says the rest in own words: the parser's own may quote the text.
    pub(super) fn yaml(error: &serde_saphyr::Error) -> Self {
        use serde_saphyr::Error;
        let (line, column) = error.location().map_or((0, 0), |location| (location.line(), location.column()));
        let reason = match error.without_snippet() {
            Error::DuplicateMappingKey { .. } => "this field is given twice",
            Error::UnknownAnchor { .. } => "a text that begins with * has to be put in quotes",
            Error::NonFiniteFloat { .. } => "this number is too large: put it in quotes if it is a text",
            Error::Budget { .. } => "the text is too large or too deeply nested",
            _ => {
                "this is not YAML: look at the indentation, and put texts in quotes that hold \": \" or begin with one of * & ! @ % [ {"
            }
        };
        Self::Yaml { line, column, reason }
    }
}

fn named(kind: &str) -> String {
    if kind.is_empty() { "an object without kind".to_owned() } else { format!("kind {kind}") }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
