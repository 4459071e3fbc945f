//! Everything that is known of what one person has watched, in pages by title, as one moment saw it.

use jiff_sqlx::Timestamp as Stamp;
use watchstate_domain::ids::{ExternalId, Ids, Kind};
use watchstate_domain::watch::{Position, Watch};

use crate::stamp::{number, unsigned};
use crate::{Connection, Result, StoreError};

/// A title with what one person's truth of it is. Its viewings are read by [`crate::watches::histories`].
#[derive(Debug, Clone)]
pub struct Entry {
    /// The title's key.
    pub title_id: i64,
    /// Film or episode.
    pub kind: Kind,
    /// Its name.
    pub title: String,
    /// Its year.
    pub year: Option<i32>,
    /// Its show's name, where it is known.
    pub show: Option<String>,
    /// Its show's ids.
    pub show_ids: Ids,
    /// Its season.
    pub season: Option<u32>,
    /// Its number.
    pub episode: Option<u32>,
    /// Its ids.
    pub ids: Ids,
    /// The agreed truth.
    pub watch: Watch,
    /// When it was last watched.
    pub played_at: Option<jiff::Timestamp>,
}

/// Lets the transaction that has just begun see one moment, however long it reads. Nothing can be written in it.
pub async fn freeze(connection: &mut Connection) -> Result<()> {
    sqlx::query!("set transaction isolation level repeatable read, read only").execute(connection).await?;
    Ok(())
}

/// Up to `limit` titles behind `after` (by key) of which something is known for the person.
pub async fn page(connection: &mut Connection, person_id: i64, after: i64, limit: i64) -> Result<Vec<Entry>> {
    let rows = sqlx::query!(
        r#"with chosen as materialized (
               select known.id from (
                   (select w.title_id as id from watch_state w join title t on t.id = w.title_id and t.kind <> 'show'
                    where w.person_id = $1 and w.title_id > $2 and (w.marked_at is not null or w.position_ms is not null)
                    order by w.title_id limit $3)
                   union
                   (select distinct p.title_id as id from play p join title t on t.id = p.title_id and t.kind <> 'show'
                    where p.person_id = $1 and p.title_id > $2 order by p.title_id limit $3)
               ) known order by known.id limit $3
           )
           select t.id as "id!", t.kind as "kind!", t.name as "name!", t.year, t.season, t.episode,
               coalesce(s.name, (select i.show_name from item_title it join item i on i.id = it.item_id
                   where it.title_id = t.id and i.show_name is not null order by i.id limit 1)) as show,
               (select coalesce(array_agg(e.provider || ':' || e.value), '{}') from external_id e where e.title_id = t.id) as "ids!",
               (select coalesce(array_agg(e.provider || ':' || e.value), '{}') from external_id e where e.title_id = s.id) as "show_ids!",
               w.marked_at as "marked_at?", w.played as "played?", w.played_at as "played_at?", w.position_ms as "position_ms?",
               w.position_at as "position_at?"
           from chosen c
           join title t on t.id = c.id
           left join title s on s.id = t.show_id
           left join watch_state w on w.person_id = $1 and w.title_id = t.id
           order by t.id"#,
        person_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let position = row
                .position_ms
                .zip(row.position_at)
                .map(|(position_ms, at)| Position { at: at.to_jiff(), position_ms: unsigned(position_ms) });
            Ok(Entry {
                title_id: row.id,
                kind: row.kind.parse().map_err(|_| StoreError::Inconsistent {
                    table: "title",
                    column: "kind",
                    found: row.kind.clone(),
                })?,
                title: row.name,
                year: row.year,
                show: row.show,
                show_ids: ids(&row.show_ids)?,
                season: row.season.map(number),
                episode: row.episode.map(number),
                ids: ids(&row.ids)?,
                watch: Watch::from_parts(
                    row.marked_at.map(|at| (at.to_jiff(), row.played.unwrap_or_default())),
                    position,
                ),
                played_at: row.played_at.map(Stamp::to_jiff),
            })
        })
        .collect()
}

fn ids(words: &[String]) -> Result<Ids> {
    words
        .iter()
        .map(|word| {
            let (provider, value) = word.split_once(':').unwrap_or((word, ""));
            let provider = provider.parse().map_err(|_| StoreError::Inconsistent {
                table: "external_id",
                column: "provider",
                found: word.clone(),
            })?;
            Ok(ExternalId { provider, value: value.to_owned() })
        })
        .collect()
}
