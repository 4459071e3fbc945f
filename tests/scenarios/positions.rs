//! Positions: paused on one server, resumed on another; never older ones over newer ones, over finished titles, or under somebody's hands.

use anyhow::Result;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;

async fn every_kind() -> Result<(Household, Vec<World>)> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (number, flavor) in Flavor::ALL.into_iter().enumerate() {
        let world = server(flavor, &format!("s{number}"));
        titles(&world);
        worlds.push(household.add(&format!("s{number}"), world, &[]).await?);
    }
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    Ok((household, worlds))
}

#[tokio::test]
async fn a_film_goes_from_server_to_server_and_is_resumed_where_it_was_left() -> Result<()> {
    let (household, worlds) = every_kind().await?;
    let all: Vec<&World> = worlds.iter().collect();
    for (number, here) in worlds.iter().enumerate() {
        let minute = 10 + 10 * number as u64;
        forget_writes(&all);
        here.play_to(ANNA, &movie(here, "Heat"), minutes(minute))?;
        household.sync(&[]).await?;
        for world in &worlds {
            let state = has(world, "Heat");
            assert_eq!((state.position_ms, state.played), (minutes(minute), false), "from {here:?} to {world:?}");
        }
        assert_eq!(here.writes(), [], "{:?} knows already", here.flavor());
    }
    stays_so(&household, &all).await?;
    worlds[0].play_to_end(ANNA, &movie(&worlds[0], "Heat"))?;
    household.sync(&[]).await?;
    for world in &worlds {
        let state = has(world, "Heat");
        assert_eq!((state.position_ms, state.played), (0, true), "{world:?}: {state:?}");
    }
    stays_so(&household, &all).await
}

#[tokio::test]
async fn an_episode_goes_from_server_to_server_too() -> Result<()> {
    let (household, worlds) = every_kind().await?;
    let all: Vec<&World> = worlds.iter().collect();
    let (first, last) = (&worlds[0], &worlds[5]);
    last.play_to(ANNA, &episode(last, 1, 2), minutes(20))?;
    household.sync(&[]).await?;
    for world in &worlds {
        assert_eq!(world.state(ANNA, &episode(world, 1, 2)).position_ms, minutes(20), "{world:?}");
        assert_eq!(world.state(ANNA, &episode(world, 1, 1)), UserState::default(), "{world:?}");
    }
    first.play_to_end(ANNA, &episode(first, 1, 2))?;
    household.sync(&[]).await?;
    for world in &worlds {
        assert!(world.state(ANNA, &episode(world, 1, 2)).played, "{world:?}");
    }
    stays_so(&household, &all).await
}

on_every_kind! {
    async fn an_older_position_never_reopens_a_finished_title(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        put(&here, "Heat", paused(40, "2024-01-31T20:00:00Z"));
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        watched(&here, "Alien", "2024-02-01T20:00:00Z");
        put(&there, "Alien", paused(40, "2024-01-31T20:00:00Z"));
        household.sync(&[]).await?;
        for world in [&here, &there] {
            for title in ["Heat", "Alien"] {
                let state = has(world, title);
                assert_eq!((state.played, state.position_ms), (true, 0), "{title} at {world:?}: {state:?}");
            }
        }
        stays_so(&household, &[&here, &there]).await
    }

    async fn of_two_positions_the_newer_one_counts(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Emby49)], titles).await?;
        put(&here, "Heat", paused(70, "2024-01-31T20:00:00Z"));
        put(&there, "Heat", paused(30, "2024-02-01T20:00:00Z"));
        put(&here, "Alien", paused(20, "2024-02-01T20:00:00Z"));
        put(&there, "Alien", paused(60, "2024-01-31T20:00:00Z"));
        household.sync(&[]).await?;
        for world in [&here, &there] {
            assert_eq!(has(world, "Heat").position_ms, minutes(30), "{world:?}");
            assert_eq!(has(world, "Alien").position_ms, minutes(20), "{world:?}");
        }
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_position_below_the_minimum_stays_where_it_is(flavor: Flavor) -> Result<()> {
        let (mut household, [here, there]) = household([("here", flavor), ("there", Flavor::Plex)], titles).await?;
        household.schedule("  policy:\n    progress:\n      minimum: 15m\n");
        household.apply().await?.expect(0)?;
        household.sync(&[]).await?;
        here.play_to(ANNA, &movie(&here, "Heat"), minutes(14))?;
        here.play_to(ANNA, &movie(&here, "Alien"), minutes(16))?;
        household.sync(&[]).await?;
        assert_eq!(has(&here, "Heat").position_ms, minutes(14));
        assert_eq!(has(&there, "Heat"), UserState::default());
        assert_eq!(has(&there, "Alien").position_ms, minutes(16));
        stays_so(&household, &[&here, &there]).await
    }

    async fn nobody_is_written_to_who_is_playing_the_title(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        household.sync(&[]).await?;
        let heat = movie(&here, "Heat");
        here.start_playback(ANNA, &heat)?;
        here.progress(ANNA, &heat, minutes(10))?;
        there.play_to(ANNA, &movie(&there, "Heat"), minutes(50))?;
        household.sync(&[]).await?;
        assert_eq!(here.writes(), [], "anna is at it");
        here.progress(ANNA, &heat, minutes(60))?;
        here.stop_playback(ANNA, &heat, minutes(60))?;
        household.sync(&[]).await?;
        assert_eq!(has(&here, "Heat").position_ms, minutes(60));
        assert_eq!(has(&there, "Heat").position_ms, minutes(60));
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_position_is_taken_back_where_the_viewer_started_over(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin1010)], titles).await?;
        here.play_to(ANNA, &movie(&here, "Heat"), minutes(40))?;
        household.sync(&[]).await?;
        assert_eq!(has(&there, "Heat").position_ms, minutes(40));
        there.play_to(ANNA, &movie(&there, "Heat"), minutes(15))?;
        household.sync(&[]).await?;
        assert_eq!(has(&here, "Heat").position_ms, minutes(15));
        stays_so(&household, &[&here, &there]).await
    }
}

#[tokio::test]
async fn positions_stay_where_they_are_when_the_household_wants_none_to_travel() -> Result<()> {
    let (mut household, [here, there]) = household([("here", Flavor::Plex), ("there", Flavor::Emby49)], titles).await?;
    household.schedule("  policy:\n    progress:\n      enabled: false\n");
    household.apply().await?.expect(0)?;
    here.play_to(ANNA, &movie(&here, "Heat"), minutes(40))?;
    there.play_to_end(ANNA, &movie(&there, "Alien"))?;
    household.sync(&[]).await?;
    assert_eq!(has(&there, "Heat"), UserState::default());
    assert_eq!(has(&here, "Heat").position_ms, minutes(40));
    assert!(has(&here, "Alien").played);
    stays_so(&household, &[&here, &there]).await
}
