//! Un-plays: a handful travels at once, hundreds wait until a person has decided, and a server whose un-plays aren't followed is marked again.

use anyhow::{Context, Result};
use jiff::SignedDuration;
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::library::{Size, Titles};
use watchstate_tests::world::{Flavor, UserState, World, Write};

use crate::builders::*;
use crate::ledger::Ledger;

/// So many films, all watched on both servers, and agreed.
async fn all_watched(flavor: Flavor, films: usize) -> Result<(Household, World, World)> {
    let films = Titles::synthetic(5, Size::films(films));
    let fill = |world: &World| {
        films.fill(world);
        for item in world.states(ANNA).into_keys() {
            world.set_state(ANNA, &item, &played("2024-02-01T20:00:00Z")).unwrap();
        }
    };
    let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], fill).await?;
    household.sync(&[]).await?;
    assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
    Ok((household, here, there))
}

/// Takes the marks of the first so many films away; their titles.
fn unplay(world: &World, count: usize) -> Result<Vec<String>> {
    let mut titles: Vec<String> = world.read(|model| model.items().map(|media| media.title.clone()).collect());
    titles.sort();
    titles.truncate(count);
    for title in &titles {
        world.mark_unplayed(ANNA, &movie(world, title))?;
    }
    Ok(titles)
}

/// The titles that anna hasn't watched, in order.
fn unplayed(world: &World) -> Vec<String> {
    let mut titles: Vec<String> = world.read(|model| {
        let states = model.states(&model.user(ANNA).unwrap().id);
        states.iter().filter(|(_, state)| !state.played).map(|(item, _)| model.media[item].title.clone()).collect()
    });
    titles.sort();
    titles
}

async fn held(household: &Household) -> Result<Vec<Value>> {
    let plans = household.worker(&["held", "list", "-o", "json"]).await?.expect(0)?.json()?;
    plans.as_array().cloned().context("held list prints a list")
}

async fn decide(household: &Household, verb: &str, plan: &Value) -> Result<()> {
    household.worker(&["held", verb, &plan["id"].to_string()]).await?.expect(0)?;
    assert_eq!(held(household).await?, Vec::<Value>::new(), "it waits no more");
    Ok(())
}

