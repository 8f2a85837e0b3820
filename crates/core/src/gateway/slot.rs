//! The slot of a gateway's connection, and the memory of failed attempts to connect.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Shared;
use super::error::GatewayError;
use super::rpc_error::RpcError;

/// The time for which a refused token is not shown again. Gateways lock out an address that shows
/// ten wrong tokens within a minute, and all jobs of a gateway show the same token.
const REFUSAL_KEPT: Duration = Duration::from_secs(15);
/// The same time for an isolated refusal, so that a person who corrects the token and retries at
/// once reaches the gateway.
const FIRST_REFUSAL_KEPT: Duration = Duration::from_secs(2);
/// The time since the previous refusal after which a refusal counts as isolated.
const ISOLATED_AFTER: Duration = Duration::from_secs(60);

/// The time for which an address must answer as something other than a gateway before the error
/// counts as permanent. A proxy in front of a gateway that restarts or moves may briefly answer
/// anything.
const FOREIGN_FOR: Duration = Duration::from_secs(3);

/// The connection to a gateway, or the reason why there was none a moment ago.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) open: Option<Shared>,
    pub(super) refused: Option<Refusal>,
    /// The time since which every attempt has been answered by something other than a gateway.
    foreign_since: Option<Instant>,
}

/// A refused token, remembered for a while.
#[derive(Debug)]
pub(super) struct Refusal {
    at: Instant,
    kept_for: Duration,
    error: Box<RpcError>,
}

impl Slot {
    /// Returns the refusal that is still remembered.
    pub(super) fn refusal(&self, now: Instant) -> Option<GatewayError> {
        let refused = self.refused.as_ref()?;
        (now.duration_since(refused.at) < refused.kept_for)
            .then(|| GatewayError::Refused(refused.error.clone()))
    }

    /// Returns the result of connecting, but reports a first answer of something other than a
    /// gateway as unreachable, because it may pass.
    pub(super) fn confirm<T>(
        &mut self,
        opened: Result<T, GatewayError>,
        now: Instant,
    ) -> Result<T, GatewayError> {
        let Err(GatewayError::NotAGateway { reason }) = opened else {
            self.foreign_since = None;
            return opened;
        };
        let since = *self.foreign_since.get_or_insert(now);
        if now.duration_since(since) >= FOREIGN_FOR {
            Err(GatewayError::NotAGateway { reason })
        } else {
            Err(GatewayError::Unreachable { reason })
        }
    }

    /// Returns the refusal to remember.
    pub(super) fn refuse(&self, now: Instant, error: &RpcError) -> Refusal {
        let again = self
            .refused
            .as_ref()
            .is_some_and(|before| now.duration_since(before.at) < ISOLATED_AFTER);
        let kept_for = if again { REFUSAL_KEPT } else { FIRST_REFUSAL_KEPT };
        Refusal { at: now, kept_for, error: Box::new(error.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_limited_time() {
        let error = RpcError {
            code: "X".into(),
            message: String::new(),
            details: json!(null),
            retry_after_ms: None,
        };
        let now = Instant::now();
        assert!(Slot::default().refusal(now).is_none());
        let refused =
            |slot: &Slot, at| Slot { refused: Some(slot.refuse(at, &error)), ..Slot::default() };
        let first = refused(&Slot::default(), now);
        assert!(first.refusal(now).is_some());
        assert!(
            first.refusal(now + FIRST_REFUSAL_KEPT).is_none(),
            "a person who has corrected the token need not wait"
        );
        let second = refused(&first, now + FIRST_REFUSAL_KEPT);
        assert!(second.refusal(now + REFUSAL_KEPT).is_some(), "gateways lock out who tries often");
        assert!(second.refusal(now + FIRST_REFUSAL_KEPT + REFUSAL_KEPT).is_none());
        let later = now + FIRST_REFUSAL_KEPT + ISOLATED_AFTER;
        assert!(
            refused(&second, later).refusal(later + FIRST_REFUSAL_KEPT).is_none(),
            "forgotten by then"
        );
    }

    #[test]
    fn a_foreign_answer_is_permanent_once_it_lasts() {
        let (mut slot, now) = (Slot::default(), Instant::now());
        let foreign = || Err::<(), _>(GatewayError::NotAGateway { reason: "HTTP 301".into() });
        let mut is_permanent = |opened, after| {
            matches!(
                slot.confirm(opened, now + Duration::from_secs(after)),
                Err(GatewayError::NotAGateway { .. })
            )
        };
        assert!(!is_permanent(foreign(), 0));
        assert!(!is_permanent(foreign(), 2));
        assert!(is_permanent(foreign(), 3));
        assert!(is_permanent(foreign(), 600));
        assert!(!is_permanent(Ok(()), 601));
        assert!(!is_permanent(foreign(), 602), "in a row");
    }
}
