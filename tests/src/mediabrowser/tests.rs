//! Routes of Jellyfin and Emby, called in-process.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::world::{NewEpisode, NewMovie, TimeSource, User, UserState, Write};

struct House {
    world: World,
    alice: User,
    bob: User,
    key: String,
    heat: String,
}

fn house(flavor: Flavor) -> House {
    let time = TimeSource::fixed("2026-03-01T20:00:00.123Z".parse().unwrap());
    let world = World::at(time, flavor, "Home", "0123456789abcdef0123456789abcdef");
    let (alice, bob) = (world.add_owner("alice"), world.add_user("bob"));
    let key = world.add_api_key("sync");
    let heat = world.add_movie(&NewMovie::new("Heat", 1995).id("imdb", "tt0113277").id("tmdb", "949"));
    world.add_movie(&NewMovie::new("The Apartment", 1960).id("imdb", "tt0053604"));
    for episode in 1..=3 {
        world.add_episode(&NewEpisode::new("The Wire", 1, episode).show_id("tvdb", "79126").show_year(2002));
    }
    House { world, alice, bob, key, heat }
}

fn each() -> impl Iterator<Item = (Flavor, House)> {
    Flavor::ALL.into_iter().filter(|flavor| !flavor.is_plex()).map(|flavor| (flavor, house(flavor)))
}

impl House {
    fn send(&self, token: &str, call: Call) -> Answer {
        answer(&self.world, &call.with_header("Authorization", &format!("MediaBrowser Token=\"{token}\"")))
    }

    fn get(&self, target: &str) -> Value {
        let answer = self.send(&self.key, Call::get(target));
        assert_eq!(answer.status, StatusCode::OK, "{target}: {}", answer.text());
        answer.value()
    }

    fn items(&self, query: &str) -> Value {
        self.get(&format!("/Users/{}/Items?{query}", self.bob.id))
    }

    fn names(&self, query: &str) -> Vec<String> {
        let page = self.items(query);
        let names = page["Items"].as_array().unwrap().iter().map(|item| item["Name"].as_str().unwrap().to_owned());
        names.collect()
    }
}

#[test]
fn nobody_gets_in_without_a_valid_token() {
    for (flavor, house) in each() {
        for call in [Call::get("/Users"), Call::get("/System/Info"), Call::get("/Users/x/Items")] {
            assert_eq!(answer(&house.world, &call).status, StatusCode::UNAUTHORIZED, "{flavor:?} {call:?}");
            assert_eq!(house.send("wrong", call).status, StatusCode::UNAUTHORIZED, "{flavor:?}");
        }
        house.world.revoke(&house.key);
        assert_eq!(house.send(&house.key, Call::get("/Users")).status, StatusCode::UNAUTHORIZED, "{flavor:?}");
        let public = answer(&house.world, &Call::get("/system/info/public"));
        assert_eq!(public.value()["Version"], flavor.version());
    }
}

#[test]
fn a_user_sees_and_changes_their_own_states_only() {
    for (flavor, house) in each() {
        let (own, other) = (&house.bob, &house.alice);
        let mark = |user: &User| Call::post(&format!("/Users/{}/PlayedItems/{}", user.id, house.heat));
        assert_eq!(house.send(&own.tokens[0], mark(own)).status, StatusCode::OK, "{flavor:?}");
        assert_eq!(house.send(&own.tokens[0], mark(other)).status, StatusCode::FORBIDDEN, "{flavor:?}");
        let read = Call::get(&format!("/Users/{}/Items?recursive=true", other.id));
        assert_eq!(house.send(&own.tokens[0], read.clone()).status, StatusCode::FORBIDDEN, "{flavor:?}");
        assert_eq!(house.send(&other.tokens[0], mark(own)).status, StatusCode::OK, "{flavor:?}");
        assert_eq!(house.send(&house.key, read).status, StatusCode::OK, "{flavor:?}");
    }
}

