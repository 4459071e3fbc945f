//! Plex, Jellyfin and Emby behind one trait: pages of items in, single writes out. [`notice`] reads their webhooks.
//!
//! [`connect`] makes a [`MediaServer`] from a [`Connection`]; [`MediaServer::open`] makes an [`AccountView`]: the server as one
//! account sees it. Every stamp is on the server's clock; [`Identity::clock_offset`] brings it to ours. Nothing here decides anything:
//! requests are sent, answers are read into [`watchstate_domain`]'s types.

mod connection;
mod emby;
mod error;
mod http;
mod jellyfin;
mod lenient;
mod mediabrowser;
pub mod notice;
mod operation;
mod pages;
mod plex;
mod selection;
#[cfg(test)]
mod testing;
mod webhook;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use secrecy::SecretString;
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::item::{Item, ItemState, ServerKind};

pub use connection::{AccountSecret, Connection, Credentials, Limits, PLEX_TV, RequestObserver, Tls, connect};
pub use error::{ErrorKind, ServerError};
pub use selection::{Content, Selection};
pub use webhook::Webhook;

/// The result of a call to a server.
pub type Result<T> = std::result::Result<T, ServerError>;

/// Who a server says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Plex `machineIdentifier`, Jellyfin and Emby `Id`: stays when the address changes, differs when the address leads elsewhere.
    pub server_id: String,
    /// The name that its owner gave it.
    pub name: String,
    /// `1.41.6.9606`, `10.11.2`, `4.9.1.2`.
    pub version: String,
    /// How far its clock is ahead of ours, from the `Date` of its answer.
    pub clock_offset: ClockOffset,
}

/// Who answers at an address, as it tells anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// As in [`Identity`].
    pub server_id: String,
    /// As in [`Identity`].
    pub version: String,
}

/// One account at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Jellyfin and Emby: the user's id. Plex: `1` for the server's owner, as in sessions and webhooks, whether plex.tv answers or not; for others the
    /// id at plex.tv, as text.
    pub id: String,
    /// The name that is shown.
    pub name: String,
    /// May administer the server.
    pub admin: bool,
    /// The token belongs to this account. API keys of Jellyfin and Emby belong to none.
    pub own: bool,
}

/// One library as one account sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The server's id of it.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it holds.
    pub content: Content,
}

/// Exact numbers of one library for one account. For a library of shows they count episodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Films and episodes.
    pub total: u64,
    /// Those that the server calls played.
    pub played: u64,
    /// Those with a position.
    pub resumable: u64,
}

/// One page of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The items, in the server's order. Items of other kinds than films, shows and episodes are left out.
    pub items: Vec<Item>,
    /// How many entries the server sent, those left out included.
    pub received: u64,
    /// How many entries the whole selection holds, as the server says with this page.
    pub total: u64,
}

/// What to make of one item for the account; stamps are on the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Mark as played.
    Played {
        /// When it was watched; Plex takes no date and stamps its own now.
        at: Option<Timestamp>,
    },
    /// Mark as unplayed.
    Unplayed,
    /// Set how far a viewing got; never marks as played.
    Position {
        /// Milliseconds from the start, above 0.
        position_ms: u64,
        /// When the viewing got there.
        at: Timestamp,
    },
    /// Take a left-over position away from a played item. Plex can't ([`Write::is_possible_at`]).
    ClearPosition,
}

impl Write {
    /// False where a server of this kind has no way to do it; nothing is sent then, and the error is of kind [`ErrorKind::Unsupported`].
    /// Plex ignores a position of 0, its `removeFromContinueWatching` only hides the item, and marking anew would count a play.
    pub const fn is_possible_at(self, kind: ServerKind) -> bool {
        !matches!((self, kind), (Self::ClearPosition, ServerKind::Plex))
    }
}

/// The accounts at a server.
#[derive(Debug)]
pub struct Accounts {
    /// Those that were told, the token's own first where it has one.
    pub there: Vec<Account>,
    /// Why others may be there as well: plex.tv, which alone knows who may see a Plex server, didn't answer or doesn't take the token.
    pub partial: Option<ServerError>,
}

