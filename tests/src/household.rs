//! A household: simulated servers, persons, a database, and the real worker binary that serves them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::plex_tv::PlexTv;
use crate::postgres;
use crate::process::Process;
use crate::reserved::Reserved;
use crate::server::{Listening, SimServer};
use crate::world::{TimeSource, World};

/// A household with its servers.
#[derive(Debug)]
pub struct Household {
    /// The address of its database; empty: the worker is told of none.
    pub database: String,
    _claimed: postgres::Database,
    /// plex.tv, as its Plex servers know it.
    pub plex_tv: PlexTv,
    listening: Listening,
    host: String,
    servers: BTreeMap<String, Member>,
    schedule: Option<String>,
    more: String,
    environment: BTreeMap<String, String>,
    folder: TempDir,
}

/// A server of the household.
#[derive(Debug)]
pub struct Member {
    /// The running simulator; None while it is down.
    pub sim: Option<SimServer>,
    /// Its world.
    pub world: World,
    /// Where it listens, up or down.
    pub url: String,
    /// The token in its Secret.
    pub token: String,
    /// person → account.
    pub users: Vec<(String, String)>,
    /// The token of its webhook.
    pub webhook_token: String,
    /// More lines of its spec, indented by two.
    pub spec: String,
    /// Its address while it is down.
    reserved: Option<Reserved>,
}

/// What the worker did.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
}

impl Ran {
    /// The result as JSON; call it for commands run with `-o json`.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON: {self:?}"))
    }

    /// Fails with all that was printed unless the worker ended with `code`.
    pub fn expect(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "expected exit code {code}: {self:#?}");
        Ok(self)
    }
}

impl Household {
    /// An empty household with a database of its own.
    pub async fn new() -> Result<Self> {
        Self::on("127.0.0.1").await
    }

    /// The same, with servers that listen on another address of this machine, for those who reach them from elsewhere.
    pub async fn on(host: &str) -> Result<Self> {
        let plex_tv = PlexTv::new(TimeSource::real());
        let listening = plex_tv.start((host, 0)).await?;
        let claimed = postgres::database().await?;
        Ok(Self {
            database: claimed.url.clone(),
            _claimed: claimed,
            plex_tv,
            listening,
            host: host.to_owned(),
            servers: BTreeMap::new(),
            schedule: None,
            more: String::new(),
            environment: BTreeMap::new(),
            folder: tempfile::tempdir()?,
        })
    }

    /// Adds a running server. `users`: person and account; empty: the token's own account. The token is that of the owner's account (Plex), or an API key.
    pub async fn add(&mut self, name: &str, world: World, users: &[(&str, &str)]) -> Result<World> {
        let flavor = world.flavor();
        let owner = world.read(|model| model.owner().cloned()).context("a server needs an owner: World::add_owner")?;
        let token = if flavor.is_plex() { owner.account_token.clone() } else { world.add_api_key("watchstate") };
        let sim = SimServer::start(world.clone(), (self.host.as_str(), 0)).await?;
        let url = sim.url.clone();
        if flavor.is_plex() {
            self.plex_tv.add_server(&world, &url);
        }
        let users = users.iter().map(|(person, account)| ((*person).to_owned(), (*account).to_owned())).collect();
        let webhook_token = format!("hook-{name}-{}", uuid::Uuid::new_v4().simple());
        let member = Member {
            sim: Some(sim),
            world: world.clone(),
            url,
            token,
            users,
            webhook_token,
            spec: String::new(),
            reserved: None,
        };
        self.servers.insert(name.to_owned(), member);
        Ok(world)
    }

    /// A server of the household.
    pub fn member(&mut self, name: &str) -> Result<&mut Member> {
        self.servers.get_mut(name).with_context(|| format!("there is no server {name}"))
    }

    /// The names of its servers, sorted.
    pub fn names(&self) -> Vec<String> {
        self.servers.keys().cloned().collect()
    }

    /// Adds lines to a server's spec, each indented by two: `"  unplayed: Ignore\n"`.
    pub fn spec(&mut self, name: &str, lines: &str) -> Result<()> {
        self.member(name)?.spec.push_str(lines);
        Ok(())
    }

    /// Gives the household a SyncSchedule with this spec, its lines indented by two.
    pub fn schedule(&mut self, spec: &str) {
        self.schedule = Some(spec.to_owned());
    }

    /// Adds a document: a further Secret, a server that isn't simulated.
    pub fn document(&mut self, text: &str) {
        self.more.push_str("---\n");
        self.more.push_str(text);
    }

    /// Sets a variable in the worker's environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Takes a server down: connections are refused. [`Self::up`] brings it back at the same address.
    pub async fn down(&mut self, name: &str) -> Result<()> {
        let member = self.member(name)?;
        if let Some(sim) = member.sim.take() {
            let addr = sim.addr;
            sim.stop().await;
            member.reserved = Some(Reserved::new(addr)?);
        }
        Ok(())
    }

    /// Brings a server back, at the same address.
    pub async fn up(&mut self, name: &str) -> Result<()> {
        let member = self.member(name)?;
        let address = member.url.trim_start_matches("http://").to_owned();
        member.sim = Some(SimServer::start(member.world.clone(), address).await?);
        member.reserved = None;
        Ok(())
    }

