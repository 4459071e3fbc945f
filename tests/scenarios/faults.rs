//! Servers that fail in every way that servers fail: in the middle of pages, checks and writes. One that fails never stops the others, nothing is
//! lost, and nothing is done twice.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;
use crate::ledger::{Ledger, fill};

const fn status(status: u16) -> FaultKind {
    FaultKind::Status { status, retry_after: None }
}

const KINDS: [FaultKind; 12] = [
    FaultKind::Status { status: 429, retry_after: Some(1) },
    status(500),
    status(502),
    status(503),
    status(504),
    FaultKind::Delay(60_000),
    FaultKind::LateAnswer(60_000),
    FaultKind::Reset,
    FaultKind::WriteThenReset,
    FaultKind::CutBody,
    FaultKind::WrongJson,
    FaultKind::Html200,
];

/// A household with a server that will fail and one that won't.
struct Pair {
    household: Household,
    sick: World,
    well: World,
    ledger: Ledger,
}

impl Pair {
    async fn new(flavor: Flavor, films: usize, page_size: usize) -> Result<Self> {
        let mut household = Household::new().await?;
        let mut worlds = Vec::new();
        for (name, flavor) in [("sick", flavor), ("well", Flavor::Jellyfin12)] {
            let world = household.add(name, server(flavor, name), &[]).await?;
            household.spec(name, &format!("  limits:\n    pageSize: {page_size}\n"))?;
            fill(&world, films, 1);
            worlds.push(world);
        }
        // Short enough to wait for answers that don't come, long enough for those that do.
        household.spec("sick", "    timeout: 3s\n")?;
        household.apply().await?.expect(0)?;
        let ledger = Ledger::open(&household).await?;
        let [sick, well] = worlds.try_into().ok().context("two worlds")?;
        Ok(Self { household, sick, well, ledger })
    }

    async fn run(&self, arguments: &[&str], code: i32) -> Result<Value> {
        let all: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        self.household.worker(&all).await?.expect(code)?.json()
    }

    /// How many viewings of a film there are.
    async fn viewings(&self, title: &str) -> Result<i64> {
        self.ledger
            .number(&format!("select count(*) from play y join title t on t.id = y.title_id where t.name = '{title}'"))
            .await
    }
}

/// The outcomes of a server's verbs.
fn outcomes<'a>(summary: &'a Value, server: &str) -> Vec<&'a str> {
    let reports = summary["servers"].as_array().map_or(&[][..], Vec::as_slice);
    reports.iter().filter(|report| report["server"] == server).filter_map(|report| report["outcome"].as_str()).collect()
}

/// The names of the films that both hold.
fn films(world: &World) -> Vec<String> {
    world.read(|model| {
        let films = model.items().filter(|media| media.kind == watchstate_tests::world::Kind::Movie);
        films.map(|media| media.title.clone()).collect()
    })
}

/// Nobody can know whether it was done, and a second time would count: one try. Elsewhere a repeat does no harm.
const fn counts(flavor: Flavor) -> bool {
    flavor.is_plex() || flavor.is_emby()
}

/// One film is watched on each server; requests of the group fail all along; then the server is well again.
async fn round(pair: &Pair, kind: FaultKind, group: Group, here: &str, there: &str) -> Result<()> {
    let Pair { sick, well, ledger, .. } = pair;
    let flavor = sick.flavor();
    for (world, title) in [(sick, here), (well, there)] {
        put(world, title, played("2024-03-01T20:00:00Z"));
    }
    forget_writes(&[sick, well]);
    sick.inject(Fault::new(kind).group(group));
    // The status says that it was done, whatever the rest looks like.
    let cut = matches!(kind, FaultKind::CutBody) && counts(flavor);
    let done = group == Group::Write && (cut || matches!(kind, FaultKind::WrongJson));
    let summary = pair.run(&["sync"], i32::from(!done)).await?;
    ensure!(outcomes(&summary, "well").iter().all(|outcome| *outcome == "done"), "the other goes on: {summary:#}");
    let told: Vec<&Value> =
        summary["servers"].as_array().into_iter().flatten().filter(|report| report["errors"].is_array()).collect();
    ensure!(
        done || told.iter().all(|report| report["server"] == "sick") && !told.is_empty(),
        "who failed is told: {summary:#}"
    );
    ensure!(has(sick, here).played && has(well, there).played, "what was watched stays watched");
    sick.heal();
    pair.run(&["import"], 0).await?;
    pair.run(&["export", "--force"], 0).await?;

    for title in [here, there] {
        for world in [sick, well] {
            let state = has(world, title);
            ensure!(state.played && state.plays <= 1, "{title} at {world:?}: {state:?}");
        }
        ensure!(pair.viewings(title).await? == 1, "{title} was watched once: {:#?}", ledger.viewings().await?);
    }
    ensure!(ledger.open_writes().await? == 0, "nothing waits");
    let item = movie(sick, there);
    let writes = sick.writes().iter().filter(|write| write.item == item).count();
    ensure!(writes == 1 || !counts(flavor) && writes > 0, "written {writes} times");
    ensure!(sick.writes().len() == writes && well.writes().len() == 1, "nothing else was written");
    let summary = pair.run(&["sync"], 0).await?;
    ensure!(sick.writes().len() == writes && well.writes().len() == 1, "and no more: {summary:#}");
    Ok(())
}

