//! Python's methods of strings, lists and dictionaries that `minijinja-contrib` lacks.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::arguments::Arguments;
use super::filters::{affordable, replaced};
use super::{invalid, str_format, text};
use crate::python_format;

/// Calls a method that the engine itself lacks.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    given: &[Value],
) -> Result<Value, Error> {
    let answer = match (value.kind(), value.as_str()) {
        (_, Some(text)) => of_string(state, text, method, given)?,
        (ValueKind::Seq, _) => of_list(state, value, method, given)?,
        (ValueKind::Map, _) if method == "copy" => {
            Arguments::of(&[], given)?;
            Some(value.clone())
        }
        _ => None,
    };
    match answer {
        Some(answer) => Ok(answer),
        None => unknown_method_callback(state, value, method, given),
    }
}

fn of_list(
    state: &State<'_, '_>,
    value: &Value,
    method: &str,
    given: &[Value],
) -> Result<Option<Value>, Error> {
    match method {
        "copy" => {
            Arguments::of(&[], given)?;
            Ok(Some(value.clone()))
        }
        "index" => {
            let arguments = Arguments::of(&["value"], given)?;
            let wanted = arguments.needed(0)?;
            state.consume_fuel(value.len().unwrap_or(0) as u64)?;
            let found = value.try_iter()?.position(|item| item == *wanted);
            found
                .map(|index| Some(Value::from(index)))
                .ok_or_else(|| invalid("the value is not in the list"))
        }
        _ => Ok(None),
    }
}

/// Returns the part of a string between two positions, given as in Python's methods, and the number
/// of characters before it.
fn part<'a>(source: &'a str, arguments: &Arguments) -> Result<(&'a str, usize), Error> {
    let length = source.chars().count();
    let place = |index: usize, default: usize| -> Result<usize, Error> {
        let number = arguments.number(index, i64::try_from(default).unwrap_or(i64::MAX))?;
        let from_end =
            length.saturating_sub(usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX));
        Ok(if number < 0 { from_end } else { usize::try_from(number).unwrap_or(usize::MAX) })
    };
    let (start, end) = (place(1, 0)?, place(2, length)?.min(length));
    let byte =
        |place: usize| source.char_indices().nth(place).map_or(source.len(), |(byte, _)| byte);
    // Past the end there is no part, not even an empty one.
    if start > length || start > end {
        return Ok(("", usize::MAX));
    }
    Ok((&source[byte(start)..byte(end)], start))
}

