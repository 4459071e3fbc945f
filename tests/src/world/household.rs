//! What happens to a household's libraries: files come, go, are replaced, matched anew; disks vanish; a server is
//! set up again or another one answers at its address.

use std::collections::BTreeMap;

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

use super::WorldError;
use super::model::{Content, ItemId, Kind, Library, LibraryId, Media, Model, User};
use super::new::{Common, NewEpisode, NewMovie};

impl Model {
    /// Adds a user with a token. The first administrator is the owner.
    pub(crate) fn add_user(&mut self, name: &str, admin: bool) -> User {
        let hash = hex(&format!("user {} {name}", self.server_id));
        let account = 1 + xxh3_128(format!("account {name}").as_bytes()) % 90_000_000;
        let plex = self.flavor.is_plex();
        let user = User {
            id: if plex { account.to_string() } else { hash.clone() },
            uuid: if plex { hex(&format!("account {name}"))[..16].to_owned() } else { hash },
            name: name.to_owned(),
            password: format!("{name}-password"),
            tokens: vec![hex(&format!("token {} {name}", self.server_id))],
            account_token: hex(&format!("account token {name}")),
            admin,
            home: true,
            email: format!("{}@example.org", name.to_lowercase()),
            ..User::default()
        };
        self.users.push(user.clone());
        user
    }

    /// A further token of a user: a login.
    pub(crate) fn add_token(&mut self, user: &str) -> Option<String> {
        let number = self.number();
        let token = hex(&format!("token {} {user} {number}", self.server_id));
        let user = self.users.iter_mut().find(|held| held.id == user)?;
        user.tokens.push(token.clone());
        Some(token)
    }

    /// Adds a library.
    pub(crate) fn add_library(&mut self, now: Timestamp, title: &str, content: Content) -> LibraryId {
        let hash = hex(&format!("library {} {title}", self.server_id));
        let id = if self.flavor.is_plex() {
            (self.libraries.len() + 1).to_string()
        } else if self.flavor.is_emby() {
            self.number().to_string()
        } else {
            hash.clone()
        };
        let path = format!("/media/{}", title.to_lowercase().replace(' ', "-"));
        let library = Library {
            id: id.clone(),
            uuid: dashed(&hash),
            title: title.to_owned(),
            content,
            path,
            users: None,
            created_at: now,
        };
        self.libraries.push(library);
        id
    }

    /// Adds a film and its further versions; answers the id of the first.
    pub(crate) fn add_movie(&mut self, now: Timestamp, new: &NewMovie) -> ItemId {
        let library = self.place(now, &new.common, Kind::Movie);
        let named = new.year.map_or_else(|| new.title.clone(), |year| format!("{} ({year})", new.title));
        let usual = format!("{}/{named}/{named}.mkv", self.folder(&library));
        let mut media = Media {
            kind: Kind::Movie,
            title: new.title.clone(),
            year: new.year,
            ..Self::blank(now, &library, &new.common, 100, usual)
        };
        media.guid = self.guid(&media, new.common.guid.as_deref(), None);
        let first = self.insert(media.clone());
        for path in &new.versions {
            let version_of = self.flavor.has_alternate_versions().then(|| first.clone());
            self.insert(Media { path: path.clone(), version_of, ..media.clone() });
        }
        first
    }

    /// Adds an episode, and its show and season where they are missing; answers the episode's id. A file with several
    /// episodes is one item; at Plex it is an item for each of them, and the ids given are those of the first.
    pub(crate) fn add_episode(&mut self, now: Timestamp, new: &NewEpisode) -> ItemId {
        let library = self.place(now, &new.common, Kind::Episode);
        let show = self.show(now, &library, new);
        let season = self.season(now, &show, new);
        let last = new.episode_end.map(|last| format!("-E{last:02}")).unwrap_or_default();
        let file = format!("{} - S{:02}E{:02}{last}.mkv", new.show, new.season, new.episode);
        let usual = format!("{}/{file}", season.path);
        let mut media = Media {
            kind: Kind::Episode,
            title: new.title.clone().unwrap_or_else(|| format!("Episode {}", new.episode)),
            year: new.show_year,
            show: Some(show.id.clone()),
            season_id: Some(season.id.clone()),
            season: Some(new.season),
            episode: Some(new.episode),
            episode_end: new.episode_end.filter(|_| !self.flavor.is_plex()),
            ..Self::blank(now, &library, &new.common, 45, usual)
        };
        media.guid = self.guid(&media, new.common.guid.as_deref(), Some(&show));
        let first = self.insert(media.clone());
        if self.flavor.is_plex() {
            for number in new.episode + 1..=new.episode_end.unwrap_or(new.episode) {
                let mut next = Media { title: format!("Episode {number}"), episode: Some(number), ..media.clone() };
                next.ids.clear();
                next.guid = self.guid(&next, None, Some(&show));
                self.insert(next);
            }
        }
        first
    }

