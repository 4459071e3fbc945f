//! What scenarios share: households of simulated servers with a few titles, and the questions that are asked of them afterwards.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Content, Flavor, NewEpisode, NewMovie, UserState, World};

/// Makes a test of each function, once for every kind and version of server.
macro_rules! on_every_kind {
    ($($(#[$meta:meta])* async fn $name:ident($flavor:ident: Flavor) -> Result<()> $body:block)+) => {
        $(
            mod $name {
                use super::*;

                $(#[$meta])*
                async fn on($flavor: Flavor) -> Result<()> $body

                $crate::builders::on_every_kind! { @tests
                    plex Plex, jellyfin_10_10 Jellyfin1010, jellyfin_10_11 Jellyfin1011, jellyfin_12 Jellyfin12,
                    emby_4_8 Emby48, emby_4_9 Emby49
                }
            }
        )+
    };
    (@tests $($test:ident $kind:ident),+) => {
        $(
            #[tokio::test]
            async fn $test() -> Result<()> {
                on(Flavor::$kind).await
            }
        )+
    };
}
pub(crate) use on_every_kind;

/// The one who watches, where nobody else does.
pub const ANNA: &str = "anna";

/// When all files were added.
pub const ADDED: &str = "2023-01-01T00:00:00Z";

/// A moment.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Minutes as milliseconds.
pub const fn minutes(minutes: u64) -> u64 {
    minutes * 60_000
}

/// An empty server of anna's with the libraries `Films` and `Shows`.
pub fn server(flavor: Flavor, name: &str) -> World {
    let world = World::new(flavor, name, &format!("{name}-id"));
    world.add_owner(ANNA);
    world.add_library("Films", Content::Movies);
    world.add_library("Shows", Content::Shows);
    world
}

/// Heat, 100 minutes.
pub fn heat() -> NewMovie {
    film("Heat", 1995).id("imdb", "tt0113277").id("tmdb", "949")
}

/// Alien, 100 minutes.
pub fn alien() -> NewMovie {
    film("Alien", 1979).id("imdb", "tt0078748").id("tmdb", "348")
}

/// Brazil, 100 minutes.
pub fn brazil() -> NewMovie {
    film("Brazil", 1985).id("imdb", "tt0088846").id("tmdb", "68")
}

/// A film without ids, 100 minutes.
pub fn film(title: &str, year: u16) -> NewMovie {
    NewMovie::new(title, year).minutes(100).added_at(at(ADDED))
}

/// An episode of The Wire with ids of the show and of its own, 45 minutes.
pub fn wire(season: u32, episode: u32) -> NewEpisode {
    bare_wire(season, episode).id("tvdb", &format!("{}", 300_000 + season * 100 + episode))
}

/// The same without ids of its own.
pub fn bare_wire(season: u32, episode: u32) -> NewEpisode {
    NewEpisode::new("The Wire", season, episode)
        .show_year(2002)
        .show_id("tvdb", "79126")
        .show_id("imdb", "tt0306414")
        .minutes(45)
        .added_at(at(ADDED))
}

/// Three films and three episodes.
pub fn titles(world: &World) {
    for film in [heat(), alien(), brazil()] {
        world.add_movie(&film);
    }
    for episode in 1..=3 {
        world.add_episode(&wire(1, episode));
    }
}

/// A household of anna alone, applied, with servers that hold the same.
pub async fn household<const N: usize>(
    servers: [(&str, Flavor); N],
    fill: impl Fn(&World),
) -> Result<(Household, [World; N])> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in servers {
        let world = server(flavor, name);
        fill(&world);
        worlds.push(household.add(name, world, &[]).await?);
    }
    household.apply().await?.expect(0)?;
    let worlds: [World; N] = worlds.try_into().map_err(|_| anyhow::anyhow!("as many worlds as servers"))?;
    Ok((household, worlds))
}

/// The id of a film.
pub fn movie(world: &World, title: &str) -> String {
    world.movie(title).unwrap_or_else(|| panic!("{world:?} has no {title}"))
}

/// The id of an episode of The Wire.
pub fn episode(world: &World, season: u32, episode: u32) -> String {
    world.episode("The Wire", season, episode).unwrap_or_else(|| panic!("{world:?} has no S{season}E{episode}"))
}

/// A film was watched once, to its end, long ago.
pub fn watched(world: &World, title: &str, when: &str) {
    put(world, title, played(when));
}

/// The state of a title that was watched once.
pub fn played(when: &str) -> UserState {
    UserState { played: true, plays: 1, last_played_at: Some(at(when)), ..UserState::default() }
}

/// The state of a title that was left in the middle.
pub fn paused(minute: u64, when: &str) -> UserState {
    UserState { position_ms: minutes(minute), last_played_at: Some(at(when)), ..UserState::default() }
}

/// Gives a film of anna's a past.
pub fn put(world: &World, title: &str, state: UserState) {
    world.set_state(ANNA, &movie(world, title), &state).unwrap();
}

/// What anna has of a film.
pub fn has(world: &World, title: &str) -> UserState {
    world.state(ANNA, &movie(world, title))
}

/// Anna watches a film to its end, from long ago until now.
pub fn watch_for_hours(world: &World, title: &str) -> Result<()> {
    let (film, clock) = (movie(world, title), world.clock().time());
    let long = SignedDuration::from_mins(170);
    clock.advance(-long);
    world.start_playback(ANNA, &film)?;
    clock.advance(long);
    world.progress(ANNA, &film, minutes(165))?;
    world.stop_playback(ANNA, &film, minutes(169))?;
    Ok(())
}

/// Forgets all writes seen so far.
pub fn forget_writes(worlds: &[&World]) {
    for world in worlds {
        world.clear_writes();
    }
}

/// True when both moments are less than a few minutes apart: one is the other, stamped by another clock.
pub fn about(left: Option<Timestamp>, right: Timestamp) -> bool {
    left.is_some_and(|left| left.duration_since(right).abs() < SignedDuration::from_mins(5))
}

/// Syncs twice more, the second time in full: nothing is written, and nothing changes anywhere.
pub async fn stays_so(household: &Household, worlds: &[&World]) -> Result<()> {
    forget_writes(worlds);
    let states = || worlds.iter().map(|world| world.read(|model| model.states.clone())).collect::<Vec<_>>();
    let before = states();
    for arguments in [&[][..], &["--full"]] {
        let summary = household.sync(arguments).await?;
        for world in worlds {
            ensure!(world.writes().is_empty(), "{arguments:?} wrote to {world:?}: {:#?}\n{summary:#}", world.writes());
        }
        ensure!(states() == before, "{arguments:?} changed a state");
    }
    for line in household.worker(&["state", "-o", "json"]).await?.expect(0)?.json()?.as_array().into_iter().flatten() {
        ensure!(line["disagree"].as_array().is_some_and(Vec::is_empty), "somebody disagrees: {line:#}");
    }
    Ok(())
}

/// The agreed truths of all titles with this in their name, or in their show's.
pub async fn truths(household: &Household, title: &str) -> Result<Vec<Value>> {
    let lines = household.worker(&["state", "-o", "json", "--title", title]).await?.expect(0)?.json()?;
    lines.as_array().cloned().context("state prints a list")
}

/// The agreed truth of the one title with this in its name.
pub async fn truth(household: &Household, title: &str) -> Result<Value> {
    let lines = truths(household, title).await?;
    ensure!(lines.len() == 1, "one {title} was expected: {lines:#?}");
    Ok(lines[0].clone())
}
