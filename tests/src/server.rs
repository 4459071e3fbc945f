//! Puts a simulated server on a port: accepts connections, applies faults, writes the log, stamps answers with the
//! server's own time. Hyper is used directly since a fault must be able to close a connection without an answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{Answer, Call, FaultKind, Group, Http, Operation, Seen};
use crate::world::World;
use crate::{control, mediabrowser, plex};

#[cfg(test)]
mod tests;

/// Something that answers calls: a simulated media server, or plex.tv.
pub trait Service: Send + Sync + 'static {
    /// Which route a call takes, for log and faults. Nothing is done yet.
    fn operation(&self, call: &Call) -> Operation;
    /// Carries the call out.
    fn answer(&self, call: &Call) -> Answer;
    /// Log and faults.
    fn http(&self) -> &Http;
    /// The server's own time.
    fn now(&self) -> Timestamp;
    /// Answers a call of the simulator's own control routes (`/_sim/…`), which no log and no fault sees.
    fn control(&self, call: &Call) -> Option<Answer>;
}

/// A simulated media server that listens. Stops when dropped.
#[derive(Debug)]
pub struct SimServer {
    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub url: String,
    /// The address it listens on.
    pub addr: SocketAddr,
    /// The server behind it.
    pub world: World,
    listening: Listening,
}

impl SimServer {
    /// Starts a server; port 0 takes a free one.
    pub async fn start(world: World, addr: impl ToSocketAddrs) -> io::Result<Self> {
        let listening = Listening::start(Arc::new(world.clone()), addr).await?;
        Ok(Self { url: listening.url(), addr: listening.addr, world, listening })
    }

    /// Stops listening and closes all connections. The world stays and can be started again at the same address.
    pub async fn stop(self) -> World {
        self.listening.stop().await;
        self.world
    }
}

/// A listener that stops when dropped.
pub struct Listening {
    /// The address it listens on.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// Lets `service` answer at an address; port 0 takes a free one.
    pub async fn start(service: Arc<dyn Service>, addr: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { addr, task: tokio::spawn(accept(listener, service)) })
    }

    /// `http://<address>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops listening and closes all connections.
    pub async fn stop(mut self) {
        self.task.abort();
        // Ends with "cancelled"; awaited so that the port is free afterwards.
        drop((&mut self.task).await);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listening").field(&self.addr).finish()
    }
}

async fn accept(listener: TcpListener, service: Arc<dyn Service>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&service)));
                }
                Err(error) => tracing::warn!(%error, "accepting a connection failed"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, service: Arc<dyn Service>) {
    drop(stream.set_nodelay(true));
    let handle = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { handle(service.as_ref(), request).await }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handle);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

/// The connection is to be closed without (the rest of) an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection cut by an injected fault")]
struct Cut;

type Body = BoxBody<Bytes, Cut>;

/// Keeps the number of requests in flight right, also when the client goes away in the middle.
struct InFlight<'a>(&'a Http);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.log.end();
    }
}

/// As above, for the requests that a fault keeps waiting.
struct OnHold<'a>(&'a Http);

impl Drop for OnHold<'_> {
    fn drop(&mut self) {
        self.0.log.let_go();
    }
}

async fn hold(http: &Http, millis: u64) {
    http.log.hold();
    let _on_hold = OnHold(http);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn handle(service: &dyn Service, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let call = Call::from_parts(head.method, &head.uri, head.headers, body);
    if let Some(answer) = service.control(&call) {
        return Ok(respond(service, answer, false));
    }
    let http = service.http();
    http.log.begin();
    let _in_flight = InFlight(http);
    let operation = service.operation(&call);
    let fault = http.faults.strike(&call, operation);
    let answer = match fault {
        Some(FaultKind::Status { status, retry_after }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let answer = Answer::new(status, "text/html", format!("<html><body><h1>{status}</h1></body></html>"));
            Some(
                retry_after
                    .into_iter()
                    .fold(answer, |answer, seconds| answer.with("retry-after", &seconds.to_string())),
            )
        }
        Some(FaultKind::Html200) => {
            Some(Answer::new(StatusCode::OK, "text/html", "<!DOCTYPE html><html><body>Please sign in</body></html>"))
        }
        Some(FaultKind::Reset) => None,
        Some(FaultKind::WriteThenReset) => {
            service.answer(&call);
            None
        }
        Some(FaultKind::Delay(millis)) => {
            hold(http, millis).await;
            Some(service.answer(&call))
        }
        Some(FaultKind::LateAnswer(millis)) => {
            let answer = service.answer(&call);
            hold(http, millis).await;
            Some(answer)
        }
        Some(FaultKind::WrongJson) => {
            let mut answer = service.answer(&call);
            answer.body = answer.body.slice(..answer.body.len() / 2);
            Some(answer)
        }
        Some(FaultKind::CutBody) | None => Some(answer(service, &call, operation)),
    };
    let mut seen = Seen { duration: began.elapsed(), ..Seen::of(&call, operation) };
    if let Some(answer) = &answer {
        seen.status = answer.status.as_u16();
        seen.bytes = answer.body.len();
        seen.user.clone_from(&answer.user);
    }
    http.log.push(seen);
    let answer = answer.ok_or(Cut)?;
    Ok(respond(service, answer, fault == Some(FaultKind::CutBody)))
}

/// The answer. A page takes milliseconds to make: as real servers do that beside each other, one simulator must not hold up the others meanwhile.
fn answer(service: &dyn Service, call: &Call, operation: Operation) -> Answer {
    let several = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if several && matches!(operation.group, Group::ReadPage | Group::ById) {
        tokio::task::block_in_place(|| service.answer(call))
    } else {
        service.answer(call)
    }
}

/// Makes the response; `cut` lets it end before its announced length.
fn respond(service: &dyn Service, answer: Answer, cut: bool) -> Response<Body> {
    let length = answer.body.len();
    let body: Body = if cut {
        let half = answer.body.slice(..length / 2);
        let end = stream::once(async {
            // A turn in between, so that the first half is sent before the connection breaks.
            tokio::task::yield_now().await;
            Err(Cut)
        });
        BodyExt::boxed(StreamBody::new(stream::iter([Ok(Frame::data(half))]).chain(end)))
    } else {
        Full::new(answer.body).map_err(|never: Infallible| match never {}).boxed()
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    *headers = *answer.headers;
    let date = service.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::try_from(date) {
        headers.insert(http::header::DATE, date);
    }
    if answer.status != StatusCode::NO_CONTENT {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

impl Service for World {
    fn operation(&self, call: &Call) -> Operation {
        if self.flavor().is_plex() { plex::operation(call) } else { mediabrowser::operation(self.flavor(), call) }
    }

    fn answer(&self, call: &Call) -> Answer {
        if self.flavor().is_plex() { plex::answer(self, call) } else { mediabrowser::answer(self, call) }
    }

    fn http(&self) -> &Http {
        self.http()
    }

    fn now(&self) -> Timestamp {
        self.now()
    }

    fn control(&self, call: &Call) -> Option<Answer> {
        control::answer(self, call)
    }
}
