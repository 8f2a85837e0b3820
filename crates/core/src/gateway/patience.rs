//! The waits of a run for a gateway that it has reached before.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::call::millis;
use super::error::GatewayError;

/// The first and the longest wait between attempts to reach a gateway again; each wait is twice the
/// one before.
pub(super) const RECONNECT: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(2));

/// Waits that double, up to a limit in total.
pub(super) struct Patience {
    next: Duration,
    pub(super) until: Instant,
    /// The number of unanswered questions when the waiting began.
    pub(super) open: usize,
}

impl Patience {
    pub(super) fn new(bound: Duration, open: usize) -> Self {
        Self { next: RECONNECT.0, until: Instant::now() + bound, open }
    }

    /// Waits once; returns `false` if the limit is reached.
    pub(super) async fn wait(&mut self, error: &GatewayError) -> bool {
        if Instant::now() + self.next > self.until {
            return false;
        }
        debug!(method = ?error.method(), wait_ms = millis(self.next), "waiting for the gateway");
        sleep(self.next).await;
        self.next = (self.next * 2).min(RECONNECT.1);
        true
    }
}
