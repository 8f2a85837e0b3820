//! Who does something to the queue by hand.

use serde::Serialize;

/// Most letters of a name or a place that are kept.
const LONGEST: usize = 100;
/// Most letters of a reason that are kept.
const LONGEST_REASON: usize = 500;

/// A person or program that acts, and from where. Both are kept with what was done, 100 letters of
/// each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Author {
    /// Who, such as `ada`.
    pub name: String,
    /// From where, such as `cli host-1` or `dashboard 203.0.113.9`.
    pub from: String,
}

impl Author {
    /// Somebody by name, and from where.
    pub fn new(name: impl Into<String>, from: impl Into<String>) -> Self {
        Self { name: name.into(), from: from.into() }
    }

    /// As the scripts get it.
    pub(crate) fn to_args(&self) -> [String; 2] {
        [plain(&self.name, LONGEST), plain(&self.from, LONGEST)]
    }
}

/// A reason as the scripts get it.
pub(crate) fn reason(why: &str) -> String {
    plain(why, LONGEST_REASON)
}

/// On one line and not too long, because it is shown in lists.
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
