//! What changes in the life of an installation: addresses, tokens, schedules, persons, and its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Namespace as KubeNamespace;
use kube::Api;
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};
use tokio::time::timeout;
use watchstate_crds::MediaServer;
use watchstate_tests::world::{Flavor, World};

use crate::cluster::PATIENCE;
use crate::films::*;
use crate::installation::Installation;
use crate::path::BY_HAND;

const TWO: [(&str, Flavor); 2] = [("jellyfin", Flavor::Jellyfin12), ("emby", Flavor::Emby49)];

/// An installation with two servers that are ready, and a schedule that follows changes.
async fn two(purpose: &str) -> Result<(Installation, [World; 2])> {
    let mut installation = Installation::new(purpose, &json!({})).await?;
    let worlds = installation.servers(TWO).await?;
    installation.schedule(BY_HAND);
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    Ok((installation, worlds))
}

/// Changes a resource, as `kubectl edit` would.
async fn patch(installation: &Installation, what: [&str; 2], change: Value) -> Result<()> {
    let text = change.to_string();
    installation.namespace.kubectl(&["patch", what[0], what[1], "--type=merge", "-p", &text]).await?.good().map(drop)
}

#[tokio::test]
async fn a_server_whose_address_is_wrong_says_so_until_it_is_right() -> Result<()> {
    let (mut installation, _) = two("address").await?;
    let url = installation.household.member("emby")?.url.clone();
    patch(&installation, ["ms", "emby"], json!({"spec": {"url": "http://nowhere.invalid:8096"}})).await?;
    let server = installation.server("emby", "Reachable", "False", "Unreachable").await?;
    let message = condition(&server, "Reachable")?;
    ensure!(message.contains("nowhere.invalid"), "the message says which address: {message}");
    installation.server("jellyfin", "Ready", "True", "Ready").await?;
    patch(&installation, ["ms", "emby"], json!({"spec": {"url": url}})).await?;
    installation.server("emby", "Ready", "True", "Ready").await?;
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_and_a_new_one_is_taken_from_the_secret() -> Result<()> {
    let (mut installation, [_, emby]) = two("token").await?;
    let old = installation.household.member("emby")?.token.clone();
    emby.revoke(&old);
    let now = json!({"metadata": {"annotations": {"watchstate.dev/requestedAt": "once"}}});
    patch(&installation, ["ms", "emby"], now).await?;
    let server = installation.server("emby", "Authenticated", "False", "CredentialsRefused").await?;
    ensure!(!serde_json::to_string(&server)?.contains(&old), "no secret in a status");
    let new = emby.add_api_key("again");
    patch(&installation, ["secret", "emby"], json!({"stringData": {"token": new}})).await?;
    // Nothing but the Secret has changed.
    installation.server("emby", "Ready", "True", "Ready").await?;
    Ok(())
}

#[tokio::test]
async fn schedule_and_selection_and_suspension_reach_what_the_schedule_has_made() -> Result<()> {
    let (installation, _) = two("schedule").await?;
    let before = installation.namespace.api::<CronJob>().get("household-import").await?;
    ensure!(spec(&before)?["schedule"] == "0 5 1 1 *", "{before:#?}");
    let change = json!({"spec": {"import": {"schedule": "7 3 * * *"}, "timeZone": "Europe/Berlin"}});
    patch(&installation, ["sync", "household"], change).await?;
    cron_job(&installation, "household-import", "is at seven past three in Berlin", |spec| {
        spec["schedule"] == "7 3 * * *" && spec["timeZone"] == "Europe/Berlin"
    })
    .await?;

    patch(&installation, ["sync", "household"], json!({"spec": {"servers": {"names": ["emby"]}}})).await?;
    cron_job(&installation, "household-import", "mounts emby's token only", |spec| {
        let text = spec.to_string();
        text.contains("emby") && !text.contains("jellyfin")
    })
    .await?;

    patch(&installation, ["sync", "household"], json!({"spec": {"suspend": true}})).await?;
    cron_job(&installation, "household-import", "is suspended", |spec| spec["suspend"] == true).await?;
    follower(&installation, 0).await?;
    patch(&installation, ["sync", "household"], json!({"spec": {"suspend": false}})).await?;
    cron_job(&installation, "household-import", "goes on", |spec| spec["suspend"] == false).await?;
    follower(&installation, 1).await?;

    // What is off has no CronJob any more.
    patch(&installation, ["sync", "household"], json!({"spec": {"export": null}})).await?;
    installation.namespace.until("household-export", "is gone", gone::<CronJob>).await?;
    Ok(())
}

#[tokio::test]
async fn a_renamed_person_is_another_and_the_first_ones_history_is_kept() -> Result<()> {
    let (installation, [jellyfin, _]) = two("person").await?;
    watched(&jellyfin, "Heat", "2024-02-01T20:00:00Z");
    installation.run("import").await?;
    for name in ["emby", "jellyfin"] {
        patch(&installation, ["ms", name], json!({"spec": {"users": [{"person": "annette", "account": ANNA}]}}))
            .await?;
        installation
            .namespace
            .until(name, "knows annette", |server: Option<&MediaServer>| {
                let status = server.and_then(|server| server.status.as_ref());
                status.is_some_and(|status| status.users.iter().any(|user| user.person == "annette"))
            })
            .await?;
        installation.server(name, "Ready", "True", "Ready").await?;
    }
    let known = installation.household.worker(&["state", "-o", "json"]).await?.expect(0)?.json()?;
    ensure!(known.to_string().contains("Heat"), "nothing is lost: {known:#}");
    // A changed server's token is taken away until the operator has looked at it.
    cron_job(&installation, "household-import", "mounts both tokens", |spec| {
        let text = spec.to_string();
        text.contains("emby/token") && text.contains("jellyfin/token")
    })
    .await?;
    installation.run("import").await?;
    let known = installation.household.worker(&["state", "-o", "json", "--title", "Heat"]).await?.expect(0)?.json()?;
    ensure!(known.to_string().contains("annette"), "her new name has what was watched: {known:#}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_server_leaves_the_registry_and_its_history_stays() -> Result<()> {
    let (installation, [jellyfin, emby]) = two("deleted").await?;
    watched(&jellyfin, "Heat", "2024-02-01T20:00:00Z");
    installation.run("import").await?;
    installation.namespace.kubectl(&["delete", "ms", "jellyfin", "--timeout=30s"]).await?.good()?;
    let began = Instant::now();
    loop {
        let servers = installation.household.worker(&["servers", "list", "-o", "json"]).await?.expect(0)?.stdout;
        if servers.contains("emby") && !servers.contains("jellyfin") {
            break;
        }
        ensure!(began.elapsed() < Duration::from_secs(30), "{servers}");
        // The registry follows by itself, and can only be asked.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    installation.run("export").await?;
    is_played(&emby, "Heat").await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_schedule_takes_its_children_along() -> Result<()> {
    let (installation, _) = two("children").await?;
    installation.available("household-follow").await?;
    installation.namespace.kubectl(&["delete", "sync", "household", "--timeout=30s"]).await?.good()?;
    installation.namespace.until("household-import", "is gone", gone::<CronJob>).await?;
    installation.namespace.until("household-export", "is gone", gone::<CronJob>).await?;
    installation.namespace.until("household-follow", "is gone", gone::<Deployment>).await?;
    let left = installation.namespace.kubectl(&["get", "jobs,secrets,configmaps", "-o", "name"]).await?.good()?;
    ensure!(!left.contains("household"), "{left}");
    Ok(())
}

#[tokio::test]
async fn a_namespace_goes_and_its_resources_in_half_a_minute_though_its_servers_are_down() -> Result<()> {
    let (mut installation, _) = two("gone").await?;
    // With a webhook at its server, a MediaServer is held until that is taken away, which it can't be.
    patch(&installation, ["ms", "jellyfin"], json!({"spec": {"webhook": {"register": true}}})).await?;
    let wait = ["wait", "--for=condition=WebhookRegistered", "mediaserver/jellyfin", "--timeout=5m"];
    let said = installation.namespace.kubectl(&wait).await?;
    ensure!(said.ok, "{}\n{}", said.stderr, installation.namespace.story().await);
    for name in ["jellyfin", "emby"] {
        installation.household.down(name).await?;
    }
    installation.door.close();
    let api: Api<KubeNamespace> = Api::all(installation.namespace.client.clone());
    let uid = api.get(&installation.namespace.name).await?.metadata.uid.context("a uid")?;
    let began = Instant::now();
    installation
        .namespace
        .kubectl(&["delete", "namespace", &installation.namespace.name, "--wait=false"])
        .await?
        .good()?;
    // Kubernetes takes the pods first, and looks again after half of their grace period: how long that takes is its own affair.
    let marked =
        |server: Option<&MediaServer>| server.is_none_or(|server| server.metadata.deletion_timestamp.is_some());
    for name in ["jellyfin", "emby"] {
        installation.namespace.until(name, "is being deleted", marked).await?;
    }
    // So long the operator may hold them.
    let resources = async {
        for name in ["jellyfin", "emby"] {
            installation.namespace.until(name, "is gone", gone::<MediaServer>).await?;
        }
        anyhow::Ok(())
    };
    let Ok(let_go) = timeout(Duration::from_secs(30), resources).await else {
        anyhow::bail!("its servers aren't gone: {}", installation.namespace.story().await);
    };
    let_go?;
    eprintln!("servers that are away with their database are gone after {:?}", began.elapsed());
    let ended = await_condition(api, &installation.namespace.name, conditions::is_deleted(&uid));
    if timeout(PATIENCE, ended).await.is_err() {
        anyhow::bail!("it isn't gone: {}", installation.namespace.story().await);
    }
    eprintln!("a namespace whose servers and database are away is gone after {:?}", began.elapsed());
    Ok(())
}

fn condition(server: &MediaServer, type_: &str) -> Result<String> {
    let mut all = server.status.iter().flat_map(|status| &status.conditions);
    all.find(|condition| condition.type_ == type_).map(|condition| condition.message.clone()).context(type_.to_owned())
}

fn spec(cron_job: &CronJob) -> Result<Value> {
    Ok(serde_json::to_value(&cron_job.spec)?)
}

fn gone<K>(object: Option<&K>) -> bool {
    object.is_none()
}

async fn cron_job(
    installation: &Installation,
    name: &str,
    what: &str,
    so: impl Fn(&Value) -> bool + Send + Sync + 'static,
) -> Result<()> {
    let condition =
        move |cron_job: Option<&CronJob>| cron_job.is_some_and(|found| spec(found).is_ok_and(|spec| so(&spec)));
    installation.namespace.until(name, what, condition).await.map(drop)
}

/// Waits until the follower has so many pods.
async fn follower(installation: &Installation, pods: i32) -> Result<()> {
    let condition = move |deployment: Option<&Deployment>| {
        let running = deployment.and_then(|deployment| deployment.status.as_ref()?.available_replicas).unwrap_or(0);
        running == pods
    };
    installation.namespace.until("household-follow", &format!("has {pods} pods"), condition).await.map(drop)
}
