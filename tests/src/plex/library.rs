//! Libraries and the lists of items in them.

use http::StatusCode;

use super::Asked;
use super::element::{Element, refuse};
use super::items::{Detail, Seen, item, main_kind, section_number, type_name, type_number};
use super::meta::meta;
use super::query::{Filter, sort};
use crate::http::Answer;
use crate::world::{Content, Kind, Library, Media, Model};

/// `GET /library`: the libraries' root, for the owner only.
pub(super) fn library(asked: &Asked<'_>) -> Answer {
    if !asked.owner {
        return refuse(StatusCode::FORBIDDEN);
    }
    let directory =
        |key: &'static str, title: &'static str| Element::new("Directory").with("key", key).with("title", title);
    let container = Element::container()
        .with("size", 3)
        .with("allowSync", false)
        .with("art", "/:/resources/library-art.png")
        .with("content", "")
        .with("identifier", "com.plexapp.plugins.library")
        .with("mediaTagPrefix", "/system/bundle/media/flags/")
        .with("mediaTagVersion", 1_700_000_000)
        .with("title1", "Plex Library")
        .with("title2", "")
        .children([
            directory("sections", "Library Sections"),
            directory("recentlyAdded", "Recently Added Content"),
            directory("onDeck", "On Deck Content"),
        ]);
    asked.answer(&container)
}

/// `GET /library/sections`: the libraries that the user may see.
pub(super) fn sections(asked: &Asked<'_>) -> Answer {
    let container = asked.world.read(|model| {
        let seen = model.libraries.iter().filter(|library| model.may_see(&asked.user, &library.id));
        let shown: Vec<Element> = seen.filter_map(|library| directory(asked, library)).collect();
        Element::container()
            .with("size", shown.len())
            .with("allowSync", false)
            .with("title1", "Plex Library")
            .children(shown)
    });
    asked.answer(&container)
}

/// `GET /library/sections/{id}`: what can be browsed in a library.
pub(super) fn section(asked: &Asked<'_>) -> Answer {
    let container = asked.world.read(|model| {
        let library = visible(model, asked)?;
        let browse =
            |key: &'static str, title: &'static str| Element::new("Directory").with("key", key).with("title", title);
        let ways = [browse("all", "All"), browse("unwatched", "Unwatched"), browse("recentlyAdded", "Recently Added")];
        Some(
            Element::container()
                .with("size", 3)
                .with("allowSync", false)
                .with("content", "secondary")
                .with("identifier", "com.plexapp.plugins.library")
                .with("librarySectionID", section_number(library))
                .with("title1", library.title.clone())
                .with("viewGroup", "secondary")
                .children(ways),
        )
    });
    container.map_or_else(|| refuse(StatusCode::NOT_FOUND), |container| asked.answer(&container))
}

/// The `type` of a library.
pub(crate) const fn section_type(content: Content) -> &'static str {
    match content {
        Content::Movies | Content::Mixed | Content::HomeVideos | Content::Collections => "movie",
        Content::Shows => "show",
        Content::Music => "artist",
        Content::Photos => "photo",
    }
}

/// A library as it stands in the list of libraries; Plex has no libraries of collections.
fn directory(asked: &Asked<'_>, library: &Library) -> Option<Element> {
    let kind = section_type(library.content);
    let (agent, scanner) = match library.content {
        Content::Movies | Content::Mixed => ("tv.plex.agents.movie", "Plex Movie"),
        Content::Shows => ("tv.plex.agents.series", "Plex TV Series"),
        Content::Music => ("tv.plex.agents.music", "Plex Music"),
        Content::Photos => ("com.plexapp.agents.none", "Plex Photo Scanner"),
        Content::HomeVideos => ("com.plexapp.agents.none", "Plex Video Files Scanner"),
        Content::Collections => return None,
    };
    let (id, number) = (library.id.clone(), section_number(library));
    let now = asked.world.now().as_second();
    let location = Element::new("Location").with("id", number).with("path", library.path.clone());
    Some(
        Element::new("Directory")
            .with("allowSync", true)
            .with("art", format!("/:/resources/{kind}-fanart.jpg"))
            .with("composite", format!("/library/sections/{id}/composite/{now}"))
            .with("filters", true)
            .with("refreshing", false)
            .with("thumb", format!("/:/resources/{kind}.png"))
            .with("key", id)
            .with("type", kind)
            .with("title", library.title.clone())
            .with("agent", agent)
            .with("scanner", scanner)
            .with("language", "en-US")
            .with("uuid", library.uuid.clone())
            .with("updatedAt", library.created_at.as_second())
            .with("createdAt", library.created_at.as_second())
            .with("scannedAt", now)
            .with("content", true)
            .with("directory", true)
            .with("contentChangedAt", number)
            .with("hidden", 0)
            .child(location),
    )
}

/// The library that the path names, if the user may see it.
fn visible<'m>(model: &'m Model, asked: &Asked<'_>) -> Option<&'m Library> {
    let id = asked.id.as_deref()?;
    model.library(id).filter(|library| model.may_see(&asked.user, &library.id))
}

