//! Tests of every document for every kind of agent, on gateways that refuse nothing, some documents
//! or nearly all.

mod heartbeats;
mod longest;

use std::collections::BTreeSet;

use super::render_shipped;
use crate::context::{BoardContext, Context, NO_BASE_URL};
use crate::documents::Document::{
    self, Agents, Autonomy, Boot, Bootstrap, Heartbeat, Identity, Memory, SelfImage, Soul,
    TaskSoul, Tools, User,
};

/// The documents that every measured gateway refuses.
const REFUSED_ALWAYS: [Document; 4] = [Autonomy, Boot, SelfImage, TaskSoul];
/// The documents that gateways from 2026.8.1 on refuse.
const REFUSED_LATELY: [Document; 6] = [Autonomy, Boot, Heartbeat, SelfImage, TaskSoul, Tools];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Lead,
    Agent,
    Main,
}

impl Role {
    const ALL: [Self; 3] = [Self::Lead, Self::Agent, Self::Main];

    fn context(self) -> Context {
        let board = (self != Self::Main).then(board);
        Context { board, ..main_context() }
    }

    fn render(self, document: Document, refused: &BTreeSet<Document>) -> String {
        render_shipped(document, &self.context(), self == Self::Lead, refused)
    }
}

/// Returns a context in which each value is its own name, so that a text shows which values it
/// uses.
fn main_context() -> Context {
    let mut context = Context::default();
    for (name, text) in context.texts_mut() {
        *text = format!("<{name}>");
    }
    context
}

fn board() -> BoardContext {
    let mut board = BoardContext::default();
    for (name, text) in board.texts_mut() {
        *text = format!("<{name}>");
    }
    board
}

/// Returns a context in which every optional value is unknown.
fn bare(role: Role) -> Context {
    const KNOWN: [&str; 3] = ["identity_role", "identity_communication_style", "identity_emoji"];
    let mut context = role.context();
    for (name, text) in context.texts_mut() {
        let is_personal = name.starts_with("user_") || name.starts_with("identity_");
        if name == "agent_name" || (is_personal && !KNOWN.contains(&name)) {
            text.clear();
        }
    }
    context.board = context.board.map(|board| BoardContext {
        board_objective: String::new(),
        board_success_metrics: "{}".to_owned(),
        board_target_date: String::new(),
        ..board
    });
    context
}

fn set(documents: &[Document]) -> BTreeSet<Document> {
    documents.iter().copied().collect()
}

/// Returns sets of refused documents: none, those of real gateways, each document alone, and all
/// but AGENTS.
fn refusals() -> Vec<BTreeSet<Document>> {
    let others: Vec<_> = Document::ALL.into_iter().filter(|document| *document != Agents).collect();
    let mut sets = vec![set(&[]), set(&REFUSED_ALWAYS), set(&REFUSED_LATELY), set(&others)];
    sets.extend(others.iter().map(|document| set(&[*document])));
    sets
}

/// Returns every text that can be written, with its document, its role and the refused documents.
fn all_texts() -> Vec<(Document, Role, BTreeSet<Document>)> {
    let mut texts = Vec::new();
    for refused in refusals() {
        for role in Role::ALL {
            let taken = Document::ALL.into_iter().filter(|document| !refused.contains(document));
            texts.extend(taken.map(|document| (document, role, refused.clone())));
        }
    }
    texts
}

