//! A film that was watched is begun again. Jellyfin up to 10.11 and Emby clear Played, move the date and count one more at the very start; nobody
//! has un-watched anything, and nothing is finished before it is finished.

use anyhow::Result;
use jiff::SignedDuration;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;

/// Heat was watched in 2024, and both servers know.
async fn watched_before(flavor: Flavor) -> Result<(Household, World, World)> {
    let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Plex)], titles).await?;
    watched(&here, "Heat", "2024-02-01T20:00:00Z");
    watched(&there, "Heat", "2024-02-01T20:00:10Z");
    household.sync(&[]).await?;
    forget_writes(&[&here, &there]);
    Ok((household, here, there))
}

/// The most plays that may be told of while a re-watch is under way. Jellyfin 12 leaves Played alone at the start, so that a viewing of which no
/// position is kept yet looks there like one that was finished.
const fn so_far(flavor: Flavor) -> u64 {
    if matches!(flavor, Flavor::Jellyfin12) { 2 } else { 1 }
}

/// Syncs, in both ways of reading, while nothing may be written anywhere and Heat is played.
async fn nothing_happens(household: &Household, here: &World, there: &World) -> Result<()> {
    for arguments in [&[][..], &["--full"]] {
        household.sync(arguments).await?;
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]), "{arguments:?}");
        let heat = truth(household, "Heat").await?;
        assert_eq!(heat["played"], true, "{heat:#}");
        assert!(heat["plays"].as_u64().is_some_and(|plays| plays <= so_far(here.flavor())), "{heat:#}");
    }
    Ok(())
}

on_every_kind! {
    async fn a_re_watch_that_has_just_begun_takes_no_mark_away(flavor: Flavor) -> Result<()> {
        let (household, here, there) = watched_before(flavor).await?;
        let heat = movie(&here, "Heat");
        here.start_playback(ANNA, &heat)?;
        nothing_happens(&household, &here, &there).await?;
        for minute in [2, 40, 85] {
            here.progress(ANNA, &heat, minutes(minute))?;
            nothing_happens(&household, &here, &there).await?;
        }
        Ok(())
    }

    async fn a_re_watch_that_is_finished_is_one_more_play_however_often_it_was_looked_at(flavor: Flavor) -> Result<()> {
        let (household, here, there) = watched_before(flavor).await?;
        let heat = movie(&here, "Heat");
        here.start_playback(ANNA, &heat)?;
        nothing_happens(&household, &here, &there).await?;
        here.progress(ANNA, &heat, minutes(60))?;
        nothing_happens(&household, &here, &there).await?;
        here.progress(ANNA, &heat, minutes(99))?;
        here.stop_playback(ANNA, &heat, minutes(100))?;
        household.sync(&[]).await?;
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
        let truth = truth(&household, "Heat").await?;
        assert_eq!((&truth["played"], &truth["plays"]), (&true.into(), &2.into()), "{truth:#}");
        assert!(about(truth["playedAt"].as_str().map(at), here.now()), "{truth:#}");
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_re_watch_between_two_syncs_is_one_more_play(flavor: Flavor) -> Result<()> {
        let (household, here, there) = watched_before(flavor).await?;
        here.play_to_end(ANNA, &movie(&here, "Heat"))?;
        household.sync(&[]).await?;
        let truth = truth(&household, "Heat").await?;
        assert_eq!((&truth["played"], &truth["plays"]), (&true.into(), &2.into()), "{truth:#}");
        assert!(has(&here, "Heat").played && has(&there, "Heat").played);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_re_watch_that_is_paused_half_way_can_be_resumed_where_it_was_paused(flavor: Flavor) -> Result<()> {
        let (household, here, there) = watched_before(flavor).await?;
        let heat = movie(&here, "Heat");
        here.play_to(ANNA, &heat, minutes(40))?;
        nothing_happens(&household, &here, &there).await?;
        assert_eq!(has(&here, "Heat").position_ms, minutes(40), "a mark would have taken the position away");
        assert!(has(&there, "Heat").played);
        // Where the mark survives the start (Jellyfin 12, Plex) the title is still watched for the household, and has no position that counts.
        if flavor.start_clears_played() {
            assert_eq!(truth(&household, "Heat").await?["positionMs"], minutes(40));
        }
        here.play_to_end(ANNA, &heat)?;
        household.sync(&[]).await?;
        let truth = truth(&household, "Heat").await?;
        assert_eq!((&truth["played"], &truth["positionMs"]), (&true.into(), &serde_json::Value::Null), "{truth:#}");
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_re_watch_that_was_given_up_at_once_gets_its_mark_back_and_loses_no_count(flavor: Flavor) -> Result<()> {
        let (household, here, there) = watched_before(flavor).await?;
        let heat = movie(&here, "Heat");
        here.play_to(ANNA, &heat, minutes(2))?;
        nothing_happens(&household, &here, &there).await?;
        // The same, as it stands long after nobody can be watching any more.
        let after = has(&here, "Heat");
        let began = here.now() - SignedDuration::from_hours(4);
        here.set_state(ANNA, &heat, &UserState { last_played_at: Some(began), ..after.clone() })?;
        household.sync(&["--full"]).await?;
        assert_eq!(there.writes(), []);
        let now = has(&here, "Heat");
        assert!(now.played && now.plays >= after.plays, "{after:?} became {now:?}");
        if flavor.start_clears_played() {
            assert_eq!(here.writes().len(), 1, "{:#?}", here.writes());
            assert_eq!(now.last_played_at, Some(at("2024-02-01T20:00:00Z")), "it was last watched to its end then");
        }
        let truth = truth(&household, "Heat").await?;
        assert_eq!((&truth["played"], &truth["plays"]), (&true.into(), &so_far(flavor).into()), "{truth:#}");
        stays_so(&household, &[&here, &there]).await
    }

    async fn what_is_being_played_is_written_to_by_nobody(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        household.sync(&[]).await?;
        let (heat, alien) = (movie(&here, "Heat"), movie(&here, "Alien"));
        here.start_playback(ANNA, &heat)?;
        here.progress(ANNA, &heat, minutes(30))?;
        there.play_to_end(ANNA, &movie(&there, "Heat"))?;
        there.play_to_end(ANNA, &movie(&there, "Alien"))?;
        household.sync(&[]).await?;
        let written: Vec<_> = here.writes().into_iter().map(|write| write.item).collect();
        assert_eq!(written, [alien], "only what isn't being played is written");
        assert_eq!(has(&here, "Heat").position_ms, minutes(30));
        assert_eq!(there.writes(), []);
        here.progress(ANNA, &heat, minutes(99))?;
        here.stop_playback(ANNA, &heat, minutes(100))?;
        household.sync(&[]).await?;
        assert!(has(&here, "Heat").played && has(&there, "Heat").played);
        stays_so(&household, &[&here, &there]).await
    }
}
