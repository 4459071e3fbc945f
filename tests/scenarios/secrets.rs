//! Tokens, keys, PINs, passwords and e-mail addresses are shown nowhere: not in what is printed, logged, summed up or stored, whatever goes wrong.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use watchstate_tests::household::{Household, Ran};
use watchstate_tests::http::{Fault, FaultKind, Group};
use watchstate_tests::world::{Flavor, World};

use crate::builders::*;
use crate::ledger::Ledger;

const PIN: &str = "pin-of-ben";

/// A household with every sort of secret.
struct Vault {
    household: Household,
    worlds: Vec<World>,
    secrets: Vec<String>,
}

/// All secrets that a server and its accounts have.
fn secrets_of(world: &World) -> Vec<String> {
    world.read(|model| {
        let users = model.users.iter();
        users
            .flat_map(|user| {
                let tokens = user.tokens.iter().cloned();
                tokens
                    .chain([user.password.clone(), user.account_token.clone(), user.email.clone()])
                    .chain(user.pin.clone())
            })
            .chain(model.api_keys.keys().cloned())
            .filter(|secret| !secret.is_empty())
            .collect()
    })
}

impl Vault {
    async fn new() -> Result<Self> {
        let mut household = Household::new().await?;
        let mut worlds = Vec::new();
        for (name, flavor) in [
            ("plex", Flavor::Plex),
            ("jellyfin", Flavor::Jellyfin1011),
            ("twelve", Flavor::Jellyfin12),
            ("emby", Flavor::Emby49),
        ] {
            let world = server(flavor, name);
            titles(&world);
            for user in ["ben", "carla"] {
                world.add_user(user);
            }
            worlds.push(household.add(name, world, &[("anna", "anna"), ("ben", "ben")]).await?);
        }
        let [plex, jellyfin, _, emby] = &worlds[..] else { panic!("four servers") };
        plex.edit_user("ben", |ben| ben.pin = Some(PIN.to_owned()))?;
        plex.edit_user("carla", |carla| carla.home = false)?;
        watched(plex, "Heat", "2024-02-01T20:00:00Z");
        watched(jellyfin, "Alien", "2024-02-01T20:00:00Z");
        emby.mark_played("ben", &movie(emby, "Brazil"), Some(at("2024-02-01T20:00:00Z")))?;
        let carlas = plex.read(|model| model.user("carla").map(|carla| carla.tokens[0].clone())).context("carla")?;
        for (name, value) in [("bens-pin", ("pin", PIN.to_owned())), ("carlas-token", ("token", carlas))] {
            household.document(&format!(
                "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  {}: {:?}\n",
                value.0, value.1
            ));
        }
        household.document(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  username: anna\n  password: anna-password\n",
        );
        household.set("WATCHSTATE_LOG", "trace");
        household.set("RUST_LOG", "trace");
        let secrets = worlds.iter().flat_map(secrets_of).chain([PIN.to_owned(), "@example.org".to_owned()]).collect();
        Ok(Self { household, worlds, secrets })
    }

    /// The documents, with a PIN, a friend's token and a login in place of a key.
    fn documents(&self) -> String {
        let text = self.household.documents();
        let mut parts: Vec<String> = text.split("---\n").map(str::to_owned).collect();
        for part in &mut parts {
            if part.contains("type: Plex") {
                *part = part.replace(
                    "  - person: ben\n    account: \"ben\"\n",
                    "  - person: ben\n    account: ben\n    pinSecretRef:\n      name: bens-pin\n  - person: carla\n    account: carla\n    \
                     tokenSecretRef:\n      name: carlas-token\n",
                );
            }
            if part.contains("type: Emby") {
                *part = part.replace("  tokenSecretRef:\n    name: emby\n", "  loginSecretRef:\n    name: login\n");
            }
        }
        parts.join("---\n")
    }

    async fn apply(&self, documents: &str) -> Result<Ran> {
        let file = self.household.folder().join("all.yaml");
        std::fs::write(&file, documents)?;
        self.run(&["apply", "--prune", "-f", file.to_str().context("a path")?]).await
    }

