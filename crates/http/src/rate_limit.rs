//! How many requests an address may send.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::access::client;
use super::login_throttle::network;
use super::problem::Problem;

/// What an address may send at once, in seconds of its rate.
pub const BURST_SECONDS: u32 = 4;
/// Most addresses remembered; when there are more, those that rest are forgotten, or all.
const MOST: usize = 10_000;

/// What each address has left.
pub struct Rate {
    per_second: u32,
    left: Mutex<HashMap<IpAddr, Left>>,
}

struct Left {
    requests: f64,
    since: Instant,
}

impl Rate {
    /// So many requests a second of each address; 0 is without limit.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, left: Mutex::default() }
    }

    /// Takes one request off what the address has left; false if nothing is.
    fn take(&self, address: IpAddr) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let (rate, most) = (f64::from(self.per_second), f64::from(self.per_second * BURST_SECONDS));
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, left| left.since.elapsed().as_secs_f64() < f64::from(BURST_SECONDS));
            if all.len() >= MOST {
                all.clear();
            }
        }
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

/// Refuses what an address sends too much.
pub async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let from = client(&app.access, &request);
    if app.access.rate.take(from) {
        return next.run(request).await;
    }
    let rate = app.access.rate.per_second;
    let detail = format!(
        "more than {rate} requests a second came from {from}; wait, or raise \
            http.requests_per_second"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).for_seconds(1).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_burst_and_others_have_their_own() {
        let rate = Rate::new(1);
        let [one, another] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        let taken = (0..100).filter(|_| rate.take(one)).count();
        assert!((4..100).contains(&taken), "{taken}");
        assert!(rate.take(another));
        assert!((0..100).all(|_| Rate::new(0).take(one)));
    }
}
