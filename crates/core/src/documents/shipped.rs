//! The shipped texts: templates under `templates/agent/`, compiled into the program.
//!
//! Real gateways refuse some documents, and the set depends on their version. AGENTS is therefore
//! rendered with the list of refused documents and carries their essentials itself. No text names a
//! file that the gateway does not accept.

use std::collections::BTreeSet;

use askama::Template;

use super::Document;
use crate::context::{Context, NO_BASE_URL};

/// Renders the shipped text of a document, trimmed at both ends.
///
/// `lead` chooses between the two kinds of board agents; a context without a board is that of a
/// gateway's main agent. `refused` lists the documents that this gateway does not accept. AGENTS
/// carries the essentials of those. If TOOLS is among them, AGENTS also holds the agent's token,
/// which is otherwise in TOOLS only.
#[must_use]
pub fn render_shipped(
    document: Document,
    context: &Context,
    lead: bool,
    refused: &BTreeSet<Document>,
) -> String {
    Shipped { text: Text::Document(document), context, lead, refused }.trimmed()
}

/// Renders the heartbeat duties as a prompt of under 1,500 characters for the config of a gateway
/// that refuses HEARTBEAT.
///
/// The prompt depends only on the kind of agent. It holds no secret, since more people can read a
/// config than a workspace, and a changed board causes no config write.
#[must_use]
pub fn heartbeat_prompt(context: &Context, lead: bool) -> String {
    let refused = BTreeSet::from([Document::Heartbeat, Document::Tools]);
    Shipped { text: Text::HeartbeatPrompt, context, lead, refused: &refused }.trimmed()
}

/// Renders the message that starts an agent. `verb` is what was done with it, such as
/// `provisioned`; `refused` lists the documents that this gateway does not accept. The message
/// holds no secret.
#[must_use]
pub fn start_message(
    context: &Context,
    lead: bool,
    verb: &str,
    refused: &BTreeSet<Document>,
) -> String {
    Shipped { text: Text::Wake(verb), context, lead, refused }.trimmed()
}

/// The text to render.
enum Text<'a> {
    Document(Document),
    HeartbeatPrompt,
    Wake(&'a str),
}

/// The maximum length of a name within a sentence, in characters.
const MAX_NAME: usize = 100;

/// Shortens a name so that it fits into a sentence.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The values that the shipped templates use.
#[derive(Template)]
#[template(path = "agent/_document.md", escape = "none")]
struct Shipped<'a> {
    text: Text<'a>,
    context: &'a Context,
    lead: bool,
    refused: &'a BTreeSet<Document>,
}

impl Shipped<'_> {
    fn trimmed(&self) -> String {
        self.render().expect("writing to a string does not fail").trim().to_owned()
    }

    fn accepts(&self, document: Document) -> bool {
        !self.refused.contains(&document)
    }

    /// Returns the file that holds the token and the check-in.
    fn credentials_file(&self) -> &'static str {
        if self.accepts(Document::Tools) { "TOOLS.md" } else { "AGENTS.md" }
    }

    /// Returns the file for notes that must be kept. The agent owns the folder of daily notes, so
    /// it exists on every gateway.
    fn memory_file(&self) -> &'static str {
        if self.accepts(Document::Memory) { "`MEMORY.md`" } else { "`memory/lasting.md`" }
    }

    /// Returns the agent's name, or a distinguishable substitute if it is empty.
    fn name(&self) -> String {
        match self.context.agent_name.trim() {
            "" => format!("Agent {}", self.context.agent_id),
            name => shortened(name),
        }
    }

    /// Returns the name as a JSON string that is also safe inside single quotes of a shell.
    fn name_for_shell(&self) -> String {
        let name = match self.context.agent_name.trim() {
            "" => self.name(),
            name => name.to_owned(),
        };
        serde_json::Value::from(name).to_string().replace('\'', "\\u0027")
    }

    /// Returns the words that refer to the person.
    fn person(&self) -> String {
        [&self.context.user_preferred_name, &self.context.user_name]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or_else(|| "the person you work for".to_owned(), |name| shortened(name))
    }

    /// Returns the short facts about the person, each with a label.
    fn person_facts(&self) -> Vec<(&'static str, &str)> {
        let context = self.context;
        [
            ("Name", &context.user_name),
            ("Call them", &context.user_preferred_name),
            ("Pronouns", &context.user_pronouns),
            ("Time zone", &context.user_timezone),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, value)| (label, value.as_str()))
        .collect()
    }

    /// Returns the one whom the agent asks before it continues.
    fn asks(&self) -> String {
        if self.lead || self.context.board.is_none() {
            self.person()
        } else {
            "the lead".to_owned()
        }
    }

    /// Returns the tag under which mission control lists the requests of this kind of agent.
    fn role_tag(&self) -> &'static str {
        match (&self.context.board, self.lead) {
            (None, _) => "agent-main",
            (Some(_), true) => "agent-lead",
            (Some(_), false) => "agent-worker",
        }
    }

    /// Returns whether a board of type `goal` still lacks an objective, success metrics or the
    /// person's confirmation.
    fn goal_is_open(&self) -> bool {
        self.context.board.as_ref().is_some_and(|board| {
            let stated = !board.board_objective.is_empty() && board.board_success_metrics != "{}";
            board.board_type == "goal" && !(stated && board.board_goal_confirmed == "true")
        })
    }

    fn base_url_is_missing(&self) -> bool {
        self.context.base_url == NO_BASE_URL
    }
}

#[cfg(test)]
mod tests;
