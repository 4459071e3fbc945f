//! A list that comes in pages, as a stream: the next page is fetched while the caller works on the last one, and a list that
//! is not whole ends in an error.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use watchstate_domain::item::Item;

use crate::error::{ErrorKind, ServerError};
use crate::operation::Operation;
use crate::{Page, Result};

/// How many entries the first page of a list holds that is expected to end early.
const FIRST: u32 = 100;

/// A page as it was read from the wire.
pub(crate) struct RawPage {
    pub(crate) entries: Vec<Entry>,
    /// Entries that the server sent, those that are no films, shows or episodes included.
    pub(crate) received: u64,
    /// Entries in the whole list, as the server says.
    pub(crate) total: u64,
}

/// One item, with the stamp by which the list is sorted.
pub(crate) struct Entry {
    pub(crate) item: Item,
    pub(crate) stamp: Option<Timestamp>,
}

/// What is read of the list.
#[derive(Clone, Copy)]
pub(crate) enum Extent {
    /// All of it, and it must hold still while it is read.
    Whole,
    /// All of it; it may grow or shrink meanwhile, since it is sorted by nothing that makes items slip away unseen for long.
    Moving,
    /// The list is sorted by stamp, newest first: only what is at or after this one.
    Since(Timestamp),
}

/// Fetches a page: (start, size).
pub(crate) type Fetch = Arc<dyn Fn(u64, u32) -> BoxFuture<'static, Result<RawPage>> + Send + Sync>;

