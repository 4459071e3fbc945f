//! The demo: three simulated servers with partly contradictory histories, one real worker, and what it makes of them. Then the same servers send
//! webhooks to a real receiver, and a follower carries on what they tell.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::broadcast::Receiver;
use watchstate_tests::household::Household;
use watchstate_tests::http::Group;
use watchstate_tests::library::{Titles, give_past};
use watchstate_tests::process::Process;
use watchstate_tests::webhook::{Sent, Target, Webhooks};
use watchstate_tests::world::{Change, Flavor, Kind, UserState, World, Write};

/// The titles whose story is told.
const TOLD: [&str; 3] = ["Heat", "The Matrix", "Inception"];
/// Films that nobody has begun before the second act.
const FINISHED: &str = "Casablanca";
const PAUSED: &str = "The Third Man";
/// Where the second is paused.
const PAUSE: &str = "0:47:00";
const PAUSE_MS: u64 = 47 * 60_000;
/// A film that no agent knows: it can't be matched, and is listed by `state --unmatched`.
const UNKNOWN: &str = "Summer at the Lake";
/// Long enough for every write that comes at all.
const PATIENCE: Duration = Duration::from_secs(20);

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

    in_real_time(&household, &worlds).await
}

/// The second act: what happens on one server reaches the others at once.
async fn in_real_time(household: &Household, worlds: &[World]) -> Result<()> {
    let [plex, jellyfin, emby] = worlds else { return Ok(()) };
    heading("7. In real time: watchstate-webhook, and watchstate-worker push --follow");
    let circle = Circle::new(household, worlds).await?;
    say("Both run now. Each server gets its own address: watchstate-worker servers token NAME");
    let url = format!("http://{}", circle.receiver.address);
    let token = household.worker(&["servers", "token", "plex", "--url", &url]).await?.expect(0)?;
    print!("{}", indented(&token.stdout));

    heading(&format!("8. Anna watches {FINISHED} to its end on Plex"));
    let mut waiting = Waiting::new(&[jellyfin, emby], FINISHED)?;
    plex.play_to_end("anna", &film(plex, FINISHED)?)?;
    let ended = plex.now();
    let mut acts = circle.tell_sent(plex, 0).await?;
    for (server, after) in waiting.writes(ended).await.with_context(|| circle.logs())? {
        println!("   {server} is told that it was played, {after} ms after the end");
    }

    heading(&format!("9. She pauses {PAUSED} on Jellyfin at {PAUSE}"));
    circle.rest(household).await?;
    let (mut waiting, already) = (Waiting::new(&[plex, emby], PAUSED)?, circle.sent(jellyfin).await?.len());
    let film = film(jellyfin, PAUSED)?;
    jellyfin.start_playback("anna", &film)?;
    jellyfin.pause("anna", &film, PAUSE_MS)?;
    let ended = jellyfin.now();
    acts += circle.tell_sent(jellyfin, already).await?;
    for (server, after) in waiting.writes(ended).await.with_context(|| circle.logs())? {
        println!("   {server} is told the position, {after} ms after the pause");
    }

    heading("10. What became of each event (watchstate-worker inbox list)");
    circle.rest(household).await?;
    print!("{}", indented(&household.worker(&["inbox", "list"]).await?.expect(0)?.stdout));

    heading("11. Did the echoes come to rest?");
    let writes: usize = worlds.iter().map(|world| world.writes().len()).sum();
    let told: usize = circle.hooks.iter().map(|hooks| hooks.sent().len()).sum();
    ensure!(writes == 4, "four writes were to be made, not {writes}: {}", circle.logs());
    say(&format!(
        "{} of the {told} events are servers' words on what we wrote there: they were recognised.",
        told - acts
    ));
    say(&format!("{writes} writes were made: two changes, each told to two servers. None was made for an echo."));
    circle.end().await
}

/// The processes of the second act, and the servers' webhooks.
struct Circle {
    receiver: Process,
    follower: Process,
    hooks: Vec<Webhooks>,
}

impl Circle {
    async fn new(household: &Household, worlds: &[World]) -> Result<Self> {
        let receiver = household.receiver("127.0.0.1:0", &[]).await?;
        let follower = household.follower(&[]).await?;
        let hook = |world: &World, name| {
            anyhow::Ok(Webhooks::start(world, Target::new(&household.webhook(&receiver, name)?))?)
        };
        let names = ["plex", "jellyfin", "emby"];
        let hooks = worlds.iter().zip(names).map(|(world, name)| hook(world, name)).collect::<Result<_>>()?;
        Ok(Self { receiver, follower, hooks })
    }