#[test]
fn libraries_that_a_user_may_not_see_are_not_there() {
    for (flavor, house) in each() {
        let films = house.world.read(|model| model.libraries[0].id.clone());
        house.world.restrict_library(&films, &[]);
        assert_eq!(house.names("recursive=true&includeItemTypes=Movie"), Vec::<String>::new(), "{flavor:?}");
        let one = Call::get(&format!("/Users/{}/Items/{}", house.bob.id, house.heat));
        assert_eq!(house.send(&house.key, one).status, StatusCode::NOT_FOUND, "{flavor:?}");
        let views = house.get(&format!("/Users/{}/Views", house.bob.id));
        assert_eq!(views["TotalRecordCount"], 1, "{flavor:?}");
    }
}

#[test]
fn a_login_gives_a_token_that_a_logout_takes_away() {
    for (flavor, house) in each() {
        let device = r#"MediaBrowser Client="Test", Device="Desk", DeviceId="d1", Version="1""#;
        let login = |password: &str| {
            Call::post("/Users/AuthenticateByName").with_json(&json!({ "username": "BOB", "PW": password }))
        };
        let refused = answer(&house.world, &login("wrong").with_header("Authorization", device));
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{flavor:?}");
        assert_eq!(answer(&house.world, &login("bob-password")).status, StatusCode::BAD_REQUEST, "{flavor:?}");
        let welcome = answer(&house.world, &login("bob-password").with_header("Authorization", device)).value();
        assert_eq!(welcome["User"]["Id"], house.bob.id, "{flavor:?}");
        let token = welcome["AccessToken"].as_str().unwrap();
        let views = Call::get(&format!("/Users/{}/Views", house.bob.id));
        assert_eq!(house.send(token, views.clone()).status, StatusCode::OK, "{flavor:?}");
        assert_eq!(house.send(token, Call::post("/Sessions/Logout")).status, StatusCode::NO_CONTENT, "{flavor:?}");
        assert_eq!(house.send(token, views).status, StatusCode::UNAUTHORIZED, "{flavor:?}");
    }
}

#[test]
fn pages_are_cut_and_a_limit_of_zero_only_counts() {
    for (flavor, house) in each() {
        let all = house.names("recursive=true&includeItemTypes=Movie,Episode&sortBy=SortName");
        assert_eq!(all.len(), 5, "{flavor:?}");
        let page = house.items(
            "Recursive=True&IncludeItemTypes=Movie&IncludeItemTypes=Episode&SortBy=SortName&StartIndex=1&Limit=2",
        );
        assert_eq!(page["TotalRecordCount"], 5, "{flavor:?}");
        assert_eq!(page["Items"][0]["Name"], all[1].as_str(), "{flavor:?}");
        let count = house.items("recursive=true&includeItemTypes=Movie&limit=0");
        assert_eq!(
            (count["Items"].as_array().unwrap().len(), &count["TotalRecordCount"]),
            (0, &json!(2)),
            "{flavor:?}"
        );
        let uncounted = house.items("recursive=true&enableTotalRecordCount=false");
        assert_eq!(uncounted["TotalRecordCount"], 0, "{flavor:?}");
    }
}

#[test]
fn newest_activity_comes_first_and_what_was_never_played_last() {
    for (flavor, house) in each() {
        let played = |item: &str, at: &str| {
            let state = UserState { played: true, plays: 1, last_played_at: at.parse().ok(), ..UserState::default() };
            house.world.set_state("bob", item, &state).unwrap();
        };
        let first = house.world.episode("The Wire", 1, 1).unwrap();
        played(&house.heat, "2025-01-01T00:00:00Z");
        played(&first, "2025-06-01T00:00:00Z");
        let query = "recursive=true&filters=IsNotFolder&sortBy=DatePlayed&sortOrder=";
        assert_eq!(house.names(&format!("{query}Descending"))[..2], ["Episode 1", "Heat"], "{flavor:?}");
        assert_eq!(house.names(&format!("{query}Ascending"))[..2], ["Heat", "Episode 1"], "{flavor:?}");
        assert_eq!(house.names("recursive=true&isPlayed=true&includeItemTypes=Movie"), ["Heat"], "{flavor:?}");
        assert_eq!(
            house.names("recursive=true&filters=IsUnplayed&includeItemTypes=Movie"),
            ["The Apartment"],
            "{flavor:?}"
        );
    }
}