    /// The documents that describe the household.
    pub fn documents(&self) -> String {
        let mut text = String::new();
        for (name, member) in &self.servers {
            let kind = match member.world.flavor() {
                flavor if flavor.is_plex() => "Plex",
                flavor if flavor.is_jellyfin() => "Jellyfin",
                _ => "Emby",
            };
            let _ = write!(
                text,
                "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  token: {:?}\n  webhook: {:?}\n\
                 ---\napiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata:\n  name: {name}\nspec:\n  type: {kind}\n  url: {}\n  \
                 tokenSecretRef:\n    name: {name}\n  webhook:\n    tokenSecretRef:\n      name: {name}\n      key: webhook\n",
                member.token, member.webhook_token, member.url
            );
            if !member.users.is_empty() {
                text.push_str("  users:\n");
                for (person, account) in &member.users {
                    let _ = write!(text, "  - person: {person}\n    account: {account:?}\n");
                }
            }
            text.push_str(&member.spec);
        }
        if let Some(spec) = &self.schedule {
            let _ = write!(
                text,
                "---\napiVersion: watchstate.dev/v1alpha1\nkind: SyncSchedule\nmetadata:\n  name: household\nspec:\n{spec}"
            );
        }
        text.push_str(&self.more);
        text
    }

    /// Writes the documents and applies them.
    pub async fn apply(&self) -> Result<Ran> {
        let file = self.folder.path().join("servers.yaml");
        std::fs::write(&file, self.documents())?;
        self.worker(&["apply", "--prune", "-f", path(&file)?]).await
    }

    /// Runs the worker to its end.
    pub async fn worker(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(self.command(arguments).await?.output().await?.into())
    }

    /// Runs `sync` and expects it to go well; the summary.
    pub async fn sync(&self, arguments: &[&str]) -> Result<Value> {
        let all: Vec<&str> = ["sync", "-o", "json"].into_iter().chain(arguments.iter().copied()).collect();
        self.worker(&all).await?.expect(0)?.json()
    }

    /// Starts the worker; whoever gets the child may kill it.
    pub async fn spawn(&self, arguments: &[&str]) -> Result<Child> {
        Ok(self.command(arguments).await?.kill_on_drop(true).spawn()?)
    }

    /// Starts a receiver of webhooks, and waits until it is ready. `address`: `127.0.0.1:0` takes a free port.
    pub async fn receiver(&self, address: &str, arguments: &[&str]) -> Result<Process> {
        let all: Vec<&str> = ["--address", address, "--admin-address", "127.0.0.1:0", "--log-format", "json"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let command = self.program("watchstate-webhook", &all).await?;
        let addr: SocketAddr = address.parse()?;
        let _until_it_listens = (addr.port() != 0).then(|| Reserved::new(addr)).transpose()?;
        Process::start(command, "webhooks are received").await
    }

    /// Starts a follower, which writes what changes as soon as it is known, and waits until it is ready.
    pub async fn follower(&self, arguments: &[&str]) -> Result<Process> {
        let all: Vec<&str> = ["-v", "--log-format", "json", "push", "--follow", "--admin-address", "127.0.0.1:0"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let command = self.program("watchstate-worker", &all).await?;
        Process::start(command, "following").await
    }

    /// The address that a server's webhook has at a receiver.
    pub fn webhook(&self, receiver: &Process, server: &str) -> Result<String> {
        let member = self.servers.get(server).with_context(|| format!("there is no server {server}"))?;
        Ok(format!("http://{}/?apikey={}", receiver.address, member.webhook_token))
    }

    async fn command(&self, arguments: &[&str]) -> Result<Command> {
        self.program("watchstate-worker", arguments).await
    }

    async fn program(&self, name: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary(name).await?);
        command
            .args(arguments)
            .env_clear()
            .envs((!self.database.is_empty()).then_some(("DATABASE_URL", &self.database)))
            .env("WATCHSTATE_DATA", self.folder.path().join("data"))
            .env("WATCHSTATE_PLEX_TV_URL", self.listening.url())
            .env("SSL_CERT_FILE", self.authorities()?)
            .env("RUST_BACKTRACE", "1")
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// The certificate authorities that its workers trust: one that has signed nothing. Reading all of a machine's takes most of a short run.
    fn authorities(&self) -> Result<PathBuf> {
        let file = self.folder.path().join("authorities.pem");
        std::fs::write(&file, include_str!("household/nobody.pem"))?;
        Ok(file)
    }

    /// The address of its plex.tv.
    pub fn plex_tv_url(&self) -> String {
        self.listening.url()
    }

    /// The household's folder; goes when the household goes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().context("the folder's name isn't UTF-8")
}

/// A binary of the workspace, built as it is now, in the profile of the running program.
pub async fn binary(name: &str) -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let folder = BUILT.get_or_try_init(build).await?;
    Ok(folder.join(name))
}

/// Builds worker and receiver beside the running program, which stands in `target/<profile>/` or `target/<profile>/deps/`.
async fn build() -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let folder = me.parent().context("a program stands in a folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().context("deps stands in a folder")? } else { folder };
    if std::env::var_os("WATCHSTATE_BUILT").is_none() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--package", "watchstate-worker", "--package", "watchstate-webhook"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let status = cargo.status().await.context("cargo can't be run")?;
        ensure!(status.success(), "worker and receiver don't build");
    }
    Ok(folder.to_owned())
}
