//! The files stage: the documents of an agent's workspace.
//!
//! Asking for a file tells three things at once: whether the gateway keeps files of that name, whether there is one,
//! and what is in it. So one round trip is the whole reading.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use tracing::{debug, warn};

use super::{Applier, FlowError, MAX_WRITES, Wanted, by_call, settling};
use crate::documents::Document;
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::outcome::{Change, Report};
use crate::render::{Reader, should_include_bootstrap};

/// How long an agent may stay unknown after its entry was written and read back. Reloads took up to 5 s.
const VISIBLE_WITHIN: Duration = Duration::from_secs(15);
/// After so many vain looks by all runs and so long, the gateway is told to create the agent: it may keep agents elsewhere than in its
/// config. A gateway that is busy with many agents takes its time for each reading.
const CREATE_AFTER: (u32, Duration) = (6, Duration::from_secs(3));

/// How long a gateway takes to write the files of a new agent, in ms.
const SEEDING_MS: u64 = 2_000;
/// How long after that a run may have written the first files, in ms.
const CREATION_MS: u64 = 10_000;

/// A file that is there.
struct Present {
    content: String,
    /// When it was written, by the gateway's clock in ms; none if the gateway does not say.
    written_at: Option<u64>,
}

/// What a gateway lists of a workspace: a document's size in bytes, or that it is missing.
type Listing = BTreeMap<Document, Option<u64>>;

/// What was found in a workspace.
#[derive(Default)]
struct Workspace {
    /// The files that are there.
    present: BTreeMap<Document, Present>,
    /// Documents that the gateway does not keep.
    refused: BTreeSet<Document>,
}

/// Which documents this gateway refuses, found out with its default agent before anything is written; empty if it
/// cannot be told. Remembered for the gateway.
pub(super) async fn refused(call: &Call) -> Result<BTreeSet<Document>, GatewayError> {
    if let Some(refused) = call.client().capabilities().refused_files {
        return Ok(refused);
    }
    // One asks for all.
    let _asking = call.client().asking.lock().await;
    if let Some(refused) = call.client().capabilities().refused_files {
        return Ok(refused);
    }
    let agent = call.default_agent().to_owned();
    match read(call, &agent, &Document::ALL).await? {
        Some(workspace) => {
            call.client().learn(|known| known.refused_files = Some(workspace.refused.clone()));
            Ok(workspace.refused)
        }
        None => Ok(BTreeSet::new()),
    }
}

/// Makes the agent's files as wanted: missing ones and changed ones are written, then read back. An agent that was just
/// registered usually has none, so a list comes first. `created` is when this run has created the agent by call, see
/// [`by_call::create`]: what was written from then on is not the agent's own.
pub(super) async fn settle(
    applier: &Applier,
    call: &Call,
    wanted: &Wanted,
    (is_new, mut created): (bool, Option<u64>),
    report: &mut Report,
) -> Result<(), FlowError> {
    let mut found = Workspace::of(call).await?;
    let kept = found.kept();
    // Gateways with entries list some of the files only.
    let by_list = !call.has_ownership();
    found.take_in(&kept, look(call, wanted, &kept, is_new && by_list, &mut created, report).await?);
    let bootstrap = wants_bootstrap(wanted, &found);
    for round in 0..=MAX_WRITES {
        let texts = render(applier, wanted, &found.refused, bootstrap)?;
        if round == 0 {
            mirror(applier, wanted, &texts);
            found.report_refused(report);
        }
        let missing = found.differing(texts, created);
        if missing.is_empty() {
            return Ok(());
        }
        let documents: Vec<_> = missing.iter().map(|(document, _)| *document).collect();
        if round == MAX_WRITES {
            let what = documents.iter().map(|document| document.file_name()).collect::<Vec<_>>().join(", ");
            return Err(GatewayError::NotKept { what, rounds: round }.into());
        }
        if round > 0 {
            sleep(settling(round)).await;
        }
        let refused_on_write = found.write(call, wanted, &missing, report).await?;
        let new = if by_list { found.confirm(call, wanted, &missing).await? } else { Workspace::default() };
        let rest: Vec<_> = documents.iter().copied().filter(|document| !new.present.contains_key(document)).collect();
        found.take_in(&documents, new);
        if !rest.is_empty() {
            found.take_in(&rest, look(call, wanted, &rest, false, &mut created, report).await?);
        }
        for document in refused_on_write {
            found.refused.insert(document);
            report.skip(format!("file {}", document.file_name()), "this gateway does not take it");
        }
    }
    unreachable!("the last round returns")
}

