//! Asks a server: does it answer, as the one it was; does it take the token; who watches there; what libraries does it have. Nothing is written.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use secrecy::SecretString;
use url::Url;
use watchstate_crds::MediaServer;
use watchstate_crds::condition::{State, reason};
use watchstate_crds::media_server::{LibraryStatus, ServerIdentity, UserStatus};
use watchstate_domain::clock::ClockOffset;
use watchstate_projection::accounts::{find, is_meant};
use watchstate_projection::connection::Wanted;
use watchstate_projection::household::Users;
use watchstate_projection::policy;
use watchstate_runtime::redact;
use watchstate_servers::{Account, Accounts, Content, Credentials, ErrorKind, MediaServer as Client, ServerError};

use super::secrets::{Gathered, Lack};
use crate::context::Context;
use crate::error::Kind;

/// Longer than this a probe waits for no answer, however long a reading may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub state: State,
    /// Why, in a word.
    pub reason: &'static str,
    /// Why, in a sentence. Holds no secret, and nothing that changes by itself.
    pub message: String,
    /// What helps, where it doesn't hold.
    pub helps: Kind,
}

impl Verdict {
    /// It holds.
    pub fn holds(reason: &'static str, message: impl Into<String>) -> Self {
        Self { state: State::True, reason, message: message.into(), helps: Kind::Transient }
    }

    /// It doesn't hold.
    pub fn fails(reason: &'static str, message: impl Into<String>, helps: Kind) -> Self {
        Self { state: State::False, reason, message: message.into(), helps }
    }

    /// Nobody knows, since something before it failed.
    pub fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { state: State::Unknown, reason, message: message.into(), helps: Kind::Transient }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// It answers, as the server that it was.
    pub reachable: Verdict,
    /// It takes the token.
    pub authenticated: Verdict,
    /// Everybody's account was found.
    pub users_resolved: Verdict,
    /// Who it is; None: it didn't say.
    pub identity: Option<ServerIdentity>,
    /// How far its clock is ahead.
    pub clock_offset: Option<ClockOffset>,
    /// Person by person.
    pub users: Vec<UserStatus>,
    /// The accounts that may be used, by the account as configured.
    pub accounts: Vec<(String, Account)>,
    /// Its libraries.
    pub libraries: Vec<LibraryStatus>,
}

impl Findings {
    /// Nothing was found, since something before the first question failed.
    pub fn nothing(reason: &'static str, message: &str) -> Self {
        let unknown = || Verdict::unknown(reason, message);
        Self {
            reachable: unknown(),
            authenticated: unknown(),
            users_resolved: unknown(),
            identity: None,
            clock_offset: None,
            users: Vec::new(),
            accounts: Vec::new(),
            libraries: Vec::new(),
        }
    }

    /// Nothing can be asked for want of a Secret.
    pub fn lacking(lack: &Lack) -> Self {
        let mut findings = Self::nothing(lack.reason, &lack.message);
        findings.reachable.helps = lack.helps();
        findings.authenticated = lack.verdict();
        findings
    }
}

/// What is asked, and of whom.
pub struct Question<'a> {
    /// The resource.
    pub server: &'a MediaServer,
    /// Who watches there.
    pub people: &'a Result<Users, String>,
    /// What it is reached with.
    pub gathered: &'a Gathered,
    /// Who answered before.
    pub known: Option<&'a str>,
    /// What was found before, where nothing has changed since: access for each account is not asked for anew.
    pub before: Option<&'a Findings>,
}

/// With what a server was reached. Kept in place of the client, whose store of certificates is large.
#[derive(Debug, Clone)]
pub struct Access {
    credentials: Credentials,
    ca_pem: Option<Vec<u8>>,
}

