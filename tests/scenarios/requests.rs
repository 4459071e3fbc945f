//! How little servers are asked: counted in the servers' own logs.

use anyhow::{Context, Result};
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::http::Group;
use watchstate_tests::world::{Flavor, NewEpisode, UserState, World};

use crate::builders::*;
use crate::ledger::{Ledger, fill, past, plain_past, watch_first};

/// What one server was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    pages: usize,
    counts: usize,
    by_id: usize,
    writes: usize,
    /// Who it is, accounts, libraries, sessions, plex.tv.
    rest: usize,
}

fn asked(household: &Household, world: &World) -> Asked {
    let log = world.log();
    let [pages, counts, by_id, writes] =
        [Group::ReadPage, Group::Count, Group::ById, Group::Write].map(|group| log.group(group));
    let rest = log.total() - pages - counts - by_id - writes + household.plex_tv.http().log.total();
    Asked { pages, counts, by_id, writes, rest }
}

fn forget(household: &Household, worlds: &[&World]) {
    household.plex_tv.http().log.clear();
    for world in worlds {
        world.log().clear();
    }
}

/// A single server of this size, read once.
async fn settled(flavor: Flavor, films: usize, shows: usize, page_size: usize) -> Result<(Household, World)> {
    let mut household = Household::new().await?;
    let world = household.add("home", server(flavor, "home"), &[]).await?;
    household.spec("home", &format!("  limits:\n    pageSize: {page_size}\n"))?;
    fill(&world, films, shows);
    past(&world, 1, 40);
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    assert_eq!(world.writes(), [], "alone nobody has anything to tell");
    forget(&household, &[&world]);
    Ok((household, world))
}

/// The counts of a server's reading.
fn read(summary: &Value) -> Result<&Value> {
    summary["servers"]
        .as_array()
        .and_then(|servers| servers.iter().find_map(|server| server.get("read")))
        .with_context(|| format!("nothing was read: {summary:#}"))
}

