//! Servers whose clocks are wrong: an hour off changes nobody's order.

use anyhow::Result;
use jiff::SignedDuration;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, UserState, World};

use crate::builders::*;

/// A server whose clock is wrong, beside one whose clock is right.
async fn off_by(flavor: Flavor, hours: i64) -> Result<(Household, World, World)> {
    let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
    here.clock().set_offset(SignedDuration::from_hours(hours));
    household.sync(&[]).await?;
    Ok((household, here, there))
}

on_every_kind! {
    async fn plays_and_un_plays_keep_their_order_whatever_a_clock_says(flavor: Flavor) -> Result<()> {
        for hours in [1, -1] {
            let (household, here, there) = off_by(flavor, hours).await?;
            here.play_to_end(ANNA, &movie(&here, "Heat"))?;
            household.sync(&[]).await?;
            let state = has(&there, "Heat");
            assert!(state.played && about(state.last_played_at, there.now()), "{hours}: {state:?}");
            stays_so(&household, &[&here, &there]).await?;

            there.mark_unplayed(ANNA, &movie(&there, "Heat"))?;
            household.sync(&[]).await?;
            assert!(!has(&here, "Heat").played, "{hours}: the un-play is later");
            stays_so(&household, &[&here, &there]).await?;

            here.clock().time().advance(SignedDuration::from_secs(1));
            here.play_to_end(ANNA, &movie(&here, "Heat"))?;
            household.sync(&[]).await?;
            assert!(has(&there, "Heat").played, "{hours}: the play is later");
            stays_so(&household, &[&here, &there]).await?;

            here.mark_unplayed(ANNA, &movie(&here, "Heat"))?;
            household.sync(&[]).await?;
            assert!(!has(&there, "Heat").played, "{hours}: the un-play is later");
            stays_so(&household, &[&here, &there]).await?;
        }
        Ok(())
    }

    async fn positions_keep_their_order_whatever_a_clock_says(flavor: Flavor) -> Result<()> {
        for hours in [1, -1] {
            let (household, here, there) = off_by(flavor, hours).await?;
            // Minutes apart, each stamped by the server's own clock.
            let rounds = [(&here, &there, 20, 50), (&there, &here, 30, 40), (&here, &there, 40, 30), (&there, &here, 60, 20)];
            for (from, to, minute, minutes_ago) in rounds {
                let at = from.now() - SignedDuration::from_mins(minutes_ago);
                let state = UserState { position_ms: minutes(minute), last_played_at: Some(at), ..has(from, "Heat") };
                put(from, "Heat", state);
                household.sync(&["--full"]).await?;
                assert_eq!(has(to, "Heat").position_ms, minutes(minute), "{hours} {minute}");
                assert_eq!(has(from, "Heat").position_ms, minutes(minute), "{hours} {minute}");
            }
            here.play_to_end(ANNA, &movie(&here, "Heat"))?;
            household.sync(&[]).await?;
            let state = has(&there, "Heat");
            assert!(state.played && state.position_ms == 0, "{hours}: {state:?}");
            stays_so(&household, &[&here, &there]).await?;
        }
        Ok(())
    }

    async fn a_clock_that_is_put_right_changes_nothing(flavor: Flavor) -> Result<()> {
        for hours in [1, -1] {
            let (household, here, there) = off_by(flavor, hours).await?;
            watched(&there, "Heat", "2024-02-01T20:00:00Z");
            here.play_to_end(ANNA, &movie(&here, "Alien"))?;
            here.play_to(ANNA, &movie(&here, "Brazil"), minutes(50))?;
            household.sync(&["--full"]).await?;
            assert!(has(&here, "Heat").played && has(&there, "Alien").played);
            assert_eq!(has(&there, "Brazil").position_ms, minutes(50));
            here.clock().set_offset(SignedDuration::ZERO);
            stays_so(&household, &[&here, &there]).await?;
            let alien = truth(&household, "Alien").await?;
            assert_eq!(alien["plays"], 1, "{alien:#}");
            there.mark_unplayed(ANNA, &movie(&there, "Alien"))?;
            household.sync(&[]).await?;
            assert!(!has(&here, "Alien").played);
            stays_so(&household, &[&here, &there]).await?;
        }
        Ok(())
    }
}
