//! Bundles scripts from their own parts, the shared functions, and the tables that Rust generates:
//! all of them as one library of functions, or each as a script for a Redis that forbids functions.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::kinds;
use crate::queue::{redis::keys, states};

/// The functions that all scripts share, in the order in which they use each other.
const SHARED: &str = concat!(
    include_str!("lua/prelude.lua"),
    "\n",
    include_str!("lua/writing.lua"),
    "\n",
    include_str!("lua/events.lua"),
    "\n",
    include_str!("lua/lines.lua"),
    "\n",
    include_str!("lua/records.lua"),
    "\n",
    include_str!("lua/transitions.lua"),
    "\n",
    include_str!("lua/freeing.lua"),
    "\n",
    include_str!("lua/alone.lua"),
    "\n",
    include_str!("lua/healing.lua"),
    "\n",
    include_str!("lua/upkeep.lua"),
    "\n",
    include_str!("lua/plain.lua"),
    "\n",
    include_str!("lua/run.lua"),
);

/// The effect of a script, which decides on what Redis lets it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads, which a Redis that is full or a replica allows as well.
    Reads,
    /// It stores new jobs, which a Redis that is full refuses.
    Adds,
    /// It changes jobs that exist already. A Redis that is full lets them continue, because ending
    /// and removing them makes room again.
    Changes,
    /// It does the same to keys of any layout.
    Migrates,
}

impl Access {
    /// Returns the flag of such a script, as Redis names it.
    const fn flag(self) -> Option<&'static str> {
        match self {
            Self::Reads => Some("no-writes"),
            Self::Adds => None,
            Self::Changes | Self::Migrates => Some("allow-oom"),
        }
    }

    /// Returns the statement that runs the function `main` of such a script.
    fn execute(self) -> String {
        format!("return execute(main, {}, {})", self != Self::Reads, self == Self::Migrates)
    }
}

/// The source of a script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) access: Access,
    /// The text of its file, which is the body of a function.
    pub(crate) body: &'static str,
}

impl Source {
    /// Returns the whole text of the script for `EVAL`. It contains only the shared functions that
    /// it uses, because even an unused definition costs Redis some thousand instructions per call.
    pub(crate) fn script(&self, clock: &str) -> String {
        let shared = states::lua() + &kinds::lua() + clock + SHARED;
        let Self { body, access, .. } = self;
        let execute = access.execute();
        let own = format!("local function main()\n{body}\nend\n\n{execute}\n");
        let text = used(&shared, own);
        let named: HashSet<&str> =
            text.split("K.").skip(1).filter_map(|rest| rest.split(is_no_letter).next()).collect();
        let keys = keys::lua(|name| named.contains(name));
        let flags = access.flag().map(|flag| format!("#!lua flags={flag}\n")).unwrap_or_default();
        format!(
            "{flags}-- Bundled from crates/jobs/src/queue/redis/lua and generated tables. Do not \
                edit.\n{keys}{text}"
        )
    }
}

/// A library of functions for Redis, which keeps it until somebody removes it.
#[derive(Debug)]
pub(crate) struct Library {
    /// The name, which contains the hash of the text. So those of different versions are there at
    /// the same time.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Library {
    /// Makes the library of all scripts. Redis has hardly any function at hand while it loads a
    /// library, so the first call makes the definitions.
    pub(crate) fn new(clock: &str, sources: &[Source]) -> Self {
        let mut define = keys::lua(|_| true) + &states::lua() + &kinds::lua() + clock + SHARED;
        let mut register = String::new();
        for Source { name, access, body } in sources {
            let execute = access.execute();
            let flags = access.flag().map(|flag| format!("'{flag}'")).unwrap_or_default();
            define.extend([
                "\ndo\n  local function main()\n",
                body,
                &format!("\n  end\n  defined.{name} = function() {execute} end\nend\n"),
            ]);
            register.extend([format!(
                "redis.register_function({{
  function_name = LIBRARY .. '_{name}',
  callback = function(keys, args)
    KEYS, ARGV = keys, args
    return (defined.{name} or define('{name}'))()
  end,
  flags = {{ {flags} }},
}})\n"
            )]);
        }
        let text = format!(
            "local KEYS, ARGV\nlocal defined = {{}}\n\nlocal function define(asked)\n{define}\n\
             return defined[asked]\nend\n\n{register}"
        );
        let hash = hex::encode(Sha256::digest(&text));
        let name = format!("mission_{}", &hash[..20]);
        let text = format!("#!lua name={name}\nlocal LIBRARY = '{name}'\n{text}");
        Self { name, text }
    }
}

/// Returns `own` with those of the shared definitions before it that it uses.
fn used(shared: &str, own: String) -> String {
    let (mut wanted, mut text) = (words(&own), own);
    for statement in statements(shared).iter().rev() {
        if defines(statement).iter().any(|name| wanted.contains(name)) {
            wanted.extend(words(statement));
            text = statement.clone() + &text;
        }
    }
    text
}

/// Splits a text into its definitions at the outermost level, each with the comments before it.
/// Only the lines of such definitions begin with `local`.
fn statements(text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut complete = false;
    for line in text.lines() {
        let begins = line.starts_with("local ");
        if complete && (begins || line.starts_with("--")) {
            statements.push(String::new());
            complete = false;
        }
        complete |= begins;
        let statement = statements.last_mut().expect("there is one from the start");
        *statement += line;
        *statement += "\n";
    }
    statements
}

/// Returns the names that a definition introduces: of a function, or of variables.
fn defines(statement: &str) -> Vec<String> {
    let line = statement.lines().find_map(|line| line.strip_prefix("local ")).unwrap_or_default();
    match line.strip_prefix("function ") {
        Some(function) => vec![function.split('(').next().unwrap_or_default().to_owned()],
        None => line
            .split('=')
            .next()
            .unwrap_or_default()
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
    }
}

/// Returns all words of a text, without those in comments.
fn words(text: &str) -> HashSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    code.flat_map(|line| line.split(is_no_letter)).map(str::to_owned).collect()
}

const fn is_no_letter(letter: char) -> bool {
    !letter.is_ascii_alphanumeric() && letter != '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_contains_only_used_definitions() {
        let body = "return read(ARGV[1]) and call('GET', K.pulse)";
        let source = Source { name: "get", access: Access::Changes, body };
        let text = source.script("local function now() return 1 end\n");
        for used in [
            "local function read(",
            "local function now(",
            "local function flush(",
            "  pulse = ",
            "  job = ",
        ] {
            assert!(text.contains(used), "{used}");
        }
        for unused in [
            "local function audit(",
            "local function go(",
            "local RETRYABLE",
            "  calm = ",
            "  parked = ",
        ] {
            assert!(!text.contains(unused), "{unused}");
        }
    }

    #[test]
    fn definitions_come_with_their_comments() {
        let text = "-- Of one.\nlocal one, two = 1, 2\n-- Of\n-- three.\nlocal function \
            three(a)\n  local b = one\nend\n";
        let found = statements(text);
        assert_eq!(found.concat(), text);
        assert_eq!(
            found.iter().map(|it| defines(it)).collect::<Vec<_>>(),
            [vec!["one", "two"], vec!["three"]]
        );
        let own = || "return three(1) -- two\n".to_owned();
        assert_eq!(used(text, own()), text.to_owned() + &own());
        assert_eq!(used(text, "return 1\n".to_owned()), "return 1\n");
    }
}