/// Why there is no client of a server.
#[derive(Debug, thiserror::Error)]
pub enum Unconnected {
    /// The schema has let an address pass that can't be one.
    #[error("spec.url: {0}; expected is an address such as http://media.example.org:8096, with a port up to 65535")]
    Address(url::ParseError),
    /// Something that it is reached with can't be used.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// What came of the questions.
pub struct Answer {
    /// What was found.
    pub findings: Findings,
    /// The client, where the server took the token.
    pub client: Option<Arc<dyn Client>>,
    /// With what that was.
    pub access: Option<Access>,
    /// The token that the login was exchanged for just now.
    pub exchanged: Option<SecretString>,
}

/// Asks one thing after the other, until one goes wrong.
pub async fn ask(context: &Context, question: &Question<'_>) -> Answer {
    let mut findings = Findings::nothing(reason::PENDING, "not asked yet");
    let Ok((client, exchanged)) = admitted(context, question, &mut findings).await else {
        return Answer { findings, client: None, access: None, exchanged: None };
    };
    if let Err(error) = people(question, client.as_ref(), &mut findings).await {
        let problem = redact::chain(&error);
        findings.users_resolved = Verdict::fails(reason::UNREACHABLE, problem, helps(&error));
    }
    let gathered = question.gathered;
    let token = exchanged.clone().or_else(|| gathered.kept.clone()).or_else(|| gathered.credentials.token.clone());
    let credentials = Credentials { token, login: None, accounts: gathered.credentials.accounts.clone() };
    let access = Access { credentials, ca_pem: gathered.ca_pem.clone() };
    Answer { findings, client: Some(client), access: Some(access), exchanged }
}

/// A client whose token the server takes.
async fn admitted(
    context: &Context,
    question: &Question<'_>,
    findings: &mut Findings,
) -> Result<(Arc<dyn Client>, Option<SecretString>), ()> {
    let Question { server, gathered, known, .. } = question;
    let blind = |findings: &mut Findings, why: &str| {
        findings.authenticated = Verdict::unknown(reason::UNREACHABLE, why);
        findings.users_resolved = Verdict::unknown(reason::UNREACHABLE, why);
    };
    let kept = gathered.kept.clone();
    let access = |token: Option<SecretString>| Access {
        credentials: match token {
            Some(token) => {
                Credentials { token: Some(token), login: None, accounts: gathered.credentials.accounts.clone() }
            }
            None => gathered.credentials.clone(),
        },
        ca_pem: gathered.ca_pem.clone(),
    };
    let mut client = match connect(context, server, access(kept.clone())) {
        Ok(client) => client,
        Err(error) => {
            let reason = match &error {
                Unconnected::Address(_) => reason::INVALID_SPEC,
                Unconnected::Server(_) => reason::UNREACHABLE,
            };
            findings.reachable = Verdict::fails(reason, redact::chain(&error), Kind::Stalled);
            blind(findings, "the server can't be asked");
            return Err(());
        }
    };
    // Before any token is shown: is it still the server that it was?
    let introduced = match client.introduce().await {
        Ok(introduced) => introduced,
        Err(error) => {
            findings.reachable = Verdict::fails(of_reaching(&error), redact::chain(&error), helps(&error));
            blind(findings, "the server does not answer");
            return Err(());
        }
    };
    if let Some(known) = known.filter(|known| **known != introduced.server_id) {
        let message = format!(
            "{} now leads to another server (id {}) than before (id {known}); no token was sent to it. Correct the url; if the server was really \
             replaced, delete this MediaServer and create it again",
            server.spec.url, introduced.server_id
        );
        findings.reachable = Verdict::fails(reason::SERVER_CHANGED, message, Kind::Stalled);
        blind(findings, "another server answers");
        return Err(());
    }
    findings.reachable = Verdict::holds(reason::ANSWERED, format!("the server answers at {}", server.spec.url));

    let now = || context.clock.now();
    let mut identified = client.identify(&now).await;
    // The token that we keep may have been revoked: the login is still there.
    if kept.is_some() && identified.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unauthorized) {
        client = connect(context, server, access(None)).map_err(drop)?;
        identified = client.identify(&now).await;
    }
    let exchanged = match (&identified, &server.spec.login_secret_ref) {
        (Ok(_), Some(_)) => client.log_in().await.unwrap_or_default(),
        _ => None,
    };
    match identified {
        Ok(identity) => {
            findings.authenticated = Verdict::holds(reason::ACCEPTED, "the server takes the token");
            findings.clock_offset = Some(identity.clock_offset);
            findings.identity = Some(ServerIdentity {
                id: identity.server_id,
                name: Some(identity.name).filter(|name| !name.is_empty()),
                version: Some(identity.version),
            });
            Ok((client, exchanged))
        }
        Err(error) => {
            let reason = match error.kind() {
                ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::Configuration => {
                    reason::CREDENTIALS_REFUSED
                }
                _ => of_reaching(&error),
            };
            let problem = redact::chain(&error);
            findings.authenticated = Verdict::fails(reason, problem, helps(&error));
            findings.users_resolved = Verdict::unknown(reason, "the server does not take the token");
            Err(())
        }
    }
}

