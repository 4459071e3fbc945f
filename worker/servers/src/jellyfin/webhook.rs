//! The settings of Jellyfin's plug-in *Webhook*: one list of destinations of each kind, read and written as a whole. Ours is a generic one.

use http::Method;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Jellyfin;
use crate::error::ErrorKind;
use crate::mediabrowser::{Server, Settings};
use crate::operation::Operation;
use crate::{Result, Webhook, webhook};

/// The plug-in's own id, without dashes.
const PLUGIN: &str = "71552a5a5c5c4350a2aeebe451a30173";
/// The list of generic destinations.
const GENERIC: &str = "GenericOptions";
const CONFIGURATION: &str = "/Plugins/{plugin}/Configuration";

/// An entry of `/Plugins`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Plugin {
    id: String,
    #[serde(default)]
    status: String,
}

/// Sets our destination; all others stay as they are.
pub(super) async fn set(server: &Server, webhook: &Webhook) -> Result<bool> {
    let plugin = plugin(server).await?;
    let mut configuration = configuration(server, &plugin).await?;
    let wanted = destination(webhook);
    let mut destinations = destinations(&configuration);
    let ours = |entry: &Value| bears(entry, &webhook.mark);
    match destinations.iter().filter(|entry| ours(entry)).collect::<Vec<_>>()[..] {
        [one] if holds(one, &wanted) => return Ok(false),
        _ => {}
    }
    // What somebody has set beside ours (a filter of users) stays with the entry.
    let mut entry = destinations
        .iter()
        .find(|entry| ours(entry))
        .cloned()
        .unwrap_or_else(|| json!({ "Fields": [], "UserFilter": [] }));
    if let (Some(entry), Some(wanted)) = (entry.as_object_mut(), wanted.as_object()) {
        entry.extend(wanted.clone());
    }
    destinations.retain(|entry| !ours(entry));
    destinations.push(entry);
    configuration[GENERIC] = destinations.into();
    put(server, &plugin, &configuration).await?;
    Ok(true)
}

/// Takes our destination away. A plug-in that is gone took it along.
pub(super) async fn remove(server: &Server, mark: &str) -> Result<bool> {
    let plugin = match plugin(server).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(false),
        found => found?,
    };
    let mut configuration = configuration(server, &plugin).await?;
    let before = destinations(&configuration);
    let after: Vec<Value> = before.iter().filter(|entry| !bears(entry, mark)).cloned().collect();
    if after.len() == before.len() {
        return Ok(false);
    }
    configuration[GENERIC] = after.into();
    put(server, &plugin, &configuration).await?;
    Ok(true)
}

/// The plug-in's id as the server writes it.
async fn plugin(server: &Server) -> Result<String> {
    let settings = Settings { route: "/Plugins", ids: &[], query: &[], write: None };
    let (request, answer) = server.settings::<Jellyfin>(settings).await?;
    let plugins: Vec<Plugin> = server.http.json(&request, &answer)?;
    let lacking = |problem| Err(server.http.error(Operation::Webhook, ErrorKind::Unsupported, problem));
    let found = plugins.into_iter().find(|plugin| plugin.id.replace('-', "").eq_ignore_ascii_case(PLUGIN));
    match found {
        None => lacking(
            "the plug-in Webhook is not installed: Dashboard, Plugins, Catalogue, Webhook, Install, and restart Jellyfin",
        ),
        Some(plugin) if !plugin.status.is_empty() && plugin.status != "Active" => lacking(
            "the plug-in Webhook is installed and does not run: restart Jellyfin, or see its page under Dashboard, Plugins",
        ),
        Some(plugin) => Ok(plugin.id),
    }
}

async fn configuration(server: &Server, plugin: &str) -> Result<Value> {
    let settings = Settings { route: CONFIGURATION, ids: &[plugin], query: &[], write: None };
    let (request, answer) = server.settings::<Jellyfin>(settings).await?;
    let configuration: Value = server.http.json(&request, &answer)?;
    if configuration.is_object() {
        return Ok(configuration);
    }
    // To write anything else back would wipe the destinations of others.
    Err(server.http.bad_answer(&request, &answer, "the plug-in's configuration is no object"))
}

async fn put(server: &Server, plugin: &str, configuration: &Value) -> Result<()> {
    let write = Some((Method::POST, Some(configuration)));
    server.settings::<Jellyfin>(Settings { route: CONFIGURATION, ids: &[plugin], query: &[], write }).await.map(drop)
}

fn destinations(configuration: &Value) -> Vec<Value> {
    configuration.get(GENERIC).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn bears(entry: &Value, mark: &str) -> bool {
    entry.get("WebhookUri").and_then(Value::as_str).is_some_and(|address| webhook::bears(address, mark))
}

/// Whether an entry has every field as wanted.
fn holds(entry: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| entry.get(name) == Some(value)))
}

/// *User Data Saved* tells all; *Playback Stop* once more what counts. The token goes by a header, which no proxy logs.
fn destination(webhook: &Webhook) -> Value {
    json!({
        "WebhookName": webhook.title(),
        "WebhookUri": webhook.marked(),
        "NotificationTypes": ["UserDataSaved", "ItemAdded", "PlaybackStop"],
        "EnableWebhook": true,
        "EnableMovies": true,
        "EnableEpisodes": true,
        "EnableSeries": false,
        "EnableSeasons": false,
        "EnableAlbums": false,
        "EnableSongs": false,
        "EnableVideos": false,
        "SendAllProperties": true,
        "TrimWhitespace": false,
        "SkipEmptyMessageBody": false,
        "Headers": [{ "Key": "X-apikey", "Value": webhook.token.expose_secret() }],
    })
}
