//! What the worker does with the rules: imports, exports and what it stores, in memory.
//!
//! Like the worker it checks before each write, never writes to a title that the account is playing right now, notes what it is
//! going to write on every copy of the title, and records the outcome; a crash may come before or after the write.

use std::collections::BTreeMap;

use jiff::Timestamp;
use watchstate_domain::merge::{Context, Expected, Merged, Observation, three_way};
use watchstate_domain::notice::{Base, Meaning, happened_at, meaning};
use watchstate_domain::policy::{ProgressPolicy, Unplayed};
use watchstate_domain::watch::{Event, History, Viewing, Watch, same_viewing_gap};
use watchstate_domain::write::{Agreed, Wanted, difference};

use crate::servers::{Item, Note, Pending, RUNTIME_MS, Server, stamp};

const RUNTIME: Option<u64> = Some(RUNTIME_MS.unsigned_abs());

/// A play or mark that an import has seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub person: usize,
    pub title: usize,
    pub play: Pending,
    /// When the import was.
    pub at: i64,
    /// From when on an un-mark may overrule it. The server's date counts where it fits; where that is older than the act (a mark with a date of
    /// its own, or with the date of a viewing that was given up), nothing tells when the mark was made. On first sight any date fits.
    pub since: i64,
    pub first_sight: bool,
}

/// Where a run dies: at which write, and on which side of it.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    pub at_write: i64,
    pub after: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Worker {
    pub watches: BTreeMap<(usize, usize), Watch>,
    pub histories: BTreeMap<(usize, usize), History>,
    /// By person, server and item.
    pub observations: BTreeMap<(usize, usize, u32), Observation>,
    /// The stamp of the last event that was merged into each.
    pub told_at: BTreeMap<(usize, usize, u32), Timestamp>,
    pub seen: Vec<Seen>,
    /// Persons and titles that went from played to unplayed.
    pub unplayed: Vec<(usize, usize)>,
    pub unplays_written: Vec<(usize, usize)>,
}

fn context(server: &Server, now: Timestamp) -> Context {
    Context {
        now,
        offset: server.offset(),
        kind: server.flavor.kind(),
        unplayed: Unplayed::Follow,
        progress: ProgressPolicy::default(),
    }
}

impl Worker {
    /// Reads the servers in the given order. `full`: refreshes what is unchanged too, as a full read does. Returns how many readings told something.
    pub fn import(&mut self, servers: &mut [Server], order: &[usize], persons: usize, full: bool, now: i64) -> usize {
        let mut told = 0;
        for &index in order {
            for item in servers[index].items.clone() {
                for person in 0..persons {
                    told += usize::from(self.read(servers, index, person, &item, full, now));
                }
            }
        }
        told
    }

    fn read(&mut self, servers: &mut [Server], index: usize, person: usize, item: &Item, full: bool, now: i64) -> bool {
        let server = &mut servers[index];
        let reading = server.read(person, item);
        let at = (person, index, item.id);
        let base = self.observations.get(&at).copied();
        if !full && base.is_some_and(|base| base.state == reading.state && base.added_at == reading.added_at) {
            return false;
        }
        let merged = three_way(&reading, base.as_ref(), &context(server, stamp(now)));
        let pending = server.state_mut(person, item).pending.take();
        let tells_dates = server.tells_dates;
        let told = pending.map(|play| Pending { stamp: play.stamp.filter(|_| tells_dates), ..play });
        if let Some(play) = told
            && visible(server, person, item, base.as_ref())
        {
            let known = base.map_or(i64::MIN, |base| base.true_at.as_millisecond());
            let date = if base.is_none() { Some(play.stamp.unwrap_or(i64::MIN)) } else { play.stamp };
            let since =
                date.filter(|date| base.is_none() || *date > known).map_or(play.began, |date| date.min(play.began));
            self.seen.push(Seen { person, title: item.title, play, at: now, since, first_sight: base.is_none() });
        }
        self.observations.insert(at, merged.observation);
        self.take_in(person, item.title, &merged, &server.name.clone())
    }

