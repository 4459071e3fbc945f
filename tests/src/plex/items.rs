//! How Plex shows an item: the attributes of lists, and what only the page of one item has.

use jiff::Timestamp;
use serde_json::Value;

use super::element::Element;
use crate::world::{Content, Kind, Library, Media, Model, UserState};

/// How much of an item is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Detail {
    /// External ids (`includeGuids=1`).
    pub(super) guids: bool,
    /// The page of one item: library, ids and a show's folder come unasked.
    pub(super) whole: bool,
    /// A list over several libraries says which one an item is from.
    pub(super) section: bool,
}

/// Plex's number for a kind of item (`type=` in queries).
pub(super) const fn type_number(kind: Kind) -> u64 {
    match kind {
        Kind::Movie => 1,
        Kind::Show => 2,
        Kind::Season => 3,
        Kind::Episode => 4,
    }
}

/// Plex's name for a kind of item.
pub(super) const fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Movie => "movie",
        Kind::Show => "show",
        Kind::Season => "season",
        Kind::Episode => "episode",
    }
}

/// The kind of item that a query's `type` names, by number or name.
pub(super) fn kind_named(text: &str) -> Option<Kind> {
    let kinds = [Kind::Movie, Kind::Show, Kind::Season, Kind::Episode];
    kinds.into_iter().find(|kind| type_name(*kind) == text || type_number(*kind).to_string() == text)
}

/// What a library's items are by default; none for those that hold nothing of ours.
pub(super) const fn main_kind(content: Content) -> Option<Kind> {
    match content {
        Content::Movies | Content::Mixed => Some(Kind::Movie),
        Content::Shows => Some(Kind::Show),
        Content::Music | Content::Photos | Content::HomeVideos | Content::Collections => None,
    }
}

/// What a user did with an item; for shows and seasons what they did with the episodes in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) state: UserState,
    pub(super) leaves: u64,
    pub(super) viewed_leaves: u64,
    pub(super) under_way: bool,
}

impl Seen {
    /// Looks it up.
    pub(super) fn of(model: &Model, user: &str, media: &Media) -> Self {
        if media.kind.is_playable() {
            let state = model.state_of(user, media);
            let under_way = state.position_ms > 0;
            return Self { leaves: 1, viewed_leaves: u64::from(state.plays > 0), under_way, state };
        }
        let mut seen = Self::default();
        for leaf in model.leaves(&media.id) {
            let state = model.state(user, &leaf);
            seen.leaves += 1;
            seen.viewed_leaves += u64::from(state.plays > 0);
            seen.under_way |= state.position_ms > 0;
            seen.state.plays += state.plays;
            seen.state.last_played_at = seen.state.last_played_at.max(state.last_played_at);
        }
        seen.under_way |= seen.viewed_leaves > 0 && seen.viewed_leaves < seen.leaves;
        seen
    }

    /// Whether Plex's filter `unwatched` finds it: shows count as long as one episode is left.
    pub(super) const fn is_unwatched(&self) -> bool {
        self.viewed_leaves < self.leaves
    }
}

/// An item as the user sees it.
pub(super) fn item(model: &Model, user: &str, media: &Media, detail: Detail) -> Element {
    let seen = Seen::of(model, user, media);
    let playable = media.kind.is_playable();
    let key = if playable { "" } else { "/children" };
    let element = Element::item(if playable { "Video" } else { "Directory" })
        .with("ratingKey", media.id.clone())
        .with("key", format!("/library/metadata/{}{key}", media.id))
        .with("guid", media.guid.clone())
        .with("type", type_name(media.kind))
        .with("title", media.title.clone());
    let element = with_parents(element, model, media);
    let element = if detail.whole || detail.section { with_section(element, model, media) } else { element };
    let element = element
        .with("summary", "")
        .with_some("index", index(media))
        .with_some("year", media.year)
        .with("thumb", format!("/library/metadata/{}/thumb/{}", media.id, media.saved_at.as_second()))
        .with_some("duration", media.runtime_ms)
        .with_some("originallyAvailableAt", media.year.filter(|_| media.kind != Kind::Season).map(first_day))
        .with("addedAt", media.added_at.as_second())
        .with("updatedAt", media.saved_at.as_second());
    let element = with_seen(element, model, media, &seen);
    let element = if playable { element.child(file(media)) } else { element };
    let element = if detail.guids || detail.whole { element.children(guids(media)) } else { element };
    if detail.whole && media.kind == Kind::Show {
        return element.child(Element::new("Location").with("path", media.path.clone()));
    }
    element
}

