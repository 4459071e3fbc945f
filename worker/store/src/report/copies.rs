//! What each server has of a title, what was last seen there for each account, and what was written.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use watchstate_domain::matching::Conflict;
use watchstate_domain::merge::Observation;

use crate::observations::Row;
use crate::stamp::read;
use crate::{Connection, Result};

/// One item that holds a title, as one account sees it.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The title.
    pub title_id: i64,
    /// The server's key.
    pub server_id: i64,
    /// The item's key.
    pub item_id: i64,
    /// The server's id of it.
    pub remote_id: String,
    /// Its name at the server.
    pub name: String,
    /// The library, where it is known.
    pub library: Option<String>,
    /// The file's path as the server sees it.
    pub path: Option<String>,
    /// The ids that it carries: `imdb:tt0113277`.
    pub ids: Vec<String>,
    /// How many ids were dropped as junk.
    pub junk_ids: i32,
    /// How it found its title: `ids`, `numbering`, `path`, `new`.
    pub matched_by: Option<String>,
    /// Titles that it contradicts.
    pub conflicts: Vec<Conflict>,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// Since when nobody is shown it any more.
    pub gone_at: Option<Timestamp>,
    /// How many titles the file holds.
    pub titles: i64,
    /// How many of them the person has played.
    pub titles_played: i64,
    /// The account; None for a server without any.
    pub viewer: Option<Viewer>,
}

/// What one account was last seen to have of an item.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The account's key.
    pub account_id: i64,
    /// Whose it is.
    pub person_id: i64,
    /// Its name at the server, or as it was configured.
    pub account: String,
    /// What was last seen; None: the account has never been shown the item.
    pub seen: Option<Seen>,
}

/// What was last seen, and what was decided then.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The state. Its stamps are the server's; `true_at` takes full reads of the library into account.
    pub observation: Observation,
    /// The rule that decided on the last change.
    pub rule: String,
    /// When.
    pub decided_at: Timestamp,
    /// Since when the account is no longer shown the item.
    pub gone_at: Option<Timestamp>,
}

/// The items that hold the titles, each with every account of its server (only the person's, if one is named); by title, server, item, account.
pub async fn of_titles(connection: &mut Connection, titles: &[i64], person_id: Option<i64>) -> Result<Vec<Copy>> {
    let rows = sqlx::query!(
        r#"select it.title_id as "title_id!", s.id as "server_id!", i.id as "item_id!", i.remote_id as "remote_id!", i.name as "name!",
               l.name as "library?", i.path, i.ids as "ids!", i.junk_ids as "junk_ids!", i.matched_by, i.conflicts,
               i.first_seen_at as "first_seen_at!", i.gone_at,
               (select count(*) from item_title x where x.item_id = i.id) as "titles!",
               (select count(*) from item_title x join watch_state w on w.title_id = x.title_id and w.person_id = a.person_id and w.played
                   where x.item_id = i.id) as "titles_played!",
               a.id as "account_id?", a.person_id as "person_id?", coalesce(a.remote_name, nullif(a.configured, ''), '') as "account?",
               o.played as "played?", o.plays as "plays?", o.last_played_at as "last_played_at?", o.position_ms as "position_ms?",
               o.finished_plays as "finished_plays?", o.added_at as "added_at?",
               case when o.gone_at is null then greatest(o.true_at, c.full_read_at) else o.true_at end as "true_at?: Stamp",
               o.expected_played as "expected_played?", o.expected_at as "expected_at?", o.expected_stamp as "expected_stamp?", o.finish_told_at as "finish_told_at?",
               o.rule as "rule?", o.decided_at as "decided_at?", o.gone_at as "unseen_since?"
           from item_title it
           join item i on i.id = it.item_id
           join server s on s.id = i.server_id
           left join library l on l.id = i.library_id
           left join account a on a.server_id = s.id and ($2::bigint is null or a.person_id = $2)
           left join observation o on o.account_id = a.id and o.item_id = i.id
           left join cursor c on c.account_id = a.id and c.library_id = i.library_id
           where it.title_id = any($1)
           order by it.title_id, s.name, i.id, a.id"#,
        titles,
        person_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let observation = Row {
                played: row.played,
                plays: row.plays,
                last_played_at: row.last_played_at,
                position_ms: row.position_ms,
                finished_plays: row.finished_plays,
                added_at: row.added_at,
                true_at: row.true_at,
                expected_played: row.expected_played,
                expected_at: row.expected_at,
                expected_stamp: row.expected_stamp,
                finish_told_at: row.finish_told_at,
            }
            .observation();
            let seen = match (observation, row.rule, row.decided_at) {
                (Some(observation), Some(rule), Some(decided_at)) => {
                    Some(Seen { observation, rule, decided_at: decided_at.to_jiff(), gone_at: read(row.unseen_since) })
                }
                _ => None,
            };
            let viewer = row.account_id.zip(row.person_id).map(|(account_id, person_id)| Viewer {
                account_id,
                person_id,
                account: row.account.unwrap_or_default(),
                seen,
            });
            Copy {
                title_id: row.title_id,
                server_id: row.server_id,
                item_id: row.item_id,
                remote_id: row.remote_id,
                name: row.name,
                library: row.library,
                path: row.path,
                ids: row.ids,
                junk_ids: row.junk_ids,
                matched_by: row.matched_by,
                conflicts: row.conflicts.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default(),
                first_seen_at: row.first_seen_at.to_jiff(),
                gone_at: read(row.gone_at),
                titles: row.titles,
                titles_played: row.titles_played,
                viewer,
            }
        })
        .collect())
}

