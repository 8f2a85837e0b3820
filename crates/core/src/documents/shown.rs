//! The part of a document that a gateway shows to its agent.

use super::Document;

/// The number of characters of a file that a gateway shows by default. It is the lowest default of
/// all versions.
const SHOWN: usize = 12_000;
/// The same limit for USER on gateways since 2026.8, whatever their config says.
const SHOWN_OF_USER: usize = 4_000;

impl Document {
    /// Returns whether gateways show the document to the agent at the start of each session. The
    /// other documents are read on demand.
    #[must_use]
    const fn is_shown(self) -> bool {
        !matches!(self, Self::Autonomy | Self::Boot | Self::SelfImage | Self::TaskSoul)
    }
}

/// Returns a message if a gateway leaves out the middle of a text when it shows it to the agent.
///
/// `limit` is `agents.defaults.bootstrapMaxChars` of the gateway's config, if it is known.
#[must_use]
pub fn too_long(document: Document, text: &str, limit: Option<usize>) -> Option<String> {
    let length = text.trim_end().encode_utf16().count();
    let limit = limit.unwrap_or(SHOWN);
    if !document.is_shown() {
        return None;
    }
    if document == Document::User && length > SHOWN_OF_USER.min(limit) {
        return Some(format!(
            "it has {length} characters, and gateways since 2026.8 show agents only \
                {SHOWN_OF_USER} of them; shorten it"
        ));
    }
    (length > limit).then(|| {
        format!(
            "it has {length} characters, and the gateway shows agents only the start and the end, \
                {limit} in all; shorten it, or raise agents.defaults.bootstrapMaxChars in the \
                gateway's config"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_gateways_cut_is_reported() {
        let text = |length: usize| "\u{e9}".repeat(length) + "\n\n";
        assert_eq!(too_long(Document::Soul, &text(12_000), None), None);
        assert!(
            too_long(Document::Soul, &text(12_001), None).is_some_and(|why| why.contains("12001"))
        );
        assert_eq!(too_long(Document::Soul, &text(12_001), Some(20_000)), None);
        assert!(too_long(Document::Soul, &text(20), Some(10)).is_some());
        assert!(
            too_long(Document::User, &text(4_001), Some(20_000))
                .is_some_and(|why| why.contains("4000"))
        );
        assert_eq!(too_long(Document::Boot, &text(99_999), None), None, "it is read on demand");
        assert!(
            too_long(Document::Agents, &"\u{1f600}".repeat(6_001), None).is_some(),
            "two units each"
        );
    }
}
