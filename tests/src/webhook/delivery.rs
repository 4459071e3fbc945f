//! One webhook at work: what waits to be sent, in which order and how often, and what became of it. As with the real
//! servers, an event that isn't taken is lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue};
use reqwest::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use url::Url;

use super::body::Body;
use super::{Event, Sent, Shape, Target, WebhookError, emby, jellyfin, plex, tautulli};
use crate::world::{Change, Flavor, Model};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One webhook.
pub(super) struct Delivery {
    pub(super) target: Target,
    pub(super) shape: Shape,
    queue: Mutex<Queue>,
    progress: Arc<watch::Sender<Progress>>,
}

struct Queue {
    line: mpsc::UnboundedSender<Event>,
    /// Events held back; none: they go at once.
    held: Option<Vec<Event>>,
    twice: bool,
}

/// How far it has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Events that were let through, sent or not.
    pub(super) queued: usize,
    /// Those that were sent.
    pub(super) sent: Vec<Sent>,
}

impl Delivery {
    /// A webhook, and the task that sends its events.
    pub(super) fn start(
        flavor: Flavor,
        target: Target,
        shape: Shape,
        url: Url,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<(Arc<Self>, JoinHandle<()>), WebhookError> {
        // Nothing is sent a second time, and no connection is used again that the receiver may have closed.
        let client = Client::builder()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(0)
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let (line, waiting) = mpsc::unbounded_channel();
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        let sender = Sender { client, url, header, shape: shape.clone(), agent: agent(flavor, &shape) };
        let sending = tokio::spawn(sender.send_all(waiting, Arc::clone(&progress)));
        let queue = Mutex::new(Queue { line, held: None, twice: false });
        Ok((Arc::new(Self { target, shape, queue, progress }), sending))
    }

    /// Writes down what the server would send of a change. `model` is as the change left it.
    pub(super) fn tell(&self, model: &Model, change: &Change) {
        let events = match &self.shape {
            Shape::PlexMultipart => plex::events(model, change, self.target.owner_by_account),
            Shape::Tautulli => tautulli::events(model, change),
            Shape::JellyfinText | Shape::JellyfinJson | Shape::JellyfinForm | Shape::JellyfinTemplate(_) => {
                jellyfin::events(model, change, &self.shape)
            }
            Shape::EmbyMultipart | Shape::EmbyForm | Shape::EmbyJson => {
                emby::events(model, change, !self.target.without_user_data)
            }
        };
        self.with(|queue| match &mut queue.held {
            Some(held) => held.extend(events),
            None => self.send(queue, events),
        });
    }

    pub(super) fn hold(&self) {
        self.with(|queue| {
            queue.held.get_or_insert_default();
        });
    }

    pub(super) fn release(&self, reversed: bool) {
        self.with(|queue| {
            let mut held = queue.held.take().unwrap_or_default();
            if reversed {
                held.reverse();
            }
            self.send(queue, held);
        });
    }

    pub(super) fn twice(&self) {
        self.with(|queue| queue.twice = true);
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.progress.borrow().sent.clone()
    }

    /// Waits until it has come far enough; all that was sent.
    pub(super) async fn wait(&self, enough: impl FnMut(&Progress) -> bool) -> Vec<Sent> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(enough).await;
        // The other end lives as long as this webhook.
        reached.map(|progress| progress.sent.clone()).unwrap_or_default()
    }

    fn send(&self, queue: &Queue, events: Vec<Event>) {
        for event in events {
            for _ in 0..=usize::from(queue.twice) {
                self.progress.send_modify(|progress| progress.queued += 1);
                // Fails only when the webhook is about to go.
                drop(queue.line.send(event.clone()));
            }
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Queue) -> T) -> T {
        f(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the sender calls itself.
fn agent(flavor: Flavor, shape: &Shape) -> String {
    let version = flavor.version();
    match flavor {
        _ if *shape == Shape::Tautulli => "Tautulli/2.17.2".to_owned(),
        Flavor::Plex => format!("PlexMediaServer/{version}"),
        Flavor::Jellyfin1010 | Flavor::Jellyfin1011 | Flavor::Jellyfin12 => format!("Jellyfin-Server/{version}"),
        Flavor::Emby48 | Flavor::Emby49 => format!("Emby Server/{version}"),
    }
}

/// The sending end.
struct Sender {
    client: Client,
    url: Url,
    header: Option<(HeaderName, HeaderValue)>,
    shape: Shape,
    agent: String,
}

impl Sender {
    async fn send_all(self, mut waiting: mpsc::UnboundedReceiver<Event>, progress: Arc<watch::Sender<Progress>>) {
        while let Some(event) = waiting.recv().await {
            let status = self.send(&event).await;
            let sent = Sent { at: event.at, event: event.name, status, body: event.payload };
            progress.send_modify(|progress| progress.sent.push(sent));
        }
    }

    async fn send(&self, event: &Event) -> Option<u16> {
        let Body { content_type, bytes } = Body::new(&self.shape, event);
        let request = self.client.post(self.url.clone()).header(USER_AGENT, &self.agent);
        let request = request.header(CONTENT_TYPE, content_type).body(bytes);
        let request = self.header.iter().fold(request, |request, (name, value)| request.header(name, value));
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                // Read to its end, so that the receiver isn't cut off.
                drop(answer.bytes().await);
                Some(status)
            }
            Err(error) => {
                tracing::warn!(event = event.name, error = %error.without_url(), "an event was not taken");
                None
            }
        }
    }
}
