//! The demo: three simulated servers with partly contradictory histories, one real worker, and what it makes of them.

use anyhow::{Context, Result};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use watchstate_tests::household::Household;
use watchstate_tests::http::Group;
use watchstate_tests::library::{Titles, give_past};
use watchstate_tests::world::{Flavor, Kind, UserState, World, Write};

/// The titles whose story is told.
const TOLD: [&str; 3] = ["Heat", "The Matrix", "Inception"];

#[tokio::main]
async fn main() -> Result<()> {
    let mut household = Household::new().await?;
    let mut worlds = Vec::new();
    for (flavor, name) in [(Flavor::Plex, "plex"), (Flavor::Jellyfin1011, "jellyfin"), (Flavor::Emby49, "emby")] {
        let world = World::new(flavor, name, &format!("{name}-demo"));
        world.add_owner("anna");
        Titles::demo().fill(&world);
        worlds.push(household.add(name, world, &[]).await?);
    }
    let [plex, jellyfin, emby] = &worlds[..] else { return Ok(()) };
    past(plex, jellyfin, emby)?;

    heading("1. Three servers, one person, three different pasts");
    for world in &worlds {
        println!("   {}", held(world));
    }
    say("Heat: half-watched on Jellyfin weeks ago, then finished on Plex.");
    say("The Matrix: watched on Emby, which knows it by TMDb alone; Jellyfin knows it by IMDb alone; Plex by both.");
    say("Inception: watched on Plex; a re-watch is half-way on Jellyfin, whose 10.11 then calls it unplayed.");

    heading("2. watchstate-worker apply -f servers.yaml && watchstate-worker sync");
    print!("{}", indented(&household.apply().await?.expect(0)?.stdout));
    print!("{}", indented(&household.worker(&["sync"]).await?.expect(0)?.stdout));

    heading("3. What was decided, and why (watchstate-worker why TITLE)");
    for title in TOLD {
        print!("{}", indented(&household.worker(&["why", title]).await?.expect(0)?.stdout));
        println!();
    }

    heading("4. What was written to whom");
    for world in &worlds {
        println!("   {} got {} writes, oldest play first:", name(world), world.writes().len());
        for written in world.writes().iter().take(4) {
            println!("      {}", told(world, &written.item, &written.what));
        }
        if world.writes().len() > 4 {
            println!("      … and {} more", world.writes().len() - 4);
        }
    }

    heading("5. Do they agree now?");
    let titles = agreement(&worlds);
    for (title, played) in titles.iter().filter(|(_, played)| played.iter().any(|one| one != &played[0])) {
        println!("   {title}: {played:?} (where it is false, a later viewing is under way; it is left alone)");
    }
    let agreed = titles.iter().filter(|(_, played)| played.iter().all(|one| one == &played[0])).count();
    println!("   {agreed} of {} titles have the same mark on all three servers.", titles.len());

    heading("6. The next run");
    for world in &worlds {
        world.clear_writes();
        world.log().clear();
    }
    print!("{}", indented(&household.worker(&["sync"]).await?.expect(0)?.stdout));
    let writes: usize = worlds.iter().map(|world| world.log().group(Group::Write)).sum();
    let requests: usize = worlds.iter().map(|world| world.log().total()).sum();
    println!("   {writes} writes, with {requests} requests in all.");
    Ok(())
}

