//! What goes wrong in a cluster: pods that are killed, leaders that are lost, an API server or a database that is away, runs that fail.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;
use tokio::time::timeout;
use watchstate_crds::{MediaServer, SyncSchedule};
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::world::{Flavor, World};

use crate::cluster::{self, PATIENCE};
use crate::films::*;
use crate::installation::{Installation, is_job};
use crate::path::BY_HAND;

const TWO: [(&str, Flavor); 2] = [("jellyfin", Flavor::Jellyfin12), ("emby", Flavor::Emby49)];

async fn two(purpose: &str, more: &serde_json::Value) -> Result<(Installation, [World; 2])> {
    let mut installation = Installation::new(purpose, more).await?;
    let worlds = installation.servers(TWO).await?;
    installation.schedule(BY_HAND);
    Ok((installation, worlds))
}

#[tokio::test]
async fn an_operator_that_is_killed_at_work_leaves_nothing_undone() -> Result<()> {
    let (installation, _) = two("killed", &json!({})).await?;
    let [operator] = &installation.pods("operator").await?[..] else { anyhow::bail!("one operator") };
    installation.apply().await?;
    // It has begun to look at the servers, and is not done.
    installation
        .namespace
        .until("jellyfin", "is looked at", |server: Option<&MediaServer>| {
            server.is_some_and(|server| server.status.is_some())
        })
        .await?;
    installation.namespace.kubectl(&["delete", "pod", operator, "--grace-period=0", "--force"]).await?.good()?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    installation.available("household-follow").await?;
    Ok(())
}

#[tokio::test]
async fn when_the_leader_is_lost_the_other_leads_within_twenty_seconds() -> Result<()> {
    let (installation, _) = two("leader", &json!({"operator": {"replicas": 2}})).await?;
    let led =
        installation.namespace.until("watchstate-operator", "is held", |lease: Option<&Lease>| holder(lease).is_some());
    let led = led.await?.context("a lease")?;
    let leader = holder(Some(&led)).context("a holder")?;
    let pod = pod_of(&installation, &leader).await?;
    // Whether it has the time to give the lease up or not.
    installation.namespace.kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"]).await?.good()?;
    // Until kubelet has killed it, it may go on renewing the lease: what counts is its last renewal.
    let renewed = Arc::new(Mutex::new(renewed_at(&led)));
    let last = Arc::clone(&renewed);
    let taken = installation
        .namespace
        .until("watchstate-operator", "is held by another", move |lease: Option<&Lease>| {
            if holder(lease).as_ref() == Some(&leader) {
                *last.lock().unwrap() = lease.and_then(renewed_at);
            }
            holder(lease).is_some_and(|now| now != leader)
        })
        .await?
        .context("a lease")?;
    let taken = taken.spec.and_then(|spec| spec.acquire_time).context("when it was taken")?.0;
    let renewed = renewed.lock().unwrap().context("when it was renewed")?;
    let took = taken.duration_since(renewed);
    eprintln!("another operator leads {took:#} after the last renewal");
    ensure!(took < SignedDuration::from_secs(20), "it took {took:#}");
    installation.apply().await?;
    installation.servers_ready().await
}

