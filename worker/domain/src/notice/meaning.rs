//! What a notice means, given what was last known of the item at that server: the counterpart of [`crate::merge::three_way`] for events.

use jiff::{SignedDuration, Timestamp};

use super::{Cause, Reason, What};
use crate::clock::ClockOffset;
use crate::item::ItemState;
use crate::merge::{Context, ECHO_WINDOW, Observation, Reading, Rule, has_begun, three_way};
use crate::policy::Unplayed;
use crate::watch::{Event, LONGEST_VIEWING, Source};

/// What was last known of the item at the server, before the notice came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The observation.
    pub observation: Observation,
    /// The server's stamp of the last notice that was merged into it.
    pub told_at: Option<Timestamp>,
}

/// What a notice means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and never kept")]
pub enum Meaning {
    /// It has no bearing on what was watched, or says nothing new: why.
    Nothing(Reason),
    /// The server's own record must be read to know: why.
    Look(Reason),
    /// Something happened.
    Happened(Happened),
}

/// What happened, in the words of [`crate::watch`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Happened {
    /// Plays, un-plays and positions, in the order in which they happened.
    pub events: Vec<Event>,
    /// The rule that decided; None only in the default.
    pub rule: Option<Rule>,
    /// What the server holds now, where the notice tells all of it. Else the server must be read before it is written to.
    pub observation: Option<Observation>,
    /// When a play was told whose record is still to be read: [`Observation::finish_told`].
    pub finish_told: Option<Timestamp>,
}

/// A direct delivery takes less than this. What took longer was kept back on its way, and its own stamp says when it happened.
const DELIVERY: SignedDuration = SignedDuration::from_secs(10);

/// Positions closer together than this are the same: players resume a little earlier.
const SAME_POSITION_MS: u64 = 10_000;

/// From here on servers call a title finished, and tell that apart.
const FINISHED_PERCENT: u64 = 90;

/// Events of one stop arrive within this time.
const SAME_STOP: SignedDuration = SignedDuration::from_mins(1);

/// The smallest step of time that is kept: an un-play that is known only to be later than a play is put so much behind it.
const MOMENT: SignedDuration = SignedDuration::from_micros(1);

/// When a notice's event happened, on our clock. A server's stamp is read through an offset of whole seconds, so for one that came directly the time of
/// its arrival is the better measure.
pub fn happened_at(sent_at: Option<Timestamp>, received_at: Timestamp, offset: ClockOffset) -> Timestamp {
    match sent_at.map(|sent| offset.to_ours(sent)) {
        Some(sent) if received_at.duration_since(sent).abs() >= DELIVERY => sent.min(received_at),
        _ => received_at,
    }
}

/// Tells what a notice means, given what was known of the item. `at`: [`happened_at`]; it is also the context's now.
///
/// Plays and positions stand at their own time, so a late or repeated one does no harm. An un-play is believed only where the item was known to be
/// played at that server, and nothing newer was told since.
pub fn meaning(
    what: What,
    sent_at: Option<Timestamp>,
    base: Option<&Base>,
    runtime_ms: Option<u64>,
    context: &Context,
) -> Meaning {
    let at = context.now;
    let late = base.is_some_and(|base| {
        let read_at = base.observation.true_at;
        match (sent_at, base.told_at) {
            // The server's own stamps tell the order of its events. They may arrive in another one, as long as a delivery takes.
            (Some(sent), Some(told)) => sent < told || at.saturating_add(DELIVERY).unwrap_or(at) < read_at,
            _ => at < read_at,
        }
    });
    let known = base.map(|base| &base.observation);
    match what {
        What::Saved { state, cause } if late => saved_late(state, cause, known, context),
        What::Saved { state, cause } => saved(state, cause, known, context),
        What::Finished => finished(known, late, context),
        What::MarkedPlayed if late && known.is_some_and(is_untouched) => withdrawn(played(at), at, context),
        What::MarkedPlayed => marked_played(known, at),
        What::MarkedUnplayed if late => Meaning::Nothing(Reason::Late),
        What::MarkedUnplayed => marked_unplayed(known, context),
        What::Position { position_ms } => position(position_ms, known, runtime_ms, context),
        What::Started => Meaning::Nothing(Reason::Begins),
        What::Added => Meaning::Look(Reason::New),
        What::Rated => Meaning::Nothing(Reason::Rated),
        What::Test => Meaning::Nothing(Reason::Test),
        What::Incomplete => Meaning::Nothing(Reason::Incomplete),
        What::Other => Meaning::Nothing(Reason::NoBearing),
    }
}

