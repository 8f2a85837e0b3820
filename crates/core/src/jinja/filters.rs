//! Filters of texts and numbers.

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters};
use serde_json::ser::PrettyFormatter;

use super::arguments::Arguments;
use super::{afford, escaped, invalid, like, linking, printf, text, wrapping};
use crate::python_format;

type Given = Rest<ValueOrKwargs>;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("__mod__", printf::modulo);
    environment.add_filter("center", center);
    environment.add_filter("d", default);
    environment.add_filter("default", default);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("filesizeformat", file_size);
    environment.add_filter("float", float);
    environment.add_filter("forceescape", force_escape);
    environment.add_filter("format", printf::filter);
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("replace", replace);
    environment.add_filter("string", string);
    environment.add_filter("striptags", minijinja_contrib::filters::striptags);
    environment.add_filter("tojson", to_json);
    environment.add_filter("trim", trim);
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlencode", linking::encode);
    environment.add_filter("urlize", linking::link);
    environment.add_filter("wordcount", word_count);
    environment.add_filter("wordwrap", wrapping::filter);
    environment.add_filter("xmlattr", xml_attributes);
}

fn center(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "width"], &given.into_values())?;
    let value = arguments.needed(0)?;
    let centered = python_format::center(
        &text(state, value)?,
        affordable(state, arguments.size(1, 80)?)?,
        ' ',
    );
    Ok(like(value, centered))
}

/// Returns a width in characters if the fuel pays for it.
pub(super) fn affordable(state: &State<'_, '_>, width: usize) -> Result<usize, Error> {
    afford(state, width)?;
    Ok(width)
}

fn default(given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "default_value", "boolean"], &given.into_values())?;
    let value = arguments.needed(0)?;
    let is_missing = value.is_undefined() || (arguments.flag(2) && !value.is_true());
    let other = || arguments.get(1).cloned().unwrap_or_else(|| Value::from(""));
    Ok(if is_missing { other() } else { value.clone() })
}

fn escape(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.is_safe() { Ok(value.clone()) } else { force_escape(state, value) }
}

fn force_escape(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    Ok(Value::from_safe_string(escaped(&text(state, value)?)))
}

fn file_size(given: Given) -> Result<String, Error> {
    let arguments = Arguments::of(&["value", "binary"], &given.into_values())?;
    let value = arguments.needed(0)?;
    let number = match value.as_str() {
        Some(text) => {
            python_format::strip(text).parse().map_err(|_| invalid("expected a number of bytes"))?
        }
        None => f64::try_from(value.clone())?,
    };
    let (base, units) = if arguments.flag(1) {
        (1024.0_f64, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"])
    } else {
        (1000.0_f64, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
    };
    if (number - 1.0).abs() < f64::EPSILON {
        return Ok("1 Byte".to_owned());
    }
    if number < base {
        return Ok(format!("{:.0} Bytes", number.trunc()));
    }
    let mut size = number / base;
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    Ok(format!("{size:.1} {}", units[unit]))
}

/// The filter `int` of Jinja2: returns 0, or the template's default, for anything but a number.
fn int(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "default", "base"], &given.into_values())?;
    let default = arguments.get(1).cloned().unwrap_or_else(|| Value::from(0));
    let base = arguments.some(2).map(|base| u32::try_from(base.clone())).transpose()?;
    filters::int(state, &plain_number(arguments.needed(0)?), Some(default), base, no_names())
}

/// The filter `float` of Jinja2: returns 0.0, or the template's default, for anything but a number.
fn float(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "default"], &given.into_values())?;
    let default = arguments.get(1).cloned().unwrap_or_else(|| Value::from(0.0));
    filters::float(state, &plain_number(arguments.needed(0)?), Some(default), no_names())
}

fn no_names() -> Kwargs {
    std::iter::empty::<(&str, Value)>().collect()
}

/// Removes what Python accepts in a number: white space around it and underscores between digits.
fn plain_number(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    let text = python_format::strip(text);
    let parts: Vec<_> = text.split('_').collect();
    let is_grouped = parts.len() > 1
        && parts.windows(2).all(|pair| {
            pair[0].ends_with(|c: char| c.is_ascii_hexdigit())
                && pair[1].starts_with(|c: char| c.is_ascii_hexdigit())
        });
    if is_grouped { Value::from(parts.concat()) } else { Value::from(text) }
}

fn indent(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "width", "first", "blank"], &given.into_values())?;
    let value = arguments.needed(0)?;
    let indention = match arguments.some(1) {
        Some(width) if width.kind() == ValueKind::String => text(state, width)?,
        _ => " ".repeat(affordable(state, arguments.size(1, 4)?)?),
    };
    let source = format!("{}\n", text(state, value)?);
    let lines = python_format::split_lines(&source, false);
    afford(state, indention.len().saturating_mul(lines.len()))?;
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let is_wanted =
            if index == 0 { arguments.flag(2) } else { arguments.flag(3) || !line.is_empty() };
        if is_wanted {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    Ok(like(value, out))
}

