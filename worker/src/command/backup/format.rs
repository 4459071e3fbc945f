//! The format of a backup, version 1: JSON Lines, a header, then one line a title. See `docs/backup-format.md`.
//!
//! Moments are RFC 3339 to the microsecond, which is what the database keeps.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use watchstate_domain::ids::{ExternalId, Ids, JunkId, Kind};
use watchstate_domain::watch::{History, Position, Source, Viewing, Watch};
use watchstate_store::report::history::Entry;
use watchstate_store::report::titles::Title;

/// The first word of every header.
const FORMAT: &str = "watchstate-backup";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Clocks differ; what lies further ahead is a mistake, and would win over every play to come.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    format: String,
    version: u32,
    /// Whose history it is.
    pub person: String,
    /// The moment that it shows.
    pub created_at: Timestamp,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No JSON, or not of this form.
    #[error("it can't be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The first line is another one.
    #[error("it is no header of a backup; expected {{\"format\":\"watchstate-backup\",\"version\":1,…}}")]
    Header,
    /// A later version.
    #[error("it is a backup of version {0}, and this program reads version 1 only: take a newer one")]
    Version(u32),
    /// No person.
    #[error("person: it names nobody")]
    Nobody,
    /// Shows aren't watched.
    #[error("kind: expected movie or episode, found {0}")]
    Kind(Kind),
    /// An id without its provider's form.
    #[error("ids: {0}")]
    Junk(#[from] JunkId),
    /// A number that the database can't hold.
    #[error("{0}: the number is too large")]
    Large(&'static str),
    /// A text that the database can't hold.
    #[error("{0}: it contains a NUL character")]
    Nul(&'static str),
    /// A moment to come.
    #[error("{field}: {at} lies in the future")]
    Future {
        /// Where.
        field: &'static str,
        /// Which.
        at: Timestamp,
    },
    /// A viewing's moments in no order.
    #[error("plays: expected first ≤ playedAt ≤ last, found {0}")]
    Order(Timestamp),
}

impl Header {
    /// A header of now.
    pub fn new(person: &str, created_at: Timestamp) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, person: person.to_owned(), created_at }
    }

    /// Reads the first line.
    pub fn read(text: &str) -> Result<Self, LineError> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Any {
            format: String,
            version: u32,
        }
        match serde_json::from_str::<Any>(text) {
            Ok(any) if any.format != FORMAT => return Err(LineError::Header),
            Ok(any) if any.version != VERSION => return Err(LineError::Version(any.version)),
            Ok(_) => {}
            Err(_) => return Err(LineError::Header),
        }
        let header: Self = serde_json::from_str(text)?;
        if header.person.trim().is_empty() {
            return Err(LineError::Nobody);
        }
        no_nul("person", &header.person)?;
        Ok(header)
    }
}

/// One title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Film or episode.
    pub kind: Kind,
    /// Its name.
    #[serde(default)]
    pub title: String,
    /// Its year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year: Option<i32>,
    /// For an episode: its show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show: Option<Show>,
    /// For an episode: its season; 0 holds the specials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u32>,
    /// For an episode: its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<u32>,
    /// Its ids by provider.
    #[serde(default)]
    pub ids: Ids,
    /// It counts as played.
    #[serde(default)]
    pub played: bool,
    /// The last play or un-play: where it stands in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// When it was last watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub played_at: Option<Timestamp>,
    /// The last position told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Spot>,
    /// The viewings, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plays: Vec<Play>,
}

/// The show of an episode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// Its name.
    #[serde(default)]
    pub title: String,
    /// Its ids by provider.
    #[serde(default)]
    pub ids: Ids,
}

/// How far a viewing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// Milliseconds from the start; 0: taken away.
    pub ms: u64,
    /// When.
    pub at: Timestamp,
}

/// One viewing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Play {
    /// When it was watched.
    pub played_at: Timestamp,
    /// The earliest stamp that was told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The latest stamp that was told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// How sure `playedAt` is: `mark` or `playback`.
    #[serde(default = "mark")]
    pub source: Source,
    /// Who told it: a server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

const fn mark() -> Source {
    Source::Mark
}

