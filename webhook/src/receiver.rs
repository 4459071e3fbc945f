//! The way of a request: address → token → body → events → journal → 202.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use secrecy::SecretBox;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::{self, Kept, Kind, Metrics, Refusal, Refused};
use watchstate_servers::notice;
use watchstate_store::inbox::Received;

use crate::body::{self, BodyError};
use crate::journal::Journal;
use crate::keep::Keeper;
use crate::registry::{Registry, Snapshot};
use crate::{address, resolve, token};

/// How long a body may take; a media server sends at once what it has.
const BODY_TIME: Duration = Duration::from_secs(15);
/// Addresses with wrong tokens that are remembered at most.
const REMEMBERED: usize = 10_000;
/// When to come back after 503, in seconds.
const COME_BACK: &str = "10";

/// What the way of a request leads past.
#[derive(Debug)]
pub struct Receiver {
    /// Whose token is it?
    pub registry: Registry,
    /// Where events become safe.
    pub journal: Journal,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Proxies that are believed.
    pub trusted: Vec<IpNet>,
    /// The largest body in bytes.
    pub max_body: usize,
    /// Counts wrong tokens.
    pub wrong: WrongTokens,
    /// Keeps raw requests, where that is wanted.
    pub keeper: Option<Keeper>,
}

/// The routes.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let events = get(hello).post(receive).put(receive);
    Router::new()
        .route("/", events.clone())
        .route("/webhook", events.clone())
        // Where the original of 2023 and later took them.
        .route("/v1/api/webhook", events)
        .fallback(async || (StatusCode::NOT_FOUND, "events are taken at / and /webhook\n"))
        .with_state(receiver)
}

/// Tells a person what is here, and a readiness probe whether events would be taken.
async fn hello(State(receiver): State<Arc<Receiver>>) -> Result<&'static str, Refusing> {
    receiver.snapshot()?;
    Ok("watchstate takes the webhooks of media servers here, by POST\n")
}

/// Why a request is refused, and what the sender is told.
#[derive(Debug)]
struct Refusing {
    why: Refusal,
    text: String,
}

impl Refusing {
    fn new(why: Refusal, text: impl Into<String>) -> Self {
        Self { why, text: text.into() }
    }

    const fn status(&self) -> StatusCode {
        match self.why {
            Refusal::Token => StatusCode::UNAUTHORIZED,
            Refusal::TooManyTokens => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Unreadable => StatusCode::BAD_REQUEST,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::NoRoom | Refusal::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusing {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{}\n", self.text)).into_response();
        if matches!(self.why, Refusal::NoRoom | Refusal::NotReady | Refusal::TooManyTokens) {
            response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static(COME_BACK));
        }
        response
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let began = Instant::now();
    let _in_flight = receiver.metrics.in_flight("webhook");
    let (parts, body) = request.into_parts();
    let address = address::client(peer.ip(), &parts.headers, &receiver.trusted);
    let mut read = Bytes::new();
    let token = token::offered(parts.uri.query(), &parts.headers);
    let outcome = receiver.take(address, token.as_ref(), &parts.headers, body, &mut read).await;
    let response = match outcome {
        Ok(events) => {
            tracing::debug!(%address, method = %parts.method, path = parts.uri.path(), events, took = ?began.elapsed(), "202");
            (StatusCode::ACCEPTED, "accepted\n").into_response()
        }
        Err(refusing) => {
            receiver.metrics.requests_refused_total.inc(&Refused { why: refusing.why });
            tracing::info!(
                %address, method = %parts.method, path = parts.uri.path(), status = refusing.status().as_u16(),
                why = refusing.why.as_str(), "refused"
            );
            refusing.into_response()
        }
    };
    if let Some(keeper) = &receiver.keeper {
        keeper.keep(receiver.clock.now(), address, &parts.headers, token.as_ref(), &read, response.status());
    }
    response
}

impl Receiver {
    /// The registry as it was last read; an old one is good enough, none is not.
    fn snapshot(&self) -> Result<Arc<Snapshot>, Refusing> {
        let latest = self.registry.latest();
        latest.ok_or_else(|| Refusing::new(Refusal::NotReady, "not ready yet: the registry was not read"))
    }

    /// Takes a request's events; how many. `read` gets the body as far as it was read.
    async fn take(
        &self,
        address: IpAddr,
        token: Option<&SecretBox<[u8]>>,
        headers: &HeaderMap,
        body: Body,
        read: &mut Bytes,
    ) -> Result<usize, Refusing> {
        let snapshot = self.snapshot()?;
        let sender = address::household(address);
        if self.wrong.is_blocked(sender) {
            return Err(Refusing::new(Refusal::TooManyTokens, "too many wrong tokens; try again later"));
        }
        let Some(servers) = snapshot.tokens.servers(token) else {
            self.wrong.count(sender);
            return Err(Refusing::new(Refusal::Token, "the token is missing or wrong"));
        };
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let reading = tokio::time::timeout(BODY_TIME, body::read(content_type, body, self.max_body)).await;
        *read = match reading {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error @ BodyError::TooLarge)) => {
                return Err(Refusing::new(Refusal::TooLarge, error.to_string()));
            }
            Ok(Err(error)) => return Err(Refusing::new(Refusal::Unreadable, error.to_string())),
            Err(_) => return Err(Refusing::new(Refusal::TooSlow, "the body takes too long")),
        };
        let arrived = Instant::now();
        let events = self.events(&snapshot, servers, content_type, read)?;
        let count = events.len();
        let at_once: Vec<metrics::Received> = events.iter().filter_map(|event| counted(&snapshot, event)).collect();
        let place =
            self.journal.keep(events).await.map_err(|no_room| Refusing::new(Refusal::NoRoom, no_room.to_string()))?;
        self.metrics.event_durable_duration_seconds.observe(&Kept { place }, arrived.elapsed());
        for received in at_once {
            self.metrics.events_received_total.inc(&received);
        }
        Ok(count)
    }

