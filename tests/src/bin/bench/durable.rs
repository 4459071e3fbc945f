//! How many events a second does one receiver make durable? Beside it, the same rows inserted into the same table by nobody but Postgres.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use watchstate_store::Store;
use watchstate_store::inbox::{self, Received, Verdict};
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, World};

use crate::{events, memory};

/// Films that the events are of.
const FILMS: usize = 1_000;
/// What a receiver is to reach: this part of what Postgres does by itself, or so many a second, whichever is lower.
const PART: f64 = 0.7;
const ENOUGH: f64 = 2_000.0;

/// A row of the inbox: digest, server, account, when it came, what it says.
type Row = (Vec<u8>, Option<i64>, Option<i64>, String, Value);

/// Measures so many events, sent over so many connections.
pub async fn run(count: usize, connections: usize) -> Result<()> {
    let servers = [("jellyfin", Flavor::Jellyfin1011), ("plex", Flavor::Plex)];
    let (household, [jellyfin, _]) = events::household(servers, FILMS).await?;
    let bodies = bodies(&jellyfin, count).await?;
    let bytes = bodies.iter().map(String::len).sum::<usize>() / count;
    let (taken, merged, peak) = receive(&household, bodies, connections).await?;

    let rows = rows(&household).await?;
    ensure!(rows.len() == count, "{} of {count} events are in the inbox", rows.len());
    let batches = insert(&household, &rows, connections, 1).await?;
    let singles = insert(&household, &rows, 1, connections).await?;
    let rate = |took: Duration| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64();
    let aim = (rate(batches) * PART).min(ENOUGH);
    println!(
        "made durable by one receiver: {:.0} events a second ({count} events of {bytes} bytes over {connections} connections; all merged after {:.0} % more time)",
        rate(taken),
        (merged.as_secs_f64() / taken.as_secs_f64() - 1.0) * 100.0
    );
    println!(
        "  the floor, the same rows by Postgres alone, {connections} with each commit: {:.0} a second, {:.0} % of it reached",
        rate(batches),
        rate(taken) / rate(batches) * 100.0
    );
    println!(
        "  the same rows, one with each commit, over {connections} connections: {:.0} a second, {:.0} % of it reached",
        rate(singles),
        rate(taken) / rate(singles) * 100.0
    );
    println!("  its resident memory: at most {} MB", peak / 1024);
    println!("  the aim, {aim:.0} a second, is {}", if rate(taken) >= aim { "met" } else { "missed" });
    Ok(())
}

/// Distinct events: films that were begun, stopped in the middle, or watched to the end.
async fn bodies(world: &World, count: usize) -> Result<Vec<String>> {
    let films = events::films(world);
    let first = films.first().context("there are films")?;
    let told = events::told(world, || Ok(world.play_to_end(events::ANNA, first)?)).await?;
    let templates = told.iter().map(events::fields).collect::<Result<Vec<_>>>()?;
    let now = Timestamp::from_millisecond(world.now().as_millisecond())?;
    (0..count)
        .map(|number| {
            let mut event = templates[number % templates.len()].clone();
            let moment = now + SignedDuration::from_millis(i64::try_from(number)?);
            event.insert("UtcTimestamp".into(), moment.to_string().into());
            event.insert("ItemId".into(), films[number % films.len()].as_str().into());
            Ok(Value::Object(event).to_string())
        })
        .collect()
}

/// Sends them all: how long it took until all were answered, and until all were merged; the most memory that the receiver had, in kB.
async fn receive(household: &Household, bodies: Vec<String>, connections: usize) -> Result<(Duration, Duration, u64)> {
    let receiver = household.receiver("127.0.0.1:0", &[]).await?;
    let url = household.webhook(&receiver, "jellyfin")?;
    let mut shares: Vec<Vec<String>> = (0..connections).map(|_| Vec::new()).collect();
    for (number, body) in bodies.into_iter().enumerate() {
        shares[number % connections].push(body);
    }
    let clients = (0..connections).map(|_| events::sender()).collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    let sending = clients.into_iter().zip(shares).map(|(client, share)| {
        let url = url.clone();
        tokio::spawn(async move {
            for body in share {
                events::send(&client, &url, body).await?;
            }
            Ok::<_, anyhow::Error>(())
        })
    });
    for sent in try_join_all(sending).await? {
        sent?;
    }
    let taken = began.elapsed();
    let mut connection = PgConnection::connect(&household.database).await?;
    let waiting = "select exists (select from inbox where handled_at is null and verdict = 'waiting')";
    while sqlx::query_scalar(waiting).fetch_one(&mut connection).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let merged = began.elapsed();
    let peak = memory::peak(receiver.id()).context("the kernel doesn't tell the receiver's memory")?;
    receiver.stop().await?;
    Ok((taken, merged, peak))
}

/// The rows that the receiver stored, as they were when it stored them.
async fn rows(household: &Household) -> Result<Vec<Received>> {
    let mut connection = PgConnection::connect(&household.database).await?;
    let query = "select digest, server_id, account_id, to_json(received_at) #>> '{}', payload from inbox order by id";
    let rows: Vec<Row> = sqlx::query_as(query).fetch_all(&mut connection).await?;
    rows.into_iter()
        .map(|(digest, server_id, account_id, received_at, payload)| {
            let (received_at, notice) = (received_at.parse()?, serde_json::from_value(payload)?);
            Ok(Received {
                digest,
                earlier: None,
                server_id,
                account_id,
                received_at,
                notice,
                verdict: Verdict::Waiting,
                reason: None,
            })
        })
        .collect()
}

/// Inserts the rows by the receiver's own statement into the emptied inbox.
async fn insert(household: &Household, rows: &[Received], together: usize, connections: usize) -> Result<Duration> {
    let mut connection = PgConnection::connect(&household.database).await?;
    connection.execute("truncate inbox").await?;
    let store = Store::connect(&household.database, u32::try_from(connections)?).await?;
    let mut pool = Vec::new();
    for _ in 0..connections {
        pool.push(store.acquire().await?);
    }
    let share = rows.len().div_ceil(connections);
    let began = Instant::now();
    try_join_all(pool.into_iter().zip(rows.chunks(share)).map(|(mut connection, share)| async move {
        for batch in share.chunks(together) {
            inbox::receive(&mut connection, batch).await?;
        }
        Ok::<_, anyhow::Error>(())
    }))
    .await?;
    Ok(began.elapsed())
}
