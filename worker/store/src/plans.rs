//! Un-plays: collected while an account is read, then applied at once, or held when they are too many.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use watchstate_domain::item::ItemState;
use watchstate_domain::merge::Reading;

use crate::stamp::{big, bind, int, number, unsigned};
use crate::{Connection, Result};

/// One un-play of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unplay {
    /// Of which item.
    pub item_id: i64,
    /// Where it stands among plays and un-plays.
    pub order: Timestamp,
    /// What the server said of it.
    pub reading: Reading,
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its run isn't over.
    Collecting,
    /// Waits for a person.
    Held,
    /// Was below the limits, or forced.
    Applied,
    /// A person let it through.
    Approved,
    /// A person refused it: the marks are written back.
    Discarded,
    /// The server tells the titles as played again.
    Obsolete,
}

impl State {
    /// The word in the database and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Held => "held",
            Self::Applied => "applied",
            Self::Approved => "approved",
            Self::Discarded => "discarded",
            Self::Obsolete => "obsolete",
        }
    }
}

/// Opens a plan for an account in a run. What an earlier run left half collected is dropped: it will be found again.
pub async fn open(
    connection: &mut Connection,
    run_id: i64,
    account_id: i64,
    played_total: u64,
    now: Timestamp,
) -> Result<i64> {
    sqlx::query!("delete from plan where account_id = $1 and state = 'collecting'", account_id)
        .execute(&mut *connection)
        .await?;
    let id = sqlx::query_scalar!(
        "insert into plan (run_id, account_id, state, played_total, created_at) values ($1, $2, 'collecting', $3, $4) returning id",
        run_id,
        account_id,
        big(played_total),
        bind(now),
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// Adds un-plays to a plan, apart from those that wait in a held plan of the account already. Returns how many of them wait already.
pub async fn collect(connection: &mut Connection, plan_id: i64, unplays: &[Unplay]) -> Result<u64> {
    let stamps = |read: fn(&Unplay) -> Option<Timestamp>| {
        unplays.iter().map(|one| read(one).map(Stamp::from)).collect::<Vec<_>>()
    };
    let added = sqlx::query!(
        r#"insert into plan_item (plan_id, item_id, true_at, plays, last_played_at, position_ms, added_at)
           select $1, new.item_id, new.true_at, new.plays, new.last_played_at, new.position_ms, new.added_at
           from unnest($2::bigint[], $3::timestamptz[], $4::integer[], $5::timestamptz[], $6::bigint[], $7::timestamptz[])
               as new (item_id, true_at, plays, last_played_at, position_ms, added_at)
           where not exists (
               select 1 from plan p join plan_item waiting on waiting.plan_id = p.id
               where p.state = 'held' and p.account_id = (select account_id from plan where id = $1) and waiting.item_id = new.item_id)
           on conflict do nothing"#,
        plan_id,
        &unplays.iter().map(|one| one.item_id).collect::<Vec<_>>(),
        &stamps(|one| Some(one.order)) as _,
        &unplays.iter().map(|one| int(one.reading.state.plays)).collect::<Vec<_>>(),
        &stamps(|one| one.reading.state.last_played_at) as _,
        &unplays.iter().map(|one| big(one.reading.state.position_ms)).collect::<Vec<_>>(),
        &stamps(|one| one.reading.added_at) as _,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok((unplays.len() as u64).saturating_sub(added))
}

/// Whether any un-play of an account is held.
pub async fn holds(connection: &mut Connection, account_id: i64) -> Result<bool> {
    let held = sqlx::query_scalar!(
        r#"select exists (select from plan where account_id = $1 and state = 'held') as "held!""#,
        account_id
    )
    .fetch_one(connection)
    .await?;
    Ok(held)
}

/// Of the named items those whose un-play is held, with what the server said of them then.
pub async fn held_of(connection: &mut Connection, account_id: i64, items: &[i64]) -> Result<HashMap<i64, Unplay>> {
    if items.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query_as!(
        Row,
        r#"select pi.item_id, pi.true_at, pi.plays, pi.last_played_at, pi.position_ms, pi.added_at
           from plan p join plan_item pi on pi.plan_id = p.id
           where p.account_id = $1 and p.state = 'held' and pi.item_id = any($2) order by pi.true_at"#,
        account_id,
        items,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.item_id, row.unplay())).collect())
}

/// Takes items out of the plans that are held: they are played again. A plan of which nothing is left is obsolete.
pub async fn take_out(connection: &mut Connection, account_id: i64, items: &[i64], now: Timestamp) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"delete from plan_item pi using plan p
           where p.id = pi.plan_id and p.account_id = $1 and p.state = 'held' and pi.item_id = any($2)"#,
        account_id,
        items,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"update plan p set state = 'obsolete', decided_at = $2
           where p.account_id = $1 and p.state = 'held' and not exists (select from plan_item pi where pi.plan_id = p.id)"#,
        account_id,
        bind(now),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Holds an un-play that an event brought: with those of the account's events that are held already, else in a plan and a run (`webhook`) of its own.
/// Returns the plan.
pub async fn hold(
    connection: &mut Connection,
    server_id: i64,
    account_id: i64,
    unplay: &Unplay,
    played_total: u64,
    now: Timestamp,
) -> Result<i64> {
    let open = sqlx::query_scalar!(
        r#"select p.id from plan p join run r on r.id = p.run_id
           where p.account_id = $1 and p.state = 'held' and r.verb = 'webhook' order by p.id desc limit 1"#,
        account_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let plan_id = match open {
        Some(plan_id) => plan_id,
        None => {
            sqlx::query_scalar!(
                r#"with held as (
                       insert into run (job, verb, server_id, server_name, dry_run, started_at, finished_at, outcome)
                       select gen_random_uuid(), 'webhook', s.id, s.name, false, $3, $3, 'held' from server s where s.id = $1
                       returning id
                   )
                   insert into plan (run_id, account_id, state, played_total, created_at)
                   select held.id, $2, 'held', $4, $3 from held returning id"#,
                server_id,
                account_id,
                bind(now),
                big(played_total),
            )
            .fetch_one(&mut *connection)
            .await?
        }
    };
    collect(connection, plan_id, std::slice::from_ref(unplay)).await?;
    Ok(plan_id)
}

/// How many un-plays a plan holds.
pub async fn size(connection: &mut Connection, plan_id: i64) -> Result<u64> {
    let count = sqlx::query_scalar!(r#"select count(*) as "count!" from plan_item where plan_id = $1"#, plan_id)
        .fetch_one(connection)
        .await?;
    Ok(unsigned(count))
}

/// Up to `limit` un-plays of a plan behind `after`, ordered by item.
pub async fn unplays(connection: &mut Connection, plan_id: i64, after: i64, limit: i64) -> Result<Vec<Unplay>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select item_id, true_at, plays, last_played_at, position_ms, added_at from plan_item
           where plan_id = $1 and item_id > $2 order by item_id limit $3"#,
        plan_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Row::unplay).collect())
}

