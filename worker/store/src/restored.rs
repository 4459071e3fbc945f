//! What a restore needs beside matching: a person that no server names yet, and titles that carry no id at all.

use jiff::Timestamp;
use watchstate_domain::ids::Kind;
use watchstate_domain::matching::TitleId;

use crate::stamp::{bind, int};
use crate::{Connection, Result};

/// The person of this name, made where there is none.
pub async fn person(connection: &mut Connection, name: &str) -> Result<i64> {
    sqlx::query!("insert into person (name) values ($1) on conflict (name) do nothing", name)
        .execute(&mut *connection)
        .await?;
    Ok(sqlx::query_scalar!("select id from person where name = $1", name).fetch_one(connection).await?)
}

/// By what a title without ids is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nameless<'a> {
    /// Film or episode.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// Its year.
    pub year: Option<i32>,
    /// Its show's name.
    pub show: Option<&'a str>,
    /// Its season.
    pub season: Option<u32>,
    /// Its number.
    pub episode: Option<u32>,
}

/// The titles without ids that this may be, at most two: with two nobody knows which is meant.
pub async fn nameless(connection: &mut Connection, wanted: &Nameless<'_>) -> Result<Vec<TitleId>> {
    let keys = sqlx::query_scalar!(
        r#"select t.id as "id!" from title t left join title s on s.id = t.show_id
           where lower(t.name) = lower($2) and t.kind = $1 and t.year is not distinct from $3
               and (t.show_id is null or $4::text is null or lower(s.name) = lower($4))
               and t.season is not distinct from $5 and t.episode is not distinct from $6
               and not exists (select 1 from external_id e where e.title_id = t.id)
           order by t.id limit 2"#,
        wanted.kind.as_str(),
        wanted.name,
        wanted.year,
        wanted.show,
        wanted.season.map(int),
        wanted.episode.map(int),
    )
    .fetch_all(connection)
    .await?;
    Ok(keys.into_iter().map(TitleId).collect())
}

/// Makes a title without ids.
pub async fn make_nameless(connection: &mut Connection, wanted: &Nameless<'_>, now: Timestamp) -> Result<TitleId> {
    let id = sqlx::query_scalar!(
        "insert into title (kind, name, year, season, episode, created_at) values ($1, $2, $3, $4, $5, $6) returning id",
        wanted.kind.as_str(),
        wanted.name,
        wanted.year,
        wanted.season.map(int),
        wanted.episode.map(int),
        bind(now),
    )
    .fetch_one(connection)
    .await?;
    Ok(TitleId(id))
}
