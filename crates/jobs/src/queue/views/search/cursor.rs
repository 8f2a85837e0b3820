//! The cursor of a search, which marks the end of a page.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::SearchError;

/// Marks the end of a page, so that the next page continues behind it whatever has come or gone
/// meanwhile. As text it fits into a url, and it is only valid for the search that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The list that was searched, such as `state:dead`, a group of failures, or the jobs of the
    /// agent.
    pub(crate) list: String,
    /// The score of the last job seen there.
    pub(crate) score: u64,
    /// The id of the last job seen there.
    pub(crate) id: Uuid,
    /// Limits the rest of the search to jobs that were enqueued before this.
    pub(crate) until: Option<EnqueuedAt>,
}

/// The time when a job was enqueued, and its number among those of the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EnqueuedAt {
    pub(crate) at_ms: u64,
    pub(crate) seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { list, score, id, until } = self;
        write!(f, "{list}~{score}~{id}")?;
        until.map_or(Ok(()), |EnqueuedAt { at_ms, seq }| write!(f, "~{at_ms}~{seq}"))
    }
}

impl FromStr for Cursor {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let read = || {
            let mut parts = text.split('~');
            let list = parts.next()?.to_owned();
            let is_word = |c: char| c.is_ascii_alphanumeric() || "-_./:|+".contains(c);
            (list.len() <= 300 && list.chars().all(is_word)).then_some(())?;
            let (score, id) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let until = match (parts.next(), parts.next()) {
                (Some(at), Some(seq)) => {
                    Some(EnqueuedAt { at_ms: at.parse().ok()?, seq: seq.parse().ok()? })
                }
                (None, _) => None,
                (Some(_), None) => return None,
            };
            parts.next().is_none().then_some(Self { list, score, id, until })
        };
        read().ok_or(SearchError::Cursor)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_writing_and_parsing() {
        for until in [None, Some(EnqueuedAt { at_ms: 1_763_859_600_001, seq: 7 })] {
            let cursor = Cursor {
                list: "-state:dead".to_owned(),
                score: 1_763_859_600_000,
                id: Uuid::from_u128(7),
                until,
            };
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
        for wrong in
            ["", "dead", "state:dead~x~00000000-0000-0000-0000-000000000007", "a b~1~7", "\n~1~7"]
        {
            assert_eq!(wrong.parse::<Cursor>().unwrap_err(), SearchError::Cursor, "{wrong}");
        }
    }
}
