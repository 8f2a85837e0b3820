//! The operator `%` between a text and its values. The engine supports it for numbers only, with no
//! way to change that, so each `a % b` of a template is rewritten to `(a)|__mod__(b)` before the
//! engine reads it. Line numbers stay the same.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::pattern;

/// The start of a tag, of a tag that begins verbatim text, and of one that ends it.
static TAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{[{%#]"));
static RAW: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\{%[-+]*\s*raw\s*-?%\}"));
static END_OF_RAW: LazyLock<Regex> = LazyLock::new(|| pattern(r"\{%[-+]*\s*endraw"));
/// A string, word, number or mark, with the white space before it. White space at the end of a text
/// has nothing after it.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?s)\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\w+|\*\*|//|[=!<>]=|\S|$)"#)
});

/// Returns the template with each `%` replaced by a filter. A template without `%`, or with a
/// syntax error, is returned unchanged.
pub(crate) fn rewritten(source: &str) -> Cow<'_, str> {
    changed(source).map_or(Cow::Borrowed(source), Cow::Owned)
}

/// Returns the template with its `%` replaced, or `None` if there is nothing to replace.
fn changed(source: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = source;
    let mut has_changed = false;
    while let Some(start) = TAG.find(rest) {
        let (text, tag) = rest.split_at(start.start());
        out.push_str(text);
        let end = end_of(tag)?;
        // The white space marks are part of the tag.
        let start = 2 + usize::from(tag[2..end].starts_with(['-', '+']));
        let last = end - usize::from(end > start && tag[..end].ends_with(['-', '+']));
        let body = &tag[start..last];
        let is_raw = RAW.is_match(tag);
        if body.contains('%') && !tag.starts_with("{#") && !is_raw {
            out.push_str(&tag[..start]);
            out.push_str(&without_percent(body, tag.starts_with("{%"))?);
            out.push_str(&tag[last..end]);
            has_changed = true;
        } else {
            out.push_str(&tag[..end]);
        }
        rest = &tag[end..];
        if is_raw {
            let (text, after) = rest.split_at(END_OF_RAW.find(rest)?.start());
            out.push_str(text);
            rest = after;
        }
    }
    out.push_str(rest);
    has_changed.then_some(out)
}

/// Returns the position at which the end mark of a tag begins.
fn end_of(tag: &str) -> Option<usize> {
    if let Some(comment) = tag.strip_prefix("{#") {
        return comment.find("#}").map(|at| at + 2);
    }
    let close = if tag.starts_with("{{") { "}}" } else { "%}" };
    let mut depth = 0_usize;
    for token in TOKEN.find_iter(&tag[2..]) {
        let core = token.as_str().trim_start();
        let at = 2 + token.end() - core.len();
        if depth == 0 && tag[at..].starts_with(close) {
            return Some(at);
        }
        match core {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            // A string without an end.
            "\"" | "'" => return None,
            _ => {}
        }
    }
    None
}

/// The maximum nesting. Anything deeper is left to the engine, which refuses it.
const MAX_DEPTH: usize = 100;

fn without_percent(body: &str, is_block: bool) -> Option<String> {
    let tokens: Vec<_> = TOKEN.find_iter(body).map(|token| token.as_str()).collect();
    let mut writer = Writer { tokens: &tokens, at: 0, out: String::new() };
    if is_block {
        // This is the keyword of a block.
        writer.copy();
    }
    writer.expressions(0)?;
    (writer.at == tokens.len()).then_some(writer.out)
}

struct Writer<'a> {
    tokens: &'a [&'a str],
    at: usize,
    out: String,
}

