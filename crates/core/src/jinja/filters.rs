//! Filters of texts and numbers.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, State, Value, filters};
use serde::Serialize as _;
use serde_json::ser::PrettyFormatter;

use super::arguments::{Arguments, Filter, add_filters, pairs};
use super::{afford, escaped, escaped_once, invalid, like, linking, printf, text, wrapping};
use crate::python_format;

const FILTERS: &[Filter] = &[
    ("__mod__", &["right"], printf::modulo),
    ("center", &["width"], center),
    ("d", &["default_value", "boolean"], default),
    ("default", &["default_value", "boolean"], default),
    ("e", &[], escape),
    ("escape", &[], escape),
    ("filesizeformat", &["binary"], file_size),
    ("float", &["default"], float),
    ("forceescape", &[], |state, value, _| {
        Ok(Value::from_safe_string(escaped(&text(state, value)?)))
    }),
    ("indent", &["width", "first", "blank"], indent),
    ("int", &["default", "base"], int),
    ("replace", &["old", "new", "count"], replace),
    ("string", &[], |state, value, _| Ok(like(value, text(state, value)?))),
    ("tojson", &["indent"], to_json),
    ("trim", &["chars"], trim),
    ("truncate", &["length", "killwords", "end", "leeway"], truncate),
    ("urlencode", &[], linking::encode),
    ("urlize", &["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"], linking::link),
    ("wordcount", &[], |state, value, _| {
        minijinja_contrib::filters::wordcount(&Value::from(text(state, value)?))
    }),
    (
        "wordwrap",
        &["width", "break_long_words", "wrapstring", "break_on_hyphens"],
        wrapping::filter,
    ),
    ("xmlattr", &["autospace"], xml_attributes),
];

pub(super) fn add(environment: &mut Environment<'_>) {
    add_filters(environment, FILTERS);
    environment.add_filter("format", printf::filter);
}

fn center(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let width = affordable(state, given.size(0, 80)?)?;
    Ok(like(value, python_format::center(&text(state, value)?, width, ' ')))
}

/// Returns a width in characters if the fuel pays for it.
pub(super) fn affordable(state: &State<'_, '_>, width: usize) -> Result<usize, Error> {
    afford(state, width)?;
    Ok(width)
}

#[expect(clippy::unnecessary_wraps, reason = "the table holds filters that can fail")]
fn default(_: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let is_missing = value.is_undefined() || (given.flag(1, false) && !value.is_true());
    Ok(if is_missing { given.or(0, "") } else { value.clone() })
}

fn escape(state: &mut State<'_, '_>, value: &Value, _: &Arguments) -> Result<Value, Error> {
    escaped_once(state, value).map(Value::from_safe_string)
}