on_every_kind! {
    async fn a_full_import_without_news_costs_its_pages_and_a_constant(flavor: Flavor) -> Result<()> {
        let mut rests = Vec::new();
        for (films, shows, page_size) in [(25, 1, 10), (93, 12, 10), (93, 12, 1000)] {
            let (household, world) = settled(flavor, films, shows, page_size).await?;
            household.worker(&["import", "--full"]).await?.expect(0)?;
            let asked = asked(&household, &world);
            let pages = films.div_ceil(page_size) + shows.div_ceil(page_size) + (20 * shows).div_ceil(page_size);
            assert_eq!((asked.pages, asked.by_id, asked.writes), (pages, 0, 0), "{films} films, {shows} shows: {:#?}", world.log().all());
            rests.push((asked.counts, asked.rest));
        }
        assert!(rests.iter().all(|rest| *rest == rests[0]), "the rest is a constant: {rests:?}");
        let (counts, rest) = rests[0];
        assert!(counts <= 2 * 3 && rest <= 8, "and a small one: {rests:?}");
        Ok(())
    }

    async fn an_incremental_import_without_news_costs_five_requests_a_library(flavor: Flavor) -> Result<()> {
        for (films, shows) in [(25, 1), (130, 12)] {
            let (household, world) = settled(flavor, films, shows, 10).await?;
            let summary = household.sync(&[]).await?;
            let asked = asked(&household, &world);
            assert_eq!(read(&summary)?["fullReads"], 0);
            assert_eq!((asked.counts, asked.by_id, asked.writes), (6, 0, 0), "{:#?}", world.log().all());
            assert!(asked.pages + asked.counts <= 2 * 5 && asked.rest <= 8, "{asked:?} {:#?}", world.log().all());
        }
        Ok(())
    }

    async fn an_export_costs_a_check_for_each_hundred_a_write_for_each_one_and_a_constant(flavor: Flavor) -> Result<()> {
        let mut rests = Vec::new();
        for changes in [1, 100, 201] {
            let (household, [from, to]) = household([("from", Flavor::Jellyfin12), ("to", flavor)], |world| fill(world, 200, 1)).await?;
            watch_first(&from, changes);
            household.worker(&["import"]).await?.expect(0)?;
            forget(&household, &[&from, &to]);
            household.worker(&["export"]).await?.expect(0)?;
            let asked = asked(&household, &to);
            assert_eq!((asked.by_id, asked.writes), (changes.div_ceil(100), changes), "{changes}: {:#?}", to.log().all());
            assert_eq!((asked.pages, asked.counts, from.log().total()), (0, 0, 0), "{changes}");
            rests.push(asked.rest);
            forget(&household, &[&to]);
            household.worker(&["export"]).await?.expect(0)?;
            household.worker(&["push"]).await?.expect(0)?;
            assert_eq!(to.log().total() + from.log().total() + household.plex_tv.http().log.total(), 0, "nothing is left to be told");
        }
        assert!(rests.iter().all(|rest| *rest == rests[0]) && rests[0] <= 7, "the rest is a small constant: {rests:?}");
        Ok(())
    }

    async fn incremental_reading_finds_what_happened_and_reads_in_full_only_where_it_must(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let world = household.add("home", server(flavor, "home"), &[]).await?;
        titles(&world);
        watched(&world, "Heat", "2024-02-01T20:00:00Z");
        household.apply().await?.expect(0)?;
        household.sync(&[]).await?;
        let ledger = Ledger::open(&household).await?;
        // What happened, the title it happened to, and in how many libraries everything was read because of it.
        let next = async |what: &str, full_reads: u64| -> Result<Value> {
            let summary = household.sync(&[]).await?;
            let counts = read(&summary)?.clone();
            assert_eq!(counts["fullReads"], full_reads, "{what}: {summary:#}");
            let again = household.sync(&[]).await?;
            assert_eq!(read(&again)?["fullReads"], 0, "{what}, and then nothing: {again:#}");
            for key in ["changed", "new", "gone", "played", "playedAgain", "unplayed"] {
                assert_eq!(read(&again)?[key], 0, "{what}, and then nothing: {again:#}");
            }
            assert_eq!(world.writes(), [], "{what}");
            Ok(counts)
        };

        world.play_to_end(ANNA, &movie(&world, "Alien"))?;
        let counts = next("a play", 0).await?;
        assert_eq!(counts["played"], 1, "{counts:#}");
        assert_eq!(truth(&household, "Alien").await?["played"], true);

        watched(&world, "Brazil", "2019-05-01T20:00:00Z");
        let counts = next("a play with an old date", 1).await?;
        assert_eq!(counts["played"], 1, "{counts:#}");
        assert_eq!(truth(&household, "Brazil").await?["playedAt"], "2019-05-01T20:00:00Z");

        world.mark_unplayed(ANNA, &movie(&world, "Heat"))?;
        let counts = next("an un-play", 1).await?;
        assert_eq!(counts["unplayed"], 1, "{counts:#}");
        assert_eq!(truth(&household, "Heat").await?["played"], false);

        world.play_to(ANNA, &movie(&world, "Heat"), minutes(30))?;
        let counts = next("a position", 0).await?;
        assert_eq!(counts["positions"], 1, "{counts:#}");
        assert_eq!(truth(&household, "Heat").await?["positionMs"], minutes(30));

        world.add_movie(&watchstate_tests::world::NewMovie::new("Stalker", 1979).id("imdb", "tt0079944").minutes(160));
        let counts = next("a new film", 0).await?;
        assert_eq!(counts["new"], 1, "{counts:#}");

        for episode in 1..=3 {
            let new = NewEpisode::new("Severance", 1, episode).show_year(2022).show_id("tvdb", "371980").minutes(50);
            world.add_episode(&new);
        }
        let counts = next("a new show", 0).await?;
        assert_eq!(counts["new"], 3, "{counts:#}");
        let episodes = "select count(*) from title t join title s on s.id = t.show_id where s.name = 'Severance'";
        assert_eq!(ledger.number(episodes).await?, 3);

        world.rematch(&movie(&world, "Stalker"), &[("imdb", "tt0078748x"), ("tmdb", "1398")])?;
        next("other ids", 0).await?;
        assert_eq!(ledger.number("select count(*) from external_id where kind = 'movie' and provider = 'tmdb' and value = '1398'").await?, 1);

        world.remove(&movie(&world, "Brazil"));
        let counts = next("a removed film", 1).await?;
        assert_eq!(counts["gone"], 1, "{counts:#}");
        assert_eq!(truth(&household, "Brazil").await?["played"], true, "what was watched stays watched");

        let third = world.episode("The Wire", 1, 3).context("there is one")?;
        let state = UserState { played: true, plays: 1, last_played_at: Some(at("2018-01-01T20:00:00Z")), ..UserState::default() };
        world.set_state(ANNA, &third, &state)?;
        next("an old play of an episode, with the library of films left alone", 1).await?;
        Ok(())
    }
}

#[tokio::test]
async fn three_libraries_of_2500_come_into_agreement_in_pages_that_do_not_divide_them() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (number, flavor) in [Flavor::Plex, Flavor::Jellyfin12, Flavor::Emby49].into_iter().enumerate() {
        let name = format!("server{number}");
        let world = household.add(&name, server(flavor, &name), &[]).await?;
        household.spec(&name, "  limits:\n    pageSize: 999\n    concurrency: 8\n")?;
        fill(&world, 2_100, 20);
        plain_past(&world, number as u64, 6);
        worlds.push(world);
    }
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    for world in &worlds {
        assert_eq!(world.log().group(Group::ReadPage), 3 + 1 + 1, "{world:?}");
    }
    let played = |world: &World| {
        let mut titles: Vec<String> = world.read(|model| {
            let anna = model.owner().unwrap().id.clone();
            model
                .items()
                .filter(|media| model.state_of(&anna, media).played)
                .map(|media| format!("{:?} {}", media.ids, media.title))
                .collect()
        });
        titles.sort();
        titles
    };
    let agreed = played(&worlds[0]);
    assert!(agreed.len() > 300, "{}", agreed.len());
    for world in &worlds[1..] {
        assert_eq!(played(world), agreed, "{world:?}");
    }
    stays_so(&household, &worlds.iter().collect::<Vec<_>>()).await
}
