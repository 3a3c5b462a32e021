//! Listening, and serving what was added to a router.

use std::io;
use std::net::SocketAddr;

use tokio::sync::watch;
use tonic::transport::server::Router;

/// An address that is listened at.
#[derive(Debug)]
pub(crate) struct Listener {
    #[cfg(not(madsim))]
    listener: tokio::net::TcpListener,
    address: SocketAddr,
}

#[cfg(not(madsim))]
impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Listener> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Listener { listener, address })
    }

    /// Serves until it is told to stop, and then until what was begun is done.
    pub(crate) async fn serve(
        self,
        router: Router,
        stop: watch::Receiver<bool>,
    ) -> Result<(), tonic::transport::Error> {
        let incoming = tonic::transport::server::TcpIncoming::from(self.listener);
        let incoming = incoming.with_nodelay(Some(true));
        router.serve_with_incoming_shutdown(incoming, stopped(stop)).await
    }
}

/// The simulated network binds and serves at once.
#[cfg(madsim)]
impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Listener> {
        Ok(Listener { address })
    }

    pub(crate) async fn serve(
        self,
        router: Router,
        stop: watch::Receiver<bool>,
    ) -> Result<(), tonic::transport::Error> {
        router.serve_with_shutdown(self.address, stopped(stop)).await
    }
}

impl Listener {
    /// Where it listens: with a port of its own if port 0 was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // Nobody being left to say so means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
