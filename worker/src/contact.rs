//! From the registry to servers that answered: secrets, connection, identity, accounts.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryFutureExt;
use serde::Serialize;
use tokio::sync::Mutex;
use url::Url;
use watchstate_domain::item::ServerKind;
use watchstate_projection::accounts::{find, is_meant};
use watchstate_projection::connection::Wanted;
use watchstate_runtime::Exit;
use watchstate_runtime::metrics::{self, ServerName};
use watchstate_runtime::redact;
use watchstate_servers::{AccountView, Accounts, Identity, MediaServer, ServerError};
use watchstate_store as store;
use watchstate_store::registry::{self, Account, Server};

use crate::app::App;
use crate::args::Selection;
use crate::{Misconfigured, output, secrets};

/// A server that answered, and is the one it was before.
pub struct Contact {
    /// As the registry has it, with the clock offset as it is now.
    pub server: Server,
    /// Its client.
    pub media: Box<dyn MediaServer>,
    /// Who it says it is.
    pub identity: Identity,
    /// The accounts of persons that were found there.
    pub accounts: Vec<(Account, watchstate_servers::Account)>,
    /// Accounts that were not found, and why.
    pub missing: Vec<Trouble>,
    views: Mutex<HashMap<i64, Arc<dyn AccountView>>>,
}

impl Contact {
    /// The server as an account sees it. Access is asked for once a contact: for Plex that may mean plex.tv.
    pub async fn view(
        &self,
        app: &App,
        account: &Account,
        remote: &watchstate_servers::Account,
    ) -> Result<Arc<dyn AccountView>, Trouble> {
        let mut views = self.views.lock().await;
        if let Some(view) = views.get(&account.id) {
            return Ok(Arc::clone(view));
        }
        let view = unless_stopped(app, self.media.open(remote, &self.identity.server_id)).await?;
        let view: Arc<dyn AccountView> = Arc::from(view);
        views.insert(account.id, Arc::clone(&view));
        Ok(view)
    }
}

/// Why a server can't be worked on.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What happened and what to do. Holds no secret.
    pub message: String,
    /// Whether trying again may help.
    pub exit: Exit,
}

impl Trouble {
    /// The process shall end.
    fn stopped() -> Self {
        Self { message: "told to end before the server had answered".to_owned(), exit: Exit::TryAgain }
    }

    /// Only a person can help.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Configuration }
    }
}

impl From<&ServerError> for Trouble {
    fn from(error: &ServerError) -> Self {
        let exit = if error.is_configuration() { Exit::Configuration } else { Exit::TryAgain };
        Self { message: redact::chain(error), exit }
    }
}

impl From<ServerError> for Trouble {
    fn from(error: ServerError) -> Self {
        Self::from(&error)
    }
}

impl From<watchstate_store::StoreError> for Trouble {
    fn from(error: watchstate_store::StoreError) -> Self {
        Self { message: redact::chain(&error), exit: Exit::TryAgain }
    }
}

/// Waits for a server's answer, unless the process shall end: nobody waits a minute for a pod to go. For reads alone, which can be left at any time.
pub async fn unless_stopped<T, E: Into<Trouble>>(
    app: &App,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    tokio::select! {
        biased;
        answer = answer => answer.map_err(Into::into),
        () = app.stop.cancelled() => Err(Trouble::stopped()),
    }
}

/// The servers that a verb works on: those named, else those of the schedule, else all; without the suspended ones, unless they were named.
pub async fn select(app: &App, selection: &Selection) -> anyhow::Result<Vec<(Server, Vec<Account>)>> {
    let mut connection = app.store.acquire().await?;
    let servers = registry::servers(&mut connection).await?;
    let accounts = registry::accounts(&mut connection).await?;
    if servers.is_empty() {
        return Err(
            Misconfigured("no media server is known yet: watchstate-worker apply -f servers.yaml".into()).into()
        );
    }
    let names: Vec<String> = servers.iter().map(|server| server.name.clone()).collect();
    if let Some(unknown) = selection.server.iter().find(|name| !names.contains(name)) {
        return Err(Misconfigured(format!("there is no server {unknown:?}; known: {}", names.join(", "))).into());
    }
    let chosen = |server: &Server| {
        if selection.server.is_empty() {
            !server.policy.suspend && (app.policy.servers.is_empty() || app.policy.servers.contains(&server.name))
        } else {
            selection.server.contains(&server.name)
        }
    };
    Ok(servers
        .into_iter()
        .filter(chosen)
        .map(|server| {
            let mine = accounts.iter().filter(|account| account.server_id == server.id).cloned().collect();
            (server, mine)
        })
        .collect())
}

/// Reaches a server: asks who it is, refuses it when it is another one than before, measures its clock and finds the accounts.
/// What is learned is noted through `connection`, so that a dry run can take it back.
pub async fn reach(
    app: &App,
    server: &Server,
    accounts: &[Account],
    connection: &mut store::Connection,
) -> Result<Contact, Trouble> {
    reach_by_steps(app, server, accounts, connection, &mut Steps::default()).await
}

