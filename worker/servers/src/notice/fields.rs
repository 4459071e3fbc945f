//! Single fields of a webhook, read leniently: an odd value counts as absent, and what is kept has bounds. The bodies come from anybody
//! who knows the address.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::lenient;

/// In characters.
const LONGEST_ID: usize = 256;
const LONGEST_NAME: usize = 500;

/// An object of the body.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    pub(super) fn object(self, name: &str) -> Option<Self> {
        self.0.get(name).and_then(Self::of)
    }

    pub(super) fn all(self) -> &'a Map<String, Value> {
        self.0
    }

    /// Text, or a whole number as text.
    pub(super) fn text(self, name: &str) -> Option<Cow<'a, str>> {
        lenient::text(self.0.get(name)?).ok().flatten()
    }

    pub(super) fn has_text(self, name: &str) -> bool {
        self.text(name).is_some_and(|text| !text.is_empty())
    }

    pub(super) fn id(self, name: &str) -> Option<String> {
        id(&self.text(name)?)
    }

    /// Empty where it is absent.
    pub(super) fn name(self, field: &str) -> String {
        self.text(field).map(|text| name(&text)).unwrap_or_default()
    }

    pub(super) fn number<T: TryFrom<i64>>(self, name: &str) -> Option<T> {
        lenient::number(self.0.get(name)?).ok().flatten()
    }

    pub(super) fn flag(self, name: &str) -> Option<bool> {
        lenient::flag(self.0.get(name)?).ok().flatten()
    }

    pub(super) fn iso(self, name: &str) -> Option<Timestamp> {
        lenient::iso(self.0.get(name)?).ok().flatten()
    }
}

/// An id; None where it is empty or can't be one. A part of an id would be another's.
pub(super) fn id(text: &str) -> Option<String> {
    let id = text.trim();
    let valid = !id.is_empty() && id.chars().nth(LONGEST_ID).is_none() && !id.contains(char::is_control);
    valid.then(|| id.to_owned())
}

/// A name for people to read: cut where it is too long, and without characters that logs and Postgres can't take.
pub(super) fn name(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect()
}
