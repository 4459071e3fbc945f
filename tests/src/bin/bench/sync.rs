//! How fast is a sync? Each figure is a ratio to a floor that the same run measures: the same pages and looks before writes fetched and parsed by the same
//! clients, the same writes sent with the same concurrency, and nothing else: no database, no matching, no merging.

use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::SignedDuration;
use watchstate_tests::household::Household;
use watchstate_tests::library::{Size, Titles, give_past};
use watchstate_tests::world::{self, Flavor, TimeSource, World};

use crate::floor::Floor;
use crate::memory;

/// Measures so many films, so often, and the memory that it takes to sync the large library.
pub async fn run(films: usize, rounds: usize, large: usize) -> Result<()> {
    println!("{films} films on Plex and on Jellyfin, with different histories; {rounds} rounds, loopback");
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(round(films).await?);
    }
    print(&measured, "first sync", |round| &round.first);
    print(&measured, "no-op (full)", |round| &round.noop);
    print(&measured, "no-op (incremental)", |round| &round.incremental);
    if large > 0 {
        let some = resident(large / 10).await?;
        let all = resident(large).await?;
        println!(
            "peak resident memory of one worker: {} MB at {} films on each server, {} MB at {large}",
            some / 1024,
            large / 10,
            all / 1024,
        );
    }
    Ok(())
}

/// One measurement beside its floor.
struct Measured {
    took: Duration,
    floor: Duration,
    requests: usize,
    writes: usize,
}

struct Round {
    first: Measured,
    noop: Measured,
    incremental: Measured,
}

fn print(rounds: &[Round], name: &str, pick: impl Fn(&Round) -> &Measured) {
    let mut ratios: Vec<f64> =
        rounds.iter().map(|round| pick(round).took.as_secs_f64() / pick(round).floor.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let one = pick(&rounds[rounds.len() / 2]);
    println!(
        "{name:20} {:.2} times its floor (from {:.2} to {:.2}); one round: {:?} against {:?}, {} requests, {} writes",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
        one.took,
        one.floor,
        one.requests,
        one.writes,
    );
}

fn server(flavor: Flavor, name: &str, films: usize, past: u64) -> Result<World> {
    let world = World::new(flavor, name, &format!("{name}-id"));
    world.add_owner("anna");
    Titles::synthetic(1, Size::films(films)).fill(&world);
    give_past(&world, "anna", past, 35)?;
    Ok(world)
}

async fn round(films: usize) -> Result<Round> {
    let worlds = [server(Flavor::Plex, "plex", films, 1)?, server(Flavor::Jellyfin1011, "jellyfin", films, 2)?];
    let before = [worlds[0].to_json(), worlds[1].to_json()];
    let mut household = Household::new().await?;
    for (world, name) in worlds.iter().zip(["plex", "jellyfin"]) {
        household.add(name, world.clone(), &[]).await?;
    }
    household.apply().await?.expect(0)?;
    let (first, writes) = worker(&household, &worlds, &["sync"]).await?;
    let sent: Vec<Vec<world::WriteSeen>> = worlds.iter().map(World::writes).collect();
    let (noop, _) = worker(&household, &worlds, &["sync", "--full"]).await?;
    let incremental = a_day_later(&worlds).await?;

    let time = TimeSource::real();
    let copies = [World::from_json(&before[0], time.clone())?, World::from_json(&before[1], time)?];
    let mut floors = Vec::new();
    for world in &copies {
        floors.push(Floor::start(world.clone()).await?);
    }
    let started = Instant::now();
    let items = futures::future::try_join_all(floors.iter().map(Floor::read)).await?;
    futures::future::try_join_all(
        floors.iter().zip(&items).zip(&sent).map(|((floor, items), sent)| floor.write(items, sent)),
    )
    .await?;
    let first_floor = started.elapsed();
    drop(items);
    let started = Instant::now();
    futures::future::try_join_all(floors.iter().map(Floor::fetch)).await?;
    let read_floor = started.elapsed();
    let started = Instant::now();
    futures::future::try_join_all(floors.iter().map(Floor::peek)).await?;
    let peek_floor = started.elapsed();
    Ok(Round {
        first: Measured { floor: first_floor, writes, ..first },
        noop: Measured { floor: read_floor, ..noop },
        incremental: Measured { floor: peek_floor, ..incremental },
    })
}

/// An incremental sync when nothing has happened for a day: what was just written would be read again.
async fn a_day_later(worlds: &[World; 2]) -> Result<Measured> {
    let time = TimeSource::real();
    time.advance(SignedDuration::from_hours(24));
    let mut household = Household::new().await?;
    let mut later = Vec::new();
    for (world, name) in worlds.iter().zip(["plex", "jellyfin"]) {
        let world = World::from_json(&world.to_json(), time.clone())?;
        later.push(household.add(name, world, &[]).await?);
    }
    household.apply().await?.expect(0)?;
    worker(&household, &later, &["sync"]).await?;
    Ok(worker(&household, &later, &["sync"]).await?.0)
}

async fn worker(household: &Household, worlds: &[World], arguments: &[&str]) -> Result<(Measured, usize)> {
    for world in worlds {
        world.log().clear();
    }
    let before: usize = worlds.iter().map(|world| world.writes().len()).sum();
    let started = Instant::now();
    household.worker(arguments).await?.expect(0)?;
    let took = started.elapsed();
    let requests = worlds.iter().map(|world| world.log().total()).sum();
    let writes = worlds.iter().map(|world| world.writes().len()).sum::<usize>() - before;
    Ok((Measured { took, floor: Duration::ZERO, requests, writes }, writes))
}

/// The peak of the worker's own resident memory, in kB, while it reads two libraries for the first time and writes what differs.
async fn resident(films: usize) -> Result<u64> {
    let worlds = [server(Flavor::Plex, "plex", films, 1)?, server(Flavor::Jellyfin1011, "jellyfin", films, 2)?];
    let mut household = Household::new().await?;
    for (world, name) in worlds.iter().zip(["plex", "jellyfin"]) {
        household.add(name, world.clone(), &[]).await?;
    }
    household.apply().await?.expect(0)?;
    let mut child = household.spawn(&["sync"]).await?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = memory::peak(child.id()).unwrap_or_default().max(peak);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(peak)
}
