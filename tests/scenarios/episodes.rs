//! Episodes: with and without ids of their own, specials, files that hold several.

use anyhow::Result;
use watchstate_tests::world::{Flavor, NewEpisode, UserState, World};

use crate::builders::*;

fn state(world: &World, season: u32, number: u32) -> UserState {
    world.state(ANNA, &episode(world, season, number))
}

fn watch(world: &World, season: u32, number: u32, when: &str) {
    world.set_state(ANNA, &episode(world, season, number), &played(when)).unwrap();
}

on_every_kind! {
    async fn episodes_without_ids_of_their_own_are_found_by_show_season_and_number(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], |_| ()).await?;
        for season in 1..=2 {
            for number in 1..=3 {
                here.add_episode(&bare_wire(season, number));
                there.add_episode(&wire(season, number));
            }
        }
        watch(&here, 1, 2, "2024-02-01T20:00:00Z");
        watch(&there, 2, 3, "2024-02-02T20:00:00Z");
        there.set_state(ANNA, &episode(&there, 2, 1), &paused(20, "2024-03-01T20:00:00Z"))?;
        household.sync(&[]).await?;
        for world in [&here, &there] {
            for season in 1..=2 {
                for number in 1..=3 {
                    let expected = matches!((season, number), (1, 2) | (2, 3));
                    assert_eq!(state(world, season, number).played, expected, "S{season}E{number} {world:?}");
                }
            }
            assert_eq!(state(world, 2, 1).position_ms, minutes(20), "{world:?}");
        }
        // An episode that comes later to a show that is known.
        here.add_episode(&bare_wire(3, 1));
        there.add_episode(&wire(3, 1));
        there.play_to_end(ANNA, &episode(&there, 3, 1))?;
        household.sync(&[]).await?;
        assert!(state(&here, 3, 1).played);
        stays_so(&household, &[&here, &there]).await
    }

    async fn specials_are_no_episodes_of_the_first_season(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Plex)], |world| {
            for (season, number) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
                world.add_episode(&bare_wire(season, number));
            }
        }).await?;
        watch(&here, 0, 2, "2024-02-01T20:00:00Z");
        watch(&there, 1, 1, "2024-02-02T20:00:00Z");
        household.sync(&[]).await?;
        for world in [&here, &there] {
            for (season, number, expected) in [(0, 1, false), (0, 2, true), (1, 1, true), (1, 2, false)] {
                assert_eq!(state(world, season, number).played, expected, "S{season}E{number} {world:?}");
            }
        }
        stays_so(&household, &[&here, &there]).await
    }

    async fn two_shows_of_one_name_are_kept_apart_by_their_ids(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin1011)], |_| ()).await?;
        let office = |year, tvdb: &str| {
            NewEpisode::new("The Office", 1, 1).show_year(year).show_id("tvdb", tvdb).minutes(30).added_at(at(ADDED))
        };
        here.add_episode(&office(2001, "78107"));
        there.add_episode(&office(2005, "73244"));
        let (one, other) = (here.episode("The Office", 1, 1).unwrap(), there.episode("The Office", 1, 1).unwrap());
        here.set_state(ANNA, &one, &played("2024-02-01T20:00:00Z"))?;
        household.sync(&[]).await?;
        assert_eq!(there.state(ANNA, &other), UserState::default());
        stays_so(&household, &[&here, &there]).await
    }
}

/// A server that lists one file of two episodes as one item, or (Plex) as two.
fn double(world: &World) {
    if world.flavor().is_plex() {
        let path = "/media/shows/The Wire (2002)/Season 01/The Wire - S01E01-E02.mkv";
        world.add_episode(&bare_wire(1, 1).path(path).minutes(90));
        world.add_episode(&bare_wire(1, 2).path(path).minutes(90));
    } else {
        world.add_episode(&bare_wire(1, 1).through(2).minutes(90));
    }
    world.add_episode(&bare_wire(1, 3));
}

async fn one_file_of_two_episodes(flavor: Flavor) -> Result<()> {
    let (household, [here, plex, there]) =
        household([("here", flavor), ("plex", Flavor::Plex), ("there", Flavor::Jellyfin12)], |world| {
            if world.read(|model| model.name == "there") {
                for number in 1..=3 {
                    world.add_episode(&wire(1, number));
                }
            } else {
                double(world);
            }
        })
        .await?;
    // Watched where it is one: both are watched.
    watch(&here, 1, 1, "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    for world in [&plex, &there] {
        assert!(state(world, 1, 1).played && state(world, 1, 2).played, "{world:?}");
        assert!(!state(world, 1, 3).played, "{world:?}");
    }
    assert_eq!(here.writes(), []);
    stays_so(&household, &[&here, &plex, &there]).await?;

    // Un-played where it is one: both are un-played.
    here.mark_unplayed(ANNA, &episode(&here, 1, 1))?;
    household.sync(&[]).await?;
    for world in [&plex, &there] {
        assert!(!state(world, 1, 1).played && !state(world, 1, 2).played, "{world:?}");
    }
    stays_so(&household, &[&here, &plex, &there]).await?;

    // Watched one by one where they are two: the file is watched when both are.
    there.play_to_end(ANNA, &episode(&there, 1, 2))?;
    household.sync(&[]).await?;
    assert!(!state(&here, 1, 1).played, "half of the file isn't watched");
    assert!(state(&plex, 1, 2).played && !state(&plex, 1, 1).played);
    stays_so(&household, &[&here, &plex, &there]).await?;
    plex.play_to_end(ANNA, &episode(&plex, 1, 1))?;
    household.sync(&[]).await?;
    assert!(state(&here, 1, 1).played && state(&there, 1, 1).played);
    stays_so(&household, &[&here, &plex, &there]).await?;

    // A position in the file says nothing of either episode.
    here.mark_unplayed(ANNA, &episode(&here, 1, 1))?;
    household.sync(&[]).await?;
    here.play_to(ANNA, &episode(&here, 1, 1), minutes(60))?;
    household.sync(&[]).await?;
    for world in [&plex, &there] {
        assert_eq!((state(world, 1, 1).position_ms, state(world, 1, 2).position_ms), (0, 0), "{world:?}");
    }
    assert_eq!(state(&here, 1, 1).position_ms, minutes(60));
    stays_so(&household, &[&here, &plex, &there]).await
}

#[tokio::test]
async fn one_file_of_two_episodes_at_jellyfin_10_10() -> Result<()> {
    one_file_of_two_episodes(Flavor::Jellyfin1010).await
}

#[tokio::test]
async fn one_file_of_two_episodes_at_jellyfin_10_11() -> Result<()> {
    one_file_of_two_episodes(Flavor::Jellyfin1011).await
}

#[tokio::test]
async fn one_file_of_two_episodes_at_jellyfin_12() -> Result<()> {
    one_file_of_two_episodes(Flavor::Jellyfin12).await
}

#[tokio::test]
async fn one_file_of_two_episodes_at_emby_4_8() -> Result<()> {
    one_file_of_two_episodes(Flavor::Emby48).await
}

#[tokio::test]
async fn one_file_of_two_episodes_at_emby_4_9() -> Result<()> {
    one_file_of_two_episodes(Flavor::Emby49).await
}
