//! Libraries to fill simulated servers with: a small demo of known titles, and synthetic ones of any size. Both are
//! deterministic: the same seed makes the same titles, ids and histories everywhere.

use jiff::{SignedDuration, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::world::{Content, Kind, Media, NewEpisode, NewMovie, UserState, World, WorldError};

mod demo;

/// Films and episodes that can be added to any number of servers, and are the same titles there.
#[derive(Debug, Clone, Default)]
pub struct Titles {
    /// Films.
    pub movies: Vec<NewMovie>,
    /// Episodes; their shows and seasons come with them.
    pub episodes: Vec<NewEpisode>,
}

/// How large a synthetic library is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Films.
    pub films: usize,
    /// Shows.
    pub shows: usize,
    /// Seasons of each show.
    pub seasons: usize,
    /// Episodes of each season.
    pub episodes: usize,
}

impl Size {
    /// So many films and no shows.
    pub const fn films(films: usize) -> Self {
        Self { films, shows: 0, seasons: 0, episodes: 0 }
    }

    /// So many films, and shows of two seasons with ten episodes each.
    pub const fn usual(films: usize, shows: usize) -> Self {
        Self { films, shows, seasons: 2, episodes: 10 }
    }
}

impl Titles {
    /// A few dozen known titles with what makes matching hard: copies, a file with two episodes, specials, a film
    /// that no agent knows. Ids of films and shows are the public ones, those of episodes are invented.
    pub fn demo() -> Self {
        demo::titles()
    }

    /// Invented titles with invented ids, all of them different.
    pub fn synthetic(seed: u64, size: Size) -> Self {
        let movies = (0..size.films).map(|n| movie(seed, n)).collect();
        let mut episodes = Vec::with_capacity(size.shows * size.seasons * size.episodes);
        for show in 0..size.shows {
            for season in 1..=size.seasons {
                for number in 1..=size.episodes {
                    episodes.push(episode(seed, show, season, number, episodes.len()));
                }
            }
        }
        Self { movies, episodes }
    }

    /// Adds everything to a server, with libraries `Movies` and `Shows` if it has none yet.
    pub fn fill(&self, world: &World) {
        let has = |content| world.read(|model| model.libraries.iter().any(|library| library.content == content));
        for (title, content) in [("Movies", Content::Movies), ("Shows", Content::Shows)] {
            if !has(content) {
                world.add_library(title, content);
            }
        }
        for movie in &self.movies {
            world.add_movie(movie);
        }
        for episode in &self.episodes {
            world.add_episode(episode);
        }
    }
}

/// Gives a user a past: so many percent of all films and episodes were played, a few are under way, the rest never
/// seen. What was played depends on seed and title alone, so two servers with one seed tell the same past. Answers
/// how many are played.
pub fn give_past(world: &World, user: &str, seed: u64, percent: u64) -> Result<usize, WorldError> {
    let now = world.now();
    let items: Vec<(String, String, Option<u64>)> = world.read(|model| {
        let playable = model.items().filter(|media| media.kind.is_playable());
        let named = |media: &Media| {
            let show = media.show.as_ref().and_then(|id| model.media.get(id)).map_or("", |show| show.title.as_str());
            format!("{show} {:?} {:?} {}", media.season, media.episode, media.title)
        };
        playable.map(|media| (media.id.clone(), named(media), media.runtime_ms)).collect()
    });
    let mut played = 0;
    for (id, name, runtime_ms) in items {
        let Some(state) = past(now, seed, &name, runtime_ms, percent) else { continue };
        played += usize::from(state.played);
        world.set_state(user, &id, &state)?;
    }
    Ok(played)
}

/// The past of one title; none if it was never seen.
fn past(now: Timestamp, seed: u64, name: &str, runtime_ms: Option<u64>, percent: u64) -> Option<UserState> {
    let luck = random(seed, name) % 100;
    let last_played_at = Some(days_ago(now, 1 + random(seed, &format!("when {name}")) % 1500));
    if luck < percent {
        let plays = 1 + u32::from(random(seed, &format!("again {name}")).is_multiple_of(10));
        return Some(UserState { played: true, plays, last_played_at, ..UserState::default() });
    }
    // One in twenty of the others is under way, somewhere in the middle.
    let under_way = luck >= 100 - (100 - percent.min(100)) / 20;
    let position_ms = runtime_ms.map(|runtime| runtime * (20 + random(seed, &format!("at {name}")) % 50) / 100);
    (under_way && percent > 0).then(|| UserState {
        position_ms: position_ms.unwrap_or_default(),
        last_played_at,
        ..UserState::default()
    })
}

