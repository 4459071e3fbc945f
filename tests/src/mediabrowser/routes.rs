//! The routes of Jellyfin and Emby: one line each. Paths are matched in any case; `/emby` (and `/mediabrowser`) in
//! front is left off.

use crate::http::{Call, Group};
use crate::world::Flavor;

use super::{Context, Handled, items, libraries, marks, notifications, sessions, system, users};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Also without a token.
    Anyone,
    /// With any valid token.
    Known,
    /// With an API key or an administrator's token.
    Admin,
}

/// Which servers have a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Both,
    Jellyfin,
    Emby,
}

/// A route.
pub(super) struct Route {
    /// Method and template, as in `GET /Items/{id}`.
    pub label: &'static str,
    at: At,
    pub access: Access,
    pub group: Group,
    pub run: fn(&Context<'_>) -> Handled,
}

const fn route(label: &'static str, at: At, access: Access, group: Group, run: fn(&Context<'_>) -> Handled) -> Route {
    Route { label, at, access, group, run }
}

#[rustfmt::skip]
static ROUTES: &[Route] = {
    use Access::{Admin, Anyone, Known};
    use At::{Both, Emby, Jellyfin};
    use Group::{ById, Count, Identity, Libraries, Login, Other, ReadPage, Session, Write};
    &[
        route("GET /System/Info/Public", Both, Anyone, Identity, system::public_info),
        route("GET /System/Info", Both, Known, Identity, system::info),
        route("GET /System/Ping", Both, Anyone, Identity, system::ping),
        route("POST /System/Ping", Both, Anyone, Identity, system::ping),
        route("GET /System/Endpoint", Both, Known, Identity, system::endpoint),
        route("GET /System/Configuration", Both, Admin, Other, system::configuration),
        route("GET /Branding/Configuration", Both, Anyone, Other, system::branding),
        route("GET /QuickConnect/Enabled", Jellyfin, Anyone, Other, system::quick_connect),
        route("GET /Plugins", Both, Admin, Other, notifications::plugins),
        route("GET /Plugins/{id}/Configuration", Jellyfin, Admin, Other, notifications::configuration),
        route("POST /Plugins/{id}/Configuration", Jellyfin, Admin, Other, notifications::configure),
        route("GET /Notifications/Services/Configured", Emby, Known, Other, notifications::configured),
        route("POST /Notifications/Services/Configured", Emby, Known, Other, notifications::notify),
        route("DELETE /Notifications/Services/Configured", Emby, Known, Other, notifications::forget),
        route("GET /health", Jellyfin, Anyone, Identity, system::health),

        route("GET /Users", Both, Known, Login, users::list),
        route("GET /Users/Public", Both, Anyone, Login, users::public),
        route("GET /Users/Query", Emby, Known, Login, users::query),
        route("GET /Users/Me", Jellyfin, Known, Login, users::me),
        route("POST /Users/AuthenticateByName", Both, Anyone, Login, users::authenticate),
        route("GET /Users/{id}", Both, Known, Login, users::one),
        route("GET /Auth/Keys", Both, Admin, Login, users::keys),
        route("POST /Auth/Keys", Both, Admin, Login, users::add_key),
        route("DELETE /Auth/Keys/{key}", Both, Admin, Login, users::delete_key),
        route("POST /Sessions/Logout", Both, Known, Login, users::log_out),

        route("GET /UserViews", Jellyfin, Known, Libraries, libraries::views),
        route("GET /Users/{user}/Views", Both, Known, Libraries, libraries::views_of_user),
        route("GET /Library/VirtualFolders", Both, Admin, Libraries, libraries::virtual_folders),
        route("GET /Library/VirtualFolders/Query", Emby, Admin, Libraries, libraries::virtual_folders_query),
        route("GET /Library/MediaFolders", Both, Known, Libraries, libraries::media_folders),
        route("GET /Library/SelectableMediaFolders", Emby, Admin, Libraries, libraries::media_folders),

        route("GET /Items", Both, Known, ReadPage, items::list),
        route("GET /Users/{user}/Items", Both, Known, ReadPage, items::list_of_user),
        route("GET /UserItems/Resume", Jellyfin, Known, ReadPage, items::resume),
        route("GET /Users/{user}/Items/Resume", Both, Known, ReadPage, items::resume_of_user),
        route("GET /Items/Latest", Jellyfin, Known, Other, items::latest),
        route("GET /Users/{user}/Items/Latest", Both, Known, Other, items::latest_of_user),
        route("GET /Items/Counts", Both, Known, Count, items::counts),
        route("GET /Items/{id}", Jellyfin, Known, ById, items::one),
        route("GET /Items/{id}/Ancestors", Both, Known, ById, libraries::ancestors),
        route("GET /Users/{user}/Items/{id}", Both, Known, ById, items::one_of_user),
        route("GET /Shows/{id}/Episodes", Both, Known, ReadPage, items::episodes),
        route("GET /Shows/{id}/Seasons", Both, Known, ReadPage, items::seasons),
        route("GET /Shows/NextUp", Both, Known, Other, items::next_up),

        route("POST /UserPlayedItems/{id}", Jellyfin, Known, Write, marks::played),
        route("DELETE /UserPlayedItems/{id}", Jellyfin, Known, Write, marks::unplayed),
        route("POST /Users/{user}/PlayedItems/{id}", Both, Known, Write, marks::played_of_user),
        route("DELETE /Users/{user}/PlayedItems/{id}", Both, Known, Write, marks::unplayed_of_user),
        route("POST /Users/{user}/PlayedItems/{id}/Delete", Emby, Known, Write, marks::unplayed_of_user),
        route("GET /UserItems/{id}/UserData", Jellyfin, Known, ById, marks::user_data),
        route("POST /UserItems/{id}/UserData", Jellyfin, Known, Write, marks::set_user_data),
        route("GET /Users/{user}/Items/{id}/UserData", Jellyfin, Known, ById, marks::user_data_of_user),
        route("POST /Users/{user}/Items/{id}/UserData", Both, Known, Write, marks::set_user_data_of_user),
        route("POST /UserFavoriteItems/{id}", Jellyfin, Known, Write, marks::favorite),
        route("DELETE /UserFavoriteItems/{id}", Jellyfin, Known, Write, marks::not_favorite),
        route("POST /Users/{user}/FavoriteItems/{id}", Both, Known, Write, marks::favorite_of_user),
        route("DELETE /Users/{user}/FavoriteItems/{id}", Both, Known, Write, marks::not_favorite_of_user),
        route("POST /Users/{user}/FavoriteItems/{id}/Delete", Emby, Known, Write, marks::not_favorite_of_user),

        route("GET /Sessions", Both, Known, Session, sessions::list),
        route("POST /Sessions/Playing", Both, Known, Session, sessions::playing),
        route("POST /Sessions/Playing/Progress", Both, Known, Session, sessions::progress),
        route("POST /Sessions/Playing/Stopped", Both, Known, Session, sessions::stopped),
        route("POST /Sessions/Playing/Ping", Both, Known, Session, sessions::accept),
        route("POST /Sessions/Capabilities", Both, Known, Session, sessions::accept),
        route("POST /Sessions/Capabilities/Full", Both, Known, Session, sessions::accept),
        route("POST /Users/{user}/PlayingItems/{id}", Both, Known, Session, sessions::item_playing),
        route("DELETE /Users/{user}/PlayingItems/{id}", Both, Known, Session, sessions::item_stopped),
        route("POST /Users/{user}/PlayingItems/{id}/Progress", Both, Known, Write, sessions::item_progress),
        route("POST /PlayingItems/{id}", Jellyfin, Known, Session, sessions::own_item_playing),
        route("DELETE /PlayingItems/{id}", Jellyfin, Known, Session, sessions::own_item_stopped),
        route("POST /PlayingItems/{id}/Progress", Jellyfin, Known, Write, sessions::own_item_progress),
    ]
};

