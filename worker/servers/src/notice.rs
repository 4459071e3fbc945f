//! Webhooks: from the body of a request to what it tells. Which server it comes from is seen by the body, never by a header: proxies
//! change those, Jellyfin calls its JSON plain text, and Emby names itself in none.

mod emby;
mod fields;
mod form;
mod jellyfin;
mod plex;
mod tautulli;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;
use watchstate_domain::item::{Item, ItemState, ServerKind, ShowRef};
use watchstate_domain::notice::{Notice, Teller, What};

use crate::mediabrowser;
use crate::mediabrowser::dto::{ItemDto, UserData};
use fields::Fields;
pub use form::form_to_json;

/// So many events a request may hold; none was seen with more than a few.
const AT_MOST: usize = 100;

/// A longer path can't be opened on Linux, and is no path.
const LONGEST_PATH: usize = 4096;

/// A body that tells nothing. The messages say what to do about it and repeat nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, not UTF-8, or nested deeper than any webhook.
    #[error(
        "the body is no JSON: in Jellyfin's webhook plugin tick \"Send All Properties\" or make the template JSON, in Tautulli check the JSON data"
    )]
    NotJson,
    /// JSON that comes from none of the servers.
    #[error(
        "no webhook that we know. Expected of Plex and Tautulli: \"event\" with \"Metadata\", \"Account\" or \"Server\"; of Emby: \"Event\" with \"Server\", \"Item\" or \"User\"; of Jellyfin: \"NotificationType\" (tick \"Send All Properties\", or make the template carry NotificationType, ServerId, UserId, ItemId and ItemType)"
    )]
    Unknown,
    /// More events than a request may hold.
    #[error("more than {AT_MOST} events in one request: send them in several")]
    TooMany,
    /// The event can't be told without this field.
    #[error("a webhook of {server} without {field}: {remedy}")]
    Missing {
        /// Whose webhook it is.
        server: ServerKind,
        /// What it lacks, as the server calls it.
        field: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// Reads the body of a webhook: JSON, one event or a list of them. Of a list with an unreadable event nothing is returned.
///
/// Events that have no bearing on what was watched, and words that we don't know, are [`What::Other`], as is everything about music and trailers.
/// All others name their server and item, and except for new items the account.
pub fn read(json: &[u8]) -> Result<Vec<(ServerKind, Notice)>, Unreadable> {
    match serde_json::from_slice(json).map_err(|_| Unreadable::NotJson)? {
        Value::Array(events) if events.is_empty() => Err(Unreadable::Unknown),
        Value::Array(events) if events.len() > AT_MOST => Err(Unreadable::TooMany),
        Value::Array(events) => events.iter().map(read_one).collect(),
        event => Ok(vec![read_one(&event)?]),
    }
}

fn read_one(event: &Value) -> Result<(ServerKind, Notice), Unreadable> {
    let told = Fields::of(event).ok_or(Unreadable::Unknown)?;
    let has_one_of = |names: [&str; 3]| names.into_iter().any(|name| told.object(name).is_some());
    if told.has_text("NotificationType") {
        jellyfin::read(told)
    } else if told.has_text("Event") && (emby::is_test(told) || has_one_of(["Server", "Item", "User"])) {
        emby::read(told)
    } else if tautulli::is_sender(told) {
        tautulli::read(told)
    } else if told.has_text("event") && has_one_of(["Metadata", "Account", "Server"]) {
        plex::read(told)
    } else {
        Err(Unreadable::Unknown)
    }
}

/// An item as far as it is described: None for what we don't sync, the missing field where that can't be said.
type Described = Result<Option<Item>, &'static str>;

/// What a parser found, before it is known whether that is enough.
struct Found {
    event: String,
    server_id: Option<String>,
    account: Option<Teller>,
    sent_at: Option<Timestamp>,
    item: Described,
    library_id: Option<String>,
    what: What,
}

/// Who sends events of one form, and what is said about fields that are missing in them.
struct Sender {
    server: ServerKind,
    server_id: &'static str,
    account: &'static str,
    remedy: &'static str,
}

impl Sender {
    fn notice(&self, found: Found) -> Result<(ServerKind, Notice), Unreadable> {
        let missing = |field| Unreadable::Missing { server: self.server, field, remedy: self.remedy };
        let Found { event, server_id, account, sent_at, item, library_id, mut what } = found;
        if item == Ok(None) && what != What::Test {
            what = What::Other;
        }
        let item = if matches!(what, What::Other | What::Test) {
            item.ok().flatten()
        } else {
            if server_id.is_none() {
                return Err(missing(self.server_id));
            }
            let item = item.map_err(missing)?;
            if account.is_none() && what != What::Added {
                return Err(missing(self.account));
            }
            item
        };
        Ok((self.server, Notice { event, server_id, account, sent_at, item, library_id, what }))
    }
}

/// The account, where its id or at least its name is told.
fn teller(id: Option<String>, name: String) -> Option<Teller> {
    (id.is_some() || !name.is_empty()).then(|| Teller { id: id.unwrap_or_default(), name })
}

/// The item with its texts within bounds, and with nobody's state.
fn bounded(item: Item) -> Option<Item> {
    Some(Item {
        remote_id: fields::id(&item.remote_id)?,
        title: fields::name(&item.title),
        show: item.show.map(|show| ShowRef {
            remote_id: show.remote_id.as_deref().and_then(fields::id),
            title: fields::name(&show.title),
            ids: show.ids,
        }),
        path: item.path.filter(|path| path.len() <= LONGEST_PATH && !path.contains('\0')),
        state: ItemState::default(),
        ..item
    })
}

/// An item of Jellyfin or Emby; `id` and `kind` are what the fields are called.
fn described(mut dto: ItemDto<'_>, id: &'static str, kind: &'static str) -> Described {
    if dto.kind.as_deref().is_none_or(str::is_empty) {
        return Err(kind);
    }
    if dto.id.as_deref().and_then(fields::id).is_none() {
        return Err(id);
    }
    // Films without a state are refused by the reader. What happened is told apart from the item.
    dto.user_data = Some(UserData::default());
    Ok(mediabrowser::item::read(dto).ok().flatten().and_then(bounded))
}

/// A position that is told in ticks; without one the event tells nothing.
fn position(ticks: Option<u64>) -> What {
    ticks.map_or(What::Other, |ticks| What::Position { position_ms: ticks / mediabrowser::item::TICKS_A_MILLISECOND })
}
