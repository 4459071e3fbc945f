//! Items: the files of a server, and the titles that they hold.

use std::collections::HashMap;

use jiff::Timestamp;
use watchstate_domain::ids::{ExternalId, Ids};
use watchstate_domain::item::Item;
use watchstate_domain::matching::{By, Conflict, TitleId};
use watchstate_domain::merge::Observation;
use xxhash_rust::xxh3::Xxh3;

use crate::observations::Row;
use crate::stamp::{big, bind, int, number, unsigned};
use crate::{Connection, Result, StoreError};

/// An item as the store knows it, for one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The server's id.
    pub remote_id: String,
    /// Ours.
    pub item_id: i64,
    /// [`fingerprint`] of its facts when it was last stored.
    pub hash: i64,
    /// The library that it is in.
    pub library_id: Option<i64>,
    /// It was no longer there when its library was last read.
    pub gone: bool,
    /// Its running time.
    pub runtime_ms: Option<u64>,
    /// The server's stamp of the last event that was merged into the observation.
    pub told_at: Option<Timestamp>,
    /// What the account was last seen to have of it; None at first sight.
    pub observation: Option<Observation>,
}

/// What is known of the named items, in one query. Each is looked up by its key, which `limit` makes sure of: where statistics are missing or old, Postgres would
/// compare every item of the server with every name. `true_at` of an observation takes into account that a full read of the library confirmed it.
pub async fn known(
    connection: &mut Connection,
    server_id: i64,
    account_id: i64,
    remote_ids: &[String],
) -> Result<Vec<Known>> {
    let rows = sqlx::query!(
        r#"select i.remote_id, i.id, i.hash, i.library_id, i.gone_at is not null as "gone!", i.runtime_ms, o.told_at, o.played as "played?", o.plays as "plays?", o.last_played_at,
               o.position_ms as "position_ms?", o.finished_plays as "finished_plays?", o.added_at,
               greatest(o.true_at, c.full_read_at) as "true_at?", o.expected_played, o.expected_at, o.expected_stamp, o.finish_told_at
           from unnest($3::text[]) as wanted (remote_id)
           cross join lateral (select * from item where server_id = $1 and remote_id = wanted.remote_id limit 1) i
           left join lateral (
               select * from observation where account_id = $2 and item_id = i.id and gone_at is null limit 1
           ) o on true
           left join cursor c on c.account_id = $2 and c.library_id = i.library_id"#,
        server_id,
        account_id,
        remote_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Known {
            remote_id: row.remote_id,
            item_id: row.id,
            hash: row.hash,
            library_id: row.library_id,
            gone: row.gone,
            runtime_ms: row.runtime_ms.map(unsigned),
            told_at: crate::stamp::read(row.told_at),
            observation: Row {
                played: row.played,
                plays: row.plays,
                last_played_at: row.last_played_at,
                position_ms: row.position_ms,
                finished_plays: row.finished_plays,
                added_at: row.added_at,
                true_at: row.true_at,
                expected_played: row.expected_played,
                expected_at: row.expected_at,
                expected_stamp: row.expected_stamp,
                finish_told_at: row.finish_told_at,
            }
            .observation(),
        })
        .collect())
}

/// A hash of everything by which an item is matched and shown. Items with the hash that is stored need no second look.
pub fn fingerprint(item: &Item, path_key: Option<&str>) -> i64 {
    let mut hash = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(item.kind.as_str().as_bytes());
    part(item.title.as_bytes());
    if let Some(show) = &item.show {
        part(show.title.as_bytes());
        part(show.remote_id.as_deref().unwrap_or_default().as_bytes());
        for id in show.ids.iter() {
            part(id.to_string().as_bytes());
        }
    }
    let numbers = [
        item.year.map(i64::from),
        item.season.map(i64::from),
        item.episode.map(i64::from),
        item.episode_end.map(i64::from),
    ];
    for number in numbers {
        part(&number.unwrap_or(i64::MIN).to_le_bytes());
    }
    for id in item.ids.iter() {
        part(id.provider.as_str().as_bytes());
        part(id.value.as_bytes());
    }
    part(item.path.as_deref().unwrap_or_default().as_bytes());
    part(path_key.unwrap_or_default().as_bytes());
    part(&item.runtime_ms.unwrap_or_default().to_le_bytes());
    i64::from_le_bytes(hash.digest().to_le_bytes())
}

/// An item to be stored, with the titles that it was found to hold.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    /// What the server said.
    pub item: &'a Item,
    /// Its path after the server's path rules.
    pub path_key: Option<String>,
    /// Its [`fingerprint`].
    pub hash: i64,
    /// The titles in the file, in order; empty for an item that nothing could be matched by.
    pub titles: Vec<TitleId>,
    /// How the first of them was found.
    pub by: Option<By>,
    /// What contradicts.
    pub conflicts: Vec<Conflict>,
}