/// A media server. Cheap to share; limits of concurrency and rate hold for all its views together.
#[async_trait]
pub trait MediaServer: Send + Sync {
    /// Asks who answers, without showing a token or login: so that whether an address still leads to the server it led to is known before any
    /// secret is sent there. [`ErrorKind::WrongServer`]: what answers is no server of this make. One request.
    async fn introduce(&self) -> Result<Introduction>;

    /// Asks the server who it is, with its token: fails when the token isn't valid. One or two requests.
    async fn identify(&self, now: &(dyn Fn() -> Timestamp + Send + Sync)) -> Result<Identity>;

    /// The accounts that the token may see. A Plex token that isn't the owner's, or a user's token at Jellyfin or Emby, sees its own only.
    async fn accounts(&self) -> Result<Accounts>;

    /// The account that the token belongs to, with fewer requests than [`MediaServer::accounts`]; None for API keys of Jellyfin and Emby. For Plex this is
    /// what single-user set-ups need: of plex.tv only the name is asked.
    async fn own_account(&self) -> Result<Option<Account>> {
        Ok(self.accounts().await?.there.into_iter().find(|account| account.own))
    }

    /// The server as `account` sees it. Plex: needs a token of that account: one of [`Credentials::accounts`], else asked of plex.tv with the
    /// owner's token (home users by switching, friends by the shared servers list). `server_id`: as in [`Identity`].
    async fn open(&self, account: &Account, server_id: &str) -> Result<Box<dyn AccountView>>;

    /// Exchanges the login for a token, for who keeps it; None where there is no login to be exchanged (a token was given, or it is Plex).
    async fn log_in(&self) -> Result<Option<SecretString>>;

    /// Makes the server send its events to the webhook, by the entry of the server's settings that bears its mark. False: it did so already.
    /// [`ErrorKind::Unsupported`]: this server can't (no Plex Pass, no plug-in, no such settings). Needs an administrator's token.
    async fn set_webhook(&self, webhook: &Webhook) -> Result<bool>;

    /// Takes the entry with this mark out of the server's settings. False: there was none.
    async fn remove_webhook(&self, mark: &str) -> Result<bool>;
}

/// A server as one account sees it.
#[async_trait]
pub trait AccountView: Send + Sync {
    /// The libraries that the account sees, those without films and shows included. One request.
    async fn libraries(&self) -> Result<Vec<Library>>;

    /// Exact numbers of a library: one request each for total, played and resumable, with no items in the answers.
    async fn counts(&self, library: &Library) -> Result<Counts>;

    /// The selected items of a library, page after page; the next page is asked for while the last one is being worked on.
    /// An error ends the stream. Costs ceil(items / page size) requests, at least one.
    fn items<'a>(&'a self, library: &'a Library, selection: Selection) -> BoxStream<'a, Result<Page>>;

    /// The named items as they are now, at most 100 ids a call and one request a call. What the server doesn't know is missing in the answer.
    async fn items_by_id(&self, remote_ids: &[String]) -> Result<Vec<Item>>;

    /// The ids of what an item lies in, its library's among them; empty when the server doesn't know the item. One request.
    async fn libraries_of(&self, remote_id: &str) -> Result<Vec<String>>;

    /// The items that the account is playing right now. Empty where the token may not ask (Plex: not the owner's). One request.
    async fn playing(&self) -> Result<Vec<String>>;

    /// Writes to one item, one request (a position at Emby: a read before it, since Emby replaces the whole record). `item` is the item as it
    /// was just read. Returns the state that the server now holds as far as it can be known: the stamp is None where the server stamps its own now.
    /// [`ErrorKind::Uncertain`]: it may or may not have happened, and must not be repeated before the item was read again.
    /// Plex: a position beyond 89 % of the running time is written as 89 %, since Plex would take the item for played.
    async fn write(&self, item: &Item, write: &Write) -> Result<ItemState>;
}
