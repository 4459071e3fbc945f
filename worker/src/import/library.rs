//! How much of a library is read, and when its cursor moves.

use std::collections::BTreeSet;

use futures::StreamExt;
use roaring::RoaringTreemap;
use watchstate_domain::ids::Kind;
use watchstate_domain::item::Item;
use watchstate_domain::reading::{Cursor, Numbers, Why, settled_skew};
use watchstate_servers::{AccountView, Content, Counts, Library, Selection};
use watchstate_store::{Connection, cursors, items, observations};

use crate::contact::{Trouble, unless_stopped};
use crate::import::absorb::Reader;

/// One library that is to be read for one account.
pub struct Read<'a, 'b> {
    /// Who merges the pages.
    pub reader: &'a mut Reader<'b>,
    /// Who sends them.
    pub view: &'a dyn AccountView,
    /// The library.
    pub library: &'a Library,
    /// Its key.
    pub library_id: i64,
    /// Read all of it.
    pub full: bool,
}

/// How the reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Every item was read.
    Full,
    /// What changed was read, and the server's numbers fit.
    Incremental,
    /// The process shall end; the cursor stands where it stood.
    Interrupted,
}

impl Read<'_, '_> {
    /// Reads the library. The cursor moves only when every page was stored.
    pub async fn run(mut self, connection: &mut Connection) -> Result<Done, Trouble> {
        let account_id = self.reader.account.id;
        let cursor = cursors::load(connection, account_id, self.library_id).await?;
        let why = match cursor {
            None => Why::FirstTime,
            Some(_) if self.full => Why::Asked,
            Some(cursor) => match self.incremental(cursor, connection).await? {
                Some(done) => return Ok(done),
                None => Why::NumbersDiffer,
            },
        };
        tracing::info!(server = self.reader.server.name, library = self.library.title, ?why, "reading in full");
        self.all(connection).await
    }

    /// Reads what is newer than the cursor. None when the server's numbers then differ from what is known.
    async fn incremental(&mut self, cursor: Cursor, connection: &mut Connection) -> Result<Option<Done>, Trouble> {
        let started = self.reader.their_now();
        for selection in [Selection::ChangedSince(cursor.changes), Selection::ActiveSince(cursor.activity)] {
            if !self.pages(selection, &mut RoaringTreemap::new(), connection).await? {
                return Ok(Some(Done::Interrupted));
            }
        }
        let server = self.counts().await?;
        let known = observations::numbers(connection, self.reader.account.id, self.library_id).await?;
        if !cursor.fits(server, known) {
            tracing::info!(
                server = self.reader.server.name,
                library = self.library.title,
                ?server,
                ?known,
                "the numbers differ"
            );
            return Ok(None);
        }
        if !self.reader.reads_states() {
            return Ok(Some(Done::Incremental));
        }
        let moved = Cursor::at(started, cursor.skew);
        cursors::save(connection, self.reader.account.id, self.library_id, &moved, None).await?;
        Ok(Some(Done::Incremental))
    }

    /// Reads every item.
    async fn all(&mut self, connection: &mut Connection) -> Result<Done, Trouble> {
        let account_id = self.reader.account.id;
        let started = self.reader.their_now();
        let full_read_at = self.reader.now();
        let before = self.counts().await?;
        let mut seen = RoaringTreemap::new();
        if self.library.content.has_shows()
            && !self.pages(Selection::Shows, &mut RoaringTreemap::new(), connection).await?
        {
            return Ok(Done::Interrupted);
        }
        if !self.pages(Selection::All, &mut seen, connection).await? {
            return Ok(Done::Interrupted);
        }
        let mut known = observations::numbers(connection, account_id, self.library_id).await?;
        if known.total > i64::try_from(seen.len()).unwrap_or(i64::MAX) {
            let was_seen = |id: i64| u64::try_from(id).is_ok_and(|id| seen.contains(id));
            let now = self.reader.now();
            self.reader.counts.gone +=
                observations::mark_gone(connection, account_id, self.library_id, was_seen, full_read_at, now).await?;
            known = observations::numbers(connection, account_id, self.library_id).await?;
        }
        // What was left aside is new to the next import.
        if !self.reader.reads_states() {
            return Ok(Done::Full);
        }
        // Un-plays that were found wait in the run's plan: until that is settled the observations say otherwise than the server, and are not
        // confirmed by this read.
        let confirmed = (!self.reader.has_unplays()).then_some(full_read_at);
        let skew = if known == before || self.reader.has_unplays() {
            Numbers::default()
        } else {
            settled_skew(before, self.counts().await?, known)
        };
        let moved = Cursor::at(started, skew);
        cursors::save(connection, account_id, self.library_id, &moved, confirmed).await?;
        Ok(Done::Full)
    }