#[test]
fn the_saved_date_of_an_item_does_not_move_with_its_user_data() {
    for (flavor, house) in each() {
        house.world.clock().time().advance(jiff::SignedDuration::from_hours(1));
        house.world.mark_played("bob", &house.heat, None).unwrap();
        for name in ["minDateLastSaved", "minDateLastSavedForUser"] {
            let query = format!("recursive=true&{name}=2026-03-01T20:30:00Z");
            assert_eq!(house.names(&query), Vec::<String>::new(), "{flavor:?} {name}");
        }
        house.world.rematch(&house.heat, &[("imdb", "tt9999999")]).unwrap();
        assert_eq!(house.names("recursive=true&minDateLastSaved=2026-03-01T20:30:00Z"), ["Heat"], "{flavor:?}");
    }
}

#[test]
fn marks_answer_the_new_state_and_are_seen_as_writes() {
    let when: Timestamp = "2024-05-06T07:08:09Z".parse().unwrap();
    for (flavor, house) in each() {
        let date = if flavor.is_emby() { "20240506070809" } else { "2024-05-06T07:08:09.0000000Z" };
        let path = format!("/Users/{}/PlayedItems/{}", house.bob.id, house.heat);
        let answered = house.send(&house.key, Call::post(&format!("{path}?datePlayed={date}"))).value();
        assert_eq!(answered["LastPlayedDate"], "2024-05-06T07:08:09.0000000Z", "{flavor:?}");
        assert_eq!((&answered["Played"], &answered["PlayCount"]), (&json!(true), &json!(1)), "{flavor:?}");
        let answered = house.send(&house.key, Call::delete(&path)).value();
        assert_eq!((&answered["Played"], answered.get("LastPlayedDate")), (&json!(false), None), "{flavor:?}");
        let writes: Vec<_> = house.world.writes().into_iter().map(|write| write.what).collect();
        assert_eq!(writes, [Write::Played { date: Some(when) }, Write::Unplayed], "{flavor:?}");
    }
}

#[test]
fn emby_takes_a_date_in_another_format_for_no_date() {
    let house = house(Flavor::Emby49);
    let path = format!("/emby/Users/{}/PlayedItems/{}?DatePlayed=2024-05-06T07:08:09Z", house.bob.id, house.heat);
    assert_eq!(house.send(&house.key, Call::post(&path)).status, StatusCode::OK);
    assert_eq!(house.world.state("bob", &house.heat).last_played_at, Some(house.world.now()));
}

#[test]
fn user_data_sets_what_is_given_and_nothing_else() {
    for (flavor, house) in each() {
        house.world.write("bob", &house.heat, &Write::Favorite(true)).unwrap();
        let path = format!("/Users/{}/Items/{}/UserData", house.bob.id, house.heat);
        let body = json!({ "played": true, "PLAYCOUNT": 4, "LastPlayedDate": "2024-05-06T07:08:09Z", "Rating": null });
        let answer = house.send(&house.key, Call::post(&path).with_json(&body));
        let expected = if flavor.is_emby() { StatusCode::NO_CONTENT } else { StatusCode::OK };
        assert_eq!(answer.status, expected, "{flavor:?}");
        let state = house.world.state("bob", &house.heat);
        assert_eq!((state.played, state.plays, state.favorite), (true, 4, true), "{flavor:?}");
        let wrong = Call::post(&path).with_json(&json!({ "LastPlayedDate": "yesterday" }));
        assert_eq!(house.send(&house.key, wrong).status, StatusCode::BAD_REQUEST, "{flavor:?}");
    }
}

