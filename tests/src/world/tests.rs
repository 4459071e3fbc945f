//! The rules of playback and of state keys, as a table of what each server is known to do.

use jiff::{SignedDuration, Timestamp};

use super::*;

const MINUTE: u64 = 60_000;

fn world(flavor: Flavor) -> World {
    let time = TimeSource::fixed("2026-03-01T20:00:00Z".parse().unwrap());
    let world = World::at(time, flavor, "Home", "0123456789abcdef0123456789abcdef");
    world.add_owner("alice");
    world
}

fn heat() -> NewMovie {
    NewMovie::new("Heat", 1995).id("imdb", "tt0113277").id("tmdb", "949").minutes(100)
}

fn others() -> impl Iterator<Item = Flavor> {
    Flavor::ALL.into_iter().filter(|flavor| !flavor.is_plex())
}

#[test]
fn a_start_counts_and_stamps_at_once_and_clears_played_before_jellyfin_12() {
    for flavor in others() {
        let world = world(flavor);
        let film = world.add_movie(&heat());
        let past: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        world.mark_played("alice", &film, Some(past)).unwrap();
        world.start_playback("alice", &film).unwrap();
        let state = world.state("alice", &film);
        assert_eq!((state.plays, state.last_played_at), (2, Some(world.now())), "{flavor:?}");
        assert_eq!(state.played, flavor == Flavor::Jellyfin12, "{flavor:?}");
    }
}

#[test]
fn a_start_at_plex_opens_a_session_and_changes_no_state() {
    let world = world(Flavor::Plex);
    let film = world.add_movie(&heat());
    world.start_playback("alice", &film).unwrap();
    assert_eq!(world.state("alice", &film), UserState::default());
    assert_eq!(world.sessions().len(), 1);
}

#[test]
fn positions_are_kept_between_five_and_ninety_percent() {
    for flavor in others() {
        for (minute, position, played) in
            [(4, 0, false), (5, 5, false), (50, 50, false), (90, 90, false), (91, 0, true)]
        {
            let world = world(flavor);
            let film = world.add_movie(&heat());
            world.play_to("alice", &film, minute * MINUTE).unwrap();
            let state = world.state("alice", &film);
            assert_eq!((state.position_ms, state.played), (position * MINUTE, played), "{flavor:?} {minute}");
        }
    }
}

#[test]
fn short_films_and_films_of_unknown_length_count_as_played_when_stopped() {
    let world = world(Flavor::Jellyfin1011);
    let short = world.add_movie(&NewMovie::new("Short", 2001).minutes(4));
    let unknown = world.add_movie(&NewMovie::new("Unknown", 2001).without_runtime());
    world.play_to("alice", &short, 2 * MINUTE).unwrap();
    world.play_to("alice", &unknown, 2 * MINUTE).unwrap();
    assert!(world.state("alice", &short).played);
    assert!(world.state("alice", &unknown).played);
}

#[test]
fn plex_counts_one_view_a_playback_and_keeps_it_in_the_history() {
    let world = world(Flavor::Plex);
    let film = world.add_movie(&heat());
    world.start_playback("alice", &film).unwrap();
    for minute in [50, 91, 95, 99] {
        world.progress("alice", &film, minute * MINUTE).unwrap();
    }
    world.stop_playback("alice", &film, 99 * MINUTE).unwrap();
    let state = world.state("alice", &film);
    assert_eq!((state.plays, state.position_ms, state.played), (1, 0, true));
    assert_eq!(state.last_played_at, Some(world.now()));
    assert_eq!(world.read(|model| model.history.len()), 1);
    assert!(world.sessions().is_empty());
}

#[test]
fn plex_marks_count_up_stamp_now_and_make_no_history() {
    let world = world(Flavor::Plex);
    let film = world.add_movie(&heat());
    world.mark_played("alice", &film, Some("2020-01-01T00:00:00Z".parse().unwrap())).unwrap();
    world.mark_played("alice", &film, None).unwrap();
    let state = world.state("alice", &film);
    assert_eq!((state.plays, state.last_played_at), (2, Some(world.now())));
    assert!(world.read(|model| model.history.is_empty()));
    world.mark_unplayed("alice", &film).unwrap();
    assert_eq!(world.state("alice", &film), UserState::default());
}

#[test]
fn a_dated_mark_counts_every_time_and_an_undated_one_keeps_the_date() {
    let past: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let world = world(Flavor::Jellyfin12);
    let film = world.add_movie(&heat());
    world.mark_played("alice", &film, Some(past)).unwrap();
    world.mark_played("alice", &film, Some(past)).unwrap();
    world.mark_played("alice", &film, None).unwrap();
    let state = world.state("alice", &film);
    assert_eq!((state.plays, state.last_played_at, state.played), (2, Some(past), true));
    world.mark_unplayed("alice", &film).unwrap();
    assert_eq!(world.state("alice", &film), UserState::default());
}

#[test]
fn emby_leaves_the_count_at_zero_when_marked_by_hand() {
    let world = world(Flavor::Emby49);
    let film = world.add_movie(&heat());
    world.mark_played("alice", &film, None).unwrap();
    let state = world.state("alice", &film);
    assert_eq!((state.played, state.plays, state.last_played_at), (true, 0, Some(world.now())));
}

#[test]
fn copies_share_their_state_where_it_is_filed_by_key() {
    for flavor in Flavor::ALL {
        let world = world(flavor);
        let first = world.add_movie(&heat());
        let copy = world.add_movie(&heat().path("/media/4k/Heat.mkv"));
        assert_ne!(first, copy, "{flavor:?}");
        world.mark_played("alice", &first, None).unwrap();
        let shared = flavor.is_plex() || flavor.shares_state_by_key();
        assert_eq!(world.state("alice", &copy).played, shared, "{flavor:?}");
    }
}

