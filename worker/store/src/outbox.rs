//! The outbox: what servers should be told. A write that fails is tried again, never forgotten.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use watchstate_domain::matching::TitleId;
use watchstate_domain::write::Wanted;

use crate::stamp::{big, bind, unsigned};
use crate::{Connection, Result};

/// A write to be queued.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// At which item.
    pub item_id: i64,
    /// What it should be.
    pub wanted: Wanted,
    /// The version of the truth that wants it.
    pub version: i64,
    /// Not before then; None: at once.
    pub due_at: Option<Timestamp>,
    /// When the change was received that it carries on; None where it was read.
    pub told_at: Option<Timestamp>,
}

/// Queues writes of an account. An entry that waits already is renewed; a dead one comes to life again when the truth has changed since. A position that
/// waits keeps its time when another one takes its place: else a viewing that goes on would never be told.
pub async fn enqueue(
    connection: &mut Connection,
    account_id: i64,
    entries: &[Entry],
    run_id: Option<i64>,
    now: Timestamp,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let (at, position): (Vec<Option<Stamp>>, Vec<Option<i64>>) =
        entries.iter().map(|entry| parts(&entry.wanted)).unzip();
    sqlx::query!(
        r#"insert into outbox (account_id, item_id, want, want_at, want_position_ms, version, state, next_try_at, enqueued_at, run_id, told_at)
           select $1, new.item_id, new.want, new.want_at, new.position, new.version, 'pending', coalesce(new.due_at, $2), $2, $3, new.told_at
           from unnest($4::bigint[], $5::text[], $6::timestamptz[], $7::bigint[], $8::bigint[], $9::timestamptz[], $10::timestamptz[])
               as new (item_id, want, want_at, position, version, due_at, told_at),
               (select from account where id = $1 for key share) as held
           on conflict (account_id, item_id) where state in ('pending', 'dead') do update set
               want = excluded.want, want_at = excluded.want_at, want_position_ms = excluded.want_position_ms, version = excluded.version,
               state = case when outbox.version <> excluded.version then 'pending' else outbox.state end,
               attempts = case when outbox.version <> excluded.version then 0 else outbox.attempts end,
               next_try_at = case
                   when outbox.version = excluded.version then outbox.next_try_at
                   when outbox.state = 'pending' and outbox.want = 'position' and excluded.want = 'position'
                       then least(outbox.next_try_at, excluded.next_try_at)
                   else excluded.next_try_at end,
               run_id = excluded.run_id, told_at = excluded.told_at
           where (outbox.want, outbox.want_at, outbox.want_position_ms, outbox.version) is distinct from
               (excluded.want, excluded.want_at, excluded.want_position_ms, excluded.version)"#,
        account_id,
        bind(now),
        run_id,
        &entries.iter().map(|entry| entry.item_id).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.wanted.as_str().to_owned()).collect::<Vec<_>>(),
        &at as _,
        &position as _,
        &entries.iter().map(|entry| entry.version).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.due_at.map(Stamp::from)).collect::<Vec<_>>() as _,
        &entries.iter().map(|entry| entry.told_at.map(Stamp::from)).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The accounts of a person that have items of the named titles, each with those items. What is gone is left out.
pub async fn holders(connection: &mut Connection, person_id: i64, titles: &[TitleId]) -> Result<Vec<(i64, Vec<i64>)>> {
    let rows = sqlx::query!(
        r#"select o.account_id, array_agg(distinct o.item_id) as "items!"
           from account a
           join observation o on o.account_id = a.id and o.gone_at is null
           join item_title it on it.item_id = o.item_id
           where a.person_id = $1 and it.title_id = any($2)
           group by o.account_id order by o.account_id"#,
        person_id,
        &titles.iter().map(|title| title.0).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account_id, row.items)).collect())
}

/// When a position was last written to each of an account's items; those without are missing.
pub async fn last_positions(
    connection: &mut Connection,
    account_id: i64,
    item_ids: &[i64],
) -> Result<HashMap<i64, Timestamp>> {
    let rows = sqlx::query!(
        r#"select item_id, max(finished_at) as "finished_at!: Stamp" from outbox
           where account_id = $1 and item_id = any($2) and want = 'position' and state = 'written' group by item_id"#,
        account_id,
        item_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.item_id, row.finished_at.to_jiff())).collect())
}

fn parts(wanted: &Wanted) -> (Option<Stamp>, Option<i64>) {
    match *wanted {
        Wanted::Played { at } => (at.map(Stamp::from), None),
        Wanted::Position { position_ms, at } => (Some(at.into()), Some(big(position_ms))),
        Wanted::Unplayed | Wanted::NoPosition => (None, None),
    }
}

/// An entry as it stood when it was read. [`enqueue`] may renew it while it is worked at: then it isn't ended by what was done, and is worked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its key.
    pub id: i64,
    /// Postgres' own number of the row's last change.
    xmin: String,
}

