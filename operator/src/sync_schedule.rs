//! The SyncSchedule controller. One reconcile in its steps: *see* what there is · *select* the servers · *register* the schedule in the database ·
//! *settle* the children (built by pure functions, one file a kind) · *answer* what annotations ask for · *tell* what came of it, in the status and
//! by events. A schedule that is deleted needs no reconcile: its children go by their owner references, its row in the registry is swept out.

pub mod children;
pub mod cronjob;
pub mod deployment;
pub mod destination;
pub mod ended;
pub mod job;
pub mod labels;
pub mod memory;
pub mod outcome;
pub mod part;
pub mod pod;
pub mod records;
pub mod requests;
pub mod selection;
pub mod status;
pub mod timetable;
pub mod tokens;
pub mod transitions;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher;
use kube::runtime::{Controller, Predicate, PredicateConfig, WatchStreamExt, predicates};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use watchstate_crds::condition;
use watchstate_crds::{MediaServer, SyncSchedule};
use watchstate_runtime::redact;

use self::children::{Children, Live, Wanted};
use self::memory::{Left, Memory};
use self::pod::Blueprint;
use self::status::Sight;
use crate::context::Context;
use crate::current::Current;
use crate::error::{self, Error};
use crate::watched::Watched;
use crate::{apply, observe, watched};

/// How often is looked at what nobody tells: plans that webhooks' events made, and what a follower did.
const POLL: Duration = Duration::from_mins(5);
/// So many schedules are looked at together.
const CONCURRENCY: u16 = 8;
/// Changes that come together are looked at once.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// What all reconciles share: the surroundings, and what watches tell, so that a reconcile needn't ask for it.
struct Shared {
    context: Arc<Context>,
    servers: Store<MediaServer>,
    /// Whether all servers are known. Of several who wait for the store itself, only one is woken.
    servers_listed: watch::Receiver<bool>,
    /// The children, by the schedules' names.
    children: Watched,
    memory: Memory,
    current: Current<SyncSchedule>,
}

/// Works on SyncSchedules until `stop`, then lets what was begun finish.
pub async fn controller(context: Arc<Context>, stop: CancellationToken) {
    let (client, namespace) = (context.client.clone(), context.namespace.clone());
    let ours = watched::all().labels(labels::SCHEDULE);
    let gone = Arc::new(Notify::new());

    let (servers, servers_writer) = reflector::store();
    let (listed, servers_listed) = watch::channel(false);
    let shared = Arc::new(Shared {
        context: context.clone(),
        servers,
        servers_listed,
        children: Watched::new(children::KINDS.len()),
        memory: Memory::default(),
        current: Current::default(),
    });
    let (schedules, writer) = reflector::store();
    let (left, told) = (gone.clone(), shared.clone());
    let changes = watched::watch(Api::<SyncSchedule>::namespaced(client.clone(), &namespace), watched::all())
        .modify(watched::lean)
        .reflect(writer)
        .inspect_ok(move |event| {
            match event {
                watcher::Event::Apply(schedule) => told.current.shown(schedule),
                watcher::Event::Delete(schedule) => {
                    told.memory.keep(&schedule.uid().unwrap_or_default(), None);
                    told.current.forget(schedule);
                }
                _ => {}
            }
            if matches!(event, watcher::Event::Delete(_) | watcher::Event::InitDone) {
                left.notify_one();
            }
        })
        .applied_objects()
        // Our own writes to the status are no reason to look again; users' changes and annotations are.
        .predicate_filter(predicates::generation.combine(predicates::annotations), PredicateConfig::default());
    let server_changes = watched::watch(Api::<MediaServer>::namespaced(client.clone(), &namespace), watched::all())
        .modify(|server| {
            watched::lean(server);
            selection::leave_what_matters(server);
        })
        .reflect(servers_writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                listed.send_replace(true);
            }
        })
        .touched_objects();

    let known = schedules.clone();
    let concerned = move |server: MediaServer| -> Vec<ObjectRef<SyncSchedule>> {
        let concerned = |schedule: &&Arc<SyncSchedule>| selection::concerns(schedule, &server);
        known.state().iter().filter(concerned).map(|schedule| ObjectRef::from_obj(schedule.as_ref())).collect()
    };
    let known = &shared.children;
    let working = Controller::for_stream(changes, schedules.clone())
        .with_config(Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE))
        .watches_stream(server_changes, concerned)
        // Of children only the metadata is watched: that they changed is enough, a pass reads them.
        .owns_stream(noticed(children::CRONJOB, metadata::<CronJob>(&client, &namespace), ours.clone(), known))
        .owns_stream(noticed(children::DEPLOYMENT, metadata::<Deployment>(&client, &namespace), ours.clone(), known))
        // The owner of most Jobs is a CronJob, that of their pods the Job: labels lead back.
        .watches_stream(noticed(children::JOB, metadata::<Job>(&client, &namespace), ours.clone(), known), |job| {
            labelled(&job)
        })
        .watches_stream(watched::watch(metadata::<Pod>(&client, &namespace), ours).touched_objects(), |pod| {
            labelled(&pod)
        })
        .trigger_backoff(watched::EachByItself)
        .reconcile_all_on(context.database.returns())
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, failed, shared)
        .for_each(async |done| {
            if let Err(error) = done {
                tracing::debug!("{}", redact::chain(&error));
            }
        });
    tokio::join!(working, sweeping(&context, &schedules, &gone, &stop));
}

