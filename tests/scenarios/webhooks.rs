//! What happens on one server reaches the others by its webhook: receiver, follower and servers are real processes and connections.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;
use watchstate_tests::household::Household;
use watchstate_tests::process::Process;
use watchstate_tests::webhook::{Target, Webhooks};
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;

/// Long enough for every change that comes at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A household whose servers send their webhooks, after a first sync.
struct Circle<const N: usize> {
    household: Household,
    worlds: [World; N],
    hooks: Vec<Webhooks>,
    receiver: Process,
    follower: Process,
}

impl<const N: usize> Circle<N> {
    async fn new(servers: [(&str, Flavor); N]) -> Result<Self> {
        let (household, worlds) = household(servers, titles).await?;
        Self::of(household, worlds, &servers.map(|(name, _)| name)).await
    }

    async fn of(household: Household, worlds: [World; N], names: &[&str; N]) -> Result<Self> {
        household.sync(&[]).await?;
        let receiver = household.receiver("127.0.0.1:0", &[]).await?;
        let follower = household.follower(&[]).await?;
        let mut hooks = Vec::new();
        for (world, name) in worlds.iter().zip(names) {
            hooks.push(Webhooks::start(world, Target::new(&household.webhook(&receiver, name)?))?);
        }
        Ok(Self { household, worlds, hooks, receiver, follower })
    }

    /// All that the servers told was sent, answered with 202, merged, and what it asked for written.
    async fn settle(&self) -> Result<()> {
        for hooks in &self.hooks {
            for sent in hooks.settle().await {
                ensure!(sent.status == Some(202), "{sent:#?}\n{:#?}", self.receiver.log());
            }
        }
        self.household.worker(&["push"]).await?.expect(0)?;
        // The echoes of the last writes.
        for hooks in &self.hooks {
            hooks.settle().await;
        }
        self.household.worker(&["push"]).await?.expect(0)?;
        Ok(())
    }

    /// The events that were received, the newest first.
    async fn inbox(&self) -> Result<Vec<Value>> {
        let events =
            self.household.worker(&["inbox", "list", "-o", "json", "--limit", "1000"]).await?.expect(0)?.json()?;
        events.as_array().cloned().context("a list")
    }

    /// Nobody holds another opinion, and the next syncs write nothing.
    async fn agrees(&self) -> Result<()> {
        self.settle().await?;
        let worlds: Vec<&World> = self.worlds.iter().collect();
        stays_so(&self.household, &worlds).await
    }
}

/// Waits until anna's state of a film is as it should be.
async fn comes_to(world: &World, title: &str, what: &str, as_it_should: impl Fn(&UserState) -> bool) -> Result<()> {
    let mut changes = world.changes();
    let waiting = async {
        while !as_it_should(&has(world, title)) {
            if changes.recv().await.is_err() {
                changes = world.changes();
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .with_context(|| format!("{title} at {world:?} should be {what}: {:?}", has(world, title)))
}

async fn is_played(world: &World, title: &str) -> Result<()> {
    comes_to(world, title, "played", |state| state.played).await
}

const THREE: [(&str, Flavor); 3] =
    [("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)];

async fn played_to_the_end_on(server: usize) -> Result<()> {
    let circle = Circle::new(THREE).await?;
    circle.worlds[server].play_to_end(ANNA, &movie(&circle.worlds[server], "Heat"))?;
    for world in &circle.worlds {
        is_played(world, "Heat").await?;
    }
    circle.settle().await?;
    for (place, world) in circle.worlds.iter().enumerate() {
        let writes = world.writes();
        ensure!(writes.len() == usize::from(place != server), "{world:?}: {writes:#?}");
        ensure!(has(world, "Heat").plays <= 1, "{world:?}: {:?}", has(world, "Heat"));
    }
    let heat = truth(&circle.household, "Heat").await?;
    ensure!(heat["plays"] == 1 && heat["played"] == true, "{heat:#}");
    circle.agrees().await?;
    let heat = truth(&circle.household, "Heat").await?;
    ensure!(heat["plays"] == 1, "the import tells the same story: {heat:#}");
    Ok(())
}

#[tokio::test]
async fn a_film_played_to_its_end_on_plex_is_played_on_the_others() -> Result<()> {
    played_to_the_end_on(0).await
}

#[tokio::test]
async fn a_film_played_to_its_end_on_jellyfin_is_played_on_the_others() -> Result<()> {
    played_to_the_end_on(1).await
}

#[tokio::test]
async fn a_film_played_to_its_end_on_emby_is_played_on_the_others() -> Result<()> {
    played_to_the_end_on(2).await
}
