//! The query of `/Items`: which items it selects, in which order, which page of them.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::describe::{self, Folders, Wanted};
use super::{Context, libraries, spelling};
use crate::http::{Answer, Call};
use crate::world::{Kind, Media, Model, UserState};

/// What `/Items` was asked for.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the query, as they are sent")]
pub(super) struct Query {
    pub parent: Option<String>,
    pub recursive: bool,
    pub ids: Option<Vec<String>>,
    pub start: usize,
    pub limit: Option<usize>,
    /// Whether `TotalRecordCount` is to be told; else it is 0.
    pub count: bool,
    pub wanted: Wanted,
    types: Vec<String>,
    not_types: Vec<String>,
    played: Option<bool>,
    favorite: Option<bool>,
    resumable: bool,
    folder: Option<bool>,
    video_only: bool,
    saved_since: Option<Timestamp>,
    search: Option<String>,
    any_ids: Vec<(String, String)>,
    years: Vec<u16>,
    sort: Vec<(SortBy, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SortBy {
    DatePlayed,
    DateCreated,
    DateLastSaved,
    SortName,
    PlayCount,
    Year,
    Runtime,
    IsFolder,
    Played,
    SeriesName,
    Season,
    Episode,
    /// Anything else leaves the order as it is.
    Other,
}

/// What a query selects.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    /// The page.
    pub page: Vec<&'a Media>,
    /// How many there are in all.
    pub total: usize,
    /// What is in the folders among them.
    pub folders: Folders,
}

impl Query {
    /// Reads the query; a malformed id is a bad request at Jellyfin.
    pub fn read(context: &Context<'_>) -> Result<Self, Answer> {
        let call = context.call;
        let ids = call.value("ids").is_some().then(|| call.list("ids"));
        let ids = ids.map(|ids| ids.into_iter().map(|id| context.id(id)).collect::<Result<Vec<_>, _>>()).transpose()?;
        let parent = call.value("parentId").filter(|id| !id.is_empty()).map(|id| context.id(id)).transpose()?;
        let lower = |name: &str| call.list(name).into_iter().map(str::to_ascii_lowercase).collect::<Vec<_>>();
        let filters = lower("filters");
        let filter = |name: &str| filters.iter().any(|filter| filter == name);
        let either = |yes: &str, no: &str| match (filter(yes), filter(no)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        // Both compare the item's own date; neither sees user data.
        let since = [call.value("minDateLastSaved"), call.value("minDateLastSavedForUser")];
        Ok(Self {
            parent,
            recursive: call.flag("recursive").unwrap_or(false),
            ids,
            start: call.parsed("startIndex").unwrap_or(0),
            limit: call.parsed("limit"),
            count: call.flag("enableTotalRecordCount").unwrap_or(true),
            wanted: wanted(call),
            types: lower("includeItemTypes"),
            not_types: lower("excludeItemTypes"),
            played: either("isplayed", "isunplayed").or_else(|| call.flag("isPlayed")),
            favorite: filter("isfavorite").then_some(true).or_else(|| call.flag("isFavorite")),
            resumable: filter("isresumable"),
            folder: either("isfolder", "isnotfolder").or_else(|| call.flag("isFolder")),
            video_only: lower("mediaTypes") == ["video"],
            saved_since: since.into_iter().flatten().filter_map(spelling::read_date).max(),
            search: call.value("searchTerm").map(str::to_lowercase),
            any_ids: any_ids(call),
            years: call.list("years").iter().filter_map(|year| year.parse().ok()).collect(),
            sort: sort(call),
        })
    }

    /// A query for what can be watched and lies below a show or season, in order.
    pub fn inside(context: &Context<'_>, parent: &str, kind: Kind) -> Result<Self, Answer> {
        Ok(Self {
            parent: Some(parent.to_owned()),
            recursive: true,
            ids: None,
            types: vec![describe::kind_name(kind).to_ascii_lowercase()],
            sort: vec![(SortBy::Season, false), (SortBy::Episode, false)],
            ..Self::read(context)?
        })
    }

    /// A query for what a user has begun and not finished, the latest first.
    pub fn resumable(context: &Context<'_>) -> Result<Self, Answer> {
        let sort = vec![(SortBy::DatePlayed, true)];
        Ok(Self { recursive: true, resumable: true, folder: Some(false), sort, ..Self::read(context)? })
    }

    /// A query for the newest films and episodes.
    pub fn latest(context: &Context<'_>) -> Result<Self, Answer> {
        let query = Self::read(context)?;
        let (limit, sort) = (query.limit.or(Some(20)), vec![(SortBy::DateCreated, true)]);
        Ok(Self { recursive: true, folder: Some(false), limit, sort, ..query })
    }

    /// Selects for a user; for no user nothing is filtered by state.
    pub fn select<'a>(&self, model: &'a Model, user: Option<&str>) -> Selected<'a> {
        let seen: BTreeSet<&str> = libraries::seen(model, user).map(|library| library.id.as_str()).collect();
        let mut found: Vec<&Media> = match &self.ids {
            Some(ids) => ids.iter().filter_map(|id| model.item(id)).collect(),
            None => model.items().filter(|media| media.version_of.is_none() && self.is_below(model, media)).collect(),
        };
        found.retain(|media| seen.contains(media.library.as_str()) && self.fits(media));
        let folders = if found.iter().all(|media| media.kind.is_playable()) {
            Folders::default()
        } else {
            Folders::count(model, user)
        };
        let mut found: Vec<(&Media, UserState)> = found
            .into_iter()
            .map(|media| (media, user.map(|user| model.state_of(user, media)).unwrap_or_default()))
            .filter(|(media, state)| user.is_none() || self.fits_state(media, state, &folders))
            .collect();
        if !self.sort.is_empty() {
            found.sort_by(|left, right| self.order(model, left, right));
        }
        let total = found.len();
        let limit = self.limit.unwrap_or(usize::MAX);
        let page = found.into_iter().skip(self.start).take(limit).map(|(media, _)| media).collect();
        Selected { page, total, folders }
    }