/// Keeps the registry free of schedules that have no resource any more, also of those that went while nobody watched or the database was away.
async fn sweeping(context: &Context, schedules: &Store<SyncSchedule>, gone: &Notify, stop: &CancellationToken) {
    let mut returns = Box::pin(context.database.returns());
    loop {
        let due = async {
            tokio::select! {
                () = gone.notified() => {}
                Some(()) = returns.next() => {}
            }
            schedules.wait_until_ready().await.is_ok()
        };
        let ready = tokio::select! {
            ready = due => ready,
            () = stop.cancelled() => return,
        };
        let known = || schedules.state().iter().map(|schedule| schedule.name_any()).collect();
        if ready && let Err(error) = records::sweep(&context.database, known).await {
            tracing::debug!("schedules that are gone may still be in the registry: {}", redact::chain(&error));
        }
    }
}

fn metadata<K>(client: &Client, namespace: &str) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}

/// The changes of a kind of children, each noted before it is told.
fn noticed<K>(
    kind: &'static str,
    api: Api<PartialObjectMeta<K>>,
    ours: watcher::Config,
    known: &Watched,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
{
    let known = known.clone();
    watched::watch(api, ours)
        .inspect_ok(move |event| known.notice(kind, event, |child| child.labels().get(labels::SCHEDULE).cloned()))
        .touched_objects()
}

fn labelled<K: Resource>(object: &K) -> Option<ObjectRef<SyncSchedule>> {
    let schedule = object.labels().get(labels::SCHEDULE)?;
    Some(ObjectRef::new(schedule).within(object.namespace().as_deref().unwrap_or_default()))
}

/// One pass over a schedule.
async fn reconcile(schedule: Arc<SyncSchedule>, shared: Arc<Shared>) -> Result<Action, Error> {
    let pass = async {
        // Before the servers are known it would look as if there were none. They never come where all is about to end.
        let ready = shared.servers_listed.clone().wait_for(|listed| *listed).await.is_ok();
        if !ready || schedule.metadata.deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        settle(&shared.current.of(schedule), &shared).await
    };
    Box::pin(observe::reconcile(&shared.context.metrics, "SyncSchedule", pass)).await
}

/// A reconcile that couldn't be carried through is tried again after as long as the schedule hasn't been ready.
#[expect(clippy::needless_pass_by_value, reason = "as the controller calls it")]
fn failed(schedule: Arc<SyncSchedule>, error: &Error, shared: Arc<Shared>) -> Action {
    let context = &shared.context;
    tracing::warn!(schedule = schedule.name_any(), "not settled: {}", redact::chain(error));
    error::requeue(error.kind(), failing_for(&schedule, context.clock.now()), &context.jitter)
}

fn failing_for(schedule: &SyncSchedule, now: Timestamp) -> Duration {
    let conditions = schedule.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, condition::READY)
        .filter(|ready| ready.status != condition::State::True.as_str())
        .and_then(|ready| Duration::try_from(now.duration_since(ready.last_transition_time.0)).ok())
        .unwrap_or_default()
}

