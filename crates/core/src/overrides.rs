//! Templates that users write: files of the operator's directory and strings of an agent, both
//! Jinja2.
//!
//! They run with a budget and can reach nothing but the context and the plain files of that
//! directory. Output is taken verbatim (nothing is escaped) and trimmed at both ends.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::context::Context;
use crate::mirror::is_plain_name;
use crate::sanitize::one_line;
use crate::{jinja, python_format};

/// Largest source of one template in bytes. The texts in use are below 100 kB.
pub const MAX_SOURCE_BYTES: usize = 256 * 1024;

/// Largest rendered text in bytes. Old gateways refuse frames above 512 KiB, and JSON makes text
/// longer.
pub const MAX_OUTPUT_BYTES: usize = 256 * 1024;

/// Most characters of a template's name and of the engine's words in an error.
const MAX_NAME: usize = 100;
const MAX_REASON: usize = 400;
/// Most bytes of a file's name, as file systems have it.
const MAX_FILE_NAME: usize = 255;

/// Steps that one rendering may take; every 64 bytes that it makes count as one more. This is well
/// below a second and 32 MB of memory.
const FUEL: u64 = 500_000;

/// Where in a template something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file or of the agent's field; of the included file where the fault is there.
    pub template: String,
    /// Line, from 1; none where the engine does not know it.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}", self.template),
            None => f.write_str(&self.template),
        }
    }
}

/// Why a template could not be rendered. Speaks of the template's own text, never of the values it
/// was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It uses a variable, attribute or item that does not exist.
    #[error("{place}: {reason}; use a known variable, or guard it with `is defined` or `default`")]
    Undefined {
        /// Where.
        place: Place,
        /// The engine's words.
        reason: String,
    },
    /// It is not Jinja2.
    #[error("{place}: {reason}; correct the template")]
    Syntax {
        /// Where.
        place: Place,
        /// The engine's words.
        reason: String,
    },
    /// It does something that cannot be done, such as dividing by zero or using an unknown filter.
    #[error("{place}: {reason}; correct the template")]
    Failed {
        /// Where.
        place: Place,
        /// The engine's words.
        reason: String,
    },
    /// It includes, extends or imports a file that is not in the templates directory.
    #[error(
        "{place}: the file to include was not found; name a file of the templates directory, \
            without a path"
    )]
    NotFound {
        /// Where.
        place: Place,
    },
    /// Its source or its output is too long.
    #[error("{template}: the {what} is longer than {limit} bytes; shorten the template")]
    TooLarge {
        /// Name of the file or of the agent's field.
        template: String,
        /// `source` or `output`.
        what: &'static str,
        /// Largest accepted size in bytes.
        limit: usize,
    },
    /// It takes too many steps.
    #[error("{place}: the template takes too many steps; make its loops smaller")]
    OutOfFuel {
        /// Where it was stopped.
        place: Place,
    },
    /// A file of the templates directory, or the directory, cannot be read. Not the template's
    /// fault.
    #[error(
        "{template}: cannot be read from the templates directory ({reason}); check \
            `templates.dir` and its files"
    )]
    Unreadable {
        /// Name of the file.
        template: String,
        /// What the system said.
        reason: String,
    },
}

/// Renders users' templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    dir: Option<PathBuf>,
}

impl Overrides {
    /// Overrides from a directory; without one, only strings can be rendered and nothing can be
    /// included.
    #[must_use]
    pub const fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// Renders a file of the directory; none where there is no such file. The file is read each
    /// time.
    pub fn render_file(
        &self,
        name: &str,
        context: &Context,
    ) -> Result<Option<String>, TemplateError> {
        let Some(dir) = &self.dir else { return Ok(None) };
        let Some(source) = read(dir, name)? else { return Ok(None) };
        self.render_str(name, &source, context).map(Some)
    }