on_every_kind! {
    async fn a_page_that_is_older_than_what_is_known_takes_no_mark_away_though_its_films_are_placed_anew(flavor: Flavor) -> Result<()> {
        let (household, here, there) = all_watched(flavor, 3).await?;
        let ledger = Ledger::open(&household).await?;
        // As if an event, or a write of ours, had told that they are played after the page was asked for.
        ledger.change("update observation set true_at = now() + interval '1 hour'").await?;
        let titles = unplay(&here, 1)?;
        here.edit(|model| model.media.values_mut().for_each(|media| media.year = media.year.map(|year| year + 1)));
        household.worker(&["sync", "--full"]).await?.expect(0)?;
        assert_eq!((unplayed(&there), there.writes()), (vec![], vec![]));

        ledger.change("update observation set true_at = now() - interval '1 hour'").await?;
        household.worker(&["sync", "--full"]).await?.expect(0)?;
        assert_eq!(unplayed(&there), titles, "a page that is newer counts");
        Ok(())
    }

    async fn five_hundred_titles_un_played_at_once_are_held_then_approved_then_applied_exactly(flavor: Flavor) -> Result<()> {
        let (household, here, there) = all_watched(flavor, 600).await?;
        let titles = unplay(&here, 500)?;
        for arguments in [&["sync"][..], &["sync"], &["sync", "--full"], &["import"]] {
            household.worker(arguments).await?.expect(3)?;
            assert_eq!((here.writes(), there.writes()), (vec![], vec![]), "nothing is un-played, nothing marked again");
        }
        let plans = held(&household).await?;
        assert_eq!(plans.len(), 1, "{plans:#?}");
        let plan = &plans[0];
        assert_eq!((&plan["server"], &plan["unplays"], &plan["played"]), (&"here".into(), &500.into(), &600.into()));
        let shown = household.worker(&["held", "show", &plan["id"].to_string(), "-o", "json"]).await?.expect(0)?.json()?;
        let mut named: Vec<&str> = shown["titles"].as_array().into_iter().flatten().filter_map(|one| one["title"].as_str()).collect();
        named.sort_unstable();
        assert_eq!(named.len(), 500);
        assert!(named.iter().zip(&titles).all(|(named, title)| named.starts_with(title.as_str())), "{named:?}");

        decide(&household, "approve", plan).await?;
        assert_eq!(there.writes(), [], "approving alone writes nothing");
        household.worker(&["export"]).await?.expect(0)?;
        assert_eq!(there.writes().len(), 500);
        assert!(there.writes().iter().all(|write| write.what == Write::Unplayed));
        assert_eq!(unplayed(&there), titles, "exactly those");
        assert_eq!(here.writes(), []);
        stays_so(&household, &[&here, &there]).await
    }

    async fn what_is_marked_again_while_its_un_play_is_held_stays_watched(flavor: Flavor) -> Result<()> {
        let (household, here, there) = all_watched(flavor, 60).await?;
        let titles = unplay(&here, 40)?;
        household.worker(&["sync"]).await?.expect(3)?;
        let [again, rest @ ..] = &titles[..] else { unreachable!("40 titles") };
        here.clock().time().advance(SignedDuration::from_mins(1));
        here.mark_played(ANNA, &movie(&here, again), None)?;
        household.worker(&["import"]).await?;
        let plans = held(&household).await?;
        assert_eq!(plans[0]["unplays"], 39, "{plans:#?}");
        decide(&household, "approve", &plans[0]).await?;
        household.worker(&["export"]).await?.expect(0)?;
        assert_eq!(unplayed(&there), rest);
        assert_eq!(unplayed(&here), rest);
        let told = truth(&household, again).await?;
        assert_eq!((&told["played"], &told["plays"]), (&true.into(), &2.into()), "{told:#}");
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_plan_of_which_the_server_has_taken_everything_back_is_no_more(flavor: Flavor) -> Result<()> {
        let (household, here, there) = all_watched(flavor, 60).await?;
        let before = here.read(|model| model.states.clone());
        unplay(&here, 40)?;
        household.worker(&["sync"]).await?.expect(3)?;
        here.edit(|model| model.states = before);
        household.worker(&["sync", "--full"]).await?.expect(0)?;
        assert_eq!(held(&household).await?, Vec::<Value>::new());
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_plan_that_is_discarded_gives_the_marks_back(flavor: Flavor) -> Result<()> {
        let (household, here, there) = all_watched(flavor, 60).await?;
        unplay(&here, 40)?;
        household.worker(&["sync"]).await?.expect(3)?;
        decide(&household, "discard", &held(&household).await?[0]).await?;
        household.worker(&["export"]).await?.expect(0)?;
        assert_eq!(unplayed(&here), Vec::<String>::new());
        assert_eq!(here.writes().len(), 40);
        assert_eq!(there.writes(), []);
        if !flavor.is_plex() {
            let dates: Vec<_> = here.states(ANNA).into_values().map(|state| state.last_played_at).collect();
            assert!(dates.iter().all(|date| *date == Some(at("2024-02-01T20:00:00Z"))), "{dates:?}");
        }
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_handful_of_un_plays_travels_at_once(flavor: Flavor) -> Result<()> {
        let (household, here, there) = all_watched(flavor, 60).await?;
        let titles = unplay(&here, 7)?;
        household.sync(&[]).await?;
        assert_eq!(unplayed(&there), titles);
        assert_eq!(there.writes().len(), 7);
        assert_eq!(here.writes(), []);
        stays_so(&household, &[&here, &there]).await
    }

    async fn many_un_plays_go_through_when_they_are_forced(flavor: Flavor) -> Result<()> {
        let (household, here, there) = all_watched(flavor, 60).await?;
        let titles = unplay(&here, 40)?;
        household.sync(&["--force"]).await?;
        assert_eq!(unplayed(&there), titles);
        assert_eq!(held(&household).await?, Vec::<Value>::new());
        stays_so(&household, &[&here, &there]).await
    }

    async fn un_plays_of_a_server_that_is_not_followed_are_undone(flavor: Flavor) -> Result<()> {
        let (mut household, here, there) = all_watched(flavor, 60).await?;
        household.spec("here", "  unplayed: Ignore\n")?;
        household.apply().await?.expect(0)?;
        unplay(&here, 40)?;
        household.sync(&[]).await?;
        assert_eq!(unplayed(&here), Vec::<String>::new());
        assert_eq!(here.writes().len(), 40);
        assert_eq!(there.writes(), []);
        // What is un-played on the other one is followed, here too.
        let titles = unplay(&there, 3)?;
        household.sync(&[]).await?;
        assert_eq!(unplayed(&here), titles);
        stays_so(&household, &[&here, &there]).await
    }
}

#[tokio::test]
async fn while_a_plan_is_held_everything_else_goes_on() -> Result<()> {
    let (household, here, there) = all_watched(Flavor::Jellyfin1011, 60).await?;
    let titles = unplay(&here, 40)?;
    household.worker(&["sync"]).await?.expect(3)?;
    for world in [&here, &there] {
        world.add_movie(&heat());
        world.add_movie(&alien());
    }
    there.play_to_end(ANNA, &movie(&there, "Heat"))?;
    here.play_to_end(ANNA, &movie(&here, "Alien"))?;
    household.worker(&["sync"]).await?.expect(3)?;
    assert!(has(&here, "Heat").played && has(&there, "Alien").played);
    // One of those that wait is watched once more, there: that is newer than the un-play.
    there.play_to_end(ANNA, &movie(&there, &titles[0]))?;
    household.worker(&["sync"]).await?.expect(3)?;
    // And one of them is marked again where it was un-played.
    here.mark_played(ANNA, &movie(&here, &titles[1]), Some(at("2024-02-01T20:00:00Z")))?;
    household.worker(&["sync"]).await?.expect(3)?;
    decide(&household, "approve", &held(&household).await?[0]).await?;
    household.sync(&[]).await?;
    assert_eq!(unplayed(&there), titles[2..]);
    assert_eq!(unplayed(&here), titles[2..]);
    stays_so(&household, &[&here, &there]).await
}

#[tokio::test]
async fn more_un_plays_after_a_held_plan_are_held_as_well_and_decided_for_themselves() -> Result<()> {
    let (household, here, there) = all_watched(Flavor::Emby49, 90).await?;
    let first = unplay(&here, 30)?;
    household.worker(&["sync"]).await?.expect(3)?;
    let both = unplay(&here, 60)?;
    household.worker(&["sync"]).await?.expect(3)?;
    let plans = held(&household).await?;
    let total: u64 = plans.iter().filter_map(|plan| plan["unplays"].as_u64()).sum();
    assert_eq!(total, 60, "{plans:#?}");
    assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
    household
        .worker(&["held", "approve", &plans.iter().map(|plan| plan["id"].as_i64().unwrap()).min().unwrap().to_string()])
        .await?
        .expect(0)?;
    household.worker(&["export"]).await?.expect(0)?;
    if plans.len() == 1 {
        assert_eq!(unplayed(&there), both);
    } else {
        assert_eq!(unplayed(&there), first);
    }
    Ok(())
}

#[tokio::test]
async fn the_households_own_brake_is_the_one_that_holds() -> Result<()> {
    let (mut household, here, there) = all_watched(Flavor::Jellyfin1010, 60).await?;
    household.schedule("  policy:\n    unplayed:\n      count: 2\n      percent: 0\n");
    household.apply().await?.expect(0)?;
    unplay(&here, 3)?;
    household.worker(&["sync"]).await?.expect(3)?;
    assert_eq!(there.writes(), []);
    household.schedule("  policy:\n    unplayed:\n      count: 50\n      percent: 0\n");
    household.apply().await?.expect(0)?;
    decide(&household, "discard", &held(&household).await?[0]).await?;
    household.sync(&[]).await?;
    let titles = unplay(&here, 40)?;
    household.sync(&[]).await?;
    assert_eq!(unplayed(&there), titles);
    stays_so(&household, &[&here, &there]).await
}

#[tokio::test]
async fn an_un_play_is_followed_by_a_play_and_the_other_way_round() -> Result<()> {
    let (household, [here, there]) = household([("here", Flavor::Plex), ("there", Flavor::Emby48)], titles).await?;
    watched(&here, "Heat", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    for _ in 0..2 {
        there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
        household.sync(&[]).await?;
        assert_eq!(has(&here, "Heat"), UserState::default());
        // Plex stamps in whole seconds: no two plays in one.
        here.clock().time().advance(SignedDuration::from_secs(1));
        here.play_to_end(ANNA, &movie(&here, "Heat"))?;
        household.sync(&[]).await?;
        assert!(has(&there, "Heat").played);
    }
    here.clock().time().advance(SignedDuration::from_secs(1));
    // Un-played on one and watched on the other between two syncs: the play counts.
    there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
    here.play_to_end(ANNA, &movie(&here, "Heat"))?;
    household.sync(&[]).await?;
    assert!(has(&here, "Heat").played && has(&there, "Heat").played);
    stays_so(&household, &[&here, &there]).await
}

#[tokio::test]
async fn an_un_play_after_a_re_watch_elsewhere_is_believed_if_the_server_was_read_in_full_in_between() -> Result<()> {
    for looked in [true, false] {
        let (household, [here, there]) =
            household([("here", Flavor::Emby48), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        watched(&there, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        here.play_to_end(ANNA, &movie(&here, "Heat"))?;
        household.sync(if looked { &["--full"] } else { &[] }).await?;
        there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
        household.sync(&[]).await?;
        // Else nobody knows which was first, and a play is worth more.
        assert_eq!((has(&here, "Heat").played, has(&there, "Heat").played), (!looked, !looked));
        stays_so(&household, &[&here, &there]).await?;
        there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
        household.sync(&[]).await?;
        assert!(!has(&here, "Heat").played && !has(&there, "Heat").played);
    }
    Ok(())
}
