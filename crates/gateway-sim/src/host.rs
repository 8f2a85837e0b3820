//! The machine of a gateway, with everything that its configuration can refer to.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    merge::{map_members, merge},
    profile::Profile,
    setup::Setup,
};

/// The home folder, the environment and the included files.
#[derive(Clone, Default)]
pub(crate) struct Host {
    /// The home folder; `None` leaves `~` alone.
    home: Option<String>,
    /// The environment; `None` leaves references alone.
    variables: Option<BTreeMap<String, String>>,
    includes: BTreeMap<String, Value>,
    /// The paths at which no folder can be created.
    plain_files: Vec<String>,
}

/// A variable that is referenced but not set.
pub(crate) struct Missing {
    pub(crate) name: String,
    /// The path of the reference in the configuration.
    pub(crate) path: String,
}

impl Host {
    pub(crate) fn new(setup: &Setup, config_path: String) -> Self {
        let is_real = setup.profile != Profile::Scenario;
        let home = setup.home.clone().or_else(|| is_real.then(|| "/home/node".into()));
        let mut variables = setup.env.clone();
        if let (Some(variables), Some(home)) = (&mut variables, &home) {
            variables.entry("HOME".into()).or_insert_with(|| home.clone());
        }
        let plain_files = setup.plain_files.iter().cloned().chain([config_path]).collect();
        Self { home, variables, includes: setup.includes.clone(), plain_files }
    }

    /// Writes an included file to the disk.
    pub(crate) fn write_part(&mut self, name: String, part: Value) {
        self.includes.insert(name, part);
    }

    /// Returns the configuration with which the gateway runs: includes, variables and `~` resolved.
    pub(crate) fn resolved(&self, file: &Value) -> Value {
        self.expanded(&self.source(file), "")
    }

    /// Returns the configuration with its includes and variables resolved, but `~` unchanged.
    pub(crate) fn source(&self, file: &Value) -> Value {
        self.substituted(&self.included(file), "", &mut Vec::new())
    }

    /// Returns whether the configuration refers to variables.
    pub(crate) fn refers(&self, file: &Value) -> bool {
        let included = self.included(file);
        self.substituted(&included, "", &mut Vec::new()) != included
            || !self.missing(file).is_empty()
    }

    /// Returns the variables to which the configuration refers and which are not set.
    pub(crate) fn missing(&self, file: &Value) -> Vec<Missing> {
        let mut missing = Vec::new();
        self.substituted(&self.included(file), "", &mut missing);
        missing
    }

    /// Returns the configuration with the included files in place. The members beside an `$include`
    /// win, and an include without a given file stays.
    pub(crate) fn included(&self, value: &Value) -> Value {
        let names = names(value.get("$include"));
        let parts: Option<Vec<_>> = names.iter().map(|name| self.includes.get(*name)).collect();
        match (value, parts) {
            (Value::Object(fields), Some(parts)) if !parts.is_empty() => {
                let mut whole = json!({});
                for part in parts {
                    merge(&mut whole, &self.included(part));
                }
                let mut own = fields.clone();
                own.shift_remove("$include");
                if !own.is_empty() {
                    merge(&mut whole, &self.included(&own.into()));
                }
                whole
            }
            _ => map_members(value, |_, member| self.included(member)),
        }
    }

    fn substituted(&self, value: &Value, path: &str, missing: &mut Vec<Missing>) -> Value {
        if let Value::String(text) = value {
            return self.substituted_text(text, path, missing).into();
        }
        map_members(value, |name, member| {
            let below = match path {
                _ if value.is_array() => format!("{path}[{name}]"),
                "" => name.to_owned(),
                path => format!("{path}.{name}"),
            };
            self.substituted(member, &below, missing)
        })
    }

    /// Replaces `${NAME}` by the variable, unless it is unset or empty, and `$${NAME}` by
    /// `${NAME}`.
    fn substituted_text(&self, text: &str, path: &str, missing: &mut Vec<Missing>) -> String {
        let Some(variables) = &self.variables else { return text.to_owned() };
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out += &rest[..at];
            rest = &rest[at..];
            if let Some(name) = rest.strip_prefix("$$").and_then(reference) {
                out += &rest[1..name.len() + 4];
                rest = &rest[name.len() + 4..];
            } else if let Some(name) = rest.strip_prefix('$').and_then(reference) {
                if let Some(value) = variables.get(name).filter(|value| !value.is_empty()) {
                    out += value;
                } else {
                    out += &rest[..name.len() + 3];
                    missing.push(Missing { name: name.to_owned(), path: path.to_owned() });
                }
                rest = &rest[name.len() + 3..];
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out + rest
    }

    /// Returns the configuration with the home folder in its paths.
    pub(crate) fn expanded(&self, value: &Value, name: &str) -> Value {
        match value {
            Value::String(text) if is_path(name) => self.expanded_path(text).into(),
            // An item has the name of its list.
            Value::Array(items) => items.iter().map(|item| self.expanded(item, name)).collect(),
            _ => map_members(value, |name, member| self.expanded(member, name)),
        }
    }

    fn expanded_path(&self, path: &str) -> String {
        match (path.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                format!("{home}{rest}")
            }
            _ => path.to_owned(),
        }
    }