fn file_size(_: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let number = match value.as_str() {
        Some(text) => {
            python_format::strip(text).parse().map_err(|_| invalid("expected a number of bytes"))?
        }
        None => f64::try_from(value.clone())?,
    };
    let (base, units) = if given.flag(0, false) {
        (1024.0_f64, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"])
    } else {
        (1000.0_f64, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
    };
    if (number - 1.0).abs() < f64::EPSILON {
        return Ok(Value::from("1 Byte"));
    }
    if number < base {
        return Ok(Value::from(format!("{:.0} Bytes", number.trunc())));
    }
    let above = |(power, _): &(i32, &str)| number < base.powi(*power);
    let (power, unit) = (2..).zip(units).find(above).unwrap_or((9, units[7]));
    Ok(Value::from(format!("{:.1} {unit}", base * number / base.powi(power))))
}

/// The filter `int` of Jinja2: returns 0, or the template's default, for anything but a number.
fn int(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let base = given.some(1).map(|base| u32::try_from(base.clone())).transpose()?;
    filters::int(state, &plain_number(value), Some(given.or(0, 0)), base, no_names())
}

/// The filter `float` of Jinja2: returns 0.0, or the template's default, for anything but a number.
fn float(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    filters::float(state, &plain_number(value), Some(given.or(0, 0.0)), no_names())
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

fn indent(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let indention = match given.some(0) {
        Some(width) if width.kind() == ValueKind::String => text(state, width)?,
        _ => " ".repeat(affordable(state, given.size(0, 4)?)?),
    };
    let source = format!("{}\n", text(state, value)?);
    let lines = python_format::split_lines(&source, false);
    afford(state, indention.len().saturating_mul(lines.len()))?;
    let indented = lines.into_iter().enumerate().map(|(index, line)| {
        let is_wanted = if index == 0 {
            given.flag(1, false)
        } else {
            given.flag(2, false) || !line.is_empty()
        };
        if is_wanted { format!("{indention}{line}") } else { line.to_owned() }
    });
    Ok(like(value, indented.collect::<Vec<_>>().join("\n")))
}

fn replace(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    replaced(state, &text(state, value)?, given).map(Value::from)
}

/// Computes `source.replace(old, new, count)`; a negative count replaces all.
pub(super) fn replaced(
    state: &State<'_, '_>,
    source: &str,
    given: &Arguments,
) -> Result<String, Error> {
    let (old, new) = (text(state, given.needed(0)?)?, text(state, given.needed(1)?)?);
    let count = usize::try_from(given.number(2, -1)?).unwrap_or(usize::MAX);
    let found = source.matches(&old).take(count).count();
    afford(state, new.len().saturating_mul(found).saturating_add(source.len()))?;
    Ok(source.replacen(&old, &new, count))
}

/// Formats a value as ASCII JSON with sorted names, safe inside HTML.
fn to_json(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    if value.is_undefined() {
        return text(state, value).map(Value::from);
    }
    // The engine limits the depth.
    let plain = filters::tojson(value, None, no_names())?;
    let unwritable = |_| invalid("cannot write it as JSON");
    let mut json: serde_json::Value =
        serde_json::from_str(plain.as_str().unwrap_or_default()).map_err(unwritable)?;
    json.sort_all_objects();
    let mut out = if given.some(0).is_some() {
        let indent = " ".repeat(affordable(state, given.size(0, 0)?.saturating_mul(64))? / 64);
        let mut out = Vec::new();
        let formatter = PrettyFormatter::with_indent(indent.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        json.serialize(&mut serializer).map_err(unwritable)?;
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

fn trim(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let source = text(state, value)?;
    let trimmed = match given.string(0)? {
        Some(chars) => source.trim_matches(|c| chars.contains(c)),
        None => python_format::strip(&source),
    };
    Ok(like(value, trimmed.to_owned()))
}

fn truncate(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let source = match value.as_str() {
        Some(text) => text,
        None if value.is_undefined() => return text(state, value).map(Value::from),
        None => return Err(invalid(format!("cannot truncate a {}", value.kind()))),
    };
    let end = given.text(state, 2)?.unwrap_or_else(|| "...".to_owned());
    let (length, leeway) = (given.number(0, 255)?, given.number(3, 5)?);
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
    let kept = usize::try_from(length - end_length).unwrap_or(0);
    let mut kept: &str = source.char_indices().nth(kept).map_or(source, |(at, _)| &source[..at]);
    if !given.flag(1, false) {
        kept = kept.rsplit_once(' ').map_or(kept, |(head, _)| head);
    }
    if value.is_safe() && !given.get(2).is_some_and(Value::is_safe) {
        return Ok(Value::from_safe_string(format!("{kept}{}", escaped(&end))));
    }
    Ok(like(value, format!("{kept}{end}")))
}

fn xml_attributes(
    state: &mut State<'_, '_>,
    value: &Value,
    given: &Arguments,
) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        return Err(invalid(format!("expected a dictionary, got {}", value.kind())));
    }
    let mut out = String::new();
    for (name, content) in pairs(state, value)? {
        if content.is_none() || content.is_undefined() {
            continue;
        }
        let name = text(state, &name)?;
        if name.contains(['\t', '\n', '\u{b}', '\u{c}', '\r', ' ', '/', '>', '=']) {
            return Err(invalid("an attribute's name has white space, `/`, `>` or `=` in it"));
        }
        if !out.is_empty() || given.flag(0, true) {
            out.push(' ');
        }
        let content = escaped_once(state, &content)?;
        out.extend([&escaped(&name), "=\"", &content, "\""]);
    }
    Ok(Value::from(out))
}