/// Makes everything be as the schedule wants it, and says so.
async fn settle(schedule: &SyncSchedule, shared: &Shared) -> Result<Action, Error> {
    let context = &shared.context;
    let name = schedule.name_any();
    let selected = selection::select(schedule.spec.servers.as_ref(), &shared.servers.state());
    let Some(blueprint) = Blueprint::new(schedule, &selected.servers, &context.worker) else {
        return Ok(Action::await_change());
    };
    let children = Children::of(&context.client, &context.namespace, &name);
    let wanted = Wanted::of(&blueprint);
    let fingerprint = wanted.fingerprint()?;

    let registered = records::register(&context.database, schedule, &selected, context.clock.now()).await;
    let shown = shared.children.group(&name);
    let before = shared.memory.of(&blueprint.owner.uid);
    let quiet = before.filter(|left| left.holds(shown.as_ref(), fingerprint)).filter(|_| !requests::are_open(schedule));
    let seen = match quiet {
        Some(left) => Ok(Seen { left, ..Seen::default() }),
        None => see(&children, &blueprint, &wanted, fingerprint, shared).await,
    };
    let (seen, failure) = match seen {
        Ok(seen) => (seen, None),
        // One that is ready stays so: that the API server stumbles is no news.
        Err(error) if is_ready(schedule) => return Err(error),
        // Else the status tells it, since few people read our log.
        Err(error) => (Seen::default(), Some(error)),
    };
    let records = match registered {
        Ok(()) => records::read(&context.database, schedule).await,
        Err(error) => Err(error),
    };
    let records = match records {
        Ok(records) => Some(records),
        // The cluster's half is settled all the same, and the status says what is missing.
        Err(Error::Away(_)) => None,
        Err(error @ Error::Store(_)) => {
            tracing::warn!(schedule = name, "{}", redact::chain(&error));
            None
        }
        Err(error) => return Err(error),
    };

    let Seen { live, pods, refused, left } = seen;
    let mut stuck = ended::stuck(&pods);
    stuck.extend(ended::unmade(&live.jobs, &pods, &live.deployments, context.clock.now()));
    // That a pod is missing is told by nobody.
    let missing = ended::without_pod(&live.jobs, &pods).next().is_some();
    let answered = match failure {
        None => requests::answer(&blueprint, &children, &live, records.as_ref(), context).await,
        Some(_) => Ok(requests::handled(schedule)),
    };
    // What is known is told, also where a Job can't be made.
    let (requested_at, approval) = answered.as_ref().map_or_else(|_| requests::handled(schedule), Clone::clone);
    let sight = Sight {
        selected: selected.clone(),
        records,
        jobs: left.jobs,
        stuck,
        follower: left.follower,
        refused,
        unsettled: failure.as_ref().map(|error| redact::chain(error)),
        requested_at,
        approval,
    };
    let told = tell(schedule, &sight, shared).await;
    if let Some(error) = failure {
        return Err(error);
    }
    told?;
    answered?;
    Ok(Action::requeue(if missing { ended::NO_POD.unsigned_abs() } else { context.jitter.spread(POLL) }))
}

/// Whether the status says that all is well, and says it of this spec.
fn is_ready(schedule: &SyncSchedule) -> bool {
    let conditions = schedule.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, condition::READY).is_some_and(|ready| {
        ready.status == condition::State::True.as_str() && ready.observed_generation == schedule.metadata.generation
    })
}

/// The children as they are after a pass.
#[derive(Default)]
struct Seen {
    live: Live,
    pods: Vec<Pod>,
    refused: Option<String>,
    left: Left,
}

/// Looks at the children, and makes them be as wanted.
async fn see(
    children: &Children<'_>,
    blueprint: &Blueprint<'_>,
    wanted: &Wanted,
    fingerprint: [u8; 32],
    shared: &Shared,
) -> Result<Seen, Error> {
    let uid = &blueprint.owner.uid;
    let (shown, before) = (shared.children.group(blueprint.name), shared.memory.of(uid));
    // What was made a moment ago may not be shown yet.
    let made = before.map(|left| left.versions).unwrap_or_default();
    let some = |kind: &str| made.has(kind) || shown.as_ref().is_none_or(|shown| shown.has(kind));
    let mut live = children.live(some).await?;
    shared.memory.keep(uid, None);
    let refused = children.settle(blueprint, wanted, &mut live).await?;
    let follower = wanted.follower.as_ref().filter(|_| !blueprint.suspended());
    let up =
        follower.map(|wanted| live.deployments.iter().any(|live| live.name_any() == wanted.name_any() && is_up(live)));
    let open = live.jobs.iter().any(|job| job.status.as_ref().is_none_or(|status| status.succeeded.is_none()));
    let trouble = open || up == Some(false);
    let pods = if trouble { children.pods().await? } else { Vec::new() };
    let left =
        Left { versions: live.versions(), wanted: fingerprint, jobs: ended::ended(&live.jobs, &pods), follower: up };
    // Trouble is looked at anew each time: it may end without any of these changing.
    shared.memory.keep(uid, Some(left.clone()).filter(|_| !trouble && refused.is_none()));
    Ok(Seen { live, pods, refused, left })
}

/// A rollout that is stuck counts as well: then the old pod is still there, and one more that isn't.
fn is_up(follower: &Deployment) -> bool {
    let status = follower.status.as_ref();
    let of = |count: fn(&DeploymentStatus) -> Option<i32>| status.and_then(count).unwrap_or_default();
    of(|status| status.available_replicas) > 0 && of(|status| status.unavailable_replicas) == 0
}

/// Writes the status where it differs, and tells what changed.
async fn tell(schedule: &SyncSchedule, sight: &Sight, shared: &Shared) -> Result<(), Error> {
    let context = &shared.context;
    let api: Api<SyncSchedule> = Api::namespaced(context.client.clone(), &context.namespace);
    let after = status::of(schedule, sight, context.clock.now());
    let written = apply::apply_status(&api, &schedule.name_any(), &after, schedule.status.as_ref())
        .await
        .map_err(Error::kubernetes("writing the status"))?;
    if let Some(now) = written {
        shared.current.wrote(schedule, now);
        for (reason, note) in transitions::between(&schedule.status.clone().unwrap_or_default(), &after) {
            context.events.publish(schedule, reason, &note).await;
        }
    }
    Ok(())
}