    /// Merges an event, of an item that was read before.
    pub fn hear(&mut self, server: &Server, index: usize, note: &Note) {
        let at = (note.person, index, note.item.id);
        // An item that is not known yet is read first, which tells the rest.
        let Some(observation) = self.observations.get(&at).copied() else { return };
        let sent_at = server.sent_at(note.at);
        let happened_at = happened_at(sent_at, stamp(note.at), server.offset());
        let base = Base { observation, told_at: self.told_at.get(&at).copied() };
        if let Some(began) = note.finished {
            let play = Pending { began, stamp: Some(began) };
            let (person, title, at) = (note.person, note.item.title, note.at);
            self.seen.push(Seen { person, title, play, at, since: began, first_sight: false });
        }
        let meant = meaning(note.what, sent_at, Some(&base), RUNTIME, &context(server, happened_at));
        let Meaning::Happened(happened) = meant else { return };
        if let Some(observation) = happened.observation {
            self.observations.insert(at, observation);
            if let Some(sent_at) = sent_at {
                self.told_at.insert(at, sent_at);
            }
        }
        if let Some(told) = happened.finish_told
            && let Some(observation) = self.observations.get_mut(&at)
        {
            observation.finish_told = observation.finish_told.max(Some(told));
        }
        self.apply(note.person, note.item.title, &happened.events, &server.name);
    }

    fn take_in(&mut self, person: usize, title: usize, merged: &Merged, via: &str) -> bool {
        let events: Vec<Event> = merged.events().collect();
        self.apply(person, title, &events, via);
        !events.is_empty()
    }

    fn apply(&mut self, person: usize, title: usize, events: &[Event], via: &str) {
        let watch = self.watches.entry((person, title)).or_default();
        let was_played = watch.played();
        for event in events.iter().copied() {
            watch.apply(&event);
            let once = *watch;
            assert!(!watch.apply(&event), "an event applied twice changes nothing: {event:?} on {once:?}");
            if let Event::Played { stamp: Some(stamp), source, .. } = event {
                let history = self.histories.entry((person, title)).or_default();
                history.tell(Viewing::told(stamp, source, via), RUNTIME);
                assert!(!history.tell(Viewing::told(stamp, source, via), RUNTIME), "a play told twice is one play");
            }
        }
        if was_played && !self.watches[&(person, title)].played() {
            self.unplayed.push((person, title));
        }
    }

    pub fn agreed(&self, person: usize, title: usize) -> Agreed {
        let watch = self.watches.get(&(person, title)).copied().unwrap_or_default();
        Agreed {
            played: watch.mark().map(|(_, played)| played),
            changed_at: watch.changed_at(),
            played_at: self.histories.get(&(person, title)).and_then(History::last_played_at),
            position: watch.position(),
        }
    }

