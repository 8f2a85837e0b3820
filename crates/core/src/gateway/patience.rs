//! The waits of a run for a gateway that it has reached before.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::call::millis;
use super::error::GatewayError;
use crate::backoff::Backoff;

/// The waits between attempts to reach a gateway again.
pub(super) const RECONNECT: Backoff =
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Waits that double, up to a limit in total.
pub(super) struct Patience {
    waited: u32,
    pub(super) until: Instant,
    /// The number of unanswered questions when the waiting began.
    pub(super) open: usize,
}

impl Patience {
    pub(super) fn new(bound: Duration, open: usize) -> Self {
        Self { waited: 0, until: Instant::now() + bound, open }
    }

    /// Waits once; returns `false` if the limit is reached.
    pub(super) async fn wait(&mut self, error: &GatewayError) -> bool {
        self.waited += 1;
        let wait = RECONNECT.delay(self.waited);
        if Instant::now() + wait > self.until {
            return false;
        }
        debug!(method = ?error.method(), wait_ms = millis(wait), "waiting for the gateway");
        sleep(wait).await;
        true
    }
}
