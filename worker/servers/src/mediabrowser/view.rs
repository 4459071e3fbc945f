//! A Jellyfin or Emby server as one account sees it.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use watchstate_domain::item::{Item, ItemState};

use super::dto::{Items, Session, UserData, ViewDto, Views};
use super::{Access, Dialect, Server, item};
use crate::error::ErrorKind;
use crate::http::{Answer, Request};
use crate::operation::Operation;
use crate::pages::{self, Entry, Extent, Fetch, RawPage};
use crate::{Account, AccountView, Content, Counts, Library, Page, Result, Selection, Write};

/// The server as one account sees it.
pub(crate) struct View<D> {
    server: Arc<Server>,
    access: Access,
    account: Account,
    dialect: PhantomData<D>,
}

// By hand: a derive would ask the same of the dialect, of which no value exists.
impl<D> Clone for View<D> {
    fn clone(&self) -> Self {
        Self {
            server: Arc::clone(&self.server),
            access: self.access.clone(),
            account: self.account.clone(),
            dialect: PhantomData,
        }
    }
}

/// Films and episodes that exist, and their states: part of every list that is asked for.
const ALWAYS: [(&str, &str); 6] = [
    ("recursive", "true"),
    ("excludeLocationTypes", "Virtual"),
    ("collapseBoxSetItems", "false"),
    ("enableImages", "false"),
    ("enableUserData", "true"),
    ("enableTotalRecordCount", "true"),
];

impl<D: Dialect> View<D> {
    pub(super) const fn new(server: Arc<Server>, access: Access, account: Account) -> Self {
        Self { server, access, account, dialect: PhantomData }
    }

    /// A request as this account: its id goes into the path or into the query, as the route has it.
    pub(crate) fn request(
        &self,
        operation: Operation,
        route: &'static str,
        item: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<Request> {
        let user = self.account.id.as_str();
        let mut ids = Vec::with_capacity(2);
        let mut whole = Vec::with_capacity(query.len() + 1);
        if route.contains("{user}") {
            ids.push(user);
        } else {
            whole.push(("userId", user));
        }
        ids.extend(item);
        whole.extend_from_slice(query);
        self.server.request::<D>(Some(&self.access), operation, route, &ids, &whole)
    }

    /// Sends.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer> {
        self.server.http.send(request).await
    }

    /// The wire, for reading answers and making errors.
    pub(crate) fn http(&self) -> &crate::http::Http {
        &self.server.http
    }

    /// The state that an answer to a write tells, else the one that is to be expected.
    pub(crate) fn told(answer: &Answer, expected: ItemState) -> ItemState {
        match serde_json::from_slice::<UserData>(&answer.body) {
            Ok(data) if data.played.is_some() => ItemState::from(&data),
            _ => expected,
        }
    }

    async fn page(&self, operation: Operation, query: &[(&str, &str)]) -> Result<RawPage> {
        let request = self.request(operation, D::ITEMS, None, query)?;
        let answer = self.send(&request).await?;
        let http = self.http();
        let dto: Items<'_> = http.json(&request, &answer)?;
        let received = u64::try_from(dto.items.len()).unwrap_or(u64::MAX);
        let Some(total) = dto.total_record_count else {
            return Err(http.bad_answer(&request, &answer, "the list doesn't tell how long it is"));
        };
        let mut entries = Vec::with_capacity(dto.items.len());
        for dto in dto.items {
            match item::read(dto) {
                Ok(Some(item)) => entries.push(Entry { stamp: item.state.last_played_at, item }),
                Ok(None) => {}
                Err(item::Stateless) => {
                    let problem = "items came without the account's states: does the account still exist?";
                    return Err(http.error(operation, ErrorKind::BadAnswer, problem));
                }
            }
        }
        Ok(RawPage { entries, received, total })
    }

    async fn count(&self, library: &Library, filter: &[(&str, &str)]) -> Result<u64> {
        let mut query = ALWAYS.to_vec();
        query.extend([
            ("parentId", library.id.as_str()),
            ("includeItemTypes", "Movie,Episode"),
            ("startIndex", "0"),
            ("limit", "0"),
        ]);
        query.extend_from_slice(filter);
        Ok(self.page(Operation::Counts, &query).await?.total)
    }

    fn fetch(&self, library: &Library, selected: Vec<(&'static str, String)>) -> Fetch {
        let view = Arc::new(self.clone());
        let library: Arc<str> = Arc::from(library.id.as_str());
        let selected: Arc<[_]> = Arc::from(selected);
        Arc::new(move |start, size| {
            let (view, library, selected) = (Arc::clone(&view), Arc::clone(&library), Arc::clone(&selected));
            Box::pin(async move {
                let (start, size) = (start.to_string(), size.to_string());
                let mut query = ALWAYS.to_vec();
                query.extend([
                    ("parentId", &*library),
                    ("fields", D::FIELDS),
                    ("startIndex", start.as_str()),
                    ("limit", size.as_str()),
                ]);
                query.extend(selected.iter().map(|(name, value)| (*name, value.as_str())));
                view.page(Operation::Items, &query).await
            })
        })
    }
}

fn content(view: &ViewDto) -> Content {
    match view.collection_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("movies") => Content::Movies,
        Some("tvshows") => Content::Shows,
        None | Some("" | "mixed" | "unknown")
            if matches!(view.kind.as_str(), "CollectionFolder" | "Folder" | "UserView") =>
        {
            Content::Mixed
        }
        other => Content::Other(other.unwrap_or(&view.kind).to_owned()),
    }
}