/// What [`settle`] would write: each file with what is there now, if anything. A gateway shows the files of agents that
/// it knows only.
pub(super) async fn plan(
    applier: &Applier,
    call: &Call,
    wanted: &Wanted,
    is_known: bool,
    report: &mut Report,
) -> Result<Vec<(Document, Option<String>, String)>, FlowError> {
    let mut found = Workspace::of(call).await?;
    let kept = found.kept();
    if is_known && let Some(workspace) = read(call, &wanted.keys.agent_id, &kept).await? {
        found.take_in(&kept, workspace);
    }
    found.report_refused(report);
    let texts = render(applier, wanted, &found.refused, wants_bootstrap(wanted, &found))?;
    let with_present =
        |(document, text)| (document, found.present.get(&document).map(|file| file.content.clone()), text);
    Ok(found.differing(texts, None).into_iter().map(with_present).collect())
}

fn wants_bootstrap(wanted: &Wanted, found: &Workspace) -> bool {
    let kept = Document::ALL.into_iter().filter(|document| !found.refused.contains(document));
    let listed = kept.map(|document| {
        (document.file_name().to_owned(), json!({ "missing": !found.present.contains_key(&document) }))
    });
    should_include_bootstrap(&wanted.options, &listed.collect())
}

/// The texts of the documents that the gateway keeps, and of the agent's own for the mirror.
pub(super) fn render(
    applier: &Applier,
    wanted: &Wanted,
    refused: &BTreeSet<Document>,
    bootstrap: bool,
) -> Result<Vec<(Document, String)>, FlowError> {
    let reader = Reader { agent: &wanted.agent, context: &wanted.context, refused };
    let mut texts = Vec::new();
    for document in Document::ALL {
        let always = matches!(document, Document::User | Document::SelfImage | Document::Autonomy);
        if (refused.contains(&document) && !always) || (document == Document::Bootstrap && !bootstrap) {
            continue;
        }
        if let Some(text) = applier.renderer.render(document, reader)? {
            texts.push((document, text));
        }
    }
    Ok(texts)
}

/// Local copies are a convenience: what goes wrong with them is told, and never fails a job.
fn mirror(applier: &Applier, wanted: &Wanted, texts: &[(Document, String)]) {
    for (document, text) in texts.iter().filter(|(document, _)| document.is_agents_own()) {
        if let Err(error) = applier.mirror.write_missing(&wanted.keys.workspace_path, document.file_name(), text) {
            warn!(%error, file = document.file_name(), "local mirror not written");
        }
    }
}

/// Reads these documents, waiting until the gateway knows the agent. Of a new agent, those that a list says are missing are
/// not asked for, but for the agent's own: no list is believed that would have these overwritten.
async fn look(
    call: &Call,
    wanted: &Wanted,
    documents: &[Document],
    is_new: bool,
    created: &mut Option<u64>,
    report: &mut Report,
) -> Result<Workspace, GatewayError> {
    let agent = &wanted.keys.agent_id;
    if !is_new && let Some(workspace) = read(call, agent, documents).await? {
        return Ok(workspace);
    }
    let desk = &call.client().desk;
    let (began, before) = (Instant::now(), desk.looks());
    let mut asked = false;
    for reading in 0_u32.. {
        let looks = desk.looks();
        // A list costs less than the files while the agent is not known.
        let listing = list(call, agent).await?;
        desk.tell(listing.is_some());
        if let Some(listing) = listing {
            let is_missing =
                |document: Document| is_new && !document.is_agents_own() && listing.get(&document) == Some(&None);
            let asked_for: Vec<_> = documents.iter().copied().filter(|document| !is_missing(*document)).collect();
            if let Some(workspace) = read(call, agent, &asked_for).await? {
                return Ok(workspace);
            }
        }
        if began.elapsed() > VISIBLE_WITHIN {
            break;
        }
        if !asked && looks.vain - before.vain >= CREATE_AFTER.0 && began.elapsed() > CREATE_AFTER.1 {
            asked = true;
            let _writer = desk.pen.lock().await;
            *created = by_call::create(call, wanted, report).await?;
            continue;
        }
        desk.look_out(looks, settling(reading)).await;
    }
    Err(GatewayError::NotKept { what: format!("agent {agent}"), rounds: 1 })
}