/// A moment as the database keeps it.
pub fn stored(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

impl From<&Viewing> for Play {
    fn from(viewing: &Viewing) -> Self {
        Self {
            played_at: viewing.played_at,
            first: Some(viewing.first),
            last: Some(viewing.last),
            source: viewing.source,
            via: Some(viewing.via.clone()),
        }
    }
}

impl Play {
    /// The viewing; `via` where nobody told it.
    pub fn viewing(&self, via: &str) -> Viewing {
        Viewing {
            played_at: self.played_at,
            source: self.source,
            via: self.via.clone().unwrap_or_else(|| via.to_owned()),
            first: self.first.unwrap_or(self.played_at),
            last: self.last.unwrap_or(self.played_at),
        }
    }

    /// True when a playback was seen to end.
    pub fn playback(&self) -> bool {
        self.source == Source::Playback
    }

    fn check(&mut self, latest: Timestamp) -> Result<(), LineError> {
        moment("plays", &mut self.played_at, latest)?;
        for stamp in self.first.iter_mut().chain(self.last.iter_mut()) {
            moment("plays", stamp, latest)?;
        }
        let early = self.first.is_some_and(|first| first > self.played_at);
        let late = self.last.is_some_and(|last| last < self.played_at);
        if early || late {
            return Err(LineError::Order(self.played_at));
        }
        self.via.as_deref().map_or(Ok(()), |via| no_nul("plays", via))
    }
}

impl Line {
    /// The line of a title.
    pub fn of(entry: Entry, history: &History) -> Self {
        let show = (entry.show.is_some() || !entry.show_ids.is_empty())
            .then(|| Show { title: entry.show.unwrap_or_default(), ids: entry.show_ids });
        Self {
            kind: entry.kind,
            title: entry.title,
            year: entry.year,
            show,
            season: entry.season,
            episode: entry.episode,
            ids: entry.ids,
            played: entry.watch.played(),
            changed_at: entry.watch.changed_at(),
            played_at: entry.played_at,
            position: entry.watch.told_position().map(|told| Spot { ms: told.position_ms, at: told.at }),
            plays: history.viewings().iter().map(Play::from).collect(),
        }
    }

    /// Reads a line and checks everything that the database or the rules rely on.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, LineError> {
        let mut line: Self = serde_json::from_str(text)?;
        let latest = now.saturating_add(AHEAD).unwrap_or(now);
        if line.kind == Kind::Show {
            return Err(LineError::Kind(line.kind));
        }
        no_nul("title", &line.title)?;
        line.ids = canonical(&line.ids)?;
        if let Some(show) = &mut line.show {
            no_nul("show", &show.title)?;
            show.ids = canonical(&show.ids)?;
        }
        for (field, number) in [("season", line.season), ("episode", line.episode)] {
            if number.is_some_and(|number| i32::try_from(number).is_err()) {
                return Err(LineError::Large(field));
            }
        }
        for (field, at) in [("changedAt", &mut line.changed_at), ("playedAt", &mut line.played_at)] {
            if let Some(at) = at {
                moment(field, at, latest)?;
            }
        }
        if let Some(position) = &mut line.position {
            moment("position", &mut position.at, latest)?;
            if i64::try_from(position.ms).is_err() {
                return Err(LineError::Large("position"));
            }
        }
        for play in &mut line.plays {
            play.check(latest)?;
        }
        Ok(line)
    }

    /// The truth that the line tells. A play without a moment is older than everything that is known; an un-play without one says nothing.
    pub fn watch(&self) -> Watch {
        let mark = match (self.played, self.changed_at) {
            (true, at) => Some((at.or(self.played_at).unwrap_or(Timestamp::UNIX_EPOCH), true)),
            (false, Some(at)) => Some((at, false)),
            (false, None) => None,
        };
        Watch::from_parts(mark, self.position.map(|spot| Position { at: spot.at, position_ms: spot.ms }))
    }

    /// The viewings that the line tells. A line written by hand may have the last moment only.
    pub fn viewings(&self, via: &str) -> Vec<Viewing> {
        match (self.plays.is_empty(), self.played_at) {
            (true, Some(at)) => vec![Viewing::told(at, Source::Mark, via)],
            _ => self.plays.iter().map(|play| play.viewing(via)).collect(),
        }
    }

    /// What people call it.
    pub fn label(&self) -> String {
        let title = Title {
            kind: self.kind.as_str().to_owned(),
            title: self.title.clone(),
            year: self.year,
            show: self.show.as_ref().map(|show| show.title.clone()).filter(|show| !show.is_empty()),
            season: self.season,
            episode: self.episode,
            ..Title::default()
        };
        title.label()
    }
}

