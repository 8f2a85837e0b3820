//! What is read of an answer. The rest is skipped unparsed: it may be large, and a tree of values
//! takes up to fifty times as much memory as its text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::memory::{NoRoom, Room};

/// Bytes that a value takes in a list, by estimate: lists grow by doubling.
const SLOT: usize = 64;
/// Bytes that a list or an object takes besides what is in it.
const CONTAINER: usize = 64;
/// Bytes that a member takes besides its name and what its value holds.
const MEMBER: usize = 192;
/// Bytes that a text takes besides its own.
const TEXT: usize = 32;

/// The part of a JSON value that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    All,
    /// Of an object, these members and this of each. A list that stands in its place is read as an
    /// empty one.
    Members(&'static [(&'static str, Keep)]),
    /// Of a list, this of each of its values. An object that stands in its place is read as an
    /// empty one.
    Each(&'static Keep),
}

impl Keep {
    /// Reads this part of a text. An error that is about memory can be seen in `room`.
    pub(super) fn read(self, text: &str, room: &mut Room<'_>) -> Result<Value, serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let value = Part { keep: self, room }.deserialize(&mut parser)?;
        parser.end()?;
        Ok(value)
    }

    /// What is kept of a member; none if it is skipped.
    fn of_member(self, name: &str) -> Option<Self> {
        match self {
            Self::All => Some(Self::All),
            Self::Members(members) => {
                members.iter().find(|(known, _)| *known == name).map(|(_, keep)| *keep)
            }
            Self::Each(_) => None,
        }
    }

    /// What is kept of each value of a list; none if all are skipped.
    const fn of_each(self) -> Option<Self> {
        match self {
            Self::All => Some(Self::All),
            Self::Each(keep) => Some(*keep),
            Self::Members(_) => None,
        }
    }
}

/// A part that is being read, and the memory that it may take.
struct Part<'r, 'm> {
    keep: Keep,
    room: &'r mut Room<'m>,
}

impl Part<'_, '_> {
    fn take<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.room.take(bytes).map_err(|_: NoRoom| E::custom("no room for it"))
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<Value, E> {
        self.take(TEXT + value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<Value, A::Error> {
        self.take(CONTAINER)?;
        let mut list = Vec::new();
        let Some(keep) = self.keep.of_each() else {
            while values.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Array(list));
        };
        while let Some(value) = values.next_element_seed(Part { keep, room: &mut *self.room })? {
            self.take(SLOT)?;
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        self.take(CONTAINER)?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Some(keep) = self.keep.of_member(&name) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            self.take(MEMBER + name.len())?;
            let value = members.next_value_seed(Part { keep, room: &mut *self.room })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateway::memory::Memory;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn everything_is_read_as_it_stands() {
        let text = r#"{"a":[1,-2,3.5,1e300,null,true,"é\u0041"],"b":{"c":{}},"n":18446744073709551615,"z":[]}"#;
        let read =
            Keep::All.read(text, &mut Memory::default().for_answer(MIB)).expect("it is JSON");
        assert_eq!(read, serde_json::from_str::<Value>(text).expect("it is JSON"));
        for text in ["{} {}", "[1", "{\"a\"}", "1e999", ""] {
            assert!(
                Keep::All.read(text, &mut Memory::default().for_answer(MIB)).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_wanted_is_skipped_and_costs_nothing() {
        const ID: Keep = Keep::Members(&[("id", Keep::All)]);
        const KEEP: Keep = Keep::Members(&[("agents", Keep::Each(&ID)), ("hash", Keep::All)]);
        let memory = Memory::default();
        let read = |text: &str| {
            KEEP.read(text, &mut memory.for_answer(4096)).expect("it is JSON and small")
        };
        let large = format!("[{}1]", "[{\"a\":1}],".repeat(10_000));
        let text = format!(
            r#"{{"raw":{large},"agents":[{{"id":"a","more":{large}}},7,[{large}]],"hash":{{"x":1}}}}"#
        );
        assert_eq!(read(&text), json!({ "agents": [{ "id": "a" }, 7, []], "hash": { "x": 1 } }));
        assert_eq!(read(&large), json!([]), "a list in the place of an object");
        assert_eq!(
            read(r#"{"agents":{"a":1}}"#),
            json!({ "agents": {} }),
            "an object in the place of a list"
        );
        assert_eq!(read("7"), json!(7));
        let deep = format!(r#"{{"raw":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep), json!({}), "however deep it is");
    }

    #[test]
    fn an_answer_takes_so_much_memory() {
        let memory = Memory::default();
        let refused = |text: &str| {
            let mut room = memory.for_answer(8 * MIB);
            assert!(Keep::All.read(text, &mut room).is_err());
            room.refusal()
        };
        for small in ["1,", "{},", "[],", "\"\",", "{\"a\":1},"] {
            let text = format!("[{}1]", small.repeat(8 * MIB / SLOT));
            assert_eq!(refused(&text), Some(NoRoom::TooLarge(8 * MIB)), "{small}");
        }
        assert_eq!(
            refused(&format!("\"{}\"", "x".repeat(8 * MIB))),
            Some(NoRoom::TooLarge(8 * MIB))
        );
        assert_eq!(refused("[1"), None, "what is no JSON is no question of memory");
    }
}
