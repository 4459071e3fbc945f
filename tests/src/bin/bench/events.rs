//! Events as a Jellyfin sends them, and the households that they come from.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Map, Value};
use sqlx::{Connection, PgConnection};
use url::Url;
use watchstate_tests::household::Household;
use watchstate_tests::library::{Size, Titles};
use watchstate_tests::webhook::{Sent, Target, Webhooks};
use watchstate_tests::world::{Flavor, World};

/// Who watches.
pub const ANNA: &str = "anna";

/// A household whose servers hold the same films and have been synced; its database keeps what it says it keeps.
pub async fn household<const N: usize>(servers: [(&str, Flavor); N], films: usize) -> Result<(Household, [World; N])> {
    let mut household = Household::new().await?;
    let mut database = Url::parse(&household.database)?;
    // For tests a commit doesn't wait for the disk; here that is what is measured.
    database.query_pairs_mut().append_pair("options[synchronous_commit]", "on");
    household.database = database.to_string();
    let mut connection = PgConnection::connect(&household.database).await?;
    let mut settings = Vec::new();
    for query in ["show synchronous_commit", "show fsync"] {
        settings.push(sqlx::query_scalar::<_, String>(query).fetch_one(&mut connection).await?);
    }
    ensure!(settings == ["on", "on"], "commits must reach the disk: {settings:?}");
    connection.close().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in servers {
        let world = World::new(flavor, name, &format!("{name}-id"));
        world.add_owner(ANNA);
        Titles::synthetic(1, Size::films(films)).fill(&world);
        worlds.push(household.add(name, world, &[]).await?);
    }
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    Ok((household, worlds.try_into().map_err(|_| anyhow::anyhow!("as many worlds as servers"))?))
}

/// The ids of films that a server and others hold, in the same order.
pub fn films(world: &World) -> Vec<String> {
    let mut films: Vec<(String, String)> = world.read(|model| {
        model.items().filter(|item| item.kind.is_playable()).map(|item| (item.title.clone(), item.id.clone())).collect()
    });
    films.sort();
    films.into_iter().map(|(_, id)| id).collect()
}

/// What a server would send of what is done meanwhile.
pub async fn told(world: &World, what: impl FnOnce() -> Result<()>) -> Result<Vec<Sent>> {
    // Nobody listens there: the events are only written down.
    let hooks = Webhooks::start(world, Target::new("http://127.0.0.1:1/"))?;
    what()?;
    Ok(hooks.settle().await)
}

/// An event's fields.
pub fn fields(sent: &Sent) -> Result<Map<String, Value>> {
    sent.body.as_object().cloned().context("an event of Jellyfin is an object")
}

/// A sender with one connection, which it keeps.
pub fn sender() -> Result<Client> {
    Ok(Client::builder().no_proxy().pool_max_idle_per_host(1).build()?)
}

/// Sends an event as Jellyfin does, and waits until it is safe.
pub async fn send(client: &Client, url: &str, event: String) -> Result<()> {
    let answer = client.post(url).header("content-type", "text/plain; charset=utf-8").body(event).send().await?;
    ensure!(answer.status() == StatusCode::ACCEPTED, "{}: {}", answer.status(), answer.text().await?);
    Ok(())
}

/// So many thousandths of the durations are shorter.
pub fn quantile(durations: &mut [Duration], thousandths: usize) -> Duration {
    durations.sort_unstable();
    durations
        .get((durations.len() * thousandths / 1_000).min(durations.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Median, the 99th of 100 and the longest, in milliseconds.
pub fn spread(mut durations: Vec<Duration>) -> String {
    let [half, most, all] =
        [500, 990, 1_000].map(|thousandths| quantile(&mut durations, thousandths).as_secs_f64() * 1e3);
    format!("p50 {half:6.1} ms, p99 {most:6.1} ms, max {all:6.1} ms")
}
