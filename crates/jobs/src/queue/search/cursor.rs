//! Where a page of found jobs ended.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

use super::SearchError;

/// Where a page ended, so that the next one goes on behind it whatever has come or gone meanwhile. A word for urls, and
/// only of use with the search that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The list that was looked through: a state, a group of failures, or the agent.
    pub(in crate::queue) list: String,
    /// The score of the last one seen there.
    pub(in crate::queue) score: u64,
    /// The last one seen there.
    pub(in crate::queue) id: Uuid,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}~{}", self.list, self.score, self.id)
    }
}

impl FromStr for Cursor {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let read = || {
            let mut parts = text.rsplitn(3, '~');
            let (id, score, list) = (parts.next()?, parts.next()?, parts.next()?);
            let fits = list.len() <= 300 && list.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:|+=".contains(c));
            fits.then_some(())?;
            Some(Self { list: list.to_owned(), score: score.parse().ok()?, id: id.parse().ok()? })
        };
        read().ok_or(SearchError::Cursor)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_again() {
        let cursor = Cursor { list: "state:dead".to_owned(), score: 1_763_859_600_000, id: Uuid::from_u128(7) };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for wrong in ["", "dead", "state:dead~x~00000000-0000-0000-0000-000000000007", "a b~1~7", "\n~1~7"] {
            assert_eq!(wrong.parse::<Cursor>().unwrap_err(), SearchError::Cursor, "{wrong}");
        }
    }
}
