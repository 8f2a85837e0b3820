//! Connections: how many there may be, and how long a client may take to say what it wants.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tower::ServiceExt;

use super::ServeError;

/// Connections at once, and those of one address: a few hundred dashboards behind one router are in
/// order.
const MOST: usize = 1024;
const MOST_OF_ONE: usize = 512;
/// How long a client may take for the head of a request; also how long an unused connection stays.
const HEAD_WITHIN: Duration = Duration::from_secs(20);
/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Pause after a connection that could not be accepted, such as for want of file descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Takes the address. Returns it too, since its port may have been chosen by the system.
pub async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Where who is on this machine finds a worker that listens there: one that listens everywhere, on
/// loopback.
pub fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        _ => addr,
    }
}

/// Serves all connections, for ever.
pub async fn accept(listener: TcpListener, router: Router) {
    let crowd = ConnectionLimiter::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A connection too many is closed: whoever sent it tries again, and the others are
                // served.
                if let Some(place) = crowd.enter(peer.ip().to_canonical()) {
                    tokio::spawn(serve(stream, place, router.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, place: Place, router: Router) {
    let peer = Peer(place.address);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router.oneshot(request).await.unwrap_or_else(|never| match never {}),
            )
        }
    });
    // Ends with the client, or when it is too slow; either is its business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    drop(place);
}

/// Who is connected.
#[derive(Default, Clone)]
struct ConnectionLimiter(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address.
struct Place {
    address: IpAddr,
    crowd: ConnectionLimiter,
}

impl ConnectionLimiter {
    /// A place, if there is one left.
    fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if present.values().sum::<usize>() >= MOST
            || present.get(&address).is_some_and(|own| *own >= MOST_OF_ONE)
        {
            return None;
        }
        *present.entry(address).or_default() += 1;
        Some(Place { address, crowd: self.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn one_address_cannot_take_all_places() {
        let crowd = ConnectionLimiter::default();
        let one: IpAddr = [192, 0, 2, 1].into();
        let taken: Vec<_> = std::iter::from_fn(|| crowd.enter(one)).collect();
        assert_eq!(taken.len(), MOST_OF_ONE);
        let another = crowd.enter([192, 0, 2, 2].into());
        assert!(another.is_some());
        drop(taken);
        assert!(crowd.enter(one).is_some());
        assert_eq!(crowd.0.lock().map(|present| present.len()).unwrap_or_default(), 1);
    }
}
