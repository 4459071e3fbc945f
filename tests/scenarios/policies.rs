//! What a household may want of a server: only read, only written, some libraries only, its states not believed.

use anyhow::Result;
use watchstate_tests::household::Household;
use watchstate_tests::http::Group;
use watchstate_tests::world::{Content, Flavor, UserState, World};

use crate::builders::*;

/// `here` has a spec of its own. Heat was watched here, Alien there, Brazil is half watched here.
async fn with(flavor: Flavor, spec: &str) -> Result<(Household, World, World)> {
    let (mut household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
    household.spec("here", spec)?;
    household.apply().await?.expect(0)?;
    watched(&here, "Heat", "2024-02-01T20:00:00Z");
    watched(&there, "Alien", "2024-03-01T20:00:00Z");
    put(&here, "Brazil", paused(40, "2024-04-01T20:00:00Z"));
    Ok((household, here, there))
}

on_every_kind! {
    async fn of_a_metadata_only_server_nothing_is_believed_and_it_is_told_everything(flavor: Flavor) -> Result<()> {
        let (household, here, there) = with(flavor, "  import:\n    mode: MetadataOnly\n").await?;
        household.sync(&[]).await?;
        assert_eq!(there.writes(), []);
        assert_eq!((has(&there, "Heat"), has(&there, "Brazil")), (UserState::default(), UserState::default()));
        assert!(has(&here, "Alien").played);
        assert!(has(&here, "Heat").played, "nobody has un-watched it either");
        here.mark_unplayed(ANNA, &movie(&here, "Alien"))?;
        household.sync(&["--full"]).await?;
        assert!(has(&there, "Alien").played, "un-plays aren't believed either");
        assert!(has(&here, "Alien").played, "it is told again");
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_server_that_is_not_imported_is_told_everything_all_the_same(flavor: Flavor) -> Result<()> {
        let (household, here, there) = with(flavor, "  import:\n    enabled: false\n").await?;
        household.sync(&[]).await?;
        assert_eq!(there.writes(), []);
        assert_eq!(has(&there, "Heat"), UserState::default());
        assert!(has(&here, "Alien").played && has(&here, "Heat").played);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_server_that_is_not_exported_to_is_never_written(flavor: Flavor) -> Result<()> {
        let (household, here, there) = with(flavor, "  export:\n    enabled: false\n").await?;
        household.sync(&[]).await?;
        assert!(has(&there, "Heat").played, "it is believed");
        assert_eq!(has(&there, "Brazil").position_ms, minutes(40));
        assert!(!has(&here, "Alien").played);
        there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
        for verb in ["sync", "export", "push"] {
            household.worker(&[verb]).await?.expect(0)?;
        }
        assert!(has(&here, "Heat").played);
        assert_eq!((here.writes(), here.log().group(Group::Write)), (vec![], 0));
        assert!(!has(&there, "Heat").played, "and what it goes on to say is no news");
        Ok(())
    }

    async fn a_server_that_is_neither_read_nor_written_is_left_alone(flavor: Flavor) -> Result<()> {
        for spec in ["  import:\n    enabled: false\n  export:\n    enabled: false\n", "  suspend: true\n"] {
            let (household, here, there) = with(flavor, spec).await?;
            here.log().clear();
            household.sync(&[]).await?;
            household.worker(&["push"]).await?.expect(0)?;
            assert_eq!(here.log().total(), 0, "{:#?}", here.log().all());
            assert_eq!(there.writes(), []);
        }
        Ok(())
    }

    async fn only_the_libraries_that_are_wanted_take_part(flavor: Flavor) -> Result<()> {
        let fill = |world: &World| {
            let kids = world.add_library("Kids", Content::Movies);
            world.add_movie(&heat());
            world.add_movie(&alien().library(&kids).path("/media/kids/Alien.mkv"));
            world.add_episode(&wire(1, 1));
        };
        for spec in ["  libraries:\n    include: [films, Shows]\n", "  libraries:\n    exclude: [kids]\n"] {
            let (mut household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], fill).await?;
            household.spec("here", spec)?;
            household.apply().await?.expect(0)?;
            watched(&here, "Alien", "2024-02-01T20:00:00Z");
            watched(&there, "Heat", "2024-02-01T20:00:00Z");
            there.play_to_end(ANNA, &episode(&there, 1, 1))?;
            household.sync(&[]).await?;
            assert!(has(&here, "Heat").played && here.state(ANNA, &episode(&here, 1, 1)).played, "{spec}");
            assert!(!has(&there, "Alien").played, "{spec}");
            there.play_to_end(ANNA, &movie(&there, "Alien"))?;
            here.mark_unplayed(ANNA, &movie(&here, "Alien"))?;
            household.sync(&["--full"]).await?;
            assert!(!has(&here, "Alien").played && has(&there, "Alien").played, "{spec}");
            stays_so(&household, &[&here, &there]).await?;
        }
        Ok(())
    }

    async fn an_import_of_metadata_only_leaves_the_states_to_the_next_one(flavor: Flavor) -> Result<()> {
        let (household, here, there) = with(flavor, "").await?;
        household.worker(&["import", "--metadata-only"]).await?.expect(0)?;
        household.worker(&["export"]).await?.expect(0)?;
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
        assert_eq!(truths(&household, "Heat").await?.iter().filter(|line| line["played"] == true).count(), 0);
        household.sync(&[]).await?;
        assert!(has(&there, "Heat").played && has(&here, "Alien").played);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_dry_run_tells_and_does_nothing(flavor: Flavor) -> Result<()> {
        let (household, here, there) = with(flavor, "").await?;
        let summary = household.sync(&["--dry-run"]).await?;
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
        let mut planned: Vec<_> = summary["servers"].as_array().into_iter().flatten()
            .flat_map(|report| report["planned"].as_array().cloned().unwrap_or_default())
            .map(|one| format!("{} {} {}", one["server"].as_str().unwrap(), one["title"].as_str().unwrap(), one["want"].as_str().unwrap()))
            .collect();
        planned.sort();
        assert_eq!(planned, ["here Alien played", "there Brazil position", "there Heat played"], "{summary:#}");
        assert_eq!(truths(&household, "Heat").await?, Vec::<serde_json::Value>::new(), "nothing was stored");
        household.sync(&[]).await?;
        assert!(has(&there, "Heat").played && has(&here, "Alien").played);
        stays_so(&household, &[&here, &there]).await
    }
}

/// The one tells no position, the other does.
#[tokio::test]
async fn of_several_schedules_one_must_be_named_where_their_policies_decide() -> Result<()> {
    let (mut household, [here, there]) =
        household([("here", Flavor::Plex), ("there", Flavor::Jellyfin12)], titles).await?;
    household.schedule("  import: {}\n  policy:\n    progress:\n      enabled: false\n");
    household.document(
        "apiVersion: watchstate.dev/v1alpha1\nkind: SyncSchedule\nmetadata:\n  name: nightly\nspec:\n  import: {}\n",
    );
    household.apply().await?.expect(0)?;
    put(&here, "Brazil", paused(40, "2024-04-01T20:00:00Z"));
    for verb in ["import", "export", "push", "sync", "prune"] {
        let ran = household.worker(&[verb]).await?.expect(2)?;
        for told in ["--schedule", "household", "nightly"] {
            anyhow::ensure!(ran.stderr.contains(told), "{verb}: {ran:#?}");
        }
    }
    assert_eq!((here.log().group(Group::ReadPage), there.log().group(Group::ReadPage)), (0, 0));
    household.worker(&["state"]).await?.expect(0)?;
    household.sync(&["--schedule", "household"]).await?;
    assert_eq!(there.writes(), []);
    put(&here, "Brazil", paused(50, "2024-04-02T20:00:00Z"));
    household.sync(&["--full", "--schedule", "nightly"]).await?;
    assert_eq!(has(&there, "Brazil").position_ms, 50 * 60_000);
    Ok(())
}
