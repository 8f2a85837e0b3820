//! The expression `"%s" % x` and the filter `format`, with Python's formatting.

use std::sync::LazyLock;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, State, Value, filters};
use regex::Regex;

use super::arguments::{Arguments, split};
use super::filters::affordable;
use super::{invalid, pattern, repr, text};
use crate::python_format;

/// Plain text and the field after it: a name, flags, a width, a precision and a conversion. All but
/// the percent sign may be missing.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?s)([^%]*)%(\([^)]*\)?|)([-+ #0]*)(\*|[0-9]*)(\.(?:\*|[0-9]*)|)[hlL]*(.?)")
});

/// Computes `left % right` of a text or of numbers.
pub(super) fn modulo(
    state: &mut State<'_, '_>,
    left: &Value,
    given: &Arguments,
) -> Result<Value, Error> {
    let right = given.needed(0)?;
    if left.as_str().is_some() {
        let values =
            if right.is_tuple() { right.try_iter()?.collect() } else { vec![right.clone()] };
        return format(state, left, values, (right.kind() == ValueKind::Map).then_some(right));
    }
    let unfit = || {
        invalid(format!(
            "tried to use % operator on unsupported types {} and {}",
            left.kind(),
            right.kind()
        ))
    };
    let is_number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !is_number(left) || !is_number(right) {
        text(state, left)?;
        text(state, right)?;
        return Err(unfit());
    }
    if let (Ok(a), Ok(b)) = (i128::try_from(left.clone()), i128::try_from(right.clone())) {
        let rest = a.checked_rem(b).ok_or_else(|| invalid("divided by zero"))?;
        return Ok(Value::from(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    if b == 0.0 {
        return Err(invalid("divided by zero"));
    }
    let rest = a % b;
    Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }))
}

pub(super) fn filter(
    state: &mut State<'_, '_>,
    given: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let given = given.into_values();
    let (positional, by_name) = split(&given)?;
    let Some((template, values)) = positional.split_first() else {
        return Err(invalid("there is no text to format"));
    };
    let template = if template.as_str().is_some() {
        template.clone()
    } else {
        Value::from(text(state, template)?)
    };
    let names: Vec<_> = by_name.args().map(str::to_owned).collect();
    if names.is_empty() {
        return format(state, &template, values.to_vec(), None);
    }
    if !values.is_empty() {
        return Err(invalid("values are given by position and by name; give them in one way"));
    }
    let pairs = names.iter().map(|name| Ok((name.clone(), by_name.get::<Value>(name)?)));
    let mapping = Value::from_pairs(pairs.collect::<Result<Vec<_>, Error>>()?);
    format(state, &template, Vec::new(), Some(&mapping))
}

/// Formats with the engine. Conversions that the engine lacks are prepared here first.
fn format(
    state: &mut State<'_, '_>,
    template: &Value,
    values: Vec<Value>,
    mapping: Option<&Value>,
) -> Result<Value, Error> {
    let source = template.as_str().unwrap_or_default();
    let mut values = values.into_iter();
    let mut next =
        || values.next().ok_or_else(|| invalid("there are fewer values than the text asks for"));
    let (mut out, mut used, mut end) = (String::new(), Vec::new(), 0);
    for field in FIELD.captures_iter(source) {
        let (whole, [text, key, flags, width, precision, conversion]) = field.extract();
        let key = match (key.strip_prefix('('), mapping) {
            (None, _) => None,
            (Some(key), Some(mapping)) => {
                let key = key
                    .strip_suffix(')')
                    .ok_or_else(|| invalid("a name in the format has no end"))?;
                let value = mapping.get_item(&Value::from(key))?;
                if value.is_undefined() {
                    return Err(invalid("a name in the format is not among the values"));
                }
                Some(value)
            }
            (Some(_), None) => return Err(invalid("a format with names needs a dictionary")),
        };
        end += whole.len();
        out.extend([text, "%", flags, &size(state, width, &mut next)?]);
        if let Some(precision) = precision.strip_prefix('.') {
            out.extend([".", &size(state, precision, &mut next)?]);
        }
        let conversion =
            conversion.chars().next().ok_or_else(|| invalid("the format is incomplete"))?;
        if conversion == '%' {
            out.push('%');
            continue;
        }
        let value = key.map_or_else(&mut next, Ok)?;
        let (conversion, value) = converted(state, conversion, value)?;
        out.push(conversion);
        used.push(value.into());
    }
    out.push_str(&source[end..]);
    if mapping.is_none() && values.next().is_some() {
        return Err(invalid("there are more values than the text asks for"));
    }
    filters::format(state, &super::like(template, out), Rest(used))
}

/// Returns a width or precision, which may be taken from the values.
fn size(
    state: &State<'_, '_>,
    size: &str,
    next: &mut impl FnMut() -> Result<Value, Error>,
) -> Result<String, Error> {
    let size = if size == "*" { i64::try_from(next()?)?.to_string() } else { size.to_owned() };
    let digits = size.trim_start_matches('-');
    affordable(state, digits.parse().unwrap_or(if digits.is_empty() { 0 } else { usize::MAX }))?;
    Ok(size)
}

fn converted(
    state: &State<'_, '_>,
    conversion: char,
    value: Value,
) -> Result<(char, Value), Error> {
    Ok(match conversion {
        'r' => ('s', Value::from(repr(state, &value)?)),
        'a' => ('s', Value::from(python_format::ascii_repr(&repr(state, &value)?))),
        's' if value.as_str().is_none() => ('s', Value::from(text(state, &value)?)),
        'd' | 'i' | 'u' => match super::float(&value) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the value was checked to be in range"
            )]
            Some(float) if float.abs() < 1e18 => (conversion, Value::from(float.trunc() as i64)),
            _ => (conversion, value),
        },
        _ => (conversion, value),
    })
}