/// `GET /library/sections/{id}/all`: items of one kind, filtered, sorted, page by page.
pub(super) fn section_all(asked: &Asked<'_>) -> Answer {
    let Ok(filters) = Filter::all(&asked.params) else { return refuse(StatusCode::BAD_REQUEST) };
    let now = asked.world.now();
    let listed = asked.world.read(|model| {
        let library = visible(model, asked)?;
        let kind = asked.params.kind().or_else(|| main_kind(library.content));
        let fits = |media: &&Media| {
            media.library == library.id
                && Some(media.kind) == kind
                && filters.iter().all(|filter| filter.passes(model, &asked.user, now, media))
        };
        let found = model.items().filter(fits).collect();
        let detail = Detail { guids: asked.params.flag("includeGuids"), ..Detail::default() };
        let (container, total) = list(asked, model, found, detail);
        let container = container
            .with("allowSync", true)
            .with("art", "/:/resources/movie-fanart.jpg")
            .with("identifier", "com.plexapp.plugins.library")
            .with("librarySectionID", section_number(library))
            .with("librarySectionTitle", library.title.clone())
            .with("librarySectionUUID", library.uuid.clone())
            .with("mediaTagPrefix", "/system/bundle/media/flags/")
            .with("mediaTagVersion", 1_700_000_000)
            .with("thumb", "/:/resources/movie.png")
            .with("title1", library.title.clone())
            .with("title2", "All")
            .with("viewGroup", kind.map_or("secondary", type_name));
        let described = asked.params.flag("includeMeta").then(|| meta(library));
        Some((container.children(described), total))
    });
    listed.map_or_else(|| refuse(StatusCode::NOT_FOUND), |(container, total)| asked.paged(container, total))
}

/// `GET /library/sections/{id}/collections`: there are none, but they could be described.
pub(super) fn collections(asked: &Asked<'_>) -> Answer {
    let container = asked.world.read(|model| {
        let library = visible(model, asked)?;
        let described = asked.params.flag("includeMeta").then(|| super::meta::collections(library));
        Some(
            Element::container()
                .with("size", 0)
                .with("librarySectionID", section_number(library))
                .with("librarySectionTitle", library.title.clone())
                .children(described),
        )
    });
    container.map_or_else(|| refuse(StatusCode::NOT_FOUND), |container| asked.paged(container, 0))
}

/// `GET /library/all`: over all libraries; by `guid` this is how an item of known identity is found.
pub(super) fn all(asked: &Asked<'_>) -> Answer {
    let Ok(filters) = Filter::all(&asked.params) else { return refuse(StatusCode::BAD_REQUEST) };
    let (now, kind) = (asked.world.now(), asked.params.kind());
    across(asked, |model, media| {
        kind.map_or(media.kind != Kind::Season, |kind| media.kind == kind)
            && filters.iter().all(|filter| filter.passes(model, &asked.user, now, media))
    })
}

/// What is under way, newest first: continue watching and on deck, of one library or of all.
pub(super) fn under_way(asked: &Asked<'_>) -> Answer {
    let (container, total) = asked.world.read(|model| {
        let mut found: Vec<(Seen, &Media)> = model
            .items()
            .filter(|media| media.kind.is_playable() && in_scope(model, asked, media))
            .map(|media| (Seen::of(model, &asked.user, media), media))
            .filter(|(seen, _)| seen.under_way)
            .collect();
        found.sort_by_key(|(seen, _)| std::cmp::Reverse(seen.state.last_played_at));
        let detail = Detail { section: true, guids: asked.params.flag("includeGuids"), ..Detail::default() };
        in_order(asked, model, found.into_iter().map(|(_, media)| media).collect(), detail)
    });
    asked.paged(container, total)
}

/// What was added lately: films and episodes, newest first.
pub(super) fn recent(asked: &Asked<'_>) -> Answer {
    let (container, total) = asked.world.read(|model| {
        let mut found: Vec<&Media> =
            model.items().filter(|media| media.kind.is_playable() && in_scope(model, asked, media)).collect();
        found.sort_by_key(|media| std::cmp::Reverse(media.added_at));
        found.truncate(50);
        in_order(asked, model, found, Detail { section: true, ..Detail::default() })
    });
    asked.paged(container, total)
}

/// In the library that the path names, or in any that the user may see.
fn in_scope(model: &Model, asked: &Asked<'_>, media: &Media) -> bool {
    model.may_see(&asked.user, &media.library) && asked.id.as_ref().is_none_or(|id| *id == media.library)
}

fn across(asked: &Asked<'_>, fits: impl Fn(&Model, &Media) -> bool) -> Answer {
    let (container, total) = asked.world.read(|model| {
        let found = model.items().filter(|media| model.may_see(&asked.user, &media.library) && fits(model, media));
        let detail = Detail { section: true, guids: asked.params.flag("includeGuids"), ..Detail::default() };
        list(asked, model, found.collect(), detail)
    });
    asked.paged(container, total)
}

/// A sorted, limited, paged container of items, and how many there are in all.
fn list(asked: &Asked<'_>, model: &Model, found: Vec<&Media>, detail: Detail) -> (Element, usize) {
    // A count needs no order.
    let sorted =
        if asked.page().size == Some(0) { found } else { sort(model, &asked.user, found, asked.params.get("sort")) };
    in_order(asked, model, sorted, detail)
}