/// An un-play as it is stored.
struct Row {
    item_id: i64,
    true_at: Stamp,
    plays: i32,
    last_played_at: Option<Stamp>,
    position_ms: i64,
    added_at: Option<Stamp>,
}

impl Row {
    fn unplay(self) -> Unplay {
        Unplay {
            item_id: self.item_id,
            order: self.true_at.to_jiff(),
            reading: Reading {
                state: ItemState {
                    played: false,
                    plays: number(self.plays),
                    last_played_at: self.last_played_at.map(Stamp::to_jiff),
                    position_ms: unsigned(self.position_ms),
                },
                added_at: self.added_at.map(Stamp::to_jiff),
            },
        }
    }
}

/// Moves a plan to another state, if it still is in `from`. False when somebody else was quicker.
pub async fn decide(connection: &mut Connection, plan_id: i64, from: State, to: State, now: Timestamp) -> Result<bool> {
    let changed = sqlx::query!(
        "update plan set state = $3, decided_at = $4 where id = $1 and state = $2",
        plan_id,
        from.as_str(),
        to.as_str(),
        (to != State::Held).then(|| bind(now)) as _,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed > 0)
}

/// Drops a plan that turned out to be empty.
pub async fn drop_empty(connection: &mut Connection, plan_id: i64) -> Result<()> {
    sqlx::query!(
        "delete from plan p where p.id = $1 and not exists (select 1 from plan_item where plan_id = p.id)",
        plan_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the held plans of an account of which the server tells nothing any more: after full reads, begun at `since`, that saw none of their un-plays.
pub async fn retire(connection: &mut Connection, account_id: i64, since: Timestamp, now: Timestamp) -> Result<u64> {
    let retired = sqlx::query!(
        "update plan set state = 'obsolete', decided_at = $3 where account_id = $1 and state = 'held' and created_at < $2",
        account_id,
        bind(since),
        bind(now),
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(retired)
}

/// A plan as it is shown.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its key: what `approve` and `discard` take.
    pub id: i64,
    /// The run that found it.
    pub run: i64,
    /// The server.
    pub server: String,
    /// The person.
    pub person: String,
    /// Where it stands.
    pub state: String,
    /// How many un-plays.
    pub unplays: i64,
    /// Of how many played titles of the account.
    pub played: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// The account, for applying it.
    #[serde(skip)]
    pub account_id: i64,
    /// What the run did.
    #[serde(skip)]
    pub verb: String,
    /// The SyncSchedule that asked for the run; none for an event's.
    #[serde(skip)]
    pub schedule: Option<String>,
}

/// The plans, newest first; only those that wait unless `all`. `id`: only that one.
pub async fn list(connection: &mut Connection, all: bool, id: Option<i64>) -> Result<Vec<Plan>> {
    let rows = sqlx::query!(
        r#"select p.id, p.run_id, s.name as server, person.name as person, p.state, p.played_total, p.created_at, p.decided_at, p.account_id, r.verb, r.schedule,
               (select count(*) from plan_item pi where pi.plan_id = p.id) as "unplays!"
           from plan p join run r on r.id = p.run_id join account a on a.id = p.account_id join server s on s.id = a.server_id
               join person on person.id = a.person_id
           where ($1 or p.state = 'held' or p.id = $2) and ($2::bigint is null or p.id = $2) and p.state <> 'collecting'
           order by p.id desc"#,
        all,
        id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Plan {
            id: row.id,
            run: row.run_id,
            server: row.server,
            person: row.person,
            state: row.state,
            unplays: row.unplays,
            played: row.played_total,
            created_at: row.created_at.to_jiff(),
            decided_at: row.decided_at.map(Stamp::to_jiff),
            account_id: row.account_id,
            verb: row.verb,
            schedule: row.schedule,
        })
        .collect())
}

/// The plans of a run that are in a state, the oldest first.
pub async fn of_run(connection: &mut Connection, run_id: i64, state: State) -> Result<Vec<i64>> {
    let ids =
        sqlx::query_scalar!("select id from plan where run_id = $1 and state = $2 order by id", run_id, state.as_str())
            .fetch_all(connection)
            .await?;
    Ok(ids)
}

/// One un-play of a plan as it is shown.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedUnplay {
    /// The title.
    pub title: String,
    /// When the person watched it last, as far as is known.
    pub played_at: Option<Timestamp>,
    /// The item at the server.
    pub item: String,
}

/// The un-plays of a plan with their titles, at most `limit`.
pub async fn show(connection: &mut Connection, plan_id: i64, limit: i64) -> Result<Vec<PlannedUnplay>> {
    let rows = sqlx::query!(
        r#"select concat_ws(' ', i.show_name, case when i.season is not null then
                   format('S%sE%s', lpad(i.season::text, 2, '0'), lpad(i.episode::text, 2, '0')) end, i.name) as "title!",
               i.remote_id,
               (select max(w.played_at) from item_title it join watch_state w on w.title_id = it.title_id and w.person_id = a.person_id
                where it.item_id = i.id) as "played_at?: Stamp"
           from plan_item pi join plan p on p.id = pi.plan_id join account a on a.id = p.account_id join item i on i.id = pi.item_id
           where pi.plan_id = $1 order by 1 limit $2"#,
        plan_id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| PlannedUnplay {
            title: row.title,
            played_at: row.played_at.map(Stamp::to_jiff),
            item: row.remote_id,
        })
        .collect())
}
