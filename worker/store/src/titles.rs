//! Titles and the ids that name them: loading what a batch of items may mean, storing what matching found.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use watchstate_domain::ids::{ExternalId, Ids, Kind};
use watchstate_domain::item::Item;
use watchstate_domain::matching::{Catalogue, Changes, Numbering, Title, TitleId};

use crate::stamp::{big, bind, int, number};
use crate::{Connection, Result, StoreError};

/// What a batch of items may mean: everything by which known titles are looked up.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Ids, each with the kind of title that it names.
    pub ids: Vec<(Kind, ExternalId)>,
    /// Places of episodes.
    pub places: Vec<Numbering>,
    /// Paths after path rules.
    pub paths: Vec<(Kind, String)>,
    /// Titles that the items were linked to.
    pub linked: Vec<TitleId>,
    /// How many new titles may be needed at most.
    pub fresh: usize,
}

/// Loads the titles that `wanted` may mean. Call it under [`crate::locks::Titles::Change`].
pub async fn load(connection: &mut Connection, wanted: &Wanted) -> Result<Catalogue<std::vec::IntoIter<TitleId>>> {
    let paths = by_path(connection, &wanted.paths).await?;
    let linked: Vec<i64> =
        wanted.linked.iter().chain(paths.iter().map(|(_, _, title)| title)).map(|title| title.0).collect();
    // In the order of the index, neighbours are found on the same page of it.
    let mut ids: Vec<&(Kind, ExternalId)> = wanted.ids.iter().collect();
    ids.sort_unstable_by_key(|(kind, id)| (&id.value, id.provider.as_str(), kind.as_str()));
    ids.dedup();
    let rows = sqlx::query!(
        r#"with named as (
               select e.title_id as id, false as linked
               from unnest($1::text[], $2::text[], $3::text[]) as w (kind, provider, value)
               join external_id e on e.value = w.value and e.provider = w.provider and e.kind = w.kind
               union all
               select t.id, false
               from unnest($4::bigint[], $5::integer[], $6::integer[]) as w (show_id, season, episode)
               join title t on t.show_id = w.show_id and t.season = w.season and t.episode = w.episode
               union all
               select unnest($7::bigint[]), true
           ), found as (
               select id, bool_or(linked) as linked from named group by id
           )
           select t.id, t.kind, t.show_id, t.season, t.episode,
               case when found.linked then (
                   select count(*) from item_title it
                   cross join lateral (select from item i where i.id = it.item_id and i.gone_at is null limit 1) there
                   where it.title_id = t.id) end as tellers
           from found join title t on t.id = found.id"#,
        &ids.iter().map(|(kind, _)| kind.as_str().to_owned()).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.provider.as_str().to_owned()).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.value.clone()).collect::<Vec<_>>(),
        &wanted.places.iter().map(|place| place.show.0).collect::<Vec<_>>(),
        &wanted.places.iter().map(|place| int(place.season)).collect::<Vec<_>>(),
        &wanted.places.iter().map(|place| int(place.episode)).collect::<Vec<_>>(),
        &linked,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut ids = ids_of(connection, &rows.iter().map(|row| TitleId(row.id)).collect::<Vec<_>>()).await?;
    let mut titles = Vec::with_capacity(rows.len());
    for row in rows {
        titles.push(Title {
            id: TitleId(row.id),
            kind: row.kind.parse().map_err(|_| inconsistent("title", "kind", &row.kind))?,
            ids: ids.remove(&TitleId(row.id)).unwrap_or_default(),
            numbering: match (row.show_id, row.season, row.episode) {
                (Some(show), Some(season), Some(episode)) => {
                    Some(Numbering { show: TitleId(show), season: number(season), episode: number(episode) })
                }
                _ => None,
            },
            tellers: row.tellers.map_or(u32::MAX, |tellers| u32::try_from(tellers).unwrap_or(u32::MAX)),
        });
    }
    let fresh = reserve(connection, wanted.fresh).await?;
    Ok(Catalogue::new(titles, paths, fresh.into_iter()))
}

