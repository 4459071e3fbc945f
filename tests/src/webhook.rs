//! Webhooks: a simulated server tells somebody what happens to it, by the requests that the real server would send.
//! Events are written down at the moment of the change, with the state as it then is, and sent one after the other.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinHandle;
use url::Url;

use crate::world::{Flavor, Media, Model, World};

mod body;
mod delivery;
mod emby;
mod jellyfin;
mod plex;
mod registry;
mod tautulli;
#[cfg(test)]
mod tests;

use delivery::Delivery;
pub use registry::Registry;

/// Where events are sent, and in which form. As JSON, all but `url` may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// The whole address, with a path and query that hold the secret, if there is one.
    pub url: String,
    /// A further header. Real ones of Plex and Emby send none: there the secret stands in the address.
    #[serde(default)]
    pub header: Option<(String, String)>,
    /// The form; none: the one that a server of this version has from the start.
    #[serde(default)]
    pub shape: Option<Shape>,
    /// Plex: the owner is told by the account id at plex.tv, not as 1.
    #[serde(default)]
    pub owner_by_account: bool,
    /// Emby: items come without the user's state.
    #[serde(default)]
    pub without_user_data: bool,
}

impl Target {
    /// The usual form, to this address.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), header: None, shape: None, owner_by_account: false, without_user_data: false }
    }
}

/// The form of a webhook's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Plex: multipart, with the parts `payload` and, for some events, `thumb`.
    PlexMultipart,
    /// Tautulli, which watches a Plex: JSON in which all values are text.
    Tautulli,
    /// Jellyfin's generic destination with *Send All Properties*: JSON that calls itself plain text.
    JellyfinText,
    /// The same with a header `Content-Type: application/json`.
    JellyfinJson,
    /// Jellyfin's destination *Generic Form*: a url-encoded form of values as a template writes them.
    JellyfinForm,
    /// Jellyfin's generic destination with a template of the user's own, which holds these fields.
    JellyfinTemplate(Vec<String>),
    /// Emby: multipart with JSON in the part `data`.
    EmbyMultipart,
    /// Emby: a url-encoded form with JSON in the field `data`.
    EmbyForm,
    /// Emby: JSON.
    EmbyJson,
}

impl Shape {
    /// What a server has unless somebody chooses another.
    pub const fn usual(flavor: Flavor) -> Self {
        match flavor {
            Flavor::Plex => Self::PlexMultipart,
            Flavor::Jellyfin1010 | Flavor::Jellyfin1011 | Flavor::Jellyfin12 => Self::JellyfinText,
            Flavor::Emby48 => Self::EmbyMultipart,
            Flavor::Emby49 => Self::EmbyJson,
        }
    }

    const fn fits(&self, flavor: Flavor) -> bool {
        match self {
            Self::PlexMultipart | Self::Tautulli => flavor.is_plex(),
            Self::JellyfinText | Self::JellyfinJson | Self::JellyfinForm | Self::JellyfinTemplate(_) => {
                flavor.is_jellyfin()
            }
            Self::EmbyMultipart | Self::EmbyForm | Self::EmbyJson => flavor.is_emby(),
        }
    }
}

/// A webhook can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address isn't one.
    #[error("events can't be sent to this address: {0}")]
    Url(#[from] url::ParseError),
    /// The further header can't be sent.
    #[error("a header {0:?} with this value can't be sent")]
    Header(String),
    /// The server doesn't have this form.
    #[error("{} sends no events in the form {shape:?}", flavor.slug())]
    Shape {
        /// The form asked for.
        shape: Shape,
        /// The server.
        flavor: Flavor,
    },
    /// The client could not be made.
    #[error("no client can be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// An event that was sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sent {
    /// When it happened, by the server's clock.
    pub at: Timestamp,
    /// The event in the server's own words; for Jellyfin's `UserDataSaved` with its reason: `UserDataSaved TogglePlayed`.
    pub event: String,
    /// The status of the answer; none if there was no answer. It is not sent again.
    pub status: Option<u16>,
    /// The payload: what stands in the JSON, or in the form.
    pub body: Value,
}

/// A webhook of one server. It is gone when dropped.
pub struct Webhooks {
    delivery: Arc<Delivery>,
    sending: JoinHandle<()>,
}

impl Webhooks {
    /// Sends what happens from now on. Call it inside a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If the target can't be used, or a server of this kind doesn't have its shape.
    pub fn start(world: &World, target: Target) -> Result<Self, WebhookError> {
        let flavor = world.flavor();
        let shape = target.shape.clone().unwrap_or_else(|| Shape::usual(flavor));
        if !shape.fits(flavor) {
            return Err(WebhookError::Shape { shape, flavor });
        }
        let url = Url::parse(&target.url)?;
        let header = target.header.as_ref().map(|(name, value)| {
            let refused = || WebhookError::Header(name.clone());
            let value = HeaderValue::try_from(value).map_err(|_| refused())?;
            HeaderName::try_from(name).map(|name| (name, value)).map_err(|_| refused())
        });
        let header = header.transpose()?;
        let (delivery, sending) = Delivery::start(flavor, target, shape, url, header)?;
        world.webhooks().add(&delivery);
        Ok(Self { delivery, sending })
    }

    /// What was sent, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.delivery.sent()
    }

    /// Waits until at least `count` events were sent; all that were sent.
    pub async fn wait_for(&self, count: usize) -> Vec<Sent> {
        self.wait_until(|sent| sent.len() >= count).await
    }

    /// Waits until `enough` was sent; all that was sent.
    pub async fn wait_until(&self, mut enough: impl FnMut(&[Sent]) -> bool) -> Vec<Sent> {
        self.delivery.wait(|progress| enough(&progress.sent)).await
    }

    /// Waits until everything that has happened so far was sent, apart from what is held back; all that was sent.
    pub async fn settle(&self) -> Vec<Sent> {
        self.delivery.wait(|progress| progress.sent.len() == progress.queued).await
    }

    /// Holds events back from now on.
    pub fn hold(&self) {
        self.delivery.hold();
    }

    /// Sends what was held back, in order, and holds nothing back any more.
    pub fn release(&self) {
        self.delivery.release(false);
    }

    /// Sends what was held back, the last first, and holds nothing back any more.
    pub fn release_reversed(&self) {
        self.delivery.release(true);
    }

    /// Sends each event two times from now on.
    pub fn twice(&self) {
        self.delivery.twice();
    }

    /// Where events are sent, without the query, in which secrets are.
    pub fn address(&self) -> &str {
        let url = &self.delivery.target.url;
        url.split_once('?').map_or(url, |(address, _)| address)
    }

    /// The form of its requests.
    pub fn shape(&self) -> &Shape {
        &self.delivery.shape
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhooks({:?} to {}, {} sent)", self.shape(), self.address(), self.sent().len())
    }
}

/// An event, as yet without a form.
#[derive(Debug, Clone)]
struct Event {
    at: Timestamp,
    name: String,
    payload: Value,
    /// It comes with a picture (Plex).
    picture: bool,
}

/// The films and episodes that a mark of an item is for, in the order in which they are watched.
fn leaves<'m>(model: &'m Model, media: &Media) -> Vec<&'m Media> {
    let ids = model.leaves(&media.id);
    let mut leaves: Vec<&Media> = ids.iter().filter_map(|id| model.media.get(id)).collect();
    leaves.sort_by_key(|leaf| (leaf.season, leaf.episode));
    leaves
}

impl Event {
    fn new(at: Timestamp, name: &str, payload: Value) -> Self {
        Self { at, name: name.to_owned(), payload, picture: false }
    }
}
