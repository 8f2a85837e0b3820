//! The operator `%` between a text and its values. The engine supports it for numbers only, with no
//! way to change that, so each `a % b` of a template is rewritten to `(a)|__mod__(b)` before the
//! engine reads it. Line numbers stay the same.

use std::borrow::Cow;

/// Returns the template with each `%` replaced by a filter. A template without `%`, or with a
/// syntax error, is returned unchanged.
pub(crate) fn rewritten(source: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = source;
    let mut has_changed = false;
    while let Some(start) = next_tag(rest) {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let Some(end) = end_of(tag) else { return Cow::Borrowed(source) };
        // The white space marks are part of the tag.
        let start = 2 + usize::from(tag[2..end].starts_with(['-', '+']));
        let last = end - usize::from(end > start && tag[..end].ends_with(['-', '+']));
        let body = &tag[start..last];
        if body.contains('%') && !tag.starts_with("{#") && !is_raw(tag) {
            let Some(body) = without_percent(body, tag.starts_with("{%")) else {
                return Cow::Borrowed(source);
            };
            out.push_str(&tag[..start]);
            out.push_str(&body);
            out.push_str(&tag[last..end]);
            has_changed = true;
        } else {
            out.push_str(&tag[..end]);
        }
        rest = &tag[end..];
        if tag.starts_with("{%") && is_raw(tag) {
            let Some(end) = end_of_raw(rest) else { return Cow::Borrowed(source) };
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    if has_changed { Cow::Owned(out) } else { Cow::Borrowed(source) }
}

fn next_tag(text: &str) -> Option<usize> {
    text.match_indices('{').map(|(at, _)| at).find(|at| text[at + 1..].starts_with(['{', '%', '#']))
}

/// Returns the position at which the end mark of a tag begins.
fn end_of(tag: &str) -> Option<usize> {
    if let Some(comment) = tag.strip_prefix("{#") {
        return comment.find("#}").map(|at| at + 2);
    }
    let close = if tag.starts_with("{{") { "}}" } else { "%}" };
    let mut depth = 0_usize;
    let mut at = 2;
    while at < tag.len() {
        let rest = &tag[at..];
        if depth == 0 && rest.starts_with(close) {
            return Some(at);
        }
        match rest.as_bytes()[0] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            b'"' | b'\'' => at += string(rest)? - 1,
            _ => {}
        }
        at += rest.chars().next().map_or(1, char::len_utf8).max(1);
    }
    None
}

/// Returns the length in bytes of the string literal at the start of a text, including both quotes.
fn string(text: &str) -> Option<usize> {
    let quote = text.as_bytes()[0];
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            byte if byte == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn is_raw(tag: &str) -> bool {
    tag[2..].trim_start_matches(['-', '+']).trim_start().strip_prefix("raw").is_some_and(|rest| {
        let rest = rest.trim_start();
        rest.starts_with("%}") || rest.starts_with("-%}")
    })
}

fn end_of_raw(text: &str) -> Option<usize> {
    let is_end = |at: &usize| {
        text[at + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw")
    };
    text.match_indices("{%").map(|(at, _)| at).find(is_end)
}

/// A word, number, string or mark, with the white space before it.
#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    core: &'a str,
}

fn tokens(mut text: &str) -> Option<Vec<Token<'_>>> {
    const PAIRS: [&str; 6] = ["**", "//", "==", "!=", "<=", ">="];
    let mut tokens = Vec::new();
    loop {
        let core = text.trim_start();
        let Some(first) = core.chars().next() else {
            tokens.push(Token { text, core });
            return Some(tokens);
        };
        let is_of_word = |c: char| c == '_' || c.is_alphanumeric();
        let length = match first {
            '"' | '\'' => string(core)?,
            c if is_of_word(c) => core.find(|c| !is_of_word(c)).unwrap_or(core.len()),
            _ if PAIRS.iter().any(|pair| core.starts_with(pair)) => 2,
            c => c.len_utf8(),
        };
        let whole = text.len() - core.len() + length;
        tokens.push(Token { text: &text[..whole], core: &core[..length] });
        text = &text[whole..];
    }
}

/// The maximum nesting. Anything deeper is left to the engine, which refuses it.
const MAX_DEPTH: usize = 100;

fn without_percent(body: &str, is_block: bool) -> Option<String> {
    let tokens = tokens(body)?;
    let mut writer = Writer { tokens: &tokens, at: 0, out: String::new() };
    if is_block {
        // This is the keyword of a block.
        writer.copy();
    }
    writer.expressions(0)?;
    (writer.at == tokens.len()).then_some(writer.out)
}

struct Writer<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    out: String,
}

impl<'a> Writer<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).map(|token| token.core)
    }

    fn copy(&mut self) {
        if let Some(token) = self.tokens.get(self.at) {
            self.out.push_str(token.text);
            self.at += 1;
        }
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
