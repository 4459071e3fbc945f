//! The three-way merge: what a server's state means, given what was last known to be true at that server.
//!
//! [`three_way`] compares a reading with its base, the observation, and tells the events that must have happened in between. It never
//! looks at the agreed truth: that is joined from events (see [`crate::watch`]), so what one server says doesn't depend on another.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::ClockOffset;
use crate::item::{ItemState, ServerKind};
use crate::policy::{ProgressPolicy, Unplayed};
use crate::watch::{Event, LONGEST_VIEWING, Source};

/// What a server just said of one item for one account. Stamps are on the server's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Its state.
    pub state: ItemState,
    /// When the file was added.
    pub added_at: Option<Timestamp>,
}

/// A write of ours whose outcome hasn't been read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The mark that was written.
    pub played: bool,
    /// When it was written, on our clock.
    pub at: Timestamp,
    /// The date that was sent with it, on the server's clock.
    pub stamp: Option<Timestamp>,
}

/// What was last known to be true at a server, for one account and item: the base of the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The state as the server told it.
    pub state: ItemState,
    /// The play count without a viewing that is under way: servers of some kinds count when a playback starts.
    pub finished_plays: u32,
    /// When the file was added, on the server's clock.
    pub added_at: Option<Timestamp>,
    /// The last moment, on our clock, at which this was known to be true.
    pub true_at: Timestamp,
    /// A write of ours that will show in the next reading.
    pub expected: Option<Expected>,
    /// When, on our clock, an event told that it was watched to its end, without the record that the next reading will tell.
    pub finish_told: Option<Timestamp>,
}

impl Observation {
    /// What is known once a reading at that moment is believed.
    pub const fn of(reading: &Reading, true_at: Timestamp) -> Self {
        Self {
            state: reading.state,
            finished_plays: reading.state.plays,
            added_at: reading.added_at,
            true_at,
            expected: None,
            finish_told: None,
        }
    }
}

/// What the merge must know beside the two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Our now: one moment for a whole run.
    pub now: Timestamp,
    /// How far the server's clock is ahead.
    pub offset: ClockOffset,
    /// What kind of server it is.
    pub kind: ServerKind,
    /// Whether its un-plays are believed.
    pub unplayed: Unplayed,
    /// Whether positions travel.
    pub progress: ProgressPolicy,
}

/// The rule that decided, in the words that `why` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Seen for the first time, played: the play is adopted where nothing newer is known.
    FirstSightPlayed,
    /// Seen for the first time, not played: says nothing about the title.
    FirstSightUnplayed,
    /// As known.
    Unchanged,
    /// Stamps or counts moved and nobody watched anything.
    Adopted,
    /// Not played before, played now.
    NewlyPlayed,
    /// Played before, and once more.
    PlayedAgain,
    /// Played before, not now, and nothing left of the play.
    NewlyUnplayed,
    /// As above, on a server whose un-plays are not followed.
    UnplayedIgnored,
    /// As above, but the file was added anew: it was replaced, nobody un-played it.
    FileReplaced,
    /// The mark is gone while date, count or position remain: a re-watch has begun.
    RewatchUnderWay,
    /// A viewing got on.
    PositionMoved,
    /// A write of ours came back.
    Echo,
    /// A play that an event told of before.
    ToldBefore,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 13] = [
        Self::FirstSightPlayed,
        Self::FirstSightUnplayed,
        Self::Unchanged,
        Self::Adopted,
        Self::NewlyPlayed,
        Self::PlayedAgain,
        Self::NewlyUnplayed,
        Self::UnplayedIgnored,
        Self::FileReplaced,
        Self::RewatchUnderWay,
        Self::PositionMoved,
        Self::Echo,
        Self::ToldBefore,
    ];

    /// The word for this rule in the database and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstSightPlayed => "first-sight-played",
            Self::FirstSightUnplayed => "first-sight-unplayed",
            Self::Unchanged => "unchanged",
            Self::Adopted => "adopted",
            Self::NewlyPlayed => "newly-played",
            Self::PlayedAgain => "played-again",
            Self::NewlyUnplayed => "newly-unplayed",
            Self::UnplayedIgnored => "unplayed-ignored",
            Self::FileReplaced => "file-replaced",
            Self::RewatchUnderWay => "rewatch-under-way",
            Self::PositionMoved => "position-moved",
            Self::Echo => "echo",
            Self::ToldBefore => "told-before",
        }
    }

    /// One sentence for a person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::FirstSightPlayed => {
                "seen here for the first time, already played: adopted unless something newer is known"
            }
            Self::FirstSightUnplayed => {
                "seen here for the first time, not played: that says nothing, the agreed state stays"
            }
            Self::Unchanged => "the server said what was already known",
            Self::Adopted => "only a stamp or count moved: noted, nobody watched anything",
            Self::NewlyPlayed => "was not played here before and is now: a play",
            Self::PlayedAgain => "the play count rose and no position is left: watched once more",
            Self::NewlyUnplayed => "was played here and nothing of the play is left: somebody un-marked it",
            Self::UnplayedIgnored => {
                "was un-marked here, but this server's un-plays are not followed: it is marked again"
            }
            Self::FileReplaced => {
                "the file was added anew: it was replaced, nobody un-marked it; the mark is written back"
            }
            Self::RewatchUnderWay => {
                "the mark is gone but date, count or position remain: a re-watch has begun, nobody un-marked it"
            }
            Self::PositionMoved => "a viewing got on",
            Self::Echo => "our own write, read back: nothing new",
            Self::ToldBefore => "this play was told of before: nothing new",
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Rule {
    type Err = crate::ids::UnknownWord;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|rule| rule.as_str() == word)
            .ok_or_else(|| crate::ids::UnknownWord { what: "rule", word: word.to_owned() })
    }
}

