//! The arguments of a filter or method, with the names that Jinja2 and Python give them.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::{invalid, text};

/// The names of arguments, in the order of their positions.
type Names = &'static [&'static str];

/// A filter: its name, the names of its arguments after the value, and its function.
pub(super) type Filter =
    (&'static str, Names, fn(&mut State<'_, '_>, &Value, &Arguments) -> Result<Value, Error>);

/// Adds filters to an environment.
pub(super) fn add_filters(environment: &mut Environment<'_>, filters: &[Filter]) {
    for (name, names, filter) in filters.iter().copied() {
        let call = move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
            let given = given.into_values();
            let (value, others) =
                given.split_first().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            filter(state, value, &Arguments::of(names, others)?)
        };
        environment.add_filter(name, call);
    }
}

/// The arguments of one call, in the order of their names; `None` for those not given.
pub(super) struct Arguments {
    names: Names,
    values: Vec<Option<Value>>,
}

impl Arguments {
    /// Sorts the arguments, given by position and by name, into the order of `names`.
    pub(super) fn of(names: Names, given: &[Value]) -> Result<Self, Error> {
        let (by_place, by_name) = split(given)?;
        if by_place.len() > names.len() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let mut values: Vec<_> = by_place.iter().cloned().map(Some).collect();
        values.resize(names.len(), None);
        for (value, name) in values.iter_mut().zip(names).filter(|(_, name)| by_name.has(name)) {
            if value.is_some() {
                return Err(Error::new(
                    ErrorKind::TooManyArguments,
                    format!("`{name}` is given twice"),
                ));
            }
            *value = Some(by_name.get(name)?);
        }
        by_name.assert_all_used()?;
        Ok(Self { names, values })
    }

    /// Returns one argument, or `None` if it was not given.
    pub(super) fn get(&self, index: usize) -> Option<&Value> {
        self.values[index].as_ref()
    }

    /// Returns one argument, or `None` if it was not given or is `none`.
    pub(super) fn some(&self, index: usize) -> Option<&Value> {
        self.get(index).filter(|value| !value.is_none())
    }

    /// Returns one argument, or an error if it was not given.
    pub(super) fn needed(&self, index: usize) -> Result<&Value, Error> {
        self.get(index).ok_or_else(|| Error::from(ErrorKind::MissingArgument))
    }

    /// Returns one argument, or the default if it was not given.
    pub(super) fn or(&self, index: usize, default: impl Into<Value>) -> Value {
        self.get(index).cloned().unwrap_or_else(|| default.into())
    }

    /// Returns whether an argument is true, or the default if it was not given.
    pub(super) fn flag(&self, index: usize, default: bool) -> bool {
        self.get(index).map_or(default, Value::is_true)
    }

    pub(super) fn number(&self, index: usize, default: i64) -> Result<i64, Error> {
        self.some(index).map_or(Ok(default), |value| i64::try_from(value.clone()))
    }

    /// Returns a size in characters; a negative one counts as 0.
    pub(super) fn size(&self, index: usize, default: i64) -> Result<usize, Error> {
        Ok(usize::try_from(self.number(index, default)?.max(0)).unwrap_or(usize::MAX))
    }

    /// Returns a text unchanged; any other type is an error.
    pub(super) fn string(&self, index: usize) -> Result<Option<&str>, Error> {
        let Some(value) = self.some(index) else { return Ok(None) };
        let wrong = || invalid(format!("expected a string, got {}", value.kind()));
        value.as_str().ok_or_else(wrong).map(Some)
    }

    /// Returns any argument converted to text.
    pub(super) fn text(
        &self,
        state: &State<'_, '_>,
        index: usize,
    ) -> Result<Option<String>, Error> {
        self.some(index).map(|value| text(state, value)).transpose()
    }

    /// Returns the given arguments under their names. `attribute` may be a number, used as an
    /// index.
    pub(super) fn named(&self) -> Kwargs {
        let given = self.names.iter().zip(&self.values);
        given
            .filter_map(|(name, value)| Some((*name, value.clone()?)))
            .filter(|(_, value)| !value.is_none())
            .map(|(name, value)| {
                let is_index = name == "attribute" && value.is_integer();
                (name, if is_index { Value::from(value.to_string()) } else { value })
            })
            .collect()
    }
}

/// Separates the arguments given by position from those given by name.
pub(super) fn split(given: &[Value]) -> Result<(&[Value], Kwargs), Error> {
    minijinja::value::from_args(given)
}

/// Returns the names and values of a dictionary, or of a list of pairs.
pub(super) fn pairs(state: &State<'_, '_>, value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    let is_map = value.kind() == minijinja::value::ValueKind::Map;
    let items = if is_map { filters::items(value)? } else { value.clone() };
    let pair = |pair: Value| {
        state.consume_fuel(1)?;
        if pair.len() != Some(2) {
            return Err(invalid("expected pairs of a name and a value"));
        }
        Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?))
    };
    items.try_iter()?.map(pair).collect()
}
