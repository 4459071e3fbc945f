//! The registry: servers, accounts, libraries and schedules, projected from the resources. It never holds a media server's token.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::item::ServerKind;
use watchstate_domain::policy::{BrakePolicy, ImportMode, ProgressPolicy, Unplayed};

use crate::stamp::bind;
use crate::{Connection, Result, StoreError};

/// What a household wants of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the resource's own switches, one by one")]
pub struct ServerPolicy {
    /// Its states are read.
    pub import: bool,
    /// How much of its word is taken.
    pub import_mode: ImportMode,
    /// It is written to.
    pub export: bool,
    /// Whether its un-plays are believed.
    pub unplayed: Unplayed,
    /// Libraries by id or title; empty: all.
    pub include: Vec<String>,
    /// Libraries by id or title that are left out.
    pub exclude: Vec<String>,
    /// Prefixes of paths, for items without ids: from, to.
    pub path_rules: Vec<PathRule>,
    /// Requests under way at once.
    pub concurrency: u32,
    /// Requests a second; None: no limit.
    pub requests_per_second: Option<u32>,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: u64,
    /// Items a page.
    pub page_size: u32,
    /// The certificate isn't checked.
    pub insecure_skip_verify: bool,
    /// Its events are taken.
    pub webhook: bool,
    /// Events of accounts that are no person's are put aside.
    pub match_user: bool,
    /// Events that name another server are put aside.
    pub match_server: bool,
    /// Nothing is done with it.
    pub suspend: bool,
}

impl Default for ServerPolicy {
    fn default() -> Self {
        Self {
            import: true,
            import_mode: ImportMode::Full,
            export: true,
            unplayed: Unplayed::Follow,
            include: Vec::new(),
            exclude: Vec::new(),
            path_rules: Vec::new(),
            concurrency: 4,
            requests_per_second: None,
            timeout_ms: 60_000,
            page_size: 1_000,
            insecure_skip_verify: false,
            webhook: true,
            match_user: true,
            match_server: true,
            suspend: false,
        }
    }
}

/// A prefix of paths at a server, and what it is called in the household.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRule {
    /// As the server has it: `/data/media`.
    pub from: String,
    /// The common name: `/media`.
    pub to: String,
}

/// What a household wants of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePolicy {
    /// Its servers by name; empty: all.
    pub servers: Vec<String>,
    /// When un-plays are held.
    pub brake: BrakePolicy,
    /// Whether positions travel.
    pub progress: ProgressPolicy,
    /// Nothing is written to servers.
    pub dry_run: bool,
    /// How long things are kept, in milliseconds, by name (`runs`, `events`, `items`, `history`).
    pub keep_ms: BTreeMap<String, u64>,
}

impl SchedulePolicy {
    /// The policy that holds for a server: that of the first schedule that takes it in, else the defaults.
    pub fn of_server(schedules: &[(String, Self)], server: &str) -> Self {
        schedules
            .iter()
            .find(|(_, policy)| policy.servers.is_empty() || policy.servers.iter().any(|name| name == server))
            .map_or_else(Self::default, |(_, policy)| policy.clone())
    }
}

/// A server.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its key.
    pub id: i64,
    /// The MediaServer's name.
    pub name: String,
    /// What it is.
    pub kind: ServerKind,
    /// Where it is.
    pub url: String,
    /// What is wanted of it.
    pub policy: ServerPolicy,
    /// Who answered at first contact.
    pub remote_id: Option<String>,
    /// The name that its owner gave it.
    pub remote_name: Option<String>,
    /// Its version at last contact.
    pub version: Option<String>,
    /// How far its clock is ahead.
    pub clock_offset: ClockOffset,
    /// When it last answered.
    pub contacted_at: Option<Timestamp>,
}

