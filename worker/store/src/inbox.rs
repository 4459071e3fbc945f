//! The inbox: what webhooks brought in, each event with its verdict. Nothing that was received is forgotten before it is pruned.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use serde_json::Value;
use watchstate_domain::notice::Notice;

use crate::stamp::{bind, read, unsigned};
use crate::{Connection, Result, StoreError};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// To be merged.
    Waiting,
    /// Its server must be read before it can be merged.
    Lookup,
    /// Merged, or known already.
    Accepted,
    /// Of no bearing, or of nobody whom we know.
    Ignored,
    /// An un-play that the brake holds.
    Held,
    /// Nothing was found that it could be of.
    Unmatched,
}

impl Verdict {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Lookup, Self::Accepted, Self::Ignored, Self::Held, Self::Unmatched];

    /// The word in the database and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Lookup => "lookup",
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Held => "held",
            Self::Unmatched => "unmatched",
        }
    }

    /// True where nothing is left to do.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Lookup)
    }

    fn parse(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word).ok_or_else(|| StoreError::Inconsistent {
            table: "inbox",
            column: "verdict",
            found: word.to_owned(),
        })
    }
}

/// An event that was received.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Received {
    /// By which the same event is known when it comes again.
    pub digest: Vec<u8>,
    /// By which it is known if it came so much earlier that its digest was another.
    #[serde(default)]
    pub earlier: Option<Vec<u8>>,
    /// Which server it came from, where that is known.
    pub server_id: Option<i64>,
    /// Whose it is, where that is known.
    pub account_id: Option<i64>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What it says.
    pub notice: Notice,
    /// [`Verdict::Waiting`], or what could be said at once.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
}

/// Stores events. Those that came before are left out; servers and accounts that went meanwhile are left empty. Returns how many are new.
pub async fn receive(connection: &mut Connection, events: &[Received]) -> Result<u64> {
    if events.is_empty() {
        return Ok(0);
    }
    let payloads = events
        .iter()
        .map(|event| serde_json::to_value(&event.notice))
        .collect::<std::result::Result<Vec<Value>, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let stored = sqlx::query!(
        r#"insert into inbox (digest, server_id, account_id, received_at, sent_at, event, remote_id, payload, verdict, reason, handled_at)
           select new.digest, s.id, a.id, new.received_at, new.sent_at, new.event, new.remote_id, new.payload, new.verdict, new.reason,
               case when new.final then new.received_at end
           from unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[], $8::jsonb[],
               $9::text[], $10::text[], $11::boolean[], $12::bytea[]) with ordinality
               as new (digest, server_id, account_id, received_at, sent_at, event, remote_id, payload, verdict, reason, final, earlier, place)
           left join server s on s.id = new.server_id
           left join account a on a.id = new.account_id
           where not exists (select from inbox before where before.digest = new.earlier)
           order by new.place
           on conflict (digest) do nothing"#,
        &events.iter().map(|event| event.digest.clone()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.server_id).collect::<Vec<_>>() as _,
        &events.iter().map(|event| event.account_id).collect::<Vec<_>>() as _,
        &events.iter().map(|event| Stamp::from(event.received_at)).collect::<Vec<_>>() as _,
        &events.iter().map(|event| event.notice.sent_at.map(Stamp::from)).collect::<Vec<_>>() as _,
        &events.iter().map(|event| event.notice.event.clone()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.notice.item.as_ref().map(|item| item.remote_id.clone())).collect::<Vec<_>>() as _,
        &payloads,
        &events.iter().map(|event| event.verdict.as_str().to_owned()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.reason.clone()).collect::<Vec<_>>() as _,
        &events.iter().map(|event| event.verdict.is_final()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.earlier.clone()).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(stored)
}

/// An event that is to be merged, or looked up.
#[derive(Debug, Clone)]
pub struct Open {
    /// Its key.
    pub id: i64,
    /// Which server it came from.
    pub server_id: i64,
    /// Whose it is; None for events of nobody (a new item).
    pub account_id: Option<i64>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What it says.
    pub notice: Notice,
    /// How often it was looked up in vain.
    pub attempts: i32,
}

/// Up to `limit` events that wait to be merged, oldest first. Until the transaction ends nobody else gets them. What can't be read, since a newer version
/// wrote it, is put aside: it must not keep the others waiting.
pub async fn claim(connection: &mut Connection, limit: i64, now: Timestamp) -> Result<Vec<Open>> {
    let rows = sqlx::query!(
        r#"select id, coalesce(server_id, 0) as "server_id!", account_id, received_at, payload, attempts from inbox
           where handled_at is null and verdict = 'waiting' order by id limit $1 for update skip locked"#,
        limit,
    )
    .fetch_all(&mut *connection)
    .await?;
    let opened = rows
        .into_iter()
        .map(|row| (row.id, open(row.id, row.server_id, row.account_id, row.received_at, row.payload, row.attempts)))
        .collect();
    readable(connection, opened, now).await
}

