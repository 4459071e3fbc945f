//! `why`: everything that is known of a title: what was agreed, what each server said, which rule decided, what was written or not.
//!
//! [`explain`] gathers · [`verdict`] says why a server was written to, or wasn't · [`text`] tells it to a person.

mod explain;
mod text;
mod verdict;

use anyhow::Result;
use watchstate_domain::ids::{ExternalId, Provider};
use watchstate_runtime::Exit;
use watchstate_store::Connection;
use watchstate_store::report::oddities::{self, Odd};
use watchstate_store::report::titles::{self, Question, Title};

use crate::Misconfigured;
use crate::app::App;
use crate::args::WhyArgs;
use crate::command::state;
use crate::output::{self, Sheet};

/// Titles that are explained at once.
const SHOWN: i64 = 5;

/// Explains the titles that were asked for.
pub async fn run(app: &App, args: &WhyArgs) -> Result<Exit> {
    let asked = question(&args.title)?;
    let mut connection = app.store.acquire().await?;
    let person = state::person(args.person.as_deref(), &mut connection).await?;
    let (found, total) = find(&args.title, &asked, &mut connection).await?;
    if found.is_empty() {
        return Err(nothing(&args.title, &mut connection).await?.into());
    }
    let explained = explain::all(app, found, total, person, &mut connection).await?;
    output::print(app.format, &explained, |explained| vec![Sheet::default().remark(text::of(explained).trim_end())])?;
    Ok(Exit::Done)
}

/// What is asked for: `provider:value`, `Show S01E03`, or a part of a name.
fn question(text: &str) -> Result<Question, Misconfigured> {
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
    let episode = text.rsplit_once(char::is_whitespace).and_then(|(show, place)| {
        let (season, episode) = place_of(place)?;
        Some(Question::Episode { show: show.trim().to_owned(), season, episode })
    });
    Ok(episode.unwrap_or_else(|| Question::Name(text.to_owned())))
}

/// `S01E03` and `1x03`.
fn place_of(word: &str) -> Option<(u32, u32)> {
    let word = word.to_lowercase();
    let (season, episode) = match word.strip_prefix('s') {
        Some(rest) => rest.split_once('e')?,
        None => word.split_once('x')?,
    };
    let number =
        |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    Some((number(season)?, number(episode)?))
}

/// A film may be called like an episode's place: what isn't found as one is looked for as a name.
async fn find(text: &str, asked: &Question, connection: &mut Connection) -> Result<(Vec<Title>, i64)> {
    let found = titles::find(connection, asked, SHOWN).await?;
    if found.0.is_empty() && matches!(asked, Question::Episode { .. }) {
        return Ok(titles::find(connection, &Question::Name(text.trim().to_owned()), SHOWN).await?);
    }
    Ok(found)
}

/// Why nothing was found.
async fn nothing(text: &str, connection: &mut Connection) -> Result<Misconfigured> {
    let filter = oddities::Filter { name: Some(text.trim()), ..oddities::Filter::default() };
    let unmatched = oddities::list(connection, Odd::Unmatched, filter, 100).await?;
    Ok(Misconfigured(match unmatched.len() {
        0 => format!("no title matches {text:?}; see `state --title` for what is known"),
        count => format!(
            "no title matches {text:?}, but {count} items of that name couldn't be matched to any title; see `state --unmatched --title {text:?}`"
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_an_id_an_episode_or_a_name() {
        let id = |provider, value: &str| Question::Id(ExternalId { provider, value: value.into() });
        let episode = |show: &str, season, episode| Question::Episode { show: show.into(), season, episode };
        let name = |name: &str| Question::Name(name.into());
        let cases = [
            ("imdb:tt0113277", id(Provider::Imdb, "tt0113277")),
            ("IMDB:TT0113277", id(Provider::Imdb, "tt0113277")),
            ("tmdb://949", id(Provider::Tmdb, "949")),
            ("plex://movie/5d776825880197001ec90e6f", id(Provider::Plex, "movie/5d776825880197001ec90e6f")),
            ("path:/media/films/heat.mkv", id(Provider::Path, "/media/films/heat.mkv")),
            ("Mission: Impossible", name("Mission: Impossible")),
            ("Severance S01E03", episode("Severance", 1, 3)),
            ("  The Bear  s02e10 ", episode("The Bear", 2, 10)),
            ("Severance 1x03", episode("Severance", 1, 3)),
            ("Doctor Who S00E12", episode("Doctor Who", 0, 12)),
            ("S01E03", name("S01E03")),
            ("Apollo 11x", name("Apollo 11x")),
            ("Apollo x13", name("Apollo x13")),
            ("Fast Sex", name("Fast Sex")),
            ("Heat", name("Heat")),
            ("Show S+1E03", name("Show S+1E03")),
            ("Show S99999999999E1", name("Show S99999999999E1")),
        ];
        for (text, expected) in cases {
            assert_eq!(question(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_id_of_a_wrong_form_and_an_empty_question_are_refused() {
        assert!(question("imdb:113277").unwrap_err().to_string().contains("113277"));
        assert!(question("  ").is_err());
    }
}
