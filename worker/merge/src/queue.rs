//! What differs between servers and the agreed truth goes into the outbox.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use watchstate_domain::matching::TitleId;
use watchstate_domain::policy::ProgressPolicy;
use watchstate_domain::write::{Wanted, difference};
use watchstate_store::candidates::{self, Candidate};
use watchstate_store::outbox::{self, Entry};
use watchstate_store::registry::{Account, Server};
use watchstate_store::{Connection, Result, items};

use crate::household::Household;

/// A position reaches a server at most so often; the last one always.
const POSITION_SPACING: SignedDuration = SignedDuration::from_secs(3);

/// A server that told what happened without its own record is looked at only so much later: by then it has kept the record itself, and writing to it would
/// count a second play.
const ORIGIN_WAIT: SignedDuration = SignedDuration::from_mins(1);

/// When an item's next position may be written, after one that was written at `last`.
pub fn next_position(last: Timestamp) -> Timestamp {
    last.checked_add(POSITION_SPACING).unwrap_or(last)
}

/// What a server must be told of an item; None when it agrees, or can't be told.
pub fn wanted(server: &Server, progress: ProgressPolicy, candidate: &Candidate, now: Timestamp) -> Option<Wanted> {
    difference(&candidate.observation, &candidate.agreed, candidate.runtime_ms, server.clock_offset, progress, now)
        .filter(|wanted| *wanted != Wanted::NoPosition || server.kind.clears_positions())
}

/// Something that an event changed.
#[derive(Debug, Default)]
pub struct Told {
    /// The titles that were told of, each with the moment when the first event arrived.
    pub titles: HashMap<TitleId, Timestamp>,
    /// Those of which the telling server's own record isn't known.
    pub unread: HashSet<TitleId>,
}

/// Queues writes for all servers of a person that differ from what was told through `origin`. Returns how many.
pub async fn told(
    household: &Household,
    origin: &Account,
    told: &Told,
    now: Timestamp,
    connection: &mut Connection,
) -> Result<u64> {
    let titles: Vec<TitleId> = told.titles.keys().copied().collect();
    let mut queued = 0;
    for (account_id, item_ids) in outbox::holders(connection, origin.person_id, &titles).await? {
        let Some(account) = household.accounts.get(&account_id) else { continue };
        let Some(server) = household.server_of(account).filter(|server| server.policy.export && !server.policy.suspend)
        else {
            continue;
        };
        let progress = household.policy(server).progress;
        let mut of_item: HashMap<i64, Vec<TitleId>> = HashMap::new();
        for (item_id, title) in items::titles_of(connection, &item_ids).await? {
            of_item.entry(item_id).or_default().push(title);
        }
        let candidates = candidates::load(connection, account_id, &item_ids).await?;
        let positions: Vec<i64> = candidates.iter().map(|candidate| candidate.item_id).collect();
        let last = outbox::last_positions(connection, account_id, &positions).await?;
        let entries: Vec<Entry> = candidates
            .iter()
            .filter_map(|candidate| {
                let wanted = wanted(server, progress, candidate, now)?;
                let titles = of_item.get(&candidate.item_id).map_or(&[][..], Vec::as_slice);
                let unread = account_id == origin.id && titles.iter().any(|title| told.unread.contains(title));
                let due_at = match wanted {
                    _ if unread => now.checked_add(ORIGIN_WAIT).ok(),
                    Wanted::Position { .. } => last.get(&candidate.item_id).copied().map(next_position),
                    _ => None,
                };
                Some(Entry {
                    item_id: candidate.item_id,
                    wanted,
                    version: candidate.version,
                    due_at: due_at.map(|due_at| due_at.max(now)),
                    told_at: titles.iter().filter_map(|title| told.titles.get(title)).min().copied(),
                })
            })
            .collect();
        queued += entries.len() as u64;
        outbox::enqueue(connection, account_id, &entries, None, now).await?;
    }
    Ok(queued)
}