    fn is_below(&self, model: &Model, media: &Media) -> bool {
        let Some(parent) = &self.parent else { return self.recursive };
        let is = |id: &Option<String>| id.as_ref() == Some(parent);
        if model.library(parent).is_some() {
            let top = matches!(media.kind, Kind::Movie | Kind::Show);
            return media.library.eq_ignore_ascii_case(parent) && (self.recursive || top);
        }
        is(&media.season_id) || (is(&media.show) && (self.recursive || media.kind == Kind::Season))
    }

    fn fits(&self, media: &Media) -> bool {
        let kind = describe::kind_name(media.kind).to_ascii_lowercase();
        let listed = |ids: &[(String, String)]| {
            ids.iter()
                .any(|(provider, value)| media.external_id(provider).is_some_and(|id| id.eq_ignore_ascii_case(value)))
        };
        (self.types.is_empty() || self.types.contains(&kind))
            && !self.not_types.contains(&kind)
            && self.folder.is_none_or(|folder| folder != media.kind.is_playable())
            && (!self.video_only || media.kind.is_playable())
            && self.saved_since.is_none_or(|since| media.saved_at >= since)
            && self.search.as_ref().is_none_or(|term| media.title.to_lowercase().contains(term))
            && (self.any_ids.is_empty() || listed(&self.any_ids))
            && (self.years.is_empty() || media.year.is_some_and(|year| self.years.contains(&year)))
    }

    fn fits_state(&self, media: &Media, state: &UserState, folders: &Folders) -> bool {
        let played = if media.kind.is_playable() { state.played } else { folders.is_played(&media.id) };
        self.played.is_none_or(|wanted| wanted == played)
            && self.favorite.is_none_or(|wanted| wanted == state.favorite)
            && (!self.resumable || state.position_ms > 0)
    }

