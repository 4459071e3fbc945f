//! The way by which pods reach the tests' Postgres, which listens on this machine alone. It can be closed, and then the database is away.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Carries connections on to an address.
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Door {
    /// Opens one on a free port of `host`, to `target`.
    pub async fn open(host: &str, target: (String, u16)) -> Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        let open = Arc::new(watch::Sender::new(true));
        let task = tokio::spawn(carry(listener, target, open.subscribe()));
        Ok(Self { address, open, task })
    }

    /// Cuts all connections; new ones end at once.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn reopen(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(listener: TcpListener, target: (String, u16), mut open: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((mut outer, _)) = accepted && *open.borrow() {
                    let target = target.clone();
                    connections.spawn(async move {
                        if let Ok(mut inner) = TcpStream::connect(target).await {
                            // However it ends, both sides learn it by the end of their connection.
                            drop(copy_bidirectional(&mut outer, &mut inner).await);
                        }
                    });
                }
            }
            Ok(()) = open.changed() => {
                if !*open.borrow_and_update() {
                    connections.abort_all();
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
