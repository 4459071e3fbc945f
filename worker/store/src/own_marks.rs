//! Marks that we made at servers which date them themselves. They are known by the servers' own ids, so that they outlive what is registered here.

use std::collections::HashMap;

use jiff_sqlx::Timestamp as Stamp;
use watchstate_domain::merge::OwnMark;

use crate::registry::{Account, Server};
use crate::stamp::read;
use crate::{Connection, Result};

/// Whose marks: an account at a server, both by the server's own ids.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The server's id.
    pub server: &'a str,
    /// The account's id there.
    pub account: &'a str,
}

/// Whose an account's marks are; None: the server wasn't reached yet, and marks are made at none such.
pub fn owner<'a>(server: &'a Server, account: &'a Account) -> Option<Owner<'a>> {
    Some(Owner { server: server.remote_id.as_deref()?, account: account.remote_id.as_deref()? })
}

/// Notes marks before they are sent, on every copy that the server has of the same titles: it may share states between copies.
pub async fn note(connection: &mut Connection, owner: Owner<'_>, marks: &[(i64, OwnMark)]) -> Result<()> {
    if marks.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"insert into own_mark (server_remote_id, account_remote_id, item_remote_id, made_at, played_at)
           select distinct on (copy.remote_id) $1, $2, copy.remote_id, new.made_at, new.played_at
           from unnest($3::bigint[], $4::timestamptz[], $5::timestamptz[]) as new (item_id, made_at, played_at)
           join item marked on marked.id = new.item_id
           join item_title mine on mine.item_id = marked.id
           join item_title same on same.title_id = mine.title_id
           join item copy on copy.id = same.item_id and copy.server_id = marked.server_id
           order by copy.remote_id, copy.id = marked.id desc
           on conflict (server_remote_id, account_remote_id, item_remote_id) do update set made_at = excluded.made_at, played_at = excluded.played_at"#,
        owner.server,
        owner.account,
        &marks.iter().map(|(item, _)| *item).collect::<Vec<_>>(),
        &marks.iter().map(|(_, mark)| Stamp::from(mark.made_at)).collect::<Vec<_>>() as _,
        &marks.iter().map(|(_, mark)| mark.played_at.map(Stamp::from)).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The marks that were made on the items.
pub async fn of(connection: &mut Connection, owner: Owner<'_>, items: &[String]) -> Result<HashMap<String, OwnMark>> {
    if items.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select item_remote_id, made_at, played_at from own_mark
           where server_remote_id = $1 and account_remote_id = $2 and item_remote_id = any($3)"#,
        owner.server,
        owner.account,
        items,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.item_remote_id, OwnMark { made_at: row.made_at.to_jiff(), played_at: read(row.played_at) }))
        .collect())
}