/// A write, waiting or ended.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its key.
    pub id: i64,
    /// At which account.
    pub account_id: i64,
    /// At which item.
    pub item_id: i64,
    /// `played`, `unplayed`, `position` or `no-position`.
    pub want: String,
    /// `pending`, `dead`, `written`, `already-right` or `dropped`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next, while it waits.
    pub next_try_at: Timestamp,
    /// What went wrong last, or why it was dropped.
    pub error: Option<String>,
    /// When it was queued.
    pub enqueued_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// The newest writes at the items, at most `each` for an account and item; oldest first.
pub async fn writes(connection: &mut Connection, items: &[i64], each: i64) -> Result<Vec<Write>> {
    let rows = sqlx::query!(
        r#"select o.id as "id!", o.account_id as "account_id!", o.item_id as "item_id!", o.want as "want!", o.state as "state!",
               o.attempts as "attempts!", o.next_try_at as "next_try_at!", o.error, o.enqueued_at as "enqueued_at!", o.finished_at
           from (
               select outbox.*, row_number() over (partition by account_id, item_id order by id desc) as newest
               from outbox where item_id = any($1)
           ) o where o.newest <= $2 order by o.id"#,
        items,
        each,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Write {
            id: row.id,
            account_id: row.account_id,
            item_id: row.item_id,
            want: row.want,
            state: row.state,
            attempts: row.attempts,
            next_try_at: row.next_try_at.to_jiff(),
            error: row.error,
            enqueued_at: row.enqueued_at.to_jiff(),
            finished_at: read(row.finished_at),
        })
        .collect())
}

/// An event of a webhook.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its key: what `inbox show` takes.
    pub id: i64,
    /// Whose it is; None: of nobody, such as a new item.
    pub account_id: Option<i64>,
    /// Of which item.
    pub item_id: i64,
    /// The event in the server's words.
    pub event: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What became of it, and why.
    pub verdict: String,
    /// Why.
    pub reason: Option<String>,
}

/// The newest events that told of the items, at most `each` for an account and item; oldest first.
pub async fn events(connection: &mut Connection, items: &[i64], each: i64) -> Result<Vec<Told>> {
    let rows = sqlx::query!(
        r#"select b.id as "id!", b.account_id, b.item_id as "item_id!", b.event as "event!", b.received_at as "received_at!",
               b.verdict as "verdict!", b.reason
           from (
               select inbox.*, item.id as item_id, row_number() over (partition by inbox.account_id, item.id order by inbox.id desc) as newest
               from inbox join item on item.server_id = inbox.server_id and item.remote_id = inbox.remote_id
               where item.id = any($1)
           ) b where b.newest <= $2 order by b.id"#,
        items,
        each,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Told {
            id: row.id,
            account_id: row.account_id,
            item_id: row.item_id,
            event: row.event,
            received_at: row.received_at.to_jiff(),
            verdict: row.verdict,
            reason: row.reason,
        })
        .collect())
}

/// The held plans that un-play one of the items: account, item and plan.
pub async fn held(connection: &mut Connection, items: &[i64]) -> Result<Vec<(i64, i64, i64)>> {
    let rows = sqlx::query!(
        r#"select p.account_id, pi.item_id, p.id from plan p join plan_item pi on pi.plan_id = p.id
           where p.state = 'held' and pi.item_id = any($1) order by p.id"#,
        items,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account_id, row.item_id, row.id)).collect())
}
