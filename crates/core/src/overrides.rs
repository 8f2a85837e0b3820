//! Templates written by users, both Jinja2: files of the operator's directory, and strings of an
//! agent.
//!
//! Templates run with a budget and can read only the context and the plain files of that directory.
//! Their output is used verbatim (nothing is escaped) and trimmed at both ends.

use std::error::Error as _;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::context::Context;
use crate::mirror::is_plain_name;
use crate::sanitize::one_line;
use crate::{jinja, python_format};

/// The maximum size of a template's source in bytes. The texts in use are below 100 kB.
pub const MAX_SOURCE_BYTES: usize = 256 * 1024;

/// The maximum size of a rendered text in bytes. Old gateways refuse frames above 512 KiB, and
/// encoding as JSON makes a text longer.
pub const MAX_OUTPUT_BYTES: usize = 256 * 1024;

/// The maximum length of a template's name and of the engine's message in an error, in characters.
const MAX_NAME: usize = 100;
const MAX_REASON: usize = 400;
/// The maximum length of a file name in bytes, as in file systems.
const MAX_FILE_NAME: usize = 255;

/// The steps that one rendering may take; every 64 bytes of output count as one more. The limit
/// stays well below a second and 32 MB of memory.
const FUEL: u64 = 500_000;

/// The stack for one rendering in bytes. The deepest values and sources that are allowed need less
/// than a tenth, even in debug builds. Only what is used takes memory.
const STACK: usize = 64 * 1024 * 1024;

/// The place of an error in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the file or of the agent's field. For an error in an included file, the name of
    /// that file.
    pub template: String,
    /// The line, counted from 1; `None` if the engine does not know it.
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

/// The reason why a template could not be rendered. It quotes only the template's own text, never
/// the values given to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template uses a variable, attribute or item that does not exist.
    #[error("{place}: {reason}; use a known variable, or guard it with `is defined` or `default`")]
    Undefined {
        /// The place of the error.
        place: Place,
        /// The message of the engine.
        reason: String,
    },
    /// The template is not valid Jinja2.
    #[error("{place}: {reason}; correct the template")]
    Syntax {
        /// The place of the error.
        place: Place,
        /// The message of the engine.
        reason: String,
    },
    /// The template attempts something impossible, such as a division by zero or an unknown filter.
    #[error("{place}: {reason}; correct the template")]
    Failed {
        /// The place of the error.
        place: Place,
        /// The message of the engine.
        reason: String,
    },
    /// The template includes, extends or imports a file that is not in the templates directory.
    #[error(
        "{place}: the included file was not found; name a file of the templates directory, \
            without a path"
    )]
    NotFound {
        /// The place of the error.
        place: Place,
    },
    /// The source or the output of the template is too long.
    #[error("{template}: the {what} is longer than {limit} bytes; shorten the template")]
    TooLarge {
        /// The name of the file or of the agent's field.
        template: String,
        /// The part that is too long: `source` or `output`.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The template takes too many steps.
    #[error("{place}: the template takes too many steps; make its loops smaller")]
    OutOfFuel {
        /// The place at which it was stopped.
        place: Place,
    },
    /// The templates directory or one of its files cannot be read. The template is not at fault.
    #[error(
        "{template}: cannot be read from the templates directory ({reason}); check \
            `templates.dir` and its files"
    )]
    Unreadable {
        /// The name of the file.
        template: String,
        /// The error of the operating system.
        reason: String,
    },
}

/// The renderer of users' templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    dir: Option<PathBuf>,
}

impl Overrides {
    /// Creates overrides that read from a directory. Without one, only strings can be rendered and
    /// nothing can be included.
    #[must_use]
    pub const fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// Renders a file of the directory, or returns `None` if it does not exist. The file is read
    /// each time.
    pub fn render_file(
        &self,
        name: &str,
        context: &Context,
    ) -> Result<Option<String>, TemplateError> {
        let Some(dir) = &self.dir else { return Ok(None) };
        let Some(source) = read(dir, name)? else { return Ok(None) };
        self.render_str(name, &source, context).map(Some)
    }

    /// Renders a template from a string, which errors refer to as `name`.
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
        let source = prepared(name, &with_unix_lines(source))?;
        let render = || {
            let values = Value::from_pairs(variables.iter().copied());
            let rendered = self.environment().render_named_str(name, &source, values);
            rendered.map_err(|error| explain(&error, name, &variables))
        };
        // The engine panics on some templates that it should refuse, such as a format with
        // non-ASCII keys. Its stack must not depend on the thread of the caller.
        let rendered = thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, render);
            thread.expect("a thread can be started").join()
        });
        let text = rendered.map_err(|_| stumbled(name))??;
        let text = python_format::strip(&text);
        if text.len() > MAX_OUTPUT_BYTES {
            return Err(too_large(name, "output", MAX_OUTPUT_BYTES));
        }
        Ok(text.to_owned())
    }

    fn environment(&self) -> Environment<'static> {
        let mut environment = Environment::new();
        environment.set_syntax(jinja::syntax());
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        minijinja_contrib::add_to_environment(&mut environment);
        jinja::add_to_environment(&mut environment);
        if let Some(dir) = self.dir.clone() {
            environment.set_loader(move |name| {
                let source = read(&dir, name)
                    .and_then(|source| source.map(|source| prepared(name, &source)).transpose());
                source.map_err(|error| {
                    Error::new(ErrorKind::InvalidOperation, "cannot include the file")
                        .with_source(error)
                })
            });
        }
        environment
    }
}

/// Returns the source of a file of the directory. Returns `None` if the file does not exist, the
/// name is not a plain one, or the file is a link that leads out of the directory.
fn read(dir: &Path, name: &str) -> Result<Option<String>, TemplateError> {
    if !is_plain_name(name) || name.contains('\0') || name.len() > MAX_FILE_NAME {
        return Ok(None);
    }
    let unreadable = |error: io::Error| {
        let template = one_line(name, MAX_NAME);
        TemplateError::Unreadable { template, reason: error.kind().to_string() }
    };
    let dir = dir.canonicalize().map_err(unreadable)?;
    // Links inside the directory are allowed, because mounted configuration consists of them.
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
    let source = fs::read_to_string(path).map_err(unreadable)?;
    // Some editors write a byte order mark, which is no part of the text.
    Ok(Some(with_unix_lines(source.strip_prefix('\u{feff}').unwrap_or(&source))))
}

/// Returns a template as the engine gets it, or an error if the engine would need too much stack.
fn prepared(name: &str, source: &str) -> Result<String, TemplateError> {
    jinja::prepared(source).map_err(|line| TemplateError::Syntax {
        place: Place { template: one_line(name, MAX_NAME), line: Some(line) },
        reason: "an expression or a chain of `elif` is too long".to_owned(),
    })
}

/// Replaces every kind of line end by a line feed, as Jinja2 does.
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

/// Converts an error of the engine. The engine wraps it once per include, and the innermost error
/// has the place and the reason.
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
    // The engine's messages name types and quote the template. If one ever quotes a value, the
    // value is removed.
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
