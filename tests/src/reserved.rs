//! Addresses that somebody leaves and comes back to: meanwhile nobody else may get them.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// Keeps an address from all who take any free port, until dropped. Connections are refused as if nothing were there, and who asks for the address itself
/// gets it, with `SO_REUSEADDR` as Tokio and Postgres set it.
#[derive(Debug)]
pub struct Reserved {
    /// The address.
    pub addr: SocketAddr,
    _bound: TcpSocket,
}

impl Reserved {
    /// Reserves an address; port 0 takes a free one.
    pub fn new(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // It never listens.
        socket.bind(addr)?;
        Ok(Self { addr: socket.local_addr()?, _bound: socket })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn connections_are_refused_until_somebody_listens_at_the_address_itself() {
        let reserved = Reserved::new(([127, 0, 0, 1], 0).into()).unwrap();
        let refused = TcpStream::connect(reserved.addr).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let listener = TcpListener::bind(reserved.addr).await.unwrap();
        for reserved in [Some(reserved), None] {
            TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            listener.accept().await.unwrap();
            drop(reserved);
        }
    }
}