    /// Removes an item, with all that is in it, and folders left empty. Its states stay where they are filed.
    pub(crate) fn remove(&mut self, item: &str) {
        let inside = |media: &Media| {
            media.id == item
                || media.show.as_deref() == Some(item)
                || media.season_id.as_deref() == Some(item)
                || media.version_of.as_deref() == Some(item)
        };
        self.media.retain(|_, media| !inside(media));
        for kind in [Kind::Season, Kind::Show] {
            let empty = self.media.values().filter(|folder| folder.kind == kind && self.is_empty_folder(folder));
            for id in empty.map(|folder| folder.id.clone()).collect::<Vec<_>>() {
                self.media.remove(&id);
            }
        }
        self.sessions.retain(|session| self.media.contains_key(&session.item));
    }

    /// Puts another file in an item's place: a new added date, and, where ids hang on paths or rows (Jellyfin,
    /// Emby), a new id when the path differs. Plex keeps the rating key.
    pub(crate) fn replace_file(&mut self, now: Timestamp, item: &str, path: &str) -> Result<ItemId, WorldError> {
        let mut media = self.media.remove(item).ok_or_else(|| WorldError::NoItem(item.to_owned()))?;
        let moved = media.path != path;
        path.clone_into(&mut media.path);
        media.added_at = now;
        media.saved_at = now;
        if moved && !self.flavor.is_plex() {
            self.sessions.retain(|session| session.item != item);
            return Ok(self.insert(media));
        }
        let id = media.id.clone();
        self.media.insert(id.clone(), media);
        Ok(id)
    }

    /// Reads all libraries anew, as after a database was lost and set up again over the same files: every id
    /// changes. Added dates stay or become now. Answers old id -> new id.
    pub(crate) fn rescan(&mut self, now: Timestamp, keep_added: bool) -> BTreeMap<ItemId, ItemId> {
        self.generation += 1;
        self.sessions.clear();
        self.hidden.clear();
        let old = std::mem::take(&mut self.media);
        let mut renamed = BTreeMap::new();
        // Parents first, so that children can name them.
        for kind in [Kind::Show, Kind::Season, Kind::Episode, Kind::Movie] {
            let (primary, alternate): (Vec<_>, Vec<_>) =
                old.values().filter(|media| media.kind == kind).partition(|media| media.version_of.is_none());
            for media in primary.into_iter().chain(alternate) {
                let mut media = media.clone();
                let before = media.id.clone();
                for link in [&mut media.show, &mut media.season_id, &mut media.version_of] {
                    *link = link.as_ref().and_then(|id| renamed.get(id).cloned());
                }
                if !keep_added {
                    media.added_at = now;
                }
                media.saved_at = now;
                renamed.insert(before, self.insert(media));
            }
        }
        renamed
    }

    /// Matches an item to other external ids.
    pub(crate) fn rematch(&mut self, now: Timestamp, item: &str, ids: &[(&str, &str)]) -> Result<(), WorldError> {
        let mut media = self.media.get(item).cloned().ok_or_else(|| WorldError::NoItem(item.to_owned()))?;
        media.ids = ids.iter().map(|(provider, value)| ((*provider).to_owned(), (*value).to_owned())).collect();
        media.saved_at = now;
        let show = media.show.as_ref().and_then(|id| self.media.get(id)).cloned();
        media.guid = self.guid(&media, None, show.as_ref());
        self.media.insert(item.to_owned(), media);
        Ok(())
    }

    /// Hides every `nth` film and episode (1: all of them), as when a disk is not mounted.
    pub(crate) fn hide_every(&mut self, nth: usize) {
        let playable = self.media.values().filter(|media| nth == 1 || media.kind.is_playable());
        self.hidden = playable.map(|media| media.id.clone()).step_by(nth).collect();
    }

    fn place(&mut self, now: Timestamp, common: &Common, kind: Kind) -> LibraryId {
        if let Some(library) = common.library.clone().or_else(|| self.library_for(kind)) {
            return library;
        }
        match kind {
            Kind::Movie => self.add_library(now, "Movies", Content::Movies),
            Kind::Show | Kind::Season | Kind::Episode => self.add_library(now, "Shows", Content::Shows),
        }
    }

    fn folder(&self, library: &str) -> String {
        self.library(library).map_or_else(|| "/media".to_owned(), |library| library.path.clone())
    }

    /// An item with everything that does not depend on its kind.
    fn blank(now: Timestamp, library: &str, common: &Common, minutes: u64, usual_path: String) -> Media {
        let runtime_ms = (!common.unprobed).then(|| common.runtime_ms.unwrap_or(minutes * 60_000));
        let added_at = common.added_at.unwrap_or(now);
        Media {
            id: String::new(),
            library: library.to_owned(),
            kind: Kind::Movie,
            title: String::new(),
            year: None,
            show: None,
            season_id: None,
            season: None,
            episode: None,
            episode_end: None,
            ids: common.ids.clone(),
            guid: String::new(),
            path: common.path.clone().unwrap_or(usual_path),
            runtime_ms,
            added_at,
            saved_at: added_at,
            version_of: None,
        }
    }