/// The ids that name these titles.
pub async fn ids_of(connection: &mut Connection, titles: &[TitleId]) -> Result<HashMap<TitleId, Ids>> {
    if titles.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<i64> = titles.iter().map(|title| title.0).collect();
    let rows = sqlx::query!("select title_id, provider, value from external_id where title_id = any($1)", &keys)
        .fetch_all(connection)
        .await?;
    let mut ids: HashMap<TitleId, Ids> = HashMap::with_capacity(titles.len());
    for row in rows {
        let provider = row.provider.parse().map_err(|_| inconsistent("external_id", "provider", &row.provider))?;
        ids.entry(TitleId(row.title_id)).or_default().insert(ExternalId { provider, value: row.value });
    }
    Ok(ids)
}

/// Keeps titles from being joined away until the transaction ends. Returns how many are still there.
pub async fn hold(connection: &mut Connection, titles: &BTreeSet<TitleId>) -> Result<usize> {
    let keys: Vec<i64> = titles.iter().map(|title| title.0).collect();
    let there = sqlx::query!("select from title where id = any($1) order by id for key share", &keys)
        .fetch_all(connection)
        .await?;
    Ok(there.len())
}

/// The title that an item's own ids name, or its show with season and number; None where they name none, or several. Makes and changes nothing.
pub async fn named(connection: &mut Connection, server_id: i64, item: &Item) -> Result<Option<TitleId>> {
    let ids: Vec<ExternalId> = item.ids.iter().collect();
    let show = item.show.as_ref();
    let show_ids: Vec<ExternalId> = show.map(|show| show.ids.iter().collect()).unwrap_or_default();
    let rows = sqlx::query_scalar!(
        r#"with show as (
               select it.title_id as id from item i join item_title it on it.item_id = i.id
               where i.server_id = $1 and i.kind = 'show' and i.remote_id = $2
               union
               select e.title_id from unnest($3::text[], $4::text[]) as w (provider, value)
               join external_id e on e.value = w.value and e.provider = w.provider and e.kind = 'show'
           )
           select distinct found.id as "id!" from (
               select e.title_id as id from unnest($5::text[], $6::text[]) as w (provider, value)
               join external_id e on e.value = w.value and e.provider = w.provider and e.kind = $7
               union
               select t.id from show join title t on t.show_id = show.id where t.season = $8 and t.episode = $9 and $7 = 'episode'
           ) found limit 2"#,
        server_id,
        show.and_then(|show| show.remote_id.as_deref()),
        &show_ids.iter().map(|id| id.provider.as_str().to_owned()).collect::<Vec<_>>(),
        &show_ids.iter().map(|id| id.value.clone()).collect::<Vec<_>>(),
        &ids.iter().map(|id| id.provider.as_str().to_owned()).collect::<Vec<_>>(),
        &ids.iter().map(|id| id.value.clone()).collect::<Vec<_>>(),
        item.kind.as_str(),
        item.season.map(int),
        item.episode.map(int),
    )
    .fetch_all(connection)
    .await?;
    Ok(match rows[..] {
        [one] => Some(TitleId(one)),
        _ => None,
    })
}

async fn by_path(connection: &mut Connection, paths: &[(Kind, String)]) -> Result<Vec<(Kind, String, TitleId)>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select distinct on (i.kind, i.path_key) i.kind, i.path_key as "path_key!", it.title_id
           from unnest($1::text[], $2::text[]) as w (kind, path)
           join item i on i.path_key = w.path and i.kind = w.kind and i.gone_at is null
           join item_title it on it.item_id = i.id
           order by i.kind, i.path_key, it.title_id"#,
        &paths.iter().map(|(kind, _)| kind.as_str().to_owned()).collect::<Vec<_>>(),
        &paths.iter().map(|(_, path)| path.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let kind = row.kind.parse().map_err(|_| inconsistent("item", "kind", &row.kind))?;
            Ok((kind, row.path_key, TitleId(row.title_id)))
        })
        .collect()
}

