//! The effect of a write on the included parts of the configuration.

use serde_json::Value;

use crate::{
    answer::Refusal,
    host::{Host, includes, names},
    profile::Profile,
    world::{BASE, World},
};

/// A configuration with its includes, and the new content of included files by name.
pub(crate) struct Folded {
    pub(crate) file: Value,
    pub(crate) parts: Vec<(String, Value)>,
}

impl World {
    /// Restores the includes in a changed configuration where the included files have the same
    /// content. A changed part is written into its included file if this version does so. `by` is
    /// the method that writes.
    pub(crate) fn folded(&self, by: &str, next: Value) -> Result<Folded, Refusal> {
        let mut folded = Folded { file: next, parts: Vec::new() };
        if self.profile < Profile::V2026_5_7 || !includes(&self.file) {
            return Ok(folded);
        }
        self.refuse_any(by, &folded.file)?;
        let through = |place: &str| self.writes_through(by, place);
        let fold =
            Fold { host: &self.host, flattens_items: self.profile < Profile::V2026_7_35, through };
        let next = std::mem::take(&mut folded.file);
        folded.file = fold
            .fold(&self.file, next, "", &mut folded.parts)
            .map_err(|place| self.would_flatten(&place))?;
        Ok(folded)
    }

    /// Refuses the write on versions that refuse any change while there is an include.
    fn refuse_any(&self, by: &str, next: &Value) -> Result<(), Refusal> {
        if self.profile < Profile::V2026_7_35 {
            let sections =
                self.file.as_object().into_iter().flatten().filter(|(name, _)| *name != "agents");
            let mut included = sections.filter(|(_, section)| section.get("$include").is_some());
            let Some((name, _)) = included.next() else { return Ok(()) };
            // If the file has references, it is written unchanged and then found invalid.
            if by == "config.patch" && self.host.refers(&self.file) {
                let message = format!(
                    "Error: Config validation failed: {name}: Unrecognized key: \"$include\""
                );
                return Err(Refusal::unavailable(message));
            }
            return Err(self.would_flatten(name));
        }
        let agents = &self.file["agents"];
        let changes = self.host.included(&self.file)["agents"] != next["agents"];
        let is_owned = includes(agents) && changes;
        let refused = match self.profile {
            Profile::V2026_8_2 => {
                is_owned && !(agents.get("$include").is_some() && by != "config.patch")
            }
            Profile::V2026_9_6 => {
                let whole =
                    agents.get("$include").is_some() || agents["entries"].get("$include").is_some();
                is_owned && whole && by == "agents.delete"
            }
            _ => false,
        };
        if refused { Err(self.would_flatten("agents")) } else { Ok(()) }
    }

    /// Returns whether a change of the included part at this place is written into the included
    /// file.
    fn writes_through(&self, by: &str, place: &str) -> bool {
        match place {
            "agents" if by != "config.patch" => self.profile >= Profile::V2026_5_20,
            "agents" | "agents.entries" => self.profile >= Profile::V2026_9_6,
            _ => false,
        }
    }

    /// Lists the included parts, each with its path in the configuration and on the disk.
    pub(crate) fn provenance(&self) -> Vec<(Vec<String>, String)> {
        let mut found = Vec::new();
        collect(&self.file, &mut Vec::new(), &mut found);
        found
    }

    fn would_flatten(&self, place: &str) -> Refusal {
        let code =
            if self.profile >= Profile::V2026_9_6 { ": code=CONFIG_INCLUDE_OWNERSHIP" } else { "" };
        let message = format!(
            "Error: Config write would flatten $include-owned config at {place}; edit that include \
                file directly or remove the $include first.{code}"
        );
        Refusal::unavailable(message)
    }
}

/// Collects the places of includes and the paths of the files.
fn collect(value: &Value, place: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    let mut below = |name: String, value: &Value| {
        place.push(name);
        collect(value, place, found);
        place.pop();
    };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| below(name.clone(), value));
            for name in names(fields.get("$include")) {
                found.push((place.clone(), format!("{BASE}/{}", name.trim_start_matches("./"))));
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| below(at.to_string(), item));
        }
        _ => {}
    }
}

struct Fold<'a, T> {
    host: &'a Host,
    /// `true` if the items of lists are written without their includes.
    flattens_items: bool,
    /// Returns whether the included part at a place is written into the included file.
    through: T,
}

impl<T: Fn(&str) -> bool> Fold<'_, T> {
    /// Restores the includes of one part. The error is the place of an included part that was
    /// changed.
    fn fold(
        &self,
        old: &Value,
        new: Value,
        place: &str,
        parts: &mut Vec<(String, Value)>,
    ) -> Result<Value, String> {
        if !includes(old) {
            return Ok(new);
        }
        if self.host.included(old) == new && !(old.is_array() && self.flattens_items) {
            return Ok(old.clone());
        }
        match (old, new) {
            (Value::Object(fields), new) if fields.contains_key("$include") => {
                let names = names(fields.get("$include"));
                if let ([name], 1, true) = (&names[..], fields.len(), (self.through)(place)) {
                    parts.push(((*name).to_owned(), new));
                    return Ok(old.clone());
                }
                Err(place.to_owned())
            }
            (Value::Object(fields), Value::Object(new)) => {
                let folded = new.into_iter().map(|(name, value)| {
                    let below =
                        if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                    let old = fields.get(&name).unwrap_or(&Value::Null);
                    Ok((name, self.fold(old, value, &below, parts)?))
                });
                Ok(Value::Object(folded.collect::<Result<_, String>>()?))
            }
            (Value::Array(_), new) if self.flattens_items => Ok(new),
            (Value::Array(items), Value::Array(new)) => {
                let same = |own: &Value, item: &Value| self.host.included(own)["id"] == item["id"];
                let folded = new.into_iter().map(|item| {
                    let old = items.iter().find(|own| same(own, &item)).unwrap_or(&Value::Null);
                    self.fold(old, item, place, parts)
                });
                Ok(Value::Array(folded.collect::<Result<_, String>>()?))
            }
            (_, new) => Ok(new),
        }
    }
}
