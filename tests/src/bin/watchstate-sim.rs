//! `watchstate-sim`: simulated media servers and plex.tv on local ports, for demos, for clients in other languages
//! and for looking at what a sync does. Prints one line of JSON with addresses, tokens and users, then serves until
//! it is told to stop. With `--resources` it prints, in place of that line, the resources that describe the servers, for
//! `kubectl apply -f -`. Everything in it is invented, the secrets too.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use serde_json::{Value, json};
use watchstate_tests::library::{Size, Titles, give_past};
use watchstate_tests::plex_tv::PlexTv;
use watchstate_tests::server::SimServer;
use watchstate_tests::webhook::{Target, Webhooks};
use watchstate_tests::world::{Flavor, TimeSource, World};

/// Simulated Plex, Jellyfin and Emby servers.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// A server saved as JSON (see `GET /_sim/world`); may be given several times, in place of new servers.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// Which servers to make: plex, jellyfin-10.10, jellyfin-10.11, jellyfin-12, emby-4.8, emby-4.9; all if none is named.
    #[arg(long = "flavor", value_parser = flavor)]
    flavors: Vec<Flavor>,
    /// Invented films, in place of the small library of known titles.
    #[arg(long)]
    films: Option<usize>,
    /// Invented shows of twenty episodes each, likewise.
    #[arg(long)]
    shows: Option<usize>,
    /// Decides titles and pasts of invented libraries.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much of everything the people have played before, in percent; each server has a past of its own.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100))]
    past: u64,
    /// Where all servers send their webhooks, as the real ones would; a key stands in the address (`?apikey=`). One
    /// server's own is set up by `POST /_sim/webhooks`.
    #[arg(long)]
    webhook: Option<String>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen: String,
    /// The first port; plex.tv takes it and the servers those after it. Free ones if it is 0.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The host name under which others reach it, where that isn't the address to listen on.
    #[arg(long)]
    host: Option<String>,
    /// Print MediaServers with their Secrets, which know the household's persons, in place of the line of JSON.
    #[arg(long)]
    resources: bool,
}

fn flavor(slug: &str) -> Result<Flavor, String> {
    Flavor::from_slug(slug).ok_or_else(|| {
        let known: Vec<&str> = Flavor::ALL.iter().map(|flavor| flavor.slug()).collect();
        format!("there is no {slug:?}; known are {}", known.join(", "))
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let time = TimeSource::real();
    let worlds = if options.config.is_empty() { fresh(&options, &time)? } else { saved(&options, &time)? };

    let mut ports = (0..).map(|place: u16| if options.port == 0 { 0 } else { options.port.saturating_add(place) });
    let mut next_address = || (options.listen.clone(), ports.next().unwrap_or_default());
    let plex_tv = PlexTv::new(time);
    let listening = plex_tv.start(next_address()).await.context("listening as plex.tv failed")?;
    let mut servers = Vec::new();
    for world in worlds {
        let mut server = SimServer::start(world, next_address()).await.context("listening as a media server failed")?;
        if let Some(host) = &options.host {
            server.url = format!("http://{host}:{}", server.addr.port());
        }
        if server.world.flavor().is_plex() {
            plex_tv.add_server(&server.world, &server.url);
        }
        if let Some(url) = &options.webhook {
            let webhooks = Webhooks::start(&server.world, Target::new(url)).context("setting up webhooks failed")?;
            server.world.webhooks().keep(webhooks);
        }
        servers.push(server);
    }

    let described: Vec<Value> = servers.iter().map(describe).collect();
    let text = if options.resources {
        let documents = described.iter().flat_map(resources);
        documents.map(|document| format!("---\n{document:#}\n")).collect::<Vec<_>>().concat()
    } else {
        let plex_tv =
            options.host.map_or_else(|| listening.url(), |host| format!("http://{host}:{}", listening.addr.port()));
        format!("{}\n", json!({"plexTv": plex_tv, "servers": described}))
    };
    write!(std::io::stdout(), "{text}").context("writing to standard output failed")?;
    stopped().await
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).context("waiting for SIGTERM failed")?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done.context("waiting for Ctrl-C failed"),
        _ = terminated.recv() => Ok(()),
    }
}

