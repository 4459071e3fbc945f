//! The MediaServer controller. A reconcile is a short list of steps, each a file:
//!
//! [`secrets`] and [`owned`] (what the server is reached with, and what its events carry) → [`probe`] (does it answer, does it take the token, who
//! watches there), no more often than the interval says ([`memory`]) → [`registration`] (the webhook at the server) → [`registry`] (the database) →
//! [`status`] (conditions, events). [`goodbye`] is the end of a resource. Only the middle talks to media servers, and none of it writes a token anywhere
//! but into the Secrets that it owns.

pub mod goodbye;
pub mod memory;
pub mod owned;
pub mod probe;
pub mod registration;
pub mod registry;
pub mod secrets;
pub mod status;
#[cfg(test)]
mod testing;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{StreamExt, TryStreamExt, future};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher;
use kube::runtime::{Controller, Predicate, PredicateConfig, WatchStreamExt, predicates};
use kube::{Api, ResourceExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use watchstate_crds::condition::{READY, State, find, reason};
use watchstate_crds::{MediaServer, MediaServerStatus, annotation};
use watchstate_projection::household::{self, Users};
use watchstate_runtime::redact;
use watchstate_servers::MediaServer as Client;

use self::memory::{Inputs, Memory, Read, Remembered};
use self::owned::WebhookToken;
use self::probe::{Answer, Findings, Question, Verdict};
use self::secrets::Lack;
use self::status::Outcome;
use self::watching::{Noticed, naming};
use crate::context::Context;
use crate::current::Current;
use crate::error::{self, Error, Kind};
use crate::lease::Candidate;
use crate::watched::Watched;
use crate::{apply, database, observe, watched};

/// So many servers are asked at a time; some take all the time they may.
const CONCURRENCY: u16 = 16;
/// What a new server answers within this is all that is told of it.
const QUICK: Duration = Duration::from_secs(3);
/// How long it may take to sweep the registry: all items of a server go.
const SWEEP: Duration = Duration::from_mins(5);
/// When it is tried again.
const SWEEP_AGAIN: Duration = Duration::from_secs(30);
/// How long what was begun may take once the process shall end: a server that hangs must not cost us the time to give the lease up.
const DRAIN: Duration = Duration::from_secs(15);

/// What all reconciles share.
pub struct Shared {
    /// The surroundings.
    pub context: Arc<Context>,
    /// All MediaServers of the namespace.
    pub servers: Store<MediaServer>,
    /// What is remembered of them.
    pub memory: Memory,
    /// Those that were written a moment ago.
    pub current: Current<MediaServer>,
    /// The Secrets of the namespace, by name.
    pub secrets: Watched,
    /// Told when the registry may hold a server that has no resource any more.
    pub gone: Arc<Notify>,
}

impl Shared {
    /// Nothing is remembered yet, and no watch has told anything.
    pub fn new(context: Arc<Context>, servers: Store<MediaServer>) -> Self {
        let (memory, current, gone) = (Memory::default(), Current::default(), Arc::default());
        Self { context, servers, memory, current, secrets: Watched::new(1), gone }
    }
}

/// Works on MediaServers until `stop`, then lets what was begun finish.
pub async fn controller(context: Arc<Context>, stop: CancellationToken) {
    let (servers, writer) = reflector::store();
    let shared = Arc::new(Shared::new(context.clone(), servers.clone()));
    let gone = shared.gone.clone();
    let (told, household) = mpsc::unbounded();
    let api = Api::<MediaServer>::namespaced(context.client.clone(), &context.namespace);
    let mut noticed = Noticed::new(shared.memory.clone(), gone.clone(), told);
    let ours = shared.clone();
    let changes = watched::watch(api, watched::all())
        .modify(watched::lean)
        .reflect(writer)
        .inspect_ok(move |event| {
            match event {
                watcher::Event::Apply(server) => ours.current.shown(server),
                watcher::Event::Delete(server) => ours.current.forget(server),
                _ => {}
            }
            noticed.notice(event);
        })
        .applied_objects()
        // Not by its own status.
        .predicate_filter(
            predicates::generation.combine(predicates::annotations).combine(predicates::finalizers),
            PredicateConfig::default(),
        );
    // Of Secrets only the metadata is watched, so that none is held in memory that is none of ours; those that are needed are read when they change.
    let secrets = Api::<PartialObjectMeta<Secret>>::namespaced(context.client.clone(), &context.namespace);
    let (shown, mut listed) = (shared.secrets.clone(), false);
    let secrets = watched::watch(secrets, watched::all())
        .inspect_ok(move |event| shown.notice(secrets::KIND, event, |secret| Some(secret.name_any())))
        .try_filter(move |event| {
            // Passes wait until all are listed: what is there at first is no change.
            listed |= matches!(event, watcher::Event::InitDone);
            future::ready(listed || !matches!(event, watcher::Event::InitApply(_)))
        })
        .touched_objects()
        .predicate_filter(predicates::resource_version, PredicateConfig::default());
    let known = servers.clone();
    let working = Controller::for_stream(changes, servers.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .watches_stream(secrets, move |secret| naming(&known.state(), &secret.name_any()))
        .trigger_backoff(watched::EachByItself)
        .reconcile_all_on(context.database.returns())
        .reconcile_on(household)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, failed, shared)
        .for_each(async |done| match done {
            Ok(_) => {}
            Err(controller::Error::QueueError(error)) => {
                tracing::warn!("the watch of MediaServers or Secrets begins anew: {}", redact::chain(&error));
            }
            Err(error) => tracing::debug!("{}", redact::chain(&error)),
        });
    let work = async { tokio::join!(working, sweeping(&context, &servers, &gone, &stop)) };
    tokio::select! {
        _ = work => {}
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("some servers were still being asked; they are asked again by whoever leads next");
        }
    }
    goodbye::let_all_go(&context).await;
}

