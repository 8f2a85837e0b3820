//! The bounds of values in templates. A list inside a list costs the engine little to make, but
//! each level costs it stack to print, compare or free, and a list of large lists can be far larger
//! than its steps suggest. So every value that is kept in a variable, or passed to a call, is
//! checked first; [`guarded`](super::guard::guarded) inserts these filters.

use minijinja::value::{DynObject, ObjectRepr, Tuple, ValueKind};
use minijinja::{Environment, Error, State, Value};

use super::arguments::{Arguments, Filter, add_filters};
use super::{afford, invalid};

/// The maximum nesting of the lists, dictionaries and namespaces in a variable.
const MAX_LEVELS: usize = 100;

/// The number of values that one step of fuel pays for, when a value is checked.
const VALUES_OF_A_STEP: usize = 8;

/// The length of a string that costs as much as one more value, when it is checked.
const BYTES_OF_A_VALUE: usize = 128;

/// The filter for a value that a variable or a call gets. It is given the only item of a list, as
/// the engine charges for a text.
pub(super) const KEPT: &str = "__kept__";
/// The filter for a value that an attribute of a namespace gets.
pub(super) const INNER: &str = "__inner__";
/// The filter for a value that is about to be printed or converted.
pub(super) const SIZED: &str = "__sized__";

const FILTERS: &[Filter] = &[
    (KEPT, &["is_bare"], |state, value, given| keep(state, value, given, Keeper::Variable)),
    (INNER, &["is_bare"], |state, value, given| keep(state, value, given, Keeper::Namespace)),
    (SIZED, &[], |state, value, _| {
        check_size(state, value)?;
        Ok(value.clone())
    }),
];

pub(super) fn add(environment: &mut Environment<'_>) {
    add_filters(environment, FILTERS);
    environment.add_test(SIZED, |state: &mut State<'_, '_>, value: &Value| {
        check_size(state, value).map(|()| true)
    });
}

/// Keeps the only item of a list, or the bare value.
fn keep(
    state: &State<'_, '_>,
    value: &Value,
    given: &Arguments,
    keeper: Keeper,
) -> Result<Value, Error> {
    if given.flag(0, false) {
        return kept(state, value, keeper);
    }
    kept(state, &value.get_item_by_index(0)?, keeper)
}

/// The place where a value is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    Variable,
    /// A namespace lives longer than the block that changes it, so it may contain nothing that
    /// could lead back to itself.
    Namespace,
    /// A cycler or joiner, whose contents are not checked again.
    Cycler,
}

/// Returns a value with all its lists made, so that nothing in it refers to earlier values, or an
/// error if it is too deep or too large.
pub(super) fn kept(state: &State<'_, '_>, value: &Value, keeper: Keeper) -> Result<Value, Error> {
    let mut walk = Walk { state, keeper, values: 0, bytes: 0 };
    let made = walk.made(value, 0)?;
    walk.finish(value)?;
    Ok(made.unwrap_or_else(|| value.clone()))
}

/// Fails unless the remaining fuel pays for the text of a value.
pub(super) fn check_size(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return state.consume_fuel((text.len() / BYTES_OF_A_VALUE / VALUES_OF_A_STEP) as u64);
    }
    if value.as_object().is_none() {
        return Ok(());
    }
    let mut walk = Walk { state, keeper: Keeper::Variable, values: 0, bytes: 0 };
    walk.measure(value)?;
    walk.finish(value)
}

/// The kinds of the engine's objects that differ in what they contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Nothing that can be reached, as in a macro.
    None,
    /// Values that were checked when they were put in, in a cycler or joiner.
    Cycler,
    /// The items of a loop, which can be nested by `loop.changed`.
    Loop,
    /// Names with values, in a namespace or an imported template.
    Members,
    /// A label and its items, as `groupby` makes them.
    Group,
    /// Values of a list that is stored as such.
    List,
    /// Values that are computed from other ones when they are read.
    Computed,
    Pairs,
    ComputedPairs,
}

/// The engine distinguishes its objects only by the names of their types.
fn contents(value: &Value, object: &DynObject) -> Contents {
    let name = object.type_name();
    let plain = name.split('<').next().unwrap_or_default();
    match (object.repr(), plain.rsplit("::").next().unwrap_or_default()) {
        (_, "Loop") => Contents::Loop,
        (_, "Cycler" | "Joiner") => Contents::Cycler,
        (ObjectRepr::Plain, _) | (_, "Macro") => Contents::None,
        (_, "Namespace" | "Module") => Contents::Members,
        (_, "GroupTuple") => Contents::Group,
        (ObjectRepr::Map, "IndexMap" | "KwargsValues") => Contents::Pairs,
        (ObjectRepr::Map, _) => Contents::ComputedPairs,
        _ if value.is_tuple() || value.downcast_object_ref::<Vec<Value>>().is_some() => {
            Contents::List
        }
        _ => Contents::Computed,
    }
}

