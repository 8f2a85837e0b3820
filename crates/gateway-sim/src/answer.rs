//! Error answers, and the frames that carry answers and events.

use serde_json::{Map, Value, json};

/// An error with which a call is answered.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    /// The details, boxed to keep results small.
    details: Option<Box<Value>>,
    /// `true` if a retry can succeed.
    retryable: bool,
    /// The time to wait before a retry, in ms.
    retry_after_ms: Option<u64>,
}

/// The result of a call.
pub(crate) type Outcome = Result<Value, Refusal>;

impl Refusal {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            details: None,
            retryable: false,
            retry_after_ms: None,
        }
    }

    /// Returns an error with the code that nearly every error has; clients distinguish these by the
    /// text.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("INVALID_REQUEST", message)
    }

    pub(crate) fn starting(retry_after_ms: u64) -> Self {
        Self {
            details: Some(Box::new(json!({ "reason": "startup-sidecars" }))),
            retryable: true,
            retry_after_ms: Some(retry_after_ms),
            ..Self::new("UNAVAILABLE", "gateway starting; retry shortly")
        }
    }

    pub(crate) fn rate_limited(method: &str, limit: u32, retry_after_ms: u64) -> Self {
        let seconds = retry_after_ms.div_ceil(1000);
        Self {
            details: Some(Box::new(
                json!({ "method": method, "limit": format!("{limit} per 60s") }),
            )),
            retryable: true,
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(
                "UNAVAILABLE",
                format!("rate limit exceeded for {method}; retry after {seconds}s"),
            )
        }
    }

    pub(crate) fn stale_hash() -> Self {
        Self::invalid("config changed since last load; re-run config.get and retry")
    }

    /// Returns the error marked as retryable.
    pub(crate) fn retryable(self) -> Self {
        Self { retryable: true, ..self }
    }

    /// Returns the error, marked as retryable after `ms` milliseconds if that is given.
    pub(crate) fn retried_after(self, ms: Option<u64>) -> Self {
        Self { retryable: ms.is_some(), retry_after_ms: ms, ..self }
    }

    pub(crate) fn with_details(self, details: Value) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("code".into(), self.code.clone().into());
        error.insert("message".into(), self.message.clone().into());
        if self.retryable {
            error.insert("retryable".into(), true.into());
        }
        if let Some(ms) = self.retry_after_ms {
            error.insert("retryAfterMs".into(), ms.into());
        }
        if let Some(details) = &self.details {
            error.insert("details".into(), details.as_ref().clone());
        }
        error.into()
    }
}

/// Returns the frame that answers a request.
pub(crate) fn response(id: &Value, outcome: &Outcome) -> Value {
    match outcome {
        Ok(payload) => json!({ "type": "res", "id": id, "ok": true, "payload": payload }),
        Err(refusal) => json!({ "type": "res", "id": id, "ok": false, "error": refusal.to_json() }),
    }
}

/// Returns the frame of an event.
pub(crate) fn event(name: &str, payload: &Value) -> Value {
    json!({ "type": "event", "event": name, "payload": payload })
}