fn saved(options: &Options, time: &TimeSource) -> anyhow::Result<Vec<World>> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {} failed", path.display()))?;
        World::from_json(&text, time.clone()).with_context(|| format!("reading {} failed", path.display()))
    };
    options.config.iter().map(read).collect()
}

/// New servers with one library and one family: an owner, a member, a child with a PIN, and a friend.
fn fresh(options: &Options, time: &TimeSource) -> anyhow::Result<Vec<World>> {
    let titles = match (options.films, options.shows) {
        (None, None) => Titles::demo(),
        (films, shows) => {
            Titles::synthetic(options.seed, Size::usual(films.unwrap_or_default(), shows.unwrap_or_default()))
        }
    };
    let flavors = if options.flavors.is_empty() { &Flavor::ALL } else { options.flavors.as_slice() };
    let mut worlds = Vec::new();
    for (place, flavor) in (1_u64..).zip(flavors) {
        // 32 hex digits for Jellyfin and Emby, 40 for Plex, as the real ones have.
        let id = if flavor.is_plex() { format!("{place:040x}") } else { format!("{place:032x}") };
        let world = World::at(time.clone(), *flavor, &format!("Simulated {}", flavor.slug()), &id);
        world.add_owner("anna");
        world.add_user("ben");
        world.add_user("kim");
        world.add_user("fred");
        world.edit_user("kim", |user| {
            user.pin = Some("1234".to_owned());
            user.restricted = flavor.is_plex();
        })?;
        world.edit_user("fred", |user| user.home = false)?;
        if !flavor.is_plex() {
            world.add_api_key("watchstate");
        }
        titles.fill(&world);
        for who in ["anna", "ben"] {
            give_past(&world, who, options.seed.wrapping_add(place), options.past)?;
        }
        worlds.push(world);
    }
    Ok(worlds)
}

/// Where a server is and how to get in.
fn describe(server: &SimServer) -> Value {
    server.world.read(|model| {
        let users: Vec<Value> = model
            .users
            .iter()
            .map(|user| {
                json!({
                    "id": user.id, "uuid": user.uuid, "name": user.name, "email": user.email, "admin": user.admin,
                    "password": user.password, "token": user.tokens.last(), "accountToken": user.account_token,
                    "home": user.home, "restricted": user.restricted, "pin": user.pin,
                })
            })
            .collect();
        let owner = model.owner().and_then(|owner| owner.tokens.last());
        json!({
            "slug": model.flavor.slug(), "version": model.flavor.version(), "name": model.name,
            "serverId": model.server_id, "url": server.url,
            // An API key where there are such, else the owner's token.
            "token": model.api_keys.keys().next().or(owner), "users": users,
        })
    })
}

/// A MediaServer and its Secret, named after the kind of server, for the two of the family who watch most.
fn resources(server: &Value) -> [Value; 2] {
    let slug = server["slug"].as_str().unwrap_or_default();
    let kind = slug.split('-').next().unwrap_or_default();
    let name = slug.replace('.', "-");
    let server_type = match kind {
        "plex" => "Plex",
        "jellyfin" => "Jellyfin",
        _ => "Emby",
    };
    let users: Vec<Value> = ["anna", "ben"].map(|who| json!({"person": who, "account": who})).to_vec();
    // At Plex persons are resolved at plex.tv, which knows the owner by the account's token.
    let owner = server["users"].as_array().and_then(|users| users.iter().find(|user| user["admin"] == true));
    let token = match owner {
        Some(owner) if kind == "plex" => &owner["accountToken"],
        _ => &server["token"],
    };
    [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"token": token}}),
        json!({
            "apiVersion": "watchstate.dev/v1alpha1", "kind": "MediaServer", "metadata": {"name": name},
            "spec": {"type": server_type, "url": server["url"], "tokenSecretRef": {"name": name}, "users": users},
        }),
    ]
}
