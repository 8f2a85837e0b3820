//! The parts of a rendered text that an agent's token has shaped, however a template has changed
//! it: `upper`, slices, `join`.
//!
//! A search finds the token as it stands and nothing else. So the text is rendered again with
//! stand-ins of the same length, and where those texts differ from it, the token shows. What a text
//! lets see by its mere shape, such as the token's length, is not hidden.

use std::ops::Range;

use crate::context::Context;

/// A text, and what of it the agent's token has shaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taint {
    /// The lines and the bytes of each that the token has shaped, by the number of the line from 0.
    Lines(Vec<(usize, Range<usize>)>),
    /// The texts have different lines, or the template fails with a stand-in: any line may show the
    /// token.
    Whole,
}

impl Taint {
    /// Compares a text with what it is with stand-ins for the token. `render` is called once for
    /// each.
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

    /// Returns whether the token shows nowhere.
    pub(crate) const fn is_clean(&self) -> bool {
        matches!(self, Self::Lines(lines) if lines.is_empty())
    }
}

/// Texts of the token's length in which each letter and digit is another one of its kind; in the
/// second, always the same where it can be. Signs stay as they are: templates split at them.
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
        'a'..='z' => {
            if c == 'q' {
                'j'
            } else {
                'q'
            }
        }
        'A'..='Z' => {
            if c == 'Q' {
                'J'
            } else {
                'Q'
            }
        }
        '0'..='9' => {
            if c == '7' {
                '3'
            } else {
                '7'
            }
        }
        c if c.is_alphanumeric() => 'y',
        c => c,
    };
    [token.chars().map(next).collect(), token.chars().map(same).collect()]
}

/// The bytes of a line that differ from another one, up to the marks around them: part of a
/// transformed token may be the same by chance.
fn difference(line: &str, other: &str) -> Option<Range<usize>> {
    if line == other {
        return None;
    }
    let is_mark = |c: char| {
        c.is_whitespace()
            || matches!(c, '"' | '\'' | '`' | '=' | ':' | '(' | ')' | '<' | '>' | '[' | ']')
    };
    let common = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let mut start = common(line, other);
    while !line.is_char_boundary(start) {
        start -= 1;
    }
    let start = line[..start]
        .char_indices()
        .rev()
        .find(|(_, c)| is_mark(*c))
        .map_or(0, |(at, c)| at + c.len_utf8());
    let rest = &line[start..];
    let from_end =
        rest.bytes().rev().zip(other.bytes().skip(start).collect::<Vec<_>>().into_iter().rev());
    let mut end = line.len() - from_end.take_while(|(a, b)| a == b).count();
    while !line.is_char_boundary(end) {
        end += 1;
    }
    let end = line[end..]
        .char_indices()
        .find(|(_, c)| is_mark(*c))
        .map_or(line.len(), |(at, _)| end + at);
    Some(start..end.max(start))
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
