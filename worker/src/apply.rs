//! `apply`: MediaServer, SyncSchedule and Secret documents, as `kubectl apply` takes them, into the registry and the folder of tokens.
//!
//! [`documents`] reads and checks · [`watchstate_projection`] and [`credentials`] turn what resources say into what the registry holds ·
//! [`plan`] decides all at once, or finds all that is wrong · [`diff`] says what changes. Only this file touches files and database.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;
use watchstate_runtime::Exit;
use watchstate_store::registry::{self, WantedServer};
use watchstate_store::{Connection, Transaction};

use crate::app::App;
use crate::args::ApplyArgs;
use crate::{Misconfigured, output, secrets};

pub mod credentials;
pub mod diff;
pub mod documents;
pub mod plan;

use documents::{Documents, Source};
use plan::{Current, Plan};

/// Takes the files into the registry, or only tells what that would change.
///
/// # Errors
/// [`Misconfigured`] with everything that is wrong in the files; nothing is changed then.
pub async fn run(app: &App, args: &ApplyArgs) -> Result<Exit> {
    let sources = load(app, &args.filename).await?;
    let documents = documents::read(&sources).map_err(|problems| refused(&problems))?;
    drop(sources);
    let mut transaction = app.store.begin().await?;
    let current = current(&mut transaction, &app.tokens, &documents).await?;
    let plan = plan::plan(&documents, &current, args.prune).map_err(|problems| refused(&problems))?;
    if !args.dry_run {
        store(app, transaction, &plan).await?;
    }
    let report = diff::Report { dry_run: args.dry_run, changes: plan.changes, remarks: plan.remarks };
    output::print(app.format, &report, |report| vec![report.sheet()])?;
    Ok(Exit::Done)
}

/// Everything that is wrong, one line each.
fn refused(problems: &[String]) -> Misconfigured {
    Misconfigured(format!("nothing was changed:\n  {}", problems.join("\n  ")))
}

async fn load(app: &App, files: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        let piped = file == Path::new("-");
        let name = if piped { "standard input".to_owned() } else { file.display().to_string() };
        if sources.iter().any(|source: &Source| source.name == name) {
            problems.push(format!("{name}: given twice"));
            continue;
        }
        let text = if piped { standard_input(app).await? } else { tokio::fs::read_to_string(file).await };
        match text {
            Ok(text) => sources.push(Source { name, text }),
            Err(error) => problems.push(format!("{name}: can't be read: {error}")),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(refused(&problems).into()) }
}

/// On a thread of its own: neither a person who thinks at the keyboard nor the end of the process is kept waiting by a blocked read.
async fn standard_input(app: &App) -> Result<std::io::Result<String>> {
    let (send, receive) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text).map(|_| text);
        // Nobody waits any more when the process ends.
        send.send(read).ok();
    });
    tokio::select! {
        text = receive => text.context("standard input can't be read"),
        () = app.stop.cancelled() => Err(anyhow!("stopped before standard input ended; nothing was changed")),
    }
}

/// What the registry and the folder of tokens hold now.
async fn current(connection: &mut Connection, tokens: &Path, documents: &Documents) -> Result<Current> {
    let accounts = registry::accounts(connection).await?;
    let mut webhook_tokens = registry::webhook_tokens(connection).await?;
    let servers = registry::servers(connection)
        .await?
        .into_iter()
        .map(|server| WantedServer {
            users: accounts
                .iter()
                .filter(|account| account.server_id == server.id)
                .map(|account| (account.person.clone(), account.configured.clone()))
                .collect(),
            webhook_token_sha256: webhook_tokens.remove(&server.name),
            name: server.name,
            kind: server.kind,
            url: server.url,
            policy: server.policy,
        })
        .collect();
    let schedules = registry::schedules(connection).await?;
    let mut held = BTreeMap::new();
    for server in &documents.servers {
        held.insert(server.name.clone(), secrets::held(tokens, &server.name)?);
    }
    Ok(Current { servers, schedules, secrets: held })
}

/// Secrets are written before the commit and removed after it: at no time does a server stand in the registry without its token. Where it
/// breaks off between, the next apply makes it whole.
async fn store(app: &App, mut transaction: Transaction, plan: &Plan) -> Result<()> {
    let now = app.clock.now();
    for server in &plan.servers {
        registry::put_server(&mut transaction, server, now).await?;
    }
    for (name, policy) in &plan.schedules {
        registry::put_schedule(&mut transaction, name, policy, now).await?;
    }
    for name in &plan.removed_schedules {
        registry::remove_schedule(&mut transaction, name).await?;
    }
    for name in &plan.removed_servers {
        registry::remove_server(&mut transaction, name).await?;
    }
    for (name, wanted) in &plan.secrets {
        secrets::write(&app.tokens, name, wanted)?;
    }
    transaction.commit().await.context("the registry wasn't changed")?;
    for name in &plan.removed_servers {
        secrets::remove(&app.tokens, name).context("the servers were removed, not all of their secrets")?;
    }
    Ok(())
}
