//! Emby 4.8 and newer. Two things differ from Jellyfin in what they do: marking as played counts each time, and user data that is
//! posted replaces the whole record, so that what isn't sent is lost (seen on 4.10: a rating alone un-watched the title).

#[cfg(test)]
mod tests;
mod webhook;

use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use watchstate_domain::item::{Item, ItemState};

use crate::error::ErrorKind;
use crate::http::{PRODUCT, Repeat, VERSION, exposed, secret_value};
use crate::mediabrowser::dto::UserData;
use crate::mediabrowser::item::TICKS_A_MILLISECOND;
use crate::mediabrowser::{Access, Dialect, Server, View, major_minor};
use crate::operation::Operation;
use crate::{Result, Webhook, Write};

/// Emby's ways.
pub(crate) struct Emby;

const X_EMBY_TOKEN: HeaderName = HeaderName::from_static("x-emby-token");

const PLAYED: &str = "/Users/{user}/PlayedItems/{item}";

impl Dialect for Emby {
    const ITEMS: &'static str = "/Users/{user}/Items";
    const VIEWS: &'static str = "/Users/{user}/Views";
    // Without the last two, lists tell a count of 0 and no date (public threads of clients).
    const FIELDS: &'static str = "ProviderIds,DateCreated,Path,ProductionYear,UserDataPlayCount,UserDataLastPlayedDate";
    const IF_REFUSED: &'static str = "the token was refused (401): renew it in the Secret that tokenSecretRef names";

    const NOT_ONE_OF_THEM: &'static str =
        "what answers there is no Emby: is the url right (with the path that it lives under), is it the right type?";

    fn authorization(access: Option<&Access>, client_id: &str) -> Option<(HeaderName, HeaderValue)> {
        if let Some(access) = access {
            return Some((X_EMBY_TOKEN, secret_value(exposed(&access.token))?));
        }
        let introduction =
            format!("Emby Client=\"{PRODUCT}\", Device=\"{PRODUCT}\", DeviceId=\"{client_id}\", Version=\"{VERSION}\"");
        Some((AUTHORIZATION, HeaderValue::from_str(&introduction).ok()?))
    }

    fn parameter(name: &str) -> String {
        name[..1].to_ascii_uppercase() + &name[1..]
    }

    fn check(version: &str) -> std::result::Result<(), (ErrorKind, String)> {
        match major_minor(version) {
            Some((major, _)) if major >= 10 => Err((
                ErrorKind::WrongServer,
                format!("version {version} is none of Emby's: is it Jellyfin? then set type: Jellyfin"),
            )),
            Some(found) if found < (4, 8) => {
                Err((ErrorKind::Unsupported, format!("Emby {version} is too old: 4.8 or newer is needed")))
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
        match *write {
            Write::Played { at } => {
                // Other formats count as no date; it has whole seconds.
                let date = at.map(|at| at.strftime("%Y%m%d%H%M%S").to_string());
                let query: Vec<_> = date.iter().map(|date| ("datePlayed", date.as_str())).collect();
                let request = view
                    .request(Operation::MarkPlayed, PLAYED, Some(&item.remote_id), &query)?
                    .write(Method::POST, Repeat::OnlyIfRefused);
                let answer = view.send(&request).await?;
                let expected = ItemState {
                    played: true,
                    plays: state.plays.saturating_add(1),
                    last_played_at: at.and_then(|at| jiff::Timestamp::from_second(at.as_second()).ok()),
                    position_ms: 0,
                };
                Ok(View::<Self>::told(&answer, expected))
            }
            Write::Unplayed => {
                let request = view
                    .request(Operation::MarkUnplayed, PLAYED, Some(&item.remote_id), &[])?
                    .write(Method::DELETE, Repeat::Harmless);
                let answer = view.send(&request).await?;
                Ok(View::<Self>::told(&answer, ItemState::default()))
            }
            Write::Position { position_ms, at } => {
                let changes = json!({
                    "PlaybackPositionTicks": position_ms.saturating_mul(TICKS_A_MILLISECOND),
                    "LastPlayedDate": at,
                });
                set_user_data(view, Operation::SetPosition, item, changes).await
            }
            Write::ClearPosition => {
                let changes = json!({ "PlaybackPositionTicks": 0 });
                set_user_data(view, Operation::ClearPosition, item, changes).await
            }
        }
    }
}

/// Reads the record, changes it and sends it back whole: favourites and ratings are in there as well.
async fn set_user_data(view: &View<Emby>, operation: Operation, item: &Item, changes: Value) -> Result<ItemState> {
    let id = Some(item.remote_id.as_str());
    let request = view.request(operation, "/Users/{user}/Items/{item}", id, &[("fields", Emby::FIELDS)])?;
    let answer = view.send(&request).await?;
    let found: Value = view.http().json(&request, &answer)?;
    let Some(Value::Object(record)) = found.get("UserData") else {
        return Err(view.http().error(operation, ErrorKind::BadAnswer, "the item came without the account's state"));
    };
    let record = Value::Object(changed(record.clone(), changes, item.state));
    // What is sent is what it will hold: the answer has no body.
    let expected = UserData::deserialize(&record).map_or(item.state, |data| ItemState::from(&data));
    let request = view
        .request(operation, "/Users/{user}/Items/{item}/UserData", id, &[])?
        .write(Method::POST, Repeat::Harmless)
        .json(&record);
    let answer = view.send(&request).await?;
    Ok(View::<Emby>::told(&answer, expected))
}

/// The record with the changes. A count or date that the answer left out is taken from what lists told before, and never lowered.
fn changed(mut record: Map<String, Value>, changes: Value, known: ItemState) -> Map<String, Value> {
    let plays = record.get("PlayCount").and_then(Value::as_u64).unwrap_or_default().max(u64::from(known.plays));
    record.insert("PlayCount".to_owned(), json!(plays));
    if let (None, Some(at)) = (record.get("LastPlayedDate"), known.last_played_at) {
        record.insert("LastPlayedDate".to_owned(), json!(at));
    }
    if let Value::Object(changes) = changes {
        record.extend(changes);
    }
    // Derived from the position by the server.
    record.remove("PlayedPercentage");
    record
}
