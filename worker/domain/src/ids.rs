//! External ids: what a server calls a title, validated one by one, so that junk never joins two titles.
//!
//! Formats: IMDb `tt` + digits; TMDb, TheTVDB, TVmaze, TVRage and AniDB numbers; Plex `plex://movie/<hex>`; the legacy
//! Plex agents `com.plexapp.agents.*` and HAMA, whose episode ids are the show's id with season and episode behind it.

use std::collections::{BTreeMap, btree_map::Entry};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What can be watched, or holds what can be watched. Ids of one kind never name a title of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A film.
    Movie,
    /// A series: never watched itself, it names its episodes.
    Show,
    /// One episode of a series.
    Episode,
}

impl Kind {
    /// The word for this kind in the database and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Movie => "movie",
            Self::Show => "show",
            Self::Episode => "episode",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a known {what}")]
pub struct UnknownWord {
    /// What was expected.
    pub what: &'static str,
    /// What was found.
    pub word: String,
}

impl FromStr for Kind {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Movie, Self::Show, Self::Episode]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| UnknownWord { what: "kind of title", word: word.to_owned() })
    }
}

/// Who gives out ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// imdb.com.
    Imdb,
    /// themoviedb.org.
    Tmdb,
    /// thetvdb.com.
    Tvdb,
    /// tvmaze.com.
    Tvmaze,
    /// tvrage.com, gone since 2015, still in libraries.
    Tvrage,
    /// anidb.net.
    Anidb,
    /// YouTube videos and playlists.
    Youtube,
    /// The `cmdb` agent of Plex.
    Cmdb,
    /// Plex's own catalogue: `movie/<hex>`, `show/<hex>`, `episode/<hex>`; equal on every Plex server.
    Plex,
    /// The path of the file after the server's path rules: only for items that carry no other id.
    Path,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 10] = [
        Self::Imdb,
        Self::Tmdb,
        Self::Tvdb,
        Self::Tvmaze,
        Self::Tvrage,
        Self::Anidb,
        Self::Youtube,
        Self::Cmdb,
        Self::Plex,
        Self::Path,
    ];

    /// The word for this provider in the database and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imdb => "imdb",
            Self::Tmdb => "tmdb",
            Self::Tvdb => "tvdb",
            Self::Tvmaze => "tvmaze",
            Self::Tvrage => "tvrage",
            Self::Anidb => "anidb",
            Self::Youtube => "youtube",
            Self::Cmdb => "cmdb",
            Self::Plex => "plex",
            Self::Path => "path",
        }
    }

    /// The provider that Jellyfin's or Emby's `ProviderIds` means by `name`; None for those that name no title
    /// (collections, trailers, music) or that we don't know.
    fn of_provider_ids(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "imdb" => Self::Imdb,
            "tmdb" => Self::Tmdb,
            "tvdb" => Self::Tvdb,
            "tvmaze" | "tv maze" => Self::Tvmaze,
            "tvrage" => Self::Tvrage,
            "anidb" => Self::Anidb,
            "youtube" | "youtubemetadata" | "ytinforeader" => Self::Youtube,
            "cmdb" => Self::Cmdb,
            _ => return None,
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.as_str() == word)
            .ok_or_else(|| UnknownWord { what: "provider of ids", word: word.to_owned() })
    }
}

/// One valid id in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExternalId {
    /// Who gave it.
    pub provider: Provider,
    /// Its canonical value: `tt0133093`, `603`, `movie/5d776825880197001ec90e6f`.
    pub value: String,
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.value)
    }
}

/// An id that claims a known provider and doesn't have its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not an id of {provider}")]
pub struct JunkId {
    /// The provider that was claimed.
    pub provider: Provider,
    /// The value that was found.
    pub value: String,
}

impl ExternalId {
    /// Validates `value` as an id of `provider` and brings it to its canonical form.
    pub fn new(provider: Provider, value: &str) -> Result<Self, JunkId> {
        let trimmed = value.trim();
        let canonical = match provider {
            Provider::Imdb => imdb(trimmed),
            Provider::Tmdb | Provider::Tvdb | Provider::Tvmaze | Provider::Tvrage | Provider::Anidb => number(trimmed),
            Provider::Youtube | Provider::Cmdb => slug(trimmed),
            Provider::Plex => plex_path(trimmed),
            Provider::Path => (!trimmed.is_empty()).then(|| trimmed.to_owned()),
        };
        canonical.map(|value| Self { provider, value }).ok_or_else(|| JunkId { provider, value: value.to_owned() })
    }

    /// Reads one entry of Jellyfin's or Emby's `ProviderIds`: `None` for providers that name no title and for empty values.
    pub fn from_provider_ids(name: &str, value: &str) -> Result<Option<Self>, JunkId> {
        match Provider::of_provider_ids(name) {
            Some(provider) if !value.trim().is_empty() => Self::new(provider, value).map(Some),
            _ => Ok(None),
        }
    }
}

