//! How far incremental reading of a library got for an account.

use jiff::Timestamp;
use watchstate_domain::reading::{Cursor, Numbers};

use crate::stamp::bind;
use crate::{Connection, Result};

/// The cursor, or None when the library was never read in full.
pub async fn load(connection: &mut Connection, account_id: i64, library_id: i64) -> Result<Option<Cursor>> {
    let row = sqlx::query!(
        r#"select activity_at, changes_at, skew_total, skew_played, skew_resumable from cursor where account_id = $1 and library_id = $2"#,
        account_id,
        library_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Cursor {
        activity: row.activity_at.to_jiff(),
        changes: row.changes_at.to_jiff(),
        skew: Numbers { total: row.skew_total, played: row.skew_played, resumable: row.skew_resumable },
    }))
}

/// Moves the cursor: call it when every page was stored. `full_read_at`: the start of the read, when it was a full one.
pub async fn save(
    connection: &mut Connection,
    account_id: i64,
    library_id: i64,
    cursor: &Cursor,
    full_read_at: Option<Timestamp>,
) -> Result<()> {
    sqlx::query!(
        r#"insert into cursor (account_id, library_id, activity_at, changes_at, full_read_at, skew_total, skew_played, skew_resumable)
           values ($1, $2, $3, $4, coalesce($5, to_timestamp(0)), $6, $7, $8)
           on conflict (account_id, library_id) do update set activity_at = excluded.activity_at, changes_at = excluded.changes_at,
               full_read_at = coalesce($5, cursor.full_read_at), skew_total = excluded.skew_total,
               skew_played = excluded.skew_played, skew_resumable = excluded.skew_resumable"#,
        account_id,
        library_id,
        bind(cursor.activity),
        bind(cursor.changes),
        full_read_at.map(bind) as _,
        cursor.skew.total,
        cursor.skew.played,
        cursor.skew.resumable,
    )
    .execute(connection)
    .await?;
    Ok(())
}
