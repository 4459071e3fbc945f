//! What people ask: read-only queries behind `servers`, `state`, `why` and `backup`.
//!
//! [`titles`] (who has watched what) · [`copies`] (what each server has and said of a title) · [`oddities`] (items that fit nowhere)
//! · [`history`] (everything of one person, in pages).

pub mod copies;
pub mod history;
pub mod oddities;
pub mod titles;

use std::collections::HashMap;

use jiff_sqlx::Timestamp as Stamp;

use crate::runs::Run;
use crate::{Connection, Result};

/// The persons, by name: key and name.
pub async fn persons(connection: &mut Connection) -> Result<Vec<(i64, String)>> {
    let rows = sqlx::query!("select id, name from person order by name").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// How many films and episodes each library of a server holds, by the library's key.
pub async fn library_sizes(connection: &mut Connection, server_id: i64) -> Result<HashMap<i64, i64>> {
    let rows = sqlx::query!(
        r#"select library_id as "library_id!", count(*) as "items!" from item
           where server_id = $1 and library_id is not null and gone_at is null and kind <> 'show' group by library_id"#,
        server_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.library_id, row.items)).collect())
}

/// The newest runs at a server, at most `limit`.
pub async fn runs_at(connection: &mut Connection, server_id: i64, limit: i64) -> Result<Vec<Run>> {
    let rows = sqlx::query!(
        r#"select id, job, verb, server_name, schedule, dry_run, started_at, finished_at, outcome, counts, error
           from run where server_id = $1 order by id desc limit $2"#,
        server_id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Run {
            id: row.id,
            job: row.job,
            verb: row.verb,
            server: row.server_name,
            schedule: row.schedule,
            dry_run: row.dry_run,
            started_at: row.started_at.to_jiff(),
            finished_at: row.finished_at.map(Stamp::to_jiff),
            outcome: row.outcome,
            counts: row.counts,
            error: row.error,
        })
        .collect())
}