fn canonical(ids: &Ids) -> Result<Ids, LineError> {
    let mut canonical = Ids::default();
    for id in ids.iter() {
        no_nul("ids", &id.value)?;
        canonical.insert(ExternalId::new(id.provider, &id.value)?);
    }
    Ok(canonical)
}

fn no_nul(field: &'static str, text: &str) -> Result<(), LineError> {
    if text.contains('\0') { Err(LineError::Nul(field)) } else { Ok(()) }
}

fn moment(field: &'static str, at: &mut Timestamp, latest: Timestamp) -> Result<(), LineError> {
    if *at > latest {
        return Err(LineError::Future { field, at: *at });
    }
    // The database knows no moments before 4713 BC; nobody watched anything before the epoch's century either.
    *at = stored(*at).max(Timestamp::from_second(-5_000_000_000).unwrap_or(Timestamp::UNIX_EPOCH));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchstate_domain::ids::Provider;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ids(ids: &[(Provider, &str)]) -> Ids {
        ids.iter().map(|(provider, value)| ExternalId { provider: *provider, value: (*value).to_owned() }).collect()
    }

    fn entry() -> (Entry, History) {
        let told = |text, source| Viewing::told(at(text), source, "plex");
        let viewings = vec![
            told("2025-01-01T20:00:00Z", Source::Mark),
            Viewing {
                played_at: at("2026-01-02T20:10:00.25Z"),
                source: Source::Playback,
                via: "emby".into(),
                first: at("2026-01-02T20:00:00Z"),
                last: at("2026-01-02T20:20:00Z"),
            },
        ];
        let entry = Entry {
            title_id: 7,
            kind: Kind::Episode,
            title: "In Perpetuity".into(),
            year: Some(2022),
            show: Some("Severance".into()),
            show_ids: ids(&[(Provider::Tvdb, "371980")]),
            season: Some(1),
            episode: Some(3),
            ids: ids(&[(Provider::Imdb, "tt11280740"), (Provider::Tvdb, "8872283")]),
            watch: Watch::from_parts(
                Some((at("2026-01-02T20:20:00Z"), true)),
                Some(Position { at: at("2026-02-01T00:00:00Z"), position_ms: 61_000 }),
            ),
            played_at: Some(at("2026-01-02T20:10:00.25Z")),
        };
        (entry, History::new(viewings, Some(3_000_000)))
    }

    #[test]
    fn a_line_that_is_written_is_read_as_the_same_truth_and_history() {
        let (entry, history) = entry();
        let watch = entry.watch;
        let line = Line::of(entry, &history);
        let text = serde_json::to_string(&line).unwrap();
        let read = Line::read(&text, now()).unwrap();
        assert_eq!(read, line);
        assert_eq!(read.watch(), watch);
        assert_eq!(read.viewings("restore"), history.viewings());
        assert_eq!(read.label(), "Severance S01E03 In Perpetuity");
    }

    #[test]
    fn a_line_is_written_as_the_documentation_has_it() {
        let (entry, history) = entry();
        let text = serde_json::to_string(&Line::of(entry, &history)).unwrap();
        let expected = concat!(
            r#"{"kind":"episode","title":"In Perpetuity","year":2022,"show":{"title":"Severance","ids":{"tvdb":"371980"}},"season":1,"episode":3,"#,
            r#""ids":{"imdb":"tt11280740","tvdb":"8872283"},"played":true,"changedAt":"2026-01-02T20:20:00Z","playedAt":"2026-01-02T20:10:00.25Z","#,
            r#""position":{"ms":61000,"at":"2026-02-01T00:00:00Z"},"plays":[{"playedAt":"2025-01-01T20:00:00Z","first":"2025-01-01T20:00:00Z","#,
            r#""last":"2025-01-01T20:00:00Z","source":"mark","via":"plex"},{"playedAt":"2026-01-02T20:10:00.25Z","first":"2026-01-02T20:00:00Z","#,
            r#""last":"2026-01-02T20:20:00Z","source":"playback","via":"emby"}]}"#,
        );
        assert_eq!(text, expected);
        let documentation = include_str!("../../../../docs/backup-format.md");
        assert!(documentation.contains(expected), "docs/backup-format.md lacks {expected}");
    }

    #[test]
    fn a_line_written_by_hand_may_leave_out_what_it_does_not_know() {
        let cases = [
            (r#"{"kind":"movie","ids":{"imdb":"tt0113277"},"played":true}"#, Some((Timestamp::UNIX_EPOCH, true)), 0),
            (
                r#"{"kind":"movie","ids":{"imdb":"tt0113277"},"played":true,"playedAt":"2020-01-01T00:00:00Z"}"#,
                Some((at("2020-01-01T00:00:00Z"), true)),
                1,
            ),
            (r#"{"kind":"movie","ids":{"imdb":"tt0113277"},"played":false}"#, None, 0),
            (
                r#"{"kind":"movie","played":false,"changedAt":"2020-01-01T00:00:00+01:00"}"#,
                Some((at("2019-12-31T23:00:00Z"), false)),
                0,
            ),
            (r#"{"kind":"movie","plays":[{"playedAt":"2020-01-01T00:00:00.1234567Z"}]}"#, None, 1),
        ];
        for (text, mark, plays) in cases {
            let line = Line::read(text, now()).unwrap();
            assert_eq!(line.watch().mark(), mark, "{text}");
            assert_eq!(line.viewings("restore").len(), plays, "{text}");
        }
    }

    #[test]
    fn moments_are_cut_to_what_the_database_keeps() {
        let text = r#"{"kind":"movie","played":true,"changedAt":"2020-01-01T00:00:00.123456789Z"}"#;
        let line = Line::read(text, now()).unwrap();
        assert_eq!(line.changed_at, Some(at("2020-01-01T00:00:00.123456Z")));
    }

    #[test]
    fn a_bad_line_is_refused_with_what_is_wrong() {
        let cases = [
            ("", "can't be read"),
            ("[]", "can't be read"),
            (r#"{"kind":"song"}"#, "unknown variant `song`"),
            (r#"{"kind":"show"}"#, "expected movie or episode"),
            (r#"{"kind":"movie","ids":{"imdb":"113277"}}"#, "not an id of imdb"),
            (r#"{"kind":"movie","ids":{"letterboxd":"heat"}}"#, "letterboxd"),
            (r#"{"kind":"movie","played":"yes"}"#, "expected a boolean"),
            (r#"{"kind":"movie","changedAt":"yesterday"}"#, "can't be read"),
            (
                r#"{"kind":"movie","changedAt":"2026-07-01T00:00:00Z"}"#,
                "changedAt: 2026-07-01T00:00:00Z lies in the future",
            ),
            (r#"{"kind":"movie","plays":[{"playedAt":"2026-07-01T00:00:00Z"}]}"#, "lies in the future"),
            (
                r#"{"kind":"movie","plays":[{"playedAt":"2020-01-01T00:00:00Z","first":"2020-01-02T00:00:00Z"}]}"#,
                "first ≤ playedAt",
            ),
            (
                r#"{"kind":"movie","plays":[{"playedAt":"2020-01-03T00:00:00Z","last":"2020-01-02T00:00:00Z"}]}"#,
                "≤ last",
            ),
            (r#"{"kind":"episode","season":4294967295}"#, "season: the number is too large"),
            (
                r#"{"kind":"movie","position":{"ms":18446744073709551615,"at":"2020-01-01T00:00:00Z"}}"#,
                "position: the number",
            ),
            (r#"{"kind":"movie","title":"a\u0000b"}"#, "NUL"),
        ];
        for (text, words) in cases {
            let error = Line::read(text, now()).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn only_headers_of_this_version_are_read() {
        let header = Header::new("anna", now());
        let text = serde_json::to_string(&header).unwrap();
        assert_eq!(
            text,
            r#"{"format":"watchstate-backup","version":1,"person":"anna","createdAt":"2026-06-01T00:00:00Z"}"#
        );
        assert_eq!(Header::read(&text).unwrap(), header);
        let cases = [
            (text.replace("\"version\":1", "\"version\":2"), "version 2"),
            (text.replace("watchstate-backup", "other"), "no header"),
            (text.replace("\"anna\"", "\" \""), "names nobody"),
            ("{\"kind\":\"movie\"}".to_owned(), "no header"),
            (String::new(), "no header"),
        ];
        for (text, words) in cases {
            let error = Header::read(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
