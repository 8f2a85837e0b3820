//! The fields of a job, a gateway, a group of failures or a worker, as the scripts return them.

use std::collections::HashMap;
use std::str::FromStr;

use redis::{FromRedisValue, ParsingError, Value};
use serde::de::DeserializeOwned;

/// Fields by name. Other programs may have stored anything in them, so that each is read by itself:
/// one that is absent or cannot be read is none.
#[derive(Debug, Default)]
pub(crate) struct Fields(HashMap<String, Vec<u8>>);

impl FromRedisValue for Fields {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        HashMap::from_redis_value(value).map(Self)
    }
}

impl Fields {
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        self.0.remove(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns a field that holds a number, an id or the name of a state.
    pub(crate) fn parse<T: FromStr>(&self, name: &str) -> Option<T> {
        std::str::from_utf8(self.bytes(name)?).ok()?.parse().ok()
    }

    /// Returns a field that holds JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(self.bytes(name)?).ok()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Fields {
    fn from(fields: [(&str, &str); N]) -> Self {
        Self(fields.map(|(name, value)| (name.to_owned(), value.into())).into())
    }
}