/// An entry whose time has come.
#[derive(Debug, Clone)]
pub struct Due {
    /// Which, and as it is now.
    pub ticket: Ticket,
    /// At which item.
    pub item_id: i64,
    /// How often it was tried.
    pub attempts: i32,
    /// When the change was received that it carries on; None where it was read.
    pub told_at: Option<Timestamp>,
}

/// Up to `limit` entries of an account whose time has come, oldest play first. Call it by whoever holds the server's write lane.
pub async fn due(connection: &mut Connection, account_id: i64, now: Timestamp, limit: i64) -> Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"select id, xmin::text as "xmin!", item_id, attempts, told_at from outbox
           where account_id = $1 and state = 'pending' and next_try_at <= $2 order by want_at nulls first, item_id limit $3"#,
        account_id,
        bind(now),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Due {
            ticket: Ticket { id: row.id, xmin: row.xmin },
            item_id: row.item_id,
            attempts: row.attempts,
            told_at: crate::stamp::read(row.told_at),
        })
        .collect())
}

/// When the next entry of these accounts is due; None: nothing waits.
pub async fn next_due(connection: &mut Connection, account_ids: &[i64]) -> Result<Option<Timestamp>> {
    let next = sqlx::query_scalar!(
        r#"select min(next_try_at) as "next: Stamp" from outbox where account_id = any($1) and state = 'pending'"#,
        account_ids,
    )
    .fetch_one(connection)
    .await?;
    Ok(crate::stamp::read(next))
}

/// A write that the server took, by the entry that asked for it.
#[derive(Debug, Clone)]
pub struct Wrote {
    /// Which entry.
    pub ticket: Ticket,
    /// What was written.
    pub wanted: Wanted,
}

/// Ends entries that were written. One that was renewed meanwhile stays, and what was written is noted beside it; a position then waits until `again_at`, as
/// every position does that follows another.
pub async fn written(
    connection: &mut Connection,
    wrote: &[Wrote],
    run_id: Option<i64>,
    now: Timestamp,
    again_at: Timestamp,
) -> Result<()> {
    let ended: HashSet<i64> = sqlx::query_scalar!(
        r#"update outbox o set state = 'written', error = null, finished_at = $1, run_id = coalesce($2, o.run_id), attempts = o.attempts + 1
           from unnest($3::bigint[], $4::text[]) as new (id, xmin) where o.id = new.id and o.xmin::text = new.xmin returning o.id"#,
        bind(now),
        run_id,
        &wrote.iter().map(|wrote| wrote.ticket.id).collect::<Vec<_>>(),
        &wrote.iter().map(|wrote| wrote.ticket.xmin.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *connection)
    .await?
    .into_iter()
    .collect();
    let renewed: Vec<&Wrote> = wrote.iter().filter(|wrote| !ended.contains(&wrote.ticket.id)).collect();
    if renewed.is_empty() {
        return Ok(());
    }
    let (at, position): (Vec<Option<Stamp>>, Vec<Option<i64>>) =
        renewed.iter().map(|wrote| parts(&wrote.wanted)).unzip();
    sqlx::query!(
        r#"with new as (
               select * from unnest($4::bigint[], $5::text[], $6::timestamptz[], $7::bigint[]) as new (id, want, want_at, position)
           ), waits as (
               update outbox o set next_try_at = greatest(o.next_try_at, $3) from new
               where o.id = new.id and o.state = 'pending' and o.want = 'position' and new.want = 'position'
           )
           insert into outbox (account_id, item_id, want, want_at, want_position_ms, version, state, attempts, next_try_at, enqueued_at, finished_at, run_id)
           select o.account_id, o.item_id, new.want, new.want_at, new.position, o.version, 'written', 1, $1, o.enqueued_at, $1, $2
           from outbox o join new on new.id = o.id"#,
        bind(now),
        run_id,
        bind(again_at),
        &renewed.iter().map(|wrote| wrote.ticket.id).collect::<Vec<_>>(),
        &renewed.iter().map(|wrote| wrote.wanted.as_str().to_owned()).collect::<Vec<_>>(),
        &at as _,
        &position as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How an entry ended that needed no write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The server had it already.
    AlreadyRight,
    /// It is no longer wanted, or can't be: see the reason.
    Dropped,
}

impl End {
    /// The word in the database and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyRight => "already-right",
            Self::Dropped => "dropped",
        }
    }
}

