//! Media servers as far as the laws need them: how each kind moves mark, count, date and position, and what it forgets.
//! Facts are those of Jellyfin's `SessionManager` and `BaseItem`, and of Plex's endpoints; all times are true times in milliseconds.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::item::{ItemState, ServerKind};
use watchstate_domain::merge::Reading;
use watchstate_domain::notice::{Cause, What};
use watchstate_domain::write::Wanted;

/// One running time for all titles.
pub const RUNTIME_MS: i64 = 100 * 60_000;

/// The kinds that differ in what they do to a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Counts at the end, stamps activity, takes no dates, shares states between copies.
    Plex,
    /// Counts and stamps at the start, clears the mark then, shares states between copies.
    Jellyfin10,
    /// As above, with a state an item.
    Jellyfin11,
    /// As above, but keeps the mark when a re-watch starts.
    Jellyfin12,
    /// As `Jellyfin11`; marks by hand don't count, dates have whole seconds.
    Emby,
}

impl Flavor {
    pub const fn kind(self) -> ServerKind {
        match self {
            Self::Plex => ServerKind::Plex,
            Self::Emby => ServerKind::Emby,
            _ => ServerKind::Jellyfin,
        }
    }

    const fn shares(self) -> bool {
        matches!(self, Self::Plex | Self::Jellyfin10)
    }

    const fn clears_at_start(self) -> bool {
        matches!(self, Self::Jellyfin10 | Self::Jellyfin11 | Self::Emby)
    }
}

/// What a state belongs to beside the person: the title where copies share it, else the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Title(usize),
    Item(u32),
}

/// A play or mark that no import has seen yet and that still stands.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// When it began: an un-mark before that is older than the play.
    pub began: i64,
    /// The date that the server tells of it.
    pub stamp: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    pub played: bool,
    pub plays: u32,
    pub date: Option<i64>,
    pub position_ms: u64,
    /// When the viewing that is under way right now began.
    pub session: Option<i64>,
    /// When a viewing began that neither ended nor was overtaken by a mark.
    pub unfinished: Option<i64>,
    pub pending: Option<Pending>,
}

#[derive(Debug, Clone, Copy)]
pub struct Item {
    pub id: u32,
    pub title: usize,
    pub added: i64,
}

/// The date that a mark by hand carries.
#[derive(Debug, Clone, Copy)]
pub enum MarkDate {
    Now,
    Kept,
    Back(i64),
}

