//! From an answer of Jellyfin or Emby to an item.

use watchstate_domain::ids::{ExternalId, Ids, Kind};
use watchstate_domain::item::{Item, ItemState, ShowRef};

use super::dto::{ItemDto, UserData};
use crate::lenient::storable;

/// A tick is 100 ns.
pub(crate) const TICKS_A_MILLISECOND: u64 = 10_000;

/// A film or episode came without a state: not the answer that was asked for.
pub(crate) struct Stateless;

impl From<&UserData> for ItemState {
    fn from(data: &UserData) -> Self {
        Self {
            played: data.played.unwrap_or_default(),
            plays: data.play_count.unwrap_or_default(),
            last_played_at: data.last_played_date,
            position_ms: data.playback_position_ticks.unwrap_or_default() / TICKS_A_MILLISECOND,
        }
    }
}

/// Reads one entry; None for what we don't sync.
pub(crate) fn read(dto: ItemDto<'_>) -> Result<Option<Item>, Stateless> {
    let kind = match dto.kind.as_deref() {
        Some("Movie") => Kind::Movie,
        Some("Series") => Kind::Show,
        Some("Episode") => Kind::Episode,
        _ => return Ok(None),
    };
    let Some(remote_id) = dto.id.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let state = match (&dto.user_data, kind) {
        (Some(data), _) => ItemState::from(data),
        (None, Kind::Show) => ItemState::default(),
        // To read it as unplayed would un-watch it elsewhere.
        (None, Kind::Movie | Kind::Episode) => return Err(Stateless),
    };
    let mut ids = Ids::default();
    let mut junk_ids = 0;
    for (name, value) in &dto.provider_ids.0 {
        match ExternalId::from_provider_ids(name, value) {
            Ok(Some(id)) => ids.insert(id),
            Ok(None) => {}
            Err(_) => junk_ids += 1,
        }
    }
    let episode = kind == Kind::Episode;
    let number = dto.index_number.filter(|_| episode);
    Ok(Some(Item {
        remote_id: remote_id.into_owned(),
        kind,
        title: storable(dto.name.unwrap_or_default()),
        show: episode.then(|| ShowRef {
            remote_id: dto.series_id.filter(|id| !id.is_empty()).map(Into::into),
            title: storable(dto.series_name.unwrap_or_default()),
            ids: Ids::default(),
        }),
        // An episode carries the year in which it was first sent, not its show's.
        year: dto.production_year.filter(|year| !episode && *year > 0),
        season: dto.parent_index_number.filter(|_| episode),
        episode: number,
        episode_end: dto.index_number_end.filter(|end| number.is_some_and(|first| *end > first)),
        ids,
        junk_ids,
        path: dto.path.filter(|path| !path.is_empty() && !path.contains('\0')).map(Into::into),
        runtime_ms: dto.run_time_ticks.filter(|ticks| *ticks > 0).map(|ticks| ticks / TICKS_A_MILLISECOND),
        added_at: dto.date_created,
        state,
    }))
}
