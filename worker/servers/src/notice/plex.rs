//! Plex: the JSON of its form's field `payload`. It tells positions when a viewing stops or pauses, and the scrobble at 90 %; marks made by
//! hand are told by no event.

use watchstate_domain::item::ServerKind;
use watchstate_domain::notice::{Notice, What};

use super::fields::Fields;
use super::{Described, Found, Sender, Unreadable, bounded, teller};
use crate::plex::item_of_webhook;

const SENDER: Sender = Sender {
    server: ServerKind::Plex,
    server_id: "Server.uuid",
    account: "Account.id",
    remedy: "Plex always sends it, so something on the way changes the body",
};

pub(super) fn read(told: Fields<'_>) -> Result<(ServerKind, Notice), Unreadable> {
    let event = told.name("event");
    let what = match event.as_str() {
        "media.scrobble" => What::Finished,
        "media.pause" | "media.stop" => position(told),
        "media.play" | "media.resume" | "playback.started" => What::Started,
        "media.rate" => What::Rated,
        "library.new" => What::Added,
        _ => What::Other,
    };
    SENDER.notice(found(told, event, item(told), what))
}

/// What Tautulli copies from Plex.
pub(super) fn found(told: Fields<'_>, event: String, item: Described, what: What) -> Found {
    let account = told.object("Account");
    Found {
        event,
        server_id: told.object("Server").and_then(|server| server.id("uuid")),
        account: account.and_then(|account| teller(account.id("id"), account.name("title"))),
        sent_at: None,
        item,
        library_id: told.object("Metadata").and_then(|metadata| metadata.id("librarySectionID")),
        what,
    }
}

pub(super) fn item(told: Fields<'_>) -> Described {
    let metadata = told.object("Metadata").ok_or("Metadata")?;
    if !metadata.has_text("type") {
        return Err("Metadata.type");
    }
    metadata.id("ratingKey").ok_or("Metadata.ratingKey")?;
    Ok(item_of_webhook(metadata.all()).and_then(bounded))
}

pub(super) fn position(told: Fields<'_>) -> What {
    let position = told.object("Metadata").and_then(|metadata| metadata.number("viewOffset"));
    position.map_or(What::Other, |position_ms| What::Position { position_ms })
}
