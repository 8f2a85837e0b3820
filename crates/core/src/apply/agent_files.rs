//! The files stage: writes an agent's documents as wanted.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::time::{Duration, Instant, sleep};
use tracing::{debug, warn};

use super::workspace::{Workspace, list, read};
use super::{Applier, Desired, Flow, FlowError, MAX_WRITES, settling};
use crate::documents::{self, Document};
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::outcome::Change;
use crate::render::should_include_bootstrap;

/// The time for which an agent may stay unknown after its entry was written and read back. Reloads
/// took up to 5 s.
const VISIBLE_WITHIN: Duration = Duration::from_secs(15);

/// Returns the documents that this gateway refuses, probed with its default agent before anything
/// is written; empty if that is not possible. The result is remembered for the gateway.
pub(super) async fn refused(call: &Call) -> Result<BTreeSet<Document>, GatewayError> {
    if let Some(refused) = known_refused(call) {
        return Ok(refused);
    }
    // One run probes on behalf of all.
    let _probing = call.client().probing.lock().await;
    if let Some(refused) = known_refused(call) {
        return Ok(refused);
    }
    let Some(Workspace { refused, .. }) = read(call, call.default_agent(), &Document::ALL).await?
    else {
        return Ok(BTreeSet::new());
    };
    let names = refused.iter().map(|document| document.file_name().to_owned()).collect();
    call.client().learn(|known| known.refused_files = Some(names));
    Ok(refused)
}

/// Returns the documents that the gateway is known to refuse; `None` until it was asked.
pub(super) fn known_refused(call: &Call) -> Option<BTreeSet<Document>> {
    let names = call.client().capabilities().refused_files?;
    Some(names.iter().filter_map(|name| Document::from_file_name(name)).collect())
}

/// Writes missing and changed files, then reads them back. A new agent usually has no files, so its
/// files are listed first.
pub(super) async fn converge(
    flow: &mut Flow<'_>,
    wanted: &Desired,
    is_new: bool,
) -> Result<(), FlowError> {
    let Flow { applier, call, .. } = *flow;
    let mut found = Workspace::of(call).await?;
    let kept = found.kept();
    // Gateways with entries list only some of the files.
    let by_list = !call.has_ownership();
    found.merge(&kept, read_when_known(call, wanted, &kept, is_new && by_list).await?);
    let bootstrap = wants_bootstrap(wanted, &found);
    let (mut round, mut missing_before) = (0, usize::MAX);
    loop {
        let texts = render(applier, wanted, &found.refused, bootstrap)?;
        if round == 0 {
            mirror(applier, wanted, &texts);
            found.report_refused(flow);
            found.report_long(flow, &texts);
        }
        flow.applied.files.extend(found.digests(&texts));
        let mut missing = found.differing(texts, &applier.seeds);
        if missing.is_empty() {
            return Ok(());
        }
        // A round with progress does not count: some connections are cut after every few requests.
        if missing.len() < missing_before {
            round = round.min(1);
        }
        missing_before = missing.len();
        if round == MAX_WRITES {
            let names: Vec<_> = missing.iter().map(|(document, _)| document.file_name()).collect();
            return Err(GatewayError::NotKept { what: names.join(", "), rounds: round }.into());
        }
        if round > 1 {
            // All writes were lost together; a single one may get through.
            missing.truncate(1);
        }
        if round > 0 {
            sleep(settling(round)).await;
        }
        let refused_on_write = match found.write(flow, wanted, &missing).await {
            Err(error) if error.rpc().is_some_and(RpcError::is_file_unsafe) => {
                if round > 1 {
                    return Err(unsafe_among(wanted, &missing, &error).into());
                }
                // A file that cannot be read either is found by the next reading. A dangling link
                // looks like a missing file.
                Vec::new()
            }
            answer => answer?,
        };
        let mut unread: Vec<_> = missing.iter().map(|(document, _)| *document).collect();
        if by_list {
            let new = found.confirm(call, wanted, &missing).await?;
            let (shown, rest): (Vec<_>, Vec<_>) =
                unread.into_iter().partition(|document| new.present.contains_key(document));
            found.merge(&shown, new);
            unread = rest;
        }
        if !unread.is_empty() {
            found.merge(&unread, read_when_known(call, wanted, &unread, false).await?);
        }
        for document in refused_on_write {
            found.refused.insert(document);
            flow.skip(format!("file {}", document.file_name()), "this gateway does not accept it");
        }
        round += 1;
    }
}

