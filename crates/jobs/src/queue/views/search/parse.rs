//! The parser of searches that people write.

use std::str::FromStr;

use mission_core::Kind;
use mission_core::sanitize::one_line;
use uuid::Uuid;

use super::{MAX_SEARCH, Search};
use crate::queue::states::State;

/// The most characters of a search that an error repeats.
const MAX_QUOTE: usize = 100;

/// The reasons why a search is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The search is too long.
    #[error("a search may have at most {MAX_SEARCH} characters; leave some words out")]
    TooLong,
    /// The search has a quote that is not closed.
    #[error("a quote is not closed; add one more \"")]
    Quote,
    /// The qualifier does not exist.
    #[error(
        "there is no qualifier {name}:; use kind, state, gateway, agent, board, error or id, or \
         put the text in quotes"
    )]
    Unknown {
        /// The name as it was given.
        name: String,
    },
    /// The value of a qualifier is not valid.
    #[error("{name}:{value} is not understood; give {remedy}")]
    Value {
        /// The name of the qualifier.
        name: &'static str,
        /// The value as it was given.
        value: String,
        /// Describes a valid value.
        remedy: String,
    },
    /// The cursor does not come from a search.
    #[error("the cursor is not valid; start again without it")]
    Cursor,
    /// A qualifier is given twice.
    #[error("{name}: is given twice; give it once")]
    Twice {
        /// The name of the qualifier.
        name: &'static str,
    },
}

/// A part of a search between spaces: its text without quotes, and the position of its first colon
/// outside of quotes.
#[derive(Default)]
struct Part {
    text: String,
    colon: Option<usize>,
    is_quoted: bool,
}

fn parts(text: &str) -> Result<Vec<Part>, SearchError> {
    let (mut parts, mut part, mut in_quotes) = (Vec::new(), Part::default(), false);
    for c in text.chars() {
        match c {
            '"' => {
                in_quotes = !in_quotes;
                part.is_quoted = true;
            }
            c if c.is_whitespace() && !in_quotes => parts.push(std::mem::take(&mut part)),
            c => {
                if c == ':' && !in_quotes && part.colon.is_none() && !part.is_quoted {
                    part.colon = Some(part.text.len());
                }
                part.text.push(c);
            }
        }
    }
    parts.push(part);
    parts.retain(|part| !part.text.is_empty());
    if in_quotes { Err(SearchError::Quote) } else { Ok(parts) }
}

/// Returns a text as the parser reads it back: in quotes where it would be split. A quote itself
/// cannot be written.
pub(crate) fn quoted(text: &str) -> String {
    let text = text.replace('"', "");
    if text.chars().any(|c| c.is_whitespace() || c == ':') { format!("\"{text}\"") } else { text }
}

impl FromStr for Search {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        if text.chars().count() > MAX_SEARCH {
            return Err(SearchError::TooLong);
        }
        let mut search = Self::default();
        for part in parts(text)? {
            match part.colon {
                Some(colon) => search.qualify(&part.text[..colon], &part.text[colon + 1..])?,
                None => search.words.push(part.text),
            }
        }
        // The canonical text may be longer, because ids are also read without their dashes.
        if search.to_string().chars().count() > MAX_SEARCH {
            Err(SearchError::TooLong)
        } else {
            Ok(search)
        }
    }
}

impl Search {
    fn qualify(&mut self, name: &str, value: &str) -> Result<(), SearchError> {
        match name {
            "kind" => once("kind", &mut self.kind, kind(value)?),
            "state" if !self.states.is_empty() => Err(SearchError::Twice { name: "state" }),
            "state" => {
                self.states = states(value)?;
                Ok(())
            }
            "gateway" => once("gateway", &mut self.gateway, uuid("gateway", value)?),
            "agent" => once("agent", &mut self.agent, uuid("agent", value)?),
            "board" => once("board", &mut self.board, uuid("board", value)?),
            "error" => once("error", &mut self.error, error(value)?),
            "id" => once("id", &mut self.id, id(value)?),
            _ => Err(SearchError::Unknown { name: one_line(name, MAX_QUOTE) }),
        }
    }
}

fn once<T>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), SearchError> {
    if slot.replace(value).is_some() { Err(SearchError::Twice { name }) } else { Ok(()) }
}

fn wrong(name: &'static str, value: &str, remedy: impl Into<String>) -> SearchError {
    SearchError::Value { name, value: one_line(value, MAX_QUOTE), remedy: remedy.into() }
}

