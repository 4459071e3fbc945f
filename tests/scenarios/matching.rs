//! Which items are one title: by ids that bridge, never by ids that contradict; matches that were wrong are put right without losing a play.

use anyhow::Result;
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;

/// Items of which `state --conflict` says that they contradict a title, by server.
async fn conflicts(household: &Household) -> Result<Vec<(String, Vec<Value>)>> {
    let lines = household.worker(&["state", "--conflict", "-o", "json"]).await?.expect(0)?.json()?;
    let line = |line: &Value| {
        let server = line["server"].as_str().unwrap_or_default().to_owned();
        (server, line["contradicts"].as_array().cloned().unwrap_or_default())
    };
    Ok(lines.as_array().into_iter().flatten().map(line).collect())
}

on_every_kind! {
    async fn one_film_known_by_imdb_here_and_by_tmdb_there_is_joined_by_a_third(flavor: Flavor) -> Result<()> {
        let (mut household, [here, there]) =
            household([("here", Flavor::Jellyfin12), ("there", Flavor::Emby49)], |_| ()).await?;
        here.add_movie(&film("Heat", 1995).id("imdb", "tt0113277"));
        there.add_movie(&film("Heat", 1995).id("tmdb", "949"));
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert!(!has(&there, "Heat").played, "nobody knows yet that it is the same");
        assert_eq!(truths(&household, "Heat").await?.len(), 2);
        watched(&there, "Heat", "2020-02-01T20:00:00Z");
        household.sync(&["--full"]).await?;

        let third = server(flavor, "third");
        third.add_movie(&heat());
        household.add("third", third.clone(), &[]).await?;
        household.apply().await?.expect(0)?;
        let summary = household.sync(&[]).await?;
        assert!(has(&third, "Heat").played);
        let heat = truth(&household, "Heat").await?;
        assert_eq!((&heat["played"], &heat["plays"]), (&true.into(), &2.into()), "both histories are kept: {heat:#}\n{summary:#}");
        assert_eq!(heat["playedAt"], "2024-02-01T20:00:00Z");
        assert_eq!(conflicts(&household).await?, []);
        stays_so(&household, &[&here, &there, &third]).await?;

        // From now on they are one.
        there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
        household.sync(&[]).await?;
        assert!(!has(&here, "Heat").played && !has(&third, "Heat").played);
        stays_so(&household, &[&here, &there, &third]).await
    }

    async fn films_whose_ids_contradict_stay_apart_and_are_listed(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], |_| ()).await?;
        here.add_movie(&film("Heat", 1995).id("imdb", "tt0113277").id("tmdb", "949"));
        there.add_movie(&film("Heat", 1986).id("imdb", "tt0113277").id("tmdb", "31662"));
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        let summary = household.sync(&[]).await?;
        assert!(!has(&there, "Heat").played, "one of both is matched wrongly, and nobody knows which");
        let listed = conflicts(&household).await?;
        assert_eq!(listed.len(), 1, "{listed:#?}\n{summary:#}");
        assert_eq!(listed[0].1[0]["providers"], serde_json::json!(["tmdb"]), "{listed:#?}");
        there.play_to_end(ANNA, &movie(&there, "Heat"))?;
        here.mark_unplayed(ANNA, &movie(&here, "Heat"))?;
        household.sync(&[]).await?;
        assert!(has(&there, "Heat").played && !has(&here, "Heat").played);
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
        stays_so(&household, &[&here, &there]).await
    }

    async fn an_item_that_would_bridge_two_different_films_joins_neither(flavor: Flavor) -> Result<()> {
        let (mut household, [here, there]) =
            household([("here", Flavor::Jellyfin12), ("there", Flavor::Plex)], |world| {
                world.add_movie(&heat());
                world.add_movie(&alien());
            }).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        let third = server(flavor, "third");
        third.add_movie(&film("Heat of the Alien", 2000).id("imdb", "tt0113277").id("tmdb", "348"));
        household.add("third", third.clone(), &[]).await?;
        household.apply().await?.expect(0)?;
        household.sync(&[]).await?;
        assert!(!has(&third, "Heat of the Alien").played);
        assert_eq!(conflicts(&household).await?.len(), 1);
        third.play_to_end(ANNA, &movie(&third, "Heat of the Alien"))?;
        household.sync(&[]).await?;
        for world in [&here, &there] {
            assert!(!has(world, "Alien").played && has(world, "Heat").played, "{world:?}");
        }
        stays_so(&household, &[&here, &there, &third]).await
    }

    async fn a_wrong_match_that_is_corrected_un_watches_nothing_and_brings_the_play_where_it_belongs(flavor: Flavor) -> Result<()> {
        let both = |world: &World| {
            world.add_movie(&heat());
            world.add_movie(&film("Heat of 1986", 1986).id("imdb", "tt0093164").id("tmdb", "31662"));
        };
        let (mut household, [there]) = household([("there", Flavor::Jellyfin12)], both).await?;
        let here = server(flavor, "here");
        here.add_movie(&film("Heat", 1995).id("imdb", "tt0093164").id("tmdb", "31662"));
        household.add("here", here.clone(), &[]).await?;
        household.apply().await?.expect(0)?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert!(has(&there, "Heat of 1986").played && !has(&there, "Heat").played, "it says so");
        forget_writes(&[&here, &there]);

        // Plex files states by match, so the play is not there under the new one until somebody marks it.
        here.rematch(&movie(&here, "Heat"), &[("imdb", "tt0113277"), ("tmdb", "949")])?;
        let kept = has(&here, "Heat").played;
        household.sync(&[]).await?;
        assert!(has(&there, "Heat of 1986").played, "nothing is un-played at the old one");
        assert_eq!(has(&there, "Heat").played, kept, "and what was watched goes to the new one");
        if kept {
            assert_eq!(has(&there, "Heat"), played("2024-02-01T20:00:00Z"));
        }
        assert_eq!(here.writes(), []);
        stays_so(&household, &[&here, &there]).await?;

        there.mark_unplayed(ANNA, &movie(&there, "Heat of 1986"))?;
        household.sync(&[]).await?;
        assert_eq!(has(&here, "Heat").played, kept, "it has nothing to do with that one any more");
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_match_that_is_corrected_is_first_sight_for_every_account(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let (here, there) = (server(flavor, "here"), server(Flavor::Jellyfin12, "there"));
        here.add_movie(&film("Heat", 1995).id("imdb", "tt0093164").id("tmdb", "31662"));
        there.add_movie(&heat());
        there.add_movie(&film("Heat of 1986", 1986).id("imdb", "tt0093164").id("tmdb", "31662"));
        for (name, world) in [("here", &here), ("there", &there)] {
            world.add_user("ben");
            household.add(name, world.clone(), &[(ANNA, ANNA), ("ben", "ben")]).await?;
        }
        for person in [ANNA, "ben"] {
            here.set_state(person, &movie(&here, "Heat"), &played("2024-02-01T20:00:00Z"))?;
        }
        household.apply().await?.expect(0)?;
        household.sync(&[]).await?;
        here.rematch(&movie(&here, "Heat"), &[("imdb", "tt0113277"), ("tmdb", "949")])?;
        household.sync(&[]).await?;
        for person in [ANNA, "ben"] {
            let kept = here.state(person, &movie(&here, "Heat")).played;
            assert_eq!(there.state(person, &movie(&there, "Heat")).played, kept, "{person}");
            assert!(there.state(person, &movie(&there, "Heat of 1986")).played, "{person}: nothing is un-played at the old one");
        }
        stays_so(&household, &[&here, &there]).await
    }

    async fn ids_that_come_later_change_nothing_but_what_they_bridge(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Emby48)], |_| ()).await?;
        let path = "/media/films/Heat.mkv";
        here.add_movie(&film("Heat", 1995).path(path).guid("local://1"));
        there.add_movie(&heat());
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert!(!has(&here, "Heat").played, "without ids nobody knows what it is");
        here.rematch(&movie(&here, "Heat"), &[("tmdb", "949")])?;
        household.sync(&[]).await?;
        assert!(has(&here, "Heat").played);
        assert_eq!(there.writes(), []);
        forget_writes(&[&here]);
        if !flavor.is_plex() {
            here.rematch(&movie(&here, "Heat"), &[("tmdb", "949"), ("imdb", "tt0113277")])?;
            household.sync(&[]).await?;
            assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
        }
        assert_eq!(truth(&household, "Heat").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await
    }

    async fn junk_ids_match_nothing(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin1010)], |_| ()).await?;
        here.add_movie(&film("Heat", 1995).id("imdb", "tt").id("tmdb", "0"));
        there.add_movie(&film("Alien", 1979).id("imdb", "tt").id("tmdb", "0"));
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert_eq!(has(&there, "Alien"), UserState::default());
        stays_so(&household, &[&here, &there]).await
    }
}

