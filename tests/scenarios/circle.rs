//! The whole circle: servers that send webhooks, a receiver, a follower, and the questions that are asked of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::timeout;
use watchstate_tests::household::Household;
use watchstate_tests::process::Process;
use watchstate_tests::webhook::{Target, Webhooks};
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;
use crate::ledger::Ledger;

/// Long enough for all that comes at all.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A server of each kind.
pub const THREE: [(&str, Flavor); 3] =
    [("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)];

/// A household whose servers send their webhooks, after a first sync.
pub struct Circle<const N: usize> {
    pub household: Household,
    pub worlds: [World; N],
    pub hooks: Vec<Webhooks>,
    pub receiver: Process,
    pub follower: Process,
}

impl<const N: usize> Circle<N> {
    /// A household of anna alone, whose servers hold the same titles.
    pub async fn new(servers: [(&str, Flavor); N]) -> Result<Self> {
        let (household, worlds) = household(servers, titles).await?;
        Self::of(household, worlds, servers.map(|(name, _)| name)).await
    }

    /// A household that is applied already.
    pub async fn of(household: Household, worlds: [World; N], names: [&str; N]) -> Result<Self> {
        Self::shaped(household, worlds, names, |_, _| {}).await
    }

    /// The same, with webhooks of other shapes.
    pub async fn shaped(
        household: Household,
        worlds: [World; N],
        names: [&str; N],
        shape: impl Fn(&str, &mut Target),
    ) -> Result<Self> {
        household.sync(&[]).await?;
        forget_writes(&worlds.iter().collect::<Vec<_>>());
        let receiver = household.receiver("127.0.0.1:0", &[]).await?;
        let follower = household.follower(&[]).await?;
        let mut hooks = Vec::new();
        for (world, name) in worlds.iter().zip(names) {
            let mut target = Target::new(&household.webhook(&receiver, name)?);
            shape(name, &mut target);
            hooks.push(Webhooks::start(world, target)?);
        }
        Ok(Self { household, worlds, hooks, receiver, follower })
    }

    /// All that the servers told was answered with 202, merged, and what it asked for written, the echoes of that included.
    pub async fn settle(&self) -> Result<()> {
        let ledger = Ledger::open(&self.household).await?;
        for _ in 0..2 {
            for hooks in &self.hooks {
                for sent in hooks.settle().await {
                    ensure!(sent.status == Some(202), "{sent:#?}\n{:#?}", self.receiver.log());
                }
            }
            // Where the database took its time they were answered all the same.
            let spooled = "watchstate_spooled_events{component=\"webhook\"}";
            until("the spool is empty", async || Ok(self.receiver.metric(spooled).await? < 0.5)).await?;
            ledger.merged().await?;
            self.household.worker(&["push", "--wait"]).await?.expect(0)?;
            // What was looked up only now is written by whoever comes first.
            ledger.nothing_is_due().await?;
        }
        Ok(())
    }

    /// Events that were received, the newest first.
    pub async fn inbox(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let all: Vec<&str> =
            ["inbox", "list", "-o", "json", "--limit", "1000"].into_iter().chain(arguments.iter().copied()).collect();
        let events = self.household.worker(&all).await?.expect(0)?.json()?;
        events.as_array().cloned().context("a list")
    }

    /// Everything was told, nobody holds another opinion, and the next syncs write nothing.
    pub async fn agrees(&self) -> Result<()> {
        self.settle().await?;
        let worlds: Vec<&World> = self.worlds.iter().collect();
        stays_so(&self.household, &worlds).await
    }

    /// How many writes each server got.
    pub fn writes(&self) -> [usize; N] {
        std::array::from_fn(|place| self.worlds[place].writes().len())
    }
}

/// Waits for something that can only be asked for.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let waiting = async {
        while !so().await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    timeout(PATIENCE, waiting).await.with_context(|| format!("it never came so far: {what}"))?
}

/// Waits until something is true of a server.
pub async fn comes_to(world: &World, what: &str, so: impl Fn(&World) -> bool) -> Result<()> {
    let mut changes = world.changes();
    let waiting = async {
        while !so(world) {
            // Of lagging behind nothing is lost: the state itself is looked at.
            drop(changes.recv().await);
        }
    };
    timeout(PATIENCE, waiting).await.with_context(|| format!("it never came so far at {world:?}: {what}"))
}

/// Waits until anna has played a film.
pub async fn is_played(world: &World, title: &str) -> Result<()> {
    comes_to(world, &format!("{title} is played"), |world| has(world, title).played).await
}

/// Waits until anna has not played a film.
pub async fn is_unplayed(world: &World, title: &str) -> Result<()> {
    comes_to(world, &format!("{title} is not played"), |world| !has(world, title).played).await
}

/// Waits until a film stands at a minute.
pub async fn stands_at(world: &World, title: &str, minute: u64) -> Result<()> {
    let there = |state: &UserState| state.position_ms.abs_diff(minutes(minute)) < 2_000;
    comes_to(world, &format!("{title} stands at minute {minute}"), |world| there(&has(world, title))).await
}
