//! The part of an answer that is parsed. The rest is skipped: it may be large, and a tree of values
//! takes up to fifty times as much memory as its text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::memory::{Budget, OverBudget};

/// The estimated bytes of a value in a list: lists grow by doubling.
const SLOT: usize = 64;
/// The bytes of a list or an object without its content.
const CONTAINER: usize = 64;
/// The bytes of a member without its name and the content of its value.
const MEMBER: usize = 192;
/// The bytes of a text without its characters.
const TEXT: usize = 32;

/// The part of a JSON value that is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The whole value is parsed.
    All,
    /// These members of an object, and this part of each. A list in its place is read as an empty
    /// list.
    Members(&'static [(&'static str, Keep)]),
    /// This part of each value of a list. An object in its place is read as an empty object.
    Each(&'static Keep),
}

impl Keep {
    /// Parses this part of a text. If memory is the cause of an error, `budget` holds the reason.
    pub(super) fn read(
        self,
        text: &str,
        budget: &mut Budget<'_>,
    ) -> Result<Value, serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let value = Part { keep: self, budget }.deserialize(&mut parser)?;
        parser.end()?;
        Ok(value)
    }

    /// Returns the part of a member that is kept; `None` if it is skipped.
    fn of_member(self, name: &str) -> Option<Self> {
        match self {
            Self::All => Some(Self::All),
            Self::Members(members) => {
                members.iter().find(|(known, _)| *known == name).map(|(_, keep)| *keep)
            }
            Self::Each(_) => None,
        }
    }

    /// Returns the part of each list value that is kept; `None` if all are skipped.
    const fn of_each(self) -> Option<Self> {
        match self {
            Self::All => Some(Self::All),
            Self::Each(keep) => Some(*keep),
            Self::Members(_) => None,
        }
    }
}

/// A part that is being parsed, and its memory budget.
struct Part<'r, 'm> {
    keep: Keep,
    budget: &'r mut Budget<'m>,
}

impl Part<'_, '_> {
    fn take<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.budget.take(bytes).map_err(|_: OverBudget| E::custom("memory limit reached"))
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
        while let Some(value) =
            values.next_element_seed(Part { keep, budget: &mut *self.budget })?
        {
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
            let value = members.next_value_seed(Part { keep, budget: &mut *self.budget })?;
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
    fn the_whole_value_is_parsed() {
        let text = r#"{"a":[1,-2,3.5,1e300,null,true,"é\u0041"],"b":{"c":{}},
            "n":18446744073709551615,"z":[]}"#;
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
    fn unused_parts_are_skipped_and_cost_nothing() {
        const ID: Keep = Keep::Members(&[("id", Keep::All)]);
        const KEEP: Keep = Keep::Members(&[("agents", Keep::Each(&ID)), ("hash", Keep::All)]);
        let memory = Memory::default();
        let read = |text: &str| {
            KEEP.read(text, &mut memory.for_answer(4096)).expect("it is JSON and small")
        };
        let large = format!("[{}1]", "[{\"a\":1}],".repeat(10_000));
        let text = format!(
            r#"{{"raw":{large},"agents":[{{"id":"a","more":{large}}},7,[{large}]],
                "hash":{{"x":1}}}}"#
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
        assert_eq!(read(&deep), json!({}), "at any depth");
    }

    #[test]
    fn the_memory_of_an_answer_is_limited() {
        let memory = Memory::default();
        let refused = |text: &str| {
            let mut budget = memory.for_answer(8 * MIB);
            assert!(Keep::All.read(text, &mut budget).is_err());
            budget.refusal
        };
        for small in ["1,", "{},", "[],", "\"\",", "{\"a\":1},"] {
            let text = format!("[{}1]", small.repeat(8 * MIB / SLOT));
            assert_eq!(refused(&text), Some(OverBudget::TooLarge(8 * MIB)), "{small}");
        }
        assert_eq!(
            refused(&format!("\"{}\"", "x".repeat(8 * MIB))),
            Some(OverBudget::TooLarge(8 * MIB))
        );
        assert_eq!(refused("[1"), None, "invalid JSON is not a memory error");
    }
}
