//! The filters `urlize` and `urlencode`.

use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;

use super::arguments::{Arguments, pairs};
use super::{afford, escaped, escaped_once, pattern, text};
use crate::python_format::is_space;

/// The pattern by which Jinja2 recognizes an address: a scheme, `www.`, or one of the oldest
/// top-level domains.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let host = r"(?:https?://|www\.)(?:(?:[\w%-]+\.)+)?(?:[a-z]{2,63}|xn--[\w%]{2,59})";
    let plain = r"(?:[\w%-]{2,63}\.)+(?:com|net|int|edu|gov|org|info|mil)";
    let number =
        r"https?://(?:\d{1,3}(?:\.\d{1,3}){3}|\[(?:[\da-f]{0,4}:){2}(?:[\da-f]{0,4}:?){1,6}\])";
    let rest = r"(?::\d{1,5})?(?:[/?#]\S*)?";
    pattern(&format!("(?i)^(?:{host}|{plain}|{number}){rest}$"))
});
static MAIL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\S+@\w[\w.-]*\.\w+$"));
/// The marks before and after a word that are not part of an address.
static HEAD: LazyLock<Regex> = LazyLock::new(|| pattern("^(?:[(<]|&lt;)+"));
static TAIL: LazyLock<Regex> = LazyLock::new(|| pattern("(?:[)>.,]|&gt;)+$"));

pub(super) fn link(
    state: &mut State<'_, '_>,
    value: &Value,
    given: &Arguments,
) -> Result<Value, Error> {
    let source = escaped_once(state, value)?;
    let rel = given.text(state, 3)?.unwrap_or_default();
    let mut rel: Vec<&str> = rel.split_whitespace().chain(["noopener"]).collect();
    if given.flag(1, false) {
        rel.push("nofollow");
    }
    rel.sort_unstable();
    rel.dedup();
    let target = given.text(state, 2)?.map(|target| format!(" target=\"{}\"", escaped(&target)));
    let schemes = given.some(4).map(|schemes| {
        schemes.try_iter()?.map(|scheme| text(state, &scheme)).collect::<Result<_, Error>>()
    });
    let linker = Linker {
        most: given.some(0).map(|_| given.size(0, 0)).transpose()?,
        attributes: format!(" rel=\"{}\"{}", escaped(&rel.join(" ")), target.unwrap_or_default()),
        schemes: schemes.transpose()?.unwrap_or_default(),
    };
    state.consume_fuel(source.len() as u64 / 4)?;
    let mut out = String::new();
    for part in source.split_inclusive(is_space) {
        let word = part.trim_end_matches(is_space);
        out.push_str(&linker.word(word));
        out.push_str(&part[word.len()..]);
        afford(state, out.len())?;
    }
    Ok(Value::from(out))
}

struct Linker {
    most: Option<usize>,
    attributes: String,
    schemes: Vec<String>,
}

impl Linker {
    fn word(&self, word: &str) -> String {
        let (head, rest) = word.split_at(HEAD.find(word).map_or(0, |head| head.end()));
        let (middle, mut tail) =
            rest.split_at(TAIL.find(rest).map_or(rest.len(), |tail| tail.start()));
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
        let is_known = |scheme: &String| word != scheme && word.starts_with(scheme.as_str());
        if self.schemes.iter().any(is_known) {
            return format!("<a href=\"{word}\"{attributes}>{word}</a>");
        }
        word.to_owned()
    }

    fn shortened(&self, word: &str) -> String {
        let end = self.most.and_then(|most| word.char_indices().nth(most));
        end.map_or_else(|| word.to_owned(), |(end, _)| format!("{}...", &word[..end]))
    }
}

/// Everything but what Python's `quote_plus` keeps.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// Encodes a text for a URL, or pairs as the query of a URL.
pub(super) fn encode(
    state: &mut State<'_, '_>,
    value: &Value,
    _: &Arguments,
) -> Result<Value, Error> {
    if !matches!(value.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) {
        let text = text(state, value)?;
        return Ok(Value::from(utf8_percent_encode(&text, IN_PATH).to_string()));
    }
    let quoted = |value: &Value| {
        let text = text(state, value)?;
        Ok::<_, Error>(utf8_percent_encode(&text, IN_QUERY).to_string().replace("%20", "+"))
    };
    let mut parts = Vec::new();
    for (name, content) in pairs(state, value)? {
        parts.push(format!("{}={}", quoted(&name)?, quoted(&content)?));
    }
    Ok(Value::from(parts.join("&")))
}
