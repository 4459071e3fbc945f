//! A few films, what anna has of them on a server, and waiting until she has.

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::time::timeout;
use watchstate_tests::world::{NewMovie, UserState, World};

use crate::cluster::PATIENCE;

/// The one who watches.
pub const ANNA: &str = "anna";

/// Three films, 100 minutes each, added long ago.
pub fn films() -> [NewMovie; 3] {
    let film = |title, year, imdb, tmdb| {
        NewMovie::new(title, year).minutes(100).id("imdb", imdb).id("tmdb", tmdb).added_at(at("2023-01-01T00:00:00Z"))
    };
    [
        film("Heat", 1995, "tt0113277", "949"),
        film("Alien", 1979, "tt0078748", "348"),
        film("Brazil", 1985, "tt0088846", "68"),
    ]
}

/// Adds so many invented films to servers; their titles.
pub fn add_many(worlds: [&World; 2], count: u32) -> Vec<String> {
    let add = |number: u32| {
        let title = format!("Film {number}");
        let id = (500_000 + number).to_string();
        let film = NewMovie::new(&title, 2000).minutes(100).id("tmdb", &id).added_at(at("2023-01-01T00:00:00Z"));
        for world in worlds {
            world.add_movie(&film);
        }
        title
    };
    (1..=count).map(add).collect()
}

/// A moment.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The id of a film.
pub fn film(world: &World, title: &str) -> String {
    world.movie(title).unwrap_or_else(|| panic!("{world:?} has no {title}"))
}

/// What anna has of a film.
pub fn has(world: &World, title: &str) -> UserState {
    world.state(ANNA, &film(world, title))
}

/// She watched a film once, to its end, long ago.
pub fn watched(world: &World, title: &str, when: &str) {
    let state = UserState { played: true, plays: 1, last_played_at: Some(at(when)), ..UserState::default() };
    world.set_state(ANNA, &film(world, title), &state).unwrap();
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