/// An account of a person at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its key.
    pub id: i64,
    /// At which server.
    pub server_id: i64,
    /// Whose it is.
    pub person_id: i64,
    /// The person's name.
    pub person: String,
    /// As it was configured: a name or an id; empty for the token's own account.
    pub configured: String,
    /// The server's id of it, once it was found.
    pub remote_id: Option<String>,
    /// Its name at the server, once it was found.
    pub remote_name: Option<String>,
}

/// A server as the resources want it.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedServer {
    /// The MediaServer's name.
    pub name: String,
    /// What it is.
    pub kind: ServerKind,
    /// Where it is.
    pub url: String,
    /// What is wanted of it.
    pub policy: ServerPolicy,
    /// Persons, each with the account as configured; empty for the token's own.
    pub users: Vec<(String, String)>,
    /// SHA-256 of the webhook's token.
    pub webhook_token_sha256: Option<Vec<u8>>,
}

/// The stable id of this installation: what media servers list us as.
pub async fn installation(connection: &mut Connection) -> Result<uuid::Uuid> {
    Ok(sqlx::query_scalar!("select id from installation").fetch_one(connection).await?)
}

/// The servers, by name.
pub async fn servers(connection: &mut Connection) -> Result<Vec<Server>> {
    let rows = sqlx::query!(
        r#"select id, name, kind, url, policy as "policy: Json<ServerPolicy>", remote_id, remote_name, version, clock_offset_ms, contacted_at
           from server order by name"#,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Server {
                id: row.id,
                name: row.name,
                kind: row.kind.parse().map_err(|_| StoreError::Inconsistent {
                    table: "server",
                    column: "kind",
                    found: row.kind.clone(),
                })?,
                url: row.url,
                policy: row.policy.0,
                remote_id: row.remote_id,
                remote_name: row.remote_name,
                version: row.version,
                clock_offset: ClockOffset(row.clock_offset_ms),
                contacted_at: crate::stamp::read(row.contacted_at),
            })
        })
        .collect()
}

/// A server with all that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// The server.
    pub server: Server,
    /// Its accounts, by person.
    pub accounts: Vec<Account>,
    /// SHA-256 of the webhook's token.
    pub webhook_token_sha256: Option<Vec<u8>>,
}

/// A server by its name, with all that belongs to it. Until the transaction ends nobody takes it out.
pub async fn registered(connection: &mut Connection, name: &str) -> Result<Option<Registered>> {
    let row = sqlx::query!(
        r#"select id, name, kind, url, policy as "policy: Json<ServerPolicy>", remote_id, remote_name, version, clock_offset_ms, contacted_at,
               webhook_token_sha256
           from server where name = $1 for key share"#,
        name,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let kind = row.kind.parse().map_err(|_| StoreError::Inconsistent {
        table: "server",
        column: "kind",
        found: row.kind.clone(),
    })?;
    let accounts = sqlx::query_as!(
        Account,
        r#"select a.id, a.server_id, a.person_id, p.name as person, a.configured, a.remote_id, a.remote_name
           from account a join person p on p.id = a.person_id where a.server_id = $1 order by p.name, a.id"#,
        row.id,
    )
    .fetch_all(connection)
    .await?;
    let server = Server {
        id: row.id,
        name: row.name,
        kind,
        url: row.url,
        policy: row.policy.0,
        remote_id: row.remote_id,
        remote_name: row.remote_name,
        version: row.version,
        clock_offset: ClockOffset(row.clock_offset_ms),
        contacted_at: crate::stamp::read(row.contacted_at),
    };
    Ok(Some(Registered { server, accounts, webhook_token_sha256: row.webhook_token_sha256 }))
}

/// The accounts of all servers, by server and person.
pub async fn accounts(connection: &mut Connection) -> Result<Vec<Account>> {
    let rows = sqlx::query!(
        r#"select a.id, a.server_id, a.person_id, p.name as person, a.configured, a.remote_id, a.remote_name
           from account a join person p on p.id = a.person_id order by a.server_id, p.name, a.id"#,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Account {
            id: row.id,
            server_id: row.server_id,
            person_id: row.person_id,
            person: row.person,
            configured: row.configured,
            remote_id: row.remote_id,
            remote_name: row.remote_name,
        })
        .collect())
}