/// Reads a list, page after page.
pub(crate) fn read(server: Arc<str>, fetch: Fetch, extent: Extent, size: u32) -> BoxStream<'static, Result<Page>> {
    let reading = Reading { server, fetch, progress: Progress::new(extent, size), ahead: None };
    stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        match reading.next().await {
            Ok((page, more)) => Some((Ok(page), more.then_some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Reading {
    server: Arc<str>,
    fetch: Fetch,
    progress: Progress,
    ahead: Option<AbortOnDropHandle<Result<RawPage>>>,
}

impl Reading {
    /// The next page, and whether one more follows.
    async fn next(&mut self) -> Result<(Page, bool)> {
        let page = match self.ahead.take() {
            Some(ahead) => ahead.await.map_err(|error| self.bad("the reading was given up").caused_by(error))??,
            None => (self.fetch)(self.progress.start, self.progress.size()).await?,
        };
        let total = page.total;
        let received = page.received;
        let (items, more) = self
            .progress
            .take(page)
            .map_err(|problem| self.bad(&format!("{problem}: the read was not whole, nothing is concluded from it")))?;
        if more {
            let fetching = (self.fetch)(self.progress.start, self.progress.size());
            self.ahead = Some(AbortOnDropHandle::new(tokio::spawn(fetching.in_current_span())));
        }
        Ok((Page { items, received, total }, more))
    }

    fn bad(&self, problem: &str) -> ServerError {
        ServerError::new(&self.server, Operation::Items, ErrorKind::BadAnswer, problem)
    }
}

/// How far the reading got, and what the last page was.
struct Progress {
    extent: Extent,
    page_size: u32,
    start: u64,
    total: Option<u64>,
    last_ids: Vec<String>,
}

impl Progress {
    const fn new(extent: Extent, page_size: u32) -> Self {
        Self { extent, page_size, start: 0, total: None, last_ids: Vec::new() }
    }

    fn size(&self) -> u32 {
        match self.extent {
            Extent::Since(_) if self.start == 0 => self.page_size.min(FIRST),
            _ => self.page_size,
        }
    }

    /// Takes in a page: its items, as far as they are asked for, and whether more follow.
    fn take(&mut self, page: RawPage) -> std::result::Result<(Vec<Item>, bool), &'static str> {
        let still = matches!(self.extent, Extent::Whole);
        if still && self.total.is_some_and(|total| total != page.total) {
            return Err("the library changed while it was read");
        }
        if page.received == 0 && self.start < page.total {
            return Err("a page came empty before the end");
        }
        let ids: Vec<String> = page.entries.iter().map(|entry| entry.item.remote_id.clone()).collect();
        let repeats = match ids.first() {
            Some(first) if still => self.last_ids.contains(first),
            Some(_) => self.last_ids == ids,
            None => false,
        };
        if repeats {
            return Err("a page came twice");
        }
        self.total = Some(page.total);
        self.start += page.received;
        self.last_ids = ids;
        let reached = self.start >= page.total;
        let Extent::Since(since) = self.extent else {
            return Ok((page.entries.into_iter().map(|entry| entry.item).collect(), !reached));
        };
        let more = !reached && !ends_at(since, &page.entries);
        let recent = |entry: &Entry| entry.stamp.is_some_and(|stamp| stamp >= since);
        Ok((page.entries.into_iter().filter(recent).map(|entry| entry.item).collect(), more))
    }
}

/// True where a page of a list that is sorted newest first shows that only older entries follow: its last quarter is older throughout, and the page
/// is sorted at all. Not simply the first older entry: Jellyfin sorts a film by the newest play of all its versions, so one may stand
/// too far up; and a server that ignores the sort must be read to its end.
fn ends_at(since: Timestamp, entries: &[Entry]) -> bool {
    let stamps: Vec<Timestamp> = entries.iter().filter_map(|entry| entry.stamp).collect();
    let rising = stamps.windows(2).filter(|pair| pair[0] < pair[1]).count();
    let sorted = rising * 10 <= stamps.len();
    let tail = &entries[entries.len() - entries.len().div_ceil(4)..];
    sorted && tail.iter().all(|entry| entry.stamp.is_none_or(|stamp| stamp < since))
}

#[cfg(test)]
mod tests {
    use watchstate_domain::ids::{Ids, Kind};
    use watchstate_domain::item::ItemState;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(id: usize, stamp: Option<i64>) -> Entry {
        let item = Item {
            remote_id: id.to_string(),
            kind: Kind::Movie,
            title: String::new(),
            show: None,
            year: None,
            season: None,
            episode: None,
            episode_end: None,
            ids: Ids::default(),
            junk_ids: 0,
            path: None,
            runtime_ms: None,
            added_at: None,
            state: ItemState::default(),
        };
        Entry { item, stamp: stamp.map(at) }
    }

    /// A page of the entries `ids`, which have no stamps.
    fn page(ids: std::ops::Range<usize>, total: u64) -> RawPage {
        RawPage { received: ids.len() as u64, entries: ids.map(|id| entry(id, None)).collect(), total }
    }

    /// A page with these stamps.
    fn stamped(stamps: &[i64], total: u64) -> RawPage {
        let entries: Vec<_> = stamps.iter().enumerate().map(|(id, stamp)| entry(id, Some(*stamp))).collect();
        RawPage { received: entries.len() as u64, entries, total }
    }

    #[test]
    fn a_short_page_is_followed_up_from_where_it_ended() {
        let mut progress = Progress::new(Extent::Whole, 10);
        let (items, more) = progress.take(page(0..7, 12)).unwrap();
        assert_eq!((items.len(), more, progress.start), (7, true, 7));
        let (items, more) = progress.take(page(7..12, 12)).unwrap();
        assert_eq!((items.len(), more), (5, false));
    }

    #[test]
    fn an_empty_library_is_whole() {
        assert!(matches!(Progress::new(Extent::Whole, 10).take(page(0..0, 0)), Ok((items, false)) if items.is_empty()));
    }

    #[test]
    fn a_list_that_changes_repeats_or_stops_short_is_no_list() {
        for (second, problem) in [
            (page(10..20, 29), "the library changed while it was read"),
            (page(9..19, 30), "a page came twice"),
            (page(0..10, 30), "a page came twice"),
            (page(0..0, 30), "a page came empty before the end"),
        ] {
            let mut progress = Progress::new(Extent::Whole, 10);
            progress.take(page(0..10, 30)).unwrap();
            assert_eq!(progress.take(second).unwrap_err(), problem);
        }
    }

    #[test]
    fn a_moving_list_may_grow_and_overlap() {
        let mut progress = Progress::new(Extent::Moving, 10);
        progress.take(page(0..10, 15)).unwrap();
        let (items, more) = progress.take(page(9..16, 16)).unwrap();
        assert_eq!((items.len(), more), (7, false));
    }

    #[test]
    fn a_sorted_list_ends_at_the_stamp() {
        let mut progress = Progress::new(Extent::Since(at(50)), 1000);
        assert_eq!(progress.size(), 100);
        let (items, more) = progress.take(stamped(&[90, 80, 50, 40, 30, 20], 5000)).unwrap();
        assert_eq!((items.len(), more), (3, false));
    }

    #[test]
    fn a_sorted_list_goes_on_while_its_end_is_recent_and_then_in_full_pages() {
        let mut progress = Progress::new(Extent::Since(at(50)), 1000);
        let (items, more) = progress.take(stamped(&[90, 80, 70, 60], 5000)).unwrap();
        assert_eq!((items.len(), more, progress.size()), (4, true, 1000));
    }

    #[test]
    fn one_entry_out_of_order_ends_nothing_and_hides_nothing() {
        let mut stamps: Vec<i64> = (60..100).rev().collect();
        stamps[1] = 10;
        let mut progress = Progress::new(Extent::Since(at(50)), 1000);
        let (items, more) = progress.take(stamped(&stamps, 5000)).unwrap();
        assert_eq!((items.len(), more), (39, true));
    }

    #[test]
    fn a_list_that_is_not_sorted_is_read_to_its_end() {
        let mut progress = Progress::new(Extent::Since(at(50)), 1000);
        let (items, more) = progress.take(stamped(&[10, 90, 20, 80, 30, 40, 45, 46], 5000)).unwrap();
        assert_eq!((items.len(), more), (2, true));
    }
}