/// Stores items of one library and the titles that they hold. Returns our ids, in the order of `placed`.
pub async fn save(
    connection: &mut Connection,
    server_id: i64,
    library_id: i64,
    placed: &[Placed<'_>],
    now: Timestamp,
) -> Result<Vec<i64>> {
    if placed.is_empty() {
        return Ok(Vec::new());
    }
    let text = |read: fn(&Item) -> Option<String>| placed.iter().map(|one| read(one.item)).collect::<Vec<_>>();
    let numbers = |read: fn(&Item) -> Option<u32>| placed.iter().map(|one| read(one.item).map(int)).collect::<Vec<_>>();
    let conflicts = placed
        .iter()
        .map(|one| (!one.conflicts.is_empty()).then(|| serde_json::to_value(&one.conflicts)).transpose())
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let rows = sqlx::query!(
        r#"insert into item (server_id, library_id, remote_id, kind, name, show_name, year, season, episode, ids, junk_ids, path, path_key,
               runtime_ms, hash, matched_by, conflicts, first_seen_at)
           select $1, $2, new.remote_id, new.kind, new.name, new.show_name, new.year, new.season, new.episode,
               string_to_array(new.ids, ' '), new.junk_ids, new.path, new.path_key, new.runtime_ms, new.hash, new.matched_by, new.conflicts, $3
           from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::integer[], $10::integer[], $11::text[],
               $12::integer[], $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::text[], $18::jsonb[])
               as new (remote_id, kind, name, show_name, year, season, episode, ids, junk_ids, path, path_key, runtime_ms, hash, matched_by,
               conflicts),
               (select from server s join library l on l.server_id = s.id where s.id = $1 and l.id = $2 for key share) as held
           on conflict (server_id, remote_id) do update set
               library_id = excluded.library_id, kind = excluded.kind, name = excluded.name, show_name = excluded.show_name,
               year = excluded.year, season = excluded.season, episode = excluded.episode, ids = excluded.ids,
               junk_ids = excluded.junk_ids, path = excluded.path, path_key = excluded.path_key, runtime_ms = excluded.runtime_ms,
               hash = excluded.hash, matched_by = excluded.matched_by, conflicts = excluded.conflicts, gone_at = null
           returning id, remote_id, xmax = 0 as "new!""#,
        server_id,
        library_id,
        bind(now),
        &placed.iter().map(|one| one.item.remote_id.clone()).collect::<Vec<_>>(),
        &placed.iter().map(|one| one.item.kind.as_str().to_owned()).collect::<Vec<_>>(),
        &placed.iter().map(|one| one.item.title.clone()).collect::<Vec<_>>(),
        &text(|item| item.show.as_ref().map(|show| show.title.clone())) as _,
        &placed.iter().map(|one| one.item.year).collect::<Vec<_>>() as _,
        &numbers(|item| item.season) as _,
        &numbers(|item| item.episode) as _,
        &placed.iter().map(|one| one.item.ids.to_string()).collect::<Vec<_>>(),
        &placed.iter().map(|one| int(one.item.junk_ids)).collect::<Vec<_>>(),
        &text(|item| item.path.clone()) as _,
        &placed.iter().map(|one| one.path_key.clone()).collect::<Vec<_>>() as _,
        &placed.iter().map(|one| one.item.runtime_ms.map(big)).collect::<Vec<_>>() as _,
        &placed.iter().map(|one| one.hash).collect::<Vec<_>>(),
        &placed.iter().map(|one| one.by.map(by_word)).collect::<Vec<_>>() as _,
        &conflicts as _,
    )
    .fetch_all(&mut *connection)
    .await?;
    let known: Vec<i64> = rows.iter().filter(|row| !row.new).map(|row| row.id).collect();
    let by_remote: HashMap<String, i64> = rows.into_iter().map(|row| (row.remote_id, row.id)).collect();
    let ids: Vec<i64> = placed.iter().filter_map(|one| by_remote.get(&one.item.remote_id).copied()).collect();
    if ids.len() != placed.len() {
        return Err(StoreError::Inconsistent {
            table: "item",
            column: "remote_id",
            found: "fewer rows than items".into(),
        });
    }
    link(connection, placed, &ids, &known).await?;
    Ok(ids)
}

