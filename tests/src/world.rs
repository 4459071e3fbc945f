//! The model of one media server: what it holds, what its viewers do, and the rules by which it keeps their states.
//! A [`World`] is a cheap handle; the HTTP side ([`crate::server`]) and a test hold clones of the same world.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::http::{Fault, Http, RequestLog};
use crate::webhook::Registry;

mod change;
mod clock;
mod flavor;
mod household;
mod model;
mod new;
mod playback;
mod state;
#[cfg(test)]
mod tests;
mod viewers;

pub use change::{Change, What};
pub use clock::{Clock, TimeSource};
pub use flavor::Flavor;
pub(crate) use household::hex;
pub use model::{
    Content, HistoryEntry, ItemId, Kind, Library, LibraryId, Media, Model, Notifications, PLUGIN, Session, Settings,
    StatePatch, User, UserId, UserState, Write, WriteSeen,
};
pub use new::{NewEpisode, NewMovie};
pub use state::Caller;

/// A test or a request named something that this server doesn't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No such user.
    #[error("this server has no user {0:?}; add it with add_user first")]
    NoUser(String),
    /// No such item, or it is hidden.
    #[error("this server shows no item {0:?}; add it first, or show it again with show_all")]
    NoItem(String),
    /// A saved world can't be read.
    #[error("this is not a saved world: {0}")]
    NotAWorld(String),
}

/// One simulated media server. Clones are handles of the same server.
#[derive(Clone)]
pub struct World {
    model: Arc<Mutex<Model>>,
    clock: Clock,
    /// Made for whoever listens first: it takes more memory than a small server.
    changes: Arc<OnceLock<broadcast::Sender<Change>>>,
    http: Http,
    webhooks: Registry,
}

impl World {
    /// An empty server that lives in real time.
    pub fn new(flavor: Flavor, name: &str, server_id: &str) -> Self {
        Self::at(TimeSource::real(), flavor, name, server_id)
    }

    /// An empty server in a household's time.
    pub fn at(time: TimeSource, flavor: Flavor, name: &str, server_id: &str) -> Self {
        Self::of(Model::new(flavor, name, server_id), time)
    }

    /// A server that holds `model`.
    pub fn of(model: Model, time: TimeSource) -> Self {
        let (http, webhooks) = (Http::default(), Registry::default());
        let model = Arc::new(Mutex::new(model));
        Self { model, clock: Clock::new(time), changes: Arc::default(), http, webhooks }
    }

    /// Reads a world saved by [`to_json`](Self::to_json).
    pub fn from_json(text: &str, time: TimeSource) -> Result<Self, WorldError> {
        let model = serde_json::from_str(text).map_err(|error| WorldError::NotAWorld(error.to_string()))?;
        Ok(Self::of(model, time))
    }

    /// The world as JSON, without its clock. It holds tokens and passwords: invented ones.
    pub fn to_json(&self) -> String {
        self.read(|model| serde_json::to_string_pretty(model).unwrap_or_default())
    }

    /// Looks at the model.
    pub fn read<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.model.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the model freely, for what no event below covers. Nothing is announced.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        change(&mut self.model.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server's own clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the server believes the time is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Which server in which version.
    pub fn flavor(&self) -> Flavor {
        self.read(|model| model.flavor)
    }

    /// Everything that happens from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.get_or_init(|| broadcast::channel(4096).0).subscribe()
    }

    /// Who is told of it by HTTP.
    pub const fn webhooks(&self) -> &Registry {
        &self.webhooks
    }

    /// Log and faults of the HTTP side.
    pub const fn http(&self) -> &Http {
        &self.http
    }

    /// What was asked through HTTP.
    pub const fn log(&self) -> &RequestLog {
        &self.http.log
    }