fn of_string(
    state: &State<'_, '_>,
    source: &str,
    method: &str,
    given: &[Value],
) -> Result<Option<Value>, Error> {
    let answer = match method {
        "capitalize" | "casefold" | "lower" | "swapcase" | "title" | "upper" | "isdecimal"
        | "isdigit" | "isidentifier" | "isnumeric" | "isprintable" | "istitle" => {
            Arguments::of(&[], given)?;
            plain(source, method)
        }
        "center" | "ljust" | "rjust" => Some(Value::from(justified(state, source, method, given)?)),
        "zfill" => {
            let arguments = Arguments::of(&["width"], given)?;
            arguments.needed(0)?;
            let width = affordable(state, arguments.size(0, 0)?)?;
            let (sign, digits) = source.split_at(usize::from(source.starts_with(['+', '-'])));
            let zeros = "0".repeat(width.saturating_sub(source.chars().count()));
            Some(Value::from(format!("{sign}{zeros}{digits}")))
        }
        "count" | "find" | "index" | "rfind" | "rindex" => Some(sought(source, method, given)?),
        "startswith" | "endswith" => {
            Some(Value::from(begins_or_ends(source, method == "startswith", given)?))
        }
        "partition" | "rpartition" => Some(partitioned(source, given, method == "partition")?),
        "removeprefix" | "removesuffix" => {
            let arguments = Arguments::of(&["part"], given)?;
            arguments.needed(0)?;
            let part = arguments.string(0)?.unwrap_or_default();
            let rest = if method == "removeprefix" {
                source.strip_prefix(part)
            } else {
                source.strip_suffix(part)
            };
            Some(Value::from(rest.unwrap_or(source)))
        }
        "replace" => {
            let arguments = Arguments::of(&["old", "new", "count"], given)?;
            let (old, new) =
                (text(state, arguments.needed(0)?)?, text(state, arguments.needed(1)?)?);
            Some(Value::from(replaced(state, source, &old, &new, arguments.number(2, -1)?)?))
        }
        "split" | "rsplit" => {
            let arguments = Arguments::of(&["sep", "maxsplit"], given)?;
            let most = usize::try_from(arguments.number(1, -1)?).unwrap_or(usize::MAX);
            Some(split(source, separator(&arguments)?, most, method == "rsplit"))
        }
        "splitlines" => {
            let arguments = Arguments::of(&["keepends"], given)?;
            Some(
                python_format::split_lines(source, arguments.flag(0))
                    .into_iter()
                    .map(Value::from)
                    .collect(),
            )
        }
        "expandtabs" => {
            let arguments = Arguments::of(&["tabsize"], given)?;
            Some(Value::from(expand_tabs(state, source, arguments.size(0, 8)?)?))
        }
        "strip" | "lstrip" | "rstrip" if given.first().is_none_or(Value::is_none) => {
            Some(Value::from(match method {
                "strip" => python_format::strip(source),
                "lstrip" => source.trim_start_matches(python_format::is_space),
                _ => source.trim_end_matches(python_format::is_space),
            }))
        }
        "join" => {
            let arguments = Arguments::of(&["iterable"], given)?;
            Some(Value::from(join(state, source, arguments.needed(0)?)?))
        }
        "format" => Some(Value::from(str_format::format(state, source, given)?)),
        "format_map" => {
            let arguments = Arguments::of(&["mapping"], given)?;
            Some(Value::from(str_format::format_map(state, source, arguments.needed(0)?)?))
        }
        _ => None,
    };
    Ok(answer)
}

fn justified(
    state: &State<'_, '_>,
    source: &str,
    method: &str,
    given: &[Value],
) -> Result<String, Error> {
    let arguments = Arguments::of(&["width", "fillchar"], given)?;
    arguments.needed(0)?;
    let width = affordable(state, arguments.size(0, 0)?)?;
    let mut fill = arguments.string(1)?.unwrap_or(" ").chars();
    let (Some(fill), None) = (fill.next(), fill.next()) else {
        return Err(invalid("the fill character must be exactly one character"));
    };
    let missing = width.saturating_sub(source.chars().count());
    let padding = || fill.to_string().repeat(missing);
    Ok(match method {
        "center" => python_format::center(source, width, fill),
        "ljust" => format!("{source}{}", padding()),
        _ => format!("{}{source}", padding()),
    })
}

