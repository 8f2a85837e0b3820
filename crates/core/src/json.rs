//! Reads the JSON text of documents. Nothing else does, so that all agree about what a text means.
//!
//! JSON leaves open which of two members of the same name counts, and programs differ: a check of
//! one and a run of the other would be about different documents. So such a text is refused. A byte
//! order mark at its beginning, which some editors write, is skipped.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The reasons why a text is not the JSON of a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not JSON.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// An object has two members of the same name.
    #[error("two members have the path {path}")]
    Twice {
        /// The path of the second one, such as `agents[0].id`.
        path: String,
    },
}

/// Returns the text without the byte order mark that it may begin with.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads a text strictly.
pub fn read(text: &[u8]) -> Result<Value, JsonError> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(without_mark(text));
    let strict = Strict { place: &Place::Whole, twice: &twice };
    let value = strict.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| match twice.take() {
        Some(path) => JsonError::Twice { path },
        None => JsonError::Syntax(error),
    })
}

/// Reads a text of which something is shown although it may not be valid. Returns null if it is not
/// JSON; of two members of the same name the last counts.
#[must_use]
pub fn read_to_show(text: &[u8]) -> Value {
    serde_json::from_slice(without_mark(text)).unwrap_or_default()
}

/// A place in a document.
enum Place<'a> {
    Whole,
    Member(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Member(Self::Whole, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Makes a [`Value`] of which no object has two members of the same name.
#[derive(Clone, Copy)]
struct Strict<'a> {
    place: &'a Place<'a>,
    /// Receives the path of the second member.
    twice: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let place = Place::Item(self.place, items.len());
            match list.next_element_seed(Strict { place: &place, ..self })? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let place = Place::Member(self.place, &name);
            if members.contains_key(&name) {
                self.twice.replace(Some(place.to_string()));
                return Err(A::Error::custom("a member occurs twice"));
            }
            let value = object.next_value_seed(Strict { place: &place, ..self })?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_means_what_the_library_reads() {
        let text = r#" {"a": [1, -2, 3.5, 1e3, 18446744073709551615, "é\u00e9\n", true, null, [], {}],
            "b": {"a": {"a": 1}}, "": 0.1} "#;
        let value: Value = serde_json::from_str(text).expect("it is JSON");
        assert_eq!(read(text.as_bytes()).expect("it is JSON").to_string(), value.to_string());
        for wrong in ["", "{", "[1,]", "{} {}", "1e999", "\"\\ud800\"", &"[".repeat(200)] {
            let error = serde_json::from_str::<Value>(wrong).expect_err(wrong);
            let same = read(wrong.as_bytes()).expect_err(wrong);
            assert_eq!(same.to_string(), error.to_string(), "{wrong}");
        }
    }

    #[test]
    fn a_member_that_occurs_twice_is_refused_at_any_depth() {
        for (text, place) in [
            (r#"{"kind": 1, "kind": 1}"#, "kind"),
            (r#"{"a": 0, "gateway": {"id": 1, "url": {}, "id": 2}}"#, "gateway.id"),
            (r#"{"agents": [{}, {"x": [[{"y": 1, "\u0079": 2}]]}]}"#, "agents[1].x[0][0].y"),
            (r#"[{"a": 1, "a": 2"#, "[0].a"),
        ] {
            let error = read(text.as_bytes()).expect_err(text);
            assert!(matches!(&error, JsonError::Twice { path } if path == place), "{error}");
        }
        assert_eq!(read_to_show(br#"{"a": 1, "a": 2}"#), json!({ "a": 2 }));
    }

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        assert_eq!(read("\u{feff}{}".as_bytes()).expect("it is JSON"), json!({}));
        assert_eq!(read_to_show("\u{feff}[]".as_bytes()), json!([]));
        assert!(read("\u{feff}\u{feff}{}".as_bytes()).is_err());
    }
}