/// Ends entries without a write that nobody has renewed meanwhile. `reason`: why one was dropped.
pub async fn finish(
    connection: &mut Connection,
    ended: &[(Ticket, End, Option<String>)],
    run_id: Option<i64>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        r#"update outbox o set state = new.state, error = new.reason, finished_at = $1, run_id = coalesce($2, o.run_id)
           from unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) as new (id, xmin, state, reason)
           where o.id = new.id and o.xmin::text = new.xmin"#,
        bind(now),
        run_id,
        &ended.iter().map(|(ticket, _, _)| ticket.id).collect::<Vec<_>>(),
        &ended.iter().map(|(ticket, _, _)| ticket.xmin.clone()).collect::<Vec<_>>(),
        &ended.iter().map(|(_, end, _)| end.as_str().to_owned()).collect::<Vec<_>>(),
        &ended.iter().map(|(_, _, reason)| reason.clone()).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A try that failed, or an entry that must wait.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Which entry.
    pub ticket: Ticket,
    /// When to try again; None: it is given up until somebody says otherwise.
    pub next_try_at: Option<Timestamp>,
    /// Whether it counts as a try.
    pub counts: bool,
    /// What went wrong. Holds no secret.
    pub error: String,
}

/// Notes failed tries of entries that nobody has renewed meanwhile.
pub async fn fail(connection: &mut Connection, failed: &[Failed]) -> Result<()> {
    sqlx::query!(
        r#"update outbox o set attempts = o.attempts + case when new.counts then 1 else 0 end, error = new.error,
               next_try_at = coalesce(new.next_try_at, o.next_try_at), state = case when new.next_try_at is null then 'dead' else 'pending' end
           from unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::boolean[], $5::text[]) as new (id, xmin, next_try_at, counts, error)
           where o.id = new.id and o.xmin::text = new.xmin"#,
        &failed.iter().map(|one| one.ticket.id).collect::<Vec<_>>(),
        &failed.iter().map(|one| one.ticket.xmin.clone()).collect::<Vec<_>>(),
        &failed.iter().map(|one| one.next_try_at.map(Stamp::from)).collect::<Vec<_>>() as _,
        &failed.iter().map(|one| one.counts).collect::<Vec<_>>(),
        &failed.iter().map(|one| one.error.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many entries of an account wait, and how many are dead.
pub async fn depth(connection: &mut Connection, account_id: i64) -> Result<(u64, u64)> {
    let row = sqlx::query!(
        r#"select count(*) filter (where state = 'pending') as "pending!", count(*) filter (where state = 'dead') as "dead!"
           from outbox where account_id = $1 and state in ('pending', 'dead')"#,
        account_id,
    )
    .fetch_one(connection)
    .await?;
    Ok((unsigned(row.pending), unsigned(row.dead)))
}

/// How many writes wait at each server, and how many were given up, by the server's name.
pub async fn depths(connection: &mut Connection) -> Result<Vec<(String, u64, u64)>> {
    let rows = sqlx::query!(
        r#"select s.name, count(*) filter (where o.state = 'pending') as "pending!", count(*) filter (where o.state = 'dead') as "dead!"
           from server s left join account a on a.server_id = s.id
               left join outbox o on o.account_id = a.id and o.state in ('pending', 'dead')
           group by s.name order by s.name"#,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, unsigned(row.pending), unsigned(row.dead))).collect())
}

/// Lets waiting entries of an account be tried at once, whatever their backoff; with `dead` the given-up ones too. Returns how many.
pub async fn retry(
    connection: &mut Connection,
    account_id: Option<i64>,
    id: Option<i64>,
    dead: bool,
    now: Timestamp,
) -> Result<u64> {
    let changed = sqlx::query!(
        r#"update outbox set state = 'pending', attempts = case when state = 'dead' then 0 else attempts end, next_try_at = $4
           where ($1::bigint is null or account_id = $1) and ($2::bigint is null or id = $2)
               and (state = 'pending' or (state = 'dead' and $3))"#,
        account_id,
        id,
        dead,
        bind(now),
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed)
}

/// An entry as it is shown.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Its key.
    pub id: i64,
    /// The server.
    pub server: String,
    /// The person.
    pub person: String,
    /// The title.
    pub title: String,
    /// `played`, `unplayed`, `position` or `no-position`.
    pub want: String,
    /// `pending` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next.
    pub next_try_at: Timestamp,
    /// What went wrong last.
    pub error: Option<String>,
}

/// The entries that wait or are dead, oldest first.
pub async fn list(connection: &mut Connection, dead_only: bool, limit: i64) -> Result<Vec<Shown>> {
    let rows = sqlx::query!(
        r#"select o.id, s.name as server, p.name as person, o.want, o.state, o.attempts, o.next_try_at, o.error,
               concat_ws(' ', i.show_name, case when i.season is not null then
                   format('S%sE%s', lpad(i.season::text, 2, '0'), lpad(i.episode::text, 2, '0')) end, i.name) as "title!"
           from outbox o join account a on a.id = o.account_id join server s on s.id = a.server_id join person p on p.id = a.person_id
           join item i on i.id = o.item_id
           where o.state = 'dead' or (o.state = 'pending' and not $1)
           order by o.id limit $2"#,
        dead_only,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Shown {
            id: row.id,
            server: row.server,
            person: row.person,
            title: row.title,
            want: row.want,
            state: row.state,
            attempts: row.attempts,
            next_try_at: row.next_try_at.to_jiff(),
            error: row.error,
        })
        .collect())
}
