//! What happens on one server reaches the others by its webhook: receiver, follower and servers are real processes and connections.

use anyhow::{Result, ensure};
use watchstate_tests::household::Household;
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::webhook::{Target, Webhooks};
use watchstate_tests::world::{Content, Flavor, UserState, World};

use crate::builders::*;
use crate::circle::*;
use crate::ledger::Ledger;

on_every_kind! {
    async fn a_film_played_to_its_end_is_played_on_the_others(flavor: Flavor) -> Result<()> {
        let servers = [("here", flavor), ("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin12), ("emby", Flavor::Emby48)];
        let circle = Circle::new(servers).await?;
        let [here, others @ ..] = &circle.worlds;
        here.play_to_end(ANNA, &movie(here, "Heat"))?;
        for world in others {
            is_played(world, "Heat").await?;
        }
        circle.settle().await?;
        assert_eq!(circle.writes(), [0, 1, 1, 1], "its own server is told nothing, and no echo causes a write");
        for world in &circle.worlds {
            assert!(has(world, "Heat").plays <= 1, "{world:?}: {:?}", has(world, "Heat"));
        }
        let heat = truth(&circle.household, "Heat").await?;
        assert_eq!((&heat["plays"], &heat["played"]), (&1.into(), &true.into()), "{heat:#}");
        circle.agrees().await?;
        let heat = truth(&circle.household, "Heat").await?;
        assert_eq!(heat["plays"], 1, "the import tells the same story: {heat:#}");
        Ok(())
    }

    async fn a_re_watch_that_starts_un_watches_nobody_and_counts_when_it_ends(flavor: Flavor) -> Result<()> {
        let (household, worlds) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&worlds[0], "Heat", "2024-02-01T20:00:00Z");
        let circle = Circle::of(household, worlds, ["here", "there"]).await?;
        let [here, there] = &circle.worlds;
        let heat = movie(here, "Heat");
        here.start_playback(ANNA, &heat)?;
        here.progress(ANNA, &heat, minutes(5))?;
        here.pause(ANNA, &heat, minutes(20))?;
        circle.settle().await?;
        assert!(has(there, "Heat").played, "nobody un-watched it");
        assert_eq!(circle.writes(), [0, 0]);
        let told = truth(&circle.household, "Heat").await?;
        assert_eq!((&told["played"], &told["plays"]), (&true.into(), &1.into()), "{told:#}");

        here.progress(ANNA, &heat, minutes(99))?;
        here.stop_playback(ANNA, &heat, minutes(100))?;
        circle.settle().await?;
        let told = truth(&circle.household, "Heat").await?;
        assert_eq!((&told["played"], &told["plays"]), (&true.into(), &2.into()), "{told:#}");
        circle.agrees().await?;
        let told = truth(&circle.household, "Heat").await?;
        assert_eq!(told["plays"], 2, "{told:#}");
        Ok(())
    }
}

on_every_kind! {
    async fn a_viewing_that_takes_its_time_is_one_play_for_webhook_and_import(flavor: Flavor) -> Result<()> {
        let circle = Circle::new([("here", flavor), ("there", Flavor::Jellyfin12)]).await?;
        let [here, there] = &circle.worlds;
        let clock = here.clock().time();
        let heat = movie(here, "Heat");
        // It began a running time and a pause of half an hour ago.
        clock.advance(jiff::SignedDuration::from_mins(-130));
        here.start_playback(ANNA, &heat)?;
        clock.advance(jiff::SignedDuration::from_mins(50));
        here.pause(ANNA, &heat, minutes(50))?;
        clock.advance(jiff::SignedDuration::from_mins(80));
        here.progress(ANNA, &heat, minutes(95))?;
        here.stop_playback(ANNA, &heat, minutes(100))?;
        is_played(there, "Heat").await?;
        circle.settle().await?;
        let told = truth(&circle.household, "Heat").await?;
        assert_eq!(told["plays"], 1, "{told:#}");
        circle.agrees().await?;
        let told = truth(&circle.household, "Heat").await?;
        assert_eq!(told["plays"], 1, "the import tells the same story: {told:#}");
        Ok(())
    }
}

/// A write that waits is renewed when something newer is told. One that is under way is not: what was told meanwhile must be written after it.
#[tokio::test]
async fn a_play_that_is_told_while_its_position_is_being_written_is_written_as_well() -> Result<()> {
    let circle = Circle::new([("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin12)]).await?;
    let [plex, jellyfin] = &circle.worlds;
    let heat = movie(plex, "Heat");
    jellyfin.inject(Fault::new(FaultKind::LateAnswer(3_000)).group(Group::Write).times(1));
    plex.start_playback(ANNA, &heat)?;
    plex.pause(ANNA, &heat, minutes(50))?;
    jellyfin.log().wait_until(|log| log.on_hold() > 0).await;
    plex.progress(ANNA, &heat, minutes(95))?;
    plex.stop_playback(ANNA, &heat, minutes(100))?;
    is_played(jellyfin, "Heat").await?;
    circle.settle().await?;
    assert_eq!(circle.writes(), [0, 2]);
    circle.agrees().await
}

/// Plex tells of no mark: what it was told by mistake would stay there until the next export.
#[tokio::test]
async fn a_mark_that_comes_back_while_it_is_being_taken_away_comes_back_everywhere() -> Result<()> {
    let (household, worlds) = household([("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin12)], titles).await?;
    watched(&worlds[1], "Heat", "2024-02-01T20:00:00Z");
    let circle = Circle::of(household, worlds, ["plex", "jellyfin"]).await?;
    let [plex, jellyfin] = &circle.worlds;
    let heat = movie(jellyfin, "Heat");
    plex.inject(Fault::new(FaultKind::LateAnswer(3_000)).group(Group::Write).times(1));
    jellyfin.mark_unplayed(ANNA, &heat)?;
    plex.log().wait_until(|log| log.on_hold() > 0).await;
    is_unplayed(plex, "Heat").await?;
    jellyfin.mark_played(ANNA, &heat, None)?;
    is_played(plex, "Heat").await?;
    circle.settle().await?;
    assert_eq!(circle.writes(), [2, 0]);
    circle.agrees().await
}

async fn an_un_mark_on(flavor: Flavor) -> Result<()> {
    let (household, worlds) =
        household([("here", flavor), ("plex", Flavor::Plex), ("emby", Flavor::Emby49)], titles).await?;
    watched(&worlds[0], "Heat", "2024-02-01T20:00:00Z");
    watched(&worlds[1], "Alien", "2024-02-01T20:00:00Z");
    let circle = Circle::of(household, worlds, ["here", "plex", "emby"]).await?;
    let [here, plex, emby] = &circle.worlds;
    here.mark_unplayed(ANNA, &movie(here, "Heat"))?;
    is_unplayed(plex, "Heat").await?;
    is_unplayed(emby, "Heat").await?;
    circle.settle().await?;
    assert_eq!(circle.writes(), [0, 1, 1]);
    assert!(has(here, "Alien").played && has(emby, "Alien").played, "only that one");
    circle.agrees().await
}

#[tokio::test]
async fn an_un_mark_on_jellyfin_10_10_is_followed() -> Result<()> {
    an_un_mark_on(Flavor::Jellyfin1010).await
}

#[tokio::test]
async fn an_un_mark_on_jellyfin_12_is_followed() -> Result<()> {
    an_un_mark_on(Flavor::Jellyfin12).await
}

#[tokio::test]
async fn an_un_mark_on_emby_4_8_is_followed() -> Result<()> {
    an_un_mark_on(Flavor::Emby48).await
}

#[tokio::test]
async fn an_un_mark_on_emby_4_9_is_followed() -> Result<()> {
    an_un_mark_on(Flavor::Emby49).await
}

#[tokio::test]
async fn a_film_that_is_paused_here_goes_on_there_and_is_finished_for_all() -> Result<()> {
    let circle = Circle::new(THREE).await?;
    let [plex, jellyfin, emby] = &circle.worlds;
    let heat = movie(plex, "Heat");
    plex.start_playback(ANNA, &heat)?;
    plex.pause(ANNA, &heat, minutes(40))?;
    plex.stop_playback(ANNA, &heat, minutes(40))?;
    stands_at(jellyfin, "Heat", 40).await?;
    stands_at(emby, "Heat", 40).await?;

    let heat = movie(jellyfin, "Heat");
    jellyfin.start_playback(ANNA, &heat)?;
    jellyfin.pause(ANNA, &heat, minutes(70))?;
    jellyfin.stop_playback(ANNA, &heat, minutes(70))?;
    stands_at(plex, "Heat", 70).await?;
    stands_at(emby, "Heat", 70).await?;

    let heat = movie(emby, "Heat");
    emby.start_playback(ANNA, &heat)?;
    emby.stop_playback(ANNA, &heat, minutes(100))?;
    is_played(plex, "Heat").await?;
    is_played(jellyfin, "Heat").await?;
    circle.settle().await?;
    for world in &circle.worlds {
        assert_eq!(has(world, "Heat").position_ms, 0, "{world:?}");
    }
    let told = truth(&circle.household, "Heat").await?;
    assert_eq!((&told["played"], &told["plays"]), (&true.into(), &1.into()), "{told:#}");
    circle.agrees().await
}

#[tokio::test]
async fn positions_are_told_now_and_then_and_the_last_one_always() -> Result<()> {
    let circle = Circle::new([("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)]).await?;
    let [jellyfin, emby] = &circle.worlds;
    let heat = movie(jellyfin, "Heat");
    jellyfin.start_playback(ANNA, &heat)?;
    for minute in 10..60 {
        jellyfin.progress(ANNA, &heat, minutes(minute))?;
    }
    jellyfin.stop_playback(ANNA, &heat, minutes(60))?;
    stands_at(emby, "Heat", 60).await?;
    now_and_then(emby);
    circle.agrees().await
}

/// However long the events take to arrive, a server isn't told of each.
fn now_and_then(world: &World) {
    let writes = world.writes();
    for pair in writes.windows(2) {
        assert!(pair[1].at.duration_since(pair[0].at).as_millis() >= 3_000, "{writes:#?}");
    }
}

#[tokio::test]
async fn a_position_that_is_told_while_another_is_being_written_waits_its_turn() -> Result<()> {
    let circle = Circle::new([("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)]).await?;
    let [jellyfin, emby] = &circle.worlds;
    let heat = movie(jellyfin, "Heat");
    emby.inject(Fault::new(FaultKind::LateAnswer(2_000)).group(Group::Write).times(3));
    jellyfin.start_playback(ANNA, &heat)?;
    for minute in [20, 30, 40] {
        jellyfin.progress(ANNA, &heat, minutes(minute))?;
        emby.log().wait_until(|log| log.on_hold() > 0).await;
        jellyfin.progress(ANNA, &heat, minutes(minute + 5))?;
        emby.log().wait_until(|log| log.on_hold() == 0).await;
    }
    stands_at(emby, "Heat", 45).await?;
    now_and_then(emby);
    circle.agrees().await
}

#[tokio::test]
async fn what_is_being_played_gets_no_position() -> Result<()> {
    let circle = Circle::new([("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)]).await?;
    let [jellyfin, emby] = &circle.worlds;
    emby.start_playback(ANNA, &movie(emby, "Heat"))?;
    emby.progress(ANNA, &movie(emby, "Heat"), minutes(30))?;
    jellyfin.play_to(ANNA, &movie(jellyfin, "Heat"), minutes(50))?;
    circle.settle().await?;
    assert_eq!(emby.writes().len(), 0, "{:#?}", emby.writes());
    assert_eq!(has(emby, "Heat").position_ms, minutes(30));
    Ok(())
}

#[tokio::test]
async fn two_people_on_one_plex_get_their_own() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in [("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011)] {
        let world = server(flavor, name);
        world.add_user("ben");
        titles(&world);
        worlds.push(household.add(name, world, &[("anna", "anna"), ("ben", "ben")]).await?);
    }
    household.apply().await?.expect(0)?;
    let worlds: [World; 2] = worlds.try_into().map_err(|_| anyhow::anyhow!("two worlds"))?;
    let circle = Circle::of(household, worlds, ["plex", "jellyfin"]).await?;
    let [plex, jellyfin] = &circle.worlds;
    plex.play_to_end("anna", &movie(plex, "Heat"))?;
    plex.play_to_end("ben", &movie(plex, "Alien"))?;
    let of = |person: &'static str, title: &'static str| {
        move |world: &World| world.state(person, &movie(world, title)).played
    };
    comes_to(jellyfin, "anna has seen Heat", of("anna", "Heat")).await?;
    comes_to(jellyfin, "ben has seen Alien", of("ben", "Alien")).await?;
    circle.settle().await?;
    assert!(!of("ben", "Heat")(jellyfin) && !of("anna", "Alien")(jellyfin), "and nobody gets another's");
    assert_eq!(circle.writes(), [0, 2]);
    circle.agrees().await
}

#[tokio::test]
async fn the_owner_of_a_plex_is_known_by_the_id_at_plex_tv_as_well() -> Result<()> {
    let (household, worlds) = household([("plex", Flavor::Plex), ("emby", Flavor::Emby49)], titles).await?;
    let circle =
        Circle::shaped(household, worlds, ["plex", "emby"], |_, target| target.owner_by_account = true).await?;
    let [plex, emby] = &circle.worlds;
    plex.play_to_end(ANNA, &movie(plex, "Heat"))?;
    is_played(emby, "Heat").await?;
    circle.agrees().await
}

#[tokio::test]
async fn two_plex_servers_may_share_a_token() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in [("attic", Flavor::Plex), ("cellar", Flavor::Plex), ("emby", Flavor::Emby49)] {
        let world = server(flavor, name);
        titles(&world);
        worlds.push(household.add(name, world, &[]).await?);
    }
    household.member("cellar")?.webhook_token = household.member("attic")?.webhook_token.clone();
    household.apply().await?.expect(0)?;
    let worlds: [World; 3] = worlds.try_into().map_err(|_| anyhow::anyhow!("three worlds"))?;
    let circle = Circle::of(household, worlds, ["attic", "cellar", "emby"]).await?;
    let [attic, cellar, emby] = &circle.worlds;
    attic.play_to_end(ANNA, &movie(attic, "Heat"))?;
    cellar.play_to_end(ANNA, &movie(cellar, "Alien"))?;
    is_played(cellar, "Heat").await?;
    is_played(attic, "Alien").await?;
    is_played(emby, "Heat").await?;
    is_played(emby, "Alien").await?;
    circle.settle().await?;
    assert_eq!(circle.writes(), [1, 1, 2]);
    let mut servers: Vec<String> = circle
        .inbox(&["--verdict", "accepted"])
        .await?
        .iter()
        .filter(|event| event["event"] == "media.scrobble")
        .map(|event| format!("{} {}", event["server"], event["title"]))
        .collect();
    // Two servers told at the same moment: either may have been first.
    servers.sort();
    assert_eq!(servers, [r#""attic" "Heat""#, r#""cellar" "Alien""#]);
    circle.agrees().await
}

#[tokio::test]
async fn an_account_that_is_nobodys_is_ignored_and_the_reason_says_so() -> Result<()> {
    let (household, worlds) = household([("plex", Flavor::Plex), ("emby", Flavor::Emby49)], |world| {
        world.add_user("guest");
        titles(world);
    })
    .await?;
    let circle = Circle::of(household, worlds, ["plex", "emby"]).await?;
    let [plex, _] = &circle.worlds;
    plex.play_to_end("guest", &movie(plex, "Heat"))?;
    circle.settle().await?;
    assert_eq!(circle.writes(), [0, 0]);
    let ignored = circle.inbox(&["--verdict", "ignored", "--title", "heat"]).await?;
    let scrobble = ignored.iter().find(|event| event["event"] == "media.scrobble").unwrap();
    assert!(scrobble["reason"].as_str().unwrap().contains("no person of this server's users"), "{scrobble:#}");
    let number = scrobble["id"].to_string();
    let shown = circle.household.worker(&["inbox", "show", &number]).await?.expect(0)?;
    assert!(shown.stdout.contains("webhook.matchUser") && shown.stdout.contains("Heat"), "{shown:#?}");
    Ok(())
}

#[tokio::test]
async fn an_event_of_somebody_who_is_mapped_later_can_be_replayed() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in [("plex", Flavor::Plex), ("emby", Flavor::Emby49)] {
        let world = server(flavor, name);
        world.add_user("ben");
        titles(&world);
        worlds.push(household.add(name, world, &[("anna", "anna")]).await?);
    }
    household.apply().await?.expect(0)?;
    let worlds: [World; 2] = worlds.try_into().map_err(|_| anyhow::anyhow!("two worlds"))?;
    let mut circle = Circle::of(household, worlds, ["plex", "emby"]).await?;
    let plex = circle.worlds[0].clone();
    plex.play_to_end("ben", &movie(&plex, "Heat"))?;
    circle.settle().await?;
    let ignored = circle.inbox(&["--verdict", "ignored"]).await?;
    let number = ignored.iter().find(|event| event["event"] == "media.scrobble").unwrap()["id"].to_string();
    for name in ["plex", "emby"] {
        circle.household.member(name)?.users.push(("ben".into(), "ben".into()));
    }
    circle.household.apply().await?.expect(0)?;
    circle.household.sync(&[]).await?;
    let replayed = circle.household.worker(&["inbox", "replay", &number, "-o", "json"]).await?.expect(0)?.json()?;
    assert_eq!(replayed["verdict"], "accepted", "{replayed:#}");
    let seen = circle.worlds[1].state("ben", &movie(&circle.worlds[1], "Heat"));
    assert!(seen.played && seen.plays <= 1, "{seen:?}");
    Ok(())
}

/// Plex' webhooks belong to the account: those of a friend's server come too.
#[tokio::test]
async fn a_replay_does_not_bring_in_what_another_server_told() -> Result<()> {
    let circle = Circle::new([("plex", Flavor::Plex), ("emby", Flavor::Emby49)]).await?;
    let friend = server(Flavor::Plex, "friend");
    titles(&friend);
    let hook = Webhooks::start(&friend, Target::new(&circle.household.webhook(&circle.receiver, "plex")?))?;
    friend.play_to_end(ANNA, &movie(&friend, "Heat"))?;
    hook.settle().await;
    circle.settle().await?;
    let ignored = circle.inbox(&["--verdict", "ignored"]).await?;
    let scrobble = ignored.iter().find(|event| event["event"] == "media.scrobble").unwrap();
    let number = scrobble["id"].to_string();
    let replay = async |circle: &Circle<2>| -> Result<serde_json::Value> {
        circle.household.worker(&["inbox", "replay", &number, "-o", "json"]).await?.expect(0)?.json()
    };
    let replayed = replay(&circle).await?;
    assert_eq!((&replayed["verdict"], &replayed["reason"]), (&"ignored".into(), &scrobble["reason"]), "{replayed:#}");
    assert!(replayed["reason"].as_str().unwrap().contains("webhook.matchServer"), "{replayed:#}");
    circle.settle().await?;
    assert_eq!(circle.writes(), [0, 0]);

    let documents = circle.household.documents().replace("  webhook:\n", "  webhook:\n    matchServer: false\n");
    let file = circle.household.folder().join("any-server.yaml");
    std::fs::write(&file, documents)?;
    circle.household.worker(&["apply", "-f", &file.to_string_lossy()]).await?.expect(0)?;
    let replayed = replay(&circle).await?;
    assert_eq!(replayed["verdict"], "accepted", "{replayed:#}");
    is_played(&circle.worlds[1], "Heat").await
}

on_every_kind! {
    async fn an_item_that_is_not_known_yet_is_looked_up(flavor: Flavor) -> Result<()> {
        let circle = Circle::new([("here", flavor), ("there", Flavor::Jellyfin12)]).await?;
        let [here, there] = &circle.worlds;
        // It came to both after the last reading, and nobody told of it there.
        there.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
        there.add_episode(&wire(2, 1));
        here.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
        here.add_episode(&wire(2, 1));
        here.play_to_end(ANNA, &movie(here, "Dune"))?;
        here.play_to_end(ANNA, &episode(here, 2, 1))?;
        is_played(there, "Dune").await?;
        let wire = |world: &World| world.state(ANNA, &episode(world, 2, 1)).played;
        comes_to(there, "the episode is played", wire).await?;
        circle.settle().await?;
        assert_eq!(circle.writes(), [0, 2]);
        circle.agrees().await
    }

    async fn a_viewing_of_what_is_not_known_yet_is_one_play(flavor: Flavor) -> Result<()> {
        let circle = Circle::new([("here", flavor), ("there", Flavor::Jellyfin12)]).await?;
        let [here, there] = &circle.worlds;
        let clock = here.clock().time();
        // Known by the one, and not yet by the other.
        let dune = || film("Dune", 2021).id("imdb", "tt1160419");
        there.add_movie(&dune());
        circle.household.worker(&["import", "--full", "--server", "there"]).await?.expect(0)?;
        clock.advance(jiff::SignedDuration::from_mins(-130));
        let film = here.add_movie(&dune());
        here.start_playback(ANNA, &film)?;
        clock.advance(jiff::SignedDuration::from_mins(130));
        here.progress(ANNA, &film, minutes(95))?;
        here.stop_playback(ANNA, &film, minutes(100))?;
        is_played(there, "Dune").await?;
        circle.settle().await?;
        let told = truth(&circle.household, "Dune").await?;
        assert_eq!(told["plays"], 1, "{told:#}");
        circle.agrees().await
    }

    async fn a_viewing_of_what_was_not_read_for_the_account_yet_is_one_play(flavor: Flavor) -> Result<()> {
        let (household, worlds) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        let [here, there] = &worlds;
        let receiver = household.receiver("127.0.0.1:0", &[]).await?;
        let hooks = Webhooks::start(here, Target::new(&household.webhook(&receiver, "here")?))?;
        household.sync(&[]).await?;
        // So it stands between the items of a page and what an account holds of them.
        let unread = "delete from observation where account_id in
            (select a.id from account a join server s on s.id = a.server_id where s.name = 'here')";
        Ledger::open(&household).await?.change(unread).await?;
        watch_for_hours(here, "Heat")?;
        answered(&hooks).await?;
        pushed(&household).await?;
        assert!(has(there, "Heat").played);
        let told = truth(&household, "Heat").await?;
        assert_eq!(told["plays"], 1, "{told:#}");
        stays_so(&household, &[here, there]).await?;
        let told = truth(&household, "Heat").await?;
        assert_eq!(told["plays"], 1, "{told:#}");
        Ok(())
    }

    async fn what_is_deleted_once_it_was_watched_was_watched(flavor: Flavor) -> Result<()> {
        let (household, worlds) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        let [here, there] = &worlds;
        let receiver = household.receiver("127.0.0.1:0", &[]).await?;
        let hooks = Webhooks::start(here, Target::new(&household.webhook(&receiver, "here")?))?;
        there.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
        household.sync(&[]).await?;
        let dune = here.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
        here.play_to_end(ANNA, &dune)?;
        answered(&hooks).await?;
        here.remove(&dune);
        pushed(&household).await?;
        assert!(has(there, "Dune").played);
        let told = truth(&household, "Dune").await?;
        assert_eq!(told["plays"], 1, "{told:#}");
        Ok(())
    }

    async fn what_is_added_later_arrives_watched(flavor: Flavor) -> Result<()> {
        let (household, worlds) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        worlds[1].add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
        watched(&worlds[1], "Dune", "2024-02-01T20:00:00Z");
        let circle = Circle::of(household, worlds, ["here", "there"]).await?;
        let [here, _] = &circle.worlds;
        here.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
        is_played(here, "Dune").await?;
        circle.agrees().await
    }
}

#[tokio::test]
async fn what_lies_in_a_library_that_takes_no_part_is_left_alone() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in [("jellyfin", Flavor::Jellyfin1011), ("plex", Flavor::Plex)] {
        let world = server(flavor, name);
        world.add_library("Private", Content::Movies);
        titles(&world);
        worlds.push(household.add(name, world, &[]).await?);
        household.spec(name, "  libraries:\n    exclude: [Private]\n")?;
    }
    household.apply().await?.expect(0)?;
    let worlds: [World; 2] = worlds.try_into().map_err(|_| anyhow::anyhow!("two worlds"))?;
    let circle = Circle::of(household, worlds, ["jellyfin", "plex"]).await?;
    for world in &circle.worlds {
        let private = world.read(|model| {
            model.libraries.iter().find(|library| library.title == "Private").map(|library| library.id.clone())
        });
        world.add_movie(&film("Secret", 2020).id("imdb", "tt9999999").library(&private.unwrap()));
    }
    let [jellyfin, plex] = &circle.worlds;
    // The same lies among the other's films, for all to see.
    plex.add_movie(&film("Glass Onion", 2021).id("imdb", "tt8888888"));
    circle.household.worker(&["import", "--full", "--server", "plex"]).await?.expect(0)?;
    let private = jellyfin.read(|model| {
        model.libraries.iter().find(|library| library.title == "Private").map(|library| library.id.clone())
    });
    jellyfin.add_movie(&film("Glass Onion", 2021).id("imdb", "tt8888888").library(&private.unwrap()));
    jellyfin.play_to_end(ANNA, &movie(jellyfin, "Glass Onion"))?;
    jellyfin.play_to_end(ANNA, &movie(jellyfin, "Secret"))?;
    plex.play_to_end(ANNA, &movie(plex, "Secret"))?;
    circle.settle().await?;
    assert_eq!(circle.writes(), [0, 0]);
    assert_eq!(truths(&circle.household, "Secret").await?.len(), 0);
    let reasons = circle.inbox(&["--title", "secret", "--verdict", "ignored"]).await?;
    let aside = |server: &str| {
        reasons.iter().any(|event| event["server"] == server && event["reason"].to_string().contains("library"))
    };
    assert!(aside("jellyfin") && aside("plex"), "{reasons:#?}");
    Ok(())
}

/// All that a server told is in the inbox.
async fn answered(hooks: &Webhooks) -> Result<()> {
    for sent in hooks.settle().await {
        ensure!(sent.status == Some(202), "{sent:#?}");
    }
    Ok(())
}

/// Without a follower: the first push looks up, and queues what is to be written at others.
async fn pushed(household: &Household) -> Result<()> {
    // The receiver merges after it has answered.
    Ledger::open(household).await?.merged().await?;
    for _ in 0..2 {
        household.worker(&["push"]).await?.expect(0)?;
    }
    Ok(())
}

/// Without a follower. To look something up is not to write.
#[tokio::test]
async fn what_a_server_that_is_not_written_to_tells_is_looked_up_by_the_next_push() -> Result<()> {
    let (mut household, [here, there]) =
        household([("here", Flavor::Jellyfin1011), ("there", Flavor::Plex)], titles).await?;
    household.spec("here", "  export:\n    enabled: false\n")?;
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    let receiver = household.receiver("127.0.0.1:0", &[]).await?;
    let hooks = Webhooks::start(&here, Target::new(&household.webhook(&receiver, "here")?))?;
    for world in [&there, &here] {
        world.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
    }
    household.worker(&["import", "--full", "--server", "there"]).await?.expect(0)?;
    here.play_to_end(ANNA, &movie(&here, "Dune"))?;
    answered(&hooks).await?;
    pushed(&household).await?;
    let events = household.worker(&["inbox", "list", "-o", "json"]).await?.expect(0)?.json()?;
    let open = |event: &serde_json::Value| ["lookup", "waiting"].iter().any(|verdict| event["verdict"] == *verdict);
    assert!(!events.as_array().is_some_and(|events| events.is_empty() || events.iter().any(open)), "{events:#}");
    assert!(has(&there, "Dune").played);
    assert_eq!(here.writes(), []);
    Ok(())
}

async fn out_of_order_on(flavor: Flavor) -> Result<()> {
    let circle = Circle::new([("here", flavor), ("there", Flavor::Plex)]).await?;
    let [here, there] = &circle.worlds;
    let tick = || here.clock().time().advance(jiff::SignedDuration::from_secs(2));
    // Marked and un-marked, told the other way round: in the end it is un-marked.
    circle.hooks[0].hold();
    here.mark_played(ANNA, &movie(here, "Heat"), None)?;
    tick();
    here.mark_unplayed(ANNA, &movie(here, "Heat"))?;
    circle.hooks[0].release_reversed();
    circle.settle().await?;
    assert!(!has(there, "Heat").played && !has(here, "Heat").played, "{:?}", has(there, "Heat"));
    // Un-marked and marked, told the other way round: in the end it is marked.
    here.mark_played(ANNA, &movie(here, "Alien"), None)?;
    is_played(there, "Alien").await?;
    circle.settle().await?;
    circle.hooks[0].hold();
    tick();
    here.mark_unplayed(ANNA, &movie(here, "Alien"))?;
    tick();
    here.mark_played(ANNA, &movie(here, "Alien"), None)?;
    circle.hooks[0].release_reversed();
    circle.settle().await?;
    assert!(has(there, "Alien").played && has(here, "Alien").played);
    circle.agrees().await
}

#[tokio::test]
async fn marks_of_jellyfin_that_arrive_out_of_order_end_as_they_were_made() -> Result<()> {
    out_of_order_on(Flavor::Jellyfin1011).await
}

#[tokio::test]
async fn marks_of_emby_that_arrive_out_of_order_end_as_they_were_made() -> Result<()> {
    out_of_order_on(Flavor::Emby49).await
}

on_every_kind! {
    async fn a_playback_that_is_told_in_any_order_is_one_play(flavor: Flavor) -> Result<()> {
        let circle = Circle::new([("here", flavor), ("there", Flavor::Emby49)]).await?;
        let [here, there] = &circle.worlds;
        circle.hooks[0].hold();
        let heat = movie(here, "Heat");
        here.start_playback(ANNA, &heat)?;
        here.pause(ANNA, &heat, minutes(30))?;
        here.progress(ANNA, &heat, minutes(95))?;
        here.stop_playback(ANNA, &heat, minutes(100))?;
        circle.hooks[0].release_reversed();
        is_played(there, "Heat").await?;
        circle.settle().await?;
        let told = truth(&circle.household, "Heat").await?;
        ensure!(told["played"] == true && told["plays"] == 1, "{told:#}");
        ensure!(has(there, "Heat").played && has(there, "Heat").position_ms == 0);
        circle.agrees().await
    }

    async fn an_event_that_comes_twice_counts_once(flavor: Flavor) -> Result<()> {
        let circle = Circle::new([("here", flavor), ("there", Flavor::Jellyfin12)]).await?;
        let [here, there] = &circle.worlds;
        circle.hooks[0].twice();
        here.play_to_end(ANNA, &movie(here, "Heat"))?;
        is_played(there, "Heat").await?;
        circle.settle().await?;
        let sent = circle.hooks[0].sent().len();
        let kept = circle.inbox(&["--server", "here"]).await?.len();
        assert_eq!(kept * 2, sent, "each is kept once");
        assert_eq!(circle.writes(), [0, 1]);
        circle.agrees().await
    }
}

#[tokio::test]
async fn too_many_un_marks_at_once_are_held_and_exactly_they_are_applied_when_approved() -> Result<()> {
    let (household, worlds) = household([("jellyfin", Flavor::Jellyfin1011), ("plex", Flavor::Plex)], |world| {
        for number in 0..60 {
            let title = format!("Film {number:02}");
            world.add_movie(&film(&title, 2000).id("imdb", &format!("tt00010{number:02}")));
        }
    })
    .await?;
    let films: Vec<String> = (0..60).map(|number| format!("Film {number:02}")).collect();
    for film in &films {
        put(&worlds[0], film, played("2024-02-01T20:00:00Z"));
    }
    let circle = Circle::of(household, worlds, ["jellyfin", "plex"]).await?;
    let [jellyfin, plex] = &circle.worlds;
    for film in &films[..40] {
        jellyfin.mark_unplayed(ANNA, &movie(jellyfin, film))?;
    }
    circle.settle().await?;
    let gone = films.iter().filter(|film| !has(plex, film).played).count();
    assert_eq!(gone, 20, "as many as the brake lets through");
    assert_eq!(circle.inbox(&["--verdict", "held"]).await?.len(), 20);
    let held = circle.household.worker(&["held", "list", "-o", "json"]).await?.expect(0)?.json()?;
    assert_eq!((held.as_array().map(Vec::len), &held[0]["unplays"]), (Some(1), &20.into()), "{held:#}");
    circle.household.worker(&["held", "approve", &held[0]["id"].to_string()]).await?.expect(0)?;
    circle.household.worker(&["export"]).await?.expect(0)?;
    let left: Vec<&String> = films.iter().filter(|film| has(plex, film).played).collect();
    assert_eq!(left, films[40..].iter().collect::<Vec<_>>());
    circle.agrees().await
}

#[tokio::test]
async fn of_a_server_that_is_not_believed_nothing_is_taken() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in [("told", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)] {
        let world = server(flavor, name);
        titles(&world);
        worlds.push(household.add(name, world, &[]).await?);
    }
    household.spec("told", "  import:\n    mode: MetadataOnly\n")?;
    household.apply().await?.expect(0)?;
    let worlds: [World; 2] = worlds.try_into().map_err(|_| anyhow::anyhow!("two worlds"))?;
    let circle = Circle::of(household, worlds, ["told", "emby"]).await?;
    let [told, emby] = &circle.worlds;
    told.play_to_end(ANNA, &movie(told, "Heat"))?;
    circle.settle().await?;
    assert_eq!(has(emby, "Heat"), UserState::default());
    let events = circle.inbox(&["--server", "told", "--verdict", "ignored"]).await?;
    assert!(events.iter().any(|event| event["reason"].to_string().contains("not believed")), "{events:#?}");
    Ok(())
}