    /// Lets requests fail.
    pub fn inject(&self, fault: Fault) {
        self.http.faults.inject(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.http.faults.heal();
    }

    // ---- people ----

    /// Adds an administrator (Plex: the owner, if the first) with a token and the password `<name>-password`.
    pub fn add_owner(&self, name: &str) -> User {
        self.edit(|model| model.add_user(name, true))
    }

    /// Adds a user with a token and the password `<name>-password`; at Plex a member of the owner's home.
    pub fn add_user(&self, name: &str) -> User {
        self.edit(|model| model.add_user(name, false))
    }

    /// Changes a user: PIN, friend in place of home member, disabled …
    pub fn edit_user(&self, who: &str, change: impl FnOnce(&mut User)) -> Result<(), WorldError> {
        self.edit(|model| {
            let id = model.user(who).map(|user| user.id.clone());
            let user = model.users.iter_mut().find(|user| Some(&user.id) == id.as_ref());
            user.map(change).ok_or_else(|| WorldError::NoUser(who.to_owned()))
        })
    }

    /// Adds an API key (Jellyfin, Emby) for an application.
    pub fn add_api_key(&self, application: &str) -> String {
        self.edit(|model| {
            let key = hex(&format!("api key {} {application}", model.server_id));
            model.api_keys.insert(key.clone(), application.to_owned());
            key
        })
    }

    /// Logs a user in: a further token, if name and password fit and the user isn't disabled.
    pub fn login(&self, name: &str, password: &str) -> Option<(User, String)> {
        self.edit(|model| {
            let fits =
                |user: &&User| user.name.eq_ignore_ascii_case(name) && user.password == password && !user.disabled;
            let id = model.users.iter().find(fits)?.id.clone();
            let token = model.add_token(&id)?;
            Some((model.user(&id)?.clone(), token))
        })
    }

    /// Makes a token or API key worthless. Answers whether it was one.
    pub fn revoke(&self, token: &str) -> bool {
        self.edit(|model| {
            let mut found = model.api_keys.remove(token).is_some();
            for user in &mut model.users {
                let before = user.tokens.len();
                user.tokens.retain(|held| held != token);
                found |= user.tokens.len() < before;
                if user.account_token == token {
                    user.account_token.clear();
                    found = true;
                }
            }
            found
        })
    }

    // ---- libraries and files ----

    /// Adds a library; files go to the first that fits if a builder names none.
    pub fn add_library(&self, title: &str, content: Content) -> LibraryId {
        let now = self.now();
        self.edit(|model| model.add_library(now, title, content))
    }

    /// Lets only these users (and administrators) see a library.
    pub fn restrict_library(&self, library: &str, users: &[&str]) {
        self.edit(|model| {
            let ids = users.iter().filter_map(|who| model.user(who)).map(|user| user.id.clone()).collect();
            if let Some(library) = model.libraries.iter_mut().find(|held| held.id == library) {
                library.users = Some(ids);
            }
        });
    }

    /// A film appears.
    pub fn add_movie(&self, new: &NewMovie) -> ItemId {
        let now = self.now();
        self.edit(|model| {
            let id = model.add_movie(now, new);
            self.tell(model, Change::of_item(now, &id, What::Added));
            id
        })
    }

    /// An episode appears, with its show and season if they are new.
    pub fn add_episode(&self, new: &NewEpisode) -> ItemId {
        let now = self.now();
        self.edit(|model| {
            let id = model.add_episode(now, new);
            self.tell(model, Change::of_item(now, &id, What::Added));
            id
        })
    }

    /// An item (film, episode, season or show) goes away.
    pub fn remove(&self, item: &str) {
        let now = self.now();
        self.edit(|model| {
            model.remove(item);
            self.tell(model, Change::of_item(now, item, What::Removed));
        });
    }

    /// Another file takes an item's place; answers its id from then on.
    pub fn replace_file(&self, item: &str, path: &str) -> Result<ItemId, WorldError> {
        let now = self.now();
        self.edit(|model| {
            let id = model.replace_file(now, item, path)?;
            if id != item {
                self.tell(model, Change::of_item(now, item, What::Removed));
            }
            self.tell(model, Change::of_item(now, &id, What::Added));
            Ok(id)
        })
    }

    /// The libraries are read anew into an empty database: all ids change. Answers old id -> new id.
    pub fn rescan(&self, keep_added: bool) -> BTreeMap<ItemId, ItemId> {
        let now = self.now();
        self.edit(|model| model.rescan(now, keep_added))
    }

    /// An item is matched to other ids (all are replaced).
    pub fn rematch(&self, item: &str, ids: &[(&str, &str)]) -> Result<(), WorldError> {
        let now = self.now();
        self.edit(|model| model.rematch(now, item, ids))
    }

    /// The server answers with empty libraries.
    pub fn hide_all(&self) {
        self.edit(|model| model.hide_every(1));
    }

    /// The server shows every second film and episode only.
    pub fn hide_half(&self) {
        self.edit(|model| model.hide_every(2));
    }

    /// Everything is there again.
    pub fn show_all(&self) {
        self.edit(|model| model.hidden.clear());
    }

    /// Another server answers at this address.
    pub fn change_identity(&self, server_id: &str) {
        self.edit(|model| server_id.clone_into(&mut model.server_id));
    }

    // ---- for assertions ----

    /// A user's state of an item; the default for what is unknown.
    pub fn state(&self, user: &str, item: &str) -> UserState {
        self.read(|model| {
            let id = model.user(user).map_or_else(|| user.to_owned(), |user| user.id.clone());
            model.state(&id, item)
        })
    }

    /// A user's states of all shown films and episodes.
    pub fn states(&self, user: &str) -> BTreeMap<ItemId, UserState> {
        self.read(|model| model.user(user).map(|user| model.states(&user.id)).unwrap_or_default())
    }

    /// Who is playing what.
    pub fn sessions(&self) -> Vec<Session> {
        self.read(|model| model.sessions.clone())
    }

    /// The id of a film by title.
    pub fn movie(&self, title: &str) -> Option<ItemId> {
        self.read(|model| model.find(Kind::Movie, title).map(|media| media.id.clone()))
    }

    /// The id of an episode by show title and numbers.
    pub fn episode(&self, show: &str, season: u32, episode: u32) -> Option<ItemId> {
        self.read(|model| model.find_episode(show, season, episode).map(|media| media.id.clone()))
    }

    /// All writes that came in through the API, oldest first.
    pub fn writes(&self) -> Vec<WriteSeen> {
        self.read(|model| model.writes.clone())
    }

    /// Forgets the writes seen so far.
    pub fn clear_writes(&self) {
        self.edit(|model| model.writes.clear());
    }

    /// Tells of a change while the model still is just as the change left it.
    fn tell(&self, model: &Model, change: Change) {
        self.webhooks.tell(model, &change);
        if let Some(changes) = self.changes.get() {
            // Nobody listening any more is fine.
            drop(changes.send(change));
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|model| write!(f, "World({} {:?}, {} items)", model.flavor.slug(), model.name, model.media.len()))
    }
}
