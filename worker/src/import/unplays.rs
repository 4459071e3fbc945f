//! What would take marks away waits until an account was read: a few are applied, too many are held until a person decides.

use anyhow::Result;
use jiff::Timestamp;
use watchstate_domain::brake;
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::{Observation, Rule};
use watchstate_domain::watch::Event;
use watchstate_merge::truth::{self, Via};
use watchstate_store::items;
use watchstate_store::locks::{self, Titles};
use watchstate_store::observations::{self, Observed};
use watchstate_store::plans::{self, Plan, State, Unplay};
use watchstate_store::registry::{self, Account};
use watchstate_store::{Connection, transaction};

use crate::Misconfigured;
use crate::app::App;
use crate::contact::Trouble;
use crate::import::absorb::Reader;

/// Un-plays that are applied at a time.
const BATCH: i64 = 1_000;

/// Ends the plan of an account that was read: applies it, or holds it. `whole`: every library was read in full, from `since` on. Returns how many un-plays
/// are held.
pub async fn settle(
    reader: &mut Reader<'_>,
    whole: bool,
    since: Timestamp,
    force: bool,
    connection: &mut Connection,
) -> Result<u64, Trouble> {
    let account = reader.account;
    let now = reader.now();
    if whole && reader.waiting == 0 && reader.reads_states() {
        plans::retire(connection, account.id, since, now).await?;
    }
    let size = plans::size(connection, reader.plan_id).await?;
    if size == 0 {
        plans::drop_empty(connection, reader.plan_id).await?;
        return Ok(reader.waiting);
    }
    let played = observations::played_total(connection, account.id).await?;
    if !force && brake::holds(size, played, reader.app.policy.brake) {
        plans::decide(connection, reader.plan_id, State::Collecting, State::Held, now).await?;
        tracing::warn!(
            server = reader.server.name,
            plan = reader.plan_id,
            unplays = size,
            played,
            "too many titles were un-played at once: held, see `held show {}`",
            reader.plan_id
        );
        return Ok(size + reader.waiting);
    }
    let mut transaction = transaction::begin(connection).await?;
    plans::decide(&mut transaction, reader.plan_id, State::Collecting, State::Applied, now).await?;
    let via = Via { server: &reader.server.name, kind: reader.server.kind };
    let applied = apply(reader.app, reader.plan_id, account, via, Verdict::Believe, &mut transaction).await?;
    transaction.commit().await?;
    reader.counts.unplayed += applied;
    Ok(reader.waiting)
}

/// Lets a held plan through: exactly its un-plays. Returns how many.
pub async fn approve(app: &App, plan_id: i64) -> Result<u64> {
    decide(app, plan_id, State::Approved, Verdict::Believe).await
}

/// Refuses a held plan: what the server said is noted, the agreed truth stays, and the next export marks the titles again. Returns how many.
pub async fn discard(app: &App, plan_id: i64) -> Result<u64> {
    decide(app, plan_id, State::Discarded, Verdict::Undo).await
}

/// What a plan's un-plays mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Somebody un-played these titles.
    Believe,
    /// Nobody did.
    Undo,
}

async fn decide(app: &App, plan_id: i64, to: State, verdict: Verdict) -> Result<u64> {
    let mut connection = app.store.acquire().await?;
    let plan: Option<Plan> = plans::list(&mut connection, true, Some(plan_id)).await?.pop();
    let Some(plan) = plan else {
        return Err(Misconfigured(format!("there is no plan {plan_id}; see `held list --all`")).into());
    };
    let mut transaction = transaction::begin(&mut connection).await?;
    if !plans::decide(&mut transaction, plan_id, State::Held, to, app.clock.now()).await? {
        return Err(Misconfigured(format!("plan {plan_id} waits for no decision: it is {}", plan.state)).into());
    }
    let account = registry::accounts(&mut transaction).await?.into_iter().find(|account| account.id == plan.account_id);
    let Some(account) = account else {
        return Err(Misconfigured(format!("the account of plan {plan_id} is no longer registered")).into());
    };
    let server = registry::servers(&mut transaction).await?.into_iter().find(|server| server.id == account.server_id);
    let Some(server) = server else {
        return Err(Misconfigured(format!("the server of plan {plan_id} is no longer registered")).into());
    };
    let via = Via { server: &server.name, kind: server.kind };
    let applied = apply(app, plan_id, &account, via, verdict, &mut transaction)
        .await
        .map_err(|trouble| anyhow::anyhow!(trouble.message))?;
    transaction.commit().await?;
    Ok(applied)
}

async fn apply(
    app: &App,
    plan_id: i64,
    account: &Account,
    via: Via<'_>,
    verdict: Verdict,
    connection: &mut Connection,
) -> Result<u64, Trouble> {
    let now = app.clock.now();
    locks::titles(connection, Titles::Use).await?;
    registry::lock_accounts(connection, &[account.id]).await?;
    let rule = if verdict == Verdict::Believe { Rule::NewlyUnplayed } else { Rule::UnplayedIgnored };
    let mut applied = 0;
    let mut after = 0;
    loop {
        let batch = plans::unplays(connection, plan_id, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(applied) };
        after = last.item_id;
        // What was seen since then: played once more, it was un-played by nobody; else it is newer than the plan.
        let seen = observations::newer(connection, account.id, &batch).await?;
        let batch: Vec<Unplay> =
            batch.into_iter().filter(|unplay| seen.get(&unplay.item_id).is_none_or(|played| !played)).collect();
        applied += batch.len() as u64;
        let observed: Vec<Observed> = batch
            .iter()
            .filter(|unplay| !seen.contains_key(&unplay.item_id))
            .map(|unplay| Observed {
                item_id: unplay.item_id,
                observation: Observation::of(&unplay.reading, now),
                rule,
                told_at: None,
            })
            .collect();
        observations::save(connection, account.id, &observed, now).await?;
        if verdict == Verdict::Undo {
            continue;
        }
        let ids: Vec<i64> = batch.iter().map(|unplay| unplay.item_id).collect();
        let titles = items::titles_of(connection, &ids).await?;
        let told: Vec<(TitleId, Event, Rule)> = titles
            .iter()
            .filter_map(|(item_id, title)| {
                let unplay = batch.iter().find(|unplay| unplay.item_id == *item_id)?;
                Some((*title, Event::Unplayed { order: unplay.order }, rule))
            })
            .collect();
        truth::apply(account.person_id, via, &told, now, connection).await?;
    }
}
