//! Where the connection to a gateway is kept, and what is remembered of those that could not be
//! made.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Shared;
use super::error::GatewayError;
use super::rpc_error::RpcError;

/// How long a refused token is not shown again. Gateways lock out an address that shows ten within
/// a minute, and all jobs of a gateway show the same.
const REFUSAL_STANDS: Duration = Duration::from_secs(15);
/// The same for one that comes alone, so that who puts the gateway right and tries again is not
/// answered from memory.
const FIRST_REFUSAL_STANDS: Duration = Duration::from_secs(2);
/// How far back another refusal must lie for one to come alone.
const REFUSALS_WITHIN: Duration = Duration::from_secs(60);

/// How long an address has to answer as something else than a gateway until it is believed to be
/// none. What stands before a gateway that restarts or moves may say anything for a moment.
const STRANGE_FOR: Duration = Duration::from_secs(3);

/// The connection to a gateway, or why there was none a moment ago.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) open: Option<Shared>,
    pub(super) refused: Option<Refusal>,
    /// Since when the address has answered as something else than a gateway, each time it was
    /// tried.
    strange_since: Option<Instant>,
}

/// A token was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    at: Instant,
    stands: Duration,
    error: Box<RpcError>,
}

impl Slot {
    /// The refusal that stands.
    pub(super) fn refusal(&self, now: Instant) -> Option<GatewayError> {
        let refused = self.refused.as_ref()?;
        (now.duration_since(refused.at) < refused.stands)
            .then(|| GatewayError::Refused(refused.error.clone()))
    }

    /// What came of connecting, but that what is strange for the first time may pass.
    pub(super) fn believe<T>(
        &mut self,
        opened: Result<T, GatewayError>,
        now: Instant,
    ) -> Result<T, GatewayError> {
        let Err(GatewayError::NotAGateway { reason }) = opened else {
            self.strange_since = None;
            return opened;
        };
        let since = *self.strange_since.get_or_insert(now);
        if now.duration_since(since) >= STRANGE_FOR {
            Err(GatewayError::NotAGateway { reason })
        } else {
            Err(GatewayError::Unreachable { reason })
        }
    }

    /// Remembers a refusal.
    pub(super) fn refuse(&self, now: Instant, error: &RpcError) -> Refusal {
        let again = self
            .refused
            .as_ref()
            .is_some_and(|before| now.duration_since(before.at) < REFUSALS_WITHIN);
        let stands = if again { REFUSAL_STANDS } else { FIRST_REFUSAL_STANDS };
        Refusal { at: now, stands, error: Box::new(error.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_stands_for_a_while_and_not_for_ever() {
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
            first.refusal(now + FIRST_REFUSAL_STANDS).is_none(),
            "a person who has mended it need not wait"
        );
        let second = refused(&first, now + FIRST_REFUSAL_STANDS);
        assert!(
            second.refusal(now + REFUSAL_STANDS).is_some(),
            "gateways lock out who tries often"
        );
        assert!(second.refusal(now + FIRST_REFUSAL_STANDS + REFUSAL_STANDS).is_none());
        let later = now + FIRST_REFUSAL_STANDS + REFUSALS_WITHIN;
        assert!(
            refused(&second, later).refusal(later + FIRST_REFUSAL_STANDS).is_none(),
            "forgotten by then"
        );
    }

    #[test]
    fn what_is_strange_is_believed_when_it_lasts() {
        let (mut slot, now) = (Slot::default(), Instant::now());
        let strange = || Err::<(), _>(GatewayError::NotAGateway { reason: "HTTP 301".into() });
        let mut is_believed = |opened, after| {
            matches!(
                slot.believe(opened, now + Duration::from_secs(after)),
                Err(GatewayError::NotAGateway { .. })
            )
        };
        assert!(!is_believed(strange(), 0));
        assert!(!is_believed(strange(), 2));
        assert!(is_believed(strange(), 3));
        assert!(is_believed(strange(), 600));
        assert!(!is_believed(Ok(()), 601));
        assert!(!is_believed(strange(), 602), "in a row");
    }
}
