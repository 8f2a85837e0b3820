//! Pieces of HTML that templates insert without escaping: they escape their own content.

use std::fmt::{self, Display, Formatter};

use askama::filters::{Escaper, Html, HtmlSafe};
use mission_core::humanize::{rough, utc};

/// A point in time in words, with the time in UTC on hover. A script keeps the words up to date.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    /// The time in milliseconds since 1970.
    pub at_ms: u64,
    /// The present time by the same clock.
    pub now_ms: u64,
}

impl Display for When {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { at_ms, now_ms } = *self;
        let words = match at_ms.abs_diff(now_ms) {
            0..1000 => "now".to_owned(),
            past if at_ms < now_ms => format!("{} ago", rough(past)),
            ahead => format!("in {}", rough(ahead)),
        };
        let iso = utc(at_ms, "%Y-%m-%dT%H:%M:%S.%3fZ");
        let full = utc(at_ms, "%Y-%m-%d %H:%M:%S.%3f UTC");
        write!(f, r#"<time datetime="{iso}" title="{full}" data-at="{at_ms}">{words}</time>"#)
    }
}

impl HtmlSafe for When {}

/// Text in which the pieces between backticks are shown as code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prose<'a>(pub &'a str);

impl Display for Prose<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A backtick without a partner is a character like any other.
        let pairs = self.0.matches('`').count() / 2 * 2;
        for (at, piece) in self.0.splitn(pairs + 1, '`').enumerate() {
            let (before, after) = if at % 2 == 1 { ("<code>", "</code>") } else { ("", "") };
            f.write_str(before)?;
            Html.write_escaped_str(&mut *f, piece)?;
            f.write_str(after)?;
        }
        Ok(())
    }
}

impl HtmlSafe for Prose<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_backticks_is_code_and_markup_is_escaped() {
        let prose = Prose("run `openclaw <b>` & look; a ` stays");
        let html = "run <code>openclaw &#60;b&#62;</code> &#38; look; a ` stays";
        assert_eq!(prose.to_string(), html);
    }

    #[test]
    fn a_time_is_shown_relative_to_now() {
        let at = |at_ms| When { at_ms, now_ms: 1_700_000_000_000 }.to_string();
        assert!(at(1_700_000_000_000 - 192_000).ends_with(">3 min ago</time>"));
        assert!(at(1_700_000_000_000 + 12_000).ends_with(">in 12 s</time>"));
        assert!(at(1_700_000_000_000).contains(r#"title="2023-11-14 22:13:20.000 UTC""#));
    }
}