    fn events(
        &self,
        snapshot: &Snapshot,
        servers: &[i64],
        content_type: Option<&str>,
        body: &Bytes,
    ) -> Result<Vec<Received>, Refusing> {
        let form = notice::form_to_json(content_type, body);
        let json = form.as_deref().unwrap_or(body);
        let told = notice::read(json).map_err(|error| Refusing::new(Refusal::Unreadable, error.to_string()))?;
        let now = self.clock.now();
        Ok(told
            .into_iter()
            .enumerate()
            .map(|(place, (kind, notice))| {
                resolve::resolve(&snapshot.household, servers, kind, notice, json, place, now)
            })
            .collect())
    }
}

/// What is counted of an event that is put aside at once; the others are counted when they are merged.
fn counted(snapshot: &Snapshot, event: &Received) -> Option<metrics::Received> {
    let reason = event.reason.as_deref()?;
    let kind = event.server_id.and_then(|id| snapshot.household.servers.get(&id))?.kind;
    let reason = watchstate_domain::notice::Reason::ALL.into_iter().find(|known| known.sentence() == reason)?;
    let kind = Kind::named(kind.as_str())?;
    Some(metrics::Received { kind, verdict: event.verdict.as_str(), reason: reason.as_str() })
}

/// Addresses that send wrong tokens. One that sent too many isn't asked for its token any more, for a while.
#[derive(Debug)]
pub struct WrongTokens {
    quota: Quota,
    seen: Mutex<Seen>,
}

type Limiter = RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>;

/// What is remembered of addresses: never more than [`REMEMBERED`] in each.
#[derive(Debug)]
struct Seen {
    limiter: Limiter,
    blocked: HashMap<IpAddr, Instant>,
}

impl WrongTokens {
    /// So many a minute are borne.
    pub fn a_minute(count: u32) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
        Self { quota, seen: Mutex::new(Seen { limiter: Limiter::hashmap(quota), blocked: HashMap::new() }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_blocked(&self, sender: IpAddr) -> bool {
        self.seen().blocked.get(&sender).is_some_and(|until| *until > Instant::now())
    }

    fn count(&self, sender: IpAddr) {
        let mut seen = self.seen();
        if seen.limiter.len() >= REMEMBERED {
            seen.limiter.retain_recent();
            // Were little room made, each further address would search all of them again. Who is blocked stays blocked.
            if seen.limiter.len() > REMEMBERED / 2 {
                seen.limiter = Limiter::hashmap(self.quota);
            }
        }
        let Err(not_until) = seen.limiter.check_key(&sender) else { return };
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        seen.block(sender, Instant::now(), wait);
    }
}

impl Seen {
    fn block(&mut self, sender: IpAddr, now: Instant, wait: Duration) {
        let full = |blocked: &HashMap<IpAddr, Instant>| blocked.len() >= REMEMBERED && !blocked.contains_key(&sender);
        if full(&self.blocked) {
            self.blocked.retain(|_, until| *until > now);
        }
        if full(&self.blocked)
            && let Some(first) = self.blocked.iter().min_by_key(|(_, until)| **until).map(|(address, _)| *address)
        {
            self.blocked.remove(&first);
        }
        self.blocked.insert(sender, now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_too_many_wrong_tokens_is_blocked_and_no_other() {
        let wrong = WrongTokens::a_minute(3);
        let (one, other): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 0..3 {
            wrong.count(one);
            assert!(!wrong.is_blocked(one));
        }
        wrong.count(one);
        assert!(wrong.is_blocked(one));
        assert!(!wrong.is_blocked(other));
    }

    #[test]
    fn however_many_addresses_send_wrong_tokens_few_are_remembered_and_the_next_is_blocked_as_well() {
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap_or_default().to_be_bytes());
        let once = WrongTokens::a_minute(10);
        (0..REMEMBERED * 2).for_each(|number| once.count(address(number)));
        assert!(once.seen().limiter.len() <= REMEMBERED, "{}", once.seen().limiter.len());
        assert_eq!(once.seen().blocked.len(), 0);

        let (now, minute) = (Instant::now(), Duration::from_mins(1));
        let mut seen = once.seen();
        let ends = |number: usize| minute + Duration::from_secs(number.abs_diff(7) as u64);
        (0..REMEMBERED).for_each(|number| seen.block(address(number), now, ends(number)));
        seen.block(address(REMEMBERED), now, minute);
        assert_eq!(seen.blocked.len(), REMEMBERED);
        assert!(!seen.blocked.contains_key(&address(7)), "it ends first");
        assert!(seen.blocked.contains_key(&address(REMEMBERED)) && seen.blocked.contains_key(&address(0)));
        seen.block(address(1), now, minute);
        assert!(seen.blocked.contains_key(&address(REMEMBERED)), "who is blocked already takes nobody's place");
        seen.block(address(7), now + minute * 2, minute);
        assert_eq!(seen.blocked.get(&address(REMEMBERED)), None, "its time is over");
    }

    #[test]
    fn refusals_say_whether_to_come_back() {
        for (why, status, comes_back) in [
            (Refusal::Token, 401, false),
            (Refusal::TooManyTokens, 429, true),
            (Refusal::Unreadable, 400, false),
            (Refusal::TooLarge, 413, false),
            (Refusal::TooSlow, 408, false),
            (Refusal::NoRoom, 503, true),
            (Refusal::NotReady, 503, true),
        ] {
            let response = Refusing::new(why, "no").into_response();
            assert_eq!(
                (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER)),
                (status, comes_back)
            );
        }
    }
}
