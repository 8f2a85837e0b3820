//! Detection of the parts of a rendered text that depend on an agent's token, however a template
//! transforms it: `upper`, slices, `join`.
//!
//! A search would find only the token itself. So the text is rendered again with stand-ins of the
//! same length, and the parts that differ show the token. Properties such as the token's length,
//! which the shape of a text can reveal, are not hidden.

use std::ops::Range;

use crate::context::Context;

/// The parts of a text that depend on the agent's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taint {
    /// The lines that depend on the token, each with its number from 0 and the range of bytes.
    Lines(Vec<(usize, Range<usize>)>),
    /// The texts have different lines, or the template fails with a stand-in: any line may show the
    /// token.
    Whole,
}

impl Taint {
    /// Compares a text with its versions for the stand-ins. `render` is called once for each
    /// stand-in.
    pub(crate) fn of<E>(
        text: &str,
        context: &Context,
        render: impl Fn(&Context) -> Result<Option<String>, E>,
    ) -> Self {
        let lines: Vec<_> = text.split('\n').collect();
        let mut shaped: Vec<Option<Range<usize>>> = vec![None; lines.len()];
        for stand_in in stand_ins(&context.auth_token) {
            let context = Context { auth_token: stand_in, ..context.clone() };
            let Ok(Some(other)) = render(&context) else { return Self::Whole };
            let others: Vec<_> = other.split('\n').collect();
            if others.len() != lines.len() {
                return Self::Whole;
            }
            for ((line, other), shaped) in lines.iter().zip(others).zip(&mut shaped) {
                let Some(found) = difference(line, other) else { continue };
                let before = shaped.take().unwrap_or_else(|| found.clone());
                *shaped = Some(before.start.min(found.start)..before.end.max(found.end));
            }
        }
        let lines = shaped.into_iter().enumerate();
        Self::Lines(lines.filter_map(|(number, shaped)| Some((number, shaped?))).collect())
    }

    /// Returns whether no part of the text shows the token.
    pub(crate) const fn is_clean(&self) -> bool {
        matches!(self, Self::Lines(lines) if lines.is_empty())
    }
}

/// Returns two texts of the token's length in which each letter and digit is replaced by a
/// different one of its kind. The second uses the same replacement wherever it can. Other
/// characters stay, because templates split at them.
fn stand_ins(token: &str) -> [String; 2] {
    let next = |c: char| match c {
        'a'..='y' | 'A'..='Y' | '0'..='8' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        c if c.is_alphanumeric() => 'x',
        c => c,
    };
    let same = |c: char| match c {
        'q' => 'j',
        'Q' => 'J',
        '7' => '3',
        'a'..='z' => 'q',
        'A'..='Z' => 'Q',
        '0'..='9' => '7',
        c if c.is_alphanumeric() => 'y',
        c => c,
    };
    [token.chars().map(next).collect(), token.chars().map(same).collect()]
}

/// Returns the bytes of a line that differ from another line, extended to the marks around them,
/// because parts of a transformed token may match by chance.
fn difference(line: &str, other: &str) -> Option<Range<usize>> {
    if line == other {
        return None;
    }
    let is_inside = |c: char| !c.is_whitespace() && !"\"'`=:()<>[]".contains(c);
    let is_same = |(a, b): &(char, char)| a == b;
    let width = |(c, _): (char, char)| c.len_utf8();
    let start: usize = line.chars().zip(other.chars()).take_while(is_same).map(width).sum();
    let start = line[..start].trim_end_matches(is_inside).len();
    let pairs = line[start..].chars().rev().zip(other[start..].chars().rev());
    let end = line.len() - pairs.take_while(is_same).map(width).sum::<usize>();
    let end = line.len() - line[end..].trim_start_matches(is_inside).len();
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_reaches_to_the_marks_around_it() {
        let found = |line: &'static str, other| difference(line, other).map(|range| &line[range]);
        assert_eq!(found("AUTH_TOKEN=abc", "AUTH_TOKEN=abd"), Some("abc"));
        assert_eq!(found("send `a-b-c` to them", "send `a-x-c` to them"), Some("a-b-c"));
        assert_eq!(found("ends with öb", "ends with öc"), Some("öb"));
        assert_eq!(found("ends with ä", "ends with ö"), Some("ä"));
        assert_eq!(found("x abc", "x "), Some("abc"));
        assert_eq!(found("x ", "x abc"), Some(""));
        assert_eq!(found("aa", "aaa"), Some("aa"));
        assert_eq!(found("same", "same"), None);
    }

    #[test]
    fn no_letter_or_digit_of_a_token_stays() {
        let token = "abczAZq7Q-09_j.J3";
        for stand_in in stand_ins(token) {
            assert_eq!(stand_in.chars().count(), token.chars().count());
            let is_same = |(a, b): (char, char)| a.is_alphanumeric() && a == b;
            assert!(!token.chars().zip(stand_in.chars()).any(is_same), "{stand_in}");
        }
    }
}
