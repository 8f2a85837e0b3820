//! How long a gateway is waited for.

use std::time::Duration;

use super::protocol::Method;

/// How long to wait for a gateway.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Upper bound of every method's own deadline (20 s to connect, 120 s to create or delete, else
    /// 90 s). See also [`Method::overdue`].
    pub call: Duration,
    /// How long a run waits for a gateway that it has reached before: restarts, reloads, lost
    /// connections.
    pub patience: Duration,
    /// A connection that nobody has used for this long is closed.
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
