//! The rate limit on the requests of an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::auth::access::client;
use super::auth::{make_room, network};
use super::problem::Problem;

/// The burst that an address may send at once, in seconds of its rate.
const BURST_SECONDS: u32 = 4;

/// The requests that each address has left.
pub(crate) struct RateLimiter {
    per_second: u32,
    left: Mutex<HashMap<IpAddr, Left>>,
}

struct Left {
    requests: f64,
    since: Instant,
}

impl RateLimiter {
    /// Limits each address to a number of requests per second. 0 sets no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, left: Mutex::default() }
    }

    /// Counts a request of an address. Returns false if the address has none left.
    fn take(&self, address: IpAddr) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let (rate, most) = (f64::from(self.per_second), f64::from(self.per_second * BURST_SECONDS));
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut all, |left| left.since.elapsed().as_secs() < BURST_SECONDS.into());
        let own = all
            .entry(network(address))
            .or_insert_with(|| Left { requests: most, since: Instant::now() });
        own.requests = (own.requests + own.since.elapsed().as_secs_f64() * rate).min(most);
        own.since = Instant::now();
        if own.requests < 1.0 {
            return false;
        }
        own.requests -= 1.0;
        true
    }
}

/// Refuses requests over the limit with 429.
pub(crate) async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let from = client(&app.access, &request);
    if app.access.rate.take(from) {
        return next.run(request).await;
    }
    let rate = app.access.rate.per_second;
    let detail = format!(
        "more than {rate} requests per second from {from}; wait, or raise \
            http.requests_per_second"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).for_seconds(1).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_burst_of_its_own() {
        let rate = RateLimiter::new(1);
        let [one, another] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        let taken = (0..100).filter(|_| rate.take(one)).count();
        assert!((4..100).contains(&taken), "{taken}");
        assert!(rate.take(another));
        assert!((0..100).all(|_| RateLimiter::new(0).take(one)));
    }
}
