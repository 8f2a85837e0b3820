//! The tests of Jinja2: the names after `is`.

use minijinja::value::{ObjectRepr, ValueKind};
use minijinja::{Environment, Error, State, Value, tests};

use super::bounds::check_size;
use super::text;

type Comparison = fn(&Value, &Value) -> bool;

/// The tests that compare two values, with all their names.
const COMPARISONS: &[(&[&str], Comparison)] = &[
    (&["eq", "equalto", "=="], tests::is_eq),
    (&["ne", "!="], tests::is_ne),
    (&["lt", "lessthan", "<"], tests::is_lt),
    (&["le", "<="], tests::is_le),
    (&["gt", "greaterthan", ">"], tests::is_gt),
    (&["ge", ">="], tests::is_ge),
];

pub(super) fn add(environment: &mut Environment<'_>) {
    for (names, compare) in COMPARISONS {
        let call = |state: &mut State<'_, '_>, value: &Value, other: &Value| {
            check_size(state, value)?;
            check_size(state, other)?;
            Ok::<_, Error>(compare(value, other))
        };
        for name in *names {
            environment.add_test(*name, call);
        }
    }
    environment.add_test("in", |state: &mut State<'_, '_>, value: &Value, other: &Value| {
        check_size(state, value)?;
        check_size(state, other)?;
        tests::is_in(state, value, other)
    });
    environment.add_test("callable", is_callable);
    environment.add_test("iterable", is_iterable);
    environment.add_test("lower", is_lower);
    environment.add_test("sequence", is_sequence);
    environment.add_test("upper", is_upper);
}

/// Returns whether a value is a function, macro, joiner or loop. The engine distinguishes them only
/// by their type.
fn is_callable(value: &Value) -> bool {
    const CALLABLE: [&str; 4] = ["BoxedFunction", "Macro", "Joiner", "Loop"];
    let name =
        value.as_object().map(|object| object.type_name().rsplit("::").next().unwrap_or_default());
    // In Jinja2 an undefined value is callable as well, because it reports its error when called.
    value.is_undefined() || name.is_some_and(|name| CALLABLE.contains(&name))
}

fn is_iterable(state: &mut State<'_, '_>, value: &Value) -> Result<bool, Error> {
    if value.is_undefined() {
        text(state, value)?;
    }
    Ok(!value.is_none() && value.try_iter().is_ok())
}

fn is_sequence(value: &Value) -> bool {
    let is_range = || value.as_object().is_some_and(|object| object.repr() == ObjectRepr::Iterable);
    match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Map => true,
        ValueKind::Iterable => is_range() && value.len().is_some(),
        _ => false,
    }
}

fn is_lower(state: &mut State<'_, '_>, value: &Value) -> Result<bool, Error> {
    Ok(tests::is_lower(&Value::from(text(state, value)?)))
}

fn is_upper(state: &mut State<'_, '_>, value: &Value) -> Result<bool, Error> {
    Ok(tests::is_upper(&Value::from(text(state, value)?)))
}
