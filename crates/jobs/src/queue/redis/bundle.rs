//! Bundles a script from its own part, the shared functions, and the tables that Rust generates.

use std::collections::HashSet;

use crate::kinds;
use crate::queue::{redis::keys, states};

/// The functions that all scripts share, in the order in which they use each other.
const SHARED: &str = concat!(
    include_str!("lua/prelude.lua"),
    "\n",
    include_str!("lua/events.lua"),
    "\n",
    include_str!("lua/records.lua"),
    "\n",
    include_str!("lua/transitions.lua"),
);

/// Returns the whole text of a script. It contains only the shared functions that the script uses,
/// because even an unused definition costs Redis some thousand instructions per call. Counters and
/// fields that the script has changed are written even if it fails half-way, so that everything it
/// did until then is complete.
pub(crate) fn bundle(clock: &str, body: &str) -> String {
    let shared = states::lua() + &kinds::lua() + clock + SHARED;
    let own = format!(
        "local layout = redis.call('GET', K.layout)
-- Jobs of layout 1 only lack the names of their parts. Its scripts would bypass the records.
if layout == '1' then redis.call('SET', K.layout, LAYOUT) end
if layout and layout ~= LAYOUT and layout ~= '1' then
  return redis.error_reply('LAYOUT the queue is of layout ' .. layout
    .. ', this program knows ' .. LAYOUT)
end
local function main()
{body}
end
local ok, answer = pcall(main)
flush()
if ok or type(answer) == 'table' then return answer end
-- The server's own errors begin with a code in capitals.
local why = tostring(answer):gsub('^%-', '')
return redis.error_reply(why:match('^%u+ ') and why or 'ERR ' .. why)
"
    );
    let text = used(&shared, own);
    let named: HashSet<&str> =
        text.split("K.").skip(1).filter_map(|rest| rest.split(is_no_letter).next()).collect();
    let keys = keys::lua(|name| named.contains(name));
    format!(
        "-- Bundled from crates/jobs/src/queue/redis/lua and generated tables. Do not edit.
{keys}{text}"
    )
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
        let text = bundle(
            "local function now() return 1 end\n",
            "return read(ARGV[1]) and call('GET', K.pulse)",
        );
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