fn happened(events: Vec<Event>, rule: Rule) -> Meaning {
    Meaning::Happened(Happened { events, rule: Some(rule), ..Happened::default() })
}

/// A playback that ended now. The server's record of it is told by the next reading, which is noted, since its stamp may be that of the viewing's start.
fn finished(known: Option<&Observation>, late: bool, context: &Context) -> Meaning {
    let at = context.now;
    // A reading since then, or the record of the same stop, has told of it already, most likely: by its stamp both are one viewing.
    let record = known.filter(|known| known.state.played && known.state.position_ms == 0 && !has_begun(known, context));
    let stamp = record.and_then(|known| {
        let by_record = context.kind.counts_at_start() && at.duration_since(known.true_at) < SAME_STOP;
        let stamp = context.offset.to_ours(known.state.last_played_at.filter(|_| late || by_record)?);
        // One of something else than this viewing: a mark with a date of its own may have come on top.
        let since = at.duration_since(stamp);
        (-DELIVERY <= since && since < LONGEST_VIEWING).then_some(stamp)
    });
    if let Some(stamp) = stamp {
        let event = Event::Played { order: at, stamp: Some(stamp), source: Source::Playback };
        return happened(vec![event], Rule::ToldBefore);
    }
    told_without_record(Event::Played { order: at, stamp: Some(at), source: Source::Playback }, newly(known), at)
}

fn told_without_record(event: Event, rule: Rule, at: Timestamp) -> Meaning {
    Meaning::Happened(Happened { events: vec![event], rule: Some(rule), observation: None, finish_told: Some(at) })
}

const fn played(at: Timestamp) -> Event {
    Event::Played { order: at, stamp: Some(at), source: Source::Mark }
}

fn newly(known: Option<&Observation>) -> Rule {
    if known.is_some_and(|known| known.state.played) { Rule::PlayedAgain } else { Rule::NewlyPlayed }
}

/// True when the server holds nothing of a play.
const fn is_untouched(known: &Observation) -> bool {
    !known.state.played && known.state.plays == 0 && known.state.position_ms == 0
}

fn saved(state: ItemState, cause: Cause, known: Option<&Observation>, context: &Context) -> Meaning {
    let unmarked = !state.played && state.plays == 0 && state.position_ms == 0 && cause == Cause::Marked;
    if unmarked && known.is_some_and(|known| known.finish_told.is_some()) {
        return marked_unplayed(known, context);
    }
    let reading = Reading { state, added_at: known.and_then(|known| known.added_at) };
    let merged = three_way(&reading, known, context);
    let was_played = known.is_some_and(|known| known.state.played);
    let plays = matches!(merged.mark, Some(Event::Played { .. }));
    match cause {
        // What is played when a viewing begins was played before, and bears the viewing's stamp by now.
        Cause::Started if plays && !was_played => return Meaning::Nothing(Reason::Begins),
        // A count that rose and no position: so it looks when a re-watch begins, when one is given up right away, and when it has ended. The end is told
        // apart; if that event is lost the next reading finds the count that rose, so it must not be known before.
        Cause::Started | Cause::Progress | Cause::Stopped if plays && was_played => {
            return happened(Vec::new(), Rule::RewatchUnderWay);
        }
        _ => {}
    }
    let mark = match merged.mark {
        // The stamp of a record is that of the playback's start or of the mark; here it is known which.
        Some(Event::Played { order, stamp, .. }) if cause == Cause::Stopped => {
            Some(Event::Played { order, stamp, source: Source::Playback })
        }
        // Somebody did it just now, and not at some time since the last reading.
        Some(Event::Unplayed { .. }) if matches!(cause, Cause::Marked | Cause::Set) => {
            Some(Event::Unplayed { order: context.now })
        }
        Some(Event::Unplayed { .. }) => {
            return Meaning::Nothing(Reason::NothingLeft);
        }
        other => other,
    };
    if known.is_none() && mark.is_none() && merged.position.is_none() {
        return Meaning::Look(Reason::NotKnown);
    }
    Meaning::Happened(Happened {
        events: mark.into_iter().chain(merged.position).collect(),
        rule: Some(merged.rule),
        observation: Some(merged.observation),
        finish_told: None,
    })
}

