//! The listener: it limits the number of connections and the time that a client may take.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tower::ServiceExt;

use super::ServeError;

/// The most connections at once, and from one address: a few hundred dashboards behind one router
/// are normal.
const MOST: usize = 1024;
const MOST_OF_ONE: usize = 512;
/// The time that a client may take for the head of a request, and that an idle connection stays.
const HEAD_WITHIN: Duration = Duration::from_secs(20);
/// The largest head of a request in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// The pause after a connection could not be accepted, such as for lack of file descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// The address of the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub IpAddr);

/// Binds the address. Also returns it, because the system may have chosen its port.
pub(crate) async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Returns the address at which programs on this machine reach a worker: the loopback address if
/// the worker listens on all addresses.
#[must_use]
pub fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        _ => addr,
    }
}

/// Accepts and serves connections. Never returns.
pub(crate) async fn accept(listener: TcpListener, router: Router) {
    let connections = ConnectionLimiter::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A connection over the limit is closed: its client tries again, and the others are
                // served.
                if let Some(slot) = connections.enter(peer.ip().to_canonical()) {
                    tokio::spawn(serve(stream, slot, router.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a connection failed");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, slot: ConnectionSlot, router: Router) {
    let peer = Peer(slot.address);
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    // The connection ends with its client, or because the client is too slow. Neither is an error.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
    drop(slot);
}

/// The number of connections of each address.
#[derive(Default, Clone)]
struct ConnectionLimiter(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection in the count. It leaves the count when dropped.
struct ConnectionSlot {
    address: IpAddr,
    connections: ConnectionLimiter,
}

impl ConnectionLimiter {
    /// Counts a connection, or returns none if the limit is reached.
    fn enter(&self, address: IpAddr) -> Option<ConnectionSlot> {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if present.values().sum::<usize>() >= MOST
            || present.get(&address).is_some_and(|own| *own >= MOST_OF_ONE)
        {
            return None;
        }
        *present.entry(address).or_default() += 1;
        Some(ConnectionSlot { address, connections: self.clone() })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut present = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = present.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                present.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_connections() {
        let connections = ConnectionLimiter::default();
        let one: IpAddr = [192, 0, 2, 1].into();
        let taken: Vec<_> = std::iter::from_fn(|| connections.enter(one)).collect();
        assert_eq!(taken.len(), MOST_OF_ONE);
        let another = connections.enter([192, 0, 2, 2].into());
        assert!(another.is_some());
        drop(taken);
        assert!(connections.enter(one).is_some());
        assert_eq!(connections.0.lock().map(|present| present.len()).unwrap_or_default(), 1);
    }
}
