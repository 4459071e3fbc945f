//! Runs: what each import, export and push did at each server.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use serde_json::Value;
use uuid::Uuid;

use crate::locks::{self, Titles};
use crate::stamp::bind;
use crate::{Connection, Result};

/// A run that begins.
#[derive(Debug, Clone)]
pub struct Started<'a> {
    /// The process: its runs share it.
    pub job: Uuid,
    /// `import`, `export` or `push`.
    pub verb: &'a str,
    /// The server.
    pub server_id: i64,
    /// The SyncSchedule that asked for it.
    pub schedule: Option<&'a str>,
    /// Nothing is written.
    pub dry_run: bool,
}

/// Notes the beginning of a run and returns its key.
pub async fn start(connection: &mut Connection, run: &Started<'_>, now: Timestamp) -> Result<i64> {
    let id = sqlx::query_scalar!(
        r#"insert into run (job, verb, server_id, server_name, schedule, dry_run, started_at)
           select $1, $2, s.id, s.name, $4, $5, $6 from server s where s.id = $3 returning id"#,
        run.job,
        run.verb,
        run.server_id,
        run.schedule,
        run.dry_run,
        bind(now),
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// Notes how a run ended. `error` must hold no secret.
pub async fn finish(
    connection: &mut Connection,
    run_id: i64,
    outcome: &str,
    counts: &Value,
    error: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "update run set finished_at = $2, outcome = $3, counts = $4, error = $5 where id = $1",
        run_id,
        bind(now),
        outcome,
        counts,
        error,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A run as it is shown.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its key.
    pub id: i64,
    /// The process.
    pub job: Uuid,
    /// What was done.
    pub verb: String,
    /// At which server.
    pub server: Option<String>,
    /// For which SyncSchedule.
    pub schedule: Option<String>,
    /// Nothing was written.
    pub dry_run: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; None while it goes on, or when it was killed.
    pub finished_at: Option<Timestamp>,
    /// `done`, `failed`, `misconfigured`, `held`, `interrupted`, `busy`.
    pub outcome: Option<String>,
    /// What was counted.
    pub counts: Value,
    /// What went wrong.
    pub error: Option<String>,
}

/// As the database has it.
struct Row {
    id: i64,
    job: Uuid,
    verb: String,
    server_name: Option<String>,
    schedule: Option<String>,
    dry_run: bool,
    started_at: Stamp,
    finished_at: Option<Stamp>,
    outcome: Option<String>,
    counts: Value,
    error: Option<String>,
}

impl From<Row> for Run {
    fn from(row: Row) -> Self {
        Self {
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
        }
    }
}

/// The newest runs first, at most `limit`.
pub async fn list(connection: &mut Connection, limit: i64) -> Result<Vec<Run>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, job, verb, server_name, schedule, dry_run, started_at, finished_at, outcome, counts, error
           from run order by id desc limit $1"#,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Run::from).collect())
}

/// The runs of the newest process of each verb that has ended, for a schedule: one run a server, the newest where a process that stays has several.
pub async fn latest(connection: &mut Connection, schedule: &str) -> Result<Vec<Run>> {
    let rows = sqlx::query_as!(Row,
        r#"with ended as (
               select distinct on (verb) verb, job from run
               where schedule = $1 and finished_at is not null and outcome is distinct from 'busy' order by verb, id desc
           )
           select distinct on (r.verb, r.server_name)
               r.id, r.job, r.verb, r.server_name, r.schedule, r.dry_run, r.started_at, r.finished_at, r.outcome, r.counts, r.error
           from ended join run r on r.job = ended.job and r.verb = ended.verb and r.schedule = $1
           order by r.verb, r.server_name, r.id desc"#,
        schedule,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Run::from).collect())
}

/// Runs that ended at or after a moment, the oldest first, at most `limit`.
pub async fn ended_since(connection: &mut Connection, since: Timestamp, limit: i64) -> Result<Vec<Run>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, job, verb, server_name, schedule, dry_run, started_at, finished_at, outcome, counts, error
           from run where finished_at >= $1 order by finished_at, id limit $2"#,
        bind(since),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Run::from).collect())
}

/// When a run of each verb last ended well; for one schedule, or whoever asked for it.
pub async fn successes(connection: &mut Connection, schedule: Option<&str>) -> Result<Vec<(String, Timestamp)>> {
    let rows = sqlx::query!(
        r#"select verb, max(finished_at) as "at!: Stamp" from run
           where outcome = 'done' and finished_at is not null and ($1::text is null or schedule = $1) group by verb"#,
        schedule,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.verb, row.at.to_jiff())).collect())
}

/// What pruning removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// Runs, with their decided plans.
    pub runs: u64,
    /// Finished writes.
    pub writes: u64,
    /// Webhook events.
    pub events: u64,
    /// Items that no account sees any more.
    pub items: u64,
    /// Titles that no server has any more and that nobody has watched.
    pub titles: u64,
    /// Viewings of titles that were watched again later.
    pub viewings: u64,
}

/// Removes what is older than the given moments. A title that somebody has watched stays, servers or not, and so does its last viewing; `history`: those
/// before it. Runs whose plan still waits stay too.
pub async fn prune(
    connection: &mut Connection,
    runs: Timestamp,
    events: Timestamp,
    items: Timestamp,
    history: Option<Timestamp>,
) -> Result<Pruned> {
    let pruned_runs = sqlx::query!(
        r#"delete from run r where r.started_at < $1 and not exists (select 1 from plan p where p.run_id = r.id and p.state in ('held', 'collecting'))"#,
        bind(runs),
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let writes = sqlx::query!("delete from outbox where finished_at < $1", bind(events))
        .execute(&mut *connection)
        .await?
        .rows_affected();
    let inbox = sqlx::query!("delete from inbox where received_at < $1 and handled_at is not null", bind(events))
        .execute(&mut *connection)
        .await?
        .rows_affected();
    // Nobody links an item to a title meanwhile.
    locks::titles(connection, Titles::Change).await?;
    sqlx::query!(
        r#"delete from own_mark m using item i join server s on s.id = i.server_id
           where i.gone_at < $1 and m.server_remote_id = s.remote_id and m.item_remote_id = i.remote_id"#,
        bind(items),
    )
    .execute(&mut *connection)
    .await?;
    let gone = sqlx::query!("delete from item where gone_at < $1", bind(items))
        .execute(&mut *connection)
        .await?
        .rows_affected();
    let mut titles = 0;
    // Episodes first, then the shows that are left without one.
    for show in [false, true] {
        titles += sqlx::query!(
            r#"delete from title t where (t.kind = 'show') = $2 and t.created_at < $1
                   and not exists (select 1 from item_title it where it.title_id = t.id)
                   and not exists (select 1 from title e where e.show_id = t.id)
                   and not exists (select 1 from play p where p.title_id = t.id)
                   and not exists (select 1 from watch_state w where w.title_id = t.id and w.marked_at is not null)"#,
            bind(items),
            show,
        )
        .execute(&mut *connection)
        .await?
        .rows_affected();
    }
    let viewings = sqlx::query!(
        r#"delete from play p where p.played_at < $1 and exists (
               select 1 from play later where later.person_id = p.person_id and later.title_id = p.title_id and later.played_at > p.played_at)"#,
        history.map(bind) as _,
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    Ok(Pruned { runs: pruned_runs, writes, events: inbox, items: gone, titles, viewings })
}