/// What came of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The play or un-play that happened.
    pub mark: Option<Event>,
    /// The position that was told.
    pub position: Option<Event>,
    /// The rule that decided.
    pub rule: Rule,
    /// The observation from now on.
    pub observation: Observation,
}

impl Merged {
    /// The events, in no order that matters.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.mark.into_iter().chain(self.position)
    }

    /// True when applying this would take a mark away somewhere: what the brake counts.
    pub const fn unplays(&self) -> bool {
        matches!(self.mark, Some(Event::Unplayed { .. }))
    }
}

/// How long after the decision to write a server may stamp the write, or tell of it: slow servers, and many writes in a row.
pub(crate) const ECHO_WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// How long before the decision to write a stamp of the write may seem to lie: clocks are measured to the second.
const ECHO_SLACK: SignedDuration = SignedDuration::from_mins(1);

/// A date that was sent comes back as it was, or without its fraction of a second (Emby).
const SENT_PRECISION: SignedDuration = SignedDuration::from_secs(2);

/// A server keeps a play a moment after its event has left, and its clock is read through an offset of whole seconds.
const TOLD_SLACK: SignedDuration = SignedDuration::from_mins(2);

/// The next moment that the store can tell from another.
const MOMENT: SignedDuration = SignedDuration::from_micros(1);

/// Merges a reading with its base. `base` None: the account sees the item for the first time (new server, new file, new match).
pub fn three_way(reading: &Reading, base: Option<&Observation>, context: &Context) -> Merged {
    let Some(base) = base else {
        return first_sight(reading, context);
    };
    if reading.state == base.state && reading.added_at == base.added_at {
        return Merged {
            mark: None,
            position: None,
            rule: Rule::Unchanged,
            observation: Observation { true_at: context.now, expected: None, ..*base },
        };
    }
    let (mark, rule) = mark(reading, base, context);
    // A file that was put in another's place starts at nought: that isn't a viewer going back to the start.
    let position = match rule {
        Rule::Echo | Rule::FileReplaced => None,
        _ => moved_position(reading, base, context),
    };
    let rule = if rule == Rule::Adopted && position.is_some() { Rule::PositionMoved } else { rule };
    Merged { mark, position, rule, observation: observe(reading, Some(base), context) }
}

/// A mark that we made at a server which dates it itself: Plex stamps every mark with its own now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnMark {
    /// When it was sent, on our clock.
    pub made_at: Timestamp,
    /// When the title was watched; None where nobody knows.
    pub played_at: Option<Timestamp>,
}

/// First sight of an item by an account, though not by us: if its date is that of a mark of ours, made for an account that was registered before, the title was
/// watched when that mark says.
pub fn seen_again(reading: &Reading, own: &OwnMark, context: &Context) -> Merged {
    let expected = Expected { played: true, at: own.made_at, stamp: None };
    let is_ours = reading.state.played
        && reading.state.last_played_at.is_some_and(|stamp| is_stamp_of(&expected, stamp, context));
    if !is_ours {
        return first_sight(reading, context);
    }
    let watched_at = own.played_at.map(|at| context.offset.to_theirs(at));
    let watched = Reading { state: ItemState { last_played_at: watched_at, ..reading.state }, ..*reading };
    Merged { observation: observe(reading, None, context), ..first_sight(&watched, context) }
}

