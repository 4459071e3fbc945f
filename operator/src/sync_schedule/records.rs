//! A schedule and the database: its row in the registry, and what its runs left there. Each call is given up after a while, so that a database that
//! hangs holds up nothing else.

use std::collections::BTreeSet;

use jiff::Timestamp;
use watchstate_crds::SyncSchedule;
use watchstate_projection::policy;
use watchstate_store::{Connection, Store, StoreError, registry};

use super::selection::Selected;
use super::status::Records;
use crate::database::{Database, PATIENCE};
use crate::error::Error;
use crate::runs;

/// Makes the registry say what the schedule wants. Without servers it is taken out: to the registry, no names mean all servers.
pub async fn register(
    database: &Database,
    schedule: &SyncSchedule,
    selected: &Selected,
    now: Timestamp,
) -> Result<(), Error> {
    let name = schedule.metadata.name.as_deref().unwrap_or_default();
    let servers: Vec<String> = names(selected);
    let policy = policy::schedule_policy(&schedule.spec, servers);
    ask(database, async |connection| {
        if policy.servers.is_empty() {
            registry::remove_schedule(connection, name).await.map(drop)
        } else {
            registry::put_schedule(connection, name, &policy, now).await
        }
    })
    .await
}

/// Takes all schedules out of the registry that aren't known. `known` is asked after the registry was read, so that it tells of what was put there
/// meanwhile, and again while what shall go is held.
pub async fn sweep(database: &Database, known: impl Fn() -> BTreeSet<String>) -> Result<(), Error> {
    let sweeping = async |store: Store| {
        let mut transaction = store.begin().await?;
        let registered = registry::schedules(&mut transaction).await?;
        let there = known();
        let gone: Vec<String> =
            registered.into_iter().map(|(name, _)| name).filter(|name| !there.contains(name)).collect();
        let held = registry::hold_schedules(&mut transaction, &gone).await?;
        let there = known();
        for name in held.iter().filter(|name| !there.contains(*name)) {
            registry::remove_schedule(&mut transaction, name).await?;
        }
        Ok(transaction.commit().await?)
    };
    database.ask(PATIENCE, sweeping).await
}

/// What its runs left.
pub async fn read(database: &Database, schedule: &SyncSchedule) -> Result<Records, Error> {
    let name = schedule.metadata.name.as_deref().unwrap_or_default();
    ask(database, async |connection| {
        let runs = runs::of_schedule(connection, name).await?;
        let held = runs::held_under(connection, name).await?;
        Ok(Records { runs, held })
    })
    .await
}

fn names(selected: &Selected) -> Vec<String> {
    selected.servers.iter().filter_map(|server| server.metadata.name.clone()).collect()
}

async fn ask<T>(
    database: &Database,
    question: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, Error> {
    let asking = async |store: Store| {
        let mut connection = store.acquire().await?;
        question(&mut connection).await
    };
    database.ask(PATIENCE, asking).await
}
