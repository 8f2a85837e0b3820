//! Opens byte streams to gateways: over TCP, unless the clients were given another connector.

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::allowlist::Allowlist;

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Opened = BoxFuture<'static, io::Result<Box<dyn Stream>>>;

/// Opens streams to a host, by name or address, and a port. TLS is added on top.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn(String, u16) -> Opened + Send + Sync>);

impl Connector {
    /// Creates a connector from a function, such as a network that exists only in this process.
    pub fn from_fn<F, S>(open: impl Fn(String, u16) -> F + Send + Sync + 'static) -> Self
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

    /// Creates a TCP connector to the hosts of an allowlist. A name is resolved once and the
    /// checked addresses are called, so that it cannot resolve to another address after the check.
    #[must_use]
    pub fn within(allowlist: Allowlist) -> Self {
        let allowlist = Arc::new(allowlist);
        Self::from_fn(move |host, port| {
            let allowlist = Arc::clone(&allowlist);
            async move {
                let found = lookup_host((host.as_str(), port)).await?.collect();
                let stream =
                    TcpStream::connect(allowlist.allowed(&host, found)?.as_slice()).await?;
                // Requests are small, and each is waited for.
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
