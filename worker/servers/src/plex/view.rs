//! A Plex Media Server as one account sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::{HeaderName, Method};
use jiff::Timestamp;
use secrecy::SecretString;
use watchstate_domain::item::{Item, ItemState};

use super::dto::{Answered, Items, Metadata, Sections};
use super::{Server, item, lacks};
use crate::error::ErrorKind;
use crate::http::{Answer, Repeat, Request};
use crate::operation::Operation;
use crate::pages::{self, Entry, Extent, Fetch, RawPage};
use crate::{Account, AccountView, Content, Counts, Library, Page, Result, Selection, Write};

const START: HeaderName = HeaderName::from_static("x-plex-container-start");
const SIZE: HeaderName = HeaderName::from_static("x-plex-container-size");
const TOTAL: HeaderName = HeaderName::from_static("x-plex-container-total-size");

/// Whom marks and positions are reported to.
const LIBRARY: &str = "com.plexapp.plugins.library";

const ALL: &str = "/library/sections/{section}/all";

/// Plex's numbers of the types.
const MOVIE: &str = "1";
const SHOW: &str = "2";
const EPISODE: &str = "4";

/// A position at or beyond 90 % (its default) would count as played.
const PLAYED_FROM_PERCENT: u64 = 90;

/// The server as one account sees it.
pub(super) struct View {
    server: Arc<Server>,
    token: SecretString,
    account: Account,
}

/// Which stamp a list is sorted by.
type StampOf = fn(&Metadata<'_>) -> Option<Timestamp>;

/// What is asked of a library.
struct Listing {
    query: Vec<(&'static str, String)>,
    stamp: StampOf,
    extent: Extent,
}

impl Listing {
    fn whole(kind: &str) -> Self {
        Self::new(kind, "addedAt:asc", None, |_| None, Extent::Whole)
    }

    /// Newest first, down to the stamp. The filter is sent as well, but not relied on: PMS 1.43 was seen to ignore it, and to
    /// answer with the whole library.
    fn since(kind: &str, sort: &str, filter: &'static str, since: Timestamp, stamp: StampOf) -> Self {
        Self::new(kind, sort, Some((filter, since.as_second().to_string())), stamp, Extent::Since(since))
    }

    fn new(kind: &str, sort: &str, filter: Option<(&'static str, String)>, stamp: StampOf, extent: Extent) -> Self {
        let mut query = vec![("type", kind.to_owned()), ("includeGuids", "1".to_owned()), ("sort", sort.to_owned())];
        query.extend(filter);
        Self { query, stamp, extent }
    }
}

impl View {
    pub(super) const fn new(server: Arc<Server>, token: SecretString, account: Account) -> Self {
        Self { server, token, account }
    }

    fn request(
        &self,
        operation: Operation,
        route: &'static str,
        ids: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Request> {
        self.server.request(&self.token, operation, route, ids, query)
    }

    async fn count(&self, library: &Library, filter: &[(&str, &str)]) -> Result<u64> {
        let mut query = vec![("type", type_of(library))];
        query.extend_from_slice(filter);
        let request = self.request(Operation::Counts, ALL, &[&library.id], &paged(query, "0", "0"))?;
        let request = request.header(START, "0").header(SIZE, "0");
        let answer = self.server.http.send(&request).await?;
        let items: Answered<Items<'_>> = self.server.http.json(&request, &answer)?;
        total(&items.container, &answer)
            .ok_or_else(|| self.server.http.bad_answer(&request, &answer, "the list doesn't tell how long it is"))
    }

    fn list(&self, library: &Library, listing: Listing) -> BoxStream<'static, Result<Page>> {
        let server = Arc::clone(&self.server);
        let token = self.token.clone();
        let section: Arc<str> = Arc::from(library.id.as_str());
        let asked: Arc<[_]> = Arc::from(listing.query);
        let fetch: Fetch = Arc::new(move |start, size| {
            let (server, token) = (Arc::clone(&server), token.clone());
            let (section, asked) = (Arc::clone(&section), Arc::clone(&asked));
            Box::pin(async move {
                let (first, most) = (start.to_string(), size.to_string());
                let query = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let query = paged(query, &first, &most);
                let request = server
                    .request(&token, Operation::Items, ALL, &[&section], &query)?
                    .header(START, &first)
                    .header(SIZE, &most);
                let answer = server.http.send(&request).await?;
                let items: Answered<Items<'_>> = server.http.json(&request, &answer)?;
                let received = u64::try_from(items.container.metadata.len()).unwrap_or(u64::MAX);
                // Without a total, a first page that isn't exactly full is all there is.
                let single = start == 0 && received != u64::from(size);
                let total = total(&items.container, &answer).or_else(|| single.then_some(received));
                let Some(total) = total else {
                    return Err(server.http.bad_answer(&request, &answer, "the list doesn't tell how long it is"));
                };
                let entries = items.container.metadata.into_iter().filter_map(|dto| {
                    let stamp = (listing.stamp)(&dto);
                    item::read(dto).map(|item| Entry { item, stamp })
                });
                Ok(RawPage { entries: entries.collect(), received, total })
            })
        });
        pages::read(Arc::clone(self.server.http.server()), fetch, listing.extent, self.server.page_size)
    }

    /// New and changed items; of a library with shows the episodes, and the shows only where an episode changed: a show that is matched anew
    /// changes its episodes as well, and a round in which nothing changed costs one request less.
    fn changed<'a>(&'a self, library: &'a Library, since: Timestamp) -> BoxStream<'a, Result<Page>> {
        let listing = move |kind| Listing::since(kind, "updatedAt:desc", "updatedAt>", since, item::changed_at);
        let titles = self.list(library, listing(type_of(library)));
        if !library.content.has_shows() {
            return titles;
        }
        let changed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&changed);
        let shows = stream::once(async move {
            if changed.load(Ordering::Relaxed) { self.list(library, listing(SHOW)) } else { stream::empty().boxed() }
        });
        titles
            .inspect_ok(move |page| {
                if !page.items.is_empty() {
                    seen.store(true, Ordering::Relaxed);
                }
            })
            // An error ends it: no shows after half of the episodes.
            .chain(shows.flatten())
            .scan(false, |failed, page| {
                let go_on = !*failed;
                *failed = page.is_err();
                std::future::ready(go_on.then_some(page))
            })
            .boxed()
    }

    async fn tell(&self, request: Request) -> Result<()> {
        self.server.http.send(&request).await.map(|_| ())
    }
}

/// Adds the part of a list that is asked for; it goes into the headers as well, since versions differ in where they look.
fn paged<'a>(mut query: Vec<(&'a str, &'a str)>, start: &'a str, size: &'a str) -> Vec<(&'a str, &'a str)> {
    query.extend([("X-Plex-Container-Start", start), ("X-Plex-Container-Size", size)]);
    query
}

fn total(items: &Items<'_>, answer: &Answer) -> Option<u64> {
    items.total_size.or_else(|| answer.headers.get(TOTAL)?.to_str().ok()?.trim().parse().ok())
}

const fn type_of(library: &Library) -> &'static str {
    if library.content.has_shows() { EPISODE } else { MOVIE }
}

