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
mod tests;
