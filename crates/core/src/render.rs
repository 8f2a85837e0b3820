//! Rendering of an agent's documents: the text of each file, and the set of files.
//!
//! A text comes from the first of these sources that has one: the agent's own template (IDENTITY
//! and SOUL), a file of the operator's directory, the shipped texts. MEMORY has a default of two
//! lines. An empty text is not written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::documents::{self, Document, render_shipped};
use crate::model::{Action, Agent, Options};
use crate::overrides::{Overrides, TemplateError};
use crate::python_format;
use crate::taint::Taint;

/// The initial text of MEMORY if no other source has one.
const EMPTY_MEMORY: &str = "# MEMORY\n\nBootstrap pending.\n";

const LINES_LEFT_OUT: &str = "the lines of HEARTBEAT.md with the agent's token are left out of the \
    gateway's config, which other people can read; the prompt points to the file with the token";
const TEXT_LEFT_OUT: &str = "HEARTBEAT.md is not used, because it shows the agent's token in lines \
    that cannot be separated, and other people can read the gateway's config; use auth_token in \
    separate lines, or in AGENTS.md only";

/// The heartbeat duties for a gateway's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatPrompt {
    /// The text for the config; `None` leaves the config alone. It never holds the agent's token.
    pub text: Option<String>,
    /// The reason, for the report, why the operator's text is not used unchanged; `None` if it is.
    pub left_out: Option<&'static str>,
}

/// The sources of texts, set by the operator in the worker's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatesConfig {
    /// The directory whose files replace shipped texts of the same name.
    pub dir: Option<PathBuf>,
    /// Uses shipped texts for files that the directory lacks. The default is true.
    pub shipped: bool,
}

impl Default for TemplatesConfig {
    fn default() -> Self {
        Self { dir: None, shipped: true }
    }
}

/// The agent and the gateway for which documents are rendered.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The agent that owns the documents.
    pub agent: &'a Agent,
    /// The values that the documents can show. Its board decides between a board agent and a main
    /// agent.
    pub context: &'a Context,
    /// The documents that the gateway does not accept; the shipped AGENTS carries their essentials.
    pub refused: &'a BTreeSet<Document>,
}

/// The renderer of an agent's documents.
#[derive(Debug, Clone)]
pub struct Renderer {
    overrides: Overrides,
    shipped: bool,
}

impl Renderer {
    /// Creates a renderer that uses the configured sources.
    #[must_use]
    pub fn new(config: TemplatesConfig) -> Self {
        Self { overrides: Overrides::new(config.dir), shipped: config.shipped }
    }

