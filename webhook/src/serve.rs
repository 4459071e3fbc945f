//! The port: connections with limits, and an end that lets what was begun finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How long a peer may take to send its headers: also the longest pause between two requests on one connection.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// How often a quiet HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// How long open connections may take to finish once the port closes.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// The wait after a connection that couldn't be accepted: out of file descriptors, most of the time.
const RETRY: Duration = Duration::from_millis(100);

/// Serves until `stop`, then lets open requests finish.
pub async fn serve(listener: TcpListener, router: Router, connections: u32, stop: &CancellationToken) {
    let room = Arc::new(Semaphore::new(connections as usize));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(64);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // Who doesn't find room waits in the kernel's queue.
            accepted = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        let (place, (stream, peer)) = match accepted {
            (place, Ok(accepted)) => (place, accepted),
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection couldn't be accepted");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may take a moment longer");
        }
        let service = router.clone().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            request
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, "a connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(CLOSE_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections didn't finish in time");
    }
}