fn days_ago(now: Timestamp, days: u64) -> Timestamp {
    let days = i64::try_from(days).unwrap_or_default();
    // To the second, as servers keep it.
    let at = now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(now);
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn movie(seed: u64, n: usize) -> NewMovie {
    let number = unique(seed, 1, n);
    let year = 1950 + u16::try_from(random(seed, &format!("year {n}")) % 75).unwrap_or_default();
    NewMovie::new(&format!("{} {}", words(seed, &format!("film {n}")), n + 1), year)
        .id("imdb", &format!("tt{number:08}"))
        .id("tmdb", &number.to_string())
        .minutes(70 + random(seed, &format!("length {n}")) % 90)
}

fn episode(seed: u64, show: usize, season: usize, number: usize, n: usize) -> NewEpisode {
    let (id, own) = (unique(seed, 2, show), unique(seed, 3, n));
    let short = |value: usize| u32::try_from(value).unwrap_or_default();
    NewEpisode::new(&format!("{} {}", words(seed, &format!("show {show}")), show + 1), short(season), short(number))
        .show_year(1990 + u16::try_from(random(seed, &format!("show year {show}")) % 35).unwrap_or_default())
        .show_id("tvdb", &id.to_string())
        .show_id("imdb", &format!("tt{id:08}"))
        .id("tvdb", &own.to_string())
        .id("imdb", &format!("tt{own:08}"))
        .minutes(20 + random(seed, &format!("length {show}")) % 40)
}

/// A number of eight digits that no other `n` of this kind has, as long as there are less than a million.
const fn unique(seed: u64, kind: u64, n: usize) -> u64 {
    kind * 10_000_000 + (seed % 10) * 1_000_000 + n as u64
}

fn random(seed: u64, of: &str) -> u64 {
    xxh3_64_with_seed(of.as_bytes(), seed)
}

fn words(seed: u64, of: &str) -> String {
    const FIRST: [&str; 16] = [
        "Silent", "Broken", "Golden", "Last", "Hidden", "Red", "Distant", "Cold", "Bright", "Lost", "Wild", "Paper",
        "Iron", "Endless", "Second", "Northern",
    ];
    const SECOND: [&str; 16] = [
        "River", "Harbour", "Signal", "Garden", "Empire", "Winter", "Letter", "Machine", "Summer", "Station", "Mirror",
        "Mountain", "Orchard", "Voyage", "Night", "Promise",
    ];
    let pick = |list: &[&'static str; 16], salt: &str| list[(random(seed, &format!("{salt} {of}")) % 16) as usize];
    format!("{} {}", pick(&FIRST, "first"), pick(&SECOND, "second"))
}

/// How many films and episodes a world shows.
pub fn count(world: &World) -> usize {
    world.read(|model| model.items().filter(|media| matches!(media.kind, Kind::Movie | Kind::Episode)).count())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::world::Flavor;

    fn filled(flavor: Flavor, titles: &Titles) -> World {
        let world = World::new(flavor, "One", "one");
        world.add_owner("anna");
        titles.fill(&world);
        world
    }

    #[test]
    fn a_synthetic_library_has_no_id_twice() {
        let world = filled(Flavor::Plex, &Titles::synthetic(7, Size::usual(300, 5)));
        assert_eq!(count(&world), 300 + 5 * 2 * 10);
        let ids: Vec<_> = world.read(|model| model.items().flat_map(|media| media.ids.clone()).collect());
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn two_servers_with_one_seed_tell_the_same_past() {
        let titles = Titles::synthetic(7, Size::usual(200, 2));
        let pasts = [Flavor::Plex, Flavor::Emby49].map(|flavor| {
            let world = filled(flavor, &titles);
            let played = give_past(&world, "anna", 1, 60).unwrap();
            assert!((100..190).contains(&played), "{played} of 240");
            let states = world.states("anna");
            let mut past: Vec<_> = states.values().map(|state| (state.played, state.position_ms)).collect();
            assert!(past.iter().any(|(played, position_ms)| !played && *position_ms > 0));
            past.sort_unstable();
            past
        });
        assert_eq!(pasts[0], pasts[1]);
    }

    #[test]
    fn the_demo_holds_what_makes_matching_hard() {
        let world = filled(Flavor::Plex, &Titles::demo());
        world.read(|model| {
            assert!(model.items().any(|media| media.kind == Kind::Movie && media.ids.is_empty()));
            assert!(model.items().any(|media| media.season == Some(0)));
            let guids: Vec<_> = model.items().map(|media| media.guid.clone()).collect();
            assert!(guids.iter().collect::<BTreeSet<_>>().len() < guids.len(), "two copies share a guid");
        });
    }
}