    /// Renders the files of a workspace: those of `names` that have a text, by name. BOOTSTRAP is
    /// included only with `include_bootstrap`.
    ///
    /// A name that belongs to no document is served from the operator's directory. Blocks on the
    /// disk.
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
                None => self
                    .overrides
                    .render_file(name, reader.context)?
                    .filter(|text| !text.is_empty()),
            };
            files.extend(text.map(|text| (name.clone(), text)));
        }
        Ok(files)
    }

    /// Renders one document. Returns `None` if no source has a text or the text is empty. Blocks on
    /// the disk.
    pub fn render(
        &self,
        document: Document,
        reader: Reader<'_>,
    ) -> Result<Option<String>, TemplateError> {
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

    /// Renders the heartbeat duties as a prompt for the config of a gateway that refuses HEARTBEAT:
    /// the operator's text if there is one, otherwise a short shipped one. The text is `None` if
    /// shipped texts are off.
    ///
    /// More people can read a config than a workspace, so the agent's token must never get into it.
    /// Lines of the operator's text that show the token are left out, and the text refers to the
    /// file that has it. If such lines cannot be identified, the shipped prompt is used.
    pub fn heartbeat_prompt(&self, reader: Reader<'_>) -> Result<HeartbeatPrompt, TemplateError> {
        let shipped = || {
            let text = self
                .shipped
                .then(|| documents::heartbeat_prompt(reader.context, reader.agent.is_board_lead));
            text.filter(|text| !text.is_empty())
        };
        let with = |context: &Context| {
            self.render_override(Document::Heartbeat, Reader { context, ..reader })
        };
        let Some(text) = with(reader.context)? else {
            return Ok(HeartbeatPrompt { text: shipped(), left_out: None });
        };
        let taint = Taint::of(&text, reader.context, with);
        if taint.is_clean() {
            return Ok(HeartbeatPrompt {
                text: Some(text).filter(|text| !text.is_empty()),
                left_out: None,
            });
        }
        let has_token = if reader.refused.contains(&Document::Tools) {
            Document::Agents
        } else {
            Document::Tools
        };
        Ok(match without_credentials(&text, &taint, has_token) {
            Some(text) => HeartbeatPrompt { text: Some(text), left_out: Some(LINES_LEFT_OUT) },
            None => HeartbeatPrompt { text: shipped(), left_out: Some(TEXT_LEFT_OUT) },
        })
    }

    /// Finds the parts of a document's text that depend on the agent's token. Blocks on the disk.
    pub(crate) fn taint(&self, document: Document, reader: Reader<'_>, text: &str) -> Taint {
        Taint::of(text, reader.context, |context| {
            self.render(document, Reader { context, ..reader })
        })
    }

    fn render_override(
        &self,
        document: Document,
        reader: Reader<'_>,
    ) -> Result<Option<String>, TemplateError> {
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
            if let Some(text) = self.overrides.render_file(&name, reader.context)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

/// Returns the text without the lines that depend on the token, or `None` if nothing else is left
/// or those lines cannot be identified.
fn without_credentials(text: &str, taint: &Taint, has_token: Document) -> Option<String> {
    let Taint::Lines(shaped) = taint else { return None };
    let is_shaped = |number: usize| shaped.iter().any(|(shaped, _)| *shaped == number);
    let first = shaped.first().map(|(number, _)| *number);
    let pointer =
        format!("The credentials for this are in {} of your workspace.", has_token.file_name());
    let mut lines = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        if Some(number) == first {
            lines.push(pointer.as_str());
        } else if !is_shaped(number) {
            lines.push(line);
        }
    }
    let says_more =
        lines.iter().any(|line| *line != pointer && line.contains(char::is_alphanumeric));
    says_more.then(|| lines.join("\n"))
}

/// Returns whether BOOTSTRAP is written. It is, except in an update without `force_bootstrap` whose
/// gateway lists no files or reports BOOTSTRAP as missing: that agent has read it and removed it.
///
/// `existing` is the answer of `agents.files.list`, by file name.
#[must_use]
pub fn should_include_bootstrap(options: &Options, existing: &Map<String, Value>) -> bool {
    if options.action != Action::Update || options.force_bootstrap {
        return true;
    }
    let missing =
        existing.get(Document::Bootstrap.file_name()).and_then(|entry| entry.get("missing"));
    !existing.is_empty() && !missing.is_some_and(python_format::is_truthy)
}

/// The documents for which a main agent has files of its own.
const OF_MAIN: [Document; 5] =
    [Document::Agents, Document::Boot, Document::Heartbeat, Document::Tools, Document::User];

/// Returns the files of the operator's directory that can replace a document, by preference.
fn file_names(document: Document, reader: Reader<'_>) -> Vec<String> {
    let name = document.file_name();
    let is_main = reader.context.board.is_none();
    match document {
        document if is_main && OF_MAIN.contains(&document) => vec![format!("MAIN_{name}")],
        Document::Heartbeat if reader.agent.is_board_lead => {
            vec!["HEARTBEAT_LEAD.md".to_owned(), name.to_owned()]
        }
        Document::Heartbeat => vec!["HEARTBEAT_AGENT.md".to_owned(), name.to_owned()],
        _ => vec![name.to_owned()],
    }
}
