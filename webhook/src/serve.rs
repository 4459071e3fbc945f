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
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How often a quiet HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// The wait after a connection that couldn't be accepted: out of file descriptors, most of the time.
const RETRY: Duration = Duration::from_millis(100);

/// How long peers may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the first request of a connection, and for the headers of each: also the longest pause between two requests of HTTP/1.
    headers: Duration,
    /// For what is open once the port closes.
    close: Duration,
}

const PATIENCE: Patience = Patience { headers: Duration::from_secs(30), close: Duration::from_secs(10) };

/// Serves until `stop`, then lets open requests finish.
pub async fn serve(listener: TcpListener, router: Router, connections: u32, stop: &CancellationToken) {
    serve_with(PATIENCE, listener, router, connections, stop).await;
}

async fn serve_with(
    patience: Patience,
    listener: TcpListener,
    router: Router,
    connections: u32,
    stop: &CancellationToken,
) {
    let room = Arc::new(Semaphore::new(connections as usize));
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(64);
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
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
        let asked = CancellationToken::new();
        let asks = asked.clone();
        let service = router.clone().map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            asks.cancel();
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            request
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        let connection = graceful.watch(connection);
        open.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, "a connection ended: {error}");
                },
                () = silence(&asked, patience.headers) => {
                    tracing::debug!(%peer, "a connection is closed that asked for nothing");
                }
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(patience.close, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections didn't finish in time");
    }
    // What they hold goes with them: the process waits for the last journal.
    open.shutdown().await;
}

/// Ends when a connection had no request for so long; never once it had one. hyper's own limit begins with the first byte, and HTTP/2 has none.
async fn silence(asked: &CancellationToken, limit: Duration) {
    if tokio::time::timeout(limit, asked.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(200);
    /// HTTP/2's first words, and settings without any.
    const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// Sends, and returns what comes until the connection is closed.
    async fn exchange(address: SocketAddr, sent: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(sent).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn who_asks_for_nothing_makes_room_and_who_asked_is_answered_however_long_it_takes() -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let router = Router::new().route(
            "/",
            get(async || {
                tokio::time::sleep(SHORT * 2).await;
                "here"
            }),
        );
        let patience = Patience { headers: SHORT, close: LONG };
        let ended = stop.clone();
        let served = tokio::spawn(async move { serve_with(patience, listener, router, 1, &ended).await });
        for silent in [b"" as &[u8], b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n", HTTP2] {
            timeout(LONG, exchange(address, silent)).await??;
        }
        let asked = exchange(address, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(timeout(LONG, asked).await??)?;
        assert!(answer.ends_with("here"), "{answer}");
        stop.cancel();
        Ok(served.await?)
    }

    #[tokio::test]
    async fn who_does_not_finish_in_time_keeps_nothing_once_the_port_is_closed() -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let (held, begun) = (Arc::new(()), Arc::new(tokio::sync::Notify::new()));
        let begins = Arc::clone(&begun);
        let endless = async move || {
            begins.notify_one();
            std::future::pending::<()>().await;
        };
        let router = Router::new().route("/", get(endless)).layer(axum::Extension(Arc::clone(&held)));
        let patience = Patience { headers: LONG, close: SHORT };
        let mut half_sent = TcpStream::connect(address).await?;
        half_sent.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await?;
        let mut unanswered = TcpStream::connect(address).await?;
        unanswered.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        let told = async {
            begun.notified().await;
            stop.cancel();
        };
        let served = serve_with(patience, listener, router, 8, &stop);
        timeout(LONG, async { tokio::join!(told, served) }).await?;
        assert_eq!(Arc::strong_count(&held), 1);
        Ok(())
    }
}