/// An event of a server's webhook.
#[derive(Debug, Clone, Copy)]
pub struct Note {
    pub person: usize,
    pub item: Item,
    pub what: What,
    /// When it was sent and received, in true time: it may be merged much later.
    pub at: i64,
    /// When the viewing began that it tells the end of.
    pub finished: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Server {
    /// Events that nobody has merged yet, where the server sends some.
    pub notes: Option<Vec<Note>>,
    pub name: String,
    pub flavor: Flavor,
    pub offset_ms: i64,
    pub tells_dates: bool,
    pub items: Vec<Item>,
    pub states: BTreeMap<(usize, Key), State>,
}

pub fn stamp(ms: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

impl Server {
    pub const fn offset(&self) -> ClockOffset {
        ClockOffset(self.offset_ms)
    }

    pub const fn key(&self, item: &Item) -> Key {
        if self.flavor.shares() { Key::Title(item.title) } else { Key::Item(item.id) }
    }

    pub fn state(&self, person: usize, item: &Item) -> State {
        self.states.get(&(person, self.key(item))).copied().unwrap_or_default()
    }

    pub fn state_mut(&mut self, person: usize, item: &Item) -> &mut State {
        self.states.entry((person, self.key(item))).or_default()
    }

    /// True when the person is watching some copy of the title here.
    pub fn is_watching(&self, person: usize, title: usize) -> bool {
        self.items.iter().any(|item| item.title == title && self.state(person, item).session.is_some())
    }

    pub fn read(&self, person: usize, item: &Item) -> Reading {
        let state = self.state(person, item);
        Reading {
            state: ItemState {
                played: state.played,
                plays: state.plays,
                last_played_at: state.date.filter(|_| self.tells_dates).map(|date| stamp(date + self.offset_ms)),
                position_ms: state.position_ms,
            },
            added_at: Some(stamp(item.added)),
        }
    }

    /// Sends events, where the server sends some, as its kind does. Call it after the act.
    fn tell(&mut self, person: usize, item: &Item, cause: Cause, end: Option<What>, finished: Option<i64>, now: i64) {
        let state = self.read(person, item).state;
        let record = What::Saved { state, cause };
        let told = match (self.flavor, cause, end) {
            (Flavor::Plex, Cause::Marked | Cause::Set | Cause::Progress, _)
            | (Flavor::Emby, Cause::Set | Cause::Progress, _) => vec![],
            (Flavor::Emby, Cause::Marked, _) if state.played => vec![What::MarkedPlayed],
            (Flavor::Emby, Cause::Marked, _) => vec![What::MarkedUnplayed],
            (Flavor::Plex | Flavor::Emby, _, end) => vec![end.unwrap_or(What::Started)],
            (_, _, end) => [Some(record), end].into_iter().flatten().collect(),
        };
        let item = *item;
        if let Some(notes) = &mut self.notes {
            notes.extend(told.into_iter().map(|what| Note { person, item, what, at: now, finished }));
        }
    }

    /// The stamp that an event of then bears, on the server's clock; Plex's bear none.
    pub fn sent_at(&self, at: i64) -> Option<Timestamp> {
        (self.flavor != Flavor::Plex).then(|| stamp(at + self.offset_ms))
    }

    pub fn start(&mut self, person: usize, item: &Item, now: i64) {
        let flavor = self.flavor;
        let state = self.state_mut(person, item);
        if state.session.is_some() {
            return;
        }
        state.session = Some(now);
        state.unfinished = Some(now);
        state.date = Some(now);
        if flavor != Flavor::Plex {
            state.plays += 1;
            // The new date has overwritten that of the last play.
            state.pending = None;
        }
        if flavor.clears_at_start() {
            state.played = false;
        }
        self.tell(person, item, Cause::Started, None, None, now);
    }

    pub fn progress(&mut self, person: usize, item: &Item, position_ms: u64, now: i64) {
        let plex = self.flavor == Flavor::Plex;
        let state = self.state_mut(person, item);
        if state.session.is_some() {
            state.position_ms = position_ms;
            if plex {
                state.date = Some(now);
            }
            self.tell(person, item, Cause::Progress, None, None, now);
        }
    }

    /// Stops at a position; 0 for less than 5 %.
    pub fn stop(&mut self, person: usize, item: &Item, position_ms: u64, now: i64) {
        self.progress(person, item, position_ms, now);
        if self.state_mut(person, item).session.take().is_some() {
            self.tell(person, item, Cause::Stopped, Some(What::Position { position_ms }), None, now);
        }
    }

    pub fn finish(&mut self, person: usize, item: &Item, now: i64) {
        let plex = self.flavor == Flavor::Plex;
        let state = self.state_mut(person, item);
        let Some(began) = state.session.take() else { return };
        state.unfinished = None;
        state.played = true;
        state.position_ms = 0;
        if plex {
            state.plays += 1;
            state.date = Some(now);
        }
        state.pending = Some(Pending { began, stamp: state.date });
        self.tell(person, item, Cause::Stopped, Some(What::Finished), Some(began), now);
    }

    pub fn mark(&mut self, person: usize, item: &Item, date: MarkDate, now: i64) {
        let flavor = self.flavor;
        let state = self.state_mut(person, item);
        let first = !state.played;
        state.played = true;
        state.position_ms = 0;
        state.unfinished = state.session;
        match (flavor, date) {
            (Flavor::Plex, _) => {
                state.plays += 1;
                state.date = Some(now);
            }
            (Flavor::Emby, _) => state.date = Some(now / 1000 * 1000),
            (_, MarkDate::Kept) => {
                state.plays = state.plays.max(1);
                state.date = state.date.or(Some(now));
            }
            (_, MarkDate::Now | MarkDate::Back(_)) => {
                state.plays += 1;
                state.date = Some(if let MarkDate::Back(by) = date { now - by } else { now });
            }
        }
        // A mark on top of a play overwrites the play's date.
        let unseen = state.pending.map(|pending| pending.began);
        if let Some(began) = unseen.or_else(|| first.then_some(now)) {
            state.pending = Some(Pending { began, stamp: state.date });
        }
        self.tell(person, item, Cause::Marked, None, None, now);
    }

    pub fn unmark(&mut self, person: usize, item: &Item, now: i64) {
        let state = self.state_mut(person, item);
        *state = State { session: state.session, unfinished: state.session, ..State::default() };
        self.tell(person, item, Cause::Marked, None, None, now);
    }

    /// Another file in the place of this one: same id, new added date.
    pub fn replace(&mut self, at: usize, now: i64) {
        let item = &mut self.items[at];
        item.added = now;
        let item = *item;
        self.forget(&item);
    }

    /// Every item is found anew, with another id.
    pub fn rescan(&mut self, next_id: &mut u32, now: i64) {
        let items = self.items.clone();
        for item in &items {
            self.forget(item);
        }
        for item in &mut self.items {
            *next_id += 1;
            item.id = *next_id;
            item.added = now;
        }
    }

    fn forget(&mut self, item: &Item) {
        if !self.flavor.shares() {
            let key = self.key(item);
            self.states.retain(|(_, other), _| *other != key);
        }
    }

    /// Carries out a write of ours. Returns the state that the server says or lets us know: no date where it stamps its own now.
    pub fn write(&mut self, person: usize, item: &Item, wanted: &Wanted, now: i64) -> ItemState {
        let (flavor, tells_dates, offset) = (self.flavor, self.tells_dates, self.offset_ms);
        let plex = flavor == Flavor::Plex;
        let kept = |at: Timestamp| {
            let theirs = at.as_millisecond() + offset;
            (if flavor == Flavor::Emby { theirs.div_euclid(1000) * 1000 } else { theirs }) - offset
        };
        let state = self.state_mut(person, item);
        let mut own_stamp = plex;
        match wanted {
            Wanted::Played { at } => {
                state.played = true;
                state.position_ms = 0;
                state.unfinished = None;
                state.plays = if plex { state.plays + 1 } else { state.plays.max(1) };
                state.date = match at {
                    Some(at) if !plex => Some(kept(*at)),
                    _ if plex => Some(now),
                    _ => {
                        own_stamp = state.date.is_none();
                        state.date.or(Some(now))
                    }
                };
            }
            Wanted::Unplayed => {
                *state = State::default();
                own_stamp = false;
            }
            Wanted::Position { position_ms, at } => {
                state.position_ms = *position_ms;
                state.date = Some(if plex { now } else { kept(*at) });
            }
            Wanted::NoPosition => {
                state.position_ms = 0;
                state.unfinished = None;
                own_stamp = false;
            }
        }
        let told = ItemState {
            played: state.played,
            plays: state.plays,
            last_played_at: state.date.filter(|_| tells_dates && !own_stamp).map(|date| stamp(date + offset)),
            position_ms: state.position_ms,
        };
        let cause = match wanted {
            Wanted::Played { .. } | Wanted::Unplayed => Cause::Marked,
            Wanted::Position { .. } | Wanted::NoPosition => Cause::Set,
        };
        self.tell(person, item, cause, None, None, now);
        told
    }
}
