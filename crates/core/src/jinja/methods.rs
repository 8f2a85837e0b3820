//! Python's methods of strings, lists and dictionaries that `minijinja-contrib` lacks.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::arguments::Arguments;
use super::bounds::check_size;
use super::filters::{affordable, replaced};
use super::{invalid, str_format};
use crate::python_format;

/// Calls a method that the engine itself lacks.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    given: &[Value],
) -> Result<Value, Error> {
    if matches!((value.kind(), method), (ValueKind::Seq | ValueKind::Iterable, "count" | "index")) {
        check_size(state, value)?;
    }
    let answer = match (value.kind(), value.as_str(), method) {
        (_, Some(text), _) => of_string(state, text, method, given)?,
        (ValueKind::Seq | ValueKind::Map, _, "copy") => {
            Arguments::of(&[], given)?;
            Some(value.clone())
        }
        (ValueKind::Seq, _, "index") => {
            let given = Arguments::of(&["value"], given)?;
            let wanted = given.needed(0)?;
            state.consume_fuel(value.len().unwrap_or(0) as u64)?;
            let found = value.try_iter()?.position(|item| item == *wanted);
            Some(Value::from(found.ok_or_else(|| invalid("the value is not in the list"))?))
        }
        _ => None,
    };
    match answer {
        Some(answer) => Ok(answer),
        None => unknown_method_callback(state, value, method, given),
    }
}

/// Returns the names of the arguments of a string's method, or `None` if it is not one of ours.
fn names(method: &str, given: &[Value]) -> Option<&'static [&'static str]> {
    Some(match method {
        "casefold" | "swapcase" | "title" | "isdecimal" | "isdigit" | "isidentifier"
        | "isnumeric" | "isprintable" | "istitle" => &[],
        "center" | "ljust" | "rjust" => &["width", "fillchar"],
        "zfill" => &["width"],
        "count" | "find" | "index" | "rfind" | "rindex" => &["sub", "start", "end"],
        "startswith" | "endswith" => &["affix", "start", "end"],
        "partition" | "rpartition" => &["sep"],
        "removeprefix" | "removesuffix" => &["part"],
        "replace" => &["old", "new", "count"],
        "split" | "rsplit" => &["sep", "maxsplit"],
        "splitlines" => &["keepends"],
        "expandtabs" => &["tabsize"],
        // The characters to strip are left to `minijinja-contrib`.
        "strip" | "lstrip" | "rstrip" if given.first().is_none_or(Value::is_none) => &["chars"],
        "join" => &["iterable"],
        "format_map" => &["mapping"],
        _ => return None,
    })
}

fn of_string(
    state: &State<'_, '_>,
    source: &str,
    method: &str,
    given: &[Value],
) -> Result<Option<Value>, Error> {
    if method == "format" {
        return str_format::format(state, source, given).map(|text| Some(Value::from(text)));
    }
    let Some(names) = names(method, given) else { return Ok(None) };
    let given = &Arguments::of(names, given)?;
    let all = |is: fn(char) -> bool| Value::from(!source.is_empty() && source.chars().all(is));
    Ok(Some(match method {
        // The sharp s of German is the only common letter whose folded form is not its lower case.
        "casefold" => Value::from(source.to_lowercase().replace('ß', "ss")),
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
            source.contains(char::is_alphabetic) && python_format::title(source) == source,
        ),
        "isdecimal" => all(|c| c.is_ascii_digit()),
        "isdigit" => all(|c| {
            c.is_ascii_digit() || matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉')
        }),
        "isnumeric" => all(char::is_numeric),
        "isprintable" => Value::from(
            !source.contains(|c: char| c != ' ' && (c.is_control() || c.is_whitespace())),
        ),
        "isidentifier" => {
            let starts = source.starts_with(|c: char| c == '_' || c.is_alphabetic());
            Value::from(starts && source.chars().all(|c| c == '_' || c.is_alphanumeric()))
        }
        "center" | "ljust" | "rjust" => Value::from(justified(state, source, method, given)?),
        "zfill" => {
            given.needed(0)?;
            let width = affordable(state, given.size(0, 0)?)?;
            let (sign, digits) = source.split_at(usize::from(source.starts_with(['+', '-'])));
            let zeros = "0".repeat(width.saturating_sub(source.chars().count()));
            Value::from(format!("{sign}{zeros}{digits}"))
        }
        "count" | "find" | "index" | "rfind" | "rindex" => sought(source, method, given)?,
        "startswith" => {
            Value::from(has_affix(source, given, |part, affix| part.starts_with(affix))?)
        }
        "endswith" => Value::from(has_affix(source, given, |part, affix| part.ends_with(affix))?),
        "partition" | "rpartition" => partitioned(source, given, method == "partition")?,
        "removeprefix" | "removesuffix" => {
            given.needed(0)?;
            let part = given.string(0)?.unwrap_or_default();
            let rest = if method == "removeprefix" {
                source.strip_prefix(part)
            } else {
                source.strip_suffix(part)
            };
            Value::from(rest.unwrap_or(source))
        }
        "replace" => Value::from(replaced(state, source, given)?),
        "split" | "rsplit" => {
            let most = usize::try_from(given.number(1, -1)?).unwrap_or(usize::MAX);
            split(source, separator(given)?, most, method == "rsplit")
        }
        "splitlines" => {
            let lines = python_format::split_lines(source, given.flag(0, false));
            lines.into_iter().map(Value::from).collect()
        }
        "expandtabs" => Value::from(expand_tabs(state, source, given.size(0, 8)?)?),
        "strip" => Value::from(python_format::strip(source)),
        "lstrip" => Value::from(source.trim_start_matches(python_format::is_space)),
        "rstrip" => Value::from(source.trim_end_matches(python_format::is_space)),
        "join" => Value::from(join(state, source, given.needed(0)?)?),
        _ => Value::from(str_format::format_map(state, source, given.needed(0)?)?),
    }))
}

