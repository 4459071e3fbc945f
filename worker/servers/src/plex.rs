//! Plex Media Server: JSON, its own headers, a token an account. What belongs to accounts is asked of plex.tv (see `tv`),
//! everything else of the server itself.

mod dto;
mod item;
#[cfg(test)]
mod tests;
mod tv;
mod view;
mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{ACCEPT, HeaderName};
use jiff::Timestamp;
use secrecy::SecretString;

use crate::connection::{Connection, Credentials};
use crate::error::{ErrorKind, ServerError};
use crate::http::{Answer, Http, NO_QUERY, PRODUCT, Request, VERSION, exposed, secret_value};
use crate::mediabrowser::clock_offset;
use crate::operation::Operation;
use crate::{Account, AccountView, Accounts, Identity, Introduction, MediaServer, Result, Webhook};
use dto::{Answered, Root};
pub(crate) use item::item_of_webhook;
use view::View;

const TOKEN: HeaderName = HeaderName::from_static("x-plex-token");
const CLIENT: HeaderName = HeaderName::from_static("x-plex-client-identifier");
const PRODUCT_NAME: HeaderName = HeaderName::from_static("x-plex-product");
const PRODUCT_VERSION: HeaderName = HeaderName::from_static("x-plex-version");

/// The owner's id at the server itself, whatever plex.tv calls it: in sessions, in webhooks, in the server's own list of accounts. It is
/// used in place of plex.tv's, so that the owner is the same account whether plex.tv answers or not.
const OWNER: &str = "1";

/// A Plex Media Server.
pub(crate) struct Plex(Arc<Server>);

/// What all views of one server share.
struct Server {
    http: Http,
    tv: Http,
    token: SecretString,
    credentials: Credentials,
    client_id: String,
    page_size: u32,
}

impl Server {
    /// Adds what every request to Plex carries. Never `X-Plex-Provides`: with it plex.tv takes us for the server.
    fn sign(&self, request: Request, token: &SecretString) -> Result<Request> {
        let operation = request.operation;
        let mut request = request
            .header(ACCEPT, "application/json")
            .header(CLIENT, &self.client_id)
            .header(PRODUCT_NAME, PRODUCT)
            .header(PRODUCT_VERSION, VERSION);
        let Some(value) = secret_value(exposed(token)) else {
            let problem = "the token holds characters that no header can carry: is it the right key of the Secret?";
            return Err(self.http.error(operation, ErrorKind::Configuration, problem));
        };
        request.headers.insert(TOKEN, value);
        request.token = Some(token.clone());
        Ok(request)
    }

    fn request(
        &self,
        token: &SecretString,
        operation: Operation,
        route: &'static str,
        ids: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Request> {
        self.sign(self.http.request(operation, route, ids, query), token)
    }

    async fn root(&self, operation: Operation) -> Result<(Root, Answer)> {
        let request = self.request(&self.token, operation, "/", &[], NO_QUERY)?;
        let answer = self.http.send(&request).await?;
        let root: Answered<Root> = self.http.json(&request, &answer)?;
        Ok((root.container, answer))
    }

    /// Whether the token is the owner's: nobody else may see the sessions.
    async fn is_owner(&self) -> Result<bool> {
        let query = [("X-Plex-Container-Start", "0"), ("X-Plex-Container-Size", "0")];
        let request = self.request(&self.token, Operation::Accounts, "/status/sessions", &[], &query)?;
        match self.http.send(&request).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Forbidden) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The account of the token, and its id at plex.tv where plex.tv told it. The owner's doesn't need plex.tv.
    async fn own(&self) -> Result<(Account, Result<String>, Root)> {
        let (root, _) = self.root(Operation::Accounts).await?;
        let admin = self.is_owner().await?;
        match self.tv_user().await {
            Ok((id, name)) => {
                let own = Account { id: if admin { OWNER.to_owned() } else { id.clone() }, name, admin, own: true };
                Ok((own, Ok(id), root))
            }
            Err(error) if admin => {
                // Some versions write an address there, which isn't for showing.
                let name = root.my_plex_username.clone().filter(|name| !name.is_empty() && !name.contains('@'));
                let name = name.unwrap_or_else(|| "owner".to_owned());
                Ok((Account { id: OWNER.to_owned(), name, admin, own: true }, Err(error), root))
            }
            Err(error) => Err(error),
        }
    }
}

impl Plex {
    pub(crate) fn new(connection: Connection) -> Result<Self> {
        let http = Http::new(&connection)?;
        let Some(token) = connection.credentials.token.clone() else {
            let problem = "there is no token: set tokenSecretRef";
            return Err(http.error(Operation::Identify, ErrorKind::Configuration, problem));
        };
        Ok(Self(Arc::new(Server {
            http,
            tv: Http::plex_tv(&connection)?,
            token,
            credentials: connection.credentials,
            client_id: connection.client_id,
            page_size: connection.limits.page_size,
        })))
    }
}

#[async_trait]
impl MediaServer for Plex {
    async fn introduce(&self) -> Result<Introduction> {
        let http = &self.0.http;
        let request = http.request(Operation::Identify, "/identity", &[], NO_QUERY).header(ACCEPT, "application/json");
        let other = |error: ServerError| match error.kind() {
            // Whatever else runs there doesn't know the page, or wants to know who asks.
            ErrorKind::NotFound | ErrorKind::Unauthorized | ErrorKind::Forbidden => error.meaning(
                ErrorKind::WrongServer,
                "what answers there is no Plex Media Server: is the url right, is it the right type?",
            ),
            _ => error,
        };
        let answer = http.send(&request).await.map_err(other)?;
        let identity: Answered<Root> = http.json(&request, &answer)?;
        Ok(Introduction {
            server_id: identity.container.machine_identifier,
            version: short(&identity.container.version),
        })
    }

    async fn identify(&self, now: &(dyn Fn() -> Timestamp + Send + Sync)) -> Result<Identity> {
        let (root, answer) = self.0.root(Operation::Identify).await?;
        let clock_offset = clock_offset(&answer.headers, now());
        let version = short(&root.version);
        Ok(Identity { server_id: root.machine_identifier, name: root.friendly_name, version, clock_offset })
    }

    async fn accounts(&self) -> Result<Accounts> {
        let (own, tv_id, root) = self.0.own().await?;
        let owner = own.admin;
        let mut there = vec![own];
        let others = match tv_id {
            Ok(tv_id) if owner => self.0.others(&tv_id, &root.machine_identifier, &mut there).await,
            told => told.map(drop),
        };
        Ok(Accounts { there, partial: others.err() })
    }

    async fn own_account(&self) -> Result<Option<Account>> {
        self.0.own().await.map(|(own, _, _)| Some(own))
    }

    async fn open(&self, account: &Account, server_id: &str) -> Result<Box<dyn AccountView>> {
        let token = self.0.token_of(account, server_id).await?;
        Ok(Box::new(View::new(Arc::clone(&self.0), token, account.clone())))
    }

    async fn log_in(&self) -> Result<Option<SecretString>> {
        Ok(None)
    }

    async fn set_webhook(&self, webhook: &Webhook) -> Result<bool> {
        self.0.set_webhook(webhook).await
    }

    async fn remove_webhook(&self, mark: &str) -> Result<bool> {
        self.0.remove_webhook(mark).await
    }
}

/// The part of a version before the dash; behind it is the build.
fn short(version: &str) -> String {
    version.split('-').next().unwrap_or_default().to_owned()
}

/// True for failures that a token of another account would not change.
const fn lacks(error: &ServerError) -> bool {
    matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::NotFound)
}