#[test]
fn a_replaced_file_keeps_its_state_by_key_and_loses_it_by_item() {
    for flavor in Flavor::ALL {
        let world = world(flavor);
        let episode = NewEpisode::new("The Wire", 1, 2).show_id("tvdb", "79126").show_year(2002);
        let old = world.add_episode(&episode);
        world.mark_played("alice", &old, None).unwrap();
        world.clock().time().advance(SignedDuration::from_hours(1));
        let new = world.replace_file(&old, "/media/shows/The Wire (2002)/Season 01/better.mkv").unwrap();
        let kept = flavor.is_plex() || flavor.shares_state_by_key();
        assert_eq!(world.state("alice", &new).played, kept, "{flavor:?}");
        assert_eq!(world.read(|model| model.media[&new].added_at), world.now(), "{flavor:?}");
    }
}

#[test]
fn a_rescan_changes_all_ids_and_keeps_the_tree_whole() {
    for flavor in Flavor::ALL {
        let world = world(flavor);
        let film = world.add_movie(&heat().version("/media/4k/Heat.mkv"));
        let episode = world.add_episode(&NewEpisode::new("The Wire", 1, 2));
        let added = world.read(|model| model.media[&film].added_at);
        world.clock().time().advance(SignedDuration::from_hours(1));
        let renamed = world.rescan(true);
        assert!(renamed.iter().all(|(old, new)| old != new), "{flavor:?}");
        world.read(|model| {
            let episode = &model.media[&renamed[&episode]];
            let season = &model.media[episode.season_id.as_ref().unwrap()];
            assert_eq!(season.show, episode.show, "{flavor:?}");
            assert!(model.media.contains_key(episode.show.as_ref().unwrap()), "{flavor:?}");
            assert_eq!(model.media[&renamed[&film]].added_at, added, "{flavor:?}");
        });
    }
}

#[test]
fn finishing_one_version_at_jellyfin_12_finishes_the_others() {
    let world = world(Flavor::Jellyfin12);
    let film = world.add_movie(&heat().version("/media/4k/Heat.mkv"));
    let other = world.read(|model| {
        let other = model.media.values().find(|media| media.version_of.as_ref() == Some(&film));
        other.unwrap().id.clone()
    });
    world.play_to("alice", &other, 40 * MINUTE).unwrap();
    world.play_to_end("alice", &film).unwrap();
    let state = world.state("alice", &other);
    assert_eq!((state.played, state.position_ms), (true, 0));
}

#[test]
fn marking_a_show_marks_each_episode() {
    for flavor in Flavor::ALL {
        let world = world(flavor);
        for episode in 1..=3 {
            world.add_episode(&NewEpisode::new("The Wire", 1, episode));
        }
        let show = world.read(|model| model.find(Kind::Show, "The Wire").unwrap().id.clone());
        world.mark_played("alice", &show, None).unwrap();
        assert_eq!(world.states("alice").values().filter(|state| state.played).count(), 3, "{flavor:?}");
    }
}

#[test]
fn hidden_items_come_back_with_their_states() {
    let world = world(Flavor::Jellyfin1011);
    for year in 2000..2010 {
        let film = world.add_movie(&NewMovie::new("Film", year));
        world.mark_played("alice", &film, None).unwrap();
    }
    world.hide_half();
    assert_eq!(world.states("alice").len(), 5);
    world.hide_all();
    assert!(world.states("alice").is_empty());
    world.show_all();
    assert!(world.states("alice").values().all(|state| state.played));
}

#[test]
fn removing_the_last_episode_removes_season_and_show() {
    let world = world(Flavor::Emby48);
    let episode = world.add_episode(&NewEpisode::new("The Wire", 1, 1));
    world.remove(&episode);
    assert!(world.read(|model| model.media.is_empty()));
}

#[test]
fn a_world_survives_being_saved_and_loaded() {
    let world = world(Flavor::Plex);
    let film = world.add_movie(&heat());
    world.write("alice", &film, &Write::Played { date: None }).unwrap();
    let loaded = World::from_json(&world.to_json(), TimeSource::real()).unwrap();
    assert_eq!(loaded.state("alice", &film), world.state("alice", &film));
    assert_eq!(loaded.writes(), world.writes());
}

#[test]
fn a_revoked_token_belongs_to_nobody() {
    let world = world(Flavor::Emby49);
    let key = world.add_api_key("sync");
    assert_eq!(world.read(|model| model.caller(&key)), Some(Caller::ApiKey));
    assert!(world.revoke(&key));
    assert_eq!(world.read(|model| model.caller(&key)), None);
}

#[test]
fn listeners_hear_what_happens_and_who_did_it() {
    let world = world(Flavor::Plex);
    let mut heard = world.changes();
    let film = world.add_movie(&heat());
    world.play_to_end("alice", &film).unwrap();
    world.write("alice", &film, &Write::Unplayed).unwrap();
    let kinds: Vec<_> =
        std::iter::from_fn(|| heard.try_recv().ok()).map(|change| (change.what, change.by_api)).collect();
    let expected = [
        (What::Added, false),
        (What::Started, false),
        (What::Scrobbled, false),
        (What::Stopped { completed: true, position_ms: Some(100 * MINUTE) }, false),
        (What::MarkedUnplayed, true),
    ];
    assert_eq!(kinds, expected);
}