fn first_sight(reading: &Reading, context: &Context) -> Merged {
    let state = reading.state;
    let stamp = our_stamp(state.last_played_at, context);
    let (mark, rule) = if state.played {
        // Without a date it is older than everything that is known: it fills a gap, and overrules nobody.
        let order = stamp.unwrap_or(Timestamp::UNIX_EPOCH);
        (Some(Event::Played { order, stamp, source: Source::Mark }), Rule::FirstSightPlayed)
    } else {
        (None, Rule::FirstSightUnplayed)
    };
    // Without a date nobody knows whether it is older than the last play, so it doesn't travel before it moves.
    let position = stamp
        .filter(|_| !state.played && counts(state.position_ms, context))
        .map(|at| Event::Position { position_ms: state.position_ms, at });
    Merged { mark, position, rule, observation: observe(reading, None, context) }
}

fn mark(reading: &Reading, base: &Observation, context: &Context) -> (Option<Event>, Rule) {
    let state = reading.state;
    match (base.state.played, state.played) {
        (false, true) if is_echo(reading, base, context) => (None, Rule::Echo),
        (false, true) if was_told(reading, base, context) => (None, Rule::ToldBefore),
        (false, true) => (Some(played(reading, base, context)), Rule::NewlyPlayed),
        (true, true) if watched_again(reading, base, context) => {
            if is_echo(reading, base, context) {
                (None, Rule::Echo)
            } else if was_told(reading, base, context) {
                (None, Rule::ToldBefore)
            } else {
                (Some(played(reading, base, context)), Rule::PlayedAgain)
            }
        }
        (true, false) if state.plays > 0 || state.position_ms > 0 => (None, Rule::RewatchUnderWay),
        (true, false) if base.expected.is_some_and(|expected| !expected.played) => (None, Rule::Echo),
        (true, false) if reading.added_at != base.added_at => (None, Rule::FileReplaced),
        (true, false) if context.unplayed == Unplayed::Ignore => (None, Rule::UnplayedIgnored),
        (true, false) => {
            // It was still played at `true_at`, so a play that was told with that very moment as its bound comes before the un-play.
            let order = base.true_at.saturating_add(MOMENT).unwrap_or(base.true_at);
            (Some(Event::Unplayed { order }), Rule::NewlyUnplayed)
        }
        (false, false) if is_own_position(reading, base, context) => (None, Rule::Echo),
        (true, true) | (false, false) => (None, Rule::Adopted),
    }
}

/// True when a title that was played before has been watched to its end, or marked, once more.
fn watched_again(reading: &Reading, base: &Observation, context: &Context) -> bool {
    let (state, before) = (reading.state, base.state);
    // Where the count rises at the end it is proof enough, even if the next viewing has begun since.
    if state.position_ms > 0 && context.kind.counts_at_start() {
        return false;
    }
    if state.plays > base.finished_plays {
        // A play moves the date, or ends a viewing that was under way. A count that rises for itself is no play.
        return state.last_played_at.is_none()
            || state.last_played_at != before.last_played_at
            || has_begun(base, context);
    }
    // The count started anew: the title was un-marked in between; or it may have, since the file was replaced or a write of ours is in doubt.
    let anew = state.plays < before.plays
        || (state.position_ms == 0
            && (reading.added_at != base.added_at || base.expected.is_some_and(|expected| !expected.played)));
    let newer = matches!((state.last_played_at, before.last_played_at), (Some(now), Some(then)) if now > then);
    anew && newer
}

/// True when a viewing had begun at the server when the base was read, and hadn't ended. Jellyfin (`SessionManager.OnPlaybackStart`), and Emby
/// by lineage, set date and count when a playback starts and touch neither when it ends.
pub(crate) fn has_begun(base: &Observation, context: &Context) -> bool {
    let state = base.state;
    let counted = state.plays > base.finished_plays || (!state.played && state.plays > 0);
    context.kind.counts_at_start() && (state.position_ms > 0 || counted)
}

/// The start of the viewing that was under way when the base was read, if it can still be that one which ended since.
fn under_way(base: &Observation, context: &Context) -> Option<Timestamp> {
    our_stamp(base.state.last_played_at, context)
        .filter(|_| has_begun(base, context))
        .filter(|start| base.true_at.duration_since(*start) < LONGEST_VIEWING)
}

