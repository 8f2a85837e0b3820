//! From an agent to its documents: which text each file has, and which files there are.
//!
//! A text comes from the first of these that has one: the agent's own template (IDENTITY and SOUL), a file of the
//! operator's directory, the shipped texts. MEMORY has two lines to fall back on. A text that comes out empty is not
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::documents::{self, Document, render_shipped};
use crate::model::{Action, Agent, Options};
use crate::overrides::{Overrides, TemplateError};
use crate::python;

/// What MEMORY starts with where nothing else is provided for.
const EMPTY_MEMORY: &str = "# MEMORY\n\nBootstrap pending.\n";

/// Where texts come from. Changed by the operator, in the worker's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatesConfig {
    /// Directory whose files replace shipped texts by name.
    pub dir: Option<PathBuf>,
    /// Whether shipped texts are used for what the directory does not have; default true.
    pub shipped: bool,
}

impl Default for TemplatesConfig {
    fn default() -> Self {
        Self { dir: None, shipped: true }
    }
}

/// For whom documents are made.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The agent.
    pub agent: &'a Agent,
    /// What its documents can show; decides by its board whether this is a board agent or a main agent.
    pub context: &'a Context,
    /// Documents that the gateway does not take; the shipped AGENTS carries their essentials.
    pub refused: &'a BTreeSet<Document>,
}

/// Makes documents.
#[derive(Debug, Clone)]
pub struct Renderer {
    overrides: Overrides,
    shipped: bool,
}

impl Renderer {
    /// A renderer that takes texts from where the configuration says.
    #[must_use]
    pub fn new(config: TemplatesConfig) -> Self {
        Self { overrides: Overrides::new(config.dir), shipped: config.shipped }
    }

    /// All files of a workspace, by name: those of `names` that have a text. BOOTSTRAP only with `include_bootstrap`.
    ///
    /// A name that is no document's is served from the operator's directory. Blocks on the disk.
    pub fn render_all(
        &self,
        names: &BTreeSet<String>,
        reader: Reader<'_>,
        include_bootstrap: bool,
    ) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut files = BTreeMap::new();
        for name in names {
            let text = match Document::from_file_name(name) {
                Some(Document::Bootstrap) if !include_bootstrap => None,
                Some(document) => self.render(document, reader)?,
                None => self.overrides.render_file(name, reader.context)?.filter(|text| !text.is_empty()),
            };
            files.extend(text.map(|text| (name.clone(), text)));
        }
        Ok(files)
    }

    /// One document; none where there is no text for it or it comes out empty. Blocks on the disk.
    pub fn render(&self, document: Document, reader: Reader<'_>) -> Result<Option<String>, TemplateError> {
        let text = match self.render_override(document, reader)? {
            Some(text) => text,
            None if self.shipped => {
                render_shipped(document, reader.context, reader.agent.is_board_lead, reader.refused)
            }
            None if document == Document::Memory => EMPTY_MEMORY.to_owned(),
            None => return Ok(None),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The heartbeat's duties as a prompt for the gateway's config, where the gateway refuses HEARTBEAT: the operator's
    /// text if there is one, else a short shipped one that holds no token. None where shipped texts are off.
    pub fn heartbeat_prompt(&self, reader: Reader<'_>) -> Result<Option<String>, TemplateError> {
        let shipped = || self.shipped.then(|| documents::heartbeat_prompt(reader.context, reader.agent.is_board_lead));
        let text = self.render_override(Document::Heartbeat, reader)?.or_else(shipped);
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn render_override(&self, document: Document, reader: Reader<'_>) -> Result<Option<String>, TemplateError> {
        let own = match document {
            Document::Identity => ("agent.identity_template", &reader.agent.identity_template),
            Document::Soul => ("agent.soul_template", &reader.agent.soul_template),
            _ => ("", &None),
        };
        if let (name, Some(template)) = own
            && !template.is_empty()
        {
            return self.overrides.render_str(name, template, reader.context).map(Some);
        }
        for name in file_names(document, reader) {
            if let Some(text) = self.overrides.render_file(name, reader.context)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

/// Whether BOOTSTRAP is written: always, except in an update without `force_bootstrap` when the gateway lists no file
/// at all or reports BOOTSTRAP as missing; then the agent has had it and removed it.
///
/// `existing` is what `agents.files.list` said, by file name.
#[must_use]
pub fn should_include_bootstrap(options: &Options, existing: &Map<String, Value>) -> bool {
    if options.action != Action::Update || options.force_bootstrap {
        return true;
    }
    let missing = existing.get(Document::Bootstrap.file_name()).and_then(|entry| entry.get("missing"));
    !existing.is_empty() && !missing.is_some_and(python::is_truthy)
}

/// The files of the operator's directory that can replace a document, best first.
fn file_names(document: Document, reader: Reader<'_>) -> &'static [&'static str] {
    let is_main = reader.context.board.is_none();
    match document {
        Document::Agents if is_main => &["MAIN_AGENTS.md"],
        Document::Heartbeat if is_main => &["MAIN_HEARTBEAT.md"],
        Document::User if is_main => &["MAIN_USER.md"],
        Document::Boot if is_main => &["MAIN_BOOT.md"],
        Document::Tools if is_main => &["MAIN_TOOLS.md"],
        Document::Heartbeat if reader.agent.is_board_lead => &["HEARTBEAT_LEAD.md", "HEARTBEAT.md"],
        Document::Heartbeat => &["HEARTBEAT_AGENT.md", "HEARTBEAT.md"],
        Document::Agents => &["AGENTS.md"],
        Document::Autonomy => &["AUTONOMY.md"],
        Document::Boot => &["BOOT.md"],
        Document::Bootstrap => &["BOOTSTRAP.md"],
        Document::Identity => &["IDENTITY.md"],
        Document::Memory => &["MEMORY.md"],
        Document::SelfImage => &["SELF.md"],
        Document::Soul => &["SOUL.md"],
        Document::TaskSoul => &["TASK_SOUL.md"],
        Document::Tools => &["TOOLS.md"],
        Document::User => &["USER.md"],
    }
}
