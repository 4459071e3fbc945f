//! A long-lived program of a household, such as a receiver or a follower: started, waited for, asked, ended in several ways.

use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// Long enough for every process that isn't stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program.
#[derive(Debug)]
pub struct Process {
    /// Where it listens for what it is there for; its admin port where it has no other.
    pub address: String,
    /// Its admin port.
    pub admin: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
}

impl Process {
    /// Starts a program that logs JSON, and waits until it has logged `ready`.
    pub async fn start(mut command: Command, ready: &str) -> Result<Self> {
        let mut child = command.kill_on_drop(true).spawn()?;
        let stderr = child.stderr.take().context("its log is read")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let (told, lines) = watch::channel(0);
        let written = Arc::clone(&log);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                written.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                told.send_modify(|count| *count += 1);
            }
        });
        let mut process = Self { address: String::new(), admin: String::new(), child, log, lines };
        let admin = process.logged("admin port listens").await?;
        admin["address"].as_str().unwrap_or_default().clone_into(&mut process.admin);
        let there = process.logged(ready).await?;
        process.address = there["address"].as_str().unwrap_or(&process.admin).to_owned();
        process.ready().await?;
        Ok(process)
    }

    /// Waits until it says that it has all it needs.
    pub async fn ready(&self) -> Result<()> {
        let waiting = async {
            loop {
                if let Ok(answer) = reqwest::get(format!("http://{}/readyz", self.admin)).await
                    && answer.status().is_success()
                {
                    return;
                }
                // Readiness can only be asked for.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, waiting).await.with_context(|| format!("it isn't ready: {:#?}", self.log()))
    }

    /// Waits for a line of its log with this message; its fields.
    pub async fn logged(&self, message: &str) -> Result<Value> {
        self.line(message, |said| said == message).await
    }

    /// The same for a message that has these words in it.
    pub async fn logged_with(&self, words: &str) -> Result<Value> {
        self.line(words, |said| said.contains(words)).await
    }

    async fn line(&self, words: &str, so: impl Fn(&str) -> bool) -> Result<Value> {
        let mut lines = self.lines.clone();
        let waiting = async {
            loop {
                let found = self.log().iter().find_map(|line| {
                    let line: Value = serde_json::from_str(line).ok()?;
                    let said = [&line["message"], &line["fields"]["message"]];
                    let fits = said.into_iter().any(|said| said.as_str().is_some_and(&so));
                    fits.then_some(line)
                });
                if found.is_some() || lines.changed().await.is_err() {
                    return found;
                }
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .ok()
            .flatten()
            .with_context(|| format!("it never said {words:?}: {:#?}", self.log()))
    }

    /// All that it has logged.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What its admin port answers, whatever the status.
    pub async fn ask(&self, path: &str) -> Result<String> {
        Ok(reqwest::get(format!("http://{}{path}", self.admin)).await?.text().await?)
    }

    /// The value of a series of its metrics, `name{label="value"}` as it is exported; 0 where there is none.
    pub async fn metric(&self, series: &str) -> Result<f64> {
        let text = self.ask("/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?.unwrap_or_default())
    }

    /// Ends it at once, with SIGKILL.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Tells it to end, with SIGTERM, and waits until it has.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("it doesn't end: {:#?}", self.log()))?
            .map_err(Into::into)
    }

    /// Sends it a signal.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().context("it has ended")?;
        let status = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().await?;
        ensure!(status.success(), "it can't be sent SIG{name}");
        Ok(())
    }

    /// The process id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}