/// Before the operator is removed: takes our webhooks away from their servers and lets the resources go, which nobody would do afterwards.
pub async fn farewell(context: &Arc<Context>, candidate: &Candidate) -> Result<(), kube::Error> {
    let api = Api::<MediaServer>::namespaced(context.client.clone(), &context.namespace);
    let held = match api.list(&ListParams::default()).await {
        Ok(servers) => servers.iter().any(goodbye::is_held),
        // The kind went first, and all MediaServers with it.
        Err(error) if apply::is(&error, 404) => false,
        Err(error) => return Err(error),
    };
    if !held {
        tracing::info!("no server was told of a webhook: nothing is to be taken away");
        return Ok(());
    }
    candidate.take_over(|| goodbye::farewell(context)).await
}

/// Keeps the registry free of servers that have no resource any more. A sweep that fails is repeated.
async fn sweeping(context: &Context, servers: &Store<MediaServer>, gone: &Notify, stop: &CancellationToken) {
    let mut returns = Box::pin(context.database.returns());
    let mut failed = false;
    loop {
        tokio::select! {
            () = gone.notified() => {}
            Some(()) = returns.next() => {}
            () = tokio::time::sleep(SWEEP_AGAIN), if failed => {}
            () = stop.cancelled() => return,
        }
        let ready = tokio::select! {
            ready = servers.wait_until_ready() => ready.is_ok(),
            () = stop.cancelled() => return,
        };
        if !ready {
            continue;
        }
        let there = || servers.state().iter().map(|server| server.name_any()).collect();
        let swept = context.database.ask(SWEEP, async |store| goodbye::sweep(&store, there).await).await;
        failed = swept.is_err();
        match swept {
            Ok(swept) if swept.is_empty() => {}
            Ok(swept) => tracing::info!("gone from the registry: {}", swept.join(", ")),
            // Once it is back, it is swept.
            Err(Error::Away(away)) => tracing::debug!("the registry couldn't be swept: {away}"),
            Err(error) => tracing::warn!("the registry couldn't be swept: {}", redact::chain(&error)),
        }
    }
}

/// One pass over a server.
pub async fn reconcile(server: Arc<MediaServer>, shared: Arc<Shared>) -> Result<Action, Error> {
    let pass = async {
        shared.secrets.settle().await;
        let server = shared.current.of(server);
        if server.metadata.deletion_timestamp.is_some() {
            goodbye::let_go(&shared, &server).await?;
            return Ok(Action::await_change());
        }
        if server.spec.suspend {
            return suspend(&shared, &server).await;
        }
        settle(&shared, &server).await
    };
    Box::pin(observe::reconcile(&shared.context.metrics, "MediaServer", pass)).await
}

/// When a pass that broke off is tried again.
#[expect(clippy::needless_pass_by_value, reason = "the controller's signature")]
pub fn failed(server: Arc<MediaServer>, error: &Error, shared: Arc<Shared>) -> Action {
    tracing::warn!(server = server.name_any(), "{}", redact::chain(error));
    let context = &shared.context;
    error::requeue(error.kind(), failing_for(&server, context.clock.now()), &context.jitter)
}

