//! The operator with many resources: a MediaServer and a SyncSchedule of it for each of as many simulated servers, on a real API server. How soon is
//! all settled, what does it ask of the API server until then and when nothing happens, and how much memory does it take?

use std::collections::HashSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::wait::await_condition;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;
use watchstate_crds::{MediaServer, SyncSchedule};
use watchstate_tests::household::{self, Household};
use watchstate_tests::process::Process;
use watchstate_tests::world::{Content, Flavor, World};

use crate::events::ANNA;
use crate::kubernetes::{Kubernetes, NAMESPACE, Requests, object};
use crate::memory;

/// How often each server is asked: as often as a resource may want it, so that a minute holds some of it.
const INTERVAL: &str = "30s";
/// The parts of a schedule that run by the clock, each by a CronJob. None is due while is measured.
const PARTS: [&str; 2] = ["import", "export"];
const SELDOM: &str = "0 0 29 2 *";
/// So many objects are made at once.
const TOGETHER: usize = 32;
/// What goes on when all is settled, such as telling events, is over after so long.
const LULL: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_mins(30);
/// What the operator is to stay under, in kB.
const MEMORY: u64 = 64 * 1024;

/// Measures with a tenth of the resources, then with all: what grows, and how.
pub async fn run(programs: &Path, count: usize) -> Result<()> {
    let some = measure(programs, (count / 10).max(1)).await?;
    some.print();
    let all = measure(programs, count).await?;
    all.print();
    let met = |met: bool| if met { "met" } else { "missed" };
    println!("  the aim, no write in an idle minute, is {}", met(all.idle.requests.writes() == 0));
    println!("  the aim, under {} MB resident, is {}", MEMORY / 1024, met(all.peak.max(all.restart_peak) < MEMORY));
    Ok(())
}

/// What happened in a while.
struct While {
    took: Duration,
    requests: Requests,
    servers: u64,
    schedules: u64,
    contacts: usize,
}

impl While {
    fn reconciles(&self) -> u64 {
        self.servers + self.schedules
    }
}

struct Measured {
    count: usize,
    settling: While,
    floor: Duration,
    idle: While,
    change: While,
    restart: While,
    peak: u64,
    resident: u64,
    restart_peak: u64,
}

impl Measured {
    fn print(&self) {
        let Self { count, settling, floor, .. } = self;
        println!(
            "the operator, {count} MediaServers and {count} SyncSchedules of {} CronJobs: settled {:.1} s after the first was made, {:.1} times what the \
             API server takes for as many writes",
            PARTS.len(),
            settling.took.as_secs_f64(),
            settling.took.as_secs_f64() / floor.as_secs_f64()
        );
        Self::tell("until then", settling);
        Self::tell(&format!("an idle minute, each server asked every {INTERVAL}"), &self.idle);
        // Of the others some are asked meanwhile, since it is time to.
        println!(
            "  one server's spec changed: {} reconciles of SyncSchedules; {}",
            self.change.schedules,
            self.change.requests.by_verb()
        );
        Self::tell(&format!("started again, all seen after {:.1} s", self.restart.took.as_secs_f64()), &self.restart);
        println!(
            "  resident memory: {} MB at the peak, {} MB after the idle minute, {} MB at the peak after the new start",
            self.peak / 1024,
            self.resident / 1024,
            self.restart_peak / 1024
        );
    }

    fn tell(when: &str, what: &While) {
        let While { requests, servers, schedules, contacts, .. } = what;
        #[expect(clippy::cast_precision_loss, reason = "a ratio to print")]
        let each = requests.total() as f64 / what.reconciles().max(1) as f64;
        println!(
            "  {when}: {servers} reconciles of MediaServers ({contacts} requests to servers), {schedules} of SyncSchedules; {each:.1} requests to the API \
             server each, {} writes in all, and {} for the lease: {}",
            requests.writes(),
            requests.leases,
            requests.by_verb()
        );
    }
}

/// The household, the cluster and the operator.
struct Scene {
    kubernetes: Kubernetes,
    household: Household,
    worlds: Vec<World>,
    operator: Process,
}

/// Where a while begins.
struct Mark {
    began: Instant,
    audit: u64,
    servers: u64,
    schedules: u64,
    contacts: usize,
}

