//! From an answer of Plex Media Server to an item.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};
use watchstate_domain::ids::{Ids, Kind, PlexGuid, plex_guid};
use watchstate_domain::item::{Item, ItemState, ShowRef};

use super::dto::Metadata;
use crate::lenient::storable;

/// Reads one entry; None for what we don't sync.
pub(super) fn read(dto: Metadata<'_>) -> Option<Item> {
    let kind = match dto.kind.as_deref()? {
        "movie" => Kind::Movie,
        "show" => Kind::Show,
        "episode" => Kind::Episode,
        _ => return None,
    };
    let remote_id = dto.rating_key.filter(|key| !key.is_empty())?.into_owned();
    let episode = kind == Kind::Episode;
    let mut ids = Ids::default();
    let mut show_ids = Ids::default();
    let mut numbers = None;
    let mut own_order = false;
    let mut junk_ids = 0;
    for guid in dto.guid.iter().chain(dto.guids.iter().filter_map(|guid| guid.id.as_ref())) {
        match plex_guid(guid) {
            Ok(PlexGuid { own, of_show, own_order: ordered_anew }) => {
                own_order |= ordered_anew;
                if let Some(id) = own {
                    ids.insert(id);
                }
                if let Some((id, season, number)) = of_show.filter(|_| episode) {
                    show_ids.insert(id);
                    numbers.get_or_insert((season, number));
                }
            }
            Err(_) => junk_ids += 1,
        }
    }
    if let Some(id) = dto.grandparent_guid.as_deref().and_then(|guid| plex_guid(guid).ok()).and_then(|guid| guid.own) {
        show_ids.insert(id);
    }
    let plays = dto.view_count.unwrap_or_default();
    let placed = episode && !own_order;
    let path = dto.media.into_iter().flat_map(|media| media.parts).find_map(|part| part.file);
    Some(Item {
        remote_id,
        kind,
        title: storable(dto.title.unwrap_or_default()),
        show: episode.then(|| ShowRef {
            remote_id: dto.grandparent_rating_key.filter(|key| !key.is_empty()).map(Into::into),
            title: storable(dto.grandparent_title.unwrap_or_default()),
            ids: show_ids,
        }),
        // An episode carries the year in which it was first sent, not its show's.
        year: dto.year.filter(|year| !episode && *year > 0),
        season: dto.parent_index.filter(|_| placed).or_else(|| numbers.map(|(season, _)| season)),
        episode: dto.index.filter(|_| placed).or_else(|| numbers.map(|(_, number)| number)),
        // A file that holds several episodes is listed once for each.
        episode_end: None,
        ids,
        junk_ids,
        path: path.filter(|path| !path.is_empty() && !path.contains('\0')).map(Into::into),
        runtime_ms: dto.duration.filter(|duration| *duration > 0),
        added_at: dto.added_at,
        state: ItemState {
            played: plays > 0,
            plays,
            last_played_at: dto.last_viewed_at,
            position_ms: dto.view_offset.unwrap_or_default(),
        },
    })
}

/// Reads the `Metadata` of a webhook, which anybody may have written: lists that aren't what they should be are left out.
pub(crate) fn item_of_webhook(metadata: &Map<String, Value>) -> Option<Item> {
    let fits = |name: &str, value: &Value| match name {
        "Guid" => value.as_array().is_some_and(|guids| guids.iter().all(Value::is_object)),
        "Media" | "User" => false,
        _ => true,
    };
    let fields = metadata.iter().filter(|(name, value)| fits(name, value)).map(|(name, value)| (name.as_str(), value));
    Metadata::deserialize(MapDeserializer::<_, serde_json::Error>::new(fields)).ok().and_then(read)
}

/// When the entry was last changed; new entries may carry the date of their arrival only.
pub(super) fn changed_at(dto: &Metadata<'_>) -> Option<Timestamp> {
    dto.updated_at.or(dto.added_at)
}
