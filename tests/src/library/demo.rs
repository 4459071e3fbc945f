//! The demo library: titles that everybody knows, so that a look at it tells whether it makes sense.

use super::Titles;
use crate::world::{NewEpisode, NewMovie};

/// Title, year, IMDb, TMDb, minutes.
const FILMS: [(&str, u16, &str, &str, u64); 14] = [
    ("Alien", 1979, "tt0078748", "348", 117),
    ("Arrival", 2016, "tt2543164", "329865", 116),
    ("Blade Runner", 1982, "tt0083658", "78", 118),
    ("Casablanca", 1942, "tt0034583", "289", 102),
    ("The Godfather", 1972, "tt0068646", "238", 175),
    ("Heat", 1995, "tt0113277", "949", 170),
    ("Inception", 2010, "tt1375666", "27205", 148),
    ("Interstellar", 2014, "tt0816692", "157336", 169),
    ("Jaws", 1975, "tt0073195", "578", 124),
    ("The Matrix", 1999, "tt0133093", "603", 136),
    ("Metropolis", 1927, "tt0017136", "19", 153),
    ("Pulp Fiction", 1994, "tt0110912", "680", 154),
    ("Spirited Away", 2001, "tt0245429", "129", 125),
    ("The Third Man", 1949, "tt0041959", "1092", 104),
];

/// Title, year, TheTVDB, IMDb, episodes of each season, minutes.
type Show = (&'static str, u16, &'static str, &'static str, &'static [u32], u64);

const SHOWS: [Show; 3] = [
    ("Breaking Bad", 2008, "81189", "tt0903747", &[7, 13], 47),
    ("Firefly", 2002, "78874", "tt0303461", &[14], 44),
    ("The Wire", 2002, "79126", "tt0306414", &[13], 59),
];

pub(super) fn titles() -> Titles {
    let mut movies: Vec<NewMovie> = FILMS
        .iter()
        .map(|(title, year, imdb, tmdb, minutes)| {
            let film = NewMovie::new(title, *year).id("imdb", imdb).id("tmdb", tmdb).minutes(*minutes);
            match *title {
                "Blade Runner" => film.version("/media/movies/Blade Runner (1982)/Blade Runner (1982) - 2160p.mkv"),
                _ => film,
            }
        })
        .collect();
    movies.push(NewMovie::new("Summer at the Lake", 2019).minutes(38));
    let mut episodes = Vec::new();
    for (title, year, tvdb, imdb, seasons, minutes) in SHOWS {
        let new = |season: u32, episode: u32| {
            NewEpisode::new(title, season, episode)
                .show_year(year)
                .show_id("tvdb", tvdb)
                .show_id("imdb", imdb)
                .id("tvdb", &format!("{tvdb}{season:02}{episode:02}"))
                .minutes(minutes)
        };
        for (season, count) in (1..).zip(seasons) {
            episodes.extend((1..=*count).map(|episode| new(season, episode)));
        }
        episodes.push(new(0, 1).title("Making of"));
    }
    // A pilot of two parts in one file, of which no agent knows an id of its own.
    episodes.push(
        NewEpisode::new("Battlestar Galactica", 1, 1)
            .through(2)
            .show_year(2004)
            .show_id("tvdb", "73545")
            .show_id("imdb", "tt0407362")
            .title("33")
            .minutes(88),
    );
    Titles { movies, episodes }
}
