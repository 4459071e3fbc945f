//! Servers that have never met come into agreement, and stay there.

use anyhow::Result;
use jiff::Timestamp;
use watchstate_tests::household::Household;
use watchstate_tests::http::Group;
use watchstate_tests::world::{Content, Flavor, NewMovie, World};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn films(world: &World) {
    let library = world.add_library("Films", Content::Movies);
    for (title, year, imdb, tmdb) in
        [("Heat", 1995, "tt0113277", "949"), ("Alien", 1979, "tt0078748", "348"), ("Brazil", 1985, "tt0088846", "68")]
    {
        world.add_movie(
            &NewMovie::new(title, year)
                .library(&library)
                .id("imdb", imdb)
                .id("tmdb", tmdb)
                .minutes(120)
                .added_at(at("2024-01-01T00:00:00Z")),
        );
    }
}

fn server(flavor: Flavor, name: &str) -> World {
    let world = World::new(flavor, name, &format!("{name}-id"));
    world.add_owner("anna");
    films(&world);
    world
}

#[tokio::test]
async fn three_servers_with_different_histories_agree_after_one_sync_and_the_next_writes_nothing() -> Result<()> {
    let mut household = Household::new().await?;
    let plex = household.add("plex", server(Flavor::Plex, "plex"), &[]).await?;
    let jellyfin = household.add("jellyfin", server(Flavor::Jellyfin1011, "jellyfin"), &[]).await?;
    let emby = household.add("emby", server(Flavor::Emby49, "emby"), &[]).await?;
    let film = |world: &World, title: &str| world.movie(title).unwrap();
    plex.mark_played("anna", &film(&plex, "Heat"), Some(at("2024-02-01T20:00:00Z")))?;
    jellyfin.mark_played("anna", &film(&jellyfin, "Alien"), Some(at("2024-03-01T20:00:00Z")))?;
    emby.mark_played("anna", &film(&emby, "Brazil"), Some(at("2024-04-01T20:00:00Z")))?;
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    for world in [&plex, &jellyfin, &emby] {
        for title in ["Heat", "Alien", "Brazil"] {
            assert!(world.state("anna", &film(world, title)).played, "{title} on {:?}", world.flavor());
        }
        assert_eq!(world.writes().len(), 2, "{:?}", world.writes());
        world.log().clear();
    }
    assert_eq!(jellyfin.state("anna", &film(&jellyfin, "Brazil")).last_played_at, Some(at("2024-04-01T20:00:00Z")));
    household.sync(&[]).await?;
    for world in [&plex, &jellyfin, &emby] {
        assert_eq!(world.log().group(Group::Write), 0, "{:?}", world.log().all());
    }
    household.sync(&["--full"]).await?;
    for world in [&plex, &jellyfin, &emby] {
        assert_eq!(world.log().group(Group::Write), 0, "{:?}", world.log().all());
    }
    Ok(())
}
