//! A backup holds everything that is known of a person; restoring it merges, never takes away, and twice is as good as once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;

/// A household of two servers with a history of every sort, synced.
async fn with_history(flavor: Flavor) -> Result<(Household, World, World)> {
    let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
    watched(&there, "Heat", "2022-02-01T20:00:00Z");
    watched(&here, "Heat", "2024-02-01T20:00:00Z");
    put(&there, "Brazil", paused(40, "2024-05-01T20:00:00Z"));
    there.set_state(ANNA, &episode(&there, 1, 2), &played("2023-01-01T20:00:00Z"))?;
    household.sync(&[]).await?;
    Ok((household, here, there))
}

/// Writes a backup; its one file.
async fn backup(household: &Household) -> Result<PathBuf> {
    let folder = household.folder().join("backups");
    household.worker(&["backup", "--to", text(&folder)?]).await?.expect(0)?;
    let files: Vec<PathBuf> = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    assert_eq!(files.len(), 1, "{files:?}");
    Ok(files[0].clone())
}

async fn restore(household: &Household, file: &Path, execute: bool) -> Result<Value> {
    let mut arguments = vec!["restore", text(file)?, "-o", "json"];
    if execute {
        arguments.push("--execute");
    }
    household.worker(&arguments).await?.expect(0)?.json()
}

fn text(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("the folder's name isn't UTF-8")
}

/// What is agreed of every title, without what tells of servers and runs.
async fn agreed(household: &Household) -> Result<Vec<String>> {
    let lines = household.worker(&["state", "-o", "json"]).await?.expect(0)?.json()?;
    let line = |line: &Value| {
        let of = |name: &str| line[name].to_string();
        format!(
            "{} {} {} {} {} {}",
            of("person"),
            of("title"),
            of("played"),
            of("playedAt"),
            of("plays"),
            of("positionMs")
        )
    };
    let mut lines: Vec<String> = lines.as_array().into_iter().flatten().map(line).collect();
    lines.sort();
    Ok(lines)
}

on_every_kind! {
    async fn a_backup_brings_a_history_to_a_household_that_begins_anew(flavor: Flavor) -> Result<()> {
        let (old, ..) = with_history(flavor).await?;
        let file = backup(&old).await?;
        // New servers, a new database; nobody has watched anything.
        let (new, [here, there]) = household([("here", flavor), ("there", Flavor::Plex)], titles).await?;
        new.sync(&[]).await?;
        let before = agreed(&new).await?;
        let told = restore(&new, &file, false).await?;
        assert_eq!(told["executed"], false, "{told:#}");
        assert_eq!(agreed(&new).await?, before, "without --execute it only tells");
        let told = restore(&new, &file, true).await?;
        assert_eq!((&told["executed"], &told["lines"]), (&true.into(), &3.into()), "{told:#}");
        assert_eq!(agreed(&new).await?, agreed(&old).await?);
        new.sync(&[]).await?;
        for world in [&here, &there] {
            assert!(has(world, "Heat").played && world.state(ANNA, &episode(world, 1, 2)).played, "{world:?}");
            assert_eq!(has(world, "Brazil").position_ms, minutes(40), "{world:?}");
        }
        if !flavor.is_plex() {
            assert_eq!(has(&here, "Heat").last_played_at, Some(at("2024-02-01T20:00:00Z")));
        }
        assert_eq!(agreed(&new).await?, agreed(&old).await?);
        stays_so(&new, &[&here, &there]).await
    }

    async fn a_restore_merges_and_doing_it_twice_changes_nothing(flavor: Flavor) -> Result<()> {
        let (household, here, there) = with_history(flavor).await?;
        let file = backup(&household).await?;
        // Time goes on: another film is watched, and one that was watched is un-played.
        here.play_to_end(ANNA, &movie(&here, "Alien"))?;
        there.mark_unplayed(ANNA, &episode(&there, 1, 2))?;
        household.sync(&[]).await?;
        let after = agreed(&household).await?;
        for _ in 0..2 {
            restore(&household, &file, true).await?;
            assert_eq!(agreed(&household).await?, after, "nothing newer is taken back, nothing is told twice");
        }
        assert!(has(&here, "Alien").played && !here.state(ANNA, &episode(&here, 1, 2)).played);
        stays_so(&household, &[&here, &there]).await?;

        // Everything is lost at all servers, and nobody looked before the database was lost as well: the backup knows.
        for world in [&here, &there] {
            world.edit(|model| model.states.clear());
        }
        let (again, [here, there]) = crate::builders::household([("here", flavor), ("there", Flavor::Emby49)], titles).await?;
        restore(&again, &file, true).await?;
        again.sync(&[]).await?;
        for world in [&here, &there] {
            assert!(has(world, "Heat").played && world.state(ANNA, &episode(world, 1, 2)).played);
            assert_eq!(has(world, "Alien"), UserState::default());
        }
        stays_so(&again, &[&here, &there]).await
    }
}

#[tokio::test]
async fn a_list_of_watched_titles_from_elsewhere_is_a_backup_too() -> Result<()> {
    let (household, [here, there]) = household([("here", Flavor::Plex), ("there", Flavor::Emby48)], titles).await?;
    household.sync(&[]).await?;
    let file = household.folder().join("list.jsonl");
    let lines = [
        r#"{"format":"watchstate-backup","version":1,"person":"me","createdAt":"2026-01-01T00:00:00Z"}"#,
        r#"{"kind":"movie","title":"Heat","year":1995,"ids":{"imdb":"tt0113277"},"played":true,"playedAt":"2019-12-24T20:00:00Z"}"#,
        r#"{"kind":"episode","show":{"title":"The Wire","ids":{"tvdb":"79126"}},"season":1,"episode":3,"played":true,"playedAt":"2019-12-25T20:00:00Z"}"#,
        r#"{"kind":"movie","title":"Nobody has it","year":1950,"ids":{"imdb":"tt0042332"},"played":true,"playedAt":"2019-12-26T20:00:00Z"}"#,
    ];
    std::fs::write(&file, lines.join("\n"))?;
    restore(&household, &file, true).await?;
    household.sync(&[]).await?;
    for world in [&here, &there] {
        assert!(has(world, "Heat").played && world.state(ANNA, &episode(world, 1, 3)).played, "{world:?}");
    }
    assert_eq!(has(&there, "Heat").last_played_at, Some(at("2019-12-24T20:00:00Z")));
    // The film that nobody has waits for the server that will have it.
    here.add_movie(&film("It came", 1950).id("imdb", "tt0042332"));
    household.sync(&[]).await?;
    assert!(has(&here, "It came").played);
    stays_so(&household, &[&here, &there]).await
}
