//! The agreed truth for one person and one title, and the history of its plays.
//!
//! Both are joins: applying events in any order, any number of times, gives the same result. So the order in which servers
//! are read does not matter, and telling the same thing twice changes nothing.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Something that happened, as one server's change tells it. All stamps are on our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The title was watched to its end, or marked so.
    Played {
        /// Where it stands among plays and un-plays: the stamp where it can be trusted, else a bound of it.
        order: Timestamp,
        /// When it was watched; None where nobody knows.
        stamp: Option<Timestamp>,
        /// How sure the stamp is.
        source: Source,
    },
    /// The mark was taken away.
    Unplayed {
        /// Just after the last moment at which it was known to be played: whatever is known to have been played later wins.
        order: Timestamp,
    },
    /// A viewing got this far.
    Position {
        /// Milliseconds from the start; 0 takes the position away.
        position_ms: u64,
        /// The activity's stamp.
        at: Timestamp,
    },
}

/// Where the stamp of a play comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A mark, or a state in which marks and playbacks can't be told apart.
    Mark,
    /// A playback that was seen to end.
    Playback,
}

/// How far a viewing got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// When.
    pub at: Timestamp,
    /// Milliseconds from the start; 0: taken away.
    pub position_ms: u64,
}

/// The agreed truth: two registers, each won by the latest event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The last play or un-play: its order, and true for a play. None: neither was ever told.
    mark: Option<(Timestamp, bool)>,
    /// The last position told.
    position: Option<Position>,
}

impl Watch {
    /// The truth as it was stored.
    pub const fn from_parts(mark: Option<(Timestamp, bool)>, position: Option<Position>) -> Self {
        Self { mark, position }
    }

    /// The last play or un-play: its order, and true for a play.
    pub const fn mark(&self) -> Option<(Timestamp, bool)> {
        self.mark
    }

    /// The last position that was told, whether it still counts or not.
    pub const fn told_position(&self) -> Option<Position> {
        self.position
    }

    /// True when the title counts as played.
    pub const fn played(&self) -> bool {
        matches!(self.mark, Some((_, true)))
    }

    /// When it was last played or un-played.
    pub fn changed_at(&self) -> Option<Timestamp> {
        self.mark.map(|(order, _)| order)
    }

    /// The position that counts: one that a later play or un-play hasn't overtaken. A finished title beats an older position.
    pub fn position(&self) -> Option<Position> {
        self.position
            .filter(|position| position.position_ms > 0)
            .filter(|position| self.mark.is_none_or(|(order, _)| position.at > order))
    }

    /// Takes an event in. True when that changed anything.
    pub fn apply(&mut self, event: &Event) -> bool {
        let other = match *event {
            Event::Played { order, .. } => Self { mark: Some((order, true)), position: None },
            Event::Unplayed { order } => Self { mark: Some((order, false)), position: None },
            Event::Position { position_ms, at } => Self { mark: None, position: Some(Position { at, position_ms }) },
        };
        let joined = self.join(other);
        let changed = joined != *self;
        *self = joined;
        changed
    }

    /// The truth of two titles that turn out to be one. Of two events at one moment a play wins over an un-play.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { mark: self.mark.max(other.mark), position: self.position.max(other.position) }
    }
}

/// One viewing, whoever told it and however often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewing {
    /// When it was watched: the earliest stamp from a playback, else the earliest stamp.
    pub played_at: Timestamp,
    /// How sure `played_at` is.
    pub source: Source,
    /// Who told `played_at`: a server's name.
    pub via: String,
    /// The earliest stamp told.
    pub first: Timestamp,
    /// The latest stamp told.
    pub last: Timestamp,
}

impl Viewing {
    /// A viewing that was told once.
    pub fn told(at: Timestamp, source: Source, via: &str) -> Self {
        Self { played_at: at, source, via: via.to_owned(), first: at, last: at }
    }

    fn merge(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        let theirs_is_better = (other.source, std::cmp::Reverse(other.played_at), std::cmp::Reverse(&other.via))
            > (self.source, std::cmp::Reverse(self.played_at), std::cmp::Reverse(&self.via));
        if theirs_is_better {
            self.played_at = other.played_at;
            self.source = other.source;
            self.via = other.via;
        }
    }
}

/// Nobody watches one title for longer: a viewing that began before is no longer under way.
pub(crate) const LONGEST_VIEWING: SignedDuration = SignedDuration::from_hours(12);

/// Plays closer together than this are one play where the running time is unknown.
const UNKNOWN_RUNTIME_GAP: SignedDuration = SignedDuration::from_mins(30);

/// How close two plays of a title must lie to be one: half its running time.
pub fn same_viewing_gap(runtime_ms: Option<u64>) -> SignedDuration {
    runtime_ms
        .filter(|runtime| *runtime > 0)
        .and_then(|runtime| i64::try_from(runtime / 2).ok())
        .map_or(UNKNOWN_RUNTIME_GAP, SignedDuration::from_millis)
}

/// The viewings of one person and title, oldest first, never closer together than the gap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    viewings: Vec<Viewing>,
}

impl History {
    /// The history as it was stored; viewings that lie too close together become one.
    pub fn new(viewings: Vec<Viewing>, runtime_ms: Option<u64>) -> Self {
        let mut history = Self { viewings };
        history.settle(same_viewing_gap(runtime_ms));
        history
    }

    /// The viewings, oldest first.
    pub fn viewings(&self) -> &[Viewing] {
        &self.viewings
    }

    /// When the title was last watched.
    pub fn last_played_at(&self) -> Option<Timestamp> {
        self.viewings.iter().map(|viewing| viewing.played_at).max()
    }

    /// True when a server's record that bears this stamp is that of a viewing whose end `via` has told: the next viewing is a playback that it saw end, and
    /// whoever watches needs no longer. For servers that date a viewing by its start, and keep the date of the last one alone.
    pub fn ends(&self, start: Timestamp, via: &str) -> bool {
        let next = self.viewings.iter().find(|viewing| viewing.last > start);
        next.is_some_and(|viewing| {
            viewing.source == Source::Playback
                && viewing.via == via
                && viewing.played_at.duration_since(start) < LONGEST_VIEWING
        })
    }

    /// Takes a telling in. True when it is a viewing of its own, false when it was told before.
    pub fn tell(&mut self, viewing: Viewing, runtime_ms: Option<u64>) -> bool {
        let before = self.viewings.len();
        self.viewings.push(viewing);
        self.settle(same_viewing_gap(runtime_ms));
        self.viewings.len() > before
    }

    /// Chains of tellings with no gap between them are one viewing: the outcome depends on the set, not on the order of telling.
    fn settle(&mut self, gap: SignedDuration) {
        self.viewings
            .sort_by(|a, b| (a.first, a.last, a.played_at, &a.via).cmp(&(b.first, b.last, b.played_at, &b.via)));
        let mut settled: Vec<Viewing> = Vec::with_capacity(self.viewings.len());
        for viewing in self.viewings.drain(..) {
            match settled.last_mut() {
                Some(last) if viewing.first.duration_since(last.last) < gap => last.merge(viewing),
                _ => settled.push(viewing),
            }
        }
        self.viewings = settled;
    }
}

#[cfg(test)]
mod tests;
