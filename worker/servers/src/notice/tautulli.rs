//! Tautulli, which watches a Plex server and tells of it without Plex Pass: JSON that its user pastes, in Plex's form but all text, with
//! events that begin with `tautulli.`.

use watchstate_domain::ids::ExternalId;
use watchstate_domain::item::ServerKind;
use watchstate_domain::notice::{Notice, What};

use super::fields::Fields;
use super::{Described, LONGEST_PATH, Sender, Unreadable, plex};

const SENDER: Sender = Sender {
    server: ServerKind::Plex,
    server_id: "Server.uuid",
    account: "Account.id",
    remedy: "put it into the JSON data of the webhook in Tautulli",
};

const PREFIX: &str = "tautulli.";

/// The word alone will do: a test may carry nothing else.
pub(super) fn is_sender(told: Fields<'_>) -> bool {
    told.text("event").is_some_and(|event| event.starts_with(PREFIX))
}

pub(super) fn read(told: Fields<'_>) -> Result<(ServerKind, Notice), Unreadable> {
    let event = told.name("event");
    let what = match event.strip_prefix(PREFIX).unwrap_or_default() {
        "watched" => What::Finished,
        "pause" | "stop" => plex::position(told),
        "play" | "start" | "resume" => What::Started,
        "created" => What::Added,
        "test" => What::Test,
        _ => What::Other,
    };
    SENDER.notice(plex::found(told, event, item(told), what))
}

fn item(told: Fields<'_>) -> Described {
    let Some(mut item) = plex::item(told)? else {
        return Ok(None);
    };
    let metadata = told.object("Metadata").ok_or("Metadata")?;
    // `Guid` is Plex's list; Tautulli's template has an object, which is the show's where the item is an episode.
    let names = metadata.object("Guids");
    for name in names.iter().flat_map(|names| names.all().keys()) {
        let value = names.and_then(|names| names.text(name)).unwrap_or_default();
        let ids = item.show.as_mut().map_or(&mut item.ids, |show| &mut show.ids);
        match ExternalId::from_provider_ids(name, &value) {
            Ok(Some(id)) => ids.insert(id),
            Ok(None) => {}
            Err(_) => item.junk_ids += 1,
        }
    }
    let path = metadata.text("file").filter(|path| (1..=LONGEST_PATH).contains(&path.len()) && !path.contains('\0'));
    item.path = path.map(Into::into);
    Ok(Some(item))
}