#[test]
fn emby_tells_count_and_date_of_plays_in_lists_only_when_asked() {
    for (flavor, house) in each() {
        house.world.mark_played("bob", &house.heat, Some("2024-05-06T07:08:09Z".parse().unwrap())).unwrap();
        let data =
            |fields: &str| house.items(&format!("ids={}&fields={fields}", house.heat))["Items"][0]["UserData"].clone();
        let plain = data("Path");
        assert_eq!(plain["PlayCount"], i32::from(flavor.is_jellyfin()), "{flavor:?}");
        assert_eq!(plain.get("LastPlayedDate").is_some(), flavor.is_jellyfin(), "{flavor:?}");
        let asked = data("UserDataPlayCount,UserDataLastPlayedDate");
        assert_eq!(asked["PlayCount"], 1, "{flavor:?}");
        assert_eq!(asked["LastPlayedDate"], "2024-05-06T07:08:09.0000000Z", "{flavor:?}");
        let single = house.get(&format!("/Users/{}/Items/{}", house.bob.id, house.heat));
        assert_eq!(single["UserData"]["PlayCount"], 1, "{flavor:?}");
    }
}

#[test]
fn ids_path_and_dates_come_only_when_asked() {
    for (flavor, house) in each() {
        let plain = house.items(&format!("ids={}", house.heat))["Items"][0].clone();
        assert!(plain.get("ProviderIds").is_none() && plain.get("Path").is_none(), "{flavor:?}");
        let asked = house.items(&format!("ids={}&fields=providerids&Fields=Path,DateCreated", house.heat));
        let asked = &asked["Items"][0];
        assert_eq!(asked["ProviderIds"], json!({ "Imdb": "tt0113277", "Tmdb": "949" }), "{flavor:?}");
        assert_eq!(asked["DateCreated"], "2026-03-01T20:00:00.1230000Z", "{flavor:?}");
    }
}

#[test]
fn shows_count_what_is_unplayed_and_a_mark_reaches_every_episode() {
    for (flavor, house) in each() {
        let show = house.world.read(|model| model.find(crate::world::Kind::Show, "The Wire").unwrap().id.clone());
        let unplayed = || house.items(&format!("ids={show}"))["Items"][0]["UserData"]["UnplayedItemCount"].clone();
        assert_eq!(unplayed(), 3, "{flavor:?}");
        house.send(&house.key, Call::post(&format!("/Users/{}/PlayedItems/{show}", house.bob.id)));
        assert_eq!(unplayed(), 0, "{flavor:?}");
        let episodes = house.get(&format!("/Shows/{show}/Episodes?userId={}", house.bob.id));
        assert_eq!(episodes["TotalRecordCount"], 3, "{flavor:?}");
        assert!(
            episodes["Items"].as_array().unwrap().iter().all(|one| one["UserData"]["Played"] == true),
            "{flavor:?}"
        );
        let seasons = house.get(&format!("/Shows/{show}/Seasons?userId={}", house.bob.id));
        assert_eq!(seasons["Items"][0]["IndexNumber"], 1, "{flavor:?}");
    }
}

#[test]
fn a_player_that_reports_is_a_session_until_it_stops() {
    for (flavor, house) in each() {
        let token = &house.bob.tokens[0];
        let report = |path: &str, ticks: u64| {
            let body = json!({ "ItemId": house.heat, "PositionTicks": ticks, "IsPaused": true });
            assert_eq!(
                house.send(token, Call::post(path).with_json(&body)).status,
                StatusCode::NO_CONTENT,
                "{flavor:?}"
            );
        };
        report("/Sessions/Playing", 0);
        report("/Sessions/Playing/Progress", 30 * 60 * 10_000_000);
        let sessions = house.get("/Sessions");
        assert_eq!(sessions[0]["NowPlayingItem"]["Id"], house.heat.as_str(), "{flavor:?}");
        assert_eq!(sessions[0]["PlayState"]["IsPaused"], true, "{flavor:?}");
        let resumable = house.get(&format!("/Users/{}/Items/Resume", house.bob.id));
        assert_eq!(resumable["Items"][0]["Id"], house.heat.as_str(), "{flavor:?}");
        report("/Sessions/Playing/Stopped", 99 * 60 * 10_000_000);
        assert_eq!(house.get("/Sessions"), json!([]), "{flavor:?}");
        assert!(house.world.state("bob", &house.heat).played, "{flavor:?}");
    }
}

