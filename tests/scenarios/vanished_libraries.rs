//! A disk isn't mounted, a library is being built anew: the server shows nothing, or half, and later everything again.

use anyhow::Result;
use watchstate_tests::household::Household;
use watchstate_tests::world::{Flavor, World};

use crate::builders::*;

const FILMS: usize = 40;

fn films(world: &World) {
    for n in 0..FILMS {
        let film = film(&format!("Film {n:02}"), 2000).id("imdb", &format!("tt00002{n:02}"));
        let id = world.add_movie(&film);
        if n % 4 != 3 {
            world.set_state(ANNA, &id, &played("2024-02-01T20:00:00Z")).unwrap();
        }
    }
    for number in 1..=4 {
        let id = world.add_episode(&wire(1, number));
        world.set_state(ANNA, &id, &played("2024-03-01T20:00:00Z")).unwrap();
    }
}

/// All is agreed; then something is missing at a server for three syncs, during which anna watches a film elsewhere; then all is there again.
async fn missing_for_a_while(
    flavor: Flavor,
    vanish: impl Fn(&World),
    come_back: impl Fn(&World),
) -> Result<(Household, World, World)> {
    let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Jellyfin12)], films).await?;
    household.sync(&[]).await?;
    forget_writes(&[&here, &there]);
    let before = (here.read(|model| model.states.clone()), there.states(ANNA));
    vanish(&here);
    for arguments in [&[][..], &[], &["--full"]] {
        household.sync(arguments).await?;
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]), "{arguments:?}");
    }
    come_back(&here);
    for arguments in [&[][..], &["--full"]] {
        household.sync(arguments).await?;
        assert_eq!((here.writes(), there.writes()), (vec![], vec![]), "{arguments:?}");
    }
    assert_eq!((here.read(|model| model.states.clone()), there.states(ANNA)), before);

    vanish(&here);
    household.sync(&[]).await?;
    there.play_to_end(ANNA, &movie(&there, "Film 03"))?;
    household.sync(&[]).await?;
    come_back(&here);
    household.sync(&[]).await?;
    assert!(has(&here, "Film 03").played, "what was watched meanwhile arrives");
    assert_eq!(there.writes(), []);
    Ok((household, here, there))
}

on_every_kind! {
    async fn an_empty_answer_takes_no_mark_away(flavor: Flavor) -> Result<()> {
        let (household, here, there) = missing_for_a_while(flavor, World::hide_all, World::show_all).await?;
        stays_so(&household, &[&here, &there]).await
    }

    async fn half_a_library_takes_no_mark_away(flavor: Flavor) -> Result<()> {
        let (household, here, there) = missing_for_a_while(flavor, World::hide_half, World::show_all).await?;
        stays_so(&household, &[&here, &there]).await
    }

    async fn a_library_that_is_not_listed_for_a_while_takes_no_mark_away(flavor: Flavor) -> Result<()> {
        let libraries = std::sync::Mutex::new(Vec::new());
        let vanish = |world: &World| {
            *libraries.lock().unwrap() = world.edit(|model| {
                let hidden: Vec<_> = model.media.keys().cloned().collect();
                model.hidden.extend(hidden);
                std::mem::take(&mut model.libraries)
            });
        };
        let come_back = |world: &World| {
            world.edit(|model| {
                model.hidden.clear();
                model.libraries.clone_from(&libraries.lock().unwrap());
            });
        };
        let (household, here, there) = missing_for_a_while(flavor, vanish, come_back).await?;
        stays_so(&household, &[&here, &there]).await
    }

    async fn films_that_come_back_without_their_states_are_marked_again(flavor: Flavor) -> Result<()> {
        let (household, [here, there]) = household([("here", flavor), ("there", Flavor::Plex)], films).await?;
        household.sync(&[]).await?;
        forget_writes(&[&here, &there]);
        here.hide_all();
        household.sync(&[]).await?;
        here.show_all();
        here.rescan(false);
        here.edit(|model| model.states.clear());
        household.sync(&[]).await?;
        assert_eq!(there.writes(), []);
        assert_eq!(here.states(ANNA).values().filter(|state| state.played).count(), FILMS / 4 * 3 + 4);
        stays_so(&household, &[&here, &there]).await
    }
}
