//! The author of an action on the queue.

use serde::Serialize;

/// The most characters that are kept of a name or an origin.
const LONGEST: usize = 100;
/// The most characters that are kept of a reason.
const LONGEST_REASON: usize = 500;

/// A person or program that acts, and where the action came from. Both are recorded with the
/// action, up to 100 characters of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Author {
    /// The name, such as `ada`.
    pub name: String,
    /// The origin, such as `cli host-1` or `dashboard 203.0.113.9`.
    pub from: String,
}

impl Author {
    /// Makes an author from a name and an origin.
    pub fn new(name: impl Into<String>, from: impl Into<String>) -> Self {
        Self { name: name.into(), from: from.into() }
    }

    /// Returns name and origin as arguments for the scripts.
    pub(crate) fn to_args(&self) -> [String; 2] {
        [plain(&self.name, LONGEST), plain(&self.from, LONGEST)]
    }
}

/// Returns a reason as an argument for the scripts.
pub(crate) fn reason(why: &str) -> String {
    plain(why, LONGEST_REASON)
}

/// Puts a text on one line and cuts it, because it is shown in lists.
fn plain(text: &str, longest: usize) -> String {
    let spaced = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    spaced.take(longest).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_one_line_of_some_length() {
        let author = Author::new(" ada\u{1b}[2J\n", "x".repeat(1000));
        assert_eq!(author.to_args(), ["ada [2J".to_owned(), "x".repeat(LONGEST)]);
        assert_eq!(reason("new\tdisk"), "new disk");
    }
}
