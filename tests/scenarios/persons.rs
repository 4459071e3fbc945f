//! Several persons on several servers: everybody gets their own plays everywhere they have an account, and nobody gets another's.

use anyhow::Result;
use watchstate_tests::household::Household;
use watchstate_tests::http::Fault;
use watchstate_tests::world::{Content, Flavor, NewMovie, World};

use crate::builders::*;

const PERSONS: [&str; 4] = ["anna", "ben", "kim", "carl"];

/// A film of their own for everybody, and one that all watch.
fn films() -> Vec<NewMovie> {
    let named = |title: &str, number: usize| film(title, 2000).id("imdb", &format!("tt000040{number}"));
    let mut films: Vec<NewMovie> = PERSONS.iter().enumerate().map(|(number, person)| named(person, number)).collect();
    films.push(named("everybody", 9));
    films
}

/// A server with accounts for those persons; at Plex ben is in anna's home, kim a managed user in it, carl a friend.
fn home(flavor: Flavor, name: &str, persons: &[&str]) -> World {
    let world = World::new(flavor, name, &format!("{name}-id"));
    world.add_library("Films", Content::Movies);
    world.add_owner("anna");
    for person in persons.iter().filter(|person| **person != "anna") {
        world.add_user(person);
    }
    if flavor.is_plex() {
        for person in persons {
            let restricted = *person == "kim";
            let home = *person != "carl";
            world
                .edit_user(person, |user| {
                    user.restricted = restricted;
                    user.home = home;
                })
                .unwrap();
        }
    }
    for film in films() {
        world.add_movie(&film);
    }
    world
}

fn watched_by(world: &World, person: &str, title: &str, when: &str) {
    world.set_state(person, &movie(world, title), &played(when)).unwrap();
}

/// Who has watched what at a server: `ben: ben everybody`.
fn seen(world: &World, persons: &[&str]) -> Vec<String> {
    let titles: Vec<&str> = PERSONS.iter().copied().chain(["everybody"]).collect();
    let line = |person: &&str| {
        let seen = titles.iter().filter(|title| world.state(person, &movie(world, title)).played);
        format!("{person}: {}", seen.copied().collect::<Vec<_>>().join(" "))
    };
    persons.iter().map(line).collect()
}

fn users<'a>(persons: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    persons.iter().map(|person| (*person, *person)).collect()
}

#[tokio::test]
async fn four_persons_on_three_servers_get_their_own_plays_and_nobody_elses() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (name, flavor) in [("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011), ("emby", Flavor::Emby49)] {
        worlds.push(household.add(name, home(flavor, name, &PERSONS), &users(&PERSONS)).await?);
    }
    household.apply().await?.expect(0)?;
    // Everybody watches their own film, on one server each, and all watch one more.
    for (number, person) in PERSONS.iter().enumerate() {
        watched_by(&worlds[number % 3], person, person, "2024-02-01T20:00:00Z");
        watched_by(&worlds[(number + 1) % 3], person, "everybody", &format!("2024-03-0{}T20:00:00Z", number + 1));
    }
    household.sync(&[]).await?;
    for world in &worlds {
        let expected: Vec<String> = PERSONS.iter().map(|person| format!("{person}: {person} everybody")).collect();
        assert_eq!(seen(world, &PERSONS), expected, "{world:?}");
    }
    for (number, person) in PERSONS.iter().enumerate() {
        let state = worlds[1].state(person, &movie(&worlds[1], "everybody"));
        assert_eq!(
            state.last_played_at,
            Some(at(&format!("2024-03-0{}T20:00:00Z", number + 1))),
            "{person}'s own date"
        );
    }
    let all: Vec<&World> = worlds.iter().collect();
    stays_so(&household, &all).await?;

    // What one of them un-plays, or leaves half way, is theirs alone.
    for (number, person) in PERSONS.iter().enumerate() {
        let world = &worlds[(number + 2) % 3];
        world.mark_unplayed(person, &movie(world, "everybody"))?;
        household.sync(&[]).await?;
        let expected = |other: &str, titles: &str| format!("{other}: {other}{titles}");
        for world in &worlds {
            let expected: Vec<String> = PERSONS
                .iter()
                .enumerate()
                .map(|(position, other)| expected(other, if position <= number { "" } else { " everybody" }))
                .collect();
            assert_eq!(seen(world, &PERSONS), expected, "{person} at {world:?}");
        }
    }
    worlds[2].play_to("kim", &movie(&worlds[2], "anna"), minutes(30))?;
    household.sync(&[]).await?;
    for world in &worlds {
        let film = movie(world, "anna");
        assert_eq!(world.state("kim", &film).position_ms, minutes(30), "{world:?}");
        assert_eq!(world.state("carl", &film).position_ms + world.state("ben", &film).position_ms, 0, "{world:?}");
        assert!(world.state("anna", &film).played);
    }
    stays_so(&household, &all).await
}

