//! An installation with a household: the chart in a namespace of its own, simulated servers on this machine, and a database of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Secret, Service};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;
use url::Url;
use watchstate_crds::{MediaServer, SyncSchedule};
use watchstate_tests::household::Household;
use watchstate_tests::webhook::{Target, Webhooks};
use watchstate_tests::world::{Content, Flavor, World};

use crate::cluster::{PATIENCE, image_values, setting, with};
use crate::definitions::definitions;
use crate::door::Door;
use crate::films::{ANNA, films};
use crate::namespace::Namespace;

/// A server of each kind.
pub const THREE: [(&str, Flavor); 3] =
    [("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)];

/// An installation.
pub struct Installation {
    pub namespace: Namespace,
    pub household: Household,
    pub door: Door,
    values: Value,
}

impl Installation {
    /// Installs the chart, and waits until all of it runs. `more`: values besides those that every test needs.
    pub async fn new(purpose: &str, more: &Value) -> Result<Self> {
        let installation = Self::prepared(purpose, more).await?;
        installation.install("charts/watchstate").await?;
        Ok(installation)
    }

    /// The same, in a cluster that no other test uses as long as it is there.
    pub async fn alone(purpose: &str, more: &Value) -> Result<Self> {
        definitions().await?;
        let installation = Self::within(Namespace::alone(purpose).await?, more).await?;
        installation.install("charts/watchstate").await?;
        Ok(installation)
    }

    /// A further one for a test that has one already, and keeps it for longer.
    pub async fn further(purpose: &str, more: &Value) -> Result<Self> {
        definitions().await?;
        let installation = Self::within(Namespace::further(purpose).await?, more).await?;
        installation.install("charts/watchstate").await?;
        Ok(installation)
    }

    /// All that the chart needs, and not yet the chart.
    pub async fn prepared(purpose: &str, more: &Value) -> Result<Self> {
        definitions().await?;
        Self::within(Namespace::new(purpose).await?, more).await
    }

    async fn within(namespace: Namespace, more: &Value) -> Result<Self> {
        let host = setting("WATCHSTATE_TEST_HOST")?;
        let household = Household::on(&host).await?;
        let (door, address) = to_database(&host, &household.database).await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-app"}, "stringData": {"uri": address},
        });
        namespace.apply(&secret.to_string()).await?;
        let plex_tv = json!([{"name": "WATCHSTATE_PLEX_TV_URL", "value": household.plex_tv_url()}]);
        let values = json!({
            "crds": {"enabled": false}, "image": image_values()?, "database": {"existingSecret": "pg-app"},
            "operator": {"extraEnv": plex_tv}, "worker": {"extraEnv": plex_tv},
            "webhook": {"service": {"type": "NodePort"}, "preStopSleepSeconds": 2},
        });
        Ok(Self { namespace, household, door, values: with(values, more) })
    }

    /// Installs a chart, and waits until all of it runs.
    pub async fn install(&self, chart: &str) -> Result<()> {
        self.helm("install", chart, &Value::Null).await
    }

    /// Upgrades to a chart, with more values, and waits until all of it runs.
    pub async fn upgrade(&self, chart: &str, more: &Value) -> Result<()> {
        self.helm("upgrade", chart, more).await
    }

    async fn helm(&self, verb: &str, chart: &str, more: &Value) -> Result<()> {
        let values = if more.is_null() { self.values.clone() } else { with(self.values.clone(), more) };
        let said = self.namespace.helm(&[verb, "watchstate", chart, "--wait", "--timeout", "5m"], &values).await?;
        ensure!(said.ok, "{}\n{}", said.stderr, self.namespace.story().await);
        Ok(())
    }

    /// Adds servers of anna's that hold the same films; nobody has applied them yet.
    pub async fn servers<const N: usize>(&mut self, servers: [(&str, Flavor); N]) -> Result<[World; N]> {
        let mut worlds = Vec::new();
        for (name, flavor) in servers {
            let world = World::new(flavor, name, &format!("{name}-{}", self.namespace.name));
            world.add_owner(ANNA);
            world.add_library("Films", Content::Movies);
            for film in films() {
                world.add_movie(&film);
            }
            worlds.push(self.household.add(name, world, &[(ANNA, ANNA)]).await?);
        }
        worlds.try_into().map_err(|_| anyhow::anyhow!("as many worlds as servers"))
    }

    /// Gives the household a schedule with this spec, indented by two, that never comes by itself.
    pub fn schedule(&mut self, spec: &str) {
        self.household.schedule(spec);
    }

    /// Applies the household's resources.
    pub async fn apply(&self) -> Result<()> {
        self.namespace.apply(&self.household.documents()).await.map(drop)
    }

    /// Waits until all servers are ready, as a user would.
    pub async fn servers_ready(&self) -> Result<()> {
        let wait = ["wait", "--for=condition=Ready", "mediaserver", "--all", "--timeout=5m"];
        let said = self.namespace.kubectl(&wait).await?;
        ensure!(said.ok, "{}\n{}", said.stderr, self.namespace.story().await);
        Ok(())
    }

    /// Waits until a condition of a server has this status and reason.
    pub async fn server(&self, name: &str, type_: &str, status: &str, reason: &str) -> Result<MediaServer> {
        let expected = (type_.to_owned(), status.to_owned(), reason.to_owned());
        let found = self
            .namespace
            .until(name, &format!("is {type_}={status} for {reason}"), move |server: Option<&MediaServer>| {
                server.is_some_and(|server| {
                    let current = server.status.as_ref().and_then(|status| status.observed_generation);
                    current == server.metadata.generation
                        && server.status.iter().flat_map(|status| &status.conditions).any(|condition| {
                            condition.type_ == expected.0
                                && condition.status == expected.1
                                && condition.reason == expected.2
                        })
                })
            })
            .await?;
        found.context("a server")
    }

    /// Waits until a schedule is as it should be.
    pub async fn schedule_is(
        &self,
        what: &str,
        so: impl Fn(&SyncSchedule) -> bool + Send + Sync + 'static,
    ) -> Result<SyncSchedule> {
        let condition = move |schedule: Option<&SyncSchedule>| schedule.is_some_and(&so);
        self.namespace.until("household", what, condition).await?.context("a schedule")
    }

    /// Waits until the schedule is ready, for its spec as it is now and with all servers of the household.
    pub async fn ready_schedule(&self) -> Result<SyncSchedule> {
        let servers = self.household.names();
        self.schedule_is("is ready", move |schedule| {
            let Some(status) = &schedule.status else { return false };
            status.observed_generation == schedule.metadata.generation
                && status.servers == servers
                && status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
        .await
    }

    /// Starts a run now, as a person would: by a Job of the CronJob. Waits until it is done.
    pub async fn run(&self, verb: &str) -> Result<()> {
        let name = format!("{verb}-{}", &uuid::Uuid::new_v4().simple().to_string()[..6]);
        let from = format!("--from=cronjob/household-{verb}");
        self.namespace.kubectl(&["create", "job", &name, &from]).await?.good()?;
        let ended = |job: Option<&Job>| is_job(job, "Complete") || is_job(job, "Failed");
        let job = self.namespace.until(&name, "ends", ended).await?;
        ensure!(is_job(job.as_ref(), "Complete"), "{name} failed:\n{}", self.namespace.story().await);
        Ok(())
    }

    /// Waits until nobody writes to a server: the lane of a worker that was killed is free once the database has noticed.
    pub async fn nobody_writes(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.household.database).await?;
        let held = "select exists (select from pg_locks where locktype = 'advisory' and objsubid = 2
            and classid = x'57530002'::bigint::oid and database = (select oid from pg_database where datname = current_database()))";
        let waiting = async {
            while sqlx::query_scalar::<_, bool>(held).fetch_one(&mut connection).await? {
                // It can only be asked.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, waiting).await.context("somebody still writes")?
    }

    /// The address of a server's webhook at the Service, with the token from the Secret that the status names, as a person would put it in.
    pub async fn webhook(&self, server: &str) -> Result<Url> {
        let found = self.server(server, "Ready", "True", "Ready").await?;
        let told = found.status.and_then(|status| status.webhook).context("status.webhook")?;
        let secret = self.namespace.api::<Secret>().get(&told.token_secret_name).await?;
        let data = secret.data.unwrap_or_default();
        let token = data.get(&told.token_secret_key).context("the token's key")?;
        let mut url = Url::parse(&format!("http://{}{}", self.service().await?, told.path))?;
        url.query_pairs_mut().append_pair("apikey", std::str::from_utf8(&token.0)?);
        Ok(url)
    }

    /// Where the webhook's Service is reached from this machine: a port of the node.
    pub async fn service(&self) -> Result<SocketAddr> {
        let service = self.namespace.api::<Service>().get("watchstate-webhook").await?;
        let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let port = ports.iter().find_map(|port| port.node_port).context("a node's port")?;
        let nodes: Api<Node> = Api::all(self.namespace.client.clone());
        let nodes = nodes.list(&ListParams::default()).await?;
        let addresses = nodes.items.iter().filter_map(|node| node.status.as_ref()?.addresses.as_ref()).flatten();
        let mut internal = addresses.filter(|address| address.type_ == "InternalIP");
        let address = internal.next().context("a node's address")?;
        Ok(format!("{}:{port}", address.address).parse()?)
    }

    /// Lets a server send webhooks.
    pub async fn sends_webhooks(&self, name: &str, world: &World) -> Result<Webhooks> {
        let url = self.webhook(name).await?;
        Ok(Webhooks::start(world, Target::new(url.as_str()))?)
    }

    /// Waits until a Deployment of the installation has all its pods available.
    pub async fn available(&self, name: &str) -> Result<Deployment> {
        let condition = |deployment: Option<&Deployment>| {
            deployment.is_some_and(|deployment| {
                let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                let status = deployment.status.clone().unwrap_or_default();
                status.observed_generation == deployment.metadata.generation
                    && status.updated_replicas.unwrap_or(0) == wanted
                    && status.available_replicas.unwrap_or(0) == wanted
                    && status.replicas.unwrap_or(0) == wanted
            })
        };
        self.namespace.until(name, "is available", condition).await?.context("a deployment")
    }

    /// Names of the pods of a part.
    pub async fn pods(&self, component: &str) -> Result<Vec<String>> {
        let pods: Api<k8s_openapi::api::core::v1::Pod> = self.namespace.api();
        let selected = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
        Ok(pods.list(&selected).await?.items.iter().map(kube::ResourceExt::name_any).collect())
    }
}

/// Whether a Job has this condition: `Complete` or `Failed`.
pub fn is_job(job: Option<&Job>, condition: &str) -> bool {
    let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == condition && one.status == "True"))
}

/// Opens a way to a database of this machine; the address that pods use.
async fn to_database(host: &str, address: &str) -> Result<(Door, String)> {
    let mut url = Url::parse(address)?;
    let target = (url.host_str().context("a host")?.to_owned(), url.port().unwrap_or(5432));
    let door = Door::open(host, target).await?;
    url.set_ip_host(door.address.ip()).ok().context("a host")?;
    url.set_port(Some(door.address.port())).ok().context("a port")?;
    Ok((door, url.to_string()))
}
