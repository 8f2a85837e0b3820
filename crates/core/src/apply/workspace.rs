//! An agent's documents as they stand in its workspace.
//!
//! Asking for a file tells three things at once: whether the gateway keeps files of that name, whether there is one,
//! and what is in it. So one round trip is the whole reading.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::documents::Document;
use crate::gateway::{Call, GatewayError, Method, RpcError};

/// How long a gateway takes to write the files of a new agent, in ms.
const SEEDING_MS: u64 = 2_000;
/// How long after that a run may have written the first files, in ms.
const CREATION_MS: u64 = 10_000;

/// A file that is there.
pub(super) struct Present {
    pub(super) content: String,
    /// When it was written, by the gateway's clock in ms; none if the gateway does not say.
    pub(super) written_at: Option<u64>,
}

/// What a gateway lists of a workspace: a document's size in bytes, or that it is missing.
pub(super) type Listing = BTreeMap<Document, Option<u64>>;

/// What was found in a workspace.
#[derive(Default)]
pub(super) struct Workspace {
    /// The files that are there.
    pub(super) present: BTreeMap<Document, Present>,
    /// Documents that the gateway does not keep.
    pub(super) refused: BTreeSet<Document>,
    /// Documents that the gateway holds for unsafe: links, and files that come or go while it looks at them.
    pub(super) unsafe_ones: BTreeSet<Document>,
}

/// The files that a gateway lists; none if it does not know the agent.
pub(super) async fn list(call: &Call, agent: &str) -> Result<Option<Listing>, GatewayError> {
    let answer = match call.read(Method::FilesList, json!({ "agentId": agent })).await {
        Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => return Ok(None),
        answer => answer?,
    };
    let files = answer.get("files").and_then(Value::as_array).into_iter().flatten();
    let listed = files.filter_map(|file| {
        let document = Document::from_file_name(file.get("name")?.as_str()?)?;
        let is_missing = file.get("missing").and_then(Value::as_bool).unwrap_or_default();
        Some((document, if is_missing { None } else { Some(file.get("size")?.as_u64()?) }))
    });
    Ok(Some(listed.collect()))
}

/// One reading of these documents; none if the gateway does not know the agent.
pub(super) async fn read(call: &Call, agent: &str, documents: &[Document]) -> Result<Option<Workspace>, GatewayError> {
    if documents.is_empty() {
        return Ok(Some(Workspace::default()));
    }
    let question = |document: &Document| (Method::FilesGet, json!({ "agentId": agent, "name": document.file_name() }));
    let answers = call.read_all(documents.iter().map(question).collect()).await?;
    let mut workspace = Workspace::default();
    for (document, answer) in documents.iter().copied().zip(answers) {
        match answer {
            Ok(answer) => {
                if let Some(file) = present(&answer)? {
                    workspace.present.insert(document, file);
                }
            }
            Err(error) => match error.rpc() {
                Some(rpc) if rpc.is_file_unsupported() => {
                    workspace.refused.insert(document);
                }
                Some(rpc) if rpc.is_file_unsafe() => {
                    workspace.unsafe_ones.insert(document);
                }
                Some(rpc) if rpc.is_agent_unknown() => return Ok(None),
                _ => return Err(error),
            },
        }
    }
    Ok(Some(workspace))
}

impl Workspace {
    /// The documents that the gateway keeps.
    pub(super) fn kept(&self) -> Vec<Document> {
        Document::ALL.into_iter().filter(|document| !self.refused.contains(document)).collect()
    }

    /// Whether the gateway wrote a file when it created the agent, as far as the times of the files show it; for a run
    /// that does not know of the creation, because the one that did was killed. The file is among the oldest ones then, and
    /// BOOTSTRAP, which agents remove on their first day, is there and as old, or was written anew by the killed run.
    fn is_seed(&self, file: &Present) -> bool {
        let bootstrap = self.present.get(&Document::Bootstrap).and_then(|bootstrap| bootstrap.written_at);
        let Some((written_at, bootstrap)) = file.written_at.zip(bootstrap) else { return false };
        let mut others = self.present.values().filter_map(|file| file.written_at);
        let soon_after = bootstrap.checked_sub(written_at).is_some_and(|later| later <= CREATION_MS);
        soon_after && others.all(|other| other.saturating_add(SEEDING_MS) >= written_at)
    }

    /// Takes in a later reading of these documents.
    pub(super) fn take_in(&mut self, documents: &[Document], later: Self) {
        self.present.retain(|document, _| !documents.contains(document));
        self.present.extend(later.present);
        self.refused.extend(later.refused);
    }

    /// The texts that have to be written: those that differ and are not the agent's own.
    pub(super) fn differing(&self, texts: Vec<(Document, String)>, created: Option<u64>) -> Vec<(Document, String)> {
        let has_to_be_written = |(document, text): &(Document, String)| {
            let present = self.present.get(document);
            // Of what is the agent's own, gateways write USER only.
            let is_gateways =
                |file: &Present| file.is_from(created) || *document == Document::User && self.is_seed(file);
            // A gateway that was stopped while it wrote leaves an empty file. There is nothing of the agent's in it.
            let is_theirs =
                |file: &Present| document.is_agents_own() && !is_gateways(file) && !file.content.trim().is_empty();
            let is_theirs = present.is_some_and(is_theirs);
            let differs = present.is_none_or(|file| file.content != *text);
            differs && !is_theirs && !self.refused.contains(document)
        };
        texts.into_iter().filter(has_to_be_written).collect()
    }
}

impl Present {
    /// Whether it was written at that time or later, for sure.
    fn is_from(&self, time: Option<u64>) -> bool {
        self.written_at.zip(time).is_some_and(|(written_at, time)| written_at >= time)
    }
}

fn present(answer: &Value) -> Result<Option<Present>, GatewayError> {
    let garbage = |reason: &str| GatewayError::Garbage { method: Method::FilesGet, reason: reason.to_owned() };
    let file = answer.get("file").ok_or_else(|| garbage("no file in it"))?;
    if file.get("missing").and_then(Value::as_bool) == Some(true) {
        return Ok(None);
    }
    let content = file.get("content").and_then(Value::as_str).ok_or_else(|| garbage("a file without content"))?;
    let written_at = file.get("updatedAtMs").and_then(Value::as_u64);
    Ok(Some(Present { content: content.to_owned(), written_at }))
}
