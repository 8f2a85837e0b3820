//! A recorded scenario: its file, its placeholders, and its steps as job documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mission_core::keys;
use mission_gateway_sim::Setup;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A scenario in the form of `tests/scenarios/NAME.json`.
#[derive(Deserialize)]
pub struct Scenario {
    pub name: String,
    pub tags: Vec<String>,
    pub steps: Vec<Value>,
    pub settings: Settings,
    pub templates: Templates,
    /// The initial gateway, in the format of the simulator.
    pub gateway: Value,
    /// Options of the simulator that are set for this worker only.
    #[serde(default)]
    pub check_options: serde_json::Map<String, Value>,
    /// The initial local files, by path.
    pub local_pre: BTreeMap<String, String>,
    pub expect: Expected,
}

#[derive(Deserialize)]
pub struct Settings {
    /// The base url; empty for none.
    pub base_url: String,
    /// The root of the local workspaces; empty for none.
    pub local_agent_workspace_root: String,
}

/// The source of the texts.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", tag = "mode")]
pub enum Templates {
    /// The shipped texts, which are not compared.
    Shipped,
    /// These files and no others.
    Inline { files: BTreeMap<String, String> },
}

/// The recorded result.
#[derive(Deserialize)]
pub struct Expected {
    pub steps: Vec<ExpectedStep>,
    pub final_state: Value,
    pub local_files: Value,
}

/// The recorded result of a step.
#[derive(Deserialize)]
pub struct ExpectedStep {
    pub ok: bool,
}

/// Returns all scenarios.
pub fn all() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| read(&path))
        .collect()
}

fn read(path: &Path) -> Scenario {
    let text = with_digests(&with_stable_ids(&fs::read_to_string(path).unwrap()));
    let scenario: Scenario =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(path.file_stem().unwrap(), scenario.name.as_str());
    scenario
}

/// Replaces ids that the recorded system invented: ours are derived from the agent's id. No
/// scenario has two such agents.
fn with_stable_ids(text: &str) -> String {
    if !text.contains("{RANDOM_HEX32_") {
        return text.to_owned();
    }
    let recorded: Value = serde_json::from_str(text).unwrap();
    let id: Uuid = recorded["steps"][0]["agent"]["id"].as_str().unwrap().parse().unwrap();
    replaced(text, "{RANDOM_HEX32_", |_| keys::slug_or_id("", id))
}

fn with_digests(text: &str) -> String {
    replaced(text, "{DIGEST:", |path| {
        Sha256::digest(path).iter().take(8).fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
            hex
        })
    })
}

/// Replaces every `{MARK…}` by the value of the text inside it.
fn replaced(text: &str, mark: &str, value: impl Fn(&str) -> String) -> String {
    let mut parts = text.split(mark);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inner, rest) = part.split_once('}').expect("a placeholder ends");
        out += &value(inner);
        out += rest;
    }
    out
}

impl Scenario {
    /// Returns the job documents of each step.
    pub fn documents(&self, gateway_url: &str) -> Vec<Vec<Value>> {
        let jobs = |step: &Value| match step["kind"].as_str() {
            Some("provision_many") => step["jobs"].as_array().unwrap().clone(),
            _ => vec![step.clone()],
        };
        let documents =
            |step| jobs(step).into_iter().map(|job| document(job, gateway_url)).collect();
        self.steps.iter().map(documents).collect()
    }

    /// Returns the number of jobs.
    pub fn job_count(&self) -> usize {
        self.steps.iter().map(|step| step["jobs"].as_array().map_or(1, Vec::len)).sum()
    }

    /// Returns the setup of the simulated gateway.
    pub fn setup(&self) -> Setup {
        let mut gateway = self.gateway.clone();
        gateway["options"].as_object_mut().unwrap().extend(self.check_options.clone());
        serde_json::from_value(gateway).unwrap()
    }

    /// Returns whether the order of agents in the gateway's list is free.
    pub fn is_order_free(&self) -> bool {
        self.tags.iter().any(|tag| tag == "concurrent")
    }
}

/// Converts a recorded job to a job document. The fields have the same names; kinds have dashes.
fn document(mut job: Value, gateway_url: &str) -> Value {
    let kind = job["kind"].as_str().unwrap().replace('_', "-");
    job["version"] = json!(1);
    job["kind"] = json!(kind);
    if job["gateway"]["url"] == "{GATEWAY_URL}" {
        job["gateway"]["url"] = json!(gateway_url);
    }
    job
}