/// A client. Sends nothing yet.
pub fn connect(context: &Context, server: &MediaServer, access: Access) -> Result<Arc<dyn Client>, Unconnected> {
    let mut policy = policy::server_policy(&server.spec);
    policy.timeout_ms = policy.timeout_ms.min(u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX));
    let name = server.name_any();
    let wanted = Wanted {
        name: &name,
        kind: policy::kind(server.spec.server_type),
        url: address(&server.spec.url)?,
        policy: &policy,
        credentials: access.credentials,
        ca_pem: access.ca_pem,
    };
    // What servers list us as: the same for as long as the resource lives.
    let client_id = server.uid().unwrap_or_else(|| name.clone());
    Ok(Arc::from(watchstate_servers::connect(wanted.connection(&client_id, &context.plex_tv, &context.metrics))?))
}

/// The schema looks at the form alone, and `http://192.168.1.300` has it.
fn address(url: &str) -> Result<Url, Unconnected> {
    Url::parse(url).map_err(Unconnected::Address)
}

/// Finds everybody's account and the libraries.
async fn people(question: &Question<'_>, client: &dyn Client, findings: &mut Findings) -> Result<(), ServerError> {
    let server_id = findings.identity.as_ref().map(|identity| identity.id.clone()).unwrap_or_default();
    let Accounts { there, partial } = client.accounts().await?;
    let name = question.server.name_any();
    match question.people {
        Err(problem) => findings.users_resolved = Verdict::fails(reason::INVALID_SPEC, problem.clone(), Kind::Stalled),
        Ok(people) => {
            for (person, configured) in people {
                let user = match find(&name, person, configured, &there) {
                    Ok(account) => known(question, client, person, account, &server_id, findings).await?,
                    Err(problem) => {
                        let before = partial.as_ref().and_then(|_| earlier(question, person, configured));
                        let problem = partial.as_ref().map_or(problem, |error| redact::chain(error));
                        let missing =
                            UserStatus { person: person.clone(), id: None, name: None, problem: Some(problem) };
                        before.unwrap_or(missing)
                    }
                };
                if let (Some(id), None) = (&user.id, &user.problem)
                    && let Some(account) = there.iter().find(|account| account.id == *id)
                {
                    findings.accounts.push((configured.clone(), account.clone()));
                }
                findings.users.push(user);
            }
            findings.users_resolved = resolved(&findings.users, partial.as_ref());
        }
    }
    // As the token's own account sees them, since that asks nobody else; else as an administrator does.
    let viewer = there.iter().find(|account| account.own).or_else(|| there.iter().find(|account| account.admin));
    if let Some(viewer) = viewer.or_else(|| there.first()) {
        let libraries = client.open(viewer, &server_id).await?.libraries().await?;
        let policy = policy::server_policy(&question.server.spec);
        findings.libraries = libraries
            .into_iter()
            .map(|library| LibraryStatus {
                supported: library.content.supported(),
                included: library.content.supported() && policy::takes_part(&policy, &library),
                library_type: Some(word(&library.content).to_owned()),
                id: library.id,
                title: library.title,
            })
            .collect();
        findings.libraries.sort_by(|one, other| one.id.cmp(&other.id));
    }
    Ok(())
}

