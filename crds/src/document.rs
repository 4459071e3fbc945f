//! Reads `MediaServer`, `SyncSchedule` and `Secret` documents from YAML text, for use without a cluster:
//! the very files that `kubectl apply` takes, read as strictly as the API server reads them.

mod error;
mod secret;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::error::{ParseError, Place, Subject};
pub use self::secret::Secret;
use crate::API_VERSION;
use crate::media_server::MediaServer;
use crate::schema::{self, Checks, Resource};
use crate::sync_schedule::SyncSchedule;
use crate::validate::Problem;

/// One object of a YAML text.
#[derive(Clone, Debug)]
pub enum Document {
    /// A media server.
    MediaServer(Box<MediaServer>),
    /// A schedule.
    SyncSchedule(Box<SyncSchedule>),
    /// A Secret that the others refer to.
    Secret(Secret),
}

impl Document {
    /// The kinds that are accepted.
    pub const KINDS: [&str; 3] = ["MediaServer", "SyncSchedule", "Secret"];

    /// The object's kind, one of [`Self::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MediaServer(_) => "MediaServer",
            Self::SyncSchedule(_) => "SyncSchedule",
            Self::Secret(_) => "Secret",
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        match self {
            Self::MediaServer(server) => server.metadata.name.as_deref().unwrap_or_default(),
            Self::SyncSchedule(schedule) => schedule.metadata.name.as_deref().unwrap_or_default(),
            Self::Secret(secret) => &secret.name,
        }
    }

    /// The namespace, where the document names one.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::MediaServer(server) => server.metadata.namespace.as_deref(),
            Self::SyncSchedule(schedule) => schedule.metadata.namespace.as_deref(),
            Self::Secret(secret) => secret.namespace.as_deref(),
        }
    }

    /// What an API server would refuse about the object, beyond what [`parse`] refuses: the rules between fields.
    pub fn validate(&self) -> Vec<Problem> {
        match self {
            Self::MediaServer(server) => server.validate(),
            Self::SyncSchedule(schedule) => schedule.validate(),
            Self::Secret(_) => Vec::new(),
        }
    }
}

/// Reads all documents of a text, in their order. A `List` counts as the objects in it, empty documents are
/// passed over, a null is a missing field. Defaults are filled in.
///
/// # Errors
/// The first document that is no YAML, of another kind, twice there, or does not fit its schema: with every field
/// that is unknown, missing, of a wrong type or out of bounds. No error quotes a value, since it may be a secret.
pub fn parse(text: &str) -> Result<Vec<Document>, ParseError> {
    // A snippet of the text in an error might show a token.
    let options = serde_saphyr::options! { with_snippet: false };
    let values: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| ParseError::yaml(&error))?;

    let mut documents = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let place = Place { document: index + 1, item: None };
        match list_items(&value) {
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    let place = Place { item: Some(index + 1), ..place };
                    documents.push((place, read(place, item.clone())?));
                }
            }
            None => documents.push((place, read(place, value)?)),
        }
    }
    refuse_twice(&documents)?;
    Ok(documents.into_iter().map(|(_, document)| document).collect())
}

/// The items of a `v1` `List`, as `kubectl get -o yaml` writes it, or of a list of one kind.
fn list_items(value: &Value) -> Option<&Vec<Value>> {
    let kind = value.get("kind")?.as_str()?.strip_suffix("List")?;
    let known = kind.is_empty() || Document::KINDS.contains(&kind);
    value.get("items").filter(|_| known)?.as_array()
}

fn read(place: Place, mut value: Value) -> Result<Document, ParseError> {
    drop_nulls(&mut value);
    let Some(fields) = value.as_object() else { return Err(ParseError::NotAnObject { place }) };
    let text = |name| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, version) = (text("kind"), text("apiVersion"));
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("(without a name)").to_owned();
    let subject = Subject { place, kind, name };
    let expected = match subject.kind.as_str() {
        "MediaServer" | "SyncSchedule" => API_VERSION,
        "Secret" => "v1",
        _ => return Err(ParseError::UnknownKind { place, kind: subject.kind }),
    };
    if version != expected {
        return Err(ParseError::WrongVersion { subject, expected });
    }
    match subject.kind.as_str() {
        "MediaServer" => {
            typed(subject, value, schema::media_server()).map(|server| Document::MediaServer(Box::new(server)))
        }
        "SyncSchedule" => {
            typed(subject, value, schema::sync_schedule()).map(|schedule| Document::SyncSchedule(Box::new(schedule)))
        }
        _ => {
            fits(&subject, &value, schema::secret())?;
            Secret::from_value(&value).map(Document::Secret).map_err(|problems| subject.invalid(problems))
        }
    }
}

fn typed<T: DeserializeOwned>(subject: Subject, value: Value, resource: &Resource) -> Result<T, ParseError> {
    fits(&subject, &value, resource)?;
    // Only a difference between the schema and the type gets here; the cause may quote a value and is not shown.
    serde_json::from_value(value)
        .map_err(|_| subject.invalid(vec![Problem::new("spec", "does not have the form that is expected")]))
}

fn fits(subject: &Subject, value: &Value, resource: &Resource) -> Result<(), ParseError> {
    for checks in [Checks::Shape, Checks::Bounds] {
        let problems = resource.check(value, checks);
        if !problems.is_empty() {
            return Err(subject.clone().invalid(problems));
        }
    }
    Ok(())
}

/// The API server takes a null for a missing field where the schema does not ask for one; ours never do.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The same object given twice is a slip of the hand: a cluster would silently keep the last.
fn refuse_twice(documents: &[(Place, Document)]) -> Result<(), ParseError> {
    let mut seen = BTreeMap::new();
    for (place, document) in documents {
        let key = (document.kind(), document.namespace(), document.name());
        if let Some(first) = seen.insert(key, *place) {
            let subject = Subject { place: *place, kind: document.kind().to_owned(), name: document.name().to_owned() };
            return Err(ParseError::Twice { subject, first });
        }
    }
    Ok(())
}