fn imdb(value: &str) -> Option<String> {
    let digits = value.strip_prefix("tt").or_else(|| value.strip_prefix("TT"))?;
    let valid = (5..=12).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && digits.bytes().any(|byte| byte != b'0');
    valid.then(|| format!("tt{digits}"))
}

fn number(value: &str) -> Option<String> {
    if value.is_empty() || value.len() > 12 || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = value.trim_start_matches('0');
    (!digits.is_empty()).then(|| digits.to_owned())
}

fn slug(value: &str) -> Option<String> {
    let valid = (1..=64).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    valid.then(|| value.to_owned())
}

fn plex_path(value: &str) -> Option<String> {
    let (kind, key) = value.split_once('/')?;
    let valid = matches!(kind, "movie" | "show" | "episode")
        && (8..=64).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| format!("{kind}/{}", key.to_ascii_lowercase()))
}

/// The ids that one item carries: at most one value a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ids(BTreeMap<Provider, String>);

impl Ids {
    /// Adds an id. Of two numbers of one provider the lower one stays (agents append guesses); of others the first.
    pub fn insert(&mut self, id: ExternalId) {
        match self.0.entry(id.provider) {
            Entry::Vacant(place) => {
                place.insert(id.value);
            }
            Entry::Occupied(mut place) => {
                if let (Ok(new), Ok(old)) = (id.value.parse::<u64>(), place.get().parse::<u64>())
                    && new < old
                {
                    place.insert(id.value);
                }
            }
        }
    }

    /// The value of `provider`.
    pub fn get(&self, provider: Provider) -> Option<&str> {
        self.0.get(&provider).map(String::as_str)
    }

    /// Forgets the value of `provider`.
    pub fn remove(&mut self, provider: Provider) -> Option<String> {
        self.0.remove(&provider)
    }

    /// The ids, ordered by provider.
    pub fn iter(&self) -> impl Iterator<Item = ExternalId> {
        self.0.iter().map(|(provider, value)| ExternalId { provider: *provider, value: value.clone() })
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The providers for which both have a value, and not the same one. Paths never contradict: copies of one film lie at several.
    pub fn contradictions(&self, other: &Self) -> Vec<Provider> {
        self.0
            .iter()
            .filter(|(provider, _)| **provider != Provider::Path)
            .filter(|(provider, value)| other.0.get(provider).is_some_and(|theirs| theirs != *value))
            .map(|(provider, _)| *provider)
            .collect()
    }

    /// The ids that both carry.
    pub fn shared<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = ExternalId> + 'a {
        self.iter().filter(|id| other.get(id.provider) == Some(&id.value))
    }
}

impl FromIterator<ExternalId> for Ids {
    fn from_iter<T: IntoIterator<Item = ExternalId>>(ids: T) -> Self {
        let mut all = Self::default();
        for id in ids {
            all.insert(id);
        }
        all
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, id) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{id}")?;
        }
        Ok(())
    }
}

/// What one of Plex's guids says of the item that carries it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlexGuid {
    /// An id of the item itself.
    pub own: Option<ExternalId>,
    /// An id of the item's show with season and episode: what legacy agents write on episodes.
    pub of_show: Option<(ExternalId, u32, u32)>,
    /// Season and episode follow an order that no other server has: they name no place.
    pub own_order: bool,
}

impl PlexGuid {
    fn own(id: ExternalId) -> Self {
        Self { own: Some(id), ..Self::default() }
    }
}

