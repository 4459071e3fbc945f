//! Items: lists, counts, single ones, seasons and episodes.

use serde_json::{Value, json};

use super::describe::{self, Folders, Wanted};
use super::select::{Query, Selected};
use super::{Context, Handled, libraries};
use crate::http::Answer;
use crate::world::{Kind, Model};

pub(super) fn list(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    listed(context, user.as_deref())
}

pub(super) fn list_of_user(context: &Context<'_>) -> Handled {
    let user = context.path_user()?;
    listed(context, Some(&user))
}

pub(super) fn resume(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    Ok(page(context, user.as_deref(), &Query::resumable(context)?))
}

pub(super) fn resume_of_user(context: &Context<'_>) -> Handled {
    let user = context.path_user()?;
    Ok(page(context, Some(&user), &Query::resumable(context)?))
}

pub(super) fn latest(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    newest(context, user.as_deref())
}

pub(super) fn latest_of_user(context: &Context<'_>) -> Handled {
    let user = context.path_user()?;
    newest(context, Some(&user))
}

pub(super) fn counts(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    let favorite = context.call.flag("isFavorite");
    Ok(context.world.read(|model| {
        let count = |kind: Kind| {
            let seen = |library: &str| user.as_deref().is_none_or(|user| model.may_see(user, library));
            let liked = |media: &&crate::world::Media| match (favorite, &user) {
                (Some(wanted), Some(user)) => model.state_of(user, media).favorite == wanted,
                _ => true,
            };
            model.items().filter(|media| media.kind == kind && seen(&media.library)).filter(liked).count()
        };
        let (movies, series, episodes) = (count(Kind::Movie), count(Kind::Show), count(Kind::Episode));
        Answer::json(&json!({
            "MovieCount": movies, "SeriesCount": series, "EpisodeCount": episodes, "ArtistCount": 0,
            "ProgramCount": 0, "TrailerCount": 0, "SongCount": 0, "AlbumCount": 0, "MusicVideoCount": 0,
            "BoxSetCount": 0, "BookCount": 0, "ItemCount": movies + series + episodes,
        }))
    }))
}

pub(super) fn one(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    single(context, user.as_deref(), &context.param(0)?)
}

pub(super) fn one_of_user(context: &Context<'_>) -> Handled {
    let user = context.path_user()?;
    single(context, Some(&user), &context.param(1)?)
}

pub(super) fn episodes(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    let show = context.item(user.as_deref(), &context.param(0)?)?;
    let season = context.call.value("seasonId").filter(|id| !id.is_empty()).map(|id| context.id(id)).transpose()?;
    let number: Option<u32> = context.call.parsed("season");
    let number = |model: &Model| {
        let season = |media: &&crate::world::Media| {
            media.kind == Kind::Season && media.show.as_ref() == Some(&show) && media.season == number
        };
        number.map(|_| model.items().find(season).map(|season| season.id.clone()).unwrap_or_default())
    };
    let parent = season.or_else(|| context.world.read(number)).unwrap_or_else(|| show.clone());
    Ok(page(context, user.as_deref(), &Query::inside(context, &parent, Kind::Episode)?))
}

pub(super) fn seasons(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    let show = context.item(user.as_deref(), &context.param(0)?)?;
    Ok(page(context, user.as_deref(), &Query::inside(context, &show, Kind::Season)?))
}

pub(super) fn next_up(context: &Context<'_>) -> Handled {
    context.query_user()?;
    Ok(Answer::json(&json!({ "Items": [], "TotalRecordCount": 0, "StartIndex": 0 })))
}

fn listed(context: &Context<'_>, user: Option<&str>) -> Handled {
    let query = Query::read(context)?;
    if query.ids.is_none() && query.parent.is_none() && !query.recursive {
        // The root of what a user sees: the libraries.
        return Ok(context.world.read(|model| {
            let views: Vec<_> = libraries::seen(model, user).map(|library| describe::library(model, library)).collect();
            whole(context, &views)
        }));
    }
    if let Some(ids) = &query.ids {
        let found = context.world.read(|model| {
            let named = libraries::seen(model, user).filter(|library| ids.contains(&library.id));
            named.map(|library| describe::library(model, library)).collect::<Vec<_>>()
        });
        if !found.is_empty() {
            return Ok(whole(context, &found));
        }
    }
    Ok(page(context, user, &query))
}

/// All of a list. Emby has no `StartIndex` in its answers.
fn whole(context: &Context<'_>, items: &[Value]) -> Answer {
    let mut answer = json!({ "Items": items, "TotalRecordCount": items.len() });
    if context.flavor.is_jellyfin() {
        answer["StartIndex"] = json!(0);
    }
    Answer::json(&answer)
}

/// `BaseItemDtoQueryResult`.
fn page(context: &Context<'_>, user: Option<&str>, query: &Query) -> Answer {
    context.world.read(|model| {
        let Selected { page, total, folders } = query.select(model, user);
        let items = page.into_iter().map(|media| describe::item(model, user, media, &query.wanted, &folders));
        let total = if query.count { total } else { 0 };
        let mut answer = json!({ "Items": items.collect::<Vec<_>>(), "TotalRecordCount": total });
        if context.flavor.is_jellyfin() {
            answer["StartIndex"] = json!(query.start);
        }
        Answer::json(&answer)
    })
}

/// `Items/Latest`: an array.
fn newest(context: &Context<'_>, user: Option<&str>) -> Handled {
    let query = Query::latest(context)?;
    Ok(context.world.read(|model| {
        let found = query.select(model, user).page;
        let folders = Folders::default();
        let items = found.into_iter().map(|media| describe::item(model, user, media, &query.wanted, &folders));
        Answer::json(&Value::Array(items.collect()))
    }))
}

fn single(context: &Context<'_>, user: Option<&str>, id: &str) -> Handled {
    let library = context.world.read(|model| {
        let library = libraries::seen(model, user).find(|library| library.id == id)?;
        Some(describe::library(model, library))
    });
    if let Some(library) = library {
        return Ok(Answer::json(&library));
    }
    let id = context.item(user, id)?;
    let found = context.world.read(|model| {
        let media = model.item(&id)?;
        let folders = if media.kind.is_playable() { Folders::default() } else { Folders::count(model, user) };
        Some(Answer::json(&describe::item(model, user, media, &Wanted::all(), &folders)))
    });
    found.ok_or_else(|| context.not_found())
}