/// The files that a gateway lists; none if it does not know the agent.
async fn list(call: &Call, agent: &str) -> Result<Option<Listing>, GatewayError> {
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
async fn read(call: &Call, agent: &str, documents: &[Document]) -> Result<Option<Workspace>, GatewayError> {
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
                Some(rpc) if rpc.is_agent_unknown() => return Ok(None),
                _ => return Err(error),
            },
        }
    }
    Ok(Some(workspace))
}

impl Workspace {
    /// An unread one of this gateway.
    async fn of(call: &Call) -> Result<Self, GatewayError> {
        Ok(Self { refused: refused(call).await?, ..Self::default() })
    }

    /// The documents that the gateway keeps.
    fn kept(&self) -> Vec<Document> {
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
        soon_after && others.all(|other| other + SEEDING_MS >= written_at)
    }

    fn report_refused(&self, report: &mut Report) {
        for document in Document::ALL.iter().filter(|document| self.refused.contains(document)) {
            report.skip(format!("file {}", document.file_name()), "this gateway does not keep it");
        }
    }

    /// Takes in a later reading of these documents.
    fn take_in(&mut self, documents: &[Document], later: Self) {
        self.present.retain(|document, _| !documents.contains(document));
        self.present.extend(later.present);
        self.refused.extend(later.refused);
    }

    /// Writes files at once; returns those that the gateway refused by name.
    async fn write(
        &self,
        call: &Call,
        wanted: &Wanted,
        files: &[(Document, String)],
        report: &mut Report,
    ) -> Result<Vec<Document>, GatewayError> {
        let agent = &wanted.keys.agent_id;
        let request = |(document, text): &(Document, String)| {
            (Method::FilesSet, json!({ "agentId": agent, "name": document.file_name(), "content": text }))
        };
        let answers = call.write_all(files.iter().map(request).collect()).await?;
        let mut refused = Vec::new();
        for ((document, text), answer) in files.iter().zip(answers) {
            match answer {
                Err(error) if error.rpc().is_some_and(RpcError::is_file_unsupported) => {
                    refused.push(*document);
                    continue;
                }
                // The next reading tells what was written.
                Err(error) if error.is_connection_lost() => {
                    debug!(method = ?error.method(), "reading back after an unanswered file write");
                }
                Err(error) if error.rpc().is_some_and(RpcError::is_agent_unknown) => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            let before = self.present.get(document).map(|file| file.content.as_str());
            report.note(Change::of_file(*document, before, text));
        }
        Ok(refused)
    }

    /// The files that were missing and are there now, each in its size: then what was written is in them. One list tells of
    /// all.
    async fn confirm(
        &self,
        call: &Call,
        wanted: &Wanted,
        written: &[(Document, String)],
    ) -> Result<Self, GatewayError> {
        let new: Vec<_> = written.iter().filter(|(document, _)| !self.present.contains_key(document)).collect();
        let listing = match new.len() {
            0 | 1 => Listing::new(),
            _ => list(call, &wanted.keys.agent_id).await?.unwrap_or_default(),
        };
        let is_there =
            |(document, text): &&&(Document, String)| listing.get(document) == Some(&Some(text.len() as u64));
        let there = new.iter().filter(is_there);
        let file =
            |(document, text): &&(Document, String)| (*document, Present { content: text.clone(), written_at: None });
        Ok(Self { present: there.map(file).collect(), refused: BTreeSet::new() })
    }

    /// The texts that have to be written: those that differ and are not the agent's own.
    fn differing(&self, texts: Vec<(Document, String)>, created: Option<u64>) -> Vec<(Document, String)> {
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
