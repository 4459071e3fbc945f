//! How fast is the worker? Each figure is a ratio to a floor that the same run measures: the same pages fetched and parsed by the same clients, the
//! same writes sent with the same concurrency, and nothing else: no database, no matching, no merging.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::process::Child;
use url::Url;
use watchstate_domain::item::{Item, ServerKind};
use watchstate_servers::{AccountView, Connection, Credentials, Selection, Write};
use watchstate_tests::household::Household;
use watchstate_tests::library::{Size, Titles, give_past};
use watchstate_tests::server::SimServer;
use watchstate_tests::world::{self, Flavor, TimeSource, World};

/// Speed and memory of the worker.
#[derive(Debug, Parser)]
struct Args {
    /// Films on each of two servers
    #[arg(long, default_value_t = 20_000)]
    films: usize,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Films of the large library whose reading is measured for memory; 0 leaves it out
    #[arg(long, default_value_t = 200_000)]
    large: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    println!(
        "{} films on Plex and on Jellyfin, with different histories; {} rounds, loopback",
        args.films, args.rounds
    );
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(round(args.films).await?);
    }
    print(&rounds, "first sync", |round| &round.first);
    print(&rounds, "no-op (full)", |round| &round.noop);
    print(&rounds, "no-op (incremental)", |round| &round.incremental);
    if args.large > 0 {
        let small = memory(args.large / 10).await?;
        let large = memory(args.large).await?;
        println!(
            "peak resident memory of one worker: {} MB at {} items, {} MB at {} items",
            small / 1024,
            args.large / 10,
            large / 1024,
            args.large
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
    let (incremental, _) = worker(&household, &worlds, &["sync"]).await?;

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

/// One server that is read and written with no more than its client.
struct Floor {
    _sim: SimServer,
    view: Box<dyn AccountView>,
}

impl Floor {
    async fn start(world: World) -> Result<Self> {
        let sim = SimServer::start(world.clone(), "127.0.0.1:0").await?;
        let kind = if world.flavor().is_plex() { ServerKind::Plex } else { ServerKind::Jellyfin };
        let token = world
            .read(|model| model.owner().and_then(|owner| owner.tokens.last().cloned()))
            .context("the owner has no token")?;
        let credentials = Credentials { token: Some(SecretString::from(token)), ..Credentials::default() };
        // Nobody is asked there: the token's own account is all that is needed.
        let nowhere = Url::parse("http://127.0.0.1:1")?;
        let connection = Connection::new("floor", kind, Url::parse(&sim.url)?, credentials, "bench", nowhere);
        let server = watchstate_servers::connect(connection)?;
        let identity = server.identify(&|| Timestamp::UNIX_EPOCH).await?;
        let account = server.own_account().await?.context("the token belongs to nobody")?;
        let view = server.open(&account, &identity.server_id).await?;
        Ok(Self { _sim: sim, view })
    }

    /// Fetches and parses every page.
    async fn fetch(&self) -> Result<usize> {
        let mut items = 0;
        for library in self.view.libraries().await? {
            let mut pages = self.view.items(&library, Selection::All);
            while let Some(page) = pages.try_next().await? {
                items += page.items.len();
            }
        }
        Ok(items)
    }

    async fn read(&self) -> Result<std::collections::HashMap<String, Item>> {
        let mut items = std::collections::HashMap::new();
        for library in self.view.libraries().await? {
            let mut pages = self.view.items(&library, Selection::All);
            while let Some(page) = pages.try_next().await? {
                items.extend(page.items.into_iter().map(|item| (item.remote_id.clone(), item)));
            }
        }
        Ok(items)
    }

    /// The requests of an incremental reading that finds nothing.
    async fn peek(&self) -> Result<()> {
        let now = Timestamp::MAX;
        for library in self.view.libraries().await? {
            for selection in [Selection::ChangedSince(now), Selection::ActiveSince(now)] {
                self.view.items(&library, selection).try_collect::<Vec<_>>().await?;
            }
            self.view.counts(&library).await?;
        }
        Ok(())
    }

    /// Sends the writes that the worker sent, four at a time, as it does.
    async fn write(&self, items: &std::collections::HashMap<String, Item>, sent: &[world::WriteSeen]) -> Result<()> {
        stream::iter(sent.iter().filter_map(|sent| Some((items.get(&sent.item)?, write(&sent.what)?))))
            .map(|(item, write)| async move { self.view.write(item, &write).await })
            .buffered(4)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(())
    }
}

fn write(seen: &world::Write) -> Option<Write> {
    Some(match seen {
        world::Write::Played { date } => Write::Played { at: *date },
        world::Write::Unplayed => Write::Unplayed,
        world::Write::Position { position_ms } => {
            Write::Position { position_ms: *position_ms, at: Timestamp::UNIX_EPOCH }
        }
        world::Write::Set(patch) if patch.played == Some(true) => Write::Played { at: patch.last_played_at },
        world::Write::Set(patch) => Write::Position {
            position_ms: patch.position_ms?,
            at: patch.last_played_at.unwrap_or(Timestamp::UNIX_EPOCH),
        },
        world::Write::Forget | world::Write::Favorite(_) => return None,
    })
}

/// The peak of the worker's own resident memory, in kB, while it reads a library for the first time.
async fn memory(films: usize) -> Result<u64> {
    let world = server(Flavor::Jellyfin1011, "jellyfin", films, 1)?;
    let mut household = Household::new().await?;
    household.add("jellyfin", world, &[]).await?;
    household.apply().await?.expect(0)?;
    let mut child = household.spawn(&["import"]).await?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = high_water(&child).unwrap_or_default().max(peak);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(peak)
}

/// The kernel's own account of the most that a process has had: it never falls, so the last look is the peak.
fn high_water(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()?)).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}
