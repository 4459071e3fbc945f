//! What we wrote comes back, with the server's own stamp, once for each copy: it is no play, and no reason to write again.

use anyhow::Result;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Content, Flavor, UserState, World, Write};

use crate::builders::*;
use crate::circle::*;

/// A server with each film in two files: an ordinary one and one in 4K, in libraries of their own.
fn copies(world: &World) {
    let uhd = world.add_library("Films 4K", Content::Movies);
    for film in [heat(), alien()] {
        world.add_movie(&film);
        world.add_movie(&film.library(&uhd).path("/media/films-4k/The film.mkv"));
    }
}

/// A household of such a server and an ordinary one.
async fn beside_copies(flavor: Flavor, other: Flavor) -> Result<(Household, World, World)> {
    let (mut household, [there]) = household([("there", other)], titles).await?;
    let here = server(flavor, "here");
    copies(&here);
    household.add("here", here.clone(), &[]).await?;
    household.apply().await?.expect(0)?;
    Ok((household, here, there))
}

/// The states of both copies of a film.
fn both(world: &World, title: &str) -> Vec<UserState> {
    let ids: Vec<String> =
        world.read(|model| model.items().filter(|media| media.title == title).map(|media| media.id.clone()).collect());
    assert_eq!(ids.len(), 2);
    ids.iter().map(|id| world.state(ANNA, id)).collect()
}

/// Copies at this kind of server are one as far as states go.
const fn shares(flavor: Flavor) -> bool {
    flavor.is_plex() || flavor.shares_state_by_key()
}

