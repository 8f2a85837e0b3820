//! Stored documents with sealed secrets: whatever stands there is opened or refused, and what is
//! sealed opens as it was.

use std::sync::LazyLock;

use mission_jobs::Keyring;
use serde_json::Value;
use uuid::Uuid;

use super::plain;

/// Two keys: what is new is sealed with the first, seeds are with either.
static KEYS: LazyLock<Keyring> = LazyLock::new(|| {
    "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8= AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        .parse()
        .expect("two keys")
});
const JOB: Uuid = Uuid::from_u128(7);

/// Tries one input.
pub fn run(document: &[u8]) {
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text);
    let opened = KEYS.open(JOB, document);
    if let Err(error) = &opened {
        plain(&error.to_string(), 256);
        plain(error.failure().action.as_deref().unwrap_or_default(), 256);
    }
    if let Some(sealed) = KEYS.seal(JOB, document) {
        let as_before = opened.expect("what cannot be opened is not sealed");
        let again = KEYS.open(JOB, &sealed).expect("it was just sealed");
        assert_eq!(read(&again).expect("JSON"), read(&as_before).expect("JSON"));
        assert_eq!(KEYS.seal(JOB, &sealed), None, "it is sealed already");
        assert!(KEYS.open(Uuid::from_u128(8), &sealed).is_err(), "another job's");
    }
    let text = String::from_utf8_lossy(document);
    if let Err(error) = text.parse::<Keyring>() {
        plain(&error.to_string(), 256);
    }
}
