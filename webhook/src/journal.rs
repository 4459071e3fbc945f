//! Where events become safe: in the database, many requests with one commit; in the spool while the database is away. Only then is a request answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use watchstate_runtime::admin::Dependency;
use watchstate_runtime::metrics::{Metrics, OfComponent, Place};
use watchstate_runtime::redact;
use watchstate_store::Store;
use watchstate_store::inbox::{self, Received};

use crate::spool::{Spool, SpoolError};

/// Requests that are stored with one commit, at most.
const TOGETHER: usize = 256;
/// Requests that may wait for it.
const WAITING: usize = 1_024;
/// So long a database may take before it counts as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often is tried whether it is back.
const RETRY: Duration = Duration::from_secs(1);
/// Batches of the spool that are read back before the next requests are looked at.
const READ_BACK: usize = 50;

/// Neither the database nor the spool could take the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for events: the database is away and the spool is full or broken")]
pub struct NoRoom;

struct Request {
    events: Vec<Received>,
    answer: oneshot::Sender<Result<Place, NoRoom>>,
}

/// Takes events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal(mpsc::Sender<Request>);

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} events", self.events.len())
    }
}

impl Journal {
    /// Makes events safe. Once this returns well, they outlive a crash.
    pub async fn keep(&self, events: Vec<Received>) -> Result<Place, NoRoom> {
        let (answer, answered) = oneshot::channel();
        self.0.send_timeout(Request { events, answer }, PATIENCE).await.map_err(|_| NoRoom)?;
        answered.await.unwrap_or(Err(NoRoom))
    }
}

/// Writes the journal, until every [`Journal`] is gone.
#[derive(Debug)]
pub struct Writer {
    requests: mpsc::Receiver<Request>,
    store: Store,
    spool: Spool,
    /// Whether the spool has room.
    room: Dependency,
    metrics: Arc<Metrics>,
    /// Told when there is something to merge.
    events: Arc<Notify>,
    /// Ends when the database answers again; None: it is there, and nothing waits in the spool.
    back: Option<JoinHandle<()>>,
}

/// A journal and its writer. `ready` is cancelled when the database is as this version needs it.
pub fn open(
    store: Store,
    ready: CancellationToken,
    spool: Spool,
    room: Dependency,
    metrics: Arc<Metrics>,
    events: Arc<Notify>,
) -> (Journal, Writer) {
    let (sender, requests) = mpsc::channel(WAITING);
    // What an earlier process left goes first.
    let back = (!spool.is_empty()).then(|| tokio::spawn(async move { ready.cancelled().await }));
    let writer = Writer { requests, store, spool, room, metrics, events, back };
    writer.gauge();
    (Journal(sender), writer)
}

/// Looks whether the database is back, first after `wait`. Beside the writer: a try may take long, and must not keep events from the spool.
fn look_out(store: &Store, wait: Duration) -> JoinHandle<()> {
    let store = store.clone();
    tokio::spawn(async move {
        sleep(wait).await;
        while !matches!(timeout(PATIENCE, store.acquire()).await, Ok(Ok(_))) {
            sleep(RETRY).await;
        }
    })
}