/// How far one came with a server; None: it wasn't tried.
#[derive(Debug, Clone, Copy, Default)]
struct Steps {
    answered: Option<bool>,
    token_taken: Option<bool>,
}

async fn reach_by_steps(
    app: &App,
    server: &Server,
    accounts: &[Account],
    connection: &mut store::Connection,
    steps: &mut Steps,
) -> Result<Contact, Trouble> {
    let media = client(app, server, accounts)?;
    // Before any token is shown: is it still the server that it was?
    let introduced = media.introduce().inspect_err(|error| steps.answered = Some(error.answered()));
    let introduced = unless_stopped(app, introduced).await?;
    steps.answered = Some(true);
    if let Some(known) = server.remote_id.as_deref().filter(|known| *known != introduced.server_id) {
        return Err(Trouble::configuration(format!(
            "server {}: {} now leads to another server (id {}) than before (id {known}); no token was sent to it, nothing was read or written. \
             Correct the url; if the server was really replaced, remove the MediaServer and apply it again (without a cluster: `apply --prune` \
             with a file that leaves it out)",
            server.name, server.url, introduced.server_id
        )));
    }
    let clock = app.clock.clone();
    let now = move || clock.now();
    let identity = media.identify(&now).inspect_err(|error| steps.token_taken = error.token_taken());
    let identity = unless_stopped(app, identity).await?;
    steps.token_taken = Some(true);
    let offset = server.clock_offset.settled(identity.clock_offset);
    let label = metrics::Server { server: ServerName::configured(&server.name) };
    app.metrics.server_clock_offset_seconds.set(&label, offset.seconds());
    let now = app.clock.now();
    registry::contacted(connection, server.id, &identity.server_id, &identity.name, &identity.version, offset, now)
        .await?;
    let Accounts { there, partial } = unless_stopped(app, those_there(server.kind, media.as_ref(), accounts)).await?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for account in accounts {
        match find(&server.name, &account.person, &account.configured, &there) {
            Ok(remote) => {
                registry::resolved(connection, account.id, &remote.id, &remote.name).await?;
                let account = Account {
                    remote_id: Some(remote.id.clone()),
                    remote_name: Some(remote.name.clone()),
                    ..account.clone()
                };
                found.push((account, remote.clone()));
            }
            Err(sentence) => match (&partial, earlier(account, &there)) {
                // For all we know it is there still: whether it can be used is seen when it is.
                (Some(_), Some(remote)) => found.push((account.clone(), remote)),
                (Some(error), None) => missing.push(unlisted(server, account, error)),
                (None, _) => missing.push(Trouble::configuration(sentence)),
            },
        }
    }
    let server = Server { clock_offset: offset, remote_id: Some(identity.server_id.clone()), ..server.clone() };
    Ok(Contact { server, media, identity, accounts: found, missing, views: Mutex::default() })
}

/// The account as it was found before, if it is the one that is meant still. The owner's may be `there` under another name: plex.tv alone knows the right one.
fn earlier(account: &Account, there: &[watchstate_servers::Account]) -> Option<watchstate_servers::Account> {
    let (id, name) = (account.remote_id.as_deref()?, account.remote_name.as_deref());
    let before = || watchstate_servers::Account {
        id: id.to_owned(),
        name: name.unwrap_or(id).to_owned(),
        admin: false,
        own: false,
    };
    is_meant(&account.configured, Some(id), name)
        .then(|| there.iter().find(|one| one.id == id).cloned().unwrap_or_else(before))
}

fn unlisted(server: &Server, account: &Account, error: &ServerError) -> Trouble {
    let (configured, person) = (&account.configured, &account.person);
    let sentence =
        format!("server {}: whether there is an account {configured:?} for {person} isn't known", server.name);
    let why = Trouble::from(error);
    Trouble { message: format!("{sentence}: {}", why.message), exit: why.exit }
}

/// The server's accounts, as far as these are looked for. Plex knows the token's own by itself; the others are asked of plex.tv, which may be away.
async fn those_there(kind: ServerKind, media: &dyn MediaServer, accounts: &[Account]) -> Result<Accounts, ServerError> {
    if kind == ServerKind::Plex
        && accounts.iter().all(|account| account.configured.is_empty())
        && let Some(own) = media.own_account().await?
    {
        return Ok(Accounts { there: vec![own], partial: None });
    }
    media.accounts().await
}

