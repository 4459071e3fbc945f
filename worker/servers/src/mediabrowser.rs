//! What Jellyfin and Emby share, by descent from Media Browser: accounts, libraries, items, sessions. [`Dialect`] is
//! what they don't.

pub(crate) mod dto;
pub(crate) mod item;
mod view;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{ACCEPT, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::OnceCell;
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::item::{Item, ItemState};

use crate::connection::{Connection, Credentials};
use crate::error::{ErrorKind, ServerError};
use crate::http::{self as wire, Http, NO_QUERY, Repeat, Request};
use crate::operation::Operation;
use crate::{Account, AccountView, Accounts, Identity, Introduction, MediaServer, Result, Webhook, Write};
use dto::{Login, SystemInfo, User};
pub(crate) use view::View;

/// How one of the two servers wants to be spoken to.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// The path of lists of items, with `{user}` in it or not.
    const ITEMS: &'static str;
    /// The path of a user's libraries, with `{user}` in it or not.
    const VIEWS: &'static str;
    /// What items must tell beyond what they always tell.
    const FIELDS: &'static str;
    /// What to do about a token that is refused.
    const IF_REFUSED: &'static str;
    /// What to do about an address where something else answers.
    const NOT_ONE_OF_THEM: &'static str;

    /// The header that carries the token. Without a token it introduces us, for a login.
    fn authorization(access: Option<&Access>, client_id: &str) -> Option<(HeaderName, HeaderValue)>;

    /// The name of a parameter of the query, given in camel case.
    fn parameter(name: &str) -> String;

    /// Whether this version is one that we can speak to, and of this make at all.
    fn check(version: &str) -> std::result::Result<(), (ErrorKind, String)>;

    /// Makes the server send its events to the webhook; false: it did so already.
    fn set_webhook(server: &Server, webhook: &Webhook) -> impl Future<Output = Result<bool>> + Send;

    /// Takes the webhook's entry away; false: there was none.
    fn remove_webhook(server: &Server, mark: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Writes to one item.
    fn write(view: &View<Self>, item: &Item, write: &Write) -> impl Future<Output = Result<ItemState>> + Send
    where
        Self: Sized;
}

/// What a request is made with.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) token: SecretString,
    /// The token is ours, from a login: we may name ourselves with it. With anybody else's token that would overwrite
    /// the name of the device that it was made for.
    pub(crate) ours: bool,
    /// The account that logged in.
    account: Option<Account>,
}

/// A server of this family.
pub(crate) struct MediaBrowser<D> {
    server: Arc<Server>,
    dialect: PhantomData<D>,
}

/// A request about the server's settings.
pub(crate) struct Settings<'s> {
    pub(crate) route: &'static str,
    pub(crate) ids: &'s [&'s str],
    pub(crate) query: &'s [(&'s str, &'s str)],
    /// None: they are read.
    pub(crate) write: Option<(Method, Option<&'s serde_json::Value>)>,
}

/// What all views of one server share.
pub(crate) struct Server {
    pub(crate) http: Http,
    credentials: Credentials,
    client_id: String,
    page_size: u32,
    access: OnceCell<Access>,
}

impl Server {
    /// A request with a token. The query is in camel case.
    pub(crate) fn request<D: Dialect>(
        &self,
        access: Option<&Access>,
        operation: Operation,
        route: &'static str,
        ids: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Request> {
        let query: Vec<_> = query.iter().map(|(name, value)| (D::parameter(name), *value)).collect();
        let mut request = self.http.request(operation, route, ids, &query).header(ACCEPT, "application/json");
        let (name, value) = D::authorization(access, &self.client_id).ok_or_else(|| {
            let problem = "the token (or the client id) holds characters that no header can carry: is it the right key of the Secret?";
            self.http.error(operation, ErrorKind::Configuration, problem)
        })?;
        request.headers.insert(name, value);
        request.token = access.map(|access| access.token.clone());
        request.if_refused = D::IF_REFUSED;
        Ok(request)
    }

    /// Sends a request about the server's settings, in whose answers there may be secrets of others.
    pub(crate) async fn settings<D: Dialect>(&self, settings: Settings<'_>) -> Result<(Request, wire::Answer)> {
        let Settings { route, ids, query, write } = settings;
        let access = self.access::<D>().await?;
        let mut request = self.request::<D>(Some(access), Operation::Webhook, route, ids, query)?;
        request.secret_answer = true;
        if let Some((method, body)) = write {
            request = request.write(method, Repeat::Harmless);
            if let Some(body) = body {
                request = request.json(body);
            }
        }
        let answer = self.http.send(&request).await?;
        Ok((request, answer))
    }

    /// The server's main token; a login is exchanged for it once.
    pub(crate) async fn access<D: Dialect>(&self) -> Result<&Access> {
        self.access.get_or_try_init(|| self.login::<D>()).await
    }

    async fn login<D: Dialect>(&self) -> Result<Access> {
        if let Some(token) = &self.credentials.token {
            return Ok(Access { token: token.clone(), ours: false, account: None });
        }
        let Some((name, password)) = &self.credentials.login else {
            let problem = "there are no credentials: set tokenSecretRef or loginSecretRef";
            return Err(self.http.error(Operation::Login, ErrorKind::Configuration, problem));
        };
        let mut request = self
            .request::<D>(None, Operation::Login, "/Users/AuthenticateByName", &[], &[])?
            .write(Method::POST, Repeat::Harmless)
            .json(&json!({ "Username": name, "Pw": wire::password(password) }));
        request.secret_answer = true;
        request.if_refused = "user name or password were refused (401): correct the Secret that loginSecretRef names";
        let answer = self.http.send(&request).await?;
        let login: Login = self.http.json(&request, &answer)?;
        Ok(Access {
            token: SecretString::from(login.access_token),
            ours: true,
            account: Some(account(login.user, true)),
        })
    }
}

fn account(user: User, own: bool) -> Account {
    Account { id: user.id, name: user.name, admin: user.policy.is_administrator, own }
}

impl<D: Dialect> MediaBrowser<D> {
    pub(crate) fn new(connection: Connection) -> Result<Self> {
        Ok(Self {
            server: Arc::new(Server {
                http: Http::new(&connection)?,
                credentials: connection.credentials,
                client_id: connection.client_id,
                page_size: connection.limits.page_size,
                access: OnceCell::new(),
            }),
            dialect: PhantomData,
        })
    }