/// All steps, each with what the ones before it found.
async fn settle(shared: &Shared, server: &MediaServer) -> Result<Action, Error> {
    let context = &shared.context;
    if registration::is_wanted(server) && context.webhook_url.is_some() && !goodbye::is_held(server) {
        // Before anything is set up that must be taken away again. The change brings us here once more.
        goodbye::hold(context, server).await?;
        return Ok(Action::await_change());
    }
    let people = people(server, &shared.servers.state());
    let read = read(shared, server).await?;
    let (gathered, token) = (&read.gathered, &read.token);
    let found = look_or_tell(shared, server, look(shared, server, &people, &read)).await?;
    let token_known = token.as_ref().ok().and_then(Option::as_ref);
    let (webhook_registered, webhook) = register_webhook(shared, server, &found, token_known).await?;
    // A follower may still hold what it was given for another address: it must not take it to this one.
    let refused = gathered.as_ref().is_err_and(|lack| lack.reason == reason::SECRET_REFUSED);
    let findings = Some(&*found.remembered.findings);
    let registered = project(shared, server, &people, token_known, findings, refused).await;
    if !is_there(shared, server) {
        return Ok(Action::await_change());
    }

    let outcome = Outcome {
        findings: &found.remembered.findings,
        webhook: token.as_ref().map(|_| token_known.map(|token| token.status.clone())).map_err(Lack::verdict),
        webhook_registered,
        registered: registered.clone(),
        requested_at: requested(server),
    };
    let wanted = status::of(server, &outcome, context.clock.now());
    shared.memory.keep(&uid(server), Remembered { webhook, ..found.remembered.clone() });
    tell(shared, server, &wanted).await?;
    let left = found.remembered.due_at.duration_since(context.clock.now());
    let left = Duration::try_from(left).unwrap_or_default();
    // A registry that couldn't be written is tried sooner than the server is asked again.
    Ok(match (registered.state, error::wait(registered.helps, Duration::ZERO)) {
        (State::True, _) | (_, None) => Action::requeue(left),
        (_, Some(wait)) => Action::requeue(left.min(context.jitter.spread(wait))),
    })
}

/// Leaves the server alone, and tells the registry so that everybody does.
async fn suspend(shared: &Shared, server: &MediaServer) -> Result<Action, Error> {
    let people = people(server, &shared.servers.state());
    let registered = project(shared, server, &people, None, None, false).await;
    if !is_there(shared, server) {
        return Ok(Action::await_change());
    }
    tell(shared, server, &status::suspended(server, &registered, shared.context.clock.now())).await?;
    Ok(match error::wait(registered.helps, Duration::ZERO) {
        Some(wait) if registered.state != State::True => Action::requeue(shared.context.jitter.spread(wait)),
        _ => Action::await_change(),
    })
}

/// What is known of a server.
struct Found {
    /// It was asked just now, by this client where it took the token.
    fresh: bool,
    client: Option<Arc<dyn Client>>,
    remembered: Remembered,
}

impl Found {
    /// A client of a server that took the token.
    fn client(&self, context: &Context, server: &MediaServer) -> Option<Arc<dyn Client>> {
        let again = || probe::connect(context, server, self.remembered.access.clone()?).ok();
        self.client.clone().or_else(again)
    }
}

/// What the server is reached with, and what its events carry: read again where a Secret has changed since.
async fn read(shared: &Shared, server: &MediaServer) -> Result<Arc<Read>, Error> {
    let generation = server.metadata.generation;
    let rotation = server.annotations().get(annotation::ROTATE_WEBHOOK_TOKEN);
    // Looked at before anything is read: what changes in between is seen the next time.
    let mut shown = secrets::shown(&shared.secrets, server);
    let before = shared.memory.of(&uid(server)).map(|remembered| remembered.read);
    if let Some(read) = before.filter(|read| read.holds(shown.as_ref(), generation, rotation)) {
        return Ok(read);
    }
    let gathered = secrets::gather(&shared.context, server).await?;
    let token = owned::webhook_token(&shared.context, server).await?;
    // Our own write is no change.
    if let (Some(shown), Ok(Some(WebhookToken { status, written: Some(version), .. }))) = (&mut shown, &token) {
        shown.insert((secrets::KIND, status.token_secret_name.clone()), version.clone());
    }
    Ok(Arc::new(Read { shown, generation, rotation: rotation.cloned(), gathered, token }))
}