#[test]
fn documents_show_their_variables() {
    let identity = "agent_id agent_name identity_communication_style \
        identity_custom_instructions identity_emoji identity_personality identity_purpose \
        identity_role";
    let manner = "identity_autonomy_level identity_output_format identity_update_cadence \
        identity_verbosity";
    let goal = "board_name board_objective board_success_metrics board_target_date board_type";
    let person = "user_name user_notes user_preferred_name user_timezone";
    let place = "agent_id agent_name auth_token base_url workspace_root";
    let own = "board_goal_confirmed board_id board_name board_type";
    // The token is left out of heartbeats, USER and MAIN_AGENTS beside TOOLS, although it could be
    // shown.
    let expected: [(Role, Document, &[&str]); 15] = [
        (Role::Agent, Autonomy, &[manner]),
        (Role::Main, Autonomy, &[manner]),
        (Role::Agent, Boot, &["base_url"]),
        (Role::Lead, Heartbeat, &[goal, "board_goal_confirmed"]),
        (Role::Agent, Identity, &[identity]),
        (Role::Main, Identity, &[identity]),
        (Role::Main, Agents, &["base_url"]),
        (Role::Main, Tools, &[place]),
        (Role::Main, User, &[person, "base_url user_context user_pronouns"]),
        (Role::Agent, Memory, &[goal, "board_id"]),
        (Role::Main, SelfImage, &[identity, manner, person, "user_pronouns"]),
        (Role::Agent, SelfImage, &[identity, manner, person, own]),
        (Role::Agent, Tools, &[place, "board_id workspace_path"]),
        (Role::Agent, User, &[goal, person, "user_context"]),
        (Role::Agent, Agents, &[goal, "agent_name board_goal_confirmed"]),
    ];
    for (role, document, variables) in expected {
        let text = role.render(document, &set(&[]));
        for variable in variables.iter().flat_map(|group| group.split(' ')) {
            let is_shown = text.contains(&format!("<{variable}>"));
            assert!(is_shown, "{document:?} for {role:?} does not show {variable}:\n{text}");
        }
    }
}

#[test]
fn what_is_unknown_has_a_fallback_or_is_left_out() {
    for role in Role::ALL {
        let context = bare(role);
        let render = |document| render_shipped(document, &context, role == Role::Lead, &set(&[]));
        let autonomy = render(Autonomy);
        assert!(autonomy.contains("Your autonomy level: **balanced**"), "{autonomy}");
        for line in ["- Update cadence: n/a", "- Verbosity: n/a", "- Output format: n/a"] {
            assert!(autonomy.lines().any(|found| found == line), "{autonomy}");
            assert!(render(SelfImage).lines().any(|found| found == line));
        }
        assert!(render(SelfImage).contains("- Autonomy level: n/a"));
        assert!(!render(Identity).contains("## Purpose"));
        assert!(render(User).contains("Nothing is known yet."));
        assert!(render(Agents).contains("**Agent <agent_id>**"));
    }
}

#[test]
fn texts_have_no_holes() {
    for (document, role, refused) in all_texts() {
        let only_notes = Context { user_notes: "Likes tea.".to_owned(), ..bare(role) };
        for context in [role.context(), bare(role), only_notes] {
            let text = render_shipped(document, &context, role == Role::Lead, &refused);
            let place = format!("{document:?} for {role:?} with {refused:?} refused:\n{text}");
            let title = format!("# {}\n", document.file_name().trim_end_matches(".md"));
            assert!(text.starts_with(&title) && text.trim() == text, "{place}");
            for marker in ["None", "Some(", "{{", "{%", "{#", "****", "\n\n\n", "<is_board_lead>"] {
                assert!(!text.contains(marker), "{marker:?} in {place}");
            }
            for line in text.lines() {
                assert!(line == line.trim_end(), "{line:?} ends with a space in {place}");
                let hole = line.starts_with("- ") && (line.ends_with(':') || line.contains("``"));
                assert!(!hole, "{line:?} says nothing in {place}");
            }
            assert!(text.len() < 8 * 1024, "{} bytes: {place}", text.len());
        }
    }
}

#[test]
fn the_token_is_in_tools_or_else_in_agents_and_nowhere_else() {
    for (document, role, refused) in all_texts() {
        let text = role.render(document, &refused);
        let belongs = document == Tools || (document == Agents && refused.contains(&Tools));
        let place = format!("{document:?} for {role:?} with {refused:?} refused");
        assert_eq!(text.contains("<auth_token>"), belongs, "{place}");
        if belongs {
            // Mission control finds the token by this line.
            assert!(text.lines().any(|line| line == "AUTH_TOKEN=<auth_token>"));
        }
    }
}

#[test]
fn no_text_names_a_refused_file() {
    for (document, role, refused) in all_texts() {
        let text = role.render(document, &refused);
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.') {
            let named = Document::from_file_name(word.trim_end_matches('.'));
            let is_refused = named.is_some_and(|named| refused.contains(&named));
            assert!(!is_refused, "{document:?} for {role:?} names {word}");
        }
    }
}