/// The play that must lie between base and reading: at the server's date where that fits, else at the last moment it can have happened.
fn played(reading: &Reading, base: &Observation, context: &Context) -> Event {
    let stamp = our_stamp(reading.state.last_played_at, context);
    let moved = reading.state.last_played_at != base.state.last_played_at;
    let order = stamp.filter(|stamp| moved && *stamp > base.true_at).unwrap_or(context.now);
    // A date that moved is when it was watched, even if it lies years back. One that didn't is that of the viewing which was under way,
    // else of an older play.
    let stamp = if moved { stamp } else { under_way(base, context) };
    Event::Played { order, stamp: Some(stamp.unwrap_or(context.now)), source: Source::Mark }
}

/// True when the mark is the one that we wrote, and nobody has watched it since.
fn is_echo(reading: &Reading, base: &Observation, context: &Context) -> bool {
    let Some(expected) = base.expected.filter(|expected| expected.played) else {
        return false;
    };
    let once = reading.state.plays <= base.state.plays.max(base.finished_plays).saturating_add(1);
    // Taking a left-over position away moves no date, nor does a mark that is sent without one.
    let unmoved = reading.state.last_played_at == base.state.last_played_at
        && (base.state.played || (expected.stamp.is_none() && under_way(base, context).is_none()));
    once && (unmoved || reading.state.last_played_at.is_none_or(|stamp| is_stamp_of(&expected, stamp, context)))
}

/// True when an event has told of this play before. A server stamps it with its start or with its end, but never later than that.
fn was_told(reading: &Reading, base: &Observation, context: &Context) -> bool {
    base.finish_told.is_some_and(|told| {
        our_stamp(reading.state.last_played_at, context).is_none_or(|stamp| stamp.duration_since(told) <= TOLD_SLACK)
    })
}

/// True when the position is the one that we wrote: nobody got there by watching.
fn is_own_position(reading: &Reading, base: &Observation, context: &Context) -> bool {
    reading.state.position_ms != base.state.position_ms
        && base.expected.filter(|expected| !expected.played).is_some_and(|expected| {
            reading.state.last_played_at.is_some_and(|stamp| is_stamp_of(&expected, stamp, context))
        })
}

/// True when a server's stamp is that of our write: the date that we sent; Plex takes none and stamps its own now, as the others do when none is sent.
fn is_stamp_of(expected: &Expected, stamp: Timestamp, context: &Context) -> bool {
    let as_sent = expected.stamp.is_some_and(|sent| stamp.duration_since(sent).abs() < SENT_PRECISION);
    let takes_dates = context.kind != ServerKind::Plex;
    if as_sent || (takes_dates && expected.stamp.is_some()) {
        return as_sent;
    }
    let after = context.offset.to_ours(stamp).duration_since(expected.at);
    -ECHO_SLACK <= after && after <= ECHO_WINDOW
}

fn moved_position(reading: &Reading, base: &Observation, context: &Context) -> Option<Event> {
    let state = reading.state;
    let started_or_moved =
        !state.played && counts(state.position_ms, context) && state.position_ms != base.state.position_ms;
    let taken_away =
        !state.played && !base.state.played && state.position_ms == 0 && counts(base.state.position_ms, context);
    if !started_or_moved && !taken_away {
        return None;
    }
    let at = our_stamp(state.last_played_at, context)
        .filter(|_| state.last_played_at != base.state.last_played_at)
        .unwrap_or(context.now);
    Some(Event::Position { position_ms: state.position_ms, at })
}

const fn counts(position_ms: u64, context: &Context) -> bool {
    context.progress.enabled && position_ms > 0 && position_ms >= context.progress.minimum_ms
}

/// A server's stamp on our clock; a stamp from the future is a stamp of now.
fn our_stamp(stamp: Option<Timestamp>, context: &Context) -> Option<Timestamp> {
    stamp.map(|stamp| context.offset.to_ours(stamp).min(context.now))
}

fn observe(reading: &Reading, base: Option<&Observation>, context: &Context) -> Observation {
    let state = reading.state;
    let under_way = state.position_ms > 0 && context.kind.counts_at_start();
    let finished_plays = match base {
        _ if !under_way => state.plays,
        Some(base) => base.finished_plays.min(state.plays),
        None => state.plays.saturating_sub(1),
    };
    Observation {
        state,
        finished_plays,
        added_at: reading.added_at,
        true_at: context.now,
        expected: None,
        // A server that doesn't tell of it yet will; one that has taken it back won't.
        finish_told: base.filter(|base| !state.played && !base.state.played).and_then(|base| base.finish_told),
    }
}

#[cfg(test)]
mod tests;
