//! An answer of a gateway: as it came, and the part of it that is read.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::error::GatewayError;
use super::memory::{Held, Memory, NoRoom};
use super::protocol::Method;

/// Answers of so many bytes are read beside what else the process does.
const LARGE: usize = 256 * 1024;

/// What a gateway answered, as far as the [method](Method::keep) makes use of it. A large one
/// counts against what the process may take of such answers for as long as it, or what was made of
/// it, is there.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    value: Value,
    held: Kept,
}

/// The memory that a large answer counts for; see [`Answer::kept`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// Given back when it is dropped.
    _held: Option<Arc<Held>>,
}

impl Answer {
    /// Gives up the answer for its value. Who keeps much of that keeps its share of the pool with
    /// it.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The memory that it counts for.
    pub(crate) fn kept(&self) -> Kept {
        self.held.clone()
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { value, held: Kept::default() }
    }
}

impl From<&Value> for Answer {
    fn from(value: &Value) -> Self {
        value.clone().into()
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

impl PartialEq<Value> for Answer {
    fn eq(&self, other: &Value) -> bool {
        self.value == *other
    }
}

/// An answer that nobody has read yet.
#[derive(Debug)]
pub(super) struct Raw {
    /// The frame.
    text: Utf8Bytes,
    /// Where in it the payload stands; none if there is none.
    payload: Option<Range<usize>>,
    /// The memory that the frame counts for.
    _held: Option<Arc<Held>>,
}

impl Raw {
    /// The payload, which stands in the frame.
    pub(super) fn new(
        text: &Utf8Bytes,
        payload: Option<&RawValue>,
        held: Option<Arc<Held>>,
    ) -> Self {
        let payload = payload.map(|payload| {
            let start = payload.get().as_ptr().addr() - text.as_str().as_ptr().addr();
            start..start + payload.get().len()
        });
        Self { text: text.clone(), payload, _held: held }
    }

    /// Reads what the method makes use of. Waits for a while if others have all the memory that
    /// there is for answers.
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
                // It takes a while, in which others want to be served.
                let (raw, memory) = (Arc::clone(&raw), memory.clone());
                let reading = spawn_blocking(move || raw.try_read(method, &memory));
                reading.await.expect("reading an answer does not panic, and nobody cancels it")
            };
            let reason = match read {
                Ok(answer) => return Ok(answer),
                Err(Unread::NoRoom(NoRoom::Crowded(bytes))) if memory.wait_for(bytes).await => {
                    continue;
                }
                Err(Unread::NoRoom(NoRoom::Crowded(_))) => {
                    "other answers take all memory that there is for them".to_owned()
                }
                Err(Unread::NoRoom(NoRoom::TooLarge(limit))) => {
                    format!("it would take more than {limit} bytes of memory")
                }
                Err(Unread::NoJson(reason)) => format!("its payload cannot be read, {reason}"),
            };
            return Err(GatewayError::Garbage { method, reason });
        }
    }

    fn try_read(&self, method: Method, memory: &Memory) -> Result<Answer, Unread> {
        let mut room = memory.for_answer(method.max_memory());
        let payload = &self.text[self.payload.clone().unwrap_or_default()];
        match (method.keep().read(payload, &mut room), room.refusal()) {
            (Ok(value), _) => Ok(Answer { value, held: Kept { _held: room.held().map(Arc::new) } }),
            (Err(_), Some(refusal)) => Err(Unread::NoRoom(refusal)),
            (Err(error), None) => Err(Unread::NoJson(error.to_string())),
        }
    }
}

/// Why an answer was not read.
enum Unread {
    NoRoom(NoRoom),
    NoJson(String),
}
