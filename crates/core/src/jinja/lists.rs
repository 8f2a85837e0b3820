//! Filters of lists and dictionaries, which accept arguments by position and by name.

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters};

use super::arguments::{Arguments, Filter, add_filters, split};
use super::{BYTES_OF_A_STEP, invalid};

const FILTERS: &[Filter] = &[
    ("batch", &["linecount", "fill_with"], |state, value, given| {
        filters::batch(state, value.clone(), given.size(0, 0)?, given.some(1).cloned())
    }),
    ("dictsort", &["case_sensitive", "by", "reverse"], dictsort),
    ("groupby", &["attribute", "default", "case_sensitive"], |state, value, given| {
        state.consume_fuel(value.len().unwrap_or(0) as u64)?;
        filters::groupby(value.clone(), None, given.named())
    }),
    ("items", &[], |_, value, _| filters::items(value)),
    ("join", &["d", "attribute"], |state, value, given| {
        filters::join(state, value, None, None, given.named())
    }),
    ("list", &[], list),
    ("max", &["case_sensitive", "attribute"], |state, value, given| {
        filters::max(state, value.clone(), given.named())
    }),
    ("min", &["case_sensitive", "attribute"], |state, value, given| {
        filters::min(state, value.clone(), given.named())
    }),
    ("slice", &["slices", "fill_with"], |state, value, given| {
        filters::slice(state, value.clone(), given.size(0, 0)?, given.some(1).cloned())
    }),
    ("sort", &["reverse", "case_sensitive", "attribute"], |state, value, given| {
        filters::sort(state, value.clone(), given.named())
    }),
    ("sum", &["attribute", "start"], |state, value, given| {
        filters::sum(state, value.clone(), None, None, given.named())
    }),
    ("unique", &["case_sensitive", "attribute"], |state, value, given| {
        filters::unique(state, value.clone(), given.named())
    }),
];

pub(super) fn add(environment: &mut Environment<'_>) {
    add_filters(environment, FILTERS);
    environment.add_filter("map", map);
}

fn dictsort(state: &mut State<'_, '_>, value: &Value, given: &Arguments) -> Result<Value, Error> {
    let named = given.named();
    if named.has("by") && !matches!(named.peek("by")?, "key" | "value") {
        return Err(invalid("`by` is `key` or `value`"));
    }
    state.consume_fuel(value.len().unwrap_or(0) as u64)?;
    filters::dictsort(value, named)
}

fn list(state: &mut State<'_, '_>, value: &Value, _: &Arguments) -> Result<Value, Error> {
    if value.is_none() {
        return Err(invalid("none is not a list"));
    }
    filters::list(state, value.clone())
}

/// Applies the named filter with the other arguments to each item, or returns an attribute of each.
fn map(state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given = given.into_values();
    let (positional, _) = split(&given)?;
    let Some(name) = positional.get(1).and_then(Value::as_str).map(str::to_owned) else {
        let others = Rest(given[1..].iter().cloned().map(Into::into).collect());
        return filters::map(state, given[0].clone(), others).map(Value::from);
    };
    if given[0].is_undefined() {
        return filters::list(state, given[0].clone());
    }
    let mut mapped = Vec::new();
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
