//! Looking things up in a [`Model`], and where a user's state of an item is kept: the *key* by which the server
//! files it decides which copies share a state and which lose it when a file is replaced.

use std::collections::BTreeMap;

use super::WorldError;
use super::flavor::Flavor;
use super::model::{
    ItemId, Kind, Library, LibraryId, Media, Model, Notifications, Session, Settings, User, UserId, UserState,
};

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// An API key: an administrator without a user (Jellyfin, Emby).
    ApiKey,
    /// A user.
    User {
        /// Whose token it is.
        id: UserId,
        /// May see everything of everybody.
        admin: bool,
    },
}

impl Caller {
    /// May see and change what belongs to others.
    pub const fn is_admin(&self) -> bool {
        matches!(self, Self::ApiKey | Self::User { admin: true, .. })
    }

    /// The user, unless it is an API key.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::ApiKey => None,
            Self::User { id, .. } => Some(id),
        }
    }
}

impl Model {
    /// An empty server.
    pub fn new(flavor: Flavor, name: &str, server_id: &str) -> Self {
        Self {
            flavor,
            name: name.to_owned(),
            server_id: server_id.to_owned(),
            settings: Settings {
                min_resume_percent: 5,
                max_resume_percent: 90,
                min_resume_seconds: 300,
                legacy_authorization: flavor.accepts_legacy_authorization(),
            },
            notifications: Notifications::default(),
            users: Vec::new(),
            api_keys: BTreeMap::new(),
            libraries: Vec::new(),
            media: BTreeMap::new(),
            hidden: std::collections::BTreeSet::new(),
            states: BTreeMap::new(),
            sessions: Vec::new(),
            history: Vec::new(),
            writes: Vec::new(),
            next_id: 101,
            generation: 0,
            folders: BTreeMap::new(),
        }
    }

    /// The user with this id, uuid or name (names in any case).
    pub fn user(&self, who: &str) -> Option<&User> {
        self.users
            .iter()
            .find(|user| user.id.eq_ignore_ascii_case(who) || user.uuid == who)
            .or_else(|| self.users.iter().find(|user| user.name.eq_ignore_ascii_case(who)))
    }

    /// The administrator who was added first; at Plex the owner.
    pub fn owner(&self) -> Option<&User> {
        self.users.iter().find(|user| user.admin)
    }

    /// Whose token this is; none if it is not valid here.
    pub fn caller(&self, token: &str) -> Option<Caller> {
        if token.is_empty() {
            return None;
        }
        if self.api_keys.contains_key(token) {
            return Some(Caller::ApiKey);
        }
        let plex_owner = |user: &User| self.flavor.is_plex() && user.admin && user.account_token == token;
        let user = self.users.iter().find(|user| user.tokens.iter().any(|held| held == token) || plex_owner(user))?;
        (!user.disabled).then(|| Caller::User { id: user.id.clone(), admin: user.admin })
    }

    /// The library with this id.
    pub fn library(&self, id: &str) -> Option<&Library> {
        self.libraries.iter().find(|library| library.id.eq_ignore_ascii_case(id))
    }

    /// Whether the user may see the library.
    pub fn may_see(&self, user: &str, library: &str) -> bool {
        let admin = self.user(user).is_some_and(|user| user.admin);
        self.library(library)
            .is_some_and(|library| admin || library.users.as_ref().is_none_or(|users| users.contains(user)))
    }

    /// An item that the server shows at the moment.
    pub fn item(&self, id: &str) -> Option<&Media> {
        let lower;
        let id = if self.flavor.is_jellyfin() {
            lower = id.replace('-', "").to_ascii_lowercase();
            &lower
        } else {
            id
        };
        self.media.get(id).filter(|_| !self.hidden.contains(id))
    }

    /// All items that the server shows at the moment, alternate versions included.
    pub fn items(&self) -> impl Iterator<Item = &Media> {
        self.media.values().filter(|media| !self.hidden.contains(&media.id))
    }

    /// The shown films and episodes that an item consists of: itself, or all in a show or season.
    pub fn leaves(&self, id: &str) -> Vec<ItemId> {
        let Some(media) = self.item(id) else { return Vec::new() };
        let folder: fn(&Media) -> Option<&ItemId> = match media.kind {
            Kind::Movie | Kind::Episode => return vec![media.id.clone()],
            Kind::Show => |leaf| leaf.show.as_ref(),
            Kind::Season => |leaf| leaf.season_id.as_ref(),
        };
        let of = |leaf: &&Media| leaf.kind == Kind::Episode && folder(leaf) == Some(&media.id);
        self.items().filter(of).map(|leaf| leaf.id.clone()).collect()
    }

    /// A film by title, or a show.
    pub fn find(&self, kind: Kind, title: &str) -> Option<&Media> {
        self.media.values().find(|media| media.kind == kind && media.title == title)
    }

