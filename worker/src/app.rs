//! What every verb needs: the database, the clock, the folders, how to print.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use url::Url;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::Metrics;
use watchstate_store::embedded::{self, Embedded};
use watchstate_store::registry::SchedulePolicy;
use watchstate_store::{Store, registry};

use crate::Misconfigured;
use crate::args::{Format, Settings};
use crate::progress::Progress;

/// Connections at most: two lanes a server, and a few for pages under way.
const CONNECTIONS: u32 = 20;

/// What every verb needs.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process shall end.
    pub stop: CancellationToken,
    /// Progress bars, on a terminal.
    pub progress: Progress,
    /// How results are printed.
    pub format: Format,
    /// Where the servers' tokens are.
    pub tokens: PathBuf,
    /// Where plex.tv is.
    pub plex_tv: Url,
    /// What servers list us as.
    pub client_id: String,
    /// The schedule whose policy holds, if there is one.
    pub schedule: Option<String>,
    /// Its policy, or the defaults.
    pub policy: SchedulePolicy,
    /// Where the summary goes.
    pub summary_file: Option<PathBuf>,
    embedded: Option<Embedded>,
}

/// What a verb expects of the database.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// The schedule that is named may be one that doesn't exist yet.
    pub applies: bool,
    /// The process stays, and waits for a database that is away.
    pub waits: bool,
    /// The policy decides about what is done: of several schedules one must be named.
    pub decides: bool,
}

impl App {
    /// Connects to the database, or starts the embedded one, brings the schema up to date and chooses the schedule. None: the process shall end, and
    /// the database that it waited for hasn't come.
    pub async fn open(
        settings: &Settings,
        opening: Opening,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
        clock: Clock,
        progress: Progress,
    ) -> Result<Option<Self>> {
        let data = settings.data.clone().or_else(embedded::data_folder).ok_or_else(|| {
            Misconfigured(
                "there is no home folder to keep data in: name a folder with --data, or WATCHSTATE_DATA".to_owned(),
            )
        })?;
        let plex_tv = settings.plex_tv.as_deref().unwrap_or(watchstate_servers::PLEX_TV);
        let plex_tv = Url::parse(plex_tv)
            .map_err(|error| Misconfigured(format!("WATCHSTATE_PLEX_TV_URL {plex_tv:?} is no address: {error}")))?;
        let (store, embedded) = embedded::open(settings.database.as_deref(), &data, CONNECTIONS).await?;
        let (client_id, schedule, policy) = match known(&store, settings, opening, &stop).await {
            Ok(Some(known)) => known,
            ended => {
                close(store, embedded).await?;
                return ended.map(|_| None);
            }
        };
        Ok(Some(Self {
            store,
            clock,
            metrics,
            stop,
            progress,
            format: settings.output,
            tokens: settings.tokens.clone().unwrap_or_else(|| data.join("tokens")),
            plex_tv,
            client_id,
            schedule,
            policy,
            summary_file: settings.summary_file.clone(),
            embedded,
        }))
    }

    /// Closes the database; stops the embedded one when nobody else uses it.
    pub async fn close(self) -> Result<()> {
        close(self.store, self.embedded).await
    }
}

async fn close(store: Store, embedded: Option<Embedded>) -> Result<()> {
    store.close().await;
    if let Some(embedded) = embedded {
        embedded.stop().await.context("the embedded Postgres didn't stop")?;
    }
    Ok(())
}

/// What the database knows of us: the client's id, the schedule and its policy, once the schema is up to date. None: the process shall end.
async fn known(
    store: &Store,
    settings: &Settings,
    opening: Opening,
    stop: &CancellationToken,
) -> Result<Option<(String, Option<String>, SchedulePolicy)>> {
    let migrated =
        async { if opening.waits { store.migrate_when_there().await } else { store.migrate_once_up().await } };
    tokio::select! {
        there = migrated => there?,
        () = stop.cancelled() => return Ok(None),
    }
    let mut connection = store.acquire().await?;
    let client_id = registry::installation(&mut connection).await?.to_string();
    let schedules = registry::schedules(&mut connection).await?;
    let named = settings.schedule.as_deref().filter(|_| !opening.applies);
    if opening.decides && named.is_none() && schedules.len() > 1 {
        let known: Vec<&str> = schedules.iter().map(|(name, _)| name.as_str()).collect();
        let message = format!(
            "there are several SyncSchedules, and their policies may differ: say which one holds with --schedule NAME or WATCHSTATE_SCHEDULE; known: {}",
            known.join(", ")
        );
        return Err(Misconfigured(message).into());
    }
    let (schedule, policy) = choose(schedules, named)?;
    Ok(Some((client_id, schedule, policy)))
}

/// The policy that holds for a process of this schedule; the defaults where there is none (any more).
pub fn policy_of(schedules: Vec<(String, SchedulePolicy)>, schedule: Option<&str>) -> SchedulePolicy {
    match schedule {
        Some(name) => {
            schedules.into_iter().find(|(known, _)| known == name).map(|(_, policy)| policy).unwrap_or_default()
        }
        None => choose(schedules, None).map(|(_, policy)| policy).unwrap_or_default(),
    }
}

/// The schedule that was named, else the only one, else none.
fn choose(
    mut schedules: Vec<(String, SchedulePolicy)>,
    named: Option<&str>,
) -> Result<(Option<String>, SchedulePolicy), Misconfigured> {
    if let Some(named) = named {
        let known: Vec<&str> = schedules.iter().map(|(name, _)| name.as_str()).collect();
        let Some(found) = known.iter().position(|name| *name == named) else {
            return Err(Misconfigured(format!("there is no SyncSchedule {named:?}; known: {}", known.join(", "))));
        };
        let (name, policy) = schedules.swap_remove(found);
        return Ok((Some(name), policy));
    }
    match schedules.pop() {
        Some((name, policy)) if schedules.is_empty() => Ok((Some(name), policy)),
        _ => Ok((None, SchedulePolicy::default())),
    }
}
