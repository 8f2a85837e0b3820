//! From an agent to its documents: which text each file has, and which files there are.
//!
//! A text comes from the first of these that has one: the agent's own template (IDENTITY and SOUL),
//! a file of the operator's directory, the shipped texts. MEMORY has two lines to fall back on. A
//! text that comes out empty is not written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::documents::{self, Document, render_shipped};
use crate::model::{Action, Agent, Options};
use crate::overrides::{Overrides, TemplateError};
use crate::python_format;
use crate::taint::Taint;

/// What MEMORY starts with where nothing else is provided for.
const EMPTY_MEMORY: &str = "# MEMORY\n\nBootstrap pending.\n";

const LINES_LEFT_OUT: &str = "the lines of HEARTBEAT.md with the agent's token are left out of \
    the gateway's config, \
    which others read; the prompt points to the file that has it";
const TEXT_LEFT_OUT: &str = "HEARTBEAT.md shows the agent's token in a way that cannot be cut \
    out, and the gateway's \
    config has other readers; use auth_token in lines of their own, or in AGENTS.md only";

/// The heartbeat's duties for a gateway's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatPrompt {
    /// The text for the config; none leaves it alone. Never holds the agent's token.
    pub text: Option<String>,
    /// Why the operator's text is not there as it is, for the report; none if it is.
    pub left_out: Option<&'static str>,
}

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
    /// What its documents can show; decides by its board whether this is a board agent or a main
    /// agent.
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

    /// All files of a workspace, by name: those of `names` that have a text. BOOTSTRAP only with
    /// `include_bootstrap`.
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
                None => self
                    .overrides
                    .render_file(name, reader.context)?
                    .filter(|text| !text.is_empty()),
            };
            files.extend(text.map(|text| (name.clone(), text)));
        }
        Ok(files)
    }

    /// One document; none where there is no text for it or it comes out empty. Blocks on the disk.
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

    /// The heartbeat's duties as a prompt for the gateway's config, where the gateway refuses
    /// HEARTBEAT: the operator's text if there is one, else a short shipped one. None where shipped
    /// texts are off.
    ///
    /// A config has more readers than a workspace, so the agent's token never gets into it. Lines
    /// of the operator's text that show it are left out, and the text points to the file that has
    /// it; where they cannot be told apart, the shipped prompt is taken.
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

    /// Finds what of a document's text the agent's token has shaped. Blocks on the disk.
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
            if let Some(text) = self.overrides.render_file(name, reader.context)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

/// The text without the lines that the token has shaped; none if nothing else is left, or the lines
/// cannot be told.
fn without_credentials(text: &str, taint: &Taint, has_token: Document) -> Option<String> {
    let Taint::Lines(shaped) = taint else { return None };
    let is_shaped = |number: usize| shaped.iter().any(|(shaped, _)| *shaped == number);
    let first = shaped.first().map(|(number, _)| *number);
    let pointer =
        format!("The credentials for this stand in {} of your workspace.", has_token.file_name());
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

/// Whether BOOTSTRAP is written: always, except in an update without `force_bootstrap` when the
/// gateway lists no file at all or reports BOOTSTRAP as missing; then the agent has had it and
/// removed it.
///
/// `existing` is what `agents.files.list` said, by file name.
#[must_use]
pub fn should_include_bootstrap(options: &Options, existing: &Map<String, Value>) -> bool {
    if options.action != Action::Update || options.force_bootstrap {
        return true;
    }
    let missing =
        existing.get(Document::Bootstrap.file_name()).and_then(|entry| entry.get("missing"));
    !existing.is_empty() && !missing.is_some_and(python_format::is_truthy)
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
