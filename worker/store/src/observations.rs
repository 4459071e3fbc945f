//! Observations: what was last known to be true at a server, for one account and item.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use watchstate_domain::item::ItemState;
use watchstate_domain::merge::{Expected, Observation, Rule};
use watchstate_domain::reading::Numbers;

use crate::plans::Unplay;
use crate::stamp::{big, bind, int};
use crate::{Connection, Result};

/// An observation to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Of which item.
    pub item_id: i64,
    /// What is known.
    pub observation: Observation,
    /// The rule that decided.
    pub rule: Rule,
    /// The server's stamp of the event that told it; None where it was read.
    pub told_at: Option<Timestamp>,
}

/// Stores the observations of one account, new and changed ones alike; nothing if the account is gone. In the order of their keys: imports, events and writes may come at the same time.
pub async fn save(connection: &mut Connection, account_id: i64, observed: &[Observed], now: Timestamp) -> Result<()> {
    if observed.is_empty() {
        return Ok(());
    }
    let mut observed: Vec<&Observed> = observed.iter().collect();
    observed.sort_by_key(|one| one.item_id);
    let state = |read: fn(&Observed) -> i64| observed.iter().map(|one| read(one)).collect::<Vec<_>>();
    let stamps = |read: fn(&Observation) -> Option<Timestamp>| {
        observed.iter().map(|one| read(&one.observation).map(Stamp::from)).collect::<Vec<Option<Stamp>>>()
    };
    sqlx::query!(
        r#"insert into observation (account_id, item_id, played, plays, last_played_at, position_ms, finished_plays, added_at,
               true_at, expected_played, expected_at, expected_stamp, rule, decided_at, told_at, finish_told_at)
           select $1, new.item_id, new.played, new.plays, new.last_played_at, new.position_ms, new.finished_plays, new.added_at,
               new.true_at, new.expected_played, new.expected_at, new.expected_stamp, new.rule, $2, new.told_at, new.finish_told_at
           from unnest($3::bigint[], $4::boolean[], $5::integer[], $6::timestamptz[], $7::bigint[], $8::integer[], $9::timestamptz[],
               $10::timestamptz[], $11::boolean[], $12::timestamptz[], $13::timestamptz[], $14::text[], $15::timestamptz[], $16::timestamptz[])
               as new (item_id, played, plays, last_played_at, position_ms, finished_plays, added_at,
               true_at, expected_played, expected_at, expected_stamp, rule, told_at, finish_told_at),
               (select from account where id = $1 for key share) as held
           on conflict (account_id, item_id) do update set
               played = excluded.played, plays = excluded.plays, last_played_at = excluded.last_played_at,
               position_ms = excluded.position_ms, finished_plays = excluded.finished_plays, added_at = excluded.added_at,
               true_at = excluded.true_at, expected_played = excluded.expected_played, expected_at = excluded.expected_at,
               expected_stamp = excluded.expected_stamp, rule = excluded.rule, decided_at = excluded.decided_at, gone_at = null,
               told_at = coalesce(excluded.told_at, observation.told_at), finish_told_at = excluded.finish_told_at"#,
        account_id,
        bind(now),
        &state(|one| one.item_id),
        &observed.iter().map(|one| one.observation.state.played).collect::<Vec<_>>(),
        &observed.iter().map(|one| int(one.observation.state.plays)).collect::<Vec<_>>(),
        &stamps(|one| one.state.last_played_at) as _,
        &state(|one| big(one.observation.state.position_ms)),
        &observed.iter().map(|one| int(one.observation.finished_plays)).collect::<Vec<_>>(),
        &stamps(|one| one.added_at) as _,
        &stamps(|one| Some(one.true_at)) as _,
        &observed.iter().map(|one| one.observation.expected.map(|expected| expected.played)).collect::<Vec<_>>() as _,
        &stamps(|one| one.expected.map(|expected| expected.at)) as _,
        &stamps(|one| one.expected.and_then(|expected| expected.stamp)) as _,
        &observed.iter().map(|one| one.rule.as_str().to_owned()).collect::<Vec<_>>(),
        &observed.iter().map(|one| one.told_at.map(Stamp::from)).collect::<Vec<_>>() as _,
        &stamps(|one| one.finish_told) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes, before it is sent, what is going to be written to the items, on every copy that the account has of the same titles: servers share
/// states between copies, and a crash between write and record must not make a play of it.
pub async fn expect(connection: &mut Connection, account_id: i64, writes: &[(i64, Expected)]) -> Result<()> {
    sqlx::query!(
        r#"update observation o set expected_played = new.played, expected_at = new.at, expected_stamp = new.stamp
           from (
               select distinct on (copy.item_id) copy.item_id, w.played, w.at, w.stamp
               from unnest($2::bigint[], $3::boolean[], $4::timestamptz[], $5::timestamptz[]) as w (item_id, played, at, stamp)
               join item_title mine on mine.item_id = w.item_id
               join item_title copy on copy.title_id = mine.title_id
               order by copy.item_id, copy.item_id = w.item_id desc
           ) as new
           where o.account_id = $1 and o.item_id = new.item_id"#,
        account_id,
        &writes.iter().map(|(item, _)| *item).collect::<Vec<_>>(),
        &writes.iter().map(|(_, expected)| expected.played).collect::<Vec<_>>(),
        &writes.iter().map(|(_, expected)| Stamp::from(expected.at)).collect::<Vec<_>>() as _,
        &writes.iter().map(|(_, expected)| expected.stamp.map(Stamp::from)).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what every account was seen to have of the items.
pub async fn forget(connection: &mut Connection, items: &[i64]) -> Result<()> {
    if !items.is_empty() {
        sqlx::query!(
            r#"delete from observation o using item i join account a on a.server_id = i.server_id
               where i.id = any($1) and o.account_id = a.id and o.item_id = i.id"#,
            items,
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Notes when events told of plays whose records are still to be read.
pub async fn finishes(connection: &mut Connection, account_id: i64, finishes: &[(i64, Timestamp)]) -> Result<()> {
    sqlx::query!(
        r#"update observation o set finish_told_at = greatest(o.finish_told_at, new.at)
           from unnest($2::bigint[], $3::timestamptz[]) as new (item_id, at) where o.account_id = $1 and o.item_id = new.item_id"#,
        account_id,
        &finishes.iter().map(|(item, _)| *item).collect::<Vec<_>>(),
        &finishes.iter().map(|(_, at)| Stamp::from(*at)).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes back what [`expect`] noted on the items, because the write didn't happen.
pub async fn forget_expected(connection: &mut Connection, account_id: i64, items: &[i64]) -> Result<()> {
    sqlx::query!(
        r#"update observation o set expected_played = null, expected_at = null, expected_stamp = null
           from item_title mine join item_title copy on copy.title_id = mine.title_id
           where mine.item_id = any($2) and o.account_id = $1 and o.item_id = copy.item_id"#,
        account_id,
        items,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The numbers of a library as the observations of an account have them. Un-plays that are held count as the server tells them.
pub async fn numbers(connection: &mut Connection, account_id: i64, library_id: i64) -> Result<Numbers> {
    let row = sqlx::query!(
        r#"select count(*) as "total!", count(*) filter (where o.position_ms > 0) as "resumable!",
               count(*) filter (where o.played and o.item_id not in (
                   select pi.item_id from plan p join plan_item pi on pi.plan_id = p.id where p.account_id = $1 and p.state = 'held')) as "played!"
           from item i
           join observation o on o.item_id = i.id and o.account_id = $1 and o.gone_at is null
           where i.library_id = $2 and i.kind <> 'show'"#,
        account_id,
        library_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(Numbers { total: row.total, played: row.played, resumable: row.resumable })
}

/// Of un-plays the items of which something was seen since, each with whether it was played then. Nothing more is told of them until the transaction ends.
pub async fn newer(connection: &mut Connection, account_id: i64, unplays: &[Unplay]) -> Result<HashMap<i64, bool>> {
    let rows = sqlx::query!(
        r#"select o.item_id, o.played
           from unnest($2::bigint[], $3::timestamptz[]) as unplay (item_id, true_at)
           join observation o on o.account_id = $1 and o.item_id = unplay.item_id
           where o.true_at >= unplay.true_at
           order by o.item_id for update of o"#,
        account_id,
        &unplays.iter().map(|unplay| unplay.item_id).collect::<Vec<_>>(),
        &unplays.iter().map(|unplay| Stamp::from(unplay.order)).collect::<Vec<_>>() as _,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.item_id, row.played)).collect())
}

/// Notes that an account's items were found at that moment as they are known.
pub async fn confirm(connection: &mut Connection, account_id: i64, items: &[i64], at: Timestamp) -> Result<()> {
    if !items.is_empty() {
        sqlx::query!(
            "update observation set true_at = $3 where account_id = $1 and item_id = any($2) and true_at < $3",
            account_id,
            items,
            bind(at),
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// How many items of an account are played.
pub async fn played_total(connection: &mut Connection, account_id: i64) -> Result<u64> {
    let played = sqlx::query_scalar!(
        r#"select count(*) as "played!" from observation where account_id = $1 and played and gone_at is null"#,
        account_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(played).unwrap_or_default())
}

/// Marks as gone what a full read of a library, begun at `since`, didn't show to the account; what was seen after that may be newer than its page. Nothing is
/// concluded from it but that the next sight is a first sight. Returns how many. What was seen is asked for item by item: as a list it would be as long as the library.
pub async fn mark_gone(
    connection: &mut Connection,
    account_id: i64,
    library_id: i64,
    was_seen: impl Fn(i64) -> bool,
    since: Timestamp,
    now: Timestamp,
) -> Result<u64> {
    let gone: Vec<i64> = sqlx::query_scalar!(
        r#"select o.item_id from item i join observation o on o.item_id = i.id and o.account_id = $1 and o.gone_at is null
           where i.library_id = $2 and o.true_at <= $3"#,
        account_id,
        library_id,
        bind(since),
    )
    .fetch(&mut *connection)
    .try_filter(|item_id| std::future::ready(!was_seen(*item_id)))
    .try_collect()
    .await?;
    sqlx::query!(
        "update observation set gone_at = $3 where account_id = $1 and item_id = any($2)",
        account_id,
        &gone,
        bind(now)
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"update item i set gone_at = $2
           where i.id = any($1) and not exists (
               select 1 from account a join observation o on o.account_id = a.id and o.item_id = i.id and o.gone_at is null
               where a.server_id = i.server_id)"#,
        &gone,
        bind(now),
    )
    .execute(connection)
    .await?;
    Ok(gone.len() as u64)
}

/// The columns of an observation as a query reads them.
#[derive(Debug)]
pub(crate) struct Row {
    pub played: Option<bool>,
    pub plays: Option<i32>,
    pub last_played_at: Option<Stamp>,
    pub position_ms: Option<i64>,
    pub finished_plays: Option<i32>,
    pub added_at: Option<Stamp>,
    pub true_at: Option<Stamp>,
    pub expected_played: Option<bool>,
    pub expected_at: Option<Stamp>,
    pub expected_stamp: Option<Stamp>,
    pub finish_told_at: Option<Stamp>,
}

impl Row {
    /// The observation, if the row holds one.
    pub(crate) fn observation(self) -> Option<Observation> {
        let expected = match (self.expected_played, self.expected_at) {
            (Some(played), Some(at)) => {
                Some(Expected { played, at: at.to_jiff(), stamp: self.expected_stamp.map(Stamp::to_jiff) })
            }
            _ => None,
        };
        Some(Observation {
            state: ItemState {
                played: self.played?,
                plays: crate::stamp::number(self.plays?),
                last_played_at: self.last_played_at.map(Stamp::to_jiff),
                position_ms: crate::stamp::unsigned(self.position_ms?),
            },
            finished_plays: crate::stamp::number(self.finished_plays?),
            added_at: self.added_at.map(Stamp::to_jiff),
            true_at: self.true_at?.to_jiff(),
            expected,
            finish_told: self.finish_told_at.map(Stamp::to_jiff),
        })
    }
}