#[async_trait]
impl AccountView for View {
    async fn libraries(&self) -> Result<Vec<Library>> {
        let request = self.request(Operation::Libraries, "/library/sections", &[], &[])?;
        let answer = self.server.http.send(&request).await?;
        let sections: Answered<Sections<'_>> = self.server.http.json(&request, &answer)?;
        let library = |section: super::dto::Section<'_>| {
            let content = match section.kind.as_str() {
                "movie" => Content::Movies,
                "show" => Content::Shows,
                other => Content::Other(other.to_owned()),
            };
            Some(Library { id: section.key?.into_owned(), title: section.title, content })
        };
        Ok(sections.container.directories.into_iter().filter_map(library).collect())
    }

    async fn counts(&self, library: &Library) -> Result<Counts> {
        Ok(Counts {
            total: self.count(library, &[]).await?,
            played: self.count(library, &[("unwatched", "0")]).await?,
            resumable: self.count(library, &[("inProgress", "1")]).await?,
        })
    }

    fn items<'a>(&'a self, library: &'a Library, selection: Selection) -> BoxStream<'a, Result<Page>> {
        match selection {
            Selection::All => self.list(library, Listing::whole(type_of(library))),
            Selection::Shows if library.content.has_shows() => self.list(library, Listing::whole(SHOW)),
            Selection::Shows => stream::empty().boxed(),
            Selection::ActiveSince(since) => {
                let listing = Listing::since(type_of(library), "lastViewedAt:desc", "lastViewedAt>", since, |dto| {
                    dto.last_viewed_at
                });
                self.list(library, listing)
            }
            Selection::ChangedSince(since) => self.changed(library, since),
        }
    }

    async fn items_by_id(&self, remote_ids: &[String]) -> Result<Vec<Item>> {
        if remote_ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = remote_ids.join(",");
        let query = [("includeGuids", "1")];
        let request = self.request(Operation::ItemsById, "/library/metadata/{items}", &[&ids], &query)?;
        let answer = match self.server.http.send(&request).await {
            // None of them is known.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let items: Answered<Items<'_>> = self.server.http.json(&request, &answer)?;
        Ok(items.container.metadata.into_iter().filter_map(item::read).collect())
    }

    async fn libraries_of(&self, remote_id: &str) -> Result<Vec<String>> {
        let request = self.request(Operation::Libraries, "/library/metadata/{item}", &[remote_id], &[])?;
        let answer = match self.server.http.send(&request).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let items: Answered<Items<'_>> = self.server.http.json(&request, &answer)?;
        let sections = items.container.metadata.iter().map(|item| item.library_section_id);
        Ok(sections.chain([items.container.library_section_id]).flatten().map(|id| id.to_string()).collect())
    }

    async fn playing(&self) -> Result<Vec<String>> {
        // With the main token: only the owner's may ask.
        let token = &self.server.token;
        let request = self.server.request(token, Operation::Playing, "/status/sessions", &[], &[])?;
        let answer = match self.server.http.send(&request).await {
            Err(error) if lacks(&error) => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let sessions: Answered<Items<'_>> = self.server.http.json(&request, &answer)?;
        let mine = |dto: &Metadata<'_>| {
            dto.user.as_ref().is_some_and(|user| {
                user.id.is_some_and(|id| id.to_string() == self.account.id)
                    || user.title.as_ref().is_some_and(|title| title.eq_ignore_ascii_case(&self.account.name))
            })
        };
        let playing = sessions.container.metadata.into_iter().filter(mine);
        Ok(playing.filter_map(|dto| dto.rating_key).map(Into::into).collect())
    }

    async fn write(&self, item: &Item, write: &Write) -> Result<ItemState> {
        let id = item.remote_id.as_str();
        let marked = [("identifier", LIBRARY), ("key", id)];
        match *write {
            Write::Played { .. } => {
                let request = self.request(Operation::MarkPlayed, "/:/scrobble", &[], &marked)?;
                self.tell(request.write(Method::GET, Repeat::OnlyIfRefused)).await?;
                let plays = item.state.plays.saturating_add(1);
                Ok(ItemState { played: true, plays, last_played_at: None, position_ms: 0 })
            }
            Write::Unplayed => {
                self.tell(self.request(Operation::MarkUnplayed, "/:/unscrobble", &[], &marked)?).await?;
                Ok(ItemState::default())
            }
            Write::Position { position_ms, .. } => {
                let position_ms = below_played(position_ms, item.runtime_ms);
                self.tell(self.position(id, position_ms, item.runtime_ms)?).await?;
                Ok(ItemState { position_ms, last_played_at: None, ..item.state })
            }
            Write::ClearPosition => Err(self.server.http.error(
                Operation::ClearPosition,
                ErrorKind::Unsupported,
                "Plex can't take a position away and leave the play: a position of 0 is ignored, and `remove from Continue Watching` only hides it",
            )),
        }
    }
}

