//! The answer of `claim.lua`.

use std::time::Duration;

use redis::{FromRedisValue, Value};

/// A claimed job as Redis returns it, before any of its values is trusted.
#[derive(Debug, Clone)]
pub(crate) struct RawClaim {
    pub(crate) id: String,
    pub(crate) token: u64,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) lane: String,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) run: u32,
    pub(crate) enqueued_at_ms: u64,
    /// The document, or nothing if it is larger than a document may be.
    pub(crate) payload: Vec<u8>,
    /// The number of runs in a row that could not reach the lane's gateway.
    pub(crate) lane_failures: u32,
    /// The flags inherited from jobs that it replaced: letters as in `enqueue.lua`.
    pub(crate) inherited: String,
    /// The time until it expires, if it does.
    pub(crate) expires_in: Option<Duration>,
    /// A JSON list of the ids of agents that a newer job has cleaned up, or empty.
    pub(crate) gone: String,
    /// The token of the job whose run it shares, if it shares one. That job comes before it in the
    /// batch.
    pub(crate) leader: Option<u64>,
    /// The time that it was ready before it was claimed.
    pub(crate) waited: Duration,
    /// The effects of the job on its gateway so far: JSON, or empty.
    pub(crate) effects: String,
    /// `true` if its latest run lost its worker.
    pub(crate) has_died: bool,
}

/// The jobs that one claim returned.
pub(crate) struct Batch {
    pub(crate) jobs: Vec<RawClaim>,
    /// The time until there may be more to do, if anything waits.
    pub(crate) next_due: Option<Duration>,
}

impl RawClaim {
    /// Reads one row. Returns none if it does not have the form that the script returns.
    pub(crate) fn from_values(values: Vec<Value>) -> Option<Self> {
        let [
            id,
            token,
            version,
            kind,
            lane,
            attempt,
            max_attempts,
            run,
            enqueued_at,
            payload,
            lane_failures,
            inherited,
            expires_in,
            gone,
            leader,
            waited,
            effects,
            lost,
        ] = <[Value; 18]>::try_from(values).ok()?;
        let text = |value: &Value| String::from_redis_value_ref(value).unwrap_or_default();
        let number = |value: &Value| {
            i64::from_redis_value_ref(value).ok().and_then(|number| u64::try_from(number).ok())
        };
        let small =
            |value: &Value| u32::try_from(number(value).unwrap_or_default()).unwrap_or(u32::MAX);
        Some(Self {
            id: text(&id),
            token: number(&token).unwrap_or_default(),
            version: text(&version),
            kind: text(&kind),
            lane: text(&lane),
            attempt: small(&attempt),
            max_attempts: small(&max_attempts),
            run: small(&run),
            enqueued_at_ms: number(&enqueued_at).unwrap_or_default(),
            payload: Vec::from_redis_value_ref(&payload).unwrap_or_default(),
            lane_failures: small(&lane_failures),
            inherited: text(&inherited),
            // The script returns -1 if the job never expires.
            expires_in: number(&expires_in).map(Duration::from_millis),
            gone: text(&gone),
            leader: text(&leader).parse().ok(),
            waited: Duration::from_millis(number(&waited).unwrap_or_default()),
            effects: text(&effects),
            has_died: number(&lost) == Some(1),
        })
    }
}