/// An item as webhooks describe it: all that its page has, but no files.
pub(crate) fn without_files(model: &Model, user: &str, media: &Media) -> Value {
    let mut described = item(model, user, media, Detail { whole: true, ..Detail::default() }).to_json();
    if let Some(fields) = described.as_object_mut() {
        fields.retain(|name, _| name != "Media" && name != "Location");
    }
    described
}

/// Names of the season and show that an item is in.
fn with_parents(element: Element, model: &Model, media: &Media) -> Element {
    let show = media.show.as_ref().and_then(|id| model.media.get(id));
    let season = media.season_id.as_ref().and_then(|id| model.media.get(id));
    match (media.kind, show, season) {
        (Kind::Season, Some(show), _) => element
            .with("parentRatingKey", show.id.clone())
            .with("parentKey", format!("/library/metadata/{}", show.id))
            .with("parentGuid", show.guid.clone())
            .with("parentTitle", show.title.clone())
            .with_some("parentYear", show.year)
            .with("parentIndex", 1),
        (Kind::Episode, Some(show), Some(season)) => element
            .with("parentRatingKey", season.id.clone())
            .with("grandparentRatingKey", show.id.clone())
            .with("parentKey", format!("/library/metadata/{}", season.id))
            .with("grandparentKey", format!("/library/metadata/{}", show.id))
            .with("parentGuid", season.guid.clone())
            .with("grandparentGuid", show.guid.clone())
            .with("parentTitle", season.title.clone())
            .with("grandparentTitle", show.title.clone())
            .with_some("parentIndex", media.season),
        _ => element,
    }
}

fn with_section(element: Element, model: &Model, media: &Media) -> Element {
    match model.library(&media.library) {
        Some(library) => element
            .with("librarySectionTitle", library.title.clone())
            .with("librarySectionID", section_number(library))
            .with("librarySectionKey", format!("/library/sections/{}", library.id)),
        None => element,
    }
}

/// What was never done is absent, not zero.
fn with_seen(element: Element, model: &Model, media: &Media, seen: &Seen) -> Element {
    let state = &seen.state;
    let element = element
        .with_some("viewCount", (state.plays > 0).then_some(state.plays))
        .with_some("viewOffset", (state.position_ms > 0).then_some(state.position_ms))
        .with_some("lastViewedAt", state.last_played_at.map(Timestamp::as_second))
        .with_some("userRating", state.rating);
    if media.kind.is_playable() {
        return element;
    }
    let seasons = model.items().filter(|other| other.kind == Kind::Season && other.show.as_ref() == Some(&media.id));
    element
        .with("leafCount", seen.leaves)
        .with("viewedLeafCount", seen.viewed_leaves)
        .with_some("childCount", (media.kind == Kind::Show).then(|| seasons.count()))
}

/// The file of a film or episode.
fn file(media: &Media) -> Element {
    let number = media.id.parse::<u64>().unwrap_or_default();
    let container = media.path.rsplit_once('.').map_or("mkv", |(_, extension)| extension).to_owned();
    let part = Element::new("Part")
        .with("id", number)
        .with("key", format!("/library/parts/{number}/{}/file.{container}", media.added_at.as_second()))
        .with_some("duration", media.runtime_ms)
        .with("file", media.path.clone())
        .with("size", 1_000_000_000 + number)
        .with("container", container.clone());
    Element::new("Media")
        .with("id", number)
        .with_some("duration", media.runtime_ms)
        .with("bitrate", 4000)
        .with("width", 1920)
        .with("height", 1080)
        .with("aspectRatio", 1.78)
        .with("audioChannels", 2)
        .with("audioCodec", "aac")
        .with("videoCodec", "h264")
        .with("videoResolution", "1080")
        .with("container", container)
        .with("videoFrameRate", "24p")
        .child(part)
}

/// External ids, which only the new agents tell: what is unmatched or of an old agent has none.
fn guids(media: &Media) -> Vec<Element> {
    if !media.guid.starts_with("plex://") {
        return Vec::new();
    }
    let id = |(provider, value): &(String, String)| format!("{}://{value}", provider.to_ascii_lowercase());
    media.ids.iter().map(|held| Element::new("Guid").with("id", id(held))).collect()
}

const fn index(media: &Media) -> Option<u32> {
    match media.kind {
        Kind::Movie => None,
        Kind::Show => Some(1),
        Kind::Season => media.season,
        Kind::Episode => media.episode,
    }
}

fn first_day(year: u16) -> String {
    format!("{year}-01-01")
}

/// A library's id as the number that it is in items.
pub(super) fn section_number(library: &Library) -> u64 {
    library.id.parse().unwrap_or_default()
}