/// A record that has been overtaken tells of a play all the same; and if the server now holds nothing of it, it was taken back.
fn saved_late(state: ItemState, cause: Cause, known: Option<&Observation>, context: &Context) -> Meaning {
    if !state.played {
        return Meaning::Nothing(Reason::Late);
    }
    let Meaning::Happened(told) = saved(state, cause, None, context) else {
        return Meaning::Nothing(Reason::Late);
    };
    match told.events.first() {
        Some(event @ Event::Played { order, .. }) if known.is_some_and(is_untouched) => {
            withdrawn(*event, *order, context)
        }
        _ => happened(told.events, Rule::NewlyPlayed),
    }
}

/// A play that was taken back at the same server: where un-plays are followed, it is known to have been un-played right after.
fn withdrawn(play: Event, at: Timestamp, context: &Context) -> Meaning {
    let mut events = vec![play];
    if context.unplayed == Unplayed::Follow {
        events.push(Event::Unplayed { order: at.saturating_add(MOMENT).unwrap_or(at) });
    }
    happened(events, Rule::NewlyUnplayed)
}

/// True when the mark is one of ours that was sent not long ago: of one whose outcome nobody knows, the next mark may be a person's.
fn is_echo(known: &Observation, played: bool, at: Timestamp) -> bool {
    known.expected.is_some_and(|expected| expected.played == played && at.duration_since(expected.at) <= ECHO_WINDOW)
}

fn marked_played(known: Option<&Observation>, at: Timestamp) -> Meaning {
    match known {
        Some(known) if is_echo(known, true, at) => Meaning::Nothing(Reason::Echo),
        Some(known) if known.state.played => Meaning::Nothing(Reason::AsKnown),
        _ => told_without_record(played(at), Rule::NewlyPlayed, at),
    }
}

fn marked_unplayed(known: Option<&Observation>, context: &Context) -> Meaning {
    let Some(known) = known else {
        return Meaning::Look(Reason::NotKnown);
    };
    if is_echo(known, false, context.now) {
        return Meaning::Nothing(Reason::Echo);
    }
    if !known.state.played && known.finish_told.is_none() {
        return Meaning::Nothing(Reason::AsKnown);
    }
    let observation = Observation {
        state: ItemState::default(),
        finished_plays: 0,
        true_at: context.now,
        expected: None,
        finish_told: None,
        ..*known
    };
    let (events, rule) = match context.unplayed {
        Unplayed::Follow => (vec![Event::Unplayed { order: context.now }], Rule::NewlyUnplayed),
        Unplayed::Ignore => (Vec::new(), Rule::UnplayedIgnored),
    };
    Meaning::Happened(Happened { events, rule: Some(rule), observation: Some(observation), finish_told: None })
}

fn position(position_ms: u64, known: Option<&Observation>, runtime_ms: Option<u64>, context: &Context) -> Meaning {
    let policy = context.progress;
    if !policy.enabled {
        return Meaning::Nothing(Reason::ProgressOff);
    }
    if position_ms == 0 || position_ms < policy.minimum_ms {
        return Meaning::Nothing(Reason::BelowMinimum);
    }
    let near_the_end =
        runtime_ms.is_some_and(|runtime| position_ms.saturating_mul(100) >= runtime.saturating_mul(FINISHED_PERCENT));
    if near_the_end {
        return Meaning::Nothing(Reason::NearTheEnd);
    }
    if let Some(known) = known {
        if known.state.played {
            return Meaning::Nothing(Reason::PlayedHere);
        }
        if known.state.position_ms.abs_diff(position_ms) < SAME_POSITION_MS {
            return Meaning::Nothing(Reason::AsKnown);
        }
    }
    happened(vec![Event::Position { position_ms, at: context.now }], Rule::PositionMoved)
}

#[cfg(test)]
mod tests;