    fn order(&self, model: &Model, left: &(&Media, UserState), right: &(&Media, UserState)) -> Ordering {
        let by = |(key, descending): &(SortBy, bool)| {
            // What has no date comes last, whichever way it is sorted.
            if *key == SortBy::DatePlayed {
                let (left, right) = (left.1.last_played_at, right.1.last_played_at);
                return match (left, right) {
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    _ if *descending => right.cmp(&left),
                    _ => left.cmp(&right),
                };
            }
            let order = key.compare(model, left, right);
            if *descending { order.reverse() } else { order }
        };
        let order = self.sort.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        order.then_with(|| left.0.id.cmp(&right.0.id))
    }
}

impl SortBy {
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "dateplayed" => Self::DatePlayed,
            "datecreated" => Self::DateCreated,
            "datelastsaved" | "datemodified" => Self::DateLastSaved,
            "sortname" | "name" => Self::SortName,
            "playcount" => Self::PlayCount,
            "productionyear" | "premieredate" => Self::Year,
            "runtime" => Self::Runtime,
            "isfolder" => Self::IsFolder,
            "isplayed" => Self::Played,
            "seriessortname" | "seriesname" => Self::SeriesName,
            "parentindexnumber" => Self::Season,
            "indexnumber" => Self::Episode,
            _ => Self::Other,
        }
    }

    fn compare(self, model: &Model, left: &(&Media, UserState), right: &(&Media, UserState)) -> Ordering {
        let ((left, left_state), (right, right_state)) = (left, right);
        let series = |media: &Media| {
            let show = media.show.as_ref().and_then(|id| model.media.get(id)).unwrap_or(media);
            describe::sort_name(show)
        };
        match self {
            Self::DatePlayed => left_state.last_played_at.cmp(&right_state.last_played_at),
            Self::DateCreated => left.added_at.cmp(&right.added_at),
            Self::DateLastSaved => left.saved_at.cmp(&right.saved_at),
            Self::SortName => describe::sort_name(left).cmp(&describe::sort_name(right)),
            Self::PlayCount => left_state.plays.cmp(&right_state.plays),
            Self::Year => left.year.cmp(&right.year),
            Self::Runtime => left.runtime_ms.cmp(&right.runtime_ms),
            Self::IsFolder => Reverse(left.kind.is_playable()).cmp(&Reverse(right.kind.is_playable())),
            Self::Played => left_state.played.cmp(&right_state.played),
            Self::SeriesName => series(left).cmp(&series(right)),
            Self::Season => left.season.cmp(&right.season),
            Self::Episode => left.episode.cmp(&right.episode),
            Self::Other => Ordering::Equal,
        }
    }
}

/// `fields` and `enableUserData` of a list.
pub(super) fn wanted(call: &Call) -> Wanted {
    let mut fields: Vec<String> = call.list("fields").into_iter().map(str::to_ascii_lowercase).collect();
    if fields.iter().any(|field| field == "itemcounts") {
        fields.extend(["childcount".to_owned(), "recursiveitemcount".to_owned()]);
    }
    Wanted { fields: Some(fields), user_data: call.flag("enableUserData").unwrap_or(true) }
}

fn sort(call: &Call) -> Vec<(SortBy, bool)> {
    let orders = call.list("sortOrder");
    let descending = |nth: usize| {
        let order = orders.get(nth).or_else(|| orders.first());
        order.is_some_and(|order| order.to_ascii_lowercase().starts_with("desc"))
    };
    call.list("sortBy").iter().enumerate().map(|(nth, name)| (SortBy::named(name), descending(nth))).collect()
}

/// Emby's `AnyProviderIdEquals=imdb.tt1,tvdb.2`.
fn any_ids(call: &Call) -> Vec<(String, String)> {
    let pairs = call.list("anyProviderIdEquals").into_iter().filter_map(|pair| pair.split_once('.'));
    pairs.map(|(provider, value)| (provider.to_owned(), value.to_owned())).collect()
}
