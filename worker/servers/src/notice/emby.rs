//! Emby: one object, sent as JSON, in an urlencoded form or in a multipart one. A finished viewing is told by `playback.stop` alone; the
//! marks are of people and programs.

use serde::Deserialize;
use serde::de::value::MapDeserializer;
use watchstate_domain::item::{ItemState, ServerKind};
use watchstate_domain::notice::{Cause, Notice, What};

use super::fields::Fields;
use super::{Found, Sender, Unreadable, described, position, teller};
use crate::mediabrowser::dto::{ItemDto, UserData};

const SENDER: Sender = Sender {
    server: ServerKind::Emby,
    server_id: "Server.Id",
    account: "User.Id",
    remedy: "choose its users in the webhook's settings in Emby, and let nothing on the way change the body",
};

/// Tests carry no item, and in some versions neither user nor server.
pub(super) fn is_test(told: Fields<'_>) -> bool {
    matches!(told.text("Event").as_deref(), Some("system.notificationtest" | "system.webhooktest"))
}

pub(super) fn read(told: Fields<'_>) -> Result<(ServerKind, Notice), Unreadable> {
    let event = told.name("Event");
    let item = told.object("Item");
    let mut dto = item.and_then(dto);
    let data = dto.as_mut().and_then(|dto| dto.user_data.take());
    let playback = told.object("PlaybackInfo");
    // `Session.PlayState` is already that of the next item where one follows by itself.
    let position = || position(playback.and_then(|playback| playback.number("PositionTicks")));
    let what = match event.as_str() {
        "playback.stop" if playback.and_then(|playback| playback.flag("PlayedToCompletion")) == Some(true) => {
            What::Finished
        }
        "playback.scrobble" => What::Finished,
        "playback.stop" | "playback.pause" => position(),
        "playback.start" | "playback.unpause" => What::Started,
        "item.markplayed" => marked(data.as_ref(), true),
        "item.markunplayed" => marked(data.as_ref(), false),
        "item.rate"
        | "item.addedtofavorites"
        | "item.removedfromfavorites"
        | "item.markfavorite"
        | "item.unmarkfavorite"
        | "item.favorited"
        | "item.unfavorited"
        | "item.favorite"
        | "item.unfavorite" => What::Rated,
        "library.new" => What::Added,
        _ if is_test(told) => What::Test,
        _ => What::Other,
    };
    let user = told.object("User").filter(|_| what != What::Added);
    let server_id = told.object("Server").and_then(|server| server.id("Id"));
    SENDER.notice(Found {
        event,
        server_id: server_id.or_else(|| item.and_then(|item| item.id("ServerId"))),
        account: user.and_then(|user| teller(user.id("Id"), user.name("Name"))),
        sent_at: told.iso("Date"),
        item: dto.map_or(Err("Item"), |dto| described(dto, "Item.Id", "Item.Type")),
        library_id: None,
        what,
    })
}

/// The record is the better word, as long as it doesn't contradict the event: then it was read too early.
fn marked(data: Option<&UserData>, played: bool) -> What {
    match data {
        Some(data) if data.played == Some(played) => What::Saved { state: ItemState::from(data), cause: Cause::Marked },
        _ if played => What::MarkedPlayed,
        _ => What::MarkedUnplayed,
    }
}

/// The reader of pages takes objects only where objects belong.
fn dto(item: Fields<'_>) -> Option<ItemDto<'_>> {
    let fits = |name: &str, value: &serde_json::Value| !matches!(name, "ProviderIds" | "UserData") || value.is_object();
    let fields =
        item.all().iter().filter(|(name, value)| fits(name, value)).map(|(name, value)| (name.as_str(), value));
    ItemDto::deserialize(MapDeserializer::<_, serde_json::Error>::new(fields)).ok()
}
