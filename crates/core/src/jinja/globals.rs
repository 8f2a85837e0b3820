//! The global functions of templates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr, Rest, Value, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, functions};

use super::arguments::{Arguments, pairs, split};
use super::bounds::{Keeper, kept};
use super::invalid;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_function("cycler", cycler);
    environment.add_function("dict", dict);
    environment.add_function("joiner", joiner);
    environment.add_function("namespace", namespace);
    // It shows all variables, and in Jinja2 it is only an extension.
    environment.remove_global("debug");
}

#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    at: AtomicUsize,
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("current"))
            .then(|| self.items[self.at.load(Ordering::Relaxed)].clone())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let () = from_args(args)?;
        let at = self.at.load(Ordering::Relaxed);
        let (next, answer) = match method {
            "next" => ((at + 1) % self.items.len(), self.items[at].clone()),
            "reset" => (0, Value::from(())),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        };
        self.at.store(next, Ordering::Relaxed);
        Ok(answer)
    }
}

fn cycler(state: &mut State<'_, '_>, items: Rest<Value>) -> Result<Value, Error> {
    if items.is_empty() {
        return Err(invalid("a cycler needs at least one item"));
    }
    let items = items.0.into_iter().map(|item| kept(state, &item, Keeper::Cycler));
    let items = items.collect::<Result<_, _>>()?;
    Ok(Value::from_object(Cycler { items, at: AtomicUsize::new(0) }))
}

fn joiner(state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given = Arguments::of(&["sep"], &given.into_values())?;
    let separator = given.get(0).map(|separator| kept(state, separator, Keeper::Cycler));
    Ok(minijinja_contrib::globals::joiner(separator.transpose()?))
}

fn dict(state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    functions::dict(None, members(state, &given.into_values())?.into_iter().collect())
}

fn namespace(state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given = Value::from_pairs(members(state, &given.into_values())?);
    functions::namespace(Some(given.into()))
}

/// Reads the arguments of `dict`: a dictionary or a list of pairs, and named values.
fn members(state: &State<'_, '_>, given: &[Value]) -> Result<Vec<(String, Value)>, Error> {
    let (positional, named) = split(given)?;
    let given = match positional {
        [] => Vec::new(),
        [first] => pairs(state, first)?,
        _ => return Err(Error::from(ErrorKind::TooManyArguments)),
    };
    let mut members: Vec<_> =
        given.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    for name in named.args() {
        members.push((name.to_owned(), named.get(name)?));
    }
    Ok(members)
}