fn client(app: &App, server: &Server, accounts: &[Account]) -> Result<Box<dyn MediaServer>, Trouble> {
    let secrets = secrets::read(&app.tokens, &server.name, accounts)
        .map_err(|error| Trouble::configuration(redact::chain(&error)))?;
    let url = Url::parse(&server.url)
        .map_err(|error| Trouble::configuration(format!("server {}: its url can't be read: {error}", server.name)))?;
    let connection = Wanted {
        name: &server.name,
        kind: server.kind,
        url,
        policy: &server.policy,
        credentials: secrets.credentials,
        ca_pem: secrets.ca_pem,
    }
    .connection(&app.client_id, &app.plex_tv, &app.metrics);
    Ok(watchstate_servers::connect(connection)?)
}

/// What a check found.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The server's name.
    pub server: String,
    /// It answered; none: it couldn't be asked.
    pub reachable: Option<bool>,
    /// It took the token; none: the token wasn't sent, or the answer says nothing of it.
    pub authenticated: Option<bool>,
    /// Its own id, by which it is known under whatever name.
    pub server_id: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What its owner calls it.
    pub server_name: Option<String>,
    /// How far its clock is ahead, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// The persons' accounts that were found.
    pub accounts: Vec<String>,
    /// Libraries that can be synced, as the first account sees them.
    pub libraries: u32,
    /// What is wrong.
    pub error: Option<String>,
    /// What a run would end with.
    #[serde(skip)]
    pub exit: Exit,
}

/// Asks servers whether all is well.
pub async fn check(app: &App, selection: &Selection) -> anyhow::Result<Vec<Checked>> {
    let servers = select(app, selection).await?;
    Ok(futures::future::join_all(servers.iter().map(|(server, accounts)| check_one(app, server, accounts))).await)
}

async fn check_one(app: &App, server: &Server, accounts: &[Account]) -> Checked {
    let mut checked = Checked { server: server.name.clone(), ..Checked::default() };
    let mut steps = Steps::default();
    let reached = match app.store.acquire().await {
        Ok(mut connection) => reach_by_steps(app, server, accounts, &mut connection, &mut steps).await,
        Err(error) => Err(error.into()),
    };
    (checked.reachable, checked.authenticated) = (steps.answered, steps.token_taken);
    let contact = match reached {
        Ok(contact) => contact,
        Err(trouble) => {
            checked.error = Some(trouble.message);
            checked.exit = trouble.exit;
            return checked;
        }
    };
    checked.server_id = Some(contact.identity.server_id.clone());
    checked.version = Some(contact.identity.version.clone());
    checked.server_name = Some(contact.identity.name.clone());
    checked.clock_offset_ms = Some(contact.server.clock_offset.0);
    let mut problems: Vec<(Vec<&str>, String)> =
        contact.missing.iter().map(|trouble| (Vec::new(), trouble.message.clone())).collect();
    for (account, remote) in &contact.accounts {
        let libraries = match contact.view(app, account, remote).await {
            Ok(view) => view.libraries().await.map_err(Trouble::from),
            Err(trouble) => Err(trouble),
        };
        match libraries {
            Ok(libraries) => {
                checked.accounts.push(format!("{}={}", account.person, remote.name));
                let supported = libraries.iter().filter(|library| library.content.supported()).count();
                checked.libraries = checked.libraries.max(u32::try_from(supported).unwrap_or(u32::MAX));
            }
            Err(trouble) => {
                checked.exit = checked.exit.combine(trouble.exit);
                match problems.iter_mut().find(|(persons, told)| !persons.is_empty() && *told == trouble.message) {
                    Some((persons, _)) => persons.push(&account.person),
                    None => problems.push((vec![&account.person], trouble.message)),
                }
            }
        }
    }
    checked.exit = contact.missing.iter().map(|trouble| trouble.exit).fold(checked.exit, Exit::combine);
    let problems: Vec<String> =
        problems.into_iter().map(|(persons, told)| of_persons(&persons, &told, server)).collect();
    checked.error = (!problems.is_empty()).then(|| problems.join("; "));
    checked
}

/// A problem with the persons who have it; the server's name stands before all of them.
fn of_persons(persons: &[&str], problem: &str, server: &Server) -> String {
    let problem = output::without_name(problem, &server.name);
    if persons.is_empty() { problem.to_owned() } else { format!("{}: {problem}", persons.join(", ")) }
}

/// Names that stand for one server, by its own id: the first one with each other.
pub fn twins<'a>(servers: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Vec<String> {
    let mut known: HashMap<&str, &str> = HashMap::new();
    let mut twins = Vec::new();
    for (name, id) in servers.into_iter().filter_map(|(name, id)| Some((name, id?))) {
        if let Some(first) = known.get(id) {
            twins.push(format!(
                "{first} and {name} are one server (id {id}): it is read and written twice. Keep one of the MediaServers, with all persons and libraries"
            ));
        } else {
            known.insert(id, name);
        }
    }
    twins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_under_two_names_is_found_by_its_id() {
        let servers =
            [("attic", Some("a1")), ("cellar", None), ("loft", Some("a1")), ("shed", None), ("tent", Some("t1"))];
        let found = twins(servers);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("attic and loft are one server (id a1)"), "{found:?}");
    }
}
