//! Cases of the variables that the shipped documents must be able to show.

use std::collections::BTreeSet;

use mission_core::context::{BoardContext, Context};
use mission_core::documents::{Document, render_shipped};
use serde_json::{Value, json};

use super::{Case, Verdict};

/// The states of a board. A document shows a variable if its value appears in the text for one of
/// these states.
const STATES: [(&str, &str); 3] =
    [("goal", "true"), ("goal", "false"), ("⟦board_type⟧", "⟦board_goal_confirmed⟧")];

pub(crate) fn variables(case: &Case) -> Verdict {
    let Some(file) = case.input("template").as_str() else { return contexts(case) };
    let (document, is_main, is_lead) = audience(file);
    let texts: Vec<String> = STATES
        .into_iter()
        .map(|(board_type, confirmed)| {
            let mut context = marked(board_type, confirmed);
            context.board = context.board.filter(|_| !is_main);
            render_shipped(document, &context, is_lead, &BTreeSet::new())
        })
        .collect();
    let wanted = case.expected()["variables"].as_array().expect("names");
    let wanted = wanted.iter().map(|name| name.as_str().expect("a name"));
    let hidden: Vec<_> =
        wanted.filter(|name| !texts.iter().any(|text| text.contains(&mark(name)))).collect();
    if hidden.is_empty() { Ok(()) } else { Err(format!("never shows {}", hidden.join(", "))) }
}

fn contexts(case: &Case) -> Verdict {
    let expected = case.expected();
    let mut context = marked("goal", "true");
    let of_board = names(&context);
    context.board = None;
    if of_board != expected["board_context_keys"] {
        return Err(format!("board agents have {of_board}"));
    }
    if names(&context) != expected["main_context_keys"] {
        return Err(format!("main agents have {}", names(&context)));
    }
    let files: BTreeSet<_> = Document::ALL.into_iter().map(Document::file_name).collect();
    if json!(files) != expected["default_gateway_files"] {
        return Err(format!("documents are {files:?}"));
    }
    let own: BTreeSet<_> = Document::ALL
        .into_iter()
        .filter(|document| document.is_agents_own())
        .map(Document::file_name)
        .collect();
    if json!(own) != expected["preserved"] {
        return Err(format!("agents own {own:?}"));
    }
    Ok(())
}

fn names(context: &Context) -> Value {
    json!(context.variables().into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>())
}

fn audience(file: &str) -> (Document, bool, bool) {
    let (name, is_main) = file.strip_prefix("MAIN_").map_or((file, false), |name| (name, true));
    match name {
        "HEARTBEAT_LEAD.md" => (Document::Heartbeat, false, true),
        "HEARTBEAT_AGENT.md" => (Document::Heartbeat, false, false),
        name => (Document::from_file_name(name).expect("a document"), is_main, false),
    }
}

fn mark(name: &str) -> String {
    format!("⟦{name}⟧")
}

/// Returns a context in which each variable has a distinguishable value.
fn marked(board_type: &str, goal_confirmed: &str) -> Context {
    Context {
        agent_name: mark("agent_name"),
        agent_id: mark("agent_id"),
        session_key: mark("session_key"),
        base_url: mark("base_url"),
        auth_token: mark("auth_token"),
        main_session_key: mark("main_session_key"),
        workspace_root: mark("workspace_root"),
        user_name: mark("user_name"),
        user_preferred_name: mark("user_preferred_name"),
        user_pronouns: mark("user_pronouns"),
        user_timezone: mark("user_timezone"),
        user_notes: mark("user_notes"),
        user_context: mark("user_context"),
        identity_role: mark("identity_role"),
        identity_communication_style: mark("identity_communication_style"),
        identity_emoji: mark("identity_emoji"),
        identity_autonomy_level: mark("identity_autonomy_level"),
        identity_verbosity: mark("identity_verbosity"),
        identity_output_format: mark("identity_output_format"),
        identity_update_cadence: mark("identity_update_cadence"),
        identity_purpose: mark("identity_purpose"),
        identity_personality: mark("identity_personality"),
        identity_custom_instructions: mark("identity_custom_instructions"),
        board: Some(BoardContext {
            board_id: mark("board_id"),
            board_name: mark("board_name"),
            board_type: board_type.to_owned(),
            board_objective: mark("board_objective"),
            board_success_metrics: mark("board_success_metrics"),
            board_target_date: mark("board_target_date"),
            board_goal_confirmed: goal_confirmed.to_owned(),
            is_board_lead: mark("is_board_lead"),
            workspace_path: mark("workspace_path"),
        }),
    }
}
