//! What each part may do in the cluster: all that it needs, and nothing else. And to whom a token is sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use watchstate_tests::world::Flavor;

use crate::cluster::{kubectl, setting};
use crate::installation::{Installation, THREE};
use crate::path::BY_HAND;

/// What a service account may do in a namespace, one line a rule, without what everybody may.
async fn rules(account: &str, namespace: &str, there: &str) -> Result<BTreeSet<String>> {
    let who = format!("--as=system:serviceaccount:{namespace}:watchstate-{account}");
    let list = kubectl(&["auth", "can-i", "--list", "--no-headers", &who, "--namespace", there]).await?.good()?;
    let everybodys = |line: &str| line.starts_with("selfsubject") || line.trim_start().starts_with('[');
    Ok(list
        .lines()
        .filter(|line| !everybodys(line))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect())
}

#[tokio::test]
async fn each_part_may_do_what_it_needs_and_nothing_else() -> Result<()> {
    let mut installation = Installation::new("rights", &json!({})).await?;
    let _ = installation.servers(THREE).await?;
    installation.schedule(BY_HAND);
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    installation.available("household-follow").await?;
    let name = installation.namespace.name.clone();

    for account in ["worker", "webhook"] {
        let may = rules(account, &name, &name).await?;
        ensure!(may.is_empty(), "{account}: {may:#?}");
    }
    let may = rules("operator", &name, &name).await?;
    ensure!(!may.is_empty(), "the operator has rights");
    let elsewhere = rules("operator", &name, "default").await?;
    ensure!(elsewhere.is_empty(), "the operator's rights end with its namespace: {elsewhere:#?}");
    let who = format!("--as=system:serviceaccount:{name}:watchstate-operator");
    for (verb, what) in [
        ("create", "pods"),
        ("create", "pods/exec"),
        ("get", "configmaps"),
        ("update", "secrets"),
        ("create", "mediaservers"),
        ("delete", "mediaservers"),
        ("get", "serviceaccounts"),
        ("create", "serviceaccounts/token"),
        ("create", "roles"),
        ("delete", "leases"),
    ] {
        let said = kubectl(&["auth", "can-i", verb, what, &who, "--namespace", &name]).await?;
        ensure!(said.stdout.trim() == "no", "the operator may {verb} {what}");
    }

    // No token is mounted where none is used, however the pod came to be.
    let pods: Api<Pod> = installation.namespace.api();
    let mut seen = BTreeSet::new();
    for pod in pods.list(&ListParams::default()).await?.items {
        let component = pod.labels().get("app.kubernetes.io/component").cloned().unwrap_or_default();
        let spec = serde_json::to_value(&pod.spec)?;
        let mounted = spec.to_string().contains("serviceAccountToken");
        ensure!(mounted == (component == "operator"), "{}: token mounted: {mounted}", pod.name_any());
        seen.insert(component);
    }
    ensure!(seen.len() >= 3, "operator, webhook and worker were looked at: {seen:?}");
    Ok(())
}

/// A stranger's server: it writes down all that it is sent, and may send its callers on.
async fn stranger(answer: String) -> Result<(String, Arc<Mutex<String>>)> {
    let listener = TcpListener::bind((setting("WATCHSTATE_TEST_HOST")?.as_str(), 0)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let heard = Arc::new(Mutex::new(String::new()));
    let written = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, written) = (answer.clone(), Arc::clone(&written));
            tokio::spawn(async move {
                let mut request = vec![0; 16384];
                let read = stream.read(&mut request).await.unwrap_or(0);
                written.lock().await.push_str(&String::from_utf8_lossy(&request[..read]));
                drop(stream.write_all(answer.as_bytes()).await);
            });
        }
    });
    Ok((address, heard))
}

#[tokio::test]
async fn a_token_is_sent_to_its_own_server_only() -> Result<()> {
    let mut installation = Installation::new("redirect", &json!({})).await?;
    let _ = installation.servers([("jellyfin", Flavor::Jellyfin12)]).await?;
    installation.schedule(BY_HAND);
    installation.apply().await?;
    installation.servers_ready().await?;

    let (thief, heard) =
        stranger("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_owned()).await?;
    let sends_on = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {thief}/System/Info\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (redirecting, asked) = stranger(sends_on).await?;
    let change = json!({"spec": {"url": redirecting}}).to_string();
    installation.namespace.kubectl(&["patch", "ms", "jellyfin", "--type=merge", "-p", &change]).await?.good()?;
    installation
        .namespace
        .until("jellyfin", "isn't ready", |server: Option<&watchstate_crds::MediaServer>| {
            let Some(server) = server else { return false };
            let Some(status) = &server.status else { return false };
            status.observed_generation == server.metadata.generation
                && status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "False")
        })
        .await?;
    ensure!(!asked.lock().await.is_empty(), "the new address was asked");
    let token = installation.household.member("jellyfin")?.token.clone();
    let heard = heard.lock().await;
    ensure!(!heard.contains(&token), "the token went to another server");
    ensure!(heard.is_empty(), "nobody follows a server to another one: {heard}");
    let status = installation.namespace.kubectl(&["get", "ms", "jellyfin", "-o", "yaml"]).await?.good()?;
    ensure!(!status.contains(&token), "no token in a status");
    let logs = installation.namespace.kubectl(&["logs", "deployment/watchstate-operator"]).await?.good()?;
    ensure!(!logs.contains(&token), "no token in a log");
    installation.household.member("jellyfin").context("a server").map(drop)
}
