//! How a server is reached: address, credentials, TLS and limits; [`connect`] makes a client of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;
use watchstate_domain::item::ServerKind;

use crate::emby::Emby;
use crate::error::{ErrorKind, ServerError};
use crate::jellyfin::Jellyfin;
use crate::mediabrowser::MediaBrowser;
use crate::operation::Operation;
use crate::plex::Plex;
use crate::{MediaServer, Result};

/// Where accounts of Plex live, unless configured otherwise: for [`Connection::plex_tv`].
pub const PLEX_TV: &str = "https://plex.tv";

/// Everything that is needed to talk to one server. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct Connection {
    /// The name that messages, spans and metrics call it by.
    pub name: String,
    /// Its make.
    pub kind: ServerKind,
    /// Its address, `http` or `https`, with the path under which it lives where there is one (`https://home.example/jellyfin`).
    pub url: Url,
    /// What it is reached with.
    pub credentials: Credentials,
    /// Whom to trust.
    pub tls: Tls,
    /// How much to ask of it.
    pub limits: Limits,
    /// The stable id of this installation: what servers list us as.
    pub client_id: String,
    /// [`PLEX_TV`], or what stands in its place (also for clients.plex.tv). Asked by Plex servers' clients only.
    pub plex_tv: Url,
    /// Who is told of each request.
    pub observer: Arc<dyn RequestObserver>,
}

impl Connection {
    /// A connection with default limits, public TLS and nobody who is told.
    pub fn new(
        name: impl Into<String>,
        kind: ServerKind,
        url: Url,
        credentials: Credentials,
        client_id: impl Into<String>,
        plex_tv: Url,
    ) -> Self {
        Self {
            name: name.into(),
            kind,
            url,
            credentials,
            tls: Tls::default(),
            limits: Limits::default(),
            client_id: client_id.into(),
            plex_tv,
            observer: Arc::new(Nobody),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("url", &format_args!("{}", Origin(&self.url)))
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// An address without what might be secret in it (user, password, query).
pub(crate) struct Origin<'a>(pub(crate) &'a Url);

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.0.path())
    }
}

/// What a server is reached with: a token, or (Jellyfin, Emby) a login that is exchanged for one, once a process. Its `Debug` tells only what there is.
#[derive(Clone, Default)]
pub struct Credentials {
    /// A Plex token, or an API key or access token of Jellyfin or Emby. Goes before the login.
    pub token: Option<SecretString>,
    /// User name and password (Jellyfin, Emby).
    pub login: Option<(String, SecretString)>,
    /// Secrets of single accounts, by the account's name or id as configured.
    pub accounts: BTreeMap<String, AccountSecret>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &self.token.is_some())
            .field("login", &self.login.is_some())
            .field("accounts", &self.accounts.len())
            .finish()
    }
}

impl Credentials {
    /// The secrets of an account, found by its id, else by its name, however it is capitalised.
    pub(crate) fn of_account(&self, id: &str, name: &str) -> Option<&AccountSecret> {
        self.accounts
            .get(id)
            .or_else(|| self.accounts.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, secret)| secret))
    }
}

/// The secrets of one account.
#[derive(Clone, Debug, Default)]
pub struct AccountSecret {
    /// A token of its own for the server.
    pub token: Option<SecretString>,
    /// The PIN that protects a user of a Plex home.
    pub pin: Option<SecretString>,
}

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates of a private authority in PEM, trusted beside the public ones.
    pub ca_pem: Option<Vec<u8>>,
    /// Trust any certificate: for a look at a test server, never for good.
    pub insecure_skip_verify: bool,
}

/// How much to ask of a server; holds for all accounts together.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests at the same time.
    pub concurrency: usize,
    /// Requests a second, above 0; None: as many as the server bears.
    pub requests_per_second: Option<f64>,
    /// From sending a request to the last byte of its answer.
    pub timeout: Duration,
    /// Items a page.
    pub page_size: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 4, requests_per_second: None, timeout: Duration::from_mins(1), page_size: 1000 }
    }
}

/// Is told of each request as it ends, repetitions included: for metrics.
pub trait RequestObserver: Send + Sync {
    /// `operation`: one of a closed set of words. `outcome`: the kind of failure, where it failed.
    fn request(
        &self,
        kind: ServerKind,
        server: &str,
        operation: &'static str,
        outcome: std::result::Result<(), ErrorKind>,
        duration: Duration,
    );
}

struct Nobody;

impl RequestObserver for Nobody {
    fn request(&self, _: ServerKind, _: &str, _: &'static str, _: std::result::Result<(), ErrorKind>, _: Duration) {}
}

/// Makes a client. Sends nothing yet; an error is one of the configuration.
pub fn connect(connection: Connection) -> Result<Box<dyn MediaServer>> {
    let complaint = |problem: &str| {
        Err(ServerError::new(
            &Arc::from(connection.name.as_str()),
            Operation::Identify,
            ErrorKind::Configuration,
            problem,
        ))
    };
    if connection.credentials.token.is_none()
        && (connection.kind == ServerKind::Plex || connection.credentials.login.is_none())
    {
        return complaint("there are no credentials: set tokenSecretRef (Jellyfin and Emby: or loginSecretRef)");
    }
    if connection.limits.page_size == 0 || connection.limits.concurrency == 0 {
        return complaint("limits.pageSize and limits.concurrency must be at least 1");
    }
    Ok(match connection.kind {
        ServerKind::Plex => Box::new(Plex::new(connection)?),
        ServerKind::Jellyfin => Box::new(MediaBrowser::<Jellyfin>::new(connection)?),
        ServerKind::Emby => Box::new(MediaBrowser::<Emby>::new(connection)?),
    })
}
