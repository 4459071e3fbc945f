//! Several workers at once: they do no harm, and nothing twice.

use anyhow::{Context, Result};
use futures::future::join_all;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::timeout;
use url::Url;
use watchstate_tests::household::{Household, Ran};
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::postgres;
use watchstate_tests::world::{Flavor, World};

use crate::builders::*;
use crate::circle::PATIENCE;
use crate::ledger::{Ledger, fill, watch_first};

/// The outcome of a verb at a server.
fn outcome<'a>(summary: &'a Value, server: &str, verb: &str) -> Option<&'a str> {
    let mut reports = summary["servers"].as_array()?.iter();
    reports.find(|report| report["server"] == server && report["verb"] == verb)?["outcome"].as_str()
}

/// Until the request that a fault holds is there.
async fn held(world: &World) {
    world.log().wait_until(|log| log.on_hold() > 0).await;
}

on_every_kind! {
    async fn a_second_worker_says_that_another_is_at_it_and_goes_in_peace(flavor: Flavor) -> Result<()> {
        let (household, [busy, free]) = household([("busy", flavor), ("free", Flavor::Jellyfin12)], titles).await?;
        watched(&busy, "Heat", "2024-02-01T20:00:00Z");
        watched(&free, "Alien", "2024-02-01T20:00:00Z");
        busy.inject(Fault::new(FaultKind::Delay(600_000)).group(Group::ReadPage).times(1));
        let mut first = household.spawn(&["import", "--server", "busy"]).await?;
        held(&busy).await;
        busy.log().clear();
        let second = household.worker(&["import", "--server", "busy", "-o", "json"]).await?.expect(0)?;
        assert_eq!(outcome(&second.json()?, "busy", "import"), Some("busy"));
        assert_eq!(busy.log().total(), 0, "{:#?}", busy.log().all());
        let text = household.worker(&["import", "--server", "busy"]).await?.expect(0)?.stdout;
        assert!(text.contains("another worker is at it"), "{text}");
        let summary = household.sync(&[]).await?;
        assert_eq!(outcome(&summary, "busy", "import"), Some("busy"));
        assert_eq!(outcome(&summary, "free", "import"), Some("done"));
        first.kill().await?;
        busy.heal();
        Ok(())
    }

    async fn a_server_may_be_read_and_written_at_the_same_time(flavor: Flavor) -> Result<()> {
        let (household, [one, other]) = household([("one", flavor), ("other", Flavor::Jellyfin12)], titles).await?;
        watched(&other, "Alien", "2024-02-01T20:00:00Z");
        household.worker(&["import"]).await?.expect(0)?;
        one.inject(Fault::new(FaultKind::Delay(600_000)).group(Group::ReadPage).times(1));
        let mut reading = household.spawn(&["import", "--full", "--server", "one"]).await?;
        held(&one).await;
        let written = household.worker(&["export", "-o", "json"]).await?.expect(0)?.json()?;
        assert_eq!(outcome(&written, "one", "export"), Some("done"));
        assert!(has(&one, "Alien").played);
        reading.kill().await?;
        one.heal();
        Ok(())
    }

    async fn two_syncs_at_once_write_everything_once(flavor: Flavor) -> Result<()> {
        let (household, worlds) = household([("one", flavor), ("other", Flavor::Plex)], |world| fill(world, 30, 1)).await?;
        let [one, other] = &worlds;
        watch_first(one, 20);
        let ledger = Ledger::open(&household).await?;
        let runs = join_all((0..3).map(|_| household.worker(&["sync"]))).await;
        for run in runs {
            run?.expect(0)?;
        }
        // Whoever came second may have found nothing to export yet.
        household.sync(&[]).await?;
        assert_eq!((one.writes().len(), other.writes().len()), (0, 20));
        assert!(other.states(ANNA).values().all(|state| state.plays <= 1));
        assert_eq!((ledger.open_writes().await?, ledger.viewings().await?.len()), (0, 20));
        Ok(())
    }

    async fn workers_that_drain_one_outbox_write_everything_once(flavor: Flavor) -> Result<()> {
        let (household, [from, to]) = household([("from", Flavor::Jellyfin12), ("to", flavor)], |world| fill(world, 30, 1)).await?;
        watch_first(&from, 40);
        household.worker(&["import"]).await?.expect(0)?;
        let ledger = Ledger::open(&household).await?;
        // The first hangs in its third write; the others find the lane taken.
        to.inject(Fault::new(FaultKind::LateAnswer(600_000)).group(Group::Write).after(2).times(1));
        let mut first = household.spawn(&["export"]).await?;
        held(&to).await;
        let others: Vec<&[&str]> = vec![&["export", "-o", "json"], &["push", "-o", "json"], &["push", "--force", "-o", "json"]];
        for ran in join_all(others.iter().map(|arguments| household.worker(arguments))).await {
            let summary = ran?.expect(0)?.json()?;
            let outcome = outcome(&summary, "to", "push").or_else(|| outcome(&summary, "to", "export"));
            assert_eq!(outcome, Some("busy"), "{summary:#}");
        }
        first.kill().await?;
        ledger.lanes_are_free().await?;
        to.heal();
        // All at once: one of them finishes it.
        let runs = join_all(others.iter().map(|arguments| household.worker(arguments))).await;
        for run in runs {
            run?.expect(0)?;
        }
        household.sync(&[]).await?;
        household.worker(&["push", "--force"]).await?.expect(0)?;
        assert_eq!((to.writes().len(), from.writes().len()), (40, 0));
        assert!(to.states(ANNA).values().all(|state| state.plays <= 1));
        assert_eq!((ledger.open_writes().await?, ledger.viewings().await?.len()), (0, 40));
        Ok(())
    }
}

