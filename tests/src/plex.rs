//! A simulated Plex Media Server: XML and JSON, tokens, libraries, marks, timeline, sessions, history.
//! Shapes follow what public clients read and what recorded answers of version 1.41 show.

use http::{HeaderMap, Method, StatusCode};

use crate::http::{Answer, Call, Group, Operation};
use crate::world::{Caller, UserId, World};

mod element;
mod items;
mod library;
mod meta;
mod playing;
mod query;
mod server;
#[cfg(test)]
mod tests;

use element::{Element, refuse};
pub(crate) use element::{as_text, wants_json};
pub(crate) use items::without_files;
pub(crate) use library::section_type;
use query::{Page, Params};

type Handler = fn(&Asked<'_>) -> Answer;

/// One route: template (with its method, as in the log), what it is for, and who answers.
struct Route(&'static str, Group, Handler);

const ROUTES: &[Route] = &[
    Route("GET /", Group::Identity, server::root),
    Route("GET /accounts", Group::Login, server::accounts),
    Route("GET /myplex/account", Group::Login, server::my_plex),
    Route("GET /:/prefs", Group::Other, server::preferences),
    Route("GET /library", Group::Libraries, library::library),
    Route("GET /library/sections", Group::Libraries, library::sections),
    Route("GET /library/sections/{id}", Group::Libraries, library::section),
    Route("GET /library/sections/{id}/all", Group::ReadPage, library::section_all),
    Route("GET /library/sections/{id}/collections", Group::ReadPage, library::collections),
    Route("GET /library/sections/{id}/onDeck", Group::ReadPage, library::under_way),
    Route("GET /library/sections/{id}/recentlyAdded", Group::ReadPage, library::recent),
    Route("GET /library/all", Group::ReadPage, library::all),
    Route("GET /library/onDeck", Group::ReadPage, library::under_way),
    Route("GET /library/recentlyAdded", Group::ReadPage, library::recent),
    Route("GET /library/metadata/{ids}", Group::ById, library::metadata),
    Route("GET /library/metadata/{id}/children", Group::ReadPage, library::children),
    Route("GET /library/metadata/{id}/grandchildren", Group::ReadPage, library::all_leaves),
    Route("GET /library/metadata/{id}/allLeaves", Group::ReadPage, library::all_leaves),
    Route("GET /hubs/search", Group::Other, library::search),
    Route("GET /hubs/continueWatching/items", Group::ReadPage, library::under_way),
    Route("GET /hubs/sections/{id}/continueWatching/items", Group::ReadPage, library::under_way),
    Route("GET /:/scrobble", Group::Write, playing::scrobble),
    Route("PUT /:/scrobble", Group::Write, playing::scrobble),
    Route("GET /:/unscrobble", Group::Write, playing::unscrobble),
    Route("PUT /:/unscrobble", Group::Write, playing::unscrobble),
    Route("GET /:/progress", Group::Write, playing::progress),
    Route("PUT /:/progress", Group::Write, playing::progress),
    Route("POST /:/progress", Group::Write, playing::progress),
    Route("GET /:/timeline", Group::Write, playing::timeline),
    Route("PUT /:/timeline", Group::Write, playing::timeline),
    Route("POST /:/timeline", Group::Write, playing::timeline),
    Route("GET /:/rate", Group::Write, playing::rate),
    Route("PUT /:/rate", Group::Write, playing::rate),
    Route("PUT /actions/removeFromContinueWatching", Group::Write, playing::forget),
    Route("GET /status/sessions", Group::Session, playing::sessions),
    Route("GET /status/sessions/history/all", Group::ReadPage, playing::history),
];

const IDENTITY: Operation = Operation { label: "GET /identity", group: Group::Identity };

/// Which route a call takes.
pub(crate) fn operation(call: &Call) -> Operation {
    let segments = call.segments();
    if segments == ["identity"] {
        return IDENTITY;
    }
    let Some((Route(label, group, _), _)) = find(call) else {
        return Operation { label: "unknown", group: Group::Other };
    };
    let params = Params::of(call);
    let group = match group {
        Group::ReadPage if Page::of(&params).size == Some(0) => Group::Count,
        // A player that tells where it is; `stopped` sets the position.
        Group::Write if label.ends_with("/timeline") && params.get("state") != Some("stopped") => Group::Session,
        group => *group,
    };
    Operation { label, group }
}

/// Carries a call out.
pub(crate) fn answer(world: &World, call: &Call) -> Answer {
    if operation(call) == IDENTITY {
        return server::identity(world, call);
    }
    let params = Params::of(call);
    let caller = params.get("X-Plex-Token").and_then(|token| world.read(|model| model.caller(token)));
    let Some(Caller::User { id: user, .. }) = caller else { return refuse(StatusCode::UNAUTHORIZED) };
    let answer = match find(call) {
        Some((Route(_, _, handler), id)) => {
            let owner = world.read(|model| model.owner().is_some_and(|owner| owner.id == user));
            handler(&Asked { world, user: user.clone(), owner, id, params, call })
        }
        None => refuse(StatusCode::NOT_FOUND),
    };
    answer.to(Some(&user))
}

/// The route of a call and what stands in its template's braces. `HEAD` goes where `GET` goes.
fn find(call: &Call) -> Option<(&'static Route, Option<String>)> {
    let segments = call.segments();
    let method = if call.method == Method::HEAD { "GET" } else { call.method.as_str() };
    ROUTES.iter().find_map(|route| {
        let template = route.0.strip_prefix(method)?.strip_prefix(' ')?;
        let parts: Vec<&str> = template.split('/').filter(|part| !part.is_empty()).collect();
        if parts.len() != segments.len() {
            return None;
        }
        let mut id = None;
        for (part, segment) in parts.into_iter().zip(&segments) {
            if part.starts_with('{') {
                id = Some(segment.clone().into_owned());
            } else if part != segment {
                return None;
            }
        }
        Some((route, id))
    })
}

/// A call that a valid token came with.
struct Asked<'c> {
    world: &'c World,
    user: UserId,
    /// The one who set the server up; others see neither settings nor what somebody else plays.
    owner: bool,
    /// What stands in the template's braces.
    id: Option<String>,
    params: Params,
    call: &'c Call,
}

impl Asked<'_> {
    fn page(&self) -> Page {
        Page::of(&self.params)
    }

    fn headers(&self) -> &HeaderMap {
        &self.call.headers
    }

    fn answer(&self, element: &Element) -> Answer {
        element.answer(self.headers())
    }

    /// Answers with a list; its total is told, in the container and by headers, to a client that asked for a page.
    fn paged(&self, container: Element, total: usize) -> Answer {
        let page = self.page();
        if !page.asked {
            return self.answer(&container);
        }
        self.answer(&container.with("totalSize", total).with("offset", page.start))
            .with("x-plex-container-start", &page.start.to_string())
            .with("x-plex-container-total-size", &total.to_string())
    }
}
