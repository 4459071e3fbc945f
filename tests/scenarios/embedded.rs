//! Without a database of its own to name, a household uses the embedded Postgres in its data folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use watchstate_tests::household::Household;
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::postgres;
use watchstate_tests::world::{Flavor, World};

use crate::builders::*;

/// A household that names no database.
async fn bare() -> Result<(Household, [World; 2])> {
    // The programs are there already, or are fetched once for all tests.
    postgres::database().await?;
    let mut household = Household::new().await?;
    household.database.clear();
    household.set("WATCHSTATE_POSTGRES_PROGRAMS", postgres::programs().to_str().context("a path")?);
    // The database runs as another user where we are root, who must get through to its folder.
    for folder in household.folder().ancestors().take_while(|folder| *folder != Path::new("/tmp")) {
        open_to_all(folder);
    }
    let mut worlds = Vec::new();
    for (name, flavor) in [("plex", Flavor::Plex), ("emby", Flavor::Emby49)] {
        let world = server(flavor, name);
        titles(&world);
        worlds.push(household.add(name, world, &[]).await?);
    }
    watched(&worlds[0], "Heat", "2024-02-01T20:00:00Z");
    let worlds = worlds.try_into().map_err(|_| anyhow::anyhow!("two worlds"))?;
    Ok((household, worlds))
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).ok();
}

fn data(household: &Household) -> PathBuf {
    household.folder().join("data/postgres")
}

/// The process of the household's Postgres, while it runs.
fn running(household: &Household) -> Option<u32> {
    let file = std::fs::read_to_string(data(household).join("cluster/postmaster.pid")).ok()?;
    let id: u32 = file.lines().next()?.trim().parse().ok()?;
    Path::new("/proc").join(id.to_string()).exists().then_some(id)
}

#[tokio::test]
async fn a_household_without_a_database_applies_and_syncs_and_leaves_nothing_running() -> Result<()> {
    let (household, [plex, emby]) = bare().await?;
    household.apply().await?.expect(0)?;
    assert_eq!(running(&household), None, "it is stopped when nobody uses it");
    household.sync(&[]).await?;
    assert!(has(&emby, "Heat").played);
    assert_eq!(running(&household), None);
    household.sync(&["--full"]).await?;
    assert_eq!((plex.writes().len(), emby.writes().len()), (0, 1), "what was agreed is remembered");
    let state = household.worker(&["state", "-o", "json", "--played"]).await?.expect(0)?.json()?;
    assert_eq!(state.as_array().map(Vec::len), Some(1), "{state:#}");
    Ok(())
}

#[tokio::test]
async fn workers_that_start_at_once_share_one_database_and_the_last_one_stops_it() -> Result<()> {
    let (household, [plex, emby]) = bare().await?;
    // From the very first moment, when there is nothing yet.
    for ran in join_all((0..3).map(|_| household.apply())).await {
        ran?.expect(0)?;
    }
    assert_eq!(running(&household), None);
    for ran in join_all((0..3).map(|_| household.worker(&["sync"]))).await {
        ran?.expect(0)?;
    }
    household.sync(&[]).await?;
    assert_eq!((plex.writes().len(), emby.writes().len()), (0, 1));
    assert_eq!(running(&household), None);

    // One that is in the middle keeps it for itself when another one ends.
    emby.inject(Fault::new(FaultKind::Delay(600_000)).group(Group::ReadPage).times(1));
    let mut first = household.spawn(&["import"]).await?;
    emby.log().wait_until(|log| log.on_hold() > 0).await;
    household.worker(&["runs"]).await?.expect(0)?;
    ensure!(running(&household).is_some(), "the first one still needs it");
    first.kill().await?;
    emby.heal();
    household.worker(&["runs"]).await?.expect(0)?;
    assert_eq!(running(&household), None, "whoever comes after a killed one tidies up");
    Ok(())
}

#[tokio::test]
async fn after_a_kill_of_worker_and_database_the_next_run_recovers() -> Result<()> {
    let (household, [plex, emby]) = bare().await?;
    household.apply().await?.expect(0)?;
    for both in [false, true] {
        emby.inject(Fault::new(FaultKind::LateAnswer(600_000)).group(Group::Write).times(1));
        let mut child = household.spawn(&["sync"]).await?;
        tokio::select! {
            () = emby.log().wait_until(|log| log.on_hold() > 0) => {}
            // The write was made the first time.
            status = child.wait() => ensure!(status?.success() && both),
        }
        child.kill().await?;
        if both && let Some(id) = running(&household) {
            ensure!(tokio::process::Command::new("kill").args(["-KILL", &id.to_string()]).status().await?.success());
        }
        emby.heal();
        household.sync(&[]).await?;
        assert!(has(&emby, "Heat").played);
        assert_eq!((plex.writes().len(), emby.writes().len()), (0, 1));
        assert_eq!(running(&household), None);
    }
    Ok(())
}