/// Reads a guid as Plex writes it: `imdb://tt1`, `plex://movie/<hex>`, `com.plexapp.agents.thetvdb://1/2/3?lang=en`,
/// `com.plexapp.agents.hama://tvdb-1/2/3`, `tv.plex.agents.nfo.movie://movie/imdb_tt1`, `local://7`.
///
/// Agents without a catalogue (`local`, `none`) and agents that we don't know name nothing, and are no junk.
pub fn plex_guid(guid: &str) -> Result<PlexGuid, JunkId> {
    let Some((scheme, rest)) = guid.split_once("://") else {
        return Ok(PlexGuid::default());
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let own = |provider, value: &str| ExternalId::new(provider, value).map(PlexGuid::own);
    match scheme {
        "plex" if rest.starts_with("season/") => Ok(PlexGuid::default()),
        "plex" => own(Provider::Plex, rest),
        "imdb" => own(Provider::Imdb, rest),
        "tmdb" => own(Provider::Tmdb, rest),
        "tvdb" => own(Provider::Tvdb, rest),
        "tvmaze" => own(Provider::Tvmaze, rest),
        "tvrage" => own(Provider::Tvrage, rest),
        "anidb" => own(Provider::Anidb, rest),
        "youtube" => own(Provider::Youtube, rest),
        _ => match scheme.strip_prefix("com.plexapp.agents.") {
            Some(agent) => legacy_agent(agent, rest),
            None if scheme.starts_with("tv.plex.agents.nfo") => nfo_agent(rest),
            None => Ok(PlexGuid::default()),
        },
    }
}

/// `<id>` or `<show id>/<season>/<episode>`.
fn legacy_agent(agent: &str, rest: &str) -> Result<PlexGuid, JunkId> {
    let mut parts = rest.split('/');
    let key = parts.next().unwrap_or_default();
    let (provider, value) = match agent {
        "imdb" => (Provider::Imdb, key),
        "themoviedb" | "tmdb" => (Provider::Tmdb, key),
        "thetvdb" | "xbmcnfotv" => (Provider::Tvdb, key),
        "xbmcnfo" => (if key.starts_with("tt") { Provider::Imdb } else { Provider::Tmdb }, key),
        "ytinforeader" => (Provider::Youtube, key),
        "cmdb" => (Provider::Cmdb, key),
        "hama" => match hama(key) {
            Some(found) => found,
            None => return Ok(PlexGuid::default()),
        },
        _ => return Ok(PlexGuid::default()),
    };
    let id = ExternalId::new(provider, value)?;
    if agent == "hama" && hama_orders_anew(key) && parts.next().is_some() {
        return Ok(PlexGuid { own_order: true, ..PlexGuid::default() });
    }
    let numbers: Vec<Option<u32>> = parts.map(|part| part.parse().ok()).collect();
    Ok(match numbers[..] {
        [Some(season), Some(episode), ..] => PlexGuid { of_show: Some((id, season, episode)), ..PlexGuid::default() },
        [] => PlexGuid::own(id),
        // A season's guid, or an episode that is named by its date: names neither a title nor a place.
        _ => PlexGuid::default(),
    })
}

/// HAMA's `tvdb3` to `tvdb5` count episodes through all seasons, or through arcs of their own (Absolute Series Scanner's README).
fn hama_orders_anew(key: &str) -> bool {
    ["tvdb3-", "tvdb4-", "tvdb5-"].iter().any(|scheme| key.starts_with(scheme))
}

/// HAMA writes `<source><digit?>-<id>`; the digit chooses a numbering scheme, `tsdb` is TMDb's series catalogue.
fn hama(key: &str) -> Option<(Provider, &str)> {
    let (source, value) = key.split_once('-')?;
    let provider = match source.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
        "anidb" => Provider::Anidb,
        "tvdb" => Provider::Tvdb,
        "tmdb" | "tsdb" => Provider::Tmdb,
        "imdb" => Provider::Imdb,
        _ => return None,
    };
    Some((provider, value))
}