/// A server that is new and takes its time: meanwhile its status says that it is being asked.
async fn look_or_tell(
    shared: &Shared,
    server: &MediaServer,
    looking: impl Future<Output = Result<Found, Error>>,
) -> Result<Found, Error> {
    let mut looking = std::pin::pin!(looking);
    if server.status.is_none() {
        if let Ok(found) = tokio::time::timeout(QUICK, &mut looking).await {
            return found;
        }
        write_status(shared, server, &status::pending(server, shared.context.clock.now())).await?;
    }
    looking.await
}

/// Asks the server, if it is time to; else what was found the last time.
async fn look(
    shared: &Shared,
    server: &MediaServer,
    people: &Result<Users, String>,
    read: &Arc<Read>,
) -> Result<Found, Error> {
    let (context, gathered) = (&shared.context, &read.gathered);
    let mut inputs = Inputs {
        generation: server.metadata.generation,
        requested_at: requested(server),
        secrets: gathered.as_ref().map(|gathered| gathered.versions.clone()).map_err(|lack| lack.message.clone()),
        kept: gathered.as_ref().is_ok_and(|gathered| gathered.kept.is_some()),
        people: people.clone(),
    };
    let now = context.clock.now();
    let before = shared.memory.of(&uid(server));
    if let Some(remembered) = before.as_ref().filter(|remembered| !remembered.is_due(&inputs, now)) {
        let remembered = Remembered { read: read.clone(), ..remembered.clone() };
        return Ok(Found { fresh: false, client: None, remembered });
    }
    let (findings, client, access) = match gathered {
        Err(lack) => (Findings::lacking(lack), None, None),
        Ok(gathered) => {
            let unchanged = before.as_ref().filter(|before| before.inputs == inputs);
            let known = server.status.as_ref().and_then(|status| status.server.as_ref());
            let question = Question {
                server,
                people,
                gathered,
                known: known.map(|identity| identity.id.as_str()),
                before: unchanged.map(|before| before.findings.as_ref()),
            };
            let Answer { mut findings, client, access, exchanged } = probe::ask(context, &question).await;
            if let (Some(token), Some(login)) = (&exchanged, &gathered.login) {
                match owned::keep_token(context, server, token, login).await? {
                    Ok(()) => inputs.kept = true,
                    Err(lack) => findings.authenticated = lack.verdict(),
                }
            }
            (findings, client, access)
        }
    };
    let wait = context.jitter.spread(next_look(server, &findings, context.clock.now()));
    let due_at = SignedDuration::try_from(wait).ok().and_then(|wait| context.clock.now().checked_add(wait).ok());
    let (webhook, parting) = before.map(|before| (before.webhook, before.parting)).unwrap_or_default();
    let remembered = Remembered {
        read: read.clone(),
        inputs,
        due_at: due_at.unwrap_or(now),
        findings: Arc::new(findings),
        parting: access.clone().map(|access| (server.spec.url.clone(), access)).or(parting),
        access,
        webhook,
    };
    Ok(Found { fresh: true, client, remembered })
}

/// When the server is asked again: by its interval; sooner while it may heal by itself.
fn next_look(server: &MediaServer, findings: &Findings, now: Timestamp) -> Duration {
    let interval = server.spec.interval.get();
    let helps = [&findings.reachable, &findings.authenticated, &findings.users_resolved]
        .into_iter()
        .find(|verdict| verdict.state != State::True)
        .map(|verdict| verdict.helps);
    match helps {
        Some(kind) => error::wait(kind, failing_for(server, now)).map_or(interval, |wait| wait.min(interval)),
        None => interval,
    }
}

/// The webhook at the server as asked for; the finalizer goes after it.
async fn register_webhook(
    shared: &Shared,
    server: &MediaServer,
    found: &Found,
    token: Option<&WebhookToken>,
) -> Result<(Verdict, Option<([u8; 32], Verdict)>), Error> {
    let context = &shared.context;
    if !registration::is_wanted(server) {
        if goodbye::is_held(server) {
            match found.client(context, server) {
                None => return Ok((registration::unasked(), None)),
                Some(client) => match registration::remove(client.as_ref(), server).await {
                    Ok(_) => goodbye::release(context, server).await?,
                    Err(why) => return Ok((registration::left(&why), None)),
                },
            }
        }
        return Ok((registration::not_asked_for(server), None));
    }
    let Some(webhook) = registration::webhook(server, context.webhook_url.as_ref(), token) else {
        return Ok((registration::lacking(context.webhook_url.as_ref()), None));
    };
    let fingerprint = registration::fingerprint(&webhook);
    let said = found.remembered.webhook.clone().filter(|(said, _)| *said == fingerprint && !found.fresh);
    if let Some(said) = said {
        return Ok((said.1.clone(), Some(said)));
    }
    let Some(client) = found.client(context, server) else { return Ok((registration::unasked(), None)) };
    let verdict = registration::set(client.as_ref(), &webhook).await;
    Ok((verdict.clone(), Some((fingerprint, verdict))))
}

