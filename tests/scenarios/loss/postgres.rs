//! A Postgres of one test alone, which goes away and comes back at the same address.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use url::Url;
use watchstate_store::embedded::{Embedded, Folders};
use watchstate_tests::postgres::programs;
use watchstate_tests::reserved::Reserved;

/// Stopped when dropped.
pub struct Postgres {
    embedded: Embedded,
    folder: TempDir,
    /// Its address while it is stopped.
    reserved: Mutex<Option<Reserved>>,
}

impl Postgres {
    /// A new one, empty.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Where we are root the database runs as another user, who must get through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let data = folder.path().join("postgres");
        let embedded = Embedded::start(Folders { programs: programs(), data }).await?;
        let postgres = Self { embedded, folder, reserved: Mutex::default() };
        // What was written outlives the process, however that ends; nobody pulls the plug of the machine.
        let mut connection = PgConnection::connect(&postgres.url()).await?;
        connection.execute("alter system set fsync = off").await?;
        connection.execute("select pg_reload_conf()").await?;
        connection.close().await?;
        Ok(postgres)
    }

    /// The address of its database, which stays the same.
    pub fn url(&self) -> String {
        self.embedded.url()
    }

    /// Stops it: `fast`, in order; `immediate`, as a crash would.
    pub async fn stop(&self, mode: &str) -> Result<()> {
        self.pg_ctl(&["stop", "--wait", "--mode", mode]).await?;
        let url = Url::parse(&self.url())?;
        self.reserve(Some(Reserved::new(([127, 0, 0, 1], url.port().context("a port")?).into())?));
        Ok(())
    }

    /// Starts it again, with the options that it was started with, its port among them: that is what `restart` does when it finds it stopped.
    pub async fn again(&self) -> Result<()> {
        self.pg_ctl(&["restart", "--wait", "--silent"]).await?;
        self.reserve(None);
        Ok(())
    }

    fn reserve(&self, reserved: Option<Reserved>) {
        *self.reserved.lock().unwrap_or_else(PoisonError::into_inner) = reserved;
    }

    async fn pg_ctl(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(arguments)?;
        let status = tokio::task::spawn_blocking(move || command.status()).await??;
        ensure!(status.success(), "pg_ctl {arguments:?} ended with {status}");
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let data = self.folder.path().join("postgres");
        let cluster = data.join("cluster");
        let owner = std::fs::metadata(&cluster)?;
        let mut command = Command::new(pg_ctl(&cluster)?);
        command
            .args(arguments)
            .arg("--pgdata")
            .arg(&cluster)
            .arg("--log")
            .arg(data.join("postgres.log"))
            .current_dir(&data)
            .uid(owner.uid())
            .gid(owner.gid())
            // The server inherits these: an open pipe would keep whoever reads it waiting for ever.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(mut command) = self.command(&["stop", "--mode", "immediate"]) {
            command.status().ok();
        }
    }
}

/// The program beside the server's own, which stands first in what the server was started with.
fn pg_ctl(cluster: &Path) -> Result<PathBuf> {
    let started = std::fs::read_to_string(cluster.join("postmaster.opts"))?;
    let server = started.split_whitespace().next().context("the server was started")?;
    Ok(Path::new(server).with_file_name("pg_ctl"))
}
