//! The user's path: from nothing to a film that was watched on one server and is marked on two others, by the schedule and by a webhook.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::films::*;
use crate::installation::{Installation, THREE};

/// Runs come when they are asked for; changes are followed at once.
pub const BY_HAND: &str =
    "  import:\n    schedule: 0 5 1 1 *\n  export:\n    schedule: 0 5 1 1 *\n  push:\n    mode: Realtime\n";

#[tokio::test]
async fn a_film_watched_on_one_server_is_marked_on_two_others() -> Result<()> {
    let mut installation = Installation::new("path", &json!({})).await?;
    let worlds = installation.servers(THREE).await?;
    let [plex, jellyfin, emby] = &worlds;
    watched(plex, "Heat", "2024-02-01T20:00:00Z");
    installation.schedule(BY_HAND);
    installation.apply().await?;
    installation.servers_ready().await?;
    installation.ready_schedule().await?;

    // What a user sees is worth reading.
    let seen = installation.namespace.kubectl(&["get", "ms,sync", "-o", "wide"]).await?.good()?;
    for word in ["Plex", "Jellyfin", "Emby", "True", "household"] {
        ensure!(seen.contains(word), "{word} is missing:\n{seen}");
    }
    let url = &installation.household.member("emby")?.url.clone();
    ensure!(seen.contains(url), "{url} is missing:\n{seen}");

    // By the CronJobs, started now.
    installation.run("import").await?;
    installation.run("export").await?;
    for world in [jellyfin, emby] {
        is_played(world, "Heat").await?;
        let heat = has(world, "Heat");
        ensure!(heat.last_played_at == Some(at("2024-02-01T20:00:00Z")), "the true date is written: {heat:?}");
    }

    // By a webhook through the Service, which has two receivers.
    let receivers = installation.available("watchstate-webhook").await?;
    ensure!(receivers.status.and_then(|status| status.available_replicas) == Some(2), "two receivers");
    let mut hooks = Vec::new();
    for ((name, _), world) in THREE.iter().zip(&worlds) {
        hooks.push(installation.sends_webhooks(name, world).await?);
    }
    installation.available("household-follow").await.map(|_: Deployment| ())?;
    let began = std::time::Instant::now();
    plex.play_to_end(ANNA, &film(plex, "Alien"))?;
    is_played(jellyfin, "Alien").await?;
    is_played(emby, "Alien").await?;
    eprintln!("from the end of a film to its marks on two other servers: {:?}", began.elapsed());
    emby.mark_played(ANNA, &film(emby, "Brazil"), None)?;
    is_played(plex, "Brazil").await?;
    is_played(jellyfin, "Brazil").await?;
    for hooks in &hooks {
        for sent in hooks.settle().await {
            ensure!(sent.status == Some(202), "{sent:#?}");
        }
    }
    Ok(())
}