async fn measure(programs: &Path, count: usize) -> Result<Measured> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for number in 0..count {
        worlds.push(server(&mut household, number).await?);
    }
    let kubernetes = Kubernetes::start(programs).await?;
    let client = kubernetes.client.clone();
    let began = Instant::now();
    let secrets = (0..count).map(|number| secret(&mut household, number)).collect::<Result<Vec<_>>>()?;
    create::<Secret>(&client, secrets).await?;
    // With nobody else about: the floor.
    let alone = began.elapsed();

    let operator = start(&household, &kubernetes).await?;
    let mut scene = Scene { kubernetes, household, worlds, operator };
    let mark = scene.mark().await?;
    let resources = async {
        let servers =
            (0..count).map(|number| media_server(&mut scene.household, number)).collect::<Result<Vec<_>>>()?;
        create::<MediaServer>(&client, servers).await?;
        create::<SyncSchedule>(&client, (0..count).map(schedule).collect()).await
    };
    let settled = timeout(PATIENCE, settled(&client, count));
    let (made, settled) = tokio::join!(resources, settled);
    made?;
    settled.context("it takes too long")??;
    let took = mark.began.elapsed();
    tokio::time::sleep(LULL).await;
    let settling = While { took, ..scene.since(&mark).await? };
    let writes = settling.requests.writes() + 2 * u64::try_from(count)?;
    let floor = alone * u32::try_from(writes)? / u32::try_from(count)?;

    let mark = scene.mark().await?;
    tokio::time::sleep(MINUTE).await;
    let idle = scene.since(&mark).await?;
    let (peak, resident) = scene.memory()?;

    let mark = scene.mark().await?;
    change(&client).await?;
    tokio::time::sleep(LULL).await;
    let change = scene.since(&mark).await?;

    let Scene { kubernetes, household, worlds, operator } = scene;
    operator.stop().await?;
    let (audit, began) = (kubernetes.mark()?, Instant::now());
    let contacts = contacts(&worlds);
    let operator = start(&household, &kubernetes).await?;
    let scene = Scene { kubernetes, household, worlds, operator };
    let mark = Mark { began, audit, servers: 0, schedules: 0, contacts };
    timeout(PATIENCE, scene.all_seen(count)).await.context("not all is looked at again")??;
    let took = began.elapsed();
    tokio::time::sleep(LULL).await;
    let restart = While { took, ..scene.since(&mark).await? };
    let (restart_peak, _) = scene.memory()?;
    scene.operator.stop().await?;
    Ok(Measured { count, settling, floor, idle, change, restart, peak, resident, restart_peak })
}

impl Scene {
    async fn mark(&self) -> Result<Mark> {
        let (servers, schedules) = self.reconciles().await?;
        Ok(Mark {
            began: Instant::now(),
            audit: self.kubernetes.mark()?,
            servers,
            schedules,
            contacts: contacts(&self.worlds),
        })
    }

    async fn since(&self, mark: &Mark) -> Result<While> {
        let (servers, schedules) = self.reconciles().await?;
        Ok(While {
            took: mark.began.elapsed(),
            requests: self.kubernetes.requests_since(mark.audit)?,
            servers: servers - mark.servers,
            schedules: schedules - mark.schedules,
            contacts: contacts(&self.worlds) - mark.contacts,
        })
    }

    /// The operator's memory: its peak, and what it has now.
    fn memory(&self) -> Result<(u64, u64)> {
        let id = self.operator.id();
        memory::peak(id).zip(memory::resident(id)).context("the kernel doesn't tell the operator's memory")
    }

    /// What the operator has gone through since it runs, however it ended.
    async fn reconciles(&self) -> Result<(u64, u64)> {
        let text = self.operator.ask("/metrics").await?;
        let of = |resource: &str| -> Result<u64> {
            let lines = text.lines().filter(|line| {
                line.starts_with("watchstate_reconciles_total{") && line.contains(&format!("resource=\"{resource}\""))
            });
            lines.map(|line| Ok(line.rsplit(' ').next().context("a value")?.parse::<u64>()?)).sum()
        };
        Ok((of("MediaServer")?, of("SyncSchedule")?))
    }