    async fn counts(&self) -> Result<Numbers, Trouble> {
        Ok(numbers(unless_stopped(self.reader.app, self.view.counts(self.library)).await?))
    }

    /// Reads the pages of a selection. False when the process shall end before the last one.
    async fn pages(
        &mut self,
        selection: Selection,
        seen: &mut RoaringTreemap,
        connection: &mut Connection,
    ) -> Result<bool, Trouble> {
        let stop = self.reader.app.stop.clone();
        let bar = self.reader.app.progress.bar(&format!("{} {}", self.reader.server.name, self.library.title), 0);
        self.reader.asks();
        let mut pages = self.view.items(self.library, selection);
        loop {
            let page = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                page = pages.next() => match page {
                    Some(page) => page?,
                    None => return Ok(true),
                },
            };
            bar.set_total(page.total);
            if matches!(selection, Selection::All) {
                // The shows were read before.
                let episodes: Vec<Item> = page.items.into_iter().filter(|item| item.kind != Kind::Show).collect();
                self.reader.page(Some(self.library_id), &episodes, seen, connection).await?;
            } else {
                take_in(self.reader, self.view, self.library_id, page.items, seen, connection).await?;
            }
            tracing::debug!(
                server = self.reader.server.name,
                library = self.library.title,
                items = page.received,
                of = page.total,
                "a page is stored"
            );
            bar.add(page.received);
        }
    }
}

/// Takes items of a library in: shows before their episodes, which are matched through them. Shows that nobody has told of yet are asked for.
pub async fn take_in(
    reader: &mut Reader<'_>,
    view: &dyn AccountView,
    library_id: i64,
    items: Vec<Item>,
    seen: &mut RoaringTreemap,
    connection: &mut Connection,
) -> Result<(), Trouble> {
    let (mut shows, others): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.kind == Kind::Show);
    let told: BTreeSet<&str> = shows.iter().map(|show| show.remote_id.as_str()).collect();
    let mut wanted: Vec<String> = others
        .iter()
        .filter_map(|episode| episode.show.as_ref()?.remote_id.clone())
        .filter(|show| !told.contains(show.as_str()))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let known: BTreeSet<String> =
        items::shows(connection, reader.server.id, &wanted).await?.into_iter().map(|(id, _)| id).collect();
    wanted.retain(|show| !known.contains(show));
    for ids in wanted.chunks(BY_ID) {
        let told = unless_stopped(reader.app, view.items_by_id(ids)).await?;
        shows.extend(told.into_iter().filter(|item| item.kind == Kind::Show));
    }
    if !shows.is_empty() {
        reader.page(Some(library_id), &shows, &mut RoaringTreemap::new(), connection).await?;
    }
    reader.page(Some(library_id), &others, seen, connection).await
}

/// Items that are asked for by id with one request.
const BY_ID: usize = 100;

fn numbers(counts: Counts) -> Numbers {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Numbers { total: number(counts.total), played: number(counts.played), resumable: number(counts.resumable) }
}

/// The word for a library's content in the registry.
pub fn word(content: &Content) -> &str {
    match content {
        Content::Movies => "movies",
        Content::Shows => "shows",
        Content::Mixed => "mixed",
        Content::Other(word) => word,
    }
}
