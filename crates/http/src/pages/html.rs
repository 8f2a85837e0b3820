//! Pieces of HTML that templates insert without escaping: they escape their own content.

use std::fmt::{self, Display, Formatter, Write};

use askama::filters::HtmlSafe;
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
#[derive(Debug, Clone, Default)]
pub(super) struct Prose(pub String);

impl Display for Prose {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A backtick without a partner is a character like any other.
        let pairs = self.0.matches('`').count() / 2 * 2;
        for (at, piece) in self.0.splitn(pairs + 1, '`').enumerate() {
            if at % 2 == 1 {
                f.write_str("<code>")?;
                escape(f, piece)?;
                f.write_str("</code>")?;
            } else {
                escape(f, piece)?;
            }
        }
        Ok(())
    }
}

impl HtmlSafe for Prose {}

/// Writes text with its markup characters escaped.
fn escape(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            other => f.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_backticks_is_code_and_markup_is_escaped() {
        let prose = Prose("run `openclaw <b>` & look; a ` stays".to_owned());
        assert_eq!(prose.to_string(), "run <code>openclaw &lt;b&gt;</code> &amp; look; a ` stays");
    }

    #[test]
    fn a_time_is_shown_relative_to_now() {
        let at = |at_ms| When { at_ms, now_ms: 1_700_000_000_000 }.to_string();
        assert!(at(1_700_000_000_000 - 192_000).ends_with(">3 min ago</time>"));
        assert!(at(1_700_000_000_000 + 12_000).ends_with(">in 12 s</time>"));
        assert!(at(1_700_000_000_000).contains(r#"title="2023-11-14 22:13:20.000 UTC""#));
    }
}