    /// Renders a template from a string. `name` stands for it in errors.
    pub fn render_str(
        &self,
        name: &str,
        source: &str,
        context: &Context,
    ) -> Result<String, TemplateError> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(too_large(name, "source", MAX_SOURCE_BYTES));
        }
        let variables = context.variables();
        let values: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
        let environment = self.environment();
        // The engine panics at some templates that it should refuse, such as keys beyond ASCII in a
        // format.
        let rendered = catch_unwind(AssertUnwindSafe(|| {
            environment.render_named_str(
                name,
                &jinja::rewritten(&with_unix_lines(source)),
                Value::from(values),
            )
        }));
        let text = rendered
            .map_err(|_| stumbled(name))?
            .map_err(|error| explain(&error, name, &variables))?;
        let text = python_format::strip(&text);
        if text.len() > MAX_OUTPUT_BYTES {
            return Err(too_large(name, "output", MAX_OUTPUT_BYTES));
        }
        Ok(text.to_owned())
    }

    fn environment(&self) -> Environment<'static> {
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        let mut environment = Environment::new();
        environment.set_syntax(syntax.expect("the default delimiters are valid"));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        minijinja_contrib::add_to_environment(&mut environment);
        jinja::add_to_environment(&mut environment);
        if let Some(dir) = self.dir.clone() {
            environment.set_loader(move |name| {
                let source = read(&dir, name)
                    .map(|source| source.map(|source| jinja::rewritten(&source).into_owned()));
                source.map_err(|error| {
                    Error::new(ErrorKind::InvalidOperation, "cannot include the file")
                        .with_source(error)
                })
            });
        }
        environment
    }
}

/// The source of a file of the directory; none where there is no such file, or the name is no plain
/// one, or it is a link that leads out of the directory.
fn read(dir: &Path, name: &str) -> Result<Option<String>, TemplateError> {
    if !is_plain_name(name) || name.contains('\0') || name.len() > MAX_FILE_NAME {
        return Ok(None);
    }
    let unreadable = |error: io::Error| {
        let template = one_line(name, MAX_NAME);
        TemplateError::Unreadable { template, reason: error.kind().to_string() }
    };
    let dir = dir.canonicalize().map_err(unreadable)?;
    // Links inside of the directory are fine: mounted configuration is made of them.
    let path = match dir.join(name).canonicalize() {
        Ok(path) if path.starts_with(&dir) => path,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let facts = path.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Ok(None);
    }
    if facts.len() > MAX_SOURCE_BYTES as u64 {
        return Err(too_large(name, "source", MAX_SOURCE_BYTES));
    }
    fs::read_to_string(path).map(|source| Some(with_unix_lines(&source))).map_err(unreadable)
}

/// Jinja2 reads every kind of line end as a line feed.
fn with_unix_lines(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

fn too_large(template: &str, what: &'static str, limit: usize) -> TemplateError {
    TemplateError::TooLarge { template: one_line(template, MAX_NAME), what, limit }
}

fn stumbled(name: &str) -> TemplateError {
    let place = Place { template: one_line(name, MAX_NAME), line: None };
    TemplateError::Failed { place, reason: "the template engine cannot handle it".to_owned() }
}

/// The engine wraps an error once per include: the innermost one says where and why.
fn explain(error: &Error, name: &str, variables: &[(&'static str, &str)]) -> TemplateError {
    let mut innermost = error;
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(ours) = cause.downcast_ref::<TemplateError>() {
            return ours.clone();
        }
        innermost = cause.downcast_ref().unwrap_or(innermost);
        source = cause.source();
    }
    let place = Place {
        template: one_line(innermost.name().unwrap_or(name), MAX_NAME),
        line: innermost.line(),
    };
    let reason = innermost.detail().map_or_else(|| innermost.kind().to_string(), str::to_owned);
    // The engine speaks of types, and quotes from the template; should it ever quote a value, the
    // value is left out.
    let quotes_value = variables.iter().any(|(_, value)| value.len() > 3 && reason.contains(value));
    let reason =
        if quotes_value { innermost.kind().to_string() } else { one_line(&reason, MAX_REASON) };
    match innermost.kind() {
        ErrorKind::UndefinedError => TemplateError::Undefined { place, reason },
        ErrorKind::SyntaxError | ErrorKind::BadEscape => TemplateError::Syntax { place, reason },
        ErrorKind::TemplateNotFound => TemplateError::NotFound { place },
        ErrorKind::OutOfFuel => TemplateError::OutOfFuel { place },
        _ => TemplateError::Failed { place, reason },
    }
}