struct Walk<'a> {
    state: &'a State<'a, 'a>,
    keeper: Keeper,
    /// The values that no step of fuel was paid for yet.
    values: usize,
    /// The length of the text so far.
    bytes: usize,
}

impl Walk<'_> {
    fn count(&mut self, value: &Value) -> Result<(), Error> {
        let bytes = value.as_str().map_or(0, str::len);
        self.bytes = self.bytes.saturating_add(2 + bytes);
        self.values += 1 + bytes / BYTES_OF_A_VALUE;
        let steps = self.values / VALUES_OF_A_STEP;
        self.values %= VALUES_OF_A_STEP;
        if steps > 0 {
            self.state.consume_fuel(steps as u64)?;
            afford(self.state, self.bytes)?;
        }
        Ok(())
    }

    /// Fails if the text of the whole value is too long. A string alone is paid for by the engine.
    fn finish(&self, value: &Value) -> Result<(), Error> {
        if value.as_object().is_some() { afford(self.state, self.bytes) } else { Ok(()) }
    }

    /// Returns a value with its computed lists made, or `None` if it has none.
    fn made(&mut self, value: &Value, level: usize) -> Result<Option<Value>, Error> {
        self.count(value)?;
        let Some(object) = value.as_object() else { return Ok(None) };
        if level == MAX_LEVELS {
            return Err(invalid(format!("a value is nested deeper than {MAX_LEVELS} levels")));
        }
        let contents = contents(value, object);
        match contents {
            Contents::Loop | Contents::Members if self.keeper != Keeper::Variable => Err(invalid(
                "a namespace or cycler cannot contain a namespace, an import or a loop",
            )),
            Contents::Cycler if self.keeper == Keeper::Cycler => {
                Err(invalid("a cycler or joiner cannot contain another one"))
            }
            Contents::None | Contents::Loop | Contents::Cycler => Ok(None),
            Contents::Members => {
                for name in value.try_iter()? {
                    self.made(&value.get_item(&name)?, level + 1)?;
                }
                Ok(None)
            }
            Contents::Pairs | Contents::ComputedPairs => {
                let mut is_new = contents == Contents::ComputedPairs;
                let mut pairs = Vec::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    let (made_key, made_item) =
                        (self.made(&key, level + 1)?, self.made(&item, level + 1)?);
                    is_new |= made_key.is_some() || made_item.is_some();
                    pairs.push((made_key.unwrap_or(key), made_item.unwrap_or(item)));
                }
                Ok(is_new.then(|| Value::from_pairs(pairs)))
            }
            Contents::Group => {
                let (label, items) = (value.get_item_by_index(0)?, value.get_item_by_index(1)?);
                let (made_label, made_items) =
                    (self.made(&label, level + 1)?, { self.items(&items, level + 1)? });
                let is_new = made_label.is_some() || made_items.1;
                let group = || Tuple::from([made_label.unwrap_or(label), made_items.0.into()]);
                Ok(is_new.then(|| Value::from(group())))
            }
            Contents::List | Contents::Computed => {
                let (items, is_new) = self.items(value, level)?;
                Ok((is_new || contents == Contents::Computed).then(|| {
                    if value.is_tuple() { Tuple::from(items).into() } else { items.into() }
                }))
            }
        }
    }

    /// Returns the items of a list, and whether one of them was made.
    fn items(&mut self, list: &Value, level: usize) -> Result<(Vec<Value>, bool), Error> {
        let (mut items, mut is_new) = (Vec::new(), false);
        for item in list.try_iter()? {
            if item.kind() == ValueKind::Invalid {
                return Err(invalid("a list contains an invalid value"));
            }
            let made = self.made(&item, level + 1)?;
            is_new |= made.is_some();
            items.push(made.unwrap_or(item));
        }
        Ok((items, is_new))
    }

    fn measure(&mut self, value: &Value) -> Result<(), Error> {
        self.count(value)?;
        let Some(object) = value.as_object() else { return Ok(()) };
        let contents = contents(value, object);
        if matches!(contents, Contents::None | Contents::Cycler | Contents::Loop) {
            return Ok(());
        }
        let has_names = matches!(object.repr(), ObjectRepr::Map);
        for item in value.try_iter()? {
            if has_names {
                self.measure(&value.get_item(&item)?)?;
            }
            self.measure(&item)?;
        }
        Ok(())
    }
}