    /// An episode by show title and numbers; a file with several episodes is found by each of them.
    pub fn find_episode(&self, show: &str, season: u32, episode: u32) -> Option<&Media> {
        let show = self.find(Kind::Show, show)?;
        self.media.values().find(|media| {
            let first = media.episode.unwrap_or_default();
            media.kind == Kind::Episode
                && media.show.as_ref() == Some(&show.id)
                && media.season == Some(season)
                && (first..=media.episode_end.unwrap_or(first)).contains(&episode)
        })
    }

    /// The keys under which an item's states are filed. Reading takes the first that holds something, writing
    /// fills all, as Jellyfin 10.10 does with its list of user-data keys.
    pub fn state_keys(&self, media: &Media) -> Vec<String> {
        if self.flavor.is_plex() && !media.guid.is_empty() {
            vec![media.guid.clone()]
        } else if self.flavor.shares_state_by_key() {
            self.user_data_keys(media)
        } else {
            vec![media.id.clone()]
        }
    }

    /// Jellyfin's list of user-data keys, the one it shows as `Key` first: external ids (of the show, with season
    /// and episode, for episodes), then the item's id.
    pub fn user_data_keys(&self, media: &Media) -> Vec<String> {
        let named = |media: &Media, providers: &[&str]| -> Vec<String> {
            let ids = providers.iter().filter_map(|provider| media.external_id(provider));
            ids.map(str::to_owned).collect()
        };
        let mut keys = match media.kind {
            Kind::Movie => named(media, &["tmdb", "imdb"]),
            Kind::Show => named(media, &["tvdb", "imdb"]),
            Kind::Season => Vec::new(),
            Kind::Episode => {
                let show = media.show.as_ref().and_then(|id| self.media.get(id));
                match (show, media.season, media.episode) {
                    (Some(show), Some(season), Some(episode)) => {
                        let mut keys = named(show, &["tvdb", "imdb"]);
                        if keys.is_empty() {
                            keys.push(show.id.clone());
                        }
                        keys.iter().map(|key| format!("{key}{season:03}{episode:03}")).collect()
                    }
                    _ => Vec::new(),
                }
            }
        };
        keys.push(media.id.clone());
        keys
    }

    /// The user's state of an item; the default if there is none yet.
    pub fn state(&self, user: &str, item: &str) -> UserState {
        let media = self.media.get(item);
        media.map_or_else(UserState::default, |media| self.state_of(user, media))
    }

    /// As [`state`](Self::state), for an item at hand.
    pub fn state_of(&self, user: &str, media: &Media) -> UserState {
        let Some(states) = self.states.get(user) else { return UserState::default() };
        self.state_keys(media).iter().find_map(|key| states.get(key)).cloned().unwrap_or_default()
    }

    /// Replaces the user's state of an item, and with it that of all copies that share it.
    pub fn put_state(&mut self, user: &str, item: &str, state: &UserState) {
        let Some(media) = self.media.get(item) else { return };
        let keys = self.state_keys(media);
        let states = self.states.entry(user.to_owned()).or_default();
        for key in keys {
            states.insert(key, state.clone());
        }
    }

    /// The playback that a user has under way of an item.
    pub fn session(&self, user: &str, item: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.user == user && session.item == item)
    }

    /// As [`session`](Self::session), to change it.
    pub fn session_mut(&mut self, user: &str, item: &str) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.user == user && session.item == item)
    }

    /// Resolves who and what a test or a request names.
    pub fn resolve(&self, user: &str, item: &str) -> Result<(UserId, ItemId), WorldError> {
        let user = self.user(user).ok_or_else(|| WorldError::NoUser(user.to_owned()))?;
        let item = self.item(item).ok_or_else(|| WorldError::NoItem(item.to_owned()))?;
        Ok((user.id.clone(), item.id.clone()))
    }

    /// The user's states of all shown films and episodes.
    pub fn states(&self, user: &str) -> BTreeMap<ItemId, UserState> {
        let playable = self.items().filter(|media| media.kind.is_playable());
        playable.map(|media| (media.id.clone(), self.state_of(user, media))).collect()
    }

    /// The next id that is a number.
    pub(crate) const fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// The library that has this content, if any.
    pub(crate) fn library_for(&self, kind: Kind) -> Option<LibraryId> {
        use super::model::Content;
        let fits = |library: &&Library| match library.content {
            Content::Movies => kind == Kind::Movie,
            Content::Shows => kind != Kind::Movie,
            Content::Mixed => true,
            Content::Music | Content::Photos | Content::HomeVideos | Content::Collections => false,
        };
        self.libraries.iter().find(fits).map(|library| library.id.clone())
    }
}
