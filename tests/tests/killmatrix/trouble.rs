//! What goes wrong.

use std::time::Duration;

use mission_core::gateway::Limits;
use mission_gateway_sim::{Action, Fault};

/// One thing that goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is cut, the call is not executed.
    CutBefore,
    /// The call is executed, the connection is cut.
    CutAfter,
    /// The connection is cut; what was on its way is executed seconds later.
    CutThenExecuted,
    /// Executed, then the gateway restarts without a reply.
    Restart,
    /// Executed and answered, then the gateway restarts.
    RestartAfterReply,
    /// Not executed and never answered; the gateway says nothing more.
    Deaf,
    /// Executed and never answered; the worker gives the call up.
    Mute,
    /// Executed; what comes instead of the reply is not a frame.
    Garbage,
    /// Refused by a gateway that is starting.
    Starting,
    /// Answered as done, and not done.
    Lie,
    /// The worker is killed when the call was executed, and nothing that it had sent is taken any
    /// more.
    Killed,
    /// The worker is killed when the call was executed; what it had sent is still executed.
    KilledInFlight,
}

/// All of them.
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
    /// Whether the worker dies of it.
    pub const fn kills(self) -> bool {
        matches!(self, Self::Killed | Self::KilledInFlight)
    }

    /// Whether it means something when a connection is being made.
    pub const fn can_strike_connecting(self) -> bool {
        matches!(self, Self::CutBefore | Self::Deaf | Self::Garbage | Self::Starting)
    }

    /// The fault of the gateway; none if the gateway does nothing wrong.
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

    /// How long the worker waits. A gateway that is deaf is told by its silence, before any call is
    /// late.
    pub fn limits(self) -> Limits {
        let call = if self == Self::Mute { Duration::from_secs(5) } else { Limits::default().call };
        Limits { call, ..Limits::default() }
    }
}
