//! Files come and go: a better one takes the place of another, one is removed and comes back. Nobody has un-watched anything.

use anyhow::Result;
use watchstate_tests::world::{Flavor, UserState};

use crate::builders::*;
use crate::circle::*;

on_every_kind! {
    async fn a_better_file_under_another_name_takes_no_mark_away(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        let first = episode(&here, 1, 1);
        here.set_state(ANNA, &first, &played("2022-02-01T20:00:00Z"))?;
        household.sync(&[]).await?;
        forget_writes(&[&here, &there]);
        here.replace_file(&movie(&here, "Heat"), "/media/films/Heat (1995)/Heat.2160p.mkv")?;
        here.replace_file(&first, "/media/shows/The Wire (2002)/Season 01/better.mkv")?;
        let lost = matches!(flavor, Flavor::Jellyfin1011 | Flavor::Jellyfin12);
        assert_eq!(has(&here, "Heat").played, !lost, "Jellyfin loses the states of new items since 10.11");
        household.sync(&[]).await?;

        assert_eq!(there.writes(), [], "nothing happened there");
        assert_eq!(here.writes().len(), if lost { 2 } else { 0 }, "{:#?}", here.writes());
        assert_eq!(has(&here, "Heat"), played("2024-02-01T20:00:00Z"));
        assert_eq!(here.state(ANNA, &episode(&here, 1, 1)), played("2022-02-01T20:00:00Z"));
        assert_eq!(truth(&household, "Heat").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_better_file_of_what_a_webhook_told_of_is_no_second_play(flavor: Flavor) -> Result<()> {
        let circle = Circle::new([("here", flavor), ("there", Flavor::Jellyfin12)]).await?;
        let [here, there] = &circle.worlds;
        watch_for_hours(here, "Heat")?;
        is_played(there, "Heat").await?;
        circle.settle().await?;
        circle.household.sync(&[]).await?;
        here.replace_file(&movie(here, "Heat"), "/media/films/Heat (1995)/Heat.2160p.mkv")?;
        circle.settle().await?;
        circle.household.sync(&["--full"]).await?;
        let told = truth(&circle.household, "Heat").await?;
        assert_eq!(told["plays"], 1, "{told:#}");
        circle.agrees().await
    }

    async fn a_better_file_under_the_same_name_takes_no_mark_away_even_if_the_server_forgets(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Plex)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        forget_writes(&[&here, &there]);
        let heat = movie(&here, "Heat");
        let path = here.read(|model| model.media[&heat].path.clone());
        assert_eq!(here.replace_file(&heat, &path)?, heat, "the id stays, the added date doesn't");
        here.set_state(ANNA, &heat, &UserState::default())?;
        household.sync(&[]).await?;

        assert_eq!(there.writes(), []);
        assert!(has(&here, "Heat").played);
        if !flavor.is_plex() {
            assert_eq!(has(&here, "Heat").last_played_at, Some(at("2024-02-01T20:00:00Z")));
        }
        assert_eq!(truth(&household, "Heat").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_file_that_was_removed_and_comes_back_weeks_later_is_marked_again(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        forget_writes(&[&here, &there]);
        here.remove(&movie(&here, "Heat"));
        household.sync(&[]).await?;
        assert_eq!((there.writes(), here.writes()), (vec![], vec![]));
        here.edit(|model| model.states.clear());
        here.add_movie(&heat().path("/media/films/Heat again.mkv").added_at(here.now()));
        household.sync(&[]).await?;

        assert!(has(&here, "Heat").played);
        if !flavor.is_plex() {
            assert_eq!(has(&here, "Heat").last_played_at, Some(at("2024-02-01T20:00:00Z")));
        }
        assert_eq!(there.writes(), []);
        assert_eq!(truth(&household, "Heat").await?["plays"], 1);
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_better_file_that_is_watched_at_once_is_a_second_play(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], titles).await?;
        watched(&here, "Heat", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        let heat = here.replace_file(&movie(&here, "Heat"), "/media/films/Heat (1995)/Heat.2160p.mkv")?;
        here.play_to_end(ANNA, &heat)?;
        household.sync(&[]).await?;

        assert!(has(&here, "Heat").played && has(&there, "Heat").played);
        assert_eq!(truth(&household, "Heat").await?["plays"], 2);
        stays_so(&household, &[&here, &there]).await
    }
}
