//! What watching and marking do to a state, server by server. For Jellyfin this follows its source
//! (`SessionManager`, `UserDataManager.UpdatePlayState`, `BaseItem.MarkPlayed`); Emby is treated like Jellyfin 10.10
//! where it is not known better; Plex counts a view once a playback when its threshold is passed.

use jiff::Timestamp;

use super::change::What;
use super::model::{HistoryEntry, Model, Session, StatePatch, UserState, Write, WriteSeen};

impl Model {
    /// A playback begins. Jellyfin and Emby count and stamp it at once; Plex only opens a session.
    pub(crate) fn start(&mut self, now: Timestamp, user: &str, item: &str) -> What {
        self.open_session(now, user, item);
        if !self.flavor.is_plex() {
            let mut state = self.state(user, item);
            state.plays += 1;
            state.last_played_at = Some(now);
            if self.flavor.start_clears_played() {
                state.played = false;
            }
            self.put_state(user, item, &state);
        }
        What::Started
    }

    fn open_session(&mut self, now: Timestamp, user: &str, item: &str) {
        self.sessions.retain(|session| session.user != user || session.item != item);
        let key = self.number();
        self.sessions.push(Session {
            id: format!("session{key}"),
            key,
            user: user.to_owned(),
            item: item.to_owned(),
            position_ms: self.state(user, item).position_ms,
            paused: false,
            started_at: now,
            active_at: now,
            counted: false,
        });
    }

    /// A playback goes on, or is paused, at `position_ms`. A player that was not heard of before has a session from then
    /// on; nowhere is that counted.
    pub(crate) fn progress(&mut self, now: Timestamp, user: &str, item: &str, position_ms: u64, paused: bool) -> What {
        let plex = self.flavor.is_plex();
        if self.session(user, item).is_none() {
            self.open_session(now, user, item);
        }
        let (mut counted, mut was_paused) = (false, false);
        if let Some(session) = self.session_mut(user, item) {
            was_paused = std::mem::replace(&mut session.paused, paused);
            session.position_ms = position_ms;
            session.active_at = now;
            counted = session.counted;
        }
        let scrobbled = self.reach(now, user, item, position_ms, counted);
        if plex && scrobbled && !counted {
            if let Some(session) = self.session_mut(user, item) {
                session.counted = true;
            }
            return What::Scrobbled;
        }
        match (was_paused, paused) {
            (false, true) => What::Paused,
            (true, false) => What::Resumed,
            _ => What::Progressed,
        }
    }

    /// A playback ends at `position_ms`; none: the client can't tell (then it counts as watched).
    pub(crate) fn stop(&mut self, now: Timestamp, user: &str, item: &str, position_ms: Option<u64>) -> What {
        let counted = self.session_mut(user, item).is_some_and(|session| session.counted);
        self.sessions.retain(|session| session.user != user || session.item != item);
        let completed = if let Some(position_ms) = position_ms {
            self.reach(now, user, item, position_ms, counted)
        } else {
            let mut state = self.state(user, item);
            state.plays += 1;
            state.played = true;
            state.position_ms = 0;
            self.put_state(user, item, &state);
            true
        };
        if completed && self.flavor.has_alternate_versions() {
            self.finish_versions(user, item);
        }
        What::Stopped { completed, position_ms }
    }

    /// A player (or a tool that poses as one) tells a position. Answers whether that counts as watched to the end.
    pub(crate) fn reach(&mut self, now: Timestamp, user: &str, item: &str, position_ms: u64, counted: bool) -> bool {
        let runtime_ms = self.media.get(item).and_then(|media| media.runtime_ms).filter(|runtime| *runtime > 0);
        let mut state = self.state(user, item);
        let end = self.settings.max_resume_percent;
        let completed = if self.flavor.is_plex() {
            let done = runtime_ms.is_some_and(|runtime| position_ms * 100 > runtime * end);
            state.last_played_at = Some(now);
            state.position_ms = if done || counted { 0 } else { position_ms };
            if done && !counted {
                state.plays += 1;
                state.played = true;
                let id = self.number();
                let (user, item) = (user.to_owned(), item.to_owned());
                self.history.push(HistoryEntry { id, user, item, viewed_at: now });
            }
            done || counted
        } else {
            let (kept_ms, done) = match runtime_ms {
                None => (0, true),
                Some(_) if position_ms == 0 => (0, false),
                Some(runtime) if position_ms * 100 < runtime * self.settings.min_resume_percent => (0, false),
                Some(runtime) if position_ms * 100 > runtime * end || position_ms + 1000 >= runtime => (0, true),
                Some(runtime) if runtime < self.settings.min_resume_seconds * 1000 => (0, true),
                Some(_) => (position_ms, false),
            };
            state.position_ms = kept_ms;
            state.played |= done;
            done
        };
        self.put_state(user, item, &state);
        completed
    }

