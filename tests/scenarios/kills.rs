//! Killed at any moment and started again, the worker comes to the same end: nothing lost, nothing counted twice, nothing written twice, nothing
//! left waiting. Told to end, it does so at once, and keeps what it has read.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use tokio::process::Child;
use tokio::time::{Duration, timeout};
use watchstate_tests::household::{Household, Ran};
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::world::{Flavor, Kind, UserState, World};

use crate::builders::*;
use crate::ledger::{Ledger, fill};

const FLAVORS: [(&str, Flavor); 3] =
    [("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)];
/// For ever, as far as a test is concerned.
const FOREVER: u64 = 600_000;
/// Long enough for every process that isn't stuck.
const PATIENCE: Duration = Duration::from_mins(1);

/// The titles that are under way, one on each server. Nobody has played them: of one that was played elsewhere before, the others are told of the play or
/// of the viewing that goes on, whichever is known when they are first written to.
const UNDER_WAY: [usize; 3] = [10, 11, 14];

/// Three servers with different pasts.
struct Scene {
    household: Household,
    worlds: [World; 3],
    ledger: Ledger,
}

/// All that must be the same in the end.
#[derive(Debug, PartialEq)]
struct End {
    truths: Vec<Value>,
    viewings: Vec<Value>,
    states: Vec<BTreeMap<String, (bool, u32, u64, Option<jiff::Timestamp>)>>,
    writes: Vec<BTreeMap<String, usize>>,
}

/// The name of every film and episode, by id.
fn names(world: &World) -> BTreeMap<String, String> {
    world.read(|model| {
        let show =
            |id: &Option<String>| id.as_ref().and_then(|id| model.media.get(id)).map_or("", |show| show.title.as_str());
        let playable = model.items().filter(|media| media.kind.is_playable());
        playable
            .map(|media| {
                let name = match media.kind {
                    Kind::Movie => media.title.clone(),
                    _ => format!("{} {:?} {:?}", show(&media.show), media.season, media.episode),
                };
                (media.id.clone(), name)
            })
            .collect()
    })
}

/// Gives every `step`th title a play, and one a position.
fn past(world: &World, step: usize, offset: usize) {
    let mut titles: Vec<(String, String)> = names(world).into_iter().map(|(id, name)| (name, id)).collect();
    titles.sort();
    for (number, (_, id)) in titles.iter().enumerate() {
        let when = at("2021-01-01T20:00:00Z")
            + jiff::SignedDuration::from_hours(i64::try_from(1000 * offset + 24 * number).unwrap());
        let state = match number % step {
            found if found == offset => {
                UserState { played: true, plays: 1, last_played_at: Some(when), ..UserState::default() }
            }
            _ if number == UNDER_WAY[offset] => {
                UserState { position_ms: 600_000, last_played_at: Some(when), ..UserState::default() }
            }
            _ => continue,
        };
        world.set_state(ANNA, id, &state).unwrap();
    }
}

impl Scene {
    async fn new() -> Result<Self> {
        let mut household = Household::new().await?;
        let mut worlds = Vec::new();
        for (number, (name, flavor)) in FLAVORS.into_iter().enumerate() {
            let world = household.add(name, server(flavor, name), &[]).await?;
            household.spec(name, "  limits:\n    pageSize: 10\n")?;
            fill(&world, 25, 1);
            past(&world, 3 + number, number);
            worlds.push(world);
        }
        household.apply().await?.expect(0)?;
        let ledger = Ledger::open(&household).await?;
        let worlds = worlds.try_into().ok().context("three worlds")?;
        Ok(Self { household, worlds, ledger })
    }

    /// Starts the worker, and kills it with SIGKILL when a server holds a request; false when it came to its end before.
    async fn kill(&self, arguments: &[&str], server: usize, fault: Fault) -> Result<bool> {
        let world = &self.worlds[server];
        world.inject(fault);
        let mut child = self.household.spawn(arguments).await?;
        let held = tokio::select! {
            () = world.log().wait_until(|log| log.on_hold() > 0) => true,
            status = child.wait() => {
                ensure!(status?.code() == Some(0), "it failed before it was killed");
                false
            }
        };
        child.kill().await?;
        world.heal();
        self.ledger.lanes_are_free().await?;
        Ok(held)
    }

    async fn end(&self) -> Result<End> {
        let states = |world: &World| {
            let names = names(world);
            let states = world.states(ANNA).into_iter();
            states
                .map(|(id, state)| {
                    // Plex stamps a write with its own now.
                    let when = state.last_played_at.filter(|_| !world.flavor().is_plex());
                    (names[&id].clone(), (state.played, state.plays, state.position_ms, when))
                })
                .collect()
        };
        let writes = |world: &World| {
            let names = names(world);
            let mut counts = BTreeMap::new();
            for write in world.writes() {
                *counts.entry(format!("{} {:?}", names[&write.item], write.what)).or_default() += 1;
            }
            counts
        };
        Ok(End {
            truths: self.ledger.truths().await?,
            viewings: self.ledger.viewings().await?,
            states: self.worlds.iter().map(states).collect(),
            writes: self.worlds.iter().map(writes).collect(),
        })
    }

    /// The worker is started again: it comes to the end of one that was never killed, in one run.
    async fn comes_to(&self, undisturbed: &End) -> Result<()> {
        self.household.sync(&[]).await?;
        let end = self.end().await?;
        for (number, (name, _)) in FLAVORS.iter().enumerate() {
            ensure!(
                end.states[number] == undisturbed.states[number],
                "{name}: {:#?}\n{:#?}",
                end.states[number],
                undisturbed.states[number]
            );
            ensure!(
                end.writes[number] == undisturbed.writes[number],
                "{name}: {:#?}\n{:#?}",
                end.writes[number],
                undisturbed.writes[number]
            );
        }
        ensure!(end.viewings == undisturbed.viewings, "{:#?}\n{:#?}", end.viewings, undisturbed.viewings);
        ensure!(end.truths == undisturbed.truths, "{:#?}\n{:#?}", end.truths, undisturbed.truths);
        ensure!(
            self.ledger.open_writes().await? == 0,
            "nothing waits: {:#?}",
            self.ledger.rows("select * from outbox").await?
        );
        ensure!(
            self.ledger.number("select count(*) from plan where state = 'collecting'").await? == 0,
            "no plan is half made"
        );
        self.household.sync(&["--full"]).await?;
        ensure!(self.end().await? == *undisturbed, "and stays there");
        Ok(())
    }
}

async fn undisturbed() -> Result<End> {
    let scene = Scene::new().await?;
    scene.household.sync(&[]).await?;
    let end = scene.end().await?;
    ensure!(end.writes.iter().all(|writes| writes.len() > 8), "there is something to write: {:#?}", end.writes);
    Ok(end)
}

/// Where a worker is killed: at this request of a group, before it is carried out, or after it was and before the answer comes.
const POINTS: [(Group, u32, FaultKind); 12] = [
    (Group::Identity, 0, FaultKind::Delay(FOREVER)),
    (Group::Libraries, 0, FaultKind::Delay(FOREVER)),
    (Group::Count, 0, FaultKind::Delay(FOREVER)),
    (Group::ReadPage, 1, FaultKind::Delay(FOREVER)),
    (Group::ReadPage, 2, FaultKind::Delay(FOREVER)),
    (Group::ReadPage, 5, FaultKind::Delay(FOREVER)),
    (Group::ById, 0, FaultKind::Delay(FOREVER)),
    (Group::Write, 0, FaultKind::Delay(FOREVER)),
    (Group::Write, 5, FaultKind::Delay(FOREVER)),
    (Group::Write, 0, FaultKind::LateAnswer(FOREVER)),
    (Group::Write, 3, FaultKind::LateAnswer(FOREVER)),
    (Group::Write, 8, FaultKind::LateAnswer(FOREVER)),
];

async fn killed_everywhere(server: usize) -> Result<()> {
    let undisturbed = &undisturbed().await?;
    try_join_all(POINTS.chunks(4).map(|points| async move {
        for (group, after, kind) in points {
            let scene = Scene::new().await?;
            let place = || format!("killed at {group:?} {after}, {kind:?}");
            let fault = Fault::new(*kind).group(*group).after(*after).times(1);
            ensure!(scene.kill(&["sync"], server, fault).await.with_context(place)?, "never {}", place());
            scene.comes_to(undisturbed).await.with_context(place)?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_to_plex_it_comes_to_the_same_end() -> Result<()> {
    killed_everywhere(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_to_jellyfin_it_comes_to_the_same_end() -> Result<()> {
    killed_everywhere(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_to_emby_it_comes_to_the_same_end() -> Result<()> {
    killed_everywhere(2).await
}

/// A number that depends on these alone.
const fn chance(seed: u64, draw: u64, below: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ draw.wrapping_mul(0xD1B5_4A32_D192_ED03);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 32;
    x % below
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_at_random_it_comes_to_the_same_end() -> Result<()> {
    let undisturbed = &undisturbed().await?;
    let verbs: [&[&str]; 5] = [&["sync"], &["import"], &["export"], &["sync", "--full"], &["push"]];
    try_join_all((0..3).map(|lane| async move {
        for seed in (0..4).map(|round| 100 * lane + round) {
            let scene = Scene::new().await?;
            let mut told = format!("seed {seed}:");
            for kill in 0..3 {
                let draw = |what: u64, below: u64| chance(seed, 10 * kill + what, below);
                let arguments = if kill == 0 { verbs[0] } else { verbs[draw(0, 5) as usize] };
                let server = draw(1, 3) as usize;
                let kind = if draw(2, 2) == 0 { FaultKind::Delay(FOREVER) } else { FaultKind::LateAnswer(FOREVER) };
                let after = draw(3, 24) as u32;
                told.push_str(&format!(" {arguments:?} at request {after} to {server}, {kind:?};"));
                scene
                    .kill(arguments, server, Fault::new(kind).after(after).times(1))
                    .await
                    .with_context(|| told.clone())?;
            }
            scene.comes_to(undisturbed).await.with_context(|| told)?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

/// Sends SIGTERM, and waits for the end.
async fn terminate(child: Child) -> Result<Ran> {
    let id = child.id().context("it still runs")?;
    let told = tokio::process::Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
    ensure!(told.success());
    let output = timeout(PATIENCE, child.wait_with_output()).await.context("it doesn't end")??;
    Ok(output.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_end_while_it_reads_it_ends_at_once_and_what_was_read_is_stored() -> Result<()> {
    let undisturbed = &undisturbed().await?;
    // A request, and how many items of that server are known afterwards.
    let points = [
        (Group::Identity, 0, 0),
        (Group::Libraries, 0, 0),
        (Group::Count, 0, 0),
        (Group::ReadPage, 0, 0),
        (Group::ReadPage, 2, 20),
        (Group::Count, 3, 25),
    ];
    try_join_all((0..3).map(|server| async move {
        for (group, after, known) in points {
            let scene = Scene::new().await?;
            let world = &scene.worlds[server];
            world.inject(Fault::new(FaultKind::Delay(FOREVER)).group(group).after(after).times(1));
            let child = scene.household.spawn(&["import"]).await?;
            world.log().wait_until(|log| log.on_hold() > 0).await;
            let ran = terminate(child).await?.expect(1)?;
            ensure!(ran.stdout.contains("told to end"), "{ran:#?}");
            let stored = format!(
                "select count(*) from observation o join account a on a.id = o.account_id join server s on s.id = a.server_id where s.name = '{}'",
                FLAVORS[server].0
            );
            ensure!(scene.ledger.number(&stored).await? == known, "{group:?} {after}: {}", scene.ledger.number(&stored).await?);
            ensure!(scene.ledger.number("select count(*) from run where finished_at is null").await? == 0, "every run has its end");
            world.heal();
            scene.comes_to(undisturbed).await.with_context(|| format!("told to end at {group:?} {after}"))?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_end_while_it_writes_it_ends_at_once_and_the_rest_waits_for_the_next_run() -> Result<()> {
    let undisturbed = &undisturbed().await?;
    try_join_all((0..3).map(|server| async move {
        for (group, kind) in [
            (Group::ById, FaultKind::Delay(FOREVER)),
            (Group::Write, FaultKind::Delay(FOREVER)),
            (Group::Write, FaultKind::LateAnswer(FOREVER)),
        ] {
            let scene = Scene::new().await?;
            let world = &scene.worlds[server];
            scene.household.worker(&["import"]).await?.expect(0)?;
            let after = if group == Group::Write { 4 } else { 0 };
            world.inject(Fault::new(kind).group(group).after(after).times(1));
            let child = scene.household.spawn(&["export"]).await?;
            world.log().wait_until(|log| log.on_hold() > 0).await;
            let ran = terminate(child).await?.expect(1)?;
            ensure!(ran.stdout.contains("told to end"), "{ran:#?}");
            let wanted: usize = undisturbed.writes[server].values().sum();
            let open = format!(
                "select count(*) from outbox o join account a on a.id = o.account_id join server s on s.id = a.server_id
                 where o.state = 'pending' and s.name = '{}'",
                FLAVORS[server].0
            );
            let waiting = usize::try_from(scene.ledger.number(&open).await?)?;
            ensure!(waiting > 0 && waiting <= wanted - after as usize, "{waiting} of {wanted} wait");
            world.heal();
            scene.comes_to(undisturbed).await.with_context(|| format!("told to end at {group:?}, {kind:?}"))?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}