/// The registry as the resource says, with what was found.
async fn project(
    shared: &Shared,
    server: &MediaServer,
    people: &Result<Users, String>,
    token: Option<&WebhookToken>,
    findings: Option<&Findings>,
    left_alone: bool,
) -> Verdict {
    let context = &shared.context;
    let away = |why: String| Verdict::fails(reason::DATABASE_UNAVAILABLE, why, Kind::Waiting);
    let people = match people {
        Ok(people) => people,
        Err(problem) => return Verdict::fails(reason::INVALID_SPEC, problem.clone(), Kind::Stalled),
    };
    let fresh = server.status.as_ref().is_none_or(|status| status.server.is_none());
    let mut wanted = registry::wanted(server, people, token);
    wanted.policy.suspend |= left_alone;
    let projection = registry::Projection { wanted, findings, fresh };
    let now = context.clock.now();
    let projecting = async |store| registry::project(&store, &projection, now).await;
    match context.database.ask(database::PATIENCE, projecting).await {
        Ok(_) => Verdict::holds(reason::REGISTERED, "the registry says what the spec says"),
        Err(Error::Store(error)) if error.is_of_data() => {
            Verdict::fails(reason::DATABASE_REFUSED, redact::chain(&error), Kind::Stalled)
        }
        Err(Error::Store(error)) => away(redact::chain(&error)),
        Err(error) => away(error.to_string()),
    }
}

/// Whether the resource is still there. Asked once the registry was written: it may have gone, and been swept out of the registry, while its server
/// was asked, and then it must be swept out again.
fn is_there(shared: &Shared, server: &MediaServer) -> bool {
    let shown = shared.servers.get(&ObjectRef::from_obj(server));
    let there = shown.is_some_and(|shown| shown.uid() == server.uid());
    if !there {
        shared.gone.notify_one();
    }
    there
}

/// Writes the status where it has changed, and tells of what people should hear of.
async fn tell(shared: &Shared, server: &MediaServer, wanted: &MediaServerStatus) -> Result<(), Error> {
    write_status(shared, server, wanted).await?;
    for (reason, note) in status::transitions(server.status.as_ref(), wanted) {
        shared.context.events.publish(server, reason, &note).await;
    }
    Ok(())
}

async fn write_status(shared: &Shared, server: &MediaServer, wanted: &MediaServerStatus) -> Result<(), Error> {
    let context = &shared.context;
    let api = Api::<MediaServer>::namespaced(context.client.clone(), &context.namespace);
    let written = apply::apply_status(&api, &server.name_any(), wanted, server.status.as_ref())
        .await
        .map_err(Error::kubernetes("writing the status"))?;
    if let Some(now) = written {
        shared.current.wrote(server, now);
    }
    Ok(())
}

/// Who watches at the server: those that it names, else the one person of the household.
fn people(server: &MediaServer, all: &[Arc<MediaServer>]) -> Result<Users, String> {
    let named = |server: &MediaServer| -> Users {
        server.spec.users.iter().map(|user| (user.person.clone(), user.account.clone())).collect()
    };
    if !server.spec.users.is_empty() {
        return Ok(named(server));
    }
    let name = server.name_any();
    let others: Vec<Users> = all.iter().filter(|other| other.name_any() != name).map(|other| named(other)).collect();
    household::settle(&[(&name, named(server))], &others).into_iter().next().unwrap_or_else(|| Ok(Users::new()))
}

fn uid(server: &MediaServer) -> String {
    server.uid().unwrap_or_default()
}

fn requested(server: &MediaServer) -> Option<String> {
    server.annotations().get(annotation::REQUESTED_AT).cloned()
}

/// For how long it has not been ready.
fn failing_for(server: &MediaServer, now: Timestamp) -> Duration {
    let conditions = server.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    find(conditions, READY)
        .filter(|ready| ready.status == State::False.as_str())
        .and_then(|ready| Duration::try_from(now.duration_since(ready.last_transition_time.0)).ok())
        .unwrap_or_default()
}