    /// What a server has sent.
    async fn sent(&self, world: &World) -> Result<Vec<Sent>> {
        let place = usize::from(!world.flavor().is_plex()) + usize::from(world.flavor().is_emby());
        Ok(self.hooks.get(place).context("every server has a webhook")?.settle().await)
    }

    /// Tells what a server has sent, apart from the first events, and what it was answered. How much that is.
    async fn tell_sent(&self, world: &World, already: usize) -> Result<usize> {
        let sent = self.sent(world).await?;
        let answered = |event: &Sent| event.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let new = sent.iter().skip(already).map(|event| format!("{} ({})", event.event, answered(event)));
        println!("   {} sends {}", name(world), new.collect::<Vec<_>>().join(", "));
        Ok(sent.len().saturating_sub(already))
    }

    /// Waits until every event, echoes too, was sent and merged.
    async fn rest(&self, household: &Household) -> Result<()> {
        for _ in 0..2 {
            for hooks in &self.hooks {
                hooks.settle().await;
            }
            while self.waits(household).await? {}
        }
        Ok(())
    }

    async fn waits(&self, household: &Household) -> Result<bool> {
        for verdict in ["waiting", "lookup"] {
            let events =
                household.worker(&["inbox", "list", "--verdict", verdict, "-o", "json"]).await?.expect(0)?.json()?;
            if events.as_array().is_none_or(|events| !events.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the processes logged, for when something goes wrong.
    fn logs(&self) -> String {
        format!("receiver: {:#?}\nfollower: {:#?}", self.receiver.log(), self.follower.log())
    }

    async fn end(self) -> Result<()> {
        drop(self.hooks);
        for (process, what) in [(self.receiver, "receiver"), (self.follower, "follower")] {
            let status = process.stop().await?;
            ensure!(status.success(), "the {what} ended with {status}");
        }
        say("Receiver and follower were sent SIGTERM, finished what they had begun, and have ended.");
        Ok(())
    }
}

/// Waits for the writes of one title at several servers.
struct Waiting(Vec<(String, String, Receiver<Change>)>);

impl Waiting {
    fn new(worlds: &[&World], title: &str) -> Result<Self> {
        let one = |world: &&World| anyhow::Ok((name(world), film(world, title)?, world.changes()));
        Ok(Self(worlds.iter().map(one).collect::<Result<_>>()?))
    }

    /// The servers, each with the milliseconds from `since` to its write.
    async fn writes(&mut self, since: Timestamp) -> Result<Vec<(String, i128)>> {
        let mut all = Vec::new();
        for (server, item, changes) in &mut self.0 {
            let written = async {
                loop {
                    let change = changes.recv().await?;
                    if change.by_api && change.item == *item {
                        return anyhow::Ok(change.at);
                    }
                }
            };
            let late = || format!("{server} was told nothing");
            let at = tokio::time::timeout(PATIENCE, written).await.with_context(late)??;
            all.push((server.clone(), at.duration_since(since).as_millis()));
        }
        Ok(all)
    }
}

fn film(world: &World, title: &str) -> Result<String> {
    world.movie(title).with_context(|| format!("the demo has no {title}"))
}

/// What happened before the household had a Watch State Sync.
fn past(plex: &World, jellyfin: &World, emby: &World) -> Result<()> {
    give_past(plex, "anna", 7, 30)?;
    give_past(jellyfin, "anna", 8, 20)?;
    give_past(emby, "anna", 9, 5)?;
    let now = plex.now();
    let days_ago = |days: i64| now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(now);
    let put = |world: &World, title: &str, state: UserState| -> Result<()> {
        Ok(world.set_state("anna", &film(world, title)?, &state)?)
    };
    let never = UserState::default;
    let watched =
        |days: i64| UserState { played: true, plays: 1, last_played_at: Some(days_ago(days)), ..UserState::default() };
    for world in [plex, jellyfin, emby] {
        put(world, FINISHED, never())?;
        put(world, PAUSED, never())?;
    }
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
        if title == UNKNOWN || titles.iter().any(|(known, _)| known == title) {
            continue;
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