/// Plex keeps states by its guid: under a new one nothing was watched yet, though the film is the same.
#[tokio::test]
async fn a_plex_match_that_changes_while_the_film_stays_the_same_un_plays_nothing() -> Result<()> {
    let (household, [plex, there]) =
        household([("plex", Flavor::Plex), ("there", Flavor::Jellyfin1011)], |_| ()).await?;
    plex.add_movie(&film("Heat", 1995).guid("com.plexapp.agents.imdb://tt0113277?lang=en"));
    there.add_movie(&heat());
    watched(&plex, "Heat", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    assert!(has(&there, "Heat").played);
    forget_writes(&[&plex, &there]);
    plex.rematch(&movie(&plex, "Heat"), &[("imdb", "tt0113277"), ("tmdb", "949")])?;
    assert!(!has(&plex, "Heat").played, "it has begun anew");
    household.sync(&[]).await?;
    assert_eq!(there.writes(), []);
    assert!(has(&plex, "Heat").played, "it is told again");
    assert_eq!(truth(&household, "Heat").await?["plays"], 1);
    stays_so(&household, &[&plex, &there]).await
}

/// Some write the show's ids, or one of a season, into the files of every episode.
#[tokio::test]
async fn ids_that_several_episodes_carry_name_none_of_them() -> Result<()> {
    let (household, [here, there]) = household([("here", Flavor::Jellyfin12), ("there", Flavor::Plex)], |_| ()).await?;
    for number in 1..=3 {
        here.add_episode(&bare_wire(1, number).id("imdb", "tt0306414"));
        here.add_episode(&bare_wire(2, number).id("tvdb", "777777"));
        there.add_episode(&wire(1, number));
        there.add_episode(&wire(2, number));
    }
    let of = |world: &World, season, number| world.state(ANNA, &episode(world, season, number)).played;
    there.set_state(ANNA, &episode(&there, 1, 1), &played("2024-02-01T20:00:00Z"))?;
    here.set_state(ANNA, &episode(&here, 2, 2), &played("2024-02-02T20:00:00Z"))?;
    household.sync(&[]).await?;
    let seen = |world: &World| [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)].map(|(s, e)| of(world, s, e));
    assert_eq!(seen(&here), [true, false, false, false, true, false]);
    assert_eq!(seen(&there), [true, false, false, false, true, false]);
    here.mark_unplayed(ANNA, &episode(&here, 1, 1))?;
    household.sync(&[]).await?;
    assert_eq!(seen(&there), [false, false, false, false, true, false]);
    // Those that come later come alone.
    for number in 4..=5 {
        here.add_episode(&bare_wire(2, number).id("tvdb", "777777"));
        there.add_episode(&wire(2, number));
        household.sync(&[]).await?;
    }
    there.play_to_end(ANNA, &episode(&there, 2, 4))?;
    household.sync(&[]).await?;
    assert_eq!(seen(&here), [false, false, false, false, true, false]);
    assert!(of(&here, 2, 4) && !of(&here, 2, 5));
    stays_so(&household, &[&here, &there]).await
}

