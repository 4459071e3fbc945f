//! What an apply changes, field by field. Of a secret only that it changes.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};
use watchstate_store::registry::{SchedulePolicy, ServerPolicy, WantedServer};

use crate::output::Sheet;
use crate::secrets::{Held, WEBHOOK_TOKEN, WantedSecrets};

/// The result of an apply.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Nothing was changed, only told.
    pub dry_run: bool,
    /// One entry a resource.
    pub changes: Vec<Change>,
    /// What a person should know besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// What happens to a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// `MediaServer` or `SyncSchedule`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// In a word.
    pub change: Action,
    /// What differs; of a new resource what isn't the default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

/// What happens to a resource, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Created,
    /// It was there.
    Changed,
    /// It was there, and just so.
    Unchanged,
    /// It goes.
    Removed,
}

impl Action {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
        }
    }
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Its name: `url`, `users.anna`, `timeoutMs`.
    pub field: String,
    /// How it differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// How a field differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Difference {
    /// A value that may be shown; null: there is none.
    Value {
        /// What it was.
        before: Value,
        /// What it will be.
        after: Value,
    },
    /// A value that may not.
    Secret {
        /// `set`, `changed` or `removed`.
        secret: &'static str,
    },
}

/// What differs at a server. `held` are its secrets as they are.
pub fn server(before: Option<&WantedServer>, after: &WantedServer, held: &Held, secrets: &WantedSecrets) -> Change {
    let default = ServerPolicy::default();
    let policy = before.map_or(&default, |before| &before.policy);
    let mut fields = Vec::new();
    compare(&mut fields, "type", before.map(|before| before.kind.as_str()), after.kind.as_str());
    compare(&mut fields, "url", before.map(|before| before.url.as_str()), &after.url);
    fields.extend(users(before.map(|before| &before.users[..]).unwrap_or_default(), &after.users));
    fields.extend(objects(object(policy), object(&after.policy)));
    fields.extend(secret_files(held, secrets));
    if let Some(hash) = &after.webhook_token_sha256 {
        let known = before.and_then(|before| before.webhook_token_sha256.as_ref());
        if known != Some(hash) {
            fields.push(secret("webhook token", if known.is_some() { "changed" } else { "set" }));
        }
    }
    change("MediaServer", &after.name, before.is_some(), fields)
}

/// What differs at a schedule.
pub fn schedule(name: &str, before: Option<&SchedulePolicy>, after: &SchedulePolicy) -> Change {
    let default = SchedulePolicy::default();
    let fields = objects(object(before.unwrap_or(&default)), object(after));
    change("SyncSchedule", name, before.is_some(), fields)
}

/// A resource that goes.
pub fn removed(kind: &'static str, name: &str) -> Change {
    Change { kind, name: name.to_owned(), change: Action::Removed, fields: Vec::new() }
}

fn change(kind: &'static str, name: &str, known: bool, fields: Vec<Field>) -> Change {
    let change = match (known, fields.is_empty()) {
        (false, _) => Action::Created,
        (true, true) => Action::Unchanged,
        (true, false) => Action::Changed,
    };
    Change { kind, name: name.to_owned(), change, fields }
}

fn compare(fields: &mut Vec<Field>, name: &str, before: Option<&str>, after: &str) {
    if before != Some(after) {
        fields.push(value(name, before.map_or(Value::Null, Value::from), Value::from(after)));
    }
}

/// By person, since that is how a resource names them.
fn users(before: &[(String, String)], after: &[(String, String)]) -> Vec<Field> {
    let accounts = |users: &[(String, String)]| -> Map<String, Value> {
        users.iter().map(|(person, account)| (format!("users.{person}"), Value::from(account.as_str()))).collect()
    };
    objects(accounts(before), accounts(after))
}

/// A policy as its fields: a field that is added to a policy some day is compared, too.
fn object(policy: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(policy) {
        Ok(Value::Object(fields)) => fields,
        // A policy is a struct of plain values.
        _ => Map::new(),
    }
}

/// Objects inside are compared field by field, everything else as a whole.
fn objects(before: Map<String, Value>, mut after: Map<String, Value>) -> Vec<Field> {
    let mut fields = Vec::new();
    for (name, old) in before {
        let new = after.remove(&name).unwrap_or_default();
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                let inner = objects(old, new).into_iter();
                fields.extend(inner.map(|field| Field { field: format!("{name}.{}", field.field), ..field }));
            }
            (old, new) if old != new => fields.push(value(&name, old, new)),
            _ => {}
        }
    }
    fields
        .extend(after.into_iter().filter(|(_, new)| !new.is_null()).map(|(name, new)| value(&name, Value::Null, new)));
    fields
}

fn secret_files(held: &Held, wanted: &WantedSecrets) -> Vec<Field> {
    // The registry holds the hash of a webhook's token, which tells of a change by itself.
    let told = |file: &&String| file.as_str() != WEBHOOK_TOKEN || !matches!(wanted.get(*file), Some(Some(_)));
    let files: BTreeSet<&String> = held.keys().chain(wanted.keys()).filter(told).collect();
    let verdict = |file: &str| match (held.get(file), wanted.get(file)) {
        (None, Some(Some(_))) => Some("set"),
        (Some(old), Some(Some(new))) if old.expose_secret() != new.expose_secret() => Some("changed"),
        (Some(_), None) => Some("removed"),
        _ => None,
    };
    files.into_iter().filter_map(|file| Some(secret(file, verdict(file)?))).collect()
}

fn value(field: &str, before: Value, after: Value) -> Field {
    Field { field: field.to_owned(), difference: Difference::Value { before, after } }
}

fn secret(field: &str, secret: &'static str) -> Field {
    Field { field: field.to_owned(), difference: Difference::Secret { secret } }
}

impl Report {
    /// The table for people.
    pub fn sheet(&self) -> Sheet {
        let mut rows = Vec::new();
        for change in &self.changes {
            let fresh = change.change == Action::Created;
            let mut head = vec![format!("{} {}", change.kind, change.name), change.change.as_str().to_owned()];
            for field in &change.fields {
                head.push(line(field, fresh));
                rows.push(std::mem::replace(&mut head, vec![String::new(), String::new()]));
            }
            if change.fields.is_empty() {
                head.push(String::new());
                rows.push(head);
            }
        }
        let sheet = Sheet::new(vec!["resource", "change", "details"], rows);
        let sheet = if self.dry_run { sheet.heading("Dry run: nothing was changed.") } else { sheet };
        if self.remarks.is_empty() { sheet } else { sheet.remark(format!("\n{}", self.remarks.join("\n"))) }
    }
}

fn line(Field { field, difference }: &Field, fresh: bool) -> String {
    match difference {
        Difference::Value { after, .. } if fresh => format!("{field}: {}", plain(field, after)),
        Difference::Value { before, after } => format!("{field}: {} → {}", plain(field, before), plain(field, after)),
        Difference::Secret { secret } => format!("{field}: {secret}"),
    }
}

fn plain(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(account) if account.is_empty() && field.starts_with("users.") => {
            "the token's own account".to_owned()
        }
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(|item| plain("", item)).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            fields.into_iter().map(|(name, value)| format!("{name} {}", plain("", value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
