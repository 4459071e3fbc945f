//! The life of a release: upgraded while webhooks arrive, uninstalled, beside another one, and with the Postgres that the chart brings.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::json;
use watchstate_tests::world::Flavor;

use crate::cluster::{helm_alone, image_values, setting};
use crate::definitions::{definitions, older_chart};
use crate::films::*;
use crate::installation::Installation;
use crate::namespace::Namespace;
use crate::path::BY_HAND;

const TWO: [(&str, Flavor); 2] = [("jellyfin", Flavor::Jellyfin12), ("emby", Flavor::Emby49)];

#[tokio::test]
async fn no_webhook_is_lost_while_the_chart_is_upgraded() -> Result<()> {
    let older = tempfile::tempdir()?;
    older_chart(older.path())?;
    // As the chart has it: so long those who send may take to learn that a pod is going.
    let receives_on = json!({"webhook": {"preStopSleepSeconds": 10}});
    let mut installation = Installation::prepared("upgrade", &receives_on).await?;
    installation.install(older.path().to_str().context("a path in UTF-8")?).await?;
    let [jellyfin, emby] = installation.servers(TWO).await?;
    let all = add_many([&jellyfin, &emby], 2000);
    installation.schedule(BY_HAND);
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    installation.run("import").await?;
    let hooks = installation.sends_webhooks("jellyfin", &jellyfin).await?;
    let before = installation.pods("webhook").await?;

    // A film every so often, for as long as the upgrade takes: each is told once, and never again.
    let upgraded = Cell::new(false);
    let watching = async {
        let mut titles = Vec::new();
        for title in &all {
            // The last ones less often: they must be enough for as long as anybody here has patience.
            let pause = if titles.len() < 1500 { 50 } else { 1500 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            jellyfin.mark_played(ANNA, &film(&jellyfin, title), None)?;
            titles.push(title);
            // As long as the upgrade takes, and a little more.
            if upgraded.get() && titles.len() > 100 {
                break;
            }
        }
        anyhow::Ok(titles)
    };
    let upgrading = async {
        // Where nothing else is new, pods have to be told.
        let next = json!({"podAnnotations": {"release": "next"}});
        installation.upgrade("charts/watchstate", &json!({"webhook": next, "operator": next})).await?;
        // One that is told to end goes on receiving for a while.
        for pod in &before {
            installation.namespace.until(pod, "is gone", |pod: Option<&Pod>| pod.is_none()).await?;
        }
        upgraded.set(true);
        anyhow::Ok(())
    };
    let (titles, ()) = tokio::try_join!(watching, upgrading)?;
    ensure!(titles.len() < all.len(), "the upgrade took longer than the films");
    for sent in hooks.settle().await {
        ensure!(sent.status == Some(202), "{sent:#?}");
    }
    let after = installation.pods("webhook").await?;
    ensure!(after.len() == 2, "two new receivers: {before:?} {after:?}");
    for title in titles.iter().copied() {
        is_played(&emby, title).await?;
    }
    eprintln!("{} events arrived during an upgrade, none was lost", titles.len());
    Ok(())
}

#[tokio::test]
async fn uninstalling_leaves_data_and_definitions_and_nothing_else() -> Result<()> {
    let mut installation = Installation::new("uninstalled", &json!({})).await?;
    let [jellyfin, _] = installation.servers(TWO).await?;
    watched(&jellyfin, "Heat", "2024-02-01T20:00:00Z");
    installation.schedule(BY_HAND);
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;
    installation.run("import").await?;
    // One is kept, whose webhook the operator has set up.
    let register = json!({"spec": {"webhook": {"register": true}}}).to_string();
    installation.namespace.kubectl(&["patch", "ms", "jellyfin", "--type=merge", "-p", &register]).await?.good()?;
    installation.server("jellyfin", "WebhookRegistered", "True", "Registered").await?;
    let told = || jellyfin.read(|model| model.notifications.plugin.clone()).unwrap_or_default().to_string();
    ensure!(told().contains("watchstate="), "the server sends events: {}", told());
    installation.namespace.kubectl(&["delete", "sync/household", "ms/emby", "--timeout=30s"]).await?.good()?;
    helm_alone(&["uninstall", "watchstate", "--wait", "--namespace", &installation.namespace.name]).await?.good()?;

    ensure!(!told().contains("watchstate="), "the server sends no events any more: {}", told());
    // Nobody is there to let it go.
    installation.namespace.kubectl(&["delete", "ms/jellyfin", "--timeout=10s"]).await?.good()?;
    let kinds =
        "deployments,statefulsets,services,cronjobs,jobs,roles,rolebindings,poddisruptionbudgets,leases,ms,sync";
    let left = installation.namespace.kubectl(&["get", kinds, "-o", "name"]).await?.good()?;
    ensure!(left.is_empty(), "{left}");
    let gone = |secret: Option<&Secret>| secret.is_none();
    installation.namespace.until("jellyfin-webhook", "is gone", gone).await?;
    let accounts = installation.namespace.kubectl(&["get", "serviceaccounts,secrets", "-o", "name"]).await?.good()?;
    let mut accounts: Vec<&str> = accounts.lines().collect();
    accounts.sort_unstable();
    // The user's own Secrets, and what every namespace has.
    ensure!(accounts == ["secret/emby", "secret/jellyfin", "secret/pg-app", "serviceaccount/default"], "{accounts:?}");
    let state = installation.household.worker(&["state", "-o", "json", "--title", "Heat"]).await?.expect(0)?.stdout;
    ensure!(state.contains("Heat"), "what was watched is still known: {state}");
    ensure!(!definitions().await?.after.is_empty(), "the definitions are there");
    installation.namespace.kubectl(&["get", "ms"]).await?.good()?;
    Ok(())
}

#[tokio::test]
async fn two_installations_do_not_touch_each_other() -> Result<()> {
    let mut here = Installation::new("here", &json!({})).await?;
    let mut there = Installation::further("there", &json!({})).await?;
    let ours = here.servers(TWO).await?;
    let theirs = there.servers(TWO).await?;
    for installation in [&mut here, &mut there] {
        installation.schedule(BY_HAND);
        installation.apply().await?;
    }
    here.servers_ready().await?;
    there.servers_ready().await?;
    here.ready_schedule().await?;
    there.ready_schedule().await?;
    for world in &theirs {
        world.log().clear();
    }
    watched(&ours[0], "Heat", "2024-02-01T20:00:00Z");
    here.run("import").await?;
    here.run("export").await?;
    is_played(&ours[1], "Heat").await?;
    for world in &theirs {
        ensure!(!has(world, "Heat").played && world.writes().is_empty(), "{world:?} was written to");
    }
    let state = there.household.worker(&["state", "-o", "json"]).await?.expect(0)?.json()?;
    ensure!(!state.to_string().contains("Heat"), "the other household knows nothing of it: {state:#}");
    // The same names, other tokens: each knows its own.
    let (own, other) = (here.webhook("emby").await?, there.webhook("emby").await?);
    ensure!(own.query() != other.query(), "each has a token of its own");
    let mut crossed = there.webhook("emby").await?;
    crossed.set_query(own.query());
    let answer = reqwest::Client::new().post(crossed).body("{}").send().await?;
    ensure!(answer.status() == 401, "a token of the other installation is refused: {answer:?}");
    Ok(())
}

#[tokio::test]
async fn the_chart_brings_a_postgres_and_its_own_test_passes() -> Result<()> {
    definitions().await?;
    let namespace = Namespace::new("postgres").await?;
    let postgres = setting("WATCHSTATE_TEST_POSTGRES_IMAGE")?;
    let (repository, tag) = postgres.rsplit_once(':').context("a tag")?;
    let values = json!({
        "crds": {"enabled": false}, "image": image_values()?,
        "postgres": {"enabled": true, "image": {"repository": repository, "tag": tag}},
    });
    let install = ["install", "watchstate", "charts/watchstate", "--wait", "--timeout", "5m"];
    let said = namespace.helm(&install, &values).await?;
    ensure!(said.ok, "{}\n{}", said.stderr, namespace.story().await);
    let said = namespace.kubectl(&["get", "secret", "watchstate-postgres", "-o", "jsonpath={.data.password}"]).await?;
    let password = said.good()?;
    let test = helm_alone(&["test", "watchstate", "--namespace", &namespace.name, "--timeout", "5m"]).await?;
    ensure!(test.ok, "{}\n{}", test.stderr, namespace.story().await);

    // An upgrade keeps the password, since the volume knows no other; the database comes back with what it had.
    let said =
        namespace.helm(&["upgrade", "watchstate", "charts/watchstate", "--wait", "--timeout", "5m"], &values).await?;
    ensure!(said.ok, "{}\n{}", said.stderr, namespace.story().await);
    let said = namespace.kubectl(&["get", "secret", "watchstate-postgres", "-o", "jsonpath={.data.password}"]).await?;
    ensure!(said.good()? == password, "the password is kept");
    namespace.kubectl(&["delete", "pod", "watchstate-postgres-0"]).await?.good()?;
    // The new pod itself: right after the old one is gone, the StatefulSet still counts that one as ready.
    let ready = |pod: Option<&Pod>| {
        let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    };
    namespace.until("watchstate-postgres-0", "is ready", ready).await?;
    let test = helm_alone(&["test", "watchstate", "--namespace", &namespace.name, "--timeout", "5m"]).await?;
    ensure!(test.ok, "{}\n{}", test.stderr, namespace.story().await);
    Ok(())
}