#[test]
fn jellyfin_reads_ids_with_dashes_and_refuses_what_is_no_guid() {
    let house = house(Flavor::Jellyfin1011);
    let id = &house.heat;
    let dashed = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    assert_eq!(house.get(&format!("/Items/{dashed}?userId={}", house.bob.id))["Name"], "Heat");
    assert_eq!(house.send(&house.key, Call::get("/Items/101")).status, StatusCode::BAD_REQUEST);
    let missing = Call::get("/Items/00000000000000000000000000000001");
    assert_eq!(house.send(&house.key, missing).status, StatusCode::NOT_FOUND);
}

#[test]
fn an_api_key_has_to_name_the_user_and_is_nobody_itself() {
    let house = house(Flavor::Jellyfin12);
    let unnamed = Call::post(&format!("/UserPlayedItems/{}", house.heat));
    assert_eq!(house.send(&house.key, unnamed).status, StatusCode::NOT_FOUND);
    let named = Call::post(&format!("/UserPlayedItems/{}?userId={}", house.heat, house.bob.id));
    assert_eq!(house.send(&house.key, named).status, StatusCode::OK);
    assert_eq!(house.send(&house.key, Call::get("/Users/Me")).status, StatusCode::BAD_REQUEST);
}

#[test]
fn camel_case_is_written_on_request_and_ids_of_providers_keep_their_names() {
    let house = house(Flavor::Jellyfin1011);
    let call = Call::get(&format!("/Items?userId={}&ids={}&fields=ProviderIds", house.bob.id, house.heat));
    let page = house.send(&house.key, call.with_header("Accept", "application/json; profile=\"CamelCase\"")).value();
    assert_eq!(page["items"][0]["providerIds"]["Imdb"], "tt0113277");
    assert_eq!(page["items"][0]["userData"]["played"], false);
}

#[test]
fn emby_finds_items_by_any_of_their_ids() {
    let house = house(Flavor::Emby48);
    assert_eq!(house.names("recursive=true&AnyProviderIdEquals=imdb.tt1,tmdb.949"), ["Heat"]);
}

#[test]
fn alternate_versions_are_sources_of_one_item_at_jellyfin_12_and_items_of_their_own_elsewhere() {
    for (flavor, house) in each() {
        house.world.add_movie(&NewMovie::new("Alien", 1979).version("/media/4k/Alien.mkv"));
        let page = house.items("recursive=true&includeItemTypes=Movie&searchTerm=alien&fields=MediaSources");
        let sources = page["Items"][0]["MediaSources"].as_array().unwrap().len();
        let expected = if flavor == Flavor::Jellyfin12 { (1, 2) } else { (2, 1) };
        assert_eq!((page["Items"].as_array().unwrap().len(), sources), expected, "{flavor:?}");
    }
}

#[test]
fn requests_are_known_by_what_they_are_for() {
    let group = |call: &Call| operation(Flavor::Jellyfin1011, call).group;
    assert_eq!(group(&Call::get("/Items?limit=0&recursive=true")), Group::Count);
    assert_eq!(group(&Call::get("/Items?limit=500")), Group::ReadPage);
    assert_eq!(group(&Call::get("/Items?ids=a,b")), Group::ById);
    assert_eq!(group(&Call::post("/UserPlayedItems/1")), Group::Write);
    assert_eq!(group(&Call::get("/no/such/route")), Group::Other);
}
