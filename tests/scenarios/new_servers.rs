//! Servers that come new, or as good as new: they get the history, and wipe nobody's.

use anyhow::Result;
use serde_json::Value;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, UserState, Write};

use crate::builders::*;

on_every_kind! {
    async fn a_new_empty_server_gets_the_history_and_wipes_nobodys(flavor: Flavor) -> Result<()> {
        let (mut household, [old]) = household([("old", Flavor::Jellyfin12)], titles).await?;
        watched(&old, "Heat", "2024-02-01T20:00:00Z");
        watched(&old, "Alien", "2021-03-01T20:00:00Z");
        put(&old, "Brazil", paused(40, "2024-05-01T20:00:00Z"));
        old.mark_played(ANNA, &episode(&old, 1, 2), Some(at("2022-01-01T20:00:00Z")))?;
        household.sync(&[]).await?;
        let new = server(flavor, "new");
        titles(&new);
        household.add("new", new.clone(), &[]).await?;
        household.apply().await?.expect(0)?;
        household.sync(&[]).await?;

        for (title, when) in [("Heat", "2024-02-01T20:00:00Z"), ("Alien", "2021-03-01T20:00:00Z")] {
            let state = has(&new, title);
            assert!(state.played && state.plays == 1, "{title}: {state:?}");
            assert!(flavor.is_plex() || state.last_played_at == Some(at(when)), "the play keeps its date: {state:?}");
        }
        assert!(new.state(ANNA, &episode(&new, 1, 2)).played);
        assert_eq!(has(&new, "Brazil").position_ms, minutes(40));
        assert!(!has(&new, "Brazil").played);
        assert_eq!(new.states(ANNA).values().filter(|state| state.played).count(), 3);
        assert_eq!(old.writes(), []);
        assert_eq!(new.writes().len(), 4);
        stays_so(&household, &[&old, &new]).await
    }

    async fn a_new_server_with_a_past_of_its_own_adds_it_to_everybodys(flavor: Flavor) -> Result<()> {
        let (mut household, [old]) = household([("old", Flavor::Jellyfin12)], titles).await?;
        watched(&old, "Heat", "2024-02-01T20:00:00Z");
        watched(&old, "Alien", "2024-03-01T20:00:00Z");
        household.sync(&[]).await?;
        let new = server(flavor, "new");
        titles(&new);
        watched(&new, "Alien", "2019-06-01T20:00:00Z");
        watched(&new, "Brazil", "2020-07-01T20:00:00Z");
        household.add("new", new.clone(), &[]).await?;
        household.apply().await?.expect(0)?;
        household.sync(&[]).await?;

        for title in ["Heat", "Alien", "Brazil"] {
            assert!(has(&old, title).played && has(&new, title).played, "{title}");
        }
        assert_eq!(has(&old, "Brazil").last_played_at, Some(at("2020-07-01T20:00:00Z")));
        assert_eq!(has(&old, "Alien"), played("2024-03-01T20:00:00Z"), "an older play elsewhere is no reason to touch it");
        assert_eq!(has(&new, "Alien"), played("2019-06-01T20:00:00Z"));
        let alien = truth(&household, "Alien").await?;
        assert_eq!((&alien["plays"], &alien["playedAt"]), (&2.into(), &"2024-03-01T20:00:00Z".into()), "{alien:#}");
        stays_so(&household, &[&old, &new]).await
    }

    async fn a_rescan_that_changes_all_ids_and_forgets_all_states_takes_no_mark_away(flavor: Flavor) -> Result<()> {
        for keep_added in [true, false] {
            let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Plex)], titles).await?;
            watched(&here, "Heat", "2024-02-01T20:00:00Z");
            watched(&there, "Alien", "2021-03-01T20:00:00Z");
            here.set_state(ANNA, &episode(&here, 1, 1), &played("2020-02-01T20:00:00Z"))?;
            household.sync(&[]).await?;
            forget_writes(&[&here, &there]);
            let renamed = here.rescan(keep_added);
            assert!(renamed.iter().all(|(old, new)| old != new));
            here.edit(|model| model.states.clear());
            let summary = household.sync(&[]).await?;

            assert_eq!(there.writes(), [], "{summary:#}");
            assert_eq!(here.writes().len(), 3, "{:#?}", here.writes());
            assert_eq!(here.states(ANNA).values().filter(|state| state.played).count(), 3);
            assert!(has(&here, "Heat").played && has(&here, "Alien").played);
            assert!(here.state(ANNA, &episode(&here, 1, 1)).played);
            if !flavor.is_plex() {
                assert_eq!(has(&here, "Heat").last_played_at, Some(at("2024-02-01T20:00:00Z")));
            }
            assert_eq!(truth(&household, "Heat").await?["plays"], 1);
            stays_so(&household, &[&here, &there]).await?;
        }
        Ok(())
    }

    async fn a_rescan_that_keeps_the_states_is_no_second_play(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        forget_writes(&[&here, &there]);
        let before = has(&here, "Heat");
        here.rescan(false);
        let heat = movie(&here, "Heat");
        here.set_state(ANNA, &heat, &before)?;
        household.sync(&[]).await?;

        assert_eq!((here.writes(), there.writes()), (vec![], vec![]));
        assert_eq!(truth(&household, "Heat").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_server_that_was_removed_and_comes_back_is_taken_as_a_new_one(flavor: Flavor) -> Result<()> {
        let (kept, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        kept.sync(&[]).await?;
        let file = kept.folder().join("less.yaml");
        let documents = kept.documents();
        let (before, after) = documents.split_once("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: there").unwrap();
        std::fs::write(&file, format!("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: there{after}"))?;
        assert!(before.contains("name: here"));
        kept.worker(&["apply", "--prune", "-f", file.to_str().unwrap()]).await?.expect(0)?;
        // Nobody looks while all is un-played at the server that isn't in the household any more.
        here.edit(|model| model.states.clear());
        watched(&there, "Alien", "2024-06-01T20:00:00Z");
        kept.sync(&[]).await?;
        kept.apply().await?.expect(0)?;
        kept.sync(&[]).await?;

        for title in ["Heat", "Alien"] {
            assert!(has(&here, title).played && has(&there, title).played, "{title}");
        }
        stays_so(&kept, &[&here, &there]).await
    }

    /// Plex dates every mark itself: what we marked there must not pass for watched when it was marked, once its account is seen for the first time again.
    async fn marks_of_ours_tell_no_play_once_their_account_is_registered_anew(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let mut worlds = Vec::new();
        for (name, flavor) in [("here", flavor), ("there", Flavor::Jellyfin12)] {
            let world = server(flavor, name);
            titles(&world);
            worlds.push(household.add(name, world, &[(ANNA, ANNA)]).await?);
        }
        let [here, there] = &worlds[..] else { panic!("two worlds") };
        household.apply().await?.expect(0)?;
        watched(there, "Heat", "2024-02-01T20:00:00Z");
        there.set_state(ANNA, &movie(there, "Alien"), &UserState { played: true, plays: 1, ..UserState::default() })?;
        household.sync(&[]).await?;
        assert!(has(here, "Heat").played && has(here, "Alien").played);

        // The wrong account, and the right one again.
        here.add_user("guest");
        for account in ["guest", ANNA] {
            household.member("here")?.users = vec![(ANNA.to_owned(), account.to_owned())];
            household.apply().await?.expect(0)?;
            household.sync(&[]).await?;
        }
        let heat = truth(&household, "Heat").await?;
        assert_eq!((&heat["plays"], &heat["playedAt"]), (&1.into(), &"2024-02-01T20:00:00Z".into()), "{heat:#}");
        assert_eq!(has(there, "Heat"), played("2024-02-01T20:00:00Z"));
        stays_so(&household, &[here, there]).await?;

        // Another name for her: what she has seen comes along, with its dates.
        for name in ["here", "there"] {
            household.member(name)?.users = vec![("anna-maria".to_owned(), ANNA.to_owned())];
        }
        household.apply().await?.expect(0)?;
        household.sync(&[]).await?;
        for (title, when) in [("Heat", "2024-02-01T20:00:00Z".into()), ("Alien", Value::Null)] {
            let truths = truths(&household, title).await?;
            let hers = truths.iter().find(|truth| truth["person"] == "anna-maria").unwrap();
            assert_eq!((&hers["played"], &hers["playedAt"]), (&true.into(), &when), "{hers:#}");
        }
        stays_so(&household, &[here, there]).await
    }
}

#[tokio::test]
async fn six_servers_of_every_version_with_a_title_each_agree_after_one_sync() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (number, flavor) in Flavor::ALL.into_iter().enumerate() {
        let world = server(flavor, &format!("s{number}"));
        for n in 0..Flavor::ALL.len() {
            world.add_movie(&film(&format!("Film {n}"), 2000).id("imdb", &format!("tt000010{n}")));
        }
        watched(&world, &format!("Film {number}"), &format!("2024-0{}-01T20:00:00Z", number + 1));
        worlds.push(household.add(&format!("s{number}"), world, &[]).await?);
    }
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    for world in &worlds {
        assert!(world.states(ANNA).values().all(|state| state.played && state.plays == 1), "{:#?}", world.states(ANNA));
        assert_eq!(world.writes().len(), 5);
        let unmarked = world.writes().into_iter().filter(|write| write.what == Write::Unplayed).count();
        assert_eq!(unmarked, 0);
    }
    stays_so(&household, &worlds.iter().collect::<Vec<_>>()).await
}

#[tokio::test]
async fn two_jellyfins_with_the_same_files_have_the_same_ids_and_are_kept_apart() -> Result<()> {
    let (household, [one, two]) =
        household([("one", Flavor::Jellyfin1011), ("two", Flavor::Jellyfin1011)], titles).await?;
    assert_eq!(movie(&one, "Heat"), movie(&two, "Heat"), "Jellyfin makes ids of paths");
    watched(&one, "Heat", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    assert_eq!(has(&two, "Heat"), played("2024-02-01T20:00:00Z"));
    two.mark_unplayed(ANNA, &movie(&two, "Heat"))?;
    household.sync(&[]).await?;
    assert_eq!(has(&one, "Heat"), UserState::default());
    stays_so(&household, &[&one, &two]).await
}