async fn every_fault(flavor: Flavor) -> Result<()> {
    // Several households at a time: most of it is waiting.
    let groups = [Group::ReadPage, Group::ById, Group::Write];
    let lanes = groups.iter().flat_map(|group| KINDS.chunks(6).map(move |kinds| (*group, kinds)));
    try_join_all(lanes.map(|(group, kinds)| async move {
        let pair = Pair::new(flavor, 12, 10).await?;
        pair.run(&["sync"], 0).await?;
        let films = films(&pair.sick);
        for (kind, titles) in kinds.iter().zip(films.chunks(2)) {
            round(&pair, *kind, group, &titles[0], &titles[1])
                .await
                .with_context(|| format!("{kind:?} of each {group:?}"))?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plex_may_fail_in_every_way_and_the_others_go_on_and_nothing_is_lost_or_done_twice() -> Result<()> {
    every_fault(Flavor::Plex).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jellyfin_may_fail_in_every_way_and_the_others_go_on_and_nothing_is_lost_or_done_twice() -> Result<()> {
    every_fault(Flavor::Jellyfin1011).await
}

#[tokio::test(flavor = "multi_thread")]
async fn emby_may_fail_in_every_way_and_the_others_go_on_and_nothing_is_lost_or_done_twice() -> Result<()> {
    every_fault(Flavor::Emby49).await
}

/// The films' cursor and what is known of films.
async fn reached(ledger: &Ledger) -> Result<(Vec<Value>, i64)> {
    let cursor = ledger
        .rows(
            "select c.activity_at, c.changes_at from cursor c join library l on l.id = c.library_id join server s on s.id = l.server_id
             where s.name = 'sick' and l.name = 'Films'",
        )
        .await?;
    let known = ledger
        .number(
            "select count(*) from observation o join item i on i.id = o.item_id join server s on s.id = i.server_id
             where s.name = 'sick' and i.kind = 'movie'",
        )
        .await?;
    Ok((cursor, known))
}

on_every_kind! {
    async fn a_page_that_fails_in_the_middle_keeps_what_was_stored_and_the_next_run_reads_all_that_is_missing(flavor: Flavor) -> Result<()> {
        let pair = Pair::new(flavor, 47, 10).await?;
        let Pair { sick, well, ledger, .. } = &pair;
        let films = films(sick);
        for title in &films {
            put(sick, title, played("2022-03-01T20:00:00Z"));
        }
        // The third page of films.
        sick.inject(Fault::status(500).group(Group::ReadPage).after(2));
        let summary = pair.run(&["import"], 1).await?;
        assert_eq!(outcomes(&summary, "well"), ["done"]);
        assert_eq!(reached(ledger).await?, (vec![], 20), "two pages are stored, and no cursor stands");
        sick.heal();
        pair.run(&["import"], 0).await?;
        let (cursor, known) = reached(ledger).await?;
        assert_eq!((cursor.len(), known), (1, 47));
        pair.run(&["export"], 0).await?;
        assert_eq!(well.writes().len(), 47);

        // With a cursor: it stays where it is, and the next run finds what the failed one didn't see.
        let last = UserState { played: true, plays: 2, last_played_at: Some(sick.now()), ..UserState::default() };
        let newest = films.iter().max_by_key(|title| sick.movie(title)).context("films")?;
        put(sick, newest, last);
        sick.inject(Fault::status(500).group(Group::ReadPage).after(2));
        pair.run(&["import", "--full"], 1).await?;
        assert_eq!(reached(ledger).await?.0, cursor);
        sick.heal();
        sick.inject(Fault::new(FaultKind::CutBody).group(Group::Count));
        pair.run(&["import"], 1).await?;
        assert_eq!(reached(ledger).await?.0, cursor, "counts that don't come are no reason to move on");
        sick.heal();
        pair.run(&["import"], 0).await?;
        assert_ne!(reached(ledger).await?.0, cursor);
        assert_eq!(pair.viewings(newest).await?, 2);
        assert_eq!(ledger.number("select count(*) from watch_state where not played").await?, 0);
        Ok(())
    }

    async fn a_trouble_that_passes_is_waited_out_within_the_run(flavor: Flavor) -> Result<()> {
        let pair = Pair::new(flavor, 25, 10).await?;
        let Pair { sick, well, ledger, .. } = &pair;
        let films = films(sick);
        put(sick, &films[0], played("2024-03-01T20:00:00Z"));
        put(well, &films[1], played("2024-03-01T20:00:00Z"));
        for group in [Group::Identity, Group::Libraries, Group::ReadPage, Group::Count, Group::ById] {
            for kind in [FaultKind::Status { status: 429, retry_after: Some(1) }, status(503), FaultKind::Reset, FaultKind::CutBody] {
                sick.inject(Fault::new(kind).group(group).after(1).times(1));
            }
        }
        // A write that was turned away was not carried out, wherever that is.
        sick.inject(Fault::too_many(1).group(Group::Write).times(1));
        sick.inject(Fault::status(503).group(Group::Write).times(1));
        pair.run(&["sync"], 0).await?;
        sick.heal();
        for world in [sick, well] {
            assert!(has(world, &films[0]).played && has(world, &films[1]).played);
            assert_eq!(world.writes().len(), 1);
        }
        assert_eq!(ledger.open_writes().await?, 0);
        Ok(())
    }

    async fn a_write_that_fails_is_tried_again_when_its_time_comes_given_up_after_ten_tries_and_retried_when_told(flavor: Flavor) -> Result<()> {
        let pair = Pair::new(flavor, 5, 10).await?;
        let Pair { sick, well, ledger, .. } = &pair;
        let films = films(sick);
        for title in &films {
            put(well, title, played("2024-03-01T20:00:00Z"));
        }
        pair.run(&["import"], 0).await?;
        let bad = movie(sick, &films[2]);
        let fault = || match flavor {
            Flavor::Plex => Fault::status(500).group(Group::Write).after(2).times(1),
            _ => Fault::status(400).group(Group::Write).path(&bad),
        };
        sick.inject(fault());
        pair.run(&["export"], 1).await?;
        assert_eq!(sick.writes().len(), 4, "the others are written");
        let waiting = pair.run(&["outbox", "list"], 0).await?;
        let [one] = waiting.as_array().context("a list")?.as_slice() else { panic!("one waits: {waiting:#}") };
        assert_eq!((&one["server"], &one["state"], &one["attempts"]), (&"sick".into(), &"pending".into(), &1.into()), "{one:#}");
        assert!(one["error"].as_str().is_some_and(|error| error.contains("sick") && (error.contains("500") || error.contains("400"))), "{one:#}");
        assert_eq!(ledger.number("select count(*) from outbox where state = 'pending' and next_try_at > now()").await?, 1);

        // Not yet.
        sick.log().clear();
        for verb in ["push", "export"] {
            pair.run(&[verb], 0).await?;
        }
        assert_eq!(sick.log().group(Group::Write) + sick.log().group(Group::ById), 0, "its time hasn't come");
        // Now, by the clock.
        sick.heal();
        sick.inject(if flavor.is_plex() { Fault::status(500).group(Group::Write) } else { fault() });
        for attempts in 2..=4 {
            ledger.change("update outbox set next_try_at = now() - interval '1 second' where state = 'pending'").await?;
            pair.run(&[if attempts == 3 { "export" } else { "push" }], 1).await?;
            assert_eq!(ledger.number("select attempts::bigint from outbox where state = 'pending'").await?, attempts);
        }
        // Now, because somebody says so.
        for attempts in 5..=10 {
            pair.run(&["push", "--force"], 1).await?;
            assert_eq!(ledger.number("select attempts::bigint from outbox where state in ('pending', 'dead')").await?, attempts);
        }
        let dead = pair.run(&["outbox", "list", "--dead"], 0).await?;
        assert_eq!(dead.as_array().map(Vec::len), Some(1), "{dead:#}");
        let table = pair.household.worker(&["outbox", "list"]).await?.expect(0)?.stdout;
        assert!(table.contains("given up") && table.contains("outbox retry"), "{table}");
        sick.log().clear();
        for verb in ["push", "export"] {
            pair.run(&[verb], 0).await?;
        }
        assert_eq!(sick.log().total(), 0, "what was given up is left alone");

        // Told so, and well again.
        sick.heal();
        assert_eq!(sick.writes().len(), 4);
        pair.run(&["outbox", "retry"], 0).await?;
        pair.run(&["push"], 0).await?;
        assert_eq!(sick.writes().len(), 5);
        assert!(has(sick, &films[2]).played);
        assert_eq!(ledger.open_writes().await?, 0);
        pair.run(&["sync"], 0).await?;
        assert_eq!((sick.writes().len(), well.writes().len()), (5, 0));
        assert_eq!(ledger.viewings().await?.len(), 5);
        Ok(())
    }

    async fn a_write_that_was_given_up_comes_to_life_again_when_something_new_is_known(flavor: Flavor) -> Result<()> {
        let pair = Pair::new(flavor, 3, 10).await?;
        let Pair { sick, well, ledger, .. } = &pair;
        let title = &films(sick)[0];
        put(well, title, played("2024-03-01T20:00:00Z"));
        sick.inject(Fault::status(500).group(Group::Write));
        pair.run(&["sync"], 1).await?;
        ledger.change("update outbox set state = 'dead', attempts = 10 where state = 'pending'").await?;
        sick.heal();
        pair.run(&["sync"], 0).await?;
        assert!(!has(sick, title).played, "given up is given up");
        put(well, title, UserState { plays: 2, ..played("2024-05-01T20:00:00Z") });
        pair.run(&["sync", "--full"], 0).await?;
        assert!(has(sick, title).played);
        assert_eq!(ledger.open_writes().await?, 0);
        Ok(())
    }

    async fn a_server_that_dies_in_the_middle_of_writes_is_not_asked_again_and_again(flavor: Flavor) -> Result<()> {
        let pair = Pair::new(flavor, 60, 100).await?;
        let Pair { sick, well, ledger, .. } = &pair;
        let films = films(sick);
        for title in &films {
            put(well, title, played("2024-03-01T20:00:00Z"));
        }
        pair.run(&["import"], 0).await?;
        sick.inject(Fault::new(FaultKind::Status { status: 429, retry_after: Some(0) }).group(Group::Write).after(10));
        pair.run(&["export"], 1).await?;
        assert_eq!(sick.writes().len(), 10);
        assert!(sick.log().group(Group::Write) <= 10 + 4 * 5 + 4, "{} writes were tried", sick.log().group(Group::Write));
        assert!(ledger.number("select count(*) from outbox where attempts = 0 and next_try_at <= now() and state = 'pending'").await? > 40);
        sick.heal();
        // Nor where it fails without a word on what was done.
        sick.log().clear();
        sick.inject(Fault::status(500).group(Group::Write));
        pair.run(&["export", "--force"], 1).await?;
        assert!(sick.log().group(Group::Write) <= 2 * (10 + 4), "{} writes were tried", sick.log().group(Group::Write));
        sick.heal();
        pair.run(&["export", "--force"], 0).await?;
        assert_eq!((sick.writes().len(), ledger.open_writes().await?), (60, 0));
        Ok(())
    }
}

/// plex.tv tells whose the token is, and answers nothing about anybody else.
#[tokio::test]
async fn a_household_of_one_needs_nobody_elses_account_from_plex_tv() -> Result<()> {
    let (household, [plex, other]) = household([("plex", Flavor::Plex), ("other", Flavor::Jellyfin12)], titles).await?;
    watched(&plex, "Heat", "2024-02-01T20:00:00Z");
    household.plex_tv.http().faults.inject(Fault::status(503).after(1));
    household.sync(&[]).await?;
    assert!(has(&other, "Heat").played);
    Ok(())
}