/// What happened before the household had a Watch State Sync.
fn past(plex: &World, jellyfin: &World, emby: &World) -> Result<()> {
    give_past(plex, "anna", 7, 30)?;
    give_past(jellyfin, "anna", 8, 20)?;
    give_past(emby, "anna", 9, 5)?;
    let now = plex.now();
    let days_ago = |days: i64| now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(now);
    let film = |world: &World, title: &str| world.movie(title).with_context(|| format!("the demo has no {title}"));
    let put = |world: &World, title: &str, state: UserState| -> Result<()> {
        Ok(world.set_state("anna", &film(world, title)?, &state)?)
    };
    let never = UserState::default;
    let watched =
        |days: i64| UserState { played: true, plays: 1, last_played_at: Some(days_ago(days)), ..UserState::default() };
    put(plex, "Heat", watched(3))?;
    put(
        jellyfin,
        "Heat",
        UserState { plays: 1, position_ms: 80 * 60_000, last_played_at: Some(days_ago(30)), ..never() },
    )?;
    put(emby, "Heat", never())?;
    put(plex, "The Matrix", never())?;
    put(jellyfin, "The Matrix", never())?;
    put(emby, "The Matrix", watched(10))?;
    jellyfin.rematch(&film(jellyfin, "The Matrix")?, &[("imdb", "tt0133093")])?;
    emby.rematch(&film(emby, "The Matrix")?, &[("tmdb", "603")])?;
    put(plex, "Inception", watched(200))?;
    put(jellyfin, "Inception", watched(200))?;
    put(emby, "Inception", never())?;
    let inception = film(jellyfin, "Inception")?;
    jellyfin.play_to("anna", &inception, 70 * 60_000)?;
    Ok(())
}

fn name(world: &World) -> String {
    let flavor = world.flavor();
    let maker = if flavor.is_plex() {
        "Plex"
    } else if flavor.is_jellyfin() {
        "Jellyfin"
    } else {
        "Emby"
    };
    format!("{maker} {}", flavor.version())
}

fn held(world: &World) -> String {
    let states = world.states("anna");
    let played = states.values().filter(|state| state.played).count();
    let under_way = states.values().filter(|state| state.position_ms > 0).count();
    format!("{}: {} films and episodes, {played} played, {under_way} under way", name(world), playable(world).len())
}

/// Films and episodes, each by what it is called.
fn playable(world: &World) -> Vec<(String, String)> {
    world.read(|model| {
        model
            .items()
            .filter(|media| media.kind.is_playable())
            .map(|media| {
                let show = media.show.as_ref().and_then(|show| model.item(show)).map(|show| show.title.clone());
                let title = match (media.kind, show, media.season, media.episode) {
                    (Kind::Episode, Some(show), Some(season), Some(episode)) => {
                        format!("{show} S{season:02}E{episode:02}")
                    }
                    _ => media.title.clone(),
                };
                (title, media.id.clone())
            })
            .collect()
    })
}

fn told(world: &World, item: &str, what: &Write) -> String {
    let title =
        playable(world).into_iter().find(|(_, id)| id == item).map_or_else(|| item.to_owned(), |(title, _)| title);
    let date =
        |at: &Option<Timestamp>| at.map_or(String::new(), |at| format!(" on {}", at.to_zoned(TimeZone::UTC).date()));
    match what {
        Write::Played { date: at } => format!("{title}: played{}", date(at)),
        Write::Unplayed => format!("{title}: unplayed"),
        Write::Set(patch) if patch.played == Some(true) => format!("{title}: played{}", date(&patch.last_played_at)),
        Write::Set(patch) => format!("{title}: at {} min", patch.position_ms.unwrap_or_default() / 60_000),
        Write::Position { position_ms } => format!("{title}: at {} min", position_ms / 60_000),
        Write::Forget | Write::Favorite(_) => title,
    }
}

/// The mark of each title on each server.
fn agreement(worlds: &[World]) -> Vec<(String, Vec<bool>)> {
    let all: Vec<Vec<(String, String)>> = worlds.iter().map(playable).collect();
    let mut titles: Vec<(String, Vec<bool>)> = Vec::new();
    for (title, _) in &all[0] {
        if title == "Summer at the Lake" || titles.iter().any(|(known, _)| known == title) {
            continue; // A film that no agent knows: it can't be matched, and is listed by `state --unmatched`.
        }
        let marks = worlds
            .iter()
            .zip(&all)
            .filter_map(|(world, items)| {
                items.iter().find(|(other, _)| other == title).map(|(_, id)| world.state("anna", id).played)
            })
            .collect();
        titles.push((title.clone(), marks));
    }
    titles
}

fn heading(text: &str) {
    println!("\n\u{1b}[1m{text}\u{1b}[0m");
}

fn say(text: &str) {
    println!("   - {text}");
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("   {line}\n") }).collect()
}
