//! What can go wrong, and at which call.

use serde::Deserialize;
use serde_json::Value;

/// One thing that goes wrong at chosen calls.
///
/// Calls are counted from 1, for each fault by itself, from the moment it was given: from the start
/// for those of a setup, from the injection for the others. Only RPCs count; `connect` counts for
/// faults that name it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The method whose calls are counted; `None` counts all.
    #[serde(default)]
    pub method: Option<String>,
    /// The first call it strikes, counted from 1.
    #[serde(default = "one")]
    pub call: u64,
    /// How many calls in a row it strikes.
    #[serde(default = "one")]
    pub times: u64,
    /// What happens.
    pub action: Action,
    /// How many of its calls it has seen.
    #[serde(skip)]
    seen: u64,
}

fn one() -> u64 {
    1
}

/// What happens to a struck call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// The connection is cut without a close frame; the call is not executed.
    DropBefore,
    /// The call is executed, then the connection is cut without a reply.
    DropAfter,
    /// The connection is cut, and the call is executed this many ms later: it was on its way.
    Late(u64),
    /// The call is executed at once; the reply comes this many ms late.
    Delay(u64),
    /// The call is not executed and never answered; the connection stays.
    Silence,
    /// The call is executed, then the gateway restarts: `shutdown` event and close 1012 on every
    /// connection.
    Restart {
        /// How long new connections are refused, in ms.
        #[serde(default)]
        outage_ms: u64,
        /// Does the reply still come before the close?
        #[serde(default)]
        reply: bool,
    },
    /// Answered as over the rate limit, with this `retryAfterMs`; not executed.
    RateLimit(u64),
    /// Answered as if the configuration had changed; not executed.
    StaleHash,
    /// The call is executed; a text that is no JSON comes instead of the reply.
    Garbage,
    /// Answered as by a starting gateway, with this `retryAfterMs`; not executed. At `connect` it
    /// closes with 1013.
    Starting(u64),
    /// Answered as done, but nothing was changed.
    LoseWrite,
    /// The call is executed and answered as 2026.9.4 answers a config write that it cannot take in
    /// while it runs; then it restarts.
    Persisted,
    /// A person merges this into the configuration right before the call, which is then executed.
    Edit(Value),
}

impl Fault {
    /// The next call of a method is struck once.
    #[must_use]
    pub fn on(method: &str, action: Action) -> Self {
        Self { method: Some(method.to_owned()), call: 1, times: 1, action, seen: 0 }
    }

    /// The n-th call of any method is struck once.
    #[must_use]
    pub fn at_call(call: u64, action: Action) -> Self {
        Self { method: None, call, times: 1, action, seen: 0 }
    }

    /// Strikes first at its n-th call.
    #[must_use]
    pub fn nth(self, call: u64) -> Self {
        Self { call, ..self }
    }

    /// Strikes that many calls in a row.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Counts the call if it is one of its own, and says whether to strike it.
    fn strikes(&mut self, method: &str) -> bool {
        let counts = self.method.as_deref().map_or(method != "connect", |own| own == method);
        self.seen += u64::from(counts);
        counts && self.seen >= self.call && self.seen - self.call < self.times
    }
}

/// What strikes this call. Every fault counts it; the first that strikes wins.
pub(crate) fn strike(faults: &mut [Fault], method: &str) -> Option<Action> {
    faults.iter_mut().fold(None, |hit, fault| {
        let strikes = fault.strikes(method);
        hit.or_else(|| strikes.then(|| fault.action.clone()))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

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
