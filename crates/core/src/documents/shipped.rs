//! The shipped texts: templates under `templates/agent/`, compiled in.
//!
//! Real gateways refuse some documents, and which ones depends on their version. So AGENTS is
//! rendered knowing what is refused: it carries the essentials of that itself, and no text names a
//! file that the gateway does not take.

use std::collections::BTreeSet;

use askama::Template;

use super::Document;
use crate::context::{Context, NO_BASE_URL};

/// The shipped text of a document, trimmed at both ends.
///
/// `lead` chooses between the two kinds of board agents; a context without a board is that of a
/// gateway's main agent. `refused` are the documents that this gateway does not take: AGENTS
/// carries the essentials of those, and with TOOLS among them it holds the agent's token, which no
/// other document but TOOLS ever does.
#[must_use]
pub fn render_shipped(
    document: Document,
    context: &Context,
    lead: bool,
    refused: &BTreeSet<Document>,
) -> String {
    Shipped { text: Text::Document(document), context, lead, refused }.trimmed()
}

/// The heartbeat duties as a prompt for the config of a gateway that refuses HEARTBEAT; under 1,500
/// characters.
///
/// Depends on the kind of agent alone: it holds no secret, since a config has more readers than a
/// workspace, and no change of a board makes a config write.
#[must_use]
pub fn heartbeat_prompt(context: &Context, lead: bool) -> String {
    let refused = BTreeSet::from([Document::Heartbeat, Document::Tools]);
    Shipped { text: Text::HeartbeatPrompt, context, lead, refused: &refused }.trimmed()
}

/// The message that makes an agent begin. `verb` says what was done with it, such as `provisioned`;
/// `refused` are the documents that this gateway does not take. It holds no secret.
#[must_use]
pub fn start_message(
    context: &Context,
    lead: bool,
    verb: &str,
    refused: &BTreeSet<Document>,
) -> String {
    Shipped { text: Text::Wake(verb), context, lead, refused }.trimmed()
}

/// Which text is wanted.
enum Text<'a> {
    Document(Document),
    HeartbeatPrompt,
    Wake(&'a str),
}

/// The most characters of a name within a sentence.
const MAX_NAME: usize = 100;

/// A name as a sentence can hold it.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Everything that the templates see.
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

    /// The file that holds the token and the check-in.
    fn credentials_file(&self) -> &'static str {
        if self.accepts(Document::Tools) { "TOOLS.md" } else { "AGENTS.md" }
    }

    /// The file for what must not be forgotten. The folder of daily notes is the agent's own, so it
    /// exists everywhere.
    fn memory_file(&self) -> &'static str {
        if self.accepts(Document::Memory) { "`MEMORY.md`" } else { "`memory/lasting.md`" }
    }

    /// The agent's name; a name that is empty is replaced by something that can be told apart.
    fn name(&self) -> String {
        match self.context.agent_name.trim() {
            "" => format!("Agent {}", self.context.agent_id),
            name => shortened(name),
        }
    }

    /// The name as a JSON string that also survives single quotes of a shell.
    fn name_for_shell(&self) -> String {
        let name = match self.context.agent_name.trim() {
            "" => self.name(),
            name => name.to_owned(),
        };
        serde_json::Value::from(name).to_string().replace('\'', "\\u0027")
    }

    /// How to speak of the person.
    fn person(&self) -> String {
        [&self.context.user_preferred_name, &self.context.user_name]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or_else(|| "the person you work for".to_owned(), |name| shortened(name))
    }

    /// What is known about the person in a word or two, labelled.
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

    /// Whom the agent asks before it goes further.
    fn asks(&self) -> String {
        if self.lead || self.context.board.is_none() {
            self.person()
        } else {
            "the lead".to_owned()
        }
    }

    /// The tag under which mission control lists the requests of this kind of agent.
    fn role_tag(&self) -> &'static str {
        match (&self.context.board, self.lead) {
            (None, _) => "agent-main",
            (Some(_), true) => "agent-lead",
            (Some(_), false) => "agent-worker",
        }
    }

    /// Whether a board of type `goal` still lacks an objective, success metrics or a person's word.
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
