//! `servers`: what the registry knows of the media servers, and what they answer now.

mod token;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use url::Url;
use watchstate_domain::item::ServerKind;
use watchstate_domain::policy::ImportMode;
use watchstate_runtime::Exit;
use watchstate_store::registry::{self, Account, Server, ServerPolicy};
use watchstate_store::runs::Run;
use watchstate_store::{outbox, report};

use crate::Misconfigured;
use crate::app::App;
use crate::args::ServersVerb;
use crate::command::runs;
use crate::contact::{self, Checked};
use crate::output::{self, Sheet};

/// Runs of one server that `show` shows.
const LAST_RUNS: i64 = 5;

/// Runs `servers list`, `show`, `token` or `check`.
pub async fn run(app: &App, verb: ServersVerb) -> Result<Exit> {
    match verb {
        ServersVerb::List => list(app).await,
        ServersVerb::Show { name } => show(app, &name).await,
        ServersVerb::Token(args) => token::run(app, &args).await,
        ServersVerb::Check { selection } => {
            let checked = contact::check(app, &selection).await?;
            output::print(app.format, &checked, |checked| checks(checked))?;
            Ok(checked.iter().map(|one| one.exit).collect())
        }
    }
}

/// A server in one line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    #[serde(rename = "type")]
    kind: ServerKind,
    url: String,
    version: Option<String>,
    server_name: Option<String>,
    accounts: Vec<Pair>,
    import: &'static str,
    export: bool,
    suspended: bool,
    contacted_at: Option<Timestamp>,
    clock_offset_ms: i64,
}

/// A person's account at a server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    person: String,
    /// As configured; empty for the token's own account.
    configured: String,
    /// The server's id of the account, once it was found.
    account_id: Option<String>,
    /// Its name there, once it was found.
    account: Option<String>,
}

impl Pair {
    fn of(account: &Account) -> Self {
        Self {
            person: account.person.clone(),
            configured: account.configured.clone(),
            account_id: account.remote_id.clone(),
            account: account.remote_name.clone(),
        }
    }

    /// `anna=Anna`; a question mark while the account wasn't found yet.
    fn pair(&self) -> String {
        let configured = Some(self.configured.as_str()).filter(|configured| !configured.is_empty());
        match (self.account.as_deref(), configured) {
            (Some(account), _) => format!("{}={account}", self.person),
            (None, Some(configured)) => format!("{}={configured}?", self.person),
            (None, None) => format!("{}=?", self.person),
        }
    }
}

impl Line {
    fn of(server: &Server, accounts: &[Account]) -> Self {
        Self {
            name: server.name.clone(),
            kind: server.kind,
            url: without_secrets(&server.url),
            version: server.version.clone(),
            server_name: server.remote_name.clone(),
            accounts: accounts.iter().filter(|account| account.server_id == server.id).map(Pair::of).collect(),
            import: import_word(&server.policy),
            export: server.policy.export,
            suspended: server.policy.suspend,
            contacted_at: server.contacted_at,
            clock_offset_ms: server.clock_offset.0,
        }
    }
}

/// How much of a server's word is taken.
fn import_word(policy: &ServerPolicy) -> &'static str {
    match (policy.import, policy.import_mode) {
        (false, _) => "off",
        (true, ImportMode::Full) => "full",
        (true, ImportMode::MetadataOnly) => "metadata only",
    }
}

/// The address without user, password, query and fragment: any of them may hold a token.
fn without_secrets(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "(no valid address)".to_owned() };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    if cleared.is_err() {
        return "(no valid address)".to_owned();
    }
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

async fn list(app: &App) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let servers = registry::servers(&mut connection).await?;
    let accounts = registry::accounts(&mut connection).await?;
    let lines: Vec<Line> = servers.iter().map(|server| Line::of(server, &accounts)).collect();
    output::print(app.format, &lines, |lines| {
        let rows = lines.iter().map(row).collect();
        let remark =
            if lines.is_empty() { "No media server is known yet: watchstate-worker apply -f servers.yaml" } else { "" };
        let columns =
            vec!["name", "type", "url", "version", "persons", "import", "export", "last contact (UTC)", "suspended"];
        vec![Sheet::new(columns, rows).remark(remark)]
    })?;
    Ok(Exit::Done)
}

