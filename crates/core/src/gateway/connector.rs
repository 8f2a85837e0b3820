//! How bytes get to a gateway: over TCP, unless the clients were given another way.

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::allowlist::Allowlist;

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Opened = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens streams to a host, by name or address, and a port. TLS comes above it.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn(String, u16) -> Opened + Send + Sync>);

impl Connector {
    /// Another way than TCP: a network that exists only in this process, for one.
    pub fn by<F, S>(open: impl Fn(String, u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream + 'static,
    {
        Self(Arc::new(move |host, port| {
            let opening = open(host, port);
            Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn Stream>) })
        }))
    }

    pub(super) async fn open(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        (self.0)(host.to_owned(), port).await
    }
}

impl Connector {
    /// TCP, to where gateways may be. Addresses are looked up once and then called, so that a name
    /// cannot stand for another one after it was checked.
    #[must_use]
    pub fn within(reach: Allowlist) -> Self {
        let reach = Arc::new(reach);
        Self::by(move |host, port| {
            let reach = Arc::clone(&reach);
            async move {
                let found = lookup_host((host.as_str(), port)).await?.collect();
                let stream = TcpStream::connect(reach.allowed(&host, found)?.as_slice()).await?;
                // Requests are small and each is waited for.
                stream.set_nodelay(true)?;
                Ok(stream)
            }
        })
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::within(Allowlist::default())
    }
}

impl Debug for Connector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