/// Up to `limit` events of a server that must be looked up and whose time has come, oldest first. For whoever holds the server's write lane.
pub async fn lookups(connection: &mut Connection, server_id: i64, now: Timestamp, limit: i64) -> Result<Vec<Open>> {
    let rows = sqlx::query!(
        r#"select id, account_id, received_at, payload, attempts from inbox
           where handled_at is null and verdict = 'lookup' and server_id = $1 and (next_try_at is null or next_try_at <= $2)
           order by id limit $3"#,
        server_id,
        bind(now),
        limit,
    )
    .fetch_all(&mut *connection)
    .await?;
    let opened = rows
        .into_iter()
        .map(|row| (row.id, open(row.id, server_id, row.account_id, row.received_at, row.payload, row.attempts)))
        .collect();
    readable(connection, opened, now).await
}

async fn readable(
    connection: &mut Connection,
    opened: Vec<(i64, std::result::Result<Open, serde_json::Error>)>,
    now: Timestamp,
) -> Result<Vec<Open>> {
    let mut readable = Vec::with_capacity(opened.len());
    let mut aside = Vec::new();
    for (id, open) in opened {
        match open {
            Ok(open) => readable.push(open),
            Err(error) => aside.push(Concluded {
                id,
                verdict: Verdict::Ignored,
                reason: Some(format!(
                    "it can't be read; was it written by a newer version? Replay it with that one: {error}"
                )),
                rule: None,
            }),
        }
    }
    if !aside.is_empty() {
        conclude(connection, &aside, now).await?;
    }
    Ok(readable)
}

fn open(
    id: i64,
    server_id: i64,
    account_id: Option<i64>,
    received_at: Stamp,
    payload: Value,
    attempts: i32,
) -> std::result::Result<Open, serde_json::Error> {
    let notice = serde_json::from_value(payload)?;
    Ok(Open { id, server_id, account_id, received_at: received_at.to_jiff(), notice, attempts })
}

/// What was found of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concluded {
    /// Which event.
    pub id: i64,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
    /// The rule that decided.
    pub rule: Option<&'static str>,
}