    /// Returns the canonical spelling of a folder: expanded, without empty, `.` and `..` parts.
    pub(crate) fn folder(&self, path: &str) -> String {
        let path = self.expanded_path(path);
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// Returns the reason why no folder can be created at this path, as the system's code and
    /// message: a plain file is in the way, or a name is too long.
    pub(crate) fn obstacle(&self, path: &str) -> Option<(&'static str, &'static str)> {
        let folder = self.folder(path);
        if folder.split('/').any(|part| part.len() > LONGEST_NAME) {
            return Some(("ENAMETOOLONG", "name too long"));
        }
        let in_the_way = self.plain_files.iter().any(|file| is_within(&folder, file));
        in_the_way.then_some(("ENOTDIR", "not a directory"))
    }
}

/// The maximum length of a file name in bytes. Gateways need the rest of the usual 255 themselves.
const LONGEST_NAME: usize = 245;

/// Returns whether the folder is `outer` or below it.
pub(crate) fn is_within(folder: &str, outer: &str) -> bool {
    folder
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || outer == "/")
}

/// Returns whether the value contains an `$include`.
pub(crate) fn includes(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key("$include") || fields.values().any(includes),
        Value::Array(items) => items.iter().any(includes),
        _ => false,
    }
}

/// Returns the names in an `$include`: one, or several.
pub(crate) fn names(include: Option<&Value>) -> Vec<&str> {
    match include {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        other => other.and_then(Value::as_str).into_iter().collect(),
    }
}

/// Returns the name in a text that begins with `{NAME}`.
fn reference(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let starts = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
    let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (starts && is_name).then_some(name)
}

/// Returns whether this is the name of a field that holds paths.
fn is_path(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["dir", "path", "paths", "file", "root", "workspace"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let setup = Setup {
            env: Some(
                [("NAME".to_owned(), "value".to_owned()), ("EMPTY".into(), String::new())].into(),
            ),
            includes: [("./a.json5".to_owned(), json!({ "id": "a", "name": "A" }))].into(),
            plain_files: vec!["/srv/file".into()],
            ..Setup::new(Profile::V2026_9_6)
        };
        Host::new(&setup, "/srv/openclaw/openclaw.json".into())
    }

    #[test]
    fn references_are_values_and_escaped_ones_are_text() {
        for (text, is) in [
            ("a ${NAME} b", "a value b"),
            ("$${NAME}", "${NAME}"),
            ("$$${NAME}", "$${NAME}"),
            ("${HOME}", "/home/node"),
            ("${UNSET} ${EMPTY}", "${UNSET} ${EMPTY}"),
            ("$${lower} $${} $$ ${lower} $${A B} $", "$${lower} $${} $$ ${lower} $${A B} $"),
        ] {
            assert_eq!(host().source(&json!([text])), json!([is]), "{text}");
        }
        let missing = host().missing(&json!({ "a": [{ "b": "${UNSET} $${UNSET}" }] }));
        let missing: Vec<_> =
            missing.iter().map(|missing| (&*missing.name, &*missing.path)).collect();
        assert_eq!(missing, [("UNSET", "a[0].b")]);
    }

    #[test]
    fn home_is_expanded_in_paths_only_and_folders_have_one_spelling() {
        let config =
            json!({ "workspace": "~/w", "prompt": "~/w", "agentDir": "~", "file": "~other/f" });
        let resolved = json!({
            "workspace": "/home/node/w", "prompt": "~/w", "agentDir": "/home/node",
            "file": "~other/f",
        });
        assert_eq!(host().resolved(&config), resolved);
        assert_eq!(host().folder("~//a/./b/../c/"), "/home/node/a/c");
        let code = |path: &str| host().obstacle(path).map(|(code, _)| code);
        assert_eq!(code("/srv/file/x"), Some("ENOTDIR"));
        assert_eq!(code(&format!("/w/{}", "x".repeat(250))), Some("ENAMETOOLONG"));
        assert_eq!(code("/srv/filed"), None);
    }

    #[test]
    fn includes_are_put_in_and_what_is_beside_them_wins() {
        let config =
            json!({ "list": [{ "$include": "./a.json5", "name": "B" }, { "$include": "./none" }] });
        assert_eq!(
            host().included(&config),
            json!({ "list": [{ "id": "a", "name": "B" }, { "$include": "./none" }] })
        );
        assert!(includes(&config) && !includes(&json!({ "list": [{ "id": "a" }] })));
    }
}
