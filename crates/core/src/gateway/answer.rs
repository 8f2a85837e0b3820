//! An answer of a gateway: as it came, and the part of it that is read.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::error::GatewayError;
use super::memory::{Held, Memory, NoRoom};
use super::protocol::Method;

/// What a gateway answered, as far as the [method](Method::keep) makes use of it. A large one counts against what the
/// process may take of such answers for as long as it, or what was made of it, is there.
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
    /// Gives up the answer for its value. Who keeps much of that keeps [`Self::kept`] with it.
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
    pub(super) fn new(text: &Utf8Bytes, payload: Option<&RawValue>, held: Option<Arc<Held>>) -> Self {
        let payload = payload.map(|payload| {
            let start = payload.get().as_ptr().addr() - text.as_str().as_ptr().addr();
            start..start + payload.get().len()
        });
        Self { text: text.clone(), payload, _held: held }
    }

    /// Reads what the method makes use of. Waits for a while if others have all the memory that there is for answers.
    pub(super) async fn read(self, method: Method, memory: &Memory) -> Result<Answer, GatewayError> {
        let Some(payload) = self.payload.clone() else { return Ok(Answer::default()) };
        let garbage = |reason: String| GatewayError::Garbage { method, reason };
        loop {
            let mut room = memory.for_answer(method.max_memory());
            let read = method.keep().read(&self.text[payload.clone()], &mut room);
            match (read, room.refusal()) {
                (Ok(value), _) => return Ok(Answer { value, held: Kept { _held: room.held().map(Arc::new) } }),
                (Err(_), Some(NoRoom::TooLarge(limit))) => {
                    return Err(garbage(format!("it would take more than {limit} bytes of memory")));
                }
                (Err(_), Some(NoRoom::Crowded(bytes))) => {
                    drop(room);
                    if !memory.wait_for(bytes).await {
                        return Err(garbage("other answers take all memory that there is for them".to_owned()));
                    }
                }
                (Err(error), None) => return Err(garbage(format!("its payload cannot be read, {error}"))),
            }
        }
    }
}