    async fn get(&self, operation: Operation, route: &'static str) -> Result<(Request, wire::Answer)> {
        let access = self.server.access::<D>().await?;
        let request = self.server.request::<D>(Some(access), operation, route, &[], NO_QUERY)?;
        let answer = self.server.http.send(&request).await?;
        Ok((request, answer))
    }

    /// The account that the token belongs to; None for API keys, which get 400 or 404 (or even 500) for an answer. A token that is refused here is
    /// refused for the list as well, which then says so.
    async fn me(&self) -> Result<Option<Account>> {
        if let Some(account) = &self.server.access::<D>().await?.account {
            return Ok(Some(account.clone()));
        }
        match self.get(Operation::Accounts, "/Users/Me").await {
            Ok((request, answer)) => Ok(Some(account(self.server.http.json(&request, &answer)?, true))),
            Err(error) if passing(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// True for failures that say nothing of the token.
const fn passing(error: &ServerError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::RateLimited | ErrorKind::Configuration
    )
}

#[async_trait]
impl<D: Dialect> MediaServer for MediaBrowser<D> {
    async fn introduce(&self) -> Result<Introduction> {
        let http = &self.server.http;
        let request =
            http.request(Operation::Identify, "/System/Info/Public", &[], NO_QUERY).header(ACCEPT, "application/json");
        let answer = http.send(&request).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::Unauthorized | ErrorKind::Forbidden => {
                error.meaning(ErrorKind::WrongServer, D::NOT_ONE_OF_THEM)
            }
            _ => error,
        })?;
        let info: SystemInfo = http.json(&request, &answer)?;
        D::check(&info.version).map_err(|(kind, problem)| http.error(Operation::Identify, kind, problem))?;
        Ok(Introduction { server_id: info.id, version: info.version })
    }

    async fn identify(&self, now: &(dyn Fn() -> Timestamp + Send + Sync)) -> Result<Identity> {
        let http = &self.server.http;
        let (request, answer) = match self.get(Operation::Identify, "/System/Info").await {
            // Some versions keep it for administrators. Then the libraries' side of the API tells whether the token is good.
            Err(error) if error.kind() == ErrorKind::Forbidden => {
                self.get(Operation::Identify, "/Users/Me").await?;
                self.get(Operation::Identify, "/System/Info/Public").await?
            }
            outcome => outcome?,
        };
        let clock_offset = clock_offset(&answer.headers, now());
        let info: SystemInfo = http.json(&request, &answer)?;
        D::check(&info.version).map_err(|(kind, problem)| http.error(Operation::Identify, kind, problem))?;
        Ok(Identity { server_id: info.id, name: info.server_name, version: info.version, clock_offset })
    }

    async fn accounts(&self) -> Result<Accounts> {
        let me = self.me().await?;
        if let Some(me) = me.as_ref().filter(|me| !me.admin) {
            return Ok(Accounts { there: vec![me.clone()], partial: None });
        }
        let (request, answer) = self.get(Operation::Accounts, "/Users").await?;
        let users: Vec<User> = self.server.http.json(&request, &answer)?;
        let is_me = |user: &User| me.as_ref().is_some_and(|me| me.id == user.id);
        let there = users.into_iter().map(|user| (is_me(&user), user)).map(|(own, user)| account(user, own)).collect();
        Ok(Accounts { there, partial: None })
    }

    async fn own_account(&self) -> Result<Option<Account>> {
        self.me().await
    }

    async fn open(&self, account: &Account, _server_id: &str) -> Result<Box<dyn AccountView>> {
        let secret = self.server.credentials.of_account(&account.id, &account.name);
        let access = match secret.and_then(|secret| secret.token.as_ref()) {
            Some(token) => Access { token: token.clone(), ours: false, account: None },
            None => self.server.access::<D>().await?.clone(),
        };
        Ok(Box::new(View::<D>::new(Arc::clone(&self.server), access, account.clone())))
    }

    async fn log_in(&self) -> Result<Option<SecretString>> {
        let access = self.server.access::<D>().await?;
        Ok(access.ours.then(|| access.token.clone()))
    }

    async fn set_webhook(&self, webhook: &Webhook) -> Result<bool> {
        D::set_webhook(&self.server, webhook).await
    }

    async fn remove_webhook(&self, mark: &str) -> Result<bool> {
        D::remove_webhook(&self.server, mark).await
    }
}

/// The offset that an answer's `Date` tells; none where it has no date.
pub(crate) fn clock_offset(headers: &HeaderMap, now: Timestamp) -> ClockOffset {
    wire::date(headers).map_or_else(ClockOffset::default, |theirs| ClockOffset::measured(theirs, now))
}

/// The first two numbers of a version.
pub(crate) fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next().and_then(std::result::Result::ok).unwrap_or_default()))
}
