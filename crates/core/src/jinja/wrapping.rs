//! The filter `wordwrap`: Python's `textwrap`, which Jinja2 calls for each line. The crate of the
//! same name breaks lines at different places.

use minijinja::{Error, State, Value};

use super::arguments::Arguments;
use super::{afford, invalid, like, text};
use crate::python_format;

pub(super) fn filter(
    state: &mut State<'_, '_>,
    value: &Value,
    given: &Arguments,
) -> Result<Value, Error> {
    let source = text(state, value)?;
    let wrapping = Wrapping {
        width: given.size(0, 79)?,
        breaks_words: given.flag(1, true),
        breaks_at_hyphens: given.flag(3, true),
    };
    let joint = given.text(state, 2)?.unwrap_or_else(|| "\n".to_owned());
    let lines = python_format::split_lines(&source, false);
    if wrapping.width == 0 && lines.iter().any(|line| !line.is_empty()) {
        return Err(invalid("the width must be 1 or more"));
    }
    state.consume_fuel(source.len() as u64 / 16)?;
    let wrapped: Vec<_> = lines.into_iter().map(|line| wrapping.wrap(line)).collect();
    let joints = wrapped.iter().map(|lines| lines.len().max(1)).sum::<usize>();
    afford(state, joint.len().saturating_mul(joints).saturating_add(source.len()))?;
    let wrapped: Vec<_> = wrapped.into_iter().map(|lines| lines.join(&joint)).collect();
    Ok(like(value, wrapped.join(&joint)))
}

struct Wrapping {
    width: usize,
    breaks_words: bool,
    breaks_at_hyphens: bool,
}

impl Wrapping {
    fn wrap(&self, line: &str) -> Vec<String> {
        let chars: Vec<char> = line.chars().collect();
        let mut chunks: Vec<&[char]> = self.chunks(&chars);
        chunks.reverse();
        let is_space = |chunk: &[char]| chunk.iter().copied().all(python_format::is_space);
        let mut lines: Vec<String> = Vec::new();
        while !chunks.is_empty() {
            let (mut current, mut length): (Vec<&[char]>, usize) = (Vec::new(), 0);
            if !lines.is_empty() && chunks.last().is_some_and(|chunk| is_space(chunk)) {
                chunks.pop();
            }
            while let Some(chunk) = chunks.last().copied()
                && length + chunk.len() <= self.width
            {
                length += chunk.len();
                current.push(chunk);
                chunks.pop();
            }
            if let Some(chunk) = chunks.last().copied()
                && chunk.len() > self.width
            {
                chunks.pop();
                if self.breaks_words {
                    let (head, tail) = chunk.split_at(self.end_of_part(chunk, self.width - length));
                    current.push(head);
                    chunks.push(tail);
                } else if current.is_empty() {
                    current.push(chunk);
                } else {
                    chunks.push(chunk);
                }
            }
            if current.last().is_some_and(|chunk| is_space(chunk)) {
                current.pop();
            }
            if !current.is_empty() {
                lines.push(current.concat().into_iter().collect());
            }
        }
        lines
    }

    /// Returns the position at which to cut a word that is too long: after the last hyphen that
    /// fits, otherwise at the end of the line.
    fn end_of_part(&self, chunk: &[char], space: usize) -> usize {
        let hyphen = chunk[..space.min(chunk.len())].iter().rposition(|c| *c == '-');
        match hyphen {
            Some(at)
                if self.breaks_at_hyphens && at > 0 && chunk[..at].iter().any(|c| *c != '-') =>
            {
                at + 1
            }
            _ => space,
        }
    }

    /// Splits a line into chunks between which it may be broken.
    fn chunks<'a>(&self, chars: &'a [char]) -> Vec<&'a [char]> {
        let mut chunks = Vec::new();
        let mut at = 0;
        while at < chars.len() {
            let end = if is_blank(chars[at]) {
                end_of(chars, at, is_blank)
            } else if self.breaks_at_hyphens {
                end_of_word(chars, at)
            } else {
                end_of(chars, at, |c| !is_blank(c))
            };
            chunks.push(&chars[at..end]);
            at = end;
        }
        chunks
    }
}

const fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

fn end_of(chars: &[char], at: usize, is: impl Fn(char) -> bool) -> usize {
    chars[at..].iter().position(|c| !is(*c)).map_or(chars.len(), |length| at + length)
}

/// Returns the end of a word, of a word part that ends with a hyphen, or of a dash between words.
fn end_of_word(chars: &[char], at: usize) -> usize {
    let is_letter = |index: Option<usize>| {
        index.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphabetic())
    };
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let is_of_word = |index: Option<usize>| {
        index.and_then(|at| chars.get(at)).is_some_and(|c| is_word(*c) || "!\"'&.,?".contains(*c))
    };
    let before = |end: usize, back: usize| end.checked_sub(back);
    // A dash consists of two or more hyphens between words.
    let dash = |at: usize| {
        let end = end_of(chars, at, |c| c == '-');
        (end >= at + 2 && is_of_word(before(at, 1)) && chars.get(end).is_some_and(|c| is_word(*c)))
            .then_some(end)
    };
    if let Some(end) = dash(at) {
        return end;
    }
    for end in at + 1..=chars.len() {
        if end == chars.len() || is_blank(chars[end]) || dash(end).is_some() {
            return end;
        }
        if chars[end] == '-' {
            let follows_letters = is_letter(before(end, 1)) && is_letter(before(end, 2));
            let follows_one = is_of_word(before(end, 1))
                && before(end, 2).is_some_and(|at| chars[at] == '-')
                && is_letter(before(end, 3));
            let then = end + 1 + usize::from(chars.get(end + 2) == Some(&'-'));
            if (follows_letters || follows_one)
                && is_letter(Some(end + 1))
                && is_letter(Some(then + 1))
            {
                return end + 1;
            }
        }
    }
    chars.len()
}
