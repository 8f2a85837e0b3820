//! Stored documents with sealed secrets: any document is either opened or refused, and sealing a
//! document and opening it again restores it.

use std::sync::LazyLock;

use mission_jobs::Keyring;
use serde_json::{Value, json};
use uuid::Uuid;

use super::plain;

/// Holds two keys: new secrets are sealed with the first, and seeds may be sealed with either.
static KEYS: LazyLock<Keyring> = LazyLock::new(|| {
    "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8= AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        .parse()
        .expect("two keys")
});

/// Runs the target on one input.
pub fn run(document: &[u8]) {
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text);
    let opened = KEYS.open(document);
    if let Err(error) = &opened {
        plain(&error.to_string(), 256);
        plain(&error.failure().remedy.text, 256);
    }
    if let Some(sealed) = KEYS.seal(document) {
        let as_before = opened.expect("a document that is sealed can be opened");
        let again = KEYS.open(&sealed).expect("it was just sealed");
        assert_eq!(read(&again).expect("JSON"), read(&as_before).expect("JSON"));
        assert_eq!(KEYS.seal(&sealed), None, "it is sealed already");
        let mut moved = read(&sealed).expect("JSON");
        if let Some(gateway) = moved.get_mut("gateway").and_then(Value::as_object_mut) {
            gateway.insert("id".to_owned(), json!(Uuid::from_u128(8)));
            assert!(
                KEYS.open(moved.to_string().as_bytes()).is_err(),
                "it opens for another gateway"
            );
        }
    }
    let text = String::from_utf8_lossy(document);
    if let Err(error) = text.parse::<Keyring>() {
        plain(&error.to_string(), 256);
    }
}
