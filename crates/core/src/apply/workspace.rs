//! The documents in an agent's workspace.
//!
//! One request for a file shows three things at once: whether the gateway keeps files of that name,
//! whether the file exists, and its content. So a workspace is read in one round trip.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::digest::sha256_hex;
use crate::documents::Document;
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::seeds::Seeds;

/// A gateway's list of a workspace: the size of each document in bytes, or `None` if it is missing.
pub(super) type Listing = BTreeMap<Document, Option<u64>>;

/// The state of a workspace.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// The texts of the files that exist.
    pub(super) present: BTreeMap<Document, String>,
    /// The documents that the gateway does not keep.
    pub(super) refused: BTreeSet<Document>,
    /// The documents that the gateway considers unsafe: links, and files that appear or disappear
    /// while it reads them.
    pub(super) unsafe_ones: BTreeSet<Document>,
}

/// Lists the files of a workspace; returns `None` if the gateway does not know the agent.
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

/// Reads these documents once; returns `None` if the gateway does not know the agent.
pub(super) async fn read(
    call: &Call,
    agent: &str,
    documents: &[Document],
) -> Result<Option<Workspace>, GatewayError> {
    if documents.is_empty() {
        return Ok(Some(Workspace::default()));
    }
    let question = |document: &Document| {
        (Method::FilesGet, json!({ "agentId": agent, "name": document.file_name() }))
    };
    let answers = call.read_all(documents.iter().map(question).collect()).await?;
    let mut workspace = Workspace::default();
    for (document, answer) in documents.iter().copied().zip(answers) {
        match answer {
            Ok(answer) => workspace.present.extend(text_in(&answer)?.map(|text| (document, text))),
            Err(error) => match error.rpc() {
                Some(rpc) if rpc.is_file_unsupported() => workspace.refused.extend([document]),
                Some(rpc) if rpc.is_file_unsafe() => workspace.unsafe_ones.extend([document]),
                Some(rpc) if rpc.is_agent_unknown() => return Ok(None),
                _ => return Err(error),
            },
        }
    }
    Ok(Some(workspace))
}

impl Workspace {
    /// Returns the documents that the gateway keeps.
    pub(super) fn kept(&self) -> Vec<Document> {
        Document::ALL.into_iter().filter(|document| !self.refused.contains(document)).collect()
    }

    /// Merges a later reading of these documents.
    pub(super) fn merge(&mut self, documents: &[Document], later: Self) {
        self.present.retain(|document, _| !documents.contains(document));
        self.present.extend(later.present);
        self.refused.extend(later.refused);
    }

    /// Returns the names and digests of the files that have exactly these texts.
    pub(super) fn digests(
        &self,
        texts: &[(Document, String)],
    ) -> impl Iterator<Item = (String, String)> {
        let as_wanted =
            texts.iter().filter(|(document, text)| self.present.get(document) == Some(text));
        as_wanted.map(|(document, text)| (document.file_name().to_owned(), sha256_hex(text)))
    }

    /// Returns the texts that must be written: those that differ and do not belong to the agent.
    pub(super) fn differing(
        &self,
        texts: Vec<(Document, String)>,
        seeds: &Seeds,
    ) -> Vec<(Document, String)> {
        let has_to_be_written = |(document, text): &(Document, String)| {
            let present = self.present.get(document);
            // A gateway that was stopped during a write leaves an empty file, which contains
            // nothing of the agent's.
            let is_theirs = |present: &String| {
                document.is_agents_own()
                    && !seeds.has(*document, present)
                    && !present.trim().is_empty()
            };
            present != Some(text)
                && !present.is_some_and(is_theirs)
                && !self.refused.contains(document)
        };
        texts.into_iter().filter(has_to_be_written).collect()
    }
}

/// Returns the text of the file in an answer; `None` if there is no such file.
fn text_in(answer: &Value) -> Result<Option<String>, GatewayError> {
    let garbage = |reason: &str| GatewayError::Garbage {
        method: Method::FilesGet,
        reason: reason.to_owned(),
    };
    let file = answer.get("file").ok_or_else(|| garbage("no file in it"))?;
    if file.get("missing").and_then(Value::as_bool) == Some(true) {
        return Ok(None);
    }
    let text = file.get("content").and_then(Value::as_str);
    text.map(|text| Some(text.to_owned())).ok_or_else(|| garbage("a file without content"))
}
