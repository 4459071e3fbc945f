//! What a server should be told: the difference between what it holds and the agreed truth.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::ClockOffset;
use crate::merge::Observation;
use crate::policy::ProgressPolicy;
use crate::watch::Position;

/// The state that an item should have at a server. Stamps are on our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "kebab-case")]
pub enum Wanted {
    /// Played.
    Played {
        /// When; None where nobody knows.
        at: Option<Timestamp>,
    },
    /// Not played.
    Unplayed,
    /// Under way.
    Position {
        /// Milliseconds from the start.
        position_ms: u64,
        /// When the viewing got there.
        at: Timestamp,
    },
    /// Played, without the left-over position that it has.
    NoPosition,
}

impl Wanted {
    /// The word for this in the database and in output.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Played { .. } => "played",
            Self::Unplayed => "unplayed",
            Self::Position { .. } => "position",
            Self::NoPosition => "no-position",
        }
    }
}

/// The agreed truth of all that one file holds: one title, or several episodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Some(true): every title is played; Some(false): every title was un-played; None: nobody said, or they differ.
    pub played: Option<bool>,
    /// The latest play or un-play among them.
    pub changed_at: Option<Timestamp>,
    /// When the last of them was watched.
    pub played_at: Option<Timestamp>,
    /// The position that counts; only of a file that holds one title.
    pub position: Option<Position>,
}

impl Agreed {
    /// Joins the truths of the titles in one file. A file is played when all of its titles are, un-played when all of them are.
    pub fn of_file(titles: &[Self]) -> Self {
        match titles {
            [] => Self::default(),
            [one] => *one,
            several => {
                let all = |wanted: bool| several.iter().all(|title| title.played == Some(wanted));
                Self {
                    played: if all(true) {
                        Some(true)
                    } else if all(false) {
                        Some(false)
                    } else {
                        None
                    },
                    changed_at: several.iter().filter_map(|title| title.changed_at).max(),
                    played_at: several.iter().filter_map(|title| title.played_at).max(),
                    position: None,
                }
            }
        }
    }
}

/// Positions closer together than this are the same: servers round, and players resume a little earlier.
const SAME_POSITION_MS: u64 = 10_000;

/// Servers call a film finished from 90 % (Plex and Jellyfin), so a position there would become a play; one per cent is left for rounding.
const FINISHED_PERCENT: u64 = 89;

/// A position this much older than the last play is a left-over, and not a viewing that the play's own stamp belongs to.
const LEFT_OVER: SignedDuration = SignedDuration::from_secs(60);

/// How long after its start a viewing may still be going on where the running time is unknown.
const UNKNOWN_RUNTIME: SignedDuration = SignedDuration::from_hours(3);

/// What the server must be told so that it agrees; None when it does, or when the viewer there is ahead of what is known, or may be by `now`.
pub fn difference(
    there: &Observation,
    agreed: &Agreed,
    runtime_ms: Option<u64>,
    offset: ClockOffset,
    progress: ProgressPolicy,
    now: Timestamp,
) -> Option<Wanted> {
    let state = there.state;
    let activity = state.last_played_at.map(|stamp| offset.to_ours(stamp));
    match agreed.played {
        Some(true) if !state.played => (!newer_viewing(there, activity, agreed, runtime_ms, now))
            .then_some(Wanted::Played { at: agreed.played_at }),
        Some(true) => {
            let left_over = state.position_ms > 0
                && activity.is_some_and(|activity| {
                    agreed.changed_at.is_some_and(|changed| changed.duration_since(activity) > LEFT_OVER)
                });
            left_over.then_some(Wanted::NoPosition)
        }
        Some(false) if state.played => {
            // An un-mark takes the position away as well, and this one may belong to a viewing under way that has begun since. Not for ever: the moment of an
            // un-mark that was read is only the last at which it wasn't there yet.
            let watched_since = activity.is_some_and(|activity| {
                agreed.changed_at.is_some_and(|changed| activity > changed)
                    && now.duration_since(activity) < longest_viewing(runtime_ms)
            });
            (state.position_ms == 0 || !watched_since).then_some(Wanted::Unplayed)
        }
        _ if state.played => None,
        _ => {
            let position = agreed.position.filter(|_| progress.enabled)?;
            let near_the_end = runtime_ms.is_some_and(|runtime| {
                position.position_ms.saturating_mul(100) >= runtime.saturating_mul(FINISHED_PERCENT)
            });
            let there_already = state.position_ms.abs_diff(position.position_ms) < SAME_POSITION_MS;
            let ahead = activity.is_some_and(|activity| activity >= position.at);
            (!near_the_end && !there_already && !ahead && position.position_ms >= progress.minimum_ms)
                .then_some(Wanted::Position { position_ms: position.position_ms, at: position.at })
        }
    }
}

/// How long after its start a viewing may still be going on.
fn longest_viewing(runtime_ms: Option<u64>) -> SignedDuration {
    runtime_ms
        .and_then(|runtime| i64::try_from(runtime).ok())
        .filter(|runtime| *runtime > 0)
        .map_or(UNKNOWN_RUNTIME, SignedDuration::from_millis)
}

/// True when a viewing has begun at the server after the last play: a mark would end it, and its finish could no longer be seen.
fn newer_viewing(
    there: &Observation,
    activity: Option<Timestamp>,
    agreed: &Agreed,
    runtime_ms: Option<u64>,
    now: Timestamp,
) -> bool {
    let Some(activity) = activity.filter(|activity| agreed.changed_at.is_none_or(|changed| *activity > changed)) else {
        return false;
    };
    let viewing = longest_viewing(runtime_ms);
    if there.state.position_ms > 0 {
        // A position that counts is newer than the last play. One that doesn't may be a left-over of the viewing which that play ended, since
        // some servers stamp a play with its start, and since our own writes of positions bear the server's now.
        agreed.position.is_some() || agreed.changed_at.is_none_or(|changed| activity.duration_since(changed) > viewing)
    } else {
        // Not played, yet with a count: servers that clear the mark at the start of a re-watch, before the first position is kept. One that was given up
        // at once looks the same for ever, and nobody reads it again: only time tells.
        there.state.plays > 0 && now.duration_since(activity) < viewing
    }
}

#[cfg(test)]
mod tests;
