//! The cluster that the tests were given: a client for it, kubectl and helm, and waiting for what it shows.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Long enough for all that comes at all, on a machine that does ten things at once.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// A setting that `tests/kubernetes/cluster run` has made.
pub fn setting(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| {
        format!("{name} isn't set: these tests need a cluster. `make cluster-test` starts one and runs them")
    })
}

/// A client. Each test has a runtime of its own, and so a client of its own.
pub async fn client() -> Result<Client> {
    setting("WATCHSTATE_TEST_HOST")?;
    // Whoever comes second finds it done.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    Client::try_default().await.context("the cluster of $KUBECONFIG")
}

/// The checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a command answered, and whether it was content.
#[derive(Debug)]
pub struct Said {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Its output; fails with all that it said if it failed.
    pub fn good(self) -> Result<String> {
        ensure!(self.ok, "{}{}", self.stdout, self.stderr);
        Ok(self.stdout)
    }

    /// What it complained of; fails if it did not.
    pub fn refused(self) -> Result<String> {
        ensure!(!self.ok, "it was accepted: {}", self.stdout);
        Ok(self.stderr)
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            ok: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

async fn ran(program: &str, arguments: &[&str], stdin: &str) -> Result<Said> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} can't be run"))?;
    let mut pipe = child.stdin.take().context("its input is written")?;
    // Who doesn't read to the end says why by itself.
    drop(pipe.write_all(stdin.as_bytes()).await);
    drop(pipe);
    Ok(child.wait_with_output().await?.into())
}

/// Runs kubectl.
pub async fn kubectl(arguments: &[&str]) -> Result<Said> {
    ran("kubectl", arguments, "").await
}

/// Runs kubectl with something to read.
pub async fn kubectl_with(arguments: &[&str], stdin: &str) -> Result<Said> {
    ran("kubectl", arguments, stdin).await
}

/// Runs helm with values.
pub async fn helm(arguments: &[&str], values: &Value) -> Result<Said> {
    let all: Vec<&str> = arguments.iter().copied().chain(["--values", "-"]).collect();
    ran("helm", &all, &values.to_string()).await
}

/// Runs helm, for what takes no values.
pub async fn helm_alone(arguments: &[&str]) -> Result<Said> {
    ran("helm", arguments, "").await
}

/// The image as the chart's values name it.
pub fn image_values() -> Result<Value> {
    let image = setting("WATCHSTATE_TEST_IMAGE")?;
    let Some((repository, tag)) = image.rsplit_once(':') else {
        bail!("WATCHSTATE_TEST_IMAGE is {image:?}; a tag is needed");
    };
    Ok(serde_json::json!({"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"}))
}

/// Merges values into others.
pub fn with(mut values: Value, more: &Value) -> Value {
    match (&mut values, more) {
        (Value::Object(values), Value::Object(more)) => {
            for (name, value) in more {
                let old = values.remove(name).unwrap_or(Value::Null);
                values.insert(name.clone(), with(old, value));
            }
        }
        (values, more) => more.clone_into(values),
    }
    values
}

/// Runs a command among the node's processes.
pub async fn on_node(node: &str, command: &[&str]) -> Result<String> {
    let enter = ["--target", node, "--mount", "--pid", "--net"];
    let all: Vec<&str> = enter.iter().chain(command).copied().collect();
    ran("nsenter", &all, "").await?.good()
}

/// Waits until the API server answers.
pub async fn answers() -> Result<()> {
    let waiting = async {
        while !kubectl(&["get", "--raw", "/readyz"]).await?.ok {
            // It can only be asked.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.context("the API server doesn't come back")?
}
