//! Jinja2 3.1 where `minijinja` differs from it: arguments by position and by name, missing filters
//! and string methods, and `%` on strings. The table in `tests/jinja` compares the result with
//! Jinja2 itself.
//!
//! The fuel for a text is charged before the text is built, so a width of a billion costs only an
//! error.

mod arguments;
mod bounds;
mod chains;
mod filters;
mod globals;
mod guard;
mod linking;
mod lists;
mod methods;
mod percent;
mod printf;
mod str_format;
mod tag;
mod tests;
mod wrapping;

use minijinja::value::ValueKind;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, Value, escape_formatter,
};
use regex::Regex;

use crate::python_format;

pub(crate) use chains::syntax;

/// The number of bytes that one step of fuel pays for.
const BYTES_OF_A_STEP: u64 = 64;

/// Returns a template as the engine gets it, or the line of a chain that is too long for it.
pub(crate) fn prepared(source: &str) -> Result<String, usize> {
    match chains::line_of_long_chain(source) {
        Some(line) => Err(line),
        None => Ok(guard::guarded(&percent::rewritten(source))),
    }
}

/// Adds the missing parts of Jinja2 to an environment.
pub(crate) fn add_to_environment(environment: &mut Environment<'_>) {
    bounds::add(environment);
    filters::add(environment);
    lists::add(environment);
    tests::add(environment);
    globals::add(environment);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(write);
}

/// Writes a value into the output: numbers as Python prints them, escaped as in Jinja2 where a
/// template asks for it.
fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    bounds::check_size(state, value)?;
    let text = match float(value) {
        _ if matches!(state.auto_escape(), AutoEscape::Html) => escaped_once(state, value)?,
        Some(float) => python_format::float_repr(float),
        None => return escape_formatter(out, state, value),
    };
    out.write_str(&text).map_err(Error::from)
}

/// Returns a value as `str` prints it; an undefined value is an error.
fn text(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    if let Some(float) = float(value) {
        return Ok(python_format::float_repr(float));
    }
    bounds::check_size(state, value)?;
    let text = minijinja::value::StringInput::new(state, value)?.as_str().to_owned();
    if value.as_object().is_some() {
        state.consume_fuel(text.len() as u64 / BYTES_OF_A_STEP)?;
    }
    Ok(text)
}

/// Returns a value as `repr` prints it.
fn repr(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    bounds::check_size(state, value)?;
    Ok(match float(value) {
        Some(float) => python_format::float_repr(float),
        None => format!("{value:?}"),
    })
}

fn float(value: &Value) -> Option<f64> {
    let is_float = value.kind() == ValueKind::Number && !value.is_integer();
    is_float.then(|| f64::try_from(value.clone()).ok()).flatten()
}

/// Returns a text made from `origin`; it counts as escaped if `origin` does.
fn like(origin: &Value, text: String) -> Value {
    if origin.is_safe() { Value::from_safe_string(text) } else { Value::from(text) }
}

/// Escapes as `markupsafe` does: five characters, and nothing specific to links or Markdown.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
}

/// Returns a value as escaped text. A text that is marked as escaped stays as it is.
fn escaped_once(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let text = text(state, value)?;
    Ok(if value.is_safe() { text } else { escaped(&text) })
}

/// Fails unless the remaining fuel pays for this number of bytes.
fn afford(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    match state.fuel_levels() {
        Some((_, left)) if bytes as u64 / BYTES_OF_A_STEP > left => {
            Err(Error::new(ErrorKind::OutOfFuel, "the text would be too long"))
        }
        _ => Ok(()),
    }
}

fn invalid(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}

fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("the pattern is valid")
}