/// The route of a call, and what stands in the place of its `{…}`. Literal segments win over these.
pub(super) fn find(flavor: Flavor, call: &Call) -> Option<(&'static Route, Vec<String>)> {
    let segments = call.segments();
    let prefixed = segments.first().is_some_and(|first| {
        flavor.is_emby() && (first.eq_ignore_ascii_case("emby") || first.eq_ignore_ascii_case("mediabrowser"))
    });
    let segments = if prefixed { &segments[1..] } else { &segments[..] };
    let method = if call.method == http::Method::HEAD { "GET" } else { call.method.as_str() };
    let here = |route: &&Route| match route.at {
        At::Both => true,
        At::Jellyfin => flavor.is_jellyfin(),
        At::Emby => flavor.is_emby(),
    };
    let matched = ROUTES.iter().filter(here).filter_map(|route| Some((route, matches(route.label, method, segments)?)));
    matched.min_by_key(|(_, params)| params.len())
}

fn matches(label: &str, method: &str, segments: &[std::borrow::Cow<'_, str>]) -> Option<Vec<String>> {
    let (wanted, template) = label.split_once(' ')?;
    let parts = template.split('/').filter(|part| !part.is_empty());
    if wanted != method || parts.clone().count() != segments.len() {
        return None;
    }
    let mut params = Vec::new();
    for (part, segment) in parts.zip(segments) {
        if part.starts_with('{') {
            params.push(segment.to_string());
        } else if !part.eq_ignore_ascii_case(segment) {
            return None;
        }
    }
    Some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(flavor: Flavor, call: &Call) -> Option<&'static str> {
        find(flavor, call).map(|(route, _)| route.label)
    }

    #[test]
    fn paths_are_matched_in_any_case_and_literals_win() {
        let jellyfin = Flavor::Jellyfin1011;
        assert_eq!(label(jellyfin, &Call::get("/system/info/PUBLIC")), Some("GET /System/Info/Public"));
        assert_eq!(label(jellyfin, &Call::get("/users/public")), Some("GET /Users/Public"));
        assert_eq!(label(jellyfin, &Call::get("/Users/x/items/resume")), Some("GET /Users/{user}/Items/Resume"));
        assert_eq!(label(jellyfin, &Call::get("/Items/")), Some("GET /Items"));
    }

    #[test]
    fn each_server_has_its_own_routes() {
        let (emby, jellyfin) = (Flavor::Emby49, Flavor::Jellyfin12);
        assert_eq!(label(emby, &Call::get("/emby/Users/Query")), Some("GET /Users/Query"));
        assert_eq!(label(emby, &Call::post("/UserPlayedItems/1")), None);
        assert_eq!(label(jellyfin, &Call::post("/UserPlayedItems/1")), Some("POST /UserPlayedItems/{id}"));
        assert_eq!(label(jellyfin, &Call::get("/emby/System/Info")), None);
    }
}
