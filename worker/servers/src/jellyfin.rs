//! Jellyfin 10.9 and newer: `Authorization: MediaBrowser` and the routes of 10.9, which 12 kept, and writes that set exact values.

#[cfg(test)]
mod tests;
mod webhook;

use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::json;
use url::form_urlencoded;
use watchstate_domain::item::{Item, ItemState};

use crate::error::ErrorKind;
use crate::http::{PRODUCT, Repeat, VERSION, exposed, secret_value};
use crate::mediabrowser::item::TICKS_A_MILLISECOND;
use crate::mediabrowser::{Access, Dialect, Server, View, major_minor};
use crate::operation::Operation;
use crate::{Result, Webhook, Write};

/// Jellyfin's ways.
pub(crate) struct Jellyfin;

const USER_DATA: &str = "/UserItems/{item}/UserData";

impl Dialect for Jellyfin {
    const ITEMS: &'static str = "/Items";
    const VIEWS: &'static str = "/UserViews";
    const FIELDS: &'static str = "ProviderIds,DateCreated,Path";
    const IF_REFUSED: &'static str = "the token was refused (401), though it was sent in the MediaBrowser scheme, which all versions take (12 takes nothing else): renew it in the Secret that tokenSecretRef names";

    const NOT_ONE_OF_THEM: &'static str = "what answers there is no Jellyfin: is the url right (with the path that it lives under), is it the right type?";

    fn authorization(access: Option<&Access>, client_id: &str) -> Option<(HeaderName, HeaderValue)> {
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
        let mut parts = Vec::with_capacity(5);
        if let Some(access) = access {
            parts.push(format!("Token=\"{}\"", encoded(exposed(&access.token))));
        }
        if access.is_none_or(|access| access.ours) {
            parts.push(format!("Client=\"{}\"", encoded(PRODUCT)));
            parts.push(format!("Device=\"{}\"", encoded(PRODUCT)));
            parts.push(format!("DeviceId=\"{}\"", encoded(client_id)));
            parts.push(format!("Version=\"{}\"", encoded(VERSION)));
        }
        Some((AUTHORIZATION, secret_value(&format!("MediaBrowser {}", parts.join(", ")))?))
    }

    fn parameter(name: &str) -> String {
        name.to_owned()
    }

    fn check(version: &str) -> std::result::Result<(), (ErrorKind, String)> {
        match major_minor(version) {
            Some((major, _)) if major < 10 => Err((
                ErrorKind::WrongServer,
                format!("version {version} is none of Jellyfin's: is it Emby? then set type: Emby"),
            )),
            Some((10, minor)) if minor < 9 => {
                Err((ErrorKind::Unsupported, format!("Jellyfin {version} is too old: 10.10 or newer is needed")))
            }
            _ => Ok(()),
        }
    }

    async fn set_webhook(server: &Server, webhook: &Webhook) -> Result<bool> {
        webhook::set(server, webhook).await
    }

    async fn remove_webhook(server: &Server, mark: &str) -> Result<bool> {
        webhook::remove(server, mark).await
    }

    async fn write(view: &View<Self>, item: &Item, write: &Write) -> Result<ItemState> {
        let state = item.state;
        let (operation, body, expected) = match *write {
            Write::Played { at } => {
                // Not the route that marks: that one adds to the count each time it is called.
                let plays = state.plays.max(1);
                let mut body = json!({ "Played": true, "PlayCount": plays, "PlaybackPositionTicks": 0 });
                if let Some(at) = at {
                    body["LastPlayedDate"] = json!(at);
                }
                let last_played_at = at.or(state.last_played_at);
                (Operation::MarkPlayed, body, ItemState { played: true, plays, last_played_at, position_ms: 0 })
            }
            Write::Unplayed => {
                // Not by user data: that can't take a date away.
                let request = view
                    .request(Operation::MarkUnplayed, "/UserPlayedItems/{item}", Some(&item.remote_id), &[])?
                    .write(Method::DELETE, Repeat::Harmless);
                let answer = view.send(&request).await?;
                return Ok(View::<Self>::told(&answer, ItemState::default()));
            }
            Write::Position { position_ms, at } => (
                Operation::SetPosition,
                json!({
                    "PlaybackPositionTicks": position_ms.saturating_mul(TICKS_A_MILLISECOND),
                    "LastPlayedDate": at,
                }),
                ItemState { position_ms, last_played_at: Some(at), ..state },
            ),
            Write::ClearPosition => {
                (Operation::ClearPosition, json!({ "PlaybackPositionTicks": 0 }), ItemState { position_ms: 0, ..state })
            }
        };
        let request = view
            .request(operation, USER_DATA, Some(&item.remote_id), &[])?
            .write(Method::POST, Repeat::Harmless)
            .json(&body);
        let answer = view.send(&request).await?;
        Ok(View::<Self>::told(&answer, expected))
    }
}