fn row(line: &Line) -> Vec<String> {
    vec![
        line.name.clone(),
        line.kind.to_string(),
        line.url.clone(),
        output::or_dash(line.version.as_deref()),
        output::or_dash(Some(&line.accounts.iter().map(Pair::pair).collect::<Vec<_>>().join(", "))),
        line.import.to_owned(),
        yes(line.export).to_owned(),
        output::time(line.contacted_at),
        yes(line.suspended).to_owned(),
    ]
}

const fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A server with all that the registry knows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    line: Line,
    policy: ServerPolicy,
    libraries: Vec<Library>,
    outbox: Vec<Waiting>,
    last_runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Library {
    id: String,
    name: String,
    content: String,
    supported: bool,
    selected: bool,
    items: i64,
}

/// The writes of one person that wait, or were given up.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    person: String,
    pending: u64,
    given_up: u64,
}

async fn show(app: &App, name: &str) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let servers = registry::servers(&mut connection).await?;
    let server = named(&servers, name)?;
    let accounts = registry::accounts(&mut connection).await?;
    let sizes = report::library_sizes(&mut connection, server.id).await?;
    let libraries = registry::libraries(&mut connection, server.id)
        .await?
        .into_iter()
        .map(|library| Library {
            items: sizes.get(&library.id).copied().unwrap_or_default(),
            id: library.remote_id,
            name: library.name,
            content: library.content,
            supported: library.supported,
            selected: library.selected,
        })
        .collect();
    let mut waiting = Vec::new();
    for account in accounts.iter().filter(|account| account.server_id == server.id) {
        let (pending, given_up) = outbox::depth(&mut connection, account.id).await?;
        waiting.push(Waiting { person: account.person.clone(), pending, given_up });
    }
    let shown = Shown {
        line: Line::of(server, &accounts),
        policy: server.policy.clone(),
        libraries,
        outbox: waiting,
        last_runs: report::runs_at(&mut connection, server.id, LAST_RUNS).await?,
    };
    output::print(app.format, &shown, sheets)?;
    Ok(Exit::Done)
}

/// The server of that name, or an error that names those that are known.
pub(super) fn named<'a>(servers: &'a [Server], name: &str) -> Result<&'a Server, Misconfigured> {
    servers.iter().find(|server| server.name == name).ok_or_else(|| {
        let known: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        Misconfigured(format!("there is no server {name:?}; known: {}", output::or_dash(Some(&known.join(", ")))))
    })
}

fn sheets(shown: &Shown) -> Vec<Sheet> {
    let line = &shown.line;
    let suspended = if line.suspended { ", suspended" } else { "" };
    let heading = format!(
        "{} ({}{}) at {}{suspended}\nimport {}, export {}, last contact {}, clock {}",
        line.name,
        line.kind,
        line.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default(),
        line.url,
        line.import,
        if line.export { "on" } else { "off" },
        output::time(line.contacted_at),
        offset(line.clock_offset_ms),
    );
    let accounts = line
        .accounts
        .iter()
        .zip(&shown.outbox)
        .map(|(account, waiting)| {
            vec![
                account.person.clone(),
                if account.configured.is_empty() { "the token's own".to_owned() } else { account.configured.clone() },
                account.account.clone().unwrap_or_else(|| "not found yet".to_owned()),
                output::or_dash(account.account_id.as_deref()),
                waiting.pending.to_string(),
                waiting.given_up.to_string(),
            ]
        })
        .collect();
    let libraries: Vec<Vec<String>> = shown
        .libraries
        .iter()
        .map(|library| {
            vec![
                library.name.clone(),
                library.id.clone(),
                library.content.clone(),
                yes(library.supported).to_owned(),
                yes(library.selected).to_owned(),
                library.items.to_string(),
            ]
        })
        .collect();
    let unread = if libraries.is_empty() { "It was never read: watchstate-worker import" } else { "" };
    vec![
        Sheet::new(vec!["person", "configured", "account", "id", "writes waiting", "given up"], accounts)
            .heading(heading),
        Sheet::new(vec!["library", "id", "content", "supported", "selected", "items"], libraries).remark(unread),
        runs::sheet(&shown.last_runs),
    ]
}