fn selected(types: &str, sort: &str, order: &str) -> Vec<(&'static str, String)> {
    vec![("includeItemTypes", types.to_owned()), ("sortBy", sort.to_owned()), ("sortOrder", order.to_owned())]
}

#[async_trait]
impl<D: Dialect> AccountView for View<D> {
    async fn libraries(&self) -> Result<Vec<Library>> {
        let request = self.request(Operation::Libraries, D::VIEWS, None, &[])?;
        let answer = self.send(&request).await?;
        let views: Views = self.http().json(&request, &answer)?;
        let library = |view: ViewDto| Library { content: content(&view), id: view.id, title: view.name };
        Ok(views.items.into_iter().map(library).collect())
    }

    async fn counts(&self, library: &Library) -> Result<Counts> {
        Ok(Counts {
            total: self.count(library, &[]).await?,
            played: self.count(library, &[("isPlayed", "true")]).await?,
            resumable: self.count(library, &[("filters", "IsResumable")]).await?,
        })
    }

    fn items<'a>(&'a self, library: &'a Library, selection: Selection) -> BoxStream<'a, Result<Page>> {
        const TITLES: &str = "Movie,Episode";
        let (selected, extent) = match selection {
            Selection::All => (selected(TITLES, "DateCreated,SortName", "Ascending"), Extent::Whole),
            Selection::Shows if !library.content.has_shows() => return stream::empty().boxed(),
            Selection::Shows => (selected("Series", "DateCreated,SortName", "Ascending"), Extent::Whole),
            Selection::ActiveSince(since) => {
                (selected(TITLES, "DatePlayed,SortName", "Descending"), Extent::Since(since))
            }
            Selection::ChangedSince(since) => {
                let mut selected = selected("Movie,Episode,Series", "DateCreated,SortName", "Ascending");
                selected.push(("minDateLastSaved", second(since).to_string()));
                (selected, Extent::Moving)
            }
        };
        let fetch = self.fetch(library, selected);
        pages::read(Arc::clone(self.http().server()), fetch, extent, self.server.page_size)
    }

    async fn items_by_id(&self, remote_ids: &[String]) -> Result<Vec<Item>> {
        if remote_ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = remote_ids.join(",");
        let limit = remote_ids.len().to_string();
        let query = [
            ("ids", ids.as_str()),
            ("fields", D::FIELDS),
            ("enableImages", "false"),
            ("enableUserData", "true"),
            ("enableTotalRecordCount", "true"),
            ("startIndex", "0"),
            ("limit", limit.as_str()),
        ];
        let page = self.page(Operation::ItemsById, &query).await?;
        Ok(page.entries.into_iter().map(|entry| entry.item).collect())
    }

    async fn libraries_of(&self, remote_id: &str) -> Result<Vec<String>> {
        let request = self.request(Operation::Libraries, "/Items/{item}/Ancestors", Some(remote_id), &[])?;
        let answer = match self.send(&request).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let ancestors: Vec<ViewDto> = self.http().json(&request, &answer)?;
        Ok(ancestors.into_iter().map(|ancestor| ancestor.id).collect())
    }

    async fn playing(&self) -> Result<Vec<String>> {
        // With the main token: an administrator's sees the sessions of all.
        let access = self.server.access::<D>().await?;
        let request = self.server.request::<D>(Some(access), Operation::Playing, "/Sessions", &[], &[])?;
        let answer = match self.send(&request).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Forbidden) => {
                return Ok(Vec::new());
            }
            outcome => outcome?,
        };
        let sessions: Vec<Session> = self.http().json(&request, &answer)?;
        let mine = |user: Option<&String>| user.is_some_and(|user| *user == self.account.id);
        Ok(sessions
            .into_iter()
            .filter(|session| {
                mine(session.user_id.as_ref())
                    || session.additional_users.iter().flatten().any(|user| mine(user.user_id.as_ref()))
            })
            .filter_map(|session| session.now_playing_item)
            .map(|item| item.id)
            .collect())
    }

    async fn write(&self, item: &Item, write: &Write) -> Result<ItemState> {
        D::write(self, item, write).await
    }
}

/// Cut to the second, so that nothing at the edge is missed.
fn second(stamp: Timestamp) -> Timestamp {
    Timestamp::from_second(stamp.as_second()).unwrap_or(stamp)
}
