//! Emby's notifications: entries of an administrator, of which ours is a webhook for all users.

use http::Method;
use serde_json::{Value, json};

use super::Emby;
use crate::error::{ErrorKind, ServerError};
use crate::mediabrowser::dto::User;
use crate::mediabrowser::{Server, Settings};
use crate::operation::Operation;
use crate::{Result, Webhook, webhook};

const CONFIGURED: &str = "/Notifications/Services/Configured";

/// Sets our notification; all others stay as they are.
pub(super) async fn set(server: &Server, webhook: &Webhook) -> Result<bool> {
    let user = administrator(server).await?;
    let wanted = notification(webhook);
    let ours = ours(server, &user, &webhook.mark).await?;
    if let [one] = &ours[..]
        && holds(one, &wanted)
    {
        return Ok(false);
    }
    // What somebody has set beside ours (a filter of users) stays with the entry; more than one are a leftover.
    let mut ours = ours.into_iter();
    let mut entry = ours.next().unwrap_or_else(|| json!({ "UserIds": [], "DeviceIds": [], "LibraryIds": [] }));
    merge(&mut entry, &wanted);
    for leftover in ours {
        delete(server, &user, &leftover).await?;
    }
    let write = Some((Method::POST, Some(&entry)));
    let settings = Settings { route: CONFIGURED, ids: &[], query: &[("userId", &user)], write };
    server.settings::<Emby>(settings).await.map_err(unsupported)?;
    Ok(true)
}

/// Takes our notification away.
pub(super) async fn remove(server: &Server, mark: &str) -> Result<bool> {
    let user = administrator(server).await?;
    let ours = match ours(server, &user, mark).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(false),
        found => found?,
    };
    for entry in &ours {
        delete(server, &user, entry).await?;
    }
    Ok(!ours.is_empty())
}

/// Whose entries are read and written: those of the first administrator, always the same.
async fn administrator(server: &Server) -> Result<String> {
    let settings = Settings { route: "/Users", ids: &[], query: &[], write: None };
    let (request, answer) = server.settings::<Emby>(settings).await?;
    let users: Vec<User> = server.http.json(&request, &answer)?;
    users.into_iter().find(|user| user.policy.is_administrator).map(|user| user.id).ok_or_else(|| {
        let problem = "the token shows no administrator, and notifications are an administrator's: use an administrator's token or an API key";
        server.http.error(Operation::Webhook, ErrorKind::Forbidden, problem)
    })
}

/// The entries with our mark.
async fn ours(server: &Server, user: &str, mark: &str) -> Result<Vec<Value>> {
    let settings = Settings { route: CONFIGURED, ids: &[], query: &[("userId", user)], write: None };
    let (request, answer) = server.settings::<Emby>(settings).await.map_err(unsupported)?;
    let entries: Vec<Value> = server.http.json(&request, &answer)?;
    let marked = |entry: &Value| {
        entry.pointer("/Options/Url").and_then(Value::as_str).is_some_and(|address| webhook::bears(address, mark))
    };
    Ok(entries.into_iter().filter(marked).collect())
}

async fn delete(server: &Server, user: &str, entry: &Value) -> Result<()> {
    let id = entry.get("Id").and_then(Value::as_str).unwrap_or_default();
    let query = [("id", id), ("userId", user)];
    let settings = Settings { route: CONFIGURED, ids: &[], query: &query, write: Some((Method::DELETE, None)) };
    server.settings::<Emby>(settings).await.map(drop)
}

fn unsupported(error: ServerError) -> ServerError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Forbidden => error.meaning(
            ErrorKind::Unsupported,
            "the server has no settings of webhooks for us: they need Emby Premiere, and an administrator's token",
        ),
        _ => error,
    }
}

fn merge(entry: &mut Value, wanted: &Value) {
    if let (Some(entry), Some(wanted)) = (entry.as_object_mut(), wanted.as_object()) {
        entry.extend(wanted.clone());
    }
}

/// Whether an entry says all that is wanted; the order of events says nothing.
fn holds(entry: &Value, wanted: &Value) -> bool {
    match (entry, wanted) {
        (Value::Object(entry), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| entry.get(name).is_some_and(|found| holds(found, wanted)))
        }
        (Value::Array(entry), Value::Array(wanted)) => {
            entry.len() == wanted.len() && wanted.iter().all(|wanted| entry.contains(wanted))
        }
        // Options come back as text, whatever they were sent as.
        (Value::String(entry), Value::Bool(wanted)) => entry.eq_ignore_ascii_case(&wanted.to_string()),
        (entry, wanted) => entry == wanted,
    }
}

/// Emby sends no header of ours, so the token stands in the address. As JSON where the version knows it; else it is a form, which is read too.
fn notification(webhook: &Webhook) -> Value {
    json!({
        "NotifierKey": "webhooknotifications",
        "SetupModuleUrl": "configurationpage?name=webhookeditorjs",
        "ServiceName": "Webhooks",
        "PluginId": "85a7b1d4-fbda-4e85-a0a2-ac303c9946a4",
        "FriendlyName": webhook.title(),
        "Enabled": true,
        "IsSelfNotification": false,
        "GroupItems": false,
        "EventIds": ["library.new", "playback.pause", "playback.stop", "item.markplayed", "item.markunplayed"],
        "Options": { "Url": webhook.with_token(), "EnableMultipartFormData": false },
    })
}
