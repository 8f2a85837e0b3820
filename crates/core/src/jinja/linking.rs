//! The filters `urlize` and `urlencode`.

use std::sync::LazyLock;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, State, Value};
use regex::Regex;

use super::arguments::Arguments;
use super::{afford, escaped, invalid, text};

/// The pattern by which Jinja2 recognizes an address: a scheme, `www.`, or one of the oldest
/// top-level domains.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let host = r"(?:https?://|www\.)(?:(?:[\w%-]+\.)+)?(?:[a-z]{2,63}|xn--[\w%]{2,59})";
    let plain = r"(?:[\w%-]{2,63}\.)+(?:com|net|int|edu|gov|org|info|mil)";
    let number =
        r"https?://(?:\d{1,3}(?:\.\d{1,3}){3}|\[(?:[\da-f]{0,4}:){2}(?:[\da-f]{0,4}:?){1,6}\])";
    let rest = r"(?::\d{1,5})?(?:[/?#]\S*)?";
    Regex::new(&format!("(?i)^(?:{host}|{plain}|{number}){rest}$")).expect("the pattern is valid")
});
static MAIL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\S+@\w[\w.-]*\.\w+$").expect("the pattern is valid"));

pub(super) fn link(state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let names = ["value", "trim_url_limit", "nofollow", "target", "rel", "extra_schemes"];
    let arguments = Arguments::of(&names, &given.into_values())?;
    let value = arguments.needed(0)?;
    let source = text(state, value)?;
    let source = if value.is_safe() { source } else { escaped(&source) };
    let rel = arguments.text(state, 4)?.unwrap_or_default();
    let mut rel: Vec<&str> = rel.split_whitespace().chain(["noopener"]).collect();
    if arguments.flag(2) {
        rel.push("nofollow");
    }
    rel.sort_unstable();
    rel.dedup();
    let target =
        arguments.text(state, 3)?.map(|target| format!(" target=\"{}\"", escaped(&target)));
    let schemes = match arguments.some(5) {
        Some(schemes) => {
            schemes.try_iter()?.map(|scheme| text(state, &scheme)).collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    let linker = Linker {
        most: arguments.some(1).map(|_| arguments.size(1, 0)).transpose()?,
        attributes: format!(" rel=\"{}\"{}", escaped(&rel.join(" ")), target.unwrap_or_default()),
        schemes,
    };
    state.consume_fuel(source.len() as u64 / 4)?;
    let mut out = String::new();
    let mut rest = source.as_str();
    while !rest.is_empty() {
        let space = rest.find(|c: char| !crate::python_format::is_space(c)).unwrap_or(rest.len());
        out.push_str(&rest[..space]);
        rest = &rest[space..];
        let (word, after) =
            rest.split_at(rest.find(crate::python_format::is_space).unwrap_or(rest.len()));
        out.push_str(&linker.word(word));
        afford(state, out.len())?;
        rest = after;
    }
    Ok(out)
}

struct Linker {
    most: Option<usize>,
    attributes: String,
    schemes: Vec<String>,
}

impl Linker {
    fn word(&self, word: &str) -> String {
        let head = word.len() - trimmed_start(word, &["(", "<", "&lt;"]).len();
        let (head, rest) = word.split_at(head);
        let (middle, mut tail) =
            rest.split_at(trimmed_end(rest, &[")", ">", ".", ",", "&gt;"]).len());
        let mut middle = middle.to_owned();
        // The closing mark of a bracket within the address belongs to the address.
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let opened = middle.matches(open).count();
            if opened <= middle.matches(close).count() {
                continue;
            }
            for _ in 0..opened.min(tail.matches(close).count()) {
                let end = tail.find(close).map_or(0, |at| at + close.len());
                middle.push_str(&tail[..end]);
                tail = &tail[end..];
            }
        }
        format!("{head}{}{tail}", self.linked(&middle))
    }

    fn linked(&self, word: &str) -> String {
        let attributes = &self.attributes;
        if ADDRESS.is_match(word) {
            let scheme = if word.starts_with("https://") || word.starts_with("http://") {
                ""
            } else {
                "https://"
            };
            return format!("<a href=\"{scheme}{word}\"{attributes}>{}</a>", self.shortened(word));
        }
        if let Some(mail) = word.strip_prefix("mailto:").filter(|mail| MAIL.is_match(mail)) {
            return format!("<a href=\"{word}\">{mail}</a>");
        }
        if word.contains('@')
            && !word.starts_with("www.")
            && !word.contains(':')
            && MAIL.is_match(word)
        {
            return format!("<a href=\"mailto:{word}\">{word}</a>");
        }
        match self
            .schemes
            .iter()
            .find(|scheme| word != scheme.as_str() && word.starts_with(scheme.as_str()))
        {
            Some(_) => format!("<a href=\"{word}\"{attributes}>{word}</a>"),
            None => word.to_owned(),
        }
    }

    fn shortened(&self, word: &str) -> String {
        match self.most {
            Some(most) if word.chars().count() > most => {
                format!("{}...", word.chars().take(most).collect::<String>())
            }
            _ => word.to_owned(),
        }
    }
}

fn trimmed_start<'a>(mut text: &'a str, parts: &[&str]) -> &'a str {
    while let Some(rest) = parts.iter().find_map(|part| text.strip_prefix(part)) {
        text = rest;
    }
    text
}

fn trimmed_end<'a>(mut text: &'a str, parts: &[&str]) -> &'a str {
    while let Some(rest) = parts.iter().find_map(|part| text.strip_suffix(part)) {
        text = rest;
    }
    text
}

/// Encodes a text for a URL, or pairs as the query of a URL.
pub(super) fn encode(state: &mut State<'_, '_>, value: &Value) -> Result<String, Error> {
    let pairs: Vec<(Value, Value)> = match value.kind() {
        ValueKind::Map => {
            let pair = |key: Value| value.get_item(&key).map(|content| (key, content));
            value.try_iter()?.map(pair).collect::<Result<_, _>>()?
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let pair = |pair: Value| match pair.len() {
                Some(2) => Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?)),
                _ => Err(invalid("expected pairs of a name and a value")),
            };
            value.try_iter()?.map(pair).collect::<Result<_, _>>()?
        }
        _ => return Ok(quoted(&text(state, value)?, false)),
    };
    state.consume_fuel(pairs.len() as u64)?;
    let mut parts = Vec::new();
    for (name, content) in pairs {
        parts.push(format!(
            "{}={}",
            quoted(&text(state, &name)?, true),
            quoted(&text(state, &content)?, true)
        ));
    }
    Ok(parts.join("&"))
}

fn quoted(text: &str, in_query: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if !in_query => out.push('/'),
            b' ' if in_query => out.push('+'),
            byte => out.extend(format!("%{byte:02X}").chars()),
        }
    }
    out
}