fn in_order(asked: &Asked<'_>, model: &Model, mut found: Vec<&Media>, detail: Detail) -> (Element, usize) {
    found.truncate(asked.params.number("limit").unwrap_or(usize::MAX));
    let total = found.len();
    let shown: Vec<Element> =
        asked.page().cut(found).into_iter().map(|media| item(model, &asked.user, media, detail)).collect();
    (Element::container().with("size", shown.len()).children(shown), total)
}

/// `GET /library/metadata/{id[,id…]}`: whole items; unknown ids among several are left out, none left is 404.
pub(super) fn metadata(asked: &Asked<'_>) -> Answer {
    let ids = asked.id.as_deref().unwrap_or_default();
    let shown: Vec<Element> = asked.world.read(|model| {
        let items = ids.split(',').filter_map(|id| model.item(id));
        let seen = items.filter(|media| model.may_see(&asked.user, &media.library));
        let detail = Detail { whole: true, ..Detail::default() };
        seen.map(|media| item(model, &asked.user, media, detail)).collect()
    });
    if shown.is_empty() {
        return refuse(StatusCode::NOT_FOUND);
    }
    let container = Element::container()
        .with("size", shown.len())
        .with("allowSync", true)
        .with("identifier", "com.plexapp.plugins.library")
        .with("mediaTagPrefix", "/system/bundle/media/flags/")
        .with("mediaTagVersion", 1_700_000_000);
    asked.answer(&container.children(shown))
}

/// `GET /library/metadata/{id}/children`: the seasons of a show, the episodes of a season.
pub(super) fn children(asked: &Asked<'_>) -> Answer {
    inside(asked, |parent, media| match parent.kind {
        Kind::Show => media.kind == Kind::Season && media.show.as_ref() == Some(&parent.id),
        Kind::Season => media.season_id.as_ref() == Some(&parent.id),
        Kind::Movie | Kind::Episode => false,
    })
}

/// `GET /library/metadata/{id}/allLeaves`: all episodes of a show or season.
pub(super) fn all_leaves(asked: &Asked<'_>) -> Answer {
    inside(asked, |parent, media| {
        media.kind == Kind::Episode
            && (media.show.as_ref() == Some(&parent.id) || media.season_id.as_ref() == Some(&parent.id))
    })
}

fn inside(asked: &Asked<'_>, fits: impl Fn(&Media, &Media) -> bool) -> Answer {
    let listed = asked.world.read(|model| {
        let parent = model.item(asked.id.as_deref()?)?;
        let library = model.library(&parent.library).filter(|library| model.may_see(&asked.user, &library.id))?;
        let mut found: Vec<&Media> = model.items().filter(|media| fits(parent, media)).collect();
        found.sort_by_key(|media| (media.season, media.episode));
        let detail = Detail { guids: asked.params.flag("includeGuids"), ..Detail::default() };
        let (container, total) = in_order(asked, model, found, detail);
        let container = container
            .with("allowSync", true)
            .with("identifier", "com.plexapp.plugins.library")
            .with("key", parent.id.clone())
            .with("librarySectionID", section_number(library))
            .with("librarySectionTitle", library.title.clone())
            .with("librarySectionUUID", library.uuid.clone())
            .with_some("parentYear", parent.year)
            .with("parentTitle", parent.title.clone())
            .with("title2", parent.title.clone());
        Some((container, total))
    });
    listed.map_or_else(|| refuse(StatusCode::NOT_FOUND), |(container, total)| asked.paged(container, total))
}

/// `GET /hubs/search?query=&limit=&sectionId=`: titles that contain the words, a hub for each kind.
pub(super) fn search(asked: &Asked<'_>) -> Answer {
    let Some(words) = asked.params.get("query").map(str::to_lowercase) else {
        return refuse(StatusCode::BAD_REQUEST);
    };
    let limit = asked.params.number("limit").unwrap_or(10);
    let section = asked.params.get("sectionId");
    let container = asked.world.read(|model| {
        let hubs = [Kind::Movie, Kind::Show, Kind::Episode].map(|kind| {
            let fits = |media: &&Media| {
                media.kind == kind
                    && model.may_see(&asked.user, &media.library)
                    && section.is_none_or(|id| id == media.library)
                    && media.title.to_lowercase().contains(&words)
            };
            let detail = Detail { section: true, guids: asked.params.flag("includeGuids"), ..Detail::default() };
            let found: Vec<Element> =
                model.items().filter(fits).take(limit).map(|media| item(model, &asked.user, media, detail)).collect();
            Element::new("Hub")
                .with("title", type_name(kind))
                .with("type", type_name(kind))
                .with("hubIdentifier", type_name(kind))
                .with("context", format!("hub.search.{}", type_number(kind)))
                .with("size", found.len())
                .with("more", false)
                .with("style", "shelf")
                .children(found)
        });
        Element::container().with("size", hubs.len()).with("identifier", "com.plexapp.plugins.library").children(hubs)
    });
    asked.answer(&container)
}
