//! The token that an agent already has, for an update that omits it.
//!
//! Shipped documents, those of the old system and operators' own contain it as a line
//! `AUTH_TOKEN=…`. It is read from the agent's files before anything is written, so that no write
//! can lose it.

use super::workspace::{self, Workspace};
use super::{Desired, FlowError};
use crate::context::KEPT_TOKEN;
use crate::documents::Document;
use crate::gateway::Call;
use crate::outcome::{Failure, Remedy};

/// The files that are searched for the token, in this order; the first one with such a line
/// decides. Files that belong to the agent are not searched, because they contain whatever the
/// agent has noted.
const FILES: [Document; 5] =
    [Document::Tools, Document::Agents, Document::Bootstrap, Document::Heartbeat, Document::Boot];
/// The beginning of the line.
const MARK: &str = "AUTH_TOKEN=";
/// The longest token, in bytes.
const MAX_TOKEN: usize = 512;

/// The reason why there is no token to keep.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoToken {
    /// No file has such a line.
    #[error("the job has no auth_token, and no file of the agent on the gateway holds one")]
    Missing,
    /// The line contains something else, such as a placeholder.
    #[error("the job has no auth_token, and the line AUTH_TOKEN= of the agent's {} holds no \
        token", .0.file_name())]
    Unreadable(Document),
    /// Several such lines differ.
    #[error("the job has no auth_token, and the agent's {} holds more than one", .0.file_name())]
    Ambiguous(Document),
}

impl From<NoToken> for Failure {
    /// Nothing was written, and a line in a file mends it as well as another job: somebody has to
    /// do one of them.
    fn from(error: NoToken) -> Self {
        let remedy = Remedy::backend(
            "give the job its auth_token in the main backend, or correct the line AUTH_TOKEN=… in \
                TOOLS.md of the agent's workspace (AGENTS.md where the gateway keeps no TOOLS.md)",
        );
        Self::new("auth_token_unknown", error.to_string()).with_remedy(remedy)
    }
}

/// Returns the desired state with the token from the agent's files, if the job omits it. `known`
/// are files that were already read.
pub(super) async fn find(
    call: &Call,
    wanted: &Desired,
    known: Option<Workspace>,
) -> Result<Desired, FlowError> {
    let mut wanted = wanted.clone();
    if wanted.keeps_token {
        wanted.context.auth_token = read(call, &wanted.keys.agent_id, known).await?;
    }
    Ok(wanted)
}

async fn read(call: &Call, agent: &str, known: Option<Workspace>) -> Result<String, FlowError> {
    let mut files = known.unwrap_or_default();
    if let Some(token) = token_of(&files)? {
        return Ok(token);
    }
    // If the gateway does not know the agent, there are no files. Unsafe files are reported when
    // the files are read later.
    let unread: Vec<_> =
        FILES.into_iter().filter(|document| !files.present.contains_key(document)).collect();
    let more = workspace::read(call, agent, &unread).await?.unwrap_or_default();
    files.merge(&unread, more);
    token_of(&files)?.ok_or_else(|| NoToken::Missing.into())
}

fn token_of(files: &Workspace) -> Result<Option<String>, NoToken> {
    for document in FILES {
        let Some(text) = files.present.get(&document) else { continue };
        if let Some(token) = token_in(document, text)? {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

/// Returns the token of a text; `None` if it has no such line.
fn token_in(document: Document, text: &str) -> Result<Option<String>, NoToken> {
    let mut found: Option<&str> = None;
    for value in text.lines().filter_map(value) {
        if !is_token(value) {
            return Err(NoToken::Unreadable(document));
        }
        if found.replace(value).is_some_and(|other| other != value) {
            return Err(NoToken::Ambiguous(document));
        }
    }
    Ok(found.map(str::to_owned))
}

/// Returns the value of a token line: plain, in a list, as code, or exported.
fn value(line: &str) -> Option<&str> {
    let line = line.trim();
    let line =
        line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).unwrap_or(line).trim_start();
    let line = line.strip_prefix('`').and_then(|code| code.strip_suffix('`')).unwrap_or(line);
    let value = line.strip_prefix("export ").unwrap_or(line).strip_prefix(MARK)?;
    let quoted = |mark| value.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(value))
}

/// Returns whether a value consists of visible characters and is not a placeholder.
fn is_token(value: &str) -> bool {
    let is_placeholder = value.starts_with(['$', '<', '{']) || value == KEPT_TOKEN;
    (1..=MAX_TOKEN).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic())
        && !is_placeholder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<Option<String>, NoToken> {
        token_in(Document::Tools, text)
    }

    #[test]
    fn the_line_is_read_in_each_form_that_documents_have() {
        let lines = [
            "AUTH_TOKEN=t-1",
            "  AUTH_TOKEN=t-1  ",
            "- `AUTH_TOKEN=t-1`",
            "* AUTH_TOKEN=t-1",
            "export AUTH_TOKEN=\"t-1\"",
            "AUTH_TOKEN='t-1'",
            "AUTH_TOKEN=t-1\r\nAUTH_TOKEN=t-1",
        ];
        for line in lines {
            assert_eq!(
                found(&format!("# TOOLS\n\n{line}\nBOARD_ID=b\n")),
                Ok(Some("t-1".to_owned())),
                "{line}"
            );
        }
        for text in [
            "",
            "# TOOLS",
            "Put AUTH_TOKEN=t into the header",
            "MY_AUTH_TOKEN=t",
            "-H \"X: $AUTH_TOKEN\"",
        ] {
            assert_eq!(found(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_not_surely_the_token_is_not_taken_for_it() {
        let long = "t".repeat(MAX_TOKEN + 1);
        for value in
            ["", "a b", "$TOKEN", "<your token>", "{{ auth_token }}", "t\u{e9}", KEPT_TOKEN, &long]
        {
            let text = format!("AUTH_TOKEN={value}");
            assert_eq!(found(&text), Err(NoToken::Unreadable(Document::Tools)), "{value}");
        }
        let two = "AUTH_TOKEN=a\nAUTH_TOKEN=b";
        assert_eq!(found(two), Err(NoToken::Ambiguous(Document::Tools)));
    }

    #[test]
    fn the_failure_says_what_to_do_and_not_what_was_found() {
        let error = found("AUTH_TOKEN=one\nAUTH_TOKEN=two").expect_err("two");
        let failure = Failure::from(error);
        let told = format!("{failure:?}");
        assert!(["auth_token", "TOOLS.md"].iter().all(|word| failure.message.contains(word)));
        assert!(!["one\n", "two"].iter().any(|secret| told.contains(secret)), "{told}");
        assert!(failure.remedy.text.contains("auth_token"));
    }
}
