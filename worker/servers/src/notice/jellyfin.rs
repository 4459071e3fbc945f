//! Jellyfin's webhook plugin: one flat object. Its user may send a template in place of all properties, which carries the same names, but
//! perhaps fewer, and all as text.

use std::borrow::Cow;

use serde::Deserialize;
use watchstate_domain::item::{ItemState, ServerKind};
use watchstate_domain::notice::{Cause, Notice, What};

use super::fields::{self, Fields};
use super::{Described, Found, Sender, Unreadable, described, position, teller};
use crate::mediabrowser::dto::{ItemDto, ProviderIds, UserData};

const SENDER: Sender = Sender {
    server: ServerKind::Jellyfin,
    server_id: "ServerId",
    account: "UserId",
    remedy: "tick \"Send All Properties\" in the webhook plugin, or put it into the template",
};

const SAVED: &str = "UserDataSaved";
const PROVIDER: &str = "Provider_";

pub(super) fn read(told: Fields<'_>) -> Result<(ServerKind, Notice), Unreadable> {
    let kind = told.name("NotificationType");
    let reason = told.name("SaveReason");
    let what = match kind.as_str() {
        SAVED => saved(told, &reason),
        "PlaybackProgress" if told.flag("IsPaused") == Some(true) => position(told.number("PlaybackPositionTicks")),
        "PlaybackStart" | "PlaybackProgress" => What::Started,
        "PlaybackStop" => stopped(told),
        "ItemAdded" => What::Added,
        _ => What::Other,
    };
    // Whose session added an item says nothing of whose item it is.
    let account = if what == What::Added { None } else { teller(guid(told, "UserId"), account_name(told)) };
    SENDER.notice(Found {
        event: if kind == SAVED && !reason.is_empty() { fields::name(&format!("{kind} {reason}")) } else { kind },
        server_id: guid(told, "ServerId"),
        account,
        // `Timestamp` is local time, and often claims to be UTC.
        sent_at: told.iso("UtcTimestamp"),
        item: item(told),
        library_id: None,
        what,
    })
}

/// A record without its mark can't be told from one that was un-marked; one without a reason may come from a metadata import.
fn saved(told: Fields<'_>, reason: &str) -> What {
    let cause = match reason {
        "PlaybackStart" => Cause::Started,
        "PlaybackProgress" => Cause::Progress,
        "PlaybackFinished" => Cause::Stopped,
        "TogglePlayed" => Cause::Marked,
        "UpdateUserData" => Cause::Set,
        "UpdateUserRating" => return What::Rated,
        "" => return What::Incomplete,
        _ => return What::Other,
    };
    match UserData::deserialize(told.all()) {
        Ok(data) if data.played.is_some() => What::Saved { state: ItemState::from(&data), cause },
        _ => What::Incomplete,
    }
}

/// Where somebody stopped.
fn stopped(told: Fields<'_>) -> What {
    let ticks = told.number("PlaybackPositionTicks");
    match (told.flag("PlayedToCompletion"), ticks) {
        (Some(true), _) => What::Finished,
        (None, None) => What::Incomplete,
        _ => position(ticks),
    }
}

fn item(told: Fields<'_>) -> Described {
    let dto = ItemDto {
        id: guid(told, "ItemId").map(Cow::Owned),
        kind: told.text("ItemType"),
        name: told.text("Name").map(unescaped),
        series_id: guid(told, "SeriesId").map(Cow::Owned),
        series_name: told.text("SeriesName").map(unescaped),
        production_year: told.number("Year"),
        parent_index_number: told.number("SeasonNumber"),
        index_number: told.number("EpisodeNumber"),
        index_number_end: told.number("EpisodeNumberEnd"),
        run_time_ticks: told.number("RunTimeTicks"),
        provider_ids: ProviderIds(provider_ids(told)),
        ..ItemDto::default()
    };
    described(dto, "ItemId", "ItemType")
}

fn provider_ids<'a>(told: Fields<'a>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let provider = |name: &'a str| match name.split_at_checked(PROVIDER.len()) {
        Some((prefix, provider)) if prefix.eq_ignore_ascii_case(PROVIDER) => Some(provider),
        _ => None,
    };
    let names = told.all().keys();
    names.filter_map(|name| Some((Cow::Borrowed(provider(name)?), told.text(name)?))).collect()
}

/// The API and the plugin write 32 hex digits; some templates and settings have the dashes in it. All zeros is none.
fn guid(told: Fields<'_>, name: &str) -> Option<String> {
    let id = told.id(name)?;
    let digits: String = id.chars().filter(|letter| *letter != '-').map(|letter| letter.to_ascii_lowercase()).collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(id);
    }
    digits.bytes().any(|byte| byte != b'0').then_some(digits)
}

fn account_name(told: Fields<'_>) -> String {
    told.text("NotificationUsername").map(|name| fields::name(&unescaped(name))).unwrap_or_default()
}

/// The plugin escapes quotes before it writes JSON, which escapes them again.
fn unescaped(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains("\\\"") { Cow::Owned(text.replace("\\\"", "\"")) } else { text }
}