/// Lets one transaction at a time merge events of the named accounts. Readings go on meanwhile.
pub async fn lock_accounts(connection: &mut Connection, ids: &[i64]) -> Result<()> {
    sqlx::query_scalar!("select id from account where id = any($1) order by id for no key update", ids)
        .fetch_all(connection)
        .await?;
    Ok(())
}

/// SHA-256 of the token that a server's webhook events carry, by the server's name; servers without one are missing.
pub async fn webhook_tokens(connection: &mut Connection) -> Result<BTreeMap<String, Vec<u8>>> {
    let rows = sqlx::query!(
        r#"select name, webhook_token_sha256 as "hash!" from server where webhook_token_sha256 is not null"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.hash)).collect())
}

/// Gives a server the token that its webhook events carry from now on, by its SHA-256. False: there is no such server.
pub async fn set_webhook_token(connection: &mut Connection, name: &str, sha256: &[u8]) -> Result<bool> {
    let changed = sqlx::query!("update server set webhook_token_sha256 = $2 where name = $1", name, sha256)
        .execute(connection)
        .await?
        .rows_affected();
    Ok(changed > 0)
}

/// The schedules, by name.
pub async fn schedules(connection: &mut Connection) -> Result<Vec<(String, SchedulePolicy)>> {
    let rows = sqlx::query!(r#"select name, policy as "policy: Json<SchedulePolicy>" from schedule order by name"#)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.policy.0)).collect())
}

/// Makes the registry hold a server as it is wanted. A changed address forgets nobody: who answers there is checked at the next contact.
/// Accounts that are no longer wanted go, with what was observed through them; persons and their history stay.
pub async fn put_server(connection: &mut Connection, wanted: &WantedServer, now: Timestamp) -> Result<i64> {
    let id = sqlx::query_scalar!(
        r#"insert into server (name, kind, url, policy, webhook_token_sha256, updated_at) values ($1, $2, $3, $4, $5, $6)
           on conflict (name) do update set kind = excluded.kind, url = excluded.url, policy = excluded.policy,
               webhook_token_sha256 = coalesce(excluded.webhook_token_sha256, server.webhook_token_sha256), updated_at = excluded.updated_at,
               remote_id = case when server.kind = excluded.kind then server.remote_id end
           returning id"#,
        wanted.name,
        wanted.kind.as_str(),
        wanted.url,
        Json(&wanted.policy) as _,
        wanted.webhook_token_sha256,
        bind(now),
    )
    .fetch_one(&mut *connection)
    .await?;
    let persons: Vec<String> = wanted.users.iter().map(|(person, _)| person.clone()).collect();
    let configured: Vec<String> = wanted.users.iter().map(|(_, account)| account.clone()).collect();
    sqlx::query!(
        "insert into person (name) select distinct new.name from unnest($1::text[]) as new (name) on conflict (name) do nothing",
        &persons,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from account where server_id = $1 and configured <> all($2)", id, &configured)
        .execute(&mut *connection)
        .await?;
    // An account that changes hands starts anew: what was observed of it belonged to somebody else.
    sqlx::query!(
        r#"delete from account a using unnest($2::text[], $3::text[]) as new (person, configured), person p
           where a.server_id = $1 and a.configured = new.configured and p.name = new.person and a.person_id <> p.id"#,
        id,
        &persons,
        &configured,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"insert into account (server_id, person_id, configured)
           select $1, p.id, new.configured from unnest($2::text[], $3::text[]) as new (person, configured) join person p on p.name = new.person
           on conflict (server_id, configured) do nothing"#,
        id,
        &persons,
        &configured,
    )
    .execute(connection)
    .await?;
    Ok(id)
}

/// Those of the named servers that are registered. Until the transaction ends, whoever registers one of them anew waits.
pub async fn hold_servers(connection: &mut Connection, names: &[String]) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar!("select name from server where name = any($1) order by name for update", names)
        .fetch_all(connection)
        .await?)
}

/// Takes a server out of the registry, with its accounts, items and observations. Titles, states and history stay.
pub async fn remove_server(connection: &mut Connection, name: &str) -> Result<bool> {
    let removed = sqlx::query!("delete from server where name = $1", name).execute(connection).await?.rows_affected();
    Ok(removed > 0)
}

/// Makes the registry hold a schedule as it is wanted. One that it holds so already isn't written.
pub async fn put_schedule(
    connection: &mut Connection,
    name: &str,
    policy: &SchedulePolicy,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        r#"insert into schedule (name, policy, updated_at) values ($1, $2, $3)
           on conflict (name) do update set policy = excluded.policy, updated_at = excluded.updated_at
           where schedule.policy is distinct from excluded.policy"#,
        name,
        Json(policy) as _,
        bind(now),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Those of the named schedules that are registered. Until the transaction ends, whoever registers one of them anew waits.
pub async fn hold_schedules(connection: &mut Connection, names: &[String]) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar!("select name from schedule where name = any($1) order by name for update", names)
        .fetch_all(connection)
        .await?)
}

