//! Dry runs tell exactly what a run would write, and change nothing: not on servers, not in the database.

use anyhow::{Context, Result};
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::http::{Fault, Group};
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;
use crate::ledger::Ledger;

const SERVERS: [(&str, Flavor); 3] =
    [("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)];

/// Server, title and what it shall be, of all writes that a dry run tells, sorted.
fn planned(summary: &Value) -> Vec<String> {
    let reports = summary["servers"].as_array().map_or(&[][..], Vec::as_slice);
    let planned = reports.iter().filter_map(|report| report["planned"].as_array()).flatten();
    let mut planned: Vec<String> = planned
        .map(|write| {
            format!(
                "{} {} {}",
                write["server"].as_str().unwrap(),
                write["title"].as_str().unwrap(),
                write["want"].as_str().unwrap()
            )
        })
        .collect();
    planned.sort();
    planned
}

/// The same of the writes that were made.
async fn made(ledger: &Ledger) -> Result<Vec<String>> {
    let made = ledger
        .rows(
            "select concat_ws(' ', s.name, i.show_name, case when i.season is not null then
                 format('S%sE%s', lpad(i.season::text, 2, '0'), lpad(i.episode::text, 2, '0')) end, i.name, o.want) as write
             from outbox o join item i on i.id = o.item_id join server s on s.id = i.server_id where o.state = 'written'",
        )
        .await?;
    let mut made: Vec<String> = made.iter().map(|row| row["write"].as_str().unwrap().to_owned()).collect();
    made.sort();
    Ok(made)
}

fn pasts([plex, jellyfin, emby]: &[World; 3]) {
    watched(plex, "Heat", "2024-02-01T20:00:00Z");
    watched(jellyfin, "Alien", "2024-03-01T20:00:00Z");
    put(emby, "Brazil", paused(40, "2024-05-01T20:00:00Z"));
    emby.set_state(ANNA, &episode(emby, 1, 2), &played("2022-01-01T20:00:00Z")).unwrap();
}

/// Runs something that must change nothing; what it told.
async fn changes_nothing(
    household: &Household,
    worlds: &[World; 3],
    ledger: &Ledger,
    arguments: &[&str],
) -> Result<Value> {
    let before = ledger.everything().await?;
    let states: Vec<_> = worlds.iter().map(|world| world.read(|model| model.states.clone())).collect();
    let all: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
    let summary = household.worker(&all).await?.expect(0)?.json()?;
    let after = ledger.everything().await?;
    for (table, rows) in &before {
        assert_eq!(&after[table], rows, "{arguments:?} changed the table {table}");
    }
    for (world, states) in worlds.iter().zip(&states) {
        assert!(world.writes().is_empty(), "{arguments:?} wrote to {world:?}");
        assert_eq!(world.read(|model| model.states.clone()), *states);
    }
    Ok(summary)
}

#[tokio::test]
async fn a_dry_sync_tells_the_writes_of_the_sync_after_it_and_changes_nothing() -> Result<()> {
    let (household, worlds) = household(SERVERS, titles).await?;
    pasts(&worlds);
    let ledger = Ledger::open(&household).await?;
    let summary = changes_nothing(&household, &worlds, &ledger, &["sync", "--dry-run"]).await?;
    let told = planned(&summary);
    assert_eq!(told.len(), 8, "{told:#?}");
    let read: Vec<&Value> =
        summary["servers"].as_array().context("servers")?.iter().filter_map(|report| report.get("read")).collect();
    assert!(read.len() == 3 && read.iter().all(|read| read["new"] == 6), "{summary:#}");
    household.sync(&[]).await?;
    assert_eq!(made(&ledger).await?, told);
    assert_eq!(worlds.iter().map(|world| world.writes().len()).sum::<usize>(), told.len());

    // And once more, where all is known: one more play, one un-play.
    forget_writes(&worlds.each_ref());
    ledger.change("delete from outbox").await?;
    let [plex, jellyfin, _] = &worlds;
    put(plex, "Brazil", played("2024-06-01T20:00:00Z"));
    put(jellyfin, "Heat", UserState::default());
    let told = planned(&changes_nothing(&household, &worlds, &ledger, &["sync", "--dry-run"]).await?);
    assert_eq!(told.len(), 4, "{told:#?}");
    let text = household.worker(&["sync", "--dry-run"]).await?.expect(0)?.stdout;
    assert!(text.contains("4 writes would be made") && text.contains("nothing was stored or written"), "{text}");
    household.sync(&[]).await?;
    assert_eq!(made(&ledger).await?, told);
    assert!(planned(&changes_nothing_more(&household, &worlds, &ledger).await?).is_empty());
    Ok(())
}

async fn changes_nothing_more(household: &Household, worlds: &[World; 3], ledger: &Ledger) -> Result<Value> {
    forget_writes(&worlds.each_ref());
    changes_nothing(household, worlds, ledger, &["sync", "--full", "--dry-run"]).await
}

#[tokio::test]
async fn a_dry_import_tells_what_it_would_learn_and_a_dry_export_asks_no_server() -> Result<()> {
    let (household, worlds) = household(SERVERS, titles).await?;
    pasts(&worlds);
    let ledger = Ledger::open(&household).await?;
    let summary = changes_nothing(&household, &worlds, &ledger, &["import", "--dry-run"]).await?;
    let played: Vec<u64> = summary["servers"]
        .as_array()
        .context("servers")?
        .iter()
        .filter_map(|report| report["read"]["played"].as_u64())
        .collect();
    assert_eq!(played.iter().sum::<u64>(), 3, "{summary:#}");
    assert!(planned(&summary).is_empty());
    let nothing = changes_nothing(&household, &worlds, &ledger, &["export", "--dry-run"]).await?;
    assert!(planned(&nothing).is_empty(), "nothing was read yet: {nothing:#}");

    household.worker(&["import"]).await?.expect(0)?;
    for world in &worlds {
        world.log().clear();
    }
    let pushed = changes_nothing(&household, &worlds, &ledger, &["push", "--dry-run"]).await?;
    assert!(planned(&pushed).is_empty(), "a push writes what waits, and nothing waits: {pushed:#}");
    let told = planned(&changes_nothing(&household, &worlds, &ledger, &["export", "--dry-run"]).await?);
    assert_eq!(told.len(), 8, "{told:#?}");
    assert_eq!(worlds.iter().map(|world| world.log().total()).sum::<usize>(), 0);
    household.worker(&["export"]).await?.expect(0)?;
    assert_eq!(made(&ledger).await?, told);
    Ok(())
}

#[tokio::test]
async fn a_dry_push_tells_what_is_due_and_with_force_what_failed_as_well() -> Result<()> {
    let (household, worlds) = household(SERVERS, titles).await?;
    let [plex, jellyfin, emby] = &worlds;
    watched(plex, "Heat", "2024-02-01T20:00:00Z");
    let ledger = Ledger::open(&household).await?;
    household.worker(&["import"]).await?.expect(0)?;
    for world in [jellyfin, emby] {
        world.inject(Fault::status(400).group(Group::Write));
    }
    household.worker(&["export"]).await?.expect(1)?;
    ledger
        .change(
            "update outbox set next_try_at = now() from account a join server s on s.id = a.server_id
             where outbox.account_id = a.id and s.name = 'emby'",
        )
        .await?;
    let told = planned(&changes_nothing(&household, &worlds, &ledger, &["push", "--dry-run"]).await?);
    assert_eq!(told, ["emby Heat played"]);
    for verb in ["push", "export"] {
        let told = planned(&changes_nothing(&household, &worlds, &ledger, &[verb, "--force", "--dry-run"]).await?);
        assert_eq!(told, ["emby Heat played", "jellyfin Heat played"], "{verb}");
    }
    for world in [jellyfin, emby] {
        world.heal();
    }
    household.worker(&["push"]).await?.expect(0)?;
    assert_eq!(made(&ledger).await?, ["emby Heat played"]);
    household.worker(&["push", "--force"]).await?.expect(0)?;
    assert_eq!(made(&ledger).await?, ["emby Heat played", "jellyfin Heat played"]);
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_says_dry_run_makes_every_run_dry() -> Result<()> {
    let (mut household, worlds) = household(SERVERS, titles).await?;
    pasts(&worlds);
    household.schedule("  policy:\n    dryRun: true\n");
    household.apply().await?.expect(0)?;
    let ledger = Ledger::open(&household).await?;
    let told = planned(&changes_nothing(&household, &worlds, &ledger, &["sync"]).await?);
    assert_eq!(told.len(), 8, "{told:#?}");
    for verb in ["import", "export", "push"] {
        changes_nothing(&household, &worlds, &ledger, &[verb]).await?;
    }
    household.schedule("  policy:\n    dryRun: false\n");
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    assert_eq!(made(&ledger).await?, told);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_with_a_server_that_is_down_tells_what_the_others_would_get() -> Result<()> {
    let (mut household, worlds) = household(SERVERS, titles).await?;
    pasts(&worlds);
    household.down("emby").await?;
    let ledger = Ledger::open(&household).await?;
    let before = ledger.everything().await?;
    let summary = household.worker(&["sync", "--dry-run", "-o", "json"]).await?.expect(1)?.json()?;
    assert_eq!(ledger.everything().await?, before);
    let told = planned(&summary);
    assert_eq!(told, ["jellyfin Heat played", "plex Alien played"]);
    household.worker(&["sync"]).await?.expect(1)?;
    assert_eq!(made(&ledger).await?, told);
    Ok(())
}
