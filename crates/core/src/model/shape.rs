//! Reading of a document into its types. Serde reports a fault of the shape by typed calls, which
//! become a [`Problem`] here, so that no sentence of a library is read.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde_json::Value;

use super::problem::Problem;

/// The first fault of a document's shape.
#[derive(Debug, thiserror::Error)]
#[error("{problem}; {remedy}")]
struct Fault {
    problem: String,
    remedy: String,
    /// The missing field. Serde gives the path of its parent.
    missing: Option<&'static str>,
}

/// Reads a document or reports the first fault of its shape.
pub(super) fn read<T: for<'de> Deserialize<'de>>(document: Value) -> Result<T, Problem> {
    let mut track = serde_path_to_error::Track::new();
    let json = serde_path_to_error::Deserializer::new(Json(document), &mut track);
    T::deserialize(json).map_err(|fault| {
        let path = match (track.path().to_string(), fault.missing) {
            (path, None) => path,
            (path, Some(field)) if path == "." => field.to_owned(),
            (path, Some(field)) => format!("{path}.{field}"),
        };
        Problem::new(path, fault.problem, fault.remedy)
    })
}

impl Fault {
    fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into(), missing: None }
    }
}

impl de::Error for Fault {
    /// Drops the text, which may contain the value. The rules have found such faults before.
    fn custom<T: Display>(_: T) -> Self {
        Self::new("not valid", "correct it")
    }

    /// Keeps only the type of the value, because the value may be a secret.
    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
            Unexpected::Float(_) => "floating",
            Unexpected::Str(_) => "string",
            Unexpected::Seq => "sequence",
            Unexpected::Map => "map",
            _ => "null",
        };
        Self::new(format!("wrong type ({found})"), format!("use {wanted}"))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new("unknown variant", format!("use one of `{}`", known.join("`, `")))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        let remedy = format!("remove it, or use one of `{}`", known.join("`, `"));
        Self::new("unknown field", remedy)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new("missing", "add it") }
    }
}

/// A JSON value whose faults are [`Fault`]s.
struct Json(Value);

impl IntoDeserializer<'_, Fault> for Json {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Json)))
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Json(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// Refuses a list, which the type of ids would take for bytes.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    /// Accepts only the name of a variant, and no object around it.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(name.into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