fn replace(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "old", "new", "count"], &given.into_values())?;
    let value = arguments.needed(0)?;
    let source = text(state, value)?;
    let (old, new) = (text(state, arguments.needed(1)?)?, text(state, arguments.needed(2)?)?);
    replaced(state, &source, &old, &new, arguments.number(3, -1)?).map(Value::from)
}

/// Computes `source.replace(old, new, count)`; a negative count replaces all.
pub(super) fn replaced(
    state: &State<'_, '_>,
    source: &str,
    old: &str,
    new: &str,
    count: i64,
) -> Result<String, Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = source.matches(old).take(count).count();
    afford(state, new.len().saturating_mul(found).saturating_add(source.len()))?;
    Ok(source.replacen(old, new, count))
}

fn string(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        Ok(value.clone())
    } else {
        text(state, value).map(Value::from)
    }
}

/// Formats a value as ASCII JSON with sorted names, safe inside HTML.
fn to_json(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "indent"], &given.into_values())?;
    let value = arguments.needed(0)?;
    if value.is_undefined() {
        return text(state, value).map(Value::from);
    }
    // The engine limits the depth.
    let plain = filters::tojson(value, None, no_names())?;
    let read = serde_json::from_str::<serde_json::Value>(plain.as_str().unwrap_or_default());
    let mut json = read.map_err(|_| invalid("cannot write it as JSON"))?;
    json.sort_all_objects();
    let mut out = if arguments.some(1).is_some() {
        let indent = " ".repeat(affordable(state, arguments.size(1, 0)?.saturating_mul(64))? / 64);
        let mut out = Vec::new();
        let formatter = PrettyFormatter::with_indent(indent.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        serde::Serialize::serialize(&json, &mut serializer)
            .map_err(|_| invalid("cannot write it as JSON"))?;
        python_format::ascii_only(&String::from_utf8_lossy(&out))
    } else {
        python_format::json_dumps(&json)
    };
    for (c, code) in [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\'', "\\u0027")] {
        out = out.replace(c, code);
    }
    state.consume_fuel(out.len() as u64 / 64)?;
    Ok(Value::from_safe_string(out))
}

fn trim(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "chars"], &given.into_values())?;
    let value = arguments.needed(0)?;
    let source = text(state, value)?;
    let trimmed = match arguments.string(1)? {
        Some(chars) => source.trim_matches(|c| chars.contains(c)),
        None => python_format::strip(&source),
    };
    Ok(like(value, trimmed.to_owned()))
}

fn truncate(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let names = ["value", "length", "killwords", "end", "leeway"];
    let arguments = Arguments::of(&names, &given.into_values())?;
    let value = arguments.needed(0)?;
    let source = match value.as_str() {
        Some(text) => text,
        None if value.is_undefined() => return text(state, value).map(Value::from),
        None => return Err(invalid(format!("cannot truncate a {}", value.kind()))),
    };
    let end = arguments.text(state, 3)?.unwrap_or_else(|| "...".to_owned());
    let (length, leeway) = (arguments.number(1, 255)?, arguments.number(4, 5)?);
    let end_length = i64::try_from(end.chars().count()).unwrap_or(i64::MAX);
    if length < end_length || leeway < 0 {
        return Err(invalid(format!(
            "the length must be {end_length} or more, and the leeway 0 or more"
        )));
    }
    let chars = i64::try_from(source.chars().count()).unwrap_or(i64::MAX);
    if chars <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let kept: String =
        source.chars().take(usize::try_from(length - end_length).unwrap_or(0)).collect();
    let kept = if arguments.flag(2) {
        kept.as_str()
    } else {
        kept.rsplit_once(' ').map_or(&*kept, |(head, _)| head)
    };
    if value.is_safe() && !arguments.get(3).is_some_and(Value::is_safe) {
        return Ok(Value::from_safe_string(format!("{kept}{}", escaped(&end))));
    }
    Ok(like(value, format!("{kept}{end}")))
}

fn word_count(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    minijinja_contrib::filters::wordcount(&Value::from(text(state, value)?))
}

fn xml_attributes(state: &mut State<'_, '_>, given: Given) -> Result<String, Error> {
    let arguments = Arguments::of(&["value", "autospace"], &given.into_values())?;
    let value = arguments.needed(0)?;
    if value.kind() != ValueKind::Map {
        return Err(invalid(format!("expected a dictionary, got {}", value.kind())));
    }
    let mut parts = Vec::new();
    for key in value.try_iter()? {
        state.consume_fuel(1)?;
        let content = value.get_item(&key)?;
        if content.is_none() || content.is_undefined() {
            continue;
        }
        let name = text(state, &key)?;
        if name.contains(|c: char| {
            c.is_ascii_whitespace() || c == '\u{b}' || matches!(c, '/' | '>' | '=')
        }) {
            return Err(invalid("an attribute's name has white space, `/`, `>` or `=` in it"));
        }
        let content = if content.is_safe() {
            text(state, &content)?
        } else {
            escaped(&text(state, &content)?)
        };
        parts.push(format!("{}=\"{content}\"", escaped(&name)));
    }
    let space =
        if !parts.is_empty() && arguments.get(1).is_none_or(Value::is_true) { " " } else { "" };
    Ok(format!("{space}{}", parts.join(" ")))
}