on_every_kind! {
    async fn who_has_no_account_at_a_server_is_not_missed_there(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let both = ["anna", "ben"];
        let here = household.add("here", home(flavor, "here", &["anna"]), &users(&["anna"])).await?;
        let one = household.add("one", home(Flavor::Jellyfin12, "one", &both), &users(&both)).await?;
        let two = household.add("two", home(Flavor::Plex, "two", &both), &users(&both)).await?;
        household.apply().await?.expect(0)?;
        watched_by(&one, "ben", "ben", "2024-02-01T20:00:00Z");
        watched_by(&here, "anna", "anna", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert_eq!(seen(&here, &["anna"]), ["anna: anna"]);
        for world in [&one, &two] {
            assert_eq!(seen(world, &both), ["anna: anna", "ben: ben"], "{world:?}");
        }
        stays_so(&household, &[&here, &one, &two]).await
    }

    async fn a_person_is_called_otherwise_on_every_server(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let here = home(flavor, "here", &["anna", "ben"]);
        let there = home(Flavor::Jellyfin1010, "there", &["anna", "ben"]);
        here.edit_user("ben", |user| "Benjamin B.".clone_into(&mut user.name))?;
        there.edit_user("ben", |user| "BB".clone_into(&mut user.name))?;
        // By name whatever its case, and by id.
        let id = there.read(|model| model.user("BB").unwrap().id.clone());
        let here = household.add("here", here, &[("anna", "ANNA"), ("ben", "benjamin b.")]).await?;
        let there = household.add("there", there, &[("anna", "anna"), ("ben", id.as_str())]).await?;
        household.apply().await?.expect(0)?;
        watched_by(&here, "Benjamin B.", "ben", "2024-02-01T20:00:00Z");
        watched_by(&there, "anna", "anna", "2024-02-01T20:00:00Z");
        household.sync(&[]).await?;
        assert_eq!(seen(&here, &["anna", "Benjamin B."]), ["anna: anna", "Benjamin B.: ben"]);
        assert_eq!(seen(&there, &["anna", "BB"]), ["anna: anna", "BB: ben"]);
        stays_so(&household, &[&here, &there]).await
    }

    async fn an_account_that_is_not_there_is_said_and_the_others_go_on(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let both = ["anna", "ben"];
        let here = household.add("here", home(flavor, "here", &["anna"]), &users(&both)).await?;
        let there = household.add("there", home(Flavor::Plex, "there", &both), &users(&both)).await?;
        household.apply().await?.expect(0)?;
        watched_by(&there, "anna", "anna", "2024-02-01T20:00:00Z");
        watched_by(&there, "ben", "ben", "2024-02-01T20:00:00Z");
        let ran = household.worker(&["sync", "-o", "json"]).await?.expect(2)?;
        // At Plex he is a member of anna's home, who may not use this server.
        let said = if flavor.is_plex() { "has no access to this server" } else { "there is no account" };
        assert!(ran.stdout.contains(said) && ran.stdout.contains("ben"), "{ran:#?}");
        assert_eq!(seen(&here, &["anna"]), ["anna: anna"], "{ran:#?}");
        // Ben gets his account, and with it his history.
        here.add_user("ben");
        household.sync(&[]).await?;
        assert_eq!(seen(&here, &both), ["anna: anna", "ben: ben"]);
        stays_so(&household, &[&here, &there]).await
    }

    async fn what_a_person_may_not_see_is_not_written_for_them(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let both = ["anna", "ben"];
        let here = home(flavor, "here", &both);
        let adults = here.add_library("Adults", Content::Movies);
        here.add_movie(&heat().library(&adults));
        here.restrict_library(&adults, &["anna"]);
        let there = home(Flavor::Jellyfin12, "there", &both);
        there.add_movie(&heat());
        household.add("here", here.clone(), &users(&both)).await?;
        household.add("there", there.clone(), &users(&both)).await?;
        household.apply().await?.expect(0)?;
        for person in both {
            watched_by(&there, person, "Heat", "2024-02-01T20:00:00Z");
        }
        household.sync(&[]).await?;
        assert!(here.state("anna", &movie(&here, "Heat")).played);
        assert!(!here.state("ben", &movie(&here, "Heat")).played);
        stays_so(&household, &[&here, &there]).await?;
        // Ben grows up, and then loses the library again: nothing of his is lost.
        here.restrict_library(&adults, &both);
        household.sync(&[]).await?;
        assert!(here.state("ben", &movie(&here, "Heat")).played);
        here.restrict_library(&adults, &["anna"]);
        household.sync(&[]).await?;
        assert!(there.state("ben", &movie(&there, "Heat")).played);
        stays_so(&household, &[&here, &there]).await
    }
}

#[tokio::test]
async fn ids_of_an_account_are_no_ids_of_a_person() -> Result<()> {
    // Two households of Plex with one friend: the same account on both servers is one person only where it is said so.
    let mut household = Household::new().await?;
    let one = household
        .add("one", home(Flavor::Plex, "one", &["anna", "carl"]), &[("anna", "anna"), ("carl", "carl")])
        .await?;
    let two = household.add("two", home(Flavor::Plex, "two", &["anna", "carl"]), &[("somebody", "carl")]).await?;
    household.apply().await?.expect(0)?;
    watched_by(&one, "carl", "carl", "2024-02-01T20:00:00Z");
    watched_by(&two, "anna", "anna", "2024-02-01T20:00:00Z");
    household.sync(&[]).await?;
    assert_eq!(seen(&two, &["anna", "carl"]), ["anna: anna", "carl: "]);
    assert_eq!(seen(&one, &["anna", "carl"]), ["anna: ", "carl: carl"]);
    stays_so(&household, &[&one, &two]).await
}

/// The owner needs nobody for their own account; who was found before is tried again, and not taken for somebody who is gone.
#[tokio::test]
async fn while_plex_tv_is_away_the_owner_goes_on_and_the_others_are_waited_for() -> Result<()> {
    let mut household = Household::new().await?;
    let both = ["anna", "ben"];
    let plex = household.add("plex", home(Flavor::Plex, "plex", &both), &users(&both)).await?;
    let other = household.add("other", home(Flavor::Jellyfin12, "other", &both), &users(&both)).await?;
    household.apply().await?.expect(0)?;
    household.sync(&[]).await?;
    watched_by(&other, "anna", "anna", "2024-02-01T20:00:00Z");
    watched_by(&other, "ben", "ben", "2024-02-01T20:00:00Z");
    household.plex_tv.http().faults.inject(Fault::status(503));
    let ran = household.worker(&["sync"]).await?.expect(1)?;
    assert!(ran.stdout.contains("plex.tv"), "it says who is away: {ran:?}");
    assert_eq!(seen(&plex, &both), ["anna: anna", "ben: "]);
    household.plex_tv.http().faults.heal();
    household.sync(&[]).await?;
    assert_eq!(seen(&plex, &both), ["anna: anna", "ben: ben"]);
    stays_so(&household, &[&plex, &other]).await
}
