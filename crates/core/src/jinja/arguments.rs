//! The arguments of a filter or method, with the names that Jinja2 and Python give them.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, State, Value};

use super::{invalid, text};

/// The arguments of one call, in the order of their names; `None` for those not given.
pub(super) struct Arguments(Vec<Option<Value>>);

impl Arguments {
    /// Sorts the arguments, given by position and by name, into the order of `names`.
    pub(super) fn of(names: &[&str], given: &[Value]) -> Result<Self, Error> {
        let (by_place, by_name) = split(given)?;
        if by_place.len() > names.len() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let mut values: Vec<_> = by_place.iter().cloned().map(Some).collect();
        values.resize(names.len(), None);
        for (value, name) in values.iter_mut().zip(names) {
            if !by_name.has(name) {
                continue;
            }
            if value.is_some() {
                return Err(Error::new(
                    ErrorKind::TooManyArguments,
                    format!("`{name}` is given twice"),
                ));
            }
            *value = Some(by_name.get(name)?);
        }
        by_name.assert_all_used()?;
        Ok(Self(values))
    }

    /// Returns one argument, or `None` if it was not given.
    pub(super) fn get(&self, index: usize) -> Option<&Value> {
        self.0[index].as_ref()
    }

    /// Returns one argument, or `None` if it was not given or is `none`.
    pub(super) fn some(&self, index: usize) -> Option<&Value> {
        self.get(index).filter(|value| !value.is_none())
    }

    /// Returns one argument, or an error if it was not given.
    pub(super) fn needed(&self, index: usize) -> Result<&Value, Error> {
        self.get(index).ok_or_else(|| Error::from(ErrorKind::MissingArgument))
    }

    pub(super) fn flag(&self, index: usize) -> bool {
        self.get(index).is_some_and(Value::is_true)
    }

    pub(super) fn number(&self, index: usize, default: i64) -> Result<i64, Error> {
        match self.some(index) {
            Some(value) => i64::try_from(value.clone()),
            None => Ok(default),
        }
    }

    /// Returns a size in characters; a negative one counts as 0.
    pub(super) fn size(&self, index: usize, default: usize) -> Result<usize, Error> {
        let number = self.number(index, i64::try_from(default).unwrap_or(i64::MAX))?;
        Ok(usize::try_from(number.max(0)).unwrap_or(usize::MAX))
    }

    /// Returns a text unchanged; any other type is an error.
    pub(super) fn string(&self, index: usize) -> Result<Option<&str>, Error> {
        let is_text =
            |value: &Value| Err(invalid(format!("expected a string, got {}", value.kind())));
        self.some(index).map(|value| value.as_str().map_or_else(|| is_text(value), Ok)).transpose()
    }

    /// Returns any argument converted to text.
    pub(super) fn text(
        &self,
        state: &State<'_, '_>,
        index: usize,
    ) -> Result<Option<String>, Error> {
        self.some(index).map(|value| text(state, value)).transpose()
    }

    /// Returns the given arguments under these names. `attribute` may be a number, used as an
    /// index.
    pub(super) fn named(&self, names: &[&'static str]) -> Kwargs {
        let given =
            names.iter().zip(&self.0).filter_map(|(name, value)| Some((*name, value.clone()?)));
        given
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
