//! The answer to a request: the raw frame, and the part of it that is parsed.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::error::GatewayError;
use super::memory::{Memory, OverBudget, Reservation};
use super::protocol::Method;

/// Answers of at least this many bytes are parsed on a blocking thread.
const LARGE: usize = 256 * 1024;

/// The part of an answer that the [method](Method::keep) uses. A large answer counts against the
/// process's memory limit for as long as it, or something made from it, exists.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    value: Value,
    reserved: Reserved,
}

/// The memory reserved for a large answer; see [`Answer::reserved`]. The last copy releases it.
pub(crate) type Reserved = Option<Arc<Reservation>>;

impl Answer {
    /// Returns the value and releases the reservation. A caller that keeps much of the value keeps
    /// `reserved` with it.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    /// Returns the memory reserved for the answer.
    pub(crate) fn reserved(&self) -> Reserved {
        self.reserved.clone()
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { value, reserved: None }
    }
}

impl Deref for Answer {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl DerefMut for Answer {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.value
    }
}

/// An answer that has not been parsed.
#[derive(Debug)]
pub(super) struct Raw {
    /// The text of the frame.
    text: Utf8Bytes,
    /// The position of the payload in the frame; `None` if there is none.
    payload: Option<Range<usize>>,
    /// The memory reserved for the frame.
    _reserved: Reserved,
}

impl Raw {
    /// Creates an answer from a payload that points into the frame.
    pub(super) fn new(text: &Utf8Bytes, payload: Option<&RawValue>, reserved: Reserved) -> Self {
        let payload = payload.map(|payload| {
            let start = payload.get().as_ptr().addr() - text.as_str().as_ptr().addr();
            start..start + payload.get().len()
        });
        Self { text: text.clone(), payload, _reserved: reserved }
    }

    /// Parses the part that the method uses. Waits for a limited time if other answers take up all
    /// the memory.
    pub(super) async fn read(
        self,
        method: Method,
        memory: &Memory,
    ) -> Result<Answer, GatewayError> {
        if self.payload.is_none() {
            return Ok(Answer::default());
        }
        let raw = Arc::new(self);
        loop {
            let read = if raw.text.len() < LARGE {
                raw.try_read(method, memory)
            } else {
                // Parsing takes long enough to delay other tasks.
                let (raw, memory) = (Arc::clone(&raw), memory.clone());
                let reading = spawn_blocking(move || raw.try_read(method, &memory));
                reading.await.expect("reading an answer does not panic, and nobody cancels it")
            };
            let reason = match read {
                Ok(answer) => return Ok(answer),
                Err((_, Some(OverBudget::Crowded(bytes)))) if memory.wait_for(bytes).await => {
                    continue;
                }
                Err((_, Some(OverBudget::Crowded(_)))) => {
                    "other answers take up all the memory for answers".to_owned()
                }
                Err((_, Some(OverBudget::TooLarge(limit)))) => {
                    format!("it would take more than {limit} bytes of memory")
                }
                Err((error, None)) => format!("its payload cannot be read, {error}"),
            };
            return Err(GatewayError::Garbage { method, reason });
        }
    }

    /// Parses that part once. The error comes with the reason if it is the lack of memory.
    fn try_read(
        &self,
        method: Method,
        memory: &Memory,
    ) -> Result<Answer, (serde_json::Error, Option<OverBudget>)> {
        let mut budget = memory.for_answer(method.max_memory());
        let payload = &self.text[self.payload.clone().unwrap_or_default()];
        match method.keep().read(payload, &mut budget) {
            Ok(value) => Ok(Answer { value, reserved: budget.reservation.map(Arc::new) }),
            Err(error) => Err((error, budget.refusal)),
        }
    }
}
