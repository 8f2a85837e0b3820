//! Cases of users' templates and of the files of a workspace.

use std::collections::{BTreeMap, BTreeSet};

use mission_core::context::Context;
use mission_core::documents::Document;
use mission_core::model::Agent;
use mission_core::overrides::TemplateError;
use mission_core::render::{Reader, Renderer, TemplatesConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::jobs::{agent, plain_agent, provision, provision_main, variables};
use super::{Case, Verdict, load};

/// Renders one template as an agent's own, in place of SOUL.
pub(crate) fn override_template(case: &Case) -> Verdict {
    let mut agent = agent(&plain_agent());
    agent.soul_template = Some(case.text("template").to_owned());
    let (renderer, _dir) = renderer(case);
    let context = context(false);
    let reader = Reader { agent: &agent, context: &context, refused: &BTreeSet::new() };
    match renderer.render(Document::Soul, reader) {
        Ok(text) => case.returns(text.unwrap_or_default()),
        Err(error) => case.fails(&error, categories(&error)),
    }
}

/// Renders a whole workspace. The files that Python left empty are never written, so they are
/// missing here.
pub(crate) fn selection(case: &Case) -> Verdict {
    let names: BTreeSet<String> =
        serde_json::from_value(case.input("file_names").clone()).expect("names");
    let is_main = case.input("context") == "$main_context";
    let with_bootstrap = case.input("include_bootstrap") == true;
    let agent: Agent = agent(case.input("agent"));
    let (renderer, _dir) = renderer(case);
    let context = context(is_main);
    let whose = Reader { agent: &agent, context: &context, refused: &BTreeSet::new() };
    let files = match renderer.render_all(&names, whose, with_bootstrap) {
        Ok(files) => files,
        Err(error) => return case.fails(&error, categories(&error)),
    };
    let files: Value = files.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
    let Some(expected) = case.expected().as_array() else { return case.returns(files) };
    let expected = expected.iter().filter(|file| file["content"] != "");
    let expected: BTreeMap<_, _> =
        expected.map(|file| (file["name"].as_str().expect("named"), file)).collect();
    let agrees = expected.len() == files.as_object().map_or(0, serde_json::Map::len)
        && expected.iter().all(|(name, wanted)| match wanted.get("content") {
            Some(text) => files[name] == *text,
            None => files[name].is_string(),
        });
    if agrees { Ok(()) } else { Err(format!("rendered {files}, Python {}", case.expected())) }
}

/// Returns a renderer and the directory of a case, which is removed when the second value is
/// dropped.
fn renderer(case: &Case) -> (Renderer, TempDir) {
    let templates = case.input("templates");
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, source) in templates["files"].as_object().into_iter().flatten() {
        std::fs::write(dir.path().join(name), source.as_str().expect("text"))
            .expect("a writable folder");
    }
    let shipped = templates["mode"] == "shipped";
    (Renderer::new(TemplatesConfig { dir: Some(dir.path().to_owned()), shipped }), dir)
}

/// Returns the context that cases refer to, built from a job and compared with the recorded one.
fn context(is_main: bool) -> Context {
    let profile = json!({"role": "Builder", "purpose": "Ship \"it\"", "emoji": "🚀"});
    let agent = json!({"id": "0a1b2c3d-0000-4000-8000-000000000001", "name": "Ada <Dev> & 'Co'",
                       "openclaw_session_id": "agent:ada:main", "identity_profile": profile});
    let (record, context) = if is_main {
        let job = provision_main(json!({"agent": agent})).expect("a valid job");
        ("_main_context", Context::for_main(&job, "agent:ada:main", None))
    } else {
        let midnight = json!({"kind": "datetime", "parts": [2026, 5, 1, 0, 0, 0, 0]});
        let board = json!({"id": "b0a2d000-0000-4000-8000-000000000002", "name": "Board & \
            Co", "target_date": midnight,
                           "objective": "Grow > 10%", "success_metrics": {"é": "x<y"}});
        let user = json!({"name": "Grace", "notes": "line1\r\nline2"});
        let job =
            provision(json!({"agent": agent, "board": board, "user": user})).expect("a valid job");
        ("_render_context", Context::for_board(&job, "agent:ada:main", Some("https://mc.example")))
    };
    assert_eq!(variables(&context), load(record));
    context
}

/// Returns the kinds of Python exceptions with the same meaning.
fn categories(error: &TemplateError) -> &'static [&'static str] {
    match error {
        TemplateError::Undefined { .. } => &["template_undefined"],
        TemplateError::Syntax { .. } => &["template_syntax"],
        TemplateError::NotFound { .. } => &["template_not_found"],
        TemplateError::Failed { .. } => &["other", "python_type_crash"],
        _ => &[],
    }
}
