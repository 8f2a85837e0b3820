//! Inputs and results recorded from the Python code that this crate replaces, one file per
//! function; `_index.json` lists the inputs. They come from Python 3.12 and Jinja2 3.1.6.
//!
//! Each family is run here or named in [`exceptions`], and each case agrees or is named there. A
//! named case that agrees fails the test as well, so that the list cannot hide a pass.

mod exceptions;
mod families;
mod gateway;
pub(crate) mod jobs;
mod mirror;
mod rendering;
mod shipped;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One input and the result of Python.
pub(crate) struct Case(Value);

/// The result of a case: agreement, or a description of the difference.
pub(crate) type Verdict = Result<(), String>;

/// The function that runs one case of a family.
type Run = fn(&Case) -> Verdict;

/// The families that are run.
const FAMILIES: [(&str, Run); 26] = [
    ("slugify", families::slugify),
    ("clean_str", families::clean_str),
    ("agent_key", families::agent_key),
    ("session_key", families::session_key),
    ("workspace_path", families::workspace_path),
    ("gateway_ids", families::gateway_ids),
    ("heartbeat_config", families::heartbeat_config),
    ("channel_heartbeat_visibility_patch", families::visibility_patch),
    ("python_str", families::python_str),
    ("identity_profile", families::identity_profile),
    ("build_context", families::build_context),
    ("build_main_context", families::build_main_context),
    ("target_date_isoformat", families::target_date),
    ("success_metrics_json", families::success_metrics),
    ("preferred_name", families::preferred_name),
    ("should_include_bootstrap", families::should_include_bootstrap),
    ("render_overrides", rendering::override_template),
    ("render_selection", rendering::selection),
    ("template_variables", shipped::variables),
    ("ensure_workspace_file", mirror::write),
    ("workspace_digest", mirror::digest),
    ("heartbeat_entry_map", gateway::latest_entries),
    ("updated_agent_list", gateway::updated_list),
    ("config_agent_list", gateway::config),
    ("config_patch_params", gateway::patch),
    ("await_response", gateway::answer),
];

impl Case {
    fn name(&self) -> &str {
        self.0["name"].as_str().expect("a case has a name")
    }

    /// Returns one member of the input, or null if it is missing.
    fn input(&self, key: &str) -> &Value {
        &self.0["input"][key]
    }

    fn text(&self, key: &str) -> &str {
        self.input(key).as_str().expect("this input is a string")
    }

    /// Returns the result of Python. Where Python escaped HTML by accident, returns the result
    /// without escaping.
    fn expected(&self) -> &Value {
        self.0.get("expect_no_autoescape").unwrap_or(&self.0["expect"])
    }

    /// Returns the kind of exception that Python raised, if it raised one.
    fn expected_error(&self) -> Option<&str> {
        self.0
            .get("error")
            .map(|error| error["category"].as_str().expect("an error has a category"))
    }

    /// Compares our result with that of Python.
    fn returns(&self, actual: impl Into<Value>) -> Verdict {
        let actual = actual.into();
        match self.expected_error() {
            Some(category) => Err(format!("returned {actual}, Python raised {category}")),
            None if agree(self.expected(), &actual) => Ok(()),
            None => Err(format!("returned {actual}, Python {}", self.expected())),
        }
    }

    /// Compares our error with Python's. `categories` are the kinds with the same meaning.
    fn fails(&self, error: &dyn Debug, categories: &[&str]) -> Verdict {
        match self.expected_error() {
            Some(category) if categories.contains(&category) => Ok(()),
            Some(category) => Err(format!("failed with {error:?}, Python with {category}")),
            None => Err(format!("failed with {error:?}, Python returned {}", self.expected())),
        }
    }
}

/// Compares two values. A random id of Python's equals any other 32 hex digits.
fn agree(expected: &Value, actual: &Value) -> bool {
    let is_id =
        |text: &str| text.len() == 32 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if expected.get("random_hex32").is_some() {
        return actual.as_str().is_some_and(is_id);
    }
    if let Some(pattern) = expected.get("labelled").and_then(Value::as_str) {
        let (before, after) =
            pattern.split_once("{RANDOM_HEX32_1}").expect("a labelled pattern has its label");
        let id = actual.as_str().and_then(|text| text.strip_prefix(before)?.strip_suffix(after));
        return id.is_some_and(is_id);
    }
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.len() == actual.len()
                && expected
                    .iter()
                    .all(|(key, value)| actual.get(key).is_some_and(|actual| agree(value, actual)))
        }
        _ => expected == actual,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn load(file: &str) -> Value {
    let path = folder().join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cases(family: &str) -> Vec<Case> {
    let Value::Array(cases) = load(family) else { panic!("{family} is a list of cases") };
    cases.into_iter().map(Case).collect()
}

#[test]
fn each_case_agrees_or_is_an_exception() {
    let mut faults = Vec::new();
    for (family, run) in FAMILIES {
        let listed: BTreeSet<&str> = exceptions::of(family).collect();
        let mut seen = BTreeSet::new();
        let (mut agreed, mut differed) = (0, 0);
        for case in cases(family) {
            let is_listed =
                listed.get(case.name()).inspect(|name| _ = seen.insert(**name)).is_some();
            match run(&case) {
                Ok(()) if is_listed => {
                    faults.push(format!("{family} / {}: agrees, unlist it", case.name()));
                }
                Ok(()) => agreed += 1,
                Err(_) if is_listed => differed += 1,
                Err(difference) => faults.push(format!("{family} / {}: {difference}", case.name())),
            }
        }
        faults.extend(
            listed
                .difference(&seen)
                .map(|name| format!("{family} / {name}: listed, but no such case")),
        );
        eprintln!("{family:36} {agreed:4} agree  {differed:3} exceptions");
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn each_family_is_run_or_listed() {
    let Value::Object(index) = load("_index") else { panic!("the index is an object") };
    let known: BTreeSet<&str> = index.keys().map(String::as_str).collect();
    let run: BTreeSet<&str> = FAMILIES.iter().map(|(family, _)| *family).collect();
    let not_run: BTreeSet<&str> =
        exceptions::FAMILIES_NOT_RUN.iter().map(|(family, _)| *family).collect();
    assert_eq!(
        known,
        run.union(&not_run).copied().collect(),
        "known families, and those run or listed"
    );
    assert_eq!(run.intersection(&not_run).count(), 0, "a family is either run or listed");
    let with_exceptions: BTreeSet<&str> =
        exceptions::CASES.iter().map(|(family, ..)| *family).collect();
    assert!(with_exceptions.is_subset(&run), "exceptions are cases of families that are run");
}