#[test]
fn agents_carries_what_is_refused_and_only_that() {
    let essentials = [
        (Tools, "/api/v1/agent/heartbeat"),
        (Heartbeat, "`HEARTBEAT_OK`"),
        (Autonomy, "Your autonomy level: **<identity_autonomy_level>**"),
        (Boot, "A restart ends turns in the middle."),
    ];
    for role in Role::ALL {
        for refused in refusals() {
            let text = role.render(Agents, &refused);
            for (document, essential) in essentials {
                let carries = text.contains(essential);
                let place = format!("{document:?} for {role:?}:\n{text}");
                assert_eq!(carries, refused.contains(&document), "{place}");
            }
        }
        let autonomy = role.render(Autonomy, &set(&[]));
        let (_title, body) =
            autonomy.split_once("\n\n").expect("a document has a title and a body");
        assert!(role.render(Agents, &set(&[Autonomy])).contains(body));
    }
}

#[test]
fn a_goal_is_settled_when_it_is_stated_and_confirmed() {
    let cases = [
        ("goal", "true", "Grow", "{\"users\": 10}", true),
        ("goal", "false", "Grow", "{\"users\": 10}", false),
        ("goal", "true", "", "{\"users\": 10}", false),
        ("goal", "true", "Grow", "{}", false),
        ("general", "false", "", "{}", true),
    ];
    for (board_type, confirmed, objective, metrics, settled) in cases {
        let board = BoardContext {
            board_type: board_type.to_owned(),
            board_goal_confirmed: confirmed.to_owned(),
            board_objective: objective.to_owned(),
            board_success_metrics: metrics.to_owned(),
            ..board()
        };
        let context = Context { board: Some(board), ..main_context() };
        for (document, lead) in [(Agents, true), (Agents, false), (Heartbeat, true)] {
            let text = render_shipped(document, &context, lead, &set(&[]));
            assert_eq!(text.contains("**The board's goal is not settled.**"), !settled, "{text}");
            assert_eq!(text.contains("your first duty"), lead && !settled, "{text}");
        }
    }
}

#[test]
fn without_an_address_the_agent_is_told_to_ask() {
    for role in Role::ALL {
        let context = Context { base_url: NO_BASE_URL.to_owned(), ..role.context() };
        for document in Document::ALL {
            let text = render_shipped(document, &context, role == Role::Lead, &set(&[]));
            for part in [NO_BASE_URL, "Ask <user_preferred_name> for the address"] {
                assert_eq!(text.contains(part), document == Tools, "{text}");
            }
        }
        assert!(!role.render(Tools, &set(&[])).contains("not set yet"));
    }
}

#[test]
fn the_check_in_survives_any_name() {
    for name in ["Ada", "O'Brien \"the\" Tester", "back\\slash $(id) `id`", "zwei\nZeilen"] {
        let context = Context { agent_name: name.to_owned(), ..Role::Agent.context() };
        let text = render_shipped(Tools, &context, false, &set(&[]));
        let (_, rest) = text.split_once("-d '").expect("the check-in has a body");
        let (body, _) = rest.split_once('\'').expect("the body has an end");
        let body: serde_json::Value = serde_json::from_str(body).expect("the body is JSON");
        assert_eq!(body["name"], name);
    }
}

#[test]
fn a_main_agent_is_never_a_lead() {
    for refused in refusals() {
        for document in Document::ALL {
            let context = Role::Main.context();
            let texts =
                [true, false].map(|lead| render_shipped(document, &context, lead, &refused));
            assert_eq!(texts[0], texts[1]);
        }
    }
}

#[test]
fn first_day_and_character_are_there_for_everyone() {
    for role in Role::ALL {
        assert!(role.render(Bootstrap, &set(&[])).contains("delete this file"));
        assert_eq!(role.render(Soul, &set(&[])), Role::Main.render(Soul, &set(&[])));
        assert_eq!(role.render(TaskSoul, &set(&[])), Role::Main.render(TaskSoul, &set(&[])));
    }
}