/// `as ours`, `1:00:00 ahead`, `0:05:10 behind`.
fn offset(ms: i64) -> String {
    match ms {
        0 => "as ours".to_owned(),
        1.. => format!("{} ahead", output::position(ms.unsigned_abs())),
        _ => format!("{} behind", output::position(ms.unsigned_abs())),
    }
}

fn checks(checked: &[Checked]) -> Vec<Sheet> {
    let rows = checked
        .iter()
        .map(|one| {
            vec![
                one.server.clone(),
                one.reachable.map_or("-", yes).to_owned(),
                one.authenticated.map_or("-", yes).to_owned(),
                output::or_dash(one.server_name.as_deref()),
                output::or_dash(one.version.as_deref()),
                one.clock_offset_ms.map_or_else(|| "-".to_owned(), offset),
                output::or_dash(Some(&one.accounts.join(", "))),
                one.libraries.to_string(),
            ]
        })
        .collect();
    let columns = vec!["server", "reachable", "token taken", "name", "version", "clock", "persons", "libraries"];
    let mut remarks: Vec<String> = checked
        .iter()
        .filter_map(|one| Some(format!("{}: {}", one.server, output::without_name(one.error.as_deref()?, &one.server))))
        .collect();
    remarks.extend(contact::twins(checked.iter().map(|one| (one.server.as_str(), one.server_id.as_deref()))));
    let remark = if remarks.is_empty() { "All is well.".to_owned() } else { remarks.join("\n") };
    vec![Sheet::new(columns, rows).remark(remark)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_a_secret() {
        let cases = [
            ("http://plex:32400", "http://plex:32400/"),
            ("https://anna:hunter2@plex.example/web?X-Plex-Token=abc#token", "https://plex.example/web"),
            ("not an address hunter2", "(no valid address)"),
            ("mailto:hunter2", "(no valid address)"),
        ];
        for (url, shown) in cases {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn a_person_is_shown_with_the_account_that_was_found_or_a_question_mark() {
        let person = |configured: &str, account: Option<&str>| {
            let account = account.map(str::to_owned);
            Pair { person: "anna".into(), configured: configured.into(), account_id: None, account }.pair()
        };
        assert_eq!(person("", Some("Anna K.")), "anna=Anna K.");
        assert_eq!(person("a1b2", Some("Anna K.")), "anna=Anna K.");
        assert_eq!(person("Anna K.", None), "anna=Anna K.?");
        assert_eq!(person("", None), "anna=?");
    }

    #[test]
    fn what_wasnt_tried_is_a_dash_and_the_servers_name_stands_once() {
        let checked = Checked {
            server: "emby".into(),
            reachable: Some(true),
            error: Some("server emby: its token can't be read".into()),
            exit: Exit::Configuration,
            ..Checked::default()
        };
        let json = serde_json::to_value(&checked).unwrap();
        assert_eq!((&json["reachable"], &json["authenticated"]), (&true.into(), &serde_json::Value::Null));
        let sheet = &checks(&[checked])[0];
        assert_eq!(sheet.rows[0][..3], ["emby", "yes", "-"].map(str::to_owned));
        assert_eq!(sheet.remark.as_deref(), Some("emby: its token can't be read"));
    }

    #[test]
    fn import_is_shown_as_it_is_configured() {
        let policy = |import, import_mode| ServerPolicy { import, import_mode, ..ServerPolicy::default() };
        assert_eq!(import_word(&policy(true, ImportMode::Full)), "full");
        assert_eq!(import_word(&policy(true, ImportMode::MetadataOnly)), "metadata only");
        assert_eq!(import_word(&policy(false, ImportMode::MetadataOnly)), "off");
    }

    #[test]
    fn a_clock_is_told_in_hours_minutes_and_seconds() {
        assert_eq!(
            [0, 3_600_000, -310_000].map(offset),
            ["as ours", "1:00:00 ahead", "0:05:10 behind"].map(str::to_owned)
        );
    }
}