/// Notes what became of events.
pub async fn conclude(connection: &mut Connection, concluded: &[Concluded], now: Timestamp) -> Result<()> {
    sqlx::query!(
        r#"update inbox i set verdict = new.verdict, reason = new.reason, rule = new.rule, next_try_at = null,
               handled_at = case when new.final then $1::timestamptz end
           from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::boolean[]) as new (id, verdict, reason, rule, final)
           where i.id = new.id"#,
        bind(now),
        &concluded.iter().map(|one| one.id).collect::<Vec<_>>(),
        &concluded.iter().map(|one| one.verdict.as_str().to_owned()).collect::<Vec<_>>(),
        &concluded.iter().map(|one| one.reason.clone()).collect::<Vec<_>>() as _,
        &concluded.iter().map(|one| one.rule.map(str::to_owned)).collect::<Vec<_>>() as _,
        &concluded.iter().map(|one| one.verdict.is_final()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets events be looked up again later.
pub async fn postpone(connection: &mut Connection, ids: &[i64], next_try_at: Timestamp, reason: &str) -> Result<()> {
    sqlx::query!(
        "update inbox set attempts = attempts + 1, next_try_at = $2, reason = $3 where id = any($1)",
        ids,
        bind(next_try_at),
        reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many un-plays events have brought to an account since then.
pub async fn unplays_since(connection: &mut Connection, account_id: i64, since: Timestamp) -> Result<u64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from inbox where account_id = $1 and rule = 'newly-unplayed' and received_at >= $2"#,
        account_id,
        bind(since),
    )
    .fetch_one(connection)
    .await?;
    Ok(unsigned(count))
}

/// When the next lookup of a server is due; None: there is none.
pub async fn next_lookup(connection: &mut Connection, server_id: i64) -> Result<Option<Timestamp>> {
    let next = sqlx::query_scalar!(
        r#"select min(coalesce(next_try_at, received_at)) as "next: Stamp" from inbox
           where handled_at is null and verdict = 'lookup' and server_id = $1"#,
        server_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(read(next))
}

/// An event as it is shown.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Its key: what `show` and `replay` take.
    pub id: i64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The server.
    pub server: Option<String>,
    /// The person.
    pub person: Option<String>,
    /// The event in the server's words.
    pub event: String,
    /// The title, as the event or the server calls it.
    pub title: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// When it was merged or put aside.
    pub handled_at: Option<Timestamp>,
    /// What it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// Which events are shown.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Only this one, with its payload.
    pub id: Option<i64>,
    /// Only those with this verdict.
    pub verdict: Option<Verdict>,
    /// Only those of this server.
    pub server: Option<&'a str>,
    /// Only those of titles with this in their name.
    pub title: Option<&'a str>,
}

/// The newest events first, at most `limit`.
pub async fn list(connection: &mut Connection, filter: &Filter<'_>, limit: i64) -> Result<Vec<Shown>> {
    let rows = sqlx::query!(
        r#"select * from (
               select b.id, b.received_at, s.name as "server?", p.name as "person?", b.event, b.verdict, b.reason, b.rule, b.handled_at, b.payload,
                   nullif(concat_ws(' ', b.payload #>> '{item,show,title}',
                       case when b.payload #>> '{item,season}' is not null then
                           format('S%sE%s', lpad(b.payload #>> '{item,season}', 2, '0'), lpad(b.payload #>> '{item,episode}', 2, '0')) end,
                       b.payload #>> '{item,title}'), '') as title
               from inbox b left join server s on s.id = b.server_id
               left join account a on a.id = b.account_id left join person p on p.id = a.person_id
               where ($1::bigint is null or b.id = $1) and ($2::text is null or b.verdict = $2) and ($3::text is null or s.name = $3)
           ) event
           where $4::text is null or position(lower($4) in lower(title)) > 0
           order by id desc limit $5"#,
        filter.id,
        filter.verdict.map(Verdict::as_str),
        filter.server,
        filter.title,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Shown {
                id: row.id,
                received_at: row.received_at.to_jiff(),
                server: row.server,
                person: row.person,
                event: row.event,
                title: row.title,
                verdict: Verdict::parse(&row.verdict)?,
                reason: row.reason,
                rule: row.rule,
                handled_at: read(row.handled_at),
                payload: filter.id.map(|_| row.payload),
            })
        })
        .collect()
}

/// Lets an event be merged anew, for the account that it belongs to by now. False where there is none with this key, or it is of no server.
pub async fn replay(connection: &mut Connection, id: i64) -> Result<bool> {
    let changed = sqlx::query!(
        r#"update inbox i set verdict = 'waiting', reason = null, rule = null, handled_at = null, attempts = 0, next_try_at = null,
               account_id = coalesce(i.account_id, (
                   select case when count(*) = 1 then min(a.id) end from account a
                   where a.server_id = i.server_id and (
                       coalesce(a.remote_id, a.configured) = i.payload #>> '{account,id}'
                       or lower(coalesce(a.remote_name, a.configured)) = lower(i.payload #>> '{account,name}'))))
           where i.id = $1 and i.server_id is not null"#,
        id,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(changed > 0)
}

/// A raw request, redacted.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptRequest {
    /// Its key.
    pub id: i64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When it goes.
    pub expires_at: Timestamp,
    /// Who sent it.
    pub address: String,
    /// Its headers; secrets are gone.
    pub headers: Value,
    /// Its body; secrets are gone.
    pub body: String,
    /// What it was answered with.
    pub status: i16,
}

/// Keeps a raw request, and lets those go whose time is over. Its key is made here.
pub async fn keep_request(connection: &mut Connection, request: &KeptRequest) -> Result<()> {
    forget_requests(connection, request.received_at).await?;
    sqlx::query!(
        "insert into kept_request (received_at, expires_at, address, headers, body, status) values ($1, $2, $3, $4, $5, $6)",
        bind(request.received_at),
        bind(request.expires_at),
        request.address,
        request.headers,
        request.body,
        request.status,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets the raw requests go whose time is over. Returns how many.
pub async fn forget_requests(connection: &mut Connection, now: Timestamp) -> Result<u64> {
    let gone = sqlx::query!("delete from kept_request where expires_at < $1", bind(now)).execute(connection).await?;
    Ok(gone.rows_affected())
}

/// The raw requests that are kept, newest first, at most `limit`.
pub async fn kept_requests(connection: &mut Connection, now: Timestamp, limit: i64) -> Result<Vec<KeptRequest>> {
    let rows = sqlx::query!(
        r#"select id, received_at, expires_at, address, headers, body, status from kept_request where expires_at >= $1
           order by id desc limit $2"#,
        bind(now),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| KeptRequest {
            id: row.id,
            received_at: row.received_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            address: row.address,
            headers: row.headers,
            body: row.body,
            status: row.status,
        })
        .collect())
}