/// Waits for the end of the task, if there is one.
async fn end_of(task: &mut Option<JoinHandle<()>>) {
    match task {
        // One that was cancelled or has panicked is no reason not to try.
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

impl Writer {
    /// Writes until every journal is gone; what the spool holds then stays there for the next process, if the database is away.
    pub async fn run(mut self) {
        let mut requests = Vec::with_capacity(TOGETHER);
        loop {
            // By turns as it comes: neither keeps the other waiting for long.
            tokio::select! {
                () = end_of(&mut self.back) => drop(self.read_back().await),
                received = self.requests.recv_many(&mut requests, TOGETHER) => {
                    if received == 0 {
                        break;
                    }
                    self.write(std::mem::take(&mut requests)).await;
                }
            }
        }
        if let Some(looking) = self.back.take() {
            looking.abort();
            // Nobody waits for an answer any more. What takes longer than a shutdown may is left to the next process.
            while !self.read_back().await {}
        }
        if !self.spool.is_empty() {
            tracing::warn!(
                events = self.spool.events(),
                "events stay in the spool for the next process: the database is away"
            );
        }
    }

    async fn write(&mut self, requests: Vec<Request>) {
        let (lists, answers): (Vec<_>, Vec<_>) =
            requests.into_iter().map(|request| (request.events, request.answer)).unzip();
        let events: Vec<Received> = lists.into_iter().flatten().collect();
        let kept = if self.back.is_none() { self.store(&events).await } else { Err(None) };
        let outcome = match kept {
            Ok(()) => {
                self.events.notify_one();
                Ok(Place::Database)
            }
            Err(error) => {
                if let Some(error) = error {
                    tracing::warn!("the database is away, events go to the spool: {error}");
                }
                self.back.get_or_insert_with(|| look_out(&self.store, RETRY));
                let put = tokio::task::block_in_place(|| self.spool.put(&events));
                self.gauge();
                self.room.set(put.is_ok());
                put.map(|()| Place::Spool).map_err(|error| {
                    tracing::error!("events are refused: {}", redact::chain(&error));
                    NoRoom
                })
            }
        };
        for answer in answers {
            // Whoever hung up will send it again, and it will be known.
            let _ = answer.send(outcome);
        }
    }

    /// Stores events in the database. An error says that it is away, and why where that is new.
    async fn store(&self, events: &[Received]) -> Result<(), Option<String>> {
        match self.insert(events).await {
            Ok(()) => Ok(()),
            Err(Failure::Data(_)) => {
                // One of them can't be stored, ever: it must not keep the others out.
                for event in events {
                    match self.insert(std::slice::from_ref(event)).await {
                        Ok(()) => {}
                        Err(Failure::Data(error)) => {
                            tracing::error!(
                                event = event.notice.event,
                                "an event can't be stored, and is put aside in the spool: {error}"
                            );
                            tokio::task::block_in_place(|| self.spool.refuse(event))
                                .map_err(|error| Some(redact::chain(&error)))?;
                        }
                        Err(Failure::Away(error)) => return Err(Some(error)),
                    }
                }
                Ok(())
            }
            Err(Failure::Away(error)) => Err(Some(error)),
        }
    }

    async fn insert(&self, events: &[Received]) -> Result<(), Failure> {
        let storing = async {
            let mut connection = self.store.acquire().await?;
            inbox::receive(&mut connection, events).await
        };
        match timeout(PATIENCE, storing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_of_data() => Err(Failure::Data(redact::chain(&error))),
            Ok(Err(error)) => Err(Failure::Away(redact::chain(&error))),
            Err(_) => Err(Failure::Away("it takes too long".to_owned())),
        }
    }

    /// Reads the spool back into the database, in order, until it is empty or the database fails again (true), or requests have waited long enough.
    async fn read_back(&mut self) -> bool {
        for _ in 0..READ_BACK {
            match self.read_back_one().await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::info!("the database is back, and the spool is empty");
                    self.back = None;
                    self.room.set(true);
                    self.events.notify_one();
                    return true;
                }
                Err(error) => {
                    tracing::debug!("the spool waits: {error}");
                    self.back = Some(look_out(&self.store, RETRY));
                    return true;
                }
            }
        }
        self.back = Some(look_out(&self.store, Duration::ZERO));
        false
    }

    async fn read_back_one(&mut self) -> Result<bool, String> {
        let told = |error: SpoolError| redact::chain(&error);
        let Some(events) = tokio::task::block_in_place(|| self.spool.first()).map_err(told)? else {
            return Ok(false);
        };
        self.store(&events).await.map_err(Option::unwrap_or_default)?;
        tokio::task::block_in_place(|| self.spool.done()).map_err(told)?;
        self.gauge();
        Ok(true)
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn gauge(&self) {
        self.metrics.spooled_events.set(&OfComponent { component: "webhook" }, self.spool.events() as f64);
    }
}

/// Why events weren't stored.
enum Failure {
    /// The database can't hold one of them.
    Data(String),
    /// The database isn't there.
    Away(String),
}