on_every_kind! {
    async fn an_own_write_that_comes_back_with_the_servers_stamp_is_no_play(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert_eq!(here.writes().len(), 1);
        let stamp = has(&here, "Heat").last_played_at;
        assert!(if flavor.is_plex() { about(stamp, here.now()) } else { stamp == Some(at("2024-02-01T20:00:00Z")) }, "{stamp:?}");
        stays_so(&household, &[&here, &there]).await?;
        let heat = truth(&household, "Heat").await?;
        assert_eq!((&heat["plays"], &heat["playedAt"]), (&1.into(), &"2024-02-01T20:00:00Z".into()), "{heat:#}");

        // A real one afterwards is a play, though.
        here.clock().time().advance(jiff::SignedDuration::from_secs(1));
        here.play_to_end(ANNA, &movie(&here, "Heat"))?;
        household.sync(&[]).await?;
        let heat = truth(&household, "Heat").await?;
        assert_eq!(heat["plays"], 2, "{heat:#}");
        assert!(about(heat["playedAt"].as_str().map(at), here.now()), "{heat:#}");
        stays_so(&household, &[&here, &there]).await
    }

    async fn an_own_un_play_that_comes_back_is_none_and_a_play_after_it_counts(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
        household.sync(&[]).await?;
        assert!(!has(&here, "Heat").played);
        stays_so(&household, &[&here, &there]).await?;
        here.play_to_end(ANNA, &movie(&here, "Heat"))?;
        household.sync(&[]).await?;
        assert!(has(&there, "Heat").played);
        assert_eq!(truth(&household, "Heat").await?["plays"], 2);
        stays_so(&household, &[&here, &there]).await
    }

    async fn both_copies_of_a_film_are_marked_and_it_is_one_play(flavor: Flavor) -> Result<()> {
        let (household, here, there) = beside_copies(flavor, Flavor::Plex).await?;
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert!(both(&here, "Heat").iter().all(|state| state.played && state.plays == 1), "{:?}", both(&here, "Heat"));
        assert_eq!(here.writes().len(), if shares(flavor) { 1 } else { 2 }, "{:#?}", here.writes());
        assert_eq!(truth(&household, "Heat").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await?;

        // One of them is watched: the other is watched, and there it is watched.
        here.play_to_end(ANNA, &movie(&here, "Alien"))?;
        household.sync(&[]).await?;
        assert!(both(&here, "Alien").iter().all(|state| state.played));
        assert!(has(&there, "Alien").played);
        assert_eq!(truth(&household, "Alien").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await?;

        // One of them is un-marked: so is all the rest.
        here.mark_unplayed(ANNA, &movie(&here, "Heat"))?;
        household.sync(&[]).await?;
        assert!(both(&here, "Heat").iter().all(|state| !state.played));
        assert!(!has(&there, "Heat").played);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_long_viewing_of_one_copy_is_one_play_for_webhook_and_import(flavor: Flavor) -> Result<()> {
        let (household, here, there) = beside_copies(flavor, Flavor::Jellyfin12).await?;
        let circle = Circle::of(household, [here, there], ["here", "there"]).await?;
        let [here, there] = &circle.worlds;
        watch_for_hours(here, "Heat")?;
        is_played(there, "Heat").await?;
        circle.settle().await?;
        // Where copies have states of their own, the other one is marked now.
        circle.household.sync(&["--full", "--force"]).await?;
        let told = truth(&circle.household, "Heat").await?;
        assert_eq!(told["plays"], 1, "{told:#}");
        circle.agrees().await
    }

    async fn a_position_in_one_copy_reaches_the_other_and_is_taken_away_when_it_is_finished(flavor: Flavor) -> Result<()> {
        let (household, here, there) = beside_copies(flavor, Flavor::Emby49).await?;
        household.sync(&[]).await?;
        here.play_to(ANNA, &movie(&here, "Heat"), minutes(40))?;
        household.sync(&[]).await?;
        assert!(both(&here, "Heat").iter().all(|state| state.position_ms == minutes(40)));
        assert_eq!(has(&there, "Heat").position_ms, minutes(40));
        there.play_to_end(ANNA, &movie(&there, "Heat"))?;
        household.sync(&[]).await?;
        assert!(both(&here, "Heat").iter().all(|state| state.played && state.position_ms == 0));
        assert_eq!(truth(&household, "Heat").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await
    }

    async fn play_counts_are_never_lowered(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        put(&here, "Heat", UserState { plays: 7, ..played("2020-02-01T20:00:00Z") });
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        // A re-watch was begun here years ago and given up: the mark is gone, the count isn't.
        if !flavor.is_plex() {
            put(&here, "Alien", UserState { plays: 5, last_played_at: Some(at("2020-02-01T20:00:00Z")), ..UserState::default() });
        }
        watched(&there, "Alien", "2024-02-01T20:00:00Z");
        put(&here, "Brazil", UserState { position_ms: minutes(30), ..UserState { plays: 4, ..played("2020-02-01T20:00:00Z") } });
        watched(&there, "Brazil", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert!(has(&here, "Heat").plays >= 7 && has(&here, "Brazil").plays >= 4);
        let alien = has(&here, "Alien");
        assert!(alien.played && (flavor.is_plex() || alien.plays >= 5), "{alien:?}");
        stays_so(&household, &[&here, &there]).await
    }

    async fn plays_are_written_in_the_order_in_which_they_happened(flavor: Flavor) -> Result<()> {
        let (mut household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], |world| {
            for n in 0..20 {
                world.add_movie(&film(&format!("Film {n:02}"), 2000).id("imdb", &format!("tt00003{n:02}")));
            }
        }).await?;
        // One write at a time: Plex stamps them as they come.
        household.spec("here", "  limits:\n    concurrency: 1\n")?;
        household.apply().await?.expect(0)?;
        let mut wanted = Vec::new();
        for n in 0..20u32 {
            // Neither in the order of titles nor of ids.
            let month = 1 + (n * 7 + 3) % 12;
            let when = format!("20{:02}-{month:02}-01T20:00:00Z", 10 + (n * 3) % 10);
            watched(&there, &format!("Film {n:02}"), &when);
            wanted.push((when, movie(&here, &format!("Film {n:02}"))));
        }
        wanted.sort();
        household.sync(&[]).await?;
        let written: Vec<_> = here.writes().into_iter().map(|write| (write.item, write.what)).collect();
        let dates: Vec<_> = written.iter().map(|(item, _)| wanted.iter().find(|(_, id)| id == item).unwrap().0.clone()).collect();
        assert!(dates.is_sorted(), "{dates:#?}");
        for (item, what) in &written {
            let date = at(&wanted.iter().find(|(_, id)| id == item).unwrap().0);
            match what {
                Write::Played { date: None } => assert!(flavor.is_plex()),
                Write::Played { date: given } => assert_eq!(*given, Some(date), "Emby is told the date"),
                Write::Set(patch) => assert_eq!((patch.played, patch.last_played_at), (Some(true), Some(date)), "and so is Jellyfin"),
                other => panic!("{other:?}"),
            }
        }
        stays_so(&household, &[&here, &there]).await
    }
}
