//! How `why` and `state` are asked for a title: by a part of its name, as it is printed, or by an id.

use anyhow::Result;
use watchstate_domain::ids::{ExternalId, Provider};
use watchstate_store::Connection;
use watchstate_store::report::titles::{self, Question, Title};

use crate::Misconfigured;

/// What is asked for: `provider:value`, `tt0113277`, `Show S01E03`, `Show S01E03 Name`, `Show S01`, `Heat (1995)`, or a part of a name.
pub fn read(text: &str) -> Result<Question, Misconfigured> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Misconfigured("name a title, an episode (`Severance S01E03`) or an id (`imdb:tt0113277`)".into()));
    }
    if let Some((provider, value)) = text.split_once(':')
        && let Ok(provider) = provider.to_lowercase().parse::<Provider>()
    {
        return ExternalId::new(provider, value.trim_start_matches("//")).map(Question::Id).map_err(|error| {
            Misconfigured(format!("{error}; expected for example imdb:tt0113277, tmdb:949 or tvdb:371980"))
        });
    }
    // The only ids that nothing else looks like.
    if let Ok(id) = ExternalId::new(Provider::Imdb, text) {
        return Ok(Question::Id(id));
    }
    Ok(in_show(text).or_else(|| dated(text)).unwrap_or_else(|| Question::Name(text.to_owned())))
}

/// The titles that may be meant, at most `limit`, and how many there are. A film may be called like an episode's place: what isn't found as one
/// is looked for as a name.
pub async fn find(text: &str, asked: &Question, limit: i64, connection: &mut Connection) -> Result<(Vec<Title>, i64)> {
    let found = titles::find(connection, asked, limit).await?;
    if found.0.is_empty() && !matches!(asked, Question::Name(_)) {
        return Ok(titles::find(connection, &Question::Name(text.trim().to_owned()), limit).await?);
    }
    Ok(found)
}

/// A show with the place of an episode, after which its name may stand, or with a season.
fn in_show(text: &str) -> Option<Question> {
    text.match_indices(char::is_whitespace).find_map(|(at, _)| {
        let (show, rest) = text.split_at(at);
        let word = rest.split_whitespace().next()?;
        // A show is printed without its year in front of a place; typed with it, it is the same show.
        let show = year_of(show.trim()).map_or_else(|| show.trim(), |(show, _)| show).to_owned();
        if let Some((season, episode)) = place_of(word) {
            return Some(Question::Episode { show, season, episode });
        }
        let season = rest.trim().to_lowercase().strip_prefix('s').and_then(number)?;
        Some(Question::Season { show, season })
    })
}

fn dated(text: &str) -> Option<Question> {
    let (name, year) = year_of(text)?;
    Some(Question::Dated { name: name.to_owned(), year })
}

/// `Heat (1995)`.
fn year_of(text: &str) -> Option<(&str, i32)> {
    let (name, year) = text.strip_suffix(')')?.rsplit_once('(')?;
    let year = number(year).filter(|_| year.len() == 4).and_then(|year| year.try_into().ok())?;
    Some((name.trim(), year)).filter(|(name, _)| !name.is_empty())
}

/// `S01E03` and `1x03`.
fn place_of(word: &str) -> Option<(u32, u32)> {
    let word = word.to_lowercase();
    let (season, episode) = match word.strip_prefix('s') {
        Some(rest) => rest.split_once('e')?,
        None => word.split_once('x')?,
    };
    Some((number(season)?, number(episode)?))
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_an_id_an_episode_a_season_a_film_of_a_year_or_a_name() {
        let id = |provider, value: &str| Question::Id(ExternalId { provider, value: value.into() });
        let episode = |show: &str, season, episode| Question::Episode { show: show.into(), season, episode };
        let season = |show: &str, season| Question::Season { show: show.into(), season };
        let dated = |name: &str, year| Question::Dated { name: name.into(), year };
        let name = |name: &str| Question::Name(name.into());
        let cases = [
            ("imdb:tt0113277", id(Provider::Imdb, "tt0113277")),
            ("IMDB:TT0113277", id(Provider::Imdb, "tt0113277")),
            ("tt0113277", id(Provider::Imdb, "tt0113277")),
            ("tmdb:949", id(Provider::Tmdb, "949")),
            ("tmdb://949", id(Provider::Tmdb, "949")),
            ("plex://movie/5d776825880197001ec90e6f", id(Provider::Plex, "movie/5d776825880197001ec90e6f")),
            ("path:/media/films/heat.mkv", id(Provider::Path, "/media/films/heat.mkv")),
            ("Mission: Impossible", name("Mission: Impossible")),
            ("Severance S01E03", episode("Severance", 1, 3)),
            ("  The Bear  s02e10 ", episode("The Bear", 2, 10)),
            ("Severance 1x03", episode("Severance", 1, 3)),
            ("The Wire S01E02 Episode 2", episode("The Wire", 1, 2)),
            ("Doctor Who S00E12", episode("Doctor Who", 0, 12)),
            ("Doctor Who (2005) S01E02", episode("Doctor Who", 1, 2)),
            ("The Wire S01", season("The Wire", 1)),
            ("The Wire s1 ", season("The Wire", 1)),
            ("The Wire S01 extras", name("The Wire S01 extras")),
            ("S01E03", name("S01E03")),
            ("S01", name("S01")),
            ("Apollo 11x", name("Apollo 11x")),
            ("Apollo x13", name("Apollo x13")),
            ("Fast Sex", name("Fast Sex")),
            ("Heat", name("Heat")),
            ("Heat (1995)", dated("Heat", 1995)),
            ("The Office (US)", name("The Office (US)")),
            ("(1995)", name("(1995)")),
            ("Show S+1E03", name("Show S+1E03")),
            ("Show S99999999999E1", name("Show S99999999999E1")),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_id_of_a_wrong_form_and_an_empty_question_are_refused() {
        assert!(read("imdb:113277").unwrap_err().to_string().contains("113277"));
        assert!(read("  ").is_err());
    }
}
