//! An agent's documents as they stand in its workspace.
//!
//! Asking for a file tells three things at once: whether the gateway keeps files of that name, whether there is one,
//! and what is in it. So one round trip is the whole reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::documents::Document;
use crate::gateway::{Call, GatewayError, Method, RpcError};

/// The SHA-256 of each USER.md that gateways write into a new workspace, from 2026.2.9 to 2026.9.6. Of the
/// documents that are the agent's own, they write this one only. Times prove nothing: in a workspace that
/// was restored from a backup all files have one, also those that a person has written into.
const USER_SEEDS: [&str; 4] = [
    "178a5807bd2e6ace25b80a366f0f7d8d3f354a47f577c4ab0092397456b8738f",
    "e418ca9a680553b3ad8f54aecb0d403330810bb77826ab5251cc1dc13368fe16",
    "5f8e1a04861b95b659a907e3ad9ae449c45713246d2168a26ec92c8f1e89ff40",
    "46e0d8c937df7b104de97a23c58537292672654194879ca9f76b02075e022555",
];

/// A file that is there.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) content: String,
}

/// What a gateway lists of a workspace: a document's size in bytes, or that it is missing.
pub(super) type Listing = BTreeMap<Document, Option<u64>>;

/// What was found in a workspace.
#[derive(Debug, Default)]
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

    /// Takes in a later reading of these documents.
    pub(super) fn take_in(&mut self, documents: &[Document], later: Self) {
        self.present.retain(|document, _| !documents.contains(document));
        self.present.extend(later.present);
        self.refused.extend(later.refused);
    }

    /// The texts that have to be written: those that differ and are not the agent's own.
    pub(super) fn differing(&self, texts: Vec<(Document, String)>) -> Vec<(Document, String)> {
        let has_to_be_written = |(document, text): &(Document, String)| {
            let present = self.present.get(document);
            // A gateway that was stopped while it wrote leaves an empty file. There is nothing of the agent's in it.
            let is_theirs = |file: &Present| {
                document.is_agents_own() && !file.is_seed(*document) && !file.content.trim().is_empty()
            };
            let is_theirs = present.is_some_and(is_theirs);
            let differs = present.is_none_or(|file| file.content != *text);
            differs && !is_theirs && !self.refused.contains(document)
        };
        texts.into_iter().filter(has_to_be_written).collect()
    }
}

impl Present {
    /// Whether it is what the gateway itself writes into a new workspace.
    fn is_seed(&self, document: Document) -> bool {
        document == Document::User && USER_SEEDS.contains(&digest(&self.content).as_str())
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn present(answer: &Value) -> Result<Option<Present>, GatewayError> {
    let garbage = |reason: &str| GatewayError::Garbage { method: Method::FilesGet, reason: reason.to_owned() };
    let file = answer.get("file").ok_or_else(|| garbage("no file in it"))?;
    if file.get("missing").and_then(Value::as_bool) == Some(true) {
        return Ok(None);
    }
    let content = file.get("content").and_then(Value::as_str).ok_or_else(|| garbage("a file without content"))?;
    Ok(Some(Present { content: content.to_owned() }))
}
