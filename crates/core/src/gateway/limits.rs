//! The limits on waiting for a gateway.

use std::time::Duration;

use super::protocol::Method;

/// The limits on waiting for a gateway.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The upper bound of every method's own deadline (20 s to connect, 120 s to create or delete,
    /// otherwise 90 s). See also [`Method::overdue`].
    pub call: Duration,
    /// The time for which a run waits for a gateway that it has reached before, through restarts,
    /// reloads and lost connections.
    pub patience: Duration,
    /// The time after which an unused connection is closed.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(120),
            patience: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        }
    }
}

impl Limits {
    pub(super) fn deadline(&self, method: Method) -> Duration {
        method.deadline().min(self.call)
    }
}