fn kind(value: &str) -> Result<Kind, SearchError> {
    Kind::from_name(value)
        .ok_or_else(|| wrong("kind", value, Kind::ALL.map(Kind::as_str).join(", ")))
}

fn states(value: &str) -> Result<Vec<State>, SearchError> {
    let remedy = || wrong("state", value, State::ALL.map(State::as_str).join(", "));
    let mut states = Vec::new();
    for name in value.split(',').filter(|name| !name.is_empty()) {
        let state = State::from_name(name).ok_or_else(remedy)?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    if states.is_empty() { Err(remedy()) } else { Ok(states) }
}

fn uuid(name: &'static str, value: &str) -> Result<Uuid, SearchError> {
    value
        .parse()
        .map_err(|_| wrong(name, value, "an id such as 7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01"))
}

fn error(value: &str) -> Result<String, SearchError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if value.is_empty() || !value.chars().all(is_word) {
        return Err(wrong("error", value, "a code such as pairing_required"));
    }
    Ok(value.to_owned())
}

fn id(value: &str) -> Result<String, SearchError> {
    let value = value.to_ascii_lowercase();
    if !(8..=36).contains(&value.len()) || !value.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    {
        return Err(wrong("id", &value, "an id, or its first 8 letters or more"));
    }
    Ok(value)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    const ID: &str = "7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01";

    #[test]
    fn a_search_survives_writing_and_parsing() {
        let text = format!(
            "quota  state:dead,blocked,dead gateway:{ID} \"disk full\" kind:cleanup \
                error:timeout/config.get"
        );
        let search: Search = text.parse().unwrap();
        assert_eq!(search.states, [State::Dead, State::Blocked]);
        assert_eq!((search.kind, search.gateway), (Some(Kind::Cleanup), Some(ID.parse().unwrap())));
        assert_eq!(search.words, ["quota", "disk full"]);
        let canonical = format!(
            "kind:cleanup state:dead,blocked gateway:{ID} error:timeout/config.get quota \"disk \
                full\""
        );
        assert_eq!(search.to_string(), canonical);
        assert_eq!(canonical.parse::<Search>().unwrap(), search);
        assert_eq!("".parse::<Search>().unwrap(), Search::default());
    }

    #[test]
    fn a_quoted_qualifier_is_a_word() {
        let search: Search =
            "\"ws://host:1\" id:7C9D5C1E agent:\"\"7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01"
                .parse()
                .unwrap();
        assert_eq!(search.words, ["ws://host:1"]);
        assert_eq!(search.id.as_deref(), Some("7c9d5c1e"));
        assert_eq!(search.agent.unwrap().to_string(), ID);
        assert_eq!(search.to_string().parse::<Search>().unwrap(), search);
    }

    #[test]
    fn errors_name_the_fault_and_the_remedy() {
        for (text, part) in [
            ("gatway:7", "no qualifier gatway:; use kind, state"),
            ("ws://host", "put the text in quotes"),
            ("state:blocked,busy", "give scheduled, ready, running"),
            ("state:", "give scheduled"),
            ("kind:nonsense", "give provision, "),
            ("agent:alice", "an id such as"),
            ("error:", "a code such as"),
            ("id:7c9", "its first 8 letters"),
            ("id:nothex-nothex", "its first 8 letters"),
            ("kind:cleanup kind:cleanup", "kind: is given twice"),
            ("state:dead state:done", "state: is given twice"),
            ("\"open", "not closed"),
        ] {
            let error = text.parse::<Search>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!("x".repeat(501).parse::<Search>().unwrap_err(), SearchError::TooLong);
        let forged = format!("state:{}\u{1b}[2J", "x".repeat(200))
            .parse::<Search>()
            .unwrap_err()
            .to_string();
        assert!(!forged.contains(char::is_control) && forged.chars().count() < 300, "{forged}");
    }

    #[test]
    fn what_is_read_can_be_read_again_up_to_the_longest() {
        let search = |words: usize| {
            format!("gateway:{} {}", ID.replace('-', ""), "x".repeat(words)).parse::<Search>()
        };
        let longest = search(500 - 45).unwrap();
        assert_eq!(longest.to_string().len(), 500);
        assert_eq!(longest.to_string().parse(), Ok(longest));
        assert_eq!(search(500 - 44), Err(SearchError::TooLong), "its id is written with dashes");
    }
}
