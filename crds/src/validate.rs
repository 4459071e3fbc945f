//! The verdict of the API server without one: the bounds of the schema, and the CEL rules by their
//! twins in Rust.

use serde::Serialize;

use crate::media_server::{self, MediaServer};
use crate::schema::{self, Checks};
use crate::sync_schedule::{self, SyncSchedule};

/// A rule of the schema: the CEL expression and the message that a person gets when it is broken.
pub(crate) type Rule = (&'static str, &'static str);

/// Something that is wrong with an object. It never quotes a value: a secret may stand in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Problem {
    /// Where, for example `spec.users[1].person`.
    pub field: String,
    /// What is wrong, or what is expected there.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Notes the rule as broken where it does not hold.
pub(crate) fn report(found: &mut Vec<Problem>, holds: bool, field: &str, (_, message): Rule) {
    if !holds {
        found.push(Problem::new(field, message));
    }
}

impl MediaServer {
    /// What an API server would refuse about this object; empty where it would accept it.
    pub fn validate(&self) -> Vec<Problem> {
        let mut found = bounds(self, schema::media_server());
        found.extend(media_server::problems(self));
        found
    }

    /// What an API server would refuse about this object in the place of `before`.
    pub fn validate_update(&self, before: &Self) -> Vec<Problem> {
        let mut found = self.validate();
        found.extend(media_server::update_problems(self, before));
        found
    }
}

impl SyncSchedule {
    /// What an API server would refuse about this object; empty where it would accept it.
    /// Whether a time zone exists and a clock can follow a cron expression is another question: [`Self::validate_timetable`].
    pub fn validate(&self) -> Vec<Problem> {
        let mut found = bounds(self, schema::sync_schedule());
        found.extend(sync_schedule::problems(self));
        found
    }

    /// What an API server would refuse about the CronJobs that are made of this object, for who has none.
    pub fn validate_timetable(&self) -> Vec<Problem> {
        sync_schedule::of_timetable(&self.spec)
    }
}

fn bounds<T: Serialize>(object: &T, resource: &schema::Resource) -> Vec<Problem> {
    match serde_json::to_value(object) {
        Ok(value) => resource.check(&value, Checks::Bounds),
        Err(error) => vec![Problem::new("", format!("cannot be written as JSON: {error}"))],
    }
}