/// HAMA's `tvdb4` counts by arcs: its second season's eighth is not what others call so.
#[tokio::test]
async fn an_order_of_hamas_own_marks_no_episode_elsewhere() -> Result<()> {
    let (household, [plex, there]) = household([("plex", Flavor::Plex), ("there", Flavor::Jellyfin12)], |_| ()).await?;
    for number in 1..=2 {
        let guid = format!("com.plexapp.agents.hama://tvdb4-79126/2/{number}?lang=en");
        plex.add_episode(&bare_wire(2, number).guid(&guid));
        there.add_episode(&wire(2, number));
    }
    plex.set_state(ANNA, &episode(&plex, 2, 1), &played("2024-02-01T20:00:00Z"))?;
    there.set_state(ANNA, &episode(&there, 2, 2), &played("2024-02-01T20:00:00Z"))?;
    household.sync(&[]).await?;
    assert_eq!((plex.writes(), there.writes()), (vec![], vec![]));
    stays_so(&household, &[&plex, &there]).await
}

#[tokio::test]
async fn items_without_ids_are_one_title_by_the_path_rules_of_their_servers() -> Result<()> {
    let (mut household, [here, there]) =
        household([("here", Flavor::Plex), ("there", Flavor::Jellyfin1011)], |_| ()).await?;
    household.spec("here", "  pathRules:\n  - from: /data/home\n    to: /media/home\n")?;
    household.spec("there", "  pathRules:\n  - from: /srv/videos\n    to: /media/home\n")?;
    household.apply().await?.expect(0)?;
    here.add_movie(&film("Wedding", 2001).path("/data/home/Wedding.mkv"));
    here.add_movie(&film("Party", 2001).path("/elsewhere/Party.mkv"));
    there.add_movie(&film("Wedding", 2001).path("/srv/videos/wedding.mkv"));
    there.add_movie(&film("Party", 2001).path("/elsewhere/Party.mkv"));
    watched(&here, "Wedding", "2024-02-01T20:00:00Z");
    watched(&here, "Party", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    assert!(has(&there, "Wedding").played);
    assert!(!has(&there, "Party").played, "no rule says that these are the same place");
    stays_so(&household, &[&here, &there]).await
}

#[tokio::test]
async fn ids_of_plexs_legacy_agents_name_the_same_titles() -> Result<()> {
    let (household, [plex, there]) =
        household([("plex", Flavor::Plex), ("there", Flavor::Jellyfin1011)], |_| ()).await?;
    let legacy = |agent: &str, rest: &str| format!("com.plexapp.agents.{agent}://{rest}?lang=en");
    plex.add_movie(&film("Heat", 1995).guid(&legacy("imdb", "tt0113277")));
    plex.add_movie(&film("Alien", 1979).guid(&legacy("themoviedb", "348")));
    for film in [heat(), alien()] {
        there.add_movie(&film);
    }
    let episode = |number| NewEpisodes { show: "The Wire", ids: ("tvdb", "79126"), number };
    for number in 1..=2 {
        plex.add_episode(&episode(number).bare().guid(&legacy("thetvdb", &format!("79126/1/{number}"))));
        there.add_episode(&episode(number).with_show_ids());
    }
    let anime = |number| NewEpisodes { show: "Cowboy Bebop", ids: ("anidb", "23"), number };
    for number in 1..=2 {
        plex.add_episode(&anime(number).bare().guid(&legacy("hama", &format!("anidb-23/1/{number}"))));
        there.add_episode(&anime(number).with_show_ids());
    }
    watched(&plex, "Heat", "2024-02-01T20:00:00Z");
    watched(&there, "Alien", "2024-02-01T20:00:00Z");
    let of = |world: &World, show: &str, number| world.episode(show, 1, number).unwrap();
    plex.set_state(ANNA, &of(&plex, "The Wire", 1), &played("2024-02-01T20:00:00Z"))?;
    there.set_state(ANNA, &of(&there, "The Wire", 2), &played("2024-02-02T20:00:00Z"))?;
    plex.set_state(ANNA, &of(&plex, "Cowboy Bebop", 2), &played("2024-02-01T20:00:00Z"))?;
    household.sync(&[]).await?;
    for world in [&plex, &there] {
        assert!(has(world, "Heat").played && has(world, "Alien").played, "{world:?}");
        for (show, number, expected) in
            [("The Wire", 1, true), ("The Wire", 2, true), ("Cowboy Bebop", 1, false), ("Cowboy Bebop", 2, true)]
        {
            assert_eq!(world.state(ANNA, &of(world, show, number)).played, expected, "{show} {number} {world:?}");
        }
    }
    stays_so(&household, &[&plex, &there]).await
}

/// An episode of a first season.
struct NewEpisodes {
    show: &'static str,
    ids: (&'static str, &'static str),
    number: u32,
}

impl NewEpisodes {
    fn bare(&self) -> watchstate_tests::world::NewEpisode {
        watchstate_tests::world::NewEpisode::new(self.show, 1, self.number).minutes(45).added_at(at(ADDED))
    }

    fn with_show_ids(&self) -> watchstate_tests::world::NewEpisode {
        self.bare().show_id(self.ids.0, self.ids.1)
    }
}