    fn show(&mut self, now: Timestamp, library: &str, new: &NewEpisode) -> Media {
        let same = |media: &&Media| media.kind == Kind::Show && media.title == new.show && media.library == library;
        let folder = (library.to_owned(), new.show.clone(), None);
        if let Some(show) = self.known_folder(&folder, same) {
            return show;
        }
        let named = new.show_year.map_or_else(|| new.show.clone(), |year| format!("{} ({year})", new.show));
        let common =
            Common { ids: new.show_ids.clone(), unprobed: true, added_at: new.common.added_at, ..Common::default() };
        let path = format!("{}/{named}", self.folder(library));
        let mut show = Media {
            kind: Kind::Show,
            title: new.show.clone(),
            year: new.show_year,
            ..Self::blank(now, library, &common, 0, path)
        };
        show.guid = self.guid(&show, None, None);
        let id = self.insert(show.clone());
        self.folders.insert(folder, id.clone());
        Media { id, ..show }
    }

    /// The show or season that fits: where it was last, else wherever it is.
    fn known_folder(
        &mut self,
        folder: &(LibraryId, String, Option<u32>),
        same: impl Fn(&&Media) -> bool,
    ) -> Option<Media> {
        let hinted = self.folders.get(folder).and_then(|id| self.media.get(id)).filter(&same);
        let found = hinted.or_else(|| self.media.values().find(&same)).cloned()?;
        self.folders.insert(folder.clone(), found.id.clone());
        Some(found)
    }

    fn season(&mut self, now: Timestamp, show: &Media, new: &NewEpisode) -> Media {
        let same = |media: &&Media| {
            media.kind == Kind::Season && media.show.as_ref() == Some(&show.id) && media.season == Some(new.season)
        };
        let folder = (show.library.clone(), show.title.clone(), Some(new.season));
        if let Some(season) = self.known_folder(&folder, same) {
            return season;
        }
        let title = if new.season == 0 { "Specials".to_owned() } else { format!("Season {}", new.season) };
        let common = Common { unprobed: true, added_at: new.common.added_at, ..Common::default() };
        let path = format!("{}/Season {:02}", show.path, new.season);
        let mut season = Media {
            kind: Kind::Season,
            title,
            show: Some(show.id.clone()),
            season: Some(new.season),
            ..Self::blank(now, &show.library, &common, 0, path)
        };
        season.guid = self.guid(&season, None, Some(show));
        let id = self.insert(season.clone());
        self.folders.insert(folder, id.clone());
        Media { id, ..season }
    }

    /// Files an item under a new id of the kind that the server makes.
    fn insert(&mut self, mut media: Media) -> ItemId {
        if self.flavor.is_jellyfin() {
            // Jellyfin makes ids from type and path: the same file has the same id on two servers.
            let path = media.path.clone();
            for copy in 2.. {
                media.id = hex(&format!("{:?} {} {}", media.kind, media.path, self.generation));
                if !self.media.contains_key(&media.id) {
                    break;
                }
                media.path = format!("{path} [{copy}]");
            }
        } else {
            media.id = self.number().to_string();
        }
        if self.flavor.is_plex() && media.guid.is_empty() {
            media.guid = format!("local://{}", media.id);
        }
        let id = media.id.clone();
        self.media.insert(id.clone(), media);
        id
    }

    /// Plex's guid: the same on every server for the same ids; empty (later `local://`) for what was not matched.
    fn guid(&self, media: &Media, given: Option<&str>, show: Option<&Media>) -> String {
        if !self.flavor.is_plex() {
            return String::new();
        }
        if let Some(given) = given {
            return given.to_owned();
        }
        let kind = match media.kind {
            Kind::Movie => "movie",
            Kind::Show => "show",
            Kind::Season => "season",
            Kind::Episode => "episode",
        };
        let identity = match (media.ids.first(), show) {
            (Some((provider, value)), _) => format!("{provider}://{value}"),
            (None, Some(show)) if show.guid.starts_with("plex://") => {
                format!("{} {:?} {:?}", show.guid, media.season, media.episode)
            }
            _ => return if media.id.is_empty() { String::new() } else { format!("local://{}", media.id) },
        };
        format!("plex://{kind}/{}", &hex(&format!("{kind} {identity}"))[..24])
    }

    fn is_empty_folder(&self, folder: &Media) -> bool {
        let inside =
            |media: &Media| media.show.as_ref() == Some(&folder.id) || media.season_id.as_ref() == Some(&folder.id);
        !self.media.values().any(inside)
    }
}

/// 32 hex digits made from a text.
pub(crate) fn hex(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// 32 hex digits as a uuid with dashes.
fn dashed(hex: &str) -> String {
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}
