//! Followers: they share the work, bear dead servers, do what they are told in the registry, and end when told to.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::process::Process;
use watchstate_tests::webhook::{Target, Webhooks};
use watchstate_tests::world::{Flavor, World};

use crate::builders::*;
use crate::circle::*;
use crate::ledger::Ledger;

/// A household of anna and ben.
async fn of_two<const N: usize>(servers: [(&str, Flavor); N]) -> Result<(Household, [World; N])> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in servers {
        let world = server(flavor, name);
        world.add_user("ben");
        titles(&world);
        worlds.push(household.add(name, world, &[("anna", "anna"), ("ben", "ben")]).await?);
    }
    household.apply().await?.expect(0)?;
    let worlds: [World; N] = worlds.try_into().map_err(|_| anyhow::anyhow!("as many worlds as servers"))?;
    Ok((household, worlds))
}

/// A film that is new at the first server was seen by anna and ben there, and nobody has asked that server for it. The receiver that was told.
async fn both_saw_dune(household: &Household, world: &World, name: &str) -> Result<Process> {
    let receiver = household.receiver("127.0.0.1:0", &[]).await?;
    let hooks = Webhooks::start(world, Target::new(&household.webhook(&receiver, name)?))?;
    world.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
    for person in ["anna", "ben"] {
        world.play_to_end(person, &movie(world, "Dune"))?;
    }
    for sent in hooks.settle().await {
        ensure!(sent.status == Some(202), "{sent:#?}");
    }
    Ok(receiver)
}

/// Whose events wait to be looked up, and why.
async fn waiting(household: &Household) -> Result<Vec<(Option<String>, String)>> {
    let events = household.worker(&["inbox", "list", "--verdict", "lookup", "-o", "json"]).await?.expect(0)?.json()?;
    let word = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
    let events = events.as_array().context("a list")?;
    let mut waiting: Vec<_> =
        events.iter().map(|event| (word(event, "person"), word(event, "reason").unwrap_or_default())).collect();
    waiting.dedup();
    Ok(waiting)
}

#[tokio::test]
async fn several_followers_and_receivers_share_the_work_and_do_nothing_twice() -> Result<()> {
    let (household, worlds) =
        household([("jellyfin", Flavor::Jellyfin1011), ("plex", Flavor::Plex), ("emby", Flavor::Emby49)], |world| {
            for number in 0..15 {
                world.add_movie(&film(&format!("Film {number:02}"), 2000).id("imdb", &format!("tt00010{number:02}")));
            }
        })
        .await?;
    let circle = Circle::of(household, worlds, ["jellyfin", "plex", "emby"]).await?;
    let second = circle.household.follower(&[]).await?;
    let third = circle.household.follower(&[]).await?;
    let spool = circle.household.folder().join("other-spool");
    let spool = spool.to_str().context("a path")?;
    let other = circle.household.receiver("127.0.0.1:0", &["--spool", spool]).await?;
    let [jellyfin, plex, emby] = &circle.worlds;
    // The same events through both receivers.
    let twins = Webhooks::start(jellyfin, Target::new(&circle.household.webhook(&other, "jellyfin")?))?;
    for number in 0..15 {
        jellyfin.play_to_end(ANNA, &movie(jellyfin, &format!("Film {number:02}")))?;
    }
    for world in [plex, emby] {
        comes_to(world, "all are played", |world| world.states(ANNA).values().all(|state| state.played)).await?;
    }
    twins.settle().await;
    circle.settle().await?;
    assert_eq!(circle.writes(), [0, 15, 15]);
    for world in [plex, emby] {
        ensure!(world.states(ANNA).values().all(|state| state.plays <= 1), "{world:?}");
    }
    for follower in [second, third] {
        assert!(follower.stop().await?.success());
    }
    assert!(other.stop().await?.success());
    circle.agrees().await
}

#[tokio::test]
async fn a_dead_server_delays_no_other_and_is_told_when_it_is_back() -> Result<()> {
    let mut household = watchstate_tests::household::Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in THREE {
        let world = server(flavor, name);
        titles(&world);
        worlds.push(household.add(name, world, &[]).await?);
    }
    // The others have all the time that they need.
    household.spec("jellyfin", "  limits:\n    timeout: 4s\n")?;
    household.apply().await?.expect(0)?;
    let worlds: [World; 3] = worlds.try_into().map_err(|_| anyhow::anyhow!("three worlds"))?;
    let mut circle = Circle::of(household, worlds, THREE.map(|(name, _)| name)).await?;
    circle.household.down("emby").await?;
    let [plex, jellyfin, emby] = circle.worlds.clone();
    plex.play_to_end(ANNA, &movie(&plex, "Heat"))?;
    is_played(&jellyfin, "Heat").await?;
    jellyfin.inject(Fault::new(FaultKind::Delay(600_000)).group(Group::Write).times(1));
    plex.play_to_end(ANNA, &movie(&plex, "Alien"))?;
    jellyfin.log().wait_until(|log| log.on_hold() > 0).await;
    circle.household.up("emby").await?;
    is_played(&emby, "Heat").await?;
    is_played(&emby, "Alien").await?;
    jellyfin.heal();
    // What failed is tried again in a minute; at once when a person asks for it.
    circle.household.worker(&["push", "--force", "--wait"]).await?.expect(0)?;
    is_played(&jellyfin, "Alien").await?;
    circle.agrees().await
}