impl<'a> Writer<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).map(|token| token.trim_start())
    }

    fn copy(&mut self) {
        self.out.push_str(self.tokens.get(self.at).copied().unwrap_or_default());
        self.at += 1;
    }

    /// Copies up to a closing bracket or the end. A chain of `*`, `/`, `//` and `%` is grouped from
    /// the left.
    fn expressions(&mut self, depth: usize) -> Option<()> {
        let mut chain = self.out.len();
        let mut after_value = false;
        while let Some(token) = self.peek() {
            match token {
                ")" | "]" | "}" => return Some(()),
                "%" => {
                    let left = self.out.split_off(chain);
                    self.at += 1;
                    self.out.push('(');
                    self.out.push_str(&left);
                    self.out.push_str(")|__mod__(");
                    self.operand(depth)?;
                    self.out.push(')');
                    after_value = true;
                }
                "+" | "-" if after_value => {
                    self.copy();
                    (chain, after_value) = (self.out.len(), false);
                }
                "+" => self.at += 1,
                token if ends_chain(token) => {
                    self.copy();
                    (chain, after_value) = (self.out.len(), false);
                }
                _ => after_value = self.step(depth)?,
            }
        }
        Some(())
    }

    /// Copies the right side of a `%`: signs, a value, and the suffixes of the value.
    fn operand(&mut self, depth: usize) -> Option<()> {
        let (mut after_value, mut in_test) = (false, false);
        while let Some(token) = self.peek() {
            match token {
                ")" | "]" | "}" | "" | "*" | "/" | "//" | "%" => break,
                "+" | "-" if after_value => break,
                // The engine lacks the unary plus, which has no effect.
                "+" => {
                    self.at += 1;
                    continue;
                }
                "is" => in_test = true,
                "not" if in_test || !after_value => {}
                "in" if in_test => in_test = false,
                token if ends_chain(token) => break,
                _ => in_test = false,
            }
            after_value = self.step(depth)?;
        }
        Some(())
    }

    /// Copies one token or bracketed group. Returns whether a value ends there.
    fn step(&mut self, depth: usize) -> Option<bool> {
        let token = self.peek()?;
        self.copy();
        if matches!(token, "(" | "[" | "{") {
            if depth == MAX_DEPTH {
                return None;
            }
            self.expressions(depth + 1)?;
            matches!(self.peek(), Some(")" | "]" | "}")).then(|| self.copy())?;
            return Some(true);
        }
        Some(
            token.starts_with(|c: char| c == '_' || c == '"' || c == '\'' || c.is_alphanumeric())
                && token != "not",
        )
    }
}

fn ends_chain(token: &str) -> bool {
    let words = ["and", "or", "not", "in", "if", "else"];
    let marks = [",", ":", "=", "==", "!=", "<", ">", "<=", ">=", "~"];
    words.contains(&token) || marks.contains(&token)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_percent_becomes_a_filter_and_nothing_else_changes() {
        for (template, wanted) in [
            ("{{ a % b }}", "{{( a)|__mod__( b) }}"),
            ("{{ a + b * c % d - e }}", "{{ a +( b * c)|__mod__( d) - e }}"),
            (
                "{{ 'x%' ~ '%s' % (a, 5 % 3) }}",
                "{{ 'x%' ~( '%s')|__mod__( (a,( 5)|__mod__( 3))) }}",
            ),
            (
                "{% if not a % 2 == 0 %}%{% endif %}",
                "{% if not( a)|__mod__( 2) == 0 %}%{% endif %}",
            ),
            ("{%- set a = b % c -%}", "{%- set a =( b)|__mod__( c) -%}"),
            ("{{- -7 % 3 -}}", "{{-( -7)|__mod__( 3) -}}"),
            ("{{ a % b % c }}", "{{(( a)|__mod__( b))|__mod__( c) }}"),
        ] {
            assert_eq!(rewritten(template), wanted);
        }
        for same in [
            "{{ '%' }} 5 % 3",
            "{# a % b #}",
            "{#}",
            "{% raw %}{{ a % b }}{% endraw %}",
            "{{ a % ' }}",
            "{{ (a % b }}",
        ] {
            assert_eq!(rewritten(same), same);
        }
    }
}