    /// Marks as played: an item, or every film and episode in a show or season.
    pub(crate) fn mark_played(&mut self, now: Timestamp, user: &str, item: &str, date: Option<Timestamp>) {
        for leaf in self.leaves(item) {
            let mut state = self.state(user, &leaf);
            if self.flavor.is_plex() {
                state.plays += 1;
                state.last_played_at = Some(now);
            } else {
                // A mark by hand at a real Emby was seen with count 0, so its count is not raised to one.
                let least = u32::from(!self.flavor.is_emby());
                state.plays = (state.plays + u32::from(date.is_some())).max(least);
                state.last_played_at = date.or(state.last_played_at).or(Some(now));
            }
            state.played = true;
            state.position_ms = 0;
            self.put_state(user, &leaf, &state);
        }
    }

    /// Marks as unplayed: an item, or every film and episode in a show or season.
    pub(crate) fn mark_unplayed(&mut self, user: &str, item: &str) {
        for leaf in self.leaves(item) {
            let state = self.state(user, &leaf);
            let cleared = UserState { favorite: state.favorite, rating: state.rating, ..UserState::default() };
            self.put_state(user, &leaf, &cleared);
        }
    }

    /// Carries out a write from the API and keeps a record of it.
    pub(crate) fn write(&mut self, now: Timestamp, user: &str, item: &str, what: &Write) -> What {
        self.writes.push(WriteSeen { user: user.to_owned(), item: item.to_owned(), what: what.clone(), at: now });
        match what {
            Write::Played { date } => {
                self.mark_played(now, user, item, *date);
                What::MarkedPlayed
            }
            Write::Unplayed => {
                self.mark_unplayed(user, item);
                What::MarkedUnplayed
            }
            Write::Set(patch) => {
                let mut state = self.state(user, item);
                patch.apply(&mut state);
                self.put_state(user, item, &state);
                // All that a Plex lets set this way is a rating.
                if self.flavor.is_plex() { What::Rated } else { What::StateSet }
            }
            Write::Position { position_ms } => {
                if self.reach(now, user, item, *position_ms, false) && self.flavor.is_plex() {
                    What::Scrobbled
                } else {
                    What::StateSet
                }
            }
            Write::Forget => {
                let mut state = self.state(user, item);
                state.position_ms = 0;
                self.put_state(user, item, &state);
                What::StateSet
            }
            Write::Favorite(favorite) => {
                let mut state = self.state(user, item);
                state.favorite = *favorite;
                self.put_state(user, item, &state);
                What::Rated
            }
        }
    }

    /// Jellyfin 12: finishing one version of a film marks the others and clears their positions.
    fn finish_versions(&mut self, user: &str, item: &str) {
        let Some(media) = self.media.get(item) else { return };
        let primary = media.version_of.clone().unwrap_or_else(|| media.id.clone());
        let finished = self.state(user, item);
        let others = self
            .media
            .values()
            .filter(|other| other.id != item && (other.id == primary || other.version_of.as_ref() == Some(&primary)));
        for other in others.map(|other| other.id.clone()).collect::<Vec<_>>() {
            let mut state = self.state(user, &other);
            state.played = true;
            state.position_ms = 0;
            state.last_played_at = finished.last_played_at;
            self.put_state(user, &other, &state);
        }
    }
}

impl StatePatch {
    /// Sets what is given.
    fn apply(&self, state: &mut UserState) {
        state.played = self.played.unwrap_or(state.played);
        state.plays = self.plays.unwrap_or(state.plays);
        state.last_played_at = self.last_played_at.or(state.last_played_at);
        state.position_ms = self.position_ms.unwrap_or(state.position_ms);
        state.favorite = self.favorite.unwrap_or(state.favorite);
        state.rating = self.rating.or(state.rating);
    }
}
