//! The ways in which a call is disturbed.

use std::time::Duration;

use mission_core::gateway::Limits;
use mission_gateway_sim::{Action, Fault};

/// A disturbance of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is cut before the call is executed.
    CutBefore,
    /// The connection is cut after the call was executed.
    CutAfter,
    /// The connection is cut, and the request in flight is executed seconds later.
    CutThenExecuted,
    /// The call is executed, and the gateway restarts without a reply.
    Restart,
    /// The call is executed and answered, and the gateway restarts.
    RestartAfterReply,
    /// The call is neither executed nor answered, and the gateway sends nothing more.
    Deaf,
    /// The call is executed but never answered, and the worker times out.
    Mute,
    /// The call is executed, and garbage is sent instead of the reply.
    Garbage,
    /// The call is refused because the gateway is starting.
    Starting,
    /// The call is answered as done but not executed.
    Lie,
    /// The worker is killed when the call was executed, and the gateway discards what the worker
    /// had sent.
    Killed,
    /// The worker is killed when the call was executed, and the gateway still executes what the
    /// worker had sent.
    KilledInFlight,
}

/// Every kind of trouble.
pub const TROUBLES: [Trouble; 12] = [
    Trouble::CutBefore,
    Trouble::CutAfter,
    Trouble::CutThenExecuted,
    Trouble::Restart,
    Trouble::RestartAfterReply,
    Trouble::Deaf,
    Trouble::Mute,
    Trouble::Garbage,
    Trouble::Starting,
    Trouble::Lie,
    Trouble::Killed,
    Trouble::KilledInFlight,
];

impl Trouble {
    /// Returns whether it kills the worker.
    pub const fn kills(self) -> bool {
        matches!(self, Self::Killed | Self::KilledInFlight)
    }

    /// Returns whether it can occur during the handshake.
    pub const fn can_strike_connecting(self) -> bool {
        matches!(self, Self::CutBefore | Self::Deaf | Self::Garbage | Self::Starting)
    }

    /// Returns the fault to inject; none if the gateway itself behaves correctly.
    pub fn fault(self, at: usize) -> Option<Fault> {
        let action = match self {
            Self::CutBefore => Action::DropBefore,
            Self::CutAfter | Self::Killed => Action::DropAfter,
            Self::CutThenExecuted => Action::Late(3_000),
            Self::Restart => Action::Restart { outage_ms: 700, reply: false },
            Self::RestartAfterReply => Action::Restart { outage_ms: 700, reply: true },
            Self::Deaf => Action::Silence,
            Self::Mute => Action::Delay(3_600_000),
            Self::Garbage => Action::Garbage,
            Self::Starting => Action::Starting(500),
            Self::Lie => Action::LoseWrite,
            Self::KilledInFlight => return None,
        };
        Some(if at == 0 { Fault::on("connect", action) } else { Fault::at_call(at as u64, action) })
    }

    /// Returns the limits of the worker. A deaf gateway is detected by its silence before any call
    /// times out.
    pub fn limits(self) -> Limits {
        let call = if self == Self::Mute { Duration::from_secs(5) } else { Limits::default().call };
        Limits { call, ..Limits::default() }
    }
}