/// Keys for titles that may be made. Those that aren't used are lost, which costs nothing.
async fn reserve(connection: &mut Connection, count: usize) -> Result<Vec<TitleId>> {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let keys =
        sqlx::query_scalar!(r#"select nextval('title_id_seq') as "key!" from generate_series(1, $1::integer)"#, count,)
            .fetch_all(connection)
            .await?;
    Ok(keys.into_iter().map(TitleId).collect())
}

/// What a new title is called, beside what matching knows of it.
#[derive(Debug, Clone)]
pub struct Naming {
    /// Which title.
    pub id: TitleId,
    /// The film's, show's or episode's name.
    pub name: String,
    /// Its year.
    pub year: Option<i32>,
    /// Its running time in milliseconds.
    pub runtime_ms: Option<u64>,
    /// For an episode: its show, season and episode, whether it could claim the place or not.
    pub place: Option<Numbering>,
}

/// Stores what matching found: joins first, so that ids and places are free for those who get them.
pub async fn save(connection: &mut Connection, changes: &Changes, names: &[Naming], now: Timestamp) -> Result<()> {
    for (from, into) in &changes.joined {
        join(connection, *from, *into).await?;
    }
    forget(connection, &changes.forgotten).await?;
    let names: HashMap<TitleId, &Naming> = names.iter().map(|naming| (naming.id, naming)).collect();
    let created = &changes.created;
    let naming = |title: &Title| names.get(&title.id).copied();
    sqlx::query!(
        r#"insert into title (id, kind, name, year, runtime_ms, show_id, season, episode, created_at)
           select new.id, new.kind, new.name, new.year, new.runtime_ms, new.show_id, new.season, new.episode, $1
           from unnest($2::bigint[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::bigint[], $8::integer[], $9::integer[])
               as new (id, kind, name, year, runtime_ms, show_id, season, episode)"#,
        bind(now),
        &created.iter().map(|title| title.id.0).collect::<Vec<_>>(),
        &created.iter().map(|title| title.kind.as_str().to_owned()).collect::<Vec<_>>(),
        &created.iter().map(|title| naming(title).map_or_else(String::new, |given| given.name.clone())).collect::<Vec<_>>(),
        &created.iter().map(|title| naming(title).and_then(|given| given.year)).collect::<Vec<_>>() as _,
        &created.iter().map(|title| naming(title).and_then(|given| given.runtime_ms).map(big)).collect::<Vec<_>>() as _,
        &created.iter().map(|title| title.numbering.map(|place| place.show.0)).collect::<Vec<_>>() as _,
        &created.iter().map(|title| place(title, naming(title)).map(|place| int(place.season))).collect::<Vec<_>>() as _,
        &created.iter().map(|title| place(title, naming(title)).map(|place| int(place.episode))).collect::<Vec<_>>() as _,
    )
    .execute(&mut *connection)
    .await?;
    name(connection, created).await?;
    learn(connection, &changes.learned).await?;
    if changes.numbered.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"update title t set show_id = new.show_id, season = new.season, episode = new.episode
           from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[]) as new (id, show_id, season, episode)
           where t.id = new.id and t.show_id is null"#,
        &changes.numbered.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        &changes.numbered.iter().map(|(_, place)| place.show.0).collect::<Vec<_>>(),
        &changes.numbered.iter().map(|(_, place)| int(place.season)).collect::<Vec<_>>(),
        &changes.numbered.iter().map(|(_, place)| int(place.episode)).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The place to show: the one that it claims, else the one that its server gives it.
fn place(title: &Title, naming: Option<&Naming>) -> Option<Numbering> {
    title.numbering.or_else(|| naming.and_then(|naming| naming.place))
}

/// Stores the ids of new titles.
async fn name(connection: &mut Connection, created: &[Title]) -> Result<()> {
    let ids = created.iter().flat_map(|title| title.ids.iter().map(move |id| (title, id)));
    let mut ids: Vec<(&Title, ExternalId)> = ids.collect();
    if ids.is_empty() {
        return Ok(());
    }
    // In the order of the index, neighbours are stored on the same page of it.
    ids.sort_unstable_by(|(_, one), (_, other)| {
        (&one.value, one.provider.as_str()).cmp(&(&other.value, other.provider.as_str()))
    });
    sqlx::query!(
        r#"insert into external_id (kind, provider, value, title_id)
           select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
           on conflict (value, provider, kind) do nothing"#,
        &ids.iter().map(|(title, _)| title.kind.as_str().to_owned()).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.provider.as_str().to_owned()).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.value.clone()).collect::<Vec<_>>(),
        &ids.iter().map(|(title, _)| title.id.0).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn learn(connection: &mut Connection, ids: &[(TitleId, ExternalId)]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"insert into external_id (kind, provider, value, title_id)
           select t.kind, new.provider, new.value, t.id
           from unnest($1::bigint[], $2::text[], $3::text[]) as new (title_id, provider, value)
           join title t on t.id = new.title_id
           on conflict (value, provider, kind) do nothing"#,
        &ids.iter().map(|(title, _)| title.0).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.provider.as_str().to_owned()).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.value.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn forget(connection: &mut Connection, ids: &[(TitleId, ExternalId)]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"delete from external_id e using unnest($1::bigint[], $2::text[], $3::text[]) as old (title_id, provider, value)
           where e.title_id = old.title_id and e.provider = old.provider and e.value = old.value"#,
        &ids.iter().map(|(title, _)| title.0).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.provider.as_str().to_owned()).collect::<Vec<_>>(),
        &ids.iter().map(|(_, id)| id.value.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes two titles one: ids, items, episodes, states and history go over, then the first is gone. A rare event, so a statement an aspect.
async fn join(connection: &mut Connection, from: TitleId, into: TitleId) -> Result<()> {
    // Whoever holds one of them is about to tell of it: what is told is to be joined as well.
    sqlx::query!("select from title where id in ($1, $2) order by id for update", from.0, into.0)
        .execute(&mut *connection)
        .await?;
    crate::watches::join(connection, from, into).await?;
    sqlx::query!("update external_id set title_id = $2 where title_id = $1", from.0, into.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        r#"insert into item_title (item_id, title_id, ordinal)
           select item_id, $2, ordinal from item_title where title_id = $1 on conflict do nothing"#,
        from.0,
        into.0,
    )
    .execute(&mut *connection)
    .await?;
    // Two shows that are one may both have an episode 3: those are joined too, the rest moves.
    let twins = sqlx::query!(
        r#"select a.id as "from_id!", b.id as "into_id!" from title a join title b
               on b.show_id = $2 and b.season = a.season and b.episode = a.episode
           where a.show_id = $1"#,
        from.0,
        into.0,
    )
    .fetch_all(&mut *connection)
    .await?;
    for twin in twins {
        if contradict(connection, twin.from_id, twin.into_id).await? {
            sqlx::query!("update title set show_id = null where id = $1", twin.from_id)
                .execute(&mut *connection)
                .await?;
        } else {
            Box::pin(join(connection, TitleId(twin.from_id), TitleId(twin.into_id))).await?;
        }
    }
    sqlx::query!("update title set show_id = $2 where show_id = $1", from.0, into.0).execute(&mut *connection).await?;
    let place = sqlx::query!("select show_id, season, episode from title where id = $1", from.0)
        .fetch_optional(&mut *connection)
        .await?;
    sqlx::query!("delete from title where id = $1", from.0).execute(&mut *connection).await?;
    if let Some(place) = place {
        sqlx::query!(
            "update title set show_id = coalesce(show_id, $2), season = coalesce(season, $3), episode = coalesce(episode, $4) where id = $1",
            into.0,
            place.show_id,
            place.season,
            place.episode,
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn contradict(connection: &mut Connection, one: i64, other: i64) -> Result<bool> {
    let contradiction = sqlx::query_scalar!(
        r#"select exists (
               select 1 from external_id a join external_id b on b.provider = a.provider and b.value <> a.value
               where a.provider <> 'path' and a.title_id = $1 and b.title_id = $2) as "contradiction!""#,
        one,
        other,
    )
    .fetch_one(connection)
    .await?;
    Ok(contradiction)
}

fn inconsistent(table: &'static str, column: &'static str, found: &str) -> StoreError {
    StoreError::Inconsistent { table, column, found: found.to_owned() }
}
