//! Libraries: as a user sees them (views), and as they are set up (virtual folders).

#![expect(clippy::unnecessary_wraps, reason = "all handlers have one signature, for the table of routes")]

use serde_json::{Value, json};

use super::{Context, Handled, describe};
use crate::http::Answer;
use crate::world::{Content, Library, Model};

pub(super) fn views(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    let user = user.ok_or_else(|| context.refuse(http::StatusCode::BAD_REQUEST))?;
    Ok(answer(context, Some(&user)))
}

pub(super) fn views_of_user(context: &Context<'_>) -> Handled {
    let user = context.path_user()?;
    Ok(answer(context, Some(&user)))
}

pub(super) fn media_folders(context: &Context<'_>) -> Handled {
    Ok(answer(context, None))
}

pub(super) fn virtual_folders(context: &Context<'_>) -> Handled {
    Ok(context.world.read(|model| {
        Answer::json(&Value::Array(model.libraries.iter().map(|library| virtual_folder(model, library)).collect()))
    }))
}

pub(super) fn virtual_folders_query(context: &Context<'_>) -> Handled {
    Ok(context.world.read(|model| {
        let folders: Vec<_> = model.libraries.iter().map(|library| virtual_folder(model, library)).collect();
        Answer::json(&json!({ "Items": folders, "TotalRecordCount": folders.len() }))
    }))
}

/// What an item lies in, from the inside out: season, show, library.
pub(super) fn ancestors(context: &Context<'_>) -> Handled {
    let user = context.query_user()?;
    let id = context.item(user.as_deref(), &context.param(0)?)?;
    Ok(context.world.read(|model| {
        let media = model.media.get(&id);
        let above = media.into_iter().flat_map(|media| [media.season_id.as_ref(), media.show.as_ref()]).flatten();
        let mut chain: Vec<Value> = above
            .filter_map(|id| model.media.get(id))
            .map(|media| json!({ "Id": media.id, "Name": media.title, "Type": describe::kind_name(media.kind) }))
            .collect();
        let library = media.and_then(|media| model.library(&media.library));
        chain.extend(library.map(|library| describe::library(model, library)));
        Answer::json(&Value::Array(chain))
    }))
}

/// The libraries that a user sees, in their order; all of them for no user.
pub(super) fn seen<'a>(model: &'a Model, user: Option<&'a str>) -> impl Iterator<Item = &'a Library> {
    model.libraries.iter().filter(move |library| user.is_none_or(|user| model.may_see(user, &library.id)))
}

/// `CollectionType`; a mixed library has none.
pub(super) const fn collection_type(content: Content) -> Option<&'static str> {
    match content {
        Content::Movies => Some("movies"),
        Content::Shows => Some("tvshows"),
        Content::Mixed => None,
        Content::Music => Some("music"),
        Content::Photos | Content::HomeVideos => Some("homevideos"),
        Content::Collections => Some("boxsets"),
    }
}

fn answer(context: &Context<'_>, user: Option<&str>) -> Answer {
    context.world.read(|model| {
        let items: Vec<_> = seen(model, user).map(|library| describe::library(model, library)).collect();
        let mut page = json!({ "Items": items, "TotalRecordCount": items.len() });
        if context.flavor.is_jellyfin() {
            page["StartIndex"] = json!(0);
        }
        Answer::json(&page)
    })
}

fn virtual_folder(model: &Model, library: &Library) -> Value {
    let options = json!({
        "EnablePhotos": true,
        "EnableRealtimeMonitor": true,
        "EnableChapterImageExtraction": false,
        "PathInfos": [{ "Path": library.path }],
        "SaveLocalMetadata": false,
        "EnableInternetProviders": true,
        "SeasonZeroDisplayName": "Specials",
        "AutomaticRefreshIntervalDays": 0,
        "TypeOptions": [],
    });
    let mut folder = json!({
        "Name": library.title,
        "Locations": [library.path],
        "LibraryOptions": options,
        "ItemId": library.id,
        "PrimaryImageItemId": library.id,
        "RefreshStatus": "Idle",
    });
    if let Some(kind) = collection_type(library.content) {
        folder["CollectionType"] = json!(kind);
    }
    if model.flavor.is_emby() {
        folder["Id"] = json!(library.id);
        folder["Guid"] = json!(library.uuid.replace('-', ""));
    }
    folder
}