/// An account that is there: can it be used, and does nobody else use it?
async fn known(
    question: &Question<'_>,
    client: &dyn Client,
    person: &str,
    account: &Account,
    server_id: &str,
    findings: &Findings,
) -> Result<UserStatus, ServerError> {
    let user = |problem: Option<String>| UserStatus {
        person: person.to_owned(),
        id: Some(account.id.clone()),
        name: Some(account.name.clone()),
        problem,
    };
    if let Some(other) = findings.users.iter().find(|other| other.id.as_ref() == Some(&account.id)) {
        let problem =
            format!("the account {:?} is {}'s already: two persons can't share one", account.name, other.person);
        return Ok(user(Some(problem)));
    }
    let before = question.before.and_then(|before| before.users.iter().find(|user| user.person == person));
    // A wrong PIN isn't tried again and again; what else was refused may have been allowed since.
    let stands = |before: &&UserStatus| before.problem.as_ref().is_none_or(|problem| problem.contains("PIN"));
    if let Some(before) = before.filter(|before| before.id.as_ref() == Some(&account.id)).filter(stands) {
        return Ok(user(before.problem.clone()));
    }
    match client.open(account, server_id).await {
        Ok(_) => Ok(user(None)),
        Err(error) if error.is_configuration() => Ok(user(Some(redact::chain(&error)))),
        Err(error) => Err(error),
    }
}

/// Where nobody tells who is there: who was found before is there still, for all we know.
fn earlier(question: &Question<'_>, person: &str, configured: &str) -> Option<UserStatus> {
    let status = question.server.status.as_ref()?;
    let before =
        status.users.iter().find(|user| user.person == person && user.id.is_some() && user.problem.is_none())?;
    is_meant(configured, before.id.as_deref(), before.name.as_deref()).then(|| before.clone())
}

/// What the persons' accounts come to together. `partial`: why some may not have been told.
fn resolved(users: &[UserStatus], partial: Option<&ServerError>) -> Verdict {
    let problems: Vec<String> = users
        .iter()
        .filter_map(|user| user.problem.as_ref().map(|problem| format!("{}: {problem}", user.person)))
        .collect();
    if problems.is_empty() {
        return Verdict::holds(reason::RESOLVED, format!("{} found", counted(users.len(), "account")));
    }
    let missing = users.iter().any(|user| user.id.is_none());
    if let Some(error) = partial.filter(|error| missing && !error.is_configuration()) {
        return Verdict::fails(reason::UNREACHABLE, problems.join("; "), helps(error));
    }
    let pin = problems.iter().any(|problem| problem.contains("PIN"));
    let reason = match (missing, pin) {
        (true, _) => reason::USER_NOT_FOUND,
        (false, true) => reason::PIN_REFUSED,
        (false, false) => reason::ACCESS_REFUSED,
    };
    Verdict::fails(reason, problems.join("; "), Kind::Stalled)
}

/// `1 account`, `2 accounts`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The server's or our word for what a library holds.
fn word(content: &Content) -> &str {
    match content {
        Content::Movies => "movies",
        Content::Shows => "shows",
        Content::Mixed => "mixed",
        Content::Other(word) => word,
    }
}

fn of_reaching(error: &ServerError) -> &'static str {
    match error.kind() {
        ErrorKind::WrongServer => reason::WRONG_TYPE,
        ErrorKind::Unsupported => reason::UNSUPPORTED_VERSION,
        _ => reason::UNREACHABLE,
    }
}

/// What helps against an error of a server.
pub fn helps(error: &ServerError) -> Kind {
    if error.is_configuration() { Kind::Stalled } else { Kind::Transient }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_can_not_be_one_is_told_by_field_and_without_whoever_stands_in_it() {
        let expected = "expected is an address such as http://media.example.org:8096, with a port up to 65535";
        for (url, problem) in [
            ("http://192.168.1.300:32400", Some("invalid IPv4 address")),
            ("http://plex:99999", Some("invalid port number")),
            ("http://anna:s3cret@plex:99999", Some("invalid port number")),
            ("http://192.168.1.30:32400", None),
            ("https://media.example.org/jellyfin", None),
        ] {
            let told = address(url).err().map(|error| error.to_string());
            assert_eq!(told, problem.map(|problem| format!("spec.url: {problem}; {expected}")), "{url}");
        }
    }
}
