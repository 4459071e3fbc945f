//! The simulated server asked without a socket.

use jiff::SignedDuration;
use serde_json::Value;

use super::*;
use crate::world::{Flavor, NewEpisode, NewMovie, TimeSource, Write};

const NOW: &str = "2026-03-01T12:00:00Z";

fn household() -> World {
    let world = World::at(TimeSource::fixed(NOW.parse().unwrap()), Flavor::Plex, "Home", "home1");
    world.add_owner("anna");
    world.add_user("fred");
    for (title, year) in [("Heat", 1995), ("Alien", 1979), ("The Abyss", 1989)] {
        let id = format!("tt00{year}");
        world.add_movie(&NewMovie::new(title, year).id("imdb", &id).id("tmdb", &year.to_string()));
    }
    for episode in 1..=3 {
        let new = NewEpisode::new("Firefly", 1, episode).show_id("tvdb", "78874");
        world.add_episode(&new.id("tvdb", &format!("29700{episode}")));
    }
    world
}

fn token(world: &World, who: &str) -> String {
    world.read(|model| model.user(who).unwrap().tokens[0].clone())
}

fn ask(world: &World, who: &str, target: &str) -> Answer {
    let call = Call::get(target).with_header("x-plex-token", &token(world, who));
    answer(world, &call.with_header("accept", "application/json"))
}

fn container(world: &World, who: &str, target: &str) -> Value {
    let answer = ask(world, who, target);
    assert_eq!(answer.status, StatusCode::OK, "{target}: {}", answer.text());
    answer.value()["MediaContainer"].clone()
}

