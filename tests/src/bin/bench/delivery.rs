//! How soon is what happens on one server written to the others? Beside it the round trips that are on the way: the webhook's answer, the look at the
//! item, the write.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use watchstate_servers::Write;
use watchstate_tests::webhook::{Target, Webhooks};
use watchstate_tests::world::{Flavor, World};

use crate::events::{self, ANNA};
use crate::floor::Floor;
use crate::memory;

/// What 99 of 100 writes are to be faster than.
const AIM: Duration = Duration::from_millis(250);
/// Films whose round trips are measured by themselves.
const PROBES: usize = 200;
/// How long the last write may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a film was written, by its id.
type Arrivals = HashMap<String, Instant>;

/// Measures for so many seconds, with so many films ending in each.
pub async fn run(seconds: usize, pace: usize) -> Result<()> {
    let servers = [("jellyfin", Flavor::Jellyfin1011), ("plex", Flavor::Plex), ("emby", Flavor::Emby49)];
    let count = seconds * pace;
    let (household, worlds) = events::household(servers, count + PROBES).await?;
    let [jellyfin, others @ ..] = &worlds;
    let films = worlds.each_ref().map(events::films);
    for film in &films[0][..count] {
        jellyfin.start_playback(ANNA, film)?;
    }
    let endings = endings(jellyfin, &films[0][..count]).await?;
    let receiver = household.receiver("127.0.0.1:0", &[]).await?;
    let follower = household.follower(&[]).await?;
    // The others tell what is written to them, as real ones do.
    let mut hooks = Vec::new();
    for (world, name) in others.iter().zip(["plex", "emby"]) {
        hooks.push(Webhooks::start(world, Target::new(&household.webhook(&receiver, name)?))?);
    }
    let watching: Vec<JoinHandle<Arrivals>> = others.iter().map(|world| arrivals(world, count)).collect();

    let (client, url) = (events::sender()?, household.webhook(&receiver, "jellyfin")?);
    let (mut sent, mut posts) = (Vec::new(), Vec::new());
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(pace)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for ending in endings {
        ticks.tick().await;
        sent.push(Instant::now());
        for mut event in ending {
            event.insert("UtcTimestamp".into(), jellyfin.now().to_string().into());
            let began = Instant::now();
            events::send(&client, &url, Value::Object(event).to_string()).await?;
            posts.push(began.elapsed());
        }
    }
    let mut took = Vec::new();
    for (watching, films) in watching.into_iter().zip(&films[1..]) {
        let arrived = timeout(PATIENCE, watching)
            .await
            .with_context(|| format!("not all is written: {:#?}", follower.log()))??;
        let each = films
            .iter()
            .zip(&sent)
            .map(|(film, sent)| Ok(arrived.get(film).context("it was written")?.duration_since(*sent)));
        took.push(each.collect::<Result<Vec<Duration>>>()?);
    }
    drop(hooks);
    let peaks = memory::peak(receiver.id()).zip(memory::peak(follower.id()));
    let (receiving, following) = peaks.context("the kernel doesn't tell the processes' memory")?;
    follower.stop().await?;
    receiver.stop().await?;

    let mut all: Vec<Duration> = took.iter().flatten().copied().collect();
    println!(
        "from an event of Jellyfin to the write, {pace} films ending a second for {seconds} seconds: {}",
        events::spread(all.clone())
    );
    for (name, took) in ["Plex", "Emby"].into_iter().zip(took) {
        println!("  to {name}: {}", events::spread(took));
    }
    println!("  round trips in it: the webhook's answer: {}", events::spread(posts));
    for ((world, films), name) in others.iter().zip(&films[1..]).zip(["Plex", "Emby"]) {
        let (looks, writes) = round_trips(world, &films[count..]).await?;
        println!("    a look at the item of {name}: {}", events::spread(looks));
        println!("    a write to {name}: {}", events::spread(writes));
    }
    println!(
        "  resident memory: at most {} MB of the receiver, {} MB of the follower",
        receiving / 1024,
        following / 1024
    );
    let slowest = events::quantile(&mut all, 990);
    println!("  the aim, p99 under {AIM:?}, is {}", if slowest < AIM { "met" } else { "missed" });
    Ok(())
}

/// What a server tells when each of the films comes to its end.
async fn endings(world: &World, films: &[String]) -> Result<Vec<Vec<serde_json::Map<String, Value>>>> {
    let told = events::told(world, || {
        for film in films {
            let end =
                world.read(|model| model.item(film).and_then(|item| item.runtime_ms)).context("films have an end")?;
            world.stop_playback(ANNA, film, end)?;
        }
        Ok(())
    });
    let fields = told.await?.iter().map(events::fields).collect::<Result<Vec<_>>>()?;
    ensure!(fields.len().is_multiple_of(films.len()), "each tells the same");
    Ok(fields.chunks(fields.len() / films.len()).map(<[_]>::to_vec).collect())
}

/// Notes when each film is written, until that were so many.
fn arrivals(world: &World, count: usize) -> JoinHandle<Arrivals> {
    let mut changes = world.changes();
    tokio::spawn(async move {
        let mut arrived = Arrivals::new();
        while arrived.len() < count {
            match changes.recv().await {
                Ok(change) if change.by_api => {
                    arrived.entry(change.item).or_insert_with(Instant::now);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
        arrived
    })
}

/// How long a look at a film takes, and a write to it, with nothing else going on.
async fn round_trips(world: &World, films: &[String]) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let floor = Floor::start(world.clone()).await?;
    let (mut looks, mut writes) = (Vec::new(), Vec::new());
    for film in films {
        let began = Instant::now();
        let found = floor.view.items_by_id(std::slice::from_ref(film)).await?;
        looks.push(began.elapsed());
        let began = Instant::now();
        floor.view.write(found.first().context("it is there")?, &Write::Played { at: Some(world.now()) }).await?;
        writes.push(began.elapsed());
    }
    Ok((looks, writes))
}
