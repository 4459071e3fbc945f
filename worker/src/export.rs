//! What differs between servers and the agreed truth goes into the outbox; [`crate::push`] takes it from there.

use std::collections::HashMap;

use serde::Serialize;
use watchstate_domain::write::Wanted;
use watchstate_merge::queue::wanted;
use watchstate_store::candidates::{self, Candidate};
use watchstate_store::outbox::{self, Entry};
use watchstate_store::registry::{Account, Server};
use watchstate_store::{Connection, items};

use crate::app::App;
use crate::contact::Trouble;

/// Items that are looked for at a time: each look goes through all that the account has.
const SIEVED: u16 = 20_000;
/// Items that are compared at a time.
const BATCH: u16 = 1_000;

/// A write that would be made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// The server.
    pub server: String,
    /// The person.
    pub person: String,
    /// The title.
    pub title: String,
    /// What it should be.
    #[serde(flatten)]
    pub wanted: Wanted,
}

/// Queues every write that an account needs. Returns how many.
pub async fn queue(
    app: &App,
    server: &Server,
    account: &Account,
    run_id: Option<i64>,
    connection: &mut Connection,
) -> Result<u64, Trouble> {
    let mut queued = 0;
    let mut after = 0;
    loop {
        let differing = candidates::differing(connection, account, after, SIEVED.into()).await?;
        let Some(last) = differing.last() else { return Ok(queued) };
        after = *last;
        for item_ids in differing.chunks(BATCH.into()) {
            let candidates = candidates::load(connection, account.id, item_ids).await?;
            let entries: Vec<Entry> = candidates.iter().filter_map(|candidate| entry(app, server, candidate)).collect();
            queued += entries.len() as u64;
            outbox::enqueue(connection, account.id, &entries, run_id, app.clock.now()).await?;
        }
        if differing.len() < usize::from(SIEVED) {
            return Ok(queued);
        }
    }
}

fn entry(app: &App, server: &Server, candidate: &Candidate) -> Option<Entry> {
    let wanted = wanted(server, app.policy.progress, candidate, app.clock.now())?;
    Some(Entry { item_id: candidate.item_id, wanted, version: candidate.version, due_at: None, told_at: None })
}

/// What a run would write, oldest play first, for people: the outbox is queued and looked through as a run does it. Call it in a transaction that is
/// taken back.
pub async fn preview(
    app: &App,
    server: &Server,
    account: &Account,
    queueing: bool,
    force: bool,
    connection: &mut Connection,
) -> Result<Vec<Planned>, Trouble> {
    if queueing {
        queue(app, server, account, None, connection).await?;
    }
    if force {
        outbox::retry(connection, Some(account.id), None, true, app.clock.now()).await?;
    }
    let due: Vec<i64> =
        outbox::due(connection, account.id, app.clock.now(), i64::MAX).await?.iter().map(|due| due.item_id).collect();
    let mut planned = Vec::new();
    for item_ids in due.chunks(BATCH.into()) {
        let mut candidates: HashMap<i64, Candidate> = candidates::load(connection, account.id, item_ids)
            .await?
            .into_iter()
            .map(|candidate| (candidate.item_id, candidate))
            .collect();
        let names = items::names(connection, item_ids).await?;
        planned.extend(item_ids.iter().filter_map(|item_id| {
            Some(Planned {
                server: server.name.clone(),
                person: account.person.clone(),
                title: names.get(item_id).cloned().unwrap_or_default(),
                wanted: wanted(server, app.policy.progress, &candidates.remove(item_id)?, app.clock.now())?,
            })
        }));
    }
    Ok(planned)
}