/// Returns what [`converge`] would write. A gateway shows the files only of agents that it knows.
pub(super) async fn plan(
    flow: &mut Flow<'_>,
    wanted: &Desired,
    is_known: bool,
) -> Result<Vec<Change>, FlowError> {
    let Flow { applier, call, .. } = *flow;
    let mut found = Workspace::of(call).await?;
    let kept = found.kept();
    if is_known && let Some(workspace) = read_safe(call, wanted, &kept).await? {
        found.merge(&kept, workspace);
    }
    found.report_refused(flow);
    let texts = render(applier, wanted, &found.refused, wants_bootstrap(wanted, &found))?;
    found.report_long(flow, &texts);
    let missing = found.differing(texts, &applier.seeds);
    Ok(missing.iter().map(|(document, text)| found.change(*document, text)).collect())
}

fn wants_bootstrap(wanted: &Desired, found: &Workspace) -> bool {
    let listed = found.kept().into_iter().map(|document| {
        let is_missing = !found.present.contains_key(&document);
        (document.file_name().to_owned(), json!({ "missing": is_missing }))
    });
    should_include_bootstrap(&wanted.options, &listed.collect())
}

/// Renders the documents that the gateway keeps, and the agent's own for the mirror.
pub(super) fn render(
    applier: &Applier,
    wanted: &Desired,
    refused: &BTreeSet<Document>,
    bootstrap: bool,
) -> Result<Vec<(Document, String)>, FlowError> {
    let reader = wanted.reader(refused);
    let mut texts = Vec::new();
    for document in Document::ALL {
        let always = matches!(document, Document::User | Document::SelfImage | Document::Autonomy);
        if (refused.contains(&document) && !always)
            || (document == Document::Bootstrap && !bootstrap)
        {
            continue;
        }
        if let Some(text) = applier.renderer.render(document, reader)? {
            texts.push((document, text));
        }
    }
    Ok(texts)
}

/// Writes local copies. They are a convenience, so an error is logged and never fails a job.
fn mirror(applier: &Applier, wanted: &Desired, texts: &[(Document, String)]) {
    for (document, text) in texts.iter().filter(|(document, _)| document.is_agents_own()) {
        if let Err(error) =
            applier.mirror.write_missing(&wanted.keys.workspace_path, document.file_name(), text)
        {
            warn!(%error, file = document.file_name(), "local mirror not written");
        }
    }
}

/// Reads these documents, and waits until the gateway knows the agent. For a new agent, documents
/// that a list reports as missing are not requested, except the agent's own: a wrong list must not
/// cause those to be overwritten.
async fn read_when_known(
    call: &Call,
    wanted: &Desired,
    documents: &[Document],
    is_new: bool,
) -> Result<Workspace, GatewayError> {
    let agent = &wanted.keys.agent_id;
    if !is_new && let Some(workspace) = read_safe(call, wanted, documents).await? {
        return Ok(workspace);
    }
    let group_commit = &call.client().group_commit;
    let began = Instant::now();
    for reading in 0_u32.. {
        let before = group_commit.known_agents();
        // A list costs less than the files while the agent is unknown.
        if let Some(listing) = list(call, agent).await? {
            let is_missing = |document: Document| {
                is_new && !document.is_agents_own() && listing.get(&document) == Some(&None)
            };
            let asked_for: Vec<_> =
                documents.iter().copied().filter(|document| !is_missing(*document)).collect();
            if let Some(workspace) = read_safe(call, wanted, &asked_for).await? {
                group_commit.note_known_agent();
                return Ok(workspace);
            }
        }
        if began.elapsed() > VISIBLE_WITHIN {
            break;
        }
        group_commit.wait_turn(before, settling(reading)).await;
    }
    // Creating the agent would overwrite the config that has it with the one that the gateway uses.
    Err(GatewayError::NotTakenIn { agent: agent.clone() })
}