    /// Runs the worker as loud as it can be, once in JSON and once in text; nothing of it may show a secret. What both logged is in the answer.
    async fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let mut last = None;
        let mut logged = String::new();
        // Without -v the variables hold, which ask for everything that other crates have to say as well.
        for loud in [&["-vvv", "--log-format", "json"][..], &["--log-format", "text"]] {
            let summary = self.household.folder().join("summary");
            let file = ["--summary-file", summary.to_str().context("a path")?];
            let all: Vec<&str> = loud.iter().chain(&file).chain(arguments).copied().collect();
            let ran = self.household.worker(&all).await?;
            let text = std::fs::read_to_string(&summary).unwrap_or_default();
            self.hides(&format!("{arguments:?} stdout"), &ran.stdout);
            self.hides(&format!("{arguments:?} stderr"), &ran.stderr);
            self.hides(&format!("{arguments:?} summary"), &text);
            logged.push_str(&ran.stderr);
            last = Some(Ran { stderr: logged.clone(), ..ran });
        }
        last.context("it ran")
    }

    fn hides(&self, what: &str, text: &str) {
        for secret in &self.secrets {
            let Some(found) = text.find(secret.as_str()) else { continue };
            let around: String = text[found.saturating_sub(200)..].chars().take(400).collect();
            panic!("{what} shows {secret:?}: …{around}…");
        }
    }

    async fn ledger_hides(&self) -> Result<()> {
        for (table, rows) in Ledger::open(&self.household).await?.everything().await? {
            self.hides(&format!("the table {table}"), &rows.join("\n"));
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_printed_logged_or_stored_holds_a_secret() -> Result<()> {
    let vault = Vault::new().await?;
    vault.apply(&vault.documents()).await?.expect(0)?;
    let ran = vault.run(&["sync"]).await?.expect(0)?;
    assert!(ran.stderr.contains("DEBUG") && ran.stderr.lines().count() > 20, "the log is loud: {}", ran.stderr);
    let logged_in = vault.worlds[3].log().count("POST /Users/AuthenticateByName");
    assert!(logged_in > 0 && vault.household.plex_tv.http().log.total() > 0, "logins and switches took place");
    // What logins made is secret as well.
    let vault = Vault {
        secrets: vault.secrets.iter().cloned().chain(vault.worlds.iter().flat_map(secrets_of)).collect(),
        ..vault
    };
    let backup = vault.household.folder().join("backup");
    std::fs::create_dir_all(&backup)?;
    let to = backup.to_str().context("a path")?.to_owned();
    for arguments in [
        &["sync", "--full"][..],
        &["sync", "--full", "--dry-run"],
        &["servers", "check"],
        &["servers", "list", "-o", "yaml"],
        &["servers", "show", "plex"],
        &["servers", "show", "emby", "-o", "json"],
        &["state"],
        &["why", "Heat"],
        &["runs", "-o", "json"],
        &["outbox", "list"],
        &["held", "list"],
        &["backup", "--to", &to],
    ] {
        vault.run(arguments).await?.expect(0)?;
    }
    for file in std::fs::read_dir(&backup)? {
        vault.hides("the backup", &std::fs::read_to_string(file?.path())?);
    }
    vault.apply(&vault.documents().replace("anna-password", "another-password")).await?;
    vault.ledger_hides().await
}

const KINDS: [FaultKind; 10] = [
    FaultKind::Status { status: 429, retry_after: Some(0) },
    FaultKind::Status { status: 401, retry_after: None },
    FaultKind::Status { status: 403, retry_after: None },
    FaultKind::Status { status: 500, retry_after: None },
    FaultKind::Delay(60_000),
    FaultKind::Reset,
    FaultKind::WriteThenReset,
    FaultKind::CutBody,
    FaultKind::WrongJson,
    FaultKind::Html200,
];

const STEPS: [Group; 7] =
    [Group::Login, Group::Identity, Group::Libraries, Group::ReadPage, Group::Count, Group::ById, Group::Write];

#[tokio::test(flavor = "multi_thread")]
async fn no_failure_shows_a_secret() -> Result<()> {
    try_join_all(KINDS.chunks(4).map(|kinds| async move {
        let mut vault = Vault::new().await?;
        for name in vault.household.names() {
            vault.household.spec(&name, "  limits:\n    timeout: 1s\n")?;
        }
        vault.apply(&vault.documents()).await?.expect(0)?;
        for (number, kind) in kinds.iter().enumerate() {
            for round in 0..2 {
                // Each server fails at another step.
                let title = ["Heat", "Alien", "Brazil"][number % 3];
                for (place, world) in vault.worlds.iter().enumerate() {
                    world.heal();
                    world.inject(Fault::new(*kind).group(STEPS[(place + 4 * round + number) % STEPS.len()]));
                    put(world, title, played(&format!("2024-0{}-01T20:00:00Z", 1 + 2 * number + round)));
                }
                let plex_tv = vault.household.plex_tv.http();
                plex_tv.faults.heal();
                plex_tv.faults.inject(Fault::new(*kind).times(3));
                let options = if round == 0 { ["sync", "-o", "json"] } else { ["sync", "-o", "table"] };
                let ran = vault.household.worker(&[&["-vvv"][..], &options].concat()).await?;
                vault.hides(&format!("{kind:?}: stdout"), &ran.stdout);
                vault.hides(&format!("{kind:?}: stderr"), &ran.stderr);
            }
        }
        vault.ledger_hides().await
    }))
    .await?;
    Ok(())
}

#[tokio::test]
async fn refused_tokens_pins_and_logins_are_not_shown() -> Result<()> {
    let vault = Vault::new().await?;
    let documents = vault.documents();
    vault
        .apply(&documents.replace(PIN, "wrong-pin-0000").replace("anna-password", "wrong-password-0000"))
        .await?
        .expect(0)?;
    let Vault { household, worlds, mut secrets } = vault;
    secrets.extend(["wrong-pin-0000".to_owned(), "wrong-password-0000".to_owned()]);
    let vault = Vault { household, worlds, secrets };
    let ran = vault.run(&["sync", "-o", "json"]).await?.expect(2)?;
    assert!(ran.stdout.contains("loginSecretRef"), "{}", ran.stdout);
    for world in &vault.worlds {
        for secret in secrets_of(world) {
            world.revoke(&secret);
        }
    }
    vault.run(&["sync", "-o", "json"]).await?.expect(2)?;
    vault.run(&["servers", "check"]).await?.expect(2)?;
    vault.ledger_hides().await
}

#[tokio::test]
async fn an_address_with_a_secret_in_it_is_refused_without_showing_it() -> Result<()> {
    let vault = Vault::new().await?;
    let documents = vault.documents();
    let url = documents
        .lines()
        .find(|line| line.contains("url: "))
        .context("an address")?
        .trim()
        .trim_start_matches("url: ")
        .to_owned();
    let host = url.trim_start_matches("http://");
    let vault = Vault { secrets: vec!["hunter2-hunter2".to_owned()], ..vault };
    for bad in [
        format!("http://me:hunter2-hunter2@{host}"),
        format!("http://hunter2-hunter2@{host}/"),
        format!("{url}/?X-Plex-Token=hunter2-hunter2"),
        format!("{url}?api_key=hunter2-hunter2"),
        format!("{url}/#hunter2-hunter2"),
        format!("ftp://me:hunter2-hunter2@{host}"),
    ] {
        let ran =
            vault.apply(&documents.replace(&format!("url: {url}\n"), &format!("url: {bad:?}\n"))).await?.expect(2)?;
        assert!(ran.stderr.contains("url"), "{ran:#?}");
    }
    vault.ledger_hides().await?;
    // One that stands in the registry all the same, from older times or by hand.
    vault.apply(&documents).await?.expect(0)?;
    let ledger = Ledger::open(&vault.household).await?;
    for (bad, code) in [
        (format!("http://me:hunter2-hunter2@{host}/?X-Plex-Token=hunter2-hunter2"), None),
        ("http://me:hunter2-hunter2@127.0.0.1:1/?api_key=hunter2-hunter2".to_owned(), Some(1)),
        ("http://me:hunter2-hunter2@[bad/?api_key=hunter2-hunter2".to_owned(), Some(2)),
        ("gopher://me:hunter2-hunter2@127.0.0.1/".to_owned(), Some(2)),
    ] {
        ledger.change(&format!("update server set url = '{bad}'")).await?;
        for arguments in
            [&["sync"][..], &["servers", "check"], &["servers", "list"], &["servers", "show", "plex", "-o", "json"]]
        {
            let ran = vault.run(arguments).await?;
            if let Some(code) = code.filter(|_| arguments == ["sync"]) {
                assert_eq!(ran.code, code, "{ran:#?}");
            }
        }
        for world in &vault.worlds {
            world.change_identity("another");
        }
    }
    Ok(())
}
