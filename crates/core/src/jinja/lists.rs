//! Filters of lists and dictionaries, which accept arguments by position and by name.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::arguments::{Arguments, split};
use super::{BYTES_OF_A_STEP, invalid};

type Given = Rest<ValueOrKwargs>;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("batch", batch);
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("groupby", group);
    environment.add_filter("items", items);
    environment.add_filter("join", join);
    environment.add_filter("list", list);
    environment.add_filter("map", map);
    environment.add_filter("max", max);
    environment.add_filter("min", min);
    environment.add_filter("slice", slice);
    environment.add_filter("sort", sort);
    environment.add_filter("sum", sum);
    environment.add_filter("unique", unique);
}

/// Returns the value to filter, and the other arguments by name.
fn called(names: &[&'static str], given: Given) -> Result<(Value, Kwargs), Error> {
    let given = given.into_values();
    let (value, others) =
        given.split_first().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
    Ok((value.clone(), Arguments::of(names, others)?.named(names)))
}

fn batch(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "linecount", "fill_with"], &given.into_values())?;
    let value = arguments.needed(0)?.clone();
    filters::batch(state, value, arguments.size(1, 0)?, arguments.some(2).cloned())
}

fn slice(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(&["value", "slices", "fill_with"], &given.into_values())?;
    let value = arguments.needed(0)?.clone();
    filters::slice(state, value, arguments.size(1, 0)?, arguments.some(2).cloned())
}

fn dictsort(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["case_sensitive", "by", "reverse"], given)?;
    if named.has("by") && !matches!(named.peek("by")?, "key" | "value") {
        return Err(invalid("`by` is `key` or `value`"));
    }
    state.consume_fuel(value.len().unwrap_or(0) as u64)?;
    filters::dictsort(&value, named)
}

fn group(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["attribute", "default", "case_sensitive"], given)?;
    state.consume_fuel(value.len().unwrap_or(0) as u64)?;
    filters::groupby(value, None, named)
}

fn items(value: &Value) -> Result<Value, Error> {
    filters::items(value)
}

fn join(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["d", "attribute"], given)?;
    filters::join(state, &value, None, None, named)
}

fn list(state: &mut State<'_, '_>, value: Value) -> Result<Value, Error> {
    if value.is_none() { Err(invalid("none is not a list")) } else { filters::list(state, value) }
}

/// Applies the named filter with the other arguments to each item, or returns an attribute of each.
fn map(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let given = given.into_values();
    let (positional, _) = split(&given)?;
    let Some(name) = positional.get(1).and_then(Value::as_str).map(str::to_owned) else {
        return filters::map(
            state,
            given[0].clone(),
            Rest(given[1..].iter().cloned().map(Into::into).collect()),
        )
        .map(Value::from);
    };
    let mut mapped = Vec::new();
    if given[0].is_undefined() {
        return filters::list(state, given[0].clone());
    }
    for item in given[0].try_iter()? {
        let mut arguments = vec![item];
        arguments.extend_from_slice(&given[2..]);
        let value = state.apply_filter(&name, &arguments)?;
        let size = value.as_str().map_or_else(|| value.len().unwrap_or(0) * 16, str::len);
        state.consume_fuel(1 + size as u64 / BYTES_OF_A_STEP)?;
        mapped.push(value);
    }
    Ok(Value::from(mapped))
}

fn max(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["case_sensitive", "attribute"], given)?;
    filters::max(state, value, named)
}

fn min(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["case_sensitive", "attribute"], given)?;
    filters::min(state, value, named)
}

fn sort(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["reverse", "case_sensitive", "attribute"], given)?;
    filters::sort(state, value, named)
}

fn sum(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["attribute", "start"], given)?;
    filters::sum(state, value, None, None, named)
}

fn unique(state: &mut State<'_, '_>, given: Given) -> Result<Value, Error> {
    let (value, named) = called(&["case_sensitive", "attribute"], given)?;
    filters::unique(state, value, named)
}
