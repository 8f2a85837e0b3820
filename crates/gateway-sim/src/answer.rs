//! Error answers, and the frames that carry answers and events.

use serde::Deserialize;
use serde_json::{Value, json};

/// An error with which a call is answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The code, such as `INVALID_REQUEST`.
    pub code: String,
    /// The message for people.
    pub message: String,
    /// The details for programs, such as `{"issues": […]}`, boxed to keep results small.
    #[serde(default)]
    pub details: Option<Box<Value>>,
    /// `true` if a retry can succeed without a time to wait.
    #[serde(skip)]
    pub(crate) retryable: bool,
    /// The time to wait before a retry, in ms, which is 0 on a hostile gateway. It marks the error
    /// as retryable.
    #[serde(default, rename = "retryAfterMs")]
    pub retry_after_ms: Option<u64>,
}

/// The result of a call.
pub(crate) type Outcome = Result<Value, Refusal>;

impl Refusal {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { code, message, details: None, retryable: false, retry_after_ms: None }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new("UNAVAILABLE", message)
    }

    /// Returns an error with the code that nearly every error has; clients distinguish these by the
    /// text.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("INVALID_REQUEST", message)
    }

    pub(crate) fn starting(retry_after_ms: u64) -> Self {
        Self::unavailable("gateway starting; retry shortly")
            .retried_after(retry_after_ms)
            .with_details(json!({ "reason": "startup-sidecars" }))
    }

    pub(crate) fn rate_limited(method: &str, limit: u32, retry_after_ms: u64) -> Self {
        let seconds = retry_after_ms.div_ceil(1000);
        Self::unavailable(format!("rate limit exceeded for {method}; retry after {seconds}s"))
            .retried_after(retry_after_ms)
            .with_details(json!({ "method": method, "limit": format!("{limit} per 60s") }))
    }

    pub(crate) fn stale_hash() -> Self {
        Self::invalid("config changed since last load; re-run config.get and retry")
    }

    fn retried_after(self, ms: u64) -> Self {
        Self { retry_after_ms: Some(ms), ..self }
    }

    pub(crate) fn with_details(self, details: Value) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if self.retryable || self.retry_after_ms.is_some() {
            error["retryable"] = true.into();
        }
        if let Some(ms) = self.retry_after_ms {
            error["retryAfterMs"] = ms.into();
        }
        if let Some(details) = &self.details {
            error["details"] = (**details).clone();
        }
        error
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
