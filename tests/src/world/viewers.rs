//! What people and programs do with a server: viewers at its own players, and writes and reports through its API.

use jiff::Timestamp;

use super::change::{Change, What};
use super::model::{Model, UserState, Write};
use super::{World, WorldError};

impl World {
    // ---- viewers at this server's own players ----

    /// A viewer starts to play an item.
    pub fn start_playback(&self, user: &str, item: &str) -> Result<(), WorldError> {
        self.act(user, item, false, Model::start).map(drop)
    }

    /// The playback has come to `position_ms`.
    pub fn progress(&self, user: &str, item: &str, position_ms: u64) -> Result<(), WorldError> {
        self.hear_of(user, item, false, position_ms, false).map(drop)
    }

    /// The viewer pauses at `position_ms`.
    pub fn pause(&self, user: &str, item: &str, position_ms: u64) -> Result<(), WorldError> {
        self.hear_of(user, item, false, position_ms, true).map(drop)
    }

    /// The viewer stops at `position_ms`.
    pub fn stop_playback(&self, user: &str, item: &str, position_ms: u64) -> Result<(), WorldError> {
        self.act(user, item, false, |model, now, user, item| model.stop(now, user, item, Some(position_ms))).map(drop)
    }

    /// The viewer starts and stops at `position_ms`, with the time in between not passing.
    pub fn play_to(&self, user: &str, item: &str, position_ms: u64) -> Result<(), WorldError> {
        self.start_playback(user, item)?;
        self.progress(user, item, position_ms)?;
        self.stop_playback(user, item, position_ms)
    }

    /// The viewer watches an item from start to end.
    pub fn play_to_end(&self, user: &str, item: &str) -> Result<(), WorldError> {
        let (_, id) = self.read(|model| model.resolve(user, item))?;
        let end = self.read(|model| model.media.get(&id).and_then(|media| media.runtime_ms)).unwrap_or(3_600_000);
        self.play_to(user, item, end)
    }

    /// The viewer marks an item (or all of a show or season) as played; a date can only be kept by Jellyfin, Emby.
    pub fn mark_played(&self, user: &str, item: &str, date: Option<Timestamp>) -> Result<(), WorldError> {
        self.act(user, item, false, |model, now, user, item| {
            model.mark_played(now, user, item, date);
            What::MarkedPlayed
        })
        .map(drop)
    }

    /// The viewer marks an item (or all of a show or season) as unplayed.
    pub fn mark_unplayed(&self, user: &str, item: &str) -> Result<(), WorldError> {
        self.act(user, item, false, |model, _, user, item| {
            model.mark_unplayed(user, item);
            What::MarkedUnplayed
        })
        .map(drop)
    }

    /// Puts a state in place just as given, as a history from before the test began. Nothing is announced.
    pub fn set_state(&self, user: &str, item: &str, state: &UserState) -> Result<(), WorldError> {
        self.edit(|model| {
            let (user, item) = model.resolve(user, item)?;
            model.put_state(&user, &item, state);
            Ok(())
        })
    }

    // ---- the API's side ----

    /// A write from outside: carried out, recorded, announced.
    pub fn write(&self, user: &str, item: &str, write: &Write) -> Result<What, WorldError> {
        self.act(user, item, true, |model, now, user, item| model.write(now, user, item, write))
    }

    /// A playback reported from outside (`/Sessions/Playing`).
    pub fn report_start(&self, user: &str, item: &str) -> Result<What, WorldError> {
        self.act(user, item, true, Model::start)
    }

    /// Progress reported from outside (`/Sessions/Playing/Progress`, `/:/timeline` while playing).
    pub fn report_progress(&self, user: &str, item: &str, position_ms: u64, paused: bool) -> Result<What, WorldError> {
        self.hear_of(user, item, true, position_ms, paused)
    }

    /// A stop reported from outside (`/Sessions/Playing/Stopped`, `/:/timeline` with `state=stopped`).
    pub fn report_stop(&self, user: &str, item: &str, position_ms: Option<u64>) -> Result<What, WorldError> {
        self.act(user, item, true, |model, now, user, item| model.stop(now, user, item, position_ms))
    }

    /// A player tells where it is. At Plex the first report of one that was never heard of opens a session: a start.
    fn hear_of(
        &self,
        user: &str,
        item: &str,
        by_api: bool,
        position_ms: u64,
        paused: bool,
    ) -> Result<What, WorldError> {
        let unknown = self.read(|model| {
            let (user, item) = model.resolve(user, item)?;
            Ok(model.flavor.is_plex() && model.session(&user, &item).is_none())
        })?;
        if unknown {
            self.act(user, item, by_api, Model::start)?;
        }
        self.act(user, item, by_api, |model, now, user, item| model.progress(now, user, item, position_ms, paused))
    }

    fn act(
        &self,
        user: &str,
        item: &str,
        by_api: bool,
        change: impl FnOnce(&mut Model, Timestamp, &str, &str) -> What,
    ) -> Result<What, WorldError> {
        let now = self.now();
        self.edit(|model| {
            let (user, item) = model.resolve(user, item)?;
            let before = model.session(&user, &item).cloned();
            let what = change(model, now, &user, &item);
            let session = model.session(&user, &item).cloned().or(before);
            self.tell(model, Change { at: now, user: Some(user), item, what, session, by_api });
            Ok(what)
        })
    }
}