    /// Waits until the operator has been through all resources.
    async fn all_seen(&self, count: usize) -> Result<()> {
        let count = u64::try_from(count)?;
        loop {
            let (servers, schedules) = self.reconciles().await?;
            if servers >= count && schedules >= count {
                return Ok(());
            }
            // It can only be asked, and not too often: its answer takes memory.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Requests to all servers so far.
fn contacts(worlds: &[World]) -> usize {
    worlds.iter().map(|world| world.log().total()).sum()
}

fn name(number: usize) -> String {
    format!("server-{number:04}")
}

/// A server of one kind after the other.
async fn server(household: &mut Household, number: usize) -> Result<World> {
    let flavors = [Flavor::Jellyfin1011, Flavor::Plex, Flavor::Emby49];
    let name = name(number);
    let world = World::new(flavors[number % flavors.len()], &name, &format!("{name}-id"));
    world.add_owner(ANNA);
    world.add_library("Films", Content::Movies);
    household.add(&name, world, &[]).await
}

fn secret(household: &mut Household, number: usize) -> Result<Value> {
    let name = name(number);
    let token = &household.member(&name)?.token;
    Ok(json!({"metadata": {"name": name}, "type": "Opaque", "stringData": {"token": token}}))
}

/// Each with a person of its own, and the rest as it is by itself.
fn media_server(household: &mut Household, number: usize) -> Result<Value> {
    let name = name(number);
    let member = household.member(&name)?;
    let kind = match member.world.flavor() {
        flavor if flavor.is_plex() => "Plex",
        flavor if flavor.is_jellyfin() => "Jellyfin",
        _ => "Emby",
    };
    Ok(json!({
        "metadata": {"name": name},
        "spec": {
            "type": kind, "url": member.url, "tokenSecretRef": {"name": name}, "interval": INTERVAL,
            "users": [{"person": format!("{ANNA}-{number}"), "account": ANNA}],
        },
    }))
}

fn schedule(number: usize) -> Value {
    let mut spec = json!({"servers": {"names": [name(number)]}});
    for part in PARTS {
        spec[part] = json!({"schedule": SELDOM});
    }
    json!({"metadata": {"name": format!("schedule-{number:04}")}, "spec": spec})
}

async fn create<K>(client: &Client, objects: Vec<Value>) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let api = Api::<K>::namespaced(client.clone(), NAMESPACE);
    stream::iter(objects)
        .map(|value| async {
            let made: K = object(value)?;
            api.create(&PostParams::default(), &made).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await
}

/// Starts the operator, and waits until it leads.
async fn start(household: &Household, kubernetes: &Kubernetes) -> Result<Process> {
    let program = household::binary("watchstate-operator").await?;
    let mut command = Command::new(&program);
    command
        .args(["--worker-image", "watchstate:bench", "--database-secret", "database", "--log-format", "json"])
        .args(["--admin-address", "127.0.0.1:0", "--pod-name", "bench"])
        .env("KUBECONFIG", &kubernetes.kubeconfig)
        .env("DATABASE_URL", &household.database)
        .env("WATCHSTATE_PLEX_TV_URL", household.plex_tv_url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Process::start(command, "leading").await.with_context(|| program.display().to_string())
}

/// Waits until all servers and schedules are ready, as they are specified now, and all CronJobs are there.
async fn settled(client: &Client, count: usize) -> Result<()> {
    let servers = watched::<MediaServer>(client).map(|server| {
        let seen = server.status.as_ref().map(|status| (status.observed_generation, &status.conditions[..]));
        (format!("MediaServer {}", server.name_any()), is_ready(server.metadata.generation, seen))
    });
    let schedules = watched::<SyncSchedule>(client).map(|schedule| {
        let seen = schedule.status.as_ref().map(|status| (status.observed_generation, &status.conditions[..]));
        (format!("SyncSchedule {}", schedule.name_any()), is_ready(schedule.metadata.generation, seen))
    });
    let jobs = watched::<PartialObjectMeta<CronJob>>(client).map(|job| (format!("CronJob {}", job.name_any()), true));
    let mut changes = stream::select_all([servers.boxed(), schedules.boxed(), jobs.boxed()]);
    let mut settled = HashSet::new();
    while settled.len() < count * (2 + PARTS.len()) {
        match changes.next().await {
            Some((name, true)) => drop(settled.insert(name)),
            Some((name, false)) => drop(settled.remove(&name)),
            None => bail!("the watches ended"),
        }
    }
    Ok(())
}

fn watched<K>(client: &Client) -> impl Stream<Item = K> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
        + Send
        + 'static,
{
    let api = Api::<K>::namespaced(client.clone(), NAMESPACE);
    let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
    // A watch that breaks off begins anew by itself.
    changes.filter_map(async |change| change.ok())
}

fn is_ready(generation: Option<i64>, seen: Option<(Option<i64>, &[Condition])>) -> bool {
    seen.is_some_and(|(observed, conditions)| {
        observed == generation
            && conditions.iter().any(|found| {
                found.type_ == "Ready" && found.status == "True" && found.observed_generation == generation
            })
    })
}

/// Changes a server, and waits until the operator has seen it.
async fn change(client: &Client) -> Result<()> {
    let api = Api::<MediaServer>::namespaced(client.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({"spec": {"limits": {"concurrency": 2}}}));
    let generation = api.patch(&name(0), &PatchParams::default(), &patch).await?.metadata.generation;
    let seen = move |server: Option<&MediaServer>| {
        server.and_then(|server| server.status.as_ref()).is_some_and(|status| status.observed_generation == generation)
    };
    timeout(PATIENCE, await_condition(api, &name(0), seen)).await.context("the change isn't seen")??;
    Ok(())
}
