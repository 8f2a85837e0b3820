//! Faults, and the calls at which they occur.

use serde::Deserialize;
use serde_json::Value;

/// A fault that occurs at chosen calls.
///
/// Each fault counts the calls from 1 by itself, from the moment it was added: from the start for
/// those of a setup, from the injection for the others. Only RPCs count; `connect` counts for
/// faults that name it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The method whose calls are counted; `None` counts all.
    #[serde(default)]
    pub method: Option<String>,
    /// The first call at which the fault occurs, counted from 1.
    #[serde(default = "one")]
    pub call: u64,
    /// The number of consecutive calls at which the fault occurs.
    #[serde(default = "one")]
    pub times: u64,
    /// The effect of the fault.
    pub action: Action,
    /// The number of matching calls so far.
    #[serde(skip)]
    seen: u64,
}

fn one() -> u64 {
    1
}

/// The effect of a fault on a call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Cuts the connection without a close frame; the call is not executed.
    DropBefore,
    /// Executes the call, then cuts the connection without a reply.
    DropAfter,
    /// Cuts the connection and executes the call this many ms later, as if it had been in transit.
    Late(u64),
    /// Executes the call at once and sends the reply this many ms later.
    Delay(u64),
    /// Neither executes nor answers the call; the connection stays open.
    Silence,
    /// Executes the call, then restarts the gateway: `shutdown` event and close 1012 on every
    /// connection.
    Restart {
        /// The time for which new connections are refused, in ms.
        #[serde(default)]
        outage_ms: u64,
        /// Sends the reply before the close if `true`.
        #[serde(default)]
        reply: bool,
    },
    /// Answers with a rate limit error and this `retryAfterMs`; the call is not executed.
    RateLimit(u64),
    /// Answers as if the configuration had changed; the call is not executed.
    StaleHash,
    /// Executes the call and sends invalid JSON instead of the reply.
    Garbage,
    /// Answers like a starting gateway, with this `retryAfterMs`; the call is not executed. At
    /// `connect` the connection closes with 1013.
    Starting(u64),
    /// Answers with success but changes nothing.
    LoseWrite,
    /// Executes the call, answers as 2026.9.4 answers a config write that needs a restart, and
    /// restarts.
    Persisted,
    /// Merges this into the configuration, as a person would, right before the call is executed.
    Edit(Value),
}

impl Fault {
    /// Creates a fault that occurs once, at the next call of a method.
    #[must_use]
    pub fn on(method: &str, action: Action) -> Self {
        Self { method: Some(method.to_owned()), call: 1, times: 1, action, seen: 0 }
    }

    /// Creates a fault that occurs once, at the n-th call of any method.
    #[must_use]
    pub fn at_call(call: u64, action: Action) -> Self {
        Self { method: None, call, times: 1, action, seen: 0 }
    }

    /// Makes the fault occur first at its n-th call.
    #[must_use]
    pub fn nth(self, call: u64) -> Self {
        Self { call, ..self }
    }

    /// Makes the fault occur at this many consecutive calls.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Counts the call if it matches, and returns whether the fault occurs at it.
    fn strikes(&mut self, method: &str) -> bool {
        let counts = self.method.as_deref().map_or(method != "connect", |own| own == method);
        self.seen += u64::from(counts);
        counts && self.seen >= self.call && self.seen - self.call < self.times
    }
}

/// Returns the effect on this call. Every fault counts the call, and the first fault that occurs
/// wins.
pub(crate) fn strike(faults: &mut [Fault], method: &str) -> Option<Action> {
    faults.iter_mut().fold(None, |hit, fault| {
        let strikes = fault.strikes(method);
        hit.or_else(|| strikes.then(|| fault.action.clone()))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic fails the test")]

    use super::*;

    #[test]
    fn strikes_the_named_call_and_as_many_after_it_as_asked() {
        let mut faults = [Fault::on("config.patch", Action::Silence).nth(2).times(2)];
        let hits: Vec<bool> = [
            "connect",
            "config.patch",
            "config.get",
            "config.patch",
            "config.patch",
            "config.patch",
        ]
        .map(|method| strike(&mut faults, method).is_some())
        .to_vec();
        assert_eq!(hits, [false, false, false, true, true, false]);
    }

    #[test]
    fn counts_all_calls_but_connect_when_no_method_is_named() {
        let mut faults =
            [Fault::at_call(2, Action::DropBefore), Fault::at_call(1, Action::Garbage)];
        let hits = ["connect", "health", "status"].map(|method| strike(&mut faults, method));
        assert_eq!(hits, [None, Some(Action::Garbage), Some(Action::DropBefore)]);
    }

    #[test]
    fn reads_from_json() {
        let fault: Fault =
            serde_json::from_str(r#"{"method":"config.patch","call":3,"action":{"delay":50}}"#)
                .unwrap();
        assert_eq!((fault.call, fault.times, fault.action), (3, 1, Action::Delay(50)));
        let fault: Fault =
            serde_json::from_str(r#"{"action":{"restart":{"outage_ms":10}}}"#).unwrap();
        assert_eq!(fault.action, Action::Restart { outage_ms: 10, reply: false });
        let fault: Fault = serde_json::from_str(r#"{"action":"drop_before"}"#).unwrap();
        assert_eq!(fault.action, Action::DropBefore);
    }
}
