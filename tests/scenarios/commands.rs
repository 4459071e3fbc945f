//! What commands tell besides what they did: what waits, what was decided before, what couldn't be asked, and what is odd in the household.

use anyhow::{Result, ensure};
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::world::Flavor;

use crate::builders::*;

#[tokio::test]
async fn a_write_that_waits_is_told_by_every_run_until_it_was_taken() -> Result<()> {
    let servers = [("here", Flavor::Plex), ("there", Flavor::Jellyfin12)];
    let (household, [here, there]) = household(servers, titles).await?;
    household.sync(&[]).await?;
    watched(&here, "Heat", "2024-02-01T20:00:00Z");
    there.inject(Fault::status(400).group(Group::Write));
    household.worker(&["sync"]).await?.expect(1)?;
    there.heal();
    for verb in ["sync", "export", "push"] {
        let told = household.worker(&[verb]).await?.expect(0)?.stdout;
        ensure!(told.contains("1 write to there waits until 20") && told.contains("outbox list"), "{verb}: {told}");
    }
    let told = household.worker(&["push", "--force"]).await?.expect(0)?.stdout;
    ensure!(!told.contains("waits") && has(&there, "Heat").played, "{told}");
    Ok(())
}

#[tokio::test]
async fn un_plays_that_are_held_are_told_by_every_run_and_a_dry_run_promises_no_plan() -> Result<()> {
    let servers = [("here", Flavor::Emby49), ("there", Flavor::Jellyfin12)];
    let (mut household, [here, _there]) = household(servers, titles).await?;
    household.schedule("  policy:\n    unplayed: {count: 1, percent: 1}\n");
    household.apply().await?.expect(0)?;
    for title in ["Heat", "Alien", "Brazil"] {
        watched(&here, title, "2024-02-01T20:00:00Z");
    }
    household.sync(&[]).await?;
    for title in ["Heat", "Alien", "Brazil"] {
        here.mark_unplayed(ANNA, &movie(&here, title))?;
    }
    let dry = household.worker(&["sync", "--full", "--dry-run"]).await?.expect(3)?.stdout;
    ensure!(dry.contains("3 un-plays would be held.") && !dry.contains("held show"), "{dry}");
    let first = household.worker(&["sync", "--full"]).await?.expect(3)?.stdout;
    for told in [&first, &household.worker(&["export"]).await?.expect(0)?.stdout] {
        ensure!(told.contains("waits for a decision") && told.contains("held approve"), "{told}");
    }
    let forced = household.worker(&["sync", "--force"]).await?.stdout;
    ensure!(forced.contains("what is held already needs held approve"), "{forced}");
    Ok(())
}

#[tokio::test]
async fn a_dry_run_that_nobody_asked_for_says_who_did() -> Result<()> {
    let (mut household, _) = household([("here", Flavor::Plex)], titles).await?;
    household.schedule("  policy:\n    dryRun: true\n");
    household.apply().await?.expect(0)?;
    let told = household.worker(&["import"]).await?.expect(0)?.stdout;
    ensure!(told.contains("because SyncSchedule household has policy.dryRun"), "{told}");
    ensure!(!told.contains("would be made"), "an import writes nowhere: {told}");
    Ok(())
}

#[tokio::test]
async fn a_check_says_no_only_where_that_is_known() -> Result<()> {
    let servers = [("alone", Flavor::Plex), ("walled", Flavor::Jellyfin12), ("down", Flavor::Emby49)];
    let (mut household, [_, walled, _]) = household(servers, titles).await?;
    walled.inject(Fault::new(FaultKind::Html200));
    household.down("down").await?;
    std::fs::remove_dir_all(household.folder().join("data/tokens/alone"))?;
    let checked = household.worker(&["servers", "check", "-o", "json"]).await?.expect(2)?.json()?;
    let found = |name: &str| {
        let mut all = checked.as_array().into_iter().flatten();
        let one = all.find(|one| one["server"] == name).cloned().unwrap_or_default();
        (one["reachable"].as_bool(), one["authenticated"].as_bool())
    };
    assert_eq!(found("alone"), (None, None), "it wasn't asked: {checked:#}");
    assert_eq!(found("walled"), (Some(true), None), "something answered: {checked:#}");
    assert_eq!(found("down"), (Some(false), None), "{checked:#}");
    Ok(())
}

#[tokio::test]
async fn one_server_under_two_names_is_told() -> Result<()> {
    let (mut household, [_]) = household([("attic", Flavor::Jellyfin12)], titles).await?;
    let (url, token) = (household.member("attic")?.url.clone(), household.member("attic")?.token.clone());
    household.document(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: loft}}\nstringData: {{token: {token:?}}}\n---\n\
         apiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata: {{name: loft}}\n\
         spec: {{type: Jellyfin, url: '{url}', tokenSecretRef: {{name: loft}}}}\n",
    ));
    household.apply().await?.expect(0)?;
    for arguments in [&["sync"][..], &["servers", "check"]] {
        let told = household.worker(arguments).await?.expect(0)?.stdout;
        ensure!(told.contains("attic and loft are one server (id "), "{arguments:?}: {told}");
    }
    Ok(())
}
