//! Cases of derived names, values and contexts.

use mission_core::context::Context;
use mission_core::keys::{self, AgentKeys};
use mission_core::model::{DocumentError, Options};
use mission_core::{heartbeat, render};
use serde_json::{Value, json};
use uuid::Uuid;

use super::jobs::{
    agent, parts, plain_agent, plain_board, plain_gateway, provision, provision_main, variables,
};
use super::{Case, Verdict};

const AGENT_ID: Uuid = Uuid::from_u128(0x0a1b_2c3d_0000_4000_8000_0000_0000_0001);

pub(crate) fn slugify(case: &Case) -> Verdict {
    case.returns(keys::slug_or_id(case.text("value"), AGENT_ID))
}

pub(crate) fn clean_str(case: &Case) -> Verdict {
    let value = case.input("value");
    let text = value.is_string().then(|| purpose(value)).filter(|text| !text.is_empty());
    case.returns(text)
}

pub(crate) fn agent_key(case: &Case) -> Verdict {
    case.returns(keys::agent_key(&agent(case.input("agent"))))
}

pub(crate) fn session_key(case: &Case) -> Verdict {
    case.returns(keys::session_key(&agent(case.input("agent"))))
}

/// Goes through a whole job, because the job document refuses a missing root.
pub(crate) fn workspace_path(case: &Case) -> Verdict {
    let mut gateway = plain_gateway();
    gateway["workspace_root"] = case.input("workspace_root").clone();
    match provision(json!({"agent": case.input("agent"), "gateway": gateway})) {
        Ok(job) => case.returns(AgentKeys::of_board_agent(&job.agent, &job.gateway).workspace_path),
        Err(error) => refused(case, &error),
    }
}

pub(crate) fn gateway_ids(case: &Case) -> Verdict {
    let mut gateway = plain_gateway();
    gateway["id"] = case.input("gateway_id").clone();
    gateway["workspace_root"] = json!("/srv/oc");
    let job = provision_main(json!({"gateway": gateway})).expect("a valid job");
    let derived = AgentKeys::of_main_agent(&job.agent, &job.gateway, None);
    let mut named = plain_agent();
    named["openclaw_session_id"] = json!(derived.session_key);
    case.returns(json!({
        "session_key": derived.session_key,
        "session_key_for_id": keys::main_session_key(job.gateway.id),
        "openclaw_agent_id": derived.agent_id,
        "openclaw_agent_id_for_id": keys::main_agent_id(job.gateway.id),
        "main_agent_key": keys::agent_key(&agent(&named)),
        "main_workspace": derived.workspace_path,
    }))
}

/// Compares the printed form too, because the order of the members matters.
pub(crate) fn heartbeat_config(case: &Case) -> Verdict {
    let config = Value::Object(heartbeat::config(&agent(case.input("agent"))));
    let mut board = plain_board();
    board["success_metrics"] = config.clone();
    let job = provision(json!({ "board": board })).expect("a valid job");
    let printed = &variables(&Context::for_board(&job, "", None))["board_success_metrics"];
    if case.0["expect_json"] != *printed {
        return Err(format!("prints as {printed}"));
    }
    case.returns(config)
}

pub(crate) fn visibility_patch(case: &Case) -> Verdict {
    case.returns(heartbeat::visibility_patch(case.input("config"), "heartbeat"))
}

pub(crate) fn python_str(case: &Case) -> Verdict {
    case.returns(purpose(case.input("value")))
}

/// Returns the text that documents show for an agent's purpose with this value.
fn purpose(value: &Value) -> String {
    let mut agent = plain_agent();
    agent["identity_profile"] = json!({ "purpose": value });
    let job = provision_main(json!({ "agent": agent })).expect("a valid job");
    Context::for_main(&job, "", None).identity_purpose
}

pub(crate) fn identity_profile(case: &Case) -> Verdict {
    let job = provision_main(parts(case)).expect("a valid job");
    let Value::Object(mut shown) = variables(&Context::for_main(&job, "", None)) else {
        unreachable!()
    };
    shown.retain(|name, _| name.starts_with("identity_"));
    case.returns(shown)
}

/// Python computed the context before a flow gave the agent its derived session key.
pub(crate) fn build_context(case: &Case) -> Verdict {
    match provision(parts(case)) {
        Ok(job) => {
            let session_key = job.agent.openclaw_session_id.clone().unwrap_or_default();
            case.returns(variables(&Context::for_board(&job, &session_key, base_url(case))))
        }
        Err(error) => refused(case, &error),
    }
}

pub(crate) fn build_main_context(case: &Case) -> Verdict {
    match provision_main(parts(case)) {
        Ok(job) => {
            let session_key = job.agent.openclaw_session_id.clone().unwrap_or_default();
            case.returns(variables(&Context::for_main(&job, &session_key, base_url(case))))
        }
        Err(error) => refused(case, &error),
    }
}

/// Tests that jobs accept every date that Python prints; dates are shown as given.
pub(crate) fn target_date(case: &Case) -> Verdict {
    of_board(case, "target_date", "board_target_date")
}

pub(crate) fn success_metrics(case: &Case) -> Verdict {
    of_board(case, "success_metrics", "board_success_metrics")
}

pub(crate) fn preferred_name(case: &Case) -> Verdict {
    let job = provision_main(json!({"user": {"preferred_name": case.input("preferred_name")}}))
        .expect("a valid job");
    case.returns(Context::for_main(&job, "", None).user_preferred_name)
}

pub(crate) fn should_include_bootstrap(case: &Case) -> Verdict {
    let options =
        json!({"action": case.input("action"), "force_bootstrap": case.input("force_bootstrap")});
    let existing = case.input("existing_files").as_object().expect("files by name");
    match serde_json::from_value::<Options>(options) {
        Ok(options) => case.returns(render::should_include_bootstrap(&options, existing)),
        Err(error) => case.fails(&error, &[]),
    }
}

fn of_board(case: &Case, field: &str, variable: &str) -> Verdict {
    let mut board = plain_board();
    board[field] = case.input(field).clone();
    match provision(json!({"board": board})) {
        Ok(job) => case.returns(variables(&Context::for_board(&job, "", None))[variable].clone()),
        Err(error) => refused(case, &error),
    }
}

fn base_url(case: &Case) -> Option<&str> {
    case.input("settings")["base_url"].as_str()
}

/// Expects the `ValueError` that Python raised for a missing root.
fn refused(case: &Case, error: &DocumentError) -> Verdict {
    let of_root = error.problems.iter().all(|problem| problem.path == "gateway.workspace_root");
    case.fails(error, if of_root { &["value"] } else { &[] })
}