#[tokio::test]
async fn a_follower_hears_of_new_servers_and_of_those_that_go() -> Result<()> {
    let mut circle = Circle::new([("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011)]).await?;
    let emby = server(Flavor::Emby49, "emby");
    titles(&emby);
    let emby = circle.household.add("emby", emby, &[]).await?;
    circle.household.apply().await?.expect(0)?;
    circle.household.worker(&["import", "--server", "emby"]).await?.expect(0)?;
    let [plex, jellyfin] = circle.worlds.clone();
    plex.play_to_end(ANNA, &movie(&plex, "Heat"))?;
    is_played(&emby, "Heat").await?;
    is_played(&jellyfin, "Heat").await?;
    circle.household.spec("emby", "  suspend: true\n")?;
    circle.household.apply().await?.expect(0)?;
    plex.play_to_end(ANNA, &movie(&plex, "Alien"))?;
    is_played(&jellyfin, "Alien").await?;
    circle.settle().await?;
    assert!(!has(&emby, "Alien").played, "nothing is done with it");
    Ok(())
}

#[tokio::test]
async fn what_a_killed_follower_left_is_done_by_the_next_one_and_once() -> Result<()> {
    let (household, worlds) = household([("jellyfin", Flavor::Jellyfin1011), ("plex", Flavor::Plex)], titles).await?;
    let circle = Circle::of(household, worlds, ["jellyfin", "plex"]).await?;
    let Circle { household, worlds, hooks, receiver, follower } = circle;
    let [jellyfin, plex] = &worlds;
    plex.inject(Fault::new(FaultKind::LateAnswer(600_000)).group(Group::Write).times(1));
    jellyfin.play_to_end(ANNA, &movie(jellyfin, "Heat"))?;
    plex.log().wait_until(|log| log.on_hold() > 0).await;
    follower.kill().await?;
    plex.heal();
    jellyfin.play_to_end(ANNA, &movie(jellyfin, "Alien"))?;
    let follower = household.follower(&[]).await?;
    is_played(plex, "Alien").await?;
    let circle = Circle { household, worlds, hooks, receiver, follower };
    circle.settle().await?;
    assert_eq!(circle.writes(), [0, 2]);
    assert_eq!(truth(&circle.household, "Heat").await?["plays"], 1);
    circle.agrees().await
}

#[tokio::test]
async fn told_to_end_receiver_and_follower_end_well_and_the_next_ones_go_on() -> Result<()> {
    let circle = Circle::new([("plex", Flavor::Plex), ("emby", Flavor::Emby49)]).await?;
    let Circle { household, worlds, hooks, receiver, follower } = circle;
    let [plex, emby] = &worlds;
    assert!(follower.stop().await?.success());
    plex.play_to_end(ANNA, &movie(plex, "Heat"))?;
    for sent in hooks[0].settle().await {
        assert_eq!(sent.status, Some(202));
    }
    let address = receiver.address.clone();
    assert!(receiver.stop().await?.success());
    assert!(!has(emby, "Heat").played);
    let receiver = household.receiver(&address, &[]).await?;
    let follower = household.follower(&[]).await?;
    is_played(emby, "Heat").await?;
    // What was done is counted a moment later.
    let delivered = "watchstate_delivery_duration_seconds_count{server=\"emby\"}";
    until("the delivery is counted", async || Ok(follower.metric(delivered).await? > 0.5)).await?;
    let delivered = follower.metric(delivered).await?;
    assert!(delivered < 1.5, "{delivered}");
    plex.play_to_end(ANNA, &movie(plex, "Alien"))?;
    is_played(emby, "Alien").await?;
    let received = "watchstate_events_received_total{kind=\"plex\",reason=\"begins\",verdict=\"ignored\"}";
    until("the event is counted", async || Ok(receiver.metric(received).await? >= 1.0)).await?;
    assert_eq!(receiver.ask("/livez").await?, "ok\n");
    Circle { household, worlds, hooks, receiver, follower }.agrees().await
}

#[tokio::test]
async fn without_a_follower_the_next_job_does_it() -> Result<()> {
    for verb in ["push", "export", "sync"] {
        let circle = Circle::new([("plex", Flavor::Plex), ("emby", Flavor::Emby49)]).await?;
        let Circle { household, worlds, hooks, receiver, follower } = circle;
        follower.stop().await?;
        receiver.signal("STOP").await?;
        let [plex, emby] = &worlds;
        plex.play_to_end(ANNA, &movie(plex, "Heat"))?;
        receiver.signal("CONT").await?;
        hooks[0].settle().await;
        // The receiver merges after it has answered.
        Ledger::open(&household).await?.merged().await?;
        household.worker(&[verb]).await?.expect(0)?;
        ensure!(has(emby, "Heat").played, "{verb}");
    }
    Ok(())
}

#[tokio::test]
async fn a_write_for_an_account_that_is_gone_there_waits_without_a_turn_and_delays_no_other() -> Result<()> {
    let (household, worlds) = of_two([("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011)]).await?;
    let circle = Circle::of(household, worlds, ["plex", "jellyfin"]).await?;
    let [plex, jellyfin] = &circle.worlds;
    let ledger = Ledger::open(&circle.household).await?;
    for statement in [
        "create sequence turns",
        "create function count_turn() returns trigger language plpgsql as $$ begin perform nextval('turns'); return new; end $$",
        "create trigger turns after update on run for each row execute function count_turn()",
    ] {
        ledger.change(statement).await?;
    }
    jellyfin.edit(|model| model.users.retain(|user| user.name != "ben"));
    plex.play_to_end("ben", &movie(plex, "Heat"))?;
    circle.follower.logged(MISSING).await?;
    for title in ["Alien", "Brazil"] {
        plex.play_to_end("anna", &movie(plex, title))?;
        is_played(jellyfin, title).await?;
    }
    // While a whole process runs there is time for hundreds of turns, were there nothing to wait for. It gets the lane.
    circle.household.worker(&["push", "--wait"]).await?.expect(2)?;
    let turns = ledger.number("select last_value from turns").await?;
    assert!(turns <= 15, "{turns} turns");
    let open = "select count(*) from outbox o join account a on a.id = o.account_id join server s on s.id = a.server_id
                where s.name = 'jellyfin' and o.state = 'pending'";
    assert_eq!(ledger.number(open).await?, 1, "ben's waits");
    let told = circle.follower.log().iter().filter(|line| line.contains("there is no account")).count();
    assert_eq!(told, 1, "{:#?}", circle.follower.log());
    Ok(())
}

/// What is said of ben where only anna is.
const MISSING: &str = "server jellyfin: there is no account \"ben\" for ben (accounts there: anna)";

#[tokio::test]
async fn an_event_of_an_account_that_is_not_there_for_now_is_looked_up_when_it_is_back() -> Result<()> {
    let (household, [jellyfin, emby]) = of_two([("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)]).await?;
    emby.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
    household.sync(&[]).await?;
    let receiver = both_saw_dune(&household, &jellyfin, "jellyfin").await?;
    assert!(receiver.stop().await?.success());
    let ben = jellyfin.read(|model| model.user("ben").cloned()).context("ben is there")?;
    jellyfin.edit(|model| model.users.retain(|user| user.id != ben.id));
    household.worker(&["push"]).await?.expect(2)?;
    assert_eq!(waiting(&household).await?, [(Some("ben".to_owned()), MISSING.to_owned())], "anna's is looked up");

    jellyfin.edit(|model| model.users.push(ben));
    Ledger::open(&household).await?.change("update inbox set next_try_at = now() where verdict = 'lookup'").await?;
    household.worker(&["push"]).await?.expect(0)?;
    assert_eq!(waiting(&household).await?, []);
    household.worker(&["push"]).await?.expect(0)?;
    ensure!(emby.state("ben", &movie(&emby, "Dune")).played, "ben's as well");
    Ok(())
}

#[tokio::test]
async fn a_person_without_access_keeps_nobody_elses_events_and_writes_waiting() -> Result<()> {
    let (household, [plex, emby]) = of_two([("plex", Flavor::Plex), ("emby", Flavor::Emby49)]).await?;
    emby.add_movie(&film("Dune", 2021).id("imdb", "tt1160419"));
    household.sync(&[]).await?;
    let receiver = both_saw_dune(&household, &plex, "plex").await?;
    plex.edit_user("ben", |ben| ben.pin = Some("1234".to_owned()))?;
    let hooks = Webhooks::start(&emby, Target::new(&household.webhook(&receiver, "emby")?))?;
    emby.play_to_end("anna", &movie(&emby, "Heat"))?;
    hooks.settle().await;
    let follower = household.follower(&[]).await?;
    is_played(&plex, "Heat").await?;
    let waiting = waiting(&household).await?;
    ensure!(waiting.len() == 1 && waiting[0].0.as_deref() == Some("ben"), "{waiting:#?}");
    ensure!(waiting[0].1.contains("protected by a PIN"), "{waiting:#?}");
    is_played(&emby, "Dune").await?;
    follower.logged_with("left alone for a while").await?;
    assert!(follower.stop().await?.success());
    Ok(())
}
