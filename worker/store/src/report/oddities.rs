//! Items that fit nowhere: those whose ids contradict a title's, and those that nothing could be matched by.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use watchstate_domain::matching::Conflict;

use crate::report::titles::Title;
use crate::stamp::number;
use crate::{Connection, Result};

/// An item that fits nowhere.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Oddity {
    /// The server.
    pub server: String,
    /// The library, where it is known.
    pub library: Option<String>,
    /// The server's id of it.
    pub item: String,
    /// `movie`, `show` or `episode`.
    pub kind: String,
    /// What it is called there.
    #[serde(skip)]
    pub named: Title,
    /// The ids that it carries.
    pub ids: Vec<String>,
    /// How many ids were dropped as junk.
    pub junk_ids: i32,
    /// The file's path as the server sees it.
    pub path: Option<String>,
    /// Since when it is known.
    pub first_seen_at: Timestamp,
    /// The titles that it contradicts.
    #[serde(skip)]
    pub conflicts: Vec<Conflict>,
}

/// Which kind of oddity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Its ids contradict a title that carries one of them.
    Conflicting,
    /// It has no title.
    Unmatched,
}

/// Which oddities are looked for. What is None doesn't filter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// At this server, by key.
    pub server: Option<i64>,
    /// A part of the item's or its show's name.
    pub name: Option<&'a str>,
    /// A part of its show's name.
    pub show: Option<&'a str>,
}

/// The items that are odd in this way and still there, by server, library and name; at most `limit`.
pub async fn list(connection: &mut Connection, odd: Odd, filter: Filter<'_>, limit: i64) -> Result<Vec<Oddity>> {
    let rows = sqlx::query!(
        r#"select s.name as "server!", l.name as "library?", i.id as "id!", i.remote_id as "remote_id!", i.kind as "kind!", i.name as "name!",
               i.show_name, i.year, i.season, i.episode, i.ids as "ids!", i.junk_ids as "junk_ids!", i.path, i.first_seen_at as "first_seen_at!",
               i.conflicts
           from item i join server s on s.id = i.server_id left join library l on l.id = i.library_id
           where i.gone_at is null
               and case when $1 then i.conflicts is not null else not exists (select 1 from item_title it where it.item_id = i.id) end
               and ($2::bigint is null or s.id = $2)
               and ($3::text is null or strpos(lower(i.name), lower($3)) > 0 or strpos(lower(i.show_name), lower($3)) > 0)
               and ($4::text is null or strpos(lower(i.show_name), lower($4)) > 0)
           order by s.name, l.name, lower(coalesce(i.show_name, i.name)), i.season nulls first, i.episode nulls first, lower(i.name), i.id
           limit $5"#,
        odd == Odd::Conflicting,
        filter.server,
        filter.name,
        filter.show,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Oddity {
            server: row.server,
            library: row.library,
            item: row.remote_id,
            kind: row.kind.clone(),
            named: Title {
                title_id: row.id,
                kind: row.kind,
                title: row.name,
                year: row.year,
                show: row.show_name,
                season: row.season.map(number),
                episode: row.episode.map(number),
                ids: Vec::new(),
            },
            ids: row.ids,
            junk_ids: row.junk_ids,
            path: row.path,
            first_seen_at: row.first_seen_at.to_jiff(),
            conflicts: row.conflicts.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default(),
        })
        .collect())
}

/// The named titles, by key. Those that were joined away or removed since are missing.
pub async fn titles(connection: &mut Connection, keys: &[i64]) -> Result<HashMap<i64, Title>> {
    let rows = sqlx::query!(
        r#"select t.id as "id!", t.kind as "kind!", t.name as "name!", t.year, t.season, t.episode, s.name as "show?",
               (select coalesce(array_agg(e.provider || ':' || e.value order by e.provider, e.value), '{}')
                   from external_id e where e.title_id = t.id) as "ids!"
           from title t left join title s on s.id = t.show_id where t.id = any($1)"#,
        keys,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let title = Title {
                title_id: row.id,
                kind: row.kind,
                title: row.name,
                year: row.year,
                show: row.show,
                season: row.season.map(number),
                episode: row.episode.map(number),
                ids: row.ids,
            };
            (row.id, title)
        })
        .collect())
}