/// Links items to their titles, and to no others. `known`: those that may have links already.
async fn link(connection: &mut Connection, placed: &[Placed<'_>], ids: &[i64], known: &[i64]) -> Result<()> {
    let mut items = Vec::with_capacity(ids.len());
    let mut titles = Vec::with_capacity(ids.len());
    let mut ordinals: Vec<i16> = Vec::with_capacity(ids.len());
    for (one, item_id) in placed.iter().zip(ids) {
        for (ordinal, title) in one.titles.iter().enumerate() {
            items.push(*item_id);
            titles.push(title.0);
            ordinals.push(i16::try_from(ordinal).unwrap_or(i16::MAX));
        }
    }
    if !known.is_empty() {
        sqlx::query!(
            r#"delete from item_title where item_id = any($1)
               and (item_id, title_id) not in (select * from unnest($2::bigint[], $3::bigint[]))"#,
            known,
            &items,
            &titles,
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        r#"insert into item_title (item_id, title_id, ordinal)
           select distinct on (new.item_id, new.title_id) new.item_id, new.title_id, new.ordinal
           from unnest($1::bigint[], $2::bigint[], $3::smallint[]) as new (item_id, title_id, ordinal)
           order by new.item_id, new.title_id, new.ordinal
           on conflict (item_id, title_id) do update set ordinal = excluded.ordinal where item_title.ordinal <> excluded.ordinal"#,
        &items,
        &titles,
        &ordinals,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The ids that the named items were last seen with.
pub async fn ids_of(connection: &mut Connection, item_ids: &[i64]) -> Result<HashMap<i64, Ids>> {
    if item_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!("select id, ids from item where id = any($1)", item_ids).fetch_all(connection).await?;
    rows.into_iter().map(|row| Ok((row.id, ids(&row.ids)?))).collect()
}

/// Where other episodes of the shows stand at the server that carry one of the ids; those of `except` apart.
pub async fn places_of(
    connection: &mut Connection,
    server_id: i64,
    shows: &[TitleId],
    wanted: &[ExternalId],
    except: &[i64],
) -> Result<Vec<(Ids, (u32, u32))>> {
    if shows.is_empty() || wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select i.ids, i.season as "season!", i.episode as "episode!"
           from title t join item_title it on it.title_id = t.id join item i on i.id = it.item_id
           where t.show_id = any($2) and i.server_id = $1 and i.kind = 'episode' and i.gone_at is null and i.ids && $3 and i.id <> all($4)
               and i.season is not null and i.episode is not null"#,
        server_id,
        &shows.iter().map(|show| show.0).collect::<Vec<_>>(),
        &wanted.iter().map(ToString::to_string).collect::<Vec<_>>(),
        except,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((ids(&row.ids)?, (number(row.season), number(row.episode))))).collect()
}

/// Ids as an item's row holds them.
fn ids(texts: &[String]) -> Result<Ids> {
    let id = |text: &String| {
        let (provider, value) = text.split_once(':')?;
        Some(ExternalId { provider: provider.parse().ok()?, value: value.to_owned() })
    };
    let inconsistent = |text: &String| StoreError::Inconsistent { table: "item", column: "ids", found: text.clone() };
    texts.iter().map(|text| id(text).ok_or_else(|| inconsistent(text))).collect()
}

/// The titles of the named items, in order.
pub async fn titles_of(connection: &mut Connection, item_ids: &[i64]) -> Result<Vec<(i64, TitleId)>> {
    let rows = sqlx::query!(
        "select item_id, title_id from item_title where item_id = any($1) order by item_id, ordinal",
        item_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.item_id, TitleId(row.title_id))).collect())
}

/// Those of the named items that lie in a library which doesn't take part.
pub async fn in_other_libraries(connection: &mut Connection, item_ids: &[i64]) -> Result<Vec<i64>> {
    let ids = sqlx::query_scalar!(
        "select i.id from item i join library l on l.id = i.library_id where i.id = any($1) and not (l.selected and l.supported)",
        item_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

/// The titles of items by the server's ids of them.
pub async fn titles_at(connection: &mut Connection, server_id: i64, remote_ids: &[String]) -> Result<Vec<TitleId>> {
    let rows = sqlx::query_scalar!(
        r#"select it.title_id from item i join item_title it on it.item_id = i.id
           where i.server_id = $1 and i.remote_id = any($2)"#,
        server_id,
        remote_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(TitleId).collect())
}

/// The titles of shows by the shows' own ids at the server.
pub async fn shows(
    connection: &mut Connection,
    server_id: i64,
    remote_ids: &[String],
) -> Result<Vec<(String, TitleId)>> {
    let rows = sqlx::query!(
        r#"select i.remote_id, it.title_id from item i join item_title it on it.item_id = i.id
           where i.server_id = $1 and i.kind = 'show' and i.remote_id = any($2)"#,
        server_id,
        remote_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.remote_id, TitleId(row.title_id))).collect())
}

/// Revives items that were gone and are unchanged.
pub async fn revive(connection: &mut Connection, item_ids: &[i64]) -> Result<()> {
    sqlx::query!("update item set gone_at = null where id = any($1) and gone_at is not null", item_ids)
        .execute(connection)
        .await?;
    Ok(())
}

const fn by_word(by: By) -> &'static str {
    match by {
        By::Ids => "ids",
        By::Numbering => "numbering",
        By::Path => "path",
        By::New => "new",
    }
}

/// What the named items are called: `Heat`, `Severance S01E03 In Perpetuity`.
pub async fn names(connection: &mut Connection, item_ids: &[i64]) -> Result<HashMap<i64, String>> {
    let rows = sqlx::query!(
        r#"select id, concat_ws(' ', show_name, case when season is not null then
               format('S%sE%s', lpad(season::text, 2, '0'), lpad(episode::text, 2, '0')) end, name) as "name!"
           from item where id = any($1)"#,
        item_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}