/// Takes a schedule out of the registry.
pub async fn remove_schedule(connection: &mut Connection, name: &str) -> Result<bool> {
    let removed = sqlx::query!("delete from schedule where name = $1", name).execute(connection).await?.rows_affected();
    Ok(removed > 0)
}

/// Notes a contact: who answered, and how far its clock is ahead.
pub async fn contacted(
    connection: &mut Connection,
    server_id: i64,
    remote_id: &str,
    remote_name: &str,
    version: &str,
    offset: ClockOffset,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        r#"update server set remote_id = coalesce(remote_id, $2), remote_name = $3, version = $4, clock_offset_ms = $5, contacted_at = $6
           where id = $1"#,
        server_id,
        remote_id,
        remote_name,
        version,
        offset.0,
        bind(now),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes which account of the server a configured one is. When it turns out to be another one than before, what was observed of it goes.
pub async fn resolved(connection: &mut Connection, account_id: i64, remote_id: &str, remote_name: &str) -> Result<()> {
    sqlx::query!(
        "delete from observation where account_id = (select id from account where id = $1 and remote_id is not null and remote_id <> $2)",
        account_id,
        remote_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update account set remote_id = $2, remote_name = $3 where id = $1",
        account_id,
        remote_id,
        remote_name
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A library of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Its key.
    pub id: i64,
    /// The server's id of it.
    pub remote_id: String,
    /// Its title.
    pub name: String,
    /// `movies`, `shows`, `mixed`, or the server's own word.
    pub content: String,
    /// It can be synced.
    pub supported: bool,
    /// It is to be synced.
    pub selected: bool,
}

/// Notes a library and returns its key.
pub async fn put_library(connection: &mut Connection, server_id: i64, library: &Library) -> Result<i64> {
    let id = sqlx::query_scalar!(
        r#"insert into library (server_id, remote_id, name, content, supported, selected) values ($1, $2, $3, $4, $5, $6)
           on conflict (server_id, remote_id) do update set name = excluded.name, content = excluded.content,
               supported = excluded.supported, selected = excluded.selected
           returning id"#,
        server_id,
        library.remote_id,
        library.name,
        library.content,
        library.supported,
        library.selected,
    )
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// The libraries of a server, by name.
pub async fn libraries(connection: &mut Connection, server_id: i64) -> Result<Vec<Library>> {
    let rows = sqlx::query_as!(
        Library,
        "select id, remote_id, name, content, supported, selected from library where server_id = $1 order by name",
        server_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
