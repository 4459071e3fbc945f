//! A namespace of a test's own, under restricted pod security. It goes when the test is done.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::timeout;

use crate::cluster::{self, PATIENCE, Said, client, kubectl_with};

/// Who changes the cluster itself has it alone, and waits until the others are done.
static CLUSTER: RwLock<()> = RwLock::const_new(());

/// A namespace.
pub struct Namespace {
    pub name: String,
    pub client: Client,
    _cluster: Option<Guard>,
}

enum Guard {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Namespace {
    /// Makes one. `purpose` begins its name.
    pub async fn new(purpose: &str) -> Result<Self> {
        let guard = CLUSTER.read().await;
        Self::made(purpose, Some(Guard::Shared { _guard: guard })).await
    }

    /// Makes one, in a cluster that no other test uses as long as it is there.
    pub async fn alone(purpose: &str) -> Result<Self> {
        let guard = CLUSTER.write().await;
        Self::made(purpose, Some(Guard::Alone { _guard: guard })).await
    }

    /// Makes a further one for a test that has one already: to take the cluster twice would be to wait, for ever, for who waits to have it alone.
    pub async fn further(purpose: &str) -> Result<Self> {
        Self::made(purpose, None).await
    }

    /// Makes one that is there for all tests.
    pub async fn of_all(purpose: &str) -> Result<Self> {
        Self::made(purpose, None).await
    }

    async fn made(purpose: &str, guard: Option<Guard>) -> Result<Self> {
        let client = client().await?;
        let name = format!("{purpose}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            }},
        });
        kubectl_with(&["create", "-f", "-"], &namespace.to_string()).await?.good()?;
        Ok(Self { name, client, _cluster: guard })
    }

    /// Runs kubectl in it.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Said> {
        self.kubectl_with(arguments, "").await
    }

    /// The same, with something to read.
    pub async fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> Result<Said> {
        let all: Vec<&str> = ["--namespace", &self.name].into_iter().chain(arguments.iter().copied()).collect();
        kubectl_with(&all, stdin).await
    }

    /// Applies documents.
    pub async fn apply(&self, documents: &str) -> Result<String> {
        self.kubectl_with(&["apply", "-f", "-"], documents).await?.good()
    }

    /// Runs helm in it.
    pub async fn helm(&self, arguments: &[&str], values: &serde_json::Value) -> Result<Said> {
        let all: Vec<&str> = arguments.iter().copied().chain(["--namespace", &self.name]).collect();
        cluster::helm(&all, values).await
    }

    /// Its objects of a kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Waits until an object is as it should be; the object as it was then. Fails with the last of it that is known.
    pub async fn until<K>(&self, name: &str, what: &str, condition: impl Condition<K>) -> Result<Option<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + serde::Serialize
            + Send
            + 'static,
    {
        let api = self.api::<K>();
        if let Ok(found) = timeout(PATIENCE, await_condition(api.clone(), name, condition)).await {
            return found.with_context(|| format!("waiting until {name} {what}"));
        }
        let last = api.get_opt(name).await?.map(|mut object| {
            // Who wrote which field is most of an object, and never the reason.
            object.meta_mut().managed_fields = None;
            serde_json::to_value(&object)
        });
        let last = last.transpose()?.unwrap_or_else(|| "it isn't there".into());
        let (kind, status) = (K::kind(&()), &last["status"]);
        anyhow::bail!("{kind} {name} never {what}. Its status: {status}\n{}\n{last:#}", self.story().await)
    }

    /// What happened here, for a failed test: what tells most comes first.
    pub async fn story(&self) -> String {
        let mut story = String::new();
        for arguments in [
            &["get", "ms,sync,jobs,pods", "-o", "wide"][..],
            &["logs", "--all-containers", "--prefix", "--tail=20", "--selector=app.kubernetes.io/component=worker"],
            &["get", "events", "--field-selector=type!=Normal", "--sort-by=.metadata.creationTimestamp"],
            &["logs", "--all-containers", "--prefix", "--tail=60", "--selector=app.kubernetes.io/name=watchstate"],
            &["get", "deployments,services,cronjobs,leases", "-o", "wide"],
            &["get", "events", "--sort-by=.metadata.creationTimestamp"],
        ] {
            if let Ok(said) = self.kubectl(arguments).await {
                story.push_str(&said.stdout);
                story.push_str(&said.stderr);
            }
        }
        story
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody waits for it, and what doesn't work goes with the cluster.
        drop(
            Command::new("kubectl")
                .args(["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status(),
        );
    }
}