#[tokio::test]
async fn a_leader_whose_lease_was_taken_lets_go() -> Result<()> {
    let (installation, _) = two("lease", &json!({})).await?;
    installation.apply().await?;
    installation.servers_ready().await?;
    // As if it had been renewed just now: only our own clock tells how long a lease has been silent.
    let stolen = json!({"spec": {"holderIdentity": "somebody-else", "renewTime": "2100-01-01T00:00:00.000000Z"}});
    let patch = ["patch", "lease", "watchstate-operator", "--type=merge", "-p", &stolen.to_string()];
    installation.namespace.kubectl(&patch).await?.good()?;
    // The thief never renews it: it is taken back, and work goes on.
    let taken_back = |lease: Option<&Lease>| holder(lease).is_some_and(|now| now != "somebody-else");
    installation.namespace.until("watchstate-operator", "is taken back", taken_back).await?;
    let now = json!({"metadata": {"annotations": {"watchstate.dev/requestedAt": "after the theft"}}}).to_string();
    installation.namespace.kubectl(&["patch", "ms", "emby", "--type=merge", "-p", &now]).await?.good()?;
    installation
        .namespace
        .until("emby", "was looked at again", |server: Option<&MediaServer>| {
            let handled = server.and_then(|server| server.status.as_ref()?.last_handled_requested_at.clone());
            handled.as_deref() == Some("after the theft")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_away_is_told_and_waited_for() -> Result<()> {
    let (installation, _) = two("database", &json!({})).await?;
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.door.close();
    let change = json!({"spec": {"unplayed": "Ignore"}}).to_string();
    installation.namespace.kubectl(&["patch", "ms", "emby", "--type=merge", "-p", &change]).await?.good()?;
    installation.server("emby", "Registered", "False", "DatabaseUnavailable").await?;
    installation.door.reopen();
    installation.server("emby", "Ready", "True", "Ready").await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_an_export_is_made_good_by_the_next() -> Result<()> {
    let (mut installation, [jellyfin, emby]) = two("export", &json!({})).await?;
    let titles = add_many([&jellyfin, &emby], 300);
    for title in &titles {
        watched(&jellyfin, title, "2024-02-01T20:00:00Z");
    }
    // Nothing but the export writes.
    installation.schedule("  import:\n    schedule: 0 5 1 1 *\n  export:\n    schedule: 0 5 1 1 *\n");
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    installation.run("import").await?;
    // From the 21st write on the server doesn't answer.
    emby.inject(Fault::new(FaultKind::Delay(3_600_000)).group(Group::Write).after(20));
    installation.namespace.kubectl(&["create", "job", "cut", "--from=cronjob/household-export"]).await?.good()?;
    timeout(PATIENCE, emby.log().wait_until(|log| log.on_hold() > 0)).await.context("a few films were written")?;
    let pods: kube::Api<Pod> = installation.namespace.api();
    let of_job = pods.list(&ListParams::default().labels("batch.kubernetes.io/job-name=cut")).await?;
    let pod = of_job.items.first().and_then(|pod| pod.metadata.name.clone()).context("its pod")?;
    installation.namespace.kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"]).await?.good()?;
    installation.nobody_writes().await?;
    emby.heal();
    let written = emby.writes().len();
    ensure!(written <= 20, "{written} films were written");
    installation.run("export").await?;
    for title in &titles {
        ensure!(has(&emby, title).played, "{title} was forgotten");
    }
    let writes = emby.writes().len();
    ensure!(writes <= 300 + 20, "what was written is not written again: {writes} writes");
    Ok(())
}

#[tokio::test]
async fn a_run_that_fails_for_its_configuration_fails_once_and_says_what_to_do() -> Result<()> {
    let (mut installation, [_, emby]) = two("wrong", &json!({})).await?;
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    emby.revoke(&installation.household.member("emby")?.token.clone());
    installation.namespace.kubectl(&["create", "job", "wrong", "--from=cronjob/household-import"]).await?.good()?;
    let failed = installation.namespace.until("wrong", "has failed", |job: Option<&Job>| is_job(job, "Failed")).await?;
    let failed = failed.and_then(|job| job.status?.failed);
    ensure!(failed == Some(1), "no retry: {failed:?}");
    let schedule = installation
        .schedule_is("says that a run failed", |schedule| {
            condition(schedule, "LastRunSucceeded").is_some_and(|(status, _)| status == "False")
        })
        .await?;
    let (_, message) = condition(&schedule, "LastRunSucceeded").context("a condition")?;
    ensure!(message.contains("emby"), "it says which server: {message}");
    Ok(())
}

#[tokio::test]
async fn a_pod_that_the_cluster_does_not_take_is_told() -> Result<()> {
    let (installation, _) = two("quota", &json!({})).await?;
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    let kubectl = async |arguments: &[&str]| installation.namespace.kubectl(arguments).await?.good();
    kubectl(&["create", "quota", "full", "--hard=pods=0"]).await?;
    kubectl(&["create", "job", "refused", "--from=cronjob/household-import"]).await?;
    let says = |schedule: &SyncSchedule| {
        condition(schedule, "Ready").is_some_and(|(_, message)| message.contains("kubectl describe job refused"))
    };
    installation.schedule_is("says that the Job has no pod", says).await?;
    kubectl(&["delete", "quota", "full"]).await?;
    kubectl(&["delete", "job", "refused"]).await?;
    installation.ready_schedule().await?;
    Ok(())
}

#[tokio::test]
async fn a_plan_that_the_brake_holds_is_applied_once_it_is_approved() -> Result<()> {
    let (installation, [jellyfin, emby]) = two("held", &json!({})).await?;
    let titles = add_many([&jellyfin, &emby], 60);
    for title in &titles {
        watched(&jellyfin, title, "2024-02-01T20:00:00Z");
        watched(&emby, title, "2024-02-01T20:00:00Z");
    }
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    installation.run("import").await?;
    let (unplayed, still) = titles.split_at(40);
    for title in unplayed {
        jellyfin.mark_unplayed(ANNA, &film(&jellyfin, title))?;
    }
    installation.namespace.kubectl(&["create", "job", "held", "--from=cronjob/household-import"]).await?.good()?;
    let schedule = installation
        .schedule_is("holds a run", |schedule| condition(schedule, "Held").is_some_and(|(status, _)| status == "True"))
        .await?;
    ensure!(unplayed.iter().all(|title| has(&emby, title).played), "nobody is un-watched yet");
    let held = schedule.status.as_ref().and_then(|status| status.held_runs.first()).context("a held run")?;
    let approve = format!("watchstate.dev/approve={}", held.id);
    installation.namespace.kubectl(&["annotate", "sync", "household", &approve]).await?.good()?;
    installation
        .schedule_is("holds nothing", |schedule| {
            condition(schedule, "Held").is_some_and(|(status, _)| status == "False")
        })
        .await?;
    installation.run("export").await?;
    for title in unplayed {
        ensure!(!has(&emby, title).played, "{title} is still played");
    }
    ensure!(still.iter().all(|title| has(&emby, title).played), "just what was approved");
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_restarts_and_has_forgotten_its_past_is_caught_up_with() -> Result<()> {
    let Ok(node) = cluster::setting("WATCHSTATE_TEST_NODE") else {
        eprintln!("not tried: this cluster's API server can't be killed from here");
        return Ok(());
    };
    let mut installation = Installation::alone("restart", &json!({})).await?;
    let [_, emby] = installation.servers(TWO).await?;
    installation.schedule(BY_HAND);
    installation.apply().await?;
    installation.servers_ready().await?;

    // A new API server knows nothing of what came before it: a watch that goes on from there is told that it is gone (410). An operator that lost its lease
    // meanwhile has begun anew by itself, so that may take more than one.
    let began = Instant::now();
    loop {
        cluster::on_node(&node, &["pkill", "-KILL", "-x", "kube-apiserver"]).await?;
        cluster::answers().await?;
        let said = said_by_the_operator(&installation, "too old resource version");
        if let Ok(said) = timeout(Duration::from_secs(15), said).await {
            eprintln!("after {:?}: {}", began.elapsed(), said?);
            break;
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "no watch was told that its past is gone: {}",
            installation.namespace.story().await
        );
    }

    // While the operator can't see it, things change.
    cluster::on_node(&node, &["pkill", "-STOP", "-x", "watchstate-oper"]).await?;
    cluster::on_node(&node, &["pkill", "-KILL", "-x", "kube-apiserver"]).await?;
    cluster::answers().await?;
    let old = installation.household.member("emby")?.token.clone();
    emby.revoke(&old);
    let new = emby.add_api_key("after the restart");
    installation
        .namespace
        .kubectl(&["patch", "secret", "emby", "--type=merge", "-p", &json!({"stringData": {"token": new}}).to_string()])
        .await?
        .good()?;
    installation
        .namespace
        .kubectl(&[
            "patch",
            "sync",
            "household",
            "--type=merge",
            "-p",
            &json!({"spec": {"import": {"schedule": "1 1 1 1 *"}}}).to_string(),
        ])
        .await?
        .good()?;
    cluster::on_node(&node, &["pkill", "-KILL", "-x", "kube-apiserver"]).await?;
    cluster::answers().await?;
    cluster::on_node(&node, &["pkill", "-CONT", "-x", "watchstate-oper"]).await?;

    let began = Instant::now();
    let caught_up =
        installation.namespace.until("household-import", "has the new schedule", |found: Option<&CronJob>| {
            found.and_then(|found| found.spec.as_ref()).is_some_and(|spec| spec.schedule == "1 1 1 1 *")
        });
    // One watch backs off for half a minute at most, and none waits for another's.
    if timeout(Duration::from_mins(2), caught_up).await.is_err() {
        anyhow::bail!("the schedule isn't looked at: {}", installation.namespace.story().await);
    }
    eprintln!("what changed meanwhile is caught up with after {:?}", began.elapsed());
    let now = json!({"metadata": {"annotations": {"watchstate.dev/requestedAt": "after the restart"}}}).to_string();
    installation.namespace.kubectl(&["patch", "ms", "emby", "--type=merge", "-p", &now]).await?.good()?;
    installation
        .namespace
        .until("emby", "was looked at with its new token", |server: Option<&MediaServer>| {
            let Some(status) = server.and_then(|server| server.status.as_ref()) else { return false };
            status.last_handled_requested_at.as_deref() == Some("after the restart")
                && status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True")
        })
        .await?;
    Ok(())
}

/// Waits for a line of an operator's log with these words.
async fn said_by_the_operator(installation: &Installation, words: &str) -> Result<String> {
    let logs = ["logs", "--selector=app.kubernetes.io/component=operator", "--tail=-1"];
    loop {
        let said = installation.namespace.kubectl(&logs).await?;
        if let Some(line) = said.stdout.lines().find(|line| line.contains(words)) {
            return Ok(line.to_owned());
        }
        // A log can only be asked, and an API server that is just back may not have it yet.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn holder(lease: Option<&Lease>) -> Option<String> {
    lease?.spec.as_ref()?.holder_identity.clone().filter(|holder| !holder.is_empty())
}

fn renewed_at(lease: &Lease) -> Option<Timestamp> {
    Some(lease.spec.as_ref()?.renew_time.as_ref()?.0)
}

/// The pod that an identity names.
async fn pod_of(installation: &Installation, identity: &str) -> Result<String> {
    let pods = installation.pods("operator").await?;
    pods.iter().find(|pod| identity.contains(*pod)).cloned().with_context(|| format!("{identity} is none of {pods:?}"))
}

/// Status and message of a schedule's condition.
fn condition(schedule: &SyncSchedule, type_: &str) -> Option<(String, String)> {
    let mut all = schedule.status.iter().flat_map(|status| &status.conditions);
    all.find(|one| one.type_ == type_).map(|one| (one.status.clone(), one.message.clone()))
}
