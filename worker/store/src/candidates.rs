//! Candidates for a write: items at which an account's state and the agreed truth may differ.

use std::collections::BTreeMap;

use watchstate_domain::ids::Kind;
use watchstate_domain::merge::Observation;
use watchstate_domain::watch::{Position, Watch};
use watchstate_domain::write::Agreed;

use crate::observations::Row;
use crate::registry::Account;
use crate::stamp::unsigned;
use crate::{Connection, Result, StoreError};

/// An item at which an account's state and the agreed truth may differ.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The item.
    pub item_id: i64,
    /// The server's id of it.
    pub remote_id: String,
    /// What it is.
    pub kind: Kind,
    /// Its running time.
    pub runtime_ms: Option<u64>,
    /// What was last seen there.
    pub observation: Observation,
    /// The agreed truth of what it holds.
    pub agreed: Agreed,
    /// The highest version of that truth.
    pub version: i64,
}

/// Up to `limit` items of an account behind `after`, in order, at which something differs. A coarse sieve; [`watchstate_domain::write::difference`] decides.
pub async fn differing(connection: &mut Connection, account: &Account, after: i64, limit: i64) -> Result<Vec<i64>> {
    let rows = sqlx::query_scalar!(
        r#"select distinct o.item_id
           from watch_state w
           join item_title it on it.title_id = w.title_id
           join observation o on o.item_id = it.item_id and o.account_id = $1 and o.gone_at is null
           where w.person_id = $2 and o.item_id > $3 and (
               (w.marked_at is not null and w.played <> o.played)
               or (w.played and o.position_ms > 0)
               or (not w.played and w.position_ms > 0 and w.position_ms <> o.position_ms))
           order by o.item_id limit $4"#,
        account.id,
        account.person_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The named items of an account, ordered by item.
pub async fn load(connection: &mut Connection, account_id: i64, item_ids: &[i64]) -> Result<Vec<Candidate>> {
    let rows = sqlx::query!(
        r#"select o.item_id, i.remote_id, i.kind, i.runtime_ms, o.played as "played!", o.plays as "plays!", o.last_played_at,
               o.position_ms as "position_ms!", o.finished_plays as "finished_plays!", o.added_at, o.true_at as "true_at!",
               o.expected_played, o.expected_at, o.expected_stamp, o.finish_told_at,
               w.marked_at as "marked_at?", w.played as "agreed_played?", w.played_at as "played_at?", w.position_ms as "agreed_position_ms?",
               w.position_at as "position_at?", coalesce(w.version, 0) as "version!"
           from account a
           join observation o on o.account_id = a.id and o.item_id = any($2)
           join item i on i.id = o.item_id
           join item_title it on it.item_id = o.item_id
           left join watch_state w on w.person_id = a.person_id and w.title_id = it.title_id
           where a.id = $1
           order by o.item_id, it.ordinal"#,
        account_id,
        item_ids,
    )
    .fetch_all(connection)
    .await?;
    let mut candidates: Vec<Candidate> = Vec::with_capacity(item_ids.len());
    let mut titles: Vec<Agreed> = Vec::new();
    for row in rows {
        let watch = Watch::from_parts(
            row.marked_at.map(|at| (at.to_jiff(), row.agreed_played.unwrap_or_default())),
            row.agreed_position_ms
                .zip(row.position_at)
                .map(|(position_ms, at)| Position { at: at.to_jiff(), position_ms: unsigned(position_ms) }),
        );
        let agreed = Agreed {
            played: watch.mark().map(|(_, played)| played),
            changed_at: watch.changed_at(),
            played_at: crate::stamp::read(row.played_at),
            position: watch.position(),
        };
        if let Some(last) = candidates.last_mut().filter(|last| last.item_id == row.item_id) {
            titles.push(agreed);
            last.agreed = Agreed::of_file(&titles);
            last.version = last.version.max(row.version);
            continue;
        }
        titles.clear();
        titles.push(agreed);
        let Some(observation) = (Row {
            played: Some(row.played),
            plays: Some(row.plays),
            last_played_at: row.last_played_at,
            position_ms: Some(row.position_ms),
            finished_plays: Some(row.finished_plays),
            added_at: row.added_at,
            true_at: Some(row.true_at),
            expected_played: row.expected_played,
            expected_at: row.expected_at,
            expected_stamp: row.expected_stamp,
            finish_told_at: row.finish_told_at,
        })
        .observation() else {
            continue;
        };
        candidates.push(Candidate {
            item_id: row.item_id,
            remote_id: row.remote_id,
            kind: row.kind.parse().map_err(|_| StoreError::Inconsistent {
                table: "item",
                column: "kind",
                found: row.kind.clone(),
            })?,
            runtime_ms: row.runtime_ms.map(unsigned),
            observation,
            agreed,
            version: row.version,
        });
    }
    Ok(candidates)
}

/// Those of an account's items whose agreed truth has another version than the one by which they are named here.
pub async fn overtaken(
    connection: &mut Connection,
    account_id: i64,
    versions: &BTreeMap<i64, i64>,
) -> Result<Vec<i64>> {
    let ids = sqlx::query_scalar!(
        r#"select told.item_id as "item_id!"
           from account a
           cross join unnest($2::bigint[], $3::bigint[]) as told (item_id, version)
           join item_title it on it.item_id = told.item_id
           left join watch_state w on w.person_id = a.person_id and w.title_id = it.title_id
           where a.id = $1
           group by told.item_id, told.version having max(coalesce(w.version, 0)) <> told.version"#,
        account_id,
        &versions.keys().copied().collect::<Vec<_>>(),
        &versions.values().copied().collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}
