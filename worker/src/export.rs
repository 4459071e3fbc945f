//! What differs between servers and the agreed truth goes into the outbox; [`crate::push`] takes it from there.

use serde::Serialize;
use watchstate_domain::write::{Wanted, difference};
use watchstate_servers::Write;
use watchstate_store::outbox::{self, Candidate, Entry};
use watchstate_store::registry::{Account, Server};
use watchstate_store::{Connection, items};

use crate::app::App;
use crate::contact::Trouble;

/// Items that are compared at a time.
const BATCH: i64 = 1_000;

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
        let candidates = outbox::candidates(connection, account.id, after, BATCH).await?;
        let Some(last) = candidates.last() else { return Ok(queued) };
        after = last.item_id;
        let entries: Vec<Entry> = candidates
            .iter()
            .filter_map(|candidate| {
                let wanted = wanted(app, server, candidate)?;
                Some(Entry { item_id: candidate.item_id, wanted, version: candidate.version })
            })
            .collect();
        queued += entries.len() as u64;
        outbox::enqueue(connection, account.id, &entries, run_id, app.clock.now()).await?;
    }
}

/// The writes that an account needs, for people: nothing is queued.
pub async fn preview(app: &App, server: &Server, account: &Account, connection: &mut Connection) -> Result<Vec<Planned>, Trouble> {
    let mut planned = Vec::new();
    let mut after = 0;
    loop {
        let candidates = outbox::candidates(connection, account.id, after, BATCH).await?;
        let Some(last) = candidates.last() else { return Ok(planned) };
        after = last.item_id;
        let wanted: Vec<(i64, Wanted)> = candidates
            .iter()
            .filter_map(|candidate| Some((candidate.item_id, wanted(app, server, candidate)?)))
            .collect();
        let ids: Vec<i64> = wanted.iter().map(|(item_id, _)| *item_id).collect();
        let names = items::names(connection, &ids).await?;
        planned.extend(wanted.into_iter().map(|(item_id, wanted)| Planned {
            server: server.name.clone(),
            person: account.person.clone(),
            title: names.get(&item_id).cloned().unwrap_or_default(),
            wanted,
        }));
    }
}

/// What the server must be told of an item; None when it agrees, or can't be told.
pub fn wanted(app: &App, server: &Server, candidate: &Candidate) -> Option<Wanted> {
    difference(
        &candidate.observation,
        &candidate.agreed,
        candidate.runtime_ms,
        server.clock_offset,
        app.policy.progress,
    )
    // Plex has no way to take a left-over position away from a played item.
    .filter(|wanted| *wanted != Wanted::NoPosition || Write::ClearPosition.is_possible_at(server.kind))
}