    /// Writes what differs at the servers named. Returns how many writes there were; after a crash it stops.
    pub fn export(
        &mut self,
        servers: &mut [Server],
        reachable: &[usize],
        persons: usize,
        crash: Option<Crash>,
        now: i64,
    ) -> i64 {
        let mut writes = 0;
        for &index in reachable {
            for item in servers[index].items.clone() {
                for person in 0..persons {
                    // An un-marked title that is being watched anew needs two writes: the mark's and the position's.
                    for _ in 0..2 {
                        // One write takes a second; each stamp of a server's own is therefore a little later than the run's now.
                        let moment = now + 1000 * writes;
                        let Some(wanted) = self.wanted(servers, index, person, &item, moment) else { break };
                        let dies = crash.filter(|crash| crash.at_write == writes);
                        writes += 1;
                        self.write(servers, index, person, &item, &wanted, dies, moment);
                        if dies.is_some() {
                            return writes;
                        }
                    }
                }
            }
        }
        writes
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a write is to an item at a server for a person, at a moment, whole or not"
    )]
    fn write(
        &mut self,
        servers: &mut [Server],
        index: usize,
        person: usize,
        item: &Item,
        wanted: &Wanted,
        dies: Option<Crash>,
        moment: i64,
    ) {
        if *wanted == Wanted::Unplayed {
            self.unplays_written.push((person, item.title));
        }
        self.expect(&servers[index], index, person, item.title, wanted, moment);
        if dies.is_some_and(|crash| !crash.after) {
            return;
        }
        let state = servers[index].write(person, item, wanted, moment + 300);
        if dies.is_some() {
            return;
        }
        let Some(observation) = self.observations.get_mut(&(person, index, item.id)) else { return };
        let under_way = state.position_ms > 0 && servers[index].flavor.kind().counts_at_start();
        observation.finished_plays = if under_way { observation.finished_plays.min(state.plays) } else { state.plays };
        observation.state = state;
        observation.true_at = stamp(moment + 600);
        observation.expected = None;
    }

    /// What the item should be told, after a check of how it is now.
    fn wanted(&mut self, servers: &mut [Server], index: usize, person: usize, item: &Item, now: i64) -> Option<Wanted> {
        if servers[index].is_watching(person, item.title) {
            return None;
        }
        self.differs(&servers[index], index, person, item, now)?;
        self.read(servers, index, person, item, false, now);
        self.differs(&servers[index], index, person, item, now)
    }

    fn differs(&self, server: &Server, index: usize, person: usize, item: &Item, now: i64) -> Option<Wanted> {
        let there = self.observations.get(&(person, index, item.id))?;
        difference(
            there,
            &self.agreed(person, item.title),
            RUNTIME,
            server.offset(),
            ProgressPolicy::default(),
            stamp(now),
        )
    }

    fn expect(&mut self, server: &Server, index: usize, person: usize, title: usize, wanted: &Wanted, now: i64) {
        let takes_dates = server.flavor.kind().counts_at_start();
        let sent = match wanted {
            Wanted::Played { at } => *at,
            Wanted::Position { at, .. } => Some(*at),
            Wanted::Unplayed | Wanted::NoPosition => None,
        };
        let expected = Expected {
            played: matches!(wanted, Wanted::Played { .. } | Wanted::NoPosition),
            at: stamp(now),
            stamp: sent.filter(|_| takes_dates).map(|at| server.offset().to_theirs(at)),
        };
        for copy in server.items.iter().filter(|copy| copy.title == title) {
            if let Some(observation) = self.observations.get_mut(&(person, index, copy.id)) {
                observation.expected = Some(expected);
            }
        }
    }

    /// Every play that was seen is in the history: at its date, or at a moment between its date and the import where the date is not its own.
    pub fn lost_plays(&self) -> Vec<Seen> {
        let gap = same_viewing_gap(RUNTIME);
        let kept = |seen: &&Seen| {
            let from = stamp(seen.play.stamp.unwrap_or(seen.play.began)) - gap;
            let until = stamp(seen.at) + gap;
            self.histories.get(&(seen.person, seen.title)).is_some_and(|history| {
                history.viewings().iter().any(|viewing| viewing.last >= from && viewing.first <= until)
            })
        };
        // Nobody knows when an undated title of a new server was watched: it has no place in the history.
        self.seen
            .iter()
            .filter(|seen| !(seen.first_sight && seen.play.stamp.is_none()))
            .filter(|seen| !kept(seen))
            .copied()
            .collect()
    }
}

/// Whether the server tells the play at all. It does not
/// - where the title was played before and the count is the same: un-marked and watched again between two readings, it looks like a date that moved;
/// - where the next viewing is under way already, on servers that count at the start;
/// - where the count is lower and no date shows that something came after;
/// - where a crash has left a write of ours in doubt, and the play can't be told from that write;
/// - where an event told of a play before, that of this one was lost, and no date tells the two apart.
fn visible(server: &Server, person: usize, item: &Item, base: Option<&Observation>) -> bool {
    let state = server.read(person, item).state;
    let Some(base) = base else { return true };
    if base.state.played && state.position_ms > 0 && server.flavor.kind().counts_at_start() {
        return false;
    }
    let newer = state.last_played_at.is_some()
        && base.state.last_played_at.is_some()
        && state.last_played_at > base.state.last_played_at;
    if base.finish_told.is_some() && state.last_played_at.is_none() {
        return false;
    }
    if let Some(expected) = base.expected {
        let Some(told) = state.last_played_at else { return false };
        let in_doubt = expected.stamp.map_or_else(
            || (server.offset().to_ours(told).as_millisecond() - expected.at.as_millisecond()).abs() <= 600_000,
            |sent| (told.as_millisecond() - sent.as_millisecond()).abs() < 2_000,
        );
        if expected.played && in_doubt {
            return false;
        }
    }
    if !base.state.played || state.plays > base.finished_plays {
        return true;
    }
    let anew = state.plays < base.state.plays
        || (state.position_ms == 0
            && (base.added_at != Some(stamp(item.added)) || base.expected.is_some_and(|expected| !expected.played)));
    anew && newer
}