fn titles(world: &World, who: &str, target: &str) -> Vec<String> {
    let container = container(world, who, target);
    let items = container["Metadata"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn without_a_valid_token_there_is_only_a_page_that_says_so() {
    let world = household();
    let refused = answer(&world, &Call::get("/library/sections?X-Plex-Token=wrong"));
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers["content-type"], "text/html");
    assert_eq!(answer(&world, &Call::get("/identity")).status, StatusCode::OK);
    world.revoke(&token(&world, "fred"));
    let late = Call::get("/").with_header("x-plex-token", "ca32a02b74fe9470a9f54135a447717d");
    assert_eq!(answer(&world, &late).status, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_token_is_taken_from_the_query_as_well() {
    let world = household();
    let call = Call::get(&format!("/library/sections?X-Plex-Token={}", token(&world, "anna")));
    let answer = answer(&world, &call);
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().starts_with("<?xml"), "XML unless JSON is asked for");
    assert_eq!(answer.headers["x-plex-protocol"], "1.0");
}

#[test]
fn an_unplayed_film_has_no_trace_of_a_view_and_a_marked_one_is_stamped_by_the_servers_clock() {
    let world = household();
    let film = world.movie("Heat").unwrap();
    let page = format!("/library/metadata/{film}");
    let before = container(&world, "anna", &page)["Metadata"][0].clone();
    assert!(before.get("viewCount").is_none() && before.get("lastViewedAt").is_none());
    world.clock().set_offset(SignedDuration::from_hours(1));
    let mark = format!("/:/scrobble?identifier=com.plexapp.plugins.library&key={film}");
    assert_eq!(ask(&world, "anna", &mark).status, StatusCode::OK);
    assert_eq!(ask(&world, "anna", &mark).status, StatusCode::OK);
    let after = container(&world, "anna", &page)["Metadata"][0].clone();
    assert_eq!(after["viewCount"], 2);
    assert_eq!(after["lastViewedAt"], "2026-03-01T13:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second());
    assert!(container(&world, "fred", &page)["Metadata"][0].get("viewCount").is_none(), "fred has states of his own");
    assert_eq!(world.writes().len(), 2);
    assert!(world.read(|model| model.history.is_empty()), "marks by hand make no history");
}

#[test]
fn two_copies_with_one_guid_share_their_state() {
    let world = household();
    let copy = world.add_movie(&NewMovie::new("Heat", 1995).id("imdb", "tt001995").path("/media/4k/Heat.mkv"));
    let film = world.movie("Heat").unwrap();
    assert_ne!(copy, film);
    world.write("anna", &film, &Write::Played { date: None }).unwrap();
    assert_eq!(container(&world, "anna", &format!("/library/metadata/{copy}"))["Metadata"][0]["viewCount"], 1);
}

#[test]
fn filters_and_sorts_find_the_newest_activity_first() {
    let world = household();
    for (title, hours) in [("Heat", 1), ("Alien", 2)] {
        world.clock().time().advance(SignedDuration::from_hours(hours));
        world.mark_played("anna", &world.movie(title).unwrap(), None).unwrap();
    }
    let newest = "/library/sections/1/all?type=1&sort=lastViewedAt:desc";
    assert_eq!(titles(&world, "anna", newest), ["Alien", "Heat", "The Abyss"]);
    let since = "2026-03-01T14:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(titles(&world, "anna", &format!("{newest}&lastViewedAt>={since}")), ["Alien"]);
    assert_eq!(titles(&world, "anna", &format!("{newest}&lastViewedAt%3E%3E={since}")), ["Alien"]);
    assert_eq!(titles(&world, "anna", "/library/sections/1/all?unwatched=1"), ["The Abyss"]);
    assert_eq!(titles(&world, "anna", "/library/sections/1/all?sort=titleSort"), ["The Abyss", "Alien", "Heat"]);
    assert_eq!(ask(&world, "anna", "/library/sections/1/all?push=1&unwatched=1").status, StatusCode::BAD_REQUEST);
}

#[test]
fn a_condition_on_episodes_finds_their_show_and_one_on_the_show_its_episodes() {
    let world = household();
    world.mark_played("anna", &world.episode("Firefly", 1, 2).unwrap(), None).unwrap();
    assert_eq!(titles(&world, "anna", "/library/sections/2/all?type=2&episode.unwatched=0"), ["Firefly"]);
    assert_eq!(titles(&world, "anna", "/library/sections/2/all?type=2&show.unwatched=0"), Vec::<String>::new());
    assert_eq!(titles(&world, "anna", "/library/sections/2/all?type=2&show.inProgress=1"), ["Firefly"]);
    assert_eq!(titles(&world, "anna", "/library/sections/2/all?type=4&show.title=fire").len(), 3);
    assert_eq!(titles(&world, "anna", "/library/sections/2/all?type=4&episode.unwatched=0"), ["Episode 2"]);
}

#[test]
fn totals_are_told_to_those_who_ask_for_a_page() {
    let world = household();
    let whole = container(&world, "anna", "/library/sections/1/all");
    assert_eq!((&whole["size"], whole.get("totalSize")), (&Value::from(3), None));
    let target = "/library/sections/1/all?X-Plex-Container-Start=1&X-Plex-Container-Size=1";
    let page = ask(&world, "anna", target);
    assert_eq!(page.headers["x-plex-container-total-size"], "3");
    let page = page.value()["MediaContainer"].clone();
    assert_eq!((&page["size"], &page["totalSize"], &page["offset"]), (&1.into(), &3.into(), &1.into()));
    let call = Call::get("/library/sections/1/all").with_header("X-Plex-Container-Size", "0");
    assert_eq!(operation(&call).group, Group::Count);
    assert_eq!(operation(&Call::get(target)).group, Group::ReadPage);
}

#[test]
fn ids_come_with_a_list_only_if_asked_for_and_with_an_item_always() {
    let world = household();
    let film = world.movie("Heat").unwrap();
    let list = container(&world, "anna", "/library/sections/1/all?title=heat");
    assert!(list["Metadata"][0].get("Guid").is_none());
    let list = container(&world, "anna", "/library/sections/1/all?title=heat&includeGuids=1");
    assert_eq!(list["Metadata"][0]["Guid"][0]["id"], "imdb://tt001995");
    let item = container(&world, "anna", &format!("/library/metadata/{film},99999"));
    assert_eq!(item["Metadata"][0]["Guid"][1]["id"], "tmdb://1995");
    let unknown = world.add_movie(&NewMovie::new("Home movie", 2020));
    let item = container(&world, "anna", &format!("/library/metadata/{unknown}"));
    assert!(item["Metadata"][0].get("Guid").is_none());
    assert_eq!(item["Metadata"][0]["guid"], format!("local://{unknown}"));
}

#[test]
fn only_the_owner_sees_who_plays_what() {
    let world = household();
    let film = world.movie("Alien").unwrap();
    world.start_playback("fred", &film).unwrap();
    world.progress("fred", &film, 60_000).unwrap();
    for closed in ["/status/sessions", "/status/sessions/history/all", "/accounts", "/library", "/:/prefs"] {
        assert_eq!(ask(&world, "fred", closed).status, StatusCode::FORBIDDEN, "{closed}");
        assert_eq!(ask(&world, "anna", closed).status, StatusCode::OK, "{closed}");
    }
    let session = container(&world, "anna", "/status/sessions")["Metadata"][0].clone();
    assert_eq!((&session["viewOffset"], &session["User"]["title"]), (&60_000.into(), &"fred".into()));
    world.start_playback("anna", &film).unwrap();
    let sessions = container(&world, "anna", "/status/sessions");
    assert_eq!(sessions["Metadata"][1]["User"]["id"], "1", "the owner is account 1 at home");
}

#[test]
fn a_library_that_is_not_shared_is_not_there() {
    let world = household();
    world.restrict_library("1", &[]);
    assert_eq!(container(&world, "fred", "/library/sections")["size"], 1);
    assert_eq!(ask(&world, "fred", "/library/sections/1/all").status, StatusCode::NOT_FOUND);
    let film = world.movie("Heat").unwrap();
    assert_eq!(ask(&world, "fred", &format!("/library/metadata/{film}")).status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&world, "anna", &format!("/library/metadata/{film}")).status, StatusCode::OK);
}

#[test]
fn the_timeline_moves_a_session_and_sets_a_position_where_none_is() {
    let world = household();
    let film = world.movie("Alien").unwrap();
    let timeline = |state: &str, time: u64| {
        let target =
            format!("/:/timeline/?ratingKey={film}&key=%2Flibrary%2Fmetadata%2F{film}&state={state}&time={time}");
        let call = Call::post(&target).with_header("x-plex-token", &token(&world, "anna"));
        assert_eq!(answer(&world, &call).status, StatusCode::OK);
        operation(&call).group
    };
    assert_eq!(timeline("stopped", 600_000), Group::Write);
    assert_eq!(world.state("anna", &film).position_ms, 600_000);
    assert_eq!(world.writes().len(), 1);
    assert_eq!(timeline("playing", 900_000), Group::Session);
    assert_eq!(world.sessions().len(), 1);
    timeline("stopped", 5_900_000);
    let state = world.state("anna", &film);
    assert_eq!((state.plays, state.position_ms, world.sessions().len()), (1, 0, 0));
    assert_eq!(world.read(|model| model.history.len()), 1, "a real playback is in the history");
}

#[test]
fn a_file_with_two_episodes_is_two_episodes_with_one_file() {
    let world = household();
    world.add_episode(&NewEpisode::new("Firefly", 1, 4).through(5));
    let (one, two) = (world.episode("Firefly", 1, 4).unwrap(), world.episode("Firefly", 1, 5).unwrap());
    assert_ne!(one, two);
    let items = container(&world, "anna", &format!("/library/metadata/{one},{two}"));
    let part = |n: usize| items["Metadata"][n]["Media"][0]["Part"][0]["file"].clone();
    assert_eq!(part(0), part(1));
    assert_ne!(items["Metadata"][0]["guid"], items["Metadata"][1]["guid"]);
}
