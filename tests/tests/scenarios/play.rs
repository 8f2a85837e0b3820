//! Runs one scenario with the binary, and once more, which must write nothing.

use std::fs;
use std::path::Path;

use mission_gateway_sim::Gateway;
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::differences::differences;
use super::quirks::{self, State};
use super::record::{Scenario, Templates};
use crate::processes::{Ended, Worker};

/// A scenario that is being played, with its gateway and its folders.
struct Stage {
    scenario: Scenario,
    gateway: Gateway,
    folder: TempDir,
}

/// Plays a scenario and returns its faults, one line each.
pub async fn play(scenario: Scenario) -> Vec<String> {
    let quirk = quirks::TABLE.iter().find(|quirk| quirk.scenario == scenario.name);
    let stage = Stage::new(scenario).await;
    let before = stage.gateway.state();
    let mut faults = Vec::new();

    let ends = stage.run().await;
    for (step, recorded) in stage.scenario.expect.steps.iter().enumerate() {
        let (end, said) = &ends[step];
        let is_as_expected = match quirk {
            Some(quirk) => end == quirk.ends[step],
            None => recorded.ok && end == "done",
        };
        if !is_as_expected {
            let expected = quirk
                .map_or(if recorded.ok { "done" } else { "a failure that is listed" }, |quirk| {
                    quirk.ends[step]
                });
            faults.push(format!("step {step}: expected {expected}, found {end}: {said}"));
        }
    }
    faults.extend(
        stage.state_faults(&before, quirk.map_or(&State::AsRecorded, |quirk| &quirk.state)),
    );
    faults.extend(stage.local_faults());
    if faults.is_empty() && ends.iter().all(|(end, _)| end == "done") {
        faults.extend(stage.repeat_faults().await);
    }
    faults
}

impl Stage {
    async fn new(scenario: Scenario) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(scenario.setup()).await.unwrap();
        let write = |path: String, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        fs::create_dir(folder.path().join("local")).unwrap();
        for (path, text) in &scenario.local_pre {
            write(format!("local/{path}"), text);
        }
        if let Templates::Inline { files } = &scenario.templates {
            write("worker.toml".into(), "[templates]\nshipped = false\n");
            for (name, text) in files {
                write(format!("templates/{name}"), text);
            }
        }
        Self { scenario, gateway, folder }
    }

    /// Runs all steps. Jobs that were provisioned concurrently run one after another: several
    /// processes at once would be several writers on one gateway, which the lease of a lane rules
    /// out.
    async fn run(&self) -> Vec<(String, String)> {
        let mut ends = Vec::new();
        for documents in self.scenario.documents(&self.gateway.url()) {
            let mut end = ("done".to_owned(), String::new());
            for document in documents {
                let ended = self.apply(&document).await;
                if end.0 == "done" {
                    end = (how_it_ended(&ended), ended.said + &ended.answer.to_string());
                }
            }
            ends.push(end);
        }
        ends
    }

    async fn apply(&self, document: &Value) -> Ended {
        let (folder, settings) = (self.folder.path(), &self.scenario.settings);
        let file = folder.join("job.json");
        fs::write(&file, document.to_string()).unwrap();
        let mut worker = Worker::new(&folder.join("data"));
        if !settings.base_url.is_empty() {
            worker = worker.env("MISSION_BASE_URL", &settings.base_url);
        }
        if !settings.local_agent_workspace_root.is_empty() {
            let local = folder.join("local").display().to_string();
            let root = settings.local_agent_workspace_root.replace("{LOCAL_ROOT}", &local);
            worker = worker.env("MISSION_LOCAL_WORKSPACE_ROOT", root);
        }
        if let Templates::Inline { .. } = self.scenario.templates {
            worker = worker.env("MISSION_CONFIG", folder.join("worker.toml"));
            worker = worker.env("MISSION_TEMPLATES_DIR", folder.join("templates"));
        }
        worker.apply(&file).await
    }

    fn state_faults(&self, before: &Value, wanted: &State) -> Vec<String> {
        let found = self.in_order(self.gateway.state());
        let recorded = self.in_order(self.scenario.expect.final_state.clone());
        let is_as_recorded = differences(&recorded, &found).is_empty();
        let expected = match wanted {
            State::AsRecorded => recorded,
            State::AsBefore => before.clone(),
            State::Edited(edit) => {
                let mut state = recorded;
                edit(&mut state);
                state
            }
        };
        let mut faults = differences(&expected, &found);
        if is_as_recorded && !matches!(wanted, State::AsRecorded) {
            faults.push("the state is as recorded; remove the difference from the table".into());
        }
        faults
    }

    fn in_order(&self, mut state: Value) -> Value {
        if self.scenario.is_order_free()
            && let Some(list) =
                state.pointer_mut("/config/agents/list").and_then(Value::as_array_mut)
        {
            list.sort_by_key(|agent| agent["id"].as_str().unwrap_or_default().to_owned());
        }
        state
    }

    fn local_faults(&self) -> Vec<String> {
        let mut found = Map::new();
        read_below(&self.folder.path().join("local"), "", &mut found);
        let lines = differences(&self.scenario.expect.local_files, &Value::Object(found));
        lines.into_iter().map(|line| format!("local files: {line}")).collect()
    }

    /// Runs everything again: the steps must succeed, nothing may change, and no call may be made
    /// that could change anything.
    async fn repeat_faults(&self) -> Vec<String> {
        let (state, calls) = (self.gateway.state(), self.gateway.mutating_calls().len());
        let ends = self.run().await;
        let mut faults = differences(&state, &self.gateway.state());
        faults.extend(
            ends.into_iter()
                .filter(|(end, _)| end != "done")
                .map(|(end, said)| format!("{end}: {said}")),
        );
        let made: Vec<_> =
            self.gateway.mutating_calls()[calls..].iter().map(|call| call.method.clone()).collect();
        let listed =
            quirks::REPEATED.iter().find(|repeated| repeated.scenario == self.scenario.name);
        if made != listed.map_or(&[][..], |repeated| repeated.calls) {
            faults.push(format!("calls made: {}", made.join(", ")));
        }
        faults.into_iter().map(|fault| format!("second run: {fault}")).collect()
    }
}

/// Returns the end of a job: `done`, `OUTCOME CODE`, or `refused PATH` if the document was refused.
fn how_it_ended(ended: &Ended) -> String {
    let text = |path| ended.answer.pointer(path).and_then(Value::as_str).unwrap_or_default();
    match ended.status {
        Some(0) if text("/outcome") == "done" => "done".into(),
        Some(1 | 3) => format!("{} {}", text("/outcome"), text("/error/code")),
        Some(2) => format!("refused {}", ended.refused_at()),
        status => format!("status {status:?}"),
    }
}

fn read_below(folder: &Path, prefix: &str, files: &mut Map<String, Value>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().display());
        if path.is_dir() {
            read_below(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read_to_string(&path).unwrap().into());
        }
    }
}