/// `movie/imdb_tt1`, `show/tvdb_1`, `episode/tmdb_1`.
fn nfo_agent(rest: &str) -> Result<PlexGuid, JunkId> {
    let key = rest.rsplit('/').next().unwrap_or_default();
    let Some((source, value)) = key.split_once('_') else {
        return Ok(PlexGuid::default());
    };
    match Provider::of_provider_ids(source) {
        Some(provider) => ExternalId::new(provider, value).map(PlexGuid::own),
        None => Ok(PlexGuid::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(provider: Provider, value: &str) -> ExternalId {
        ExternalId { provider, value: value.to_owned() }
    }

    #[test]
    fn each_provider_accepts_its_own_form_only() {
        let cases = [
            (Provider::Imdb, "tt0133093", Some("tt0133093")),
            (Provider::Imdb, "TT0133093", Some("tt0133093")),
            (Provider::Imdb, "abc", None),
            (Provider::Imdb, "tt", None),
            (Provider::Imdb, "tt00000", None),
            (Provider::Imdb, "0133093", None),
            (Provider::Imdb, "tt12a45", None),
            (Provider::Tmdb, "603", Some("603")),
            (Provider::Tmdb, " 0603 ", Some("603")),
            (Provider::Tmdb, "0", None),
            (Provider::Tmdb, "-1", None),
            (Provider::Tmdb, "603/1", None),
            (Provider::Tvdb, "99999999999999999999", None),
            (Provider::Anidb, "17", Some("17")),
            (Provider::Youtube, "dQw4w9WgXcQ", Some("dQw4w9WgXcQ")),
            (Provider::Youtube, "a b", None),
            (Provider::Plex, "movie/5D776825880197001ec90e6f", Some("movie/5d776825880197001ec90e6f")),
            (Provider::Plex, "artist/5d776825880197001ec90e6f", None),
            (Provider::Plex, "movie/zz", None),
        ];
        for (provider, value, expected) in cases {
            assert_eq!(
                ExternalId::new(provider, value).ok().map(|id| id.value),
                expected.map(str::to_owned),
                "{provider} {value:?}"
            );
        }
    }

    #[test]
    fn plex_guids_of_every_agent_are_read() {
        let own = |provider, value| Ok(PlexGuid::own(id(provider, value)));
        let of_show = |provider, value, season, episode| {
            Ok(PlexGuid { of_show: Some((id(provider, value), season, episode)), ..PlexGuid::default() })
        };
        let own_order = || Ok(PlexGuid { own_order: true, ..PlexGuid::default() });
        let nothing = || Ok(PlexGuid::default());
        let cases = [
            ("imdb://tt0133093", own(Provider::Imdb, "tt0133093")),
            ("tmdb://603", own(Provider::Tmdb, "603")),
            ("plex://movie/5d776825880197001ec90e6f", own(Provider::Plex, "movie/5d776825880197001ec90e6f")),
            ("plex://season/5d776825880197001ec90e6f", nothing()),
            ("local://12", nothing()),
            ("com.plexapp.agents.none://8f2?lang=xn", nothing()),
            ("tv.plex.agents.none://8f2", nothing()),
            ("com.plexapp.agents.imdb://tt0133093?lang=en", own(Provider::Imdb, "tt0133093")),
            ("com.plexapp.agents.themoviedb://603?lang=en", own(Provider::Tmdb, "603")),
            ("com.plexapp.agents.thetvdb://121361?lang=en", own(Provider::Tvdb, "121361")),
            ("com.plexapp.agents.thetvdb://121361/3?lang=en", nothing()),
            ("com.plexapp.agents.thetvdb://121361/3/9?lang=en", of_show(Provider::Tvdb, "121361", 3, 9)),
            ("com.plexapp.agents.xbmcnfo://tt0133093?lang=en", own(Provider::Imdb, "tt0133093")),
            ("com.plexapp.agents.xbmcnfo://603?lang=en", own(Provider::Tmdb, "603")),
            ("com.plexapp.agents.hama://tvdb2-81797/1/4?lang=en", of_show(Provider::Tvdb, "81797", 1, 4)),
            ("com.plexapp.agents.hama://tsdb-45?lang=en", own(Provider::Tmdb, "45")),
            ("com.plexapp.agents.hama://anidb-17/0/1", of_show(Provider::Anidb, "17", 0, 1)),
            ("com.plexapp.agents.hama://odd", nothing()),
            ("com.plexapp.agents.hama://tvdb4-81797?lang=en", own(Provider::Tvdb, "81797")),
            ("com.plexapp.agents.hama://tvdb3-81797/2/16?lang=en", own_order()),
            ("com.plexapp.agents.hama://tvdb4-81797/2/8?lang=en", own_order()),
            ("com.plexapp.agents.hama://tvdb5-81797/1/16?lang=en", own_order()),
            ("com.plexapp.agents.thetvdb://71256/2019-06-03?lang=en", nothing()),
            ("com.plexapp.agents.thetvdb://71256/-1/-1?lang=en", nothing()),
            ("com.plexapp.agents.thetvdb://71256/2/x?lang=en", nothing()),
            ("tv.plex.agents.nfo.movie://movie/imdb_tt0133093", own(Provider::Imdb, "tt0133093")),
            ("tv.plex.agents.nfo.series://show/tvdb_121361", own(Provider::Tvdb, "121361")),
            ("imdb://abc", Err(JunkId { provider: Provider::Imdb, value: "abc".to_owned() })),
            ("something else", nothing()),
        ];
        for (guid, expected) in cases {
            assert_eq!(plex_guid(guid), expected, "{guid}");
        }
    }

    #[test]
    fn of_two_numbers_of_one_provider_the_lower_stays() {
        let ids: Ids =
            [id(Provider::Tvdb, "200"), id(Provider::Tvdb, "99"), id(Provider::Tvdb, "300")].into_iter().collect();
        assert_eq!(ids.get(Provider::Tvdb), Some("99"));
        let ids: Ids = [id(Provider::Imdb, "tt00002"), id(Provider::Imdb, "tt00001")].into_iter().collect();
        assert_eq!(ids.get(Provider::Imdb), Some("tt00002"));
    }

    #[test]
    fn provider_ids_that_name_no_title_are_neither_ids_nor_junk() {
        assert_eq!(ExternalId::from_provider_ids("TmdbCollection", "2344"), Ok(None));
        assert_eq!(ExternalId::from_provider_ids("Imdb", ""), Ok(None));
        assert_eq!(ExternalId::from_provider_ids("IMDB", "tt0133093"), Ok(Some(id(Provider::Imdb, "tt0133093"))));
        assert!(ExternalId::from_provider_ids("Tvdb", "n/a").is_err());
    }
}