/// Reads these documents, and repeats that for a while if the gateway considers one of them unsafe:
/// a file that appears or disappears meanwhile settles, a link remains.
async fn read_safe(
    call: &Call,
    wanted: &Desired,
    documents: &[Document],
) -> Result<Option<Workspace>, GatewayError> {
    for reading in 0.. {
        let found = read(call, &wanted.keys.agent_id, documents).await?;
        let Some(document) = found.as_ref().and_then(|found| found.unsafe_ones.first()) else {
            return Ok(found);
        };
        if reading == MAX_WRITES {
            return Err(unsafe_file(wanted, *document));
        }
        sleep(settling(reading)).await;
    }
    unreachable!("the last reading returns")
}

fn unsafe_file(wanted: &Desired, document: Document) -> GatewayError {
    let path = format!("{}/{}", wanted.keys.workspace_path, document.file_name());
    GatewayError::UnsafeFile { path }
}

/// Returns the error for the file that the gateway names as unsafe; if it names none, for the first
/// one.
fn unsafe_among(
    wanted: &Desired,
    files: &[(Document, String)],
    error: &GatewayError,
) -> GatewayError {
    let is_meant = |(document, _): &&(Document, String)| {
        error.rpc().is_some_and(|rpc| rpc.message.contains(document.file_name()))
    };
    let (document, _) = files.iter().find(is_meant).unwrap_or(&files[0]);
    unsafe_file(wanted, *document)
}

impl Workspace {
    /// Creates a workspace of this gateway, with no files read yet.
    async fn of(call: &Call) -> Result<Self, GatewayError> {
        Ok(Self { refused: refused(call).await?, ..Self::default() })
    }

    fn report_refused(&self, flow: &mut Flow<'_>) {
        for document in Document::ALL.iter().filter(|document| self.refused.contains(document)) {
            flow.skip(format!("file {}", document.file_name()), "this gateway does not keep it");
        }
    }

    /// Reports files that the gateway shows its agent only in part. Files that the agent has made
    /// its own are left to the agent.
    fn report_long(&self, flow: &mut Flow<'_>, texts: &[(Document, String)]) {
        let limit = flow.call.client().capabilities().shown_chars;
        for (document, text) in texts {
            let is_its_own = document.is_agents_own() && self.present.contains_key(document);
            let is_written = !is_its_own && !self.refused.contains(document);
            if let Some(why) = documents::too_long(*document, text, limit).filter(|_| is_written) {
                flow.skip(format!("middle of {}", document.file_name()), why);
            }
        }
    }

    /// Returns the change of a file to this text.
    fn change(&self, document: Document, text: &str) -> Change {
        Change::of_file(document, self.present.get(&document).map(String::as_str), text)
    }

    /// Writes the files at once; returns those that the gateway refused by name.
    async fn write(
        &self,
        flow: &mut Flow<'_>,
        wanted: &Desired,
        files: &[(Document, String)],
    ) -> Result<Vec<Document>, GatewayError> {
        let request = |(document, text): &(Document, String)| {
            let (agent, name) = (&wanted.keys.agent_id, document.file_name());
            (Method::FilesSet, json!({ "agentId": agent, "name": name, "content": text }))
        };
        let answers = flow.call.write_all(files.iter().map(request).collect()).await?;
        let mut refused = Vec::new();
        for ((document, text), answer) in files.iter().zip(answers) {
            match answer {
                Err(error) if error.rpc().is_some_and(RpcError::is_file_unsupported) => {
                    refused.push(*document);
                    continue;
                }
                // The next reading shows what was written.
                Err(error) if error.is_connection_lost() => {
                    debug!(method = ?error.method(), "reading back after an unanswered file write");
                }
                Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => {}
                answer => drop(answer?),
            }
            flow.note(self.change(*document, text));
        }
        Ok(refused)
    }

    /// Returns the new files that a list shows with the written size, which proves their content.
    /// One list covers all files.
    async fn confirm(
        &self,
        call: &Call,
        wanted: &Desired,
        written: &[(Document, String)],
    ) -> Result<Self, GatewayError> {
        let mut new = written.to_vec();
        new.retain(|(document, _)| !self.present.contains_key(document));
        if new.len() < 2 {
            return Ok(Self::default());
        }
        let listing = list(call, &wanted.keys.agent_id).await?.unwrap_or_default();
        new.retain(|(document, text)| listing.get(document) == Some(&Some(text.len() as u64)));
        Ok(Self { present: new.into_iter().collect(), ..Self::default() })
    }
}