impl View {
    /// The report of a player that stopped. It needs the running time; without it the position alone is set.
    fn position(&self, id: &str, position_ms: u64, runtime_ms: Option<u64>) -> Result<Request> {
        let operation = Operation::SetPosition;
        let time = position_ms.to_string();
        let Some(duration) = runtime_ms.map(|runtime| runtime.to_string()) else {
            let query = [("identifier", LIBRARY), ("key", id), ("time", time.as_str()), ("state", "stopped")];
            return self.request(operation, "/:/progress", &[], &query);
        };
        let key = format!("/library/metadata/{id}");
        let query = [
            ("ratingKey", id),
            ("key", key.as_str()),
            ("identifier", LIBRARY),
            ("state", "stopped"),
            ("time", time.as_str()),
            ("duration", duration.as_str()),
            ("X-Plex-Client-Identifier", self.server.client_id.as_str()),
        ];
        Ok(self.request(operation, "/:/timeline", &[], &query)?.write(Method::POST, Repeat::Harmless))
    }
}

/// The position, but not so far that Plex takes the item for played.
fn below_played(position_ms: u64, runtime_ms: Option<u64>) -> u64 {
    runtime_ms.map_or(position_ms, |runtime| position_ms.min(runtime.saturating_mul(PLAYED_FROM_PERCENT - 1) / 100))
}