#[tokio::test]
async fn workers_that_start_on_an_empty_database_at_the_same_moment_make_one_schema() -> Result<()> {
    let household = Household::new().await?;
    let runs = join_all((0..4).map(|_| household.worker(&["runs"]))).await;
    for ran in runs {
        let Ran { stdout, .. } = ran?.expect(0)?;
        assert!(stdout.contains("Nothing has run yet"), "{stdout}");
    }
    let ledger = Ledger::open(&household).await?;
    assert_eq!(ledger.number("select count(*) from installation").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_database_that_a_newer_version_has_migrated_still_works() -> Result<()> {
    let (household, [one, other]) = household([("one", Flavor::Plex), ("other", Flavor::Emby49)], titles).await?;
    let ledger = Ledger::open(&household).await?;
    ledger
        .change(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (20990101000000, 'of a later version', true, '\\x00', 1)",
        )
        .await?;
    ledger.change("alter table item add column later text not null default 'later'").await?;
    watched(&one, "Heat", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    assert!(has(&other, "Heat").played);
    Ok(())
}

#[tokio::test]
async fn a_migration_that_was_changed_afterwards_is_refused_and_said_so() -> Result<()> {
    let (household, _) = household([("one", Flavor::Plex)], titles).await?;
    let ledger = Ledger::open(&household).await?;
    ledger.change("update _sqlx_migrations set checksum = '\\x00'").await?;
    let ran = household.worker(&["sync"]).await?;
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("schema"), "{ran:#?}");
    Ok(())
}

#[tokio::test]
async fn a_lost_database_connection_ends_the_run_and_the_next_one_finishes() -> Result<()> {
    let (household, [one, other]) = household([("one", Flavor::Plex), ("other", Flavor::Emby49)], titles).await?;
    watched(&one, "Heat", "2024-02-01T20:00:00Z");
    // To claim a database takes its time: all is ready for the cut before the answer waits for it.
    let elsewhere = postgres::database().await?;
    let mut admin = PgConnection::connect(&elsewhere.url).await?;
    other.inject(Fault::new(FaultKind::Delay(10_000)).group(Group::ReadPage).times(1));
    let child = household.spawn(&["sync"]).await?;
    held(&other).await;
    let name = household.database.rsplit('/').next().context("a name")?.split('?').next().context("a name")?.to_owned();
    let cut = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    admin.execute(AssertSqlSafe(cut)).await?;
    let ran = Ran::from(child.wait_with_output().await?).expect(1)?;
    assert!(!ran.stdout.is_empty() || !ran.stderr.is_empty(), "it says why");
    household.sync(&[]).await?;
    assert!(has(&other, "Heat").played);
    assert_eq!((one.writes().len(), other.writes().len()), (0, 1));
    Ok(())
}

/// Another process has one of the page's titles, and then wants the other: one of the two must give way.
#[tokio::test]
async fn a_page_that_another_process_waits_for_while_it_waits_for_that_one_is_stored_anew() -> Result<()> {
    let (mut household, [here]) = household([("here", Flavor::Jellyfin12)], titles).await?;
    for title in ["Alien", "Heat"] {
        watched(&here, title, "2024-02-01T20:00:00Z");
    }
    household.worker(&["import"]).await?.expect(0)?;
    for title in ["Alien", "Heat"] {
        here.play_to_end(ANNA, &movie(&here, title))?;
    }
    let ledger = Ledger::open(&household).await?;
    let mut busy = PgConnection::connect(&household.database).await?;
    // Who looks for the deadlock is who is ended by it. It looks once, and not before there is one.
    busy.execute("set deadlock_timeout = '1h'").await?;
    let mut patient = Url::parse(&household.database)?;
    patient.query_pairs_mut().append_pair("options[deadlock_timeout]", "10s");
    household.database = patient.into();
    let mut held = busy.begin().await?;
    held.execute("select from watch_state where title_id = (select max(title_id) from watch_state) for update").await?;
    let child = household.spawn(&["-v", "import", "--full", "-o", "json"]).await?;
    ledger.waiting(1).await?;
    let other = "select from watch_state where title_id = (select min(title_id) from watch_state) for update";
    timeout(PATIENCE, held.execute(other)).await.context("nobody gives way")??;
    held.rollback().await?;
    let ended = timeout(PATIENCE, child.wait_with_output()).await.context("it doesn't end")??;
    let ran = Ran::from(ended).expect(0)?;
    assert!(ran.stderr.contains("a page is stored anew"), "{ran:#?}");
    assert_eq!(ran.json()?["servers"][0]["read"]["playedAgain"], 2, "counted once: {ran:#?}");
    for title in ["Alien", "Heat"] {
        let truth = truth(&household, title).await?;
        assert_eq!(truth["plays"], 2, "{truth:#}");
    }
    Ok(())
}

/// The play is about to be stored when another server's item makes the title one with a second: joining waits for it, whichever of both titles stays.
#[tokio::test]
async fn a_play_that_is_told_while_its_title_is_joined_is_kept() -> Result<()> {
    for order in [["here", "there"], ["there", "here"]] {
        let (household, [here, there]) =
            household([("here", Flavor::Jellyfin12), ("there", Flavor::Emby49)], |_| ()).await?;
        here.add_movie(&film("Heat", 1995).id("imdb", "tt0113277"));
        let twin = there.add_movie(&film("Heat", 1995).id("tmdb", "949"));
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        for server in order {
            household.worker(&["import", "--server", server]).await?.expect(0)?;
        }
        here.play_to_end(ANNA, &movie(&here, "Heat"))?;
        there.rematch(&twin, &[("imdb", "tt0113277"), ("tmdb", "949")])?;
        let ledger = Ledger::open(&household).await?;
        let mut busy = PgConnection::connect(&household.database).await?;
        let mut held = busy.begin().await?;
        held.execute("select from watch_state for update").await?;
        let telling = household.spawn(&["import", "--full", "--server", "here"]).await?;
        ledger.waiting(1).await?;
        let joining = household.spawn(&["import", "--full", "--server", "there"]).await?;
        ledger.waiting(2).await?;
        held.rollback().await?;
        for child in [telling, joining] {
            Ran::from(child.wait_with_output().await?).expect(0)?;
        }
        let heat = truth(&household, "Heat").await?;
        assert_eq!((&heat["plays"], &heat["played"]), (&2.into(), &true.into()), "{heat:#}");
    }
    Ok(())
}

#[tokio::test]
async fn with_a_server_go_its_items_and_all_that_hangs_on_them_and_nothing_else() -> Result<()> {
    let (household, [one, other]) = household([("one", Flavor::Plex), ("other", Flavor::Emby49)], titles).await?;
    watched(&one, "Heat", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    let ledger = Ledger::open(&household).await?;
    let [titles, plays] = ["select count(*) from title", "select count(*) from play"];
    let before = (ledger.number(titles).await?, ledger.number(plays).await?);
    ledger.change("delete from server where name = 'one'").await?;
    for orphans in [
        "item where server_id not in (select id from server)",
        "item where library_id not in (select id from library)",
        "observation where item_id not in (select id from item) or account_id not in (select id from account)",
        "item_title where item_id not in (select id from item) or title_id not in (select id from title)",
        "external_id where title_id not in (select id from title)",
    ] {
        assert_eq!(ledger.number(&format!("select count(*) from {orphans}")).await?, 0, "{orphans}");
    }
    assert_eq!((ledger.number(titles).await?, ledger.number(plays).await?), before, "history stays");
    assert!(ledger.number("select count(*) from observation").await? > 0, "the other server's items stay");
    ledger.change("delete from library").await?;
    assert_eq!(ledger.number("select count(*) from item where library_id is not null").await?, 0);
    ledger.change("delete from title").await?;
    assert_eq!(
        ledger.number("select (select count(*) from item_title) + (select count(*) from external_id)").await?,
        0
    );
    assert!(has(&other, "Heat").played);
    Ok(())
}
