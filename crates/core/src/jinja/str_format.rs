//! The method `"{}".format(x)`: parses the fields, and the engine formats each value.

use minijinja::formatting::{FormatStyle, format as engine_format};
use minijinja::{Error, State, Value};

use super::arguments::split;
use super::filters::affordable;
use super::{invalid, repr, text};
use crate::python_format;

/// Computes Python's `source.format(…)` of a text.
pub(super) fn format(
    state: &State<'_, '_>,
    source: &str,
    given: &[Value],
) -> Result<String, Error> {
    let (positional, named) = split(given)?;
    let lookup = |name: &str| named.has(name).then(|| named.get(name)).transpose();
    Fields { state, positional, lookup: &lookup, numbering: None }.fill(source, 0)
}

/// Computes Python's `source.format_map(mapping)` of a text.
pub(super) fn format_map(
    state: &State<'_, '_>,
    source: &str,
    mapping: &Value,
) -> Result<String, Error> {
    let lookup = |name: &str| mapping.get_item(&Value::from(name)).map(Some);
    Fields { state, positional: &[], lookup: &lookup, numbering: None }.fill(source, 0)
}

struct Fields<'a> {
    state: &'a State<'a, 'a>,
    positional: &'a [Value],
    /// Finds the value of a field with a name.
    lookup: &'a dyn Fn(&str) -> Result<Option<Value>, Error>,
    /// The next field without a number; `None` before the first, and an error after a numbered
    /// field.
    numbering: Option<Result<usize, ()>>,
}

impl Fields<'_> {
    fn fill(&mut self, source: &str, depth: usize) -> Result<String, Error> {
        let mut out = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" || depth == 2 {
                return Err(invalid(
                    "a brace of the format stands alone; write two for one in the text",
                ));
            }
            let end =
                end_of_field(after).ok_or_else(|| invalid("a field of the format has no end"))?;
            out.push_str(&self.field(&after[..end], depth)?);
            rest = &after[end + 1..];
            affordable(self.state, out.len())?;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field(&mut self, field: &str, depth: usize) -> Result<String, Error> {
        self.state.consume_fuel(1)?;
        let (name, rest) = field.split_at(end_of_name(field));
        let (conversion, spec) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
        let value = self.value(name)?;
        let value = match conversion {
            "" => value,
            "!s" => Value::from(text(self.state, &value)?),
            "!r" => Value::from(repr(self.state, &value)?),
            "!a" => Value::from(python_format::ascii_repr(&repr(self.state, &value)?)),
            _ => return Err(invalid("a conversion of the format is none of `!s`, `!r` and `!a`")),
        };
        let spec = self.fill(spec.strip_prefix(':').unwrap_or_default(), depth + 1)?;
        self.formatted(&value, &spec)
    }

    fn formatted(&self, value: &Value, spec: &str) -> Result<String, Error> {
        for number in spec.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty())
        {
            affordable(self.state, number.parse().unwrap_or(usize::MAX))?;
        }
        let plain = text(self.state, value)?;
        if spec.is_empty() {
            return Ok(plain);
        }
        let engine = |spec: &str, value: Value| {
            engine_format(FormatStyle::StrFormat, &format!("{{:{spec}}}"), &[value])
        };
        if let Some(spec) = spec.strip_suffix('%') {
            let hundredfold = Value::from(f64::try_from(value.clone())? * 100.0);
            let (align, rest) = spec.split_at(alignment(spec));
            let size = rest.trim_start_matches(['+', '-', ' ', '#']);
            let sign = &rest[..rest.len() - size.len()];
            let (width, precision) =
                size.split_at(size.find([',', '_', '.']).unwrap_or(size.len()));
            if align.is_empty() || align.ends_with('=') {
                // The percent sign takes one of the places.
                let zero = if width.starts_with('0') { "0" } else { "" };
                let width = width
                    .parse::<usize>()
                    .map(|width| width.saturating_sub(1).to_string())
                    .unwrap_or_default();
                let number =
                    engine(&format!("{align}{sign}{zero}{width}{precision}f"), hundredfold)?;
                return Ok(number + "%");
            }
            let number = engine(&format!("{sign}{precision}f"), hundredfold)? + "%";
            return engine(&format!("{align}{width}"), Value::from(number));
        }
        match spec.strip_suffix('n') {
            Some(spec) if value.is_integer() => engine(&format!("{spec}d"), value.clone()),
            Some(spec) => engine(&format!("{spec}g"), value.clone()),
            None => engine(spec, value.clone()),
        }
    }

    /// Looks up the value of a field: a number or a name, followed by attributes and items.
    fn value(&mut self, path: &str) -> Result<Value, Error> {
        let (name, mut rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        let mixed = || invalid("the format has fields with numbers and fields without");
        let mut value = if name.is_empty() {
            let Ok(index) = self.numbering.unwrap_or(Ok(0)) else { return Err(mixed()) };
            self.numbering = Some(Ok(index + 1));
            self.positional.get(index).cloned()
        } else if let Ok(index) = name.parse::<usize>() {
            if matches!(self.numbering, Some(Ok(_))) {
                return Err(mixed());
            }
            self.numbering = Some(Err(()));
            self.positional.get(index).cloned()
        } else {
            (self.lookup)(name)?
        }
        .ok_or_else(|| invalid("a field of the format has no value"))?;
        while !rest.is_empty() {
            let (key, after) = if let Some(attribute) = rest.strip_prefix('.') {
                attribute.split_at(attribute.find(['.', '[']).unwrap_or(attribute.len()))
            } else {
                let item = rest.strip_prefix('[').and_then(|item| item.split_once(']'));
                item.ok_or_else(|| invalid("a field of the format has no end"))?
            };
            let key = key.parse::<usize>().map_or_else(|_| Value::from(key), Value::from);
            value = value.get_item(&key)?;
            rest = after;
        }
        Ok(value)
    }
}

/// Returns the length in bytes of the alignment: a mark, optionally after a fill character.
fn alignment(spec: &str) -> usize {
    let is_mark = |c: Option<char>| c.is_some_and(|c| "<>^=".contains(c));
    let mut chars = spec.chars();
    let (first, second) = (chars.next(), chars.next());
    let fill = first.map_or(0, char::len_utf8);
    if is_mark(second) { fill + 1 } else { usize::from(is_mark(first)) }
}

/// Returns the end of a field's name. Inside brackets, anything is part of the name.
fn end_of_name(field: &str) -> usize {
    let mut in_brackets = false;
    for (at, c) in field.char_indices() {
        match c {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            '!' | ':' if !in_brackets => return at,
            _ => {}
        }
    }
    field.len()
}

/// Returns the position of the brace that closes a field, which may contain nested fields.
fn end_of_field(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}