fn justified(
    state: &State<'_, '_>,
    source: &str,
    method: &str,
    given: &Arguments,
) -> Result<String, Error> {
    given.needed(0)?;
    let width = affordable(state, given.size(0, 0)?)?;
    let mut fill = given.string(1)?.unwrap_or(" ").chars();
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

fn partitioned(source: &str, given: &Arguments, is_first: bool) -> Result<Value, Error> {
    let separator = separator(given)?.ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    let found = if is_first { source.split_once(separator) } else { source.rsplit_once(separator) };
    let parts = match found {
        Some((head, tail)) => [head, separator, tail],
        None if is_first => [source, "", ""],
        None => ["", "", source],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

fn separator(given: &Arguments) -> Result<Option<&str>, Error> {
    match given.string(0)? {
        Some("") => Err(invalid("the separator is empty")),
        separator => Ok(separator),
    }
}

/// Returns the part of a string between two positions, given as in Python's methods, and the number
/// of characters before it. Past the end there is no part, not even an empty one.
fn part<'a>(source: &'a str, given: &Arguments) -> Result<Option<(&'a str, usize)>, Error> {
    let length = i64::try_from(source.chars().count()).unwrap_or(i64::MAX);
    let place = |index: usize, default: i64| -> Result<usize, Error> {
        let number = given.number(index, default)?;
        let place = if number < 0 { number.saturating_add(length).max(0) } else { number };
        Ok(usize::try_from(place).unwrap_or(usize::MAX))
    };
    let (start, end) = (place(1, 0)?, place(2, length)?);
    // The end of the string is a place as well.
    let mut places = source.char_indices().map(|(byte, _)| byte).chain([source.len()]);
    let from = places.clone().nth(start);
    let to = places.nth(end).unwrap_or(source.len());
    Ok(from.and_then(|from| source.get(from..to)).map(|part| (part, start)))
}

/// Finds or counts a substring.
fn sought(source: &str, method: &str, given: &Arguments) -> Result<Value, Error> {
    given.needed(0)?;
    let sought = given.string(0)?.unwrap_or_default();
    let part = part(source, given)?;
    if method == "count" {
        return Ok(Value::from(part.map_or(0, |(part, _)| part.matches(sought).count())));
    }
    let found = part.and_then(|(part, before)| {
        let byte = if method.starts_with('r') { part.rfind(sought) } else { part.find(sought) }?;
        Some(before + part[..byte].chars().count())
    });
    match found {
        Some(place) => Ok(Value::from(place)),
        None if method.ends_with("find") => Ok(Value::from(-1)),
        None => Err(invalid("the substring is not in the string")),
    }
}

/// Returns whether a part of a string begins or ends with a text, or with one of several.
fn has_affix(source: &str, given: &Arguments, is: fn(&str, &str) -> bool) -> Result<bool, Error> {
    let affix = given.needed(0)?;
    let part = part(source, given)?;
    let fits = |affix: &Value| {
        let affix =
            affix.as_str().ok_or_else(|| invalid("expected a string or a tuple of strings"))?;
        Ok(part.is_some_and(|(part, _)| is(part, affix)))
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
    let is = python_format::is_space;
    let trim = if from_end { str::trim_end_matches } else { str::trim_start_matches };
    let mut words = Vec::new();
    let mut rest = trim(source, is);
    while !rest.is_empty() {
        let cut = if from_end {
            rest.rsplit_once(is).map(|(rest, word)| (word, rest))
        } else {
            rest.split_once(is)
        };
        let (word, others) = cut.filter(|_| words.len() + 1 < most).unwrap_or((rest, ""));
        words.push(word);
        rest = trim(others, is);
    }
    words
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