fn partitioned(source: &str, given: &[Value], is_first: bool) -> Result<Value, Error> {
    let arguments = Arguments::of(&["sep"], given)?;
    let separator =
        separator(&arguments)?.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let found = if is_first { source.split_once(separator) } else { source.rsplit_once(separator) };
    let parts = match found {
        Some((head, tail)) => [head, separator, tail],
        None if is_first => [source, "", ""],
        None => ["", "", source],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

/// Calls a method that takes no arguments.
fn plain(source: &str, method: &str) -> Option<Value> {
    let all = |is: fn(char) -> bool| Value::from(!source.is_empty() && source.chars().all(is));
    Some(match method {
        "capitalize" => Value::from(python_format::capitalize(source)),
        // The sharp s of German is the only common letter whose folded form is not its lower case.
        "casefold" => Value::from(source.to_lowercase().replace('ß', "ss")),
        "lower" => Value::from(source.to_lowercase()),
        "upper" => Value::from(source.to_uppercase()),
        "swapcase" => {
            let swap = |c: char| {
                if c.is_uppercase() {
                    c.to_lowercase().to_string()
                } else {
                    c.to_uppercase().to_string()
                }
            };
            Value::from(source.chars().map(swap).collect::<String>())
        }
        "title" => Value::from(python_format::title(source)),
        "istitle" => Value::from(
            source.chars().any(char::is_alphabetic) && python_format::title(source) == source,
        ),
        "isdecimal" => all(|c| c.is_ascii_digit()),
        "isdigit" => all(|c| {
            c.is_ascii_digit() || matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉')
        }),
        "isnumeric" => all(char::is_numeric),
        "isprintable" => {
            Value::from(!source.chars().any(|c| c != ' ' && (c.is_control() || c.is_whitespace())))
        }
        "isidentifier" => {
            let starts = source.starts_with(|c: char| c == '_' || c.is_alphabetic());
            Value::from(starts && source.chars().all(|c| c == '_' || c.is_alphanumeric()))
        }
        _ => return None,
    })
}

fn separator(arguments: &Arguments) -> Result<Option<&str>, Error> {
    match arguments.string(0)? {
        Some("") => Err(invalid("the separator is empty")),
        separator => Ok(separator),
    }
}

fn sought(source: &str, method: &str, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::of(&["sub", "start", "end"], given)?;
    arguments.needed(0)?;
    let sought = arguments.string(0)?.unwrap_or_default();
    let (part, before) = part(source, &arguments)?;
    let is_within = before != usize::MAX;
    if method == "count" {
        return Ok(Value::from(if is_within { part.matches(sought).count() } else { 0 }));
    }
    let found = if method.starts_with('r') { part.rfind(sought) } else { part.find(sought) };
    match found.filter(|_| is_within) {
        Some(byte) => Ok(Value::from(before + part[..byte].chars().count())),
        None if method.ends_with("find") => Ok(Value::from(-1)),
        None => Err(invalid("the substring is not in the string")),
    }
}

fn begins_or_ends(source: &str, begins: bool, given: &[Value]) -> Result<bool, Error> {
    let arguments = Arguments::of(&["affix", "start", "end"], given)?;
    let affix = arguments.needed(0)?;
    let (part, before) = part(source, &arguments)?;
    let fits = |affix: &Value| match affix.as_str() {
        Some(affix) if begins => Ok(before != usize::MAX && part.starts_with(affix)),
        Some(affix) => Ok(before != usize::MAX && part.ends_with(affix)),
        None => Err(invalid("expected a string or a tuple of strings")),
    };
    if !affix.is_tuple() {
        return fits(affix);
    }
    for affix in affix.try_iter()? {
        if fits(&affix)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn split(source: &str, separator: Option<&str>, most: usize, from_end: bool) -> Value {
    let most = most.saturating_add(1);
    let mut parts: Vec<&str> = match (separator, from_end) {
        (Some(separator), false) => source.splitn(most, separator).collect(),
        (Some(separator), true) => source.rsplitn(most, separator).collect(),
        (None, _) => at_spaces(source, most, from_end),
    };
    if from_end {
        parts.reverse();
    }
    parts.into_iter().map(Value::from).collect()
}

/// Splits a text into words at white space, from its end if `from_end`. After `most` splits, the
/// rest stays in one piece.
fn at_spaces(source: &str, most: usize, from_end: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = source;
    loop {
        rest = if from_end {
            rest.trim_end_matches(python_format::is_space)
        } else {
            rest.trim_start_matches(python_format::is_space)
        };
        if rest.is_empty() {
            return words;
        }
        let end = if from_end {
            rest.rfind(python_format::is_space)
        } else {
            rest.find(python_format::is_space)
        };
        let (Some(end), true) = (end, words.len() + 1 < most) else {
            words.push(rest);
            return words;
        };
        let width = rest[end..].chars().next().map_or(0, char::len_utf8);
        let (head, tail) = (&rest[..end], &rest[end + width..]);
        words.push(if from_end { tail } else { head });
        rest = if from_end { head } else { tail };
    }
}

fn expand_tabs(state: &State<'_, '_>, source: &str, size: usize) -> Result<String, Error> {
    affordable(state, source.matches('\t').count().saturating_mul(size))?;
    let (mut out, mut column) = (String::new(), 0);
    for c in source.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\t' => {}
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out)
}

fn join(state: &State<'_, '_>, separator: &str, items: &Value) -> Result<String, Error> {
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        state.consume_fuel(1)?;
        let item = item
            .as_str()
            .ok_or_else(|| invalid(format!("expected strings to join, got a {}", item.kind())))?;
        affordable(state, out.len() + separator.len() + item.len())?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(item);
    }
    Ok(out)
}
