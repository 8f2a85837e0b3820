//! The slot of a gateway's connection, and the memory of failed attempts to connect.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connect_error::ConnectError;
use super::connection::Connection;
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
    /// The open connection. Calls in flight keep theirs while a new one is made.
    pub(super) open: Option<Arc<Connection>>,
    refused: Option<Refusal>,
    /// The time since which every attempt has been answered by something other than a gateway.
    foreign_since: Option<Instant>,
}

/// A refused token, remembered for a while.
#[derive(Debug)]
struct Refusal {
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

    /// Remembers how an attempt to connect ended, and returns its result. A first answer of
    /// something other than a gateway counts as unreachable, because it may pass.
    pub(super) fn ended<T>(
        &mut self,
        opened: Result<T, GatewayError>,
        now: Instant,
    ) -> Result<T, GatewayError> {
        let (refused, foreign_since) = (self.refused.take(), self.foreign_since.take());
        match &opened {
            Err(GatewayError::Refused(error))
                if ConnectError::of(error).counts_against_address() =>
            {
                let is_within = |before: Refusal| now.duration_since(before.at) < ISOLATED_AFTER;
                let again = refused.is_some_and(is_within);
                let kept_for = if again { REFUSAL_KEPT } else { FIRST_REFUSAL_KEPT };
                self.refused = Some(Refusal { at: now, kept_for, error: error.clone() });
            }
            Err(GatewayError::NotAGateway { reason }) => {
                let since = *self.foreign_since.insert(foreign_since.unwrap_or(now));
                if now.duration_since(since) < FOREIGN_FOR {
                    return Err(GatewayError::Unreachable { reason: reason.clone() });
                }
            }
            _ => {}
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_limited_time() {
        let error = RpcError { message: "unauthorized".into(), ..RpcError::default() };
        let now = Instant::now();
        assert!(Slot::default().refusal(now).is_none());
        let mut slot = Slot::default();
        let refuse = |slot: &mut Slot, at| {
            let refused = GatewayError::Refused(Box::new(error.clone()));
            assert!(slot.ended::<()>(Err(refused), at).is_err());
        };
        refuse(&mut slot, now);
        assert!(slot.refusal(now).is_some());
        assert!(
            slot.refusal(now + FIRST_REFUSAL_KEPT).is_none(),
            "a person who has corrected the token need not wait"
        );
        refuse(&mut slot, now + FIRST_REFUSAL_KEPT);
        assert!(slot.refusal(now + REFUSAL_KEPT).is_some(), "gateways lock out who tries often");
        assert!(slot.refusal(now + FIRST_REFUSAL_KEPT + REFUSAL_KEPT).is_none());
        let later = now + FIRST_REFUSAL_KEPT + ISOLATED_AFTER;
        refuse(&mut slot, later);
        assert!(slot.refusal(later + FIRST_REFUSAL_KEPT).is_none(), "forgotten by then");
    }

    #[test]
    fn a_foreign_answer_is_permanent_once_it_lasts() {
        let (mut slot, now) = (Slot::default(), Instant::now());
        let foreign = || Err::<(), _>(GatewayError::NotAGateway { reason: "HTTP 301".into() });
        let mut is_permanent = |opened, after| {
            matches!(
                slot.ended(opened, now + Duration::from_secs(after)),
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
